/*
 * The route: from a request to a plan. Pure: it opens nothing, and can be printed to explain where a key goes.
 */
#ifndef RINGSIDE_ROUTING_ROUTE_H
#define RINGSIDE_ROUTING_ROUTE_H

#include "base/slice.h"
#include "base/text.h"
#include "routing/pool.h"
#include "wire/verb.h"

/* The tree's root. Its one kind of node today is the pool. */
struct route {
    const struct pool *pool;
};

static inline struct plan route_plan(const struct route *route, enum verb verb, struct slice key)
{
    (void)verb;
    return pool_plan(route->pool, key);
}

/* The pools that a route can reach: the i-th, or NULL beyond the last. */
const struct pool *route_reaches(const struct route *route, size_t i);

/* Appends to text the path that key takes: route, pool, server, hash, point. */
void route_explain(const struct route *route, struct slice key, struct text *text);

#endif
