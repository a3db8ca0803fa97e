/*
 * The node that chooses by the key's prefix: the longest one that matches; "*", kept as "", matches all.
 *
 *      "session:abc"  ->  "session:" | "sess" | "*"
 */
#include "routing/run.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_CHILD SIZE_MAX

/* compiled: the prefixes' lengths */
static bool prefix_compile(struct route_node *node)
{
    size_t *lengths = calloc(node->child_count, sizeof *lengths);
    if (lengths == NULL)
        return false;
    for (size_t i = 0; i < node->child_count; i++)
        lengths[i] = strlen(node->spec->branches[i].name);
    node->compiled = lengths;
    return true;
}

static size_t choose(const struct route_node *node, struct slice key)
{
    const size_t *lengths = node->compiled;
    size_t best = NO_CHILD;
    for (size_t i = 0; i < node->child_count; i++) {
        if (lengths[i] > key.len || (best != NO_CHILD && lengths[i] <= lengths[best]))
            continue;
        if (memcmp(node->spec->branches[i].name, key.data, lengths[i]) == 0)
            best = i;
    }
    return best;
}

static void prefix_resolve(const struct route_node *node, struct resolve *resolve)
{
    size_t i = choose(node, resolve->key);
    if (i != NO_CHILD)
        resolve_child(node, i, resolve);
    else
        resolve_run(resolve);
}

static void prefix_start(struct frame *frame)
{
    const struct route_node *node = frame->node;
    size_t i = choose(node, frame_key(frame));
    if (i != NO_CHILD) {
        frame_start(frame, i, NULL);
        return;
    }
    node_count(node, frame->run->worker, 1);
    frame_finish_line(frame, OUTCOME_ERROR,
                      frame_printf(frame, "SERVER_ERROR route %s: no prefix matches the key", node->path));
}

static void prefix_explain(const struct route_node *node, struct explain *explain)
{
    size_t i = choose(node, explain->key);
    char label[64];
    if (i == NO_CHILD) {
        explain_end(explain, "no prefix matches");
        return;
    }
    const char *name = node->spec->branches[i].name;
    snprintf(label, sizeof label, "prefix[%.40s]", name[0] != '\0' ? name : "*");
    explain_child(node, i, label, explain);
}

const struct node_methods node_methods_prefix = {
    .counters = {"requests", "unmatched"},
    .compile = prefix_compile,
    .resolve = prefix_resolve,
    .start = prefix_start,
    .on_child = frame_pass,
    .explain = prefix_explain,
};
