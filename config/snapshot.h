/*
 * A snapshot: one configuration made ready for use: pools with their rings, the route, and what certificates, users,
 * passwords and rules say. Immutable; built and freed by the control thread, pinned by the workers (proxy/worker.h).
 */
#ifndef RINGSIDE_CONFIG_SNAPSHOT_H
#define RINGSIDE_CONFIG_SNAPSHOT_H

#include "config/errors.h"
#include "config/model.h"
#include "config/registry.h"
#include "routing/pool.h"
#include "routing/route.h"
#include "tls/access.h"
#include "tls/context.h"
#include "tls/secret.h"
#include "tls/users.h"

#include <sys/types.h>

/* Which user a process of that system user is. */
struct snapshot_peer {
    uid_t uid;
    const char *user; /* the configuration's */
};

struct snapshot_peers {
    struct snapshot_peer *items;
    size_t count;
};

struct snapshot {
    struct config *config;
    uint64_t generation; /* 1, 2, 3 … */
    struct pool *pools;
    size_t pool_count;
    struct route *route;
    /* By the listener's index in the configuration. */
    size_t listen_count;
    struct tls_context **listen_tls; /* NULL: plain. Taken from the registry */
    struct snapshot_peers *listen_peers;
    /* By the pool's index; the pools' settings borrow them. */
    struct tls_context **pool_tls; /* NULL: plain. Taken from the registry */
    struct secret **pool_auth;     /* NULL: no authentication */
    struct users *users;           /* NULL: there are no passwords */
    struct access *access;         /* never NULL; without rules it allows everything */
    unsigned holders;              /* workers that have not given it back; control thread */
};

/*
 * Takes the configuration over if it is good. NULL with *error_out, a text that is static or the registry's, until the
 * next snapshot. Where nothing is refused, the registry's TLS contexts have read their files again.
 */
struct snapshot *snapshot_try(struct config **config, struct registry *registry, uint64_t generation,
                              const char **error_out);
/* The same; takes the configuration over also on failure. */
struct snapshot *snapshot_create(struct config **config, struct registry *registry, uint64_t generation,
                                 const char **error_out);
void snapshot_destroy(struct snapshot **snapshot, struct registry *registry);

/* Makes the pools' healths follow this snapshot's settings and membership: when it is put into force. */
void snapshot_apply_health(const struct snapshot *snapshot);

/*
 * Adds an error for each pool whose ring cannot be built, at the pool's place, and for each file and password that
 * cannot be used, where it is named; want of memory, if there is none. For when snapshot_try has refused a configuration
 * over that registry.
 */
void snapshot_explain_refusal(const struct config *config, const struct registry *registry,
                              struct config_errors *errors);

/* The user that a process of that system user is at that listener; NULL: none. */
const char *snapshot_peer_user(const struct snapshot *snapshot, size_t listen, uid_t uid);

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
