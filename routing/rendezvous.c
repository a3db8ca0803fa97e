/*
 * Owns: `rendezvous`: every server draws a number from its identity and the key, and the luckiest one owns the key.
 *
 *   u(server, key)  64 bits, as if at random           L(u) = -log2(u / 2^64)            the least  L / weight  wins
 *
 * With equal weights that is simply the greatest u. L / weight is an exponential clock that ticks `weight` times as
 * fast: the chance to be first is weight / sum of weights, and a server that leaves, comes or changes its weight moves
 * only keys from or to itself. Servers are known by their identity (distribution.h); their order does not matter.
 *
 * L is fixed point, from a table that integers made: the same on every machine and C library. It takes two steps, both
 * monotone: the place of the top bit, and a straight line between neighbours of 257 table entries. Its slope is right
 * to 0.2 %, and so are the shares of weights. Where two L tie, u decides: equal weights of any size place alike.
 *
 * Sources: Thaler, Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; Schindelhauer, Schomaker,
 * "Weighted Distributed Hash Tables", 2005 (the logarithmic method).
 *
 * Does not do: large rings fast. A lookup looks at every server.
 */
#include "routing/distribution.h"

#include <stdlib.h>

#define LOG_BITS 37 /* of the fraction of L; L <= 64 takes 44 bits, L * weight 64 */
#define LOG_STEPS 256

struct candidate {
    uint64_t identity;
    uint32_t weight;
};

struct rendezvous {
    size_t n;
    uint64_t *logs; /* LOG_STEPS + 1: L of (256 + i) / 512; NULL with equal weights */
    struct candidate candidates[];
};

/* A server's draw for a key, and what it is worth. */
struct draw {
    uint64_t u;
    uint64_t log; /* L(u); with equal weights unused */
    uint32_t weight;
    uint32_t server;
};

/*
 * log2 of y / 2^62, 1 <= y / 2^62 < 2, to LOG_BITS bits. Squaring a number doubles its logarithm: each time it passes
 * 2, the next bit of the logarithm is 1.
 */
static uint64_t log2_fraction(uint64_t y)
{
    uint64_t log = 0;
    for (int bit = 0; bit < LOG_BITS; bit++) {
        y = (uint64_t)((unsigned __int128)y * y >> 62);
        log <<= 1;
        if (y >> 63 != 0) {
            log |= 1;
            y >>= 1;
        }
    }
    return log;
}

static uint64_t *make_logs(void)
{
    uint64_t *logs = malloc((LOG_STEPS + 1) * sizeof *logs);
    if (logs == NULL)
        return NULL;
    for (uint64_t i = 0; i < LOG_STEPS; i++)
        logs[i] = ((uint64_t)1 << LOG_BITS) - log2_fraction((LOG_STEPS + i) << (62 - 8));
    logs[LOG_STEPS] = 0;
    return logs;
}

/* L(u): never grows with u. */
static uint64_t log_of(const uint64_t *logs, uint64_t u)
{
    unsigned zeros = (unsigned)__builtin_clzll(u | 1);
    uint64_t mantissa = (u | 1) << zeros;
    size_t step = mantissa >> 55 & (LOG_STEPS - 1);
    uint64_t rest = mantissa << 9 >> 30; /* 34 bits below the step; a drop is under 2^30 */
    uint64_t drop = (logs[step] - logs[step + 1]) * rest >> 34;
    return ((uint64_t)zeros << LOG_BITS) + logs[step] - drop;
}

static uint64_t draw_number(const struct candidate *candidate, uint32_t hash)
{
    return distribution_mix(candidate->identity ^ hash * (uint64_t)0x9e3779b97f4a7c15u);
}

static bool draw_beats(const struct draw *a, const struct draw *b)
{
    uint64_t a_cost = a->log * b->weight, b_cost = b->log * a->weight;
    return a_cost != b_cost ? a_cost < b_cost : a->u > b->u;
}

/* Equal weights, every server. */
static struct draw best_equal(const struct rendezvous *rendezvous, uint32_t hash)
{
    struct draw best = {.u = draw_number(&rendezvous->candidates[0], hash)};
    for (size_t i = 1; i < rendezvous->n; i++) {
        uint64_t u = draw_number(&rendezvous->candidates[i], hash);
        best.server = u > best.u ? (uint32_t)i : best.server;
        best.u = u > best.u ? u : best.u;
    }
    return best;
}

static struct draw draw_make(const struct rendezvous *rendezvous, size_t i, uint32_t hash)
{
    const struct candidate *candidate = &rendezvous->candidates[i];
    struct draw draw = {.u = draw_number(candidate, hash), .weight = candidate->weight, .server = (uint32_t)i};
    if (rendezvous->logs != NULL)
        draw.log = log_of(rendezvous->logs, draw.u);
    return draw;
}

/* The best of those that pass; filter NULL: of all. server is RING_NONE when none passes. */
static struct draw best_of(const struct rendezvous *rendezvous, uint32_t hash, const struct ring_filter *filter)
{
    struct draw best = {.server = RING_NONE};
    for (size_t i = 0; i < rendezvous->n; i++) {
        if (filter != NULL && !ring_filter_passes(filter, (uint32_t)i))
            continue;
        struct draw draw = draw_make(rendezvous, i, hash);
        if (best.server == RING_NONE || draw_beats(&draw, &best))
            best = draw;
    }
    return best;
}

static struct draw best_draw(const struct rendezvous *rendezvous, uint32_t hash)
{
    return rendezvous->logs == NULL ? best_equal(rendezvous, hash) : best_of(rendezvous, hash, NULL);
}

static void rendezvous_destroy(void *state)
{
    struct rendezvous *rendezvous = state;
    free(rendezvous->logs);
    free(rendezvous);
}

static int fill(struct rendezvous *rendezvous, const struct ring_member *members)
{
    bool equal = true;
    for (size_t i = 0; i < rendezvous->n; i++) {
        rendezvous->candidates[i].weight = members[i].weight;
        equal = equal && members[i].weight == members[0].weight;
        if (distribution_identity(&members[i], 0, &rendezvous->candidates[i].identity) != 0)
            return -1;
    }
    if (!equal)
        rendezvous->logs = make_logs();
    return equal || rendezvous->logs != NULL ? 0 : -1;
}

static void *rendezvous_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    (void)hash;
    struct rendezvous *rendezvous = calloc(1, sizeof *rendezvous + n * sizeof rendezvous->candidates[0]);
    if (rendezvous != NULL) {
        rendezvous->n = n;
        if (fill(rendezvous, members) == 0)
            return rendezvous;
        rendezvous_destroy(rendezvous);
    }
    *error_out = distribution_no_memory;
    return NULL;
}

static uint32_t rendezvous_locate(const void *state, uint32_t hash)
{
    return best_draw(state, hash).server;
}

static uint32_t rendezvous_pass_over(const void *state, uint32_t hash, const struct ring_filter *filter)
{
    return best_of(state, hash, filter).server;
}

/* The score that is shown: the upper half of the winner's number. */
static void rendezvous_explain(const void *state, uint32_t hash, struct ring_spot *spot_out)
{
    struct draw best = best_draw(state, hash);
    spot_out->server = best.server;
    spot_out->point = (uint32_t)(best.u >> 32);
    spot_out->index = best.server;
}

static size_t rendezvous_bytes(const void *state)
{
    const struct rendezvous *rendezvous = state;
    size_t logs = rendezvous->logs != NULL ? (LOG_STEPS + 1) * sizeof rendezvous->logs[0] : 0;
    return sizeof *rendezvous + rendezvous->n * sizeof rendezvous->candidates[0] + logs;
}

static size_t rendezvous_points(const void *state)
{
    (void)state;
    return 0;
}

const struct distribution distribution_rendezvous = {
    .default_hash = "xxh3",
    .create = rendezvous_create,
    .destroy = rendezvous_destroy,
    .locate = rendezvous_locate,
    .pass_over = rendezvous_pass_over,
    .explain = rendezvous_explain,
    .bytes = rendezvous_bytes,
    .points = rendezvous_points,
};
