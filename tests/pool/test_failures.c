/*
 * Tests of how calls on a connection fail: for which reason, whether anything of them had left, and in what state they
 * leave the connection, the server's health and those who wait.
 */
#include "pool/connection.h"

#include "tests/pool/bench.h"
#include "tests/support/suite.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* ---- unsent: exact, since a request of which nothing left may be sent elsewhere ---- */

/* A storage request of about `len` bytes, on a value that lives for ever. */
static struct call *ask_large(struct bench *bench, struct outcome *outcome, const char *value, size_t len)
{
    char line[64];
    outcome_init(outcome, bench);
    struct call *call = upstream_call(bench->upstream, 0, VERB_SET, &bench_methods, outcome);
    ck_assert_ptr_nonnull(call);
    int n = sprintf(line, "set large 0 0 %zu\r\n", len);
    ck_assert(chain_append_copy(call_out(call), &bench->memory, line, (size_t)n));
    ck_assert(chain_append_static(call_out(call), &bench->memory, slice_make(value, len)));
    ck_assert(chain_append_copy(call_out(call), &bench->memory, "\r\n", 2));
    upstream_send(call);
    return call;
}

enum { LARGE = 32 << 20 }; /* more than the kernel takes */

START_TEST(unsent_is_what_no_byte_has_left_of)
{
    struct bench bench;
    struct outcome sent, partly, unsent;
    char *value = calloc(1, LARGE);
    ck_assert_ptr_nonnull(value);
    bench_init(&bench);
    bench_ask(&bench, &sent, VERB_SET, "set a 0 0 1\r\nx\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "set a 0 0 1\r\nx\r\n");
    ask_large(&bench, &partly, value, LARGE);
    bench_ask(&bench, &unsent, VERB_SET, "set b 0 0 1\r\nx\r\n");
    const struct connection *connection = bench_connection(&bench, 0);
    bench_expect(&bench, "set large");
    ck_assert_uint_gt(connection->out.bytes, 0); /* the kernel has not taken all of it */
    bench_hang_up(&bench);
    bench_expect_failure(&bench, &sent, CALL_FAILURE_RESET, false);
    bench_expect_failure(&bench, &partly, CALL_FAILURE_RESET, false);
    bench_expect_failure(&bench, &unsent, CALL_FAILURE_RESET, true);
    ck_assert_int_eq(connection->state, CONNECTION_CLOSED);
    free(value);
    bench_fini(&bench);
}
END_TEST

/* The border: the last byte that left is the one before the call's first. */
START_TEST(a_call_right_behind_what_has_left_is_unsent)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_SET, "set a 0 0 1\r\nx\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    ck_assert_uint_eq(bench_connection(&bench, 0)->written_bytes, strlen(BENCH_GREETING));
    bench_hang_up(&bench);
    bench_expect_failure(&bench, &a, CALL_FAILURE_RESET, true);
    bench_expect_failure(&bench, &b, CALL_FAILURE_RESET, true);
    bench_fini(&bench);
}
END_TEST

START_TEST(one_byte_that_has_left_makes_a_call_sent)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    struct connection *connection = bench_connection(&bench, 0);
    bench_ask(&bench, &b, VERB_SET, "set b 0 0 1\r\nx\r\n");
    /* As after a short write. */
    connection->written_bytes++;
    chain_consume(&connection->out, &bench.memory, 1);
    connection_fail(connection, CALL_FAILURE_RESET, "test");
    bench_expect_failure(&bench, &b, CALL_FAILURE_RESET, false);
    bench_expect_failure(&bench, &a, CALL_FAILURE_RESET, false);
    bench_fini(&bench);
}
END_TEST

/* The count begins anew with each socket. */
START_TEST(unsent_is_exact_on_the_second_socket_too)
{
    struct bench bench;
    struct outcome a, b, c;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    bench_hang_up(&bench);
    bench_expect_failure(&bench, &a, CALL_FAILURE_RESET, false);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get b\r\n");
    bench_ask(&bench, &c, VERB_GET, "get c\r\n");
    connection_fail(bench_connection(&bench, 0), CALL_FAILURE_RESET, "test"); /* before the turn's end */
    bench_expect_failure(&bench, &b, CALL_FAILURE_RESET, false);
    bench_expect_failure(&bench, &c, CALL_FAILURE_RESET, true);
    bench_fini(&bench);
}
END_TEST

/* ---- Closed by the server ---- */

START_TEST(a_reply_cut_off_fails_its_call_and_those_behind_it)
{
    struct bench bench;
    struct outcome a, b, c;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_ask(&bench, &c, VERB_GET, "get c\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\nget c\r\n");
    bench_say(&bench, "END\r\nVALUE b 0 10\r\n01234");
    bench_hang_up(&bench);
    bench_expect_failure(&bench, &c, CALL_FAILURE_RESET, false);
    bench_expect_failure(&bench, &b, CALL_FAILURE_RESET, false);
    bench_expect_reply(&bench, &a, "END\r\n");
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->errors_reset), 2);
    ck_assert_uint_eq(bench.upstream->failures, 1); /* one connection, one failure */
    bench_fini(&bench);
}
END_TEST

START_TEST(an_idle_connection_closed_by_its_server_is_no_failure)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &a, "END\r\n");
    bench_hang_up(&bench);
    LOOP_UNTIL(&bench.loop, bench_connection(&bench, 0)->state == CONNECTION_CLOSED);
    ck_assert_uint_eq(bench.upstream->failures, 0);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &b, "END\r\n");
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->connections_opened), 2);
    bench_fini(&bench);
}
END_TEST

/* ---- No connection ---- */

START_TEST(a_refused_connection_ejects_the_server_at_once)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    shutdown(bench.listener, SHUT_RDWR); /* the port stays taken, and refuses */
    bench_ask(&bench, &a, VERB_SET, "set a 0 0 1\r\nx\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_expect_failure(&bench, &a, CALL_FAILURE_REFUSED, true);
    bench_expect_failure(&bench, &b, CALL_FAILURE_REFUSED, true);
    ck_assert(server_is_down(bench.server));
    ck_assert_uint_eq(bench.downs, 1);
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->errors_refused), 2 + 1); /* the greeting too */
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->connect_failures), 1);
    ck_assert_uint_eq(counter_read(&bench.upstream->stats->connections_opened), 0);
    bench_fini(&bench);
}
END_TEST

/* A server that was frozen while the connection was made: its welcome comes late, and the connection is good then. */
START_TEST(a_late_welcome_opens_the_connection_all_the_same)
{
    struct bench bench;
    struct outcome a, b;
    struct upstream_settings settings = bench_settings;
    settings.timeout_ms = 100;
    settings.failures = 1000;
    bench_init_named(&bench, NULL, &settings);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING);
    clock_skip_us(150000);
    bench_expect_failure(&bench, &a, CALL_FAILURE_TIMEOUT, false);
    bench_say(&bench, BENCH_WELCOME);
    bench_expect(&bench, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, "VALUE a 0 1\r\n1\r\nEND\r\nEND\r\n");
    bench_expect_reply(&bench, &b, "END\r\n");
    bench_fini(&bench);
}
END_TEST

START_TEST(a_server_that_refused_is_tried_again_by_the_next_call)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    ck_assert_int_eq(getsockname(bench.listener, (struct sockaddr *)&address, &len), 0);
    close(bench.listener);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_expect_failure(&bench, &a, CALL_FAILURE_REFUSED, true);
    bench.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    ck_assert_int_eq(setsockopt(bench.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    ck_assert_int_eq(bind(bench.listener, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(bench.listener, 8), 0);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get b\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &b, "END\r\n");
    bench_fini(&bench);
}
END_TEST

/* It fails within connect() itself: the call must not fail before its caller has its hands free. */
START_TEST(a_path_without_a_socket_fails_at_the_turns_end)
{
    struct bench bench;
    struct outcome a;
    bench_init(&bench);
    const struct server_identity identity = {
        .pool = "main", .label = "unix", .host = "/nonexistent/socket", .is_unix = true};
    struct server *server = server_create(&identity, 1, 1, bench.health);
    struct upstream *upstream = upstream_create(&bench.context, server, &bench_settings);
    struct server *const before = bench.server;
    bench.server = server; /* for on_down */
    outcome_init(&a, &bench);
    struct call *call = upstream_call(upstream, 0, VERB_GET, &bench_methods, &a);
    ck_assert(chain_append_copy(call_out(call), &bench.memory, "get a\r\n", 7));
    upstream_send(call);
    ck_assert(!a.failed);
    bench_expect_failure(&bench, &a, CALL_FAILURE_REFUSED, true);
    ck_assert(server_is_down(server));
    upstream_destroy(&upstream);
    server_destroy(&server);
    bench.server = before;
    bench_fini(&bench);
}
END_TEST

/* ---- Health ---- */

static void fail_once(struct bench *bench)
{
    struct outcome outcome;
    bench_ask(bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(bench);
    bench_expect(bench, "get a\r\n");
    bench_hang_up(bench);
    bench_expect_failure(bench, &outcome, CALL_FAILURE_RESET, false);
}

START_TEST(failures_in_a_row_eject_the_server)
{
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < BENCH_FAILURES; i++) {
        ck_assert(!server_is_down(bench.server));
        fail_once(&bench);
    }
    ck_assert(server_is_down(bench.server));
    ck_assert_uint_eq(bench.downs, 1);
    ck_assert_uint_eq(bench.upstream->failures, 0); /* it is counted anew when it is back */
    bench_fini(&bench);
}
END_TEST

START_TEST(a_good_reply_in_between_counts_from_the_beginning)
{
    struct bench bench;
    struct outcome good;
    bench_init(&bench);
    for (int i = 0; i < BENCH_FAILURES - 1; i++)
        fail_once(&bench);
    bench_ask(&bench, &good, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    ck_assert_uint_eq(bench.upstream->failures, BENCH_FAILURES - 1); /* the greeting is no sign of health */
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &good, "END\r\n");
    ck_assert_uint_eq(bench.upstream->failures, 0);
    bench_hang_up(&bench);
    LOOP_UNTIL(&bench.loop, bench_connection(&bench, 0)->state == CONNECTION_CLOSED);
    for (int i = 0; i < BENCH_FAILURES - 1; i++)
        fail_once(&bench);
    ck_assert(!server_is_down(bench.server));
    bench_fini(&bench);
}
END_TEST

/* ---- Ended from here ---- */

START_TEST(a_call_given_up_takes_its_connection_along_before_anything_is_written)
{
    struct bench bench;
    struct outcome before, half, behind;
    bench_init(&bench);
    bench_ask(&bench, &before, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    struct call *call = bench_ask(&bench, &half, VERB_SET, "set b 0 0 10\r\n");
    bench_ask(&bench, &behind, VERB_GET, "get c\r\n");
    call_give_up(call);
    ck_assert(!before.failed && !behind.failed);
    bench_expect_failure(&bench, &before, CALL_FAILURE_LOCAL, false);
    bench_expect_failure(&bench, &behind, CALL_FAILURE_LOCAL, true);
    ck_assert(!half.failed && !half.done);
    peer_expect_end(&bench.loop, bench.peer);
    ck_assert_uint_eq(bench.upstream->failures, 0); /* it is not the server's fault */
    bench_fini(&bench);
}
END_TEST

START_TEST(destroying_the_upstream_fails_its_calls)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    upstream_destroy(&bench.upstream);
    ck_assert(a.failed && b.failed);
    bench_expect_failure(&bench, &a, CALL_FAILURE_LOCAL, false);
    bench_expect_failure(&bench, &b, CALL_FAILURE_LOCAL, true);
    peer_expect_end(&bench.loop, bench.peer);
    bench_fini(&bench);
}
END_TEST

/* An owner that asks again at once, from within the failure: it finds a closed connection, and opens it anew. */
struct stubborn {
    struct outcome first, second;
    struct bench *bench;
};

static void ask_again(struct call *call, const struct call_failure *failure)
{
    struct stubborn *stubborn = call->owner;
    stubborn->first.failed = true;
    stubborn->first.failure = *failure;
    bench_ask(stubborn->bench, &stubborn->second, VERB_GET, "get again\r\n");
}

static const struct call_methods stubborn_methods = {bench_on_reply, ask_again};

START_TEST(a_call_made_from_within_a_failure_gets_a_connection_of_its_own)
{
    struct bench bench;
    struct stubborn stubborn = {.bench = &bench};
    struct outcome other;
    bench_init(&bench);
    struct call *call = upstream_call(bench.upstream, 0, VERB_GET, &stubborn_methods, &stubborn);
    ck_assert(chain_append_copy(call_out(call), &bench.memory, "get a\r\n", 7));
    upstream_send(call);
    bench_ask(&bench, &other, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\n");
    bench_hang_up(&bench);
    bench_expect_failure(&bench, &other, CALL_FAILURE_RESET, false);
    ck_assert(stubborn.first.failed);
    bench_welcome(&bench);
    bench_expect(&bench, "get again\r\n");
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &stubborn.second, "END\r\n");
    bench_fini(&bench);
}
END_TEST

/* ---- Those who wait for the queue to drain ---- */

struct waiting {
    struct upstream_waiter waiter;
    struct connection *connection;
    int woken;
    size_t bytes_left;
};

static void on_drained(struct upstream_waiter *waiter)
{
    struct waiting *waiting = list_entry(waiter, struct waiting, waiter);
    waiting->woken++;
    waiting->bytes_left = waiting->connection->out.bytes;
}

static void waiting_init(struct waiting *waiting, struct bench *bench)
{
    *waiting = (struct waiting){.connection = bench_connection(bench, 0), .waiter.on_drained = on_drained};
    list_init(&waiting->waiter.node);
}

START_TEST(waiters_are_woken_when_the_queue_has_drained)
{
    struct bench bench;
    struct outcome large;
    struct waiting waiting, gone;
    char *value = calloc(1, LARGE);
    char *read = malloc(LARGE + 64);
    ck_assert(value != NULL && read != NULL);
    bench_init(&bench);
    struct call *call = ask_large(&bench, &large, value, LARGE);
    ck_assert(call_is_congested(call));
    waiting_init(&waiting, &bench);
    waiting_init(&gone, &bench);
    call_wait(call, &waiting.waiter);
    call_wait(call, &waiting.waiter); /* once, however often it is asked for */
    call_wait(call, &gone.waiter);
    upstream_waiter_cancel(&gone.waiter);
    bench_welcome(&bench);
    bench_expect(&bench, "set large 0 0 33554432\r\n");
    ck_assert_int_eq(waiting.woken, 0);
    peer_read(&bench.loop, bench.peer, read, LARGE + 2);
    ck_assert_int_eq(memcmp(read, value, LARGE), 0);
    ck_assert_int_eq(memcmp(read + LARGE, "\r\n", 2), 0);
    ck_assert_int_eq(waiting.woken, 1);
    ck_assert_int_eq(gone.woken, 0);
    ck_assert_uint_le(waiting.bytes_left, UPSTREAM_QUEUE_LOW);
    ck_assert(!call_is_congested(call));
    bench_say(&bench, "STORED\r\n");
    bench_expect_reply(&bench, &large, "STORED\r\n");
    free(read);
    free(value);
    bench_fini(&bench);
}
END_TEST

START_TEST(waiters_are_woken_when_the_connection_fails)
{
    struct bench bench;
    struct outcome large;
    struct waiting waiting;
    char *value = calloc(1, LARGE);
    ck_assert_ptr_nonnull(value);
    bench_init(&bench);
    struct call *call = ask_large(&bench, &large, value, LARGE);
    waiting_init(&waiting, &bench);
    call_wait(call, &waiting.waiter);
    bench_welcome(&bench);
    bench_hang_up(&bench);
    bench_await(&bench, &large);
    ck_assert_int_eq(large.failure.reason, CALL_FAILURE_RESET);
    ck_assert_int_eq(waiting.woken, 1);
    outcome_fini(&large);
    free(value);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("failures");
    tcase_add_test(tcase, unsent_is_what_no_byte_has_left_of);
    tcase_add_test(tcase, a_call_right_behind_what_has_left_is_unsent);
    tcase_add_test(tcase, one_byte_that_has_left_makes_a_call_sent);
    tcase_add_test(tcase, unsent_is_exact_on_the_second_socket_too);
    tcase_add_test(tcase, a_reply_cut_off_fails_its_call_and_those_behind_it);
    tcase_add_test(tcase, an_idle_connection_closed_by_its_server_is_no_failure);
    tcase_add_test(tcase, a_refused_connection_ejects_the_server_at_once);
    tcase_add_test(tcase, a_late_welcome_opens_the_connection_all_the_same);
    tcase_add_test(tcase, a_server_that_refused_is_tried_again_by_the_next_call);
    tcase_add_test(tcase, a_path_without_a_socket_fails_at_the_turns_end);
    tcase_add_test(tcase, failures_in_a_row_eject_the_server);
    tcase_add_test(tcase, a_good_reply_in_between_counts_from_the_beginning);
    tcase_add_test(tcase, a_call_given_up_takes_its_connection_along_before_anything_is_written);
    tcase_add_test(tcase, destroying_the_upstream_fails_its_calls);
    tcase_add_test(tcase, a_call_made_from_within_a_failure_gets_a_connection_of_its_own);
    tcase_add_test(tcase, waiters_are_woken_when_the_queue_has_drained);
    tcase_add_test(tcase, waiters_are_woken_when_the_connection_fails);
    return suite_run("failures", tcase);
}
