/*
 * What a kind of node is made of: a constant table of methods in a file of its own (prefix.c, failover.c, ...), behind
 * this one interface. For routing/, and for printing counters.
 *
 * resolve   The fast way: one call, chosen at once. PLAN_SEND with plan->watch, if any outcome but those in `watch` is the
 *           answer as it is; PLAN_RUN where that will not do. It may hand on to a child's resolve. What it decides by
 *           anything but request, key and configuration (chance, load, time) it notes with resolve_choose, so that a run
 *           decides the same.
 * start     The full way: start children (frame_start), or finish (frame_finish). A frame finishes once; children started
 *           may go on after that, and their outcomes are still delivered.
 * on_child  A child has finished. Runs after `start` has returned, never within it.
 *
 * Every path through start must resolve the same first leg as resolve did with the same choices.
 */
#ifndef RINGSIDE_ROUTING_NODE_H
#define RINGSIDE_ROUTING_NODE_H

#include "routing/route.h"
#include "wire/change.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;
struct outcome;

struct route_node {
    const struct node_methods *methods;
    const struct route_spec *spec;
    const struct pool *pool; /* POOL */
    uint32_t id;
    char *path;                   /* from the root, its own kind or pool last: `failover.to[1].prefix[a:].main` */
    struct route_node **children; /* in the spec's order */
    size_t child_count;
    struct route_counters *counters;
    void *compiled; /* made by methods->compile, freed with free() */
    /* WARM: the migrate node above whose other side is the same place as this one's `warm`; NULL: there is none. */
    const struct route_node *migrate;
};

/* What resolve works on. */
struct resolve {
    struct route_worker *worker;
    const struct request_traits *traits;
    enum verb verb;
    struct slice key;
    struct plan plan;                                 /* the result: watch and choices grow on the way down */
    const struct route_node *passed[ROUTE_DEPTH_MAX]; /* to be counted */
    size_t passed_count;
    bool peeks; /* only to see where it would go: nothing is decided, nothing noted */
};

struct explain {
    struct slice key;   /* as the node sees it; a node that changes it puts it back */
    struct slice shown; /* the key as it was asked for */
    struct text path;   /* down to here */
    struct text *text;  /* the result */
};

struct node_methods {
    const char *counters[ROUTE_COUNTERS]; /* names; NULL ends them. The first is "requests", counted by the engine */
    /* Optional: makes node->compiled of the spec. false: memory is out. */
    bool (*compile)(struct route_node *node);
    void (*resolve)(const struct route_node *node, struct resolve *resolve);
    void (*start)(struct frame *frame);
    void (*on_child)(struct frame *frame, struct frame *child, const struct outcome *outcome);
    /* explain_child for each child that the key may reach, with a word on when. */
    void (*explain)(const struct route_node *node, struct explain *explain);
};

extern const struct node_methods node_methods_pool, node_methods_prefix, node_methods_command, node_methods_failover,
    node_methods_replicate, node_methods_warm, node_methods_migrate, node_methods_shadow, node_methods_limit,
    node_methods_rewrite, node_methods_ttl, node_methods_error, node_methods_miss;

/* Real time, in milliseconds since 1970. */
int64_t route_unix_ms(const struct route_worker *worker);
/*
 * The upstream that a request would go to first through the i-th child, for comparing loads. NULL: it is not known, or
 * there is none (more than one call, every server down).
 */
struct upstream *child_upstream(struct route_worker *worker, const struct route_node *node, size_t i,
                                const struct request_traits *traits, enum verb verb, struct slice key);

/* ---- For resolve ---- */

/* Hands on to a child. */
void resolve_child(const struct route_node *node, size_t i, struct resolve *resolve);
/* This is more than one call. */
static inline void resolve_run(struct resolve *resolve)
{
    resolve->plan.outcome = PLAN_RUN;
}
static inline bool resolve_has_room(const struct resolve *resolve)
{
    return resolve->plan.choices.count < ROUTE_CHOICES_MAX;
}
/* Notes a decision, a small number (< 256). false: no room: resolve_run is the only way, and nothing is noted. */
static inline bool resolve_choose(struct resolve *resolve, uint8_t choice)
{
    struct route_choices *choices = &resolve->plan.choices;
    if (choices->count == ROUTE_CHOICES_MAX)
        return false;
    choices->at[choices->count++] = choice;
    return true;
}

/* ---- For start and on_child ---- */

/* The decision that resolve noted at this node, which is hereby taken off; false: it noted none: decide now. */
bool frame_choice(struct frame *frame, uint8_t *choice_out);
/*
 * Starts a child. change NULL: with the request as this frame got it. detached children are as others: it is the node that
 * does not wait. frame->pending is not touched.
 */
void frame_start(struct frame *frame, size_t i, const struct request_change *change);
/* This is the outcome of the frame. */
void frame_finish(struct frame *frame, const struct outcome *outcome);
/* The same, with a line of Ringside's own, static or made by frame_printf. */
void frame_finish_line(struct frame *frame, enum outcome_kind kind, struct slice line);
/* A line that lives as long as the run: at most 511 bytes, CRLF is added. Empty when memory is out. */
struct slice frame_printf(struct frame *frame, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* len bytes (at most 512) that live as long as the run. NULL when memory is out. */
char *frame_text(struct frame *frame, size_t len);
/* The key as this frame sees it: decoded. */
struct slice frame_key(const struct frame *frame);
/* What a FETCH, CHECK or FILL leg that ended as DONE told. NULL: nothing. */
const struct fetched *frame_fetched(const struct frame *leg);

/* Of a frame below a migrate node: that node tells both of its sides of this request. */
bool migrate_tells_both(const struct frame *frame, const struct route_node *migrate);

/* Adds one to the i-th of the node's counters. */
static inline void node_count(const struct route_node *node, const struct route_worker *worker, unsigned i)
{
    counter_add(&node->counters->of_worker[worker->index][i], 1);
}
static inline struct route_state *node_state(const struct route_node *node, const struct route_worker *worker)
{
    return &worker->states[node->id];
}

/* ---- For explain ---- */

/* Explains the child as `label` ("to[1], when the one before fails"). */
void explain_child(const struct route_node *node, size_t i, const char *label, struct explain *explain);
/* The path ends here, without a pool: "KEY: route PATH -> what". */
void explain_end(struct explain *explain, const char *what);

#endif
