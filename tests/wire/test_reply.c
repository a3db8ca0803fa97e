/* Replies: which answers are lawful to whom, where their parts lie, and what is garbage. */
#include "wire/reply.h"
#include "wire/request.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define K50 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50

struct row {
    enum verb verb;
    const char *input; /* the unit's line with its CRLF */
    size_t len;
    enum reply_status status;
    enum reply_code code;
    bool final;
    uint64_t body_bytes;
    const char *key, *rest;
};

#define UNIT(verb, input, code, final, body, key, rest)                                              \
    {                                                                                                \
        VERB_##verb, input, sizeof(input) - 1, REPLY_UNIT, REPLY_CODE_##code, final, body, key, rest \
    }
#define DONE(verb, input, code) UNIT(verb, input, code, true, 0, "", "")
#define GARBAGE(verb, input)                                                                   \
    {                                                                                          \
        VERB_##verb, input, sizeof(input) - 1, REPLY_GARBAGE, REPLY_CODE_END, false, 0, "", "" \
    }

static const struct row rows[] = {
    UNIT(GET, "VALUE k 0 5\r\n", VALUE, false, 7, "k", ""),
    UNIT(GET, "VALUE k 0 0\r\n", VALUE, false, 2, "k", ""),
    UNIT(GET, "VALUE " K250 " 4294967295 1048576\r\n", VALUE, false, 1048578, K250, ""),
    UNIT(GET, "VALUE \x80\xff 0 5\r\n", VALUE, false, 7, "\x80\xff", ""),
    UNIT(GET, "VALUE k -1 5\r\n", VALUE, false, 7, "k", ""),
    UNIT(GET, "VALUE k 18446744073709551615 5\r\n", VALUE, false, 7, "k", ""),
    UNIT(GET, "VALUE k 0 2147483645\r\n", VALUE, false, 2147483647, "k", ""),
    GARBAGE(GET, "VALUE k 0 2147483646\r\n"),
    GARBAGE(GET, "VALUE k 0 4294967301\r\n"),
    GARBAGE(GET, "VALUE k 0 18446744073709551613\r\n"),
    GARBAGE(MG, "VA 2147483646 f0\r\n"),
    GARBAGE(MA, "VA 18446744073709551615 c1\r\n"),
    UNIT(GETS, "VALUE k 0 5 18446744073709551615\r\n", VALUE, false, 7, "k", ""),
    UNIT(GAT, "VALUE k 0 5\r\n", VALUE, false, 7, "k", ""),
    UNIT(GATS, "VALUE k 0 5 1\r\n", VALUE, false, 7, "k", ""),
    DONE(GET, "END\r\n", END),
    DONE(GETS, "END\r\n", END),
    UNIT(GET, "SERVER_ERROR out of memory writing get response\r\n", SERVER_ERROR, true, 0, "",
         "out of memory writing get response"),
    UNIT(GET, "ERROR Too many open connections\r\n", ERROR, true, 0, "", "Too many open connections"),
    DONE(GET, "ERROR\r\n", ERROR),
    GARBAGE(GET, "VALUE k 0 5 1\r\n"),
    GARBAGE(GETS, "VALUE k 0 5\r\n"),
    GARBAGE(GETS, "VALUE k 0 5 \r\n"),
    GARBAGE(GETS, "VALUE k 0 5 1 \r\n"),
    GARBAGE(GETS, "VALUE k 0 5 1 2\r\n"),
    GARBAGE(GETS, "VALUE k 0 5 x\r\n"),
    GARBAGE(GETS, "VALUE k 0 5 18446744073709551616\r\n"),
    GARBAGE(GET, "VALUE\r\n"),
    GARBAGE(GET, "VALUE \r\n"),
    GARBAGE(GET, "VALUE k\r\n"),
    GARBAGE(GET, "VALUE k 0\r\n"),
    GARBAGE(GET, "VALUE k 0 \r\n"),
    GARBAGE(GET, "VALUE  k 0 5\r\n"),
    GARBAGE(GET, "VALUE k  0 5\r\n"),
    GARBAGE(GET, "VALUE k 0  5\r\n"),
    GARBAGE(GET, "VALUE k 0 5 \r\n"),
    GARBAGE(GET, "VALUE k 0 -5\r\n"),
    GARBAGE(GET, "VALUE k 0 +5\r\n"),
    GARBAGE(GET, "VALUE k 0 5x\r\n"),
    GARBAGE(GET, "VALUE k 0 18446744073709551614\r\n"),
    GARBAGE(GET, "VALUE k 0 99999999999999999999\r\n"),
    GARBAGE(GET, "VALUE k - 5\r\n"),
    GARBAGE(GET, "VALUE k x 5\r\n"),
    GARBAGE(GET, "VALUE k 18446744073709551616 5\r\n"),
    GARBAGE(GET, "VALUE " K250 "k 0 5\r\n"),
    GARBAGE(GET, "VALUE k\t 0 5\r\n"),
    GARBAGE(GET, "VALUE k\0 0 5\r\n"),
    GARBAGE(GET, "value k 0 5\r\n"),
    GARBAGE(GET, "VALUE k 0 5\n"),
    GARBAGE(GET, "END\n"),
    GARBAGE(GET, "END \r\n"),
    GARBAGE(GET, "ENDx\r\n"),
    GARBAGE(GET, "EN\r\n"),
    GARBAGE(GET, "\r\n"),
    GARBAGE(GET, "\n"),
    GARBAGE(GET, "STORED\r\n"),
    GARBAGE(GET, "VA 5\r\n"),
    GARBAGE(GET, "HTTP/1.1 400 Bad Request\r\n"),
    GARBAGE(GET, "\x81\x00\x00\r\n"),

    DONE(SET, "STORED\r\n", STORED),
    DONE(SET, "NOT_STORED\r\n", NOT_STORED),
    DONE(ADD, "NOT_STORED\r\n", NOT_STORED),
    DONE(PREPEND, "STORED\r\n", STORED),
    DONE(CAS, "STORED\r\n", STORED),
    DONE(CAS, "EXISTS\r\n", EXISTS),
    DONE(CAS, "NOT_FOUND\r\n", NOT_FOUND),
    UNIT(SET, "SERVER_ERROR out of memory storing object\r\n", SERVER_ERROR, true, 0, "",
         "out of memory storing object"),
    UNIT(SET, "CLIENT_ERROR bad data chunk\r\n", CLIENT_ERROR, true, 0, "", "bad data chunk"),
    GARBAGE(SET, "EXISTS\r\n"),
    GARBAGE(SET, "NOT_FOUND\r\n"),
    GARBAGE(SET, "END\r\n"),
    GARBAGE(SET, "STORED \r\n"),
    GARBAGE(SET, "STORED\n"),
    GARBAGE(SET, "STOREDX\r\n"),
    /* the server did not swallow the data block */
    GARBAGE(SET, "ERROR\r\n"),
    GARBAGE(CAS, "ERROR\r\n"),
    GARBAGE(MS, "ERROR\r\n"),
    GARBAGE(SET, "CLIENT_ERROR bad command line format\r\n"),
    GARBAGE(APPEND, "CLIENT_ERROR bad command line format\r\n"),

    DONE(DELETE, "DELETED\r\n", DELETED),
    DONE(DELETE, "NOT_FOUND\r\n", NOT_FOUND),
    DONE(DELETE, "ERROR\r\n", ERROR),
    UNIT(DELETE, "CLIENT_ERROR bad command line format\r\n", CLIENT_ERROR, true, 0, "", "bad command line format"),
    GARBAGE(DELETE, "STORED\r\n"),
    DONE(TOUCH, "TOUCHED\r\n", TOUCHED),
    DONE(TOUCH, "NOT_FOUND\r\n", NOT_FOUND),
    GARBAGE(TOUCH, "DELETED\r\n"),
    DONE(INCR, "0\r\n", NUMBER),
    DONE(INCR, "18446744073709551615\r\n", NUMBER),
    DONE(DECR, "5  \r\n", NUMBER),
    DONE(DECR, "NOT_FOUND\r\n", NOT_FOUND),
    UNIT(INCR, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n", CLIENT_ERROR, true, 0, "",
         "cannot increment or decrement non-numeric value"),
    GARBAGE(INCR, "18446744073709551616\r\n"),
    GARBAGE(INCR, "-1\r\n"),
    GARBAGE(INCR, " 1\r\n"),
    GARBAGE(INCR, "1 2\r\n"),
    GARBAGE(INCR, "1x\r\n"),
    GARBAGE(INCR, "STORED\r\n"),
    GARBAGE(GET, "5\r\n"),

    UNIT(MG, "VA 5\r\n", VA, true, 7, "", ""),
    UNIT(MG, "VA 0 f0 kkey Oabc W\r\n", VA, true, 2, "", ""),
    DONE(MG, "HD\r\n", HD),
    UNIT(MG, "HD s5 t-1\r\n", HD, true, 0, "", "s5 t-1"),
    DONE(MG, "EN\r\n", EN),
    UNIT(MG, "EN kkey\r\n", EN, true, 0, "", "kkey"),
    UNIT(MG, "HD ka\nb\r\n", HD, true, 0, "", "ka\nb"),
    UNIT(MG, "HD k\r\r\n", HD, true, 0, "", "k\r"),
    UNIT(MG, "CLIENT_ERROR invalid flag\r\n", CLIENT_ERROR, true, 0, "", "invalid flag"),
    GARBAGE(MG, "VA\r\n"),
    GARBAGE(MG, "VA x\r\n"),
    GARBAGE(MG, "VA 5x\r\n"),
    GARBAGE(MG, "VA -5\r\n"),
    GARBAGE(MG, "VA  5\r\n"),
    GARBAGE(MG, "VA 18446744073709551614\r\n"),
    GARBAGE(MG, "HDx\r\n"),
    GARBAGE(MG, "END\r\n"),
    GARBAGE(MG, "OK\r\n"),
    GARBAGE(MG, "NF\r\n"),
    GARBAGE(MG, "\n\r\n"),
    UNIT(MS, "HD c5 kkey\r\n", HD, true, 0, "", "c5 kkey"),
    DONE(MS, "NS\r\n", NS),
    DONE(MS, "EX\r\n", EX),
    DONE(MS, "NF\r\n", NF),
    UNIT(MS, "CLIENT_ERROR invalid flag\r\n", CLIENT_ERROR, true, 0, "", "invalid flag"),
    GARBAGE(MS, "EN\r\n"),
    GARBAGE(MS, "VA 5\r\n"),
    GARBAGE(MS, "HD ka\nb\r\n"),
    DONE(MD, "HD\r\n", HD),
    DONE(MD, "NF\r\n", NF),
    DONE(MD, "EX\r\n", EX),
    GARBAGE(MD, "EN\r\n"),
    UNIT(MA, "VA 2 c5\r\n", VA, true, 4, "", ""),
    DONE(MA, "HD\r\n", HD),
    DONE(MA, "NF\r\n", NF),
    GARBAGE(MA, "EN\r\n"),
    UNIT(ME, "ME k exp=-1 la=0\r\n", ME, true, 0, "", "k exp=-1 la=0"),
    UNIT(ME, "ME a\nb exp=-1\r\n", ME, true, 0, "", "a\nb exp=-1"),
    DONE(ME, "EN\r\n", EN),
    DONE(MN, "MN\r\n", MN),
    GARBAGE(MN, "EN\r\n"),

    UNIT(VERSION, "VERSION 1.6.18\r\n", VERSION, true, 0, "", "1.6.18"),
    GARBAGE(VERSION, "VERSIONS\r\n"),
    GARBAGE(VERSION, "END\r\n"),
    UNIT(STATS, "STAT pid 123\r\n", STAT, false, 0, "pid", "123"),
    UNIT(STATS, "STAT items:1:age a b\r\n", STAT, false, 0, "items:1:age", "a b"),
    UNIT(STATS, "STAT name\r\n", STAT, false, 0, "name", ""),
    UNIT(STATS, "STAT name \r\n", STAT, false, 0, "name", ""),
    DONE(STATS, "END\r\n", END),
    DONE(STATS, "RESET\r\n", RESET),
    DONE(STATS, "OK\r\n", OK),
    DONE(STATS, "ERROR\r\n", ERROR),
    GARBAGE(STATS, "STAT\r\n"),
    GARBAGE(STATS, "STAT  5\r\n"),
    GARBAGE(STATS, "ITEM a [1 b; 0 s]\r\n"),
    DONE(FLUSH_ALL, "OK\r\n", OK),
    UNIT(FLUSH_ALL, "CLIENT_ERROR flush_all not allowed\r\n", CLIENT_ERROR, true, 0, "", "flush_all not allowed"),
    GARBAGE(FLUSH_ALL, "STORED\r\n"),
    DONE(VERBOSITY, "OK\r\n", OK),
};

static char *copy_of(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, len);
    return copy;
}

static void check_slice(const struct row *row, struct slice slice, const char *expected)
{
    ck_assert_msg(slice_equal(slice, slice_make(expected, strlen(expected))), "`%s`: `%.*s` is not `%s`", row->input,
                  (int)slice.len, slice.data, expected);
}

static void check_unit(const struct row *row, const char *data, size_t len)
{
    struct reply_unit unit;
    enum reply_status status = reply_parse(row->verb, data, len, &unit);
    ck_assert_msg(status == row->status, "`%s` has status %d", row->input, (int)status);
    if (status != REPLY_UNIT)
        return;
    ck_assert_int_eq(unit.code, row->code);
    ck_assert_int_eq(unit.final, row->final);
    ck_assert_uint_eq(unit.head_bytes, row->len);
    ck_assert_uint_eq(unit.body_bytes, row->body_bytes);
    check_slice(row, unit.key, row->key);
    check_slice(row, unit.rest, row->rest);
}

START_TEST(units_are_as_tabled)
{
    const struct row *row = &rows[_i];
    char *data = copy_of(row->input, row->len);
    check_unit(row, data, row->len);
    free(data);
    char more[600];
    memcpy(more, row->input, row->len);
    memcpy(more + row->len, "hello\r\nEND\r\n", 12);
    check_unit(row, more, row->len + 12);
}
END_TEST

/* A lawful unit is never garbage while it comes in; and no byte is read that has not come. */
START_TEST(prefixes_are_partial)
{
    const struct row *row = &rows[_i];
    for (size_t len = 0; row->status == REPLY_UNIT && len < row->len; len++) {
        struct reply_unit unit;
        char *data = copy_of(row->input, len);
        ck_assert_msg(reply_parse(row->verb, data, len, &unit) == REPLY_PARTIAL, "%zu bytes of `%s`", len, row->input);
        free(data);
    }
}
END_TEST

START_TEST(a_line_has_a_largest_length)
{
    struct reply_unit unit;
    char *data = malloc(REPLY_LINE_MAX + 1);
    for (size_t len = REPLY_LINE_MAX; len <= REPLY_LINE_MAX + 1; len++) {
        memset(data, 'x', REPLY_LINE_MAX + 1);
        memcpy(data, "STAT name ", 10);
        memcpy(data + len - 2, "\r\n", 2);
        ck_assert_int_eq(reply_parse(VERB_STATS, data, REPLY_LINE_MAX - 1, &unit), REPLY_PARTIAL);
        ck_assert_int_eq(reply_parse(VERB_STATS, data, len, &unit), len == REPLY_LINE_MAX ? REPLY_UNIT : REPLY_GARBAGE);
    }
    free(data);
}
END_TEST

/* Each verb against each bare word: only what is listed is let through. */
START_TEST(lawful_answers_are_exactly_these)
{
    static const struct {
        const char *verb, *words;
    } lawful[] = {
        {"get", "END ERROR CLIENT_ERROR SERVER_ERROR"},
        {"gets", "END ERROR CLIENT_ERROR SERVER_ERROR"},
        {"gat", "END ERROR CLIENT_ERROR SERVER_ERROR"},
        {"gats", "END ERROR CLIENT_ERROR SERVER_ERROR"},
        {"set", "STORED NOT_STORED CLIENT_ERROR SERVER_ERROR"},
        {"add", "STORED NOT_STORED CLIENT_ERROR SERVER_ERROR"},
        {"replace", "STORED NOT_STORED CLIENT_ERROR SERVER_ERROR"},
        {"append", "STORED NOT_STORED CLIENT_ERROR SERVER_ERROR"},
        {"prepend", "STORED NOT_STORED CLIENT_ERROR SERVER_ERROR"},
        {"cas", "STORED NOT_STORED EXISTS NOT_FOUND CLIENT_ERROR SERVER_ERROR"},
        {"delete", "DELETED NOT_FOUND ERROR CLIENT_ERROR SERVER_ERROR"},
        {"incr", "7 NOT_FOUND ERROR CLIENT_ERROR SERVER_ERROR"},
        {"decr", "7 NOT_FOUND ERROR CLIENT_ERROR SERVER_ERROR"},
        {"touch", "TOUCHED NOT_FOUND ERROR CLIENT_ERROR SERVER_ERROR"},
        {"mg", "HD EN ERROR CLIENT_ERROR SERVER_ERROR"},
        {"ms", "HD NS EX NF CLIENT_ERROR SERVER_ERROR"},
        {"md", "HD NS EX NF ERROR CLIENT_ERROR SERVER_ERROR"},
        {"ma", "HD NS EX NF ERROR CLIENT_ERROR SERVER_ERROR"},
        {"me", "ME EN ERROR CLIENT_ERROR SERVER_ERROR"},
        {"mn", "MN ERROR CLIENT_ERROR SERVER_ERROR"},
        {"version", "VERSION ERROR CLIENT_ERROR SERVER_ERROR"},
        {"stats", "END RESET OK ERROR CLIENT_ERROR SERVER_ERROR"},
        {"flush_all", "OK ERROR CLIENT_ERROR SERVER_ERROR"},
        {"verbosity", "OK ERROR CLIENT_ERROR SERVER_ERROR"},
        {"quit", "ERROR CLIENT_ERROR SERVER_ERROR"},
    };
    static const char *const words[] = {"VALUE",   "END",     "STORED", "NOT_STORED", "EXISTS",       "NOT_FOUND",
                                        "DELETED", "TOUCHED", "7",      "OK",         "RESET",        "VERSION",
                                        "STAT",    "HD",      "VA",     "EN",         "NS",           "EX",
                                        "NF",      "ME",      "MN",     "ERROR",      "CLIENT_ERROR", "SERVER_ERROR"};
    enum verb verb;
    ck_assert(verb_by_name(slice_make(lawful[_i].verb, strlen(lawful[_i].verb)), &verb));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char line[32], listed[128], pattern[32];
        struct reply_unit unit;
        int len = snprintf(line, sizeof(line), "%s\r\n", words[i]);
        snprintf(listed, sizeof(listed), " %s ", lawful[_i].words);
        snprintf(pattern, sizeof(pattern), " %s ", words[i]);
        bool is_unit = reply_parse(verb, line, (size_t)len, &unit) == REPLY_UNIT;
        ck_assert_msg(is_unit == (strstr(listed, pattern) != NULL), "%s to %s", words[i], lawful[_i].verb);
    }
}
END_TEST

/* A whole answer to a multi-get, unit by unit. */
START_TEST(a_reply_is_walked_by_its_sizes)
{
    static const char reply[] = "VALUE a 0 3\r\nx\r\n\r\nVALUE b 7 5\r\nEND\r\n\r\nEND\r\n";
    static const char *const keys[] = {"a", "b", ""};
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        struct reply_unit unit;
        ck_assert_int_eq(reply_parse(VERB_GET, reply + at, sizeof(reply) - 1 - at, &unit), REPLY_UNIT);
        ck_assert(slice_equal(unit.key, slice_make(keys[i], strlen(keys[i]))));
        ck_assert_int_eq(unit.final, i == 2);
        at += unit.head_bytes + unit.body_bytes;
    }
    ck_assert_uint_eq(at, sizeof(reply) - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/reply");
    TCase *tcase = tcase_create("reply");
    tcase_add_loop_test(tcase, units_are_as_tabled, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(tcase, prefixes_are_partial, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_test(tcase, a_line_has_a_largest_length);
    tcase_add_loop_test(tcase, lawful_answers_are_exactly_these, 0, VERB_COUNT);
    tcase_add_test(tcase, a_reply_is_walked_by_its_sizes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
