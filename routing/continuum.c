/*
 * Owns: the flat array of points of a ring, and the search over it.
 *
 *   hash     slot_shift takes its top bits
 *   starts   | 0 | 1 | 1 | 4 | 5 |  …  | count |     first point of each slot; about one slot a point
 *                |   +---+   |
 *   points   | p0 | p1 p2 p3 | p4 | …  | pN-1 | guards |     (value, server), 8 bytes each, by value
 *
 * The answer to a hash lies between the starts of its slot and of the next one. Points of a good ring are spread
 * evenly: a slot holds one on average, so that one look at `starts` and four compares without a branch find the answer
 * in two cache lines, whatever the size of the ring. Where points crowd (a ring hash of few bits), a slot may hold any
 * number: it is first cut down by bisection.
 *
 * Does not do: names, weights, hashing of keys: ketama.c makes the points.
 */
#include "routing/continuum.h"

#include <stdlib.h>
#include <string.h>

/* Points that are compared at once. */
#define LOOK CONTINUUM_PADDING

int continuum_init(struct continuum *continuum, size_t capacity)
{
    *continuum = (struct continuum){0};
    continuum->points = calloc(capacity + CONTINUUM_PADDING, sizeof *continuum->points);
    return continuum->points != NULL ? 0 : -1;
}

void continuum_fini(struct continuum *continuum)
{
    free(continuum->points);
    free(continuum->starts);
    *continuum = (struct continuum){0};
}

void continuum_add(struct continuum *continuum, uint32_t value, uint32_t server)
{
    continuum->points[continuum->count++] = (struct continuum_point){value, server};
}

/* One pass of a radix sort over 11 bits of value: stable, so that equal values keep the order of the passes before. */
static void sort_pass(const struct continuum_point *from, struct continuum_point *to, size_t count, unsigned shift)
{
    size_t place[2048] = {0};
    for (size_t i = 0; i < count; i++)
        place[from[i].value >> shift & 2047]++;
    size_t sum = 0;
    for (size_t digit = 0; digit < 2048; digit++) {
        size_t here = place[digit];
        place[digit] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        to[place[from[i].value >> shift & 2047]++] = from[i];
}

/* By value; equal values in the order of their adding. */
static int sort_points(struct continuum *continuum)
{
    size_t count = continuum->count;
    struct continuum_point *other = malloc((count + CONTINUUM_PADDING) * sizeof *other);
    if (other == NULL)
        return -1;
    sort_pass(continuum->points, other, count, 0);
    sort_pass(other, continuum->points, count, 11);
    sort_pass(continuum->points, other, count, 22);
    free(continuum->points);
    continuum->points = other;
    return 0;
}

static unsigned slot_bits(size_t count)
{
    unsigned bits = 1;
    while (bits < 24 && (size_t)1 << bits < count)
        bits++;
    return bits;
}

static int make_starts(struct continuum *continuum)
{
    unsigned bits = slot_bits(continuum->count);
    size_t slots = (size_t)1 << bits;
    continuum->slot_shift = 32 - bits;
    continuum->starts = malloc((slots + 1) * sizeof *continuum->starts);
    if (continuum->starts == NULL)
        return -1;
    size_t at = 0;
    for (size_t slot = 0; slot <= slots; slot++) {
        while (at < continuum->count && continuum->points[at].value >> continuum->slot_shift < slot)
            at++;
        continuum->starts[slot] = (uint32_t)at;
    }
    return 0;
}

int continuum_seal(struct continuum *continuum)
{
    if (sort_points(continuum) != 0 || make_starts(continuum) != 0)
        return -1;
    for (size_t i = 0; i < CONTINUUM_PADDING; i++)
        continuum->points[continuum->count + i] = (struct continuum_point){UINT32_MAX, continuum->points[0].server};
    return 0;
}

/* Cuts low … high, which holds the answer, down to at most LOOK points less than hash. */
static size_t bisect(const struct continuum_point *points, size_t low, size_t high, uint32_t hash)
{
    while (high - low > LOOK) {
        size_t middle = low + (high - low) / 2;
        if (points[middle].value < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t continuum_search(const struct continuum *continuum, uint32_t hash)
{
    const struct continuum_point *points = continuum->points;
    size_t slot = hash >> continuum->slot_shift;
    size_t low = continuum->starts[slot], high = continuum->starts[slot + 1];
    if (__builtin_expect(high - low > LOOK, 0))
        low = bisect(points, low, high, hash);
    const struct continuum_point *at = points + low;
    return low + (at[0].value < hash) + (at[1].value < hash) + (at[2].value < hash) + (at[3].value < hash);
}

uint32_t continuum_pass_over(const struct continuum *continuum, uint32_t hash, const struct ring_filter *filter)
{
    size_t at = continuum_search(continuum, hash);
    uint32_t before = RING_NONE;
    for (size_t seen = 0; seen < continuum->count; seen++, at++) {
        if (at >= continuum->count)
            at = 0;
        uint32_t server = continuum->points[at].server;
        if (server != before && ring_filter_passes(filter, server))
            return server;
        before = server;
    }
    return RING_NONE;
}

size_t continuum_bytes(const struct continuum *continuum)
{
    size_t slots = (size_t)1 << (32 - continuum->slot_shift);
    return (continuum->count + CONTINUUM_PADDING) * sizeof *continuum->points + (slots + 1) * sizeof *continuum->starts;
}
