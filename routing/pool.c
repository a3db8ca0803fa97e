/*
 * Owns the step from a key to a server: hash tag, ring, health. It sends nothing.
 */
#include "routing/pool.h"

#include "routing/tag.h"

#include <assert.h>

static bool is_usable(const void *context, uint32_t server)
{
    const struct pool *pool = context;
    return !server_is_down(pool->servers[server]);
}

/* index: the key's server, the hash tag being applied. */
static struct plan plan_for(const struct pool *pool, struct slice key, uint32_t index)
{
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

struct plan pool_plan(const struct pool *pool, struct slice key)
{
    key = tag_apply(pool->hash_tag, key);
    return plan_for(pool, key, ring_locate(pool->ring, key.data, key.len));
}

struct plan pool_plan_ahead(const struct pool *pool, struct slice key, struct ahead *ahead)
{
    key = tag_apply(pool->hash_tag, key);
    return plan_for(pool, key, ring_locate_ahead(pool->ring, key, ahead));
}

void pool_plan_many(const struct pool *pool, struct slice *keys, size_t n, struct plan *plans_out)
{
    uint32_t indexes[POOL_KEYS_MAX];
    assert(n <= POOL_KEYS_MAX);
    for (size_t i = 0; i < n; i++)
        keys[i] = tag_apply(pool->hash_tag, keys[i]);
    ring_locate_many(pool->ring, keys, n, indexes);
    for (size_t i = 0; i < n; i++)
        plans_out[i] = plan_for(pool, keys[i], indexes[i]);
}

struct ring_spot pool_explain(const struct pool *pool, struct slice key)
{
    key = tag_apply(pool->hash_tag, key);
    return ring_explain(pool->ring, key.data, key.len);
}
