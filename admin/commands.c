/*
 * Owns what the sub-commands print. Serving is proxy/control.c's; what a configuration means is config/'s.
 */
#include "admin/commands.h"

#include "admin/options.h"
#include "admin/passwd.h"
#include "admin/plan.h"
#include "base/text.h"
#include "config/model.h"
#include "config/registry.h"
#include "config/snapshot.h"
#include "config/summary.h"
#include "proxy/control.h"
#include "wire/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_ADVICE "1 to %d bytes, without spaces and control characters"

/* --user goes before the file's word. config may be NULL, and is taken over; NULL: errors_out says why. */
static struct config *take_user(struct config *config, const char *user, struct config_errors *errors_out)
{
    if (config == NULL || user == NULL)
        return config;
    free(config->user);
    config->user = strdup(user);
    if (config->user == NULL) {
        errors_out->system_error = ENOMEM;
        config_destroy(&config);
    }
    return config;
}

static struct config *load(void *context, struct config_errors *errors_out)
{
    const struct options *options = context;
    if (options->config_path != NULL)
        return take_user(config_load(options->config_path, errors_out), options->user, errors_out);
    return take_user(config_from_servers(options->servers, options->server_count, options->listens,
                                         options->listen_count, errors_out),
                     options->user, errors_out);
}

/* What messages about the configuration begin with. */
static const char *source_of(const struct options *options)
{
    return options->config_path != NULL ? options->config_path : "ringside";
}

static void print_errors(const char *source, const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];
        if (error->line > 0)
            fprintf(stderr, "%s:%d:%d: %s\n", source, error->line, error->column, error->text);
        else
            fprintf(stderr, "%s: %s\n", source, error->text);
    }
    if (errors->count == 0)
        fprintf(stderr, "%s: out of memory\n", source);
}

/* The configuration, or NULL after printing what is wrong; then *status_out is the exit status. */
static struct config *load_or_explain(const struct options *options, int *status_out)
{
    struct config_errors errors = {0};
    struct config *config = load((void *)(uintptr_t)options, &errors);
    if (config == NULL) {
        print_errors(source_of(options), &errors);
        *status_out = errors.system_error != 0       ? EXIT_STATUS_SYSTEM
                      : options->config_path != NULL ? EXIT_STATUS_INPUT
                                                     : EXIT_STATUS_USAGE;
    }
    config_errors_fini(&errors);
    return config;
}

/* The same of a file. */
static struct config *load_file_or_explain(const char *path, int *status_out)
{
    const struct options options = {.config_path = path};
    return load_or_explain(&options, status_out);
}

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

/*
 * Rings and route of a configuration, which is taken over: what no reading can find is found here. NULL after printing
 * what is wrong; then *status_out is the exit status.
 */
static struct snapshot *build_or_explain(struct config **config, const char *source, struct registry *registry,
                                         int *status_out)
{
    const char *reason;
    struct config_errors errors = {0};
    struct snapshot *snapshot = snapshot_try(config, registry, 1, &reason);
    if (snapshot == NULL) {
        snapshot_explain_refusal(*config, registry, &errors);
        print_errors(source, &errors);
        *status_out = errors.system_error != 0 ? EXIT_STATUS_SYSTEM : EXIT_STATUS_INPUT;
    }
    config_errors_fini(&errors);
    config_destroy(config);
    return snapshot;
}

int commands_serve(const struct options *options)
{
    int status;
    struct config *config = load_or_explain(options, &status);
    if (config == NULL)
        return status;
    return control_run(&config, options->config_path != NULL ? load : NULL, (void *)(uintptr_t)options);
}

static int print_text(struct text *text)
{
    bool whole = !text->failed && (text->len == 0 || fwrite(text->data, 1, text->len, stdout) == text->len);
    whole = fflush(stdout) == 0 && whole;
    text_fini(text);
    if (!whole)
        fprintf(stderr, "ringside: the output could not be written\n");
    return whole ? EXIT_STATUS_DONE : EXIT_STATUS_SYSTEM;
}

/*
 * Loads, builds, and calls work with the snapshot; its status, or that of what failed before. is_for_routes: certificates,
 * users and passwords need not be here.
 */
static int with_snapshot(const struct options *options, bool is_for_routes,
                         int (*work)(const struct options *options, const struct snapshot *snapshot))
{
    int status;
    struct registry registry;
    struct config *config = load_or_explain(options, &status);
    if (config == NULL)
        return status;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    registry.is_for_routes = is_for_routes;
    struct snapshot *snapshot = build_or_explain(&config, source_of(options), &registry, &status);
    if (snapshot != NULL)
        status = work(options, snapshot);
    snapshot_destroy(&snapshot, &registry);
    registry_fini(&registry);
    return status;
}

static int print_summary(const struct options *options, const struct snapshot *snapshot)
{
    struct text text;
    (void)options;
    text_init(&text);
    config_summary(snapshot->config, &text);
    return print_text(&text);
}

int commands_check(const struct options *options)
{
    return with_snapshot(options, false, print_summary);
}

static int explain_keys(const struct options *options, const struct snapshot *snapshot)
{
    struct text text;
    text_init(&text);
    int wrong = EXIT_STATUS_DONE;
    for (size_t i = 0; i < options->key_count; i++) {
        struct slice key = slice_make(options->keys[i], strlen(options->keys[i]));
        if (plan_key_is_lawful(key)) {
            route_explain(snapshot->route, key, &text);
            continue;
        }
        fprintf(stderr, "ringside: `%s` is no key: " KEY_ADVICE "\n", key.data, KEY_LEN_MAX);
        wrong = EXIT_STATUS_INPUT;
    }
    int status = print_text(&text);
    return status != EXIT_STATUS_DONE ? status : wrong;
}

int commands_route(const struct options *options)
{
    return with_snapshot(options, true, explain_keys);
}

/* ---- plan ---- */

/* Says what is wrong with the keys; the exit status. */
static int explain_keys_file(const char *path, const struct plan_result *result)
{
    if (result->system_error != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(result->system_error));
        return EXIT_STATUS_SYSTEM;
    }
    if (result->wrong_line > 0)
        fprintf(stderr, "%s:%zu: this is no key: " KEY_ADVICE "\n", path, result->wrong_line, KEY_LEN_MAX);
    else
        fprintf(stderr, "%s: there is no key in it\n", path);
    return EXIT_STATUS_INPUT;
}

static int print_plan(const struct options *options, const struct snapshot *old, const struct snapshot *new,
                      const struct registry *registry, FILE *file)
{
    struct text text;
    struct timespec now;
    struct plan_result result;
    text_init(&text);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t unix_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (plan_compare(old, new, registry, file, unix_us, &text, &result) && result.keys > 0)
        return print_text(&text);
    text_fini(&text);
    return explain_keys_file(options->keys_path != NULL ? options->keys_path : "ringside", &result);
}

static int plan_over_keys(const struct options *options, const struct snapshot *old, const struct snapshot *new,
                          const struct registry *registry)
{
    if (options->keys_path == NULL)
        return print_plan(options, old, new, registry, NULL);
    FILE *file = fopen(options->keys_path, "re");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be read: %s\n", options->keys_path, strerror(errno));
        return EXIT_STATUS_SYSTEM;
    }
    int status = print_plan(options, old, new, registry, file);
    (void)fclose(file);
    return status;
}

int commands_plan(const struct options *options)
{
    const char *const *paths = options->keys;
    int old_status = EXIT_STATUS_DONE, status = EXIT_STATUS_DONE;
    struct registry registry;
    struct snapshot *old = NULL, *new = NULL;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    registry.is_for_routes = true;
    /* What is wrong with either is told. */
    struct config *old_config = load_file_or_explain(paths[0], &old_status);
    struct config *new_config = load_file_or_explain(paths[1], &status);
    if (old_config != NULL)
        old = build_or_explain(&old_config, paths[0], &registry, &old_status);
    if (new_config != NULL)
        new = build_or_explain(&new_config, paths[1], &registry, &status);
    if (old != NULL && new != NULL)
        status = plan_over_keys(options, old, new, &registry);
    else if (old_status > status)
        status = old_status;
    snapshot_destroy(&old, &registry);
    snapshot_destroy(&new, &registry);
    registry_fini(&registry);
    return status;
}

int commands_passwd(const struct options *options)
{
    return passwd_run(options->keys[0], options->keys[1]);
}
