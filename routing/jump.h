/* Jump consistent hash. Source: Lamping, Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014. */
#ifndef RINGSIDE_ROUTING_JUMP_H
#define RINGSIDE_ROUTING_JUMP_H

#include <stdint.h>

/* The bucket of a 64-bit key among buckets, 1 … 2^40. */
uint64_t jump_bucket(uint64_t key, uint64_t buckets);

#endif
