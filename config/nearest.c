/*
 * Owns the distance between two words. Three rows of the table of prefixes are kept, since a swap looks back two:
 *
 *              k n o w n
 *     before   . s . . .      s: a swap costs one more than this
 *     above    . . r d .      r: replace   d: take a letter off found
 *     row      . . i ?        i: put a letter in
 *
 * It does not know what the words mean. Letters of either case are the same to it.
 */
#include "config/nearest.h"

#include <stdbool.h>
#include <stdint.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static uint8_t least(size_t a, size_t b)
{
    return (uint8_t)(a < b ? a : b);
}

/* Both at most NEAREST_LEN_MAX bytes. */
static size_t distance(struct slice a, struct slice b)
{
    uint8_t rows[3][NEAREST_LEN_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = lower(a.data[i - 1]), y = lower(b.data[j - 1]);
            row[j] = least(above[j - 1] + (x != y ? 1u : 0u), least(above[j], row[j - 1]) + 1u);
            bool swapped = i > 1 && j > 1 && x == lower(b.data[j - 2]) && y == lower(a.data[i - 2]);
            if (swapped)
                row[j] = least(row[j], before[j - 2] + 1u);
        }
    }
    return rows[a.len % 3][b.len];
}

void nearest_init(struct nearest *nearest, struct slice found)
{
    *nearest = (struct nearest){found, {NULL, 0}, SIZE_MAX};
}

void nearest_offer(struct nearest *nearest, struct slice known)
{
    if (nearest->found.len > NEAREST_LEN_MAX || known.len > NEAREST_LEN_MAX)
        return;
    size_t longer = known.len > nearest->found.len ? known.len : nearest->found.len;
    size_t edits = distance(nearest->found, known);
    if (edits <= longer / 3 && edits < nearest->distance) {
        nearest->best = known;
        nearest->distance = edits;
    }
}

void nearest_offer_string(struct nearest *nearest, const char *known)
{
    nearest_offer(nearest, slice_make(known, strlen(known)));
}
