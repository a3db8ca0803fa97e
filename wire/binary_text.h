/*
 * What the binary protocol's translators share, in both directions: its numbers, and lines of text put together. For wire/
 * alone.
 */
#ifndef RINGSIDE_WIRE_BINARY_TEXT_H
#define RINGSIDE_WIRE_BINARY_TEXT_H

#include "base/slice.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A big-endian number of that many bytes. */
static inline uint64_t big_endian_read(const char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | (unsigned char)at[i];
    return number;
}

static inline void big_endian_write(char *at, unsigned bytes, uint64_t number)
{
    for (unsigned i = bytes; i > 0; i--, number >>= 8)
        at[i - 1] = (char)(number & 0xff);
}

/* A line under the pen. Whoever writes has made sure of the room. */
struct line {
    char *buffer;
    size_t used;
};

static inline void line_put(struct line *line, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(line->buffer + line->used, bytes.data, bytes.len);
    line->used += bytes.len;
}

/* The words, and the number. */
static inline void line_put_number(struct line *line, struct slice before, uint64_t number)
{
    line_put(line, before);
    line->used += text_print_u64(number, line->buffer + line->used);
}

#endif
