/*
 * Owns the words of the summary. What can be said from an option table is said from it, so that a new option shows up
 * by itself.
 *
 *     workers auto, user none, coalesce yes, busy_poll 0
 *     listen 127.0.0.1:11211, auth required
 *       tls: certificate /etc/server.pem, ...
 *     limits: clients 10000, item_size 1MiB, …
 *     log: level info, format text
 *     pool main: 2 servers
 *       server 10.0.0.1:11211
 *       server cache-2 at 10.0.0.2:11211, weight 2
 *       distribution ketama, hash md5, …
 *       health: failures 3, …
 *     route
 *       failover: on [down, timeout], expiry 10s, budget 100%
 *         to: pool main
 *         to: pool gutter
 *     users: file /etc/users
 *     access
 *       app: commands read write, keys app:*
 *     warning: no request reaches pool spare: the route does not name it
 */
#include "config/summary.h"

#include "config/access.h"
#include "config/address.h"
#include "config/bind.h"
#include "wire/verb.h"

#include <stdlib.h>

/* Appends "name value, name value, …" and the line's end; groups are left out. */
static void append_values(const struct option_table *table, const void *target, struct text *out)
{
    const char *separator = "";
    for (const struct option *option = table->options; option->name != NULL; option++) {
        if (!option_has_value(option))
            continue;
        text_appendf(out, "%s%s ", separator, option->name);
        option_print(option, target, out);
        separator = ", ";
    }
    text_append(out, "\n", 1);
}

/* Appends a line for every group of options. */
static void append_groups(const struct option_table *table, const void *target, const char *indent, struct text *out)
{
    for (const struct option *option = table->options; option->name != NULL; option++) {
        if (option->type != OPTION_GROUP)
            continue;
        text_appendf(out, "%s%s: ", indent, option->name);
        append_values(option->table, target, out);
    }
}

/* Its `tls`, and who processes at the other end are. */
static void append_identities(const struct config_listen *listen, struct text *out)
{
    const struct tls_server_spec *tls = &listen->tls;
    if (listen->has_tls) {
        text_append_string(out, "  tls: ");
        append_values(&listen_tls_table, listen, out);
    }
    for (size_t i = 0; i < tls->further_count; i++) {
        text_append_string(out, "  tls, further: ");
        append_values(&identity_table, &tls->further[i], out);
    }
    for (size_t i = 0; i < listen->peer_count; i++)
        text_appendf(out, "%s%s is %s%s", i == 0 ? "  peers: " : ", ", listen->peers[i].name, listen->peers[i].user,
                     i + 1 == listen->peer_count ? "\n" : "");
}

static void append_listen(const struct config_listen *listen, struct text *out)
{
    text_appendf(out, "listen %s", listen->label);
    if (listen->address.is_unix)
        text_appendf(out, ", mode %04o", (unsigned)listen->mode);
    if (listen->auth != CONFIG_AUTH_NONE)
        text_appendf(out, ", auth %s", listen->auth == CONFIG_AUTH_REQUIRED ? "required" : "optional");
    for (size_t i = 0; i < listen->deny_count; i++) {
        text_append_string(out, i == 0 ? ", deny " : " ");
        text_append_slice(out, verb_name((enum verb)listen->deny[i]));
    }
    text_append(out, "\n", 1);
    append_identities(listen, out);
}

static void append_server(const struct config_server *server, struct text *out)
{
    text_appendf(out, "  server %s", server->label);
    if (server->name != NULL) {
        text_append_string(out, " at ");
        config_address_print(&server->address, out);
    }
    if (server->weight != 1)
        text_appendf(out, ", weight %u", (unsigned)server->weight);
    text_append(out, "\n", 1);
}

static void append_pool(const struct config_pool *pool, struct text *out)
{
    text_appendf(out, "pool %s: %zu server%s\n", pool->name, pool->server_count, pool->server_count == 1 ? "" : "s");
    for (size_t i = 0; i < pool->server_count; i++)
        append_server(&pool->servers[i], out);
    text_append_string(out, "  ");
    append_values(&pool_table, pool, out);
    append_groups(&pool_table, pool, "  ", out);
    if (pool->has_tls) {
        text_append_string(out, "  tls: ");
        append_values(&pool_tls_table, pool, out);
    }
    if (pool->auth.user != NULL) {
        text_append_string(out, "  auth: ");
        append_values(&pool_auth_table, pool, out);
    }
}

static void append_users(const struct config *config, struct text *out)
{
    if (config->users_file != NULL) {
        text_append_string(out, "users: ");
        append_values(&users_table, config, out);
    }
    for (size_t i = 0; i < config->access_count; i++) {
        text_append_string(out, i == 0 ? "access\n  " : "  ");
        config_access_print(&config->access[i], out);
        text_append(out, "\n", 1);
    }
}

/* ---- the route ---- */

/* The node alone: `pool main`, or its kind and options. */
static void append_node(const struct config *config, const struct route_spec *spec, struct text *out)
{
    const struct option_table *table = bind_route_table(spec->kind);
    text_append_string(out, route_kind_name(spec->kind));
    if (spec->kind == ROUTE_POOL)
        text_appendf(out, " %s", config->pools[spec->pool].name);
    if (spec->kind == ROUTE_ERROR)
        text_appendf(out, ": %s", spec->text);
    bool any = false;
    for (const struct option *option = table != NULL ? table->options : NULL; option != NULL && option->name != NULL;
         option++)
        any = any || option_has_value(option);
    if (!any) {
        text_append(out, "\n", 1);
        return;
    }
    text_append_string(out, ": ");
    append_values(table, spec, out);
}

static void append_tree(const struct config *config, const struct route_spec *spec, int depth, struct text *out)
{
    append_node(config, spec, out);
    for (size_t i = 0; i < spec->branch_count; i++) {
        const struct route_branch *branch = &spec->branches[i];
        const char *quote = spec->kind == ROUTE_PREFIX ? "\"" : "";
        text_appendf(out, "%*s%s%s%s: ", 2 * depth, "", quote, branch->name[0] != '\0' ? branch->name : "*", quote);
        append_tree(config, branch->to, depth + 1, out);
    }
}

static void mark_reached(const struct route_spec *spec, bool *reached)
{
    if (spec->kind == ROUTE_POOL)
        reached[spec->pool] = true;
    for (size_t i = 0; i < spec->branch_count; i++)
        mark_reached(spec->branches[i].to, reached);
}

static void append_warnings(const struct config *config, struct text *out)
{
    bool *reached = calloc(config->pool_count, sizeof *reached);
    if (reached == NULL) {
        out->failed = true;
        return;
    }
    mark_reached(config->route, reached);
    for (size_t i = 0; i < config->pool_count; i++) {
        if (config->pools[i].tls.insecure)
            text_appendf(out, "warning: anybody can pass for a server of pool %s: `insecure`\n", config->pools[i].name);
        if (!reached[i])
            text_appendf(out, "warning: no request reaches pool %s: the route does not name it\n",
                         config->pools[i].name);
    }
    free(reached);
}

static void append_route(const struct config *config, struct text *out)
{
    if (config->route->kind == ROUTE_POOL) {
        text_appendf(out, "route %s\n", config->pools[config->route->pool].name);
        return;
    }
    text_append_string(out, "route\n  ");
    append_tree(config, config->route, 2, out);
}

void config_summary(const struct config *config, struct text *out)
{
    append_values(&config_table, config, out);
    for (size_t i = 0; i < config->listen_count; i++)
        append_listen(&config->listens[i], out);
    append_groups(&config_table, config, "", out);
    for (size_t i = 0; i < config->pool_count; i++)
        append_pool(&config->pools[i], out);
    append_route(config, out);
    append_users(config, out);
    append_warnings(config, out);
}
