/*
 * An exchange: one request's life, from the parsed line to the last byte of its reply.
 *
 *      client->first -> exchange -> exchange -> ... -> client->last
 *      (its reply goes out as it comes)  (theirs wait in exchange->reply)
 *
 * Kinds: single (one call, its reply passed on), multiget (several calls, their replies merged in the order of the
 * keys), gather (a call to every server, their replies made into one), upload (a large value passed on as it comes),
 * routed (what takes more than one call for one key), and ready (a reply of Ringside's own that waits its turn). All of
 * them speak as text servers do; what a binary client gets is printed where the bytes leave (binary_reply.c). An exchange
 * never outlives its client: when that leaves, the exchange abandons its calls.
 */
#ifndef RINGSIDE_PROXY_EXCHANGE_H
#define RINGSIDE_PROXY_EXCHANGE_H

#include "base/chain.h"
#include "base/slice.h"
#include "pool/call.h"
#include "proxy/client.h"
#include "proxy/routed.h"
#include "proxy/worker.h"
#include "routing/pool.h"
#include "wire/request.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange_binary;

struct exchange_methods {
    /* The client leaves: abandon the calls, free what belongs to the kind. The exchange itself is freed by the caller. */
    void (*abandon)(struct exchange *exchange);
    /* The exchange has become the first, and is not done. May be NULL. */
    void (*on_first)(struct exchange *exchange);
};

/* What the kinds keep. */
struct exchange_single {
    struct call *call;
    struct block *block;          /* holds request */
    struct slice request;         /* the bytes to send: line, CRLF, and data block if there is one */
    struct slice key;             /* as it stands in request */
    const struct pool *pool;      /* that it was sent to */
    uint32_t watch;               /* plan.watch: with these outcomes the route has not had its last word */
    struct route_choices choices; /* plan.choices */
    uint8_t attempts;
    bool got_value;
    bool in_body; /* part of a unit has been given to the client */
};

struct exchange {
    struct exchange *next;
    struct client *client;
    struct pin *pin;
    const struct exchange_methods *methods;
    struct chain reply; /* until its turn comes */
    size_t reply_bytes; /* ever emitted */
    enum verb verb;
    bool noreply;
    bool quiet;
    bool key_encoded;
    bool repeatable; /* carrying it out twice does no harm */
    bool done;
    bool ends_batch;                /* the last of those that were read at once */
    struct slice instead;           /* static: answered whatever a server says; empty: the server's reply is */
    struct exchange_binary *binary; /* what a binary client asked: its reply is printed so (binary.h); else NULL */
    union {
        struct exchange_single single;
        struct routed *routed; /* a request that takes more than one call (routed.h) */
        struct multiget *multiget;
        struct gather *gather;
        struct upload *upload;
        struct long_get *long_get;
    };
};

/* A new exchange at the end of the client's order; the pin is taken. NULL when memory is out. */
struct exchange *exchange_create(struct client *client, const struct request *request,
                                 const struct exchange_methods *methods);
/* The client leaves. */
void exchange_abandon(struct exchange **exchange);

/* Where the reply's bytes go now: the client's output, if it is the exchange's turn. */
static inline struct chain *exchange_chain(struct exchange *exchange)
{
    return exchange == exchange->client->first ? &exchange->client->out : &exchange->reply;
}

/*
 * A piece of the reply, lying in block. Replies are emitted as a server sends them; to a binary client they are translated on
 * the way.
 */
void exchange_emit(struct exchange *exchange, struct block *block, const char *data, size_t len);
/* The same, copied. */
void exchange_emit_copy(struct exchange *exchange, struct slice bytes);
/* The same, taken over. */
void exchange_emit_chain(struct exchange *exchange, struct chain *chain);
/* The same for bytes that are to leave as they are. */
void exchange_put(struct exchange *exchange, struct block *block, const char *data, size_t len);
void exchange_put_copy(struct exchange *exchange, struct slice bytes);
/* The reply is complete. The exchange may be freed by this call. */
void exchange_done(struct exchange *exchange);

/* Answers with one line of Ringside's own (CRLF included), in the request's turn. For requests without an exchange. */
void exchange_answer(struct client *client, struct slice line);
/* The same for bytes that are to leave as they are; not counted. */
void exchange_answer_bytes(struct client *client, struct slice bytes);
/* The same for an error; counted. */
void exchange_refuse(struct client *client, struct slice line);

/* Whether this reply is kept from the client: noreply, or quiet. */
bool exchange_swallows(const struct exchange *exchange, enum reply_code code);

/* The line that tells of a failure: "SERVER_ERROR pool main: server 10.0.0.1:11211: no answer in time\r\n". */
#define FAILURE_LINE_MAX 512
struct slice failure_line(char buffer[FAILURE_LINE_MAX], const struct plan *plan, const struct call_failure *failure);
/* The same for a plan that sends nothing. */
struct slice plan_failure_line(char buffer[FAILURE_LINE_MAX], const struct plan *plan);

/* What a failed read is answered with where errors count as misses; empty: the pool wants the error. */
struct slice miss_line(const struct pool *pool, enum verb verb);

/* ---- The kinds. Each takes a READY request whose bytes lie in block. ---- */

/* line_and_body: the whole request in the input. */
void single_start(struct client *client, const struct request *request, struct block *block,
                  struct slice line_and_body);

/*
 * A request for one key that takes more than one call: the exchange becomes that. Its pin and flags stand; its methods are
 * replaced.
 */
void exchange_route(struct exchange *exchange, const struct routed_request *request);

/*
 * A set was refused for its size (refused->error, static, is the answer): the key's old value is removed first, as
 * memcached does it, so that nobody reads what was to be replaced.
 */
void single_remove(struct client *client, const struct request *refused);

/* Keys in one exchange; a retrieval of more is a row of them. */
#define MULTIGET_KEYS_MAX 128

/*
 * A retrieval of several keys. part_of: the line that they belong to; NULL if they are all of it (then at most
 * MULTIGET_KEYS_MAX). request->prefix must live as long as block, or as part_of. false when memory is out.
 */
bool multiget_start(struct client *client, const struct request *request, struct block *block,
                    struct long_get *part_of);

/* A retrieval of more keys than that, or whose line comes in parts. NULL when memory is out. */
struct long_get *long_get_begin(const struct request *request);
/* All keys are there: END, or the first error of the parts, is answered behind them. Takes the reference over. */
void long_get_end(struct client *client, struct long_get **long_get);
/* Something was wrong: the line is answered in place of END. The first one counts. */
void long_get_fail(struct long_get *long_get, struct slice line);
/* The same, before any error; and the keys that are still to come are not asked for. */
void long_get_forbid(struct long_get *long_get, struct slice line);
bool long_get_is_forbidden(const struct long_get *long_get);
struct long_get *long_get_ref(struct long_get *long_get);
void long_get_unref(struct long_get **long_get);
/* The request that stands for the whole line, for request_parse_more_keys. */
struct request *long_get_request(struct long_get *long_get);

/* version, stats, flush_all, verbosity. */
void gather_start(struct client *client, const struct request *request);

/* A storage command whose value does not fit a block. The data block follows by upload_data. NULL: refused already, and
 * the data block is to be swallowed. */
struct exchange *upload_start(struct client *client, const struct request *request);
/* len bytes of it, lying in block; left: how many are still to come after these. */
void upload_data(struct exchange *exchange, struct block *block, const char *data, size_t len, uint64_t left);

#endif
