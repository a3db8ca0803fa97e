/*
 * Tests of proxy/stats: the names of the forms, and what Ringside's own forms print of a fleet whose counters are
 * written here: no worker runs.
 */
#include "proxy/stats.h"

#include "event/loop.h"
#include "proxy/worker.h"
#include "routing/node.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 3

#define X(name, help) +1
/* state, ejections, probes, probe_failures, flushes and four lines of latency stand beside the counters */
static const size_t server_lines = 9 SERVER_COUNTERS(X);
/* servers, servers_down and errors_no_server instead of state */
static const size_t pool_lines = 11 SERVER_COUNTERS(X);
/* version, pid, uptime, workers, generation, reloads, reload_failures, log_lines_dropped, certificate_days */
static const size_t all_lines = 9 WORKER_COUNTERS(X);
#undef X

static const char configuration[] = "pools: {a: {servers: [10.0.0.1:1, {address: 10.0.0.2:2, name: second}]}, "
                                    "b: {servers: ['[::1]:3']}}\n"
                                    "route: {failover: {to: [a, {prefix: {'x:': b, '*': miss}}]}}\n";

static struct registry registry;
static struct snapshot *snapshot;
static struct worker workers[WORKERS];
static struct worker *worker_table[WORKERS];
static struct fleet fleet;
static struct text text;

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

static void setup(void)
{
    struct config_errors errors;
    const char *error = NULL;
    struct config *config = config_parse(configuration, strlen(configuration), NULL, &errors);
    config_errors_fini(&errors);
    ck_assert_ptr_nonnull(config);
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    snapshot = snapshot_create(&config, &registry, 7, &error);
    ck_assert_msg(snapshot != NULL, "%s", error);
    memset((void *)workers, 0, sizeof workers);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_table[i] = &workers[i];
    fleet.workers = worker_table;
    fleet.count = WORKERS;
    fleet.started_us = loop_clock_us() - 100500000;
    fleet.reloads = 6;
    fleet.reload_failures = 2;
    text_init(&text);
}

static void teardown(void)
{
    text_fini(&text);
    snapshot_destroy(&snapshot, &registry);
    registry_fini(&registry);
}

static void print(enum stats_form form)
{
    text_clear(&text);
    stats_print(&fleet, snapshot, form, &text);
    ck_assert(!text.failed);
}

/* Lines of the right shape: "STAT name value\r\n". */
static size_t count_lines(void)
{
    size_t count = 0;
    for (const char *at = text.data; at != NULL && *at != '\0'; count++) {
        const char *end = strstr(at, "\r\n");
        ck_assert_msg(strncmp(at, "STAT ", 5) == 0 && end != NULL, "no line: %s", at);
        at = end + 2;
    }
    return count;
}

/* The value of a name, which stands there once. */
static const char *value_of(const char *name)
{
    static char value[64];
    char start[128];
    int len = snprintf(start, sizeof start, "STAT %s ", name);
    const char *found = strstr(text.data, start);
    ck_assert_msg(found != NULL, "no %s in:\n%s", name, text.data);
    ck_assert_msg(strstr(found + 1, start) == NULL, "%s stands there twice", name);
    size_t value_len = strcspn(found + len, "\r");
    ck_assert_uint_lt(value_len, sizeof value);
    memcpy(value, found + len, value_len);
    value[value_len] = '\0';
    return value;
}

static void expect(const char *name, const char *value)
{
    ck_assert_str_eq(value_of(name), value);
}

static void expect_number(const char *name, uint64_t value)
{
    char expected[32];
    (void)snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
    expect(name, expected);
}

/* ---- names ---- */

START_TEST(forms_by_name)
{
    static const struct {
        const char *name;
        enum stats_form form;
    } rows[] = {
        {"", STATS_GENERAL},    {"settings", STATS_SETTINGS}, {"items", STATS_ITEMS},       {"slabs", STATS_SLABS},
        {"sizes", STATS_SIZES}, {"reset", STATS_RESET},       {"ringside", STATS_RINGSIDE}, {"servers", STATS_SERVERS},
        {"pools", STATS_POOLS}, {"routes", STATS_ROUTES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum stats_form form = STATS_ROUTES;
        ck_assert_msg(stats_form_by_name(slice_make(rows[i].name, strlen(rows[i].name)), &form), "%s", rows[i].name);
        ck_assert_int_eq(form, rows[i].form);
        /* a servers' form is before the first of Ringside's own */
        ck_assert_int_eq(form >= STATS_RINGSIDE, i >= 6);
    }
    enum stats_form form = STATS_ROUTES;
    ck_assert(stats_form_by_name(slice_make(NULL, 0), &form) && form == STATS_GENERAL);
}
END_TEST

START_TEST(other_names_are_refused)
{
    static const char *const names[] = {"setting", "settingss", "Settings", " ",       "items ",
                                        "detail",  "cachedump", "conns",    "general", "s"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum stats_form form = STATS_SIZES;
        ck_assert_msg(!stats_form_by_name(slice_make(names[i], strlen(names[i])), &form), "%s", names[i]);
        ck_assert_int_eq(form, STATS_SIZES);
    }
    enum stats_form form;
    /* a NUL is a byte as any other */
    ck_assert(!stats_form_by_name(slice_make("items", 6), &form));
}
END_TEST

/* ---- printing ---- */

START_TEST(workers_are_added_up)
{
    counter_add(&workers[0].stats.requests, 1);
    counter_add(&workers[1].stats.requests, 20);
    counter_add(&workers[2].stats.requests, UINT64_C(1) << 40);
    counter_add(&workers[2].stats.clients_cut, 3);
    print(STATS_RINGSIDE);
    ck_assert_uint_eq(count_lines(), all_lines);
    expect("ringside_version", RINGSIDE_VERSION);
    expect("ringside_certificate_days", "none");
    expect_number("ringside_pid", (uint64_t)getpid());
    expect_number("ringside_workers", WORKERS);
    expect_number("ringside_generation", 7);
    expect_number("ringside_reloads", 6);
    expect_number("ringside_reload_failures", 2);
    expect_number("ringside_requests", (UINT64_C(1) << 40) + 21);
    expect_number("ringside_clients_cut", 3);
    expect_number("ringside_clients_accepted", 0);
    ck_assert_uint_ge(strtoull(value_of("ringside_uptime"), NULL, 10), 100);
    ck_assert_uint_lt(strtoull(value_of("ringside_uptime"), NULL, 10), 100 + SUITE_TIMEOUT_SECONDS);
}
END_TEST

START_TEST(every_counter_of_workers_is_there)
{
    uint64_t n = 1;
#define X(name, help)                                 \
    counter_add(&workers[n % WORKERS].stats.name, n); \
    n++;
    WORKER_COUNTERS(X)
#undef X
    print(STATS_RINGSIDE);
    n = 1;
#define X(name, help) expect_number("ringside_" #name, n++);
    WORKER_COUNTERS(X)
#undef X
}
END_TEST

START_TEST(every_counter_of_servers_is_there)
{
    struct server *server = snapshot->pools[0].servers[1];
    uint64_t n = 1;
#define X(name, help)                                 \
    counter_add(&server->stats[0].name, n);           \
    counter_add(&server->stats[WORKERS - 1].name, n); \
    n++;
    SERVER_COUNTERS(X)
#undef X
    print(STATS_SERVERS);
    ck_assert_uint_eq(count_lines(), 3 * server_lines);
    n = 1;
#define X(name, help)                          \
    expect_number("a:second:" #name, 2 * n++); \
    expect_number("a:10.0.0.1:1:" #name, 0);   \
    expect_number("b:[::1]:3:" #name, 0);
    SERVER_COUNTERS(X)
#undef X
}
END_TEST

START_TEST(servers_tell_their_state_and_their_latency)
{
    struct server *server = snapshot->pools[1].servers[0];
    struct histogram *records = calloc(1, sizeof *records);
    ck_assert_ptr_nonnull(records);
    for (unsigned i = 0; i < 100; i++) {
        server_record_latency(&server->stats[i % WORKERS], 50 * (i + 1));
        histogram_record(records, 50 * (i + 1));
    }
    server->down = true;
    server->ejections = 1;
    server->probes = 22;
    server->probe_failures = 21;
    server->flushes = 4;
    print(STATS_SERVERS);
    expect("b:[::1]:3:state", "down");
    expect("a:second:state", "up");
    expect_number("b:[::1]:3:ejections", 1);
    expect_number("b:[::1]:3:probes", 22);
    expect_number("b:[::1]:3:probe_failures", 21);
    expect_number("b:[::1]:3:flushes", 4);
    expect_number("b:[::1]:3:latency_count", 100);
    expect_number("b:[::1]:3:latency_p50_us", histogram_quantile_us(records, 0.5));
    expect_number("b:[::1]:3:latency_p99_us", histogram_quantile_us(records, 0.99));
    expect_number("b:[::1]:3:latency_p999_us", histogram_quantile_us(records, 0.999));
    expect_number("a:second:latency_count", 0);
    expect_number("a:second:latency_p99_us", 0);
    free(records);
}
END_TEST

/* A pool is its servers, and those that have left it. */
START_TEST(pools_add_up_their_servers)
{
    const struct pool *pool = &snapshot->pools[0];
    counter_add(&pool->servers[0]->stats[0].hits, 1);
    counter_add(&pool->servers[1]->stats[1].hits, 20);
    counter_add(&pool->health->retired.hits, 300);
    counter_add(&snapshot->pools[1].servers[0]->stats[0].hits, 7);
    server_record_latency(&pool->servers[0]->stats[0], 10);
    histogram_record(&pool->health->retired_latency, 20);
    pool->servers[1]->down = true;
    pool->servers[1]->ejections = 2;
    pool->health->retired_ejections = 3;
    pool->health->retired_probes = 4;
    pool->health->retired_probe_failures = 5;
    pool->health->retired_flushes = 6;
    pool->health->no_server = 8;
    print(STATS_POOLS);
    ck_assert_uint_eq(count_lines(), 2 * pool_lines);
    expect_number("a:servers", 2);
    expect_number("a:servers_down", 1);
    expect_number("a:errors_no_server", 8);
    expect_number("a:hits", 321);
    expect_number("a:ejections", 5);
    expect_number("a:probes", 4);
    expect_number("a:probe_failures", 5);
    expect_number("a:flushes", 6);
    expect_number("a:latency_count", 2);
    expect_number("b:servers", 1);
    expect_number("b:servers_down", 0);
    expect_number("b:hits", 7);
}
END_TEST

START_TEST(nodes_of_the_route_are_added_up)
{
    size_t lines = 0;
    for (size_t i = 0; i < snapshot->route->node_count; i++) {
        const struct route_node *node = snapshot->route->nodes[i];
        for (unsigned c = 0; c < ROUTE_COUNTERS && node->methods->counters[c] != NULL; c++, lines++) {
            for (unsigned w = 0; w < WORKERS; w++)
                counter_add(&node->counters->of_worker[w][c], (w + 1) * (100 * i + c + 1));
            /* of what only compares: it does not count */
            counter_add(&node->counters->of_worker[WORKERS][c], 1000000);
        }
    }
    print(STATS_ROUTES);
    /* pools have none of their own: those of failover, prefix and miss */
    ck_assert_uint_eq(lines, 5 + 2 + 1);
    ck_assert_uint_eq(count_lines(), lines);
    for (size_t i = 0; i < snapshot->route->node_count; i++) {
        const struct route_node *node = snapshot->route->nodes[i];
        for (unsigned c = 0; c < ROUTE_COUNTERS && node->methods->counters[c] != NULL; c++) {
            char name[128];
            (void)snprintf(name, sizeof name, "%s:%s", node->path, node->methods->counters[c]);
            expect_number(name, 6 * (100 * i + c + 1));
        }
    }
}
END_TEST

START_TEST(lines_are_appended_without_end)
{
    text_append_string(&text, "STAT before 1\r\n");
    stats_print(&fleet, snapshot, STATS_POOLS, &text);
    ck_assert_uint_eq(count_lines(), 1 + 2 * pool_lines);
    expect("before", "1");
    ck_assert_ptr_null(strstr(text.data, "END"));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("stats");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, forms_by_name);
    tcase_add_test(tcase, other_names_are_refused);
    tcase_add_test(tcase, workers_are_added_up);
    tcase_add_test(tcase, every_counter_of_workers_is_there);
    tcase_add_test(tcase, every_counter_of_servers_is_there);
    tcase_add_test(tcase, servers_tell_their_state_and_their_latency);
    tcase_add_test(tcase, pools_add_up_their_servers);
    tcase_add_test(tcase, nodes_of_the_route_are_added_up);
    tcase_add_test(tcase, lines_are_appended_without_end);
    return suite_run("proxy/stats", tcase);
}
