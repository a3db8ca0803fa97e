/*
 * A continuum: points on the circle of 32-bit hashes, each owned by a server. A hash belongs to the first point that is
 * not less than it; past the last point, to the first. Internal to routing/.
 */
#ifndef RINGSIDE_ROUTING_CONTINUUM_H
#define RINGSIDE_ROUTING_CONTINUUM_H

#include "routing/distribution.h"

#include <stddef.h>
#include <stdint.h>

struct continuum_point {
    uint32_t value;
    uint32_t server;
};

struct continuum {
    struct continuum_point *points; /* count of them, in order of value, then CONTINUUM_PADDING guards */
    uint32_t *starts;               /* one for each slot, and one more: see continuum.c */
    size_t count;
    unsigned slot_shift; /* slot of a hash: hash >> slot_shift */
};

/* Guards behind the last point: the largest value, the first point's server. A look at four points may run into them.
 */
#define CONTINUUM_PADDING 4

/* Room for capacity points, 1 … UINT32_MAX / 2. 0, or -1 for want of memory. */
int continuum_init(struct continuum *continuum, size_t capacity);
void continuum_fini(struct continuum *continuum);
/* Adds one point. Of points with one value, the one added first stands first. */
void continuum_add(struct continuum *continuum, uint32_t value, uint32_t server);
/* Orders the points; lookups are allowed from here on. At least one point is in. 0, or -1 for want of memory. */
int continuum_seal(struct continuum *continuum);

/* Where hash falls: 0 … count, where count stands for the wrap to point 0 (and holds its server). */
size_t continuum_search(const struct continuum *continuum, uint32_t hash);
/* The next points in order whose server passes, or RING_NONE. */
uint32_t continuum_pass_over(const struct continuum *continuum, uint32_t hash, const struct ring_filter *filter);
size_t continuum_bytes(const struct continuum *continuum);

#endif
