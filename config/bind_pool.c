/*
 * Owns the reading of `pools`: a mapping from names to pools, each with its servers and settings.
 *
 *     pools: {main: {servers: [10.0.0.1:11211, {address: 10.0.0.2:11211, name: b}], timeout: 250ms}}
 *             pools[0]         servers[0]      servers[1]
 *
 * It knows the names of distributions and hashes from routing/, and builds no ring.
 */
#include "config/bind.h"
#include "config/nearest.h"
#include "routing/hash.h"
#include "routing/ring.h"

#include <stdlib.h>
#include <string.h>

static option_bind_fn bind_servers, bind_distribution, bind_hash, bind_hash_tag, bind_server_address, bind_server_name;

#define MS(n) ((n)*UINT64_C(1))
#define HOURS(n) ((n)*UINT64_C(3600000))
#define DISTRIBUTION_DEFAULT "ketama"

/* ---- the tables ---- */

static const struct option server_options[] = {
    {"address", OPTION_PART, .bind = bind_server_address},
    {"name", OPTION_STRING, .offset = offsetof(struct config_server, name), .bind = bind_server_name,
     .advice = "a name such as `cache-1`"},
    {"weight", OPTION_INTEGER, .offset = offsetof(struct config_server, weight), .min = 1, .max = RING_WEIGHT_MAX,
     .initial = "1"},
    {.name = NULL},
};
const struct option_table server_table = {"a server", server_options};

static const struct option health_options[] = {
    {"failures", OPTION_INTEGER, .offset = offsetof(struct config_pool, health_failures), .min = 1, .max = 1000000,
     .initial = "3"},
    {"probe", OPTION_DURATION, .offset = offsetof(struct config_pool, health_probe_ms), .min = MS(10), .max = HOURS(1),
     .initial = "1s"},
    {"probe_max", OPTION_DURATION, .offset = offsetof(struct config_pool, health_probe_max_ms), .min = MS(10),
     .max = HOURS(24), .initial = "30s"},
    {"panic", OPTION_SHARE, .offset = offsetof(struct config_pool, health_panic_percent), .min = 0, .max = 100,
     .initial = "50%"},
    {.name = NULL},
};
static const struct option_table health_table = {"`health`", health_options};

static const struct option_choice on_down_choices[] = {
    {"next", CONFIG_ON_DOWN_NEXT},
    {"hold", CONFIG_ON_DOWN_HOLD},
    {NULL, 0},
};
static const struct option_choice on_error_choices[] = {
    {"error", CONFIG_ON_ERROR_ERROR},
    {"miss", CONFIG_ON_ERROR_MISS},
    {NULL, 0},
};
static const struct option_choice on_return_choices[] = {
    {"keep", CONFIG_ON_RETURN_KEEP},
    {"flush", CONFIG_ON_RETURN_FLUSH},
    {NULL, 0},
};

static const struct option_choice protocol_choices[] = {
    {"text", CONFIG_PROTOCOL_TEXT},
    {"binary", CONFIG_PROTOCOL_BINARY},
    {NULL, 0},
};

static const struct option pool_options[] = {
    {"servers", OPTION_PART, .bind = bind_servers, .advice = "a list such as `[10.0.0.1:11211, 10.0.0.2:11211]`"},
    {"distribution", OPTION_STRING, .offset = offsetof(struct config_pool, distribution), .bind = bind_distribution,
     .advice = "a distribution such as `ketama`"},
    {"hash", OPTION_STRING, .offset = offsetof(struct config_pool, hash), .bind = bind_hash,
     .advice = "a hash function such as `md5`"},
    {"hash_tag", OPTION_TAG, .offset = offsetof(struct config_pool, hash_tag), .bind = bind_hash_tag,
     .advice = "two characters in quotes, such as `\"{}\"`"},
    {"protocol", OPTION_CHOICE, .offset = offsetof(struct config_pool, protocol), .choices = protocol_choices,
     .initial = "text"},
    {"connections", OPTION_INTEGER, .offset = offsetof(struct config_pool, connections), .min = 1, .max = 64,
     .initial = "1"},
    {"connect_timeout", OPTION_DURATION, .offset = offsetof(struct config_pool, connect_timeout_ms), .min = MS(1),
     .max = HOURS(1), .initial = "200ms"},
    {"timeout", OPTION_DURATION, .offset = offsetof(struct config_pool, timeout_ms), .min = MS(1), .max = HOURS(1),
     .initial = "250ms"},
    {"health", OPTION_GROUP, .table = &health_table},
    {"on_down", OPTION_CHOICE, .offset = offsetof(struct config_pool, on_down), .choices = on_down_choices,
     .initial = "next"},
    {"on_error", OPTION_CHOICE, .offset = offsetof(struct config_pool, on_error), .choices = on_error_choices,
     .initial = "error"},
    {"on_return", OPTION_CHOICE, .offset = offsetof(struct config_pool, on_return), .choices = on_return_choices,
     .initial = "keep"},
    {"tls", OPTION_PART, .bind = bind_pool_tls, .advice = "`yes`, `no`, or a mapping such as `{ca: ca.pem}`"},
    {"auth", OPTION_PART, .bind = bind_pool_auth, .advice = "a mapping such as `{user: app, password_file: secret}`"},
    {.name = NULL},
};
const struct option_table pool_table = {"a pool", pool_options};

/* ---- a server ---- */

static void bind_server_address(struct binder *binder, const struct option *option, const struct yaml_node *value,
                                void *target)
{
    struct config_server *server = target;
    (void)option;
    bind_address(binder, "server", value, false, &server->address);
}

static void bind_server_name(struct binder *binder, const struct option *option, const struct yaml_node *value,
                             void *target)
{
    struct config_server *server = target;
    struct slice text;
    if (option_text(binder, option, value, &text) && bind_check_name(binder, "server", value, text))
        server->name = option_copy(binder, text);
}

static void bind_server(struct binder *binder, const struct yaml_node *item, struct config_server *server)
{
    option_set_defaults(&server_table, server);
    server->line = item->line;
    server->column = item->column;
    if (item->kind != YAML_KIND_MAPPING) {
        bind_address(binder, "server", item, false, &server->address);
    } else {
        option_bind_mapping(binder, &server_table, item, server);
        if (yaml_find(item, "address") == NULL)
            config_errors_add(binder->errors, item->line, item->column, "a server without `address`");
    }
    if (server->name != NULL)
        server->label = option_copy(binder, slice_make(server->name, strlen(server->name)));
    else
        server->label = bind_label(binder, &server->address);
}

/* ---- the servers of a pool ---- */

static const struct yaml_node *child_or_self(const struct yaml_node *node, const char *key)
{
    const struct yaml_node *child = yaml_find(node, key);
    return child != NULL ? child : node;
}

/* No two servers of a pool have the same address, nor the same label: the ring could not tell them apart. */
static void refuse_twin_servers(struct binder *binder, const struct yaml_node *list, const struct config_pool *pool)
{
    struct bind_twin *twins = calloc(pool->server_count, sizeof *twins);
    if (twins == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    const struct yaml_node *item = list->first;
    for (size_t i = 0; i < pool->server_count; i++, item = item->next) {
        twins[i] = (struct bind_twin){.place = child_or_self(item, "address"), .rank = i};
        twins[i].identity = bind_identity(binder, &pool->servers[i].address);
    }
    bind_refuse_twins(binder, twins, pool->server_count, "server", "stands twice in the pool");
    item = list->first;
    for (size_t i = 0; i < pool->server_count; i++, item = item->next) {
        const char *label = pool->servers[i].label;
        bool said_already = twins[i].refused && pool->servers[i].name == NULL;
        twins[i].place = child_or_self(item, "name");
        if (!said_already && label != NULL)
            twins[i].identity = option_copy(binder, slice_make(label, strlen(label)));
    }
    bind_refuse_twins(binder, twins, pool->server_count, "server name", "stands twice in the pool");
    free(twins);
}

static void bind_servers(struct binder *binder, const struct option *option, const struct yaml_node *value,
                         void *target)
{
    struct config_pool *pool = target;
    if (value->kind != YAML_KIND_LIST) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column,
                          "`servers`: found an empty list; a pool has at least one server");
        return;
    }
    pool->servers = calloc(value->count, sizeof *pool->servers);
    if (pool->servers == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    pool->server_count = value->count;
    struct config_server *server = pool->servers;
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next)
        bind_server(binder, item, server++);
    refuse_twin_servers(binder, value, pool);
}

/* ---- settings of a pool ---- */

static void refuse_name(struct binder *binder, const struct option *option, const struct yaml_node *value,
                        const char *const *names)
{
    struct nearest nearest;
    struct text known;
    nearest_init(&nearest, value->text);
    text_init(&known);
    for (const char *const *name = names; *name != NULL; name++) {
        nearest_offer_string(&nearest, *name);
        text_appendf(&known, "%s`%s`", name == names ? "" : ", ", *name);
    }
    if (known.failed)
        config_errors_no_memory(binder->errors);
    else if (nearest.best.data != NULL)
        config_errors_add(binder->errors, value->line, value->column, "unknown %s %s; did you mean `%s`?", option->name,
                          quote(value->text).text, nearest.best.data);
    else
        config_errors_add(binder->errors, value->line, value->column, "unknown %s %s; known are %s", option->name,
                          quote(value->text).text, known.data);
    text_fini(&known);
}

static void bind_distribution(struct binder *binder, const struct option *option, const struct yaml_node *value,
                              void *target)
{
    struct config_pool *pool = target;
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return;
    for (const char *const *name = ring_distributions(); *name != NULL; name++) {
        if (strcmp(*name, text.data) == 0) {
            pool->distribution = option_copy(binder, text);
            return;
        }
    }
    refuse_name(binder, option, value, ring_distributions());
}

static void set_hash(struct binder *binder, struct config_pool *pool, hash_fn *hash)
{
    const char *name = hash_name(hash);
    pool->hash = option_copy(binder, slice_make(name, strlen(name)));
}

static void bind_hash(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return;
    hash_fn *hash = hash_by_name(text.data);
    if (hash != NULL)
        set_hash(binder, target, hash);
    else
        refuse_name(binder, option, value, hash_names());
}

static void bind_hash_tag(struct binder *binder, const struct option *option, const struct yaml_node *value,
                          void *target)
{
    struct config_pool *pool = target;
    struct slice text;
    if (!option_text(binder, option, value, &text) || text.len == 0)
        return;
    /* No other bytes than these can stand in a key and be one character. */
    bool visible =
        text.len == 2 && text.data[0] > ' ' && text.data[0] < 0x7f && text.data[1] > ' ' && text.data[1] < 0x7f;
    if (visible)
        memcpy(pool->hash_tag, text.data, sizeof pool->hash_tag);
    else
        option_refuse(binder, option, value);
}

/* ---- a pool ---- */

static void check_health(struct binder *binder, const struct yaml_node *value, const struct config_pool *pool)
{
    const struct yaml_node *health = yaml_find(value, "health");
    if (health == NULL || pool->health_probe_ms <= pool->health_probe_max_ms)
        return;
    const struct yaml_node *place = yaml_find(health, "probe_max");
    place = place != NULL ? place : child_or_self(health, "probe");
    config_errors_add(binder->errors, place->line, place->column,
                      "`probe_max` (%u ms) is shorter than `probe` (%u ms); pauses grow from `probe` to `probe_max`",
                      (unsigned)pool->health_probe_max_ms, (unsigned)pool->health_probe_ms);
}

/* Distribution and hash, where nothing was said; the hash's default is the distribution's. */
static void set_names(struct binder *binder, const struct yaml_node *value, struct config_pool *pool)
{
    if (yaml_find(value, "distribution") == NULL)
        pool->distribution = option_copy(binder, SLICE_OF(DISTRIBUTION_DEFAULT));
    if (yaml_find(value, "hash") == NULL && pool->distribution != NULL)
        set_hash(binder, pool, ring_default_hash(pool->distribution));
}

static void bind_pool(struct binder *binder, const struct yaml_node *value, struct config_pool *pool)
{
    const struct yaml_node *key = value->key;
    option_set_defaults(&pool_table, pool);
    pool->line = key->line;
    pool->column = key->column;
    if (bind_check_name(binder, "pool", key, key->text))
        pool->name = option_copy(binder, key->text);
    if (value->kind != YAML_KIND_MAPPING) {
        config_errors_add(binder->errors, value->line, value->column,
                          "pool %s: found %s; write a mapping such as `{servers: [10.0.0.1:11211]}`",
                          quote(key->text).text, yaml_kind_name(value));
        return;
    }
    size_t errors_before = binder->errors->count;
    option_bind_mapping(binder, &pool_table, value, pool);
    if (binder->errors->count == errors_before)
        check_health(binder, value, pool);
    if (binder->errors->count == errors_before)
        bind_pool_mechanism(binder, value, pool);
    if (yaml_find(value, "servers") == NULL)
        config_errors_add(binder->errors, key->line, key->column, "pool %s has no `servers`", quote(key->text).text);
    set_names(binder, value, pool);
}

void bind_pools(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config *config = target;
    if (value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column,
                          "`pools`: found an empty mapping; write at least one pool");
        return;
    }
    config->pools = calloc(value->count, sizeof *config->pools);
    if (config->pools == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    config->pool_count = value->count;
    struct config_pool *pool = config->pools;
    for (const struct yaml_node *child = value->first; child != NULL; child = child->next)
        bind_pool(binder, child, pool++);
}
