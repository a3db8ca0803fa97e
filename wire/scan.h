/*
 * Finding the end of a key, eight bytes at a time. For wire/ alone.
 *
 * A key ends at the first byte that no key may hold: a blank, a control character (NUL and DEL included). Source of the
 * byte tests: "Determine if a word has a byte less than n" and "a zero byte", Sean Anderson, Bit Twiddling Hacks.
 */
#ifndef RINGSIDE_WIRE_SCAN_H
#define RINGSIDE_WIRE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCAN_ONES UINT64_C(0x0101010101010101)
#define SCAN_HIGHS UINT64_C(0x8080808080808080)

static inline bool scan_is_key_byte(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f;
}

static inline uint32_t scan_load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint64_t scan_load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The first byte in [at, end) that no key may hold, or end. Reads nothing outside. */
static inline const char *scan_key(const char *at, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - at >= 8) {
        uint64_t word = scan_load64(at);
        uint64_t del = word ^ (SCAN_ONES * 0x7f);
        /* In each mask the lowest bit set is exact; those above it may be false. */
        uint64_t hits = ((word - SCAN_ONES * 0x21) & ~word) | ((del - SCAN_ONES) & ~del);
        hits &= SCAN_HIGHS;
        if (hits)
            return at + (__builtin_ctzll(hits) >> 3);
        at += 8;
    }
#endif
    while (at < end && scan_is_key_byte(*at))
        at++;
    return at;
}

/* The first space in [at, end), or end. Reads nothing outside. For text in which scan_key has found nothing but keys and spaces. */
static inline const char *scan_space(const char *at, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (end - at >= 8) {
        uint64_t word = scan_load64(at) ^ (SCAN_ONES * ' ');
        uint64_t hits = (word - SCAN_ONES) & ~word & SCAN_HIGHS;
        if (hits)
            return at + (__builtin_ctzll(hits) >> 3);
        at += 8;
    }
#endif
    while (at < end && *at != ' ')
        at++;
    return at;
}

#endif
