/*
 * Owns the tree's leaves, the pools: a key becomes a server, a frame becomes a call.
 */
#include "routing/run.h"

static void leaf_resolve(const struct route_node *node, struct resolve *resolve)
{
    const struct plan plan = pool_plan_ahead(node->pool, resolve->key, &resolve->worker->ahead);
    resolve->plan.outcome = plan.outcome;
    resolve->plan.pool = plan.pool;
    resolve->plan.server = plan.server;
}

static void leaf_start(struct frame *frame)
{
    frame->plan = pool_plan(frame->node->pool, frame_key(frame));
    run_send_leg(frame);
}

static void leaf_explain(const struct route_node *node, struct explain *explain)
{
    const struct pool *pool = node->pool;
    struct ring_spot spot = pool_explain(pool, explain->key);
    struct text *text = explain->text;
    text_append_slice(text, explain->shown);
    text_append_string(text, ": route ");
    if (explain->path.len > 0)
        text_append_slice(text, text_slice(&explain->path));
    else
        text_append_string(text, pool->name);
    text_appendf(text, " -> pool %s", pool->name);
    if (!slice_equal(explain->key, explain->shown)) {
        text_append_string(text, " as ");
        text_append_slice(text, explain->key);
    }
    text_appendf(text, " -> server %s (hash %u, point %u", pool->servers[spot.server]->identity.label, spot.hash,
                 spot.point);
    if (ring_points(pool->ring) > 0)
        text_appendf(text, ", position %llu of %zu", (unsigned long long)spot.index, ring_points(pool->ring));
    text_append_string(text, ")\n");
}

const struct node_methods node_methods_pool = {
    .resolve = leaf_resolve,
    .start = leaf_start,
    .explain = leaf_explain,
};
