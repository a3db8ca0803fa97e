/*
 * Tests of the gathering of requests in the kernel (pool/connection_write.c): when a connection's socket is told to hold small
 * segments back, and when it must not be. What it then holds is the kernel's affair, and cannot be seen here for certain.
 */
#include "pool/connection.h"

#include "tests/pool/bench.h"
#include "tests/support/suite.h"

#include <netinet/tcp.h>

static bool socket_gathers(const struct connection *connection)
{
    int no_delay = 0;
    socklen_t len = sizeof no_delay;
    ck_assert_int_eq(getsockopt(connection->transport.fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    ck_assert_int_eq(connection->gathers, no_delay == 0);
    return no_delay == 0;
}

/* One request and its answer. */
static void converse(struct bench *bench)
{
    struct outcome outcome;
    bench_ask(bench, &outcome, VERB_GET, "get a\r\n");
    bench_expect(bench, "get a\r\n");
    bench_say(bench, "END\r\n");
    bench_expect_reply(bench, &outcome, "END\r\n");
}

/* The first conversation, in which the connection is opened. */
static void start(struct bench *bench)
{
    struct outcome outcome;
    bench_init(bench);
    bench_ask(bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(bench);
    bench_expect(bench, "get a\r\n");
    bench_say(bench, "END\r\n");
    bench_expect_reply(bench, &outcome, "END\r\n");
}

START_TEST(requests_gather_while_the_worker_is_busy)
{
    struct bench bench;
    start(&bench);
    const struct connection *connection = bench_connection(&bench, 0);
    ck_assert(!socket_gathers(connection));
    bench.context.gathers = true;
    converse(&bench);
    ck_assert(socket_gathers(connection));
    converse(&bench);
    ck_assert(socket_gathers(connection));
    bench.context.gathers = false;
    converse(&bench);
    ck_assert(!socket_gathers(connection));
    bench_fini(&bench);
}
END_TEST

START_TEST(nothing_gathers_for_a_far_server)
{
    struct bench bench;
    start(&bench);
    bench_connection(&bench, 0)->is_far = true;
    bench.context.gathers = true;
    converse(&bench);
    ck_assert(!socket_gathers(bench_connection(&bench, 0)));
    bench_fini(&bench);
}
END_TEST

/* The server may not acknowledge the first part of a request before it has the rest, or 40 ms have passed. */
START_TEST(the_end_of_a_request_is_never_held)
{
    enum { VALUE = 16 << 20 };
    struct bench bench;
    struct outcome outcome;
    start(&bench);
    bench.context.gathers = true;
    converse(&bench);
    const struct connection *connection = bench_connection(&bench, 0);
    ck_assert(socket_gathers(connection));
    char *request = malloc(VALUE + 100);
    ck_assert_ptr_nonnull(request);
    int head = sprintf(request, "set a 0 0 %d\r\n", VALUE);
    memset(request + head, 'v', VALUE);
    memcpy(request + head + VALUE, "\r\n", 3);
    bench_ask(&bench, &outcome, VERB_SET, request);
    LOOP_UNTIL(&bench.loop, connection->transport.wanted & TRANSPORT_WRITABLE);
    ck_assert(!socket_gathers(connection));
    bench_expect(&bench, request);
    bench_say(&bench, "STORED\r\n");
    bench_expect_reply(&bench, &outcome, "STORED\r\n");
    ck_assert(socket_gathers(connection));
    free(request);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_upload_does_not_gather)
{
    struct bench bench;
    struct outcome outcome;
    bench_init(&bench);
    bench.context.gathers = true;
    struct call *call = bench_upload(&bench, &outcome, "set a 0 0 10\r\n12345");
    bench_welcome(&bench);
    bench_expect(&bench, "set a 0 0 10\r\n12345");
    ck_assert(!socket_gathers(call->connection));
    ck_assert(chain_append_copy(call_out(call), &bench.memory, "67890\r\n", 7));
    upload_continue(call);
    upload_end(call);
    bench_expect(&bench, "67890\r\n");
    ck_assert(!socket_gathers(call->connection));
    bench_say(&bench, "STORED\r\n");
    bench_expect_reply(&bench, &outcome, "STORED\r\n");
    bench_fini(&bench);
}
END_TEST

START_TEST(a_new_connection_gathers_too)
{
    struct bench bench;
    struct outcome outcome;
    start(&bench);
    bench.context.gathers = true;
    converse(&bench);
    ck_assert(socket_gathers(bench_connection(&bench, 0)));
    bench_hang_up(&bench);
    LOOP_UNTIL(&bench.loop, bench_connection(&bench, 0)->state == CONNECTION_CLOSED);
    bench_ask(&bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    ck_assert(socket_gathers(bench_connection(&bench, 0)));
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &outcome, "END\r\n");
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("gather");
    tcase_add_test(tcase, requests_gather_while_the_worker_is_busy);
    tcase_add_test(tcase, nothing_gathers_for_a_far_server);
    tcase_add_test(tcase, the_end_of_a_request_is_never_held);
    tcase_add_test(tcase, an_upload_does_not_gather);
    tcase_add_test(tcase, a_new_connection_gathers_too);
    return suite_run("pool/gather", tcase);
}
