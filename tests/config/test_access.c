/*
 * Tests of `users`, `auth`, `peers` and `access` in a configuration: what is read (config/bind_access), what is refused, and
 * what becomes of it in a snapshot (config/security, config/access).
 */
#include "config/access.h"
#include "config/snapshot.h"
#include "tests/config/support.h"
#include "tests/support/folder.h"

#define POOL "pools: {main: {servers: [a]}}\n"

/* ---- reading ---- */

START_TEST(everything_is_read)
{
    struct config *config =
        parse_good("listen:\n"
                   "  - {address: 'a:1', auth: required}\n"
                   "  - {address: 'unix:x', auth: optional, peers: {www-data: 'web', 1000: 'My App'}}\n"
                   "  - 'a:3'\n"
                   "pools:\n"
                   "  a: {servers: [s], auth: {user: app, password_file: secret, mechanism: ascii}}\n"
                   "  b: {servers: [s], auth: {user: app, password_env: CACHE_PASSWORD}}\n"
                   "  c: {servers: [s]}\n"
                   "route: a\n"
                   "access:\n"
                   "  - {user: app, keys: ['app:*', x], commands: [read, set], listeners: [A:1, 'unix:x']}\n"
                   "  - {user: '*', commands: [none]}\n"
                   "users: {file: users}\n",
                   "/etc/x.yaml");
    ck_assert_int_eq(config->listens[0].auth, CONFIG_AUTH_REQUIRED);
    ck_assert_int_eq(config->listens[1].auth, CONFIG_AUTH_OPTIONAL);
    ck_assert_int_eq(config->listens[2].auth, CONFIG_AUTH_NONE);
    const struct config_listen *listen = &config->listens[1];
    ck_assert_uint_eq(listen->peer_count, 2);
    ck_assert_str_eq(listen->peers[0].name, "1000");
    ck_assert_str_eq(listen->peers[0].user, "My App");
    ck_assert_str_eq(listen->peers[1].name, "www-data");
    ck_assert_str_eq(config->users_file, "/etc/users");
    ck_assert_int_eq(config->users_line, 13);
    ck_assert_int_eq(config->users_column, 15);
    ck_assert_str_eq(config->pools[0].auth.user, "app");
    ck_assert_str_eq(config->pools[0].auth.password_file, "/etc/secret");
    ck_assert_str_eq(config->pools[1].auth.password_env, "CACHE_PASSWORD");
    ck_assert_ptr_null(config->pools[1].auth.password_file);
    ck_assert_ptr_null(config->pools[2].auth.user);
    ck_assert_uint_eq(config->access_count, 2);
    const struct config_access_rule *rule = &config->access[0];
    ck_assert_str_eq(rule->user, "app");
    ck_assert_uint_eq(rule->keys.count, 2);
    ck_assert_str_eq(rule->commands.items[1], "set");
    /* Listeners are known by the label of the listener that is meant, in whatever spelling. */
    ck_assert_str_eq(rule->listeners.items[0], "a:1");
    ck_assert_str_eq(rule->listeners.items[1], "unix:/etc/x");
    ck_assert_uint_eq(config->access[1].keys.count, 0);
    config_destroy(&config);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *text;
    const char *errors;
} files[] = {
    {"listen:\n"
     "  - {address: 'a:1', auth: required}\n"
     "  - {address: 'unix:a', auth: optional, peers: {1000: app}}\n"
     "  - {address: 'a:3', auth: required, tls: {certificate: a, key: a, client_ca: a, client_certificate: require}}\n"
     "  - {address: 'a:4', auth: required, tls: {certificate: a, key: a, client_ca: a, client_certificate: request}}\n"
     "  - {address: 'a:5', auth: none}\n"
     "  - {address: 'a:6', auth: yes}\n"
     "  - {address: 'a:7', peers: {1000: app}}\n" POOL,
     "2:28: `auth`: there is nothing to log in with; write `users` at the top level, or `peers`, or `tls` with "
     "`client_certificate: require`\n"
     "5:28: `auth`: there is nothing to log in with; write `users` at the top level, or `peers`, or `tls` with "
     "`client_certificate: require`\n"
     "7:28: `auth`: found `yes`; write `none`, `optional` or `required`\n"
     "8:22: `peers` is for Unix sockets only\n"},
    {"listen:\n"
     "  - {address: 'unix:a', peers: {1000: '*', 4294967295: a, 10x: b, 'a b': c, '': d, web: '', x: \"\\t\", y: [z], "
     "z: "
     "}}\n"
     "  - {address: 'unix:b', peers: {}}\n"
     "  - {address: 'unix:c', peers: [1000]}\n" POOL,
     "2:39: `peers`: `*` is no user; write a name\n"
     "2:44: `peers`: `4294967295` is no number of a system's user; write its name, or a number such as `1000`\n"
     "2:59: `peers`: `10x` is no number of a system's user; write its name, or a number such as `1000`\n"
     "2:67: system user name `a b` has a space or a control character in it\n"
     "2:77: system user name `` is empty\n"
     "2:89: user name `` is empty\n"
     "2:96: user name `\\x09` has a control character in it\n"
     "2:105: `peers`: found a list; write a user's name\n"
     "2:113: `peers`: found nothing; write a user's name\n"
     "3:32: `peers`: found an empty mapping; write a mapping such as `{1000: app, www-data: web}`\n"
     "4:32: `peers`: found a list; write a mapping such as `{1000: app, www-data: web}`\n"},
    {"pools:\n"
     "  a: {servers: [s], auth: {password_file: x}}\n"
     "  b: {servers: [s], auth: {user: u}}\n"
     "  c: {servers: [s], auth: {user: u, password_file: x, password_env: X}}\n"
     "  d: {servers: [s], auth: {user: u, password_env: X, mechanism: sasl}}\n"
     "  e: {servers: [s], auth: {user: u, password_env: X, mechanism: plain}}\n"
     "  f: {servers: [s], auth: {user: 'u v', password_env: 'X=Y', password: x}}\n"
     "  g: {servers: [s], auth: required}\n"
     "  h: {servers: [s], auth: {user: u, password_env: X, mechanism: ascii}, protocol: binary}\n"
     "  i: {servers: [s], protocol: meta}\n"
     "  j: {servers: [s], auth: {user: u, password_env: X, mechanism: sasl}, protocol: binary}\n"
     "route: a\n",
     "2:27: a pool's `auth` has no `user`\n"
     "3:27: a pool's `auth` has no password; write `password_file` or `password_env`\n"
     "4:55: `password_env` beside `password_file`; write one of both\n"
     "5:65: `mechanism`: `sasl` is a login of the binary protocol; write `protocol: binary` in the pool, or `ascii`\n"
     "6:65: `mechanism`: found `plain`; write `ascii` or `sasl`\n"
     "7:34: user name `u v` has a space or a control character in it\n"
     "7:55: `password_env`: found `X=Y`; write the name of an environment variable such as `CACHE_PASSWORD`\n"
     "7:62: unknown key `password`; did you mean `password_env`?\n"
     "8:27: `auth`: found `required`; write a mapping such as `{user: app, password_file: secret}`\n"
     "9:65: `mechanism`: `ascii` is a login of the text protocol; write `sasl`, or `protocol: text` in the pool\n"
     "10:31: `protocol`: found `meta`; write `text` or `binary`\n"},
    {"users: users\n" POOL, "1:8: `users`: found `users`; write a mapping such as `{file: users}`\n"},
    {"users: {}\n" POOL, "1:8: `users` has no `file`\n"},
    {"users: {file: [a], fiel: b}\n" POOL, "1:15: `file`: found a list; write a path such as `users`\n"
                                           "1:20: unknown key `fiel`; did you mean `file`?\n"},
    {"access: []\n" POOL,
     "1:9: `access`: found an empty list; write a list of rules such as `[{user: app, commands: [read]}]`\n"},
    {"access: {user: app}\n" POOL,
     "1:9: `access`: found a mapping; write a list of rules such as `[{user: app, commands: [read]}]`\n"},
    {"access:\n"
     "  - app\n"
     "  - {}\n"
     "  - {user: '', commands: read, keys: [], listeners: []}\n"
     "  - {user: [a], commands: [], keys: [~, [a]], listeners: [':']}\n"
     "  - {user: a, commands: [read], key: ['a*']}\n" POOL,
     "2:5: `access`: found text; write a rule such as `{user: app, keys: [\"app:*\"], commands: [read]}`\n"
     "3:5: a rule has no `commands`\n"
     "3:5: a rule has no `user`\n"
     "4:12: user name `` is empty\n"
     "4:26: `commands`: found `read`; write a list of commands such as `[read, write]`\n"
     "4:38: `keys`: found an empty list; write a list of keys such as `[\"app:*\"]`\n"
     "4:53: `listeners`: found an empty list; write a list of listeners such as `[127.0.0.1:11211]`\n"
     "5:12: `user`: found a list; write a name such as `app`, or `\"*\"` for everybody\n"
     "5:27: `commands`: found an empty list; write a list of commands such as `[read, write]`\n"
     "5:38: `keys`: found nothing; write a list of keys such as `[\"app:*\"]`\n"
     "5:41: `keys`: found a list; write a list of keys such as `[\"app:*\"]`\n"
     "5:59: listener `:` has no host; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`\n"
     "6:33: unknown key `key`; did you mean `keys`?\n"},
    /* What only the compiler of rules can find, with rules above the listeners that they name. */
    {"access:\n"
     "  - {user: app, commands: [read]}\n"
     "  - {user: app, commands: [get, gett], keys: ['a*b', 'a b'], listeners: ['a:1', 'a:2']}\n"
     "  - user: '*'\n"
     "    commands:\n"
     "      - none\n"
     "      - get\n"
     "listen: ['a:1']\n" POOL,
     "3:33: `commands`: `gett`: no command is named so; write a command such as `get`, or a group: read, write, "
     "arithmetic, touch, admin, all, none\n"
     "3:47: `keys`: `a*b`: `*` stands at the end of a key only: `app:*` is every key that begins with `app:`\n"
     "3:54: `keys`: `a b`: a key has no spaces and no control characters\n"
     "3:81: `listeners`: `a:2`: there is no such listener; write an address as in `listen`\n"
     "6:9: `commands`: `none`: `none` stands alone\n"},
    {"listen: [':']\naccess: [{user: a, commands: [get], listeners: ['a:2']}]\n" POOL,
     "1:10: listener `:` has no host; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`\n"
     "2:49: `listeners`: `a:2`: there is no such listener; write an address as in `listen`\n"},
};

START_TEST(a_bad_file_is_told_all_that_is_wrong)
{
    struct config_errors errors;
    ck_assert_ptr_null(config_parse(files[_i].text, strlen(files[_i].text), "/etc/x.yaml", &errors));
    expect_errors(&errors, files[_i].errors);
}
END_TEST

/* ---- snapshots ---- */

static void ignore_server(void *context, struct server *server)
{
    (void)context;
    (void)server;
}

static struct config *config_in_folder(const char *text)
{
    char path[FOLDER_PATH_MAX];
    folder_join("x.yaml", path);
    return parse_good(text, path);
}

static void write_file(const char *name, const char *content)
{
    char path[FOLDER_PATH_MAX];
    folder_join(name, path);
    folder_write(path, content, strlen(content));
}

static struct snapshot *snapshot_of(const char *text, struct registry *registry)
{
    const char *error = NULL;
    struct config *config = config_in_folder(text);
    struct snapshot *snapshot = snapshot_create(&config, registry, 1, &error);
    ck_assert_msg(snapshot != NULL, "%s", error);
    return snapshot;
}

/* Fails unless all of these errors are told, '@' standing for the folder. */
static void expect_refusal(const char *text, struct registry *registry, const char *all)
{
    const char *error = NULL;
    struct config_errors errors = {0};
    struct text expected;
    struct config *config = config_in_folder(text);
    text_init(&expected);
    ck_assert_ptr_null(snapshot_try(&config, registry, 1, &error));
    for (const char *at = all; *at != '\0'; at++)
        text_append(&expected, *at == '@' ? folder_path : at, *at == '@' ? strlen(folder_path) : 1);
    snapshot_explain_refusal(config, registry, &errors);
    expect_errors(&errors, expected.data);
    text_fini(&expected);
    config_destroy(&config);
}

static bool may(const struct snapshot *snapshot, const char *user, size_t listener, enum verb verb, const char *key)
{
    const struct access_view *view = access_for_user(snapshot->access, slice_make(user, strlen(user)));
    return access_check(view, listener, verb, slice_make(key, strlen(key)));
}

START_TEST(rules_are_in_force)
{
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    struct snapshot *open = snapshot_of("listen: ['a:1', 'a:2']\n" POOL, &registry);
    ck_assert(may(open, "", 1, VERB_SET, "x"));
    /* Once there is a rule, what none allows is refused. */
    struct snapshot *ruled =
        snapshot_of("listen: ['a:1', 'a:2']\n" POOL "access:\n"
                    "  - {user: app, keys: ['app:*'], commands: [read, write], listeners: ['a:2']}\n"
                    "  - {user: '*', keys: [open], commands: [get]}\n",
                    &registry);
    ck_assert(may(ruled, "app", 1, VERB_SET, "app:1"));
    ck_assert(!may(ruled, "app", 0, VERB_SET, "app:1"));
    ck_assert(!may(ruled, "app", 1, VERB_SET, "other"));
    ck_assert(!may(ruled, "", 1, VERB_GET, "app:1"));
    ck_assert(may(ruled, "", 0, VERB_GET, "open"));
    ck_assert(!may(ruled, "", 0, VERB_SET, "open"));
    snapshot_destroy(&open, &registry);
    snapshot_destroy(&ruled, &registry);
    registry_fini(&registry);
}
END_TEST

START_TEST(peers_are_looked_up)
{
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    struct snapshot *snapshot = snapshot_of(
        "listen: [{address: 'unix:x', peers: {root: boss, 54321: app}}, {address: 'unix:y', peers: {0: other}}]\n" POOL,
        &registry);
    ck_assert_str_eq(snapshot_peer_user(snapshot, 0, 0), "boss");
    ck_assert_str_eq(snapshot_peer_user(snapshot, 0, 54321), "app");
    ck_assert_ptr_null(snapshot_peer_user(snapshot, 0, 54322));
    ck_assert_str_eq(snapshot_peer_user(snapshot, 1, 0), "other");
    ck_assert_ptr_null(snapshot_peer_user(snapshot, 1, 54321));
    snapshot_destroy(&snapshot, &registry);
    expect_refusal("listen:\n"
                   "  - {address: 'unix:x', peers: {no-such-user-here: a, root: b, 0: c}}\n" POOL,
                   &registry,
                   "2:33: `peers`: this system has no user `no-such-user-here`\n"
                   "2:55: `peers`: the system's user 0 stands twice\n");
    registry_fini(&registry);
}
END_TEST

#define HASH "$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

START_TEST(users_are_read)
{
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    write_file("users", "# ours\napp:" HASH "\n");
    struct snapshot *snapshot =
        snapshot_of("listen: [{address: 'a:1', auth: required}]\nusers: {file: users}\n" POOL, &registry);
    ck_assert_uint_eq(users_count(snapshot->users), 1);
    ck_assert_ptr_nonnull(users_find(snapshot->users, SLICE_OF("app")));
    snapshot_destroy(&snapshot, &registry);
    write_file("users", "app\nbob:" HASH "\nbob:" HASH "\n");
    expect_refusal("users: {file: users}\n" POOL, &registry,
                   "1:15: `file`: @/users:1: there is no colon; a line is NAME:HASH\n"
                   "1:15: `file`: @/users:3: `bob` stands in line 2 already\n");
    registry_fini(&registry);
}
END_TEST

START_TEST(passwords_are_read)
{
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    write_file("secret", "open sesame\n");
    ck_assert_int_eq(setenv("RINGSIDE_TEST_PASSWORD", "hunter2", 1), 0);
    struct snapshot *snapshot =
        snapshot_of("pools:\n"
                    "  a: {servers: [s], auth: {user: app, password_file: secret}}\n"
                    "  b: {servers: [s], auth: {user: bob, password_env: RINGSIDE_TEST_PASSWORD}}\n"
                    "  c: {servers: [s]}\n"
                    "route: a\n",
                    &registry);
    const struct secret *a = snapshot->pools[0].settings.auth, *b = snapshot->pools[1].settings.auth;
    ck_assert_str_eq(a->user, "app");
    ck_assert_str_eq(a->password, "open sesame");
    ck_assert_str_eq(b->user, "bob");
    ck_assert_str_eq(b->password, "hunter2");
    ck_assert_ptr_null(snapshot->pools[2].settings.auth);
    snapshot_destroy(&snapshot, &registry);
    write_file("secret", "open\nsesame\n");
    ck_assert_int_eq(unsetenv("RINGSIDE_TEST_PASSWORD"), 0);
    expect_refusal("pools:\n"
                   "  a: {servers: [s], auth: {user: app, password_file: secret}}\n"
                   "  b: {servers: [s], auth: {user: bob, password_env: RINGSIDE_TEST_PASSWORD}}\n"
                   "  c: {servers: [s], auth: {user: bob, password_file: nowhere}}\n"
                   "route: a\n",
                   &registry,
                   "2:54: `password_file`: @/secret: it has more than one line; a password is one line\n"
                   "3:53: `password_env`: RINGSIDE_TEST_PASSWORD: there is no such environment variable\n"
                   "4:54: `password_file`: @/nowhere: cannot be read: No such file or directory\n");
    registry_fini(&registry);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("access");
    folder_use(tcase);
    tcase_add_test(tcase, everything_is_read);
    tcase_add_loop_test(tcase, a_bad_file_is_told_all_that_is_wrong, 0, sizeof files / sizeof files[0]);
    tcase_add_test(tcase, rules_are_in_force);
    tcase_add_test(tcase, peers_are_looked_up);
    tcase_add_test(tcase, users_are_read);
    tcase_add_test(tcase, passwords_are_read);
    return run_suite("config/access", tcase);
}
