/*
 * A mailbox: how other threads speak to a loop. Any thread posts; the loop's thread delivers, in the order of posting,
 * between events. Not for the hot path.
 */
#ifndef RINGSIDE_EVENT_MAILBOX_H
#define RINGSIDE_EVENT_MAILBOX_H

#include "base/list.h"
#include "event/loop.h"

#include <pthread.h>

/* A letter, embedded in its content. deliver runs in the receiver's thread and owns the letter from then on. */
struct mail {
    struct list node;
    void (*deliver)(struct mail *mail);
};

struct mailbox {
    pthread_mutex_t lock;
    struct list letters;
    int fd; /* eventfd */
    struct event *readable;
};

/* 0, or -1 with errno. */
int mailbox_init(struct mailbox *mailbox, struct loop *loop);
/* Delivers what is there now. The loop does so by itself; for the time after it has ended. */
void mailbox_deliver(struct mailbox *mailbox);
/* Delivers what is still there. Nobody may post any more. */
void mailbox_fini(struct mailbox *mailbox);
/* Gives the letter away. Thread-safe; never fails. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

#endif
