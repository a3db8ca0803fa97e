/*
 * A pool as one configuration sees it: its servers, the ring over them, and its policies. Immutable, shared by all
 * workers; the servers it points to outlive it.
 */
#ifndef RINGSIDE_ROUTING_POOL_H
#define RINGSIDE_ROUTING_POOL_H

#include "base/slice.h"
#include "pool/health.h"
#include "pool/server.h"
#include "pool/upstream.h"
#include "routing/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
    const char *name;
    struct ring *ring;
    struct server **servers; /* in the order of the configuration */
    size_t server_count;
    char hash_tag[2];
    bool moves_on;        /* on_down: next */
    bool misses_on_error; /* on_error: miss */
    struct health *health;
    struct upstream_settings settings;
};

enum plan_outcome {
    PLAN_SEND,
    PLAN_DOWN,      /* the key's server is down, and keys do not move */
    PLAN_NO_SERVER, /* every server is down */
    PLAN_RUN,       /* more is to be done than one call: see run.h */
};

/* Decisions that a route took by chance, load or time, from the root on: so that they are taken once. */
#define ROUTE_CHOICES_MAX 7
struct route_choices {
    uint8_t count;
    uint8_t at[ROUTE_CHOICES_MAX];
};

/* What is to be done with a request: data, made without a socket. */
struct plan {
    enum plan_outcome outcome;
    const struct pool *pool;
    struct server *server; /* NULL with PLAN_NO_SERVER and PLAN_RUN */
    uint32_t watch;        /* set of 1 << enum outcome_kind: with these the route has not had its last word */
    struct route_choices choices;
    bool is_copy; /* the server is one of a replica that is not the first: its CAS numbers name nothing */
};

/* Where a key goes now: its server on the ring, or, when that is down, as the pool's policy says. */
struct plan pool_plan(const struct pool *pool, struct slice key);

/* The same with a hash made ahead, if there is one for the key. */
struct plan pool_plan_ahead(const struct pool *pool, struct slice key, struct ahead *ahead);

/* The same for n keys at once, at most POOL_KEYS_MAX. The keys are replaced by what is hashed of them. */
#define POOL_KEYS_MAX 128
void pool_plan_many(const struct pool *pool, struct slice *keys, size_t n, struct plan *plans_out);

/* Where a key goes when all servers are up, and why. */
struct ring_spot pool_explain(const struct pool *pool, struct slice key);

#endif
