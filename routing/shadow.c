/*
 * The node that sends a share of the keys to a second place as well: always the same keys. The copy's replies are dropped; it can
 * be slow or gone without anybody noticing.
 */
#include "routing/run.h"

#define SALT 0x73686164 /* "shad" */

enum { TO, COPY };

static bool is_sampled(const struct route_node *node, struct slice key)
{
    return (uint64_t)route_share_of(key, SALT) * 100 < (uint64_t)node->spec->sample_percent << 32;
}

static void shadow_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (is_sampled(node, resolve->key))
        resolve_run(resolve);
    else
        resolve_child(node, TO, resolve);
}

static void shadow_start(struct frame *frame)
{
    frame_start(frame, TO, NULL);
    if (!is_sampled(frame->node, frame_key(frame)))
        return;
    node_count(frame->node, frame->run->worker, 1);
    frame_start(frame, COPY, NULL);
}

static void shadow_on_child(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    if (child->rank == TO)
        frame_finish(frame, outcome);
    else if (outcome_is_failure(outcome->kind))
        node_count(frame->node, frame->run->worker, 2);
}

static void shadow_explain(const struct route_node *node, struct explain *explain)
{
    explain_child(node, TO, "shadow.to", explain);
    if (is_sampled(node, explain->key))
        explain_child(node, COPY, "shadow.copy", explain);
}

const struct node_methods node_methods_shadow = {
    .counters = {"requests", "copies", "copies_failed"},
    .resolve = shadow_resolve,
    .start = shadow_start,
    .on_child = shadow_on_child,
    .explain = shadow_explain,
};
