/*
 * Hash functions by name: all of libhashkit's (computed by libhashkit, or by our own code where it is proven equal and
 * faster), and xxh3 for new fleets.
 */
#ifndef RINGSIDE_ROUTING_HASH_H
#define RINGSIDE_ROUTING_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 32 bits of hash of key. Thread-safe, no state, no allocation. */
typedef uint32_t hash_fn(const char *key, size_t len);

/* The function of that name (case does not matter), or NULL. */
hash_fn *hash_by_name(const char *name);
/* The names, NULL-terminated, canonical spelling first, in the order of the documentation. */
const char *const *hash_names(void);
/* The canonical name of fn, or NULL. */
const char *hash_name(hash_fn *fn);

#endif
