/*
 * Numbers on a command line, as memcached's safe_strto*() family (util.c) takes them: strtol(3) over the token, good if
 * it ends at the token's end or at a blank within it. For wire/ alone.
 *
 * `plain` is narrower: digits and nothing else, with one '-' before them if negative. Where a server that refuses a
 * number would not swallow the data block, only plain numbers may pass: servers differ over the rest.
 */
#ifndef RINGSIDE_WIRE_NUMBER_H
#define RINGSIDE_WIRE_NUMBER_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct number {
    uint64_t magnitude;
    bool valid; /* a number that fits 64 bits, in the wide sense */
    bool plain; /* a number in the narrow sense */
    bool negative;
};

/* No token with a number is longer: more digits are only leading zeroes. */
#define NUMBER_LEN_MAX 32
/* A 32-bit number with its sign: what memcached 1.6.40 and later read. */
#define NUMBER_32_LEN_MAX 11

struct number number_parse(struct slice token);

/* As safe_strtoull: a negative number passes if its two's complement is below 2^63. */
bool number_is_u64(struct slice token);
/* As safe_strtol where long has 64 bits. */
bool number_is_i64(struct slice token);
/* Plain and in range: what every server reads in the same way. */
bool number_is_plain_u32(struct slice token);
bool number_is_plain_i32(struct slice token);
bool number_is_plain_u64(struct slice token);

#endif
