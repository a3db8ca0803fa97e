/*
 * Owns what the sub-commands print. Serving is proxy/control.c's; what a configuration means is config/'s.
 */
#include "admin/commands.h"

#include "admin/options.h"
#include "base/text.h"
#include "config/model.h"
#include "config/registry.h"
#include "config/snapshot.h"
#include "config/summary.h"
#include "proxy/control.h"
#include "wire/request.h"

#include <stdio.h>
#include <string.h>

static struct config *load(void *context, struct config_errors *errors_out)
{
    const struct options *options = context;
    if (options->config_path != NULL)
        return config_load(options->config_path, errors_out);
    return config_from_servers(options->servers, options->server_count, options->listens, options->listen_count,
                               errors_out);
}

static void print_errors(const struct options *options, const struct config_errors *errors)
{
    const char *path = options->config_path != NULL ? options->config_path : "ringside";
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];
        if (error->line > 0)
            fprintf(stderr, "%s:%d:%d: %s\n", path, error->line, error->column, error->text);
        else
            fprintf(stderr, "%s: %s\n", path, error->text);
    }
}

static int status_of(const struct options *options, const struct config_errors *errors)
{
    if (errors->system_error != 0)
        return EXIT_STATUS_SYSTEM;
    return options->config_path != NULL ? EXIT_STATUS_INPUT : EXIT_STATUS_USAGE;
}

/* The configuration, or NULL after printing what is wrong; then *status_out is the exit status. */
static struct config *load_or_explain(const struct options *options, int *status_out)
{
    struct config_errors errors = {0};
    struct config *config = load((void *)(uintptr_t)options, &errors);
    if (config == NULL) {
        print_errors(options, &errors);
        *status_out = status_of(options, &errors);
    }
    config_errors_fini(&errors);
    return config;
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

int commands_check(const struct options *options)
{
    int status;
    struct config *config = load_or_explain(options, &status);
    if (config == NULL)
        return status;
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    config_destroy(&config);
    return print_text(&text);
}

static bool key_is_lawful(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)key[i] <= ' ' || key[i] == 127)
            return false;
    }
    return len > 0 && len <= KEY_LEN_MAX;
}

static int explain_keys(const struct options *options, const struct snapshot *snapshot)
{
    struct text text;
    text_init(&text);
    int wrong = EXIT_STATUS_DONE;
    for (size_t i = 0; i < options->key_count; i++) {
        const char *key = options->keys[i];
        if (key_is_lawful(key)) {
            route_explain(&snapshot->route, slice_make(key, strlen(key)), &text);
            continue;
        }
        fprintf(stderr, "ringside: `%s` is no key: 1 to %d bytes, without spaces and control characters\n", key,
                KEY_LEN_MAX);
        wrong = EXIT_STATUS_INPUT;
    }
    int status = print_text(&text);
    return status != EXIT_STATUS_DONE ? status : wrong;
}

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

int commands_route(const struct options *options)
{
    int status;
    struct config *config = load_or_explain(options, &status);
    if (config == NULL)
        return status;
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    const char *reason;
    struct snapshot *snapshot = snapshot_create(&config, &registry, 1, &reason);
    if (snapshot != NULL) {
        status = explain_keys(options, snapshot);
        snapshot_destroy(&snapshot, &registry);
    } else {
        fprintf(stderr, "ringside: %s\n", reason);
        status = EXIT_STATUS_SYSTEM;
    }
    registry_fini(&registry);
    return status;
}
