/*
 * Tests of admin/plan: what is told of two configurations over one registry, and which lines of a file are keys.
 */
#include "admin/plan.h"

#include "tests/support/folder.h"
#include "tests/support/suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NOW_US UINT64_C(1800000000000000)

/* Two configurations, compared. */
struct pair {
    struct registry registry;
    struct snapshot *old, *new;
    struct text out;
    struct plan_result result;
    bool whole;
};

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

static struct snapshot *build(const char *text, struct registry *registry)
{
    struct config_errors errors;
    const char *error = NULL;
    struct config *config = config_parse(text, strlen(text), NULL, &errors);
    ck_assert_msg(config != NULL, "%s", errors.count > 0 ? errors.items[0].text : "no memory");
    config_errors_fini(&errors);
    struct snapshot *snapshot = snapshot_create(&config, registry, 1, &error);
    ck_assert_msg(snapshot != NULL, "%s", error);
    return snapshot;
}

static void pair_init(struct pair *pair, const char *old, const char *new)
{
    registry_init(&pair->registry, 1, ignore_server, ignore_server, NULL);
    pair->old = build(old, &pair->registry);
    pair->new = build(new, &pair->registry);
    text_init(&pair->out);
}

static void pair_fini(struct pair *pair)
{
    text_fini(&pair->out);
    snapshot_destroy(&pair->old, &pair->registry);
    snapshot_destroy(&pair->new, &pair->registry);
    registry_fini(&pair->registry);
}

static void pair_compare(struct pair *pair, FILE *file)
{
    text_clear(&pair->out);
    pair->whole = plan_compare(pair->old, pair->new, &pair->registry, file, NOW_US, &pair->out, &pair->result);
    ck_assert(!pair->out.failed);
}

/* Over a file with this content. */
static void pair_compare_content(struct pair *pair, const char *content, size_t len)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(content, 1, len, file), len);
    rewind(file);
    pair_compare(pair, file);
    (void)fclose(file);
}

/* Over many keys. */
static void pair_compare_keys(struct pair *pair, size_t count)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_gt(fprintf(file, "user:%zu:name\n", i), 0);
    rewind(file);
    pair_compare(pair, file);
    (void)fclose(file);
    ck_assert(pair->whole);
    ck_assert_uint_eq(pair->result.keys, count);
}

static void expect_has(const struct pair *pair, const char *line)
{
    ck_assert_msg(pair->out.data != NULL && strstr(pair->out.data, line) != NULL, "no\n%s\nin\n%s", line,
                  pair->out.data);
}

/* The percentage of the last line, which agrees with its counts. */
static double percent_in_all(const struct pair *pair)
{
    double percent;
    size_t moved, keys;
    const char *last = strstr(pair->out.data, "in all ");
    ck_assert_ptr_nonnull(last);
    ck_assert_int_eq(sscanf(last, "in all %lf%% of the keys move (%zu of %zu)\n", &percent, &moved, &keys), 3);
    ck_assert_uint_eq(keys, pair->result.keys);
    ck_assert_double_eq_tol(percent, 100.0 * (double)moved / (double)keys, 0.006);
    return percent;
}

/* A pool `main` of n servers, with further keys of the pool ("", or ", distribution: jump"). */
static void pool_of(size_t n, const char *more, struct text *out)
{
    text_append_string(out, "pools: {main: {servers: [");
    for (size_t i = 0; i < n; i++)
        text_appendf(out, "%s10.0.0.%zu:11211", i > 0 ? ", " : "", i + 1);
    text_appendf(out, "]%s}}\n", more);
}

static void pair_of_sizes(struct pair *pair, size_t old_count, size_t new_count, const char *more)
{
    struct text old, new;
    text_init(&old);
    text_init(&new);
    pool_of(old_count, more, &old);
    pool_of(new_count, more, &new);
    pair_init(pair, old.data, new.data);
    text_fini(&old);
    text_fini(&new);
}

/* ---- keys ---- */

START_TEST(lawful_keys)
{
    char longest[251];
    memset(longest, 'k', sizeof longest);
    ck_assert(plan_key_is_lawful(SLICE_OF("a")));
    ck_assert(plan_key_is_lawful(SLICE_OF("!~\xff\x80\xe9")));
    ck_assert(plan_key_is_lawful(slice_make(longest, 250)));
    ck_assert(!plan_key_is_lawful(slice_make(longest, 251)));
    ck_assert(!plan_key_is_lawful(slice_make(NULL, 0)));
    for (unsigned c = 0; c < 256; c++) {
        char key[3] = {'a', (char)c, 'b'};
        for (size_t at = 0; at < 2; at++)
            ck_assert_int_eq(plan_key_is_lawful(slice_make(key + at, 2)), c > ' ' && c != 127);
    }
}
END_TEST

START_TEST(a_file_of_keys_as_it_comes)
{
    static const struct {
        const char *content;
        size_t keys;
    } rows[] = {
        {"", 0},           {"\n\n\r\n\n", 0}, {"a", 1},       {"a\n", 1},        {"a\nb\nc", 3},  {"\n\na\n\n\nb\n", 2},
        {"a\r\nb\r\n", 2}, {"a\na\na\n", 3},  {"\r\na\r", 1}, {"\xff\xfe\n", 1}, {"#a\n-b\n", 2},
    };
    struct pair pair;
    pair_of_sizes(&pair, 2, 3, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pair_compare_content(&pair, rows[i].content, strlen(rows[i].content));
        ck_assert(pair.whole);
        ck_assert_uint_eq(pair.result.keys, rows[i].keys);
        ck_assert(pair.result.wrong_line == 0 && pair.result.system_error == 0);
    }
    pair_fini(&pair);
}
END_TEST

START_TEST(the_first_line_that_is_no_key_is_told)
{
    char too_long[300];
    static const struct {
        const char *content;
        size_t len, line;
    } rows[] = {
        {"a b\n", 4, 1},     {"a\n\nb\n c\nd e\n", 13, 4},
        {"a\n\tb\n", 5, 2},  {"a\n \n", 4, 2},
        {"a\nb\0c\n", 6, 2}, {"a\r\r\n", 4, 1},
        {"a\rb\n", 4, 1},    {"a\n\x7f", 3, 2},
        {"\0\n", 2, 1},
    };
    struct pair pair;
    pair_of_sizes(&pair, 2, 3, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pair_compare_content(&pair, rows[i].content, rows[i].len);
        ck_assert(!pair.whole);
        ck_assert_uint_eq(pair.result.wrong_line, rows[i].line);
        ck_assert_int_eq(pair.result.system_error, 0);
    }
    memset(too_long, 'k', sizeof too_long);
    too_long[1] = '\n';
    pair_compare_content(&pair, too_long, 2 + 250);
    ck_assert(pair.whole && pair.result.keys == 2);
    pair_compare_content(&pair, too_long, 2 + 251);
    ck_assert(!pair.whole && pair.result.wrong_line == 2);
    pair_fini(&pair);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told)
{
    struct pair pair;
    FILE *folder = fopen(folder_path, "r");
    ck_assert_ptr_nonnull(folder);
    pair_of_sizes(&pair, 2, 2, "");
    pair_compare(&pair, folder);
    ck_assert(!pair.whole);
    ck_assert_int_eq(pair.result.system_error, EISDIR);
    ck_assert_uint_eq(pair.result.wrong_line, 0);
    (void)fclose(folder);
    pair_fini(&pair);
}
END_TEST

/* ---- what moves ---- */

START_TEST(the_same_moves_nothing)
{
    struct pair pair;
    pair_of_sizes(&pair, 5, 5, "");
    pair_compare(&pair, NULL);
    ck_assert(pair.whole);
    ck_assert_uint_eq(pair.result.keys, PLAN_SAMPLE);
    ck_assert_str_eq(pair.out.data, "pool main: 5 servers\n"
                                    "  0.00% of its keys move (0 of 1000000)\n"
                                    "in all 0.00% of the keys move (0 of 1000000)\n");
    pair_fini(&pair);
}
END_TEST

/* n servers and one more: near 1 / (n + 1) of the keys; the same share when it leaves again. */
START_TEST(one_more_server_takes_its_share)
{
    static const char *const more[] = {"", ", distribution: jump", ", distribution: rendezvous"};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        struct pair pair;
        pair_of_sizes(&pair, 9, 10, more[i]);
        pair_compare_keys(&pair, 30000);
        expect_has(&pair, "pool main: 9 -> 10 servers\n  added 10.0.0.10:11211\n");
        ck_assert_double_eq_tol(percent_in_all(&pair), 10, 2);
        double added = percent_in_all(&pair);
        struct snapshot *swap = pair.old;
        pair.old = pair.new;
        pair.new = swap;
        pair_compare_keys(&pair, 30000);
        expect_has(&pair, "pool main: 10 -> 9 servers\n  removed 10.0.0.10:11211\n");
        ck_assert_double_eq_tol(percent_in_all(&pair), added, 0.001);
        pair_fini(&pair);
    }
}
END_TEST

START_TEST(what_is_compared_is_appended)
{
    struct pair pair;
    pair_of_sizes(&pair, 1, 1, "");
    text_append_string(&pair.out, "before\n");
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    ck_assert(fputs("a\nb\n", file) >= 0);
    rewind(file);
    ck_assert(plan_compare(pair.old, pair.new, &pair.registry, file, NOW_US, &pair.out, &pair.result));
    (void)fclose(file);
    ck_assert_str_eq(pair.out.data, "before\npool main: 1 server\n  0.00% of its keys move (0 of 2)\n"
                                    "in all 0.00% of the keys move (0 of 2)\n");
    pair_fini(&pair);
}
END_TEST

START_TEST(pools_that_come_and_go)
{
    struct pair pair;
    pair_init(&pair, "pools: {a: {servers: [10.0.0.1]}, b: {servers: [10.0.0.2]}}\nroute: {prefix: {'b:': b, '*': a}}",
              "pools: {c: {servers: [10.0.0.3]}, a: {servers: [10.0.0.1]}}\nroute: {prefix: {'c:': c, '*': a}}");
    pair_compare_content(&pair, "a:1\na:2\nb:1\nc:1\n", 16);
    ck_assert(pair.whole);
    ck_assert_uint_eq(pair.result.keys, 4);
    expect_has(&pair,
               "pool a: 1 server\n  33.33% of its keys move (1 of 3)\n  25.00% of all keys come here (1 of 4)\n");
    expect_has(&pair, "pool b: removed, 1 server\n  removed 10.0.0.2:11211\n  100.00% of its keys move (1 of 1)\n");
    expect_has(&pair, "pool c: added, 1 server\n  added 10.0.0.3:11211\n");
    expect_has(&pair, "  25.00% of all keys come here (1 of 4)\nroute");
    ck_assert_double_eq_tol(percent_in_all(&pair), 50, 0.001);
    pair_fini(&pair);
}
END_TEST

/* A pool that no key goes to first is compared as if all lived there. */
START_TEST(a_stand_in_is_compared_by_itself)
{
    static const char format[] = "pools: {a: {servers: [10.0.0.1]}, b: {servers: [10.0.0.2%s]}}\n"
                                 "route: {failover: {to: [a, b]}}";
    char one[256], two[256];
    struct pair pair;
    (void)snprintf(one, sizeof one, format, "");
    (void)snprintf(two, sizeof two, format, ", 10.0.0.3");
    pair_init(&pair, one, two);
    pair_compare_keys(&pair, 1000);
    ck_assert_double_eq_tol(percent_in_all(&pair), 0, 0.001);
    double would_move;
    const char *told = strstr(pair.out.data, "no key goes here first; ");
    ck_assert_ptr_nonnull(told);
    ck_assert_int_eq(sscanf(told, "no key goes here first; %lf%% would move", &would_move), 1);
    ck_assert_double_eq_tol(would_move, 50, 15);
    pair_fini(&pair);
    pair_init(&pair, two, two);
    pair_compare_keys(&pair, 10);
    expect_has(&pair, "pool b: 2 servers\n  no key goes here first; none would move\n");
    pair_fini(&pair);
}
END_TEST

START_TEST(weights_are_told)
{
    struct pair pair;
    pair_init(&pair, "pools: {a: {servers: [10.0.0.1, {address: 10.0.0.2, name: two}]}}",
              "pools: {a: {servers: [10.0.0.1, {address: 10.0.0.2, name: two, weight: 3}]}}");
    pair_compare_keys(&pair, 5000);
    expect_has(&pair, "pool a: 2 servers\n  weight of two at 10.0.0.2:11211: 1 -> 3\n");
    /* from a half to three quarters */
    ck_assert_double_eq_tol(percent_in_all(&pair), 25, 8);
    pair_fini(&pair);
}
END_TEST

/* What is down now does not matter. */
START_TEST(all_servers_count_as_up)
{
    struct pair pair;
    pair_of_sizes(&pair, 3, 4, "");
    pair_compare_keys(&pair, 3000);
    double before = percent_in_all(&pair);
    for (size_t i = 0; i < 2; i++)
        pair.old->pools[0].servers[i]->down = true;
    pair_compare_keys(&pair, 3000);
    ck_assert_double_eq_tol(percent_in_all(&pair), before, 0.001);
    pair_fini(&pair);
}
END_TEST

START_TEST(routes_go_by_the_time_that_is_given)
{
    struct pair pair;
    pair_init(&pair, "pools: {a: {servers: [10.0.0.1]}, b: {servers: [10.0.0.2]}}\nroute: a",
              "pools: {a: {servers: [10.0.0.1]}, b: {servers: [10.0.0.2]}}\n"
              "route: {migrate: {from: a, to: b, start: '2027-01-15T07:00:00Z', over: 2h}}");
    /* 2027-01-15T08:00:00Z: half of the way */
    pair_compare_keys(&pair, 4000);
    expect_has(&pair, "note: migrations as they stand at 2027-01-15T08:00:00Z\n");
    ck_assert_double_eq_tol(percent_in_all(&pair), 50, 5);
    pair_fini(&pair);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("plan");
    folder_use(tcase);
    tcase_add_test(tcase, lawful_keys);
    tcase_add_test(tcase, a_file_of_keys_as_it_comes);
    tcase_add_test(tcase, the_first_line_that_is_no_key_is_told);
    tcase_add_test(tcase, a_file_that_cannot_be_read_is_told);
    tcase_add_test(tcase, the_same_moves_nothing);
    tcase_add_test(tcase, one_more_server_takes_its_share);
    tcase_add_test(tcase, what_is_compared_is_appended);
    tcase_add_test(tcase, pools_that_come_and_go);
    tcase_add_test(tcase, a_stand_in_is_compared_by_itself);
    tcase_add_test(tcase, weights_are_told);
    tcase_add_test(tcase, all_servers_count_as_up);
    tcase_add_test(tcase, routes_go_by_the_time_that_is_given);
    return suite_run("admin/plan", tcase);
}
