/*
 * Owns the reading of `tls`, a listener's and a pool's, and of paths.
 *
 *     tls: {certificate: a.pem, key: a.key, certificates: [{certificate: b.pem, key: b.key}], client_ca: ca.pem, ...}
 *           ---- tls.identity ----          ---- tls.further[0] ----                          ---- tls.client_ca ---
 *
 * Each file's place in the text is noted (struct config_tls_files), since this reads none of them: what is wrong with a
 * file is found when config/security.c does.
 */
#include "config/bind.h"

#include <stdlib.h>
#include <string.h>

static option_bind_fn bind_certificates, bind_server_name;

static const struct option_choice client_certificate_choices[] = {
    {"none", TLS_CLIENT_CERTIFICATE_NONE},
    {"request", TLS_CLIENT_CERTIFICATE_REQUEST},
    {"require", TLS_CLIENT_CERTIFICATE_REQUIRE},
    {NULL, 0},
};
static const struct option_choice version_choices[] = {
    {"1.2", TLS_VERSION_1_2},
    {"1.3", TLS_VERSION_1_3},
    {NULL, 0},
};

/* The most paths that a `tls` names itself, and those of one item of its `certificates`. */
#define OWN_FILES_MAX 4
#define IDENTITY_FILES 2
#define PATH_ADVICE(example) "a path such as `" example "`"

static const struct option listen_tls_options[] = {
    {"certificate", OPTION_STRING, .required = true, .offset = offsetof(struct config_listen, tls.identity.certificate),
     .bind = bind_path, .advice = PATH_ADVICE("server.pem")},
    {"key", OPTION_STRING, .required = true, .offset = offsetof(struct config_listen, tls.identity.key),
     .bind = bind_path, .advice = PATH_ADVICE("server.key")},
    {"certificates", OPTION_PART, .bind = bind_certificates,
     .advice = "a list such as `[{certificate: other.pem, key: other.key}]`"},
    {"client_ca", OPTION_STRING, .offset = offsetof(struct config_listen, tls.client_ca), .bind = bind_path,
     .advice = PATH_ADVICE("clients.pem")},
    {"client_certificate", OPTION_CHOICE, .offset = offsetof(struct config_listen, tls.client_certificate),
     .choices = client_certificate_choices, .initial = "none"},
    {"crl", OPTION_STRING, .offset = offsetof(struct config_listen, tls.crl), .bind = bind_path,
     .advice = PATH_ADVICE("revoked.pem")},
    {"min_version", OPTION_CHOICE, .offset = offsetof(struct config_listen, tls.min_version),
     .choices = version_choices, .initial = "1.2"},
    {.name = NULL},
};
const struct option_table listen_tls_table = {"a listener's `tls`", listen_tls_options};

static const struct option identity_options[] = {
    {"certificate", OPTION_STRING, .required = true, .offset = offsetof(struct tls_identity, certificate),
     .bind = bind_path, .advice = PATH_ADVICE("other.pem")},
    {"key", OPTION_STRING, .required = true, .offset = offsetof(struct tls_identity, key), .bind = bind_path,
     .advice = PATH_ADVICE("other.key")},
    {.name = NULL},
};
const struct option_table identity_table = {"an item of `certificates`", identity_options};

static const struct option pool_tls_options[] = {
    {"ca", OPTION_STRING, .offset = offsetof(struct config_pool, tls.ca), .bind = bind_path,
     .advice = PATH_ADVICE("ca.pem")},
    {"server_name", OPTION_STRING, .offset = offsetof(struct config_pool, tls.server_name), .bind = bind_server_name,
     .advice = "a host name such as `cache.internal`"},
    {"certificate", OPTION_STRING, .offset = offsetof(struct config_pool, tls.identity.certificate), .bind = bind_path,
     .advice = PATH_ADVICE("me.pem")},
    {"key", OPTION_STRING, .offset = offsetof(struct config_pool, tls.identity.key), .bind = bind_path,
     .advice = PATH_ADVICE("me.key")},
    {"crl", OPTION_STRING, .offset = offsetof(struct config_pool, tls.crl), .bind = bind_path,
     .advice = PATH_ADVICE("revoked.pem")},
    {"insecure", OPTION_FLAG, .offset = offsetof(struct config_pool, tls.insecure)},
    {"min_version", OPTION_CHOICE, .offset = offsetof(struct config_pool, tls.min_version), .choices = version_choices,
     .initial = "1.2"},
    {.name = NULL},
};
const struct option_table pool_tls_table = {"a pool's `tls`", pool_tls_options};

/* ---- paths ---- */

static const char *judge_path(struct slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.data[i] < ' ' || path.data[i] == 0x7f)
            return "has a control character in it";
    }
    return path.len == 0 ? "is empty" : NULL;
}

static char *resolve(struct binder *binder, struct slice path)
{
    struct text text;
    text_init(&text);
    if (path.data[0] != '/')
        text_append_string(&text, binder->directory);
    text_append_slice(&text, path);
    char *resolved = text_steal(&text, NULL);
    if (resolved == NULL)
        config_errors_no_memory(binder->errors);
    return resolved;
}

static char **string_at(const struct option *option, void *target)
{
    return (char **)(void *)((char *)target + option->offset);
}

void bind_path(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct slice text;
    if (!option_text(binder, option, value, &text))
        return;
    const char *wrong = judge_path(text);
    if (wrong != NULL)
        config_errors_add(binder->errors, value->line, value->column, "`%s`: the path %s %s", option->name,
                          quote(text).text, wrong);
    else
        *string_at(option, target) = resolve(binder, text);
}

/* Notes where each path of the table stands. */
static void note_files(const struct option_table *table, const struct yaml_node *mapping, void *target,
                       struct config_tls_files *files)
{
    for (const struct option *option = table->options; option->name != NULL; option++) {
        const struct yaml_node *place = option->bind == bind_path ? yaml_find(mapping, option->name) : NULL;
        if (place != NULL)
            files->items[files->count++] =
                (struct config_tls_file){option->name, *string_at(option, target), place->line, place->column};
    }
}

/* Room for every path that the mapping can name. false: memory is out. */
static bool begin_files(struct binder *binder, const struct yaml_node *value, struct config_tls_files *files)
{
    files->line = value->line;
    files->column = value->column;
    const struct yaml_node *further = yaml_find(value, "certificates");
    size_t count = OWN_FILES_MAX + (further != NULL ? IDENTITY_FILES * further->count : 0);
    files->items = calloc(count, sizeof *files->items);
    if (files->items == NULL)
        config_errors_no_memory(binder->errors);
    return files->items != NULL;
}

/* ---- what both have ---- */

static void complain(struct binder *binder, const struct yaml_node *value, const char *text)
{
    config_errors_add(binder->errors, value->key->line, value->key->column, "%s", text);
}

static void refuse_missing(struct binder *binder, const struct option_table *table, const struct yaml_node *mapping)
{
    const struct option *option = table->options;
    while ((option = option_missing(option, mapping)) != NULL) {
        config_errors_add(binder->errors, mapping->line, mapping->column, "%s has no `%s`", table->noun, option->name);
        option++;
    }
}

static bool says(const struct yaml_node *mapping, const char *key, const char *word)
{
    const struct yaml_node *value = yaml_find(mapping, key);
    return value != NULL && value->kind == YAML_KIND_SCALAR && strcmp(value->text.data, word) == 0;
}

/* ---- a listener's ---- */

static void bind_certificate(struct binder *binder, const struct yaml_node *item, struct config_listen *listen)
{
    struct tls_identity *identity = &listen->tls.further[listen->tls.further_count++];
    if (item->kind != YAML_KIND_MAPPING) {
        config_errors_add(
            binder->errors, item->line, item->column,
            "`certificates`: found %s; write a mapping such as `{certificate: other.pem, key: other.key}`",
            yaml_kind_name(item));
        return;
    }
    option_bind_mapping(binder, &identity_table, item, identity);
    refuse_missing(binder, &identity_table, item);
    note_files(&identity_table, item, identity, &listen->tls_files);
}

static void bind_certificates(struct binder *binder, const struct option *option, const struct yaml_node *value,
                              void *target)
{
    struct config_listen *listen = target;
    if (value->kind != YAML_KIND_LIST) {
        option_refuse(binder, option, value);
        return;
    }
    if (value->count == 0) {
        config_errors_add(binder->errors, value->line, value->column, "`certificates`: found an empty list; write %s",
                          option->advice);
        return;
    }
    listen->tls.further = calloc(value->count, sizeof *listen->tls.further);
    if (listen->tls.further == NULL) {
        config_errors_no_memory(binder->errors);
        return;
    }
    for (const struct yaml_node *item = value->first; item != NULL; item = item->next)
        bind_certificate(binder, item, listen);
}

static void check_clients(struct binder *binder, const struct yaml_node *value)
{
    const struct yaml_node *ca = yaml_find(value, "client_ca"), *asks = yaml_find(value, "client_certificate"),
                           *crl = yaml_find(value, "crl");
    if (asks != NULL && ca == NULL && !says(value, "client_certificate", "none"))
        complain(binder, asks, "`client_certificate` without `client_ca`: nothing would tell good ones from others");
    if (ca != NULL && asks == NULL)
        complain(binder, ca, "`client_ca` without `client_certificate`; write `request` or `require` there");
    if (crl != NULL && ca == NULL)
        complain(binder, crl, "`crl` without `client_ca`: it is for the certificates of clients");
}

void bind_listen_tls(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config_listen *listen = target;
    if (value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    listen->has_tls = true;
    option_set_defaults(&listen_tls_table, listen);
    if (!begin_files(binder, value, &listen->tls_files))
        return;
    option_bind_mapping(binder, &listen_tls_table, value, listen);
    refuse_missing(binder, &listen_tls_table, value);
    check_clients(binder, value);
    note_files(&listen_tls_table, value, listen, &listen->tls_files);
}

/* ---- a pool's ---- */

static void bind_server_name(struct binder *binder, const struct option *option, const struct yaml_node *value,
                             void *target)
{
    struct slice text;
    if (option_text(binder, option, value, &text) && bind_check_name(binder, "server", value, text))
        *string_at(option, target) = option_copy(binder, text);
}

static void check_pool_tls(struct binder *binder, const struct yaml_node *value)
{
    const struct yaml_node *certificate = yaml_find(value, "certificate"), *key = yaml_find(value, "key"),
                           *insecure = yaml_find(value, "insecure");
    if (certificate != NULL && key == NULL)
        complain(binder, certificate, "`certificate` without `key`");
    if (key != NULL && certificate == NULL)
        complain(binder, key, "`key` without `certificate`");
    if (!says(value, "insecure", "yes"))
        return;
    if (yaml_find(value, "ca") != NULL)
        complain(binder, insecure, "`insecure` and `ca`: where nothing is verified, `ca` is of no use");
    if (yaml_find(value, "crl") != NULL)
        complain(binder, insecure, "`insecure` and `crl`: where nothing is verified, `crl` is of no use");
}

void bind_pool_tls(struct binder *binder, const struct option *option, const struct yaml_node *value, void *target)
{
    struct config_pool *pool = target;
    bool is_no = value->kind == YAML_KIND_SCALAR && strcmp(value->text.data, "no") == 0;
    bool is_yes = value->kind == YAML_KIND_SCALAR && strcmp(value->text.data, "yes") == 0;
    if (is_no)
        return;
    if (!is_yes && value->kind != YAML_KIND_MAPPING) {
        option_refuse(binder, option, value);
        return;
    }
    pool->has_tls = true;
    option_set_defaults(&pool_tls_table, pool);
    if (!begin_files(binder, value, &pool->tls_files) || is_yes)
        return;
    option_bind_mapping(binder, &pool_tls_table, value, pool);
    check_pool_tls(binder, value);
    note_files(&pool_tls_table, value, pool, &pool->tls_files);
}
