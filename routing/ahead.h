/*
 * Key hashes made ahead: of keys that stand side by side in a pipeline or a multi-get, hashed together (routing/md5.h), and
 * asked for one after the other.
 *
 *      ahead_hash(k0 k1 k2 ... )          ahead_find(k0), ahead_find(k0), ahead_find(k1) ...
 *
 * A key is known by the place where it lies and its length, never by its bytes: so whoever fills it empties it again before
 * those bytes can change. A key that is not found is hashed as ever; what is found is never wrong.
 */
#ifndef RINGSIDE_ROUTING_AHEAD_H
#define RINGSIDE_ROUTING_AHEAD_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AHEAD_KEYS_MAX 128

struct ahead {
    uint32_t at; /* the key that was found last */
    uint32_t count;
    struct slice keys[AHEAD_KEYS_MAX];
    uint32_t hashes[AHEAD_KEYS_MAX]; /* md5_first_word of each */
};

/* Empties it. */
static inline void ahead_clear(struct ahead *ahead)
{
    ahead->count = 0;
}

/* Hashes these keys in place of those before; at most AHEAD_KEYS_MAX of them. */
void ahead_hash(struct ahead *ahead, const struct slice *keys, size_t n);

/* The md5 hash of the key, if it is the one found last, or the one behind it. */
static inline bool ahead_find(struct ahead *ahead, struct slice key, uint32_t *hash_out)
{
    for (uint32_t i = ahead->at; i < ahead->count && i < ahead->at + 2; i++) {
        if (ahead->keys[i].data == key.data && ahead->keys[i].len == key.len) {
            ahead->at = i;
            *hash_out = ahead->hashes[i];
            return true;
        }
    }
    return false;
}

#endif
