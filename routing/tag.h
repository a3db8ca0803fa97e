/* Hash tags: the part of a key between two characters decides its place, if both are there and it is not empty. */
#ifndef RINGSIDE_ROUTING_TAG_H
#define RINGSIDE_ROUTING_TAG_H

#include "base/slice.h"

#include <string.h>

/* tag: two characters, "{}" say, or tag[0] == 0 for none. Source: twemproxy's hash_tag (first open, next close). */
static inline struct slice tag_apply(const char tag[2], struct slice key)
{
    if (tag[0] == '\0')
        return key;
    const char *open = memchr(key.data, tag[0], key.len);
    if (open == NULL)
        return key;
    size_t rest = key.len - (size_t)(open + 1 - key.data);
    const char *close = memchr(open + 1, tag[1], rest);
    if (close == NULL || close == open + 1)
        return key;
    return slice_make(open + 1, (size_t)(close - open - 1));
}

#endif
