/* Tests of base/text: the growing string, and every kind of number it reads and writes. */
#include "base/text.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof array / sizeof array[0])

static struct slice over(const char *string)
{
    return slice_make(string, strlen(string));
}

static void expect(const struct text *text, const char *expected)
{
    struct slice slice = text_slice(text);
    ck_assert_uint_eq(slice.len, strlen(expected));
    ck_assert_mem_eq(slice.data, expected, slice.len + 1);
    ck_assert(!text->failed);
}

/* ---- the growing string ---- */

START_TEST(starts_empty)
{
    struct text text;
    text_init(&text);
    expect(&text, "");
    text_append(&text, NULL, 0);
    expect(&text, "");
    text_fini(&text);
}
END_TEST

START_TEST(appends_of_all_kinds_follow_each_other)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, "pool ");
    text_append_slice(&text, SLICE_OF("main: "));
    text_append_u64(&text, 12);
    text_appendf(&text, " of %d %s", 13, "servers");
    text_append(&text, ".....", 1);
    expect(&text, "pool main: 12 of 13 servers.");
    text_fini(&text);
    expect(&text, "");
}
END_TEST

START_TEST(holds_any_byte)
{
    struct text text;
    text_init(&text);
    text_append(&text, "a\0b", 3);
    text_appendf(&text, "%c%s", 0, "c");
    ck_assert_uint_eq(text.len, 5);
    ck_assert_mem_eq(text.data, "a\0b\0c", 6);
    text_fini(&text);
}
END_TEST

/* Every length around the borders at which the memory grows, in one piece and formatted. */
START_TEST(grows_by_any_step)
{
    char filler[600];
    memset(filler, 'x', sizeof filler);
    for (size_t first = 0; first < 130; first++) {
        for (size_t second = 0; second < 300; second += 1 + second / 70) {
            struct text text;
            text_init(&text);
            text_append(&text, filler, first);
            text_appendf(&text, "%.*s", (int)second, filler);
            text_append(&text, "!", 1);
            ck_assert_uint_eq(text.len, first + second + 1);
            ck_assert_mem_eq(text.data, filler, first + second);
            ck_assert_str_eq(text.data + first + second, "!");
            text_fini(&text);
        }
    }
}
END_TEST

START_TEST(grows_in_small_steps)
{
    struct text text;
    text_init(&text);
    for (int i = 0; i < 100000; i++)
        text_append(&text, &"0123456789"[i % 10], 1);
    ck_assert_uint_eq(text.len, 100000);
    for (size_t i = 0; i < text.len; i++)
        ck_assert_int_eq(text.data[i], (int)('0' + i % 10));
    text_fini(&text);
}
END_TEST

START_TEST(clearing_keeps_the_memory)
{
    struct text text;
    text_init(&text);
    text_clear(&text);
    text_append_string(&text, "something");
    size_t capacity = text.capacity;
    text_clear(&text);
    expect(&text, "");
    ck_assert_uint_eq(text.capacity, capacity);
    text_append_string(&text, "else");
    expect(&text, "else");
    text_fini(&text);
}
END_TEST

START_TEST(stealing_gives_the_bytes_away)
{
    struct text text;
    size_t len = 99;
    text_init(&text);
    text_append_string(&text, "mine");
    char *bytes = text_steal(&text, &len);
    ck_assert_str_eq(bytes, "mine");
    ck_assert_uint_eq(len, 4);
    expect(&text, "");
    free(bytes);
    bytes = text_steal(&text, NULL);
    ck_assert_str_eq(bytes, "");
    free(bytes);
}
END_TEST

START_TEST(a_failure_sticks_and_leaves_no_hole)
{
    volatile size_t too_much = SIZE_MAX - 3;
    struct text text;
    text_init(&text);
    text_append_string(&text, "before");
    text_append(&text, "x", too_much);
    ck_assert(text.failed);
    text_append_string(&text, "after");
    text_appendf(&text, "%d", 1);
    text_append_u64(&text, 1);
    ck_assert(text.failed);
    ck_assert_str_eq(text.data, "before");
    ck_assert_ptr_null(text_steal(&text, NULL));
    expect(&text, "");

    text_append(&text, "x", too_much);
    ck_assert(text.failed);
    text_clear(&text);
    text_append_string(&text, "again");
    expect(&text, "again");
    text_fini(&text);
}
END_TEST

/* ---- numbers ---- */

static const char *const no_u64[] = {"",
                                     "-",
                                     "-1",
                                     "+1",
                                     " 1",
                                     "1 ",
                                     "0x10",
                                     "1.0",
                                     "1e3",
                                     "one",
                                     "12a4",
                                     "١",
                                     "1\n",
                                     "18446744073709551616",
                                     "18446744073709551620",
                                     "99999999999999999999",
                                     "184467440737095516150"};

START_TEST(refuses_what_is_no_u64)
{
    uint64_t value = 7;
    ck_assert_msg(!text_parse_u64(over(no_u64[_i]), &value), "took `%s`", no_u64[_i]);
    ck_assert_uint_eq(value, 7);
}
END_TEST

START_TEST(reads_a_u64)
{
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"000000000000000000000000000042", 42},
                 {"4294967296", UINT64_C(4294967296)},
                 {"18446744073709551615", UINT64_MAX},
                 {"18446744073709551609", UINT64_MAX - 6}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t value = 7;
        ck_assert_msg(text_parse_u64(over(cases[i].text), &value), "refused `%s`", cases[i].text);
        ck_assert_uint_eq(value, cases[i].value);
    }
}
END_TEST

START_TEST(reads_no_further_than_the_slice)
{
    uint64_t value;
    ck_assert(text_parse_u64(slice_make("123456", 3), &value));
    ck_assert_uint_eq(value, 123);
    ck_assert(!text_parse_u64(slice_make("12\0x4", 5), &value));
    ck_assert(!text_parse_u64(slice_make(NULL, 0), &value));
}
END_TEST

START_TEST(reads_an_i64)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {{"0", 0},
                 {"-0", 0},
                 {"-1", -1},
                 {"9223372036854775807", INT64_MAX},
                 {"-9223372036854775807", -INT64_MAX},
                 {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t value = 7;
        ck_assert_msg(text_parse_i64(over(cases[i].text), &value), "refused `%s`", cases[i].text);
        ck_assert_int_eq(value, cases[i].value);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "--1",
                                      "- 1",
                                      "+1",
                                      "1-",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "-18446744073709551617"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t value = 7;
        ck_assert_msg(!text_parse_i64(over(bad[i]), &value), "took `%s`", bad[i]);
        ck_assert_int_eq(value, 7);
    }
}
END_TEST

START_TEST(reads_a_u32)
{
    uint32_t value = 7;
    ck_assert(!text_parse_u32(over("4294967296"), &value));
    ck_assert(!text_parse_u32(over("18446744073709551617"), &value));
    ck_assert(!text_parse_u32(over("-1"), &value));
    ck_assert(!text_parse_u32(over(""), &value));
    ck_assert_uint_eq(value, 7);
    ck_assert(text_parse_u32(over("4294967295"), &value));
    ck_assert_uint_eq(value, UINT32_MAX);
}
END_TEST

static void expect_printed(uint64_t value)
{
    char expected[32], buffer[TEXT_U64_DIGITS + 1];
    int len = snprintf(expected, sizeof expected, "%" PRIu64, value);
    memset(buffer, '#', sizeof buffer);
    ck_assert_uint_eq(text_print_u64(value, buffer), (size_t)len);
    ck_assert_mem_eq(buffer, expected, (size_t)len);
    ck_assert_int_eq(buffer[len], '#');
    uint64_t back = 0;
    ck_assert(text_parse_u64(slice_make(buffer, (size_t)len), &back));
    ck_assert_uint_eq(back, value);
}

START_TEST(prints_a_u64_as_printf_does)
{
    for (uint64_t value = 0; value < 12000; value++)
        expect_printed(value);
    uint64_t power = 1;
    for (int digits = 1; digits <= TEXT_U64_DIGITS; digits++) {
        expect_printed(power - 1);
        expect_printed(power);
        expect_printed(power + 1);
        power *= 10;
    }
    for (int bits = 0; bits < 64; bits++)
        expect_printed(UINT64_MAX >> bits);
}
END_TEST

/* ---- numbers with units ---- */

typedef bool parse_function(struct slice slice, uint64_t *value_out, const char **error_out);

struct good {
    const char *text;
    uint64_t value;
};

struct bad {
    const char *text;
    const char *error; /* what the message starts with */
};

static void expect_good(parse_function *parse, const struct good *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 7;
        const char *error = "untouched";
        ck_assert_msg(parse(over(cases[i].text), &value, &error), "refused `%s`", cases[i].text);
        ck_assert_uint_eq(value, cases[i].value);
        ck_assert_str_eq(error, "untouched");
    }
}

static void expect_bad(parse_function *parse, const struct bad *cases, size_t count, const char *advice)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 7;
        const char *error = NULL;
        ck_assert_msg(!parse(over(cases[i].text), &value, &error), "took `%s`", cases[i].text);
        ck_assert_uint_eq(value, 7);
        ck_assert_ptr_nonnull(error);
        ck_assert_msg(strncmp(error, cases[i].error, strlen(cases[i].error)) == 0, "`%s` %s", cases[i].text, error);
        ck_assert_ptr_nonnull(strstr(error, advice));
    }
}

START_TEST(reads_durations)
{
    static const struct good good[] = {{"0ms", 0},
                                       {"0h", 0},
                                       {"250ms", 250},
                                       {"2s", 2000},
                                       {"5m", 300000},
                                       {"1h", 3600000},
                                       {"007s", 7000},
                                       {"18446744073709551615ms", UINT64_MAX},
                                       {"18446744073709551s", UINT64_C(18446744073709551000)}};
    static const struct bad bad[] = {{"", "does not start with a number; write"},
                                     {"ms", "does not start with a number; write"},
                                     {"-1s", "does not start with a number; write"},
                                     {"+1s", "does not start with a number; write"},
                                     {" 1s", "does not start with a number; write"},
                                     {"250", "has no unit; write"},
                                     {"0", "has no unit; write"},
                                     {"1.5s", "is not a whole number with a unit; write"},
                                     {"1,5s", "is not a whole number with a unit; write"},
                                     {"1 s", "has an unknown unit; write"},
                                     {"1s ", "has an unknown unit; write"},
                                     {"1S", "has an unknown unit; write"},
                                     {"1d", "has an unknown unit; write"},
                                     {"1m30s", "has an unknown unit; write"},
                                     {"1KiB", "has an unknown unit; write"},
                                     {"18446744073709551616ms", "is too long; write"},
                                     {"18446744073709552s", "is too long; write"},
                                     {"5124095576031h", "is too long; write"},
                                     {"99999999999999999999999999ms", "is too long; write"}};
    expect_good(text_parse_duration, good, COUNT_OF(good));
    expect_bad(text_parse_duration, bad, COUNT_OF(bad), "a duration such as `250ms`");
}
END_TEST

START_TEST(reads_sizes)
{
    static const struct good good[] = {{"0B", 0},
                                       {"512B", 512},
                                       {"16KiB", 16384},
                                       {"1MiB", 1048576},
                                       {"2GiB", UINT64_C(2147483648)},
                                       {"17179869183GiB", UINT64_C(17179869183) << 30}};
    static const struct bad bad[] = {{"", "does not start with a number; write"},
                                     {"MiB", "does not start with a number; write"},
                                     {"1048576", "has no unit; write"},
                                     {"1.5GiB", "is not a whole number with a unit; write"},
                                     {"1k", "has an unknown unit; write"},
                                     {"1kib", "has an unknown unit; write"},
                                     {"1KB", "has an unknown unit; write"},
                                     {"1MiBs", "has an unknown unit; write"},
                                     {"1Mi", "has an unknown unit; write"},
                                     {"17179869184GiB", "is too large; write"},
                                     {"18446744073709551616B", "is too large; write"}};
    expect_good(text_parse_size, good, COUNT_OF(good));
    expect_bad(text_parse_size, bad, COUNT_OF(bad), "a size such as `512B`");
}
END_TEST

static bool parse_share(struct slice slice, uint64_t *value_out, const char **error_out)
{
    uint32_t percent = 4711;
    bool good = text_parse_share(slice, &percent, error_out);
    if (good)
        *value_out = percent;
    else
        ck_assert_uint_eq(percent, 4711);
    return good;
}

START_TEST(reads_shares)
{
    static const struct good good[] = {{"0%", 0}, {"10%", 10}, {"100%", 100}};
    static const struct bad bad[] = {{"", "does not start with a number; write"},
                                     {"%", "does not start with a number; write"},
                                     {"-5%", "does not start with a number; write"},
                                     {"50", "has no unit; write"},
                                     {"0.5%", "is not a whole number with a unit; write"},
                                     {"5 %", "has an unknown unit; write"},
                                     {"5%%", "has an unknown unit; write"},
                                     {"5ms", "has an unknown unit; write"},
                                     {"101%", "is more than the whole; write"},
                                     {"4294967297%", "is more than the whole; write"},
                                     {"18446744073709551617%", "is more than the whole; write"}};
    expect_good(parse_share, good, COUNT_OF(good));
    expect_bad(parse_share, bad, COUNT_OF(bad), "a share from `0%` to `100%`");
}
END_TEST

static TCase *create_growing_case(void)
{
    TCase *tcase = tcase_create("growing");
    tcase_add_test(tcase, starts_empty);
    tcase_add_test(tcase, appends_of_all_kinds_follow_each_other);
    tcase_add_test(tcase, holds_any_byte);
    tcase_add_test(tcase, grows_by_any_step);
    tcase_add_test(tcase, grows_in_small_steps);
    tcase_add_test(tcase, clearing_keeps_the_memory);
    tcase_add_test(tcase, stealing_gives_the_bytes_away);
    tcase_add_test(tcase, a_failure_sticks_and_leaves_no_hole);
    return tcase;
}

static TCase *create_number_case(void)
{
    TCase *tcase = tcase_create("numbers");
    tcase_add_loop_test(tcase, refuses_what_is_no_u64, 0, COUNT_OF(no_u64));
    tcase_add_test(tcase, reads_a_u64);
    tcase_add_test(tcase, reads_no_further_than_the_slice);
    tcase_add_test(tcase, reads_an_i64);
    tcase_add_test(tcase, reads_a_u32);
    tcase_add_test(tcase, prints_a_u64_as_printf_does);
    tcase_add_test(tcase, reads_durations);
    tcase_add_test(tcase, reads_sizes);
    tcase_add_test(tcase, reads_shares);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("text");
    suite_add_tcase(suite, create_growing_case());
    suite_add_tcase(suite, create_number_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
