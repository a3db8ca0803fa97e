/* Keys for the placement tests: repeatable, of every length, with every byte. */
#ifndef RINGSIDE_TESTS_ROUTING_KEYS_H
#define RINGSIDE_TESTS_ROUTING_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX 250

struct key {
    char bytes[KEYS_MAX];
    size_t len;
};

/* xorshift64*; state is never 0. */
static inline uint64_t keys_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

/* 1 … KEYS_MAX bytes, mostly short; every second key has bytes from 0x80 on too. */
static inline void keys_next(uint64_t *state, struct key *key_out)
{
    uint64_t draw = keys_random(state);
    size_t limit = draw % 4 == 0 ? KEYS_MAX : 40;
    key_out->len = 1 + (size_t)(draw >> 8) % limit;
    for (size_t i = 0; i < key_out->len; i++) {
        uint64_t byte = keys_random(state) >> 32;
        key_out->bytes[i] = (char)(draw & 4 ? 0x21 + byte % 222 : 0x21 + byte % 94);
    }
}

#endif
