/* What is to be said of certificates, and seen to, while they are in use. Control thread. */
#ifndef RINGSIDE_PROXY_CERTIFICATES_H
#define RINGSIDE_PROXY_CERTIFICATES_H

#include "config/registry.h"
#include "config/snapshot.h"

/* Logs what an operator should know of a configuration that comes into force: nothing verified, or soon to expire. */
void certificates_warn(const struct snapshot *snapshot);
/*
 * Reads again the files that have changed: connections opened from now on take what is new. A file that is wrong is told of once,
 * and what was read before goes on.
 */
void certificates_follow(struct registry *registry);

#endif
