/*
 * Tests of what routing/ring.h promises, for every distribution alike.
 *
 * Loops over keys count what is wrong and assert once: an assertion costs a write.
 */
#include "routing/hash.h"
#include "routing/ring.h"
#include "tests/routing/fleet.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT 5000

static const char *const names[] = {"ketama", "ketama-libmemcached", "ketama-spy", "modulo",
                                    "jump",   "rendezvous",          "maglev"};
#define NAME_COUNT ((int)(sizeof names / sizeof names[0]))

static const size_t sizes[] = {1, 2, 3, 10, 47, 100};
#define SIZE_COUNT (sizeof sizes / sizeof sizes[0])

START_TEST(the_distributions_are_listed)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        ck_assert_str_eq(ring_distributions()[i], names[i]);
        ck_assert(ring_default_hash(names[i]) != NULL);
    }
    ck_assert_ptr_null(ring_distributions()[NAME_COUNT]);
    ck_assert(ring_default_hash("ketoma") == NULL);
}
END_TEST

static void expect_refusal(const char *distribution, hash_fn *hash, const struct ring_member *members, size_t n,
                           const char *reason)
{
    const char *error = NULL;
    ck_assert_ptr_null(ring_create(distribution, hash, members, n, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, reason) != NULL, "`%s` where `%s` was due", error, reason);
}

START_TEST(bad_arguments_are_refused_with_a_reason)
{
    struct ring_member members[2] = {{.host = "a", .port = 1, .weight = 1}, {.host = "b", .port = 1, .weight = 1}};
    hash_fn *md5 = hash_by_name("md5");
    expect_refusal("ketoma", md5, members, 2, "distribution");
    expect_refusal("ketama", NULL, members, 2, "hash");
    for (int i = 0; i < NAME_COUNT; i++) {
        expect_refusal(names[i], md5, members, 0, "no servers");
        members[1].weight = 0;
        expect_refusal(names[i], md5, members, 2, "weight");
        members[1].weight = RING_WEIGHT_MAX + 1;
        expect_refusal(names[i], md5, members, 2, "weight");
        members[1].weight = 1;
    }
}
END_TEST

START_TEST(distributions_with_a_limit_name_it)
{
    size_t n = 65536;
    struct ring_member *members = calloc(n, sizeof *members);
    ck_assert_ptr_nonnull(members);
    for (size_t i = 0; i < n; i++)
        members[i] = (struct ring_member){.host = "a", .port = 1, .weight = RING_WEIGHT_MAX};
    expect_refusal("maglev", hash_by_name("md5"), members, n, "65535");
    expect_refusal("modulo", hash_by_name("md5"), members, n, "4294967295");
    free(members);
}
END_TEST

START_TEST(destroy_clears_the_pointer_and_takes_none)
{
    struct fleet fleet;
    fleet_init(&fleet, 3, 1);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    ring_destroy(&ring);
    ck_assert_ptr_null(ring);
    ring_destroy(&ring);
}
END_TEST

/* The members' strings may go once the ring stands. */
START_TEST(a_ring_keeps_no_hold_of_its_members)
{
    struct fleet fleet, same;
    fleet_init(&fleet, 10, 1);
    fleet_init(&same, 10, 1);
    struct ring *ring = fleet_ring(&fleet, names[_i]), *other = fleet_ring(&same, names[_i]);
    memset(&same, 'x', sizeof same);
    size_t wrong = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        wrong += ring_locate(ring, key, len) != ring_locate(other, key, len);
    }
    ck_assert_uint_eq(wrong, 0);
    ring_destroy(&ring);
    ring_destroy(&other);
}
END_TEST

START_TEST(every_server_gets_its_share)
{
    for (size_t s = 0; s < SIZE_COUNT; s++) {
        struct fleet fleet;
        fleet_init(&fleet, sizes[s], 1);
        struct ring *ring = fleet_ring(&fleet, names[_i]);
        size_t counts[FLEET_MAX] = {0};
        for (size_t i = 0; i < 100 * fleet.n; i++) {
            char key[32];
            size_t len = fleet_key(i, key);
            counts[ring_locate(ring, key, len)]++;
        }
        for (size_t i = 0; i < fleet.n; i++)
            ck_assert_msg(counts[i] >= 30 && counts[i] <= 250, "server %zu of %zu: %zu keys", i, fleet.n, counts[i]);
        ring_destroy(&ring);
    }
}
END_TEST

/* Shares follow weights 1 : 2 : 7, to a fifth of each. */
START_TEST(weights_are_followed)
{
    static const uint32_t weights[] = {1, 2, 7};
    struct fleet fleet;
    fleet_init(&fleet, 30, 1);
    for (size_t i = 0; i < fleet.n; i++)
        fleet.members[i].weight = weights[i % 3];
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    size_t counts[3] = {0};
    for (size_t i = 0; i < 100000; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        counts[ring_locate(ring, key, len) % 3]++;
    }
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(counts[i] > 8000 * weights[i] && counts[i] < 12000 * weights[i], "weight %u: %zu of 100000 keys",
                      weights[i], counts[i]);
    ring_destroy(&ring);
}
END_TEST

/* Whether explain says the same of the i-th key as locate and the hash. */
static bool is_explained(const struct ring *ring, hash_fn *hash, size_t i)
{
    char key[32];
    size_t len = fleet_key(i, key);
    struct ring_spot spot = ring_explain(ring, key, len);
    bool on_ring = ring_points(ring) == 0 || spot.index < ring_points(ring);
    return on_ring && spot.server == ring_locate(ring, key, len) && spot.hash == hash(key, len);
}

START_TEST(explain_agrees_with_locate)
{
    for (size_t s = 0; s < SIZE_COUNT; s++) {
        struct fleet fleet;
        fleet_init(&fleet, sizes[s], (uint32_t)(1 + s));
        struct ring *ring = fleet_ring(&fleet, names[_i]);
        size_t wrong = 0;
        for (size_t i = 0; i < KEY_COUNT; i++)
            wrong += !is_explained(ring, ring_default_hash(names[_i]), i);
        ck_assert_uint_eq(wrong, 0);
        ring_destroy(&ring);
    }
}
END_TEST

START_TEST(a_lone_server_is_found_without_reading_the_key)
{
    struct fleet fleet;
    fleet_init(&fleet, 1, 5);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    ck_assert_uint_eq(ring_locate(ring, NULL, 250), 0);
    ck_assert_uint_eq(ring_explain(ring, "abc", 3).hash, ring_default_hash(names[_i])("abc", 3));
    ck_assert_uint_eq(ring_explain(ring, "abc", 3).server, 0);
    ring_destroy(&ring);
}
END_TEST

START_TEST(sizes_are_told)
{
    struct fleet fleet;
    fleet_init(&fleet, 10, 1);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    ck_assert_uint_ge(ring_bytes(ring), 8 * ring_points(ring) + 16);
    ck_assert_uint_lt(ring_bytes(ring), 200000);
    bool has_points = strncmp(names[_i], "ketama", 6) == 0;
    ck_assert_uint_eq(ring_points(ring), has_points ? (strcmp(names[_i], "ketama") == 0 ? 1600 : 1000) : 0);
    ring_destroy(&ring);
}
END_TEST

/* Which servers may be chosen, and whom locate_usable asked about. */
struct health {
    bool usable[FLEET_MAX];
    size_t n;
};

static bool is_usable(const void *context, uint32_t server)
{
    const struct health *health = context;
    if (server >= health->n)
        abort();
    return health->usable[server];
}

static void health_init(struct health *health, size_t n)
{
    health->n = n;
    for (size_t i = 0; i < n; i++)
        health->usable[i] = true;
}

/* Where the i-th key goes, as things are; and where it goes when all is well. */
static uint32_t where(const struct ring *ring, size_t i, const struct health *health)
{
    char key[32];
    size_t len = fleet_key(i, key);
    return ring_locate_usable(ring, key, len, is_usable, health);
}

static uint32_t home(const struct ring *ring, size_t i)
{
    char key[32];
    size_t len = fleet_key(i, key);
    return ring_locate(ring, key, len);
}

START_TEST(with_all_usable_nothing_changes)
{
    struct fleet fleet;
    struct health health;
    fleet_init(&fleet, 47, 1);
    health_init(&health, 47);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    size_t wrong = 0;
    for (size_t i = 0; i < KEY_COUNT; i++)
        wrong += where(ring, i, &health) != home(ring, i);
    ck_assert_uint_eq(wrong, 0);
    ring_destroy(&ring);
}
END_TEST

START_TEST(with_none_usable_there_is_none)
{
    for (size_t s = 0; s < SIZE_COUNT; s++) {
        struct fleet fleet;
        struct health health = {.n = sizes[s]};
        fleet_init(&fleet, sizes[s], 3);
        struct ring *ring = fleet_ring(&fleet, names[_i]);
        for (size_t i = 0; i < 100; i++)
            ck_assert_uint_eq(where(ring, i, &health), RING_NONE);
        ring_destroy(&ring);
    }
}
END_TEST

START_TEST(the_only_usable_server_takes_all)
{
    struct fleet fleet;
    fleet_init(&fleet, 100, 1);
    for (size_t i = 0; i < fleet.n; i++)
        fleet.members[i].weight = i == 73 ? 1 : 1000000 / 100; /* ketama gives it no point, others next to no slot */
    struct health health = {.n = fleet.n};
    health.usable[73] = true;
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    for (size_t i = 0; i < 200; i++)
        ck_assert_uint_eq(where(ring, i, &health), 73);
    ring_destroy(&ring);
}
END_TEST

/*
 * Servers go down one after the other. At each step exactly the keys of the server that goes down move, and each to a
 * server that is up; when all are back, so are the keys.
 */
static void take_down_one_by_one(const char *distribution, struct fleet *fleet)
{
    struct ring *ring = fleet_ring(fleet, distribution);
    struct health health;
    health_init(&health, fleet->n);
    static uint32_t before[KEY_COUNT];
    for (size_t i = 0; i < KEY_COUNT; i++)
        before[i] = home(ring, i);
    for (size_t down = 0; down + 1 < fleet->n && down < 7; down++) {
        uint32_t victim = (uint32_t)(down * 5 % fleet->n);
        health.usable[victim] = false;
        size_t strays = 0, nowhere = 0;
        for (size_t i = 0; i < KEY_COUNT; i++) {
            uint32_t now = where(ring, i, &health);
            nowhere += now == RING_NONE || !health.usable[now];
            strays += (now != before[i]) != (before[i] == victim);
            before[i] = now;
        }
        ck_assert_msg(nowhere == 0 && strays == 0, "%s: server %u of %zu down: %zu keys nowhere, %zu strayed",
                      distribution, victim, fleet->n, nowhere, strays);
    }
    health_init(&health, fleet->n);
    size_t abroad = 0;
    for (size_t i = 0; i < KEY_COUNT; i++)
        abroad += where(ring, i, &health) != home(ring, i);
    ck_assert_uint_eq(abroad, 0);
    ring_destroy(&ring);
}

START_TEST(exactly_the_keys_of_unusable_servers_move)
{
    for (size_t s = 1; s < SIZE_COUNT; s++) {
        struct fleet fleet;
        fleet_init(&fleet, sizes[s], 1);
        take_down_one_by_one(names[_i], &fleet);
        for (size_t i = 0; i < fleet.n; i++)
            fleet.members[i].weight = (uint32_t)(1 + i * 7 % 5);
        take_down_one_by_one(names[_i], &fleet);
    }
}
END_TEST

/* No single server inherits all that a lost one had. */
START_TEST(the_keys_of_a_lost_server_spread_over_the_others)
{
    struct fleet fleet;
    struct health health;
    fleet_init(&fleet, 10, 1);
    health_init(&health, 10);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    health.usable[4] = false;
    size_t moved = 0, heirs[10] = {0};
    for (size_t i = 0; i < 20000; i++) {
        if (home(ring, i) != 4)
            continue;
        moved++;
        heirs[where(ring, i, &health)]++;
    }
    for (size_t i = 0; i < 10; i++)
        ck_assert_msg(heirs[i] * 3 < moved, "server %zu inherits %zu of %zu keys", i, heirs[i], moved);
    ck_assert_uint_eq(heirs[4], 0);
    ring_destroy(&ring);
}
END_TEST

/* With half the servers down, those that are up share what came free. */
START_TEST(the_keys_of_many_lost_servers_spread_too)
{
    struct fleet fleet;
    struct health health;
    fleet_init(&fleet, 20, 1);
    health_init(&health, 20);
    struct ring *ring = fleet_ring(&fleet, names[_i]);
    for (size_t i = 0; i < 10; i++)
        health.usable[i * 2] = false;
    size_t moved = 0, heirs[20] = {0};
    for (size_t i = 0; i < 20000; i++) {
        if (health.usable[home(ring, i)])
            continue;
        moved++;
        heirs[where(ring, i, &health)]++;
    }
    for (size_t i = 0; i < 20; i++)
        ck_assert_msg(health.usable[i] ? heirs[i] * 30 > moved && heirs[i] * 4 < moved : heirs[i] == 0,
                      "server %zu inherits %zu of %zu keys", i, heirs[i], moved);
    ring_destroy(&ring);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *plain = tcase_create("arguments");
    tcase_add_test(plain, the_distributions_are_listed);
    tcase_add_test(plain, bad_arguments_are_refused_with_a_reason);
    tcase_add_test(plain, distributions_with_a_limit_name_it);
    suite_add_tcase(suite, plain);
    TCase *each = tcase_create("each distribution");
    tcase_set_timeout(each, 600);
    tcase_add_loop_test(each, destroy_clears_the_pointer_and_takes_none, 0, NAME_COUNT);
    tcase_add_loop_test(each, a_ring_keeps_no_hold_of_its_members, 0, NAME_COUNT);
    tcase_add_loop_test(each, every_server_gets_its_share, 0, NAME_COUNT);
    tcase_add_loop_test(each, weights_are_followed, 0, NAME_COUNT);
    tcase_add_loop_test(each, explain_agrees_with_locate, 0, NAME_COUNT);
    tcase_add_loop_test(each, a_lone_server_is_found_without_reading_the_key, 0, NAME_COUNT);
    tcase_add_loop_test(each, sizes_are_told, 0, NAME_COUNT);
    tcase_add_loop_test(each, with_all_usable_nothing_changes, 0, NAME_COUNT);
    tcase_add_loop_test(each, with_none_usable_there_is_none, 0, NAME_COUNT);
    tcase_add_loop_test(each, the_only_usable_server_takes_all, 0, NAME_COUNT);
    tcase_add_loop_test(each, exactly_the_keys_of_unusable_servers_move, 0, NAME_COUNT);
    tcase_add_loop_test(each, the_keys_of_a_lost_server_spread_over_the_others, 0, NAME_COUNT);
    tcase_add_loop_test(each, the_keys_of_many_lost_servers_spread_too, 0, NAME_COUNT);
    suite_add_tcase(suite, each);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
