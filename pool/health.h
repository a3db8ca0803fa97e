/*
 * The health of a pool's servers: who is ejected, and when ejecting stops.
 *
 *          failures in a row, or refused                 good probe
 *      up ------------------------------> down (probed) ------------> up
 *       \-- unless that would put more than panic % of the pool down: then the server stays up, and fails
 *
 * One for each pool name; it outlives reloads. Workers report, the control thread probes; all calls are thread-safe,
 * and none stands in the way of a request that goes well.
 */
#ifndef RINGSIDE_POOL_HEALTH_H
#define RINGSIDE_POOL_HEALTH_H

#include "pool/server.h"
#include "tls/context.h"
#include "tls/secret.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct health_settings {
    uint32_t failures;      /* in a row, to be down */
    uint32_t probe_ms;      /* pause before the first probe */
    uint32_t probe_max_ms;  /* the pause doubles up to this */
    uint32_t panic_percent; /* of the pool's servers that may be down at most */
    uint32_t timeout_ms;    /* for a probe, connecting included */
    /* For probes; both live as long as a snapshot has servers of the pool. */
    struct tls_context *tls;   /* NULL: in the clear */
    const struct secret *auth; /* NULL: no authentication */
    bool binary;               /* the binary protocol is spoken */
    bool flush_on_return;      /* a server that comes back with its memory intact is to be flushed: see homecoming.h */
};

struct health {
    char *pool;
    pthread_mutex_t lock;
    struct health_settings settings;
    uint32_t members; /* servers of the pool now */
    uint32_t down;
    bool panicking; /* an ejection has been refused since the last return */
    /* Called without the lock, by the reporting thread, when a server has gone down. */
    void (*on_down)(void *context, struct server *server);
    void *on_down_context;
    struct server_stats retired; /* of servers that have left the pool; control thread */
    struct histogram retired_latency;
    _Atomic uint64_t retired_ejections, retired_probes, retired_probe_failures, retired_flushes;
    _Atomic uint64_t no_server; /* requests refused because no server was usable */
};

/* NULL when memory is out. */
struct health *health_create(const char *pool, void (*on_down)(void *context, struct server *server), void *context);
void health_destroy(struct health **health);

/* A reload's new settings and membership. */
void health_configure(struct health *health, const struct health_settings *settings, uint32_t members);
struct health_settings health_settings(struct health *health);

/* A server is to be down, for `reason` (static text). true: it is (now, or already was). */
bool health_report_down(struct server *server, const char *reason);
/* A probe was good. */
void health_report_up(struct server *server);
/* The server has left the pool: it no longer counts, and its counters are kept as the pool's. Control thread. */
void health_forget(struct server *server);

#endif
