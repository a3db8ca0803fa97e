/*
 * Owns the route's tree: made of a spec, walked for requests that one call may serve, and for people.
 *
 *      spec (config)  ->  route_create  ->  nodes, numbered depth first; the pools that they reach
 *
 * What each kind of node does stands in a file of its own; requests that take more than one call are run.c's.
 */
#include "routing/route.h"

#include "routing/node.h"
#include "routing/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const struct node_methods *const methods_by_kind[ROUTE_KIND_COUNT] = {
    [ROUTE_POOL] = &node_methods_pool,
    [ROUTE_PREFIX] = &node_methods_prefix,
    [ROUTE_COMMAND] = &node_methods_command,
    [ROUTE_FAILOVER] = &node_methods_failover,
    [ROUTE_REPLICATE] = &node_methods_replicate,
    [ROUTE_WARM] = &node_methods_warm,
    [ROUTE_MIGRATE] = &node_methods_migrate,
    [ROUTE_SHADOW] = &node_methods_shadow,
    [ROUTE_LIMIT] = &node_methods_limit,
    [ROUTE_REWRITE] = &node_methods_rewrite,
    [ROUTE_TTL] = &node_methods_ttl,
    [ROUTE_ERROR] = &node_methods_error,
    [ROUTE_MISS] = &node_methods_miss,
};

/* ---- Making ---- */

struct maker {
    const struct pool *pools;
    route_counters_fn *counters;
    void *context;
    struct route *route;
};

static size_t count_nodes(const struct route_spec *spec)
{
    size_t n = 1;
    for (size_t i = 0; i < spec->branch_count; i++)
        n += count_nodes(spec->branches[i].to);
    return n;
}

static void node_destroy(struct route_node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->child_count; i++)
        node_destroy(node->children[i]);
    free(node->children);
    free(node->compiled);
    free(node->path);
    free(node);
}

/* What a node is called at its place: its kind, or its pool's name. */
static const char *node_name(const struct maker *maker, const struct route_spec *spec)
{
    return spec->kind == ROUTE_POOL ? maker->pools[spec->pool].name : route_kind_name(spec->kind);
}

/* "failover.to[1].rewrite": the child's name, behind its parent's path and its place there. NULL when memory is out. */
static char *child_path(const struct maker *maker, const struct route_node *parent, size_t i)
{
    const struct route_spec *spec = parent->spec;
    const char *place = spec->branches[i].name;
    const char *name = node_name(maker, spec->branches[i].to);
    char *path = NULL;
    int done;
    if (spec->kind == ROUTE_FAILOVER || spec->kind == ROUTE_REPLICATE)
        done = asprintf(&path, "%s.to[%zu].%s", parent->path, i, name);
    else if (spec->kind == ROUTE_PREFIX || spec->kind == ROUTE_COMMAND)
        done = asprintf(&path, "%s[%s].%s", parent->path, place[0] != '\0' ? place : "*", name);
    else
        done = asprintf(&path, "%s.%s.%s", parent->path, place, name);
    return done < 0 ? NULL : path;
}

static void note_pool(struct route *route, const struct pool *pool)
{
    for (size_t i = 0; i < route->pool_count; i++) {
        if (route->pools[i] == pool)
            return;
    }
    route->pools[route->pool_count++] = pool;
    route->is_hashed_ahead |= ring_is_hashed_ahead(pool->ring);
}

/* Takes path over. NULL when memory is out. */
static struct route_node *make_node(struct maker *maker, const struct route_spec *spec, char *path)
{
    struct route_node *node = path != NULL ? calloc(1, sizeof *node) : NULL;
    if (node == NULL) {
        free(path);
        return NULL;
    }
    node->methods = methods_by_kind[spec->kind];
    node->spec = spec;
    node->path = path;
    node->id = (uint32_t)maker->route->node_count;
    maker->route->nodes[maker->route->node_count++] = node;
    if (spec->kind == ROUTE_POOL) {
        node->pool = &maker->pools[spec->pool];
        note_pool(maker->route, node->pool);
    }
    node->children = calloc(spec->branch_count + 1, sizeof(struct route_node *));
    if (node->children == NULL)
        goto failed;
    if (spec->kind != ROUTE_POOL && (node->counters = maker->counters(maker->context, path)) == NULL)
        goto failed;
    for (size_t i = 0; i < spec->branch_count; i++) {
        node->children[i] = make_node(maker, spec->branches[i].to, child_path(maker, node, i));
        if (node->children[i] == NULL)
            goto failed;
        node->child_count++;
    }
    if (node->methods->compile != NULL && !node->methods->compile(node))
        goto failed;
    return node;

failed:
    node_destroy(node);
    return NULL;
}

struct route *route_create(const struct route_spec *spec, const struct pool *pools, route_counters_fn *counters,
                           void *context, const char **error_out)
{
    *error_out = "out of memory";
    size_t count = count_nodes(spec);
    struct route *route = calloc(1, sizeof *route);
    if (route == NULL)
        return NULL;
    route->nodes = calloc(count, sizeof(struct route_node *));
    route->pools = calloc(count, sizeof(const struct pool *));
    struct maker maker = {.pools = pools, .counters = counters, .context = context, .route = route};
    if (route->nodes != NULL && route->pools != NULL)
        route->root = make_node(&maker, spec, strdup(node_name(&maker, spec)));
    if (route->root == NULL) {
        route_destroy(&route);
        return NULL;
    }
    route->pool = route->root->pool;
    return route;
}

void route_destroy(struct route **route)
{
    struct route *r = *route;
    *route = NULL;
    if (r == NULL)
        return;
    node_destroy(r->root);
    free(r->nodes);
    free(r->pools);
    free(r);
}

/* ---- A worker's side ---- */

#define FRAMES_PER_CHUNK 64
#define TEXTS_PER_CHUNK 16

bool route_worker_init(struct route_worker *worker, const struct route *route, unsigned index)
{
    *worker = (struct route_worker){.route = route, .index = index};
    worker->random = UINT64_C(0x9e3779b97f4a7c15) * (index + 1u);
    slab_init(&worker->frames, "frames", sizeof(struct frame), FRAMES_PER_CHUNK);
    slab_init(&worker->texts, "texts", sizeof(struct run_text), TEXTS_PER_CHUNK);
    worker->states = calloc(route->node_count, sizeof *worker->states);
    return worker->states != NULL;
}

void route_worker_fini(struct route_worker *worker)
{
    slab_fini(&worker->texts);
    slab_fini(&worker->frames);
    free(worker->states);
    worker->states = NULL;
}

/* ---- Requests ---- */

/* Field by field: what is passed on the way needs no clearing. */
static void resolve_init(struct resolve *resolve, struct route_worker *worker, const struct request_traits *traits,
                         enum verb verb, struct slice key)
{
    resolve->worker = worker;
    resolve->traits = traits;
    resolve->verb = verb;
    resolve->key = key;
    resolve->plan = (struct plan){0};
    resolve->passed_count = 0;
    resolve->peeks = false;
}

void resolve_child(const struct route_node *node, size_t i, struct resolve *resolve)
{
    const struct route_node *child = node->children[i];
    if (child->pool == NULL)
        resolve->passed[resolve->passed_count++] = child;
    child->methods->resolve(child, resolve);
}

struct plan route_resolve(struct route_worker *worker, const struct request_traits *traits, enum verb verb,
                          struct slice key)
{
    const struct route_node *root = worker->route->root;
    struct resolve resolve;
    resolve_init(&resolve, worker, traits, verb, key);
    resolve.passed[resolve.passed_count++] = root;
    root->methods->resolve(root, &resolve);
    /* A run counts the nodes that it enters itself. */
    for (size_t i = 0; resolve.plan.outcome != PLAN_RUN && i < resolve.passed_count; i++)
        node_count(resolve.passed[i], worker, 0);
    return resolve.plan;
}

uint32_t route_share_of(struct slice key, uint32_t salt)
{
    return (uint32_t)XXH64(key.data, key.len, salt);
}

int64_t route_unix_ms(const struct route_worker *worker)
{
    if (worker->unix_us != 0)
        return (int64_t)(worker->unix_us / 1000);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct upstream *child_upstream(struct route_worker *worker, const struct route_node *node, size_t i,
                                const struct request_traits *traits, enum verb verb, struct slice key)
{
    struct resolve resolve;
    resolve_init(&resolve, worker, traits, verb, key);
    resolve.peeks = true;
    const struct route_node *child = node->children[i];
    child->methods->resolve(child, &resolve);
    if (resolve.plan.outcome != PLAN_SEND || worker->upstreams == NULL)
        return NULL;
    return worker->upstreams[resolve.plan.server->slot];
}

/* ---- People ---- */

void explain_child(const struct route_node *node, size_t i, const char *label, struct explain *explain)
{
    const struct route_node *child = node->children[i];
    size_t len = explain->path.len;
    if (len > 0)
        text_append_string(&explain->path, " -> ");
    text_append_string(&explain->path, label);
    child->methods->explain(child, explain);
    explain->path.len = len;
}

void explain_end(struct explain *explain, const char *what)
{
    text_append_slice(explain->text, explain->shown);
    text_append_string(explain->text, ": route ");
    text_append_slice(explain->text, text_slice(&explain->path));
    text_append_string(explain->text, explain->path.len > 0 ? " -> " : "");
    text_append_string(explain->text, what);
    text_append_string(explain->text, "\n");
}

void route_explain(const struct route *route, struct slice key, struct text *text)
{
    struct explain explain = {.key = key, .shown = key, .text = text};
    text_init(&explain.path);
    route->root->methods->explain(route->root, &explain);
    text->failed |= explain.path.failed;
    text_fini(&explain.path);
}

/* ---- Comparing ---- */

static void note_owner(struct run *run, struct frame *leg)
{
    struct server **owner = run->owner;
    if (*owner == NULL)
        *owner = leg->plan.server;
}

static void pass_over_answer(struct run *run, const struct outcome *outcome)
{
    (void)run;
    (void)outcome;
}

struct server *route_owner(struct route_worker *worker, struct slice key)
{
    static const struct run_methods methods = {note_owner, pass_over_answer};
    const struct pool *pool = worker->route->pool;
    if (pool != NULL)
        return pool->servers[pool_explain(pool, key).server];
    const struct request request = {
        .verb = VERB_GET, .key = key, .keys = key, .key_count = 1, .prefix = SLICE_OF("get"), .repeatable = true};
    struct server *owner = NULL;
    struct run run;
    run_start(&run, &methods, &owner, worker, &request, key, NULL);
    run_fini(&run);
    return owner;
}
