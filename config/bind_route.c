/*
 * Owns the reading of `route`: a pool's name, a word, or a mapping whose one key is a node's kind.
 *
 *     route: {prefix: {"a:": {failover: {to: [main, gutter]}}, "*": main}}
 *
 *     spec prefix -- branch "a:" -- spec failover -- branch "to" -- spec pool main
 *                 |                              `- branch "to" -- spec pool gutter
 *                 `- branch ""   -- spec pool main
 *
 * Reading goes on behind an error, so that all are told: the tree that comes of it is whole only if there was none.
 */
#include "config/bind.h"
#include "config/nearest.h"
#include "config/timestamp.h"
#include "wire/request.h"
#include "wire/verb.h"

#include <stdlib.h>
#include <string.h>

#define ROUTE_ADVICE "a pool's name, or a node such as `{failover: {to: [main, gutter]}}`"
#define ERROR_TEXT_LEN_MAX 200
#define MS(n) ((n)*UINT64_C(1))
#define SECONDS(n) ((n)*UINT64_C(1000))
#define HOURS(n) ((n)*UINT64_C(3600000))
/* Beyond thirty days memcached takes a number for a point in time. */
#define EXPIRY_MAX HOURS(720)

static option_bind_fn bind_target, bind_targets, bind_start, bind_key_part;
static struct route_spec *bind_node(struct binder *binder, const struct yaml_node *value);

/* ---- the tables ---- */

static const struct option_choice on_choices[] = {
    {"down", ROUTE_ON_DOWN},
    {"timeout", ROUTE_ON_TIMEOUT},
    {"error", ROUTE_ON_ERROR},
    {"miss", ROUTE_ON_MISS},
    {NULL, 0},
};
static const struct option_choice write_choices[] = {
    {"all", ROUTE_WRITE_ALL},
    {"majority", ROUTE_WRITE_MAJORITY},
    {"first", ROUTE_WRITE_FIRST},
    {"async", ROUTE_WRITE_ASYNC},
    {NULL, 0},
};
static const struct option_choice read_choices[] = {
    {"first", ROUTE_READ_FIRST},
    {"round_robin", ROUTE_READ_ROUND_ROBIN},
    {"least_connections", ROUTE_READ_LEAST_CONNECTIONS},
    {"fastest", ROUTE_READ_FASTEST},
    {NULL, 0},
};

static const struct option failover_options[] = {
    {"to", OPTION_PART, .bind = bind_targets, .required = true, .advice = "a list of routes such as `[main, gutter]`"},
    {"on", OPTION_SET, .offset = offsetof(struct route_spec, on), .choices = on_choices},
    {"expiry", OPTION_DURATION, .offset = offsetof(struct route_spec, expiry_ms), .min = 0, .max = EXPIRY_MAX,
     .step = SECONDS(1), .initial = "10s"},
    {"budget", OPTION_SHARE, .offset = offsetof(struct route_spec, budget_percent), .min = 1, .max = 100,
     .initial = "100%"},
    {.name = NULL},
};
static const struct option_table failover_table = {"`failover`", failover_options};

static const struct option replicate_options[] = {
    {"to", OPTION_PART, .bind = bind_targets, .required = true, .advice = "a list of routes such as `[a, b]`"},
    {"write", OPTION_CHOICE, .offset = offsetof(struct route_spec, write), .choices = write_choices, .initial = "all"},
    {"read", OPTION_CHOICE, .offset = offsetof(struct route_spec, read), .choices = read_choices, .initial = "first"},
    {.name = NULL},
};
static const struct option_table replicate_table = {"`replicate`", replicate_options};

/* Of the kinds below, single targets stand in the order of the spec's branches. */
static const struct option warm_options[] = {
    {"cold", OPTION_PART, .bind = bind_target, .required = true},
    {"warm", OPTION_PART, .bind = bind_target, .required = true},
    {"expiry", OPTION_DURATION, .offset = offsetof(struct route_spec, expiry_ms), .min = 0, .max = EXPIRY_MAX,
     .step = SECONDS(1), .initial = "0s"},
    {.name = NULL},
};
static const struct option_table warm_table = {"`warm`", warm_options};

static const struct option migrate_options[] = {
    {"from", OPTION_PART, .bind = bind_target, .required = true},
    {"to", OPTION_PART, .bind = bind_target, .required = true},
    {"start", OPTION_TIME, .offset = offsetof(struct route_spec, start_unix_s), .bind = bind_start, .required = true,
     .advice = "a time such as `2026-11-21T10:00:00Z`"},
    {"over", OPTION_DURATION, .offset = offsetof(struct route_spec, over_ms), .min = MS(1), .max = HOURS(1000),
     .required = true},
    {"hold", OPTION_SHARE, .offset = offsetof(struct route_spec, hold_percent), .min = 0, .max = 100,
     .initial = "100%"},
    {.name = NULL},
};
static const struct option_table migrate_table = {"`migrate`", migrate_options};

static const struct option shadow_options[] = {
    {"to", OPTION_PART, .bind = bind_target, .required = true},
    {"copy", OPTION_PART, .bind = bind_target, .required = true},
    {"sample", OPTION_SHARE, .offset = offsetof(struct route_spec, sample_percent), .min = 0, .max = 100,
     .initial = "100%"},
    {.name = NULL},
};
static const struct option_table shadow_table = {"`shadow`", shadow_options};

static const struct option limit_options[] = {
    {"to", OPTION_PART, .bind = bind_target, .required = true},
    {"rate", OPTION_RATE, .offset = offsetof(struct route_spec, rate_per_s), .min = 1, .max = 10000000,
     .required = true},
    {"burst", OPTION_INTEGER, .offset = offsetof(struct route_spec, burst), .min = 1, .max = 10000000},
    {.name = NULL},
};
static const struct option_table limit_table = {"`limit`", limit_options};

static const struct option rewrite_options[] = {
    {"to", OPTION_PART, .bind = bind_target, .required = true},
    {"add", OPTION_STRING, .offset = offsetof(struct route_spec, add), .bind = bind_key_part,
     .advice = "a prefix such as `\"p:\"`"},
    {"strip", OPTION_STRING, .offset = offsetof(struct route_spec, strip), .bind = bind_key_part,
     .advice = "a prefix such as `\"p:\"`"},
    {.name = NULL},
};
static const struct option_table rewrite_table = {"`rewrite`", rewrite_options};

static const struct option ttl_options[] = {
    {"to", OPTION_PART, .bind = bind_target, .required = true},
    {"max", OPTION_DURATION, .offset = offsetof(struct route_spec, max_ms), .min = 0, .max = EXPIRY_MAX,
     .step = SECONDS(1), .initial = "0s"},
    {"jitter", OPTION_SHARE, .offset = offsetof(struct route_spec, jitter_percent), .min = 0, .max = 100,
     .initial = "0%"},
    {.name = NULL},
};
static const struct option_table ttl_table = {"`ttl`", ttl_options};

static const struct option_table *const tables[ROUTE_KIND_COUNT] = {
    [ROUTE_FAILOVER] = &failover_table, [ROUTE_REPLICATE] = &replicate_table,
    [ROUTE_WARM] = &warm_table,         [ROUTE_MIGRATE] = &migrate_table,
    [ROUTE_SHADOW] = &shadow_table,     [ROUTE_LIMIT] = &limit_table,
    [ROUTE_REWRITE] = &rewrite_table,   [ROUTE_TTL] = &ttl_table,
};

/* What stands behind a kind's colon. */
static const char *const advices[ROUTE_KIND_COUNT] = {
    [ROUTE_PREFIX] = "a mapping such as `{\"session:\": sessions, \"*\": main}`",
    [ROUTE_COMMAND] = "a mapping such as `{read: replica, \"*\": main}`",
    [ROUTE_FAILOVER] = "a mapping such as `{to: [main, gutter]}`",
    [ROUTE_REPLICATE] = "a mapping such as `{to: [a, b]}`",
    [ROUTE_WARM] = "a mapping such as `{cold: new, warm: old}`",
    [ROUTE_MIGRATE] = "a mapping such as `{from: old, to: new, start: 2026-11-21T10:00:00Z, over: 1h}`",
    [ROUTE_SHADOW] = "a mapping such as `{to: main, copy: test, sample: 10%}`",
    [ROUTE_LIMIT] = "a mapping such as `{to: main, rate: 1000/s}`",
    [ROUTE_REWRITE] = "a mapping such as `{to: main, add: \"p:\"}`",
    [ROUTE_TTL] = "a mapping such as `{to: main, max: 1h}`",
    [ROUTE_ERROR] = "a text such as `\"closed for repairs\"`",
};

const struct option_table *bind_route_table(enum route_kind kind)
{
    return tables[kind];
}

/* ---- branches ---- */

/* One more branch, without a target. NULL when memory is out. */
static struct route_branch *add_branch(struct binder *binder, struct route_spec *spec, struct slice name)
{
    struct route_branch *branches = realloc(spec->branches, (spec->branch_count + 1) * sizeof *branches);
    if (branches == NULL) {
        config_errors_no_memory(binder->errors);
        return NULL;
    }
    spec->branches = branches;
    struct route_branch *branch = &branches[spec->branch_count++];
    *branch = (struct route_branch){option_copy(binder, name), NULL};
    return branch;
}

static void bind_branch(struct binder *binder, struct route_spec *spec, struct slice name,
                        const struct yaml_node *value)
{
    struct route_spec *to = bind_node(binder, value);
    struct route_branch *branch = add_branch(binder, spec, name);
    if (branch != NULL)
        branch->to = to;
    else
        route_spec_destroy(&to);
}

static bool check_branch_count(struct binder *binder, const char *name, const struct yaml_node *value)
{
    if (value->count > ROUTE_BRANCHES_MAX)
        config_errors_add(binder->errors, value->line, value->column, "`%s` has %zu routes; a node has at most %d",
                          name, value->count, ROUTE_BRANCHES_MAX);
    return value->count <= ROUTE_BRANCHES_MAX;
}

/* The branches of a kind's single targets, in the order of its table. */
static void prepare_targets(struct binder *binder, struct route_spec *spec)
{
    for (const struct option *option = tables[spec->kind]->options; option->name != NULL; option++) {
        if (option->bind == bind_target)
            (void)add_branch(binder, spec, slice_make(option->name, strlen(option->name)));
    }
}

static void bind_target(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct route_spec *spec = target;
    struct route_spec *to = bind_node(binder, value);
    for (size_t i = 0; i < spec->branch_count; i++) {
        struct route_branch *branch = &spec->branches[i];
        if (branch->name != NULL && strcmp(branch->name, option->name) == 0 && branch->to == NULL) {
            branch->to = to;
            return;
        }
    }
    /* Memory was out when the branches were made. */
    route_spec_destroy(&to);
}

static void bind_targets(struct binder *binder, const struct option *option, const struct yaml_node *value,
                         void *target)
{
    if (value->kind != YAML_KIND_LIST) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0)
        config_errors_add(binder->errors, value->line, value->column,
                          "`to`: found an empty list; write at least one route");
    if (!check_branch_count(binder, option->name, value))
        return;
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next)
        bind_branch(binder, target, slice_make(option->name, strlen(option->name)), item);
}

/* ---- options ---- */

static void bind_start(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct route_spec *spec = target;
    struct slice text;
    const char *error;
    if (option_text(binder, option, value, &text) && !timestamp_parse(text, &spec->start_unix_s, &error))
        config_errors_add(binder->errors, value->line, value->column, "`%s`: %s %s", option->name, quote(text).text,
                          error);
}

/* What is wrong with bytes that are to be the beginning of a key; NULL: nothing. */
static const char *key_part_error(struct slice text)
{
    if (text.len == 0)
        return "is empty";
    if (text.len > KEY_LEN_MAX)
        return "is longer than a key can be, 250 bytes";
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return "has a space or a control character in it, as no key has";
    }
    return NULL;
}

static void bind_key_part(struct binder *binder, const struct option *option, const struct yaml_node *value,
                          void *target)
{
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return;
    const char *error = key_part_error(text);
    char *copy = error == NULL ? option_copy(binder, text) : NULL;
    if (error != NULL)
        config_errors_add(binder->errors, value->line, value->column, "`%s`: %s %s", option->name, quote(text).text,
                          error);
    memcpy((char *)target + option->offset, &copy, sizeof copy);
}

/* ---- nodes with options ---- */

/* The defaults that are no constants of a table. */
static void set_defaults(const struct yaml_node *value, struct route_spec *spec)
{
    if (spec->kind == ROUTE_FAILOVER && yaml_find(value, "on") == NULL)
        spec->on = ROUTE_ON_DOWN | ROUTE_ON_TIMEOUT | ROUTE_ON_ERROR;
    /* What comes in a tenth of a second. */
    if (spec->kind == ROUTE_LIMIT && yaml_find(value, "burst") == NULL)
        spec->burst = spec->rate_per_s < 10 ? 1 : spec->rate_per_s / 10;
}

static void check_purpose(struct binder *binder, const struct yaml_node *value, const struct route_spec *spec)
{
    const char *wanted = NULL;
    if (spec->kind == ROUTE_REWRITE && yaml_find(value, "add") == NULL && yaml_find(value, "strip") == NULL)
        wanted = "`add` nor `strip`";
    if (spec->kind == ROUTE_TTL && yaml_find(value, "max") == NULL && yaml_find(value, "jitter") == NULL)
        wanted = "`max` nor `jitter`";
    if (wanted != NULL)
        config_errors_add(binder->errors, value->key->line, value->key->column, "`%s` has neither %s",
                          route_kind_name(spec->kind), wanted);
}

static void bind_options(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    const struct option_table *table = tables[spec->kind];
    option_set_defaults(table, spec);
    prepare_targets(binder, spec);
    option_bind_mapping(binder, table, value, spec);
    set_defaults(value, spec);
    check_purpose(binder, value, spec);
    for (const struct option *option = table->options; (option = option_missing(option, value)) != NULL; option++)
        config_errors_add(binder->errors, value->key->line, value->key->column, "`%s` has no `%s`",
                          route_kind_name(spec->kind), option->name);
}

/* ---- prefix and command ---- */

static bool check_prefix(struct binder *binder, const struct yaml_node *key)
{
    const char *error = key_part_error(key->text);
    if (key->text.len == 0)
        error = "is empty; write `\"*\"` for what no prefix matches";
    else if (error == NULL && key->text.data[key->text.len - 1] == '*')
        error = "ends with `*`; write the prefix alone";
    if (error != NULL)
        config_errors_add(binder->errors, key->line, key->column, "`prefix`: %s %s", quote(key->text).text, error);
    return error == NULL;
}

static const char *const groups[] = {"read", "write", "arithmetic", "touch"};
#define GROUP_COUNT (sizeof groups / sizeof groups[0])

/* Whether requests with this command have a key, and so go through the route. */
static bool goes_through(enum verb verb)
{
    return verb_group(verb) != VERB_GROUP_LOCAL && verb != VERB_FLUSH_ALL;
}

static void refuse_command(struct binder *binder, const struct yaml_node *key)
{
    struct nearest nearest;
    nearest_init(&nearest, key->text);
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        if (goes_through((enum verb)verb))
            nearest_offer(&nearest, verb_name((enum verb)verb));
    }
    for (size_t i = 0; i < GROUP_COUNT; i++)
        nearest_offer_string(&nearest, groups[i]);
    if (nearest.best.data != NULL)
        config_errors_add(binder->errors, key->line, key->column,
                          "`command`: no command or group is named %s; did you mean `%.*s`?", quote(key->text).text,
                          (int)nearest.best.len, nearest.best.data);
    else
        config_errors_add(binder->errors, key->line, key->column,
                          "`command`: no command or group is named %s; the groups are `read`, `write`, `arithmetic`, "
                          "`touch`, and `\"*\"` is all others",
                          quote(key->text).text);
}

static bool check_command(struct binder *binder, const struct yaml_node *key)
{
    enum verb verb;
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (slice_equal(key->text, slice_make(groups[i], strlen(groups[i]))))
            return true;
    }
    if (!verb_by_name(key->text, &verb)) {
        refuse_command(binder, key);
        return false;
    }
    if (!goes_through(verb))
        config_errors_add(binder->errors, key->line, key->column,
                          "`command`: %s has no key, and does not go through the route", quote(key->text).text);
    return goes_through(verb);
}

static void bind_cases(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    bool by_prefix = spec->kind == ROUTE_PREFIX;
    if (value->count == 0)
        config_errors_add(binder->errors, value->line, value->column, "`%s`: found an empty mapping; write %s",
                          route_kind_name(spec->kind), advices[spec->kind]);
    if (!check_branch_count(binder, route_kind_name(spec->kind), value))
        return;
    for (const struct yaml_node *child = value->first; child != NULL; child = child->next) {
        const struct yaml_node *key = child->key;
        bool is_rest = slice_equal(key->text, SLICE_OF("*"));
        if (!is_rest)
            (void)(by_prefix ? check_prefix(binder, key) : check_command(binder, key));
        bind_branch(binder, spec, is_rest && by_prefix ? SLICE_OF("") : key->text, child);
    }
}

/* ---- words ---- */

static void bind_error(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    const char *error = NULL;
    if (value->text.len == 0)
        error = "is empty";
    else if (value->text.len > ERROR_TEXT_LEN_MAX)
        error = "is longer than 200 bytes";
    for (size_t i = 0; i < value->text.len && error == NULL; i++) {
        if ((unsigned char)value->text.data[i] < ' ' || value->text.data[i] == 0x7f)
            error = "has a control character in it";
    }
    if (error != NULL)
        config_errors_add(binder->errors, value->line, value->column, "`error`: %s %s", quote(value->text).text, error);
    else
        spec->text = option_copy(binder, value->text);
}

static bool kind_by_name(struct slice name, enum route_kind *kind_out)
{
    for (int kind = ROUTE_POOL + 1; kind < ROUTE_KIND_COUNT; kind++) {
        const char *known = route_kind_name((enum route_kind)kind);
        if (slice_equal(name, slice_make(known, strlen(known)))) {
            *kind_out = (enum route_kind)kind;
            return true;
        }
    }
    return false;
}

static void refuse_name(struct binder *binder, const struct yaml_node *value)
{
    const struct config *config = binder->config;
    struct nearest nearest;
    enum route_kind kind;
    nearest_init(&nearest, value->text);
    for (size_t i = 0; i < config->pool_count; i++) {
        if (config->pools[i].name != NULL)
            nearest_offer_string(&nearest, config->pools[i].name);
    }
    if (kind_by_name(value->text, &kind))
        config_errors_add(binder->errors, value->line, value->column, "`route`: %s is a node; write `%s:` and %s",
                          quote(value->text).text, route_kind_name(kind), advices[kind]);
    else if (nearest.best.data != NULL)
        config_errors_add(binder->errors, value->line, value->column,
                          "`route`: no pool is named %s; did you mean `%s`?", quote(value->text).text,
                          nearest.best.data);
    else
        config_errors_add(binder->errors, value->line, value->column, "`route`: no pool is named %s",
                          quote(value->text).text);
}

/* A pool's name goes before the word `miss`. */
static void bind_word(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    const struct config *config = binder->config;
    spec->kind = ROUTE_POOL;
    for (size_t i = 0; i < config->pool_count; i++) {
        if (config->pools[i].name != NULL && strcmp(config->pools[i].name, value->text.data) == 0) {
            spec->pool = i;
            return;
        }
    }
    if (slice_equal(value->text, SLICE_OF("miss")))
        spec->kind = ROUTE_MISS;
    else
        refuse_name(binder, value);
}

/* ---- any node ---- */

static void refuse_kind(struct binder *binder, const struct yaml_node *key)
{
    struct nearest nearest;
    struct text known;
    nearest_init(&nearest, key->text);
    text_init(&known);
    for (int kind = ROUTE_POOL + 1; kind < ROUTE_KIND_COUNT; kind++) {
        const char *name = route_kind_name((enum route_kind)kind);
        nearest_offer_string(&nearest, name);
        text_appendf(&known, "%s`%s`", kind == ROUTE_POOL + 1 ? "" : ", ", name);
    }
    if (known.failed)
        config_errors_no_memory(binder->errors);
    else if (nearest.best.data != NULL)
        config_errors_add(binder->errors, key->line, key->column, "unknown route node %s; did you mean `%s`?",
                          quote(key->text).text, nearest.best.data);
    else
        config_errors_add(binder->errors, key->line, key->column, "unknown route node %s; the nodes are %s",
                          quote(key->text).text, known.data);
    text_fini(&known);
}

static void bind_kind(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    enum yaml_kind due = spec->kind == ROUTE_ERROR ? YAML_KIND_SCALAR : YAML_KIND_MAPPING;
    if (spec->kind == ROUTE_MISS)
        config_errors_add(binder->errors, value->key->line, value->key->column,
                          "`miss` is a word alone; write `miss` without a colon");
    else if (value->kind != due || yaml_is_null(value))
        config_errors_add(
            binder->errors, value->line, value->column, "`%s`: found %s; write %s", route_kind_name(spec->kind),
            value->kind == YAML_KIND_SCALAR && !yaml_is_null(value) ? quote(value->text).text : yaml_kind_name(value),
            advices[spec->kind]);
    else if (spec->kind == ROUTE_ERROR)
        bind_error(binder, value, spec);
    else if (tables[spec->kind] != NULL)
        bind_options(binder, value, spec);
    else
        bind_cases(binder, value, spec);
}

static void bind_any(struct binder *binder, const struct yaml_node *value, struct route_spec *spec)
{
    if (value->kind == YAML_KIND_SCALAR && !yaml_is_null(value))
        bind_word(binder, value, spec);
    else if (value->kind != YAML_KIND_MAPPING)
        config_errors_add(binder->errors, value->line, value->column, "`route`: found %s; write " ROUTE_ADVICE,
                          yaml_kind_name(value));
    else if (value->count != 1)
        config_errors_add(binder->errors, value->line, value->column,
                          "`route`: found a mapping with %zu keys; a node has one, its kind", value->count);
    else if (!kind_by_name(value->first->key->text, &spec->kind))
        refuse_kind(binder, value->first->key);
    else
        bind_kind(binder, value->first, spec);
}

/* Whether there is room for one more node; if not, an error, once for each place or for the route. */
static bool check_size(struct binder *binder, const struct yaml_node *value)
{
    binder->route_nodes++;
    if (binder->route_depth == ROUTE_DEPTH_MAX)
        config_errors_add(binder->errors, value->line, value->column,
                          "`route`: more than %d nodes on top of each other", ROUTE_DEPTH_MAX);
    else if (binder->route_nodes == ROUTE_NODES_MAX + 1)
        config_errors_add(binder->errors, value->line, value->column, "`route`: more than %d nodes in all",
                          ROUTE_NODES_MAX);
    return binder->route_depth < ROUTE_DEPTH_MAX && binder->route_nodes <= ROUTE_NODES_MAX;
}

/* NULL when there is no room for it, or no memory. */
static struct route_spec *bind_node(struct binder *binder, const struct yaml_node *value)
{
    if (!check_size(binder, value))
        return NULL;
    struct route_spec *spec = calloc(1, sizeof *spec);
    if (spec == NULL) {
        config_errors_no_memory(binder->errors);
        return NULL;
    }
    spec->line = value->line;
    spec->column = value->column;
    binder->route_depth++;
    bind_any(binder, value, spec);
    binder->route_depth--;
    return spec;
}

/* Items are taken out of `warm` with the time that they have left, which the binary protocol does not tell. */
static void check_warm(struct binder *binder, const struct route_spec *spec, bool is_warm)
{
    const struct config_pool *pools = binder->config->pools;
    if (spec == NULL)
        return;
    if (is_warm && spec->kind == ROUTE_POOL && pools[spec->pool].protocol == CONFIG_PROTOCOL_BINARY)
        config_errors_add(binder->errors, spec->line, spec->column,
                          "`warm`: pool `%s` speaks binary, which does not tell how long an item lives; write "
                          "`protocol: text` there",
                          pools[spec->pool].name);
    for (size_t i = 0; i < spec->branch_count; i++)
        check_warm(binder, spec->branches[i].to, is_warm || (spec->kind == ROUTE_WARM && i == 1));
}

void bind_route(struct binder *binder, const struct yaml_node *root)
{
    const struct yaml_node *pools = yaml_find(root, "pools");
    if (binder->route != NULL) {
        binder->config->route = bind_node(binder, binder->route);
        if (config_errors_none(binder->errors))
            check_warm(binder, binder->config->route, false);
        return;
    }
    binder->config->route = calloc(1, sizeof *binder->config->route);
    if (binder->config->route == NULL)
        config_errors_no_memory(binder->errors);
    if (pools != NULL && binder->config->pool_count > 1)
        config_errors_add(binder->errors, pools->key->line, pools->key->column,
                          "there are %zu pools and no `route`; write `route:` and a pool's name",
                          binder->config->pool_count);
}
