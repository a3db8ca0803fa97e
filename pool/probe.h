/*
 * Probes servers that are down, from the control thread: connect, ask what homecoming.h wants to know, and, if the answers are
 * good, say that the server is up. No client's request is ever a probe.
 *
 *      waiting (jittered, doubling pause) -> resolving -> connecting -> asking -> up, or waiting again
 */
#ifndef RINGSIDE_POOL_PROBE_H
#define RINGSIDE_POOL_PROBE_H

#include "event/mailbox.h"
#include "pool/resolve.h"
#include "pool/server.h"

struct prober {
    struct loop *loop;
    struct mailbox *mailbox;
    struct resolver *resolver;
    struct list probes;
};

void prober_init(struct prober *prober, struct loop *loop, struct mailbox *mailbox, struct resolver *resolver);
void prober_fini(struct prober *prober);

/* Starts probing the server until it is up. Loop's thread. Nothing happens if it is being probed already. */
void prober_watch(struct prober *prober, struct server *server);
/* Ends that; the server may be destroyed after. */
void prober_forget(struct prober *prober, struct server *server);
/* health_create's on_down, with the prober as context: any thread. */
void prober_on_down(void *prober, struct server *server);

#endif
