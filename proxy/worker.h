/*
 * A worker: one thread with everything that it needs to serve its clients, and shares with nobody: loop, memory,
 * listeners, clients, upstreams. The control thread speaks to it by mail.
 *
 *      control thread --- mail: snapshot, listeners, drain ---> worker
 *      control thread <-- mail: snapshot released, drained ---- worker
 */
#ifndef RINGSIDE_PROXY_WORKER_H
#define RINGSIDE_PROXY_WORKER_H

#include "base/chain.h"
#include "base/counter.h"
#include "base/slab.h"
#include "config/snapshot.h"
#include "event/input.h"
#include "event/loop.h"
#include "event/mailbox.h"
#include "pool/upstream.h"
#include "proxy/coalesce.h"
#include "proxy/lookahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(name, help): what each worker counts of its clients. */
#define WORKER_COUNTERS(X)                                                                                    \
    X(clients, "client connections open now")                                                                 \
    X(clients_accepted, "client connections accepted")                                                        \
    X(clients_refused, "client connections refused: limits.clients")                                          \
    X(handshakes_refused, "client connections closed: limits.handshakes")                                     \
    X(clients_idle_closed, "client connections closed: limits.idle")                                          \
    X(clients_stalled_closed, "client connections closed: half a request, or replies not read, for too long") \
    X(clients_memory_closed, "client connections closed: too much memory for replies not read")               \
    X(clients_cut, "client connections closed: a server failed in the middle of a large value")               \
    X(accept_failures, "connections that could not be accepted")                                              \
    X(requests, "requests from clients")                                                                      \
    X(requests_local, "requests answered without a server")                                                   \
    X(requests_refused, "requests refused: not valid")                                                        \
    X(requests_denied, "requests refused: denied on the listener")                                            \
    X(requests_forbidden, "requests refused: the access rules do not allow them to the user")                 \
    X(logins, "passwords that were right")                                                                    \
    X(logins_failed, "passwords that were wrong, or could not be checked")                                    \
    X(requests_failed, "requests answered with an error of Ringside's own")                                   \
    X(requests_shed, "requests refused: limits.memory")                                                       \
    X(keys, "keys asked for or changed")                                                                      \
    X(turns_coalesced, "times that a busy worker let requests gather before it went on")                      \
    X(bytes_read, "bytes read from clients")                                                                  \
    X(bytes_written, "bytes written to clients")

struct worker_stats {
#define X(name, help) counter name;
    WORKER_COUNTERS(X)
#undef X
} __attribute__((aligned(64)));

struct worker;

/* A snapshot as held by one worker: alive while it is the current one or an exchange or a run still uses it. */
struct pin {
    const struct snapshot *snapshot;
    struct worker *worker;
    struct route_worker route; /* by pin_route */
    uint32_t count;
    struct loop_task release;
};

/* What all workers have in common. Still, but for the atomics. */
struct fleet {
    struct worker **workers;
    unsigned count;
    struct mailbox *control; /* the control thread's */
    atomic_uint clients;     /* open now, of all workers */
    struct registry *registry;
    struct password_checker *checker; /* NULL while no configuration has asked for logins */
    uint64_t started_us;              /* monotonic */
    /* Reports by workers, in the control thread. */
    void (*on_released)(void *context, const struct snapshot *snapshot);
    void (*on_drained)(void *context);
    void (*on_in_force)(void *context); /* a worker has done all that was posted before worker_post_barrier */
    void *context;
    _Atomic uint64_t reloads, reload_failures;
    _Atomic uint64_t generation;
    _Atomic unsigned lowest_version; /* the last one answered to `version`, packed; 0: none yet */
};

struct worker {
    struct fleet *fleet;
    unsigned index;
    pthread_t thread;
    struct loop loop;
    struct mailbox mailbox;
    struct memory memory;
    struct input_shared input;        /* of clients */
    struct input_shared server_input; /* of connections to servers */
    struct block *scratch;            /* for requests that are printed anew; recycled like the input's */
    struct upstream_context upstream_context;
    struct upstream **upstreams; /* by server slot */
    size_t upstream_slots;
    struct pin *current;
    struct list listeners;
    struct list clients;
    struct list corked; /* clients with replies that wait for more: see client.h */
    struct wheel_timer uncork_timer;
    struct slab client_slab;
    struct slab exchange_slab;
    struct slab binary_slab; /* of exchanges of binary clients */
    struct slab multiget_slab;
    struct slab routed_slab;
    struct slab leg_slab;
    struct list routed;         /* requests that take more than one call; they may outlive their clients */
    uint64_t next_mark;         /* for upstream->mark */
    uint32_t next_client;       /* numbers clients, to spread them over lanes */
    struct lookahead lookahead; /* of the client whose input is being handled */
    struct coalesce coalesce;
    bool guarded;        /* some clients may not do everything, or might not once: proxy/gate.h */
    uint32_t handshakes; /* of TLS, under way with clients */
    bool draining;
    bool drained;
    bool stopped;
    struct wheel_timer drain_timer;
    struct worker_stats stats;
};

/* NULL with errno. The thread is not started. */
struct worker *worker_create(struct fleet *fleet, unsigned index, struct resolver *resolver);
/* Starts the thread: 0, or an errno. */
int worker_start(struct worker *worker);
/*
 * Asks the thread to end at once, and waits for it; then closes every client and connection. Nobody waits for a job of another
 * thread after that; answers may still come by mail.
 */
void worker_stop(struct worker *worker);
/* The same if it has not been, and frees everything but the snapshots. */
void worker_destroy(struct worker **worker);

/* From the control thread: put this snapshot into force. Its release is reported by fleet->on_released. */
void worker_post_snapshot(struct worker *worker, const struct snapshot *snapshot);
/* From the control thread: serve this listening socket (taken over) under this label. */
void worker_post_listen(struct worker *worker, int fd, const char *label);
/* From the control thread: stop accepting there; its clients stay. */
void worker_post_unlisten(struct worker *worker, const char *label);
/* From the control thread: fleet->on_in_force is called when all that was posted so far is done. */
void worker_post_barrier(struct worker *worker);
/* From the control thread: stop accepting, finish what is under way, close everything; at the latest after drain_ms. */
void worker_post_drain(struct worker *worker, uint32_t drain_ms);

/* ---- Within the worker's thread ---- */

static inline struct pin *pin_take(struct worker *worker)
{
    worker->current->count++;
    return worker->current;
}
/* Gives a pin back and clears the pointer. */
void pin_give(struct pin **pin);

/* The worker's view of a server that a pinned snapshot names. */
static inline struct upstream *worker_upstream(struct worker *worker, const struct server *server)
{
    return worker->upstreams[server->slot];
}

/* The pin's side of its route, its clock and upstreams as they are now. */
static inline struct route_worker *pin_route(struct pin *pin)
{
    pin->route.upstreams = pin->worker->upstreams;
    pin->route.now_us = loop_now_us(&pin->worker->loop);
    return &pin->route;
}

/* len bytes in a block, which the caller gets a reference to, for a request printed anew. NULL when memory is out. */
char *worker_scratch(struct worker *worker, size_t len, struct block **block_out);

/* A client has gone: if that was the last one of a draining worker, it is drained. */
void worker_client_gone(struct worker *worker);
/* The same for all else that a draining worker waits for. */
void worker_settle_drain(struct worker *worker);

#endif
