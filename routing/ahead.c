/* Owns the filling of hashes made ahead: see ahead.h. */
#include "routing/ahead.h"

#include "routing/md5.h"

#include <assert.h>
#include <string.h>

void ahead_hash(struct ahead *ahead, const struct slice *keys, size_t n)
{
    assert(n <= AHEAD_KEYS_MAX);
    memcpy(ahead->keys, keys, n * sizeof *keys);
    md5_first_words(keys, n, ahead->hashes);
    ahead->at = 0;
    ahead->count = (uint32_t)n;
}
