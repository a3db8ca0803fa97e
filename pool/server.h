/*
 * A server: its identity, its addresses, its health and its counters. One object for all workers; it outlives reloads
 * that keep the server. The control thread creates and destroys it; what others may touch is said below.
 */
#ifndef RINGSIDE_POOL_SERVER_H
#define RINGSIDE_POOL_SERVER_H

#include "base/counter.h"
#include "base/histogram.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct health;

/* X(name, help): what is counted for each server, by each worker. Pools add up their servers. */
#define SERVER_COUNTERS(X)                                                                                      \
    X(requests, "requests sent to the server")                                                                  \
    X(hits, "keys found")                                                                                       \
    X(misses, "keys not found")                                                                                 \
    X(retries, "requests sent again elsewhere or on a new connection")                                          \
    X(errors_refused, "requests failed: connection refused or unreachable")                                     \
    X(errors_reset, "requests failed: connection closed by the server")                                         \
    X(errors_timeout, "requests failed: no answer in time")                                                     \
    X(errors_connect_timeout, "requests failed: no connection in time")                                         \
    X(errors_protocol, "requests failed: the server answered what it must not")                                 \
    X(errors_down, "requests failed: the server is down")                                                       \
    X(errors_local, "requests failed: out of memory or descriptors here, or the server left the configuration") \
    X(errors_server, "error lines answered by the server")                                                      \
    X(late_replies, "replies that came after their request had timed out, and were dropped")                    \
    X(connections_opened, "connections opened")                                                                 \
    X(connections_closed, "connections closed")                                                                 \
    X(connect_failures, "connections that could not be opened")                                                 \
    X(bytes_out, "bytes sent to the server")                                                                    \
    X(bytes_in, "bytes received from the server")                                                               \
    X(queue, "requests under way now")

struct server_stats {
#define X(name, help) counter name;
    SERVER_COUNTERS(X)
#undef X
    _Atomic(struct histogram *) latency; /* made at the first reply */
} __attribute__((aligned(64)));

#define SERVER_ADDRESSES_MAX 8

struct server_address {
    socklen_t len;
    struct sockaddr_storage address;
};

/* Who a server is: all strings are copied. */
struct server_identity {
    const char *pool;
    const char *label; /* its name, or its address as text */
    const char *host;  /* name, address, or path */
    uint16_t port;
    bool is_unix;
};

struct server {
    struct server_identity identity; /* still */
    uint32_t slot;                   /* still: index of this server's place in each worker's table */
    uint32_t refs;                   /* control thread only */
    struct health *health;           /* still: that of its pool */
    bool is_name;                    /* still: the host is to be looked up before each connect */

    atomic_bool down;    /* any thread reads; health.c writes */
    atomic_uint version; /* the last version heard from it, packed; 0: none yet. Any thread */
    _Atomic uint64_t ejections, probes, probe_failures;
    _Atomic uint64_t flushes;      /* on its return */
    _Atomic int64_t down_since_us; /* monotonic */

    pthread_mutex_t address_lock;
    struct server_address addresses[SERVER_ADDRESSES_MAX];
    uint32_t address_count;
    uint32_t address_next; /* the one to try next */

    unsigned worker_count;
    struct server_stats *stats; /* one for each worker */
};

/* NULL when memory is out. The health is borrowed. refs is 1. */
struct server *server_create(const struct server_identity *identity, uint32_t slot, unsigned worker_count,
                             struct health *health);
void server_destroy(struct server **server);
bool server_is(const struct server *server, const struct server_identity *identity);

static inline bool server_is_down(const struct server *server)
{
    return atomic_load_explicit(&server->down, memory_order_relaxed);
}

/* The address to connect to now, in turns. false: none is known yet. Thread-safe. */
bool server_take_address(struct server *server, struct server_address *address_out);
uint32_t server_address_count(struct server *server);
/* Replaces the addresses (at most SERVER_ADDRESSES_MAX are kept). Thread-safe. */
void server_set_addresses(struct server *server, const struct server_address *addresses, uint32_t count);

/* a.b.c packed so that versions compare as numbers; 0 when text is not a version. */
unsigned server_version_pack(const char *text, size_t len);

/* Whether the server, whose version has been heard, knows the meta commands as they are today (1.6.10). */
#define SERVER_META_VERSION (1u << 20 | 6u << 10 | 10u)
static inline bool server_knows_meta(const struct server *server)
{
    return atomic_load_explicit(&server->version, memory_order_relaxed) >= SERVER_META_VERSION;
}

/* Its version has been heard, and it does not: nothing meta may be sent to it. */
static inline bool server_is_too_old(const struct server *server)
{
    return atomic_load_explicit(&server->version, memory_order_relaxed) != 0 && !server_knows_meta(server);
}
#define SERVER_TOO_OLD_TEXT "it is older than 1.6.10 and has no meta commands"

/* Sum of one worker's, or of all workers', counters is made with these. */
void server_stats_add(struct server_stats *sum, const struct server_stats *from);
void server_latency_add(struct histogram *sum, const struct server *server);
/* Records a reply's latency in a worker's own stats. */
void server_record_latency(struct server_stats *stats, uint64_t latency_us);

#endif
