/*
 * What outlives a configuration: servers, pools' healths, and the counters of route nodes. So what stands in the old
 * and the new configuration keeps its connections, health and counters. Control thread only.
 */
#ifndef RINGSIDE_CONFIG_REGISTRY_H
#define RINGSIDE_CONFIG_REGISTRY_H

#include "pool/health.h"
#include "pool/server.h"
#include "routing/route.h"

#include <stddef.h>
#include <stdint.h>

/* A server's place in the table of identities. */
struct registry_link {
    uint64_t hash; /* of the identity */
    size_t next;   /* slot of the next server in the same bucket */
};

struct registry_route {
    char *path;
    struct route_counters counters;
};

struct registry {
    struct server **servers;     /* by slot; NULL: free */
    size_t slot_count;           /* a power of two, or 0 */
    size_t free_from;            /* no slot below it is free */
    struct registry_link *links; /* by slot */
    size_t *buckets;             /* slot_count of them: the first slot by hash */
    struct health **healths;     /* sorted by the pool's name */
    size_t health_count;
    struct registry_route **routes; /* sorted by path */
    size_t route_count;
    unsigned worker_count;
    void (*on_down)(void *context, struct server *server);
    void (*on_gone)(void *context, struct server *server); /* right before a server is destroyed */
    void *context;
};

void registry_init(struct registry *registry, unsigned worker_count,
                   void (*on_down)(void *context, struct server *server),
                   void (*on_gone)(void *context, struct server *server), void *context);
void registry_fini(struct registry *registry);

/* The pool's health; made if there is none. Lives as long as the registry. NULL when memory is out. */
struct health *registry_health(struct registry *registry, const char *pool);
/* The server of that identity, with a new reference; made if there is none. NULL when memory is out. */
struct server *registry_take(struct registry *registry, const struct server_identity *identity);
/* Gives the reference back; the last one destroys the server. */
void registry_give(struct registry *registry, struct server **server);
/*
 * The counters of the node at that path of the route; made if there are none. Live as long as the registry. There is
 * one for each worker, and one behind them, of index worker_count, for route_workers that only compare. NULL when
 * memory is out. It is a route_counters_fn, whose context is the registry.
 */
struct route_counters *registry_route(void *registry, const char *path);

#endif
