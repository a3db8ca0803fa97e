/*
 * load: a load generator for benchmarks. One thread, epoll, many connections; every reply is compared byte by byte with the
 * one that is due: right key, right value, right order.
 *
 *      corpus   for each key its request lines and its reply, made once
 *      tls      what a client sends and receives through, if it is asked for
 *      client   a connection: ring of requests under way, what is left to compare, bytes to send
 *      main     closed loop: each connection sends `depth` requests, and the next ones when all are answered
 *               open loop: requests are due at fixed times, spread over the connections; latency counts from when a request
 *               was due, not from when it could be sent (no coordinated omission)
 *               handshakes: each connection sends one request, is closed when that is answered, and opened anew
 *
 * Values follow from their keys. All keys are stored before the run (--preload), and sets store what is there already, so
 * that every get finds its value.
 */
#ifndef RINGSIDE_TESTS_BENCH_LOAD_H
#define RINGSIDE_TESTS_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum kind { KIND_GET, KIND_SET, KIND_MULTI, KIND_MG, KIND_MS, KIND_BGET, KIND_COUNT };

/* A binary reply's CAS is whatever the server says: it is not compared. */
#define BINARY_HEADER_BYTES ((size_t)24)
#define BINARY_CAS_AT ((size_t)16)
#define BINARY_CAS_END ((size_t)24)

extern const char *const kind_names[KIND_COUNT];

struct options {
    struct sockaddr_in address;
    uint32_t connections, depth;
    uint32_t keys, value_bytes;
    uint32_t multi; /* keys of a multi-get */
    uint32_t split; /* lines that a multi-get is sent in, for the relay */
    uint32_t weights[KIND_COUNT], weight_sum;
    double zipf; /* exponent; 0: uniform */
    double rate; /* requests a second, open loop; 0: closed loop */
    double seconds;
    uint32_t idle; /* further connections that send one request each and then nothing */
    bool bulk;     /* closed loop: replies gather before they are answered */
    bool preload;
    const char *tls_ca; /* a file; NULL: no TLS */
    bool handshakes;    /* a connection for each request */
    bool resume;        /* with the session of the one before */
    uint64_t seed;
};

extern struct options options;

struct bytes {
    char *data;
    size_t len;
};

/* corpus.c */

_Noreturn void die(const char *what);
void *grab(size_t count, size_t size);
void corpus_make(void);
/* The next key's number, by the distribution asked for. */
uint32_t corpus_pick(void);
enum kind corpus_pick_kind(void);
/* "key:00000012" */
struct bytes corpus_key(uint32_t key);
/* A whole request of that kind; not for KIND_MULTI. */
struct bytes corpus_request(enum kind kind, uint32_t key);
/* What the reply has for that key: of get and multi the VALUE unit without END. */
struct bytes corpus_reply(enum kind kind, uint32_t key);

/* client.c */

/* Longer latencies count as this one. */
#define LATENCY_MAX_US ((size_t)4 << 20)

struct totals {
    uint64_t requests, replies, keys, bytes_in, handshakes,
        resumed;                      /* handshakes: of the connections that were closed */
    uint32_t latency[LATENCY_MAX_US]; /* replies by microseconds: exact, since ratios of them are wanted */
};
extern struct totals totals;
extern bool stopping; /* no new requests */

struct client;

struct client *client_open(int epoll_fd);
void client_on_ready(struct client *client, uint32_t events);
/* Makes a request that was due at due_ns, and sends it as soon as the turn is over. */
void client_add(struct client *client, uint64_t due_ns);
/* Closed loop: when all is answered, `depth` requests at once, as a client that pipelines does. */
void client_fill(struct client *client);
/* Writes what there is to write. */
void client_flush(struct client *client);
bool client_is_idle(const struct client *client);
uint64_t clock_ns(void);

/* tls.c: what fails ends the process */

struct ssl_st;
struct ssl_session_st;

void tls_init(const char *ca_path);
/* A connection over a connected fd, which stays the caller's. session: to be resumed; NULL: none. */
struct ssl_st *tls_open(int fd, struct ssl_session_st *session);
/* As send and recv, not blocking; each goes on with the handshake where it is not over. */
ssize_t tls_send(struct ssl_st *ssl, const void *data, size_t len);
ssize_t tls_receive(struct ssl_st *ssl, void *data, size_t len);
/* Whether it is to be called again when the socket can be written to; else when there is something to read. */
bool tls_wants_write(struct ssl_st *ssl);
/* Says goodbye, and counts the handshake. *session is replaced by what can be resumed next. */
void tls_close(struct ssl_st *ssl, struct ssl_session_st **session);

#endif
