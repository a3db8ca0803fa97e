/* Tests of how TLS connections end: by close_notify, cut off, by their owner; and what peers may do to them, and may not. */
#include "tls/transport.h"

#include "tests/support/suite.h"
#include "tests/tls/bench.h"

static struct bench bench;

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- Ends ---- */

START_TEST(close_notify_is_the_end_and_nothing_else_is)
{
    static const char line[] = "get a\r\n";
    for (size_t i = 0; i < 8; i++) {
        bool notified = i & 2, with_data = i & 4;
        bench_serve(&bench, versions[i % 2]);
        if (with_data)
            ck_assert_int_eq(SSL_write(bench.peer, line, 7), 7);
        if (notified)
            ck_assert_int_eq(SSL_shutdown(bench.peer), 0);
        ck_assert(bench_is_pushed(&bench));
        /* Told by TLS alone, or by TCP alone. */
        if (!notified)
            ck_assert_int_eq(shutdown(bench.fd, SHUT_WR), 0);
        LOOP_UNTIL(&bench.loop, bench.end != 0);
        ck_assert_uint_eq(bench.got_len, with_data ? 7 : 0);
        ck_assert_int_eq(bench.end, notified ? TRANSPORT_EOF : TRANSPORT_ERROR);
        if (!notified) {
            ck_assert_int_eq(bench.end_errno, ECONNRESET);
            ck_assert_str_eq(transport_problem(&bench.transport), "TLS: the connection ended without close_notify");
        } else {
            /* Its other half is open: it is still answered. */
            char reply[16];
            ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make("END\r\n", 5)));
            bench_flush(&bench);
            ck_assert_int_eq(bench_peer_read(&bench, reply, sizeof reply), 5);
        }
        bench_fini(&bench);
    }
}
END_TEST

/* Half a record, then the end. */
START_TEST(a_cut_record_is_an_error)
{
    bench_serve(&bench, TLS1_3_VERSION);
    bench.step = 20;
    ck_assert_int_eq(SSL_write(bench.peer, "get a\r\n", 7), 7);
    bench_push(&bench);
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.end, 0);
    ck_assert_int_eq(shutdown(bench.fd, SHUT_WR), 0);
    LOOP_UNTIL(&bench.loop, bench.end != 0);
    ck_assert_int_eq(bench.end, TRANSPORT_ERROR);
    ck_assert_uint_eq(bench.got_len, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_forged_record_is_an_error)
{
    bench_serve(&bench, TLS1_3_VERSION);
    bench.step = 0;
    bench_peer_write(&bench, "get a\r\n", 7);
    bench.carry[bench.carry_len - 1] ^= 1;
    bench.step = SIZE_MAX;
    bench_push(&bench);
    LOOP_UNTIL(&bench.loop, bench.end != 0);
    ck_assert_int_eq(bench.end, TRANSPORT_ERROR);
    ck_assert_int_eq(bench.end_errno, EPROTO);
    ck_assert_ptr_nonnull(strstr(transport_problem(&bench.transport), "bad record mac"));
    ck_assert_uint_eq(ERR_peek_error(), 0);
    /* The peer is told. */
    char byte;
    ck_assert_int_eq(bench_peer_read(&bench, &byte, 1), -2);
    bench_fini(&bench);
}
END_TEST

START_TEST(the_peer_is_told_of_the_end)
{
    for (size_t i = 0; i < 4; i++) {
        char buffer[16];
        bench_serve(&bench, versions[i % 2]);
        ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make("END\r\n", 5)));
        bench_flush(&bench);
        if (i < 2) {
            transport_end_writing(&bench.transport);
            ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
            ck_assert(!bench.transport.opening);
        } else {
            transport_close(&bench.transport);
            ck_assert_ptr_null(transport_problem(&bench.transport));
            ck_assert(!tls_transport_is_opening(&bench.transport));
            ck_assert_uint_eq(tls_transport_peer_name(&bench.transport).len, 0);
        }
        ck_assert_int_eq(bench_peer_read(&bench, buffer, sizeof buffer), 5);
        ck_assert_int_eq(bench_peer_read(&bench, buffer, sizeof buffer), -1);
        if (i < 2) {
            bench_peer_write(&bench, "quit\r\n", 6);
            LOOP_UNTIL(&bench.loop, bench.got_len == 6);
        }
        bench_fini(&bench);
    }
}
END_TEST

/* The socket is full when the last words are due: the end waits for them, and reading goes on. */
START_TEST(close_notify_waits_for_the_socket)
{
    static char back[1 << 20];
    bench_serve(&bench, TLS1_3_VERSION);
    loop_turns(&bench.loop, 5); /* it is told that it is open */
    bench_squeeze(&bench);
    bench.take = 0;
    size_t written = 0, got = 0;
    while (bench.transport.unreported == 0) {
        ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make("END\r\n", 5)));
        bench_flush(&bench);
        written += 5;
    }
    /* The peer makes room for the one write that is held, and no more. */
    bench.take = 1;
    while (!chain_is_empty(&bench.out)) {
        got += (size_t)bench_peer_read(&bench, back + got, sizeof back - got);
        bench_flush(&bench);
    }
    bench.take = 0;
    int calls = bench.calls;
    ck_assert_int_eq(transport_want(&bench.transport, 0), 0); /* asked for again right after */
    transport_end_writing(&bench.transport);
    ck_assert(bench.transport.opening);
    ck_assert(!tls_transport_is_opening(&bench.transport));
    transport_end_writing(&bench.transport);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    loop_turns(&bench.loop, 5);
    ck_assert_int_eq(bench.calls, calls);
    bench_peer_write(&bench, "quit\r\n", 6);
    LOOP_UNTIL(&bench.loop, bench.got_len == 6);
    bench.take = SIZE_MAX;
    ssize_t n = 0;
    LOOP_UNTIL(&bench.loop,
               (n = bench_peer_read(&bench, back + got, sizeof back - got)) < 0 || (got += (size_t)n, false));
    ck_assert_int_eq(n, -1);
    ck_assert_uint_eq(got, written);
    LOOP_UNTIL(&bench.loop, (bench_pump(&bench), bench.peer_saw_end));
    bench_peer_write(&bench, "quit\r\n", 6);
    LOOP_UNTIL(&bench.loop, bench.got_len == 12);
    bench_fini(&bench);
}
END_TEST

START_TEST(its_owner_may_go_at_any_call)
{
    char bytes[1000] = {0};
    bench_serve(&bench, TLS1_3_VERSION);
    bench_peer_write(&bench, bytes, sizeof bytes);
    bench.capacity = 10;
    LOOP_UNTIL(&bench.loop, bench.got_len == 10);
    bench.closes = true; /* with a turn to come for what is buffered */
    LOOP_UNTIL(&bench.loop, !transport_is_open(&bench.transport));
    loop_turns(&bench.loop, 3);
    bench_fini(&bench);
    /* Between a read and the turn it has asked for. */
    bench_serve(&bench, TLS1_3_VERSION);
    bench_peer_write(&bench, bytes, sizeof bytes);
    LOOP_UNTIL(&bench.loop, transport_read(&bench.transport, bytes, 10) == 10);
    ck_assert(list_is_linked(&bench.transport.nudge.node));
    transport_close(&bench.transport);
    ck_assert(!list_is_linked(&bench.transport.nudge.node));
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.calls, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_open_connection_outlives_its_context)
{
    bench_serve(&bench, TLS1_2_VERSION);
    char error[TLS_ERROR_MAX];
    ck_assert(tls_context_refresh(bench.serving, error));
    bench_chat(&bench);
    tls_context_unref(&bench.serving);
    bench_chat(&bench);
    bench_fini(&bench);
}
END_TEST

/* ---- What peers may do ---- */

START_TEST(keys_may_be_updated)
{
    bench_serve(&bench, TLS1_3_VERSION);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(SSL_key_update(bench.peer, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
        bench_chat(&bench);
    }
    bench_fini(&bench);
}
END_TEST

/* Each of them asks for an answer; none is taken. There is an end to what is kept for such a peer. */
START_TEST(answers_that_nobody_takes_are_not_kept_for_ever)
{
    bench_serve(&bench, TLS1_3_VERSION);
    bench.take = 0;
    for (long i = 0; i < 200000 && bench.end == 0; i++) {
        ck_assert_int_eq(SSL_key_update(bench.peer, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(bench.peer), 1);
        bench_push(&bench);
        if (i % 16 == 0)
            loop_turn(&bench.loop);
    }
    ck_assert_int_eq(bench.end, TRANSPORT_ERROR);
    ck_assert_int_eq(bench.end_errno, ENOBUFS);
    bench_fini(&bench);
}
END_TEST

START_TEST(renegotiation_is_refused)
{
    bench_serve(&bench, TLS1_2_VERSION);
    ck_assert_int_eq(SSL_renegotiate(bench.peer), 1);
    (void)SSL_do_handshake(bench.peer);
    char line[16] = "";
    ssize_t n = 0;
    for (int i = 0; i < 10 && n == 0; i++) {
        bench_push(&bench);
        loop_turns(&bench.loop, 2);
        n = bench_peer_read(&bench, line, sizeof line);
    }
    /* It is told so, by a warning; OpenSSL as a client then gives up. */
    ck_assert_int_eq(n, -2);
    ck_assert_int_eq(bench.end, 0);
    ck_assert_int_eq(transport_connect_result(&bench.transport), 0);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("endings");
    certificates_use(tcase);
    tcase_add_test(tcase, close_notify_is_the_end_and_nothing_else_is);
    tcase_add_test(tcase, a_cut_record_is_an_error);
    tcase_add_test(tcase, a_forged_record_is_an_error);
    tcase_add_test(tcase, the_peer_is_told_of_the_end);
    tcase_add_test(tcase, close_notify_waits_for_the_socket);
    tcase_add_test(tcase, its_owner_may_go_at_any_call);
    tcase_add_test(tcase, an_open_connection_outlives_its_context);
    tcase_add_test(tcase, keys_may_be_updated);
    tcase_add_test(tcase, answers_that_nobody_takes_are_not_kept_for_ever);
    tcase_add_test(tcase, renegotiation_is_refused);
    return suite_run("endings", tcase);
}
