/*
 * Owns servers and healths across reloads. A slot is a small number that workers index their tables with; it is used
 * again when its server is gone.
 */
#include "config/registry.h"

#include <stdlib.h>
#include <string.h>

void registry_init(struct registry *registry, unsigned worker_count,
                   void (*on_down)(void *context, struct server *server),
                   void (*on_gone)(void *context, struct server *server), void *context)
{
    *registry = (struct registry){
        .worker_count = worker_count,
        .on_down = on_down,
        .on_gone = on_gone,
        .context = context,
    };
}

void registry_fini(struct registry *registry)
{
    for (size_t i = 0; i < registry->slot_count; i++)
        server_destroy(&registry->servers[i]);
    for (size_t i = 0; i < registry->health_count; i++)
        health_destroy(&registry->healths[i]);
    free(registry->servers);
    free(registry->healths);
}

struct health *registry_health(struct registry *registry, const char *pool)
{
    for (size_t i = 0; i < registry->health_count; i++) {
        if (strcmp(registry->healths[i]->pool, pool) == 0)
            return registry->healths[i];
    }
    struct health **healths = realloc(registry->healths, (registry->health_count + 1) * sizeof(struct health *));
    if (healths == NULL)
        return NULL;
    registry->healths = healths;
    struct health *health = health_create(pool, registry->on_down, registry->context);
    if (health != NULL)
        healths[registry->health_count++] = health;
    return health;
}

/* The lowest free slot; makes more if there is none. (size_t)-1 when memory is out. */
static size_t free_slot(struct registry *registry)
{
    for (size_t i = 0; i < registry->slot_count; i++) {
        if (registry->servers[i] == NULL)
            return i;
    }
    size_t count = registry->slot_count == 0 ? 16 : registry->slot_count * 2;
    struct server **servers = realloc(registry->servers, count * sizeof(struct server *));
    if (servers == NULL)
        return (size_t)-1;
    memset(servers + registry->slot_count, 0, (count - registry->slot_count) * sizeof(struct server *));
    size_t slot = registry->slot_count;
    registry->servers = servers;
    registry->slot_count = count;
    return slot;
}

struct server *registry_take(struct registry *registry, const struct server_identity *identity)
{
    for (size_t i = 0; i < registry->slot_count; i++) {
        struct server *server = registry->servers[i];
        if (server != NULL && server_is(server, identity)) {
            server->refs++;
            return server;
        }
    }
    struct health *health = registry_health(registry, identity->pool);
    size_t slot = free_slot(registry);
    if (health == NULL || slot == (size_t)-1)
        return NULL;
    registry->servers[slot] = server_create(identity, (uint32_t)slot, registry->worker_count, health);
    return registry->servers[slot];
}

void registry_give(struct registry *registry, struct server **server)
{
    struct server *s = *server;
    *server = NULL;
    if (s == NULL || --s->refs > 0)
        return;
    registry->servers[s->slot] = NULL;
    health_forget(s);
    registry->on_gone(registry->context, s);
    server_destroy(&s);
}
