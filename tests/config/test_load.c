/* Tests of config/load: good files, the command line, files that cannot be read; every field of the model. */
#include "base/log.h"
#include "config/model.h"
#include "routing/hash.h"
#include "routing/ring.h"
#include "tests/config/support.h"
#include "tests/support/folder.h"
#include "wire/verb.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fails unless the pool has the defaults of all its settings. */
static void expect_default_pool(const struct config_pool *pool)
{
    ck_assert_str_eq(pool->distribution, "ketama");
    ck_assert_str_eq(pool->hash, "md5");
    ck_assert_int_eq(pool->hash_tag[0], 0);
    ck_assert_int_eq(pool->hash_tag[1], 0);
    ck_assert_uint_eq(pool->connections, 1);
    ck_assert_uint_eq(pool->connect_timeout_ms, 200);
    ck_assert_uint_eq(pool->timeout_ms, 250);
    ck_assert_uint_eq(pool->health_failures, 3);
    ck_assert_uint_eq(pool->health_probe_ms, 1000);
    ck_assert_uint_eq(pool->health_probe_max_ms, 30000);
    ck_assert_uint_eq(pool->health_panic_percent, 50);
    ck_assert_int_eq(pool->on_down, CONFIG_ON_DOWN_NEXT);
    ck_assert_int_eq(pool->on_error, CONFIG_ON_ERROR_ERROR);
}

static void expect_address(const struct config_address *address, const char *host, uint16_t port, bool is_unix)
{
    ck_assert_str_eq(address->host, host);
    ck_assert_uint_eq(address->port, port);
    ck_assert(address->is_unix == is_unix);
}

/* Fails unless all outside the pools and listeners has its default. */
static void expect_default_top(const struct config *config)
{
    ck_assert_uint_eq(config->workers, 0);
    ck_assert_ptr_null(config->user);
    ck_assert(config->coalesce);
    ck_assert_uint_eq(config->busy_poll_us, 0);
    ck_assert_uint_eq(config->limits.clients, 10000);
    ck_assert_uint_eq(config->limits.item_size_bytes, 1u << 20);
    ck_assert_uint_eq(config->limits.memory_bytes, 512u << 20);
    ck_assert_uint_eq(config->limits.pipeline, 1024);
    ck_assert_uint_eq(config->limits.idle_ms, 0);
    ck_assert_uint_eq(config->limits.stall_ms, 60000);
    ck_assert_uint_eq(config->limits.handshakes, 1000);
    ck_assert_uint_eq(config->limits.handshake_ms, 10000);
    ck_assert_uint_eq(config->limits.drain_ms, 10000);
    ck_assert_int_eq(config->log_level, LOG_LEVEL_INFO);
    ck_assert_int_eq(config->log_format, CONFIG_LOG_TEXT);
}

START_TEST(the_least_file_has_all_defaults)
{
    struct config *config = parse_good("pools: {main: {servers: [10.0.0.1]}}", NULL);
    ck_assert_ptr_null(config->path);
    expect_default_top(config);
    ck_assert_uint_eq(config->listen_count, 1);
    expect_address(&config->listens[0].address, "127.0.0.1", 11211, false);
    ck_assert_str_eq(config->listens[0].label, "127.0.0.1:11211");
    ck_assert_uint_eq(config->listens[0].deny_count, 0);
    ck_assert_uint_eq(config->pool_count, 1);
    ck_assert_int_eq(config->route->kind, ROUTE_POOL);
    ck_assert_uint_eq(config->route->pool, 0);
    ck_assert_str_eq(config->pools[0].name, "main");
    expect_default_pool(&config->pools[0]);
    const struct config_server *server = &config->pools[0].servers[0];
    ck_assert_uint_eq(config->pools[0].server_count, 1);
    expect_address(&server->address, "10.0.0.1", 11211, false);
    ck_assert_str_eq(server->label, "10.0.0.1:11211");
    ck_assert_ptr_null(server->name);
    ck_assert_uint_eq(server->weight, 1);
    ck_assert_int_eq(server->line, 1);
    ck_assert_int_eq(server->column, 26);
    config_destroy(&config);
    ck_assert_ptr_null(config);
    config_destroy(&config);
}
END_TEST

static const char full[] =
    "workers: 3\n"
    "user: nobody\n"
    "coalesce: no\n"
    "busy_poll: 30\n"
    "listen:\n"
    "  - \"[::1]:0\"\n"
    "  - address: unix:ring.sock\n"
    "    mode: 0660\n"
    "    deny: [flush_all, mn]\n"
    "limits: {clients: 5, item_size: 128MiB, memory: 128MiB, pipeline: 7, idle: 2m, stall: 2s, handshakes: 9, "
    "handshake: 5s, drain: 0s}\n"
    "log: {level: debug, format: json}\n"
    "pools:\n"
    "  main:\n"
    "    servers:\n"
    "      - {address: Cache:1, name: cache-2, weight: 1000000}\n"
    "      - unix:/run/mc.sock\n"
    "      - \"[2001:db8::1]\"\n"
    "    distribution: maglev\n"
    "    hash: XXH3\n"
    "    hash_tag: \"{}\"\n"
    "    connections: 4\n"
    "    connect_timeout: 1s\n"
    "    timeout: 1h\n"
    "    health: {failures: 9, probe: 10ms, probe_max: 10ms, panic: 100%}\n"
    "    on_down: hold\n"
    "    on_error: miss\n"
    "    on_return: keep\n"
    "  other:\n"
    "    servers: [a]\n"
    "    distribution: ketama-libmemcached\n"
    "    hash_tag: ''\n"
    "    health: {panic: 0%}\n"
    "route: other\n";

static void expect_full_main(const struct config_pool *pool)
{
    ck_assert_str_eq(pool->name, "main");
    ck_assert_uint_eq(pool->server_count, 3);
    expect_address(&pool->servers[0].address, "Cache", 1, false);
    ck_assert_str_eq(pool->servers[0].name, "cache-2");
    ck_assert_str_eq(pool->servers[0].label, "cache-2");
    ck_assert_uint_eq(pool->servers[0].weight, 1000000);
    expect_address(&pool->servers[1].address, "/run/mc.sock", 0, true);
    ck_assert_str_eq(pool->servers[1].label, "unix:/run/mc.sock");
    expect_address(&pool->servers[2].address, "2001:db8::1", 11211, false);
    ck_assert_str_eq(pool->servers[2].label, "[2001:db8::1]:11211");
    ck_assert_int_eq(pool->servers[2].line, 17);
    ck_assert_int_eq(pool->servers[2].column, 9);
    ck_assert_str_eq(pool->distribution, "maglev");
    ck_assert_str_eq(pool->hash, "xxh3");
    ck_assert_int_eq(pool->hash_tag[0], '{');
    ck_assert_int_eq(pool->hash_tag[1], '}');
    ck_assert_uint_eq(pool->connections, 4);
    ck_assert_uint_eq(pool->connect_timeout_ms, 1000);
    ck_assert_uint_eq(pool->timeout_ms, 3600000);
    ck_assert_uint_eq(pool->health_failures, 9);
    ck_assert_uint_eq(pool->health_probe_ms, 10);
    ck_assert_uint_eq(pool->health_probe_max_ms, 10);
    ck_assert_uint_eq(pool->health_panic_percent, 100);
    ck_assert_int_eq(pool->on_down, CONFIG_ON_DOWN_HOLD);
    ck_assert_int_eq(pool->on_error, CONFIG_ON_ERROR_MISS);
}

START_TEST(every_setting_arrives)
{
    struct config *config = parse_good(full, "etc/ringside.yaml");
    ck_assert_str_eq(config->path, "etc/ringside.yaml");
    ck_assert_uint_eq(config->workers, 3);
    ck_assert_str_eq(config->user, "nobody");
    ck_assert(!config->coalesce);
    ck_assert_uint_eq(config->busy_poll_us, 30);
    ck_assert_uint_eq(config->limits.clients, 5);
    ck_assert_uint_eq(config->limits.item_size_bytes, 128u << 20);
    ck_assert_uint_eq(config->limits.memory_bytes, 128u << 20);
    ck_assert_uint_eq(config->limits.pipeline, 7);
    ck_assert_uint_eq(config->limits.idle_ms, 120000);
    ck_assert_uint_eq(config->limits.stall_ms, 2000);
    ck_assert_uint_eq(config->limits.handshakes, 9);
    ck_assert_uint_eq(config->limits.handshake_ms, 5000);
    ck_assert_uint_eq(config->limits.drain_ms, 0);
    ck_assert_int_eq(config->log_level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(config->log_format, CONFIG_LOG_JSON);
    ck_assert_uint_eq(config->listen_count, 2);
    expect_address(&config->listens[0].address, "::1", 0, false);
    ck_assert_str_eq(config->listens[0].label, "[::1]:0");
    expect_address(&config->listens[1].address, "etc/ring.sock", 0, true);
    ck_assert_str_eq(config->listens[1].label, "unix:etc/ring.sock");
    ck_assert_uint_eq(config->listens[0].mode, 0700);
    ck_assert_uint_eq(config->listens[1].mode, 0660);
    ck_assert_uint_eq(config->listens[1].deny_count, 2);
    ck_assert_uint_eq(config->listens[1].deny[0], VERB_FLUSH_ALL);
    ck_assert_uint_eq(config->listens[1].deny[1], VERB_MN);
    ck_assert_int_eq(config->listens[1].line, 7);
    ck_assert_int_eq(config->listens[1].column, 5);
    ck_assert_uint_eq(config->pool_count, 2);
    ck_assert_int_eq(config->route->kind, ROUTE_POOL);
    ck_assert_uint_eq(config->route->pool, 1);
    expect_full_main(&config->pools[0]);
    ck_assert_str_eq(config->pools[1].name, "other");
    ck_assert_str_eq(config->pools[1].distribution, "ketama-libmemcached");
    ck_assert_int_eq(config->pools[1].hash_tag[0], 0);
    ck_assert_uint_eq(config->pools[1].health_panic_percent, 0);
    config_destroy(&config);
}
END_TEST

START_TEST(the_hash_follows_the_distribution)
{
    struct config *config = parse_good("pools: {a: {servers: [a], distribution: ketama-libmemcached},"
                                       " b: {servers: [a], distribution: ketama-libmemcached, hash: md5}}\nroute: a",
                                       NULL);
    ck_assert_str_eq(config->pools[0].hash, hash_name(ring_default_hash("ketama-libmemcached")));
    ck_assert_str_ne(config->pools[0].hash, "md5");
    ck_assert_str_eq(config->pools[1].hash, "md5");
    config_destroy(&config);
}
END_TEST

START_TEST(relative_paths_are_relative_to_the_file)
{
    const char *text = "listen: ['unix:a', 'unix:/b']\npools: {main: {servers: ['unix:../c', d]}}";
    const char *paths[][4] = {
        {"/etc/ringside/x.yaml", "/etc/ringside/a", "/etc/ringside/../c", "unix:/etc/ringside/../c"},
        {"x.yaml", "a", "../c", "unix:../c"},
        {"/x.yaml", "/a", "/../c", "unix:/../c"},
        {NULL, "a", "../c", "unix:../c"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct config *config = parse_good(text, paths[i][0]);
        ck_assert_str_eq(config->listens[0].address.host, paths[i][1]);
        ck_assert_str_eq(config->listens[1].address.host, "/b");
        ck_assert_str_eq(config->pools[0].servers[0].address.host, paths[i][2]);
        ck_assert_str_eq(config->pools[0].servers[0].label, paths[i][3]);
        ck_assert_str_eq(config->pools[0].servers[1].address.host, "d");
        config_destroy(&config);
    }
    struct config_errors errors;
    char long_path[128] = "/";
    memset(long_path + 1, 'x', 100);
    strcpy(long_path + 101, "/y.yaml");
    ck_assert_ptr_null(config_parse("{listen: ['unix:012345']}", 25, long_path, &errors));
    expect_errors(&errors, "1:1: `pools` is missing; write a mapping such as `{main: {servers: [10.0.0.1:11211]}}`\n"
                           "1:11: listener `unix:012345` has a path of more than 107 bytes, which is the most that a "
                           "Unix socket can have\n");
}
END_TEST

/* ---- files ---- */

START_TEST(a_file_is_loaded)
{
    char path[FOLDER_PATH_MAX], socket_path[FOLDER_PATH_MAX];
    struct config_errors errors;
    folder_join("loaded.yaml", path);
    folder_join("ring.sock", socket_path);
    folder_write(path, full, strlen(full));
    struct config *config = config_load(path, &errors);
    expect_errors(&errors, "");
    ck_assert_str_eq(config->path, path);
    ck_assert_str_eq(config->listens[1].address.host, socket_path);
    config_destroy(&config);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_the_systems_fault)
{
    char path[FOLDER_PATH_MAX];
    struct config_errors errors;
    ck_assert_ptr_null(config_load(folder_path, &errors));
    ck_assert_int_eq(errors.system_error, EISDIR);
    expect_errors(&errors, "0:0: cannot be read: Is a directory\n");
    folder_join("empty.yaml", path);
    folder_write(path, "", 0);
    ck_assert_ptr_null(config_load(path, &errors));
    ck_assert_int_eq(errors.system_error, 0);
    expect_errors(&errors, "1:1: the file is empty; it needs `pools` at least\n");
    folder_join("absent.yaml", path);
    ck_assert_ptr_null(config_load(path, &errors));
    ck_assert_int_eq(errors.system_error, ENOENT);
    expect_errors(&errors, "0:0: cannot be read: No such file or directory\n");
}
END_TEST

START_TEST(the_size_of_a_file_is_bounded)
{
    size_t len = (4u << 20) + 1;
    char *content = malloc(len);
    ck_assert_ptr_nonnull(content);
    memset(content, '\n', len);
    memcpy(content, "pools: {a: {servers: [a]}}", 26);
    char path[FOLDER_PATH_MAX];
    struct config_errors errors;
    folder_join("large.yaml", path);
    folder_write(path, content, len);
    ck_assert_ptr_null(config_load(path, &errors));
    ck_assert_int_eq(errors.system_error, 0);
    expect_errors(&errors, "0:0: the file is larger than 4 MiB\n");
    folder_write(path, content, len - 1);
    struct config *config = config_load(path, &errors);
    expect_errors(&errors, "");
    config_destroy(&config);
    free(content);
}
END_TEST

/* ---- the command line ---- */

START_TEST(servers_of_the_command_line_are_one_pool)
{
    const char *servers[] = {"10.0.0.1", "[::1]:5", "unix:x", "~"};
    const char *listens[] = {"127.0.0.1:0", "unix:y"};
    struct config_errors errors;
    struct config *config = config_from_servers(servers, 3, listens, 2, &errors);
    expect_errors(&errors, "");
    ck_assert_ptr_null(config->path);
    expect_default_top(config);
    ck_assert_uint_eq(config->pool_count, 1);
    ck_assert_int_eq(config->route->kind, ROUTE_POOL);
    ck_assert_uint_eq(config->route->pool, 0);
    ck_assert_str_eq(config->pools[0].name, "main");
    expect_default_pool(&config->pools[0]);
    ck_assert_uint_eq(config->pools[0].server_count, 3);
    expect_address(&config->pools[0].servers[1].address, "::1", 5, false);
    expect_address(&config->pools[0].servers[2].address, "x", 0, true);
    ck_assert_int_eq(config->pools[0].servers[1].line, 0);
    ck_assert_uint_eq(config->listen_count, 2);
    expect_address(&config->listens[0].address, "127.0.0.1", 0, false);
    expect_address(&config->listens[1].address, "y", 0, true);
    config_destroy(&config);
    config = config_from_servers(servers, 1, NULL, 0, &errors);
    expect_errors(&errors, "");
    ck_assert_uint_eq(config->listen_count, 1);
    ck_assert_str_eq(config->listens[0].label, "127.0.0.1:11211");
    config_destroy(&config);
}
END_TEST

START_TEST(errors_of_the_command_line_have_no_place)
{
    const char *servers[] = {"a:99999", "~", "", "b", "B:11211"};
    const char *listens[] = {"127.0.0.1:1", "127.0.0.1:1", "c:x"};
    struct config_errors errors;
    ck_assert_ptr_null(config_from_servers(servers, 5, listens, 3, &errors));
    expect_errors(&errors, "0:0: listener `127.0.0.1:1` stands twice\n"
                           "0:0: listener `c:x` has no valid port; a port is a number from 1 to 65535\n"
                           "0:0: server `` has no host; write `HOST:PORT`, `[V6]:PORT` or `unix:PATH`\n"
                           "0:0: server `a:99999` has no valid port; a port is a number from 1 to 65535\n"
                           "0:0: server `b:11211` stands twice in the pool\n"
                           "0:0: server `~` has a character in its host name that no host name has\n");
    ck_assert_ptr_null(config_from_servers(NULL, 0, NULL, 0, &errors));
    expect_errors(&errors, "0:0: `servers`: found an empty list; a pool has at least one server\n");
}
END_TEST

START_TEST(many_servers_are_read_in_time)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, "pools:\n  main:\n    servers:\n");
    for (int i = 0; i < 20000; i++)
        text_appendf(&text, "      - 10.%d.%d.1\n", i / 250, i % 250);
    struct config *config = parse_good(text.data, NULL);
    ck_assert_uint_eq(config->pools[0].server_count, 20000);
    ck_assert_str_eq(config->pools[0].servers[19999].label, "10.79.249.1:11211");
    config_destroy(&config);
    text_fini(&text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("load");
    folder_use(tcase);
    tcase_add_test(tcase, the_least_file_has_all_defaults);
    tcase_add_test(tcase, every_setting_arrives);
    tcase_add_test(tcase, the_hash_follows_the_distribution);
    tcase_add_test(tcase, relative_paths_are_relative_to_the_file);
    tcase_add_test(tcase, a_file_is_loaded);
    tcase_add_test(tcase, a_file_that_cannot_be_read_is_the_systems_fault);
    tcase_add_test(tcase, the_size_of_a_file_is_bounded);
    tcase_add_test(tcase, servers_of_the_command_line_are_one_pool);
    tcase_add_test(tcase, errors_of_the_command_line_have_no_place);
    tcase_add_test(tcase, many_servers_are_read_in_time);
    return run_suite("config/load", tcase);
}
