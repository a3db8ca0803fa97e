/*
 * A snapshot: one configuration made ready for use: pools with their rings, and the route. Immutable; built and freed
 * by the control thread, pinned by the workers (proxy/worker.h).
 */
#ifndef RINGSIDE_CONFIG_SNAPSHOT_H
#define RINGSIDE_CONFIG_SNAPSHOT_H

#include "config/errors.h"
#include "config/model.h"
#include "config/registry.h"
#include "routing/pool.h"
#include "routing/route.h"

struct snapshot {
    struct config *config;
    uint64_t generation; /* 1, 2, 3 … */
    struct pool *pools;
    size_t pool_count;
    struct route *route;
    unsigned holders; /* workers that have not given it back; control thread */
};

/* Takes the configuration over if it is good. NULL with *error_out a static text. */
struct snapshot *snapshot_try(struct config **config, struct registry *registry, uint64_t generation,
                              const char **error_out);
/* The same; takes the configuration over also on failure. */
struct snapshot *snapshot_create(struct config **config, struct registry *registry, uint64_t generation,
                                 const char **error_out);
void snapshot_destroy(struct snapshot **snapshot, struct registry *registry);

/* Makes the pools' healths follow this snapshot's settings and membership: when it is put into force. */
void snapshot_apply_health(const struct snapshot *snapshot);

/*
 * Adds an error for each pool whose ring cannot be built, at the pool's place; want of memory, if there is none. For
 * when snapshot_try has refused a configuration.
 */
void snapshot_explain_refusal(const struct config *config, struct config_errors *errors);

/*
 * Share of the keys, in percent, whose first server is another one in `to`: from a fixed sample. Both are made over one
 * registry. Below 0: memory is out.
 */
double snapshot_moved_percent(const struct snapshot *from, const struct snapshot *to);

/*
 * A worker's side of a snapshot's route for comparing: it sends nothing, and counts in the registry's spare counters.
 * unix_us: for routes that go by the time. false: memory is out. The control thread's; route_worker_fini ends it.
 */
bool snapshot_dry_worker(const struct snapshot *snapshot, uint64_t unix_us, struct route_worker *worker_out);

#endif
