/*
 * Owns the step from names of files to what they hold.
 *
 *     listen[i].tls   -> registry -> snapshot.listen_tls[i]       pools[i].tls  -> registry -> snapshot.pool_tls[i]
 *     listen[i].peers -> system   -> snapshot.listen_peers[i]     pools[i].auth -> secret   -> snapshot.pool_auth[i]
 *     users.file      -> snapshot.users                           access        -> snapshot.access
 *
 * Nothing of what is read stands in an error but the names of files, variables and users.
 */
#include "config/security.h"

#include "config/access.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWD_BYTES_FIRST 1024
#define PASSWD_BYTES_MAX ((size_t)1 << 20)

struct loading {
    struct snapshot *snapshot;
    const struct config *config;
    struct registry *registry;
    struct config_errors *errors;
};

/* ---- TLS ---- */

/* Where the option stands that the error is about; of several, the one whose file is named; else the `tls` itself. */
static struct config_tls_file find_place(const struct config_tls_files *files, const char *option, const char *error)
{
    struct config_tls_file place = {NULL, NULL, files->line, files->column};
    bool named = false;
    for (size_t i = 0; i < files->count && option != NULL && !named; i++) {
        const struct config_tls_file *file = &files->items[i];
        if (strcmp(file->option, option) != 0)
            continue;
        named = strstr(error, file->path) != NULL;
        if (named || place.option == NULL)
            place = *file;
    }
    return place;
}

static void refuse_tls(struct loading *loading, const struct config_tls_files *files, const char *field,
                       const char *error)
{
    struct config_tls_file place = find_place(files, field, error);
    if (error[0] == '\0')
        config_errors_no_memory(loading->errors);
    else
        config_errors_add(loading->errors, place.line, place.column, "`%s`: %s", field != NULL ? field : "tls", error);
}

static void load_listen_tls(struct loading *loading, size_t i)
{
    const struct config_listen *listen = &loading->config->listens[i];
    char error[TLS_ERROR_MAX] = "";
    const char *field = NULL;
    if (!listen->has_tls)
        return;
    struct tls_context *context = registry_tls_server(loading->registry, &listen->tls, error, &field);
    loading->snapshot->listen_tls[i] = context;
    if (context == NULL)
        refuse_tls(loading, &listen->tls_files, field, error);
}

static void load_pool_tls(struct loading *loading, size_t i)
{
    const struct config_pool *pool = &loading->config->pools[i];
    char error[TLS_ERROR_MAX] = "";
    const char *field = NULL;
    if (!pool->has_tls)
        return;
    struct tls_context *context = registry_tls_client(loading->registry, &pool->tls, error, &field);
    loading->snapshot->pool_tls[i] = context;
    if (context == NULL)
        refuse_tls(loading, &pool->tls_files, field, error);
}

/* ---- passwords and users ---- */

static void load_pool_auth(struct loading *loading, size_t i)
{
    const struct config_pool_auth *auth = &loading->config->pools[i].auth;
    char error[SECRET_ERROR_MAX];
    bool is_file = auth->password_file != NULL;
    if (auth->user == NULL)
        return;
    struct secret *secret = is_file ? secret_load(auth->user, auth->password_file, error)
                                    : secret_from_environment(auth->user, auth->password_env, error);
    loading->snapshot->pool_auth[i] = secret;
    if (secret == NULL)
        config_errors_add(loading->errors, auth->line, auth->column, "`%s`: %s",
                          is_file ? "password_file" : "password_env", error);
}

static void load_users(struct loading *loading)
{
    const struct config *config = loading->config;
    struct users_errors errors;
    if (config->users_file == NULL)
        return;
    loading->snapshot->users = users_load(config->users_file, &errors);
    for (size_t i = 0; i < errors.count; i++) {
        const struct users_error *error = &errors.items[i];
        if (error->line > 0)
            config_errors_add(loading->errors, config->users_line, config->users_column, "`file`: %s:%zu: %s",
                              config->users_file, error->line, error->text);
        else
            config_errors_add(loading->errors, config->users_line, config->users_column, "`file`: %s: %s",
                              config->users_file, error->text);
    }
    if (errors.system_error == ENOMEM)
        config_errors_no_memory(loading->errors);
}

/* ---- peers ---- */

/* The number of the system's user of that name. 0; ENOENT: there is none; or another errno value. */
static int look_up(const char *name, uid_t *uid_out)
{
    struct passwd passwd, *found = NULL;
    int error = ERANGE;
    for (size_t size = PASSWD_BYTES_FIRST; error == ERANGE && size <= PASSWD_BYTES_MAX; size *= 2) {
        char *buffer = malloc(size);
        if (buffer == NULL)
            return ENOMEM;
        error = getpwnam_r(name, &passwd, buffer, size, &found);
        if (error == 0 && found != NULL)
            *uid_out = found->pw_uid;
        free(buffer);
    }
    /* What it says of a name that is not there differs: see getpwnam(3). */
    bool is_unknown = error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
    return found != NULL ? 0 : is_unknown ? ENOENT : error;
}

static int find_uid(const char *name, uid_t *uid_out)
{
    uint32_t uid;
    if (!text_parse_u32(slice_make(name, strlen(name)), &uid))
        return look_up(name, uid_out);
    *uid_out = uid;
    return 0;
}

static const char *user_of(const struct snapshot_peers *peers, uid_t uid)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->items[i].uid == uid)
            return peers->items[i].user;
    }
    return NULL;
}

static void load_peer(struct loading *loading, const struct config_peer *peer, struct snapshot_peers *peers)
{
    uid_t uid = 0;
    int error = find_uid(peer->name, &uid);
    if (error == ENOENT)
        config_errors_add(loading->errors, peer->line, peer->column, "`peers`: this system has no user `%s`",
                          peer->name);
    else if (error != 0)
        config_errors_add(loading->errors, peer->line, peer->column, "`peers`: the user `%s` cannot be looked up: %s",
                          peer->name, strerror(error));
    else if (user_of(peers, uid) != NULL)
        config_errors_add(loading->errors, peer->line, peer->column, "`peers`: the system's user %ju stands twice",
                          (uintmax_t)uid);
    else
        peers->items[peers->count++] = (struct snapshot_peer){uid, peer->user};
}

static void load_peers(struct loading *loading, size_t i)
{
    const struct config_listen *listen = &loading->config->listens[i];
    struct snapshot_peers *peers = &loading->snapshot->listen_peers[i];
    if (listen->peer_count == 0)
        return;
    peers->items = calloc(listen->peer_count, sizeof *peers->items);
    if (peers->items == NULL) {
        config_errors_no_memory(loading->errors);
        return;
    }
    for (size_t k = 0; k < listen->peer_count; k++)
        load_peer(loading, &listen->peers[k], peers);
}

const char *snapshot_peer_user(const struct snapshot *snapshot, size_t listen, uid_t uid)
{
    return user_of(&snapshot->listen_peers[listen], uid);
}

/* ---- all of it ---- */

/* An access_error_fn. The rules were found good when the configuration was read. */
static void ignore_error(void *context, size_t rule, enum access_field field, size_t item, const char *text)
{
    (void)context;
    (void)rule;
    (void)field;
    (void)item;
    (void)text;
}

static bool make_room(struct snapshot *snapshot, const struct config *config)
{
    snapshot->listen_tls = calloc(config->listen_count + 1, sizeof(struct tls_context *));
    snapshot->listen_peers = calloc(config->listen_count + 1, sizeof *snapshot->listen_peers);
    snapshot->pool_tls = calloc(config->pool_count + 1, sizeof(struct tls_context *));
    snapshot->pool_auth = calloc(config->pool_count + 1, sizeof(struct secret *));
    snapshot->listen_count = config->listen_count;
    return snapshot->listen_tls != NULL && snapshot->listen_peers != NULL && snapshot->pool_tls != NULL &&
           snapshot->pool_auth != NULL;
}

static void load_files(struct loading *loading)
{
    for (size_t i = 0; i < loading->config->listen_count; i++) {
        load_listen_tls(loading, i);
        load_peers(loading, i);
    }
    for (size_t i = 0; i < loading->config->pool_count; i++) {
        load_pool_tls(loading, i);
        load_pool_auth(loading, i);
    }
    load_users(loading);
}

bool security_load(struct snapshot *snapshot, const struct config *config, struct registry *registry,
                   struct config_errors *errors)
{
    struct loading loading = {snapshot, config, registry, errors};
    snapshot->pool_count = config->pool_count;
    if (!make_room(snapshot, config))
        return false;
    snapshot->access = config_access_compile(config, ignore_error, NULL);
    if (snapshot->access == NULL)
        return false;
    if (!registry->is_for_routes)
        load_files(&loading);
    return config_errors_none(errors);
}

void security_unload(struct snapshot *snapshot, struct registry *registry)
{
    for (size_t i = 0; i < snapshot->listen_count && snapshot->listen_tls != NULL; i++)
        registry_tls_give(registry, &snapshot->listen_tls[i]);
    for (size_t i = 0; i < snapshot->listen_count && snapshot->listen_peers != NULL; i++)
        free(snapshot->listen_peers[i].items);
    for (size_t i = 0; i < snapshot->pool_count && snapshot->pool_tls != NULL; i++)
        registry_tls_give(registry, &snapshot->pool_tls[i]);
    for (size_t i = 0; i < snapshot->pool_count && snapshot->pool_auth != NULL; i++)
        secret_unref(&snapshot->pool_auth[i]);
    free(snapshot->listen_tls);
    free(snapshot->listen_peers);
    free(snapshot->pool_tls);
    free(snapshot->pool_auth);
    users_unref(&snapshot->users);
    access_destroy(&snapshot->access);
}
