/*
 * Owns a listening socket and turns what arrives there into clients, as long as there are descriptors and limits.clients
 * allows. Opening the socket is sockets.c's affair: all workers' sockets are opened before any is used.
 */
#include "proxy/listener.h"

#include "base/log.h"
#include "config/snapshot.h"
#include "proxy/client.h"
#include "proxy/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections accepted in one turn. */
#define ACCEPT_BATCH 64
/* Pause after the descriptors, or the memory, ran out. */
#define RETRY_MS 100

/* Closes it with a word on why. Where TLS is spoken that can only be an alert: fatal, internal_error (RFC 8446, 6.2). */
static void send_away(const struct listener *listener, int fd)
{
    struct slice word = SLICE_OF("SERVER_ERROR too many connections\r\n");
    if (listener->tls != NULL)
        word = SLICE_OF("\x15\x03\x03\0\2\2\x50");
    ssize_t n = send(fd, word.data, word.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    /* What has come already would turn the close into a reset, and the word might be lost. */
    char unread[4096];
    while (n > 0)
        n = recv(fd, unread, sizeof unread, MSG_DONTWAIT);
    close(fd);
}

static void set_options(const struct listener *listener, int fd)
{
    if (listener->is_unix)
        return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

/* Whether the worker's share of limits.handshakes has room for one more. */
static bool may_shake(const struct worker *worker)
{
    uint32_t share = worker->current->snapshot->config->limits.handshakes / worker->fleet->count;
    return worker->handshakes < (share > 0 ? share : 1);
}

static void take(struct listener *listener, int fd)
{
    struct worker *worker = listener->worker;
    struct fleet *fleet = worker->fleet;
    uint32_t limit = worker->current->snapshot->config->limits.clients;
    if (atomic_fetch_add_explicit(&fleet->clients, 1, memory_order_relaxed) >= limit) {
        atomic_fetch_sub_explicit(&fleet->clients, 1, memory_order_relaxed);
        counter_add(&worker->stats.clients_refused, 1);
        send_away(listener, fd);
        return;
    }
    if (listener->tls != NULL && !may_shake(worker)) {
        atomic_fetch_sub_explicit(&fleet->clients, 1, memory_order_relaxed);
        counter_add(&worker->stats.handshakes_refused, 1);
        send_away(listener, fd);
        return;
    }
    set_options(listener, fd);
    if (client_create(worker, listener, fd) == NULL)
        counter_add(&worker->stats.accept_failures, 1);
}

/* Out of descriptors or memory: the waiting connections stay in the kernel's queue for a while. */
static void rest(struct listener *listener, int error)
{
    struct worker *worker = listener->worker;
    counter_add(&worker->stats.accept_failures, 1);
    log_warning(
        "accept_failed",
        "listener %s: a connection cannot be accepted: %s; the next try is in %d ms: raise the limit of open files "
        "(ulimit -n, LimitNOFILE=) or lower limits.clients",
        listener->label, strerrordesc_np(error), RETRY_MS);
    event_del(listener->acceptable);
    loop_arm(&worker->loop, &listener->retry, RETRY_MS);
}

static void on_retry(struct wheel_timer *timer)
{
    struct listener *listener = list_entry(timer, struct listener, retry);
    event_add(listener->acceptable, NULL);
}

static void on_acceptable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct listener *listener = context;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            take(listener, accepted);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            rest(listener, errno);
        /* All else is nothing to accept any more, or a connection that has gone again. */
        return;
    }
}

static bool is_unix_socket(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX;
}

struct listener *listener_create(struct worker *worker, int fd, const char *label)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        close(fd);
        return NULL;
    }
    list_init(&listener->node);
    listener->worker = worker;
    listener->fd = fd;
    listener->refs = 1;
    listener->is_unix = is_unix_socket(fd);
    wheel_timer_init(&listener->retry, on_retry);
    listener->label = strdup(label);
    listener->acceptable = event_new(worker->loop.base, fd, EV_READ | EV_PERSIST, on_acceptable, listener);
    list_push_back(&worker->listeners, &listener->node);
    if (listener->label == NULL || listener->acceptable == NULL || event_add(listener->acceptable, NULL) != 0) {
        listener_close(listener);
        return NULL;
    }
    return listener;
}

void listener_close(struct listener *listener)
{
    if (listener->fd < 0)
        return;
    list_unlink(&listener->node);
    loop_disarm(&listener->worker->loop, &listener->retry);
    if (listener->acceptable != NULL)
        event_free(listener->acceptable);
    listener->acceptable = NULL;
    close(listener->fd);
    listener->fd = -1;
    listener_unref(&listener);
}

void listener_unref(struct listener **listener)
{
    struct listener *l = *listener;
    *listener = NULL;
    if (--l->refs > 0)
        return;
    tls_context_unref(&l->tls);
    free(l->label);
    free(l);
}

void listener_configure(struct listener *listener, const struct snapshot *snapshot, size_t index)
{
    const struct config_listen *config = &snapshot->config->listens[index];
    listener->denied = 0;
    for (size_t i = 0; i < config->deny_count; i++)
        listener->denied |= UINT32_C(1) << config->deny[i];
    struct tls_context *tls = snapshot->listen_tls[index];
    tls_context_unref(&listener->tls);
    listener->tls = tls != NULL ? tls_context_ref(tls) : NULL;
    listener->auth = config->auth;
    listener->index = index;
    listener->generation = snapshot->generation;
}
