/*
 * The node that bounds expiry times: at most `max` from now, and up to `jitter` of what is left taken off at random, so that what
 * was stored together does not expire together. Requests that store no time pass through.
 */
#include "routing/expiry.h"
#include "routing/run.h"

static bool applies(const struct request_traits *traits)
{
    return traits->writes && traits->may_expire && !traits->removes;
}

static void ttl_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (applies(resolve->traits))
        resolve_run(resolve);
    else
        resolve_child(node, 0, resolve);
}

static int64_t bounded(const struct frame *frame)
{
    const struct route_spec *spec = frame->node->spec;
    struct route_worker *worker = frame->run->worker;
    int64_t now_s = route_unix_ms(worker) / 1000;
    int64_t expiry = frame->traits.has_expiry ? frame->traits.expiry : 0;
    if (spec->max_ms > 0)
        expiry = expiry_cap(&frame->traits, spec->max_ms / 1000, now_s);
    if (spec->jitter_percent > 0) {
        uint64_t most = ((uint64_t)spec->jitter_percent << 32) / 100;
        uint64_t taken = (route_random(worker) >> 32) * most >> 32;
        expiry = expiry_shorten(expiry, taken < UINT32_MAX ? (uint32_t)taken : UINT32_MAX, now_s);
    }
    return expiry;
}

static void ttl_start(struct frame *frame)
{
    if (!applies(&frame->traits)) {
        frame_start(frame, 0, NULL);
        return;
    }
    struct request_change change = frame->change;
    int64_t expiry = bounded(frame);
    if (expiry != (frame->traits.has_expiry ? frame->traits.expiry : 0)) {
        node_count(frame->node, frame->run->worker, 1);
        change.expiry_set = true;
        change.expiry = expiry;
    }
    frame_start(frame, 0, &change);
}

static void ttl_explain(const struct route_node *node, struct explain *explain)
{
    explain_child(node, 0, "ttl.to", explain);
}

const struct node_methods node_methods_ttl = {
    .counters = {"requests", "changed"},
    .resolve = ttl_resolve,
    .start = ttl_start,
    .on_child = frame_pass,
    .explain = ttl_explain,
};
