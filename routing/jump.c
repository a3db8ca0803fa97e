/*
 * Owns: `jump`: jump consistent hash over buckets 0 … B-1. A server has `weight` buckets, one after the other, in the
 * order of the configuration.
 *
 *   servers a (weight 2), b, c      buckets  0 1 | 2 | 3
 *                                            a a   b   c        a new server at the end only takes keys, 1/(B+1) of
 * them
 *
 * No table: a lookup takes about ln B steps of arithmetic, and the balance is as good as the hash.
 * Servers are known by their place: add at the end, remove at the end, change the weight of the last one. Any other
 * change shifts the buckets behind it, and moves keys that did not need to.
 *
 * Does not do: removal from the middle. A server that is down keeps its place: passing over hashes again.
 */
#include "routing/jump.h"

#include "routing/distribution.h"
#include "routing/shares.h"

#include <stdlib.h>

uint64_t jump_bucket(uint64_t key, uint64_t buckets)
{
    for (uint64_t bucket = 0;;) {
        key = key * 2862933555777941757u + 1;
        double next = (double)(bucket + 1) * ((double)(1u << 31) / (double)((key >> 33) + 1));
        if (next >= (double)buckets)
            return bucket;
        bucket = (uint64_t)next;
    }
}

static void *jump_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    (void)hash;
    struct shares *shares = shares_create(members, n);
    if (shares == NULL)
        *error_out = distribution_no_memory;
    return shares;
}

static uint64_t bucket_of(const struct shares *shares, uint32_t hash)
{
    return jump_bucket(distribution_mix(hash), shares->total);
}

static uint32_t jump_locate(const void *state, uint32_t hash)
{
    const struct shares *shares = state;
    return shares_owner(shares, bucket_of(shares, hash));
}

static uint32_t jump_pass_over(const void *state, uint32_t hash, const struct ring_filter *filter)
{
    return distribution_try_again(jump_locate, state, hash, filter);
}

static void jump_explain(const void *state, uint32_t hash, struct ring_spot *spot_out)
{
    const struct shares *shares = state;
    spot_out->index = bucket_of(shares, hash);
    spot_out->point = (uint32_t)spot_out->index;
    spot_out->server = shares_owner(shares, spot_out->index);
}

static size_t jump_bytes(const void *state)
{
    return shares_bytes(state);
}

static size_t jump_points(const void *state)
{
    (void)state;
    return 0;
}

const struct distribution distribution_jump = {
    .default_hash = "xxh3",
    .create = jump_create,
    .destroy = free,
    .locate = jump_locate,
    .pass_over = jump_pass_over,
    .explain = jump_explain,
    .bytes = jump_bytes,
    .points = jump_points,
};
