/*
 * Tests of `tls` in a configuration: what is read (config/bind_tls), what is refused, and what becomes of it in snapshots
 * and over reloads (config/security, config/registry_tls), with certificates that the tests make.
 */
#include "config/security.h"
#include "config/snapshot.h"
#include "tests/config/certificate.h"
#include "tests/config/support.h"
#include "tests/support/folder.h"

#include <unistd.h>

#define POOL "pools: {main: {servers: [a]}}\n"

/* ---- reading ---- */

START_TEST(a_listener_has_what_was_written)
{
    struct config *config =
        parse_good("listen:\n"
                   "  - 127.0.0.1:1\n"
                   "  - address: 127.0.0.1:2\n"
                   "    tls: {certificate: a.pem, key: /k/a.key, client_ca: ca.pem, client_certificate: request,\n"
                   "          certificates: [{certificate: b.pem, key: b.key}, {key: c.key, certificate: c.pem}],\n"
                   "          crl: crl.pem, min_version: 1.3}\n"
                   "  - {address: 'unix:x', tls: {certificate: a.pem, key: a.key}}\n" POOL,
                   "/etc/ringside/x.yaml");
    ck_assert(!config->listens[0].has_tls);
    const struct config_listen *listen = &config->listens[1];
    ck_assert(listen->has_tls);
    ck_assert_str_eq(listen->tls.identity.certificate, "/etc/ringside/a.pem");
    ck_assert_str_eq(listen->tls.identity.key, "/k/a.key");
    ck_assert_uint_eq(listen->tls.further_count, 2);
    ck_assert_str_eq(listen->tls.further[0].certificate, "/etc/ringside/b.pem");
    ck_assert_str_eq(listen->tls.further[0].key, "/etc/ringside/b.key");
    ck_assert_str_eq(listen->tls.further[1].certificate, "/etc/ringside/c.pem");
    ck_assert_str_eq(listen->tls.client_ca, "/etc/ringside/ca.pem");
    ck_assert_str_eq(listen->tls.crl, "/etc/ringside/crl.pem");
    ck_assert_int_eq(listen->tls.client_certificate, TLS_CLIENT_CERTIFICATE_REQUEST);
    ck_assert_int_eq(listen->tls.min_version, TLS_VERSION_1_3);
    ck_assert_int_eq(listen->tls_files.line, 4);
    ck_assert_int_eq(listen->tls_files.column, 10);
    ck_assert_uint_eq(listen->tls_files.count, 8);
    const struct config_listen *plain = &config->listens[2];
    ck_assert(plain->has_tls && plain->tls.client_ca == NULL && plain->tls.crl == NULL);
    ck_assert_int_eq(plain->tls.client_certificate, TLS_CLIENT_CERTIFICATE_NONE);
    ck_assert_int_eq(plain->tls.min_version, TLS_VERSION_1_2);
    config_destroy(&config);
}
END_TEST

START_TEST(a_pool_has_what_was_written)
{
    struct config *config =
        parse_good("pools:\n"
                   "  a: {servers: [a]}\n"
                   "  b: {servers: [a], tls: no}\n"
                   "  c: {servers: [a], tls: yes}\n"
                   "  d: {servers: [a], tls: {}}\n"
                   "  e: {servers: [a], tls: {ca: ca.pem, server_name: cache.internal, crl: crl.pem,\n"
                   "      certificate: me.pem, key: me.key, min_version: '1.3'}}\n"
                   "  f: {servers: [a], tls: {insecure: yes}}\n"
                   "route: a\n",
                   "/etc/x.yaml");
    const struct config_pool *pools = config->pools;
    ck_assert(!pools[0].has_tls && !pools[1].has_tls);
    for (int i = 2; i < 4; i++) {
        ck_assert(pools[i].has_tls && !pools[i].tls.insecure);
        ck_assert(pools[i].tls.ca == NULL && pools[i].tls.server_name == NULL && pools[i].tls.identity.key == NULL);
        ck_assert_int_eq(pools[i].tls.min_version, TLS_VERSION_1_2);
    }
    ck_assert_str_eq(pools[4].tls.ca, "/etc/ca.pem");
    ck_assert_str_eq(pools[4].tls.crl, "/etc/crl.pem");
    ck_assert_str_eq(pools[4].tls.server_name, "cache.internal");
    ck_assert_str_eq(pools[4].tls.identity.certificate, "/etc/me.pem");
    ck_assert_str_eq(pools[4].tls.identity.key, "/etc/me.key");
    ck_assert_int_eq(pools[4].tls.min_version, TLS_VERSION_1_3);
    ck_assert(!pools[4].tls.insecure && pools[5].tls.insecure);
    config_destroy(&config);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *text;
    const char *errors;
} files[] = {
    {"listen:\n"
     "  - {address: 'a:1', tls: {}}\n"
     "  - {address: 'a:2', tls: {certificate: a.pem}}\n"
     "  - {address: 'a:3', tls: {key: a.key}}\n"
     "  - {address: 'a:4', tls: yes}\n"
     "  - {address: 'a:5', tls: }\n" POOL,
     "2:27: a listener's `tls` has no `certificate`\n"
     "2:27: a listener's `tls` has no `key`\n"
     "3:27: a listener's `tls` has no `key`\n"
     "4:27: a listener's `tls` has no `certificate`\n"
     "5:27: `tls`: found `yes`; write a mapping such as `{certificate: server.pem, key: server.key}`\n"
     "6:27: `tls`: found nothing; write a mapping such as `{certificate: server.pem, key: server.key}`\n"},
    {"listen:\n"
     "  - {address: 'a:1', tls: {certificate: a, key: a, client_certificate: require}}\n"
     "  - {address: 'a:2', tls: {certificate: a, key: a, client_ca: c}}\n"
     "  - {address: 'a:3', tls: {certificate: a, key: a, crl: c}}\n"
     "  - {address: 'a:4', tls: {certificate: a, key: a, client_ca: c, client_certificate: none}}\n"
     "  - {address: 'a:5', tls: {certificate: a, key: a, client_certificate: none}}\n" POOL,
     "2:52: `client_certificate` without `client_ca`: nothing would tell good ones from others\n"
     "3:52: `client_ca` without `client_certificate`; write `request` or `require` there\n"
     "4:52: `crl` without `client_ca`: it is for the certificates of clients\n"},
    {"listen:\n"
     "  - {address: 'a:1', tls: {certificate: a, key: [a], certificates: a}}\n"
     "  - {address: 'a:2', tls: {certificate: '', key: \"a\\tb\", certificates: []}}\n"
     "  - {address: 'a:3', tls: {certificate: a, key: a, certificates: [a, {key: b}, {certificate: b, kye: b}]}}\n"
     "  - {address: 'a:4', tls: {certificate: a, key: a, min_version: 1.1, client_certificate: yes, client_ca: b, ca: "
     "b}}\n" POOL,
     "2:49: `key`: found a list; write a path such as `server.key`\n"
     "2:68: `certificates`: found `a`; write a list such as `[{certificate: other.pem, key: other.key}]`\n"
     "3:41: `certificate`: the path `` is empty\n"
     "3:50: `key`: the path `a\\x09b` has a control character in it\n"
     "3:72: `certificates`: found an empty list; write a list such as `[{certificate: other.pem, key: other.key}]`\n"
     "4:67: `certificates`: found text; write a mapping such as `{certificate: other.pem, key: other.key}`\n"
     "4:70: an item of `certificates` has no `certificate`\n"
     "4:80: an item of `certificates` has no `key`\n"
     "4:97: unknown key `kye`; did you mean `key`?\n"
     "5:65: `min_version`: found `1.1`; write `1.2` or `1.3`\n"
     "5:90: `client_certificate`: found `yes`; write `none`, `request` or `require`\n"
     "5:109: unknown key `ca`; the keys of a listener's `tls` are `certificate`, `key`, `certificates`, `client_ca`, "
     "`client_certificate`, `crl`, `min_version`\n"},
    {"pools:\n"
     "  a: {servers: [a], tls: {certificate: a}}\n"
     "  b: {servers: [a], tls: {key: a}}\n"
     "  c: {servers: [a], tls: {insecure: yes, ca: a, crl: b}}\n"
     "  d: {servers: [a], tls: {insecure: no, ca: a}}\n"
     "  e: {servers: [a], tls: {insecure: true, server_name: 'a b', client_ca: x}}\n"
     "  f: {servers: [a], tls: on}\n"
     "route: a\n",
     "2:27: `certificate` without `key`\n"
     "3:27: `key` without `certificate`\n"
     "4:27: `insecure` and `ca`: where nothing is verified, `ca` is of no use\n"
     "4:27: `insecure` and `crl`: where nothing is verified, `crl` is of no use\n"
     "6:37: `insecure`: found `true`; write `yes` or `no`\n"
     "6:56: server name `a b` has a space or a control character in it\n"
     "6:63: unknown key `client_ca`; the keys of a pool's `tls` are `ca`, `server_name`, `certificate`, `key`, `crl`, "
     "`insecure`, `min_version`\n"
     "7:26: `tls`: found `on`; write `yes`, `no`, or a mapping such as `{ca: ca.pem}`\n"},
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

/* Writes NAME.pem and NAME.key. */
static void write_identity(const char *name)
{
    char file[64], certificate[FOLDER_PATH_MAX], key[FOLDER_PATH_MAX];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    folder_join(file, certificate);
    (void)snprintf(file, sizeof file, "%s.key", name);
    folder_join(file, key);
    certificate_write(name, certificate, key);
}

static void write_bad(const char *name)
{
    char path[FOLDER_PATH_MAX];
    folder_join(name, path);
    folder_write(path, "rubbish\n", 8);
}

static struct config *config_in_folder(const char *text)
{
    char path[FOLDER_PATH_MAX];
    folder_join("x.yaml", path);
    return parse_good(text, path);
}

static struct snapshot *snapshot_of(const char *text, struct registry *registry)
{
    const char *error = NULL;
    struct config *config = config_in_folder(text);
    struct snapshot *snapshot = snapshot_create(&config, registry, 1, &error);
    ck_assert_msg(snapshot != NULL, "%s", error);
    return snapshot;
}

/* Fails unless it is refused with that reason, %s standing for the folder; and for all of these errors. */
static void expect_refusal(const char *text, struct registry *registry, const char *reason, const char *all)
{
    const char *error = NULL;
    struct config_errors errors = {0};
    struct text expected;
    struct config *config = config_in_folder(text);
    text_init(&expected);
    ck_assert_ptr_null(snapshot_try(&config, registry, 1, &error));
    for (const char *at = reason; *at != '\0'; at++)
        text_append(&expected, *at == '@' ? folder_path : at, *at == '@' ? strlen(folder_path) : 1);
    ck_assert_str_eq(error, expected.data);
    text_clear(&expected);
    for (const char *at = all; *at != '\0'; at++)
        text_append(&expected, *at == '@' ? folder_path : at, *at == '@' ? strlen(folder_path) : 1);
    snapshot_explain_refusal(config, registry, &errors);
    expect_errors(&errors, expected.data);
    text_fini(&expected);
    config_destroy(&config);
}

#define BOTH                                                                                                     \
    "listen:\n"                                                                                                  \
    "  - {address: 'a:1', tls: {certificate: a.pem, key: a.key}}\n"                                              \
    "  - 'a:2'\n"                                                                                                \
    "  - {address: 'a:3', tls: {certificate: a.pem, key: a.key}}\n"                                              \
    "pools: {x: {servers: [s], tls: {ca: b.pem}}, y: {servers: [s]}, z: {servers: [s], tls: {insecure: yes}}}\n" \
    "route: x\n"

START_TEST(contexts_outlive_a_reload)
{
    struct registry registry;
    write_identity("a");
    write_identity("b");
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    struct snapshot *old = snapshot_of(BOTH, &registry);
    struct tls_context *server = old->listen_tls[0], *client = old->pool_tls[0];
    ck_assert(server != NULL && old->listen_tls[1] == NULL && old->listen_tls[2] == server);
    ck_assert(client != NULL && old->pool_tls[1] == NULL && old->pool_tls[2] != NULL && old->pool_tls[2] != client);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(old->pools[i].settings.tls, old->pool_tls[i]);
    ck_assert_uint_eq(registry.tls_count, 3);
    /* The first listener has another spec now, the third is gone, the pools stay. */
    struct snapshot *new =
        snapshot_of("listen: [{address: 'a:1', tls: {certificate: a.pem, key: a.key, min_version: 1.3}}, "
                    "{address: 'a:2', tls: {certificate: a.pem, key: a.key}}]\n"
                    "pools: {x: {servers: [s], tls: {ca: b.pem}}}\n",
                    &registry);
    ck_assert(new->listen_tls[0] != NULL &&new->listen_tls[0] != server);
    ck_assert_ptr_eq(new->listen_tls[1], server);
    ck_assert_ptr_eq(new->pool_tls[0], client);
    ck_assert_uint_eq(registry.tls_count, 4);
    snapshot_destroy(&old, &registry);
    ck_assert_uint_eq(registry.tls_count, 3);
    snapshot_destroy(&new, &registry);
    ck_assert_uint_eq(registry.tls_count, 0);
    registry_fini(&registry);
}
END_TEST

/* A new certificate comes into force with the reload, and with no reload that was refused. */
START_TEST(files_are_read_again)
{
    struct registry registry;
    write_identity("a");
    write_identity("b");
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    struct snapshot *old = snapshot_of(BOTH, &registry);
    struct tls_context *server = old->listen_tls[0];
    ck_assert(!tls_context_is_stale(server));
    char key[FOLDER_PATH_MAX];
    folder_join("a.key", key);
    ck_assert_int_eq(unlink(key), 0);
    write_identity("a");
    ck_assert(tls_context_is_stale(server));
    expect_refusal(BOTH "users: {file: nowhere}\n", &registry,
                   "line 7, column 15: `file`: @/nowhere: cannot be read: No such file or directory",
                   "7:15: `file`: @/nowhere: cannot be read: No such file or directory\n");
    ck_assert(tls_context_is_stale(server));
    struct snapshot *new = snapshot_of(BOTH, &registry);
    ck_assert_ptr_eq(new->listen_tls[0], server);
    ck_assert(!tls_context_is_stale(server));
    snapshot_destroy(&old, &registry);
    /* Files that have turned bad refuse the whole configuration; what was there stays. */
    write_bad("a.key");
    const char *error = NULL;
    struct config *config = config_in_folder(BOTH);
    ck_assert_ptr_null(snapshot_create(&config, &registry, 1, &error));
    ck_assert_msg(strstr(error, "line 2, column 53: `key`: ") == error && strstr(error, "/a.key") != NULL, "%s", error);
    ck_assert_uint_eq(registry.tls_count, 3);
    ck_assert_ptr_eq(new->listen_tls[0], server);
    snapshot_destroy(&new, &registry);
    registry_fini(&registry);
}
END_TEST

START_TEST(errors_stand_where_the_file_is_named)
{
    struct registry registry;
    write_identity("a");
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    expect_refusal("listen:\n"
                   "  - {address: 'a:1', tls: {certificate: a.pem, key: no.key}}\n"
                   "  - address: 'a:2'\n"
                   "    tls: {certificate: a.pem, key: a.key, certificates: [{certificate: a.pem, key: a.key},\n"
                   "      {certificate: no.pem, key: no.key}], client_ca: a.pem, client_certificate: require}\n"
                   "  - {address: 'a:3', tls: {certificate: a.pem, key: a.key, client_ca: no.ca, client_certificate: "
                   "request}}\n"
                   "pools:\n"
                   "  a: {servers: [s], tls: {ca: no.pem}}\n"
                   "  b: {servers: [s], tls: {crl: no.pem}}\n"
                   "route: a\n",
                   &registry, "line 2, column 53: `key`: @/no.key: No such file or directory (5 errors in all)",
                   "2:53: `key`: @/no.key: No such file or directory\n"
                   "5:21: `certificate`: @/no.pem: No such file or directory\n"
                   "6:71: `client_ca`: @/no.ca: No such file or directory\n"
                   "8:31: `ca`: @/no.pem: No such file or directory\n"
                   "9:32: `crl`: @/no.pem: No such file or directory\n");
    ck_assert_uint_eq(registry.tls_count, 0);
    registry_fini(&registry);
}
END_TEST

START_TEST(for_routes_no_file_is_read)
{
    struct registry registry;
    registry_init(&registry, 1, ignore_server, ignore_server, NULL);
    registry.is_for_routes = true;
    struct snapshot *snapshot = snapshot_of(
        "listen: [{address: 'unix:x', auth: required, tls: {certificate: no, key: no}, peers: {nobody-here: "
        "x}}]\n"
        "pools: {a: {servers: [s], tls: {ca: no}, auth: {user: a, password_file: no}}}\n"
        "users: {file: no}\n",
        &registry);
    ck_assert(snapshot->listen_tls[0] == NULL && snapshot->pool_tls[0] == NULL && snapshot->users == NULL);
    ck_assert_ptr_nonnull(snapshot->access);
    snapshot_destroy(&snapshot, &registry);
    registry_fini(&registry);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("tls");
    folder_use(tcase);
    tcase_add_test(tcase, a_listener_has_what_was_written);
    tcase_add_test(tcase, a_pool_has_what_was_written);
    tcase_add_loop_test(tcase, a_bad_file_is_told_all_that_is_wrong, 0, sizeof files / sizeof files[0]);
    tcase_add_test(tcase, contexts_outlive_a_reload);
    tcase_add_test(tcase, files_are_read_again);
    tcase_add_test(tcase, errors_stand_where_the_file_is_named);
    tcase_add_test(tcase, for_routes_no_file_is_read);
    return run_suite("config/tls", tcase);
}
