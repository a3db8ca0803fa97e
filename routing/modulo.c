/*
 * Owns: `modulo`: a server stands `weight` times in the list of servers, in the order of the configuration; the hash
 * modulo the length of the list is the place.
 *
 *   servers a (weight 2), b, c      list  a a b c      hash 4711 -> place 4711 % 4 = 3 -> c
 *
 * Source: twemproxy's `modula`. libmemcached's MODULA is the same with all weights 1: it ignores weights.
 * Nearly all keys move when a server comes or goes. Passing over hashes again, and moves only the keys of the server.
 *
 * Does not do: anything by name: the order of the servers is the placement.
 */
#include "routing/distribution.h"
#include "routing/shares.h"

#include <stdlib.h>

static void *modulo_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    (void)hash;
    struct shares *shares = shares_create(members, n);
    if (shares == NULL) {
        *error_out = distribution_no_memory;
    } else if (shares->total > UINT32_MAX) {
        *error_out = "the weights of a modulo distribution add up to more than 4294967295";
        free(shares);
        shares = NULL;
    }
    return shares;
}

static uint32_t modulo_locate(const void *state, uint32_t hash)
{
    const struct shares *shares = state;
    return shares_owner(shares, hash % shares->total);
}

static uint32_t modulo_pass_over(const void *state, uint32_t hash, const struct ring_filter *filter)
{
    return distribution_try_again(modulo_locate, state, hash, filter);
}

static void modulo_explain(const void *state, uint32_t hash, struct ring_spot *spot_out)
{
    const struct shares *shares = state;
    spot_out->server = modulo_locate(state, hash);
    spot_out->index = hash % shares->total;
    spot_out->point = (uint32_t)spot_out->index;
}

static size_t modulo_bytes(const void *state)
{
    return shares_bytes(state);
}

static size_t modulo_points(const void *state)
{
    (void)state;
    return 0;
}

const struct distribution distribution_modulo = {
    .default_hash = "one_at_a_time",
    .create = modulo_create,
    .destroy = free,
    .locate = modulo_locate,
    .pass_over = modulo_pass_over,
    .explain = modulo_explain,
    .bytes = modulo_bytes,
    .points = modulo_points,
};
