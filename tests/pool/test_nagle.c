/*
 * Tests of Nagle's algorithm towards servers (pool/connection_write.c): when a connection's socket is told to hold small segments
 * back, and when it must not be. What it then holds is the kernel's affair, and cannot be seen here for certain.
 */
#include "event/socket.h"
#include "pool/connection.h"

#include "tests/pool/bench.h"
#include "tests/support/suite.h"

#include <netinet/tcp.h>

static bool socket_has_nagle(const struct connection *connection)
{
    int no_delay = 0;
    socklen_t len = sizeof no_delay;
    ck_assert_int_eq(getsockopt(connection->transport.fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    ck_assert_int_eq(connection->has_nagle, no_delay == 0);
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

/* The first conversation, in which the connection is opened. Every server is fast enough. */
static void start(struct bench *bench)
{
    bench_init(bench);
    bench->context.nagle_rtt_us = SOCKET_RTT_UNKNOWN - 1;
    struct outcome outcome;
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
    ck_assert(!socket_has_nagle(connection));
    bench.context.wants_nagle = true;
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    bench.context.wants_nagle = false;
    converse(&bench);
    ck_assert(!socket_has_nagle(connection));
    bench_fini(&bench);
}
END_TEST

/* No server is fast enough then; what is known of one is looked at anew when the worker says so, and not before. */
START_TEST(nothing_gathers_for_a_slow_server)
{
    struct bench bench;
    start(&bench);
    const struct connection *connection = bench_connection(&bench, 0);
    bench.context.wants_nagle = true;
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    bench.context.nagle_rtt_us = 0;
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    bench.context.looks++;
    converse(&bench);
    ck_assert(!socket_has_nagle(connection));
    bench.context.nagle_rtt_us = SOCKET_RTT_UNKNOWN - 1;
    bench.context.looks++;
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    bench_fini(&bench);
}
END_TEST

START_TEST(a_new_connection_looks_for_itself)
{
    struct bench bench;
    start(&bench);
    bench.context.nagle_rtt_us = 0;
    bench.context.wants_nagle = true;
    converse(&bench);
    ck_assert(!socket_has_nagle(bench_connection(&bench, 0)));
    bench_fini(&bench);
}
END_TEST

/* Its packets may be held by the transport itself, in the middle of a request. */
START_TEST(nothing_gathers_where_the_transport_is_not_plain)
{
    struct bench bench;
    struct upstream_settings settings = bench_settings;
    settings.binary = true;
    bench_init_named(&bench, NULL, &settings);
    bench.context.nagle_rtt_us = SOCKET_RTT_UNKNOWN - 1;
    bench.context.wants_nagle = true;
    bench.server->version = server_version_pack("1.6.18", 6); /* so that requests need not wait for it */
    struct outcome first, second;
    bench_ask(&bench, &first, VERB_GET, "get a\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    const struct connection *connection = bench_connection(&bench, 0);
    LOOP_UNTIL(&bench.loop, connection->state == CONNECTION_OPEN && chain_is_empty(&connection->out));
    bench_ask(&bench, &second, VERB_GET, "get b\r\n");
    LOOP_UNTIL(&bench.loop, chain_is_empty(&connection->out));
    ck_assert(!socket_has_nagle(connection));
    upstream_destroy(&bench.upstream);
    ck_assert(first.failed && second.failed);
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
    bench.context.wants_nagle = true;
    converse(&bench);
    const struct connection *connection = bench_connection(&bench, 0);
    ck_assert(socket_has_nagle(connection));
    char *request = malloc(VALUE + 100);
    ck_assert_ptr_nonnull(request);
    int head = sprintf(request, "set a 0 0 %d\r\n", VALUE);
    memset(request + head, 'v', VALUE);
    memcpy(request + head + VALUE, "\r\n", 3);
    bench_ask(&bench, &outcome, VERB_SET, request);
    LOOP_UNTIL(&bench.loop, connection->transport.wanted & TRANSPORT_WRITABLE);
    ck_assert(!socket_has_nagle(connection));
    bench_expect(&bench, request);
    bench_say(&bench, "STORED\r\n");
    bench_expect_reply(&bench, &outcome, "STORED\r\n");
    ck_assert(!socket_has_nagle(connection)); /* also its end is perhaps on its way yet */
    converse(&bench);
    ck_assert(socket_has_nagle(connection));
    free(request);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_upload_does_not_gather)
{
    struct bench bench;
    struct outcome outcome;
    bench_init(&bench);
    bench.context.nagle_rtt_us = SOCKET_RTT_UNKNOWN - 1;
    bench.context.wants_nagle = true;
    struct call *call = bench_upload(&bench, &outcome, "set a 0 0 10\r\n12345");
    bench_welcome(&bench);
    bench_expect(&bench, "set a 0 0 10\r\n12345");
    ck_assert(!socket_has_nagle(call->connection));
    ck_assert(chain_append_copy(call_out(call), &bench.memory, "67890\r\n", 7));
    upload_continue(call);
    upload_end(call);
    bench_expect(&bench, "67890\r\n");
    ck_assert(!socket_has_nagle(call->connection));
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
    bench.context.wants_nagle = true;
    converse(&bench);
    ck_assert(socket_has_nagle(bench_connection(&bench, 0)));
    bench_hang_up(&bench);
    LOOP_UNTIL(&bench.loop, bench_connection(&bench, 0)->state == CONNECTION_CLOSED);
    bench_ask(&bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    ck_assert(!socket_has_nagle(bench_connection(&bench, 0)));
    bench_say(&bench, "END\r\n");
    bench_expect_reply(&bench, &outcome, "END\r\n");
    converse(&bench);
    ck_assert(socket_has_nagle(bench_connection(&bench, 0)));
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("nagle");
    tcase_add_test(tcase, requests_gather_while_the_worker_is_busy);
    tcase_add_test(tcase, nothing_gathers_for_a_slow_server);
    tcase_add_test(tcase, a_new_connection_looks_for_itself);
    tcase_add_test(tcase, nothing_gathers_where_the_transport_is_not_plain);
    tcase_add_test(tcase, the_end_of_a_request_is_never_held);
    tcase_add_test(tcase, an_upload_does_not_gather);
    tcase_add_test(tcase, a_new_connection_gathers_too);
    return suite_run("pool/nagle", tcase);
}
