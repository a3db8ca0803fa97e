/*
 * Tests of pool/homecoming: what a server that is back is asked, and when its keys may come home. The server is a text.
 */
#include "pool/homecoming.h"

#include "tests/support/suite.h"

#include <check.h>
#include <string.h>

#define SECONDS(n) ((uint64_t)(n)*1000000)
#define STATS(uptime, time) \
    "STAT pid 7\r\nSTAT uptime " uptime "\r\nSTAT time " time "\r\nSTAT version 1.6.18\r\nEND\r\n"
#define MARKER "VALUE ringside:flush:main 0 "

/* Gives the answer, unit by unit; what came of the last one. */
static enum homecoming_next answer(struct homecoming *homecoming, const char *text)
{
    enum homecoming_next next = HOMECOMING_WAIT;
    size_t len = strlen(text);
    while (len > 0) {
        struct reply_unit unit;
        ck_assert_int_eq(next, HOMECOMING_WAIT);
        ck_assert_int_eq(reply_parse(homecoming->verb, text, len, &unit), REPLY_UNIT);
        next = homecoming_take(homecoming, &unit, text);
        text += unit.head_bytes + unit.body_bytes;
        len -= unit.head_bytes + unit.body_bytes;
    }
    return next;
}

static void expect_question(const struct homecoming *homecoming, const char *question)
{
    ck_assert_uint_eq(homecoming->question_len, strlen(question));
    ck_assert_int_eq(memcmp(homecoming->question, question, strlen(question)), 0);
}

/* Away for ten seconds; its clock says 1000; it has been up for an hour. */
static void come_home(struct homecoming *homecoming)
{
    homecoming_begin(homecoming, "main", NULL, true, SECONDS(10));
    expect_question(homecoming, "version\r\n");
    ck_assert_int_eq(answer(homecoming, "VERSION 1.6.18\r\n"), HOMECOMING_ASK);
    expect_question(homecoming, "stats\r\n");
    ck_assert_int_eq(answer(homecoming, STATS("3600", "1000")), HOMECOMING_ASK);
    expect_question(homecoming, "gets ringside:flush:main\r\n");
}

START_TEST(where_values_may_stay_a_version_is_enough)
{
    struct homecoming homecoming;
    homecoming_begin(&homecoming, "main", NULL, false, SECONDS(10));
    ck_assert_int_eq(answer(&homecoming, "VERSION 1.6.18\r\n"), HOMECOMING_UP);
    homecoming_begin(&homecoming, "main", NULL, false, SECONDS(10));
    ck_assert_int_eq(answer(&homecoming, "ERROR\r\n"), HOMECOMING_AGAIN);
}
END_TEST

START_TEST(a_server_that_has_restarted_is_empty)
{
    static const struct {
        const char *stats;
        enum homecoming_next next;
    } rows[] = {
        {STATS("0", "1000"), HOMECOMING_UP},         {STATS("9", "1000"), HOMECOMING_UP},
        {STATS("10", "1000"), HOMECOMING_ASK},       {STATS("3600", "1000"), HOMECOMING_ASK},
        {"STAT pid 7\r\nEND\r\n", HOMECOMING_AGAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct homecoming homecoming;
        homecoming_begin(&homecoming, "main", NULL, true, SECONDS(10));
        answer(&homecoming, "VERSION 1.6.18\r\n");
        ck_assert_int_eq(answer(&homecoming, rows[i].stats), rows[i].next);
    }
}
END_TEST

START_TEST(the_first_one_flushes)
{
    struct homecoming homecoming;
    come_home(&homecoming);
    ck_assert_int_eq(answer(&homecoming, "END\r\n"), HOMECOMING_ASK);
    expect_question(&homecoming, "add ringside:flush:main 0 86400 13\r\nflushing 1000\r\n");
    ck_assert_int_eq(answer(&homecoming, "STORED\r\n"), HOMECOMING_ASK);
    expect_question(&homecoming, "flush_all\r\nset ringside:flush:main 0 86400 9\r\ndone 1000\r\n");
    ck_assert_int_eq(answer(&homecoming, "OK\r\n"), HOMECOMING_WAIT);
    ck_assert_int_eq(answer(&homecoming, "STORED\r\n"), HOMECOMING_UP);
    ck_assert(homecoming.flushed && !homecoming.refused);
}
END_TEST

START_TEST(markers_tell_what_others_do)
{
    static const struct {
        const char *marker;
        enum homecoming_next next;
        const char *question;
    } rows[] = {
        {MARKER "8 5\r\ndone 995\r\nEND\r\n", HOMECOMING_UP, NULL},
        {MARKER "8 5\r\ndone 991\r\nEND\r\n", HOMECOMING_UP, NULL},
        /* of an earlier outage */
        {MARKER "8 5\r\ndone 980\r\nEND\r\n", HOMECOMING_ASK,
         "cas ringside:flush:main 0 86400 13 5\r\nflushing 1000\r\n"},
        {MARKER "12 5\r\nflushing 995\r\nEND\r\n", HOMECOMING_AGAIN, NULL},
        /* it has died */
        {MARKER "12 5\r\nflushing 980\r\nEND\r\n", HOMECOMING_ASK,
         "cas ringside:flush:main 0 86400 13 5\r\nflushing 1000\r\n"},
        {MARKER "3 77\r\nxyz\r\nEND\r\n", HOMECOMING_ASK, "cas ringside:flush:main 0 86400 13 77\r\nflushing 1000\r\n"},
        {"SERVER_ERROR busy\r\n", HOMECOMING_AGAIN, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct homecoming homecoming;
        come_home(&homecoming);
        ck_assert_int_eq(answer(&homecoming, rows[i].marker), rows[i].next);
        if (rows[i].question != NULL)
            expect_question(&homecoming, rows[i].question);
        ck_assert(!homecoming.flushed);
    }
}
END_TEST

START_TEST(who_comes_second_waits)
{
    struct homecoming homecoming;
    come_home(&homecoming);
    answer(&homecoming, "END\r\n");
    ck_assert_int_eq(answer(&homecoming, "NOT_STORED\r\n"), HOMECOMING_AGAIN);
    come_home(&homecoming);
    answer(&homecoming, MARKER "8 5\r\ndone 980\r\nEND\r\n");
    ck_assert_int_eq(answer(&homecoming, "EXISTS\r\n"), HOMECOMING_AGAIN);
}
END_TEST

START_TEST(a_server_that_forbids_it_is_not_kept_out)
{
    struct homecoming homecoming;
    come_home(&homecoming);
    answer(&homecoming, "END\r\n");
    answer(&homecoming, "STORED\r\n");
    ck_assert_int_eq(answer(&homecoming, "CLIENT_ERROR flush_all not allowed\r\n"), HOMECOMING_WAIT);
    ck_assert_int_eq(answer(&homecoming, "STORED\r\n"), HOMECOMING_UP);
    ck_assert(!homecoming.flushed && homecoming.refused);
    come_home(&homecoming);
    answer(&homecoming, "END\r\n");
    answer(&homecoming, "STORED\r\n");
    ck_assert_int_eq(answer(&homecoming, "SERVER_ERROR busy\r\n"), HOMECOMING_AGAIN);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("homecoming");
    tcase_add_test(tcase, where_values_may_stay_a_version_is_enough);
    tcase_add_test(tcase, a_server_that_has_restarted_is_empty);
    tcase_add_test(tcase, the_first_one_flushes);
    tcase_add_test(tcase, markers_tell_what_others_do);
    tcase_add_test(tcase, who_comes_second_waits);
    tcase_add_test(tcase, a_server_that_forbids_it_is_not_kept_out);
    return suite_run("homecoming", tcase);
}
