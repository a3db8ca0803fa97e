/*
 * Access rules: which user may use which commands on which keys, by which listener.
 *
 *      - {user: app, keys: ["app:*"], commands: [read, write]}
 *      - {user: "*", commands: [none]}
 *
 * - A rule matches when its user, its listeners, its commands and its keys all do; rules are asked in their order, and the
 *   first that matches allows. One with the command `none` matches every command, and refuses. Where no rule matches, the
 *   answer is no; where there is no rule at all, it is yes.
 * - user: a name, or "*": everybody, those who have not logged in too. keys: a key, a prefix with a `*` at its end, or "*";
 *   none at all is every key. listeners: addresses as the configuration has them; none at all is every listener.
 * - commands: names of commands, or groups:
 *     read        get gets mg me
 *     write       set add replace append prepend cas delete ms md
 *     arithmetic  incr decr ma
 *     touch       touch gat gats (the word is the command and the group, and means the group)
 *     admin       stats flush_all verbosity
 *     all         every command
 *     none        refuse; stands alone
 *   `version` and `mn`, without which clients do not work, belong to every group (not to `none`). `quit` is always allowed.
 * - To commands without a key (version stats flush_all mn verbosity) a rule's keys do not matter; but a `none` rule for
 *   some keys only refuses of these `flush_all` alone, which would remove its keys too.
 *
 * Compiled once for a configuration, immutable after, so that threads share it. A check allocates nothing: it walks the
 * rules that name the user, or "*".
 */
#ifndef RINGSIDE_TLS_ACCESS_H
#define RINGSIDE_TLS_ACCESS_H

#include "base/slice.h"
#include "wire/verb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct access;
struct access_view;

/* For access_check: none of the configuration's listeners. Rules that name listeners do not match. */
#define ACCESS_NO_LISTENER SIZE_MAX

/* A rule as it is written. Strings are the caller's, and are needed only while it is compiled. */
struct access_rule_spec {
    const char *user;
    const char *const *keys;
    size_t key_count;
    const char *const *commands;
    size_t command_count;
    const char *const *listeners;
    size_t listener_count;
};

struct access_spec {
    const struct access_rule_spec *rules;
    size_t rule_count;
    /* Every listener of the configuration; a listener's index here is what access_check takes. */
    const char *const *listeners;
    size_t listener_count;
};

enum access_field { ACCESS_FIELD_USER, ACCESS_FIELD_KEYS, ACCESS_FIELD_COMMANDS, ACCESS_FIELD_LISTENERS };

/* One error: the rule's index, the field, the index within it, and a sentence that says what would be right. */
typedef void access_error_fn(void *context, size_t rule, enum access_field field, size_t item, const char *text);

/* NULL after every error was told; or, if none was, when memory is out. */
struct access *access_compile(const struct access_spec *spec, access_error_fn *on_error, void *context);
void access_destroy(struct access **access);

/*
 * What concerns one user, found once at login; valid as long as the access. An empty name: a client that has not logged
 * in. Never NULL: a user that no rule names has the view of everybody.
 */
const struct access_view *access_for_user(const struct access *access, struct slice user);

/*
 * Whether the command may be carried out. key: as the server sees it (base64 decoded), before any route rewrites it; of
 * no matter for commands without one. For a command of several keys: ask for each. listener: less than the
 * listener_count of struct access_spec. `mg` counts as a read here whatever its flags: where they change the item, ask for
 * VERB_GAT too (T, a new time) or VERB_MS (N, R: a new item, or leave to store one).
 */
bool access_check(const struct access_view *view, size_t listener, enum verb verb, struct slice key);

/* The commands that a word stands for, as bits `1 << verb`; `none` is 0. false: there is no such word. */
bool access_commands_by_name(struct slice word, uint32_t *verbs_out);

#endif
