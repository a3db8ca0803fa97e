/*
 * The node that keeps copies.
 *
 *      read             one child, chosen by `read`; the next ones in order when it fails. A miss is an answer.
 *      plain write      (set, delete) all children at once; `write` says for whom the answer waits
 *      conditional      (add, cas, incr, touch, ...) one child, the primary, decides; when it has done it, the others follow:
 *                       add replace cas ms -> the value is stored; append incr touch ... -> the same command; what names a
 *                       CAS number and is neither -> the key is deleted, so that no copy is out of date
 *
 * CAS numbers belong to one server: requests that ask for or name one go to the primary, to[0], and nowhere else when it fails.
 * Other conditional writes are decided by the next child if the primary certainly did nothing.
 *
 *      write: all       every child has answered; one failure is a failure
 *             majority  more than half have answered without failing, or can no longer
 *             first     the first answer that is no failure
 *             async     the primary's answer
 */
#include "routing/run.h"

#include <stdio.h>

enum { REQUESTS, READ_FAILURES, WRITE_FAILURES, FOLLOWED };

/* frame->step */
enum { READING, WRITING, DECIDING, FOLLOWING };

/* One read in so many goes to any child, so that the averages of those that are not chosen stay true. */
#define EXPLORE 32

/* ---- Reads ---- */

static uint32_t load_of(const struct upstream *upstream)
{
    return upstream != NULL ? upstream_outstanding(upstream) : UINT32_MAX;
}

struct picking {
    const struct route_node *node;
    struct route_worker *worker;
    const struct request_traits *traits;
    enum verb verb;
    struct slice key;
};

static struct upstream *upstream_of(const struct picking *picking, size_t i)
{
    return child_upstream(picking->worker, picking->node, i, picking->traits, picking->verb, picking->key);
}

static size_t pick_any(const struct picking *picking)
{
    return (size_t)(route_random(picking->worker) >> 32) % picking->node->child_count;
}

/* Power of two choices: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001. */
static size_t pick_least_connections(const struct picking *picking)
{
    size_t a = pick_any(picking), b = pick_any(picking);
    if (a == b)
        b = (a + 1) % picking->node->child_count;
    return load_of(upstream_of(picking, b)) < load_of(upstream_of(picking, a)) ? b : a;
}

static size_t pick_fastest(const struct picking *picking)
{
    if (route_random(picking->worker) % EXPLORE == 0)
        return pick_any(picking);
    size_t best = 0;
    uint32_t best_us = UINT32_MAX;
    for (size_t i = 0; i < picking->node->child_count; i++) {
        const struct upstream *upstream = upstream_of(picking, i);
        uint32_t latency_us = upstream != NULL ? upstream_latency_us(upstream) : UINT32_MAX;
        if (latency_us < best_us) {
            best_us = latency_us;
            best = i;
        }
    }
    return best;
}

static size_t pick(const struct picking *picking)
{
    if (picking->traits->needs_cas || picking->worker->dry)
        return 0;
    switch (picking->node->spec->read) {
    case ROUTE_READ_ROUND_ROBIN:
        return (size_t)(node_state(picking->node, picking->worker)->words[0]++ % picking->node->child_count);
    case ROUTE_READ_LEAST_CONNECTIONS:
        return pick_least_connections(picking);
    case ROUTE_READ_FASTEST:
        return pick_fastest(picking);
    default:
        return 0;
    }
}

static void replicate_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (resolve->traits->writes || !resolve_has_room(resolve)) {
        resolve_run(resolve);
        return;
    }
    size_t i = 0;
    if (!resolve->peeks) {
        const struct picking picking = {node, resolve->worker, resolve->traits, resolve->verb, resolve->key};
        i = pick(&picking);
        resolve_choose(resolve, (uint8_t)i);
    }
    resolve_child(node, i, resolve);
    resolve->plan.is_copy |= i > 0;
    if (resolve->traits->needs_cas)
        return;
    if (resolve->plan.outcome != PLAN_SEND)
        resolve_run(resolve);
    resolve->plan.watch |= 1u << OUTCOME_ERROR | 1u << OUTCOME_TIMEOUT | 1u << OUTCOME_DOWN;
}

static void start_read(struct frame *frame)
{
    uint8_t choice;
    if (!frame_choice(frame, &choice)) {
        const struct picking picking = {frame->node, frame->run->worker, &frame->traits, frame->verb, frame_key(frame)};
        choice = (uint8_t)pick(&picking);
    }
    frame->step = READING;
    frame->word = choice;
    frame->pending = (uint32_t)frame->node->child_count - 1;
    frame_start(frame, choice, NULL);
}

static void on_read(struct frame *frame, const struct outcome *outcome)
{
    if (!outcome_is_failure(outcome->kind)) {
        frame_finish(frame, outcome);
        return;
    }
    node_count(frame->node, frame->run->worker, READ_FAILURES);
    if (frame->pending == 0 || frame->traits.needs_cas) {
        frame_finish(frame, outcome);
        return;
    }
    frame->pending--;
    frame->word = (frame->word + 1) % frame->node->child_count;
    frame_start(frame, (size_t)frame->word, NULL);
}

/* ---- What several have answered ---- */

/* Which of two answers without failure tells more: for a delete that one had the item, else what went against expectation. */
static bool tells_more(const struct frame *frame, enum outcome_kind a, enum outcome_kind b)
{
    return frame->traits.removes ? a < b : a > b;
}

/*
 * The answer as it stands: a failure if there is one, for a majority one that is none. Of equal ones that of the first
 * child: its CAS number is the one that counts.
 */
static void keep(struct frame *frame, const struct outcome *outcome, uint32_t rank, bool first)
{
    bool failed = outcome_is_failure(outcome->kind), kept_failed = outcome_is_failure(frame->kept.kind);
    bool wanted = frame->node->spec->write == ROUTE_WRITE_MAJORITY ? !failed : failed;
    bool better = failed == kept_failed ? !failed && tells_more(frame, outcome->kind, frame->kept.kind) : wanted;
    bool equal = !failed && rank == 0 && outcome->kind == frame->kept.kind;
    if (first || better || equal)
        frame->kept = *outcome;
}

/* frame->word counts: answers without failure, and all answers. */
#define OK_ONE (UINT64_C(1) << 32)

static void collect(struct frame *frame, const struct outcome *outcome, uint32_t rank)
{
    size_t count = frame->node->child_count;
    bool failed = outcome_is_failure(outcome->kind);
    enum route_write policy = frame->node->spec->write;
    keep(frame, outcome, rank, (uint32_t)frame->word == 0);
    frame->word += 1 + (failed ? 0 : OK_ONE);
    size_t answers = (uint32_t)frame->word, oks = (size_t)(frame->word >> 32);
    bool majority = 2 * oks > count, no_majority = 2 * (answers - oks) >= count;
    if (policy == ROUTE_WRITE_MAJORITY && majority)
        frame_finish(frame, &frame->kept);
    else if (policy == ROUTE_WRITE_MAJORITY && no_majority)
        frame_finish(frame, outcome);
    else if (policy == ROUTE_WRITE_FIRST && !failed)
        frame_finish(frame, outcome);
    else if (answers == count)
        frame_finish(frame, &frame->kept);
}

/* ---- Plain writes ---- */

static void start_plain_write(struct frame *frame)
{
    frame->step = WRITING;
    for (size_t i = 0; i < frame->node->child_count; i++)
        frame_start(frame, i, NULL);
}

static void on_written(struct frame *frame, const struct frame *child, const struct outcome *outcome)
{
    if (outcome_is_failure(outcome->kind))
        node_count(frame->node, frame->run->worker, WRITE_FAILURES);
    if (frame->finished)
        return;
    if (frame->node->spec->write != ROUTE_WRITE_ASYNC)
        collect(frame, outcome, child->rank);
    else if (child->rank == 0)
        frame_finish(frame, outcome);
}

/* ---- Conditional writes ---- */

/* What makes the others equal to the one that decided. */
static enum request_form follow_form(const struct frame *frame)
{
    const struct request_traits *traits = &frame->traits;
    switch (frame->verb) {
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_CAS:
        return REQUEST_FORM_STORE;
    case VERB_MS:
        if (!traits->needs_item)
            return REQUEST_FORM_STORE;
        return traits->needs_cas ? REQUEST_FORM_DELETE : REQUEST_FORM_SAME;
    case VERB_GAT:
    case VERB_GATS:
    case VERB_TOUCH:
        return REQUEST_FORM_SAME;
    default:
        return traits->needs_cas ? REQUEST_FORM_DELETE : REQUEST_FORM_SAME;
    }
}

static void start_deciding(struct frame *frame)
{
    frame_staged(frame);
    frame->step = DECIDING;
    frame->word = 0; /* who decides */
    frame_start(frame, 0, NULL);
}

static void follow(struct frame *frame, const struct outcome *outcome)
{
    const struct route_node *node = frame->node;
    size_t decided = (size_t)frame->word;
    struct request_change change = frame->change;
    if (change.form == REQUEST_FORM_SAME)
        change.form = follow_form(frame);
    else if (change.form == REQUEST_FORM_UNFILL)
        change.form = REQUEST_FORM_DELETE; /* their numbers are others */
    frame->step = FOLLOWING;
    frame->word = 0;
    node_count(node, frame->run->worker, FOLLOWED);
    if (node->spec->write == ROUTE_WRITE_ASYNC)
        frame_finish(frame, outcome);
    else
        collect(frame, outcome, 0);
    for (size_t i = 0; i < node->child_count; i++) {
        if (i != decided)
            frame_start(frame, i, &change);
    }
}

static void on_decided(struct frame *frame, const struct outcome *outcome)
{
    bool may_pass = outcome_is_failure(outcome->kind) && outcome->unsent && !frame->traits.needs_cas;
    if (outcome->kind == OUTCOME_DONE) {
        follow(frame, outcome);
    } else if (may_pass && frame->word + 1 < frame->node->child_count) {
        node_count(frame->node, frame->run->worker, WRITE_FAILURES);
        frame->word++;
        frame_start(frame, (size_t)frame->word, NULL);
    } else {
        frame_finish(frame, outcome);
    }
}

/* A follower's miss says nothing: the answer is that of the one who decided. */
static void on_followed(struct frame *frame, const struct outcome *outcome)
{
    bool failed = outcome_is_failure(outcome->kind);
    if (failed)
        node_count(frame->node, frame->run->worker, WRITE_FAILURES);
    if (frame->finished)
        return;
    if (failed)
        collect(frame, outcome, 1);
    else
        collect(frame, &frame->kept, 1);
}

/* ---- The methods ---- */

static void replicate_start(struct frame *frame)
{
    if (!frame->traits.writes)
        start_read(frame);
    else if (frame->traits.conditional)
        start_deciding(frame);
    else
        start_plain_write(frame);
}

static void replicate_on_child(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    switch (frame->step) {
    case READING:
        on_read(frame, outcome);
        break;
    case WRITING:
        on_written(frame, child, outcome);
        break;
    case DECIDING:
        on_decided(frame, outcome);
        break;
    default:
        on_followed(frame, outcome);
        break;
    }
}

static void replicate_explain(const struct route_node *node, struct explain *explain)
{
    for (size_t i = 0; i < node->child_count; i++) {
        char label[64];
        snprintf(label, sizeof label, "replicate.to[%zu]", i);
        explain_child(node, i, label, explain);
    }
}

const struct node_methods node_methods_replicate = {
    .counters = {"requests", "read_failures", "write_failures", "followed"},
    .resolve = replicate_resolve,
    .start = replicate_start,
    .on_child = replicate_on_child,
    .explain = replicate_explain,
};
