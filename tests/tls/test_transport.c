/* Tests of tls/transport once it is open: bytes both ways, whole and in order; when its owner is told; what it costs. */
#include "tls/transport.h"

#include "tests/support/random.h"
#include "tests/support/suite.h"
#include "tests/tls/bench.h"

#include <malloc.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static struct bench bench;

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- System calls and OpenSSL's memory, counted ---- */

static int receives, sends;

ssize_t recv(int fd, void *buffer, size_t len, int flags)
{
    receives++;
    return syscall(SYS_recvfrom, fd, buffer, len, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buffer, size_t len, int flags)
{
    sends++;
    return syscall(SYS_sendto, fd, buffer, len, flags, NULL, 0);
}

static atomic_size_t crypto_bytes;

static void *count_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    void *memory = malloc(len);
    atomic_fetch_add(&crypto_bytes, malloc_usable_size(memory));
    return memory;
}

static void count_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    atomic_fetch_sub(&crypto_bytes, malloc_usable_size(memory));
    free(memory);
}

static void *count_realloc(void *memory, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    atomic_fetch_sub(&crypto_bytes, malloc_usable_size(memory));
    memory = realloc(memory, len);
    atomic_fetch_add(&crypto_bytes, malloc_usable_size(memory));
    return memory;
}

/* ---- Bytes ---- */

START_TEST(records_may_come_byte_by_byte)
{
    static char bytes[3000];
    uint64_t random = 5;
    random_fill(&random, bytes, sizeof bytes);
    for (size_t i = 0; i < 2; i++) {
        bench_serve(&bench, versions[i]);
        bench.step = 1;
        for (size_t at = 0, len; at < sizeof bytes; at += len) {
            len = at < 100 ? 1 : random_size(&random, sizeof bytes - at);
            ck_assert_int_eq(SSL_write(bench.peer, bytes + at, (int)len), (int)len);
        }
        LOOP_UNTIL(&bench.loop, (bench_pump(&bench), bench.got_len == sizeof bytes));
        ck_assert_int_eq(memcmp(bench.got, bytes, sizeof bytes), 0);
        bench_fini(&bench);
    }
}
END_TEST

/* Appends pieces of which some are copied, some referred to. */
static void append_some(const char *bytes, size_t len, uint64_t *random)
{
    for (size_t at = 0, piece; at < len; at += piece) {
        piece = random_size(random, len - at);
        struct slice rest = slice_make(bytes + at, piece);
        ck_assert(random_below(random, 2) == 0 ? chain_append_copy(&bench.out, &bench.memory, rest.data, rest.len)
                                               : chain_append_static(&bench.out, &bench.memory, rest));
    }
}

/* Much both ways at once, through sockets that take little, with writes and reads of any size. */
START_TEST(large_data_both_ways_is_byte_exact)
{
    enum { BYTES = 1 << 20 };
    static char there[BYTES], here[BYTES], back[BYTES + 1];
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t random = seed;
        size_t sent = 0, appended = 0, back_len = 0, blocked = 0;
        random_fill(&random, there, BYTES);
        random_fill(&random, here, BYTES);
        bench_serve(&bench, versions[seed % 2]);
        bench_squeeze(&bench);
        while (bench.got_len < BYTES || back_len < BYTES || !chain_is_empty(&bench.out)) {
            bench.capacity = random_size(&random, 100000);
            bench.limit = random_below(&random, 2) ? SIZE_MAX : random_size(&random, 100000);
            bench.step = random_size(&random, 40000);
            bench.take = random_below(&random, 4) == 0 ? 0 : random_size(&random, 40000);
            size_t len = random_size(&random, 20000);
            len = len < BYTES - sent ? len : BYTES - sent;
            if (len > 0 && BIO_ctrl_pending(bench.from_peer) < 100000) {
                ck_assert_int_eq(SSL_write(bench.peer, there + sent, (int)len), (int)len);
                sent += len;
            }
            len = random_size(&random, 60000);
            len = len < BYTES - appended ? len : BYTES - appended;
            append_some(here + appended, len, &random);
            appended += len;
            /* At times also when nobody has said that it is writable. */
            if (!(bench.transport.wanted & TRANSPORT_WRITABLE) || random_below(&random, 8) == 0)
                bench_flush(&bench);
            blocked += bench.transport.unreported > 0;
            ck_assert_int_eq(bench.end, 0);
            loop_turn(&bench.loop);
            ssize_t n = bench_peer_read(&bench, back + back_len, sizeof back - back_len);
            ck_assert_int_ge(n, 0);
            back_len += (size_t)n;
            ck_assert_uint_le(back_len, BYTES);
        }
        ck_assert_uint_eq(bench.got_len, BYTES);
        ck_assert_int_eq(memcmp(bench.got, there, BYTES), 0);
        ck_assert_int_eq(memcmp(back, here, BYTES), 0);
        ck_assert_uint_gt(blocked, 0);
        ck_assert_uint_eq(bench.transport.unreported, 0);
        bench_fini(&bench);
    }
}
END_TEST

/* Half-way through a write: what may have left is what was reported and `unreported`. */
START_TEST(unreported_bytes_are_counted)
{
    static char bytes[300000], back[sizeof bytes];
    uint64_t random = 9;
    random_fill(&random, bytes, sizeof bytes);
    bench_serve(&bench, TLS1_3_VERSION);
    bench_squeeze(&bench);
    bench.take = 0;
    ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make(bytes, sizeof bytes)));
    size_t reported = 0;
    ssize_t n;
    while ((n = transport_write_chain(&bench.transport, &bench.out, &bench.memory, SIZE_MAX)) > 0)
        reported += (size_t)n;
    ck_assert_int_eq(n, TRANSPORT_AGAIN);
    ck_assert_uint_gt(bench.transport.unreported, 0);
    ck_assert_uint_eq(bench.out.bytes, sizeof bytes - reported);
    size_t upper = reported + bench.transport.unreported;
    ck_assert_uint_le(upper, sizeof bytes);
    /* Cut off there: the peer has no more than that, and no less than what was reported. */
    transport_close(&bench.transport);
    bench.take = SIZE_MAX;
    size_t got = 0;
    while (!bench.peer_saw_end || n > 0) {
        n = bench_peer_read(&bench, back + got, sizeof back - got);
        if (n < 0)
            break;
        got += (size_t)n;
    }
    ck_assert_uint_ge(got, reported);
    ck_assert_uint_le(got, upper);
    ck_assert_int_eq(memcmp(back, bytes, got), 0);
    bench_fini(&bench);
}
END_TEST

/* With a failure half-way the count stays; fewer bytes than it may be offered again, one by one. */
START_TEST(unreported_bytes_are_reported_as_they_are_offered)
{
    static char bytes[100000], back[sizeof bytes + 1];
    uint64_t random = 10;
    random_fill(&random, bytes, sizeof bytes);
    bench_serve(&bench, TLS1_3_VERSION);
    bench_squeeze(&bench);
    ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make(bytes, sizeof bytes)));
    while (transport_write_chain(&bench.transport, &bench.out, &bench.memory, SIZE_MAX) > 0)
        continue;
    size_t unreported = bench.transport.unreported, before = bench.out.bytes, got = 0;
    ck_assert_uint_gt(unreported, 1000);
    bench.limit = 7;
    while (bench.transport.unreported == unreported) {
        got += (size_t)bench_peer_read(&bench, back + got, sizeof back - got);
        bench_flush(&bench);
    }
    ck_assert_uint_eq(bench.transport.unreported, unreported - 7);
    ck_assert_uint_eq(bench.out.bytes, before - 7);
    bench.limit = SIZE_MAX;
    bench_flush(&bench);
    LOOP_UNTIL(&bench.loop, (got += (size_t)bench_peer_read(&bench, back + got, sizeof back - got)) >= sizeof bytes);
    ck_assert_uint_eq(got, sizeof bytes);
    ck_assert_int_eq(memcmp(back, bytes, sizeof bytes), 0);
    bench_fini(&bench);
    /* The peer goes. */
    bench_serve(&bench, TLS1_3_VERSION);
    bench_squeeze(&bench);
    ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make(bytes, sizeof bytes)));
    while (transport_write_chain(&bench.transport, &bench.out, &bench.memory, SIZE_MAX) > 0)
        continue;
    unreported = bench.transport.unreported;
    close(bench.fd);
    bench.fd = -1;
    ck_assert_int_eq(transport_write_chain(&bench.transport, &bench.out, &bench.memory, SIZE_MAX), TRANSPORT_ERROR);
    ck_assert(errno == EPIPE || errno == ECONNRESET);
    ck_assert_uint_eq(bench.transport.unreported, unreported);
    bench_fini(&bench);
}
END_TEST

/* ---- Turns ---- */

/* More than a read takes lies decrypted: each turn reads some, and no turn reads it all. */
START_TEST(what_is_buffered_is_read_turn_by_turn)
{
    static char bytes[20000];
    uint64_t random = 11;
    random_fill(&random, bytes, sizeof bytes);
    bench_serve(&bench, TLS1_3_VERSION);
    for (size_t at = 0; at < sizeof bytes; at += 100)
        ck_assert_int_eq(SSL_write(bench.peer, bytes + at, 100), 100);
    ck_assert(bench_is_pushed(&bench));
    bench.capacity = 150;
    int turns = 0;
    receives = 0;
    for (int calls = bench.calls; bench.got_len < sizeof bytes; calls = bench.calls) {
        loop_turn(&bench.loop);
        turns++;
        ck_assert_int_le(bench.calls, calls + 1);
        ck_assert_int_le(turns, 1000);
    }
    ck_assert_int_ge(turns, 20000 / 150);
    ck_assert_int_eq(memcmp(bench.got, bytes, sizeof bytes), 0);
    /* And then it is quiet. */
    loop_turns(&bench.loop, 2);
    int calls = bench.calls;
    loop_turns(&bench.loop, 10);
    ck_assert_int_eq(bench.calls, calls);
    bench_fini(&bench);
}
END_TEST

/* Not asked for, it waits; asked for again, it is told, and at each turn until it is read. */
START_TEST(what_is_buffered_waits_until_it_is_asked_for)
{
    char bytes[1000] = {0}, buffer[2000];
    bench_serve(&bench, TLS1_3_VERSION);
    bench_peer_write(&bench, bytes, sizeof bytes);
    bench.capacity = 10;
    LOOP_UNTIL(&bench.loop, bench.got_len == 10);
    ck_assert_int_eq(transport_want(&bench.transport, 0), 0);
    int calls = bench.calls;
    loop_turns(&bench.loop, 5);
    ck_assert_int_eq(bench.calls, calls);
    ck_assert_int_eq(transport_want(&bench.transport, TRANSPORT_READABLE), 0);
    LOOP_UNTIL(&bench.loop, bench.got_len == 30);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, sizeof buffer), 970);
    loop_turn(&bench.loop); /* it may have been due */
    calls = bench.calls;
    loop_turns(&bench.loop, 5);
    ck_assert_int_eq(bench.calls, calls);
    ck_assert_int_eq(transport_read(&bench.transport, buffer, 0), TRANSPORT_AGAIN);
    bench_fini(&bench);
}
END_TEST

static void look_away(struct transport *transport, unsigned ready)
{
    (void)transport;
    (void)ready;
    bench.calls++;
}

START_TEST(what_is_buffered_is_told_until_it_is_read)
{
    char bytes[1000] = {0};
    bench_serve(&bench, TLS1_3_VERSION);
    bench_peer_write(&bench, bytes, sizeof bytes);
    bench.capacity = 10;
    LOOP_UNTIL(&bench.loop, bench.got_len == 10);
    bench.transport.on_ready = look_away;
    bench.calls = 0;
    loop_turns(&bench.loop, 6);
    ck_assert_int_ge(bench.calls, 5);
    ck_assert_int_le(bench.calls, 6);
    bench.transport.on_ready = bench_on_ready;
    LOOP_UNTIL(&bench.loop, bench.got_len == sizeof bytes);
    bench_fini(&bench);
}
END_TEST

/* One call to receive a request that is there whole, one to send its reply. */
START_TEST(no_needless_calls)
{
    for (size_t i = 0; i < 2; i++) {
        char reply[64];
        bench_serve(&bench, versions[i]);
        bench_chat(&bench);
        bench_peer_write(&bench, "get a\r\n", 7);
        receives = sends = 0;
        loop_turns(&bench.loop, 5);
        ck_assert_uint_eq(bench.got_len, 14);
        ck_assert_int_eq(receives, 1);
        ck_assert_int_eq(sends, 0);
        for (int k = 0; k < 3; k++)
            ck_assert(chain_append_static(&bench.out, &bench.memory, slice_make("END\r\n", 5)));
        bench_flush(&bench);
        ck_assert_int_eq(sends, 1);
        ck_assert(chain_is_empty(&bench.out));
        loop_turns(&bench.loop, 5);
        ck_assert_int_eq(receives + sends, 2);
        ck_assert_int_eq(bench_peer_read(&bench, reply, sizeof reply), 15);
        bench_fini(&bench);
    }
}
END_TEST

/* ---- Memory ---- */

START_TEST(an_idle_connection_keeps_no_buffers)
{
    enum { COUNT = 16, BYTES_MAX = 32 << 10 };
    static struct bench benches[COUNT];
    struct tls_context *serving = plain_server();
    size_t total = 0;
    for (size_t version = 0; version < 2; version++) {
        for (int i = 0; i < COUNT; i++) {
            bench_init(&benches[i]);
            bench_peer_context(&benches[i], false, NULL, versions[version]);
        }
        size_t before = 0;
        for (int i = 0; i < COUNT; i++) {
            bench_open_server(&benches[i], serving);
            ck_assert_int_eq(bench_shake(&benches[i]), 0);
            bench_chat(&benches[i]);
            SSL_free(benches[i].peer);
            benches[i].peer = NULL;
            /* The first one's is what all share. */
            if (i == 0)
                before = atomic_load(&crypto_bytes);
        }
        total = (atomic_load(&crypto_bytes) - before) / (COUNT - 1);
        printf("TLS 1.%d: an idle connection holds %zu bytes of OpenSSL's\n",
               versions[version] == TLS1_2_VERSION ? 2 : 3, total);
        ck_assert_uint_lt(total, BYTES_MAX);
        for (int i = 0; i < COUNT; i++)
            bench_fini(&benches[i]);
    }
    tls_context_unref(&serving);
}
END_TEST

int main(void)
{
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1;
    TCase *tcase = tcase_create("transport");
    certificates_use(tcase);
    tcase_add_test(tcase, records_may_come_byte_by_byte);
    tcase_add_test(tcase, large_data_both_ways_is_byte_exact);
    tcase_add_test(tcase, unreported_bytes_are_counted);
    tcase_add_test(tcase, unreported_bytes_are_reported_as_they_are_offered);
    tcase_add_test(tcase, what_is_buffered_is_read_turn_by_turn);
    tcase_add_test(tcase, what_is_buffered_waits_until_it_is_asked_for);
    tcase_add_test(tcase, what_is_buffered_is_told_until_it_is_read);
    tcase_add_test(tcase, no_needless_calls);
    tcase_add_test(tcase, an_idle_connection_keeps_no_buffers);
    return suite_run("transport", tcase);
}
