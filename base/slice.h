/* A run of bytes that somebody else owns. Not NUL-terminated, may hold any byte. */
#ifndef RINGSIDE_BASE_SLICE_H
#define RINGSIDE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct slice {
    const char *data;
    size_t len;
};

/* A slice over a string literal. */
#define SLICE_OF(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_make(const char *data, size_t len)
{
    return (struct slice){data, len};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* A copy, NUL-terminated, the caller's to free. NULL when memory is out. Reads nothing beyond the slice. */
static inline char *slice_copy(struct slice slice)
{
    char *copy = malloc(slice.len + 1);
    if (copy == NULL)
        return NULL;
    if (slice.len > 0)
        memcpy(copy, slice.data, slice.len);
    copy[slice.len] = '\0';
    return copy;
}

#endif
