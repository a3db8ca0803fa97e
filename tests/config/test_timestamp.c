/* Tests of config/timestamp: what is read, what is refused and why, and that what is printed reads the same. */
#include "config/timestamp.h"
#include "tests/config/support.h"

static struct slice slice_of(const char *text)
{
    return slice_make(text, strlen(text));
}

static const struct {
    const char *text;
    int64_t unix_s;
} good[] = {
    {"1970-01-01", 0},
    {"1970-01-01T00:00:01Z", 1},
    {"1970-01-01T02:00+02:00", 0},
    {"2026-11-21T10:00:00Z", 1795255200},
    {"2026-11-21T10:00Z", 1795255200},
    {"2026-11-21T12:00:00+02:00", 1795255200},
    {"2026-11-21T04:30:00-05:30", 1795255200},
    {"2026-11-21", 1795219200},
    {"2024-02-29", 1709164800},
    {"9999-12-31T23:59:59Z", 253402300799},
};

START_TEST(times_are_read)
{
    int64_t unix_s = -1, again = -1;
    const char *error;
    ck_assert(timestamp_parse(slice_of(good[_i].text), &unix_s, &error));
    ck_assert_int_eq(unix_s, good[_i].unix_s);
    struct text text;
    text_init(&text);
    timestamp_print(unix_s, &text);
    ck_assert_uint_eq(text.len, strlen("2026-11-21T10:00:00Z"));
    ck_assert(timestamp_parse(text_slice(&text), &again, &error));
    ck_assert_int_eq(again, unix_s);
    text_fini(&text);
}
END_TEST

static const struct {
    const char *text, *error;
} bad[] = {
    {"", "is not a time"},
    {"tomorrow", "is not a time"},
    {"1795255200", "is not a time"},
    {"2026-11", "is not a time"},
    {"26-11-21", "is not a time"},
    {"2026-1-21", "is not a time"},
    {"2026-11-21 10:00:00Z", "is not a time"},
    {"2026-11-21T10Z", "is not a time"},
    {"2026-11-21T10:00:0Z", "is not a time"},
    {"2026-11-21T10:00:00", "has no time zone"},
    {"2026-11-21T10:00", "has no time zone"},
    {"2026-11-21T10:00:00.5Z", "has an unknown time zone"},
    {"2026-11-21T10:00:00CET", "has an unknown time zone"},
    {"2026-11-21T10:00:00+2", "has an unknown time zone"},
    {"2026-11-21T10:00:00+02:60", "has an unknown time zone"},
    {"2026-11-21T10:00:00+24:00", "has an unknown time zone"},
    {"2026-11-21T10:00:00Z ", "has an unknown time zone"},
    {"2026-02-29", "is not on the calendar"},
    {"2026-13-01", "is not on the calendar"},
    {"2026-00-01", "is not on the calendar"},
    {"2026-01-00", "is not on the calendar"},
    {"2026-11-31T10:00:00Z", "is not on the calendar"},
    {"2026-11-21T24:00:00Z", "is not on the calendar"},
    {"2026-11-21T10:60:00Z", "is not on the calendar"},
    {"2026-11-21T10:00:60Z", "is not on the calendar"},
    {"1969-12-31", "is before 1970"},
    {"1970-01-01T00:00:00+00:01", "is before 1970"},
};

START_TEST(what_is_no_time_is_told_why)
{
    int64_t unix_s = 7;
    const char *error = NULL;
    ck_assert(!timestamp_parse(slice_of(bad[_i].text), &unix_s, &error));
    ck_assert_int_eq(unix_s, 7);
    ck_assert_msg(strncmp(error, bad[_i].error, strlen(bad[_i].error)) == 0, "%s: %s", bad[_i].text, error);
    ck_assert_ptr_nonnull(strstr(error, "; write a time such as `2026-11-21T10:00:00Z`"));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("timestamp");
    tcase_add_loop_test(tcase, times_are_read, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tcase, what_is_no_time_is_told_why, 0, sizeof bad / sizeof bad[0]);
    return run_suite("config/timestamp", tcase);
}
