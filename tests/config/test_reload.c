/*
 * Tests of what outlives a configuration (config/registry) and of what is made of one (config/snapshot): servers by
 * identity against a naive model, route counters by path, routes over pools, what moves, what cannot be built.
 */
#include "config/registry.h"
#include "config/snapshot.h"
#include "tests/config/support.h"

#include <stdio.h>

#define WORKERS 4

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

static void count_server(void *context, struct server *server)
{
    (void)server;
    ++*(size_t *)context;
}

/* ---- servers ---- */

#define IDENTITIES 400
#define STEPS 20000

static uint32_t next_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* Identities that differ in one thing each. */
static struct server_identity identity_of(size_t i, char texts[2][32])
{
    static const char *const pools[] = {"a", "b"};
    (void)snprintf(texts[0], sizeof texts[0], "label-%zu", i / 4 % 10);
    (void)snprintf(texts[1], sizeof texts[1], "10.0.0.%zu", i / 40);
    return (struct server_identity){
        .pool = pools[i % 2], .label = texts[0], .host = texts[1], .port = (uint16_t)(1 + i / 2 % 2)};
}

/* References are taken and given back at random; the model is an array. */
START_TEST(servers_are_found_by_identity)
{
    size_t gone = 0, expected_gone = 0, in_use = 0, most = 0;
    struct registry registry;
    struct server *model[IDENTITIES] = {NULL};
    unsigned refs[IDENTITIES] = {0};
    uint64_t random = 1;
    registry_init(&registry, WORKERS, ignore_server, count_server, &gone);
    for (int step = 0; step < STEPS; step++) {
        size_t i = next_number(&random) % IDENTITIES;
        bool takes = next_number(&random) % (step < STEPS / 2 ? 3 : 5) < 2;
        char texts[2][32];
        struct server_identity identity = identity_of(i, texts);
        if (takes) {
            struct server *server = registry_take(&registry, &identity);
            ck_assert(server != NULL && server_is(server, &identity));
            ck_assert(refs[i] == 0 || server == model[i]);
            ck_assert(registry.servers[server->slot] == server);
            in_use += refs[i] == 0;
            most = in_use > most ? in_use : most;
            model[i] = server;
            refs[i]++;
            ck_assert_uint_eq(server->refs, refs[i]);
        } else if (refs[i] > 0) {
            struct server *server = model[i];
            registry_give(&registry, &server);
            ck_assert_ptr_null(server);
            refs[i]--;
            in_use -= refs[i] == 0;
            expected_gone += refs[i] == 0;
        }
        ck_assert_uint_eq(gone, expected_gone);
    }
    /* The lowest free slot is used, so that workers' tables stay small. */
    ck_assert(most > 100 && registry.slot_count < 2 * most);
    for (size_t i = 0; i < IDENTITIES; i++) {
        for (; refs[i] > 0; refs[i]--) {
            struct server *server = model[i];
            registry_give(&registry, &server);
        }
    }
    for (size_t slot = 0; slot < registry.slot_count; slot++)
        ck_assert_ptr_null(registry.servers[slot]);
    registry_fini(&registry);
}
END_TEST

START_TEST(the_lowest_free_slot_is_used_again)
{
    struct registry registry;
    struct server *servers[40];
    char texts[2][32];
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    for (size_t i = 0; i < 40; i++) {
        struct server_identity identity = identity_of(i, texts);
        servers[i] = registry_take(&registry, &identity);
        ck_assert_uint_eq(servers[i]->slot, i);
    }
    registry_give(&registry, &servers[30]);
    registry_give(&registry, &servers[7]);
    struct server_identity seventh = identity_of(100, texts);
    servers[7] = registry_take(&registry, &seventh);
    ck_assert_uint_eq(servers[7]->slot, 7);
    struct server_identity thirtieth = identity_of(101, texts);
    servers[30] = registry_take(&registry, &thirtieth);
    ck_assert_uint_eq(servers[30]->slot, 30);
    for (size_t i = 0; i < 40; i++)
        registry_give(&registry, &servers[i]);
    registry_fini(&registry);
}
END_TEST

/* ---- healths and route counters ---- */

START_TEST(healths_are_one_for_each_pool)
{
    struct registry registry;
    struct health *healths[200];
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "pool-%d", i * 37 % 200);
            struct health *health = registry_health(&registry, name);
            ck_assert_ptr_nonnull(health);
            ck_assert_str_eq(health->pool, name);
            ck_assert(round == 0 || health == healths[i]);
            healths[i] = health;
        }
    }
    ck_assert_uint_eq(registry.health_count, 200);
    registry_fini(&registry);
}
END_TEST

START_TEST(counters_stay_with_their_path)
{
    struct registry registry;
    struct route_counters *counters[100];
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 100; i++) {
            char path[32];
            (void)snprintf(path, sizeof path, "failover.to[%d]", (int)(i * 37 % 100));
            struct route_counters *found = registry_route(&registry, path);
            ck_assert_ptr_nonnull(found);
            ck_assert(round == 0 || found == counters[i]);
            counters[i] = found;
            /* For each worker, and the spare one behind them. */
            for (unsigned w = 0; w <= WORKERS; w++) {
                for (unsigned c = 0; c < ROUTE_COUNTERS; c++) {
                    ck_assert_uint_eq(counter_read(&found->of_worker[w][c]), round == 0 ? 0 : i + w + c);
                    counter_add(&found->of_worker[w][c], i + w + c);
                }
            }
        }
    }
    registry_fini(&registry);
}
END_TEST

/* ---- snapshots ---- */

static struct snapshot *snapshot_of(const char *text, struct registry *registry)
{
    const char *error = NULL;
    struct config *config = parse_good(text, NULL);
    struct snapshot *snapshot = snapshot_create(&config, registry, 1, &error);
    ck_assert_ptr_null(config);
    ck_assert_msg(snapshot != NULL, "%s", error);
    return snapshot;
}

#define POOLS "pools: {a: {servers: [s1, s2]}, b: {servers: [s3]}, c: {servers: [s4]}}\n"

START_TEST(a_snapshot_has_its_route)
{
    struct registry registry;
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    struct snapshot *plain = snapshot_of(POOLS "route: b\n", &registry);
    ck_assert_ptr_eq(plain->route->pool, &plain->pools[1]);
    ck_assert_uint_eq(plain->route->pool_count, 1);
    struct snapshot *tree = snapshot_of(POOLS "route: {failover: {to: [c, {rewrite: {to: a, add: x}}]}}\n", &registry);
    ck_assert_ptr_null(tree->route->pool);
    ck_assert_uint_eq(tree->route->node_count, 4);
    ck_assert_uint_eq(tree->route->pool_count, 2);
    ck_assert_ptr_eq(tree->route->pools[0], &tree->pools[2]);
    ck_assert_ptr_eq(tree->route->pools[1], &tree->pools[0]);
    /* The servers of both are the same objects. */
    ck_assert_ptr_eq(plain->pools[0].servers[1], tree->pools[0].servers[1]);
    snapshot_destroy(&plain, &registry);
    snapshot_destroy(&tree, &registry);
    registry_fini(&registry);
}
END_TEST

START_TEST(what_moves_is_counted)
{
    struct registry registry;
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    struct snapshot *four = snapshot_of("pools: {a: {servers: [s1, s2, s3, s4]}}", &registry);
    struct snapshot *same = snapshot_of("pools: {a: {servers: [s1, s2, s3, s4], timeout: 1s}}", &registry);
    struct snapshot *five = snapshot_of("pools: {a: {servers: [s1, s2, s3, s4, s5]}}", &registry);
    struct snapshot *other = snapshot_of("pools: {z: {servers: [s1, s2, s3, s4]}}", &registry);
    ck_assert(snapshot_moved_percent(four, same) == 0);
    double joined = snapshot_moved_percent(four, five);
    ck_assert_msg(joined > 13 && joined < 27, "%f", joined);
    ck_assert(snapshot_moved_percent(four, other) == 100);
    snapshot_destroy(&four, &registry);
    snapshot_destroy(&same, &registry);
    snapshot_destroy(&five, &registry);
    snapshot_destroy(&other, &registry);
    registry_fini(&registry);
}
END_TEST

/* Comparing counts in the spare counters alone, and leaves no frame behind. */
START_TEST(comparing_routes_leaves_no_trace)
{
    struct registry registry;
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    struct snapshot *plain = snapshot_of(POOLS "route: a\n", &registry);
    struct snapshot *tree = snapshot_of(POOLS "route: {failover: {to: [a, b]}}\n", &registry);
    ck_assert(snapshot_moved_percent(plain, tree) == 0);
    ck_assert(snapshot_moved_percent(tree, plain) == 0);
    uint64_t spare = 0;
    for (size_t i = 0; i < registry.route_count; i++) {
        const struct route_counters *counters = &registry.routes[i]->counters;
        for (unsigned w = 0; w < WORKERS; w++)
            ck_assert_uint_eq(counter_read(&counters->of_worker[w][0]), 0);
        spare += counter_read(&counters->of_worker[WORKERS][0]);
    }
    ck_assert_uint_gt(spare, 0);
    snapshot_destroy(&plain, &registry);
    snapshot_destroy(&tree, &registry);
    registry_fini(&registry);
}
END_TEST

/* A configuration that reads well, and whose ring cannot be built. */
START_TEST(what_cannot_be_built_is_told_at_its_pool)
{
    struct registry registry;
    struct config_errors errors = {0};
    struct text text;
    const char *error = NULL;
    registry_init(&registry, WORKERS, ignore_server, ignore_server, NULL);
    text_init(&text);
    text_append_string(&text, "pools:\n  a: {servers: [s]}\n  b: {distribution: modulo, servers: [");
    for (int i = 0; i < 4400; i++)
        text_appendf(&text, "{address: s%d, weight: 1000000}, ", i);
    text_append_string(&text, "]}\nroute: a\n");
    struct config *config = parse_good(text.data, NULL);
    ck_assert_ptr_null(snapshot_try(&config, &registry, 1, &error));
    ck_assert_ptr_nonnull(config);
    ck_assert_ptr_nonnull(error);
    snapshot_explain_refusal(config, &registry, &errors);
    expect_errors(&errors, "3:3: pool `b`: the weights of a modulo distribution add up to more than 4294967295\n");
    ck_assert_ptr_null(snapshot_create(&config, &registry, 1, &error));
    ck_assert_ptr_null(config);
    for (size_t slot = 0; slot < registry.slot_count; slot++)
        ck_assert_ptr_null(registry.servers[slot]);
    text_fini(&text);
    registry_fini(&registry);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("reload");
    tcase_add_test(tcase, servers_are_found_by_identity);
    tcase_add_test(tcase, the_lowest_free_slot_is_used_again);
    tcase_add_test(tcase, healths_are_one_for_each_pool);
    tcase_add_test(tcase, counters_stay_with_their_path);
    tcase_add_test(tcase, a_snapshot_has_its_route);
    tcase_add_test(tcase, what_moves_is_counted);
    tcase_add_test(tcase, comparing_routes_leaves_no_trace);
    tcase_add_test(tcase, what_cannot_be_built_is_told_at_its_pool);
    return run_suite("config/reload", tcase);
}
