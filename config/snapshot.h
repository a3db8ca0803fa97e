/*
 * A snapshot: one configuration made ready for use: pools with their rings, and the route. Immutable; built and freed by
 * the control thread, pinned by the workers (proxy/worker.h).
 */
#ifndef RINGSIDE_CONFIG_SNAPSHOT_H
#define RINGSIDE_CONFIG_SNAPSHOT_H

#include "config/model.h"
#include "config/registry.h"
#include "routing/pool.h"
#include "routing/route.h"

struct snapshot {
    struct config *config;
    uint64_t generation; /* 1, 2, 3 … */
    struct pool *pools;
    size_t pool_count;
    struct route route;
    unsigned holders; /* workers that have not given it back; control thread */
};

/* Takes the configuration over, also on failure. NULL with *error_out a static text. */
struct snapshot *snapshot_create(struct config **config, struct registry *registry, uint64_t generation,
                                 const char **error_out);
void snapshot_destroy(struct snapshot **snapshot, struct registry *registry);

/* Makes the pools' healths follow this snapshot's settings and membership: when it is put into force. */
void snapshot_apply_health(const struct snapshot *snapshot);

/* Share of the keys, in percent, that another snapshot's route would send to another server: from a fixed sample. */
double snapshot_moved_percent(const struct snapshot *from, const struct snapshot *to);

#endif
