/*
 * Owns the queue of letters between their posting and their delivery: a list under a mutex, and an eventfd that wakes
 * the loop. It knows nothing of their content.
 */
#include "event/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mailbox_deliver(struct mailbox *mailbox)
{
    struct list letters;
    list_init(&letters);
    pthread_mutex_lock(&mailbox->lock);
    list_splice_back(&letters, &mailbox->letters);
    pthread_mutex_unlock(&mailbox->lock);
    struct list *node;
    while ((node = list_pop_front(&letters)) != NULL) {
        struct mail *mail = list_entry(node, struct mail, node);
        mail->deliver(mail);
    }
}

static void on_mail(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    mailbox_deliver(context);
}

int mailbox_init(struct mailbox *mailbox, struct loop *loop)
{
    list_init(&mailbox->letters);
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->fd < 0)
        goto failed_lock;
    mailbox->readable = event_new(loop->base, mailbox->fd, EV_READ | EV_PERSIST, on_mail, mailbox);
    if (mailbox->readable == NULL || event_add(mailbox->readable, NULL) != 0) {
        errno = ENOMEM;
        goto failed_fd;
    }
    return 0;

failed_fd:
    if (mailbox->readable != NULL)
        event_free(mailbox->readable);
    close(mailbox->fd);
failed_lock:
    pthread_mutex_destroy(&mailbox->lock);
    return -1;
}

void mailbox_fini(struct mailbox *mailbox)
{
    mailbox_deliver(mailbox);
    event_free(mailbox->readable);
    close(mailbox->fd);
    pthread_mutex_destroy(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    list_init(&mail->node);
    pthread_mutex_lock(&mailbox->lock);
    list_push_back(&mailbox->letters, &mail->node);
    pthread_mutex_unlock(&mailbox->lock);
    /* The counter cannot overflow: a write fails only when it is 2^64 - 2 already, and then the loop is awake. */
    uint64_t one = 1;
    ssize_t n = write(mailbox->fd, &one, sizeof one);
    (void)n;
}
