/*
 * Tests of pool/health: who may be ejected and when ejecting stops, with pools of every size; what a return changes;
 * what is kept of a server that leaves; and reports from many threads. Counting failures in a row is in test_upstream.c
 * and test_failures.c.
 */
#include "pool/health.h"

#include "base/log.h"
#include "tests/support/clock.h"
#include "tests/support/suite.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MEMBERS_MAX = 20, WORKERS = 2 };

struct ward {
    struct health *health;
    struct server *servers[MEMBERS_MAX];
    uint32_t count;
    atomic_uint downs;
    struct server *last_down;
    bool heal; /* on_down is to bring the server back at once */
};

/* It could not take the lock, nor ask for the settings, if the reporting thread held the lock. */
static void on_down(void *context, struct server *server)
{
    struct ward *ward = context;
    ck_assert_int_eq(pthread_mutex_trylock(&ward->health->lock), 0);
    pthread_mutex_unlock(&ward->health->lock);
    ck_assert(server_is_down(server));
    atomic_fetch_add(&ward->downs, 1);
    ward->last_down = server;
    if (ward->heal)
        health_report_up(server);
}

static void limit(struct ward *ward, uint32_t panic_percent, uint32_t members)
{
    const struct health_settings settings = {.failures = 3, .panic_percent = panic_percent};
    health_configure(ward->health, &settings, members);
}

static void ward_init(struct ward *ward, uint32_t count, uint32_t panic_percent,
                      void (*down)(void *context, struct server *server))
{
    memset(ward, 0, sizeof *ward);
    log_configure(LOG_LEVEL_ERROR, false);
    ward->count = count;
    ward->health = health_create("main", down, ward);
    ck_assert_ptr_nonnull(ward->health);
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        char label[16];
        snprintf(label, sizeof label, "server%u", i);
        const struct server_identity identity = {.pool = "main", .label = label, .host = "127.0.0.1", .port = 1};
        ward->servers[i] = server_create(&identity, i, WORKERS, ward->health);
        ck_assert_ptr_nonnull(ward->servers[i]);
    }
    limit(ward, panic_percent, count);
}

static void ward_fini(struct ward *ward)
{
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        server_destroy(&ward->servers[i]);
    health_destroy(&ward->health);
    ck_assert_ptr_null(ward->health);
}

static uint32_t count_down(const struct ward *ward)
{
    uint32_t down = 0;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        down += server_is_down(ward->servers[i]);
    return down;
}

/* Reports all down; how many are then, which is what the health believes too. */
static uint32_t fell(struct ward *ward)
{
    for (uint32_t i = 0; i < ward->count; i++) {
        bool down = health_report_down(ward->servers[i], "test");
        ck_assert_int_eq(down, server_is_down(ward->servers[i]));
    }
    ck_assert_uint_eq(ward->health->down, count_down(ward));
    return ward->health->down;
}

/* ---- The limit ---- */

static const struct share {
    uint32_t members, percent, ejected;
} shares[] = {
    {1, 0, 0},   {1, 50, 0},    {1, 99, 0}, {1, 100, 1}, {2, 0, 0},   {2, 49, 0},  {2, 50, 1},  {2, 99, 1},
    {2, 100, 2}, {3, 0, 0},     {3, 33, 0}, {3, 34, 1},  {3, 50, 1},  {3, 66, 1},  {3, 67, 2},  {3, 99, 2},
    {3, 100, 3}, {10, 0, 0},    {10, 9, 0}, {10, 10, 1}, {10, 19, 1}, {10, 20, 2}, {10, 50, 5}, {10, 59, 5},
    {10, 99, 9}, {10, 100, 10}, {7, 14, 0}, {7, 15, 1},  {20, 4, 0},  {20, 5, 1},
};

START_TEST(never_more_than_the_share_is_ejected)
{
    struct ward ward;
    const struct share *share = &shares[_i];
    ward_init(&ward, share->members, share->percent, on_down);
    uint32_t down = fell(&ward);
    ck_assert_msg(down == share->ejected, "%u of %u at %u%%", down, share->members, share->percent);
    ck_assert_uint_eq(ward.downs, down);
    ck_assert_int_eq(ward.health->panicking, down < share->members);
    ck_assert_uint_eq(fell(&ward), down); /* nor by insisting */
    ck_assert_uint_eq(ward.downs, down);
    ward_fini(&ward);
}
END_TEST

START_TEST(a_pool_without_settings_ejects_nobody)
{
    struct ward ward;
    ward_init(&ward, 0, 100, on_down);
    ck_assert(!health_report_down(ward.servers[0], "test"));
    ck_assert(!server_is_down(ward.servers[0]));
    ck_assert_uint_eq(ward.downs, 0);
    ward_fini(&ward);
}
END_TEST

START_TEST(a_large_pool_does_not_overflow)
{
    struct ward ward;
    ward_init(&ward, 2, 100, on_down);
    limit(&ward, 100, UINT32_MAX);
    ward.health->down = UINT32_MAX - 2;
    ck_assert(health_report_down(ward.servers[0], "test"));
    limit(&ward, 99, UINT32_MAX);
    ck_assert(!health_report_down(ward.servers[1], "test"));
    ward_fini(&ward);
}
END_TEST

/* ---- Down and up ---- */

START_TEST(an_ejection_is_told_once)
{
    struct ward ward;
    ward_init(&ward, 2, 100, on_down);
    clock_skip_us(1234567);
    ck_assert(health_report_down(ward.servers[1], "test"));
    ck_assert_ptr_eq(ward.last_down, ward.servers[1]);
    ck_assert_int_eq(ward.servers[1]->down_since_us, CLOCK_START_NS / 1000 + 1234567);
    clock_skip_us(1);
    ck_assert(health_report_down(ward.servers[1], "test"));
    ck_assert_uint_eq(ward.downs, 1);
    ck_assert_uint_eq(ward.servers[1]->ejections, 1);
    ck_assert_int_eq(ward.servers[1]->down_since_us, CLOCK_START_NS / 1000 + 1234567);
    ck_assert_uint_eq(ward.health->down, 1);
    ck_assert(!server_is_down(ward.servers[0]));
    clock_rewind();
    ward_fini(&ward);
}
END_TEST

START_TEST(a_server_that_is_back_can_go_down_again)
{
    struct ward ward;
    ward_init(&ward, 2, 50, on_down);
    for (unsigned i = 1; i <= 5; i++) {
        ck_assert(health_report_down(ward.servers[i % 2], "test"));
        ck_assert_uint_eq(ward.downs, i);
        health_report_up(ward.servers[i % 2]);
        ck_assert(!server_is_down(ward.servers[i % 2]));
        ck_assert_uint_eq(ward.health->down, 0);
    }
    ck_assert_uint_eq(ward.servers[0]->ejections, 2);
    ck_assert_uint_eq(ward.servers[1]->ejections, 3);
    ward_fini(&ward);
}
END_TEST

START_TEST(panic_ends_with_a_return)
{
    struct ward ward;
    ward_init(&ward, 3, 34, on_down);
    ck_assert(health_report_down(ward.servers[0], "test"));
    ck_assert(!ward.health->panicking);
    ck_assert(!health_report_down(ward.servers[1], "test"));
    ck_assert(ward.health->panicking);
    health_report_up(ward.servers[1]); /* it was never down: nobody has returned */
    ck_assert(ward.health->panicking);
    ck_assert_uint_eq(ward.health->down, 1);
    health_report_up(ward.servers[0]);
    ck_assert(!ward.health->panicking);
    ck_assert(health_report_down(ward.servers[1], "test"));
    ward_fini(&ward);
}
END_TEST

START_TEST(up_without_down_changes_nothing)
{
    struct ward ward;
    ward_init(&ward, 3, 34, on_down);
    health_report_up(ward.servers[0]);
    health_report_up(ward.servers[0]);
    ck_assert_uint_eq(ward.health->down, 0);
    ck_assert_uint_eq(fell(&ward), 1);
    ward_fini(&ward);
}
END_TEST

/* What a prober without memory does. */
START_TEST(on_down_may_bring_the_server_back)
{
    struct ward ward;
    ward_init(&ward, 2, 50, on_down);
    ward.heal = true;
    ck_assert(health_report_down(ward.servers[0], "test"));
    ck_assert(!server_is_down(ward.servers[0]));
    ck_assert_uint_eq(ward.health->down, 0);
    ward_fini(&ward);
}
END_TEST

/* ---- Reloads ---- */

START_TEST(settings_are_those_of_the_last_reload)
{
    struct ward ward;
    ward_init(&ward, 2, 50, on_down);
    const struct health_settings given = {.failures = 9,
                                          .probe_ms = 10,
                                          .probe_max_ms = 20,
                                          .panic_percent = 30,
                                          .timeout_ms = 40,
                                          .flush_on_return = true};
    health_configure(ward.health, &given, 2);
    struct health_settings found = health_settings(ward.health);
    ck_assert_uint_eq(found.failures, 9);
    ck_assert_uint_eq(found.probe_ms, 10);
    ck_assert_uint_eq(found.probe_max_ms, 20);
    ck_assert_uint_eq(found.panic_percent, 30);
    ck_assert_uint_eq(found.timeout_ms, 40);
    ck_assert(found.flush_on_return);
    ward_fini(&ward);
}
END_TEST

START_TEST(a_reload_leaves_those_down_that_are_down)
{
    struct ward ward;
    ward_init(&ward, 10, 50, on_down);
    ck_assert_uint_eq(fell(&ward), 5);
    limit(&ward, 0, 10);
    ck_assert_uint_eq(count_down(&ward), 5);
    ck_assert(health_report_down(ward.servers[0], "test")); /* it already is */
    ck_assert(!health_report_down(ward.servers[9], "test"));
    ck_assert_uint_eq(ward.downs, 5);
    limit(&ward, 60, 10);
    ck_assert_uint_eq(fell(&ward), 6);
    ward_fini(&ward);
}
END_TEST

START_TEST(the_share_is_of_the_members_there_are_now)
{
    struct ward ward;
    ward_init(&ward, 10, 50, on_down);
    ck_assert_uint_eq(fell(&ward), 5);
    ward.count = MEMBERS_MAX;
    limit(&ward, 50, 20);
    ck_assert_uint_eq(fell(&ward), 10);
    limit(&ward, 50, 4);
    for (uint32_t i = 0; i < 9; i++)
        health_report_up(ward.servers[i]);
    ck_assert_uint_eq(ward.health->down, 1);
    ck_assert_uint_eq(fell(&ward), 2);
    ward_fini(&ward);
}
END_TEST

/* ---- Leaving ---- */

static void count_all(struct server *server, uint64_t n)
{
    for (unsigned worker = 0; worker < WORKERS; worker++) {
#define X(name, help) counter_add(&server->stats[worker].name, ++n);
        SERVER_COUNTERS(X)
#undef X
    }
    server_record_latency(&server->stats[1], 250);
    server->ejections += 2;
    server->probes += 3;
    server->probe_failures += 5;
    server->flushes += 7;
}

START_TEST(the_counters_of_those_who_left_are_kept)
{
    struct ward ward;
    ward_init(&ward, 3, 100, on_down);
    static struct server_stats expected; /* not on the stack: AddressSanitizer's does not align it */
    memset((void *)&expected, 0, sizeof expected);
    for (uint32_t i = 0; i < 2; i++) {
        count_all(ward.servers[i], 100 * i);
        for (unsigned worker = 0; worker < WORKERS; worker++)
            server_stats_add(&expected, &ward.servers[i]->stats[worker]);
    }
    count_all(ward.servers[2], 5000); /* it stays */
    health_forget(ward.servers[0]);
    server_destroy(&ward.servers[0]);
    health_forget(ward.servers[1]);
    server_destroy(&ward.servers[1]);
    const struct health *health = ward.health;
#define X(name, help) ck_assert_uint_eq(counter_read(&health->retired.name), counter_read(&expected.name));
    SERVER_COUNTERS(X)
#undef X
    ck_assert_uint_eq(histogram_count(&health->retired_latency), 2);
    ck_assert_uint_eq(counter_read(&health->retired_latency.buckets[histogram_bucket(250)]), 2);
    ck_assert_uint_eq(health->retired_ejections, 4);
    ck_assert_uint_eq(health->retired_probes, 6);
    ck_assert_uint_eq(health->retired_probe_failures, 10);
    ck_assert_uint_eq(health->retired_flushes, 14);
    ward_fini(&ward);
}
END_TEST

START_TEST(a_server_that_has_left_counts_no_more)
{
    struct ward ward;
    ward_init(&ward, 4, 50, on_down);
    ck_assert_uint_eq(fell(&ward), 2);
    limit(&ward, 50, 3);
    health_forget(ward.servers[0]); /* down */
    ck_assert(!server_is_down(ward.servers[0]));
    ck_assert_uint_eq(ward.health->down, 1);
    ck_assert_uint_eq(ward.health->retired_ejections, 1);
    limit(&ward, 50, 2);
    health_forget(ward.servers[3]); /* up */
    ck_assert_uint_eq(ward.health->down, 1);
    ck_assert(!health_report_down(ward.servers[2], "test"));
    health_report_up(ward.servers[1]);
    ck_assert(health_report_down(ward.servers[2], "test"));
    ward_fini(&ward);
}
END_TEST

/* ---- Threads ---- */

enum { REPORTERS = 4, ROUNDS = 20000 };

struct reporter {
    pthread_t thread;
    struct ward *ward;
    unsigned number;
};

static pthread_barrier_t start;

static void count_ejection(void *context, struct server *server)
{
    (void)server;
    atomic_fetch_add(&((struct ward *)context)->downs, 1);
}

static void report_from_threads(struct ward *ward, void *(*main_of_thread)(void *context))
{
    struct reporter reporters[REPORTERS];
    ck_assert_int_eq(pthread_barrier_init(&start, NULL, REPORTERS), 0);
    for (unsigned i = 0; i < REPORTERS; i++) {
        reporters[i] = (struct reporter){.ward = ward, .number = i};
        ck_assert_int_eq(pthread_create(&reporters[i].thread, NULL, main_of_thread, &reporters[i]), 0);
    }
    for (unsigned i = 0; i < REPORTERS; i++)
        pthread_join(reporters[i].thread, NULL);
    pthread_barrier_destroy(&start);
    uint32_t ejections = 0;
    for (uint32_t i = 0; i < MEMBERS_MAX; i++)
        ejections += (uint32_t)ward->servers[i]->ejections;
    ck_assert_uint_eq(ward->downs, ejections);
    ck_assert_uint_eq(ward->health->down, count_down(ward));
}

static void *report_all(void *context)
{
    const struct reporter *reporter = context;
    struct ward *ward = reporter->ward;
    pthread_barrier_wait(&start);
    for (uint32_t i = 0; i < ward->count; i++)
        health_report_down(ward->servers[(i + reporter->number * 3) % ward->count], "test");
    return NULL;
}

START_TEST(threads_together_do_not_pass_the_limit)
{
    struct ward ward;
    for (int round = 0; round < 20; round++) {
        ward_init(&ward, MEMBERS_MAX, 50, count_ejection);
        report_from_threads(&ward, report_all);
        ck_assert_uint_eq(ward.health->down, MEMBERS_MAX / 2);
        ck_assert(ward.health->panicking);
        ward_fini(&ward);
    }
}
END_TEST

static void *report_down_and_up(void *context)
{
    const struct reporter *reporter = context;
    struct ward *ward = reporter->ward;
    unsigned random = reporter->number + 1;
    pthread_barrier_wait(&start);
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        struct server *server = ward->servers[(random >> 16) % ward->count];
        if (random >> 30 & 1)
            health_report_up(server);
        else
            health_report_down(server, "test");
    }
    return NULL;
}

START_TEST(threads_that_contradict_each_other_leave_true_counts)
{
    struct ward ward;
    ward_init(&ward, 5, 100, count_ejection);
    report_from_threads(&ward, report_down_and_up);
    ck_assert_uint_gt(ward.downs, 0);
    ck_assert(!ward.health->panicking);
    for (uint32_t i = 0; i < ward.count; i++)
        health_report_up(ward.servers[i]);
    ck_assert_uint_eq(ward.health->down, 0);
    ward_fini(&ward);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("health");
    tcase_add_loop_test(tcase, never_more_than_the_share_is_ejected, 0, sizeof shares / sizeof shares[0]);
    tcase_add_test(tcase, a_pool_without_settings_ejects_nobody);
    tcase_add_test(tcase, a_large_pool_does_not_overflow);
    tcase_add_test(tcase, an_ejection_is_told_once);
    tcase_add_test(tcase, a_server_that_is_back_can_go_down_again);
    tcase_add_test(tcase, panic_ends_with_a_return);
    tcase_add_test(tcase, up_without_down_changes_nothing);
    tcase_add_test(tcase, on_down_may_bring_the_server_back);
    tcase_add_test(tcase, settings_are_those_of_the_last_reload);
    tcase_add_test(tcase, a_reload_leaves_those_down_that_are_down);
    tcase_add_test(tcase, the_share_is_of_the_members_there_are_now);
    tcase_add_test(tcase, the_counters_of_those_who_left_are_kept);
    tcase_add_test(tcase, a_server_that_has_left_counts_no_more);
    tcase_add_test(tcase, threads_together_do_not_pass_the_limit);
    tcase_add_test(tcase, threads_that_contradict_each_other_leave_true_counts);
    return suite_run("health", tcase);
}
