/*
 * The node that goes on to the next target when one fails in a way that is listed in `on`.
 *
 *      to[0] --- down, timeout, error (miss) ---> to[1] ---> ... ---> every target failed
 *
 * A command that does harm when it is done twice goes on only if it was certainly not done: nothing of it had left, or there was
 * no such item. What is written to a stand-in lives no longer than `expiry`, so that it does not outlast the failure.
 *
 * The budget: a share of requests, counted in each worker, that may go on. It is earned request by request and kept up to
 * BUDGET_MAX, so that a short failure passes while a lasting one cannot drown the stand-in.
 */
#include "routing/expiry.h"
#include "routing/run.h"

#include <stdio.h>

enum { REQUESTS, FAILOVERS, EXHAUSTED, OVER_BUDGET, BY_MISS };

/* In hundredths of a request. */
#define BUDGET_START 1000
#define BUDGET_MAX 10000

/* words of the node's state */
enum { WORD_BUDGET, WORD_COUNTED, WORD_BEGUN };

static bool goes_on_after(const struct route_node *node, enum outcome_kind kind)
{
    static const unsigned bits[OUTCOME_KINDS] = {
        [OUTCOME_MISS] = ROUTE_ON_MISS,
        [OUTCOME_ERROR] = ROUTE_ON_ERROR,
        [OUTCOME_TIMEOUT] = ROUTE_ON_TIMEOUT,
        [OUTCOME_DOWN] = ROUTE_ON_DOWN,
    };
    return node->spec->on & bits[kind];
}

static void failover_resolve(const struct route_node *node, struct resolve *resolve)
{
    resolve_child(node, 0, resolve);
    if (resolve->plan.outcome != PLAN_SEND) {
        resolve_run(resolve);
        return;
    }
    for (enum outcome_kind kind = 0; kind < OUTCOME_KINDS; kind++) {
        if (goes_on_after(node, kind))
            resolve->plan.watch |= 1u << kind;
    }
}

static void failover_start(struct frame *frame)
{
    frame_start(frame, 0, NULL);
}

/* Takes one request's worth from the budget. false: it is spent. */
static bool take_budget(const struct route_node *node, struct route_worker *worker)
{
    uint32_t percent = node->spec->budget_percent;
    if (percent >= 100)
        return true;
    uint64_t *words = node_state(node, worker)->words;
    uint64_t requests = counter_read(&node->counters->of_worker[worker->index][REQUESTS]);
    if (words[WORD_BEGUN] == 0) {
        words[WORD_BEGUN] = 1;
        words[WORD_BUDGET] = BUDGET_START;
        words[WORD_COUNTED] = requests;
    }
    uint64_t earned = words[WORD_BUDGET] + (requests - words[WORD_COUNTED]) * percent;
    words[WORD_COUNTED] = requests;
    words[WORD_BUDGET] = earned < BUDGET_MAX ? earned : BUDGET_MAX;
    if (words[WORD_BUDGET] < 100)
        return false;
    words[WORD_BUDGET] -= 100;
    return true;
}

static void ask_stand_in(struct frame *frame)
{
    const struct route_spec *spec = frame->node->spec;
    struct request_change change = frame->change;
    if (spec->expiry_ms > 0 && frame->traits.writes && frame->traits.may_expire && !frame->traits.removes) {
        change.expiry_set = true;
        change.expiry = expiry_cap(&frame->traits, spec->expiry_ms / 1000, route_unix_ms(frame->run->worker) / 1000);
    }
    frame->step++;
    frame_start(frame, frame->step, &change);
}

static void exhausted(struct frame *frame, const struct outcome *outcome)
{
    node_count(frame->node, frame->run->worker, EXHAUSTED);
    struct outcome last = *outcome;
    last.line = frame_printf(frame, "SERVER_ERROR route %s: all %zu targets failed", frame->node->path,
                             frame->node->child_count);
    frame_finish(frame, &last);
}

static void failover_on_child(struct frame *frame, struct frame *child, const struct outcome *outcome)
{
    (void)child;
    const struct route_node *node = frame->node;
    struct route_worker *worker = frame->run->worker;
    bool missed = outcome->kind == OUTCOME_MISS;
    bool harmless = frame->traits.repeats_well || outcome->unsent || missed;
    bool last = frame->step + 1 == node->child_count;
    if (!goes_on_after(node, outcome->kind) || !harmless || (last && missed)) {
        frame_finish(frame, outcome);
    } else if (last) {
        exhausted(frame, outcome);
    } else if (!take_budget(node, worker)) {
        node_count(node, worker, OVER_BUDGET);
        frame_finish(frame, outcome);
    } else {
        node_count(node, worker, FAILOVERS);
        if (missed)
            node_count(node, worker, BY_MISS);
        ask_stand_in(frame);
    }
}

static void failover_explain(const struct route_node *node, struct explain *explain)
{
    for (size_t i = 0; i < node->child_count; i++) {
        char label[64];
        snprintf(label, sizeof label, i == 0 ? "failover.to[%zu]" : "failover.to[%zu] (when those before fail)", i);
        explain_child(node, i, label, explain);
    }
}

const struct node_methods node_methods_failover = {
    .counters = {"requests", "failovers", "exhausted", "over_budget", "by_miss"},
    .resolve = failover_resolve,
    .start = failover_start,
    .on_child = failover_on_child,
    .explain = failover_explain,
};
