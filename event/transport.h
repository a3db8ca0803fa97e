/*
 * The transport contract: one end of a byte stream on a loop, whatever lies beneath (plain sockets here, TLS in tls/).
 *
 * Contract, for callers and for those who write a transport:
 * - read and write never block. They return the bytes moved (> 0), TRANSPORT_AGAIN when nothing can be moved now,
 *   TRANSPORT_EOF when the peer has ended its side (read only), or TRANSPORT_ERROR with errno set.
 * - A short write is normal: the rest is the caller's to keep. A read shorter than asked for means that nothing more was
 *   there a moment ago.
 * - on_ready is called when what was asked for by transport_want is possible, or the connection has failed (the next
 *   read or write then says how). It may close the transport and free its object.
 * - A connecting transport becomes writable when it is connected or has failed: transport_connect_result tells which, and
 *   transport_problem, where the transport knows more than an errno value says, why.
 * - Bytes that a transport has read for itself and not yet handed on keep it readable (`buffered`): on_ready is called in the
 *   next turn, and in each one after that, until they are read or no longer asked for.
 * - transport_close is for the owner alone; it may be called at any time, also within on_ready, and twice.
 */
#ifndef RINGSIDE_EVENT_TRANSPORT_H
#define RINGSIDE_EVENT_TRANSPORT_H

#include "base/chain.h"
#include "event/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#define TRANSPORT_AGAIN 0
#define TRANSPORT_EOF (-1)
#define TRANSPORT_ERROR (-2)

/* What one is waiting for, and what is possible: a set. */
enum transport_ready { TRANSPORT_READABLE = 1, TRANSPORT_WRITABLE = 2 };

struct transport;

struct transport_methods {
    const char *name;
    bool minds_borders; /* a write had better end where a request ends: see write_limit in pool/connection_write.c */
    ssize_t (*read)(struct transport *transport, char *buffer, size_t capacity);
    ssize_t (*write)(struct transport *transport, const struct iovec *vectors, int count);
    int (*connect_result)(const struct transport *transport);
    void (*end_writing)(struct transport *transport);          /* tells the peer that no more will come */
    const char *(*problem)(const struct transport *transport); /* NULL: none */
    void (*close)(struct transport *transport);
};

struct transport {
    const struct transport_methods *methods;
    int fd;            /* -1: closed */
    unsigned wanted;   /* by the owner */
    unsigned armed;    /* the events that are added */
    bool opening;      /* the methods see to the events: until it is open, or while its end is on its way */
    bool buffered;     /* there is more to read, though the socket may not be readable */
    size_t unreported; /* bytes that may have left, beyond those that writes have reported */
    void *stream;      /* the methods' own */
    struct transport
        *base; /* the transport that it stands on, which has the socket's events; NULL: it has them itself */
    struct loop *loop;
    struct loop_task nudge;
    struct event readable;
    struct event writable;
    void (*on_ready)(struct transport *transport, unsigned ready);
};

extern const struct transport_methods transport_plain;

/* A transport without a connection. */
void transport_init(struct transport *transport, void (*on_ready)(struct transport *transport, unsigned ready));
/* Takes over a connected, or connecting, non-blocking socket. */
void transport_open(struct transport *transport, struct loop *loop, const struct transport_methods *methods, int fd);
/*
 * The same on top of another one, whose on_ready is to call transport_base_is_ready. The base is the methods' own: they close it.
 * `wanted` and `buffered` of this one are heeded; `opening` is the base's affair.
 */
void transport_open_on(struct transport *transport, const struct transport_methods *methods, struct transport *base);
/* The base is ready: so is this one. */
void transport_base_is_ready(struct transport *transport, unsigned ready);
void transport_close(struct transport *transport);

static inline bool transport_is_open(const struct transport *transport)
{
    return transport->fd >= 0;
}

/* Asks for on_ready calls: a set of enum transport_ready. 0, or -1 when memory is out. Costs nothing if unchanged. */
int transport_want(struct transport *transport, unsigned wanted);

static inline ssize_t transport_read(struct transport *transport, char *buffer, size_t capacity)
{
    return transport->methods->read(transport, buffer, capacity);
}

/*
 * Writes as much of the chain as one call takes, at most max bytes, and drops that from the chain. Bytes written (> 0), TRANSPORT_AGAIN
 * or TRANSPORT_ERROR.
 */
ssize_t transport_write_chain(struct transport *transport, struct chain *chain, struct memory *memory, size_t max);

/* Adds and removes events. 0, or -1 when memory is out. For those who write a transport, while it is opening. */
int transport_arm(struct transport *transport, unsigned events);
/* If there is more to read, though the socket may not tell: on_ready is called in the next turn. For the same. */
void transport_nudge(struct transport *transport);

/* Starts a connection. A non-blocking socket, or -1 with errno. TCP_NODELAY is set. */
int transport_connect_socket(const struct sockaddr *address, socklen_t address_len);
/* 0: connected; else the errno that connecting ended with. */
static inline int transport_connect_result(const struct transport *transport)
{
    return transport->methods->connect_result(transport);
}
/* The same for the socket beneath. */
int transport_socket_error(const struct transport *transport);

/* No more will be written: the peer is told so. */
static inline void transport_end_writing(struct transport *transport)
{
    transport->methods->end_writing(transport);
}

/*
 * A sentence's end on what went wrong, beyond errno; of one that is opening, on what it still waits for. Valid as long as it is
 * open. NULL: nothing more is known, or it is closed.
 */
static inline const char *transport_problem(const struct transport *transport)
{
    return transport_is_open(transport) ? transport->methods->problem(transport) : NULL;
}

#endif
