/*
 * Shares: each member stands `weight` times in one long list, in the order of the members. Which member is at a place
 * of that list? Internal to routing/; the list itself is never written out.
 */
#ifndef RINGSIDE_ROUTING_SHARES_H
#define RINGSIDE_ROUTING_SHARES_H

#include "routing/ring.h"

#include <stddef.h>
#include <stdint.h>

struct shares {
    size_t n;
    uint64_t total;  /* length of the list */
    uint32_t each;   /* the weight of every member, or 0 where they differ */
    uint64_t ends[]; /* where weights differ: the place behind each member's last one */
};

/* NULL for want of memory. free() destroys it. */
struct shares *shares_create(const struct ring_member *members, size_t n);
/* place: 0 … total - 1. */
uint32_t shares_owner(const struct shares *shares, uint64_t place);
size_t shares_bytes(const struct shares *shares);

#endif
