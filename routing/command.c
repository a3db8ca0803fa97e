/*
 * The node that chooses by the command: its own name, else its group (read, write, arithmetic, touch), else "*".
 */
#include "routing/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_CHILD UINT8_MAX

static const char *const group_names[] = {
    [VERB_GROUP_READ] = "read",   [VERB_GROUP_WRITE] = "write", [VERB_GROUP_ARITHMETIC] = "arithmetic",
    [VERB_GROUP_TOUCH] = "touch", [VERB_GROUP_LOCAL] = "",
};

static uint8_t find(const struct route_node *node, const char *name, size_t len)
{
    for (size_t i = 0; i < node->child_count; i++) {
        const char *branch = node->spec->branches[i].name;
        if (strlen(branch) == len && memcmp(branch, name, len) == 0)
            return (uint8_t)i;
    }
    return NO_CHILD;
}

/* compiled: the child of each verb */
static bool command_compile(struct route_node *node)
{
    uint8_t *children = malloc(VERB_COUNT);
    if (children == NULL)
        return false;
    for (enum verb verb = 0; verb < VERB_COUNT; verb++) {
        struct slice name = verb_name(verb);
        const char *group = group_names[verb_group(verb)];
        children[verb] = find(node, name.data, name.len);
        if (children[verb] == NO_CHILD && group[0] != '\0')
            children[verb] = find(node, group, strlen(group));
        if (children[verb] == NO_CHILD)
            children[verb] = find(node, "*", 1);
    }
    node->compiled = children;
    return true;
}

static uint8_t choose(const struct route_node *node, enum verb verb)
{
    return ((const uint8_t *)node->compiled)[verb];
}

static void command_resolve(const struct route_node *node, struct resolve *resolve)
{
    uint8_t i = choose(node, resolve->verb);
    if (i != NO_CHILD)
        resolve_child(node, i, resolve);
    else
        resolve_run(resolve);
}

static void command_start(struct frame *frame)
{
    const struct route_node *node = frame->node;
    uint8_t i = choose(node, frame->verb);
    if (i != NO_CHILD) {
        frame_start(frame, i, NULL);
        return;
    }
    node_count(node, frame->run->worker, 1);
    frame_finish_line(frame, OUTCOME_ERROR,
                      frame_printf(frame, "SERVER_ERROR route %s: no target for this command", node->path));
}

static void command_explain(const struct route_node *node, struct explain *explain)
{
    for (size_t i = 0; i < node->child_count; i++) {
        char label[64];
        snprintf(label, sizeof label, "command[%.40s]", node->spec->branches[i].name);
        explain_child(node, i, label, explain);
    }
}

const struct node_methods node_methods_command = {
    .counters = {"requests", "unmatched"},
    .compile = command_compile,
    .resolve = command_resolve,
    .start = command_start,
    .on_child = frame_pass,
    .explain = command_explain,
};
