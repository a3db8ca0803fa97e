/*
 * placement-report: measures the hashes and the distributions, and prints the tables of docs/PLACEMENT.md.
 *
 *   placement-report [KEYS]            KEYS for balance and movement, 1000000 if not given
 *   placement-report --ring SERVERS    one line of JSON: the default ring over that many servers
 *
 * Balance and movement are exact and repeatable; times are this machine's: processor time, the best of some rounds.
 */
#include "routing/continuum.h"
#include "routing/distribution.h"
#include "routing/hash.h"
#include "routing/ring.h"

#include <inttypes.h>
#include <libhashkit-1.0/hashkit.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15
#define BUILD_ROUNDS 5
#define ENOUGH_NS 5e8 /* of one measurement */
#define TIMED_KEYS 65536
#define KEY_SIZE 32
#define SERVERS_MAX 10001

static size_t key_count = 1000000;
static char timed_keys[TIMED_KEYS][KEY_SIZE];
static size_t timed_lens[TIMED_KEYS];
static char hosts[SERVERS_MAX][KEY_SIZE];
static struct ring_member members[SERVERS_MAX];

/* Somewhere for results to go, so that no loop is optimized away. */
static volatile uint64_t sink;

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static size_t make_key(size_t i, char key_out[KEY_SIZE])
{
    return (size_t)snprintf(key_out, KEY_SIZE, "user:%zu:profile", i);
}

static void set_up(void)
{
    for (size_t i = 0; i < TIMED_KEYS; i++)
        timed_lens[i] = make_key(i * 7919 % 1000003, timed_keys[i]);
    for (size_t i = 0; i < SERVERS_MAX; i++) {
        snprintf(hosts[i], sizeof hosts[i], "10.%zu.%zu.%zu", i >> 16, i >> 8 & 255, i & 255);
        members[i] = (struct ring_member){.host = hosts[i], .port = 11211, .weight = 1};
    }
}

static struct ring *make_ring(const char *distribution, hash_fn *hash, const struct ring_member *from, size_t n)
{
    const char *error;
    struct ring *ring = ring_create(distribution, hash, from, n, &error);
    if (ring == NULL) {
        fprintf(stderr, "placement-report: %s over %zu servers: %s\n", distribution, n, error);
        exit(1);
    }
    return ring;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* ns a call, over keys of len bytes. */
static double time_hash(hash_fn *hash, size_t len)
{
    char key[] = "user:00000000:profile:2026-11-20:language:settings";
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sum = 0;
        double start = now_ns();
        for (size_t i = 0; i < TIMED_KEYS; i++) {
            key[5] = (char)('0' + i % 10);
            sum += hash(key, len);
        }
        best = smaller(best, (now_ns() - start) / TIMED_KEYS);
        sink = sum;
    }
    return best;
}

static void report_hash(const char *name, hash_fn *hash)
{
    printf("| %s | %.1f | %.1f |\n", name, time_hash(hash, 20), time_hash(hash, 50));
}

static void report_hashes(void)
{
    printf("| hash | ns, 20 bytes | ns, 50 bytes |\n");
    printf("|---|---:|---:|\n");
    for (const char *const *name = hash_names(); *name != NULL; name++) {
        hash_fn *hash = hash_by_name(*name);
        if (hash != NULL && strcmp(hash_name(hash), *name) == 0)
            report_hash(*name, hash);
    }
    report_hash("(md5 of libhashkit)", libhashkit_md5);
}

/* ns a lookup, the hash included. */
static double time_locate(const struct ring *ring)
{
    double best = 1e18, begin = now_ns();
    for (int round = 0; round < ROUNDS && now_ns() - begin < ENOUGH_NS; round++) {
        uint64_t sum = 0;
        double start = now_ns();
        for (size_t i = 0; i < TIMED_KEYS; i++)
            sum += ring_locate(ring, timed_keys[i], timed_lens[i]);
        best = smaller(best, (now_ns() - start) / TIMED_KEYS);
        sink = sum;
    }
    return best;
}

static double time_build_ms(const char *distribution, size_t n)
{
    double best = 1e18, begin = now_ns();
    for (int round = 0; round < BUILD_ROUNDS && now_ns() - begin < ENOUGH_NS; round++) {
        double start = now_ns();
        struct ring *ring = make_ring(distribution, ring_default_hash(distribution), members, n);
        best = smaller(best, (now_ns() - start) / 1e6);
        ring_destroy(&ring);
    }
    return best;
}

/* The fullest server's keys over the mean. */
static double measure_balance(const struct ring *ring, size_t n)
{
    size_t *counts = calloc(n, sizeof *counts), most = 0;
    if (counts == NULL)
        exit(1);
    for (size_t i = 0; i < key_count; i++) {
        char key[KEY_SIZE];
        size_t len = make_key(i, key);
        counts[ring_locate(ring, key, len)]++;
    }
    for (size_t i = 0; i < n; i++)
        most = counts[i] > most ? counts[i] : most;
    free(counts);
    return (double)most * (double)n / (double)key_count;
}

/* Share of keys that change their server, in percent, from one set of members to another. */
static double measure_moved(const char *distribution, const struct ring_member *from, size_t from_n,
                            const struct ring_member *to, size_t to_n)
{
    hash_fn *hash = ring_default_hash(distribution);
    struct ring *before = make_ring(distribution, hash, from, from_n), *after = make_ring(distribution, hash, to, to_n);
    size_t moved = 0;
    for (size_t i = 0; i < key_count; i++) {
        char key[KEY_SIZE];
        size_t len = make_key(i, key);
        moved += from[ring_locate(before, key, len)].host != to[ring_locate(after, key, len)].host;
    }
    ring_destroy(&before);
    ring_destroy(&after);
    return (double)moved * 100 / (double)key_count;
}

/* The members less the one in the middle. */
static void without_middle(struct ring_member *left_out, size_t n)
{
    memcpy(left_out, members, n / 2 * sizeof members[0]);
    memcpy(left_out + n / 2, members + n / 2 + 1, (n - n / 2 - 1) * sizeof members[0]);
}

static void report_distribution(const char *distribution, size_t n)
{
    static struct ring_member fewer[SERVERS_MAX];
    without_middle(fewer, n);
    struct ring *ring = make_ring(distribution, ring_default_hash(distribution), members, n);
    printf("| %zu | %s | %.3f | %.2f | %.2f | %.2f |\n", n, distribution, measure_balance(ring, n),
           measure_moved(distribution, members, n, fewer, n - 1),
           measure_moved(distribution, members, n, members, n - 1),
           measure_moved(distribution, members, n, members, n + 1));
    ring_destroy(&ring);
}

static void report_distributions(void)
{
    static const size_t sizes[] = {3, 10, 100};
    printf("| servers | distribution | fullest / mean | one leaves, %% moved | the last leaves | one joins |\n");
    printf("|---:|---|---:|---:|---:|---:|\n");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        double n = (double)sizes[s];
        printf("| %zu | *ideal* | 1.000 | %.2f | %.2f | %.2f |\n", sizes[s], 100 / n, 100 / n, 100 / (n + 1));
        for (const char *const *name = ring_distributions(); *name != NULL; name++)
            report_distribution(*name, sizes[s]);
    }
}

static void report_sizes(void)
{
    static const size_t sizes[] = {3, 10, 100, 1000, 10000};
    printf("| servers | distribution | points | bytes | build, ms | ns, default hash | ns, xxh3 |\n");
    printf("|---:|---|---:|---:|---:|---:|---:|\n");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (const char *const *name = ring_distributions(); *name != NULL; name++) {
            struct ring *ring = make_ring(*name, ring_default_hash(*name), members, sizes[s]);
            struct ring *xxh3 = make_ring(*name, hash_by_name("xxh3"), members, sizes[s]);
            printf("| %zu | %s | %zu | %zu | %.2f | %.0f | %.0f |\n", sizes[s], *name, ring_points(ring),
                   ring_bytes(ring), time_build_ms(*name, sizes[s]), time_locate(ring), time_locate(xxh3));
            ring_destroy(&ring);
            ring_destroy(&xxh3);
        }
}

/* Two other searches over the same points, for comparison: the plain bisection, and Eytzinger's order. */
static size_t search_by_bisection(const void *context, uint32_t hash)
{
    const struct continuum *continuum = context;
    size_t low = 0, high = continuum->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (continuum->points[middle].value < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct eytzinger {
    size_t count;
    struct continuum_point *tree; /* from 1: the children of i are 2i and 2i + 1 */
};

static size_t eytzinger_fill(struct eytzinger *eytzinger, const struct continuum *from, size_t at, size_t node)
{
    if (node > eytzinger->count)
        return at;
    at = eytzinger_fill(eytzinger, from, at, 2 * node);
    eytzinger->tree[node] = (struct continuum_point){from->points[at].value, (uint32_t)at};
    return eytzinger_fill(eytzinger, from, at + 1, 2 * node + 1);
}

static size_t search_by_eytzinger(const void *context, uint32_t hash)
{
    const struct eytzinger *eytzinger = context;
    size_t node = 1;
    while (node <= eytzinger->count) {
        __builtin_prefetch(&eytzinger->tree[node * 8]);
        node = 2 * node + (eytzinger->tree[node].value < hash);
    }
    node >>= __builtin_ffsll((long long)~node);
    return node == 0 ? eytzinger->count : eytzinger->tree[node].server;
}

static size_t search_by_slots(const void *context, uint32_t hash)
{
    return continuum_search(context, hash);
}

typedef size_t search_fn(const void *context, uint32_t hash);

static double time_search(search_fn *search, const void *context)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sum = 0;
        double start = now_ns();
        for (size_t i = 0; i < 4 * TIMED_KEYS; i++)
            sum += search(context, (uint32_t)distribution_mix(i));
        best = smaller(best, (now_ns() - start) / (4 * TIMED_KEYS));
        sink = sum;
    }
    return best;
}

static void report_search(size_t servers)
{
    struct continuum continuum;
    size_t points = servers * 160;
    struct eytzinger eytzinger = {.count = points, .tree = calloc(points + 1, sizeof *eytzinger.tree)};
    if (eytzinger.tree == NULL || continuum_init(&continuum, points) != 0)
        exit(1);
    for (size_t i = 0; i < points; i++)
        continuum_add(&continuum, (uint32_t)distribution_mix(i + ((uint64_t)1 << 40)), (uint32_t)(i / 160));
    if (continuum_seal(&continuum) != 0)
        exit(1);
    eytzinger_fill(&eytzinger, &continuum, 0, 1);
    for (uint32_t i = 0; i < TIMED_KEYS; i++) {
        uint32_t hash = (uint32_t)distribution_mix(i);
        size_t at = search_by_bisection(&continuum, hash);
        if (continuum_search(&continuum, hash) != at || search_by_eytzinger(&eytzinger, hash) != at)
            abort();
    }
    printf("| %zu | %zu | %.1f | %.1f | %.1f |\n", servers, points, time_search(search_by_bisection, &continuum),
           time_search(search_by_eytzinger, &eytzinger), time_search(search_by_slots, &continuum));
    continuum_fini(&continuum);
    free(eytzinger.tree);
}

static void report_searches(void)
{
    static const size_t sizes[] = {3, 10, 100, 1000, 10000};
    printf("| servers | points | bisection, ns | Eytzinger, ns | slots (ours), ns |\n");
    printf("|---:|---:|---:|---:|---:|\n");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        report_search(sizes[i]);
}

static int report_ring(const char *servers)
{
    size_t n = strtoull(servers, NULL, 10);
    if (n == 0 || n > SERVERS_MAX)
        return 2;
    struct ring *ring = make_ring("ketama", ring_default_hash("ketama"), members, n);
    printf("{\"points\": %zu, \"bytes\": %zu, \"build_ms\": %.2f, \"lookup_ns\": %.0f}\n", ring_points(ring),
           ring_bytes(ring), time_build_ms("ketama", n), time_locate(ring));
    ring_destroy(&ring);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--ring") == 0) {
        set_up();
        return report_ring(argv[2]);
    }
    if (argc > 2 || (argc == 2 && (key_count = strtoull(argv[1], NULL, 10)) == 0)) {
        fprintf(stderr, "usage: placement-report [KEYS] | --ring SERVERS\n");
        return 2;
    }
    set_up();
    printf("Balance and movement, %zu keys, equal weights:\n\n", key_count);
    report_distributions();
    printf("\nMemory and time:\n\n");
    report_sizes();
    printf("\nSearch over the continuum alone:\n\n");
    report_searches();
    printf("\nHashes:\n\n");
    report_hashes();
    return fflush(stdout) == 0 ? 0 : 1;
}
