/* Repeatable random numbers: xorshift64*, by Vigna. */
#ifndef RINGSIDE_TESTS_SUPPORT_RANDOM_H
#define RINGSIDE_TESTS_SUPPORT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* state is never 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

/* 0 … bound - 1. */
static inline size_t random_below(uint64_t *state, size_t bound)
{
    return (size_t)((random_next(state) >> 11) % bound);
}

/* 1 … max, small numbers as likely as large ones. */
static inline size_t random_size(uint64_t *state, size_t max)
{
    size_t bits = 0;
    while (bits < 63 && (size_t)1 << bits < max)
        bits++;
    size_t size = 1 + random_below(state, (size_t)1 << random_below(state, bits + 1));
    return size <= max ? size : max;
}

static inline void random_fill(uint64_t *state, char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(random_next(state) >> 56);
}

#endif
