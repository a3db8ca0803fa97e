/*
 * Owns the decision to eject; see the picture in health.h. It does not count failures (each worker does, upstream.c)
 * and it does not probe (probe.c).
 */
#include "pool/health.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct health *health_create(const char *pool, void (*on_down)(void *context, struct server *server), void *context)
{
    struct health *health = aligned_alloc(64, sizeof *health);
    if (health == NULL)
        return NULL;
    memset((void *)health, 0, sizeof *health);
    pthread_mutex_init(&health->lock, NULL);
    health->pool = strdup(pool);
    health->on_down = on_down;
    health->on_down_context = context;
    if (health->pool == NULL)
        health_destroy(&health);
    return health;
}

void health_destroy(struct health **health)
{
    struct health *h = *health;
    *health = NULL;
    if (h == NULL)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h->pool);
    free(h);
}

void health_configure(struct health *health, const struct health_settings *settings, uint32_t members)
{
    pthread_mutex_lock(&health->lock);
    health->settings = *settings;
    health->members = members;
    pthread_mutex_unlock(&health->lock);
}

struct health_settings health_settings(struct health *health)
{
    pthread_mutex_lock(&health->lock);
    struct health_settings settings = health->settings;
    pthread_mutex_unlock(&health->lock);
    return settings;
}

enum verdict { VERDICT_EJECTED, VERDICT_ALREADY_DOWN, VERDICT_PANIC, VERDICT_STILL_PANIC };

static enum verdict decide(struct health *health, struct server *server)
{
    if (server_is_down(server))
        return VERDICT_ALREADY_DOWN;
    if ((uint64_t)(health->down + 1) * 100 > (uint64_t)health->settings.panic_percent * health->members) {
        bool first = !health->panicking;
        health->panicking = true;
        return first ? VERDICT_PANIC : VERDICT_STILL_PANIC;
    }
    health->down++;
    atomic_store_explicit(&server->down_since_us, clock_us(), memory_order_relaxed);
    atomic_store_explicit(&server->down, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->ejections, 1, memory_order_relaxed);
    return VERDICT_EJECTED;
}

bool health_report_down(struct server *server, const char *reason)
{
    struct health *health = server->health;
    pthread_mutex_lock(&health->lock);
    enum verdict verdict = decide(health, server);
    uint32_t down = health->down;
    uint32_t members = health->members;
    uint32_t panic_percent = health->settings.panic_percent;
    pthread_mutex_unlock(&health->lock);
    switch (verdict) {
    case VERDICT_EJECTED:
        log_warning("server_down", "pool %s: server %s is down: %s (%u of %u servers are down now); it is being probed",
                    health->pool, server->identity.label, reason, down, members);
        health->on_down(health->on_down_context, server);
        return true;
    case VERDICT_ALREADY_DOWN:
        return true;
    case VERDICT_PANIC:
        log_error(
            "pool_panic",
            "pool %s: server %s fails too (%s), but with %u of %u servers down already, ejecting it would pass the "
            "limit health.panic of %u%%: nothing more is ejected; look at the network and at the other servers",
            health->pool, server->identity.label, reason, down, members, panic_percent);
        return false;
    case VERDICT_STILL_PANIC:
        return false;
    }
    return false;
}

void health_report_up(struct server *server)
{
    struct health *health = server->health;
    pthread_mutex_lock(&health->lock);
    bool was_down = server_is_down(server);
    if (was_down) {
        health->down--;
        health->panicking = false;
        atomic_store_explicit(&server->down, false, memory_order_relaxed);
    }
    uint32_t down = health->down;
    uint32_t members = health->members;
    pthread_mutex_unlock(&health->lock);
    if (!was_down)
        return;
    int64_t away_us = clock_us() - atomic_load_explicit(&server->down_since_us, memory_order_relaxed);
    log_info("server_up", "pool %s: server %s is back after %lld.%03lld s (%u of %u servers are down now)",
             health->pool, server->identity.label, (long long)(away_us / 1000000), (long long)(away_us / 1000 % 1000),
             down, members);
}

void health_forget(struct server *server)
{
    struct health *health = server->health;
    pthread_mutex_lock(&health->lock);
    if (server_is_down(server)) {
        health->down--;
        atomic_store_explicit(&server->down, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&health->lock);
    for (unsigned i = 0; i < server->worker_count; i++)
        server_stats_add(&health->retired, &server->stats[i]);
    server_latency_add(&health->retired_latency, server);
    health->retired_ejections += server->ejections;
    health->retired_probes += server->probes;
    health->retired_probe_failures += server->probe_failures;
    health->retired_flushes += server->flushes;
}
