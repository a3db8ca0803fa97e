/* Tests of event/transport over socket pairs and the loopback: what moves, what is asked for, how it ends. */
#include "event/transport.h"

#include "tests/support/random.h"
#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct bench {
    struct loop loop;
    struct memory memory;
    struct transport transport;
    int peer;
    unsigned ready; /* what on_ready was told, in all */
    int calls;
};

static void on_ready(struct transport *transport, unsigned ready)
{
    struct bench *bench = list_entry(transport, struct bench, transport);
    bench->ready |= ready;
    bench->calls++;
    /* The descriptor stays ready: asked once is enough. */
    ck_assert_int_eq(transport_want(transport, transport->wanted & ~ready), 0);
}

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    ck_assert_int_eq(loop_init(&bench->loop), 0);
    memory_init(&bench->memory, SIZE_MAX);
    transport_init(&bench->transport, on_ready);
    ck_assert(!transport_is_open(&bench->transport));
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    transport_open(&bench->transport, &bench->loop, &transport_plain, ends[0]);
    ck_assert(transport_is_open(&bench->transport));
    bench->peer = ends[1];
}

static void bench_fini(struct bench *bench)
{
    transport_close(&bench->transport);
    transport_close(&bench->transport); /* twice is lawful */
    ck_assert(!transport_is_open(&bench->transport));
    if (bench->peer >= 0)
        close(bench->peer);
    ck_assert_uint_eq(bench->memory.blocks.held_bytes, 0);
    memory_fini(&bench->memory);
    loop_fini(&bench->loop);
}

START_TEST(a_read_gives_bytes_or_nothing_or_the_end)
{
    struct bench bench;
    char buffer[8];
    bench_init(&bench);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), TRANSPORT_AGAIN);
    ck_assert_int_eq(send(bench.peer, "0123456789", 10, 0), 10);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), 8);
    ck_assert_int_eq(memcmp(buffer, "01234567", 8), 0);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), 2);
    close(bench.peer);
    bench.peer = -1;
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), TRANSPORT_EOF);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_read_after_a_reset_is_an_error)
{
    struct bench bench;
    char buffer[8];
    bench_init(&bench);
    /* On such sockets: the peer goes with our bytes unread. */
    ck_assert_int_eq(send(bench.transport.fd, "x", 1, 0), 1);
    close(bench.peer);
    bench.peer = -1;
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), TRANSPORT_ERROR);
    ck_assert_int_eq(errno, ECONNRESET);
    bench_fini(&bench);
}
END_TEST

/* Without a signal: the process would be gone. */
START_TEST(a_write_to_a_peer_that_has_gone_is_an_error)
{
    struct bench bench;
    struct chain chain;
    struct block *shared = NULL;
    bench_init(&bench);
    chain_init(&chain);
    close(bench.peer);
    bench.peer = -1;
    for (int segments = 1; segments <= 2; segments++) {
        ck_assert(chain_append_copy(&chain, &bench.memory, "abc", 3));
        struct iovec vectors[3];
        ck_assert_int_eq(chain_vectors(&chain, vectors, 3), segments);
        ck_assert_int_eq(transport_write_chain(&bench.transport, &chain, &bench.memory, SIZE_MAX), TRANSPORT_ERROR);
        ck_assert_int_eq(errno, EPIPE);
        ck_assert_uint_eq(chain.bytes, 3 * (size_t)segments);
        if (segments == 1)
            shared = block_ref(chain.tail->block); /* so that the next one is a segment of its own */
    }
    block_unref(&shared);
    chain_clear(&chain, &bench.memory);
    bench_fini(&bench);
}
END_TEST

/* Takes all that has come; compares it with what is to come next. Returns how much it was. */
static size_t take(int fd, const char *expected, size_t len)
{
    static char buffer[1 << 16];
    size_t taken = 0;
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0) {
        ck_assert_uint_le(taken + (size_t)n, len);
        ck_assert_int_eq(memcmp(buffer, expected + taken, (size_t)n), 0);
        taken += (size_t)n;
    }
    return taken;
}

/* Much more than the socket takes, in many segments: what was written is gone from the chain, and no more. */
START_TEST(a_chain_is_written_as_far_as_the_socket_takes_it)
{
    enum { BYTES = 4 << 20 };
    static char bytes[BYTES];
    struct bench bench;
    struct chain chain;
    uint64_t random = 77;
    bench_init(&bench);
    chain_init(&chain);
    random_fill(&random, bytes, BYTES);
    ck_assert(chain_append_copy(&chain, &bench.memory, bytes, BYTES));
    size_t written = 0, taken = 0;
    int blocked = 0;
    while (written < BYTES) {
        size_t before = chain.bytes;
        ssize_t n = transport_write_chain(&bench.transport, &chain, &bench.memory, SIZE_MAX);
        ck_assert_int_ge(n, TRANSPORT_AGAIN);
        ck_assert_uint_eq(before - chain.bytes, (size_t)n);
        written += (size_t)n;
        if (n == TRANSPORT_AGAIN) {
            blocked++;
            taken += take(bench.peer, bytes + taken, BYTES - taken);
            ck_assert_uint_eq(taken, written);
        }
    }
    ck_assert_int_gt(blocked, 0);
    taken += take(bench.peer, bytes + taken, BYTES - taken);
    ck_assert_uint_eq(taken, BYTES);
    ck_assert(chain_is_empty(&chain));
    bench_fini(&bench);
}
END_TEST

START_TEST(a_write_keeps_to_its_limit)
{
    struct bench bench;
    struct chain chain;
    char bytes[3 * BLOCK_SMALL_BYTES];
    uint64_t random = 78;
    bench_init(&bench);
    chain_init(&chain);
    random_fill(&random, bytes, sizeof bytes);
    ck_assert(chain_append_copy(&chain, &bench.memory, bytes, sizeof bytes));
    static const size_t limits[] = {1, 9, BLOCK_SMALL_BYTES - 10, 1, BLOCK_SMALL_BYTES + 1, SIZE_MAX};
    size_t at = 0;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        size_t expected = limits[i] < sizeof bytes - at ? limits[i] : sizeof bytes - at;
        ck_assert_int_eq(transport_write_chain(&bench.transport, &chain, &bench.memory, limits[i]), (ssize_t)expected);
        ck_assert_uint_eq(take(bench.peer, bytes + at, expected), expected);
        at += expected;
    }
    ck_assert_uint_eq(at, sizeof bytes);
    bench_fini(&bench);
}
END_TEST

START_TEST(on_ready_comes_for_what_was_asked_for)
{
    struct bench bench;
    bench_init(&bench);
    ck_assert_int_eq(send(bench.peer, "x", 1, 0), 1);
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.calls, 0); /* nothing was asked for */
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    LOOP_UNTIL(&bench.loop, bench.calls > 0);
    ck_assert_uint_eq(bench.ready, TRANSPORT_READABLE);
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.calls, 1); /* taken back by on_ready */
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE | TRANSPORT_WRITABLE), 0);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE | TRANSPORT_WRITABLE), 0);
    LOOP_UNTIL(&bench.loop, bench.calls > 2);
    ck_assert_uint_eq(bench.ready, TRANSPORT_READABLE | TRANSPORT_WRITABLE);
    ck_assert_uint_eq(bench.transport.wanted, 0);
    bench_fini(&bench);
}
END_TEST

START_TEST(a_peer_that_ends_makes_it_readable)
{
    struct bench bench;
    char buffer[1];
    bench_init(&bench);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.calls, 0);
    close(bench.peer);
    bench.peer = -1;
    LOOP_UNTIL(&bench.loop, bench.calls > 0);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, 1), TRANSPORT_EOF);
    bench_fini(&bench);
}
END_TEST

/* Both sides are ready in one turn, and the first call closes: the second one must not come. */
static void close_at_once(struct transport *transport, unsigned ready)
{
    struct bench *bench = list_entry(transport, struct bench, transport);
    bench->ready |= ready;
    bench->calls++;
    transport_close(transport);
}

START_TEST(closing_within_on_ready_is_the_last_that_is_heard)
{
    struct bench bench;
    bench_init(&bench);
    bench.transport.on_ready = close_at_once;
    ck_assert_int_eq(send(bench.peer, "x", 1, 0), 1);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE | TRANSPORT_WRITABLE), 0);
    LOOP_UNTIL(&bench.loop, bench.calls > 0);
    loop_turns(&bench.loop, 3);
    ck_assert_int_eq(bench.calls, 1);
    char buffer[1];
    ck_assert_int_le(recv(bench.peer, buffer, 1, 0), 0);
    ck_assert(!transport_is_open(&bench.transport));
    bench_fini(&bench);
}
END_TEST

START_TEST(a_transport_can_be_opened_again)
{
    struct bench bench;
    int ends[2];
    bench_init(&bench);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    transport_close(&bench.transport);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    transport_open(&bench.transport, &bench.loop, &transport_plain, ends[0]);
    ck_assert_uint_eq(bench.transport.wanted, 0);
    ck_assert_int_eq(send(ends[1], "x", 1, 0), 1);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    LOOP_UNTIL(&bench.loop, bench.calls > 0);
    close(ends[1]);
    bench_fini(&bench);
}
END_TEST

/* ---- Connecting ---- */

static int bind_loopback(struct sockaddr_in *address_out)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    socklen_t len = sizeof *address_out;
    *address_out = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(bind(fd, (struct sockaddr *)address_out, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)address_out, &len), 0);
    return fd;
}

static void connect_to(struct bench *bench, const struct sockaddr_in *address)
{
    transport_close(&bench->transport);
    int fd = transport_connect_socket((const struct sockaddr *)address, sizeof *address);
    ck_assert_int_ge(fd, 0);
    transport_open(&bench->transport, &bench->loop, &transport_plain, fd);
    ck_assert_int_eq(transport_want(&bench->transport, TRANSPORT_WRITABLE), 0);
    LOOP_UNTIL(&bench->loop, bench->calls > 0);
}

START_TEST(a_connection_becomes_writable_when_it_is_there)
{
    struct bench bench;
    struct sockaddr_in address;
    bench_init(&bench);
    int listener = bind_loopback(&address);
    ck_assert_int_eq(listen(listener, 1), 0);
    connect_to(&bench, &address);
    ck_assert_int_eq(transport_connect_result(&bench.transport), 0);
    int no_delay = 0;
    socklen_t len = sizeof no_delay;
    ck_assert_int_eq(getsockopt(bench.transport.fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    ck_assert_int_ne(no_delay, 0);
    close(listener);
    bench_fini(&bench);
}
END_TEST

/* Bound, so that nobody else gets the port, and not listening. */
START_TEST(a_refused_connection_becomes_writable_and_says_so)
{
    struct bench bench;
    struct sockaddr_in address;
    bench_init(&bench);
    int bound = bind_loopback(&address);
    connect_to(&bench, &address);
    ck_assert_int_eq(transport_connect_result(&bench.transport), ECONNREFUSED);
    close(bound);
    bench_fini(&bench);
}
END_TEST

START_TEST(an_address_that_cannot_be_connected_to_fails_at_once)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    errno = 0;
    ck_assert_int_eq(transport_connect_socket((const struct sockaddr *)&address, sizeof address), -1);
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("transport");
    tcase_add_test(tcase, a_read_gives_bytes_or_nothing_or_the_end);
    tcase_add_test(tcase, a_read_after_a_reset_is_an_error);
    tcase_add_test(tcase, a_write_to_a_peer_that_has_gone_is_an_error);
    tcase_add_test(tcase, a_chain_is_written_as_far_as_the_socket_takes_it);
    tcase_add_test(tcase, a_write_keeps_to_its_limit);
    tcase_add_test(tcase, on_ready_comes_for_what_was_asked_for);
    tcase_add_test(tcase, a_peer_that_ends_makes_it_readable);
    tcase_add_test(tcase, closing_within_on_ready_is_the_last_that_is_heard);
    tcase_add_test(tcase, a_transport_can_be_opened_again);
    tcase_add_test(tcase, a_connection_becomes_writable_when_it_is_there);
    tcase_add_test(tcase, a_refused_connection_becomes_writable_and_says_so);
    tcase_add_test(tcase, an_address_that_cannot_be_connected_to_fails_at_once);
    return suite_run("transport", tcase);
}
