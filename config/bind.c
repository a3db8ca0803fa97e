/*
 * Owns the table of the file's top level, and what the readers of listeners and pools share.
 *
 *     root -+- workers, user, limits, log   by the tables below
 *           +- listen                 bind_listen.c
 *           +- pools                  bind_pool.c
 *           +- route                  kept aside, and read last by bind_route.c: it names pools
 *           +- users                  bind_access.c
 *           +- access                 kept aside, and read by bind_access.c after the listeners: it names them
 *           +- admin                  refused
 *
 * What belongs to later versions of the language is known here and refused, and never passed over.
 */
#include "config/bind.h"

#include "base/log.h"
#include "base/text.h"
#include "config/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static option_bind_fn bind_user, keep_route, keep_access;

#define HOURS(n) ((n)*UINT64_C(3600000))
#define KIB(n) ((n)*UINT64_C(1024))
#define MIB(n) ((n)*UINT64_C(1048576))
#define GIB(n) ((n)*UINT64_C(1073741824))

/* ---- the tables ---- */

static const struct option limits_options[] = {
    {"clients", OPTION_INTEGER, .offset = offsetof(struct config, limits.clients), .min = 1, .max = 1000000,
     .initial = "10000"},
    {"item_size", OPTION_SIZE, .offset = offsetof(struct config, limits.item_size_bytes), .min = KIB(1),
     .max = MIB(128), .initial = "1MiB"},
    {"memory", OPTION_SIZE, .offset = offsetof(struct config, limits.memory_bytes), .min = MIB(16), .max = GIB(1024),
     .initial = "512MiB"},
    {"pipeline", OPTION_INTEGER, .offset = offsetof(struct config, limits.pipeline), .min = 1, .max = 65536,
     .initial = "1024"},
    {"idle", OPTION_DURATION, .offset = offsetof(struct config, limits.idle_ms), .min = 0, .max = HOURS(168),
     .initial = "0s"},
    {"stall", OPTION_DURATION, .offset = offsetof(struct config, limits.stall_ms), .min = 0, .max = HOURS(168),
     .initial = "60s"},
    {"handshakes", OPTION_INTEGER, .offset = offsetof(struct config, limits.handshakes), .min = 1, .max = 1000000,
     .initial = "1000"},
    {"handshake", OPTION_DURATION, .offset = offsetof(struct config, limits.handshake_ms), .min = 100, .max = HOURS(1),
     .initial = "10s"},
    {"drain", OPTION_DURATION, .offset = offsetof(struct config, limits.drain_ms), .min = 0, .max = HOURS(1),
     .initial = "10s"},
    {.name = NULL},
};
const struct option_table limits_table = {"`limits`", limits_options};

static const struct option_choice log_levels[] = {
    {"error", LOG_LEVEL_ERROR},
    {"warning", LOG_LEVEL_WARNING},
    {"info", LOG_LEVEL_INFO},
    {"debug", LOG_LEVEL_DEBUG},
    {NULL, 0},
};
static const struct option_choice log_formats[] = {
    {"text", CONFIG_LOG_TEXT},
    {"json", CONFIG_LOG_JSON},
    {NULL, 0},
};
static const struct option log_options[] = {
    {"level", OPTION_CHOICE, .offset = offsetof(struct config, log_level), .choices = log_levels, .initial = "info"},
    {"format", OPTION_CHOICE, .offset = offsetof(struct config, log_format), .choices = log_formats, .initial = "text"},
    {.name = NULL},
};
const struct option_table log_table = {"`log`", log_options};

static const struct option config_options[] = {
    {"workers", OPTION_AUTO, .offset = offsetof(struct config, workers), .min = 1, .max = 256, .initial = "auto",
     .restart = true},
    {"user", OPTION_STRING, .offset = offsetof(struct config, user), .bind = bind_user, .restart = true,
     .advice = "a user's name such as `nobody`"},
    {"coalesce", OPTION_FLAG, .offset = offsetof(struct config, coalesce), .initial = "yes"},
    {"busy_poll", OPTION_INTEGER, .offset = offsetof(struct config, busy_poll_us), .max = 1000, .initial = "0"},
    {"listen", OPTION_PART, .bind = bind_listens, .advice = "a list such as `[127.0.0.1:11211]`"},
    {.name = "admin", .type = OPTION_LATER},
    {"limits", OPTION_GROUP, .table = &limits_table},
    {"log", OPTION_GROUP, .table = &log_table},
    {"pools", OPTION_PART, .bind = bind_pools, .advice = "a mapping such as `{main: {servers: [10.0.0.1:11211]}}`"},
    {"route", OPTION_PART, .bind = keep_route},
    {"users", OPTION_PART, .bind = bind_users, .advice = "a mapping such as `{file: users}`"},
    {"access", OPTION_PART, .bind = keep_access},
    {.name = NULL},
};
const struct option_table config_table = {"the file", config_options};

/* ---- addresses and names ---- */

void bind_address(struct binder *binder, const char *what, const struct yaml_node *value, bool allow_port_zero,
                  struct config_address *address_out)
{
    const char *error;
    if (value->kind != YAML_KIND_SCALAR || yaml_is_null(value)) {
        /* An IPv6 address without quotes is a list to YAML. */
        config_errors_add(binder->errors, value->line, value->column,
                          "%s: found %s; write an address such as `10.0.0.1:11211` or, in quotes, `\"[::1]:11211\"`",
                          what, yaml_kind_name(value));
        return;
    }
    struct config_address address;
    if (config_address_parse(value->text.data, CONFIG_PORT_DEFAULT, allow_port_zero, &address, &error) == 0) {
        if (config_address_resolve(&address, binder->directory, &error) == 0) {
            *address_out = address;
            return;
        }
        config_address_fini(&address);
    }
    if (errno == ENOMEM)
        config_errors_no_memory(binder->errors);
    else
        config_errors_add(binder->errors, value->line, value->column, "%s %s %s", what, quote(value->text).text, error);
}

static char *print_address(struct binder *binder, const struct config_address *address,
                           void (*print)(const struct config_address *, struct text *))
{
    struct text text;
    if (address->host == NULL)
        return NULL;
    text_init(&text);
    print(address, &text);
    char *string = text_steal(&text, NULL);
    if (string == NULL)
        config_errors_no_memory(binder->errors);
    return string;
}

char *bind_label(struct binder *binder, const struct config_address *address)
{
    return print_address(binder, address, config_address_print);
}

char *bind_identity(struct binder *binder, const struct config_address *address)
{
    return print_address(binder, address, config_address_identify);
}

bool bind_check_name(struct binder *binder, const char *what, const struct yaml_node *node, struct slice text)
{
    const char *wrong = NULL;
    if (text.len == 0)
        wrong = "is empty";
    else if (text.len > CONFIG_NAME_LEN_MAX)
        wrong = "is longer than 128 bytes";
    for (size_t i = 0; i < text.len && wrong == NULL; i++) {
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            wrong = "has a space or a control character in it";
    }
    if (wrong != NULL)
        config_errors_add(binder->errors, node->line, node->column, "%s name %s %s", what, quote(text).text, wrong);
    return wrong == NULL;
}

/* ---- twins ---- */

static int by_rank(const void *left, const void *right)
{
    const struct bind_twin *a = left, *b = right;
    return a->rank < b->rank ? -1 : 1;
}

static int by_identity(const void *left, const void *right)
{
    const struct bind_twin *a = left, *b = right;
    if (a->identity == NULL || b->identity == NULL)
        return a->identity == b->identity ? by_rank(a, b) : a->identity != NULL ? -1 : 1;
    int order = strcmp(a->identity, b->identity);
    return order != 0 ? order : by_rank(a, b);
}

static void refuse_twin(struct binder *binder, const struct bind_twin *twin, const struct bind_twin *first,
                        const char *before, const char *after)
{
    struct quote name = quote(slice_make(twin->identity, strlen(twin->identity)));
    if (first->place->line > 0)
        config_errors_add(binder->errors, twin->place->line, twin->place->column,
                          "%s %s %s; the first is at line %d, column %d", before, name.text, after, first->place->line,
                          first->place->column);
    else
        config_errors_add(binder->errors, 0, 0, "%s %s %s", before, name.text, after);
}

void bind_refuse_twins(struct binder *binder, struct bind_twin *twins, size_t count, const char *before,
                       const char *after)
{
    qsort(twins, count, sizeof *twins, by_identity);
    const struct bind_twin *first = &twins[0];
    for (size_t i = 1; i < count && twins[i].identity != NULL; i++) {
        if (strcmp(twins[i].identity, first->identity) != 0) {
            first = &twins[i];
            continue;
        }
        twins[i].refused = true;
        refuse_twin(binder, &twins[i], first, before, after);
    }
    qsort(twins, count, sizeof *twins, by_rank);
    for (size_t i = 0; i < count; i++) {
        free(twins[i].identity);
        twins[i].identity = NULL;
    }
}

/* ---- the file ---- */

static void bind_user(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config *config = target;
    struct slice text;
    if (option_text(binder, option, value, &text) && bind_check_name(binder, "user", value, text))
        config->user = option_copy(binder, text);
}

static void keep_route(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    (void)option;
    (void)target;
    binder->route = value;
}

static void keep_access(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    (void)option;
    (void)target;
    binder->access = value;
}

static void check_limits(struct binder *binder, const struct yaml_node *root)
{
    const struct config_limits *limits = &binder->config->limits;
    if (limits->memory_bytes >= limits->item_size_bytes)
        return;
    /* Every item_size fits into the default: `memory` was given. */
    const struct yaml_node *place = yaml_find(yaml_find(root, "limits"), "memory");
    config_errors_add(binder->errors, place->line, place->column,
                      "`memory` is less than `item_size`: no such item fits");
}

void bind_config(struct binder *binder, const struct yaml_node *root)
{
    option_set_defaults(&config_table, binder->config);
    if (root->kind != YAML_KIND_MAPPING) {
        config_errors_add(binder->errors, root->line, root->column,
                          "found %s; a configuration is a mapping with `pools` in it", yaml_kind_name(root));
        return;
    }
    option_bind_mapping(binder, &config_table, root, binder->config);
    if (yaml_find(root, "pools") == NULL)
        config_errors_add(binder->errors, root->line, root->column,
                          "`pools` is missing; write a mapping such as `{main: {servers: [10.0.0.1:11211]}}`");
    if (yaml_find(root, "listen") == NULL)
        bind_default_listen(binder);
    bind_auth(binder, root);
    bind_access(binder);
    bind_route(binder, root);
    check_limits(binder, root);
}
