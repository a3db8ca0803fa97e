/*
 * The node that moves keys from one place to another, one by one: each key at its own moment within `over`, by a hash of it.
 *
 *      before start                        all keys at `from`
 *      share h(key) < progress <= hold     at `to`, the others at `from`
 *      after start + over                  all keys at `to`
 *
 * In between a write goes to the key's home, and the key is deleted at the other side, so that it can come or go at any moment, and
 * the migration can be stopped (`hold`) or turned back (from and to exchanged), and nobody reads what is out of date. Deletes go to
 * both sides. A key that has moved starts with a miss; to have it filled let `to` be a `warm` node, with `from` for its `warm`:
 * being told of a write at `from`, such a node clears its cold side alone, or it would delete what is being written.
 */
#include "routing/run.h"

#include <string.h>

#define SALT 0x6d696772 /* "migr" */

enum { FROM, TO };
enum { REQUESTS, MOVED, STAYED, OTHER_FAILED };

/* Decisions: they go by the time, so they are choices. */
enum { SETTLED_FROM, SETTLED_TO, AT_FROM, AT_TO };

/* The share of keys that have moved, of 2^32. */
static uint64_t progress(const struct route_spec *spec, int64_t now_ms)
{
    const uint64_t whole = UINT64_C(1) << 32;
    int64_t since_ms = now_ms - spec->start_unix_s * 1000;
    if (since_ms <= 0)
        return 0;
    uint64_t share = since_ms >= (int64_t)spec->over_ms ? whole : (uint64_t)since_ms * whole / spec->over_ms;
    uint64_t most = whole / 100 * spec->hold_percent + (spec->hold_percent >= 100 ? whole % 100 : 0);
    return share < most ? share : most;
}

static uint8_t decide(const struct route_node *node, const struct route_worker *worker, struct slice key)
{
    const struct route_spec *spec = node->spec;
    int64_t now_ms = route_unix_ms(worker);
    if (now_ms < spec->start_unix_s * 1000)
        return SETTLED_FROM;
    uint64_t share = progress(spec, now_ms);
    if (share == UINT64_C(1) << 32)
        return SETTLED_TO;
    return route_share_of(key, SALT) < share ? AT_TO : AT_FROM;
}

static size_t home_of(uint8_t decision)
{
    return decision == SETTLED_TO || decision == AT_TO ? TO : FROM;
}

/* The item's value, or that there is one, may be another afterwards. */
static bool must_be_told(const struct request_traits *traits, uint8_t decision)
{
    return traits->writes && (!traits->reads || traits->creates) && (decision == AT_FROM || decision == AT_TO);
}

static void migrate_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (!resolve->peeks && !resolve_has_room(resolve)) {
        resolve_run(resolve);
        return;
    }
    uint8_t decision = decide(node, resolve->worker, resolve->key);
    if (!resolve->peeks)
        resolve_choose(resolve, decision);
    if (must_be_told(resolve->traits, decision)) {
        resolve_run(resolve);
        return;
    }
    if (!resolve->peeks)
        node_count(node, resolve->worker, home_of(decision) == TO ? MOVED : STAYED);
    resolve_child(node, home_of(decision), resolve);
}

static void migrate_start(struct frame *frame)
{
    const struct route_node *node = frame->node;
    uint8_t decision;
    if (!frame_choice(frame, &decision))
        decision = decide(node, frame->run->worker, frame_key(frame));
    size_t home = home_of(decision), other = home == TO ? FROM : TO;
    frame->word = home;
    frame->pending = 1;
    frame_start(frame, home, NULL);
    if (!must_be_told(&frame->traits, decision))
        return;
    node_count(node, frame->run->worker, home == TO ? MOVED : STAYED);
    frame->second_word = true; /* both sides are told */
    struct request_change change = frame->change;
    if (!frame->traits.removes)
        change.form = REQUEST_FORM_DELETE;
    frame->pending = 2;
    frame_start(frame, other, &change);
}

bool migrate_tells_both(const struct frame *frame, const struct route_node *migrate)
{
    const struct frame *above = frame->parent;
    while (above != NULL && above->node != migrate)
        above = above->parent;
    return above != NULL && above->second_word != 0;
}

/* Of a delete: that one side had the item; else the home's word. A failed home is a failure. */
static void keep(struct frame *frame, bool is_home, const struct outcome *outcome)
{
    bool other_deleted = !is_home && frame->traits.removes && outcome->kind == OUTCOME_DONE;
    bool kept_done = frame->step == 1 && frame->kept.kind == OUTCOME_DONE;
    bool kept_failed = frame->step == 1 && outcome_is_failure(frame->kept.kind);
    if ((is_home && !(frame->traits.removes && kept_done && !outcome_is_failure(outcome->kind))) ||
        (other_deleted && !kept_failed)) {
        frame->kept = *outcome;
        frame->step = 1; /* something is kept */
    }
}

static void migrate_on_child(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    bool is_home = child->rank == frame->word;
    if (!is_home && outcome_is_failure(outcome->kind))
        node_count(frame->node, frame->run->worker, OTHER_FAILED);
    keep(frame, is_home, outcome);
    if (--frame->pending == 0)
        frame_finish(frame, &frame->kept);
}

static void migrate_explain(const struct route_node *node, struct explain *explain)
{
    const struct route_worker now = {.now_us = 0};
    switch (decide(node, &now, explain->key)) {
    case SETTLED_FROM:
        explain_child(node, FROM, "migrate.from (not begun)", explain);
        break;
    case SETTLED_TO:
        explain_child(node, TO, "migrate.to (over)", explain);
        break;
    case AT_FROM:
        explain_child(node, FROM, "migrate.from (not moved yet)", explain);
        break;
    default:
        explain_child(node, TO, "migrate.to (moved)", explain);
        break;
    }
}

/* A key goes to the same places through both. */
static bool is_same_place(const struct route_spec *a, const struct route_spec *b)
{
    if (a->kind != b->kind || a->pool != b->pool || a->branch_count != b->branch_count)
        return false;
    for (size_t i = 0; i < a->branch_count; i++) {
        if (strcmp(a->branches[i].name, b->branches[i].name) != 0 ||
            !is_same_place(a->branches[i].to, b->branches[i].to))
            return false;
    }
    return true;
}

/* Tells the warm nodes of one side that their `warm` is the other. Behind a rewrite it holds other keys. */
static void tell_warm_nodes(struct route_node *side, const struct route_node *migrate, const struct route_spec *other)
{
    if (side->spec->kind == ROUTE_REWRITE)
        return;
    if (side->spec->kind == ROUTE_WARM && is_same_place(side->spec->branches[1].to, other))
        side->migrate = migrate;
    for (size_t i = 0; i < side->child_count; i++)
        tell_warm_nodes(side->children[i], migrate, other);
}

static bool migrate_compile(struct route_node *node)
{
    tell_warm_nodes(node->children[FROM], node, node->children[TO]->spec);
    tell_warm_nodes(node->children[TO], node, node->children[FROM]->spec);
    return true;
}

const struct node_methods node_methods_migrate = {
    .counters = {"requests", "moved", "stayed", "other_failed"},
    .compile = migrate_compile,
    .resolve = migrate_resolve,
    .start = migrate_start,
    .on_child = migrate_on_child,
    .explain = migrate_explain,
};
