/*
 * The node that fills empty servers from full ones.
 *
 *      read      cold --- miss ---> FETCH from warm --- found ---> FILL cold, and right behind it the request again
 *                                                   --- not ---> the miss
 *                after a fill: CHECK warm; if the item has changed or gone meanwhile, UNFILL cold: what was filled in is
 *                deleted, if it is still that
 *      set       deleted in warm, then stored in cold
 *      delete    in warm, then in cold; in cold alone where a migrate node above has told both (see migrate.c)
 *      add, and what makes an item:      FETCH from warm, FILL if found, then the request to cold
 *      other conditions (incr, cas ...): cold; if there is no item: FETCH, FILL, the request again
 *                and what has changed a value in cold is deleted in warm
 *
 * Nothing out of date comes back: a fill is an `add`, so it never replaces what was written; and since every write reaches warm
 * before cold, a fill that was fetched before a write is found out by its CHECK after it. Between fill and check, a few requests'
 * time, a key may be read that was just deleted.
 *
 * Warm may fail: then it is as if it had nothing.
 */
#include "routing/expiry.h"
#include "routing/run.h"

enum { COLD, WARM };
enum { REQUESTS, MISSES, FILLS, UNDONE, WARM_FAILED };

/* frame->step: what is awaited. */
enum {
    ASKING,    /* cold's answer to the request */
    FETCHING,  /* the item from warm */
    REPEATING, /* cold's answer to the request, which is the last word */
    CLEARING,  /* warm's answer to the delete that goes before the write */
};

static void ask_cold(struct frame *frame, uint32_t step)
{
    frame->step = step;
    frame_start(frame, COLD, NULL);
}

static void fetch(struct frame *frame)
{
    struct request_change change = frame->change;
    change.form = REQUEST_FORM_FETCH;
    frame->step = FETCHING;
    frame_start(frame, WARM, &change);
}

/* ---- Reads, and all that need the item ---- */

static bool needs_filling(const struct frame *frame, const struct outcome *outcome)
{
    return outcome->kind == OUTCOME_MISS && (frame->traits.reads || frame->traits.conditional);
}

static void fill(struct frame *frame, const struct fetched *fetched)
{
    const struct route_spec *spec = frame->node->spec;
    struct request_change change = frame->change;
    change.form = REQUEST_FORM_FILL;
    change.flags = fetched->flags;
    change.value_bytes = fetched->value_bytes;
    change.expiry = fetched->expiry;
    int64_t most_s = spec->expiry_ms / 1000;
    if (most_s > 0 && (change.expiry < 0 || change.expiry > most_s))
        change.expiry = most_s;
    frame->word = fetched->cas; /* in warm; second_word: in cold */
    node_count(frame->node, frame->run->worker, FILLS);
    frame_start(frame, COLD, &change);
}

static void on_fetched(struct frame *frame, const struct outcome *outcome)
{
    const struct fetched *fetched =
        outcome->kind == OUTCOME_DONE && outcome->leg != NULL ? frame_fetched(outcome->leg) : NULL;
    if (outcome_is_failure(outcome->kind))
        node_count(frame->node, frame->run->worker, WARM_FAILED);
    if (fetched != NULL) {
        fill(frame, fetched);
        ask_cold(frame, REPEATING);
    } else if (frame->pending > 0) {
        frame_finish(frame, &frame->kept); /* cold's miss */
    } else {
        ask_cold(frame, REPEATING); /* it has not been asked yet */
    }
}

static void on_asked(struct frame *frame, const struct outcome *outcome)
{
    if (!needs_filling(frame, outcome)) {
        frame_finish(frame, outcome);
        return;
    }
    node_count(frame->node, frame->run->worker, MISSES);
    frame->kept = *outcome;
    frame->pending = 1; /* something is kept */
    fetch(frame);
}

/* The filled item is in cold: is it in warm still? */
static void check(struct frame *frame, const struct outcome *filled)
{
    const struct fetched *fetched = filled->leg != NULL ? frame_fetched(filled->leg) : NULL;
    if (fetched == NULL)
        return;
    frame->second_word = fetched->cas;
    struct request_change change = frame->change;
    change.form = REQUEST_FORM_CHECK;
    frame_start(frame, WARM, &change);
}

static void on_checked(struct frame *frame, const struct outcome *outcome)
{
    const struct fetched *now =
        outcome->kind == OUTCOME_DONE && outcome->leg != NULL ? frame_fetched(outcome->leg) : NULL;
    bool same = now != NULL && now->cas == frame->word;
    if (same || outcome_is_failure(outcome->kind))
        return;
    struct request_change change = frame->change;
    change.form = REQUEST_FORM_UNFILL;
    change.cas = frame->second_word;
    node_count(frame->node, frame->run->worker, UNDONE);
    frame_start(frame, COLD, &change);
}

/* ---- Writes ---- */

static void clear_warm(struct frame *frame)
{
    struct request_change change = frame->change;
    if (!frame->traits.removes)
        change.form = REQUEST_FORM_DELETE;
    frame_start(frame, WARM, &change);
}

static void on_cleared(struct frame *frame, const struct outcome *outcome)
{
    if (outcome_is_failure(outcome->kind))
        node_count(frame->node, frame->run->worker, WARM_FAILED);
    frame->kept = *outcome;
    ask_cold(frame, REPEATING);
}

/* A value has been changed where it depends on the old one. */
static bool has_changed_value(const struct frame *frame, const struct outcome *outcome)
{
    return frame->change.form == REQUEST_FORM_SAME && frame->traits.conditional && frame->traits.writes &&
           !frame->traits.reads && frame->verb != VERB_TOUCH && outcome->kind == OUTCOME_DONE;
}

/* Cold has had the last word. */
static void on_repeated(struct frame *frame, const struct outcome *outcome)
{
    bool deleted_in_warm = frame->traits.removes && outcome->kind == OUTCOME_MISS && frame->kept.kind == OUTCOME_DONE;
    frame_finish(frame, deleted_in_warm ? &frame->kept : outcome);
}

/* ---- The methods ---- */

static void warm_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (resolve->traits->writes) {
        resolve_run(resolve);
        return;
    }
    resolve_child(node, COLD, resolve);
    if (resolve->plan.outcome == PLAN_SEND)
        resolve->plan.watch |= 1u << OUTCOME_MISS;
}

/* A migrate node above sees to the warm side itself: it may be the very place where it writes. */
static bool warm_is_seen_to(const struct frame *frame)
{
    const struct route_node *migrate = frame->node->migrate;
    return frame->change.form == REQUEST_FORM_DELETE && migrate != NULL && migrate_tells_both(frame, migrate);
}

static void warm_start(struct frame *frame)
{
    const struct request_traits *traits = &frame->traits;
    if (warm_is_seen_to(frame)) {
        ask_cold(frame, ASKING);
        return;
    }
    if (traits->writes)
        frame_staged(frame);
    if (traits->creates && frame->change.form == REQUEST_FORM_SAME) {
        fetch(frame);
    } else if (traits->writes && !traits->conditional) {
        frame->step = CLEARING;
        clear_warm(frame);
    } else {
        ask_cold(frame, ASKING);
    }
}

static void on_cold(struct frame *frame, const struct outcome *outcome)
{
    bool changed = has_changed_value(frame, outcome);
    if (frame->step == ASKING)
        on_asked(frame, outcome);
    else
        on_repeated(frame, outcome);
    if (changed)
        clear_warm(frame);
}

static void warm_on_child(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    bool own_command = child->change.form == frame->change.form;
    if (child->change.form == REQUEST_FORM_FILL && !own_command) {
        if (outcome->kind == OUTCOME_DONE && !frame->traits.writes)
            check(frame, outcome);
    } else if (child->change.form == REQUEST_FORM_CHECK && !own_command) {
        on_checked(frame, outcome);
    } else if (child->change.form == REQUEST_FORM_UNFILL && !own_command) {
        return;
    } else if (frame->finished) {
        return; /* a delete that nobody waits for */
    } else if (child->rank == WARM && frame->step == FETCHING) {
        on_fetched(frame, outcome);
    } else if (child->rank == WARM) {
        on_cleared(frame, outcome);
    } else if (own_command) {
        on_cold(frame, outcome);
    }
}

static void warm_explain(const struct route_node *node, struct explain *explain)
{
    explain_child(node, COLD, "warm.cold", explain);
    explain_child(node, WARM, "warm.warm (to fill a miss)", explain);
}

const struct node_methods node_methods_warm = {
    .counters = {"requests", "misses", "fills", "undone", "warm_failed"},
    .resolve = warm_resolve,
    .start = warm_start,
    .on_child = warm_on_child,
    .explain = warm_explain,
};
