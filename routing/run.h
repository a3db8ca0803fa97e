/*
 * A run: one request's way through a route's tree, where it takes more than one call. Data and decisions only: the owner
 * sends what it is told to send, and tells what came of it. So a run is tested without a socket.
 *
 *      run_start -> methods.send(leg), send(leg) ...
 *      run_leg_over(leg, outcome) -> methods.send(leg) | methods.answer(outcome) | nothing yet
 *      ... until run_is_over: answered, and no leg under way
 *
 * A frame is a node at work for one request. Frames of pools are legs: calls. What comes of a frame goes to its parent's
 * node, up to the root, whose outcome is the answer. A run may have legs under way after it has answered (copies, deletes
 * that nobody waits for): its owner keeps it until run_is_over.
 *
 *      failover                   frame
 *       |- rewrite -- pool        frame - leg   failed
 *       `- pool                   leg           answers
 *
 * Decisions taken when the request was planned (plan.choices) are not taken again: a run whose first leg was called before
 * the run was needed starts with run_replay, and the first leg that it would send gets that call's outcome.
 */
#ifndef RINGSIDE_ROUTING_RUN_H
#define RINGSIDE_ROUTING_RUN_H

#include "routing/node.h"
#include "wire/change.h"

struct frame;
struct run;

struct outcome {
    enum outcome_kind kind;
    bool unsent;       /* no byte of the request had left: it was not carried out */
    struct frame *leg; /* whose reply it is, or, where there is a line: whose failure was the last */
    struct slice line; /* of Ringside's own, static or in a run's text: answers in place of the leg. Without both: MISS,
                          in the words of the command, which the owner knows */
};

struct run_methods {
    /* To be called for a leg whose plan.outcome is PLAN_SEND: request_change tells the request. */
    void (*send)(struct run *run, struct frame *leg);
    /* Once. With outcome->leg: all of its reply, what is still to come of it included. */
    void (*answer)(struct run *run, const struct outcome *outcome);
};

struct frame {
    struct frame *next; /* of the run, for freeing */
    struct run *run;
    const struct route_node *node;
    struct frame *parent;         /* NULL: the root */
    struct request_change change; /* the request as this node gets it */
    struct request_traits traits;
    enum verb verb;
    uint32_t rank;        /* which child of its parent it is */
    uint32_t pending;     /* for the node's own use: children under way */
    uint32_t step;        /* for the node's own use, 0 at first */
    uint64_t word;        /* for the node's own use, 0 at first */
    uint64_t second_word; /* the same */
    struct outcome kept;  /* for the node's own use */
    bool finished;        /* it has given its outcome */
    bool is_leg;
    bool under_way;         /* leg: sent, and not over */
    bool is_copy;           /* below a replica that is not the first: its CAS numbers name nothing */
    struct plan plan;       /* leg */
    void *call;             /* leg: the owner's */
    struct fetched fetched; /* leg of a FETCH, CHECK or FILL that is DONE: filled in by the owner before it tells so */
    bool has_fetched;
    struct outcome result; /* waits to be delivered to the parent */
    struct frame *next_result;
};

/* Bytes that live as long as the run. */
#define RUN_TEXT_MAX 512
struct run_text {
    struct run_text *next;
    char bytes[RUN_TEXT_MAX];
};

struct run {
    const struct run_methods *methods;
    void *owner;
    struct route_worker *worker;
    const struct request *request; /* the owner's; lives as long as the run */
    struct slice key;              /* decoded; the same */
    struct frame *frames;
    struct frame *results_first, *results_last; /* to be delivered */
    struct run_text *texts;
    struct route_choices choices; /* taken already */
    uint8_t choices_used;
    bool replays; /* the first leg is not sent: it has this outcome */
    bool answered;
    bool delivering;
    bool staged; /* it will write again after its first calls: what its client sends next has to wait for the answer */
    bool dead;   /* memory ran out: see run.c */
    struct outcome replayed;
    struct frame *fetched; /* the last FETCH that brought an item: what FILL sends */
    uint32_t legs_under_way;
};

/* Begins at the root. May call methods, and may be over at once. choices may be NULL. */
void run_start(struct run *run, const struct run_methods *methods, void *owner, struct route_worker *worker,
               const struct request *request, struct slice key, const struct route_choices *choices);
/* The same, when the first leg has been called before: outcome->leg is filled in, outcome->line is its reply. */
void run_replay(struct run *run, const struct run_methods *methods, void *owner, struct route_worker *worker,
                const struct request *request, struct slice key, const struct route_choices *choices,
                const struct outcome *outcome);
/* What came of a leg: of a fetch when all of it is there, of others when the reply's first unit is. */
void run_leg_over(struct run *run, struct frame *leg, enum outcome_kind kind, bool unsent);

/* For nodes whose child's outcome is their own. */
static inline void frame_pass(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    (void)child;
    frame_finish(frame, outcome);
}

/* For nodes: see run->staged. */
static inline void frame_staged(struct frame *frame)
{
    frame->run->staged = true;
}

static inline bool run_is_over(const struct run *run)
{
    return run->answered && run->legs_under_way == 0;
}
/* For the leaves: a leg whose plan stands. */
void run_send_leg(struct frame *leg);

/* Gives all frames and texts back. No leg's outcome may be told afterwards. */
void run_fini(struct run *run);

#endif
