/*
 * A server as one worker sees it: its connections, its failures in a row, its settings. One thread.
 */
#ifndef RINGSIDE_POOL_UPSTREAM_H
#define RINGSIDE_POOL_UPSTREAM_H

#include "base/chain.h"
#include "event/input.h"
#include "event/mailbox.h"
#include "pool/call.h"
#include "pool/resolve.h"
#include "pool/server.h"
#include "tls/secret.h"
#include "tls/transport.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes waiting to be written to one connection: above HIGH those who fill it are to pause, below LOW they go on. */
#define UPSTREAM_QUEUE_HIGH ((size_t)1 << 20)
#define UPSTREAM_QUEUE_LOW ((size_t)1 << 18)

/* What all upstreams of a worker share. */
struct upstream_context {
    struct loop *loop;
    struct mailbox *mailbox;
    struct memory *memory;
    struct input_shared *input;
    struct resolver *resolver;
    unsigned worker; /* index into server->stats */
    /* The worker is busy: see set_nagle in connection_write.c. */
    bool wants_nagle;
    uint32_t nagle_rtt_us; /* up to which round trip */
    uint32_t looks;        /* counts up: connections look at their round trip anew */
    struct slab calls;
};

struct upstream_settings {
    uint32_t connections; /* at least 1 */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    uint32_t failures; /* in a row, to report the server down */
    /* Both are the snapshot's that the settings are of, which is to outlive them. */
    struct tls_context *tls;   /* NULL: in the clear */
    const struct secret *auth; /* NULL: no authentication */
    bool binary;               /* the binary protocol is spoken; a login is SASL PLAIN then */
};

struct upstream {
    struct upstream_context *context;
    struct server *server;
    struct server_stats *stats; /* this worker's */
    struct upstream_settings settings;
    struct connection **lanes; /* shared connections; settings.connections of them */
    uint32_t lane_count;
    struct tls_session *session; /* of the last connection, for the next one; NULL: none */
    struct list uploads;         /* exclusive connections, idle and busy */
    uint32_t failures;           /* in a row */
    uint32_t
        latency_us_scaled; /* of replies: moving average, times UPSTREAM_LATENCY_SCALE; timeouts count as what they took */
    uint32_t users;        /* snapshots of this worker that name the server */
    uint64_t mark;         /* scratch of whoever splits keys over servers: valid if mark is the splitter's own */
    uint32_t mark_index;
};

/* One who waits for a connection's queue to drain. */
struct upstream_waiter {
    struct list node;
    void (*on_drained)(struct upstream_waiter *waiter);
};

void upstream_context_init(struct upstream_context *context, struct loop *loop, struct mailbox *mailbox,
                           struct memory *memory, struct input_shared *input, struct resolver *resolver,
                           unsigned worker);
void upstream_context_fini(struct upstream_context *context);

/* NULL when memory is out. */
struct upstream *upstream_create(struct upstream_context *context, struct server *server,
                                 const struct upstream_settings *settings);
/* Closes all connections. Calls still under way fail. Not from within a call's callbacks. */
void upstream_destroy(struct upstream **upstream);
/* A reload's settings. */
void upstream_configure(struct upstream *upstream, const struct upstream_settings *settings);

/*
 * Begins a call on the connection of that lane (any number: requests of one client use one lane, so that their order
 * holds). The request is then to be appended to call_out, and upstream_send called, at once. NULL when memory is out.
 * Callbacks never run from within these calls.
 */
struct call *upstream_call(struct upstream *upstream, uint32_t lane, enum verb verb, const struct call_methods *methods,
                           void *owner);
/* The same on a connection of its own, which no other call shares until this one is over: for large uploads. */
struct call *upstream_upload(struct upstream *upstream, enum verb verb, const struct call_methods *methods,
                             void *owner);
struct chain *call_out(struct call *call);
/* The request, or an upload's first part, stands in call_out. For an upload the deadline is set by upload_end. */
void upstream_send(struct call *call);
/* More of an upload stands in call_out. */
void upload_continue(struct call *call);
/* The upload is complete. */
void upload_end(struct call *call);

/* The owner no longer waits: no callback will come. An upload that is not complete closes its connection. */
void call_abandon(struct call **call);

/*
 * The request could not be appended whole: the connection is given up at the turn's end, before anything of it is
 * written. No callback will come.
 */
void call_give_up(struct call *call);

/*
 * The owner cannot take more of this reply for now: the server is not read until call_unhold, unless that would hold
 * up somebody else's calls. Whether it is held.
 */
bool call_hold(struct call *call);
void call_unhold(struct call *call);

/* The server that the call goes to. */
struct server *call_server(const struct call *call);

/* Whether the call's connection has more than UPSTREAM_QUEUE_HIGH bytes waiting. */
bool call_is_congested(const struct call *call);
/* on_drained is called once when the call's connection has drained or failed. */
void call_wait(struct call *call, struct upstream_waiter *waiter);
static inline void upstream_waiter_cancel(struct upstream_waiter *waiter)
{
    list_unlink(&waiter->node);
}

/* Calls under way on all its connections, those that have timed out included. */
uint32_t upstream_outstanding(const struct upstream *upstream);

/* The weight of one reply in the average is 1 / UPSTREAM_LATENCY_SCALE. */
#define UPSTREAM_LATENCY_SCALE 16
#define UPSTREAM_LATENCY_MAX_US ((uint32_t)60 * 1000 * 1000)
/* Exponentially weighted moving average of the replies' latency. 0: no reply yet. */
static inline uint32_t upstream_latency_us(const struct upstream *upstream)
{
    return upstream->latency_us_scaled / UPSTREAM_LATENCY_SCALE;
}

/* How a server is spoken to. */
struct upstream_manner {
    struct tls_context *tls;      /* NULL: in the clear */
    struct tls_session **session; /* of the last connection */
    bool binary;
    bool logs_in; /* the first thing that is said is a login */
};

/* Takes over a connecting socket. For connection_open.c and probe.c. 0, or -1 when memory is out; fd is then closed. */
int upstream_open_transport(struct transport *transport, struct loop *loop, int fd, const struct server *server,
                            const struct upstream_manner *manner);

/* For connection.c: a call or a connection has failed, or gone well. */
void upstream_failed(struct upstream *upstream, const struct call_failure *failure);
static inline void upstream_note_latency(struct upstream *upstream, uint64_t latency_us)
{
    uint32_t sample = latency_us < UPSTREAM_LATENCY_MAX_US ? (uint32_t)latency_us : UPSTREAM_LATENCY_MAX_US;
    if (upstream->latency_us_scaled == 0)
        upstream->latency_us_scaled = sample * UPSTREAM_LATENCY_SCALE; /* the first one tells all that is known */
    else
        upstream->latency_us_scaled += sample - upstream->latency_us_scaled / UPSTREAM_LATENCY_SCALE;
}
static inline void upstream_succeeded(struct upstream *upstream, uint64_t latency_us)
{
    upstream->failures = 0;
    upstream_note_latency(upstream, latency_us);
}

#endif
