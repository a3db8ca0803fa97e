/* A listening socket of one worker. */
#ifndef RINGSIDE_PROXY_LISTENER_H
#define RINGSIDE_PROXY_LISTENER_H

#include "base/list.h"
#include "config/model.h"
#include "event/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct snapshot;
struct tls_context;

struct listener {
    struct list node; /* in worker->listeners while it accepts */
    struct worker *worker;
    char *label;
    int fd;
    struct event *acceptable;
    struct wheel_timer retry; /* accepting again after the descriptors ran out */
    uint32_t denied;          /* bit n: the command with enum verb value n */
    struct tls_context *tls;  /* a reference; NULL: in the clear */
    enum config_auth auth;
    size_t index;        /* among the listeners of the configuration of that generation */
    uint64_t generation; /* another one than that in force: the configuration no longer has it */
    bool is_unix;
    uint32_t refs; /* its clients, and 1 while it accepts */
};

/* Takes over fd, a listening, non-blocking socket, and accepts on it. NULL when memory is out (fd is then closed). */
struct listener *listener_create(struct worker *worker, int fd, const char *label);
/* Stops accepting; it is freed with its last client. */
void listener_close(struct listener *listener);
void listener_unref(struct listener **listener);
/* What a configuration says of this listener, its index-th. */
void listener_configure(struct listener *listener, const struct snapshot *snapshot, size_t index);

#endif
