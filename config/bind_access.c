/*
 * Owns the reading of who clients are and what they may do: `users`, a listener's `peers`, `access`; and of what a pool
 * shows its servers, its `auth`.
 *
 *     access: [{user: app, keys: ["app:*"], commands: [read]}, {user: "*", commands: [none]}]
 *              access[0]                                       access[1]
 *
 * Rules are compiled once to find what is wrong with them. No file of users and no password is read.
 */
#include "config/access.h"
#include "config/bind.h"

#include <stdlib.h>
#include <string.h>

static option_bind_fn bind_auth_user, bind_variable, bind_rule_user, bind_strings, bind_rule_listeners;

static const struct option users_options[] = {
    {"file", OPTION_STRING, .required = true, .offset = offsetof(struct config, users_file), .bind = bind_path,
     .advice = "a path such as `users`"},
    {.name = NULL},
};
const struct option_table users_table = {"`users`", users_options};

static const struct option_choice mechanism_choices[] = {
    {"ascii", CONFIG_MECHANISM_ASCII}, {"sasl", CONFIG_MECHANISM_SASL}, {NULL, 0}};
static const struct option pool_auth_options[] = {
    {"user", OPTION_STRING, .required = true, .offset = offsetof(struct config_pool, auth.user), .bind = bind_auth_user,
     .advice = "a name such as `app`"},
    {"password_file", OPTION_STRING, .offset = offsetof(struct config_pool, auth.password_file), .bind = bind_path,
     .advice = "a path such as `secret`"},
    {"password_env", OPTION_STRING, .offset = offsetof(struct config_pool, auth.password_env), .bind = bind_variable,
     .advice = "the name of an environment variable such as `CACHE_PASSWORD`"},
    {"mechanism", OPTION_CHOICE, .offset = offsetof(struct config_pool, auth.mechanism), .choices = mechanism_choices,
     .initial = "ascii"},
    {.name = NULL},
};
const struct option_table pool_auth_table = {"a pool's `auth`", pool_auth_options};

static const struct option access_options[] = {
    {"user", OPTION_STRING, .required = true, .offset = offsetof(struct config_access_rule, user),
     .bind = bind_rule_user, .advice = "a name such as `app`, or `\"*\"` for everybody"},
    {"keys", OPTION_PART, .offset = offsetof(struct config_access_rule, keys), .bind = bind_strings,
     .advice = "a list of keys such as `[\"app:*\"]`"},
    {"commands", OPTION_PART, .required = true, .offset = offsetof(struct config_access_rule, commands),
     .bind = bind_strings, .advice = "a list of commands such as `[read, write]`"},
    {"listeners", OPTION_PART, .offset = offsetof(struct config_access_rule, listeners), .bind = bind_rule_listeners,
     .advice = "a list of listeners such as `[127.0.0.1:11211]`"},
    {.name = NULL},
};
const struct option_table access_table = {"a rule", access_options};

/* ---- names ---- */

/* Whether text can be a user's name; it may come from a certificate, and have spaces. */
static bool check_user(struct binder *binder, const struct yaml_node *place, struct slice text)
{
    const char *wrong = text.len == 0 ? "is empty" : text.len > CONFIG_USER_LEN_MAX ? "is longer than 255 bytes" : NULL;
    for (size_t i = 0; i < text.len && wrong == NULL; i++) {
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            wrong = "has a control character in it";
    }
    if (wrong != NULL)
        config_errors_add(binder->errors, place->line, place->column, "user name %s %s", quote(text).text, wrong);
    return wrong == NULL;
}

static void refuse_missing(struct binder *binder, const struct option_table *table, const struct yaml_node *mapping)
{
    const struct option *option = table->options;
    while ((option = option_missing(option, mapping)) != NULL) {
        config_errors_add(binder->errors, mapping->line, mapping->column, "%s has no `%s`", table->noun, option->name);
        option++;
    }
}

/* ---- users ---- */

void bind_users(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    if (value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    option_bind_mapping(binder, &users_table, value, target);
    refuse_missing(binder, &users_table, value);
    const struct yaml_node *file = yaml_find(value, "file");
    binder->config->users_line = file != NULL ? file->line : value->line;
    binder->config->users_column = file != NULL ? file->column : value->column;
}

/* ---- peers ---- */

/* A number of a system's user that no user has stands for none. */
static bool check_peer(struct binder *binder, const struct yaml_node *key)
{
    uint32_t uid;
    struct slice name = key->text;
    if (name.len == 0 || name.data[0] < '0' || name.data[0] > '9')
        return bind_check_name(binder, "system user", key, name);
    if (text_parse_u32(name, &uid) && uid != UINT32_MAX)
        return true;
    config_errors_add(binder->errors, key->line, key->column,
                      "`peers`: %s is no number of a system's user; write its name, or a number such as `1000`",
                      quote(name).text);
    return false;
}

static void bind_peer(struct binder *binder, const struct yaml_node *value, struct config_peer *peer)
{
    const struct yaml_node *key = value->key;
    *peer = (struct config_peer){.line = key->line, .column = key->column};
    bool good = check_peer(binder, key);
    if (value->kind != YAML_KIND_SCALAR || yaml_is_null(value))
        config_errors_add(binder->errors, value->line, value->column, "`peers`: found %s; write a user's name",
                          yaml_kind_name(value));
    else if (strcmp(value->text.data, "*") == 0)
        config_errors_add(binder->errors, value->line, value->column, "`peers`: `*` is no user; write a name");
    else if (check_user(binder, value, value->text) && good) {
        peer->name = option_copy(binder, key->text);
        peer->user = option_copy(binder, value->text);
    }
}

static int by_name(const void *left, const void *right)
{
    const struct config_peer *a = left, *b = right;
    if (a->name == NULL || b->name == NULL)
        return (a->name == NULL) - (b->name == NULL);
    return strcmp(a->name, b->name);
}

void bind_peers(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config_listen *listen = target;
    if (value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column, "`peers`: found an empty mapping; write %s",
                          option->advice);
        return;
    }
    listen->peers = calloc(value->count, sizeof *listen->peers);
    if (listen->peers == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    for (const struct yaml_node *child = value->first; child != NULL; child = child->next)
        bind_peer(binder, child, &listen->peers[listen->peer_count++]);
    qsort(listen->peers, listen->peer_count, sizeof *listen->peers, by_name);
}

/* ---- a listener's auth ---- */

void bind_auth(struct binder *binder, const struct yaml_node *root)
{
    struct config *config = binder->config;
    const struct yaml_node *list = yaml_find(root, "listen");
    if (list == NULL || list->kind != YAML_KIND_LIST || yaml_find(root, "users") != NULL)
        return;
    const struct yaml_node *item = list->first;
    for (size_t i = 0; i < config->listen_count; i++, item = item->next) {
        const struct config_listen *listen = &config->listens[i];
        const struct yaml_node *auth = yaml_find(item, "auth");
        if (listen->auth == CONFIG_AUTH_NONE || yaml_find(item, "peers") != NULL ||
            listen->tls.client_certificate == TLS_CLIENT_CERTIFICATE_REQUIRE)
            continue;
        config_errors_add(
            binder->errors, auth->line, auth->column,
            "`auth`: there is nothing to log in with; write `users` at the top level, or `peers`, or `tls` "
            "with `client_certificate: require`");
    }
}

/* ---- a pool's auth ---- */

static void bind_auth_user(struct binder *binder, const struct option *option, const struct yaml_node *value,
                           void *target)
{
    struct config_pool *pool = target;
    struct slice text;
    if (option_text(binder, option, value, &text) && bind_check_name(binder, "user", value, text))
        pool->auth.user = option_copy(binder, text);
}

static void bind_variable(struct binder *binder, const struct option *option, const struct yaml_node *value,
                          void *target)
{
    struct config_pool *pool = target;
    struct slice text;
    if (!option_text(binder, option, value, &text) || !bind_check_name(binder, "variable", value, text))
        return;
    if (strchr(text.data, '=') != NULL)
        option_refuse(binder, option, value);
    else
        pool->auth.password_env = option_copy(binder, text);
}

static void check_password(struct binder *binder, const struct yaml_node *value, struct config_pool *pool)
{
    const struct yaml_node *file = yaml_find(value, "password_file"), *variable = yaml_find(value, "password_env");
    const struct yaml_node *place = file != NULL ? file : variable != NULL ? variable : value;
    pool->auth.line = place->line;
    pool->auth.column = place->column;
    if (file == NULL && variable == NULL)
        config_errors_add(binder->errors, value->line, value->column,
                          "a pool's `auth` has no password; write `password_file` or `password_env`");
    if (file != NULL && variable != NULL)
        config_errors_add(binder->errors, variable->key->line, variable->key->column,
                          "`password_env` beside `password_file`; write one of both");
}

void bind_pool_auth(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    if (value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    option_set_defaults(&pool_auth_table, target);
    option_bind_mapping(binder, &pool_auth_table, value, target);
    refuse_missing(binder, &pool_auth_table, value);
    check_password(binder, value, target);
}

void bind_pool_mechanism(struct binder *binder, const struct yaml_node *value, struct config_pool *pool)
{
    const struct yaml_node *auth = yaml_find(value, "auth");
    const struct yaml_node *place = auth != NULL ? yaml_find(auth, "mechanism") : NULL;
    bool binary = pool->protocol == CONFIG_PROTOCOL_BINARY, sasl = pool->auth.mechanism == CONFIG_MECHANISM_SASL;
    if (place == NULL)
        pool->auth.mechanism = binary ? CONFIG_MECHANISM_SASL : CONFIG_MECHANISM_ASCII;
    else if (sasl && !binary)
        config_errors_add(
            binder->errors, place->line, place->column,
            "`mechanism`: `sasl` is a login of the binary protocol; write `protocol: binary` in the pool, "
            "or `ascii`");
    else if (binary && !sasl)
        config_errors_add(binder->errors, place->line, place->column,
                          "`mechanism`: `ascii` is a login of the text protocol; write `sasl`, or `protocol: text` in "
                          "the pool");
}

/* ---- rules ---- */

static void bind_rule_user(struct binder *binder, const struct option *option, const struct yaml_node *value,
                           void *target)
{
    struct config_access_rule *rule = target;
    struct slice text;
    if (option_text(binder, option, value, &text) && check_user(binder, value, text))
        rule->user = option_copy(binder, text);
}

/* A list with something in it, and room for that. false after an error. */
static bool begin_list(struct binder *binder, const struct option *option, const struct yaml_node *value,
                       struct config_strings *strings)
{
    if (value->kind == YAML_KIND_LIST && value->count == 0)
        config_errors_add(binder->errors, value->line, value->column, "`%s`: found an empty list; write %s",
                          option->name, option->advice);
    else if (value->kind != YAML_KIND_LIST)
        option_refuse(binder, option, value);
    if (value->kind != YAML_KIND_LIST || value->count == 0)
        return false;
    strings->items = calloc(value->count, sizeof(char *));
    if (strings->items == NULL)
        config_errors_no_memory(binder->errors);
    return strings->items != NULL;
}

static void add_string(struct config_strings *strings, char *string)
{
    if (string != NULL)
        strings->items[strings->count++] = string;
}

static void bind_strings(struct binder *binder, const struct option *option, const struct yaml_node *value,
                         void *target)
{
    struct config_strings *strings = (struct config_strings *)(void *)((char *)target + option->offset);
    if (!begin_list(binder, option, value, strings))
        return;
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next) {
        if (item->kind == YAML_KIND_SCALAR && !yaml_is_null(item))
            add_string(strings, option_copy(binder, item->text));
        else
            config_errors_add(binder->errors, item->line, item->column, "`%s`: found %s; write %s", option->name,
                              yaml_kind_name(item), option->advice);
    }
}

/* The label of the listener of that address, in whatever spelling; the address's own if there is none. */
static char *label_of(struct binder *binder, const struct config_address *address)
{
    const struct config *config = binder->config;
    char *wanted = bind_identity(binder, address), *label = NULL;
    for (size_t i = 0; i < config->listen_count && wanted != NULL && label == NULL; i++) {
        const struct config_listen *listen = &config->listens[i];
        char *identity = listen->label != NULL ? bind_identity(binder, &listen->address) : NULL;
        if (identity != NULL && strcmp(identity, wanted) == 0)
            label = option_copy(binder, slice_make(listen->label, strlen(listen->label)));
        free(identity);
    }
    free(wanted);
    return label != NULL ? label : bind_label(binder, address);
}

static void bind_rule_listeners(struct binder *binder, const struct option *option, const struct yaml_node *value,
                                void *target)
{
    struct config_access_rule *rule = target;
    if (!begin_list(binder, option, value, &rule->listeners))
        return;
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next) {
        struct config_address address = {NULL, 0, false};
        bind_address(binder, "listener", item, true, &address);
        if (address.host != NULL)
            add_string(&rule->listeners, label_of(binder, &address));
        config_address_fini(&address);
    }
}

static const struct yaml_node *nth(const struct yaml_node *parent, size_t n)
{
    const struct yaml_node *child = parent != NULL ? parent->first : NULL;
    while (child != NULL && n-- > 0)
        child = child->next;
    return child;
}

/* An access_error_fn; the context is the binder. */
static void on_access_error(void *context, size_t rule, enum access_field field, size_t item, const char *text)
{
    static const char *const names[] = {
        [ACCESS_FIELD_USER] = "user",
        [ACCESS_FIELD_KEYS] = "keys",
        [ACCESS_FIELD_COMMANDS] = "commands",
        [ACCESS_FIELD_LISTENERS] = "listeners",
    };
    struct binder *binder = context;
    const struct yaml_node *mapping = nth(binder->access, rule);
    const struct yaml_node *place = nth(yaml_find(mapping, names[field]), item);
    if (place != NULL)
        config_errors_add(binder->errors, place->line, place->column, "`%s`: %s: %s", names[field],
                          quote(place->text).text, text);
    else
        config_errors_add(binder->errors, mapping->line, mapping->column, "`%s`: %s", names[field], text);
}

static void check_rules(struct binder *binder)
{
    size_t before = binder->errors->count;
    struct access *access = config_access_compile(binder->config, on_access_error, binder);
    if (access == NULL && binder->errors->count == before)
        config_errors_no_memory(binder->errors);
    access_destroy(&access);
}

static void bind_rule(struct binder *binder, const struct yaml_node *item, struct config_access_rule *rule)
{
    if (item->kind != YAML_KIND_MAPPING) {
        config_errors_add(binder->errors, item->line, item->column,
                          "`access`: found %s; write a rule such as `{user: app, keys: [\"app:*\"], commands: [read]}`",
                          yaml_kind_name(item));
        return;
    }
    option_bind_mapping(binder, &access_table, item, rule);
    refuse_missing(binder, &access_table, item);
}

void bind_access(struct binder *binder)
{
    const struct yaml_node *value = binder->access;
    struct config *config = binder->config;
    size_t before = binder->errors->count;
    if (value == NULL)
        return;
    if (value->kind != YAML_KIND_LIST || value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column,
                          "`access`: found %s; write a list of rules such as `[{user: app, commands: [read]}]`",
                          value->kind == YAML_KIND_LIST ? "an empty list" : yaml_kind_name(value));
        return;
    }
    config->access = calloc(value->count, sizeof *config->access);
    if (config->access == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next)
        bind_rule(binder, item, &config->access[config->access_count++]);
    if (binder->errors->count == before && binder->errors->system_error == 0)
        check_rules(binder);
}
