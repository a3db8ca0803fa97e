/*
 * The route: a tree of nodes over the pools. It turns a request into a plan; where one call is not all there is to do, the
 * plan is a run (run.h). Pure: it opens nothing, and can be printed to explain where a key goes.
 */
#ifndef RINGSIDE_ROUTING_ROUTE_H
#define RINGSIDE_ROUTING_ROUTE_H

#include "base/counter.h"
#include "base/slab.h"
#include "base/slice.h"
#include "base/text.h"
#include "routing/ahead.h"
#include "routing/pool.h"
#include "routing/spec.h"
#include "wire/traits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a node counts, by worker: methods->counters names them. */
#define ROUTE_COUNTERS 6

struct route_node;

struct route {
    struct route_node *root;
    const struct pool *pool;   /* the root, where it is a pool: the common case; else NULL */
    struct route_node **nodes; /* all, by id: depth first */
    size_t node_count;
    const struct pool **pools; /* those that can be reached, each once */
    size_t pool_count;
    bool is_hashed_ahead; /* some pool's ring takes hashes made ahead */
};

/* What a node keeps for one worker: for its own use, all zero at first. */
struct route_state {
    uint64_t words[4];
};

/* A worker's side of a route: alive as long as a request may use the route. One thread. */
struct route_worker {
    const struct route *route;
    struct upstream **upstreams; /* by server slot; NULL: no loads are known */
    struct route_state *states;  /* by node id */
    struct slab frames, texts;   /* of runs */
    uint64_t random;             /* xorshift state, never 0 */
    uint64_t now_us;             /* the loop's clock; to be set before each use */
    uint64_t unix_us;            /* real time, for trying out another moment; 0: the clock says */
    unsigned index;              /* of the worker */
    bool dry;                    /* nothing is sent: limits let everything through */
    struct ahead ahead;          /* hashes of keys that are about to be asked for; to be emptied when they were */
};

/* upstreams may be NULL, and may be set later. false: memory is out. */
bool route_worker_init(struct route_worker *worker, const struct route *route, unsigned index);
void route_worker_fini(struct route_worker *worker);

/* The counters of nodes, by path, that live longer than a configuration. */
struct route_counters {
    counter (*of_worker)[ROUTE_COUNTERS]; /* by worker */
};

/* Makes a node's counters, or finds those of an earlier configuration. NULL when memory is out. */
typedef struct route_counters *route_counters_fn(void *context, const char *path);

/*
 * Makes the tree. The spec and the pools, which stand in the configuration's order, must outlive it. name: of the route in
 * texts, the root's path. NULL with *error_out a static text.
 */
struct route *route_create(const struct route_spec *spec, const struct pool *pools, route_counters_fn *counters,
                           void *context, const char **error_out);
void route_destroy(struct route **route);

/*
 * Where a request goes first: a pool and its server, and which outcomes of that call are not the last word (plan.watch).
 * PLAN_RUN: more is to be done than one call; the run goes on from plan.choices. key: decoded.
 */
struct plan route_resolve(struct route_worker *worker, const struct request_traits *traits, enum verb verb,
                          struct slice key);

static inline struct plan route_plan(struct route_worker *worker, const struct request_traits *traits, enum verb verb,
                                     struct slice key)
{
    const struct pool *pool = worker->route->pool;
    return __builtin_expect(pool != NULL, 1) ? pool_plan_ahead(pool, key, &worker->ahead)
                                             : route_resolve(worker, traits, verb, key);
}

/* Appends the paths that the key can take, one a line: route, pool, server, hash, point. */
void route_explain(const struct route *route, struct slice key, struct text *text);

/*
 * The server that a read of the key goes to first, as all servers stand now: for comparing routes. NULL: none. The worker
 * is `dry`.
 */
struct server *route_owner(struct route_worker *worker, struct slice key);

/* A share of the keys, the same at every place and time: hash of the key under that salt, in [0, 2^32). */
uint32_t route_share_of(struct slice key, uint32_t salt);

/* The next pseudo-random number. */
static inline uint64_t route_random(struct route_worker *worker)
{
    uint64_t x = worker->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return worker->random = x;
}

#endif
