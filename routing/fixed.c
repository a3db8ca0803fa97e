/*
 * The nodes that answer by themselves: `error: TEXT` with that text, `miss` as if there were no such item.
 */
#include "routing/run.h"

static void fixed_resolve(const struct route_node *node, struct resolve *resolve)
{
    (void)node;
    resolve_run(resolve);
}

static void error_start(struct frame *frame)
{
    frame_finish_line(frame, OUTCOME_ERROR, frame_printf(frame, "SERVER_ERROR %s", frame->node->spec->text));
}

static void error_explain(const struct route_node *node, struct explain *explain)
{
    explain_end(explain, "error");
    (void)node;
}

static void miss_start(struct frame *frame)
{
    frame_finish_line(frame, OUTCOME_MISS, slice_make(NULL, 0));
}

static void miss_explain(const struct route_node *node, struct explain *explain)
{
    (void)node;
    explain_end(explain, "miss");
}

const struct node_methods node_methods_error = {
    .counters = {"requests"},
    .resolve = fixed_resolve,
    .start = error_start,
    .on_child = frame_pass,
    .explain = error_explain,
};

const struct node_methods node_methods_miss = {
    .counters = {"requests"},
    .resolve = fixed_resolve,
    .start = miss_start,
    .on_child = frame_pass,
    .explain = miss_explain,
};
