/*
 * A request that takes more than one call: carries out a run (routing/run.h) with calls to servers. It lives in the
 * worker, not in its client: what is still to be done after the answer (copies, deletes) is done also when the client has
 * gone.
 *
 *      taker (an exchange, or one key of a multi-get)  <--- the answer's bytes --- routed --- legs ---> calls
 */
#ifndef RINGSIDE_PROXY_ROUTED_H
#define RINGSIDE_PROXY_ROUTED_H

#include "proxy/worker.h"
#include "routing/run.h"
#include "wire/request.h"

#include <stdbool.h>

struct client;
struct routed;

/* A piece of the answer. */
struct routed_piece {
    enum reply_code code;
    struct block *block; /* where data lies; NULL: chain holds the bytes */
    const char *data;
    size_t len;
    struct chain *chain; /* to be taken over */
    bool first, last;    /* of the unit */
    struct call *call;   /* that still goes on after this piece; NULL: none */
    bool is_copy;        /* see frame->is_copy */
};

/* Who waits for the answer. owner and tag are the taker's own. */
struct routed_taker {
    void (*on_piece)(void *owner, unsigned tag, const struct routed_piece *piece);
    /* One line of Ringside's own is the whole answer: a failure or a miss. Nothing follows. */
    void (*on_line)(void *owner, unsigned tag, enum outcome_kind kind, struct slice line);
    /* The answer is complete. */
    void (*on_end)(void *owner, unsigned tag);
    /* The server failed in the middle of a value; line says why. Nothing follows. */
    void (*on_cut)(void *owner, unsigned tag, struct slice line);
    bool takes_end; /* END is a piece too */
};

/* What is asked for. */
struct routed_request {
    struct client *client;
    struct pin *pin;
    struct slice line_and_body; /* a READY request as it may go to a server; the body may stand in `body` instead */
    struct block *block;        /* holds it; a reference is taken */
    struct chain *body;         /* data block with CRLF; taken over; NULL: none */
    struct route_choices choices;
    bool cas_offered; /* request.cas_offered */
    /* The first call has been made already: this came of it. */
    bool replays;
    enum outcome_kind kind;
    bool unsent;
    struct slice reply; /* its reply, one line */
};

/*
 * Starts; the taker may be called before this returns. *routed_out (may be NULL) is set before the first such call, and is
 * to be forgotten by the taker at on_line, on_end and on_cut. false when memory is out: nobody will be called.
 */
bool routed_start(const struct routed_request *request, const struct routed_taker *taker, void *owner, unsigned tag,
                  struct routed **routed_out);
/* The taker leaves: it is not called any more. Clears the pointer. */
void routed_leave(struct routed **routed);
/* Ends all of a worker's: it is about to close its upstreams. */
void routed_end_all(struct worker *worker);

/* What a failed call is to a route. */
enum outcome_kind routed_outcome(enum call_failure_reason reason);

/* The worker's slabs for them, at its start. */
void routed_init_slabs(struct worker *worker);

/* Makes a request of a line that READY let through before. */
void routed_parse(struct slice line_and_body, struct request *request_out);

#endif
