/*
 * Tests of pool/upstream: which connection a call takes, before and after a reload; congestion; the moving average
 * of latencies; and what is counted as a failure. Uploads are in test_uploads.c; what becomes of a call on its
 * connection is in test_connection.c and test_failures.c.
 */
#include "pool/upstream.h"

#include "pool/connection.h"
#include "tests/pool/bench.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct upstream_settings with_lanes(uint32_t connections)
{
    struct upstream_settings settings = bench_settings;
    settings.connections = connections;
    return settings;
}

static void reload_lanes(struct bench *bench, uint32_t connections)
{
    struct upstream_settings settings = with_lanes(connections);
    upstream_configure(bench->upstream, &settings);
}

static void lanes_init(struct bench *bench, uint32_t connections)
{
    struct upstream_settings settings = with_lanes(connections);
    bench_init_named(bench, NULL, &settings);
}

static void serve(struct bench *bench, int fd, struct outcome *outcome, const char *request)
{
    peer_expect(&bench->loop, fd, request);
    peer_say(&bench->loop, fd, "END\r\n");
    bench_expect_reply(bench, outcome, "END\r\n");
}

/* A get on a lane, from the question to its answer. */
static void ask_and_serve(struct bench *bench, uint32_t lane, int fd)
{
    struct outcome outcome;
    bench_ask_on(bench, lane, &outcome, VERB_GET, "get x\r\n");
    serve(bench, fd, &outcome, "get x\r\n");
}

static uint32_t count_open(const struct bench *bench)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < bench->upstream->lane_count; i++)
        open += bench->upstream->lanes[i] != NULL && bench->upstream->lanes[i]->state == CONNECTION_OPEN;
    return open;
}

/* ---- Lanes ---- */

START_TEST(nothing_is_opened_before_the_first_call)
{
    struct bench bench;
    lanes_init(&bench, 3);
    loop_turns(&bench.loop, 5);
    ck_assert_int_eq(peer_try_accept(bench.listener), -1);
    ck_assert_uint_eq(upstream_outstanding(bench.upstream), 0);
    ck_assert_uint_eq(upstream_latency_us(bench.upstream), 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(calls_take_the_connection_of_their_lane)
{
    struct bench bench;
    struct outcome first[3], second[3];
    static const char *const requests[] = {"get a\r\n", "get b\r\n", "get c\r\n"};
    static const char *const both[] = {"get a\r\nget a\r\n", "get b\r\nget b\r\n", "get c\r\nget c\r\n"};
    /* 4294967295 is 0 modulo 3: any number is a lane. */
    static const uint32_t lanes[2][3] = {{0, 1, 2}, {UINT32_MAX, 301, 5}};
    int fds[3];
    lanes_init(&bench, 3);
    for (int i = 0; i < 3; i++)
        bench_ask_on(&bench, lanes[0][i], &first[i], VERB_GET, requests[i]);
    for (int i = 0; i < 3; i++) {
        struct call *call = bench_ask_on(&bench, lanes[1][i], &second[i], VERB_GET, requests[i]);
        ck_assert_ptr_eq(call->connection, bench_connection(&bench, (uint32_t)i));
        ck_assert_ptr_eq(call_server(call), bench.server);
    }
    ck_assert_uint_eq(upstream_outstanding(bench.upstream), 3 + 6); /* the greetings too */
    for (int i = 0; i < 3; i++)
        fds[i] = bench_welcome_one(&bench);
    for (int i = 0; i < 3; i++) {
        peer_expect(&bench.loop, fds[i], both[i]);
        peer_say(&bench.loop, fds[i], "END\r\nEND\r\n");
        bench_expect_reply(&bench, &first[i], "END\r\n");
        bench_expect_reply(&bench, &second[i], "END\r\n");
    }
    ck_assert_uint_eq(upstream_outstanding(bench.upstream), 0);
    ck_assert_int_eq(peer_try_accept(bench.listener), -1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    bench_fini(&bench);
}
END_TEST

START_TEST(calls_that_have_timed_out_are_still_under_way)
{
    struct bench bench;
    struct outcome late;
    bench_init(&bench);
    bench_ask(&bench, &late, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    loop_skip(&bench.loop, BENCH_TIMEOUT_MS + 2);
    bench_expect_failure(&bench, &late, CALL_FAILURE_TIMEOUT, false);
    ck_assert_uint_eq(upstream_outstanding(bench.upstream), 1);
    bench_say(&bench, "END\r\n");
    LOOP_UNTIL(&bench.loop, upstream_outstanding(bench.upstream) == 0);
    bench_fini(&bench);
}
END_TEST

/* ---- Reloads ---- */

START_TEST(more_lanes_leave_the_old_ones_alone)
{
    struct bench bench;
    struct outcome under_way, on_new;
    lanes_init(&bench, 1);
    bench_ask_on(&bench, 1, &under_way, VERB_GET, "get a\r\n");
    int old = bench_welcome_one(&bench);
    const struct connection *connection = bench_connection(&bench, 0);
    reload_lanes(&bench, 4);
    ck_assert_ptr_eq(bench_connection(&bench, 0), connection);
    bench_ask_on(&bench, 1, &on_new, VERB_GET, "get b\r\n");
    int new = bench_welcome_one(&bench);
    serve(&bench, new, &on_new, "get b\r\n");
    serve(&bench, old, &under_way, "get a\r\n");
    ask_and_serve(&bench, 4, old);
    ask_and_serve(&bench, 5, new);
    ck_assert_int_eq(peer_try_accept(bench.listener), -1);
    close(old);
    close(new);
    bench_fini(&bench);
}
END_TEST

START_TEST(fewer_lanes_close_the_idle_ones_at_once_and_the_busy_ones_when_they_are_done)
{
    struct bench bench;
    struct outcome busy, next;
    int fds[3];
    lanes_init(&bench, 3);
    for (uint32_t i = 0; i < 3; i++) {
        bench_ask_on(&bench, i, &busy, VERB_GET, "get x\r\n");
        fds[i] = bench_welcome_one(&bench);
        serve(&bench, fds[i], &busy, "get x\r\n");
    }
    bench_ask_on(&bench, 1, &busy, VERB_GET, "get a\r\n");
    peer_expect(&bench.loop, fds[1], "get a\r\n");
    reload_lanes(&bench, 1);
    peer_expect_end(&bench.loop, fds[2]);
    ck_assert_uint_eq(count_open(&bench), 2);
    bench_ask_on(&bench, 1, &next, VERB_GET, "get b\r\n"); /* of the same client: lane 0 now */
    serve(&bench, fds[0], &next, "get b\r\n");
    peer_say(&bench.loop, fds[1], "END\r\n");
    bench_expect_reply(&bench, &busy, "END\r\n");
    peer_expect_end(&bench.loop, fds[1]);
    ck_assert_uint_eq(count_open(&bench), 1);
    ck_assert_uint_eq(counter_read(&bench.server->stats[0].errors_local), 0);
    ck_assert_uint_eq(bench.upstream->failures, 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_lane_that_is_wanted_again_stays)
{
    struct bench bench;
    struct outcome busy;
    lanes_init(&bench, 2);
    bench_ask_on(&bench, 1, &busy, VERB_GET, "get a\r\n");
    int fd = bench_welcome_one(&bench);
    reload_lanes(&bench, 1);
    reload_lanes(&bench, 2);
    serve(&bench, fd, &busy, "get a\r\n");
    loop_turns(&bench.loop, 3);
    ask_and_serve(&bench, 1, fd);
    close(fd);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_lane_that_was_closed_opens_anew)
{
    struct bench bench;
    struct outcome outcome;
    lanes_init(&bench, 2);
    bench_ask_on(&bench, 1, &outcome, VERB_GET, "get a\r\n");
    int fd = bench_welcome_one(&bench);
    serve(&bench, fd, &outcome, "get a\r\n");
    reload_lanes(&bench, 1);
    peer_expect_end(&bench.loop, fd);
    close(fd);
    reload_lanes(&bench, 2);
    for (int i = 0; i < 2; i++) {
        bench_ask_on(&bench, 1, &outcome, VERB_GET, "get b\r\n");
        if (i == 0)
            fd = bench_welcome_one(&bench);
        serve(&bench, fd, &outcome, "get b\r\n");
        loop_turns(&bench.loop, 3);
    }
    close(fd);
    bench_fini(&bench);
}
END_TEST

START_TEST(calls_after_a_reload_have_the_new_timeout)
{
    struct bench bench;
    struct outcome outcome;
    bench_init(&bench);
    struct upstream_settings settings = bench_settings;
    settings.timeout_ms = 40;
    settings.failures = 1;
    upstream_configure(bench.upstream, &settings);
    bench_ask(&bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\n");
    loop_skip(&bench.loop, 39);
    ck_assert(!outcome.failed);
    loop_skip(&bench.loop, 3);
    bench_expect_failure(&bench, &outcome, CALL_FAILURE_TIMEOUT, false);
    ck_assert_uint_eq(bench.downs, 1); /* and the new limit of failures */
    bench_fini(&bench);
}
END_TEST

/* ---- The end ---- */

START_TEST(destroying_fails_the_calls_of_all_connections_but_those_abandoned)
{
    struct bench bench;
    struct outcome sent, unsent, upload, abandoned;
    lanes_init(&bench, 3);
    bench_ask_on(&bench, 0, &sent, VERB_GET, "get a\r\n");
    struct call *gone = bench_ask_on(&bench, 0, &abandoned, VERB_GET, "get b\r\n");
    int first = bench_welcome_one(&bench);
    peer_expect(&bench.loop, first, "get a\r\nget b\r\n");
    call_abandon(&gone);
    bench_upload(&bench, &upload, "set c 0 0 9\r\nabc");
    int second = peer_accept(&bench.loop, bench.listener);
    peer_expect(&bench.loop, second, BENCH_GREETING "set c 0 0 9\r\nabc");
    bench_ask_on(&bench, 1, &unsent, VERB_GET, "get d\r\n");
    upstream_destroy(&bench.upstream);
    ck_assert_ptr_null(bench.upstream);
    ck_assert(sent.failed && unsent.failed && upload.failed);
    bench_expect_failure(&bench, &sent, CALL_FAILURE_LOCAL, false);
    bench_expect_failure(&bench, &upload, CALL_FAILURE_LOCAL, false);
    bench_expect_failure(&bench, &unsent, CALL_FAILURE_LOCAL, true);
    ck_assert(!abandoned.done && !abandoned.failed);
    ck_assert_uint_eq(bench.downs, 0);
    peer_expect_end(&bench.loop, first);
    peer_expect_end(&bench.loop, second);
    close(first);
    close(second);
    bench_fini(&bench);
}
END_TEST

/* ---- Congestion ---- */

static char *zeros;

/* A set of one value, so that the queue, greeting included, holds `bytes`. */
static struct call *fill(struct bench *bench, struct outcome *outcome, size_t bytes)
{
    outcome_init(outcome, bench);
    struct call *call = upstream_call(bench->upstream, 0, VERB_SET, &bench_methods, outcome);
    ck_assert_ptr_nonnull(call);
    char line[64];
    size_t head = strlen(BENCH_GREETING) + strlen("set large 0 0 1234567\r\n") + strlen("\r\n");
    int n = sprintf(line, "set large 0 0 %07zu\r\n", bytes - head);
    ck_assert(chain_append_copy(call_out(call), &bench->memory, line, (size_t)n));
    ck_assert(chain_append_static(call_out(call), &bench->memory, slice_make(zeros, bytes - head)));
    ck_assert(chain_append_copy(call_out(call), &bench->memory, "\r\n", 2));
    ck_assert_uint_eq(call_out(call)->bytes, bytes);
    upstream_send(call);
    return call;
}

START_TEST(a_queue_is_congested_above_its_watermark)
{
    struct bench bench;
    struct outcome full, more;
    zeros = calloc(1, UPSTREAM_QUEUE_HIGH);
    bench_init(&bench);
    struct call *call = fill(&bench, &full, UPSTREAM_QUEUE_HIGH);
    ck_assert(!call_is_congested(call));
    bench_ask(&bench, &more, VERB_GET, "get b\r\n");
    ck_assert(call_is_congested(call)); /* the connection is, whoever filled it */
    upstream_destroy(&bench.upstream);
    ck_assert(full.failed && more.failed);
    bench_fini(&bench);
    free(zeros);
}
END_TEST

struct waiting {
    struct upstream_waiter waiter;
    int woken;
};

static void on_drained(struct upstream_waiter *waiter)
{
    struct waiting *waiting = list_entry(waiter, struct waiting, waiter);
    waiting->woken++;
}

enum { QUEUE = 3 << 20, KERNEL_BUFFER = 64 << 10 };

/* Not while the queue is above the lower watermark, and once when it is there. The kernel takes it in small steps. */
START_TEST(a_waiter_is_woken_at_the_lower_watermark)
{
    struct bench bench;
    struct outcome large, after;
    struct waiting waiting = {.waiter.on_drained = on_drained};
    static char bytes[32768];
    list_init(&waiting.waiter.node);
    zeros = calloc(1, QUEUE);
    bench_init(&bench);
    const int size = KERNEL_BUFFER;
    ck_assert_int_eq(setsockopt(bench.listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    struct call *call = fill(&bench, &large, QUEUE);
    call_wait(call, &waiting.waiter);
    const struct connection *connection = bench_connection(&bench, 0);
    bench_welcome(&bench);
    ck_assert_int_eq(setsockopt(connection->transport.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    for (size_t got = 0, left = QUEUE - strlen(BENCH_GREETING); left > 0; left -= got) {
        loop_turn(&bench.loop);
        ssize_t n = recv(bench.peer, bytes, sizeof bytes, 0);
        got = n > 0 ? (size_t)n : 0;
        ck_assert_int_eq(waiting.woken, connection->out.bytes <= UPSTREAM_QUEUE_LOW);
    }
    ck_assert_int_eq(waiting.woken, 1);
    ck_assert(!list_is_linked(&waiting.waiter.node));
    bench_say(&bench, "STORED\r\n");
    bench_expect_reply(&bench, &large, "STORED\r\n");
    bench_ask(&bench, &after, VERB_GET, "get x\r\n");
    serve(&bench, bench.peer, &after, "get x\r\n");
    ck_assert_int_eq(waiting.woken, 1);
    bench_fini(&bench);
    free(zeros);
}
END_TEST

START_TEST(destroying_wakes_those_who_wait)
{
    struct bench bench;
    struct outcome large;
    struct waiting waiting = {.waiter.on_drained = on_drained}, gone = waiting;
    list_init(&waiting.waiter.node);
    list_init(&gone.waiter.node);
    zeros = calloc(1, QUEUE);
    bench_init(&bench);
    struct call *call = fill(&bench, &large, QUEUE);
    call_wait(call, &gone.waiter);
    call_wait(call, &waiting.waiter);
    call_wait(call, &waiting.waiter); /* once, however often it is asked for */
    upstream_waiter_cancel(&gone.waiter);
    upstream_destroy(&bench.upstream);
    ck_assert_int_eq(waiting.woken, 1);
    ck_assert_int_eq(gone.woken, 0);
    upstream_destroy(&bench.upstream); /* there is none any more */
    bench_expect_failure(&bench, &large, CALL_FAILURE_LOCAL, true);
    bench_fini(&bench);
    free(zeros);
}
END_TEST

/* ---- Latency ---- */

/* A reply that takes so long. */
static void reply_after(struct bench *bench, uint64_t ms)
{
    struct outcome outcome;
    bench_ask(bench, &outcome, VERB_GET, "get x\r\n");
    bench_expect(bench, "get x\r\n");
    loop_skip(&bench->loop, ms);
    bench_say(bench, "END\r\n");
    bench_expect_reply(bench, &outcome, "END\r\n");
}

START_TEST(each_reply_has_its_weight_in_the_average)
{
    struct bench bench;
    struct outcome outcome;
    bench_init(&bench);
    bench_ask(&bench, &outcome, VERB_GET, "get a\r\n");
    bench_welcome(&bench);
    serve(&bench, bench.peer, &outcome, "get a\r\n"); /* in no time */
    ck_assert_uint_eq(upstream_latency_us(bench.upstream), 0);
    uint32_t scaled = 0;
    static const uint32_t samples_ms[] = {160, 160, 1, 400, 0, 0, 33};
    for (size_t i = 0; i < sizeof samples_ms / sizeof samples_ms[0]; i++) {
        reply_after(&bench, samples_ms[i]);
        if (scaled == 0)
            scaled = samples_ms[i] * 1000 * UPSTREAM_LATENCY_SCALE; /* the first one is all that is known */
        else
            scaled += samples_ms[i] * 1000 - scaled / UPSTREAM_LATENCY_SCALE;
        ck_assert_uint_eq(upstream_latency_us(bench.upstream), scaled / UPSTREAM_LATENCY_SCALE);
        if (i == 0)
            ck_assert_uint_eq(upstream_latency_us(bench.upstream), 160000);
    }
    bench_fini(&bench);
}
END_TEST

START_TEST(a_timeout_counts_as_what_it_took_and_its_late_reply_not_at_all)
{
    struct bench bench;
    struct outcome a, b;
    bench_init(&bench);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_welcome(&bench);
    bench_expect(&bench, "get a\r\nget b\r\n");
    loop_skip(&bench.loop, BENCH_TIMEOUT_MS + 1);
    bench_expect_failure(&bench, &a, CALL_FAILURE_TIMEOUT, false);
    bench_expect_failure(&bench, &b, CALL_FAILURE_TIMEOUT, false);
    uint32_t once_us = BENCH_TIMEOUT_MS * 1000; /* those that expire together count as one */
    ck_assert_uint_eq(upstream_latency_us(bench.upstream), once_us);
    ck_assert_uint_eq(bench.upstream->failures, 1);
    loop_skip(&bench.loop, 100);
    bench_say(&bench, "END\r\nEND\r\n");
    LOOP_UNTIL(&bench.loop, counter_read(&bench.server->stats[0].late_replies) == 2);
    ck_assert_uint_eq(upstream_latency_us(bench.upstream), once_us);
    ck_assert_uint_eq(bench.upstream->failures, 1); /* nor is it a sign of health */
    ck_assert_ptr_null(bench.server->stats[0].latency);
    bench_fini(&bench);
}
END_TEST

static const uint64_t constants_us[] = {1, 15, 16, 17, 1000, 123457, UPSTREAM_LATENCY_MAX_US, UINT32_MAX, UINT64_MAX};

/* From below and from above, without an overflow on the way; what is too long counts as the longest. */
START_TEST(equal_samples_are_their_own_average)
{
    struct upstream upstream = {0};
    uint64_t sample_us = constants_us[_i];
    uint32_t limit_us = sample_us < UPSTREAM_LATENCY_MAX_US ? (uint32_t)sample_us : UPSTREAM_LATENCY_MAX_US;
    for (int i = 0; i < 2000; i++) {
        uint32_t before_us = upstream_latency_us(&upstream);
        upstream_note_latency(&upstream, sample_us);
        ck_assert(upstream_latency_us(&upstream) >= before_us && upstream_latency_us(&upstream) <= limit_us);
    }
    ck_assert_uint_eq(upstream_latency_us(&upstream), limit_us);
    for (int i = 0; i < 1000; i++)
        upstream_note_latency(&upstream, UINT64_MAX);
    for (int i = 0; i < 2000; i++)
        upstream_note_latency(&upstream, sample_us);
    ck_assert_uint_eq(upstream_latency_us(&upstream), limit_us);
}
END_TEST

/* ---- Failures ---- */

static void fail_for(struct bench *bench, enum call_failure_reason reason)
{
    const struct call_failure failure = {.reason = reason, .text = "test"};
    upstream_failed(bench->upstream, &failure);
}

START_TEST(a_refusal_ejects_at_once_and_what_is_our_own_never)
{
    struct bench bench;
    bench_init(&bench);
    for (int i = 0; i < 3 * BENCH_FAILURES; i++)
        fail_for(&bench, CALL_FAILURE_LOCAL);
    ck_assert_uint_eq(bench.upstream->failures, 0);
    ck_assert(!server_is_down(bench.server));
    fail_for(&bench, CALL_FAILURE_REFUSED);
    ck_assert(server_is_down(bench.server));
    ck_assert_uint_eq(bench.upstream->failures, 0);
    bench_fini(&bench);
}
END_TEST

static const enum call_failure_reason counted[] = {CALL_FAILURE_RESET, CALL_FAILURE_TIMEOUT,
                                                   CALL_FAILURE_CONNECT_TIMEOUT, CALL_FAILURE_PROTOCOL};

START_TEST(other_failures_eject_when_they_come_in_a_row)
{
    struct bench bench;
    bench_init(&bench);
    fail_for(&bench, counted[_i]);
    fail_for(&bench, counted[_i]);
    upstream_succeeded(bench.upstream, 10);
    for (unsigned i = 1; i <= BENCH_FAILURES; i++) {
        ck_assert(!server_is_down(bench.server));
        fail_for(&bench, counted[_i]);
    }
    ck_assert(server_is_down(bench.server));
    ck_assert_uint_eq(bench.downs, 1);
    bench_fini(&bench);
}
END_TEST

/* Panic: it stays up, and the failures stay counted, so that it goes down as soon as it may. */
START_TEST(a_server_that_may_not_be_ejected_keeps_its_failures)
{
    struct bench bench;
    bench_init(&bench);
    struct health_settings settings = health_settings(bench.health);
    settings.panic_percent = 0;
    health_configure(bench.health, &settings, 1);
    for (unsigned i = 0; i < BENCH_FAILURES + 2; i++)
        fail_for(&bench, CALL_FAILURE_RESET);
    ck_assert(!server_is_down(bench.server));
    ck_assert_uint_eq(bench.upstream->failures, BENCH_FAILURES + 2);
    settings.panic_percent = 100;
    health_configure(bench.health, &settings, 1);
    fail_for(&bench, CALL_FAILURE_RESET);
    ck_assert(server_is_down(bench.server));
    ck_assert_uint_eq(bench.upstream->failures, 0);
    bench_fini(&bench);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("upstream");
    tcase_add_test(tcase, nothing_is_opened_before_the_first_call);
    tcase_add_test(tcase, calls_take_the_connection_of_their_lane);
    tcase_add_test(tcase, calls_that_have_timed_out_are_still_under_way);
    tcase_add_test(tcase, more_lanes_leave_the_old_ones_alone);
    tcase_add_test(tcase, fewer_lanes_close_the_idle_ones_at_once_and_the_busy_ones_when_they_are_done);
    tcase_add_test(tcase, a_lane_that_is_wanted_again_stays);
    tcase_add_test(tcase, a_lane_that_was_closed_opens_anew);
    tcase_add_test(tcase, calls_after_a_reload_have_the_new_timeout);
    tcase_add_test(tcase, destroying_fails_the_calls_of_all_connections_but_those_abandoned);
    tcase_add_test(tcase, destroying_wakes_those_who_wait);
    tcase_add_test(tcase, a_queue_is_congested_above_its_watermark);
    tcase_add_test(tcase, a_waiter_is_woken_at_the_lower_watermark);
    tcase_add_test(tcase, each_reply_has_its_weight_in_the_average);
    tcase_add_test(tcase, a_timeout_counts_as_what_it_took_and_its_late_reply_not_at_all);
    tcase_add_loop_test(tcase, equal_samples_are_their_own_average, 0, sizeof constants_us / sizeof constants_us[0]);
    tcase_add_test(tcase, a_refusal_ejects_at_once_and_what_is_our_own_never);
    tcase_add_loop_test(tcase, other_failures_eject_when_they_come_in_a_row, 0, sizeof counted / sizeof counted[0]);
    tcase_add_test(tcase, a_server_that_may_not_be_ejected_keeps_its_failures);
    return suite_run("upstream", tcase);
}
