/*
 * Owns: what several distributions share: a member's identity, and passing over by hashing again.
 *
 * Does not do: any placement of its own.
 */
#include "routing/distribution.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char distribution_no_memory[] = "out of memory";

uint32_t distribution_try_again(uint32_t (*locate)(const void *state, uint32_t hash), const void *state, uint32_t hash,
                                const struct ring_filter *filter)
{
    for (uint32_t attempt = 1; attempt <= DISTRIBUTION_TRIES; attempt++) {
        uint32_t server = locate(state, distribution_rehash(hash, attempt));
        if (ring_filter_passes(filter, server))
            return server;
    }
    return RING_NONE;
}

/* Writes the address as text; size has room for it. Returns its length. */
static size_t write_address(const struct ring_member *member, char *text, size_t size)
{
    if (member->port == 0)
        return (size_t)snprintf(text, size, "unix:%s", member->host);
    bool v6 = strchr(member->host, ':') != NULL;
    return (size_t)snprintf(text, size, v6 ? "[%s]:%u" : "%s:%u", member->host, (unsigned)member->port);
}

int distribution_identity(const struct ring_member *member, uint64_t seed, uint64_t *identity_out)
{
    if (member->name != NULL) {
        *identity_out = XXH3_64bits_withSeed(member->name, strlen(member->name), seed);
        return 0;
    }
    size_t size = strlen(member->host) + sizeof "unix:[]:65535";
    char *text = malloc(size);
    if (text == NULL)
        return -1;
    size_t len = write_address(member, text, size);
    *identity_out = XXH3_64bits_withSeed(text, len, seed);
    free(text);
    return 0;
}
