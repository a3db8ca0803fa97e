/*
 * Owns what Ringside tells of itself through `stats`: sums over the workers' counters, by server, by pool, in all.
 * Counters come from their tables (proxy/worker.h, pool/server.h), so that none can be forgotten here.
 */
#include "proxy/stats.h"

#include "base/log.h"
#include "event/loop.h"
#include "proxy/worker.h"
#include "routing/node.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef RINGSIDE_VERSION
#define RINGSIDE_VERSION "unknown"
#endif

bool stats_form_by_name(struct slice name, enum stats_form *form_out)
{
    static const char *const names[] = {
        [STATS_GENERAL] = "",          [STATS_SETTINGS] = "settings", [STATS_ITEMS] = "items",
        [STATS_SLABS] = "slabs",       [STATS_SIZES] = "sizes",       [STATS_RESET] = "reset",
        [STATS_RINGSIDE] = "ringside", [STATS_SERVERS] = "servers",   [STATS_POOLS] = "pools",
        [STATS_ROUTES] = "routes",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equal(name, slice_make(names[i], strlen(names[i])))) {
            *form_out = (enum stats_form)i;
            return true;
        }
    }
    return false;
}

/* "STAT <prefix><name> <value>". */
static void put(struct text *text, const char *prefix, const char *name, uint64_t value)
{
    text_appendf(text, "STAT %s%s ", prefix, name);
    text_append_u64(text, value);
    text_append_string(text, "\r\n");
}

static void put_latency(struct text *text, const char *prefix, const struct histogram *latency)
{
    put(text, prefix, "latency_count", histogram_count(latency));
    put(text, prefix, "latency_p50_us", histogram_quantile_us(latency, 0.5));
    put(text, prefix, "latency_p99_us", histogram_quantile_us(latency, 0.99));
    put(text, prefix, "latency_p999_us", histogram_quantile_us(latency, 0.999));
}

/* What servers count, of one or of several. */
struct sums {
    struct server_stats stats;
    struct histogram latency;
    uint64_t ejections, probes, probe_failures, flushes;
};

static void sums_add_server(struct sums *sums, const struct server *server)
{
    for (unsigned i = 0; i < server->worker_count; i++)
        server_stats_add(&sums->stats, &server->stats[i]);
    server_latency_add(&sums->latency, server);
    sums->ejections += server->ejections;
    sums->probes += server->probes;
    sums->probe_failures += server->probe_failures;
    sums->flushes += server->flushes;
}

/* The servers that have left the pool. */
static void sums_add_retired(struct sums *sums, const struct health *health)
{
    server_stats_add(&sums->stats, &health->retired);
    histogram_add(&sums->latency, &health->retired_latency);
    sums->ejections += health->retired_ejections;
    sums->probes += health->retired_probes;
    sums->probe_failures += health->retired_probe_failures;
    sums->flushes += health->retired_flushes;
}

static void sums_print(const struct sums *sums, const char *prefix, struct text *text)
{
#define X(name, help) put(text, prefix, #name, counter_read(&sums->stats.name));
    SERVER_COUNTERS(X)
#undef X
    put(text, prefix, "ejections", sums->ejections);
    put(text, prefix, "probes", sums->probes);
    put(text, prefix, "probe_failures", sums->probe_failures);
    put(text, prefix, "flushes", sums->flushes);
    put_latency(text, prefix, &sums->latency);
}

static struct sums *sums_create(struct text *text)
{
    struct sums *sums = aligned_alloc(64, (sizeof *sums + 63) / 64 * 64);
    if (sums != NULL)
        memset((void *)sums, 0, sizeof *sums);
    else
        text->failed = true;
    return sums;
}

static void print_server(const struct pool *pool, const struct server *server, struct text *text)
{
    struct sums *sums = sums_create(text);
    if (sums == NULL)
        return;
    sums_add_server(sums, server);
    struct text prefix;
    text_init(&prefix);
    text_appendf(&prefix, "%s:%s:", pool->name, server->identity.label);
    if (prefix.data != NULL) {
        text_appendf(text, "STAT %sstate %s\r\n", prefix.data, server_is_down(server) ? "down" : "up");
        sums_print(sums, prefix.data, text);
    }
    text->failed |= prefix.failed;
    text_fini(&prefix);
    free(sums);
}

static void print_pool(const struct pool *pool, struct text *text)
{
    struct sums *sums = sums_create(text);
    if (sums == NULL)
        return;
    const struct health *health = pool->health;
    uint64_t down = 0;
    sums_add_retired(sums, health);
    for (size_t i = 0; i < pool->server_count; i++) {
        sums_add_server(sums, pool->servers[i]);
        down += server_is_down(pool->servers[i]);
    }
    struct text prefix;
    text_init(&prefix);
    text_appendf(&prefix, "%s:", pool->name);
    if (prefix.data != NULL) {
        put(text, prefix.data, "servers", pool->server_count);
        put(text, prefix.data, "servers_down", down);
        put(text, prefix.data, "errors_no_server", atomic_load_explicit(&health->no_server, memory_order_relaxed));
        sums_print(sums, prefix.data, text);
    }
    text->failed |= prefix.failed;
    text_fini(&prefix);
    free(sums);
}

/* Days until the first of Ringside's own certificates expires; below 0 when one has. */
static void print_certificate_days(const struct snapshot *snapshot, const char *prefix, struct text *text)
{
    int64_t first_s = 0;
    for (size_t i = 0; i < snapshot->listen_count + snapshot->pool_count; i++) {
        const struct tls_context *context =
            i < snapshot->listen_count ? snapshot->listen_tls[i] : snapshot->pool_tls[i - snapshot->listen_count];
        int64_t expires_s = context != NULL ? tls_context_expires_unix_s(context) : 0;
        if (expires_s != 0 && (first_s == 0 || expires_s < first_s))
            first_s = expires_s;
    }
    int64_t left_s = first_s - (int64_t)time(NULL);
    if (first_s == 0)
        text_appendf(text, "STAT %scertificate_days none\r\n", prefix);
    else
        text_appendf(text, "STAT %scertificate_days %lld\r\n", prefix,
                     (long long)(left_s < 0 ? (left_s - 86399) / 86400 : left_s / 86400));
}

static void print_all(const struct fleet *fleet, const struct snapshot *snapshot, struct text *text)
{
    static const char prefix[] = "ringside_";
    text_appendf(text, "STAT %sversion %s\r\n", prefix, RINGSIDE_VERSION);
    put(text, prefix, "pid", (uint64_t)getpid());
    put(text, prefix, "uptime", (loop_clock_us() - fleet->started_us) / 1000000);
    put(text, prefix, "workers", fleet->count);
    put(text, prefix, "generation", snapshot->generation);
    put(text, prefix, "reloads", atomic_load_explicit(&fleet->reloads, memory_order_relaxed));
    put(text, prefix, "reload_failures", atomic_load_explicit(&fleet->reload_failures, memory_order_relaxed));
    put(text, prefix, "log_lines_dropped", log_dropped());
    print_certificate_days(snapshot, prefix, text);
    uint64_t value;
#define X(name, help)                                          \
    value = 0;                                                 \
    for (unsigned i = 0; i < fleet->count; i++)                \
        value += counter_read(&fleet->workers[i]->stats.name); \
    put(text, prefix, #name, value);
    WORKER_COUNTERS(X)
#undef X
}

static void print_node(const struct fleet *fleet, const struct route_node *node, struct text *text)
{
    const char *const *names = node->methods->counters;
    for (unsigned i = 0; i < ROUTE_COUNTERS && names[i] != NULL; i++) {
        uint64_t value = 0;
        for (unsigned w = 0; w < fleet->count; w++)
            value += counter_read(&node->counters->of_worker[w][i]);
        text_appendf(text, "STAT %s:%s ", node->path, names[i]);
        text_append_u64(text, value);
        text_append_string(text, "\r\n");
    }
}

static void print_routes(const struct fleet *fleet, const struct route *route, struct text *text)
{
    for (size_t i = 0; i < route->node_count; i++)
        print_node(fleet, route->nodes[i], text);
}

void stats_print(const struct fleet *fleet, const struct snapshot *snapshot, enum stats_form form, struct text *text)
{
    if (form == STATS_RINGSIDE) {
        print_all(fleet, snapshot, text);
        return;
    }
    if (form == STATS_ROUTES) {
        print_routes(fleet, snapshot->route, text);
        return;
    }
    for (size_t p = 0; p < snapshot->pool_count; p++) {
        const struct pool *pool = &snapshot->pools[p];
        if (form == STATS_POOLS) {
            print_pool(pool, text);
            continue;
        }
        for (size_t i = 0; i < pool->server_count; i++)
            print_server(pool, pool->servers[i], text);
    }
}
