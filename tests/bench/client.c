/*
 * Owns one connection: what it has sent, what is due on it, and the comparison of what comes.
 *
 *      requests   [ get 7 | set 3 | multi 1 9 4 | ... ]   ring, oldest first: kind, keys, when it was due
 *      expected   the piece that the next bytes must equal, and how far it has been compared
 *
 * A reply that differs in one byte ends the process; but a binary one's CAS.
 */
#include "tests/bench/load.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)

struct request {
    enum kind kind;
    uint32_t key_count; /* expected with this request; 1 but for multi-gets */
    uint64_t due_ns;
};

struct client {
    int fd, epoll_fd;
    struct ssl_st *tls;             /* NULL: plain */
    struct ssl_session_st *session; /* of the connection before; NULL: none */
    bool wants_write;
    struct request *requests; /* ring */
    uint32_t *keys;           /* ring: the keys of the requests */
    size_t request_room, key_room;
    uint64_t request_first, request_next, key_first, key_next; /* ever growing; modulo the room */
    struct bytes expected;                                     /* data NULL: to be taken from the oldest request */
    size_t compared;
    uint32_t keys_left; /* of the oldest request */
    bool in_request;    /* the oldest request's first piece has been taken */
    uint32_t lines_left, line_keys;
    char *out;
    size_t out_start, out_end, out_room;
};

struct totals totals;
bool stopping;

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void put(struct client *client, struct bytes bytes)
{
    if (client->out_start == client->out_end)
        client->out_start = client->out_end = 0;
    if (client->out_room - client->out_end < bytes.len) {
        size_t used = client->out_end - client->out_start;
        if (used > 0)
            memmove(client->out, client->out + client->out_start, used);
        client->out_start = 0;
        client->out_end = used;
        if (client->out_room - used < bytes.len) {
            client->out_room = (used + bytes.len) * 2;
            client->out = realloc(client->out, client->out_room);
            if (client->out == NULL)
                die("memory");
        }
    }
    memcpy(client->out + client->out_end, bytes.data, bytes.len);
    client->out_end += bytes.len;
}

#define PUT(client, literal) put(client, (struct bytes){literal, sizeof(literal) - 1})

static uint32_t note_key(struct client *client)
{
    uint32_t key = corpus_pick();
    client->keys[client->key_next++ % client->key_room] = key;
    return key;
}

static void put_multi(struct client *client)
{
    uint32_t in_line = options.multi / options.split;
    for (uint32_t i = 0; i < options.multi; i++) {
        if (i % in_line == 0)
            PUT(client, "get");
        PUT(client, " ");
        put(client, corpus_key(note_key(client)));
        if (i % in_line == in_line - 1)
            PUT(client, "\r\n");
    }
}

/* Open loop: there may be more under way than was thought. */
static void grow(struct client *client)
{
    struct request *requests = grab(client->request_room * 2, sizeof *requests);
    uint32_t *keys = grab(client->key_room * 2, sizeof *keys);
    for (uint64_t i = client->request_first; i < client->request_next; i++)
        requests[i % (client->request_room * 2)] = client->requests[i % client->request_room];
    for (uint64_t i = client->key_first; i < client->key_next; i++)
        keys[i % (client->key_room * 2)] = client->keys[i % client->key_room];
    free(client->requests);
    free(client->keys);
    client->requests = requests;
    client->keys = keys;
    client->request_room *= 2;
    client->key_room *= 2;
}

void client_add(struct client *client, uint64_t due_ns)
{
    if (client->request_next - client->request_first == client->request_room)
        grow(client);
    enum kind kind = corpus_pick_kind();
    struct request *request = &client->requests[client->request_next++ % client->request_room];
    *request = (struct request){kind, kind == KIND_MULTI ? options.multi : 1, due_ns};
    if (kind == KIND_MULTI)
        put_multi(client);
    else
        put(client, corpus_request(kind, note_key(client)));
    totals.requests++;
}

void client_fill(struct client *client)
{
    if (!client_is_idle(client))
        return;
    uint64_t now_ns = clock_ns();
    while (!stopping && client->request_next - client->request_first < options.depth)
        client_add(client, now_ns);
}

static void watch(struct client *client, bool write)
{
    if (write == client->wants_write)
        return;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = client};
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, client->fd, &event) != 0)
        die("epoll_ctl");
    client->wants_write = write;
}

static ssize_t send_some(struct client *client)
{
    const char *data = client->out + client->out_start;
    size_t len = client->out_end - client->out_start;
    return client->tls != NULL ? tls_send(client->tls, data, len) : send(client->fd, data, len, MSG_NOSIGNAL);
}

void client_flush(struct client *client)
{
    while (client->out_start < client->out_end) {
        ssize_t n = send_some(client);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            die("send");
        client->out_start += (size_t)n;
    }
    watch(client, client->out_start < client->out_end && (client->tls == NULL || tls_wants_write(client->tls)));
}

/* The next piece that is due. */
static void expect(struct client *client)
{
    if (client->request_first == client->request_next) {
        errno = 0;
        die("bytes came that nobody asked for");
    }
    const struct request *request = &client->requests[client->request_first % client->request_room];
    if (!client->in_request) {
        client->in_request = true;
        client->keys_left = request->key_count;
        client->line_keys = request->key_count / (request->kind == KIND_MULTI ? options.split : 1);
        client->lines_left = client->line_keys;
    }
    client->compared = 0;
    if (client->lines_left == 0) {
        client->expected = (struct bytes){"END\r\n", 5};
        return;
    }
    client->lines_left--;
    client->keys_left--;
    client->expected = corpus_reply(request->kind, client->keys[client->key_first++ % client->key_room]);
}

static bool ends_in_end(enum kind kind)
{
    return kind == KIND_GET || kind == KIND_MULTI;
}

/* The piece has come whole: what is next of the request, if there is more of it. */
static void piece_over(struct client *client)
{
    const struct request *request = &client->requests[client->request_first % client->request_room];
    bool was_end = ends_in_end(request->kind) && client->expected.len == 5 && client->expected.data[0] == 'E';
    client->expected.data = NULL;
    if (client->lines_left > 0 || (ends_in_end(request->kind) && !was_end))
        return;
    if (client->keys_left > 0) {
        client->lines_left = client->line_keys;
        return;
    }
    uint64_t latency_us = (clock_ns() - request->due_ns) / 1000;
    totals.latency[latency_us < LATENCY_MAX_US ? latency_us : LATENCY_MAX_US - 1]++;
    totals.replies++;
    totals.keys += request->key_count;
    client->in_request = false;
    client->request_first++;
}

/* Whether these bytes are what is due from `compared` on. */
static bool as_expected(const struct client *client, const char *data, size_t len)
{
    const char *due = client->expected.data + client->compared;
    if (client->requests[client->request_first % client->request_room].kind != KIND_BGET)
        return memcmp(data, due, len) == 0;
    for (size_t i = 0; i < len; i++) {
        size_t at = client->compared + i;
        if (at >= BINARY_CAS_END)
            return memcmp(data + i, due + i, len - i) == 0;
        if (at < BINARY_CAS_AT && data[i] != due[i])
            return false;
    }
    return true;
}

static void show(const char *what, const char *data, size_t len)
{
    fprintf(stderr, "%s\"", what);
    for (size_t i = 0; i < len && i < 60; i++)
        fprintf(stderr, isprint((unsigned char)data[i]) ? "%c" : "\\x%02x", (unsigned char)data[i]);
    fputc('"', stderr);
}

static void compare(struct client *client, const char *data, size_t len)
{
    while (len > 0) {
        if (client->expected.data == NULL)
            expect(client);
        size_t left = client->expected.len - client->compared;
        size_t part = len < left ? len : left;
        if (!as_expected(client, data, part)) {
            show("load: a wrong reply: expected ", client->expected.data + client->compared, left);
            show(", got ", data, len);
            fputc('\n', stderr);
            exit(1);
        }
        data += part;
        len -= part;
        client->compared += part;
        if (client->compared == client->expected.len)
            piece_over(client);
    }
}

/* Reads once; TLS: all that there is, since its records wait where epoll does not see them. */
static void read_some(struct client *client)
{
    static char buffer[READ_BYTES];
    ssize_t n;
    do {
        n = client->tls != NULL ? tls_receive(client->tls, buffer, sizeof buffer)
                                : recv(client->fd, buffer, sizeof buffer, 0);
        if (n == 0) {
            errno = 0;
            die("the connection was closed");
        }
        if (n < 0 && errno != EAGAIN)
            die("recv");
        if (n > 0) {
            totals.bytes_in += (uint64_t)n;
            compare(client, buffer, (size_t)n);
        }
    } while (n > 0 && client->tls != NULL);
}

bool client_is_idle(const struct client *client)
{
    return client->request_first == client->request_next;
}

static void client_connect(struct client *client)
{
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&options.address, sizeof options.address) != 0)
        die("connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    if (options.tls_ca != NULL)
        client->tls = tls_open(client->fd, options.resume ? client->session : NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0)
        die("epoll_ctl");
    client->wants_write = false;
}

/* All is answered: another connection in place of this one. */
static void client_renew(struct client *client)
{
    tls_close(client->tls, &client->session);
    close(client->fd);
    client_connect(client);
}

void client_on_ready(struct client *client, uint32_t events)
{
    if (events & EPOLLIN)
        read_some(client);
    if (options.handshakes && !stopping && client_is_idle(client))
        client_renew(client);
    if (options.rate <= 0)
        client_fill(client);
    client_flush(client);
}

struct client *client_open(int epoll_fd)
{
    struct client *client = grab(1, sizeof *client);
    client->epoll_fd = epoll_fd;
    client->request_room = options.depth > 64 ? options.depth : 64;
    client->key_room = client->request_room * (options.multi > 1 ? options.multi : 1);
    client->requests = grab(client->request_room, sizeof *client->requests);
    client->keys = grab(client->key_room, sizeof *client->keys);
    client_connect(client);
    return client;
}
