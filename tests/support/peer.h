/*
 * The other end of a stream, played by the test itself between the turns of the loop under test: a server that accepts,
 * or a client. Nothing waits for a time: each step runs the loop until what it is about has happened.
 */
#ifndef RINGSIDE_TESTS_SUPPORT_PEER_H
#define RINGSIDE_TESTS_SUPPORT_PEER_H

#include "tests/support/turns.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket bound to a free port of the loopback address. It refuses connections until listen() is called on it. */
static inline int peer_bind(uint16_t *port_out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

static inline int peer_listen(uint16_t *port_out)
{
    int fd = peer_bind(port_out);
    ck_assert_int_eq(listen(fd, 64), 0);
    return fd;
}

/* The next connection, or -1 if there is none yet. */
static inline int peer_try_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline int peer_accept(struct loop *loop, int listener)
{
    int fd;
    LOOP_UNTIL(loop, (fd = peer_try_accept(listener)) >= 0);
    return fd;
}

/* One more read behind the n bytes that are there; how many there are then. The end of the stream is no lawful answer. */
static inline size_t peer_read_more(int fd, char *bytes, size_t n, size_t len)
{
    ssize_t got = recv(fd, bytes + n, len - n, 0);
    ck_assert_msg(got > 0 || (got < 0 && errno == EAGAIN), "the stream has ended after %zu of %zu bytes", n, len);
    return got > 0 ? n + (size_t)got : n;
}

/* Reads exactly len bytes. */
static inline void peer_read(struct loop *loop, int fd, char *bytes, size_t len)
{
    size_t n = 0;
    LOOP_UNTIL(loop, (n = peer_read_more(fd, bytes, n, len)) == len);
}

/* The next bytes are these. */
static inline void peer_expect_bytes(struct loop *loop, int fd, const char *expected, size_t len)
{
    char *bytes = malloc(len + 1);
    ck_assert_ptr_nonnull(bytes);
    peer_read(loop, fd, bytes, len);
    bytes[len] = '\0';
    ck_assert_msg(memcmp(bytes, expected, len) == 0, "expected: %.*s\nfound: %s", len < 300 ? (int)len : 300, expected,
                  len < 300 ? bytes : "other bytes");
    free(bytes);
}

static inline void peer_expect(struct loop *loop, int fd, const char *expected)
{
    peer_expect_bytes(loop, fd, expected, strlen(expected));
}

/* Nothing more has come. To be asked when all that could make it come has happened. */
static inline void peer_expect_nothing(struct loop *loop, int fd)
{
    char bytes[256];
    loop_turns(loop, 5);
    ssize_t n = recv(fd, bytes, sizeof bytes - 1, 0);
    bytes[n > 0 ? n : 0] = '\0';
    ck_assert_msg(n < 0 && errno == EAGAIN, "expected nothing, found %zd bytes: %s", n, bytes);
}

/* Whether the stream has ended or was reset; bytes before that are dropped. */
static inline bool peer_has_ended(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        continue;
    return n == 0 || errno != EAGAIN;
}

/* The stream ends without any further byte. */
static inline void peer_expect_end(struct loop *loop, int fd)
{
    char byte;
    ssize_t n;
    LOOP_UNTIL(loop, (n = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    ck_assert_msg(n <= 0, "expected the end, found a byte: %c", byte);
}

/* Sends all; the other side reads meanwhile. */
static inline size_t peer_send_more(int fd, const char *bytes, size_t n, size_t len)
{
    ssize_t sent = send(fd, bytes + n, len - n, MSG_NOSIGNAL);
    ck_assert_msg(sent > 0 || errno == EAGAIN, "the stream was closed after %zu of %zu bytes", n, len);
    return sent > 0 ? n + (size_t)sent : n;
}

static inline void peer_say_bytes(struct loop *loop, int fd, const char *bytes, size_t len)
{
    size_t n = 0;
    LOOP_UNTIL(loop, (n = peer_send_more(fd, bytes, n, len)) == len);
}

static inline void peer_say(struct loop *loop, int fd, const char *text)
{
    peer_say_bytes(loop, fd, text, strlen(text));
}

#endif
