/*
 * A distribution: how a hash finds its server. Internal to routing/. One file for each, behind this table of methods;
 * ring.c is their only caller.
 *
 * A distribution's state is immutable after create and read by all workers. Its methods see the key as its 32-bit hash.
 */
#ifndef RINGSIDE_ROUTING_DISTRIBUTION_H
#define RINGSIDE_ROUTING_DISTRIBUTION_H

#include "routing/hash.h"
#include "routing/ring.h"

#include <stddef.h>
#include <stdint.h>

/* What a lookup may choose from: the arguments of ring_locate_usable. */
struct ring_filter {
    ring_usable_fn *usable;
    const void *context;
};

static inline bool ring_filter_passes(const struct ring_filter *filter, uint32_t server)
{
    return filter->usable(filter->context, server);
}

struct distribution {
    const char *default_hash; /* a name that hash_by_name knows */

    /* The state over n >= 1 members with good weights, or NULL and *error_out. hash: the ring's own. */
    void *(*create)(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out);
    void (*destroy)(void *state);

    uint32_t (*locate)(const void *state, uint32_t hash);
    /*
     * Called when locate's server is not usable, and another one is. The next choice for this hash that is usable, or
     * RING_NONE when this hash never meets a usable one.
     */
    uint32_t (*pass_over)(const void *state, uint32_t hash, const struct ring_filter *filter);
    /* Fills server, point and index. */
    void (*explain)(const void *state, uint32_t hash, struct ring_spot *spot_out);

    size_t (*bytes)(const void *state);
    size_t (*points)(const void *state);
};

/* Every distribution, in the order of the documentation: its name in the configuration, its identifier. */
#define DISTRIBUTION_TABLE(row)                                                                                      \
    row("ketama", distribution_ketama) row("ketama-libmemcached", distribution_ketama_libmemcached)                  \
        row("ketama-spy", distribution_ketama_spy) row("modulo", distribution_modulo) row("jump", distribution_jump) \
            row("rendezvous", distribution_rendezvous) row("maglev", distribution_maglev)

#define DISTRIBUTION_DECLARE(name, identifier) extern const struct distribution identifier;
DISTRIBUTION_TABLE(DISTRIBUTION_DECLARE)

/* What create says when malloc fails. */
extern const char distribution_no_memory[];

/*
 * Mixes 64 bits; a bijection. Source: the finalizer of SplitMix64 (Steele, Lea, Flood 2014), which is David Stafford's
 * variant 13 of MurmurHash3's.
 */
static inline uint64_t distribution_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The hash of the attempt-th try, attempt >= 1, for a distribution that passes over a server by hashing again. */
static inline uint32_t distribution_rehash(uint32_t hash, uint32_t attempt)
{
    return (uint32_t)(distribution_mix((uint64_t)attempt << 32 | hash) >> 32);
}

/*
 * pass_over by hashing again: locate of rehash 1, 2, 3 … until a usable server comes. The keys of a server that is
 * passed over spread over all others by weight. After DISTRIBUTION_TRIES it gives up with RING_NONE.
 */
#define DISTRIBUTION_TRIES 128
uint32_t distribution_try_again(uint32_t (*locate)(const void *state, uint32_t hash), const void *state, uint32_t hash,
                                const struct ring_filter *filter);

/*
 * A member's identity, for distributions that know servers by name: its name, or else its address as text (host:port,
 * [v6]:port, unix:path). 64 bits of XXH3 over that text, with a seed. Returns 0, or -1 for want of memory.
 */
int distribution_identity(const struct ring_member *member, uint64_t seed, uint64_t *identity_out);

#endif
