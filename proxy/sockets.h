/*
 * Listening sockets: one for each worker and address, opened before any of them is used, so that a reload either gets
 * all of them or changes nothing.
 */
#ifndef RINGSIDE_PROXY_SOCKETS_H
#define RINGSIDE_PROXY_SOCKETS_H

#include "base/text.h"
#include "config/model.h"

#include <stdbool.h>

/*
 * Opens `count` sockets that share the address. 0 and fds_out filled in; -1 with a sentence in *error_out (what, where,
 * what to do). A Unix socket left behind by a process that has ended is replaced; one that is in use is an error.
 * bound_out: the address really bound, as text (a port of 0 is chosen by the kernel); may be NULL.
 */
int sockets_open(const struct config_listen *config, int *fds_out, unsigned count, struct text *bound_out,
                 struct text *error_out);

/*
 * Gives a Unix socket's file to a user; nothing for others. To be called as root, on what sockets_open has opened. 0, or
 * -1 with a sentence in *error_out.
 */
int sockets_give(const struct config_listen *config, uid_t uid, gid_t gid, struct text *error_out);

/* Removes a Unix socket's file; nothing for others. */
void sockets_remove(const struct config_listen *config);

#endif
