/*
 * Ciphertext that a socket has not taken yet. It takes memory only while there is some.
 *
 *      data: | sent | start ... end | room |
 */
#ifndef RINGSIDE_TLS_HELD_H
#define RINGSIDE_TLS_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* More than a write makes. A peer that makes us answer it, and takes no answers, comes here: KeyUpdate, for instance. */
#define HELD_MAX ((size_t)256 << 10)

/* Zero: nothing is held. */
struct held {
    char *data;
    size_t start, end, room;
};

static inline bool held_is_empty(const struct held *held)
{
    return held->start == held->end;
}

/* Keeps a copy. 0, or -1 with errno (ENOMEM; ENOBUFS: more than HELD_MAX). */
int held_append(struct held *held, const char *data, size_t len);
/* Sends what the socket takes. 0, also when some of it is left; -1 with errno. */
int held_send(struct held *held, int fd);
void held_fini(struct held *held);

/* send(2) to a socket, without signals: bytes sent, 0 when it takes nothing now, -1 with errno. */
ssize_t held_send_now(int fd, const char *data, size_t len);

#endif
