/*
 * Owns the walk through the route, for requests (inline in route.h) and for people.
 */
#include "routing/route.h"

const struct pool *route_reaches(const struct route *route, size_t i)
{
    return i == 0 ? route->pool : NULL;
}

void route_explain(const struct route *route, struct slice key, struct text *text)
{
    const struct pool *pool = route->pool;
    struct ring_spot spot = pool_explain(pool, key);
    text_append_slice(text, key);
    text_appendf(text, ": route %s -> pool %s -> server %s (hash %u, point %u", pool->name, pool->name,
                 pool->servers[spot.server]->identity.label, spot.hash, spot.point);
    if (ring_points(pool->ring) > 0)
        text_appendf(text, ", position %llu of %zu", (unsigned long long)spot.index, ring_points(pool->ring));
    text_append_string(text, ")\n");
}
