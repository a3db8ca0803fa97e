/*
 * Owns the step from a key to a server: hash tag, ring, health. It sends nothing.
 */
#include "routing/pool.h"

#include "routing/tag.h"

static bool is_usable(const void *context, uint32_t server)
{
    const struct pool *pool = context;
    return !server_is_down(pool->servers[server]);
}

struct plan pool_plan(const struct pool *pool, struct slice key)
{
    key = tag_apply(pool->hash_tag, key);
    uint32_t index = ring_locate(pool->ring, key.data, key.len);
    struct server *server = pool->servers[index];
    if (__builtin_expect(!server_is_down(server), 1))
        return (struct plan){.outcome = PLAN_SEND, .pool = pool, .server = server};
    if (!pool->moves_on)
        return (struct plan){.outcome = PLAN_DOWN, .pool = pool, .server = server};
    index = ring_locate_usable(pool->ring, key.data, key.len, is_usable, pool);
    if (index == RING_NONE)
        return (struct plan){.outcome = PLAN_NO_SERVER, .pool = pool};
    return (struct plan){.outcome = PLAN_SEND, .pool = pool, .server = pool->servers[index]};
}

struct ring_spot pool_explain(const struct pool *pool, struct slice key)
{
    key = tag_apply(pool->hash_tag, key);
    return ring_explain(pool->ring, key.data, key.len);
}
