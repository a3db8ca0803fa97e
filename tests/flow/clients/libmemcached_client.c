/*
 * libmemcached's C interface against a server: every command that it has, values checked against their keys.
 * Arguments: host, port, protocol (ascii or binary). Prints a line for each check that held (see CHECKS in
 * ../test_clients.py), or what went wrong, and exits with 1.
 */
#include "verdict.h"

#include <libmemcached/memcached.h>

#include <stdbool.h>
#include <stdint.h>

static memcached_st *connect_to(const char *host, const char *port, bool binary)
{
    memcached_st *client = memcached_create(NULL);
    CHECK(client != NULL, "out of memory");
    CHECK(memcached_server_add(client, host, (in_port_t)atoi(port)) == MEMCACHED_SUCCESS, "%s:%s", host, port);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, binary);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 90000);
    return client;
}

static void expect(memcached_st *client, memcached_return_t got, memcached_return_t wanted, const char *what)
{
    CHECK(got == wanted, "%s: %s instead of %s (%s)", what, memcached_strerror(client, got),
          memcached_strerror(client, wanted), memcached_last_error_message(client));
}

static void expect_value(memcached_st *client, const char *key, const char *value, size_t len, uint32_t flags)
{
    size_t got_len;
    uint32_t got_flags;
    memcached_return_t status;
    char *got = memcached_get(client, key, strlen(key), &got_len, &got_flags, &status);
    expect(client, status, MEMCACHED_SUCCESS, key);
    CHECK(got_len == len && (len == 0 || memcmp(got, value, len) == 0), "the wrong value for %s", key);
    CHECK(got_flags == flags, "flags of %s: %u", key, got_flags);
    free(got);
}

static void store_all(memcached_st *client)
{
    char key[KEY_SIZE], value[1024];
    for (int i = 0; i < KEY_COUNT; i++) {
        size_t key_len = make_key(i, key), len = make_value(i, value, sizeof value);
        expect(client, memcached_set(client, key, key_len, value, len, 0, (uint32_t)i), MEMCACHED_SUCCESS, key);
    }
}

static void get_each(memcached_st *client)
{
    char key[KEY_SIZE], value[1024];
    for (int i = 0; i < KEY_COUNT; i++) {
        make_key(i, key);
        expect_value(client, key, value, make_value(i, value, sizeof value), (uint32_t)i);
    }
}

/* All keys, and as many that are not there, in one request. */
static void get_many(memcached_st *client)
{
    static char names[2 * KEY_COUNT][KEY_SIZE];
    const char *keys[2 * KEY_COUNT];
    size_t lens[2 * KEY_COUNT];
    char seen[KEY_COUNT] = {0}, value[1024];
    for (int i = 0; i < 2 * KEY_COUNT; i++) {
        lens[i] = make_key(i, names[i]);
        keys[i] = names[i];
    }
    expect(client, memcached_mget(client, keys, lens, 2 * KEY_COUNT), MEMCACHED_SUCCESS, "mget");
    memcached_return_t status;
    memcached_result_st *result;
    int count = 0;
    while ((result = memcached_fetch_result(client, NULL, &status)) != NULL) {
        int i = -1;
        char key[KEY_SIZE]; /* The library does not end it with a NUL. */
        snprintf(key, sizeof key, "%.*s", (int)memcached_result_key_length(result), memcached_result_key_value(result));
        CHECK(sscanf(key, "client:key:%d", &i) == 1 && i >= 0 && i < KEY_COUNT, "a key nobody asked for");
        size_t len = make_value(i, value, sizeof value);
        CHECK(memcached_result_length(result) == len && memcmp(memcached_result_value(result), value, len) == 0,
              "the wrong value for key %d", i);
        CHECK(memcached_result_flags(result) == (uint32_t)i && memcached_result_cas(result) != 0, "key %d", i);
        CHECK(seen[i]++ == 0, "key %d came twice", i);
        count++;
        memcached_result_free(result);
    }
    CHECK(count == KEY_COUNT, "%d keys of %d", count, KEY_COUNT);
}

static void change(memcached_st *client, bool binary)
{
    /* The binary protocol tells more about why. */
    memcached_return_t there = binary ? MEMCACHED_DATA_EXISTS : MEMCACHED_NOTSTORED;
    memcached_return_t absent = binary ? MEMCACHED_NOTFOUND : MEMCACHED_NOTSTORED;
    expect(client, memcached_add(client, "a", 1, "1", 1, 0, 0), MEMCACHED_SUCCESS, "add");
    expect(client, memcached_add(client, "a", 1, "2", 1, 0, 0), there, "add again");
    passed("add");
    expect(client, memcached_replace(client, "a", 1, "mid", 3, 0, 0), MEMCACHED_SUCCESS, "replace");
    expect(client, memcached_replace(client, "none", 4, "x", 1, 0, 0), absent, "replace of nothing");
    passed("replace");
    expect(client, memcached_append(client, "a", 1, "-end", 4, 0, 0), MEMCACHED_SUCCESS, "append");
    expect(client, memcached_prepend(client, "a", 1, "start-", 6, 0, 0), MEMCACHED_SUCCESS, "prepend");
    expect_value(client, "a", "start-mid-end", 13, 0);
    expect(client, memcached_append(client, "none", 4, "x", 1, 0, 0), MEMCACHED_NOTSTORED, "append to nothing");
    passed("append");
    passed("prepend");
    expect(client, memcached_touch(client, "a", 1, 1000), MEMCACHED_SUCCESS, "touch");
    expect(client, memcached_touch(client, "none", 4, 1000), MEMCACHED_NOTFOUND, "touch of nothing");
    passed("touch");
    expect(client, memcached_exist(client, "a", 1), MEMCACHED_SUCCESS, "exist");
    expect(client, memcached_delete(client, "a", 1, 0), MEMCACHED_SUCCESS, "delete");
    expect(client, memcached_delete(client, "a", 1, 0), MEMCACHED_NOTFOUND, "delete again");
    expect(client, memcached_exist(client, "a", 1), MEMCACHED_NOTFOUND, "exist after delete");
    passed("delete");
}

static void count(memcached_st *client)
{
    uint64_t now;
    expect(client, memcached_increment(client, "n", 1, 1, &now), MEMCACHED_NOTFOUND, "incr of nothing");
    expect(client, memcached_set(client, "n", 1, "10", 2, 0, 0), MEMCACHED_SUCCESS, "set");
    expect(client, memcached_increment(client, "n", 1, 5, &now), MEMCACHED_SUCCESS, "incr");
    CHECK(now == 15, "%llu", (unsigned long long)now);
    expect(client, memcached_decrement(client, "n", 1, 14, &now), MEMCACHED_SUCCESS, "decr");
    CHECK(now == 1, "%llu", (unsigned long long)now);
    expect(client, memcached_decrement(client, "n", 1, 14, &now), MEMCACHED_SUCCESS, "decr below 0");
    CHECK(now == 0, "%llu", (unsigned long long)now);
    expect(client, memcached_set(client, "n", 1, "text", 4, 0, 0), MEMCACHED_SUCCESS, "set");
    CHECK(memcached_increment(client, "n", 1, 5, &now) != MEMCACHED_SUCCESS, "text was counted");
    passed("count");
}

static uint64_t cas_of(memcached_st *client, const char *key)
{
    size_t len = strlen(key);
    memcached_return_t status;
    expect(client, memcached_mget(client, &key, &len, 1), MEMCACHED_SUCCESS, "gets");
    memcached_result_st *result = memcached_fetch_result(client, NULL, &status);
    CHECK(result != NULL, "nothing under %s", key);
    uint64_t cas = memcached_result_cas(result);
    memcached_result_free(result);
    CHECK(memcached_fetch_result(client, NULL, &status) == NULL, "a second result");
    return cas;
}

static void compare_and_swap(memcached_st *client)
{
    expect(client, memcached_set(client, "c", 1, "one", 3, 0, 0), MEMCACHED_SUCCESS, "set");
    uint64_t cas = cas_of(client, "c");
    expect(client, memcached_cas(client, "c", 1, "two", 3, 0, 0, cas), MEMCACHED_SUCCESS, "cas");
    expect(client, memcached_cas(client, "c", 1, "three", 5, 0, 0, cas), MEMCACHED_DATA_EXISTS, "cas again");
    expect_value(client, "c", "two", 3, 0);
    expect(client, memcached_cas(client, "none", 4, "x", 1, 0, 0, cas), MEMCACHED_NOTFOUND, "cas of nothing");
    passed("cas");
}

/* A value that is stored and read back. */
static void keep(memcached_st *client, const char *value, size_t len, uint32_t flags)
{
    expect(client, memcached_set(client, "kept", 4, value, len, 0, flags), MEMCACHED_SUCCESS, "set");
    expect_value(client, "kept", value, len, flags);
}

static void bytes_and_flags(memcached_st *client)
{
    static char large[LARGE_SIZE];
    make_large(large, sizeof large);
    keep(client, "", 0, 0);
    keep(client, "\r\n", 2, 0);
    keep(client, "\r\nEND\r\n", 7, 0);
    keep(client, "VALUE kept 0 1\r\n", 16, 0);
    keep(client, large, 256, 0);
    passed("bytes");
    keep(client, large, sizeof large, 9);
    passed("large");
    keep(client, "x", 1, UINT32_MAX);
    passed("flags");
}

static void set_quietly(memcached_st *client, int i)
{
    char key[KEY_SIZE], value[1024];
    size_t key_len = make_key(i, key), len = make_value(i, value, sizeof value);
    memcached_return_t status = memcached_set(client, key, key_len, value, len, 0, (uint32_t)i);
    CHECK(memcached_success(status), "%s: %s", key, memcached_strerror(client, status));
    if (i % 50 == 49)
        memcached_flush_buffers(client); /* Some hundred replies due are too many for the library. */
}

/* Requests without replies, and requests that are held back and sent together. */
static void quietly(memcached_st *client, memcached_behavior_t how)
{
    size_t len;
    uint32_t flags;
    memcached_return_t status;
    memcached_behavior_set(client, how, 1);
    /* That closed the connection; a buffered request needs an open one. */
    free(memcached_get(client, "client:key:0", 12, &len, &flags, &status));
    expect(client, status, MEMCACHED_SUCCESS, "get");
    for (int i = 0; i < KEY_COUNT; i++)
        set_quietly(client, i);
    CHECK(memcached_success(memcached_delete(client, "client:key:0", 12, 0)), "a quiet delete");
    memcached_get(client, "client:key:0", 12, &len, &flags, &status);
    expect(client, status, MEMCACHED_NOTFOUND, "get after a quiet delete");
    set_quietly(client, 0);
    get_each(client);
    memcached_behavior_set(client, how, 0);
}

static void expiry(memcached_st *client)
{
    int tries = 0;
    while (memcached_exist(client, "brief", 5) != MEMCACHED_NOTFOUND)
        pause_for_expiry(&tries);
    expect_value(client, "long", "long", 4, 0);
    passed("expiry");
}

static void about_the_server(memcached_st *client)
{
    expect(client, memcached_version(client), MEMCACHED_SUCCESS, "version");
    CHECK(memcached_server_major_version(memcached_server_instance_by_position(client, 0)) == 1, "version");
    passed("version");
    memcached_return_t status;
    memcached_stat_st *stats = memcached_stat(client, NULL, &status);
    CHECK(stats != NULL && memcached_success(status), "stat: %s", memcached_strerror(client, status));
    CHECK(stats->curr_items > KEY_COUNT, "%lu items", stats->curr_items);
    passed("stats");
    memcached_stat_free(client, stats);
    expect(client, memcached_verbosity(client, 0), MEMCACHED_SUCCESS, "verbosity");
    expect(client, memcached_flush(client, 0), MEMCACHED_SUCCESS, "flush");
    expect(client, memcached_exist(client, "client:key:1", 12), MEMCACHED_NOTFOUND, "exist after flush");
    passed("flush");
}

int main(int argc, char **argv)
{
    CHECK(argc == 4, "HOST PORT PROTOCOL");
    bool binary = strcmp(argv[3], "binary") == 0;
    memcached_st *client = connect_to(argv[1], argv[2], binary);
    expect(client, memcached_set(client, "brief", 5, "brief", 5, 1, 0), MEMCACHED_SUCCESS, "set");
    expect(client, memcached_set(client, "long", 4, "long", 4, 1000, 0), MEMCACHED_SUCCESS, "set");
    store_all(client);
    get_each(client);
    passed("set");
    get_many(client);
    passed("multi");
    change(client, binary);
    count(client);
    compare_and_swap(client);
    bytes_and_flags(client);
    quietly(client, MEMCACHED_BEHAVIOR_NOREPLY);
    quietly(client, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS);
    passed("noreply");
    get_many(client);
    expiry(client);
    about_the_server(client);
    memcached_quit(client);
    memcached_free(client);
    return 0;
}
