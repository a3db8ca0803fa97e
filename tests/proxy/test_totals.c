/*
 * Tests of proxy/totals: the same name at several servers makes one line: sums, and those that are no sums; names
 * that not all have, in other orders; values that are no numbers, or too large for one.
 */
#include "proxy/totals.h"

#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U64_MAX_TEXT "18446744073709551615"

/* The bytes alone, without a NUL behind them: to be freed. */
static struct slice bare(const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, len);
    return slice_make(copy, len);
}

static void add_as(struct totals *totals, enum stats_form form, const char *name, const char *value)
{
    struct slice bare_name = bare(name), bare_value = bare(value);
    totals_add(totals, form, bare_name, bare_value);
    free((void *)(uintptr_t)bare_name.data);
    free((void *)(uintptr_t)bare_value.data);
}

static void add(struct totals *totals, const char *name, const char *value)
{
    add_as(totals, STATS_GENERAL, name, value);
}

/* Prints exactly this; then the totals are freed. */
static void expect(struct totals *totals, const char *expected)
{
    struct text text;
    text_init(&text);
    totals_print(totals, &text);
    ck_assert(!totals->failed && !text.failed);
    ck_assert_str_eq(text.data != NULL ? text.data : "", expected);
    text_fini(&text);
    totals_fini(totals);
}

/* What three servers' values of a name make. */
static void expect_of(enum stats_form form, const char *name, const char *const values[3], const char *expected)
{
    struct totals totals;
    char line[128];
    totals_init(&totals);
    for (int i = 0; i < 3; i++) {
        add_as(&totals, form, name, values[i]);
        totals_next_server(&totals);
    }
    (void)snprintf(line, sizeof line, "STAT %s %s\r\n", name, expected);
    expect(&totals, line);
}

START_TEST(nothing_is_no_line)
{
    struct totals totals;
    totals_init(&totals);
    totals_next_server(&totals);
    expect(&totals, "");
    /* as after init, so that it can be used again */
    ck_assert(totals.items == NULL && totals.count == 0 && totals.capacity == 0);
    add(&totals, "a", "1");
    expect(&totals, "STAT a 1\r\n");
}
END_TEST

START_TEST(most_are_sums)
{
    expect_of(STATS_GENERAL, "cmd_get", (const char *[]){"5", "0", "1234567890123"}, "1234567890128");
    expect_of(STATS_ITEMS, "items:1:number", (const char *[]){"1", "2", "3"}, "6");
    expect_of(STATS_SLABS, "active_slabs", (const char *[]){"1", "1", "2"}, "4");
    expect_of(STATS_SIZES, "96", (const char *[]){"10", "20", "30"}, "60");
    /* names that only begin or end as an exception does */
    expect_of(STATS_GENERAL, "uptimes", (const char *[]){"5", "3", "4"}, "12");
    expect_of(STATS_GENERAL, "time_in_listen_disabled_us", (const char *[]){"5", "3", "4"}, "12");
    expect_of(STATS_ITEMS, "items:1:evicted_age", (const char *[]){"5", "3", "4"}, "12");
}
END_TEST

START_TEST(some_are_no_sums)
{
    static const struct {
        enum stats_form form;
        const char *name, *expected;
    } rows[] = {
        {STATS_GENERAL, "pid", "5"},
        {STATS_GENERAL, "uptime", "3"},
        {STATS_GENERAL, "time", "40"},
        {STATS_GENERAL, "pointer_size", "40"},
        {STATS_GENERAL, "max_connections", "40"},
        {STATS_GENERAL, "threads", "40"},
        {STATS_GENERAL, "hash_power_level", "40"},
        {STATS_GENERAL, "accepting_conns", "3"},
        {STATS_GENERAL, "time_since_server_compromised", "3"},
        {STATS_ITEMS, "items:12:age", "40"},
        {STATS_ITEMS, "items:12:age_hot", "40"},
        {STATS_ITEMS, "items:12:age_warm", "40"},
        {STATS_SLABS, "3:chunk_size", "40"},
        {STATS_SLABS, "3:chunks_per_page", "40"},
        {STATS_SETTINGS, "maxbytes", "40"},
        {STATS_SETTINGS, "uptime", "40"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_of(rows[i].form, rows[i].name, (const char *[]){"5", "40", "3"}, rows[i].expected);
}
END_TEST

START_TEST(of_texts_the_first_stands)
{
    expect_of(STATS_GENERAL, "version", (const char *[]){"1.6.18", "1.5.0", "1.6.9"}, "1.6.18");
    expect_of(STATS_GENERAL, "libevent", (const char *[]){"2.1.12-stable", "2.0.1", "3"}, "2.1.12-stable");
    expect_of(STATS_SETTINGS, "evictions", (const char *[]){"on", "off", "on"}, "on");
    expect_of(STATS_SETTINGS, "inter", (const char *[]){"127.0.0.1,::1", "", "x y z"}, "127.0.0.1,::1");
    expect_of(STATS_SETTINGS, "domain_socket", (const char *[]){"", "/tmp/x", ""}, "");
}
END_TEST

START_TEST(what_is_no_number_is_text)
{
    static const char *const texts[] = {"-1",        "+1",      "0x10",      "1e3",      "1.5",
                                        "1.1234567", ".123456", "1.12345x",  "1.-23456", "..123456",
                                        " 1",        "1 ",      "1.123456 ", "NULL",     "18446744073709551616"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_of(STATS_GENERAL, "cmd_get", (const char *[]){texts[i], "7", texts[i]}, texts[i]);
        /* and changes no number */
        expect_of(STATS_GENERAL, "cmd_get", (const char *[]){"7", texts[i], "1"}, "8");
    }
}
END_TEST

START_TEST(seconds_with_six_decimals_are_added)
{
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){"0.000001", "0.999999", "12.000000"}, "13.000000");
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){"0.000000", "0.000001", "0.000010"}, "0.000011");
    expect_of(STATS_GENERAL, "rusage_system", (const char *[]){"1.500000", "2", "x"}, "1.500000");
    expect_of(STATS_GENERAL, "rusage_system", (const char *[]){"2", "1.500000", "3"}, "5");
    expect_of(STATS_SETTINGS, "ratio", (const char *[]){"0.100000", "0.300000", "0.200000"}, "0.300000");
}
END_TEST

START_TEST(huge_numbers_do_not_wrap)
{
    expect_of(STATS_GENERAL, "bytes", (const char *[]){U64_MAX_TEXT, "0", "0"}, U64_MAX_TEXT);
    expect_of(STATS_GENERAL, "bytes", (const char *[]){U64_MAX_TEXT, "2", "0"}, U64_MAX_TEXT);
    expect_of(STATS_GENERAL, "bytes", (const char *[]){"9223372036854775808", "9223372036854775807", "0"},
              U64_MAX_TEXT);
    expect_of(STATS_GENERAL, "uptime", (const char *[]){U64_MAX_TEXT, "7", U64_MAX_TEXT}, "7");
    expect_of(STATS_GENERAL, "time", (const char *[]){"7", U64_MAX_TEXT, "0"}, U64_MAX_TEXT);
    /* millionths: the largest that fit, and what does not */
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){"18446744073709.551615", "0.000000", "0.000000"},
              "18446744073709.551615");
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){"18446744073709.551615", "0.000001", "0.000000"},
              "18446744073709.551615");
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){"18446744073709.551616", "1.000000", "2.000000"},
              "18446744073709.551616");
    expect_of(STATS_GENERAL, "rusage_user", (const char *[]){U64_MAX_TEXT ".000000", "1.000000", "2.000000"},
              U64_MAX_TEXT ".000000");
}
END_TEST

START_TEST(names_stand_in_the_order_of_their_first_coming)
{
    struct totals totals;
    totals_init(&totals);
    add(&totals, "b", "1");
    add(&totals, "a", "2");
    add(&totals, "c", "text");
    totals_next_server(&totals);
    add(&totals, "c", "other");
    add(&totals, "d", "1");
    add(&totals, "b", "10");
    totals_next_server(&totals); /* a server that tells nothing */
    totals_next_server(&totals);
    add(&totals, "d", "4");
    add(&totals, "a", "20");
    expect(&totals, "STAT b 11\r\nSTAT a 22\r\nSTAT c text\r\nSTAT d 5\r\n");
}
END_TEST

START_TEST(a_name_is_the_whole_name)
{
    struct totals totals;
    totals_init(&totals);
    add(&totals, "get", "1");
    add(&totals, "get_hits", "2");
    add(&totals, "ge", "3");
    add(&totals, "GET", "4");
    add(&totals, "", "5");
    totals_next_server(&totals);
    add(&totals, "", "50");
    add(&totals, "get_hits", "20");
    add(&totals, "get", "10");
    expect(&totals, "STAT get 11\r\nSTAT get_hits 22\r\nSTAT ge 3\r\nSTAT GET 4\r\nSTAT  55\r\n");
}
END_TEST

START_TEST(a_name_told_twice_by_one_server_counts_twice)
{
    struct totals totals;
    totals_init(&totals);
    add(&totals, "a", "1");
    add(&totals, "a", "2");
    add(&totals, "pid", "3");
    add(&totals, "pid", "4");
    expect(&totals, "STAT a 3\r\nSTAT pid 3\r\n");
}
END_TEST

/* 2000 names at five servers: forwards, backwards, and each server without some. */
START_TEST(many_names)
{
    enum { NAMES = 2000, SERVERS = 5 };
    static unsigned expected[NAMES];
    struct totals totals;
    struct text lines;
    totals_init(&totals);
    text_init(&lines);
    for (unsigned server = 0; server < SERVERS; server++) {
        for (unsigned i = 0; i < NAMES; i++) {
            unsigned n = server % 2 == 1 ? NAMES - 1 - i : i;
            char name[32], value[32];
            if (server > 0 && n % SERVERS == server)
                continue;
            (void)snprintf(name, sizeof name, "items:%u:number", n);
            (void)snprintf(value, sizeof value, "%u", n * server + 1);
            add_as(&totals, STATS_ITEMS, name, value);
            expected[n] += n * server + 1;
        }
        totals_next_server(&totals);
    }
    ck_assert_uint_eq(totals.count, NAMES);
    for (unsigned n = 0; n < NAMES; n++)
        text_appendf(&lines, "STAT items:%u:number %u\r\n", n, expected[n]);
    expect(&totals, lines.data);
    text_fini(&lines);
}
END_TEST

START_TEST(print_appends)
{
    struct totals totals;
    struct text text;
    totals_init(&totals);
    text_init(&text);
    add(&totals, "a", "1");
    text_append_string(&text, "before ");
    totals_print(&totals, &text);
    totals_print(&totals, &text);
    ck_assert_str_eq(text.data, "before STAT a 1\r\nSTAT a 1\r\n");
    text_fini(&text);
    totals_fini(&totals);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("totals");
    tcase_add_test(tcase, nothing_is_no_line);
    tcase_add_test(tcase, most_are_sums);
    tcase_add_test(tcase, some_are_no_sums);
    tcase_add_test(tcase, of_texts_the_first_stands);
    tcase_add_test(tcase, what_is_no_number_is_text);
    tcase_add_test(tcase, seconds_with_six_decimals_are_added);
    tcase_add_test(tcase, huge_numbers_do_not_wrap);
    tcase_add_test(tcase, names_stand_in_the_order_of_their_first_coming);
    tcase_add_test(tcase, a_name_is_the_whole_name);
    tcase_add_test(tcase, a_name_told_twice_by_one_server_counts_twice);
    tcase_add_test(tcase, many_names);
    tcase_add_test(tcase, print_appends);
    return suite_run("proxy/totals", tcase);
}
