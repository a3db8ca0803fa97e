/* Tests of config/summary and config/diff: the words for a configuration, and for a change of it. */
#include "config/diff.h"
#include "config/summary.h"
#include "tests/config/support.h"

/* ---- the summary ---- */

START_TEST(the_summary_says_all)
{
    struct config *config = parse_good("listen: [127.0.0.1:1, {address: unix:/x, mode: 0666, deny: [flush_all, get]}]\n"
                                       "limits: {item_size: 1536KiB, idle: 90s, drain: 1500ms}\n"
                                       "pools:\n"
                                       "  a: {servers: [10.0.0.1, {address: c, name: b, weight: 2}]}\n"
                                       "  b: {servers: ['[::1]'], hash_tag: '{}', on_down: hold}\n"
                                       "route: b\n",
                                       NULL);
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    ck_assert_str_eq(
        text.data,
        "workers auto, user none, coalesce yes, busy_poll 0\n"
        "listen 127.0.0.1:1\n"
        "listen unix:/x, mode 0666, deny flush_all get\n"
        "limits: clients 10000, item_size 1536KiB, memory 512MiB, pipeline 1024, idle 90s, stall 1m, handshakes 1000, "
        "handshake 10s, drain 1500ms\n"
        "log: level info, format text\n"
        "pool a: 2 servers\n"
        "  server 10.0.0.1:11211\n"
        "  server b at c:11211, weight 2\n"
        "  distribution ketama, hash md5, hash_tag none, protocol text, connections 1, connect_timeout 200ms, "
        "timeout 250ms, on_down next, on_error error, on_return keep\n"
        "  health: failures 3, probe 1s, probe_max 30s, panic 50%\n"
        "pool b: 1 server\n"
        "  server [::1]:11211\n"
        "  distribution ketama, hash md5, hash_tag {}, protocol text, connections 1, connect_timeout 200ms, "
        "timeout 250ms, on_down hold, on_error error, on_return keep\n"
        "  health: failures 3, probe 1s, probe_max 30s, panic 50%\n"
        "route b\n"
        "warning: no request reaches pool a: the route does not name it\n");
    text_fini(&text);
    config_destroy(&config);
}
END_TEST

START_TEST(the_summary_says_who_may_do_what)
{
    struct config *config =
        parse_good("listen: [{address: 'unix:/x', auth: optional, peers: {1000: app, www: web}},\n"
                   "  {address: 127.0.0.1:1, auth: required, deny: [get], tls: {certificate: a, key: b,\n"
                   "    certificates: [{certificate: c, key: d}], client_ca: e, client_certificate: "
                   "request}}]\n"
                   "pools: {a: {servers: [b], tls: {insecure: yes, server_name: n}, auth: {user: u,\n"
                   "  password_env: V}}}\n"
                   "users: {file: u}\n"
                   "access: [{user: a, commands: [read, get], keys: [x, 'y*'], listeners: [127.0.0.1:1]}, "
                   "{user: '*', commands: [none]}]\n",
                   "/e/x.yaml");
    struct text text;
    text_init(&text);
    config_summary(config, &text);
    ck_assert_str_eq(
        text.data,
        "workers auto, user none, coalesce yes, busy_poll 0\n"
        "listen unix:/x, mode 0700, auth optional\n"
        "  peers: 1000 is app, www is web\n"
        "listen 127.0.0.1:1, auth required, deny get\n"
        "  tls: certificate /e/a, key /e/b, client_ca /e/e, client_certificate request, crl none, min_version 1.2\n"
        "  tls, further: certificate /e/c, key /e/d\n"
        "limits: clients 10000, item_size 1MiB, memory 512MiB, pipeline 1024, idle 0s, stall 1m, handshakes 1000, "
        "handshake 10s, drain 10s\n"
        "log: level info, format text\n"
        "pool a: 1 server\n"
        "  server b:11211\n"
        "  distribution ketama, hash md5, hash_tag none, protocol text, connections 1, connect_timeout 200ms, "
        "timeout 250ms, on_down next, on_error error, on_return keep\n"
        "  health: failures 3, probe 1s, probe_max 30s, panic 50%\n"
        "  tls: ca none, server_name n, certificate none, key none, crl none, insecure yes, min_version 1.2\n"
        "  auth: user u, password_file none, password_env V, mechanism ascii\n"
        "route a\n"
        "users: file /e/u\n"
        "access\n"
        "  a: commands read get, keys x y*, listeners 127.0.0.1:1\n"
        "  *: commands none\n"
        "warning: anybody can pass for a server of pool a: `insecure`\n");
    text_fini(&text);
    config_destroy(&config);
}
END_TEST

/* ---- the difference ---- */

#define POOL "pools: {main: {servers: [a, b]}}\n"

static const struct {
    const char *old, *new;
    const char *change;
} changes[] = {
    {POOL, POOL, "no change"},
    /* Other words for the same. */
    {POOL, "route: main\nlisten: [127.0.0.1]\npools: {main: {timeout: 250ms, servers: [a:11211, {address: b}]}}",
     "no change"},
    {POOL, "pools: {main: {servers: [c, a, b, d]}}", "pool main servers added: c:11211, d:11211"},
    {POOL, "pools: {main: {servers: [b]}}", "pool main servers removed: a:11211"},
    {POOL, "pools: {main: {servers: [b, c]}}", "pool main servers added: c:11211; pool main servers removed: a:11211"},
    {POOL, "pools: {main: {servers: [b, a]}}", "pool main servers: another order"},
    {POOL, "pools: {main: {servers: [{address: a, weight: 3}, b]}}", "pool main weights: a:11211 1 -> 3"},
    {"pools: {main: {servers: [{address: a, name: x}]}}", "pools: {main: {servers: [{address: b, name: x}]}}",
     "pool main servers added: x (b:11211); pool main servers removed: x (a:11211)"},
    {"pools: {main: {servers: [{address: a, name: x}, {address: b, name: y}]}}",
     "pools: {main: {servers: [{address: a, name: y}, {address: b, name: x}]}}",
     "pool main servers added: x (b:11211), y (a:11211); pool main servers removed: x (a:11211), y (b:11211)"},
    {"pools: {main: {servers: [z]}}", "pools: {main: {servers: [a, b, c, d, e, f, g, h, i, j, z]}}",
     "pool main servers added: a:11211, b:11211, c:11211, d:11211, e:11211, f:11211, g:11211, h:11211 and 2 more"},
    {"pools: {main: {servers: [z]}}", "pools: {main: {servers: [a, b, c, d, e, f, g, h, z]}}",
     "pool main servers added: a:11211, b:11211, c:11211, d:11211, e:11211, f:11211, g:11211, h:11211"},
    {POOL, "pools: {main: {servers: [a, b]}, x: {servers: [a]}, y: {servers: [a]}}\nroute: y",
     "pools added: x, y; route main -> y"},
    {"pools: {main: {servers: [a]}}", "pools: {other: {servers: [a]}}",
     "pools added: other; pools removed: main; route main -> other"},
    {POOL,
     "pools: {main: {servers: [a, b], distribution: modulo, hash: crc, hash_tag: '<>', timeout: 2s, on_down: hold, "
     "health: {panic: 1%}}}",
     "pool main: distribution ketama -> modulo; pool main: hash md5 -> crc; pool main: hash_tag none -> <>; "
     "pool main: timeout 250ms -> 2s; pool main: health.panic 50% -> 1%; pool main: on_down next -> hold"},
    {"pools: {main: {servers: [a], auth: {user: u, password_env: X}}}",
     "pools: {main: {servers: [a], auth: {user: u, password_env: X}, protocol: binary}}",
     "pool main: protocol text -> binary; pool main: auth.mechanism ascii -> sasl"},
    {POOL, "listen: [127.0.0.1:1, 127.0.0.1:2]\n" POOL,
     "listeners added: 127.0.0.1:1, 127.0.0.1:2; listeners removed: 127.0.0.1:11211"},
    {"listen: [{address: 'unix:/x', deny: [get, set]}, {address: 'unix:/y', deny: [get, set]}]\n" POOL,
     "listen: [{address: 'unix:/x', deny: [set, get]}, {address: 'unix:/y', mode: '0600'}]\n" POOL,
     "listener unix:/y: mode 0700 -> 0600; listener unix:/y: deny [get, set] -> []"},
    {POOL, "workers: 2\nlimits: {memory: 1GiB, idle: 1m}\nlog: {level: error}\n" POOL,
     "workers auto -> 2 (takes effect at a restart); limits.memory 512MiB -> 1GiB; limits.idle 0s -> 1m; "
     "log.level info -> error"},
    {"user: a\n" POOL, "user: b\n" POOL, "user a -> b (takes effect at a restart)"},
    {"user: a\n" POOL, POOL, "user a -> none (takes effect at a restart)"},
    {POOL, "listen: [{address: 127.0.0.1, tls: {certificate: a, key: b}}]\n" POOL,
     "listener 127.0.0.1:11211: tls added"},
    {"listen: [{address: 127.0.0.1, tls: {certificate: a, key: b}}]\n" POOL, POOL,
     "listener 127.0.0.1:11211: tls removed"},
    {"listen: [{address: 'unix:/x', tls: {certificate: a, key: b}, peers: {1: a, 2: b}}]\n" POOL,
     "listen: [{address: 'unix:/x', auth: required, peers: {2: b, 1: c}, tls: {certificate: c, key: b, min_version: "
     "1.3,\n"
     "  certificates: [{certificate: d, key: e}], client_ca: f, client_certificate: require}}]\n" POOL,
     "listener unix:/x: auth none -> required; listener unix:/x: tls.certificate a -> c; listener unix:/x: "
     "tls.client_ca "
     "none -> f; listener unix:/x: tls.client_certificate none -> require; listener unix:/x: tls.min_version 1.2 -> "
     "1.3; "
     "listener unix:/x: tls.certificates {} -> {d: e}; listener unix:/x: peers {1: a, 2: b} -> {1: c, 2: b}"},
    {POOL, "pools: {main: {servers: [a, b], tls: yes, auth: {user: u, password_env: V}}}",
     "pool main: tls added; pool main: auth added"},
    {"pools: {main: {servers: [a], tls: yes, auth: {user: u, password_env: V}}}",
     "pools: {main: {servers: [a], tls: {insecure: yes}, auth: {user: v, password_file: /f}}}",
     "pool main: tls.insecure no -> yes; pool main: auth.user u -> v; pool main: auth.password_file none -> /f; pool "
     "main: "
     "auth.password_env V -> none"},
    {"pools: {main: {servers: [a], tls: {}}}", "pools: {main: {servers: [a], tls: yes}}", "no change"},
    {POOL, "users: {file: /u}\n" POOL, "users.file none -> /u"},
    {"access: [{user: a, commands: [get]}, {user: b, commands: [get]}]\n" POOL,
     "access: [{user: b, commands: [get]}, {user: a, commands: [get], keys: [x]}]\n" POOL,
     "access rules added: (a: commands get, keys x); access rules removed: (a: commands get)"},
    {"access: [{user: a, commands: [get]}, {user: '*', commands: [none]}]\n" POOL,
     "access: [{user: '*', commands: [none]}, {user: a, commands: [get]}]\n" POOL, "access rules: another order"},
    {"access: [{user: a, commands: [get]}]\n" POOL, POOL, "access rules removed: (a: commands get)"},
};

START_TEST(a_change_is_told)
{
    struct config *old = parse_good(changes[_i].old, NULL), *new = parse_good(changes[_i].new, NULL);
    struct text text;
    text_init(&text);
    bool any = config_diff(old, new, &text);
    ck_assert_str_eq(text.data, changes[_i].change);
    ck_assert(any == (strcmp(changes[_i].change, "no change") != 0));
    ck_assert(!text.failed);
    text_clear(&text);
    ck_assert(!config_diff(new, new, &text));
    ck_assert_str_eq(text.data, "no change");
    text_fini(&text);
    config_destroy(&old);
    config_destroy(&new);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("summary");
    tcase_add_test(tcase, the_summary_says_all);
    tcase_add_test(tcase, the_summary_says_who_may_do_what);
    tcase_add_loop_test(tcase, a_change_is_told, 0, sizeof changes / sizeof changes[0]);
    return run_suite("config/summary", tcase);
}
