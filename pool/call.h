/*
 * A call: one request to one server with one completion.
 *
 *      upstream_call -> (append the request to call_out) -> upstream_send -> ... on_reply* (the last one final)
 *                                                                        \-> on_failed
 *
 * Exactly one of a final on_reply and on_failed ends a call, unless its owner abandons it before. The call itself keeps
 * its place in the connection's order until its reply has come, whatever has become of its owner: so a late reply is
 * dropped in its place and never given to another request.
 */
#ifndef RINGSIDE_POOL_CALL_H
#define RINGSIDE_POOL_CALL_H

#include "base/block.h"
#include "wire/reply.h"
#include "wire/verb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct connection;

enum call_failure_reason {
    CALL_FAILURE_REFUSED,         /* no connection: refused, unreachable, or the name is not known */
    CALL_FAILURE_RESET,           /* the server closed the connection */
    CALL_FAILURE_TIMEOUT,         /* no answer in time */
    CALL_FAILURE_CONNECT_TIMEOUT, /* no connection in time */
    CALL_FAILURE_PROTOCOL,        /* the server answered what it must not */
    CALL_FAILURE_DOWN,            /* the server is ejected */
    CALL_FAILURE_LOCAL,           /* no memory or descriptor here */
    CALL_FAILURE_REASONS
};

struct call_failure {
    enum call_failure_reason reason;
    const char *text; /* for people; static */
    bool unsent;      /* no byte of the request has left: it was not carried out */
};

/*
 * A piece of a reply: bytes as the server sent them, lying in block (take a reference to keep them).
 * Small units come whole (first and last); units larger than a block come in pieces as they arrive.
 */
struct call_reply {
    const struct reply_unit *unit; /* of which these bytes are a part */
    struct block *block;
    const char *data;
    size_t len;
    bool first; /* the bytes begin with the unit's line */
    bool last;  /* the bytes end the unit */
    bool final; /* the reply ends here: the call is over */
    bool whole; /* the bytes are a VALUE unit and its END, together (only with call->whole) */
};

struct call_methods {
    /* false: this is no reply to that request. The connection is given up, and on_failed follows. */
    bool (*on_reply)(struct call *call, const struct call_reply *reply);
    void (*on_failed)(struct call *call, const struct call_failure *failure);
};

struct call {
    struct call *next;                  /* in its connection's order */
    const struct call_methods *methods; /* NULL: abandoned; the reply is dropped */
    void *owner;
    struct connection *connection;
    uint64_t begin; /* position of its first byte in the connection's output */
    uint64_t start_us;
    uint64_t deadline_us; /* UINT64_MAX: none yet (an upload under way) */
    uint32_t keys;        /* asked for */
    uint32_t keys_found;
    uint32_t group; /* calls of one group wait for the same reader; see upstream_call's lane */
    enum verb verb;
    bool whole; /* one key is asked for: VALUE and END are to be delivered together if they are small */
    bool timed_out;
};

#endif
