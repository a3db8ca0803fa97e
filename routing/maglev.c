/*
 * Owns: `maglev`: a table of a prime number of slots, shared out among the servers; a hash picks a slot.
 *
 *   each server has its own order over all slots: first, first + skip, first + 2 skip … modulo the prime
 *
 *   turn by turn, a server takes the first slot of its order that is still free, until none is:
 *
 *   slots  | b | a | c | a | b | c | a | b | c | a |      a slot is a 16-bit index: 128 KiB with 65 537 slots
 *
 * Turns go round; with unequal weights a server's turns come `weight` times as often: the k-th turn (from 1) is at time
 * k / weight, and a heap over these times says whose turn is next. Slots are shared almost exactly by weight.
 * Servers are known by their identity (distribution.h), and sorted by it before they take turns: the order of the
 * configuration does not matter. When a server leaves, some keys of the others move too: about half a percent of all.
 *
 * The table has more than a hundred slots a server. Where the number of servers passes 655 or 6 553 the table grows,
 * and nearly all keys move once.
 *
 * Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4.
 *
 * Does not do: a new table when a server is passed over: hashing again keeps all other keys where they are.
 */
#include "routing/distribution.h"

#include <stdlib.h>
#include <string.h>

#define MAGLEV_SERVERS_MAX 65535
#define MAGLEV_FREE UINT16_MAX

/* Primes. */
static const uint32_t table_sizes[] = {65537, 655373, 6553577};

struct maglev {
    uint32_t size;
    uint16_t slots[]; /* the server of each */
};

/* A server while the table is filled. */
struct taker {
    uint64_t identity, skip_identity;
    uint32_t server;
    uint32_t next; /* the slot that it would like next */
    uint32_t skip;
    uint32_t weight;
    uint64_t turn; /* turns taken, and the one ahead */
};

static uint32_t size_for(size_t n)
{
    size_t i = 0;
    while (i + 1 < sizeof table_sizes / sizeof table_sizes[0] && table_sizes[i] < 100 * n)
        i++;
    return table_sizes[i];
}

/* The order of takers: by identity; a pair with one identity by place, so that the result is defined. */
static int compare_takers(const void *left, const void *right)
{
    const struct taker *a = left, *b = right;
    if (a->identity != b->identity)
        return a->identity < b->identity ? -1 : 1;
    return a->server < b->server ? -1 : a->server > b->server;
}

/* Whether a's turn is before b's: turn / weight, and on a tie the taker's place in the sorted order. */
static bool is_before(const struct taker *a, const struct taker *b)
{
    uint64_t left = a->turn * b->weight, right = b->turn * a->weight;
    return left != right ? left < right : a < b;
}

/* Sets heap[at] where it belongs, further down. heap: pointers to the takers, the next turn at the top. */
static void sift_down(struct taker **heap, size_t n, size_t at)
{
    struct taker *moving = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void take_slot(struct maglev *maglev, struct taker *taker)
{
    while (maglev->slots[taker->next] != MAGLEV_FREE) {
        taker->next += taker->skip;
        if (taker->next >= maglev->size)
            taker->next -= maglev->size;
    }
    maglev->slots[taker->next] = (uint16_t)taker->server;
}

static void fill(struct maglev *maglev, struct taker **heap, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
    for (uint32_t filled = 0; filled < maglev->size; filled++) {
        take_slot(maglev, heap[0]);
        heap[0]->turn++;
        sift_down(heap, n, 0);
    }
}

static int make_takers(struct taker *takers, const struct ring_member *members, size_t n, uint32_t size)
{
    for (size_t i = 0; i < n; i++) {
        struct taker *taker = &takers[i];
        *taker = (struct taker){.server = (uint32_t)i, .weight = members[i].weight, .turn = 1};
        if (distribution_identity(&members[i], 0, &taker->identity) != 0 ||
            distribution_identity(&members[i], 1, &taker->skip_identity) != 0)
            return -1;
        taker->next = (uint32_t)(taker->identity % size);
        taker->skip = (uint32_t)(taker->skip_identity % (size - 1)) + 1;
    }
    qsort(takers, n, sizeof *takers, compare_takers);
    return 0;
}

static int share_out(struct maglev *maglev, const struct ring_member *members, size_t n)
{
    struct taker *takers = malloc(n * sizeof *takers);
    struct taker **heap = malloc(n * sizeof *heap);
    int result = -1;
    if (takers != NULL && heap != NULL && make_takers(takers, members, n, maglev->size) == 0) {
        for (size_t i = 0; i < n; i++)
            heap[i] = &takers[i];
        fill(maglev, heap, n);
        result = 0;
    }
    free(heap);
    free(takers);
    return result;
}

static void *maglev_create(const struct ring_member *members, size_t n, hash_fn *hash, const char **error_out)
{
    (void)hash;
    if (n > MAGLEV_SERVERS_MAX) {
        *error_out = "a maglev distribution holds at most 65535 servers";
        return NULL;
    }
    uint32_t size = size_for(n);
    struct maglev *maglev = malloc(sizeof *maglev + size * sizeof maglev->slots[0]);
    if (maglev != NULL) {
        maglev->size = size;
        memset(maglev->slots, 0xff, size * sizeof maglev->slots[0]);
        if (share_out(maglev, members, n) == 0)
            return maglev;
        free(maglev);
    }
    *error_out = distribution_no_memory;
    return NULL;
}

static uint32_t slot_of(const struct maglev *maglev, uint32_t hash)
{
    return (uint32_t)((distribution_mix(hash) >> 32) * maglev->size >> 32);
}

static uint32_t maglev_locate(const void *state, uint32_t hash)
{
    const struct maglev *maglev = state;
    return maglev->slots[slot_of(maglev, hash)];
}

static uint32_t maglev_pass_over(const void *state, uint32_t hash, const struct ring_filter *filter)
{
    return distribution_try_again(maglev_locate, state, hash, filter);
}

static void maglev_explain(const void *state, uint32_t hash, struct ring_spot *spot_out)
{
    spot_out->point = slot_of(state, hash);
    spot_out->index = spot_out->point;
    spot_out->server = maglev_locate(state, hash);
}

static size_t maglev_bytes(const void *state)
{
    const struct maglev *maglev = state;
    return sizeof *maglev + maglev->size * sizeof maglev->slots[0];
}

static size_t maglev_points(const void *state)
{
    (void)state;
    return 0;
}

const struct distribution distribution_maglev = {
    .default_hash = "xxh3",
    .create = maglev_create,
    .destroy = free,
    .locate = maglev_locate,
    .pass_over = maglev_pass_over,
    .explain = maglev_explain,
    .bytes = maglev_bytes,
    .points = maglev_points,
};
