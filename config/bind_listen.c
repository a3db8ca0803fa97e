/*
 * Owns the reading of `listen`: a list of addresses, or of mappings with an address in them.
 *
 *     listen: [127.0.0.1:11211, {address: unix:x.sock, mode: "0660", deny: [flush_all]}]
 *              listens[0]       listens[1]
 *
 * It opens no socket.
 */
#include "config/bind.h"
#include "config/nearest.h"
#include "wire/verb.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODE_DEFAULT 0700

static option_bind_fn bind_listen_address, bind_mode, bind_deny;

static const struct option_choice auth_choices[] = {
    {"none", CONFIG_AUTH_NONE},
    {"optional", CONFIG_AUTH_OPTIONAL},
    {"required", CONFIG_AUTH_REQUIRED},
    {NULL, 0},
};
static const struct option listen_options[] = {
    {"address", OPTION_PART, .bind = bind_listen_address},
    {"mode", OPTION_MODE, .offset = offsetof(struct config_listen, mode), .bind = bind_mode,
     .advice = "four octal digits in quotes, such as `\"0660\"`"},
    {"deny", OPTION_PART, .bind = bind_deny, .advice = "a list of commands such as `[flush_all]`"},
    {"tls", OPTION_PART, .bind = bind_listen_tls,
     .advice = "a mapping such as `{certificate: server.pem, key: server.key}`"},
    {"auth", OPTION_CHOICE, .offset = offsetof(struct config_listen, auth), .choices = auth_choices, .initial = "none"},
    {"peers", OPTION_PART, .bind = bind_peers, .advice = "a mapping such as `{1000: app, www-data: web}`"},
    {.name = NULL},
};
const struct option_table listen_table = {"a listener", listen_options};

/* ---- options of one listener ---- */

static void bind_listen_address(struct binder *binder, const struct option *option, const struct yaml_node *value,
                                void *target)
{
    struct config_listen *listen = target;
    (void)option;
    bind_address(binder, "listener", value, true, &listen->address);
}

static void bind_mode(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config_listen *listen = target;
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return;
    mode_t mode = 0;
    bool octal = text.len == 4 && text.data[0] == '0';
    for (size_t i = 0; i < text.len && octal; i++) {
        octal = text.data[i] >= '0' && text.data[i] <= '7';
        mode = mode * 8 + (mode_t)(text.data[i] - '0');
    }
    if (octal)
        listen->mode = mode;
    else
        option_refuse(binder, option, value);
}

static void refuse_command(struct binder *binder, const struct yaml_node *item)
{
    struct nearest nearest;
    nearest_init(&nearest, item->text);
    for (int verb = 0; verb < VERB_COUNT; verb++)
        nearest_offer(&nearest, verb_name((enum verb)verb));
    if (nearest.best.data != NULL)
        config_errors_add(binder->errors, item->line, item->column,
                          "`deny`: no command is named %s; did you mean `%.*s`?", quote(item->text).text,
                          (int)nearest.best.len, nearest.best.data);
    else
        config_errors_add(binder->errors, item->line, item->column, "`deny`: no command is named %s",
                          quote(item->text).text);
}

static bool is_denied(const struct config_listen *listen, uint32_t verb)
{
    for (size_t i = 0; i < listen->deny_count; i++) {
        if (listen->deny[i] == verb)
            return true;
    }
    return false;
}

static void bind_deny(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config_listen *listen = target;
    if (value->kind != YAML_KIND_LIST) {
        option_refuse(binder, option, value);
        return;
    }
    listen->deny = calloc(VERB_COUNT, sizeof *listen->deny);
    if (listen->deny == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next) {
        enum verb verb;
        if (item->kind != YAML_KIND_SCALAR || yaml_is_null(item))
            config_errors_add(binder->errors, item->line, item->column,
                              "`deny`: found %s; write a command such as `flush_all`", yaml_kind_name(item));
        else if (!verb_by_name(item->text, &verb))
            refuse_command(binder, item);
        else if (is_denied(listen, verb))
            config_errors_add(binder->errors, item->line, item->column, "`deny`: %s stands twice",
                              quote(item->text).text);
        else
            listen->deny[listen->deny_count++] = verb;
    }
}

/* ---- listeners ---- */

static void bind_long_form(struct binder *binder, const struct yaml_node *item, struct config_listen *listen)
{
    option_bind_mapping(binder, &listen_table, item, listen);
    const struct yaml_node *mode = yaml_find(item, "mode"), *peers = yaml_find(item, "peers");
    bool is_internet = listen->address.host != NULL && !listen->address.is_unix;
    if (yaml_find(item, "address") == NULL)
        config_errors_add(binder->errors, item->line, item->column, "a listener without `address`");
    if (mode != NULL && is_internet)
        config_errors_add(binder->errors, mode->key->line, mode->key->column, "`mode` is for Unix sockets only");
    if (peers != NULL && is_internet)
        config_errors_add(binder->errors, peers->key->line, peers->key->column, "`peers` is for Unix sockets only");
}

static void bind_listen(struct binder *binder, const struct yaml_node *item, struct config_listen *listen)
{
    option_set_defaults(&listen_table, listen);
    listen->mode = MODE_DEFAULT;
    listen->line = item->line;
    listen->column = item->column;
    if (item->kind == YAML_KIND_MAPPING)
        bind_long_form(binder, item, listen);
    else
        bind_address(binder, "listener", item, true, &listen->address);
    listen->label = bind_label(binder, &listen->address);
}

static void refuse_twin_listens(struct binder *binder, const struct yaml_node *list)
{
    struct config *config = binder->config;
    struct bind_twin *twins = calloc(config->listen_count, sizeof *twins);
    if (twins == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    const struct yaml_node *item = list->first;
    for (size_t i = 0; i < config->listen_count; i++, item = item->next) {
        const struct config_address *address = &config->listens[i].address;
        const struct yaml_node *place = yaml_find(item, "address");
        bool kernel_chooses = !address->is_unix && address->port == 0;
        twins[i] = (struct bind_twin){.place = place != NULL ? place : item, .rank = i};
        if (!kernel_chooses)
            twins[i].identity = bind_identity(binder, address);
    }
    bind_refuse_twins(binder, twins, config->listen_count, "listener", "stands twice");
    free(twins);
}

void bind_listens(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config *config = target;
    if (value->kind != YAML_KIND_LIST) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column,
                          "`listen`: found an empty list; write an address, or leave `listen` out");
        return;
    }
    config->listens = calloc(value->count, sizeof *config->listens);
    if (config->listens == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    config->listen_count = value->count;
    struct config_listen *listen = config->listens;
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next)
        bind_listen(binder, item, listen++);
    refuse_twin_listens(binder, value);
}

void bind_default_listen(struct binder *binder)
{
    struct yaml_node item = {.kind = YAML_KIND_SCALAR, .text = SLICE_OF(CONFIG_LISTEN_DEFAULT)};
    struct yaml_node list = {.kind = YAML_KIND_LIST, .first = &item, .count = 1};
    bind_listens(binder, NULL, &list, binder->config);
}
