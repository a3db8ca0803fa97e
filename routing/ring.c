/*
 * Owns: the ring: a hash function and a distribution (distribution.h lists them) over given members.
 *
 *   key --hash--> 32 bits --locate--> server                                   ring_locate
 *                             |  not usable
 *                             +--pass_over--> the next usable one              ring_locate_usable
 *
 * A ring of one server gets a hash function that does not read the key: no lookup has to ask how many there are.
 *
 * Does not do: hash tags (tag.h), health: the caller says what is usable.
 */
#include "routing/ring.h"

#include "routing/distribution.h"
#include "routing/md5.h"

#include <stdlib.h>
#include <string.h>

#define RING_MEMBERS_MAX 1000000

struct ring {
    uint32_t (*locate)(const void *state, uint32_t hash);
    hash_fn *locate_hash; /* hash, or hash_nothing with one server alone */
    void *state;
    const struct distribution *distribution;
    hash_fn *hash;
    uint32_t n;
};

#define NAME_OF(name, identifier) name,
#define POINTER_TO(name, identifier) &(identifier),
static const char *const names[] = {DISTRIBUTION_TABLE(NAME_OF) NULL};
static const struct distribution *const distributions[] = {DISTRIBUTION_TABLE(POINTER_TO) NULL};

const char *const *ring_distributions(void)
{
    return names;
}

static const struct distribution *find_distribution(const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return distributions[i];
    return NULL;
}

hash_fn *ring_default_hash(const char *distribution)
{
    const struct distribution *found = find_distribution(distribution);
    return found != NULL ? hash_by_name(found->default_hash) : NULL;
}

static uint32_t hash_nothing(const char *key, size_t len)
{
    (void)key;
    (void)len;
    return 0;
}

/* What is wrong with the arguments, or NULL. */
static const char *refusal(const struct distribution *distribution, hash_fn *hash, const struct ring_member *members,
                           size_t n)
{
    if (distribution == NULL)
        return "unknown distribution";
    if (hash == NULL)
        return "unknown hash";
    if (n == 0)
        return "no servers";
    if (n > RING_MEMBERS_MAX)
        return "more than 1000000 servers";
    for (size_t i = 0; i < n; i++)
        if (members[i].weight < 1 || members[i].weight > RING_WEIGHT_MAX)
            return "a weight is not from 1 to 1000000";
    return NULL;
}

struct ring *ring_create(const char *distribution, hash_fn *hash, const struct ring_member *members, size_t n,
                         const char **error_out)
{
    const struct distribution *found = find_distribution(distribution);
    *error_out = refusal(found, hash, members, n);
    if (*error_out != NULL)
        return NULL;
    struct ring *ring = malloc(sizeof *ring);
    if (ring == NULL) {
        *error_out = distribution_no_memory;
        return NULL;
    }
    *ring = (struct ring){.locate = found->locate,
                          .locate_hash = n == 1 ? hash_nothing : hash,
                          .state = found->create(members, n, hash, error_out),
                          .distribution = found,
                          .hash = hash,
                          .n = (uint32_t)n};
    if (ring->state == NULL) {
        free(ring);
        return NULL;
    }
    return ring;
}

void ring_destroy(struct ring **ring)
{
    if (*ring == NULL)
        return;
    (*ring)->distribution->destroy((*ring)->state);
    free(*ring);
    *ring = NULL;
}

uint32_t ring_locate(const struct ring *ring, const char *key, size_t len)
{
    return ring->locate(ring->state, ring->locate_hash(key, len));
}

uint32_t ring_locate_ahead(const struct ring *ring, struct slice key, struct ahead *ahead)
{
    uint32_t hash;
    if (ring->locate_hash != md5_first_word || !ahead_find(ahead, key, &hash))
        hash = ring->locate_hash(key.data, key.len);
    return ring->locate(ring->state, hash);
}

bool ring_is_hashed_ahead(const struct ring *ring)
{
    return ring->locate_hash == md5_first_word;
}

void ring_locate_many(const struct ring *ring, const struct slice *keys, size_t n, uint32_t *servers_out)
{
    if (ring->locate_hash != md5_first_word) {
        for (size_t i = 0; i < n; i++)
            servers_out[i] = ring_locate(ring, keys[i].data, keys[i].len);
        return;
    }
    md5_first_words(keys, n, servers_out);
    for (size_t i = 0; i < n; i++)
        servers_out[i] = ring->locate(ring->state, servers_out[i]);
}

/* The first usable member, or RING_NONE. With most members usable it looks at one or two. */
static uint32_t first_usable(const struct ring *ring, const struct ring_filter *filter)
{
    for (uint32_t server = 0; server < ring->n; server++)
        if (ring_filter_passes(filter, server))
            return server;
    return RING_NONE;
}

/* locate's server is not usable: another one, if any is. first_usable stands in for a search that met none. */
static uint32_t pass_over(const struct ring *ring, uint32_t hash, const struct ring_filter *filter)
{
    uint32_t fallback = first_usable(ring, filter);
    if (fallback == RING_NONE)
        return RING_NONE;
    uint32_t server = ring->distribution->pass_over(ring->state, hash, filter);
    return server != RING_NONE ? server : fallback;
}

uint32_t ring_locate_usable(const struct ring *ring, const char *key, size_t len, ring_usable_fn *usable,
                            const void *context)
{
    struct ring_filter filter = {usable, context};
    uint32_t hash = ring->locate_hash(key, len);
    uint32_t server = ring->locate(ring->state, hash);
    return ring_filter_passes(&filter, server) ? server : pass_over(ring, hash, &filter);
}

struct ring_spot ring_explain(const struct ring *ring, const char *key, size_t len)
{
    struct ring_spot spot = {.hash = ring->hash(key, len)};
    ring->distribution->explain(ring->state, spot.hash, &spot);
    return spot;
}

size_t ring_bytes(const struct ring *ring)
{
    return sizeof *ring + ring->distribution->bytes(ring->state);
}

size_t ring_points(const struct ring *ring)
{
    return ring->distribution->points(ring->state);
}
