/*
 * What outlives a configuration: servers, pools' healths, the counters of route nodes, and TLS contexts. So what stands
 * in the old and the new configuration keeps its connections, health, counters and TLS sessions. Control thread only.
 */
#ifndef RINGSIDE_CONFIG_REGISTRY_H
#define RINGSIDE_CONFIG_REGISTRY_H

#include "pool/health.h"
#include "pool/server.h"
#include "routing/route.h"
#include "tls/context.h"

#include <stdbool.h>
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

struct registry_tls {
    struct tls_context *context; /* the registry's reference */
    size_t holders;              /* snapshots' listeners and pools that took it */
    bool again;                  /* it was taken again since the last registry_tls_refresh */
};

/* Room for what snapshot_try says. */
#define REGISTRY_REFUSAL_MAX 1024

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
    struct registry_tls *tls; /* in no order */
    size_t tls_count;
    /* No certificate, no file of users and no password is read: snapshots are for looking at routes, not for serving. */
    bool is_for_routes;
    char refusal[REGISTRY_REFUSAL_MAX]; /* why the last snapshot was refused, where no static text says it */
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

/*
 * The TLS context of that spec, made if there is none. An existing one stays as it is for now; but its files are read
 * and judged, so that NULL means the same in both cases: see tls_context_create_server.
 */
struct tls_context *registry_tls_server(struct registry *registry, const struct tls_server_spec *spec,
                                        char error_out[TLS_ERROR_MAX], const char **error_field_out);
struct tls_context *registry_tls_client(struct registry *registry, const struct tls_client_spec *spec,
                                        char error_out[TLS_ERROR_MAX], const char **error_field_out);
/*
 * Lets the contexts that were taken again have what their files hold now: when nothing else can refuse the
 * configuration. false with the sentence when a file has turned bad in between.
 */
bool registry_tls_refresh(struct registry *registry, char error_out[TLS_ERROR_MAX]);
/* Gives it back; the last one drops the registry's reference. Clears the pointer, which may be NULL. */
void registry_tls_give(struct registry *registry, struct tls_context **context);

#endif
