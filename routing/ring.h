/*
 * A ring: which of n servers a key belongs to. Immutable after creation and shared by all workers.
 *
 * The distributions, and where their algorithms come from, stand in ring.c's table; each has a file of its own.
 */
#ifndef RINGSIDE_ROUTING_RING_H
#define RINGSIDE_ROUTING_RING_H

#include "base/slice.h"
#include "routing/ahead.h"
#include "routing/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_NONE UINT32_MAX
#define RING_WEIGHT_MAX 1000000

/* One server as the ring sees it. The strings are copied where they are needed. */
struct ring_member {
    const char *name; /* its configured name, or NULL: it is known by its address */
    const char *host; /* host name, address without brackets, or the path of a Unix socket */
    uint16_t port;    /* 0: a Unix socket */
    uint32_t weight;  /* 1 … RING_WEIGHT_MAX */
};

struct ring;

/* Where a key falls, for `ringside route`. */
struct ring_spot {
    uint32_t server; /* index into the members given at creation */
    uint32_t hash;   /* the key's hash */
    uint32_t point;  /* the continuum point that it fell on; the bucket or score where there is no continuum */
    uint64_t index;  /* that point's position on the continuum */
};

/* Tells whether member `server` may be chosen now. */
typedef bool ring_usable_fn(const void *context, uint32_t server);

/* The distribution's name as in the configuration: ketama, ketama-libmemcached, … NULL-terminated list. */
const char *const *ring_distributions(void);

/* The hash that a distribution uses when the configuration names none (ketama-libmemcached: one_at_a_time; md5 …). */
hash_fn *ring_default_hash(const char *distribution);

/*
 * Builds a ring over n members (n >= 1). NULL on an unknown distribution, n == 0, a weight out of range, or want of
 * memory; *error_out then says what is wrong (static text).
 */
struct ring *ring_create(const char *distribution, hash_fn *hash, const struct ring_member *members, size_t n,
                         const char **error_out);
void ring_destroy(struct ring **ring);

/* The member that owns key (the hash tag already applied). Hot path: no allocation, no lock, no branch on n == 1. */
uint32_t ring_locate(const struct ring *ring, const char *key, size_t len);

/* The same with a hash made ahead, if there is one for the key; and whether it would help at all. */
uint32_t ring_locate_ahead(const struct ring *ring, struct slice key, struct ahead *ahead);
bool ring_is_hashed_ahead(const struct ring *ring);

/* The same for n keys at once. */
void ring_locate_many(const struct ring *ring, const struct slice *keys, size_t n, uint32_t *servers_out);

/*
 * The same, passing over members that are not usable: exactly the keys of these go elsewhere, each to where the
 * distribution puts it when the member is passed over (the next point of a continuum, the next best score, …).
 * RING_NONE: no member is usable.
 */
uint32_t ring_locate_usable(const struct ring *ring, const char *key, size_t len, ring_usable_fn *usable,
                            const void *context);

/* ring_locate with its reasons. */
struct ring_spot ring_explain(const struct ring *ring, const char *key, size_t len);

/* Memory that the ring holds, in bytes; points on the continuum, or 0. */
size_t ring_bytes(const struct ring *ring);
size_t ring_points(const struct ring *ring);

#endif
