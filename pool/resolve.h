/*
 * Looks host names up off the event loops: one thread, one job at a time, answers by mail.
 */
#ifndef RINGSIDE_POOL_RESOLVE_H
#define RINGSIDE_POOL_RESOLVE_H

#include "event/mailbox.h"
#include "pool/server.h"

struct resolver;

/* One look-up. Belongs to the resolver from resolver_submit until on_resolved, and to the receiver's thread after. */
struct resolve_job {
    struct mail mail;
    struct list node;
    struct mailbox *reply_to;
    char *host;
    uint16_t port;
    /* Called in the thread of reply_to; must free the job with resolve_job_destroy. */
    void (*on_resolved)(struct resolve_job *job);
    void *owner; /* the receiver's; it may set it to NULL when it no longer waits */
    struct server_address addresses[SERVER_ADDRESSES_MAX];
    uint32_t address_count; /* 0: failed */
    const char *error;      /* why, static text */
};

/* NULL with errno. */
struct resolver *resolver_create(void);
/*
 * Ends the thread. If it is in the middle of a look-up, which cannot be interrupted, it is left behind with its memory:
 * only for the end of the process.
 */
void resolver_destroy(struct resolver **resolver);

/* NULL when memory is out. host is copied. */
struct resolve_job *resolve_job_create(const char *host, uint16_t port, struct mailbox *reply_to,
                                       void (*on_resolved)(struct resolve_job *job), void *owner);
void resolve_job_destroy(struct resolve_job **job);
/* Thread-safe. */
void resolver_submit(struct resolver *resolver, struct resolve_job *job);

#endif
