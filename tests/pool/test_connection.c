/*
 * Tests of pool/connection against a server that the test plays itself: replies go to their requests, and whatever is
 * late, garbage, cut off or unasked for goes to nobody. Failures are in test_failures.c.
 */
#include "pool/connection.h"

#include "tests/pool/bench.h"
#include "tests/support/random.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(replies_go_to_their_requests_in_order)
{
    struct bench bench;
    struct outcome a, b, c;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_SET, "set b 0 0 1\r\nx\r\n");
    bench_ask(&bench, &c, VERB_GET, "get c\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nset b 0 0 1\r\nx\r\nget c\r\n");
    bench_say(&bench, "VALUE a 0 1\r\n1\r\nEND\r\nSTO");
    bench_await(&bench, &a);
    loop_turns(&bench.loop, 3);
    ck_assert(!b.done);
    bench_say(&bench, "RED\r\nEND\r\n");
    bench_await(&bench, &c);
    ck_assert_int_eq(a.ended_as, 1);
    ck_assert_int_eq(b.ended_as, 2);
    ck_assert_int_eq(c.ended_as, 3);
    bench_expect_reply(&bench, &a, "VALUE a 0 1\r\n1\r\nEND\r\n");
    bench_expect_reply(&bench, &b, "STORED\r\n");
    bench_expect_reply(&bench, &c, "END\r\n");
    bench_fini(&bench);
}
END_TEST

/* ---- The greeting ---- */

START_TEST(nothing_but_the_greeting_leaves_before_the_version_is_known)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    peer_expect_nothing(&bench.loop, bench.peer);
    bench_say(&bench, BENCH_WELCOME);
    bench_expect(&bench, "get a\r\n");
    ck_assert_uint_eq(bench.server->version, server_version_pack("1.6.18", 6));
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &a, "END\r\n");
    bench_fini(&bench);
}
END_TEST

START_TEST(a_known_server_gets_greeting_and_request_together)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench.server->version = server_version_pack("1.6.18", 6);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING "get a\r\n");
    bench_say(&bench, "VERSION 1.6.21\r\nEND\r\n");
    bench_expect_reply(&bench, &a, "END\r\n");
    ck_assert_uint_eq(bench.server->version, server_version_pack("1.6.21", 6));
    bench_fini(&bench);
}
END_TEST

START_TEST(an_old_server_gets_no_meta_command)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_MS, "ms b 1\r\nx\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    bench_say(&bench, "VERSION 1.4.25\r\n");
    bench_expect_failure(&bench, &a, CALL_FAILURE_RESET, true);
    bench_expect_failure(&bench, &b, CALL_FAILURE_RESET, true);
    peer_expect_end(&bench.loop, bench.peer);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_old_server_gets_all_other_commands)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    bench_say(&bench, "VERSION 1.4.25\r\n");
    bench_expect(&bench, "get a\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &a, "END\r\n");
    bench_fini(&bench);
}
END_TEST

static const char *const bad_welcomes[] = {
    "STORED\r\n", "ERROR\r\n", "HTTP/1.1 400 Bad Request\r\n", "SERVER_ERROR busy\r\n", "\r\n", "END\r\n",
};

START_TEST(a_peer_that_does_not_welcome_gets_no_request)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_SET, "set a 0 0 1\r\nx\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    bench_say(&bench, bad_welcomes[_i]);
    bench_expect_failure(&bench, &a, CALL_FAILURE_PROTOCOL, true);
    peer_expect_end(&bench.loop, bench.peer);
    ck_assert_uint_eq(bench.server->version, 0);
    bench_fini(&bench);
}
END_TEST

/* ---- Many calls ---- */

enum { CALLS = 300 };

/* A call, and what the server will answer it. */
struct dialogue {
    struct outcome outcome;
    char *reply;
    size_t reply_len;
    bool abandoned;
};

static void dialogue_init(struct dialogue *dialogue, uint64_t *random, enum verb verb, int number)
{
    size_t value = random_below(random, 10) == 0 ? random_below(random, 200000) : random_size(random, 4000);
    dialogue->reply = malloc(value + 100);
    ck_assert_ptr_nonnull(dialogue->reply);
    if (verb != VERB_GET) {
        dialogue->reply_len = (size_t)sprintf(dialogue->reply, number % 2 ? "STORED\r\n" : "NOT_STORED\r\n");
        return;
    }
    size_t head = 0;
    if (number % 5 != 0) {
        head = (size_t)sprintf(dialogue->reply, "VALUE key:%d 0 %zu\r\n", number, value);
        for (size_t i = 0; i < value; i++)
            dialogue->reply[head + i] = (char)('a' + (number + (int)i) % 26);
        head += value;
        memcpy(dialogue->reply + head, "\r\n", 2);
        head += 2;
    }
    memcpy(dialogue->reply + head, "END\r\n", 5);
    dialogue->reply_len = head + 5;
}

static void dialogue_check(struct dialogue *dialogue)
{
    struct outcome *outcome = &dialogue->outcome;
    if (dialogue->abandoned) {
        ck_assert(!outcome->done && !outcome->failed);
    } else {
        ck_assert(outcome->done);
        ck_assert_uint_eq(outcome->reply_len, dialogue->reply_len);
        ck_assert_int_eq(memcmp(outcome->reply, dialogue->reply, dialogue->reply_len), 0);
        ck_assert_int_eq(outcome->firsts, outcome->lasts);
        ck_assert_int_le(outcome->firsts, 2);
    }
    outcome_fini(outcome);
    free(dialogue->reply);
}

static size_t ask_some(struct bench *bench, struct dialogue *dialogues, int from, int to, uint64_t *random)
{
    size_t bytes = 0;
    for (int i = from; i < to; i++) {
        char request[64];
        enum verb verb = random_below(random, 3) == 0 ? VERB_SET : VERB_GET;
        bytes += (size_t)sprintf(request, verb == VERB_SET ? "set key:%d 0 0 1\r\nx\r\n" : "get key:%d\r\n", i);
        struct call *call = bench_ask(bench, &dialogues[i].outcome, verb, request);
        dialogue_init(&dialogues[i], random, verb, i);
        dialogues[i].abandoned = random_below(random, 8) == 0;
        if (dialogues[i].abandoned)
            call_abandon(&call);
    }
    return bytes;
}

/* The server writes its replies in pieces of any size, behind each other; some calls have been given up meanwhile. */
START_TEST(hundreds_of_pipelined_calls_get_their_own_replies)
{
    static struct dialogue dialogues[CALLS];
    struct bench bench;
    uint64_t random = (uint64_t)_i + 1;
    bench_init(&bench);
    size_t asked_bytes = ask_some(&bench, dialogues, 0, CALLS / 2, &random);
    bench_welcome(&bench);
    asked_bytes += ask_some(&bench, dialogues, CALLS / 2, CALLS, &random);
    char *requests = malloc(asked_bytes);
    ck_assert_ptr_nonnull(requests);
    peer_read(&bench.loop, bench.peer, requests, asked_bytes);
    free(requests);
    for (int i = 0; i < CALLS; i++) {
        for (size_t at = 0; at < dialogues[i].reply_len;) {
            size_t left = dialogues[i].reply_len - at;
            size_t part = random_size(&random, left);
            peer_say_bytes(&bench.loop, bench.peer, dialogues[i].reply + at, part);
            if (random_below(&random, 4) == 0)
                loop_turn(&bench.loop);
            at += part;
        }
    }
    struct outcome last;
    bench_ask(&bench, &last, VERB_GET, "get last\r\n");
    bench_expect(&bench, "get last\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &last, "END\r\n");
    for (int i = 0; i < CALLS; i++)
        dialogue_check(&dialogues[i]);
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->connections_opened), 1);
    bench_fini(&bench);
}
END_TEST

/* ---- Pieces ---- */

START_TEST(value_and_end_come_together_only_where_that_is_wanted)
{
    struct bench bench;
    struct outcome together, apart;
    bench_init(&bench);
    bench_ask(&bench, &together, VERB_GET, "get a\r\n");
    struct call *call = bench_ask(&bench, &apart, VERB_GET, "get b\r\n");
    call->whole = false;
    bench_welcome(&bench);
    bench_say(&bench, "VALUE a 0 1\r\n1\r\nEN");
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(together.pieces, 0);
    bench_say(&bench, "D\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    bench_await(&bench, &apart);
    ck_assert(together.whole);
    ck_assert_int_eq(together.pieces, 1);
    ck_assert(!apart.whole);
    ck_assert_int_eq(apart.pieces, 2);
    ck_assert_int_eq(apart.firsts, 2);
    ck_assert_int_eq(apart.lasts, 2);
    bench_expect_reply(&bench, &together, "VALUE a 0 1\r\n1\r\nEND\r\n");
    bench_expect_reply(&bench, &apart, "VALUE b 0 1\r\n2\r\nEND\r\n");
    bench_fini(&bench);
}
END_TEST

START_TEST(a_value_whose_reply_does_not_end_with_it_comes_alone)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a b\r\n");
    bench_welcome(&bench);
    bench_say(&bench, "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    bench_await(&bench, &a);
    ck_assert_int_eq(a.pieces, 2); /* the second one with its END */
    ck_assert_int_eq(a.firsts, 2);
    bench_expect_reply(&bench, &a, "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    bench_fini(&bench);
}
END_TEST

/* head, a block of x's, tail; malloc'ed. */
static char *make_value(const char *head, size_t len, const char *tail)
{
    size_t head_len = strlen(head);
    char *text = malloc(head_len + len + strlen(tail) + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, head, head_len);
    memset(text + head_len, 'x', len);
    strcpy(text + head_len + len, tail);
    return text;
}

START_TEST(a_large_body_comes_in_pieces_as_it_arrives)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    char *reply = make_value("VALUE a 0 300000\r\n", 300000, "\r\nEND\r\n");
    peer_say_bytes(&bench.loop, bench.peer, reply, 100000);
    LOOP_UNTIL(&bench.loop, a.reply_len == 100000);
    ck_assert_int_eq(a.firsts, 1);
    ck_assert_int_eq(a.lasts, 0);
    ck_assert(!a.done);
    /* Its last bytes one by one: CR and LF of the block apart. */
    size_t len = strlen(reply);
    peer_say_bytes(&bench.loop, bench.peer, reply + 100000, len - 100000 - 8);
    for (size_t at = len - 8; at < len; at++) {
        ck_assert(!a.done);
        peer_say_bytes(&bench.loop, bench.peer, reply + at, 1);
        loop_turns(&bench.loop, 3);
    }
    bench_await(&bench, &a);
    ck_assert_int_gt(a.pieces, 3);
    ck_assert_int_eq(a.firsts, 2); /* the value's, and END */
    ck_assert_int_eq(a.lasts, 2);
    bench_expect_reply(&bench, &a, reply);
    free(reply);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_body_as_large_as_a_block_comes_whole)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    char *reply = make_value("VALUE a 0 65516\r\n", 65516, "\r\nEND\r\n"); /* 17 + 65516 + 2 = 65535 */
    bench_say(&bench, reply);
    bench_await(&bench, &a);
    ck_assert_int_eq(a.firsts, 2);
    ck_assert_int_eq(a.pieces, 2);
    bench_expect_reply(&bench, &a, reply);
    free(reply);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_large_body_without_its_end_ends_the_connection)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    char *reply = make_value("VALUE a 0 300000\r\n", 300001, "\nEND\r\n");
    bench_say(&bench, reply);
    bench_expect_failure(&bench, &a, CALL_FAILURE_PROTOCOL, false);
    bench_expect_failure(&bench, &b, CALL_FAILURE_PROTOCOL, false);
    free(reply);
    bench_fini(&bench);
}
END_TEST

/* ---- What must not be ---- */

static const struct {
    enum verb verb;
    const char *request;
    const char *reply;
} lies[] = {
    {VERB_GET, "get a\r\n", "STORED\r\n"},
    {VERB_GET, "get a\r\n", "rubbish\r\n"},
    {VERB_GET, "get a\r\n", "VALUE a 0 1\r\nxyz\r\nEND\r\n"},
    {VERB_GET, "get a\r\n", "VALUE a 0 3\r\nx\r\nEND\r\n"},
    {VERB_GET, "get a\r\n", "VALUE a 0 1 7\r\nx\r\nEND\r\n"},
    {VERB_GET, "get a\r\n", "VALUE a 0 -1\r\nx\r\nEND\r\n"},
    {VERB_GET, "get a\r\n", "\r\n"},
    {VERB_GET, "get a\r\n", "END\n"},
    {VERB_GETS, "gets a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n"},
    {VERB_SET, "set a 0 0 1\r\nx\r\n", "END\r\n"},
    {VERB_SET, "set a 0 0 1\r\nx\r\n", "ERROR\r\n"},
    {VERB_DELETE, "delete a\r\n", "STORED\r\n"},
    {VERB_INCR, "incr a 1\r\n", "12x\r\n"},
    {VERB_MG, "mg a v\r\n", "VA 1\r\nxy\r\n"},
};

START_TEST(an_unlawful_reply_ends_the_connection)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, lies[_i].verb, lies[_i].request);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, lies[_i].request);
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, lies[_i].reply);
    bench_expect_failure(&bench, &a, CALL_FAILURE_PROTOCOL, false);
    bench_expect_failure(&bench, &b, CALL_FAILURE_PROTOCOL, false);
    peer_expect_end(&bench.loop, bench.peer);
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->errors_protocol), 3 - 1);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_reply_that_its_owner_does_not_know_ends_the_connection)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    a.refuse = true;
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\n");
    bench_say(&bench, "VALUE z 0 1\r\n1\r\nEND\r\nEND\r\n");
    bench_expect_failure(&bench, &b, CALL_FAILURE_PROTOCOL, false);
    bench_expect_failure(&bench, &a, CALL_FAILURE_PROTOCOL, false);
    peer_expect_end(&bench.loop, bench.peer);
    bench_fini(&bench);
}
END_TEST

/* Right behind the last reply, or later; either way the next request gets a new connection. */
START_TEST(bytes_that_nobody_asked_for_end_the_connection)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    bench_say(&bench, _i == 0 ? "END\r\nEND\r\n" : "END\r\n");
    bench_expect_reply(&bench, &a, "END\r\n");
    if (_i == 1)
        bench_say(&bench, "E");
    peer_expect_end(&bench.loop, bench.peer);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &b, "END\r\n");
    bench_fini(&bench);
}
END_TEST

START_TEST(an_abandoned_call_keeps_its_place)
{
    struct bench bench;
    struct outcome gone, next;
    bench_init(&bench);
    struct call *call = bench_ask(&bench, &gone, VERB_GET, "get a\r\n");
    bench_ask(&bench, &next, VERB_GET, "get b\r\n");
    call_abandon(&call);
    ck_assert_ptr_null(call);
    call_abandon(&call); /* nothing any more, and lawful */
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\n");
    bench_say(&bench, "VALUE a 0 1\r\n1\r\nEND\r\nEND\r\n");
    bench_expect_reply(&bench, &next, "END\r\n");
    ck_assert(!gone.done && !gone.failed);
    bench_fini(&bench);
}
END_TEST

/* Also the reply to a call that nobody waits for has to be lawful. */
START_TEST(an_unlawful_reply_to_an_abandoned_call_ends_the_connection)
{
    struct bench bench;
    struct outcome gone, next;
    bench_init(&bench);
    struct call *call = bench_ask(&bench, &gone, VERB_GET, "get a\r\n");
    bench_ask(&bench, &next, VERB_GET, "get b\r\n");
    call_abandon(&call);
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\n");
    bench_say(&bench, "STORED\r\nEND\r\n");
    bench_expect_failure(&bench, &next, CALL_FAILURE_PROTOCOL, false);
    ck_assert(!gone.failed);
    bench_fini(&bench);
}
END_TEST

/* ---- What is counted ---- */

START_TEST(counters_tell_what_has_happened)
{
    struct bench bench;
    struct outcome outcomes[6];
    static const struct {
        enum verb verb;
        const char *request, *reply;
    } rows[] = {
        {VERB_GET, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n"},
        {VERB_GET, "get b\r\n", "END\r\n"},
        {VERB_MG, "mg c v\r\n", "VA 1\r\n1\r\n"},
        {VERB_MG, "mg d v\r\n", "EN\r\n"},
        {VERB_SET, "set e 0 0 1\r\nx\r\n", "SERVER_ERROR out of memory storing object\r\n"},
        {VERB_MG, "mg f k\r\n", "HD kf\r\n"},
    };
    bench_init(&bench);
    for (int i = 0; i < 6; i++)
        bench_ask(&bench, &outcomes[i], rows[i].verb, rows[i].request);
    bench_welcome(&bench);
    size_t out = strlen(BENCH_GREETING), in = strlen(BENCH_WELCOME);
    for (int i = 0; i < 6; i++) {
        bench_say(&bench, rows[i].reply);
        bench_expect_reply(&bench, &outcomes[i], rows[i].reply);
        out += strlen(rows[i].request);
        in += strlen(rows[i].reply);
    }
    const struct server_stats *stats = bench.upstream->stats;
    ck_assert_uint_eq(counter_read(&stats->requests), 6);
    ck_assert_uint_eq(counter_read(&stats->hits), 3);
    ck_assert_uint_eq(counter_read(&stats->misses), 2);
    ck_assert_uint_eq(counter_read(&stats->errors_server), 1);
    ck_assert_uint_eq(counter_read(&stats->bytes_out), out);
    ck_assert_uint_eq(counter_read(&stats->bytes_in), in);
    ck_assert_uint_eq(counter_read(&stats->connections_opened), 1);
    ck_assert_uint_eq(counter_read(&stats->connections_closed), 0);
    ck_assert_uint_eq(counter_read(&stats->queue), 0);
    const struct histogram *latency = atomic_load(&stats->latency);
    ck_assert_uint_eq(histogram_count(latency), 6); /* the greeting is nobody's request */
    bench_hang_up(&bench);
    LOOP_UNTIL(&bench.loop, counter_read(&stats->connections_closed) == 1);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("connection");
    tcase_add_test(tcase, replies_go_to_their_requests_in_order);
    tcase_add_test(tcase, nothing_but_the_greeting_leaves_before_the_version_is_known);
    tcase_add_test(tcase, a_known_server_gets_greeting_and_request_together);
    tcase_add_test(tcase, an_old_server_gets_no_meta_command);
    tcase_add_test(tcase, an_old_server_gets_all_other_commands);
    tcase_add_loop_test(tcase, a_peer_that_does_not_welcome_gets_no_request, 0,
                        sizeof bad_welcomes / sizeof bad_welcomes[0]);
    tcase_add_loop_test(tcase, hundreds_of_pipelined_calls_get_their_own_replies, 0, 4);
    tcase_add_test(tcase, value_and_end_come_together_only_where_that_is_wanted);
    tcase_add_test(tcase, a_value_whose_reply_does_not_end_with_it_comes_alone);
    tcase_add_test(tcase, a_large_body_comes_in_pieces_as_it_arrives);
    tcase_add_test(tcase, a_body_as_large_as_a_block_comes_whole);
    tcase_add_test(tcase, a_large_body_without_its_end_ends_the_connection);
    tcase_add_loop_test(tcase, an_unlawful_reply_ends_the_connection, 0, sizeof lies / sizeof lies[0]);
    tcase_add_test(tcase, a_reply_that_its_owner_does_not_know_ends_the_connection);
    tcase_add_loop_test(tcase, bytes_that_nobody_asked_for_end_the_connection, 0, 2);
    tcase_add_test(tcase, an_abandoned_call_keeps_its_place);
    tcase_add_test(tcase, an_unlawful_reply_to_an_abandoned_call_ends_the_connection);
    tcase_add_test(tcase, counters_tell_what_has_happened);
    return suite_run("connection", tcase);
}
