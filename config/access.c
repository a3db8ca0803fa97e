/*
 * Owns the step from the model's rules to tls/access.h, and their words.
 *
 *     config.access[] --.
 *     config.listens[] -+-> struct access_spec -> access_compile -> struct access
 *
 * What a rule means is tls/access.c's; reading it is bind_access.c's.
 */
#include "config/access.h"

#include <stdlib.h>

static const char *const *borrow(const struct config_strings *strings)
{
    return (const char *const *)strings->items;
}

static struct access *compile(const struct config *config, struct access_rule_spec *rules, const char **listeners,
                              access_error_fn *on_error, void *context)
{
    for (size_t i = 0; i < config->access_count; i++) {
        const struct config_access_rule *rule = &config->access[i];
        rules[i] = (struct access_rule_spec){
            .user = rule->user,
            .keys = borrow(&rule->keys),
            .key_count = rule->keys.count,
            .commands = borrow(&rule->commands),
            .command_count = rule->commands.count,
            .listeners = borrow(&rule->listeners),
            .listener_count = rule->listeners.count,
        };
    }
    for (size_t i = 0; i < config->listen_count; i++)
        /* One whose address is wrong has none, while a configuration is being read. */
        listeners[i] = config->listens[i].label != NULL ? config->listens[i].label : "";
    struct access_spec spec = {rules, config->access_count, listeners, config->listen_count};
    return access_compile(&spec, on_error, context);
}

struct access *config_access_compile(const struct config *config, access_error_fn *on_error, void *context)
{
    struct access_rule_spec *rules = calloc(config->access_count + 1, sizeof *rules);
    const char **listeners = calloc(config->listen_count + 1, sizeof *listeners);
    struct access *access = NULL;
    if (rules != NULL && listeners != NULL)
        access = compile(config, rules, listeners, on_error, context);
    free(rules);
    free(listeners);
    return access;
}

static void append_strings(const char *before, const struct config_strings *strings, struct text *out)
{
    text_append_string(out, strings->count > 0 ? before : "");
    for (size_t i = 0; i < strings->count; i++)
        text_appendf(out, " %s", strings->items[i]);
}

void config_access_print(const struct config_access_rule *rule, struct text *out)
{
    text_appendf(out, "%s: commands", rule->user);
    append_strings("", &rule->commands, out);
    append_strings(", keys", &rule->keys, out);
    append_strings(", listeners", &rule->listeners, out);
}
