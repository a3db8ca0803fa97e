/*
 * apr-util's apr_memcache against a server: values checked against their keys.
 * Arguments: host, port, protocol (always ascii). Prints a line for each check that held (see CHECKS in
 * ../test_clients.py), or what went wrong, and exits with 1.
 */
#include "verdict.h"

#include <apr_memcache.h>
#include <apr_pools.h>
#include <apr_strings.h>

#include <stdint.h>

static void expect(apr_status_t got, apr_status_t wanted, const char *what)
{
    char text[200];
    CHECK(got == wanted, "%s: %s", what, apr_strerror(got, text, sizeof text));
}

static apr_memcache_t *connect_to(apr_pool_t *pool, const char *host, const char *port)
{
    apr_memcache_t *client;
    apr_memcache_server_t *server;
    expect(apr_memcache_create(pool, 1, 0, &client), APR_SUCCESS, "create");
    expect(apr_memcache_server_create(pool, host, (apr_port_t)atoi(port), 0, 1, 2, 60000000, &server), APR_SUCCESS,
           "server_create");
    expect(apr_memcache_add_server(client, server), APR_SUCCESS, "add_server");
    return client;
}

static void expect_value(apr_memcache_t *client, apr_pool_t *pool, const char *key, const char *value, size_t len,
                         unsigned flags)
{
    char *got;
    apr_size_t got_len;
    apr_uint16_t got_flags;
    expect(apr_memcache_getp(client, pool, key, &got, &got_len, &got_flags), APR_SUCCESS, key);
    CHECK(got_len == len && memcmp(got, value, len) == 0, "the wrong value for %s", key);
    CHECK(got_flags == flags, "flags of %s: %u", key, got_flags);
}

static void store_and_get(apr_memcache_t *client, apr_pool_t *pool)
{
    char key[KEY_SIZE], value[1024];
    for (int i = 0; i < KEY_COUNT; i++) {
        make_key(i, key);
        size_t len = make_value(i, value, sizeof value);
        expect(apr_memcache_set(client, key, value, len, 0, (apr_uint16_t)i), APR_SUCCESS, key);
    }
    for (int i = 0; i < KEY_COUNT; i++) {
        make_key(i, key);
        expect_value(client, pool, key, value, make_value(i, value, sizeof value), (unsigned)i);
    }
}

static void get_many(apr_memcache_t *client, apr_pool_t *pool)
{
    static char names[2 * KEY_COUNT][KEY_SIZE];
    apr_hash_t *values = NULL;
    for (int i = 0; i < 2 * KEY_COUNT; i++) {
        make_key(i, names[i]);
        apr_memcache_add_multget_key(pool, names[i], &values);
    }
    apr_pool_t *scratch; /* It is cleared there. */
    expect(apr_pool_create(&scratch, pool), APR_SUCCESS, "pool");
    expect(apr_memcache_multgetp(client, scratch, pool, values), APR_SUCCESS, "multgetp");
    for (int i = 0; i < 2 * KEY_COUNT; i++) {
        char value[1024];
        size_t len = make_value(i, value, sizeof value);
        apr_memcache_value_t *got = apr_hash_get(values, names[i], APR_HASH_KEY_STRING);
        CHECK(got != NULL, "%s is not in the result", names[i]);
        CHECK(got->status == (i < KEY_COUNT ? APR_SUCCESS : APR_NOTFOUND), "%s: status %d", names[i], got->status);
        CHECK(i >= KEY_COUNT || (got->len == len && memcmp(got->data, value, len) == 0), "the wrong value for %s",
              names[i]);
    }
}

static void change_and_count(apr_memcache_t *client, apr_pool_t *pool)
{
    char number[] = "10", text[] = "text";
    apr_uint32_t now;
    expect(apr_memcache_add(client, "a", text, 4, 0, 3), APR_SUCCESS, "add");
    expect(apr_memcache_add(client, "a", text, 4, 0, 3), APR_EEXIST, "add again");
    passed("add");
    expect(apr_memcache_replace(client, "a", number, 2, 0, 0), APR_SUCCESS, "replace");
    expect(apr_memcache_replace(client, "none", text, 4, 0, 0), APR_EEXIST, "replace of nothing");
    passed("replace");
    expect(apr_memcache_incr(client, "a", 7, &now), APR_SUCCESS, "incr");
    CHECK(now == 17, "%u", now);
    expect(apr_memcache_decr(client, "a", 16, &now), APR_SUCCESS, "decr");
    CHECK(now == 1, "%u", now);
    expect(apr_memcache_decr(client, "a", 16, &now), APR_SUCCESS, "decr");
    CHECK(now == 0, "%u", now);
    expect(apr_memcache_incr(client, "none", 7, &now), APR_NOTFOUND, "incr of nothing");
    passed("count");
    expect(apr_memcache_delete(client, "a", 0), APR_SUCCESS, "delete");
    expect(apr_memcache_delete(client, "a", 0), APR_NOTFOUND, "delete again");
    char *got;
    apr_size_t len;
    expect(apr_memcache_getp(client, pool, "a", &got, &len, NULL), APR_NOTFOUND, "get after delete");
    passed("delete");
}

/* A value that is stored and read back. */
static void keep(apr_memcache_t *client, apr_pool_t *pool, const char *value, size_t len, apr_uint16_t flags)
{
    static char copy[LARGE_SIZE];
    memcpy(copy, value, len);
    expect(apr_memcache_set(client, "kept", copy, len, 0, flags), APR_SUCCESS, "set");
    expect_value(client, pool, "kept", value, len, flags);
}

static void bytes_and_flags(apr_memcache_t *client, apr_pool_t *pool)
{
    static char value[LARGE_SIZE];
    make_large(value, sizeof value);
    keep(client, pool, "", 0, 0);
    keep(client, pool, "\r\n", 2, 0);
    keep(client, pool, "\r\nEND\r\n", 7, 0);
    keep(client, pool, "VALUE kept 0 1\r\n", 16, 0);
    keep(client, pool, value, 256, 0);
    passed("bytes");
    keep(client, pool, value, sizeof value, 1);
    passed("large");
    keep(client, pool, "x", 1, UINT16_MAX);
    passed("flags");
}

static void expiry(apr_memcache_t *client, apr_pool_t *pool)
{
    int tries = 0;
    char *got;
    apr_size_t len;
    while (apr_memcache_getp(client, pool, "brief", &got, &len, NULL) != APR_NOTFOUND)
        pause_for_expiry(&tries);
    expect_value(client, pool, "long", "long", 4, 0);
    passed("expiry");
}

static void about_the_server(apr_memcache_t *client, apr_pool_t *pool)
{
    char *version;
    apr_memcache_stats_t *stats;
    apr_memcache_server_t *server = client->live_servers[0];
    expect(apr_memcache_version(server, pool, &version), APR_SUCCESS, "version");
    CHECK(strncmp(version, "1.", 2) == 0, "version %s", version);
    passed("version");
    expect(apr_memcache_stats(server, pool, &stats), APR_SUCCESS, "stats");
    CHECK(stats->curr_items >= KEY_COUNT, "%u items", stats->curr_items);
    passed("stats");
}

int main(int argc, char **argv)
{
    CHECK(argc == 4, "HOST PORT PROTOCOL");
    apr_initialize();
    apr_pool_t *pool;
    expect(apr_pool_create(&pool, NULL), APR_SUCCESS, "pool");
    apr_memcache_t *client = connect_to(pool, argv[1], argv[2]);
    char brief[] = "brief", long_lived[] = "long";
    expect(apr_memcache_set(client, "brief", brief, 5, 1, 0), APR_SUCCESS, "set");
    expect(apr_memcache_set(client, "long", long_lived, 4, 1000, 0), APR_SUCCESS, "set");
    store_and_get(client, pool);
    passed("set");
    get_many(client, pool);
    passed("multi");
    change_and_count(client, pool);
    bytes_and_flags(client, pool);
    expiry(client, pool);
    about_the_server(client, pool);
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
