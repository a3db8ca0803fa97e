/*
 * Owns servers, healths and route counters across reloads. A slot is a small number that workers index their tables
 * with; it is used again when its server is gone.
 *
 *     buckets[hash of identity] -> slot -> links[slot].next -> slot -> NO_SLOT
 *                                   |
 *                            servers[slot]
 *
 * Healths and route counters lie in sorted lists, and are searched by halving. TLS contexts are few: registry_tls.c.
 */
#include "config/registry.h"

#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define NO_SLOT SIZE_MAX
#define SLOTS_FIRST 16
#define CACHE_LINE 64

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

static void route_destroy_counters(struct registry_route *route)
{
    free(route->counters.of_worker);
    free(route->path);
    free(route);
}

void registry_fini(struct registry *registry)
{
    for (size_t i = 0; i < registry->slot_count; i++)
        server_destroy(&registry->servers[i]);
    for (size_t i = 0; i < registry->health_count; i++)
        health_destroy(&registry->healths[i]);
    for (size_t i = 0; i < registry->route_count; i++)
        route_destroy_counters(registry->routes[i]);
    for (size_t i = 0; i < registry->tls_count; i++)
        tls_context_unref(&registry->tls[i].context);
    free(registry->tls);
    free(registry->servers);
    free(registry->links);
    free(registry->buckets);
    free(registry->healths);
    free(registry->routes);
}

/* ---- sorted lists ---- */

/* The text that an item of a list is sorted by. */
typedef const char *name_of_fn(const void *item);

/* The place of name in the list, or where it belongs. */
static size_t find_place(void *const *items, size_t count, name_of_fn *name_of, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name_of(items[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void *find_item(void *const *items, size_t count, name_of_fn *name_of, const char *name)
{
    size_t place = find_place(items, count, name_of, name);
    return place < count && strcmp(name_of(items[place]), name) == 0 ? items[place] : NULL;
}

/* Makes room for one more at `place`. Gives the list, which may have moved; NULL, and it stays, when memory is out. */
static void *make_room(void *list, size_t count, size_t place)
{
    void **items = realloc(list, (count + 1) * sizeof *items);
    if (items != NULL)
        memmove(items + place + 1, items + place, (count - place) * sizeof *items);
    return items;
}

static const char *name_of_health(const void *item)
{
    return ((const struct health *)item)->pool;
}

static const char *name_of_route(const void *item)
{
    return ((const struct registry_route *)item)->path;
}

struct health *registry_health(struct registry *registry, const char *pool)
{
    void *const *items = (void *const *)registry->healths;
    struct health *health = find_item(items, registry->health_count, name_of_health, pool);
    if (health != NULL)
        return health;
    size_t place = find_place(items, registry->health_count, name_of_health, pool);
    health = health_create(pool, registry->on_down, registry->context);
    struct health **healths = health != NULL ? make_room(registry->healths, registry->health_count, place) : NULL;
    if (healths == NULL) {
        health_destroy(&health);
        return NULL;
    }
    registry->healths = healths;
    healths[place] = health;
    registry->health_count++;
    return health;
}

/* ---- route counters ---- */

static struct registry_route *route_create_counters(const char *path, unsigned worker_count)
{
    struct registry_route *route = calloc(1, sizeof *route);
    if (route == NULL)
        return NULL;
    size_t bytes = (worker_count + 1u) * sizeof *route->counters.of_worker;
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    route->path = strdup(path);
    route->counters.of_worker = aligned_alloc(CACHE_LINE, bytes);
    if (route->path == NULL || route->counters.of_worker == NULL) {
        route_destroy_counters(route);
        return NULL;
    }
    memset((void *)route->counters.of_worker, 0, bytes);
    return route;
}

struct route_counters *registry_route(void *context, const char *path)
{
    struct registry *registry = context;
    void *const *items = (void *const *)registry->routes;
    struct registry_route *route = find_item(items, registry->route_count, name_of_route, path);
    if (route != NULL)
        return &route->counters;
    size_t place = find_place(items, registry->route_count, name_of_route, path);
    route = route_create_counters(path, registry->worker_count);
    struct registry_route **routes = route != NULL ? make_room(registry->routes, registry->route_count, place) : NULL;
    if (routes == NULL) {
        if (route != NULL)
            route_destroy_counters(route);
        return NULL;
    }
    registry->routes = routes;
    routes[place] = route;
    registry->route_count++;
    return &route->counters;
}

/* ---- servers ---- */

static uint64_t hash_text(const char *text, uint64_t seed)
{
    return XXH3_64bits_withSeed(text, strlen(text), seed);
}

static uint64_t hash_identity(const struct server_identity *identity)
{
    uint64_t hash = hash_text(identity->pool, identity->port);
    return hash_text(identity->host, hash_text(identity->label, hash));
}

static size_t *bucket_of(const struct registry *registry, uint64_t hash)
{
    return &registry->buckets[hash & (registry->slot_count - 1)];
}

static void link_slot(struct registry *registry, size_t slot)
{
    size_t *bucket = bucket_of(registry, registry->links[slot].hash);
    registry->links[slot].next = *bucket;
    *bucket = slot;
}

static void unlink_slot(struct registry *registry, size_t slot)
{
    size_t *at = bucket_of(registry, registry->links[slot].hash);
    while (*at != slot)
        at = &registry->links[*at].next;
    *at = registry->links[slot].next;
}

/* Twice the slots, and as many buckets. false: memory is out, and nothing has changed. */
static bool grow(struct registry *registry)
{
    size_t old = registry->slot_count, count = old == 0 ? SLOTS_FIRST : old * 2;
    size_t *buckets = malloc(count * sizeof *buckets);
    struct registry_link *links = realloc(registry->links, count * sizeof *links);
    registry->links = links != NULL ? links : registry->links;
    struct server **servers = realloc(registry->servers, count * sizeof(struct server *));
    registry->servers = servers != NULL ? servers : registry->servers;
    if (buckets == NULL || links == NULL || servers == NULL) {
        free(buckets);
        return false;
    }
    memset(servers + old, 0, (count - old) * sizeof(struct server *));
    free(registry->buckets);
    registry->buckets = buckets;
    registry->slot_count = count;
    for (size_t i = 0; i < count; i++)
        buckets[i] = NO_SLOT;
    for (size_t slot = 0; slot < old; slot++) {
        if (servers[slot] != NULL)
            link_slot(registry, slot);
    }
    return true;
}

/* The lowest free slot; makes more if there is none. NO_SLOT when memory is out. */
static size_t free_slot(struct registry *registry)
{
    while (registry->free_from < registry->slot_count && registry->servers[registry->free_from] != NULL)
        registry->free_from++;
    if (registry->free_from == registry->slot_count && !grow(registry))
        return NO_SLOT;
    return registry->free_from;
}

static struct server *find_server(const struct registry *registry, const struct server_identity *identity,
                                  uint64_t hash)
{
    size_t slot = registry->slot_count > 0 ? *bucket_of(registry, hash) : NO_SLOT;
    while (slot != NO_SLOT && !server_is(registry->servers[slot], identity))
        slot = registry->links[slot].next;
    return slot != NO_SLOT ? registry->servers[slot] : NULL;
}

struct server *registry_take(struct registry *registry, const struct server_identity *identity)
{
    uint64_t hash = hash_identity(identity);
    struct server *server = find_server(registry, identity, hash);
    if (server != NULL) {
        server->refs++;
        return server;
    }
    struct health *health = registry_health(registry, identity->pool);
    size_t slot = health != NULL ? free_slot(registry) : NO_SLOT;
    if (slot == NO_SLOT)
        return NULL;
    server = server_create(identity, (uint32_t)slot, registry->worker_count, health);
    if (server == NULL)
        return NULL;
    registry->servers[slot] = server;
    registry->links[slot].hash = hash;
    link_slot(registry, slot);
    return server;
}

void registry_give(struct registry *registry, struct server **server)
{
    struct server *s = *server;
    *server = NULL;
    if (s == NULL || --s->refs > 0)
        return;
    unlink_slot(registry, s->slot);
    registry->servers[s->slot] = NULL;
    if (s->slot < registry->free_from)
        registry->free_from = s->slot;
    health_forget(s);
    registry->on_gone(registry->context, s);
    server_destroy(&s);
}
