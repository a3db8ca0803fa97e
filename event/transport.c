/*
 * Owns the descriptor and its two libevent events, and moves bytes over plain sockets. What the bytes mean, and when to
 * give up, is its users' affair.
 */
#include "event/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

/* Vectors in one write; the kernel's own limit is 1024. */
#define VECTORS_MAX 128

static ssize_t plain_read(struct transport *transport, char *buffer, size_t capacity)
{
    ssize_t n = recv(transport->fd, buffer, capacity, 0);
    if (n > 0)
        return n;
    if (n == 0)
        return TRANSPORT_EOF;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? TRANSPORT_AGAIN : TRANSPORT_ERROR;
}

static ssize_t plain_write(struct transport *transport, const struct iovec *vectors, int count)
{
    ssize_t n;
    if (count == 1) {
        n = send(transport->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL);
    } else {
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vectors, .msg_iovlen = (size_t)count};
        n = sendmsg(transport->fd, &message, MSG_NOSIGNAL);
    }
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? TRANSPORT_AGAIN : TRANSPORT_ERROR;
}

static void plain_end_writing(struct transport *transport)
{
    (void)shutdown(transport->fd, SHUT_WR);
}

static const char *plain_problem(const struct transport *transport)
{
    (void)transport;
    return NULL;
}

static void plain_close(struct transport *transport)
{
    close(transport->fd);
}

const struct transport_methods transport_plain = {
    .name = "plain",
    .read = plain_read,
    .write = plain_write,
    .connect_result = transport_socket_error,
    .end_writing = plain_end_writing,
    .problem = plain_problem,
    .close = plain_close,
};

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct transport *transport = context;
    /* As with a socket: it stays readable until it is read. */
    transport_nudge(transport);
    transport->on_ready(transport, TRANSPORT_READABLE);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct transport *transport = context;
    transport->on_ready(transport, TRANSPORT_WRITABLE);
}

/* Between two turns: an event that is made active while events run would run in the same turn, before all others' flushes. */
static void on_nudge(struct loop_task *task)
{
    struct transport *transport = list_entry(task, struct transport, nudge);
    struct transport *bottom = transport->base != NULL ? transport->base : transport;
    if (transport->buffered && transport->armed & TRANSPORT_READABLE)
        event_active(&bottom->readable, EV_READ, 0);
}

void transport_init(struct transport *transport, void (*on_ready)(struct transport *transport, unsigned ready))
{
    transport->methods = &transport_plain;
    transport->fd = -1;
    transport->wanted = 0;
    transport->armed = 0;
    transport->opening = false;
    transport->buffered = false;
    transport->unreported = 0;
    transport->stream = NULL;
    transport->base = NULL;
    transport->loop = NULL;
    loop_task_init(&transport->nudge, on_nudge);
    transport->on_ready = on_ready;
}

void transport_open(struct transport *transport, struct loop *loop, const struct transport_methods *methods, int fd)
{
    assert(transport->fd < 0);
    transport->methods = methods;
    transport->fd = fd;
    transport->wanted = 0;
    transport->armed = 0;
    transport->opening = false;
    transport->buffered = false;
    transport->unreported = 0;
    transport->base = NULL;
    transport->loop = loop;
    event_assign(&transport->readable, loop->base, fd, EV_READ | EV_PERSIST, on_readable, transport);
    event_assign(&transport->writable, loop->base, fd, EV_WRITE | EV_PERSIST, on_writable, transport);
}

void transport_open_on(struct transport *transport, const struct transport_methods *methods, struct transport *base)
{
    assert(transport->fd < 0);
    transport->methods = methods;
    transport->fd = base->fd;
    transport->wanted = 0;
    transport->armed = 0;
    transport->opening = false;
    transport->buffered = false;
    transport->unreported = 0;
    transport->base = base;
    transport->loop = base->loop;
}

void transport_base_is_ready(struct transport *transport, unsigned ready)
{
    if (ready & TRANSPORT_READABLE)
        transport_nudge(transport);
    transport->on_ready(transport, ready);
}

void transport_close(struct transport *transport)
{
    if (transport->fd < 0)
        return;
    transport_arm(transport, 0);
    loop_task_cancel(&transport->nudge);
    transport->wanted = 0;
    transport->buffered = false;
    transport->methods->close(transport);
    transport->base = NULL;
    transport->methods = &transport_plain;
    transport->fd = -1;
}

/* `armed` is true to what libevent has at any time: what fails half-way can still be closed. */
static int switch_event(struct transport *transport, struct event *event, unsigned bit, unsigned events)
{
    if ((transport->armed & bit) == (events & bit))
        return 0;
    int result = events & bit ? event_add(event, NULL) : event_del(event);
    if (result == 0)
        transport->armed ^= bit;
    return result;
}

int transport_arm(struct transport *transport, unsigned events)
{
    if (transport->base != NULL) {
        transport->armed = events;
        return transport_want(transport->base, events);
    }
    int readable = switch_event(transport, &transport->readable, TRANSPORT_READABLE, events);
    int writable = switch_event(transport, &transport->writable, TRANSPORT_WRITABLE, events);
    return readable != 0 || writable != 0 ? -1 : 0;
}

void transport_nudge(struct transport *transport)
{
    if (transport->buffered && transport->armed & TRANSPORT_READABLE)
        loop_defer(transport->loop, &transport->nudge, LOOP_PHASE_RESUME);
}

int transport_want(struct transport *transport, unsigned wanted)
{
    transport->wanted = wanted;
    if (transport->opening || transport->armed == wanted)
        return 0;
    if (transport_arm(transport, wanted) != 0)
        return -1;
    transport_nudge(transport);
    return 0;
}

/* Shortens the vectors to max bytes in all; returns how many are left. */
static int cut_vectors(struct iovec *vectors, int count, size_t max)
{
    int i = 0;
    while (i < count && vectors[i].iov_len < max)
        max -= vectors[i++].iov_len;
    if (i == count)
        return count;
    vectors[i].iov_len = max;
    return max > 0 ? i + 1 : i;
}

ssize_t transport_write_chain(struct transport *transport, struct chain *chain, struct memory *memory, size_t max)
{
    struct iovec vectors[VECTORS_MAX];
    int count = chain_vectors(chain, vectors, VECTORS_MAX);
    if (max < chain->bytes)
        count = cut_vectors(vectors, count, max);
    ssize_t n = transport->methods->write(transport, vectors, count);
    if (n > 0)
        chain_consume(chain, memory, (size_t)n);
    return n;
}

int transport_connect_socket(const struct sockaddr *address, socklen_t address_len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (address->sa_family != AF_UNIX) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    if (connect(fd, address, address_len) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int transport_socket_error(const struct transport *transport)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(transport->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        return errno;
    return error;
}
