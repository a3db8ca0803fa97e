/*
 * The node that lets no more than `rate` requests a second through, and `burst` at once, of all workers together. The others are
 * refused with a clear error, and reach no server.
 *
 * Source of the algorithm: GCRA, the generic cell rate algorithm (ITU-T I.371, annex A): one number, the time at which the next
 * request is due in theory; a request that comes more than the burst's worth before it is refused. The number is shared by all
 * workers: this is the one node that pays for an atomic exchange.
 */
#include "routing/run.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { REFUSED, ALLOWED };

struct bucket {
    _Atomic uint64_t due_ns;
    uint64_t interval_ns, tolerance_ns;
};

static bool limit_compile(struct route_node *node)
{
    struct bucket *bucket = calloc(1, sizeof *bucket);
    if (bucket == NULL)
        return false;
    const struct route_spec *spec = node->spec;
    bucket->interval_ns = 1000000000u / (spec->rate_per_s > 0 ? spec->rate_per_s : 1);
    bucket->tolerance_ns = bucket->interval_ns * (spec->burst > 0 ? spec->burst - 1 : 0);
    node->compiled = bucket;
    return true;
}

static uint8_t decide(const struct route_node *node, const struct route_worker *worker)
{
    struct bucket *bucket = node->compiled;
    if (worker->dry)
        return ALLOWED;
    uint64_t now_ns = worker->now_us * 1000;
    uint64_t due_ns = atomic_load_explicit(&bucket->due_ns, memory_order_relaxed), next_ns;
    do {
        uint64_t base_ns = due_ns > now_ns ? due_ns : now_ns;
        if (base_ns - now_ns > bucket->tolerance_ns)
            return REFUSED;
        next_ns = base_ns + bucket->interval_ns;
    } while (!atomic_compare_exchange_weak_explicit(&bucket->due_ns, &due_ns, next_ns, memory_order_relaxed,
                                                    memory_order_relaxed));
    return ALLOWED;
}

static void limit_resolve(const struct route_node *node, struct resolve *resolve)
{
    if (resolve->peeks) {
        resolve_child(node, 0, resolve);
        return;
    }
    if (!resolve_has_room(resolve)) {
        resolve_run(resolve);
        return;
    }
    uint8_t verdict = decide(node, resolve->worker);
    resolve_choose(resolve, verdict);
    if (verdict == ALLOWED)
        resolve_child(node, 0, resolve);
    else
        resolve_run(resolve);
}

static void limit_start(struct frame *frame)
{
    const struct route_node *node = frame->node;
    uint8_t verdict;
    if (!frame_choice(frame, &verdict))
        verdict = decide(node, frame->run->worker);
    if (verdict == ALLOWED) {
        frame_start(frame, 0, NULL);
        return;
    }
    node_count(node, frame->run->worker, 1);
    frame_finish_line(frame, OUTCOME_ERROR,
                      frame_printf(frame, "SERVER_ERROR route %s: more than %u requests a second", node->path,
                                   node->spec->rate_per_s));
}

static void limit_explain(const struct route_node *node, struct explain *explain)
{
    explain_child(node, 0, "limit.to", explain);
}

const struct node_methods node_methods_limit = {
    .counters = {"requests", "refused"},
    .compile = limit_compile,
    .resolve = limit_resolve,
    .start = limit_start,
    .on_child = frame_pass,
    .explain = limit_explain,
};
