/*
 * Owns the way from a file, a text or the command line to a whole configuration, or to all that is wrong with it.
 *
 *     file -> text -> tree (yaml.c) -> model (bind.c) -> config
 *     --server, --listen -> tree ---------^        \---> errors, in the order of the file
 */
#include "config/bind.h"
#include "config/errors.h"
#include "config/model.h"
#include "config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u << 20)
#define READ_BYTES 65536

/* ---- a tree to a configuration ---- */

/* The file's directory with its slash, or "". NULL: memory is out. */
static char *directory_of(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    return strndup(slash == NULL ? "" : path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
}

static bool bind_tree(const struct yaml_node *root, const char *path, struct config *config,
                      struct config_errors *errors)
{
    char *directory = directory_of(path);
    config->path = path == NULL ? NULL : strdup(path);
    if (directory == NULL || (path != NULL && config->path == NULL)) {
        config_errors_no_memory(errors);
    } else {
        struct binder binder = {.errors = errors, .config = config, .directory = directory};
        bind_config(&binder, root);
    }
    free(directory);
    return config_errors_none(errors);
}

/* The configuration, or NULL and the errors in order. */
static struct config *build(const struct yaml_node *root, const char *path, struct config_errors *errors)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL)
        config_errors_no_memory(errors);
    else if (!bind_tree(root, path, config, errors))
        config_destroy(&config);
    return config;
}

/* The last step of every way in: errors in order, and a word if there is memory for it. */
static void finish_errors(struct config_errors *errors)
{
    if (errors->system_error == ENOMEM && errors->count == 0)
        config_errors_add(errors, 0, 0, "memory is out");
    config_errors_sort(errors);
}

static struct config *parse(const char *text, size_t len, const char *path, struct config_errors *errors)
{
    struct yaml_tree *tree = yaml_tree_create(text, len, errors);
    struct config *config = tree == NULL ? NULL : build(yaml_tree_root(tree), path, errors);
    yaml_tree_destroy(&tree);
    return config;
}

struct config *config_parse(const char *text, size_t len, const char *path, struct config_errors *errors_out)
{
    config_errors_init(errors_out);
    struct config *config = parse(text, len, path, errors_out);
    finish_errors(errors_out);
    return config;
}

/* ---- files ---- */

/* Reads all of a file, up to one byte over the limit. 0, or an errno value. */
static int read_all(int fd, struct text *out)
{
    char *buffer = malloc(READ_BYTES);
    int error = buffer == NULL ? ENOMEM : 0;
    while (error == 0 && out->len <= FILE_BYTES_MAX) {
        ssize_t count = read(fd, buffer, READ_BYTES);
        if (count == 0)
            break;
        if (count > 0)
            text_append(out, buffer, (size_t)count);
        else if (errno != EINTR)
            error = errno;
        if (out->failed)
            error = ENOMEM;
    }
    free(buffer);
    return error;
}

static int read_file(const char *path, struct text *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = read_all(fd, out);
    close(fd);
    return error;
}

struct config *config_load(const char *path, struct config_errors *errors_out)
{
    struct config *config = NULL;
    struct text text;
    config_errors_init(errors_out);
    text_init(&text);
    int error = read_file(path, &text);
    if (error == ENOMEM) {
        config_errors_no_memory(errors_out);
    } else if (error != 0) {
        config_errors_add(errors_out, 0, 0, "cannot be read: %s", strerror(error));
        errors_out->system_error = error;
    } else if (text.len > FILE_BYTES_MAX) {
        config_errors_add(errors_out, 0, 0, "the file is larger than %u MiB", FILE_BYTES_MAX >> 20);
    } else {
        config = parse(text_slice(&text).data, text.len, path, errors_out);
    }
    text_fini(&text);
    finish_errors(errors_out);
    return config;
}

/* ---- the command line ---- */

static struct yaml_node string_node(const char *string)
{
    return (struct yaml_node){.kind = YAML_KIND_SCALAR, .text = slice_make(string, strlen(string)), .size = 1};
}

/* A list of count strings in the count nodes at items. */
static struct yaml_node list_node(const char *const *strings, size_t count, struct yaml_node *items)
{
    for (size_t i = 0; i < count; i++) {
        items[i] = string_node(strings[i]);
        items[i].next = i + 1 < count ? &items[i + 1] : NULL;
    }
    return (struct yaml_node){.kind = YAML_KIND_LIST, .first = count > 0 ? items : NULL, .count = count};
}

/* Makes node the value of key in a mapping that goes on with next. */
static void put(struct yaml_node *node, const struct yaml_node *key, struct yaml_node *next)
{
    node->key = key;
    node->next = next;
}

static struct yaml_node mapping_node(const struct yaml_node *first, size_t count)
{
    return (struct yaml_node){.kind = YAML_KIND_MAPPING, .first = first, .count = count};
}

/* Builds the tree of `{pools: {main: {servers: […]}}, listen: […]}`, without a place in any file. */
static struct config *build_from_servers(const char *const *servers, size_t server_count, const char *const *listens,
                                         size_t listen_count, struct yaml_node *items, struct config_errors *errors)
{
    struct yaml_node pools_key = string_node("pools"), main_key = string_node("main"),
                     servers_key = string_node("servers"), listen_key = string_node("listen");
    struct yaml_node server_list = list_node(servers, server_count, items);
    struct yaml_node listen_list = list_node(listens, listen_count, items + server_count);
    put(&server_list, &servers_key, NULL);
    struct yaml_node pool = mapping_node(&server_list, 1);
    put(&pool, &main_key, NULL);
    struct yaml_node pools = mapping_node(&pool, 1);
    put(&listen_list, &listen_key, NULL);
    put(&pools, &pools_key, listen_count > 0 ? &listen_list : NULL);
    struct yaml_node root = mapping_node(&pools, listen_count > 0 ? 2 : 1);
    return build(&root, NULL, errors);
}

struct config *config_from_servers(const char *const *servers, size_t server_count, const char *const *listens,
                                   size_t listen_count, struct config_errors *errors_out)
{
    config_errors_init(errors_out);
    struct yaml_node *items = calloc(server_count + listen_count + 1, sizeof *items);
    struct config *config = NULL;
    if (items == NULL)
        config_errors_no_memory(errors_out);
    else
        config = build_from_servers(servers, server_count, listens, listen_count, items, errors_out);
    free(items);
    finish_errors(errors_out);
    return config;
}

/* ---- the end of a configuration ---- */

static void fini_strings(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
}

static void fini_identity(struct tls_identity *identity)
{
    free(identity->certificate);
    free(identity->key);
}

static void fini_listen(struct config_listen *listen)
{
    struct tls_server_spec *tls = &listen->tls;
    config_address_fini(&listen->address);
    free(listen->label);
    free(listen->deny);
    fini_identity(&tls->identity);
    for (size_t i = 0; i < tls->further_count; i++)
        fini_identity(&tls->further[i]);
    free(tls->further);
    free(tls->client_ca);
    free(tls->crl);
    free(listen->tls_files.items);
    for (size_t i = 0; i < listen->peer_count; i++) {
        free(listen->peers[i].name);
        free(listen->peers[i].user);
    }
    free(listen->peers);
}

static void fini_rule(struct config_access_rule *rule)
{
    free(rule->user);
    fini_strings(&rule->keys);
    fini_strings(&rule->commands);
    fini_strings(&rule->listeners);
}

static void fini_pool(struct config_pool *pool)
{
    for (size_t i = 0; i < pool->server_count; i++) {
        config_address_fini(&pool->servers[i].address);
        free(pool->servers[i].name);
        free(pool->servers[i].label);
    }
    free(pool->servers);
    free(pool->name);
    free(pool->distribution);
    free(pool->hash);
    free(pool->tls.ca);
    free(pool->tls.server_name);
    fini_identity(&pool->tls.identity);
    free(pool->tls.crl);
    free(pool->tls_files.items);
    free(pool->auth.user);
    free(pool->auth.password_file);
    free(pool->auth.password_env);
}

void config_destroy(struct config **config)
{
    struct config *old = *config;
    if (old == NULL)
        return;
    route_spec_destroy(&old->route);
    for (size_t i = 0; i < old->pool_count; i++)
        fini_pool(&old->pools[i]);
    for (size_t i = 0; i < old->listen_count; i++)
        fini_listen(&old->listens[i]);
    for (size_t i = 0; i < old->access_count; i++)
        fini_rule(&old->access[i]);
    free(old->access);
    free(old->users_file);
    free(old->pools);
    free(old->listens);
    free(old->user);
    free(old->path);
    free(old);
    *config = NULL;
}
