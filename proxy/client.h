/*
 * A client connection: reads requests, keeps its exchanges in order, writes replies.
 *
 *      input -> parse -> exchanges (first ... last, in order of the requests) -> out
 *
 * A client is not read while any reason in `paused` stands (back-pressure). It is closed only between events: others
 * ask with client_close_soon.
 */
#ifndef RINGSIDE_PROXY_CLIENT_H
#define RINGSIDE_PROXY_CLIENT_H

#include "event/input.h"
#include "event/transport.h"
#include "pool/upstream.h"
#include "proxy/gate.h"
#include "proxy/listener.h"
#include "proxy/worker.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

struct binary_asking;
struct exchange;
struct long_get;

enum client_state {
    CLIENT_COMMAND, /* at the start of a command line, or of a binary request */
    CLIENT_SWALLOW, /* in a data block that nobody wants */
    CLIENT_KEYS,    /* in a retrieval line that is handled in parts */
    CLIENT_UPLOAD,  /* in a data block that is passed on as it comes */
};

/* Told by the first byte. */
enum client_protocol { CLIENT_PROTOCOL_UNKNOWN, CLIENT_PROTOCOL_TEXT, CLIENT_PROTOCOL_BINARY };

/* Why a client is not read. */
enum client_pause {
    CLIENT_PAUSE_PIPELINE = 1, /* too many requests under way */
    CLIENT_PAUSE_OUT = 2,      /* too many bytes of replies wait */
    CLIENT_PAUSE_UPSTREAM = 4, /* a server's queue is full */
    CLIENT_PAUSE_ORDER = 8,    /* an upload waits for what was before it, or the rest for an upload */
    CLIENT_PAUSE_LOGIN = 16,   /* its password is being checked */
};

/* Bytes of replies waiting (written or held back): above HIGH the client is not read, below LOW it is again. */
#define CLIENT_OUT_HIGH ((size_t)1 << 20)
#define CLIENT_OUT_LOW ((size_t)1 << 18)
/* Bytes of replies expected for all that is under way; bounds the requests under way while values are large. */
#define CLIENT_EXPECTED_BYTES ((size_t)4 << 20)
/* How long a client that is lingered for has to go. */
#define CLIENT_LINGER_MS 2000
/* What a first reply is expected to be. */
#define CLIENT_EXPECTED_FIRST ((uint32_t)64 << 10)
/*
 * A batch is what was read at once. Its replies leave at once too, when the last of them is there; or when they are more than
 * CLIENT_CORK_BYTES, or when the first of them has waited for CLIENT_CORK_MS (a tick of the clock more at most).
 */
#define CLIENT_CORK_BYTES ((size_t)16 << 10)
#define CLIENT_CORK_MS 1

struct client {
    struct transport transport;
    struct list node;
    struct list corked; /* in worker->corked: replies wait for the rest of their batch */
    struct worker *worker;
    struct listener *listener;
    struct input in;
    struct chain out;
    struct exchange *first, *last;
    uint32_t under_way;      /* exchanges */
    uint32_t expected_bytes; /* of a reply: moving average */
    uint32_t lane;
    enum client_state state;
    enum client_protocol protocol;
    uint8_t paused;            /* set of enum client_pause */
    bool draining;             /* to be ended as soon as no request is in the middle */
    bool ended;                /* no further request: quit, end of file, or a fatal error; close when all is answered */
    bool linger;               /* when it is over: let it read our last words before it is closed */
    bool lingering;            /* that is going on */
    bool closing;              /* to be closed at the turn's end */
    bool shaking;              /* counted in worker->handshakes */
    bool batch_answered;       /* a batch has been answered whole since the last write */
    uint64_t swallow_left;     /* SWALLOW, UPLOAD: bytes of the data block still to come */
    struct exchange *upload;   /* UPLOAD */
    struct long_get *long_get; /* KEYS */
    const struct binary_asking *asking; /* binary protocol: the request that is being taken in; else NULL */
    uint64_t active_us;                 /* the last progress: a byte read or written */
    struct loop_task flush;
    struct loop_task resume;
    struct wheel_timer timer;
    struct upstream_waiter waiter;
    struct call *held; /* not read on until out has drained; NULL: none */
    struct gate gate;
};

/* Takes over an accepted socket. NULL when memory is out (the socket is then closed). */
struct client *client_create(struct worker *worker, struct listener *listener, int fd);
/* Closes it, and abandons what is under way. Not from within its own or a call's callbacks. */
void client_destroy(struct client **client);

/* To be closed at the end of this turn, whatever is under way. */
void client_close_soon(struct client *client);
/* No further request is read; it is closed when all is answered. */
void client_end(struct client *client);

/*
 * The same after a request that cannot be understood, with more of it perhaps on its way: the socket is closed only when
 * the client has had the time to read the answer, which a reset would take from it.
 */
void client_end_lingering(struct client *client);
/* Ringside is to end: the client is ended when what it has sent so far is read and answered. */
void client_drain(struct client *client);
/* Of a worker's uncork_timer: what waits for the rest of its batch has waited long enough. */
void clients_uncork(struct wheel_timer *timer);
/* Exchanges are done: what waited for that may go on. */
void client_answered(struct client *client);

/* There are bytes in out: they are written at the turn's end, or with the rest of their batch. */
static inline void client_dirty(struct client *client)
{
    loop_defer(&client->worker->loop, &client->flush, LOOP_PHASE_CLIENTS);
}

void client_pause(struct client *client, enum client_pause reason);
/* Takes the reason away; goes on at the turn's end if none is left. */
void client_unpause(struct client *client, enum client_pause reason);
/* A reply goes on after this piece: its server is not read while the client does not take what there is. */
void client_hold(struct client *client, struct call *call);
/* Ends that. */
void client_release(struct client *client);
/* The call has failed, and its connection is gone: it is held no longer. */
static inline void client_forget(struct client *client, const struct call *call)
{
    if (client->held == call)
        client->held = NULL;
}
/* Pauses the client if it has as many requests under way as it may. */
void client_heed_window(struct client *client);
/* Pauses the client until the call's connection has drained, if that is congested. */
void client_heed(struct client *client, struct call *call);

#endif
