/*
 * Tests of routing/pool: from a key to a server, with all servers up, with some and with all down, for every
 * distribution alike.
 *
 * Loops over keys count what is wrong and assert once: an assertion costs a write.
 */
#include "routing/pool.h"

#include "tests/routing/fleet.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 2000, SERVERS_MAX = 10 };

struct site {
    struct fleet fleet;
    struct pool pool;
    struct server *servers[SERVERS_MAX];
};

static void site_init(struct site *site, const char *distribution, size_t n, bool moves_on, const char *tag)
{
    fleet_init(&site->fleet, n, 1);
    for (size_t i = 0; i < n; i++) {
        const struct server_identity identity = {
            .pool = "main", .label = site->fleet.hosts[i], .host = site->fleet.hosts[i], .port = 11212};
        site->servers[i] = server_create(&identity, (uint32_t)i, 1, NULL);
        ck_assert_ptr_nonnull(site->servers[i]);
    }
    site->pool = (struct pool){.name = "main",
                               .ring = fleet_ring(&site->fleet, distribution),
                               .servers = site->servers,
                               .server_count = n,
                               .hash_tag = {tag[0], tag[0] != '\0' ? tag[1] : '\0'},
                               .moves_on = moves_on};
}

static void site_fini(struct site *site)
{
    ring_destroy(&site->pool.ring);
    for (size_t i = 0; i < site->fleet.n; i++)
        server_destroy(&site->servers[i]);
}

static void set_down(struct site *site, size_t server, bool down)
{
    atomic_store(&site->servers[server]->down, down);
}

static void set_all_down(struct site *site)
{
    for (size_t i = 0; i < site->fleet.n; i++)
        set_down(site, i, true);
}

static struct slice key_of(size_t i)
{
    static char text[32];
    return slice_make(text, fleet_key(i, text));
}

static struct slice slice_of(const char *text)
{
    return slice_make(text, strlen(text));
}

/* The server that owns the key, by the ring alone. */
static struct server *owner_of(const struct site *site, struct slice key)
{
    return site->servers[ring_locate(site->pool.ring, key.data, key.len)];
}

/* What is not decided here is as if untouched. */
static bool plan_is(const struct site *site, const struct plan *plan, enum plan_outcome outcome,
                    const struct server *server)
{
    return plan->outcome == outcome && plan->pool == &site->pool && plan->server == server && plan->watch == 0 &&
           plan->choices.count == 0;
}

static const char *name_of(int i)
{
    return ring_distributions()[i];
}

static int count_names(void)
{
    int count = 0;
    while (name_of(count) != NULL)
        count++;
    return count;
}

/* ---- All up ---- */

START_TEST(with_all_up_a_key_goes_to_its_owner)
{
    static const size_t sizes[] = {1, 2, 3, 10};
    for (size_t size = 0; size < 4; size++) {
        for (int moves_on = 0; moves_on < 2; moves_on++) {
            struct site site;
            site_init(&site, name_of(_i), sizes[size], moves_on, "");
            int wrong = 0;
            for (size_t i = 0; i < KEYS; i++) {
                struct plan plan = pool_plan(&site.pool, key_of(i));
                wrong += !plan_is(&site, &plan, PLAN_SEND, owner_of(&site, key_of(i)));
            }
            ck_assert_msg(wrong == 0, "%s: %d keys of %zu servers", name_of(_i), wrong, sizes[size]);
            site_fini(&site);
        }
    }
}
END_TEST

/* As one by one: all up, some down, with tags; and any number of keys. */
START_TEST(many_keys_are_planned_as_each_is)
{
    for (int moves_on = 0; moves_on < 2; moves_on++) {
        struct site site;
        site_init(&site, name_of(_i), 5, moves_on, "{}");
        for (size_t n = 0; n <= POOL_KEYS_MAX; n++) {
            char texts[POOL_KEYS_MAX][80];
            struct slice keys[POOL_KEYS_MAX + 1], given[POOL_KEYS_MAX + 1];
            struct plan plans[POOL_KEYS_MAX];
            for (size_t i = 0; i < n; i++) {
                int len = snprintf(texts[i], sizeof texts[i], "%s%zu{t%zu}%.*s", i % 7 == 3 ? "{}" : "k", i * n, i,
                                   (int)(i % 50), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
                keys[i] = given[i] = slice_make(texts[i], (size_t)len);
            }
            set_down(&site, 2, n % 2);
            pool_plan_many(&site.pool, given, n, plans);
            for (size_t i = 0; i < n; i++) {
                struct plan plan = pool_plan(&site.pool, keys[i]);
                ck_assert(plan_is(&site, &plans[i], plan.outcome, plan.server));
            }
        }
        site_fini(&site);
    }
}
END_TEST

/* ---- Some down ---- */

START_TEST(without_moving_on_the_keys_of_a_server_that_is_down_are_held)
{
    struct site site;
    site_init(&site, name_of(_i), 5, false, "");
    set_down(&site, 1, true);
    set_down(&site, 4, true);
    int wrong = 0, held = 0;
    for (size_t i = 0; i < KEYS; i++) {
        const struct server *owner = owner_of(&site, key_of(i));
        struct plan plan = pool_plan(&site.pool, key_of(i));
        held += plan.outcome == PLAN_DOWN;
        wrong += !plan_is(&site, &plan, server_is_down(owner) ? PLAN_DOWN : PLAN_SEND, owner);
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_gt(held, KEYS / 5);
    site_fini(&site);
}
END_TEST

START_TEST(moving_on_exactly_the_keys_of_those_that_are_down_move)
{
    struct site site;
    site_init(&site, name_of(_i), 5, true, "");
    set_down(&site, 1, true);
    set_down(&site, 4, true);
    int wrong = 0, moved[5] = {0};
    for (size_t i = 0; i < KEYS; i++) {
        struct server *owner = owner_of(&site, key_of(i));
        struct plan plan = pool_plan(&site.pool, key_of(i));
        struct server *expected = server_is_down(owner) ? plan.server : owner;
        wrong += expected == NULL || server_is_down(expected) || !plan_is(&site, &plan, PLAN_SEND, expected);
        if (plan.server != NULL && plan.server != owner)
            moved[plan.server->slot]++;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert(moved[0] > 0 && moved[2] > 0 && moved[3] > 0); /* they spread */
    ck_assert(moved[1] == 0 && moved[4] == 0);
    site_fini(&site);
}
END_TEST

START_TEST(back_up_it_gets_its_keys_again)
{
    struct site site;
    site_init(&site, name_of(_i), 5, true, "");
    set_down(&site, 2, true);
    set_down(&site, 2, false);
    int wrong = 0;
    for (size_t i = 0; i < KEYS; i++)
        wrong += pool_plan(&site.pool, key_of(i)).server != owner_of(&site, key_of(i));
    ck_assert_int_eq(wrong, 0);
    site_fini(&site);
}
END_TEST

START_TEST(the_last_server_that_is_up_gets_all_keys)
{
    struct site site;
    site_init(&site, name_of(_i), SERVERS_MAX, true, "");
    set_all_down(&site);
    set_down(&site, 7, false);
    int wrong = 0;
    for (size_t i = 0; i < KEYS; i++) {
        struct plan plan = pool_plan(&site.pool, key_of(i));
        wrong += !plan_is(&site, &plan, PLAN_SEND, site.servers[7]);
    }
    ck_assert_int_eq(wrong, 0);
    site_fini(&site);
}
END_TEST

/* ---- All down ---- */

START_TEST(with_all_down_there_is_no_server_or_the_owner_is_down)
{
    static const size_t sizes[] = {1, 2, 10};
    for (size_t size = 0; size < 3; size++) {
        struct site moving, holding;
        site_init(&moving, name_of(_i), sizes[size], true, "");
        site_init(&holding, name_of(_i), sizes[size], false, "");
        set_all_down(&moving);
        set_all_down(&holding);
        int wrong = 0;
        for (size_t i = 0; i < KEYS; i++) {
            struct plan none = pool_plan(&moving.pool, key_of(i)), down = pool_plan(&holding.pool, key_of(i));
            wrong += !plan_is(&moving, &none, PLAN_NO_SERVER, NULL);
            wrong += !plan_is(&holding, &down, PLAN_DOWN, owner_of(&holding, key_of(i)));
        }
        ck_assert_int_eq(wrong, 0);
        site_fini(&moving);
        site_fini(&holding);
    }
}
END_TEST

/* ---- Hash tags ---- */

/* A key, and what of it decides with the tag {}. */
static const struct tagged {
    const char *key, *part;
} tagged[] = {
    {"{user:1}:name", "user:1"},
    {"a{user:1}b", "user:1"},
    {"x{a}{b}", "a"},
    {"{a", "{a"},
    {"a}", "a}"},
    {"{}a", "{}a"},
    {"}{", "}{"},
    {"{{a}}", "{a"},
    {"{a}", "a"},
    {"plain", "plain"},
    {"b}{a}", "a"},
    {"{} {a}", "{} {a}"},
    {"{ }", " "},
    {"a{b}c{", "b"},
};
enum { TAGGED = sizeof tagged / sizeof tagged[0] };

START_TEST(the_tag_decides_up_and_down)
{
    struct site site;
    site_init(&site, name_of(_i), SERVERS_MAX, true, "{}");
    for (int i = 0; i < TAGGED; i++) {
        struct slice key = slice_of(tagged[i].key), part = slice_of(tagged[i].part);
        struct server *owner = owner_of(&site, part);
        ck_assert_msg(pool_plan(&site.pool, key).server == owner, "%s", tagged[i].key);
        set_down(&site, owner->slot, true);
        const struct server *next = pool_plan(&site.pool, key).server;
        ck_assert(next != owner);
        struct pool plain = site.pool;
        plain.hash_tag[0] = '\0';
        ck_assert_msg(next == pool_plan(&plain, part).server, "%s, moved on", tagged[i].key);
        set_down(&site, owner->slot, false);
        struct ring_spot spot = pool_explain(&site.pool, key), expected = pool_explain(&plain, part);
        ck_assert_uint_eq(spot.hash, expected.hash);
        ck_assert_uint_eq(spot.point, expected.point);
        ck_assert_uint_eq(spot.server, owner->slot);
    }
    site_fini(&site);
}
END_TEST

START_TEST(without_a_tag_the_whole_key_decides)
{
    struct site site;
    site_init(&site, name_of(_i), SERVERS_MAX, true, "");
    int apart = 0;
    for (int i = 0; i < TAGGED; i++) {
        struct slice key = slice_of(tagged[i].key);
        struct server *server = pool_plan(&site.pool, key).server;
        ck_assert_ptr_eq(server, owner_of(&site, key));
        apart += server != owner_of(&site, slice_of(tagged[i].part));
    }
    ck_assert_int_gt(apart, 0);
    site_fini(&site);
}
END_TEST

/* Nothing behind the key's end may be read, nor counted: it is a slice of a request. */
START_TEST(the_key_ends_with_its_length)
{
    struct site site;
    site_init(&site, name_of(_i), SERVERS_MAX, true, "{}");
    const char request[] = "x{abc}y";
    for (size_t len = 1; len < sizeof request; len++) {
        char *key = malloc(len);
        ck_assert_ptr_nonnull(key);
        memcpy(key, request, len);
        struct slice part = len >= strlen("x{abc}") ? slice_of("abc") : slice_make(key, len);
        ck_assert_ptr_eq(pool_plan(&site.pool, slice_make(key, len)).server, owner_of(&site, part));
        ck_assert_ptr_eq(pool_plan(&site.pool, slice_make(request, len)).server, owner_of(&site, part));
        free(key);
    }
    site_fini(&site);
}
END_TEST

/* ---- Explaining ---- */

START_TEST(explaining_does_not_look_at_health)
{
    struct site site;
    site_init(&site, name_of(_i), 5, true, "");
    struct ring_spot *before = calloc(KEYS, sizeof *before);
    ck_assert_ptr_nonnull(before);
    int wrong = 0;
    for (size_t i = 0; i < KEYS; i++) {
        before[i] = pool_explain(&site.pool, key_of(i));
        wrong += site.servers[before[i].server] != pool_plan(&site.pool, key_of(i)).server;
    }
    for (size_t down = 0; down < 5; down++) {
        set_down(&site, down, true); /* one more, and all of them in the end */
        for (size_t i = 0; i < KEYS; i++) {
            struct ring_spot spot = pool_explain(&site.pool, key_of(i));
            wrong += spot.server != before[i].server || spot.hash != before[i].hash || spot.point != before[i].point ||
                     spot.index != before[i].index;
        }
    }
    ck_assert_int_eq(wrong, 0);
    free(before);
    site_fini(&site);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("pool");
    int names = count_names();
    tcase_add_loop_test(tcase, with_all_up_a_key_goes_to_its_owner, 0, names);
    tcase_add_loop_test(tcase, many_keys_are_planned_as_each_is, 0, names);
    tcase_add_loop_test(tcase, without_moving_on_the_keys_of_a_server_that_is_down_are_held, 0, names);
    tcase_add_loop_test(tcase, moving_on_exactly_the_keys_of_those_that_are_down_move, 0, names);
    tcase_add_loop_test(tcase, back_up_it_gets_its_keys_again, 0, names);
    tcase_add_loop_test(tcase, the_last_server_that_is_up_gets_all_keys, 0, names);
    tcase_add_loop_test(tcase, with_all_down_there_is_no_server_or_the_owner_is_down, 0, names);
    tcase_add_loop_test(tcase, the_tag_decides_up_and_down, 0, names);
    tcase_add_loop_test(tcase, without_a_tag_the_whole_key_decides, 0, names);
    tcase_add_loop_test(tcase, the_key_ends_with_its_length, 0, names);
    tcase_add_loop_test(tcase, explaining_does_not_look_at_health, 0, names);
    return suite_run("pool", tcase);
}
