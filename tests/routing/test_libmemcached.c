/*
 * Tests of the rings against libmemcached itself: the same servers, the same keys, and not one key elsewhere.
 *
 * libmemcached only computes here; it opens no connection.
 */
#include "routing/hash.h"
#include "routing/ring.h"
#include "tests/routing/keys.h"

#include <check.h>
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT 20000
#define SERVERS_MAX 100

static const size_t sizes[] = {1, 2, 3, 5, 10, 25, 47, 50, 61, 71, 94, 100};
#define SIZE_COUNT ((int)(sizeof sizes / sizeof sizes[0]))

enum weights { WEIGHTS_ONE, WEIGHTS_EQUAL, WEIGHTS_UNEQUAL, WEIGHTS_STEEP };
enum ports { PORTS_DEFAULT, PORTS_OTHER, PORTS_MIXED };

struct fleet {
    char hosts[SERVERS_MAX][64];
    struct ring_member members[SERVERS_MAX];
    size_t n;
};

static uint32_t weight_of(enum weights weights, size_t i)
{
    switch (weights) {
    case WEIGHTS_ONE:
        return 1;
    case WEIGHTS_EQUAL:
        return 7;
    case WEIGHTS_UNEQUAL:
        return (uint32_t)(1 + i * 7919 % 10);
    case WEIGHTS_STEEP:
        break;
    }
    return i % 3 == 0 ? 1 : (uint32_t)(1000 * (i + 1));
}

static uint16_t port_of(enum ports ports, size_t i)
{
    if (ports == PORTS_DEFAULT || (ports == PORTS_MIXED && i % 2 == 0))
        return 11211;
    return (uint16_t)(ports == PORTS_OTHER ? 11212 : 21000 + i);
}

static void fleet_init(struct fleet *fleet, size_t n, enum weights weights, enum ports ports)
{
    fleet->n = n;
    for (size_t i = 0; i < n; i++) {
        const char *format = i % 3 == 2 ? "cache-%zu.example.net" : "10.0.1.%zu";
        snprintf(fleet->hosts[i], sizeof fleet->hosts[i], format, i + 1);
        fleet->members[i] =
            (struct ring_member){.host = fleet->hosts[i], .port = port_of(ports, i), .weight = weight_of(weights, i)};
    }
}

/* Gives libmemcached the same servers, at once. */
static void push_servers(memcached_st *client, const struct fleet *fleet)
{
    memcached_server_list_st list = NULL;
    memcached_return_t result;
    for (size_t i = 0; i < fleet->n; i++) {
        const struct ring_member *member = &fleet->members[i];
        list = memcached_server_list_append_with_weight(list, member->host, member->port, member->weight, &result);
        ck_assert_ptr_nonnull(list);
    }
    ck_assert_int_eq(memcached_server_push(client, list), MEMCACHED_SUCCESS);
    memcached_server_list_free(list);
}

static void compare(const memcached_st *client, const struct fleet *fleet, const char *distribution, const char *hash)
{
    const char *error;
    struct ring *ring = ring_create(distribution, hash_by_name(hash), fleet->members, fleet->n, &error);
    ck_assert_ptr_nonnull(ring);
    uint64_t state = 4;
    size_t different = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        struct key key;
        keys_next(&state, &key);
        different += memcached_generate_hash(client, key.bytes, key.len) != ring_locate(ring, key.bytes, key.len);
    }
    ck_assert_msg(different == 0, "%s %s over %zu servers: %zu keys elsewhere", distribution, hash, fleet->n,
                  different);
    ring_destroy(&ring);
}

static memcached_st *client_create(void)
{
    memcached_st *client = memcached_create(NULL);
    ck_assert_ptr_nonnull(client);
    return client;
}

static void set(memcached_st *client, memcached_behavior_t behavior, uint64_t value)
{
    ck_assert_int_eq(memcached_behavior_set(client, behavior, value), MEMCACHED_SUCCESS);
}

/* One kind of libmemcached client: what sets it up, and the ring that equals it. */
struct kind {
    const char *distribution, *hash;
    void (*set_up)(memcached_st *client);
    enum weights weights;
    enum ports ports;
};

static void weighted(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
}

static void weighted_fnv(memcached_st *client)
{
    weighted(client);
    set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_FNV1A_32);
}

static void consistent(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT);
}

static void consistent_md5(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
    set(client, MEMCACHED_BEHAVIOR_KETAMA, 1);
}

static void consistent_crc(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_CRC);
    set(client, MEMCACHED_BEHAVIOR_KETAMA, 1);
}

static void spy(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY);
}

static void spy_md5(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
    spy(client);
}

static void modula(memcached_st *client)
{
    set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_MODULA);
}

static void modula_jenkins(memcached_st *client)
{
    modula(client);
    set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_JENKINS);
}

static const struct kind kinds[] = {
    {"ketama", "md5", weighted, WEIGHTS_ONE, PORTS_DEFAULT},
    {"ketama", "md5", weighted, WEIGHTS_ONE, PORTS_OTHER},
    {"ketama", "md5", weighted, WEIGHTS_EQUAL, PORTS_MIXED},
    {"ketama", "md5", weighted, WEIGHTS_UNEQUAL, PORTS_MIXED},
    {"ketama", "md5", weighted, WEIGHTS_STEEP, PORTS_DEFAULT},
    {"ketama", "fnv1a_32", weighted_fnv, WEIGHTS_UNEQUAL, PORTS_OTHER},
    {"ketama-libmemcached", "one_at_a_time", consistent, WEIGHTS_ONE, PORTS_DEFAULT},
    {"ketama-libmemcached", "one_at_a_time", consistent, WEIGHTS_ONE, PORTS_MIXED},
    {"ketama-libmemcached", "one_at_a_time", consistent, WEIGHTS_EQUAL, PORTS_OTHER},
    {"ketama-libmemcached", "one_at_a_time", consistent, WEIGHTS_UNEQUAL, PORTS_MIXED},
    {"ketama-libmemcached", "md5", consistent_md5, WEIGHTS_ONE, PORTS_MIXED},
    {"ketama-libmemcached", "crc", consistent_crc, WEIGHTS_ONE, PORTS_MIXED}, /* points in 15 bits: many of one value */
    {"ketama-spy", "one_at_a_time", spy, WEIGHTS_ONE, PORTS_DEFAULT},
    {"ketama-spy", "one_at_a_time", spy, WEIGHTS_UNEQUAL, PORTS_MIXED},
    {"ketama-spy", "md5", spy_md5, WEIGHTS_ONE, PORTS_MIXED},
    {"ketama-spy", "md5", spy_md5, WEIGHTS_STEEP, PORTS_OTHER},
    {"modulo", "one_at_a_time", modula, WEIGHTS_ONE, PORTS_MIXED},
    {"modulo", "jenkins", modula_jenkins, WEIGHTS_ONE, PORTS_DEFAULT},
};

START_TEST(places_every_key_as_libmemcached_does)
{
    const struct kind *kind = &kinds[_i];
    for (int i = 0; i < SIZE_COUNT; i++) {
        struct fleet fleet;
        fleet_init(&fleet, sizes[i], kind->weights, kind->ports);
        memcached_st *client = client_create();
        kind->set_up(client);
        push_servers(client, &fleet);
        compare(client, &fleet, kind->distribution, kind->hash);
        memcached_free(client);
    }
}
END_TEST

/* A distribution's default hash is the one of a libmemcached client that sets the distribution alone. */
START_TEST(default_hashes_are_those_of_libmemcached)
{
    ck_assert(ring_default_hash("ketama") == hash_by_name("md5"));
    ck_assert(ring_default_hash("ketama-libmemcached") == hash_by_name("one_at_a_time"));
    ck_assert(ring_default_hash("ketama-spy") == hash_by_name("one_at_a_time"));
    ck_assert(ring_default_hash("modulo") == hash_by_name("one_at_a_time"));
}
END_TEST

/* A key past the last point: the ring of weights that libketama was published with. */
START_TEST(past_the_last_point_comes_the_first)
{
    static const uint32_t weights[] = {600, 300, 200, 350, 1000, 800, 950, 100};
    struct fleet fleet;
    fleet_init(&fleet, 8, WEIGHTS_ONE, PORTS_DEFAULT);
    for (size_t i = 0; i < fleet.n; i++) {
        snprintf(fleet.hosts[i], sizeof fleet.hosts[i], "10.0.1.%zu", i + 1);
        fleet.members[i].weight = weights[i];
    }
    const char *error;
    struct ring *ring = ring_create("ketama", hash_by_name("md5"), fleet.members, fleet.n, &error);
    ck_assert_ptr_nonnull(ring);
    struct ring_spot spot = ring_explain(ring, "VDEAAAAA", 8);
    ck_assert_uint_eq(spot.hash, 0xfffcd1b5u);
    ck_assert_uint_eq(spot.index, 0);
    ck_assert_uint_lt(spot.point, spot.hash);
    ck_assert_uint_eq(ring_locate(ring, "VDEAAAAA", 8), spot.server);
    ring_destroy(&ring);
}
END_TEST

/* Unix sockets: libmemcached writes PATH:0, which ketama-libmemcached and ketama-spy follow. */
START_TEST(unix_sockets_are_named_as_libmemcached_does)
{
    static const char *const paths[] = {"/run/a.sock", "/run/b.sock", "/run/c.sock"};
    for (int with_spy = 0; with_spy < 2; with_spy++) {
        struct fleet fleet = {.n = 3};
        memcached_st *client = client_create();
        (with_spy ? spy : consistent)(client);
        for (size_t i = 0; i < fleet.n; i++) {
            fleet.members[i] = (struct ring_member){.host = paths[i], .weight = 1};
            ck_assert_int_eq(memcached_server_add_unix_socket(client, paths[i]), MEMCACHED_SUCCESS);
        }
        compare(client, &fleet, with_spy ? "ketama-spy" : "ketama-libmemcached", "one_at_a_time");
        memcached_free(client);
    }
}
END_TEST

/* KETAMA_WEIGHTED first, KETAMA_SPY after it: 160 points by md5. `ketama` does it with the spy name as the name. */
START_TEST(weighted_spy_is_ketama_with_the_spy_name)
{
    struct fleet fleet;
    fleet_init(&fleet, 10, WEIGHTS_ONE, PORTS_MIXED);
    memcached_st *client = client_create();
    weighted(client);
    spy(client);
    push_servers(client, &fleet);
    char names[10][80];
    for (size_t i = 0; i < fleet.n; i++) {
        snprintf(names[i], sizeof names[i], "/%s:%u", fleet.members[i].host, (unsigned)fleet.members[i].port);
        fleet.members[i].name = names[i];
    }
    compare(client, &fleet, "ketama", "md5");
    memcached_free(client);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("libmemcached");
    TCase *tcase = tcase_create("libmemcached");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, places_every_key_as_libmemcached_does, 0, (int)(sizeof kinds / sizeof kinds[0]));
    tcase_add_test(tcase, default_hashes_are_those_of_libmemcached);
    tcase_add_test(tcase, past_the_last_point_comes_the_first);
    tcase_add_test(tcase, unix_sockets_are_named_as_libmemcached_does);
    tcase_add_test(tcase, weighted_spy_is_ketama_with_the_spy_name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
