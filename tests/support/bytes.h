/* A buffer of fixed room that tests append to: BYTES_ROOM is the including file's. */
#ifndef RINGSIDE_TESTS_SUPPORT_BYTES_H
#define RINGSIDE_TESTS_SUPPORT_BYTES_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    char *data; /* to be freed */
    size_t len;
};

static inline struct bytes bytes_new(void)
{
    struct bytes bytes = {malloc(BYTES_ROOM), 0};
    ck_assert_ptr_nonnull(bytes.data);
    return bytes;
}

static inline void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    ck_assert_uint_le(bytes->len + len, BYTES_ROOM);
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

#endif
