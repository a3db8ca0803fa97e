/*
 * Owns the step from the model to what requests use. What is a pool here is plain data: publishing it to the workers is
 * proxy/control.c's affair. What stands in other files than the configuration is read by security.c.
 */
#include "config/snapshot.h"

#include "config/security.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOVED_SAMPLE 20000

static bool take_servers(struct pool *pool, const struct config_pool *from, struct registry *registry)
{
    pool->servers = calloc(from->server_count, sizeof(struct server *));
    if (pool->servers == NULL)
        return false;
    pool->server_count = from->server_count;
    for (size_t i = 0; i < from->server_count; i++) {
        const struct config_server *server = &from->servers[i];
        struct server_identity identity = {
            .pool = from->name,
            .label = server->label,
            .host = server->address.host,
            .port = server->address.port,
            .is_unix = server->address.is_unix,
        };
        pool->servers[i] = registry_take(registry, &identity);
        if (pool->servers[i] == NULL)
            return false;
    }
    return true;
}

static struct ring *make_ring(const struct config_pool *from, const char **error_out)
{
    struct ring_member *members = calloc(from->server_count, sizeof *members);
    if (members == NULL) {
        *error_out = "out of memory";
        return NULL;
    }
    for (size_t i = 0; i < from->server_count; i++) {
        const struct config_server *server = &from->servers[i];
        members[i] = (struct ring_member){
            .name = server->name,
            .host = server->address.host,
            .port = server->address.port,
            .weight = server->weight,
        };
    }
    struct ring *ring =
        ring_create(from->distribution, hash_by_name(from->hash), members, from->server_count, error_out);
    free(members);
    return ring;
}

static bool make_pool(struct pool *pool, const struct config_pool *from, struct registry *registry,
                      const char **error_out)
{
    pool->name = from->name;
    memcpy(pool->hash_tag, from->hash_tag, sizeof pool->hash_tag);
    pool->moves_on = from->on_down == CONFIG_ON_DOWN_NEXT;
    pool->misses_on_error = from->on_error == CONFIG_ON_ERROR_MISS;
    pool->settings = (struct upstream_settings){
        .connections = from->connections,
        .connect_timeout_ms = from->connect_timeout_ms,
        .timeout_ms = from->timeout_ms,
        .failures = from->health_failures,
        .binary = from->protocol == CONFIG_PROTOCOL_BINARY,
    };
    *error_out = "out of memory";
    pool->health = registry_health(registry, from->name);
    if (pool->health == NULL || !take_servers(pool, from, registry))
        return false;
    pool->ring = make_ring(from, error_out);
    return pool->ring != NULL;
}

/* false with *error_out: the first error, and how many there are. */
static bool load_security(struct snapshot *snapshot, const struct config *config, struct registry *registry,
                          const char **error_out)
{
    struct config_errors errors;
    config_errors_init(&errors);
    bool loaded = security_load(snapshot, config, registry, &errors);
    config_errors_sort(&errors);
    if (errors.count > 0) {
        const struct config_error *first = &errors.items[0];
        size_t size = sizeof registry->refusal;
        int len = snprintf(registry->refusal, size, "line %d, column %d: %s", first->line, first->column, first->text);
        if (errors.count > 1 && len >= 0 && (size_t)len < size)
            (void)snprintf(registry->refusal + len, size - (size_t)len, " (%zu errors in all)", errors.count);
        *error_out = registry->refusal;
    }
    config_errors_fini(&errors);
    return loaded;
}

/* false with *error_out when a pool or the route cannot be made; what was made is in the snapshot. */
static bool fill(struct snapshot *snapshot, const struct config *config, struct registry *registry,
                 const char **error_out)
{
    snapshot->pools = calloc(config->pool_count, sizeof *snapshot->pools);
    if (snapshot->pools == NULL)
        return false;
    for (size_t i = 0; i < config->pool_count; i++) {
        snapshot->pool_count = i + 1;
        if (!make_pool(&snapshot->pools[i], &config->pools[i], registry, error_out))
            return false;
    }
    snapshot->route = route_create(config->route, snapshot->pools, registry_route, registry, error_out);
    if (snapshot->route == NULL)
        return false;
    *error_out = "out of memory";
    if (!load_security(snapshot, config, registry, error_out))
        return false;
    for (size_t i = 0; i < config->pool_count; i++) {
        snapshot->pools[i].settings.tls = snapshot->pool_tls[i];
        snapshot->pools[i].settings.auth = snapshot->pool_auth[i];
    }
    /* Nothing else can refuse now. */
    *error_out = registry->refusal;
    return registry_tls_refresh(registry, registry->refusal);
}

struct snapshot *snapshot_try(struct config **config, struct registry *registry, uint64_t generation,
                              const char **error_out)
{
    *error_out = "out of memory";
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return NULL;
    snapshot->generation = generation;
    if (!fill(snapshot, *config, registry, error_out)) {
        snapshot_destroy(&snapshot, registry);
        return NULL;
    }
    snapshot->config = *config;
    *config = NULL;
    return snapshot;
}

struct snapshot *snapshot_create(struct config **config, struct registry *registry, uint64_t generation,
                                 const char **error_out)
{
    struct snapshot *snapshot = snapshot_try(config, registry, generation, error_out);
    config_destroy(config);
    return snapshot;
}

/* Reads it all once more, over a registry of its own, for the errors. */
static void explain_security(const struct config *config, struct config_errors *errors)
{
    struct registry registry;
    struct snapshot snapshot = {0};
    registry_init(&registry, 1, NULL, NULL, NULL);
    (void)security_load(&snapshot, config, &registry, errors);
    security_unload(&snapshot, &registry);
    registry_fini(&registry);
}

void snapshot_explain_refusal(const struct config *config, const struct registry *registry,
                              struct config_errors *errors)
{
    size_t before = errors->count;
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct config_pool *pool = &config->pools[i];
        const char *error;
        struct ring *ring = make_ring(pool, &error);
        if (ring == NULL) {
            config_errors_add(errors, pool->line, pool->column, "pool `%s`: %s", pool->name, error);
        }
        ring_destroy(&ring);
    }
    if (!registry->is_for_routes)
        explain_security(config, errors);
    config_errors_sort(errors);
    if (errors->count == before)
        config_errors_no_memory(errors);
}

void snapshot_destroy(struct snapshot **snapshot, struct registry *registry)
{
    struct snapshot *s = *snapshot;
    *snapshot = NULL;
    if (s == NULL)
        return;
    route_destroy(&s->route);
    for (size_t i = 0; i < s->pool_count; i++) {
        struct pool *pool = &s->pools[i];
        ring_destroy(&pool->ring);
        for (size_t k = 0; k < pool->server_count; k++)
            registry_give(registry, &pool->servers[k]);
        free(pool->servers);
    }
    free(s->pools);
    security_unload(s, registry);
    config_destroy(&s->config);
    free(s);
}

void snapshot_apply_health(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->pool_count; i++) {
        const struct config_pool *from = &snapshot->config->pools[i];
        struct health_settings settings = {
            .failures = from->health_failures,
            .probe_ms = from->health_probe_ms,
            .probe_max_ms = from->health_probe_max_ms,
            .panic_percent = from->health_panic_percent,
            .timeout_ms = from->connect_timeout_ms + from->timeout_ms,
            .tls = snapshot->pool_tls[i],
            .auth = snapshot->pool_auth[i],
            .binary = from->protocol == CONFIG_PROTOCOL_BINARY,
            .flush_on_return = from->on_return == CONFIG_ON_RETURN_FLUSH,
        };
        health_configure(snapshot->pools[i].health, &settings, (uint32_t)from->server_count);
    }
}

bool snapshot_dry_worker(const struct snapshot *snapshot, uint64_t unix_us, struct route_worker *worker_out)
{
    /* Every server knows how many workers there are; the counters behind theirs are spare. */
    unsigned spare = snapshot->pools[0].servers[0]->worker_count;
    if (!route_worker_init(worker_out, snapshot->route, spare)) {
        route_worker_fini(worker_out);
        return false;
    }
    worker_out->dry = true;
    worker_out->unix_us = unix_us;
    worker_out->now_us = unix_us;
    return true;
}

static unsigned count_moved(struct route_worker *from, struct route_worker *to)
{
    unsigned moved = 0;
    for (unsigned i = 0; i < MOVED_SAMPLE; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "key:%u", i);
        struct slice slice = slice_make(key, (size_t)len);
        moved += route_owner(from, slice) != route_owner(to, slice);
    }
    return moved;
}

double snapshot_moved_percent(const struct snapshot *from, const struct snapshot *to)
{
    struct route_worker old, new;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t unix_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (!snapshot_dry_worker(from, unix_us, &old))
        return -1;
    if (!snapshot_dry_worker(to, unix_us, &new)) {
        route_worker_fini(&old);
        return -1;
    }
    unsigned moved = count_moved(&old, &new);
    route_worker_fini(&old);
    route_worker_fini(&new);
    return 100.0 * moved / MOVED_SAMPLE;
}
