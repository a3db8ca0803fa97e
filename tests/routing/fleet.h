/* Fleets of made-up servers for the ring tests. */
#ifndef RINGSIDE_TESTS_ROUTING_FLEET_H
#define RINGSIDE_TESTS_ROUTING_FLEET_H

#include "routing/ring.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLEET_MAX 128

struct fleet {
    size_t n;
    struct ring_member members[FLEET_MAX];
    char hosts[FLEET_MAX][32];
};

/* n servers 10.0.0.1:11212 …, all of one weight. Not to be copied: the members point into it. */
static inline void fleet_init(struct fleet *fleet, size_t n, uint32_t weight)
{
    fleet->n = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(fleet->hosts[i], sizeof fleet->hosts[i], "10.0.0.%zu", i + 1);
        fleet->members[i] = (struct ring_member){.host = fleet->hosts[i], .port = 11212, .weight = weight};
    }
}

/* Takes one server out; the ones behind it move up. */
static inline void fleet_remove(struct fleet *fleet, size_t at)
{
    fleet->n--;
    memmove(&fleet->members[at], &fleet->members[at + 1], (fleet->n - at) * sizeof fleet->members[0]);
}

/* The ring over the fleet, with the distribution's own hash. */
static inline struct ring *fleet_ring(const struct fleet *fleet, const char *distribution)
{
    const char *error;
    struct ring *ring = ring_create(distribution, ring_default_hash(distribution), fleet->members, fleet->n, &error);
    ck_assert_msg(ring != NULL, "%s: %s", distribution, error);
    return ring;
}

/* The i-th of many plain keys. Returns its length. */
static inline size_t fleet_key(size_t i, char key_out[32])
{
    return (size_t)snprintf(key_out, 32, "user:%zu:name", i);
}

/* The host that owns the i-th key: the same server has the same host text in every fleet. */
static inline const char *fleet_owner(const struct fleet *fleet, const struct ring *ring, size_t i)
{
    char key[32];
    size_t len = fleet_key(i, key);
    return fleet->members[ring_locate(ring, key, len)].host;
}

#endif
