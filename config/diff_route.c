/*
 * Owns the comparison of two routes: both trees are walked down side by side, and what differs is told with the place.
 *
 *     old: failover: [main, gutter]        "route failover.to[1] gutter -> spare"
 *     new: failover: [main, spare]
 */
#include "config/bind.h"
#include "config/diff.h"
#include "config/diff_line.h"

#include <stdint.h>
#include <string.h>

/* Two routes side by side, and the place that is compared. */
struct routes {
    struct line *line;
    const struct config *old, *new;
    struct text path; /* down to the node: "failover.to[1]"; empty: the root */
};

/* Appends "main" for a pool, else the node's kind: what the route is at that place. */
static void append_kind(struct routes *routes, const struct config *config, const struct route_spec *spec)
{
    struct text *out = routes->line->out;
    text_append_string(out, spec->kind == ROUTE_POOL ? config->pools[spec->pool].name : route_kind_name(spec->kind));
}

static void start_route_change(struct routes *routes)
{
    line_start_change(routes->line);
    text_append_string(routes->line->out, "route ");
    text_append_slice(routes->line->out, text_slice(&routes->path));
    text_append_string(routes->line->out, routes->path.len > 0 ? " " : "");
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_word(const struct routes *routes, const struct route_spec *old, const struct route_spec *new)
{
    if (old->kind != new->kind)
        return false;
    return old->kind != ROUTE_POOL ||
           strcmp(routes->old->pools[old->pool].name, routes->new->pools[new->pool].name) == 0;
}

/* Goes on the path to a node's branch. */
static void append_step(struct text *path, const struct route_spec *spec, size_t i)
{
    const char *name = spec->branches[i].name;
    text_appendf(path, "%s%s", path->len > 0 ? "." : "", route_kind_name(spec->kind));
    if (spec->kind == ROUTE_PREFIX || spec->kind == ROUTE_COMMAND)
        text_appendf(path, "[%s]", name[0] != '\0' ? name : "*");
    else if (spec->kind == ROUTE_FAILOVER || spec->kind == ROUTE_REPLICATE)
        text_appendf(path, ".%s[%zu]", name, i);
    else
        text_appendf(path, ".%s", name);
}

/* The branch of `to` that stands where from's i-th does: by name where names are cases, else by number. */
#define NONE SIZE_MAX
static size_t counterpart(const struct route_spec *from, size_t i, const struct route_spec *to)
{
    if (from->kind != ROUTE_PREFIX && from->kind != ROUTE_COMMAND)
        return i < to->branch_count ? i : NONE;
    for (size_t k = 0; k < to->branch_count; k++) {
        if (strcmp(from->branches[i].name, to->branches[k].name) == 0)
            return k;
    }
    return NONE;
}

static void diff_nodes(struct routes *routes, const struct route_spec *old, const struct route_spec *new);

/* What stands at the i-th branch on one side only. */
static void append_branch_alone(struct routes *routes, const struct route_spec *spec, size_t i,
                                const struct config *config, const char *verb)
{
    size_t len = routes->path.len;
    append_step(&routes->path, spec, i);
    start_route_change(routes);
    text_appendf(routes->line->out, "%s: ", verb);
    append_kind(routes, config, spec->branches[i].to);
    routes->path.len = len;
}

static void diff_branches(struct routes *routes, const struct route_spec *old, const struct route_spec *new)
{
    for (size_t i = 0; i < old->branch_count; i++) {
        size_t k = counterpart(old, i, new), len = routes->path.len;
        if (k == NONE) {
            append_branch_alone(routes, old, i, routes->old, "removed");
            continue;
        }
        append_step(&routes->path, old, i);
        diff_nodes(routes, old->branches[i].to, new->branches[k].to);
        routes->path.len = len;
    }
    for (size_t i = 0; i < new->branch_count; i++) {
        if (counterpart(new, i, old) == NONE)
            append_branch_alone(routes, new, i, routes->new, "added");
    }
}

static void diff_nodes(struct routes *routes, const struct route_spec *old, const struct route_spec *new)
{
    struct text *out = routes->line->out;
    if (!same_word(routes, old, new)) {
        start_route_change(routes);
        append_kind(routes, routes->old, old);
        text_append_string(out, " -> ");
        append_kind(routes, routes->new, new);
        return;
    }
    if (!same_text(old->text, new->text)) {
        start_route_change(routes);
        text_appendf(out, "error %s -> %s", old->text, new->text);
    }
    const struct option_table *table = bind_route_table(old->kind);
    for (const struct option *option = table != NULL ? table->options : NULL; option != NULL && option->name != NULL;
         option++) {
        if (!option_has_value(option) || option_equal(option, old, new))
            continue;
        start_route_change(routes);
        text_appendf(out, "%s.%s ", route_kind_name(old->kind), option->name);
        option_print(option, old, out);
        text_append_string(out, " -> ");
        option_print(option, new, out);
    }
    diff_branches(routes, old, new);
}

bool config_diff_route(const struct config *old, const struct config *new, struct text *out)
{
    struct line line = {out, false};
    struct routes routes = {.line = &line, .old = old, .new = new};
    text_init(&routes.path);
    diff_nodes(&routes, old->route, new->route);
    out->failed = out->failed || routes.path.failed;
    text_fini(&routes.path);
    return line.any;
}
