/*
 * One pipelined connection to a server: calls leave in the order of their sending, and their replies come in that
 * order. Used by upstream.c alone.
 *
 *      closed -> resolving -> connecting -> open -> closed
 *         \_________________________/
 *
 *      first call ...... first waiting ...... last        out: bytes not yet written
 *      (timed out or abandoned, reply to be dropped)
 */
#ifndef RINGSIDE_POOL_CONNECTION_H
#define RINGSIDE_POOL_CONNECTION_H

#include "event/input.h"
#include "event/transport.h"
#include "pool/call.h"
#include "pool/upstream.h"

enum connection_state { CONNECTION_CLOSED, CONNECTION_RESOLVING, CONNECTION_CONNECTING, CONNECTION_OPEN };

struct connection {
    struct list node; /* exclusive ones: in upstream->uploads */
    struct transport transport;
    struct upstream *upstream;
    enum connection_state state;
    bool exclusive;
    bool gated;     /* nothing but the greeting is sent before the server's version is known */
    bool held;      /* not read: see connection_hold */
    bool retiring;  /* to be closed as soon as no call is under way */
    bool binary;    /* the protocol that it was greeted for, and is opened with */
    bool logs_in;   /* a login begins the greeting */
    bool has_nagle; /* its socket holds small segments back: see set_nagle in connection_write.c */
    bool is_slow;   /* too slow for that, when it was looked last */
    struct chain out;
    size_t greeting_bytes;  /* what goes before all requests */
    uint64_t written_bytes; /* ever written, on this socket */
    uint64_t read_bytes;    /* ever read, on this socket */
    uint64_t extended_at;   /* read_bytes when a deadline was last put off */
    struct call *first, *last;
    struct call *first_waiting; /* the first that has not timed out */
    struct call *
        first_unsent; /* the first of which nothing is encrypted; behind it too. See record_limit in connection_write.c */
    uint32_t call_count;
    uint32_t looked; /* context->looks at that time */
    struct input in;
    struct reply_unit unit; /* the one being streamed, while body_left > 0 */
    uint64_t body_left;     /* bytes of its data block, CRLF included, still to come */
    char body_tail[2];      /* the last two bytes of it so far */
    uint64_t progress_us;   /* when bytes last came, or calls began to wait */
    uint64_t connect_deadline_us;
    uint32_t addresses_left; /* further addresses of the name to try */
    struct wheel_timer timer;
    struct loop_task flush;
    struct loop_task fail; /* a failure that is to be told at the turn's end */
    struct call_failure failure;
    char problem[160]; /* what a failure's text may stand in */
    struct list waiters;
    struct resolve_job *resolving;
};

/* NULL when memory is out. Starts closed. */
struct connection *connection_create(struct upstream *upstream, bool exclusive);
/* Fails all calls. */
void connection_destroy(struct connection **connection);

/* A new call for this connection, not in its order yet. */
struct call *connection_call(struct connection *connection, enum verb verb, const struct call_methods *methods,
                             void *owner);
/* Puts the call, whose request was just appended to out, in order; connects if need be. */
void connection_send(struct connection *connection, struct call *call);
/* More bytes were appended to out. */
void connection_sent_more(struct connection *connection);
/*
 * Stops reading, if all calls on the connection are of the call's group: nobody else is held up, and time stands still
 * for them. It is read again when connection_release is called, or another group's call comes. false: not held.
 */
bool connection_hold(struct connection *connection, const struct call *call);
void connection_release(struct connection *connection);
/* Sets the call's deadline to now + timeout. */
void connection_start_clock(struct connection *connection, struct call *call);
/* Closes the socket and fails every call. The connection can be used again. */
void connection_fail(struct connection *connection, enum call_failure_reason reason, const char *text);
/* The same at the turn's end, before anything more is written: for callers in the middle of their work. */
void connection_fail_later(struct connection *connection, enum call_failure_reason reason, const char *text);
/* Closes it when it has nothing under way. */
void connection_retire(struct connection *connection);

static inline bool connection_is_idle(const struct connection *connection)
{
    return connection->call_count == 0;
}

#endif
