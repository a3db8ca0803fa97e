/*
 * Owns the comparison of two configurations key by key.
 *
 *      key -- old route --> server a -- its pool's row: keys, moved
 *          `- new route --> server b -- its pool's row: arrived (if it is another pool)
 *
 * A row is a pool, by its name, in the old configuration, the new one, or both. A pool that the sample's keys do not go
 * to first (a stand-in, a copy) is compared by itself: as if all keys lived there. It prints nothing.
 */
#include "admin/plan.h"

#include "config/address.h"
#include "config/diff.h"
#include "config/timestamp.h"
#include "wire/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A pool on both sides. */
struct row {
    const struct pool *old, *new; /* NULL: it is not there */
    const struct config_pool *old_config, *new_config;
    bool same_ring;
    size_t keys;       /* go here first, by the old route */
    size_t moved;      /* of these: to another server */
    size_t arrived;    /* come here from other pools, or from none */
    size_t would_move; /* of the sample, if all of it lived here; counted while `keys` is 0 */
};

struct comparison {
    const struct snapshot *old, *new;
    struct route_worker old_worker, new_worker;
    struct row *rows;
    size_t row_count;
    uint32_t *row_of_slot; /* by the slot of a server: its pool's row */
    bool *in_old, *in_new; /* by slot */
    size_t keys, moved;
};

/* ---- rows ---- */

static const char *name_of(const struct row *row)
{
    return row->old != NULL ? row->old->name : row->new->name;
}

static size_t find_row(const struct comparison *comparison, const char *name)
{
    size_t i = 0;
    while (i < comparison->row_count && strcmp(name_of(&comparison->rows[i]), name) != 0)
        i++;
    return i;
}

static bool same_servers(const struct row *row)
{
    if (row->old->server_count != row->new->server_count)
        return false;
    for (size_t i = 0; i < row->old->server_count; i++) {
        const struct config_server *old = &row->old_config->servers[i], *new = &row->new_config->servers[i];
        if (row->old->servers[i] != row->new->servers[i] || old->weight != new->weight ||
            (old->name == NULL) != (new->name == NULL))
            return false;
    }
    return true;
}

static bool same_ring(const struct row *row)
{
    const struct config_pool *old = row->old_config, *new = row->new_config;
    return strcmp(old->distribution, new->distribution) == 0 && strcmp(old->hash, new->hash) == 0 &&
           memcmp(old->hash_tag, new->hash_tag, sizeof old->hash_tag) == 0 && same_servers(row);
}

static void note_servers(struct comparison *comparison, const struct pool *pool, size_t row, bool *in)
{
    for (size_t i = 0; i < pool->server_count; i++) {
        comparison->row_of_slot[pool->servers[i]->slot] = (uint32_t)row;
        in[pool->servers[i]->slot] = true;
    }
}

/* Old pools first, in their order; then those that are new. */
static void make_rows(struct comparison *comparison)
{
    for (size_t i = 0; i < comparison->old->pool_count; i++) {
        comparison->rows[i] =
            (struct row){.old = &comparison->old->pools[i], .old_config = &comparison->old->config->pools[i]};
        note_servers(comparison, &comparison->old->pools[i], i, comparison->in_old);
    }
    comparison->row_count = comparison->old->pool_count;
    for (size_t i = 0; i < comparison->new->pool_count; i++) {
        const struct pool *pool = &comparison->new->pools[i];
        size_t place = find_row(comparison, pool->name);
        struct row *row = &comparison->rows[place];
        if (place == comparison->row_count) {
            *row = (struct row){.new = pool};
            comparison->row_count++;
        }
        row->new = pool;
        row->new_config = &comparison->new->config->pools[i];
        note_servers(comparison, pool, place, comparison->in_new);
    }
    for (size_t i = 0; i < comparison->row_count; i++) {
        struct row *row = &comparison->rows[i];
        row->same_ring = row->old != NULL && row->new != NULL &&same_ring(row);
    }
}

static void comparison_fini(struct comparison *comparison)
{
    free(comparison->rows);
    free(comparison->row_of_slot);
    free(comparison->in_old);
    free(comparison->in_new);
    if (comparison->old_worker.route != NULL)
        route_worker_fini(&comparison->old_worker);
    if (comparison->new_worker.route != NULL)
        route_worker_fini(&comparison->new_worker);
}

/* false: memory is out. comparison_fini is to be called in every case. */
static bool comparison_init(struct comparison *comparison, const struct snapshot *old, const struct snapshot *new,
                            const struct registry *registry, uint64_t unix_us)
{
    size_t slots = registry->slot_count;
    *comparison = (struct comparison){.old = old, .new = new};
    comparison->rows = calloc(old->pool_count + new->pool_count, sizeof *comparison->rows);
    comparison->row_of_slot = calloc(slots, sizeof *comparison->row_of_slot);
    comparison->in_old = calloc(slots, sizeof *comparison->in_old);
    comparison->in_new = calloc(slots, sizeof *comparison->in_new);
    if (comparison->rows == NULL || comparison->row_of_slot == NULL || comparison->in_old == NULL ||
        comparison->in_new == NULL)
        return false;
    if (!snapshot_dry_worker(old, unix_us, &comparison->old_worker)) {
        comparison->old_worker.route = NULL;
        return false;
    }
    if (!snapshot_dry_worker(new, unix_us, &comparison->new_worker)) {
        comparison->new_worker.route = NULL;
        return false;
    }
    make_rows(comparison);
    return true;
}

/* ---- keys ---- */

bool plan_key_is_lawful(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.data[i] <= ' ' || key.data[i] == 127)
            return false;
    }
    return key.len > 0 && key.len <= KEY_LEN_MAX;
}

static void compare_key(struct comparison *comparison, struct slice key)
{
    const struct server *from = route_owner(&comparison->old_worker, key);
    const struct server *to = route_owner(&comparison->new_worker, key);
    size_t from_row = from != NULL ? comparison->row_of_slot[from->slot] : SIZE_MAX;
    size_t to_row = to != NULL ? comparison->row_of_slot[to->slot] : SIZE_MAX;
    comparison->keys++;
    comparison->moved += from != to;
    if (from != NULL) {
        comparison->rows[from_row].keys++;
        comparison->rows[from_row].moved += from != to;
    }
    if (to != NULL && to_row != from_row)
        comparison->rows[to_row].arrived++;
    for (size_t i = 0; i < comparison->row_count; i++) {
        struct row *row = &comparison->rows[i];
        if (row->keys > 0 || row->same_ring || row->old == NULL || row->new == NULL)
            continue;
        row->would_move += row->old->servers[pool_explain(row->old, key).server] !=
                           row->new->servers[pool_explain(row->new, key).server];
    }
}

static void compare_sequence(struct comparison *comparison)
{
    char key[4 + TEXT_U64_DIGITS] = "key:";
    for (uint64_t i = 0; i < PLAN_SAMPLE; i++)
        compare_key(comparison, slice_make(key, 4 + text_print_u64(i, key + 4)));
}

static void compare_file(struct comparison *comparison, FILE *file, struct plan_result *result)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t read;
    errno = 0;
    while ((read = getline(&line, &capacity, file)) >= 0) {
        size_t len = (size_t)read;
        number++;
        if (len > 0 && line[len - 1] == '\n')
            len--;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        if (len == 0)
            continue;
        if (!plan_key_is_lawful(slice_make(line, len))) {
            result->wrong_line = number;
            break;
        }
        compare_key(comparison, slice_make(line, len));
    }
    if (read < 0 && !feof(file))
        result->system_error = errno != 0 ? errno : EIO;
    free(line);
}

/* ---- words ---- */

static double percent(size_t part, size_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void append_server(const char *what, const struct config_server *server, struct text *out)
{
    text_appendf(out, "  %s %s", what, server->label);
    if (server->name != NULL) {
        text_append_string(out, " at ");
        config_address_print(&server->address, out);
    }
}

/* The servers of `of` that are not in the other configuration. */
static void append_come_or_gone(const char *what, const struct pool *of, const struct config_pool *config,
                                const bool *in_other, struct text *out)
{
    for (size_t i = 0; of != NULL && i < of->server_count; i++) {
        if (in_other[of->servers[i]->slot])
            continue;
        append_server(what, &config->servers[i], out);
        text_append(out, "\n", 1);
    }
}

/* weights: scratch, by slot, all 0; it is so again afterwards. */
static void append_weights(const struct row *row, uint32_t *weights, struct text *out)
{
    for (size_t i = 0; i < row->old->server_count; i++)
        weights[row->old->servers[i]->slot] = row->old_config->servers[i].weight;
    for (size_t i = 0; i < row->new->server_count; i++) {
        uint32_t before = weights[row->new->servers[i]->slot], after = row->new_config->servers[i].weight;
        if (before == 0 || before == after)
            continue;
        append_server("weight of", &row->new_config->servers[i], out);
        text_appendf(out, ": %u -> %u\n", (unsigned)before, (unsigned)after);
    }
    for (size_t i = 0; i < row->old->server_count; i++)
        weights[row->old->servers[i]->slot] = 0;
}

static void append_count(size_t count, struct text *out)
{
    text_appendf(out, "%zu server%s", count, count == 1 ? "" : "s");
}

static void append_title(const struct row *row, struct text *out)
{
    text_appendf(out, "pool %s: ", name_of(row));
    if (row->old != NULL && row->new != NULL && row->old->server_count != row->new->server_count)
        text_appendf(out, "%zu -> ", row->old->server_count);
    if (row->new == NULL)
        text_append_string(out, "removed, ");
    if (row->old == NULL)
        text_append_string(out, "added, ");
    append_count(row->new != NULL ? row->new->server_count : row->old->server_count, out);
    text_append(out, "\n", 1);
}

static void append_shares(const struct row *row, size_t keys, struct text *out)
{
    if (row->keys > 0)
        text_appendf(out, "  %.2f%% of its keys move (%zu of %zu)\n", percent(row->moved, row->keys), row->moved,
                     row->keys);
    else if (row->same_ring)
        text_append_string(out, "  no key goes here first; none would move\n");
    else if (row->old != NULL && row->new != NULL)
        text_appendf(out, "  no key goes here first; %.2f%% would move (%zu of %zu)\n", percent(row->would_move, keys),
                     row->would_move, keys);
    else if (row->old != NULL)
        text_append_string(out, "  no key goes here first\n");
    if (row->arrived > 0)
        text_appendf(out, "  %.2f%% of all keys come here (%zu of %zu)\n", percent(row->arrived, keys), row->arrived,
                     keys);
    else if (row->old == NULL)
        text_append_string(out, "  no key comes here first\n");
}

static bool route_has(const struct route_spec *spec, bool (*test)(const struct route_spec *spec))
{
    if (test(spec))
        return true;
    for (size_t i = 0; i < spec->branch_count; i++) {
        if (route_has(spec->branches[i].to, test))
            return true;
    }
    return false;
}

static bool goes_by_time(const struct route_spec *spec)
{
    return spec->kind == ROUTE_MIGRATE;
}

static bool goes_by_turns(const struct route_spec *spec)
{
    return spec->kind == ROUTE_REPLICATE && spec->read != ROUTE_READ_FIRST;
}

/* What the numbers leave out. */
static void append_notes(const struct comparison *comparison, uint64_t unix_us, struct text *out)
{
    const struct route_spec *old = comparison->old->config->route, *new = comparison->new->config->route;
    if (route_has(old, goes_by_time) || route_has(new, goes_by_time)) {
        text_append_string(out, "note: migrations as they stand at ");
        timestamp_print((int64_t)(unix_us / 1000000), out);
        text_append(out, "\n", 1);
    }
    if (route_has(old, goes_by_turns) || route_has(new, goes_by_turns))
        text_append_string(out,
                           "note: a replicate node reads by turns, load or latency; a key counts where one get of it "
                           "would go\n");
}

static void append_all(struct comparison *comparison, uint64_t unix_us, uint32_t *weights, struct text *out)
{
    for (size_t i = 0; i < comparison->row_count; i++) {
        const struct row *row = &comparison->rows[i];
        append_title(row, out);
        append_come_or_gone("added", row->new, row->new_config, comparison->in_old, out);
        append_come_or_gone("removed", row->old, row->old_config, comparison->in_new, out);
        if (row->old != NULL && row->new != NULL)
            append_weights(row, weights, out);
        append_shares(row, comparison->keys, out);
    }
    if (config_diff_route(comparison->old->config, comparison->new->config, out))
        text_append(out, "\n", 1);
    append_notes(comparison, unix_us, out);
    text_appendf(out, "in all %.2f%% of the keys move (%zu of %zu)\n", percent(comparison->moved, comparison->keys),
                 comparison->moved, comparison->keys);
}

bool plan_compare(const struct snapshot *old, const struct snapshot *new, const struct registry *registry, FILE *file,
                  uint64_t unix_us, struct text *out, struct plan_result *result_out)
{
    struct comparison comparison;
    uint32_t *weights = calloc(registry->slot_count, sizeof *weights);
    *result_out = (struct plan_result){0};
    if (!comparison_init(&comparison, old, new, registry, unix_us) || weights == NULL)
        result_out->system_error = ENOMEM;
    else if (file != NULL)
        compare_file(&comparison, file, result_out);
    else
        compare_sequence(&comparison);
    bool whole = result_out->system_error == 0 && result_out->wrong_line == 0;
    result_out->keys = comparison.keys;
    if (whole)
        append_all(&comparison, unix_us, weights, out);
    comparison_fini(&comparison);
    free(weights);
    return whole;
}
