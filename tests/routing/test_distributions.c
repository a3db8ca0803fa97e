/*
 * Tests of each distribution's own promises: published values, movement of keys, order of servers; and of the
 * continuum's search against a plain one.
 */
#include "routing/continuum.h"
#include "routing/hash.h"
#include "routing/jump.h"
#include "routing/md5.h"
#include "routing/ring.h"
#include "tests/routing/fleet.h"
#include "tests/routing/keys.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT 20000

/* The plain search that the continuum's must equal. */
static size_t search_plainly(const struct continuum *continuum, uint32_t hash)
{
    size_t at = 0;
    while (at < continuum->count && continuum->points[at].value < hash)
        at++;
    return at;
}

/* Where the points of a test lie: over the whole circle, in a corner of it, at its end, or few values many times. */
static uint32_t point_value(int kind, uint64_t draw)
{
    static const uint32_t masks[] = {UINT32_MAX, 0x7fff, 0xfff, 0x80000007u};
    uint32_t value = (uint32_t)(draw >> 32) & masks[kind];
    return kind == 2 ? UINT32_MAX - value : value;
}

static void continuum_fill(struct continuum *continuum, int kind, size_t count)
{
    uint64_t state = 5;
    ck_assert_int_eq(continuum_init(continuum, count), 0);
    for (size_t i = 0; i < count; i++)
        continuum_add(continuum, point_value(kind, keys_random(&state)), (uint32_t)i);
    ck_assert_int_eq(continuum_seal(continuum), 0);
    ck_assert_uint_eq(continuum->count, count);
}

static size_t count_wrong_searches(const struct continuum *continuum)
{
    uint64_t state = 6;
    size_t wrong = 0;
    for (size_t i = 0; i < continuum->count; i++) {
        uint32_t value = continuum->points[i].value;
        for (uint32_t hash = value - 1; hash != value + 2; hash++)
            wrong += continuum_search(continuum, hash) != search_plainly(continuum, hash);
        uint32_t hash = (uint32_t)keys_random(&state);
        wrong += continuum_search(continuum, hash) != search_plainly(continuum, hash);
    }
    wrong += continuum_search(continuum, 0) != 0;
    wrong += continuum_search(continuum, UINT32_MAX) != search_plainly(continuum, UINT32_MAX);
    return wrong;
}

START_TEST(the_search_equals_a_plain_one)
{
    static const size_t counts[] = {1, 2, 3, 5, 8, 160, 1000, 4001};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct continuum continuum;
        continuum_fill(&continuum, _i, counts[c]);
        ck_assert_uint_eq(count_wrong_searches(&continuum), 0);
        continuum_fini(&continuum);
    }
}
END_TEST

START_TEST(points_stand_in_order_and_ties_in_the_order_of_adding)
{
    struct continuum continuum;
    continuum_fill(&continuum, _i, 4001);
    size_t wrong = 0;
    for (size_t i = 1; i < continuum.count; i++) {
        struct continuum_point before = continuum.points[i - 1], here = continuum.points[i];
        wrong += before.value > here.value || (before.value == here.value && before.server >= here.server);
    }
    ck_assert_uint_eq(wrong, 0);
    /* The wrap leads to the first point's server. */
    ck_assert_uint_eq(continuum.points[continuum.count].server, continuum.points[0].server);
    continuum_fini(&continuum);
}
END_TEST

/* Single precision decides: 39 digests of four points, not 40, at these sizes. */
START_TEST(equal_servers_get_156_points_at_some_sizes)
{
    static const size_t short_sizes[] = {25, 47, 50, 55, 61, 71, 94, 100};
    size_t at = 0;
    for (size_t n = 1; n <= 100; n++) {
        struct fleet fleet;
        fleet_init(&fleet, n, 1);
        struct ring *ring = fleet_ring(&fleet, "ketama");
        if (ring_points(ring) == 160 * n) {
            ring_destroy(&ring);
            continue;
        }
        ck_assert_uint_eq(ring_points(ring), 156 * n);
        if (at < sizeof short_sizes / sizeof short_sizes[0] && short_sizes[at] == n)
            at++;
        ring_destroy(&ring);
    }
    ck_assert_uint_eq(at, sizeof short_sizes / sizeof short_sizes[0]);
}
END_TEST

/* How many of the keys two rings place differently. */
static size_t count_differences(const char *distribution, const char *hash, const struct ring_member *left,
                                const struct ring_member *right, size_t n)
{
    const char *error;
    struct ring *a = ring_create(distribution, hash_by_name(hash), left, n, &error);
    struct ring *b = ring_create(distribution, hash_by_name(hash), right, n, &error);
    ck_assert(a != NULL && b != NULL);
    size_t different = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        different += ring_locate(a, key, len) != ring_locate(b, key, len);
    }
    ring_destroy(&a);
    ring_destroy(&b);
    return different;
}

struct naming {
    const char *distribution;
    struct ring_member member;
    const char *name; /* what the member is called when it has no name of its own */
};

static const struct naming namings[] = {
    {"ketama", {.host = "10.0.0.1", .port = 11212, .weight = 1}, "10.0.0.1:11212"},
    {"ketama", {.host = "10.0.0.1", .port = 11211, .weight = 1}, "10.0.0.1"},
    {"ketama", {.host = "::1", .port = 11212, .weight = 1}, "::1:11212"},
    {"ketama", {.host = "/run/m.sock", .weight = 1}, "/run/m.sock:"},
    {"ketama-libmemcached", {.host = "db", .port = 11211, .weight = 1}, "db"},
    {"ketama-libmemcached", {.host = "db", .port = 1, .weight = 1}, "db:1"},
    {"ketama-libmemcached", {.host = "/run/m.sock", .weight = 1}, "/run/m.sock:0"},
    {"ketama-spy", {.host = "db", .port = 11211, .weight = 1}, "/db:11211"},
    {"ketama-spy", {.host = "/run/m.sock", .weight = 1}, "//run/m.sock:0"},
    {"rendezvous", {.host = "10.0.0.1", .port = 11211, .weight = 1}, "10.0.0.1:11211"},
    {"rendezvous", {.host = "::1", .port = 11212, .weight = 1}, "[::1]:11212"},
    {"rendezvous", {.host = "/run/m.sock", .weight = 1}, "unix:/run/m.sock"},
    {"maglev", {.host = "db", .port = 11211, .weight = 1}, "db:11211"},
};

START_TEST(a_server_without_a_name_is_called_by_its_address)
{
    const struct naming *naming = &namings[_i];
    struct ring_member left[2] = {naming->member, {.name = "other", .weight = 1}};
    struct ring_member right[2] = {{.name = naming->name, .host = "elsewhere", .port = 9, .weight = 1}, left[1]};
    ck_assert_uint_eq(count_differences(naming->distribution, "md5", left, right, 2), 0);
    right[0].name = "not it";
    ck_assert_uint_gt(count_differences(naming->distribution, "md5", left, right, 2), KEY_COUNT / 10);
}
END_TEST

/*
 * spymemcached's own ring, as its documentation gives it: 160 points a server at all sizes, NAME-j with j < 40, where
 * NAME is ip:port. How many keys `ketama` with that name places elsewhere.
 */
static size_t count_differences_to_spymemcached(size_t n)
{
    struct fleet fleet;
    char names[FLEET_MAX][48];
    struct continuum theirs;
    fleet_init(&fleet, n, 1);
    ck_assert_int_eq(continuum_init(&theirs, 160 * n), 0);
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s:%u", fleet.hosts[i], (unsigned)fleet.members[i].port);
        fleet.members[i].name = names[i];
        for (int j = 0; j < 40; j++) {
            char text[64];
            uint32_t words[4];
            md5_words(text, (size_t)snprintf(text, sizeof text, "%s-%d", names[i], j), words);
            for (int w = 0; w < 4; w++)
                continuum_add(&theirs, words[w], (uint32_t)i);
        }
    }
    ck_assert_int_eq(continuum_seal(&theirs), 0);
    struct ring *ring = fleet_ring(&fleet, "ketama");
    size_t different = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        uint32_t server = theirs.points[search_plainly(&theirs, md5_first_word(key, len))].server;
        different += server != ring_locate(ring, key, len);
    }
    ring_destroy(&ring);
    continuum_fini(&theirs);
    return different;
}

START_TEST(ketama_with_ip_and_port_as_name_is_spymemcached_but_at_156_points)
{
    ck_assert_uint_eq(count_differences_to_spymemcached(3), 0);
    ck_assert_uint_eq(count_differences_to_spymemcached(10), 0);
    size_t different = count_differences_to_spymemcached(25);
    ck_assert(different > KEY_COUNT / 100 && different < KEY_COUNT / 25);
}
END_TEST

/* How many keys are not where the list of servers, hash modulo its length, has them. */
static size_t count_off_list(const struct ring_member members[3], const uint32_t list[6])
{
    const char *error;
    hash_fn *hash = hash_by_name("crc32a");
    struct ring *ring = ring_create("modulo", hash, members, 3, &error);
    ck_assert_ptr_nonnull(ring);
    size_t wrong = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        wrong += ring_locate(ring, key, len) != list[hash(key, len) % 6];
    }
    ring_destroy(&ring);
    return wrong;
}

START_TEST(modulo_repeats_a_server_by_weight)
{
    struct ring_member members[3] = {{.host = "a", .port = 1, .weight = 2},
                                     {.host = "b", .port = 1, .weight = 1},
                                     {.host = "c", .port = 1, .weight = 3}};
    ck_assert_uint_eq(count_off_list(members, (const uint32_t[]){0, 0, 1, 2, 2, 2}), 0);
    members[1].weight = 2;
    members[2].weight = 2;
    ck_assert_uint_eq(count_off_list(members, (const uint32_t[]){0, 0, 1, 1, 2, 2}), 0);
}
END_TEST

START_TEST(jump_gives_published_values)
{
    ck_assert_uint_eq(jump_bucket(1, 1), 0);
    ck_assert_uint_eq(jump_bucket(42, 57), 43);
    ck_assert_uint_eq(jump_bucket(0xDEAD10CC, 1), 0);
    ck_assert_uint_eq(jump_bucket(0xDEAD10CC, 666), 361);
    ck_assert_uint_eq(jump_bucket(256, 1024), 520);
}
END_TEST

/* A key whose first jump would end exactly behind the last of two buckets: it stays in the first. */
START_TEST(jump_to_the_very_end_is_past_it)
{
    const uint64_t factor = 2862933555777941757u;
    uint64_t inverse = 1;
    for (int i = 0; i < 6; i++)
        inverse *= 2 - factor * inverse; /* Newton: doubles the right bits */
    uint64_t after_one_step = (((uint64_t)1 << 30) - 1) << 33;
    uint64_t key = (after_one_step - 1) * inverse;
    ck_assert_uint_eq(key * factor + 1, after_one_step);
    ck_assert_uint_eq(jump_bucket(key, 2), 0);
    ck_assert_uint_eq(jump_bucket(key, 1), 0);
}
END_TEST

/* Key by key: one bucket more, and a key stays or goes to the new one. Huge tables stay in range. */
START_TEST(jump_only_moves_keys_to_the_new_bucket)
{
    uint64_t state = 7;
    size_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        uint64_t key = keys_random(&state), before = 0;
        for (uint64_t buckets = 1; buckets <= 200; buckets++) {
            uint64_t bucket = jump_bucket(key, buckets);
            wrong += bucket != before && bucket != buckets - 1;
            before = bucket;
        }
        wrong += jump_bucket(key, (uint64_t)1 << 40) >= (uint64_t)1 << 40;
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* Keys that move between two fleets, and how many of these neither leave `special` nor go to it. */
struct movement {
    size_t moved, strayed;
};

static struct movement compare_fleets(const char *distribution, const struct fleet *before, const struct fleet *after,
                                      const char *special)
{
    struct ring *old_ring = fleet_ring(before, distribution), *new_ring = fleet_ring(after, distribution);
    struct movement movement = {0, 0};
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *from = fleet_owner(before, old_ring, i), *to = fleet_owner(after, new_ring, i);
        if (strcmp(from, to) == 0)
            continue;
        movement.moved++;
        movement.strayed += strcmp(from, special) != 0 && strcmp(to, special) != 0;
    }
    ring_destroy(&old_ring);
    ring_destroy(&new_ring);
    return movement;
}

static const char *const by_identity[] = {"rendezvous", "maglev"};

START_TEST(the_order_of_servers_does_not_matter)
{
    struct fleet fleet, turned;
    fleet_init(&fleet, 20, 1);
    fleet_init(&turned, 20, 1);
    for (size_t i = 0; i < 20; i++) {
        fleet.members[i].weight = (uint32_t)(1 + i % 4);
        turned.members[19 - i] = fleet.members[i];
    }
    ck_assert_uint_eq(compare_fleets(by_identity[_i], &fleet, &turned, "").moved, 0);
}
END_TEST

START_TEST(weights_count_by_their_proportion)
{
    struct fleet light, heavy;
    fleet_init(&light, 20, 1);
    fleet_init(&heavy, 20, 1);
    for (size_t i = 0; i < 20; i++) {
        light.members[i].weight = (uint32_t)(1 + i % 4);
        heavy.members[i].weight = 250000 * light.members[i].weight;
    }
    ck_assert_uint_eq(compare_fleets(by_identity[_i], &light, &heavy, "").moved, 0);
}
END_TEST

/* A server in the middle leaves: 1 / n of the keys move, and rendezvous moves none of the others' keys. */
START_TEST(a_server_leaves)
{
    struct fleet before, after;
    fleet_init(&before, 20, 1);
    fleet_init(&after, 20, 1);
    fleet_remove(&after, 7);
    struct movement movement = compare_fleets(by_identity[_i], &before, &after, "10.0.0.8");
    ck_assert_uint_gt(movement.moved, KEY_COUNT / 20 * 8 / 10);
    ck_assert_uint_lt(movement.moved, KEY_COUNT / 20 * 15 / 10);
    ck_assert_uint_le(movement.strayed, strcmp(by_identity[_i], "rendezvous") == 0 ? 0 : KEY_COUNT / 50);
}
END_TEST

START_TEST(a_heavier_server_only_takes)
{
    struct fleet before, after;
    fleet_init(&before, 20, 4);
    fleet_init(&after, 20, 4);
    before.members[3].weight = 5; /* unequal before and after: both use logarithms */
    after.members[3].weight = 5;
    after.members[7].weight = 8;
    struct movement movement = compare_fleets("rendezvous", &before, &after, "10.0.0.8");
    ck_assert_uint_gt(movement.moved, KEY_COUNT / 30);
    ck_assert_uint_eq(movement.strayed, 0);
    /* From equal weights to unequal ones the rule changes, and still nothing strays. */
    before.members[3].weight = 4;
    after.members[3].weight = 4;
    movement = compare_fleets("rendezvous", &before, &after, "10.0.0.8");
    ck_assert_uint_gt(movement.moved, KEY_COUNT / 30);
    ck_assert_uint_eq(movement.strayed, 0);
}
END_TEST

/* Shares of keys against weights from 1 to 50, over many keys: within four standard deviations. */
START_TEST(rendezvous_and_maglev_follow_weights_closely)
{
    static const uint32_t weights[] = {1, 2, 5, 10, 32, 50};
    const size_t keys = 200000;
    struct fleet fleet;
    size_t counts[6] = {0};
    fleet_init(&fleet, 6, 1);
    for (size_t i = 0; i < 6; i++)
        fleet.members[i].weight = weights[i];
    struct ring *ring = fleet_ring(&fleet, by_identity[_i]);
    for (size_t i = 0; i < keys; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        counts[ring_locate(ring, key, len)]++;
    }
    for (size_t i = 0; i < 6; i++) {
        double due = (double)keys * weights[i] / 100, off = (double)counts[i] - due;
        ck_assert_msg(off * off < 16 * due, "weight %u: %zu of %zu keys", weights[i], counts[i], keys);
    }
    ring_destroy(&ring);
}
END_TEST

/*
 * Placement must never change between versions: these checksums over many keys are the promise. The rings that equal
 * other systems are held by those systems.
 */
struct promise {
    const char *distribution;
    uint32_t even, weighted;
};

static const struct promise promises[] = {
    {"jump", 1351793023u, 810311884u},
    {"rendezvous", 3826030850u, 2574898376u},
    {"maglev", 3166082120u, 3730211913u},
};

static uint32_t checksum(const struct fleet *fleet, const char *distribution)
{
    struct ring *ring = fleet_ring(fleet, distribution);
    uint32_t sum = 0;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char key[32];
        size_t len = fleet_key(i, key);
        sum = sum * 31 + ring_locate(ring, key, len);
    }
    ring_destroy(&ring);
    return sum;
}

START_TEST(placement_stays_what_it_was)
{
    const struct promise *promise = &promises[_i];
    struct fleet fleet;
    fleet_init(&fleet, 10, 1);
    ck_assert_uint_eq(checksum(&fleet, promise->distribution), promise->even);
    for (size_t i = 0; i < 10; i++)
        fleet.members[i].weight = (uint32_t)(1 + i);
    ck_assert_uint_eq(checksum(&fleet, promise->distribution), promise->weighted);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static TCase *create_continuum_case(void)
{
    TCase *tcase = tcase_create("continuum");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, the_search_equals_a_plain_one, 0, 4);
    tcase_add_loop_test(tcase, points_stand_in_order_and_ties_in_the_order_of_adding, 0, 4);
    tcase_add_test(tcase, equal_servers_get_156_points_at_some_sizes);
    tcase_add_loop_test(tcase, a_server_without_a_name_is_called_by_its_address, 0, COUNT(namings));
    tcase_add_test(tcase, ketama_with_ip_and_port_as_name_is_spymemcached_but_at_156_points);
    return tcase;
}

static TCase *create_hashing_case(void)
{
    TCase *tcase = tcase_create("without a continuum");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, modulo_repeats_a_server_by_weight);
    tcase_add_test(tcase, jump_gives_published_values);
    tcase_add_test(tcase, jump_to_the_very_end_is_past_it);
    tcase_add_test(tcase, jump_only_moves_keys_to_the_new_bucket);
    tcase_add_loop_test(tcase, the_order_of_servers_does_not_matter, 0, COUNT(by_identity));
    tcase_add_loop_test(tcase, weights_count_by_their_proportion, 0, COUNT(by_identity));
    tcase_add_loop_test(tcase, a_server_leaves, 0, COUNT(by_identity));
    tcase_add_test(tcase, a_heavier_server_only_takes);
    tcase_add_loop_test(tcase, rendezvous_and_maglev_follow_weights_closely, 0, COUNT(by_identity));
    tcase_add_loop_test(tcase, placement_stays_what_it_was, 0, COUNT(promises));
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("distributions");
    suite_add_tcase(suite, create_continuum_case());
    suite_add_tcase(suite, create_hashing_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
