/*
 * All servers and pools' healths that any configuration in use names: so that what stands in the old and the new
 * configuration keeps its connections, health and counters. Control thread only.
 */
#ifndef RINGSIDE_CONFIG_REGISTRY_H
#define RINGSIDE_CONFIG_REGISTRY_H

#include "pool/health.h"
#include "pool/server.h"

#include <stddef.h>

struct registry {
    struct server **servers; /* by slot; NULL: free */
    size_t slot_count;
    struct health **healths;
    size_t health_count;
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

#endif
