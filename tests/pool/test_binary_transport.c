/*
 * Tests of pool/binary_transport over a pair of sockets whose other end the test plays: a socket that is full, reads of any
 * size, a server that lies; and of connections that stand on it.
 */
#include "pool/binary_transport.h"

#include "tests/pool/bench.h"
/* Of a test's buffers. */
#define BYTES_ROOM ((size_t)4 << 20)
#include "tests/support/bytes.h"
#include "tests/support/random.h"
#include "tests/support/suite.h"
#include "wire/server_binary.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* ---- A transport, and its peer ---- */

struct pair {
    struct loop loop;
    struct transport transport;
    int peer;
    unsigned readable, writable; /* on_ready calls */
};

static void on_ready(struct transport *transport, unsigned ready)
{
    struct pair *pair = list_entry(transport, struct pair, transport);
    pair->readable += (ready & TRANSPORT_READABLE) != 0;
    pair->writable += (ready & TRANSPORT_WRITABLE) != 0;
}

static void pair_init(struct pair *pair)
{
    int fds[2], small = 4096;
    memset(pair, 0, sizeof *pair);
    ck_assert_int_eq(loop_init(&pair->loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    pair->peer = fds[1];
    transport_init(&pair->transport, on_ready);
    struct binary_transport *stream = binary_transport_create(false);
    ck_assert_ptr_nonnull(stream);
    transport_open(binary_transport_base(stream), &pair->loop, &transport_plain, fds[0]);
    binary_transport_open(&pair->transport, &stream);
    ck_assert_int_eq(transport_want(&pair->transport, TRANSPORT_READABLE), 0);
}

static void pair_fini(struct pair *pair)
{
    transport_close(&pair->transport);
    close(pair->peer);
    loop_fini(&pair->loop);
}

/* What the translation makes of it, at once. */
static struct bytes translate(const struct bytes *requests)
{
    struct bytes out = bytes_new();
    struct server_binary binary;
    char buffer[SERVER_BINARY_PRINT_MAX];
    server_binary_init(&binary, false);
    for (size_t at = 0; at < requests->len;) {
        struct server_binary_piece piece;
        ck_assert_int_eq(
            server_binary_take(&binary, requests->data + at, requests->len - at, UINT64_MAX, buffer, &piece),
            SERVER_BINARY_TAKEN);
        bytes_add(&out, buffer, piece.printed);
        if (piece.pass.len > 0)
            bytes_add(&out, piece.pass.data, piece.pass.len);
        at += piece.consumed;
    }
    server_binary_fini(&binary);
    return out;
}

/* Requests of all sizes: the number of what is asked stands in the key. */
static void make_requests(struct bytes *requests, uint64_t *random, int count)
{
    static char value[200000];
    char line[600];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < count; i++) {
        size_t size = random_below(random, 12) == 0 ? random_below(random, sizeof value) : random_size(random, 3000);
        switch (random_below(random, 4)) {
        case 0:
            bytes_add(requests, line, (size_t)sprintf(line, "set key:%d 0 0 %zu\r\n", i, size));
            bytes_add(requests, value, size);
            bytes_add(requests, "\r\n", 2);
            break;
        case 1:
            bytes_add(requests, line, (size_t)sprintf(line, "get a:%d b:%d c:%d\r\n", i, i, i));
            break;
        case 2:
            bytes_add(requests, line, (size_t)sprintf(line, "ms key:%d 3 I\r\nabc\r\n", i));
            break;
        default:
            bytes_add(requests, line, (size_t)sprintf(line, "get key:%d\r\n", i));
            break;
        }
    }
}

/* Cuts what is left into vectors at random. */
static int cut(const struct bytes *bytes, size_t at, struct iovec *vectors, int max, uint64_t *random)
{
    int count = 0;
    while (count < max && at < bytes->len) {
        size_t part = count == max - 1 ? bytes->len - at : random_size(random, bytes->len - at);
        vectors[count++] = (struct iovec){bytes->data + at, part};
        at += part;
    }
    return count;
}

static void drain(int peer, struct bytes *received, size_t most)
{
    ssize_t n = recv(peer, received->data + received->len,
                     most < BYTES_ROOM - received->len ? most : BYTES_ROOM - received->len, 0);
    if (n > 0)
        received->len += (size_t)n;
}

START_TEST(what_a_full_socket_takes_is_reported_and_nothing_is_said_twice)
{
    struct pair pair;
    uint64_t random = (uint64_t)_i + 1;
    struct bytes requests = bytes_new(), received = bytes_new();
    make_requests(&requests, &random, 60);
    struct bytes expected = translate(&requests);
    pair_init(&pair);
    size_t at = 0;
    while (at < requests.len) {
        struct iovec vectors[5];
        int count = cut(&requests, at, vectors, 5, &random);
        ssize_t n = pair.transport.methods->write(&pair.transport, vectors, count);
        ck_assert_int_ge(n, 0);
        at += (size_t)n;
        ck_assert_uint_le(at + pair.transport.unreported, requests.len);
        drain(pair.peer, &received, random_size(&random, 30000));
    }
    ck_assert_uint_eq(pair.transport.unreported, 0);
    while (received.len < expected.len) {
        size_t before = received.len;
        drain(pair.peer, &received, BYTES_ROOM);
        ck_assert_uint_gt(received.len, before);
    }
    ck_assert_uint_eq(received.len, expected.len);
    ck_assert_int_eq(memcmp(received.data, expected.data, expected.len), 0);
    pair_fini(&pair);
    free(requests.data);
    free(received.data);
    free(expected.data);
}
END_TEST

/* ---- Reading ---- */

static void put_number(char *at, unsigned bytes, uint64_t number)
{
    for (unsigned i = bytes; i > 0; i--, number >>= 8)
        at[i - 1] = (char)(number & 0xff);
}

static void add_reply(struct bytes *bytes, uint8_t opcode, uint32_t opaque, const char *key, size_t value)
{
    char head[24 + 4] = {0};
    bool fetched = opcode == 0x0c;
    head[0] = (char)0x81;
    head[1] = (char)opcode;
    put_number(head + 2, 2, strlen(key));
    head[4] = fetched ? 4 : 0;
    put_number(head + 8, 4, (fetched ? 4 : 0) + strlen(key) + value);
    put_number(head + 12, 4, opaque);
    bytes_add(bytes, head, fetched ? 28 : 24);
    bytes_add(bytes, key, strlen(key));
    for (size_t i = 0; i < value; i++)
        bytes->data[bytes->len++] = (char)('a' + i % 26);
}

static void add_text(struct bytes *text, const char *key, size_t value)
{
    char line[300];
    bytes_add(text, line, (size_t)sprintf(line, "VALUE %s 0 %zu\r\n", key, value));
    for (size_t i = 0; i < value; i++)
        text->data[text->len++] = (char)('a' + i % 26);
    bytes_add(text, "\r\nEND\r\n", 7);
}

static void ask(struct pair *pair, const char *text)
{
    const struct iovec vector = {(void *)(uintptr_t)text, strlen(text)};
    char bytes[4096];
    ck_assert_int_eq(pair->transport.methods->write(&pair->transport, &vector, 1), (ssize_t)strlen(text));
    ck_assert_int_gt(recv(pair->peer, bytes, sizeof bytes, 0), 0);
}

/* One read of any size. false: nothing was there. */
static bool read_some(struct pair *pair, struct bytes *text, uint64_t *random)
{
    char *buffer = malloc(70000);
    ck_assert_ptr_nonnull(buffer);
    size_t capacity = random_below(random, 3) == 0 ? 70000 : random_size(random, 3000);
    ssize_t n = transport_read(&pair->transport, buffer, capacity);
    ck_assert_int_ge(n, 0);
    ck_assert_int_le(n, (ssize_t)capacity);
    bytes_add(text, buffer, (size_t)n);
    free(buffer);
    return n > 0;
}

START_TEST(replies_are_read_in_pieces_of_any_size)
{
    struct pair pair;
    uint64_t random = (uint64_t)_i + 1;
    struct bytes replies = bytes_new(), expected = bytes_new(), text = bytes_new();
    pair_init(&pair);
    for (uint32_t i = 0; i < 40; i++) {
        char request[64], key[32];
        size_t value = random_below(&random, 6) == 0 ? random_below(&random, 100000) : random_size(&random, 2000);
        sprintf(key, "key:%u", (unsigned)i);
        sprintf(request, "get %s\r\n", key);
        ask(&pair, request);
        add_reply(&replies, 0x0c, i, key, value);
        add_text(&expected, key, value);
    }
    for (size_t at = 0; at < replies.len || text.len < expected.len;) {
        if (at < replies.len) {
            size_t part = random_size(&random, replies.len - at);
            ssize_t sent = send(pair.peer, replies.data + at, part, MSG_NOSIGNAL);
            at += sent > 0 ? (size_t)sent : 0;
        }
        /* The loop says that there is something to read: also of what has been read from the socket before. */
        unsigned before = pair.readable;
        if (at < replies.len)
            loop_turn(&pair.loop);
        else
            LOOP_UNTIL(&pair.loop, pair.readable > before);
        while (pair.readable > before && read_some(&pair, &text, &random) && random_below(&random, 2) == 0)
            continue;
    }
    ck_assert_uint_eq(text.len, expected.len);
    ck_assert_int_eq(memcmp(text.data, expected.data, text.len), 0);
    loop_turns(&pair.loop, 5);
    unsigned settled = pair.readable;
    loop_turns(&pair.loop, 5);
    ck_assert_uint_eq(pair.readable, settled);
    pair_fini(&pair);
    free(replies.data);
    free(expected.data);
    free(text.data);
}
END_TEST

/* What is left of a large value comes by itself, to where it is wanted; nothing comes behind it. */
START_TEST(the_end_of_a_large_value_needs_no_further_byte)
{
    struct pair pair;
    struct bytes replies = bytes_new(), expected = bytes_new(), text = bytes_new();
    pair_init(&pair);
    ask(&pair, "get k\r\n");
    add_reply(&replies, 0x0c, 0, "k", 60000);
    add_text(&expected, "k", 60000);
    const size_t parts[] = {1000, replies.len - 1000};
    for (size_t i = 0, at = 0; i < 2; at += parts[i++]) {
        unsigned before = pair.readable;
        ck_assert_int_eq(send(pair.peer, replies.data + at, parts[i], 0), (ssize_t)parts[i]);
        LOOP_UNTIL(&pair.loop, pair.readable > before);
        ssize_t n = transport_read(&pair.transport, text.data + text.len, BYTES_ROOM - text.len);
        ck_assert_int_gt(n, 0);
        text.len += (size_t)n;
    }
    ck_assert_uint_eq(text.len, expected.len - 7);
    unsigned before = pair.readable;
    LOOP_UNTIL(&pair.loop, pair.readable > before);
    ck_assert_int_eq(transport_read(&pair.transport, text.data + text.len, BYTES_ROOM - text.len), 7);
    ck_assert_int_eq(memcmp(text.data, expected.data, expected.len), 0);
    pair_fini(&pair);
    free(replies.data);
    free(expected.data);
    free(text.data);
}
END_TEST

START_TEST(what_a_read_has_no_room_for_comes_by_itself)
{
    struct pair pair;
    struct bytes replies = bytes_new();
    char buffer[4];
    pair_init(&pair);
    ask(&pair, "mn\r\n");
    add_reply(&replies, 0x0a, 0, "", 0);
    ck_assert_int_eq(send(pair.peer, replies.data, replies.len, 0), (ssize_t)replies.len);
    for (int i = 0; i < 4; i++) {
        unsigned before = pair.readable;
        LOOP_UNTIL(&pair.loop, pair.readable > before);
        ck_assert_int_eq(transport_read(&pair.transport, buffer + i, 1), 1);
    }
    ck_assert_int_eq(memcmp(buffer, "MN\r\n", 4), 0);
    pair_fini(&pair);
    free(replies.data);
}
END_TEST

START_TEST(what_came_before_a_lie_is_read)
{
    struct pair pair;
    struct bytes replies = bytes_new();
    char buffer[256];
    pair_init(&pair);
    ask(&pair, "get a\r\nget b\r\n");
    add_reply(&replies, 0x0c, 0, "a", 3);
    add_reply(&replies, 0x0c, 7, "b", 3);
    ck_assert_int_eq(send(pair.peer, replies.data, replies.len, 0), (ssize_t)replies.len);
    LOOP_UNTIL(&pair.loop, pair.readable == 1);
    ssize_t n = transport_read(&pair.transport, buffer, sizeof buffer);
    ck_assert_int_eq(n, (ssize_t)strlen("VALUE a 0 3\r\nabc\r\nEND\r\n"));
    LOOP_UNTIL(&pair.loop, pair.readable == 2);
    ck_assert_int_eq(transport_read(&pair.transport, buffer, sizeof buffer), TRANSPORT_ERROR);
    ck_assert_int_eq(errno, EBADMSG);
    ck_assert_str_eq(transport_problem(&pair.transport), "a reply out of its order");
    pair_fini(&pair);
    free(replies.data);
}
END_TEST

START_TEST(the_end_of_the_stream_is_told)
{
    struct pair pair;
    char buffer[256];
    pair_init(&pair);
    ask(&pair, "get a\r\n");
    shutdown(pair.peer, SHUT_WR);
    LOOP_UNTIL(&pair.loop, pair.readable > 0);
    ck_assert_int_eq(transport_read(&pair.transport, buffer, sizeof buffer), TRANSPORT_EOF);
    pair_fini(&pair);
}
END_TEST

static const char *const unsayable[] = {"nonsense\r\n", "set k 0 0 1\r\nabc", "get k"};

START_TEST(what_cannot_be_said_is_an_error)
{
    struct pair pair;
    const struct iovec vector = {(void *)(uintptr_t)unsayable[_i], strlen(unsayable[_i])};
    pair_init(&pair);
    ssize_t n = pair.transport.methods->write(&pair.transport, &vector, 1);
    if (n > 0) {
        const struct iovec rest = {(char *)vector.iov_base + n, vector.iov_len - (size_t)n};
        n = pair.transport.methods->write(&pair.transport, &rest, 1);
    }
    ck_assert_int_eq(n, TRANSPORT_ERROR);
    ck_assert_int_eq(errno, EBADMSG);
    ck_assert_ptr_nonnull(transport_problem(&pair.transport));
    pair_fini(&pair);
}
END_TEST

/* ---- Connections that stand on it ---- */

static struct upstream_settings binary_settings(void)
{
    struct upstream_settings settings = bench_settings;
    settings.binary = true;
    return settings;
}

/* Takes the packets of `version`, and answers them. */
static void welcome(struct bench *bench)
{
    char asked[48];
    struct bytes replies = bytes_new();
    bench->peer = peer_accept(&bench->loop, bench->listener);
    peer_read(&bench->loop, bench->peer, asked, sizeof asked);
    ck_assert_int_eq(asked[1], 0x0a);
    ck_assert_int_eq(asked[25], 0x0b);
    add_reply(&replies, 0x0a, 0, "", 0);
    add_reply(&replies, 0x0b, 1, "", 6);
    memcpy(replies.data + replies.len - 6, "1.6.18", 6);
    peer_say_bytes(&bench->loop, bench->peer, replies.data, replies.len);
    free(replies.data);
}

START_TEST(a_lie_fails_the_calls_that_wait)
{
    struct bench bench;
    struct outcome a, b, c;
    struct bytes replies = bytes_new();
    const struct upstream_settings settings = binary_settings();
    char asked[3 * 25];
    bench_init_named(&bench, NULL, &settings);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench_ask(&bench, &c, VERB_GET, "get c\r\n");
    welcome(&bench);
    peer_read(&bench.loop, bench.peer, asked, sizeof asked);
    add_reply(&replies, 0x0c, 2, "a", 3);
    add_reply(&replies, 0x0c, 4, "c", 3);
    peer_say_bytes(&bench.loop, bench.peer, replies.data, replies.len);
    bench_expect_reply(&bench, &a, "VALUE a 0 3\r\nabc\r\nEND\r\n");
    bench_expect_failure(&bench, &b, CALL_FAILURE_PROTOCOL, false);
    bench_expect_failure(&bench, &c, CALL_FAILURE_PROTOCOL, false);
    peer_expect_end(&bench.loop, bench.peer);
    bench_fini(&bench);
    free(replies.data);
}
END_TEST

START_TEST(a_change_of_the_protocol_retires_connections)
{
    struct bench bench;
    struct outcome a, b;
    struct upstream_settings settings = binary_settings();
    char asked[25];
    struct bytes replies = bytes_new();
    bench_init_named(&bench, NULL, &settings);
    bench_ask(&bench, &a, VERB_GET, "get a\r\n");
    welcome(&bench);
    peer_read(&bench.loop, bench.peer, asked, sizeof asked);
    settings.binary = false;
    upstream_configure(bench.upstream, &settings);
    add_reply(&replies, 0x0c, 2, "a", 3);
    peer_say_bytes(&bench.loop, bench.peer, replies.data, replies.len);
    bench_expect_reply(&bench, &a, "VALUE a 0 3\r\nabc\r\nEND\r\n");
    peer_expect_end(&bench.loop, bench.peer);
    close(bench.peer);
    bench_ask(&bench, &b, VERB_GET, "get b\r\n");
    bench.peer = peer_accept(&bench.loop, bench.listener);
    bench_expect(&bench, BENCH_GREETING "get b\r\n");
    bench_say(&bench, BENCH_WELCOME "END\r\n");
    bench_expect_reply(&bench, &b, "END\r\n");
    upstream_configure(bench.upstream, &settings);
    peer_expect_nothing(&bench.loop, bench.peer);
    bench_fini(&bench);
    free(replies.data);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("binary_transport");
    tcase_add_loop_test(tcase, what_a_full_socket_takes_is_reported_and_nothing_is_said_twice, 0, 20);
    tcase_add_loop_test(tcase, replies_are_read_in_pieces_of_any_size, 0, 20);
    tcase_add_test(tcase, the_end_of_a_large_value_needs_no_further_byte);
    tcase_add_test(tcase, what_a_read_has_no_room_for_comes_by_itself);
    tcase_add_test(tcase, what_came_before_a_lie_is_read);
    tcase_add_test(tcase, the_end_of_the_stream_is_told);
    tcase_add_loop_test(tcase, what_cannot_be_said_is_an_error, 0, sizeof unsayable / sizeof unsayable[0]);
    tcase_add_test(tcase, a_lie_fails_the_calls_that_wait);
    tcase_add_test(tcase, a_change_of_the_protocol_retires_connections);
    return suite_run("pool/binary_transport", tcase);
}
