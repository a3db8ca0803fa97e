/*
 * Tests of pool/server: who a server is, its addresses in turns, versions as numbers, and the sums of its counters.
 */
#include "pool/server.h"

#include "tests/support/suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static struct server *make(const char *host, uint16_t port, bool is_unix)
{
    const struct server_identity identity = {
        .pool = "main", .label = "one", .host = host, .port = port, .is_unix = is_unix};
    struct server *server = server_create(&identity, 7, 2, NULL);
    ck_assert_ptr_nonnull(server);
    return server;
}

/* ---- Identity ---- */

START_TEST(the_identity_is_copied)
{
    char pool[] = "main", label[] = "one", host[] = "10.0.0.1";
    const struct server_identity given = {.pool = pool, .label = label, .host = host, .port = 11211};
    const struct server_identity same = {.pool = "main", .label = "one", .host = "10.0.0.1", .port = 11211};
    struct server *server = server_create(&given, 7, 3, NULL);
    ck_assert_ptr_nonnull(server);
    pool[0] = label[0] = host[0] = 'x';
    ck_assert(server_is(server, &same));
    ck_assert(!server_is(server, &given));
    ck_assert_uint_eq(server->slot, 7);
    ck_assert_uint_eq(server->refs, 1);
    ck_assert_uint_eq(server->worker_count, 3);
    ck_assert(!server_is_down(server));
    server_destroy(&server);
    ck_assert_ptr_null(server);
    server_destroy(&server);
}
END_TEST

START_TEST(each_part_of_the_identity_counts)
{
    const struct server_identity own = {.pool = "main", .label = "one", .host = "10.0.0.1", .port = 11211};
    struct server *server = server_create(&own, 0, 1, NULL);
    struct server_identity other[5];
    for (int i = 0; i < 5; i++)
        other[i] = own;
    other[0].pool = "mainly";
    other[1].label = "on";
    other[2].host = "10.0.0.10";
    other[3].port = 11212;
    other[4].is_unix = true;
    ck_assert(server_is(server, &own));
    for (int i = 0; i < 5; i++)
        ck_assert_msg(!server_is(server, &other[i]), "part %d is not looked at", i);
    server_destroy(&server);
}
END_TEST

/* ---- Addresses ---- */

static const struct host {
    const char *text;
    int family; /* 0: a name */
} hosts[] = {
    {"127.0.0.1", AF_INET}, {"255.255.255.255", AF_INET},
    {"::1", AF_INET6},      {"2001:db8::11", AF_INET6},
    {"localhost", 0},       {"127.1", 0},
    {"1.2.3.4.5", 0},       {"256.0.0.1", 0},
    {"[::1]", 0},           {"::1%lo", 0},
    {"10.0.0.1 ", 0},
};

START_TEST(a_numeric_host_is_its_address_and_a_name_has_none)
{
    struct server *server = make(hosts[_i].text, 65535, false);
    struct server_address address = {0};
    int family = hosts[_i].family;
    ck_assert_int_eq(server->is_name, family == 0);
    ck_assert_uint_eq(server_address_count(server), family != 0);
    ck_assert_int_eq(server_take_address(server, &address), family != 0);
    char text[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address.address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.address;
    if (family != 0) {
        ck_assert_int_eq(address.address.ss_family, family);
        ck_assert_uint_eq(address.len, family == AF_INET ? sizeof *v4 : sizeof *v6);
        ck_assert_uint_eq(ntohs(family == AF_INET ? v4->sin_port : v6->sin6_port), 65535);
        inet_ntop(family, family == AF_INET ? (const void *)&v4->sin_addr : &v6->sin6_addr, text, sizeof text);
        ck_assert_str_eq(text, hosts[_i].text);
    }
    server_destroy(&server);
}
END_TEST

/* The kernel's path holds 107 bytes and a NUL. One that is longer is no other socket's, cut off: it is no address. */
START_TEST(a_path_is_an_address_if_it_fits)
{
    struct server_address address;
    struct sockaddr_un *un = (struct sockaddr_un *)&address.address;
    char path[sizeof un->sun_path + 1];
    memset(path, 'p', sizeof path);
    path[0] = '/';
    path[sizeof un->sun_path] = '\0';
    struct server *server = make(path, 0, true);
    ck_assert(!server->is_name);
    ck_assert(!server_take_address(server, &address));
    server_destroy(&server);

    path[sizeof un->sun_path - 1] = '\0';
    server = make(path, 0, true);
    ck_assert(!server->is_name);
    ck_assert(server_take_address(server, &address));
    ck_assert_int_eq(un->sun_family, AF_UNIX);
    ck_assert_str_eq(un->sun_path, path);
    ck_assert_uint_eq(address.len, sizeof *un);
    server_destroy(&server);

    server = make("/a", 0, true);
    ck_assert(server_take_address(server, &address));
    ck_assert_uint_eq(address.len, offsetof(struct sockaddr_un, sun_path) + sizeof "/a");
    server_destroy(&server);
}
END_TEST

enum { MANY = SERVER_ADDRESSES_MAX + 3 };

/* Addresses that are told apart by their length. */
static void number(struct server_address addresses[MANY])
{
    memset(addresses, 0, MANY * sizeof *addresses);
    for (unsigned i = 0; i < MANY; i++)
        addresses[i].len = i + 1;
}

static socklen_t take(struct server *server)
{
    struct server_address address;
    ck_assert(server_take_address(server, &address));
    return address.len;
}

START_TEST(addresses_are_taken_in_turns)
{
    struct server_address addresses[MANY];
    number(addresses);
    struct server *server = make("a.test", 1, false);
    server_set_addresses(server, addresses, 3);
    ck_assert_uint_eq(server_address_count(server), 3);
    for (unsigned i = 0; i < 12; i++)
        ck_assert_uint_eq(take(server), i % 3 + 1);
    server_set_addresses(server, addresses + 4, 1);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(take(server), 5);
    server_destroy(&server);
}
END_TEST

START_TEST(a_name_looked_up_again_goes_on_with_the_next_address)
{
    struct server_address addresses[MANY];
    number(addresses);
    struct server *server = make("a.test", 1, false);
    for (unsigned i = 0; i < 6; i++) {
        server_set_addresses(server, addresses, 2);
        ck_assert_uint_eq(take(server), i % 2 + 1);
    }
    server_destroy(&server);
}
END_TEST

START_TEST(no_more_addresses_are_kept_than_there_is_room_for)
{
    struct server_address addresses[MANY];
    number(addresses);
    struct server *server = make("a.test", 1, false);
    server_set_addresses(server, addresses, MANY);
    ck_assert_uint_eq(server_address_count(server), SERVER_ADDRESSES_MAX);
    for (unsigned i = 0; i < 2 * SERVER_ADDRESSES_MAX; i++)
        ck_assert_uint_eq(take(server), i % SERVER_ADDRESSES_MAX + 1);
    server_set_addresses(server, addresses, 0);
    ck_assert_uint_eq(server_address_count(server), 0);
    struct server_address address;
    ck_assert(!server_take_address(server, &address));
    server_destroy(&server);
}
END_TEST

enum { TAKERS = 4, TURNS = 6000 };

struct taker {
    pthread_t thread;
    struct server *server;
    unsigned taken[4];
};

static void *take_many(void *context)
{
    struct taker *taker = context;
    for (int i = 0; i < TURNS; i++)
        taker->taken[take(taker->server)]++;
    return NULL;
}

START_TEST(threads_share_the_turns)
{
    struct server_address addresses[MANY];
    struct taker takers[TAKERS] = {0};
    unsigned taken[4] = {0};
    number(addresses);
    struct server *server = make("a.test", 1, false);
    server_set_addresses(server, addresses, 3);
    for (int i = 0; i < TAKERS; i++) {
        takers[i].server = server;
        ck_assert_int_eq(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
    }
    for (int i = 0; i < TAKERS; i++) {
        pthread_join(takers[i].thread, NULL);
        for (int address = 1; address <= 3; address++)
            taken[address] += takers[i].taken[address];
    }
    for (int address = 1; address <= 3; address++)
        ck_assert_uint_eq(taken[address], TAKERS * TURNS / 3);
    server_destroy(&server);
}
END_TEST

/* ---- Versions ---- */

#define PACKED(a, b, c) ((unsigned)(a) << 20 | (unsigned)(b) << 10 | (unsigned)(c))

static const struct version {
    const char *text;
    unsigned packed;
} versions[] = {
    {"1.6.18", PACKED(1, 6, 18)},
    {"0.0.1", PACKED(0, 0, 1)},
    {"1.4.25-rc1", PACKED(1, 4, 25)},
    {"1.6.18 (Ubuntu)", PACKED(1, 6, 18)},
    {"1.6.18_4_gabcdef", PACKED(1, 6, 18)},
    {"1.6.18.9.9", PACKED(1, 6, 18)},
    {"01.006.0018", PACKED(1, 6, 18)},
    {"1.6", PACKED(1, 6, 0)},
    {"1.6.", PACKED(1, 6, 0)},
    {"1.6.beta", PACKED(1, 6, 0)},
    {"1", PACKED(1, 0, 0)},
    {"1.", PACKED(1, 0, 0)},
    {"1..6", PACKED(1, 0, 0)},
    {"1-6-18", PACKED(1, 0, 0)},
    {"1023.1023.1023", PACKED(1023, 1023, 1023)},
    {"1024.0.0", 0},
    {"1.1024.0", 0},
    {"1.6.1024", 0},
    {"1.6.4294967314", 0},
    {"1.6.99999999999999999999999999", 0},
    {"", 0},
    {".1.6", 0},
    {" 1.6.18", 0},
    {"-1.6.18", 0},
    {"v1.6.18", 0},
    {"unknown", 0},
    {"\xb1\xb2", 0},
};

START_TEST(versions_are_packed)
{
    /* A copy of exactly its length: nothing behind the text may be read. */
    size_t len = strlen(versions[_i].text);
    char *text = malloc(len > 0 ? len : 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, versions[_i].text, len);
    unsigned packed = server_version_pack(text, len);
    ck_assert_msg(packed == versions[_i].packed, "`%s`: %x", versions[_i].text, packed);
    free(text);
}
END_TEST

START_TEST(a_version_ends_with_its_length)
{
    ck_assert_uint_eq(server_version_pack("1.6.189", 6), PACKED(1, 6, 18));
    ck_assert_uint_eq(server_version_pack("1.6.189", 4), PACKED(1, 6, 0));
    ck_assert_uint_eq(server_version_pack("1.6.189", 0), 0);
}
END_TEST

START_TEST(packed_versions_compare_as_numbers)
{
    static const char *const ascending[] = {"0.9.9", "1.0.0", "1.4.1023", "1.5.0", "1.6.9", "1.6.10", "1.10.0", "2"};
    for (size_t i = 1; i < sizeof ascending / sizeof ascending[0]; i++)
        ck_assert_uint_lt(server_version_pack(ascending[i - 1], strlen(ascending[i - 1])),
                          server_version_pack(ascending[i], strlen(ascending[i])));
}
END_TEST

START_TEST(the_meta_commands_are_known_from_their_version_on)
{
    struct server *server = make("127.0.0.1", 1, false);
    ck_assert(!server_knows_meta(server));
    server->version = server_version_pack("1.6.9", 5);
    ck_assert(!server_knows_meta(server));
    server->version = server_version_pack("1.6.10", 6);
    ck_assert(server_knows_meta(server));
    server->version = server_version_pack("1.7", 3);
    ck_assert(server_knows_meta(server));
    server_destroy(&server);
}
END_TEST

/* ---- Counters ---- */

START_TEST(stats_begin_at_zero_on_lines_of_their_own)
{
    struct server *server = make("127.0.0.1", 1, false);
    for (unsigned i = 0; i < server->worker_count; i++) {
        ck_assert_uint_eq((uintptr_t)&server->stats[i] % 64, 0);
        ck_assert_ptr_null(server->stats[i].latency);
#define X(name, help) ck_assert_uint_eq(counter_read(&server->stats[i].name), 0);
        SERVER_COUNTERS(X)
#undef X
    }
    server_destroy(&server);
}
END_TEST

START_TEST(every_counter_is_in_the_sum)
{
    struct server *server = make("127.0.0.1", 1, false);
    static struct server_stats sum; /* not on the stack: AddressSanitizer's does not align it */
    memset((void *)&sum, 0, sizeof sum);
    uint64_t n = 0;
#define X(name, help)                          \
    n++;                                       \
    counter_add(&server->stats[0].name, n);    \
    counter_add(&server->stats[1].name, 1000); \
    counter_add(&sum.name, 1000000);
    SERVER_COUNTERS(X)
#undef X
    server_record_latency(&server->stats[0], 5);
    for (unsigned i = 0; i < server->worker_count; i++)
        server_stats_add(&sum, &server->stats[i]);
    n = 0;
#define X(name, help)                                        \
    n++;                                                     \
    ck_assert_uint_eq(counter_read(&sum.name), 1001000 + n); \
    ck_assert_uint_eq(counter_read(&server->stats[0].name), n);
    SERVER_COUNTERS(X)
#undef X
    ck_assert_ptr_null(sum.latency); /* the histogram stays its server's */
    server_destroy(&server);
}
END_TEST

START_TEST(the_histogram_is_made_at_the_first_reply)
{
    struct server *server = make("127.0.0.1", 1, false);
    struct histogram sum;
    memset((void *)&sum, 0, sizeof sum);
    server_latency_add(&sum, server);
    ck_assert_uint_eq(histogram_count(&sum), 0);
    server_record_latency(&server->stats[1], 100);
    const struct histogram *made = server->stats[1].latency;
    ck_assert_ptr_nonnull(made);
    ck_assert_ptr_null(server->stats[0].latency);
    server_record_latency(&server->stats[1], UINT64_MAX);
    server_record_latency(&server->stats[1], 0);
    ck_assert_ptr_eq(server->stats[1].latency, made);
    ck_assert_uint_eq(histogram_count(made), 3);
    server_destroy(&server);
}
END_TEST

START_TEST(latencies_of_all_workers_are_summed)
{
    struct server *server = make("127.0.0.1", 1, false);
    struct histogram sum;
    memset((void *)&sum, 0, sizeof sum);
    histogram_record(&sum, 3);
    for (int i = 0; i < 10; i++)
        server_record_latency(&server->stats[0], 3);
    for (int i = 0; i < 20; i++)
        server_record_latency(&server->stats[1], 1000);
    server_latency_add(&sum, server);
    ck_assert_uint_eq(histogram_count(&sum), 31);
    ck_assert_uint_eq(counter_read(&sum.buckets[histogram_bucket(3)]), 11);
    ck_assert_uint_eq(counter_read(&sum.buckets[histogram_bucket(1000)]), 20);
    server_destroy(&server);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("server");
    tcase_add_test(tcase, the_identity_is_copied);
    tcase_add_test(tcase, each_part_of_the_identity_counts);
    tcase_add_loop_test(tcase, a_numeric_host_is_its_address_and_a_name_has_none, 0, sizeof hosts / sizeof hosts[0]);
    tcase_add_test(tcase, a_path_is_an_address_if_it_fits);
    tcase_add_test(tcase, addresses_are_taken_in_turns);
    tcase_add_test(tcase, a_name_looked_up_again_goes_on_with_the_next_address);
    tcase_add_test(tcase, no_more_addresses_are_kept_than_there_is_room_for);
    tcase_add_test(tcase, threads_share_the_turns);
    tcase_add_loop_test(tcase, versions_are_packed, 0, sizeof versions / sizeof versions[0]);
    tcase_add_test(tcase, a_version_ends_with_its_length);
    tcase_add_test(tcase, packed_versions_compare_as_numbers);
    tcase_add_test(tcase, the_meta_commands_are_known_from_their_version_on);
    tcase_add_test(tcase, stats_begin_at_zero_on_lines_of_their_own);
    tcase_add_test(tcase, every_counter_is_in_the_sum);
    tcase_add_test(tcase, the_histogram_is_made_at_the_first_reply);
    tcase_add_test(tcase, latencies_of_all_workers_are_summed);
    return suite_run("server", tcase);
}
