/*
 * Owns the rules of one configuration, and for each user that they name the list of those that concern it.
 *
 *      rules[]    0 app     1 *      2 bob     3 *
 *      views[]    "app": 0 1 3     "bob": 1 2 3          others: 1 3
 *
 * Who a client is, users.c and certificates tell; this file is asked when that is known.
 */
#include "tls/access.h"

#include "wire/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(VERB_COUNT <= 32, "a set of verbs is a uint32_t");

#define BIT(verb) (UINT32_C(1) << (verb))
#define ALL_VERBS ((UINT32_C(1) << VERB_COUNT) - 1)
#define KEYLESS \
    (BIT(VERB_VERSION) | BIT(VERB_STATS) | BIT(VERB_FLUSH_ALL) | BIT(VERB_MN) | BIT(VERB_VERBOSITY) | BIT(VERB_QUIT))
#define ADMIN (BIT(VERB_STATS) | BIT(VERB_FLUSH_ALL) | BIT(VERB_VERBOSITY))
#define EVERYWHERE (BIT(VERB_VERSION) | BIT(VERB_MN))

/* A key, or the beginning of keys. */
struct pattern {
    char *data;
    size_t len;
    bool is_prefix;
};

struct rule {
    char *user; /* "*": everybody */
    struct pattern *patterns;
    size_t pattern_count; /* 0: every key */
    uint64_t *listeners;  /* bits; NULL: every listener */
    uint32_t verbs;       /* bits of those that it allows; of those that it refuses, if `refuses` */
    bool refuses;
};

struct access_view {
    const char *user;
    const struct rule **rules;
    size_t count;
    bool open; /* there are no rules at all */
};

struct access {
    struct rule *rules;
    size_t rule_count;
    struct access_view *views; /* by name */
    size_t view_count;
    struct access_view others;
};

struct compiler {
    const struct access_spec *spec;
    access_error_fn *on_error;
    void *context;
    size_t rule; /* that is being compiled */
    bool failed; /* an error was told, or memory is out */
};

static void complain(struct compiler *compiler, enum access_field field, size_t item, const char *text)
{
    compiler->failed = true;
    compiler->on_error(compiler->context, compiler->rule, field, item, text);
}

/* ---- commands ---- */

static uint32_t group_verbs(enum verb_group group)
{
    uint32_t verbs = 0;
    for (unsigned verb = 0; verb < VERB_COUNT; verb++) {
        if (verb_group((enum verb)verb) == group && (KEYLESS & BIT(verb)) == 0)
            verbs |= BIT(verb);
    }
    return verbs | EVERYWHERE;
}

bool access_commands_by_name(struct slice word, uint32_t *verbs_out)
{
    static const struct {
        const char *name;
        enum verb_group group;
    } groups[] = {
        {"read", VERB_GROUP_READ},
        {"write", VERB_GROUP_WRITE},
        {"arithmetic", VERB_GROUP_ARITHMETIC},
        {"touch", VERB_GROUP_TOUCH},
    };
    enum verb verb;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (slice_equal(word, slice_make(groups[i].name, strlen(groups[i].name)))) {
            *verbs_out = group_verbs(groups[i].group);
            return true;
        }
    }
    if (slice_equal(word, SLICE_OF("admin")))
        *verbs_out = ADMIN | EVERYWHERE;
    else if (slice_equal(word, SLICE_OF("all")))
        *verbs_out = ALL_VERBS;
    else if (slice_equal(word, SLICE_OF("none")))
        *verbs_out = 0;
    else if (word.len > 0 && verb_by_name(word, &verb))
        *verbs_out = BIT(verb);
    else
        return false;
    return true;
}

static void compile_commands(struct compiler *compiler, const struct access_rule_spec *spec, struct rule *rule)
{
    if (spec->command_count == 0)
        complain(compiler, ACCESS_FIELD_COMMANDS, 0, "a rule names commands, such as `[read, write]` or `[none]`");
    for (size_t i = 0; i < spec->command_count; i++) {
        uint32_t verbs;
        struct slice word = slice_make(spec->commands[i], strlen(spec->commands[i]));
        if (!access_commands_by_name(word, &verbs))
            complain(
                compiler, ACCESS_FIELD_COMMANDS, i,
                "no command is named so; write a command such as `get`, or a group: read, write, arithmetic, touch, "
                "admin, all, none");
        else if (verbs == 0 && spec->command_count > 1)
            complain(compiler, ACCESS_FIELD_COMMANDS, i, "`none` stands alone");
        else if (verbs == 0)
            rule->refuses = true;
        else
            rule->verbs |= verbs;
    }
}

/* ---- keys, listeners, users ---- */

static const char *judge_pattern(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return "a key has no spaces and no control characters";
        if (text.data[i] == '*' && i + 1 < text.len)
            return "`*` stands at the end of a key only: `app:*` is every key that begins with `app:`";
    }
    if (text.len == 0)
        return "a key has 1 to 250 bytes; `*` is every key";
    return text.len - (text.data[text.len - 1] == '*') > KEY_LEN_MAX ? "a key has at most 250 bytes" : NULL;
}

static void compile_keys(struct compiler *compiler, const struct access_rule_spec *spec, struct rule *rule)
{
    if (spec->key_count == 0)
        return;
    rule->patterns = calloc(spec->key_count, sizeof *rule->patterns);
    if (rule->patterns == NULL) {
        compiler->failed = true;
        return;
    }
    for (size_t i = 0; i < spec->key_count; i++) {
        struct slice text = slice_make(spec->keys[i], strlen(spec->keys[i]));
        const char *error = judge_pattern(text);
        if (error != NULL) {
            complain(compiler, ACCESS_FIELD_KEYS, i, error);
            continue;
        }
        struct pattern *pattern = &rule->patterns[rule->pattern_count++];
        pattern->is_prefix = text.data[text.len - 1] == '*';
        pattern->len = text.len - pattern->is_prefix;
        pattern->data = slice_copy(slice_make(text.data, pattern->len));
        compiler->failed = compiler->failed || pattern->data == NULL;
    }
}

static void compile_listeners(struct compiler *compiler, const struct access_rule_spec *spec, struct rule *rule)
{
    const struct access_spec *all = compiler->spec;
    if (spec->listener_count == 0)
        return;
    rule->listeners = calloc(all->listener_count / 64 + 1, sizeof *rule->listeners);
    if (rule->listeners == NULL) {
        compiler->failed = true;
        return;
    }
    for (size_t i = 0; i < spec->listener_count; i++) {
        size_t j = 0;
        while (j < all->listener_count && strcmp(all->listeners[j], spec->listeners[i]) != 0)
            j++;
        if (j == all->listener_count)
            complain(compiler, ACCESS_FIELD_LISTENERS, i, "there is no such listener; write an address as in `listen`");
        else
            rule->listeners[j / 64] |= UINT64_C(1) << j % 64;
    }
}

static void compile_user(struct compiler *compiler, const struct access_rule_spec *spec, struct rule *rule)
{
    if (spec->user == NULL || spec->user[0] == '\0') {
        complain(compiler, ACCESS_FIELD_USER, 0, "a rule names a user; `*` is everybody");
        return;
    }
    rule->user = strdup(spec->user);
    compiler->failed = compiler->failed || rule->user == NULL;
}

static bool compile_rules(struct compiler *compiler, struct access *access)
{
    access->rules = calloc(compiler->spec->rule_count + 1, sizeof *access->rules);
    if (access->rules == NULL)
        return false;
    for (compiler->rule = 0; compiler->rule < compiler->spec->rule_count; compiler->rule++) {
        const struct access_rule_spec *spec = &compiler->spec->rules[compiler->rule];
        struct rule *rule = &access->rules[access->rule_count++];
        compile_user(compiler, spec, rule);
        compile_keys(compiler, spec, rule);
        compile_commands(compiler, spec, rule);
        compile_listeners(compiler, spec, rule);
    }
    return !compiler->failed;
}

/* ---- views ---- */

static bool is_everybody(const struct rule *rule)
{
    return strcmp(rule->user, "*") == 0;
}

/* user NULL: of everybody. */
static bool fill_view(const struct access *access, const char *user, struct access_view *view)
{
    size_t count = 0;
    view->user = user;
    view->open = access->rule_count == 0;
    for (size_t i = 0; i < access->rule_count; i++)
        count += is_everybody(&access->rules[i]) || (user != NULL && strcmp(access->rules[i].user, user) == 0);
    view->rules = calloc(count + 1, sizeof *view->rules);
    if (view->rules == NULL)
        return false;
    for (size_t i = 0; i < access->rule_count; i++) {
        const struct rule *rule = &access->rules[i];
        if (is_everybody(rule) || (user != NULL && strcmp(rule->user, user) == 0))
            view->rules[view->count++] = rule;
    }
    return true;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool make_views(struct access *access)
{
    size_t count = 0;
    const char **names = calloc(access->rule_count + 1, sizeof *names);
    access->views = calloc(access->rule_count + 1, sizeof *access->views);
    bool done = names != NULL && access->views != NULL && fill_view(access, NULL, &access->others);
    for (size_t i = 0; done && i < access->rule_count; i++) {
        if (!is_everybody(&access->rules[i]))
            names[count++] = access->rules[i].user;
    }
    if (count > 1)
        qsort(names, count, sizeof *names, compare_strings);
    for (size_t i = 0; done && i < count; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            done = fill_view(access, names[i], &access->views[access->view_count++]);
    }
    free(names);
    return done;
}

/* ---- life ---- */

struct access *access_compile(const struct access_spec *spec, access_error_fn *on_error, void *context)
{
    struct compiler compiler = {.spec = spec, .on_error = on_error, .context = context};
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL)
        return NULL;
    if (!compile_rules(&compiler, access) || !make_views(access))
        access_destroy(&access);
    return access;
}

static void rule_fini(struct rule *rule)
{
    for (size_t i = 0; i < rule->pattern_count; i++)
        free(rule->patterns[i].data);
    free(rule->patterns);
    free(rule->listeners);
    free(rule->user);
}

void access_destroy(struct access **access)
{
    struct access *a = *access;
    *access = NULL;
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->view_count; i++)
        free(a->views[i].rules);
    free(a->views);
    free(a->others.rules);
    for (size_t i = 0; i < a->rule_count; i++)
        rule_fini(&a->rules[i]);
    free(a->rules);
    free(a);
}

/* ---- asking ---- */

const struct access_view *access_for_user(const struct access *access, struct slice user)
{
    size_t low = 0, high = access->view_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct access_view *view = &access->views[middle];
        size_t len = strlen(view->user), shared = len < user.len ? len : user.len;
        int order = shared > 0 ? memcmp(user.data, view->user, shared) : 0;
        if (order == 0)
            order = (user.len > len) - (user.len < len);
        if (order == 0)
            return view;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return &access->others;
}

static bool names_key(const struct rule *rule, struct slice key)
{
    for (size_t i = 0; i < rule->pattern_count; i++) {
        const struct pattern *pattern = &rule->patterns[i];
        if ((pattern->is_prefix ? key.len >= pattern->len : key.len == pattern->len) &&
            (pattern->len == 0 || memcmp(key.data, pattern->data, pattern->len) == 0))
            return true;
    }
    return rule->pattern_count == 0;
}

/* A pattern that is all of "*". */
static bool names_every_key(const struct rule *rule)
{
    for (size_t i = 0; i < rule->pattern_count; i++) {
        if (rule->patterns[i].is_prefix && rule->patterns[i].len == 0)
            return true;
    }
    return rule->pattern_count == 0;
}

static bool matches(const struct rule *rule, size_t listener, enum verb verb, struct slice key)
{
    if (rule->listeners != NULL &&
        (listener == ACCESS_NO_LISTENER || (rule->listeners[listener / 64] >> listener % 64 & 1) == 0))
        return false;
    if (!rule->refuses && (rule->verbs & BIT(verb)) == 0)
        return false;
    if ((KEYLESS & BIT(verb)) == 0)
        return names_key(rule, key);
    return !rule->refuses || verb == VERB_FLUSH_ALL || names_every_key(rule);
}

bool access_check(const struct access_view *view, size_t listener, enum verb verb, struct slice key)
{
    if (view->open || verb == VERB_QUIT)
        return true;
    for (size_t i = 0; i < view->count; i++) {
        if (matches(view->rules[i], listener, verb, key))
            return !view->rules[i]->refuses;
    }
    return false;
}
