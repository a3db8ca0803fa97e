/*
 * Owns the comparison of two configurations.
 *
 *     old: a c d      both are sorted by name and walked side by side: what stands in one only has come or gone,
 *     new: a b d      what stands in both is compared option by option, from the option tables
 *
 * Routes are diff_route.c's. It does not know which keys move: that is for the rings to say. Of certificates, users and
 * passwords it knows the files' names alone.
 */
#include "config/diff.h"

#include "config/access.h"
#include "config/address.h"
#include "config/bind.h"
#include "config/diff_line.h"
#include "wire/verb.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- things by name ---- */

/* One server, pool or listener, and the text that it is known by. */
struct entry {
    char *name; /* malloc'ed */
    const void *thing;
};

struct entries {
    struct entry *items; /* sorted by name; NULL: memory is out, or there are none */
    size_t count;
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

/* Names one thing. */
typedef void name_fn(const void *thing, struct text *out);

static void entries_fini(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->items[i].name);
    free(entries->items);
    *entries = (struct entries){NULL, 0};
}

/* Of an array of count things, each of size bytes. false: memory is out; there is nothing to free then. */
static bool entries_init(struct entries *entries, const void *things, size_t count, size_t size, name_fn *name)
{
    *entries = (struct entries){calloc(count + 1, sizeof *entries->items), 0};
    if (entries->items == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct text text;
        const void *thing = (const char *)things + i * size;
        text_init(&text);
        name(thing, &text);
        entries->items[i] = (struct entry){text_steal(&text, NULL), thing};
        if (entries->items[i].name == NULL) {
            entries_fini(entries);
            return false;
        }
        entries->count++;
    }
    qsort(entries->items, entries->count, sizeof *entries->items, by_name);
    return true;
}

/* Two sorted lists side by side. */
struct pairing {
    struct entries old, new;
};

/* A step through both: one of the two is NULL where the name stands in one list only. false: the end. */
static bool next_pair(const struct pairing *pairing, size_t at[2], const struct entry **old_out,
                      const struct entry **new_out)
{
    const struct entry *old = at[0] < pairing->old.count ? &pairing->old.items[at[0]] : NULL;
    const struct entry *new = at[1] < pairing->new.count ? &pairing->new.items[at[1]] : NULL;
    int order = old == NULL ? 1 : new == NULL ? -1 : by_name(old, new);
    *old_out = order <= 0 ? old : NULL;
    *new_out = order >= 0 ? new : NULL;
    at[0] += *old_out != NULL;
    at[1] += *new_out != NULL;
    return *old_out != NULL || *new_out != NULL;
}

/* Appends "label: N added (a, b, …)" for what stands in one of the two only. */
static void append_one_sided(struct line *line, const char *what, const char *verb, const struct pairing *pairing,
                             bool added)
{
    const struct entry *old, *new;
    size_t at[2] = {0, 0}, count = 0;
    while (next_pair(pairing, at, &old, &new)) {
        const struct entry *entry = added ? new : old;
        if (entry == NULL || (added ? old : new) != NULL)
            continue;
        if (count == 0) {
            line_start_change(line);
            text_appendf(line->out, "%s %s: ", what, verb);
        }
        if (count < CONFIG_DIFF_NAMES_MAX)
            text_appendf(line->out, "%s%s", count == 0 ? "" : ", ", entry->name);
        count++;
    }
    if (count > CONFIG_DIFF_NAMES_MAX)
        text_appendf(line->out, " and %zu more", count - CONFIG_DIFF_NAMES_MAX);
}

static void append_come_and_gone(struct line *line, const char *what, const struct pairing *pairing)
{
    append_one_sided(line, what, "added", pairing, true);
    append_one_sided(line, what, "removed", pairing, false);
}

/* Sets both lists up; false and out->failed when memory is out. */
static bool pairing_init(struct pairing *pairing, struct line *line, const void *old, size_t old_count, const void *new,
                         size_t new_count, size_t size, name_fn *name)
{
    if (!entries_init(&pairing->old, old, old_count, size, name)) {
        line->out->failed = true;
        return false;
    }
    if (!entries_init(&pairing->new, new, new_count, size, name)) {
        entries_fini(&pairing->old);
        line->out->failed = true;
        return false;
    }
    return true;
}

static void pairing_fini(struct pairing *pairing)
{
    entries_fini(&pairing->old);
    entries_fini(&pairing->new);
}

/* ---- settings ---- */

/* What settings belong to: `prefix name` ("pool main: "), and the group within it. */
struct owner {
    const char *prefix, *name;
    const char *group;
};

static void append_setting(struct line *line, const struct owner *owner, const struct option *option, const void *old,
                           const void *new)
{
    line_start_change(line);
    if (owner->name != NULL)
        text_appendf(line->out, "%s %s: ", owner->prefix, owner->name);
    if (owner->group != NULL)
        text_appendf(line->out, "%s.", owner->group);
    text_appendf(line->out, "%s ", option->name);
    option_print(option, old, line->out);
    text_append_string(line->out, " -> ");
    option_print(option, new, line->out);
    if (option->restart)
        text_append_string(line->out, " (takes effect at a restart)");
}

static void diff_settings(struct line *line, const struct owner *owner, const struct option_table *table,
                          const void *old, const void *new)
{
    for (const struct option *option = table->options; option->name != NULL; option++) {
        struct owner group = {owner->prefix, owner->name, option->name};
        if (option->type == OPTION_GROUP)
            diff_settings(line, &group, option->table, old, new);
        else if (option_has_value(option) && !option_equal(option, old, new))
            append_setting(line, owner, option, old, new);
    }
}

/* Settings that are there or not as a whole, such as `tls`. */
static void diff_optional(struct line *line, const struct owner *owner, const struct option_table *table,
                          const void *old, const void *new, bool had, bool has)
{
    if (had && has) {
        diff_settings(line, owner, table, old, new);
    } else if (had || has) {
        line_start_change(line);
        text_appendf(line->out, "%s %s: %s %s", owner->prefix, owner->name, owner->group, has ? "added" : "removed");
    }
}

/* Appends "what OLD -> NEW" if the two, which are cleared after, differ. */
static void append_if_changed(struct line *line, const char *listener, const char *what, struct text *old,
                              struct text *new)
{
    line->out->failed = line->out->failed || old->failed || new->failed;
    if (!slice_equal(text_slice(old), text_slice(new))) {
        line_start_change(line);
        text_appendf(line->out, "listener %s: %s {", listener, what);
        text_append_slice(line->out, text_slice(old));
        text_append_string(line->out, "} -> {");
        text_append_slice(line->out, text_slice(new));
        text_append_string(line->out, "}");
    }
    text_clear(old);
    text_clear(new);
}

/* ---- listeners ---- */

static void name_listen(const void *thing, struct text *out)
{
    config_address_identify(&((const struct config_listen *)thing)->address, out);
}

/* The denied commands as bits, so that their order does not matter. */
static uint64_t denied(const struct config_listen *listen)
{
    _Static_assert(VERB_COUNT <= 64, "one bit a command");
    uint64_t bits = 0;
    for (size_t i = 0; i < listen->deny_count; i++)
        bits |= UINT64_C(1) << listen->deny[i];
    return bits;
}

static void append_denied(uint64_t bits, struct text *out)
{
    const char *separator = "[";
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        if ((bits >> verb & 1) == 0)
            continue;
        text_append_string(out, separator);
        text_append_slice(out, verb_name((enum verb)verb));
        separator = ", ";
    }
    text_append_string(out, bits == 0 ? "[]" : "]");
}

static void print_peers(const struct config_listen *listen, struct text *out)
{
    for (size_t i = 0; i < listen->peer_count; i++)
        text_appendf(out, "%s%s: %s", i == 0 ? "" : ", ", listen->peers[i].name, listen->peers[i].user);
}

static void print_further(const struct config_listen *listen, struct text *out)
{
    const struct tls_server_spec *tls = &listen->tls;
    for (size_t i = 0; i < tls->further_count; i++)
        text_appendf(out, "%s%s: %s", i == 0 ? "" : ", ", tls->further[i].certificate, tls->further[i].key);
}

/* Who its clients are, and what it shows them. */
static void diff_identities(struct line *line, const struct config_listen *old, const struct config_listen *new)
{
    struct owner tls = {"listener", new->label, "tls"};
    struct text before, after;
    diff_optional(line, &tls, &listen_tls_table, old, new, old->has_tls, new->has_tls);
    text_init(&before);
    text_init(&after);
    if (old->has_tls && new->has_tls) {
        print_further(old, &before);
        print_further(new, &after);
        append_if_changed(line, new->label, "tls.certificates", &before, &after);
    }
    print_peers(old, &before);
    print_peers(new, &after);
    append_if_changed(line, new->label, "peers", &before, &after);
    text_fini(&before);
    text_fini(&after);
}

static void diff_listen(struct line *line, const struct config_listen *old, const struct config_listen *new)
{
    struct owner owner = {"listener", new->label, NULL};
    uint64_t before = denied(old), after = denied(new);
    diff_settings(line, &owner, &listen_table, old, new);
    diff_identities(line, old, new);
    if (before == after)
        return;
    line_start_change(line);
    text_appendf(line->out, "listener %s: deny ", new->label);
    append_denied(before, line->out);
    text_append_string(line->out, " -> ");
    append_denied(after, line->out);
}

static void diff_listens(struct line *line, const struct config *old, const struct config *new)
{
    struct pairing pairing;
    const struct entry *before, *after;
    size_t at[2] = {0, 0};
    if (!pairing_init(&pairing, line, old->listens, old->listen_count, new->listens, new->listen_count,
                      sizeof(struct config_listen), name_listen))
        return;
    append_come_and_gone(line, "listeners", &pairing);
    while (next_pair(&pairing, at, &before, &after)) {
        if (before != NULL && after != NULL)
            diff_listen(line, before->thing, after->thing);
    }
    pairing_fini(&pairing);
}

/* ---- servers ---- */

/* Label and address are what a server is known by; the address follows where the label is a name. */
static void name_server(const void *thing, struct text *out)
{
    const struct config_server *server = thing;
    text_append_string(out, server->label);
    if (server->name != NULL) {
        text_append_string(out, " (");
        config_address_print(&server->address, out);
        text_append_string(out, ")");
    }
}

static void append_weights(struct line *line, const char *pool, const struct pairing *pairing)
{
    const struct entry *old, *new;
    size_t at[2] = {0, 0}, count = 0;
    while (next_pair(pairing, at, &old, &new)) {
        const struct config_server *before = old == NULL ? NULL : old->thing, *after = new == NULL ? NULL : new->thing;
        if (before == NULL || after == NULL || before->weight == after->weight)
            continue;
        if (count == 0) {
            line_start_change(line);
            text_appendf(line->out, "pool %s weights: ", pool);
        }
        if (count < CONFIG_DIFF_NAMES_MAX)
            text_appendf(line->out, "%s%s %u -> %u", count == 0 ? "" : ", ", new->name, (unsigned)before->weight,
                         (unsigned)after->weight);
        count++;
    }
    if (count > CONFIG_DIFF_NAMES_MAX)
        text_appendf(line->out, " and %zu more", count - CONFIG_DIFF_NAMES_MAX);
}

/* Whether the same servers stand in another order; to some distributions (modulo, jump) the order is all. */
static bool reordered(const struct config_pool *old, const struct config_pool *new, const struct pairing *pairing)
{
    if (pairing->old.count != pairing->new.count)
        return false;
    bool same = true, in_order = true;
    for (size_t i = 0; i < pairing->old.count && same; i++) {
        const struct config_server *before = pairing->old.items[i].thing, *after = pairing->new.items[i].thing;
        same = by_name(&pairing->old.items[i], &pairing->new.items[i]) == 0;
        in_order = in_order && before - old->servers == after - new->servers;
    }
    return same && !in_order;
}

static void diff_servers(struct line *line, const struct config_pool *old, const struct config_pool *new)
{
    struct pairing pairing;
    struct text what;
    if (!pairing_init(&pairing, line, old->servers, old->server_count, new->servers, new->server_count,
                      sizeof(struct config_server), name_server))
        return;
    text_init(&what);
    text_appendf(&what, "pool %s servers", new->name);
    if (what.failed)
        line->out->failed = true;
    else
        append_come_and_gone(line, what.data, &pairing);
    text_fini(&what);
    append_weights(line, new->name, &pairing);
    if (reordered(old, new, &pairing)) {
        line_start_change(line);
        text_appendf(line->out, "pool %s servers: another order", new->name);
    }
    pairing_fini(&pairing);
}

/* ---- pools ---- */

static void name_pool(const void *thing, struct text *out)
{
    text_append_string(out, ((const struct config_pool *)thing)->name);
}

static void diff_pool(struct line *line, const struct config_pool *old, const struct config_pool *new)
{
    struct owner owner = {"pool", new->name, NULL};
    diff_servers(line, old, new);
    diff_settings(line, &owner, &pool_table, old, new);
    owner.group = "tls";
    diff_optional(line, &owner, &pool_tls_table, old, new, old->has_tls, new->has_tls);
    owner.group = "auth";
    diff_optional(line, &owner, &pool_auth_table, old, new, old->auth.user != NULL, new->auth.user != NULL);
}

static void diff_pools(struct line *line, const struct config *old, const struct config *new)
{
    struct pairing pairing;
    const struct entry *before, *after;
    size_t at[2] = {0, 0};
    if (!pairing_init(&pairing, line, old->pools, old->pool_count, new->pools, new->pool_count,
                      sizeof(struct config_pool), name_pool))
        return;
    append_come_and_gone(line, "pools", &pairing);
    while (next_pair(&pairing, at, &before, &after)) {
        if (before != NULL && after != NULL)
            diff_pool(line, before->thing, after->thing);
    }
    pairing_fini(&pairing);
}

/* ---- rules ---- */

static void name_rule(const void *thing, struct text *out)
{
    text_append_string(out, "(");
    config_access_print(thing, out);
    text_append_string(out, ")");
}

/* Whether the same rules stand in another order; the first that matches decides. */
static bool rules_reordered(const struct config *old, const struct pairing *pairing, const struct config *new)
{
    bool in_order = true;
    for (size_t i = 0; i < pairing->old.count; i++) {
        const struct config_access_rule *before = pairing->old.items[i].thing, *after = pairing->new.items[i].thing;
        if (by_name(&pairing->old.items[i], &pairing->new.items[i]) != 0)
            return false;
        in_order = in_order && before - old->access == after - new->access;
    }
    return !in_order;
}

static void diff_rules(struct line *line, const struct config *old, const struct config *new)
{
    struct pairing pairing;
    if (!pairing_init(&pairing, line, old->access, old->access_count, new->access, new->access_count,
                      sizeof(struct config_access_rule), name_rule))
        return;
    append_come_and_gone(line, "access rules", &pairing);
    if (old->access_count == new->access_count && rules_reordered(old, &pairing, new)) {
        line_start_change(line);
        text_append_string(line->out, "access rules: another order");
    }
    pairing_fini(&pairing);
}

/* ---- all of it ---- */

static void diff_route(struct line *line, const struct config *old, const struct config *new)
{
    struct text change;
    text_init(&change);
    if (config_diff_route(old, new, &change)) {
        line_start_change(line);
        text_append_slice(line->out, text_slice(&change));
    }
    line->out->failed = line->out->failed || change.failed;
    text_fini(&change);
}

bool config_diff(const struct config *old, const struct config *new, struct text *out)
{
    struct line line = {out, false};
    struct owner file = {NULL, NULL, NULL}, users = {NULL, NULL, "users"};
    diff_pools(&line, old, new);
    diff_route(&line, old, new);
    diff_listens(&line, old, new);
    diff_settings(&line, &users, &users_table, old, new);
    diff_rules(&line, old, new);
    diff_settings(&line, &file, &config_table, old, new);
    if (!line.any)
        text_append_string(out, "no change");
    return line.any;
}
