/*
 * Tests of base/log: standard error is replaced by a socket that keeps the borders between writes, by a pipe that is
 * full or has no reader, or by a file that several threads write to.
 */
#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096
#define TIME_LEN (sizeof "2026-11-20T10:00:00.123Z" - 1)

static int real_stderr;
static int reader = -1; /* the other end of standard error */

static void replace_stderr(int descriptor)
{
    ck_assert_int_eq(dup2(descriptor, STDERR_FILENO), STDERR_FILENO);
    close(descriptor);
}

/* Standard error is a datagram socket: what one write wrote is what one read reads. */
static void setup(void)
{
    int ends[2];
    real_stderr = dup(STDERR_FILENO);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    replace_stderr(ends[1]);
    reader = ends[0];
    ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    log_configure(LOG_LEVEL_INFO, false);
}

static void teardown(void)
{
    if (reader >= 0)
        close(reader);
    reader = -1;
    replace_stderr(real_stderr);
}

static void use_pipe(void)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    replace_stderr(ends[1]);
    close(reader);
    reader = ends[0];
}

/* One write's bytes, NUL-terminated. */
static const char *read_line(size_t *len_out)
{
    static char line[LINE_BYTES_MAX + 2];
    ssize_t len = read(reader, line, sizeof line - 1);
    ck_assert_int_gt(len, 0);
    line[len] = '\0';
    if (len_out != NULL)
        *len_out = (size_t)len;
    return line;
}

static void expect_nothing(void)
{
    char byte;
    ck_assert_int_lt(read(reader, &byte, 1), 0);
    ck_assert_int_eq(errno, EAGAIN);
}

/* The line is the time and then exactly this. */
static void expect_text(const char *expected)
{
    size_t len;
    const char *line = read_line(&len);
    ck_assert_uint_gt(len, TIME_LEN);
    ck_assert_str_eq(line + TIME_LEN, expected);
    expect_nothing();
}

static void expect_json(const char *expected)
{
    static const char head[] = "{\"time\":\"";
    const char *line = read_line(NULL);
    ck_assert_mem_eq(line, head, sizeof head - 1);
    ck_assert_str_eq(line + sizeof head - 1 + TIME_LEN, expected);
    expect_nothing();
}

/* ---- levels ---- */

START_TEST(levels_have_names)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    enum log_level level;
    for (int i = 0; i < 4; i++) {
        ck_assert(log_level_by_name(names[i], &level));
        ck_assert_int_eq((int)level, i);
    }
    level = LOG_LEVEL_WARNING;
    ck_assert(!log_level_by_name("", &level));
    ck_assert(!log_level_by_name("Error", &level));
    ck_assert(!log_level_by_name("information", &level));
    ck_assert_int_eq(level, LOG_LEVEL_WARNING);
}
END_TEST

START_TEST(what_is_below_the_level_is_not_written)
{
    for (int chosen = LOG_LEVEL_ERROR; chosen <= LOG_LEVEL_DEBUG; chosen++) {
        log_configure((enum log_level)chosen, false);
        for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
            ck_assert_int_eq(log_enabled((enum log_level)level), level <= chosen);
            log_write((enum log_level)level, "event", "message");
            if (level <= chosen)
                read_line(NULL);
            expect_nothing();
        }
    }
}
END_TEST

START_TEST(each_level_has_its_macro)
{
    log_configure(LOG_LEVEL_DEBUG, false);
    log_error("event", "number %d", 1);
    expect_text(" error event number 1\n");
    log_warning("event", "number %d", 2);
    expect_text(" warning event number 2\n");
    log_info("event", "number %d", 3);
    expect_text(" info event number 3\n");
    log_debug("event", "number %d", 4);
    expect_text(" debug event number 4\n");
}
END_TEST

/* ---- the line ---- */

START_TEST(the_time_is_utc_with_milliseconds)
{
    setenv("TZ", "XYZ-7:30", 1);
    tzset();
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    log_info("event", "message");
    clock_gettime(CLOCK_REALTIME, &after);
    const char *line = read_line(NULL);

    struct tm utc = {0};
    const char *rest = strptime(line, "%Y-%m-%dT%H:%M:%S", &utc);
    ck_assert_ptr_nonnull(rest);
    int milliseconds = -1, count = 0;
    ck_assert_int_eq(sscanf(rest, ".%3dZ%n", &milliseconds, &count), 1);
    ck_assert_int_eq(count, 5);
    long long written_ms = (long long)timegm(&utc) * 1000 + milliseconds;
    ck_assert_int_ge(written_ms, (long long)before.tv_sec * 1000 + before.tv_nsec / 1000000);
    ck_assert_int_le(written_ms, (long long)after.tv_sec * 1000 + after.tv_nsec / 1000000);
}
END_TEST

static const struct {
    const char *message;
    const char *text;
    const char *json;
} messages[] = {
    {"", "", ""},
    {"server 10.0.0.1:11211 is down", "server 10.0.0.1:11211 is down", "server 10.0.0.1:11211 is down"},
    {"two\nlines\r\tand", "two\\nlines\\r\\tand", "two\\nlines\\r\\tand"},
    {"\x01 \x1f \x7f \x1b[2J", "\\x01 \\x1f \\x7f \\x1b[2J", "\\u0001 \\u001f \\u007f \\u001b[2J"},
    {"\"quoted\" back\\slash / slash", "\"quoted\" back\\slash / slash", "\\\"quoted\\\" back\\\\slash / slash"},
    {"ä € 😀", "ä € 😀", "ä € 😀"},
    /* C1: control characters in two bytes */
    {"\xc2\x80 \xc2\x9f \xc2\xa0", "\\xc2\\x80 \\xc2\\x9f \xc2\xa0", "\\u0080 \\u009f \xc2\xa0"},
    /* no UTF-8: lone continuation, cut short, overlong, surrogate, beyond U+10FFFF */
    {"a\x80z", "a\\x80z", "a\xef\xbf\xbdz"},
    {"a\xe2\x82z", "a\\xe2\\x82z", "a\xef\xbf\xbd\xef\xbf\xbdz"},
    {"a\xe2\x82", "a\\xe2\\x82", "a\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\xaf", "\\xc0\\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xf5\xff", "\\xf5\\xff", "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf \xe0\xa0\x80",
     "\xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf \xe0\xa0\x80",
     "\xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf \xe0\xa0\x80"},
};
#define MESSAGE_COUNT ((int)(sizeof messages / sizeof messages[0]))

START_TEST(a_message_is_one_safe_line)
{
    char expected[256];
    log_warning("odd_event", "%s", messages[_i].message);
    snprintf(expected, sizeof expected, " warning odd_event %s\n", messages[_i].text);
    expect_text(expected);
    log_configure(LOG_LEVEL_INFO, true);
    log_warning("odd_event", "%s", messages[_i].message);
    snprintf(expected, sizeof expected, "\",\"level\":\"warning\",\"event\":\"odd_event\",\"message\":\"%s\"}\n",
             messages[_i].json);
    expect_json(expected);
}
END_TEST

START_TEST(a_nul_in_the_message_does_not_end_it)
{
    log_info("event", "a%cb", 0);
    expect_text(" info event a\\x00b\n");
    log_configure(LOG_LEVEL_INFO, true);
    log_info("event", "a%cb", 0);
    expect_json("\",\"level\":\"info\",\"event\":\"event\",\"message\":\"a\\u0000b\"}\n");
}
END_TEST

/* The end of a line that had to be cut: `unit` repeated, then the ellipsis, then the tail. */
static void expect_cut(const char *unit, const char *written_unit, const char *lead, const char *tail)
{
    static char message[3 * LINE_BYTES_MAX];
    size_t unit_len = strlen(unit), len = strlen(lead);
    memcpy(message, lead, len + 1);
    while (len + unit_len < sizeof message) {
        memcpy(message + len, unit, unit_len + 1);
        len += unit_len;
    }
    log_info("event", "%s", message);

    size_t line_len;
    const char *line = read_line(&line_len);
    size_t tail_len = strlen(tail), written_len = strlen(written_unit);
    ck_assert_uint_le(line_len, LINE_BYTES_MAX);
    ck_assert_uint_gt(line_len, LINE_BYTES_MAX - 8 - written_len);
    ck_assert_str_eq(line + line_len - tail_len, tail);
    /* From the tail back to the lead there are whole units only. */
    size_t at = line_len - tail_len;
    while (strncmp(line + at - written_len, written_unit, written_len) == 0)
        at -= written_len;
    ck_assert_msg(strncmp(line + at - strlen(lead), lead, strlen(lead)) == 0, "a unit was cut: …%s", line + at - 20);
    expect_nothing();
}

START_TEST(a_long_line_is_cut_with_an_ellipsis)
{
    char lead[16] = "0123456789abcde";
    lead[_i] = '\0'; /* shifts the cut through the bytes of a unit */
    expect_cut("x", "x", lead, "…\n");
    expect_cut("€", "€", lead, "…\n");
    expect_cut("😀", "😀", lead, "…\n");
    expect_cut("\x02", "\\x02", lead, "…\n");
    log_configure(LOG_LEVEL_INFO, true);
    expect_cut("x", "x", lead, "…\"}\n");
    expect_cut("€", "€", lead, "…\"}\n");
    expect_cut("\"", "\\\"", lead, "…\"}\n");
    expect_cut("\x02", "\\u0002", lead, "…\"}\n");
    expect_cut("\xff", "\xef\xbf\xbd", lead, "…\"}\n");
}
END_TEST

/* The longest message that fits is written whole, and one byte more is cut. */
START_TEST(a_line_that_just_fits_is_not_cut)
{
    size_t head_len = TIME_LEN + strlen(" info event ");
    size_t kept_len = strlen("…\"}\n");
    char message[LINE_BYTES_MAX];
    size_t fitting = LINE_BYTES_MAX - kept_len - head_len;
    memset(message, 'x', sizeof message);
    log_info("event", "%.*s", (int)fitting, message);
    ck_assert_ptr_null(strstr(read_line(NULL), "…"));
    log_info("event", "%.*s", (int)fitting + 1, message);
    ck_assert_ptr_nonnull(strstr(read_line(NULL), "…\n"));
}
END_TEST

/* Nothing follows what was cut, not even what would still fit. */
START_TEST(a_cut_ends_the_line)
{
    char event[LINE_BYTES_MAX + 1];
    memset(event, 'e', sizeof event - 1);
    event[sizeof event - 1] = '\0';
    log_info(event, "message");
    expect_text(" info …\n");
    log_configure(LOG_LEVEL_INFO, true);
    log_info(event, "message");
    expect_json("\",\"level\":\"info\",\"event\":\"…\"}\n");
}
END_TEST

START_TEST(errno_is_kept_also_when_the_write_fails)
{
    errno = ENOENT;
    log_info("event", "%m");
    ck_assert_int_eq(errno, ENOENT);
    int full = open("/dev/full", O_WRONLY); /* poll promises room, write finds none */
    ck_assert_int_ge(full, 0);
    replace_stderr(full);
    uint64_t before = log_dropped();
    errno = ENOENT;
    log_info("event", "lost");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_uint_eq(log_dropped() - before, 1);
}
END_TEST

/* ---- a standard error that takes nothing ---- */

static void set_blocking(int descriptor, bool blocking)
{
    int flags = fcntl(descriptor, F_GETFL);
    ck_assert_int_eq(fcntl(descriptor, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK), 0);
}

static void fill(void)
{
    char block[4096];
    memset(block, '.', sizeof block);
    set_blocking(STDERR_FILENO, false);
    while (write(STDERR_FILENO, block, sizeof block) > 0)
        continue;
}

START_TEST(a_full_pipe_drops_lines_and_counts_them)
{
    bool blocking = _i == 1;
    use_pipe();
    fill();
    set_blocking(STDERR_FILENO, blocking);
    uint64_t before = log_dropped();
    for (int i = 0; i < 3; i++)
        log_info("event", "lost");
    ck_assert_uint_eq(log_dropped() - before, 3);

    static char drained[1 << 20];
    set_blocking(reader, false);
    while (read(reader, drained, sizeof drained) > 0)
        continue;
    log_info("event", "arrived");
    expect_text(" info event arrived\n");
    ck_assert_uint_eq(log_dropped() - before, 3);
}
END_TEST

START_TEST(a_pipe_without_a_reader_drops_lines_and_raises_no_signal)
{
    use_pipe();
    close(reader);
    reader = -1;
    uint64_t before = log_dropped();
    log_info("event", "lost");
    ck_assert_uint_eq(log_dropped() - before, 1);
}
END_TEST

START_TEST(a_closed_standard_error_drops_lines)
{
    close(STDERR_FILENO);
    uint64_t before = log_dropped();
    log_info("event", "lost");
    ck_assert_uint_eq(log_dropped() - before, 1);
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 4, LINES = 300 };

static void *write_lines(void *thread)
{
    for (int i = 0; i < LINES; i++)
        log_info("event", "thread %d line %d %0*d end", *(int *)thread, i, 100 + i, 0);
    return NULL;
}

START_TEST(lines_of_many_threads_stay_whole)
{
    char path[] = "/tmp/test_log.XXXXXX";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    unlink(path);
    FILE *lines = fdopen(dup(file), "r");
    replace_stderr(file);
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    rewind(lines);
    static char line[LINE_BYTES_MAX];
    while (fgets(line, sizeof line, lines) != NULL) {
        int thread, number, zero, at = 0;
        int found = sscanf(line + TIME_LEN, " info event thread %d line %d %d end%n", &thread, &number, &zero, &at);
        ck_assert_msg(found == 3 && at > 0 && strcmp(line + TIME_LEN + at, "\n") == 0, "a broken line: %s", line);
        ck_assert_int_eq(number, next[thread]++);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(next[i], LINES);
    fclose(lines);
    ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, levels_have_names);
    tcase_add_test(tcase, what_is_below_the_level_is_not_written);
    tcase_add_test(tcase, each_level_has_its_macro);
    tcase_add_test(tcase, the_time_is_utc_with_milliseconds);
    tcase_add_loop_test(tcase, a_message_is_one_safe_line, 0, MESSAGE_COUNT);
    tcase_add_test(tcase, a_nul_in_the_message_does_not_end_it);
    tcase_add_loop_test(tcase, a_long_line_is_cut_with_an_ellipsis, 0, 8);
    tcase_add_test(tcase, a_line_that_just_fits_is_not_cut);
    tcase_add_test(tcase, a_cut_ends_the_line);
    tcase_add_test(tcase, errno_is_kept_also_when_the_write_fails);
    tcase_add_loop_test(tcase, a_full_pipe_drops_lines_and_counts_them, 0, 2);
    tcase_add_test(tcase, a_pipe_without_a_reader_drops_lines_and_raises_no_signal);
    tcase_add_test(tcase, a_closed_standard_error_drops_lines);
    tcase_add_test(tcase, lines_of_many_threads_stay_whole);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
