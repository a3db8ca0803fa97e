/*
 * A slot: makes requests, sends and receives, opens and closes, and goes from state to state (see pump.h). What came in
 * is given to the judge.
 */
#include "pump.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define OUT_WATERMARK (256 * 1024)

static int epoll_fd;

/* ---- the rings; the two entries beyond the depth are for the tokens ---- */

size_t op_ring(void)
{
    return (size_t)opt.depth + 2;
}

size_t expect_ring(void)
{
    return op_ring() * opt.multi;
}

struct expect *next_expect(const struct slot *slot)
{
    return &slot->expects[slot->expect_head];
}

void pass_expect(struct slot *slot, struct op *op)
{
    slot->expect_head = (slot->expect_head + 1) % expect_ring();
    slot->expect_count--;
    op->keys_passed++;
}

void finish_op(struct slot *slot, struct op *op)
{
    while (op->keys_passed < op->keys)
        pass_expect(slot, op);
    total.replies++;
    total.tokens += op->kind == KIND_TOKEN_GET;
    slot->op_head = (slot->op_head + 1) % op_ring();
    slot->op_count--;
}

/* ---- making requests ---- */

static struct op *push_op(struct slot *slot, enum kind kind)
{
    static uint32_t serial;
    struct op *op = &slot->ops[(slot->op_head + slot->op_count++) % op_ring()];
    *op = (struct op){.kind = kind, .opaque = ++serial & 0xffffff};
    return op;
}

static void push_expect(struct slot *slot, struct op *op, uint32_t key)
{
    size_t at = (slot->expect_head + slot->expect_count++) % expect_ring();
    slot->expects[at] = (struct expect){.key = key, .seq = slot->keys[key].seq};
    op->keys++;
}

static uint32_t new_seq(struct slot *slot, uint32_t key)
{
    struct key_state *state = &slot->keys[key];
    return state->seq = ++state->last;
}

static char *put_set(char *at, struct slot *slot, uint32_t key, bool quiet)
{
    uint32_t seq = new_seq(slot, key);
    at = put_key(PUT(at, "set "), slot, key);
    *at++ = ' ';
    at = PUT(put_number(at, seq & 0xffff), " 0 ");
    at = put_number(at, value_len(slot, key, seq));
    at = quiet ? PUT(at, " noreply\r\n") : PUT(at, "\r\n");
    return PUT(put_value(at, slot, key, seq), "\r\n");
}

static char *put_ms(char *at, struct slot *slot, uint32_t key, uint32_t opaque)
{
    uint32_t seq = new_seq(slot, key);
    at = put_key(PUT(at, "ms "), slot, key);
    *at++ = ' ';
    at = PUT(put_number(at, value_len(slot, key, seq)), " T0 O");
    at = PUT(put_number(at, opaque), " k F");
    at = PUT(put_number(at, seq & 0xffff), "\r\n");
    return PUT(put_value(at, slot, key, seq), "\r\n");
}

static char *put_keys(char *at, struct slot *slot, struct op *op, uint32_t count)
{
    at = PUT(at, "get");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = below(opt.keys);
        *at++ = ' ';
        at = put_key(at, slot, key);
        push_expect(slot, op, key);
    }
    return PUT(at, "\r\n");
}

static char *put_keyed(char *at, struct slot *slot, enum kind kind, uint32_t key)
{
    struct op *op = push_op(slot, kind);
    push_expect(slot, op, key);
    switch (kind) {
    case KIND_DELETE:
        slot->keys[key].seq = 0;
        return PUT(put_key(PUT(at, "delete "), slot, key), "\r\n");
    case KIND_TOUCH:
        return PUT(put_key(PUT(at, "touch "), slot, key), " 0\r\n");
    case KIND_MG:
        at = PUT(put_key(PUT(at, "mg "), slot, key), " v k f O");
        return PUT(put_number(at, op->opaque), "\r\n");
    case KIND_MS:
        return put_ms(at, slot, key, op->opaque);
    case KIND_TOKEN_GET:
        return PUT(put_key(PUT(at, "get "), slot, key), "\r\n");
    default:
        return put_set(at, slot, key, false);
    }
}

static void request(struct slot *slot, enum kind kind)
{
    char *start = buffer_reserve(&slot->out, 2 * opt.value_max + 512 + (size_t)opt.multi * 300);
    char *at = start;
    uint32_t key = kind >= KIND_TOKEN_SET ? opt.keys : below(opt.keys);
    total.requests++;
    slot->sent_in_life++;
    if (kind == KIND_GET || kind == KIND_MULTI)
        at = put_keys(at, slot, push_op(slot, kind), kind == KIND_GET ? 1 : 1 + below(opt.multi));
    else if (kind == KIND_QUIET_SET)
        at = put_set(at, slot, key, true);
    else if (kind == KIND_VERSION)
        at = (push_op(slot, kind), PUT(at, "version\r\n"));
    else
        at = put_keyed(at, slot, kind, key);
    slot->out.end += (size_t)(at - start);
}

static enum kind pick_kind(void)
{
    uint32_t draw = below(opt.weight_sum);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (draw < opt.weights[kind])
            return (enum kind)kind;
        draw -= opt.weights[kind];
    }
    return KIND_GET;
}

/* ---- connections ---- */

static void watch(struct slot *slot, bool write, int how)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = slot};
    slot->wants_write = write;
    if (epoll_ctl(epoll_fd, how, slot->fd, &event))
        die("epoll_ctl");
}

/* Several source addresses, so that many short connections do not use up the ports. */
static void bind_somewhere(int fd)
{
    static uint32_t count;
    int one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + ++count % 200);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
        die("bind");
}

void slot_open(struct slot *slot, int epoll)
{
    int one = 1;
    epoll_fd = epoll;
    slot->fd = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot->fd < 0)
        die("socket");
    if (opt.address.ss_family == AF_INET && opt.lifetime)
        bind_somewhere(slot->fd);
    if (opt.address.ss_family != AF_UNIX)
        setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(slot->fd, (struct sockaddr *)&opt.address, opt.address_len) && errno != EINPROGRESS)
        die("connect");
    total.connects++;
    slot->state = SLOT_CONNECTING;
    slot->progress_ms = now_ms;
    slot->sent_in_life = 0;
    slot->life = opt.lifetime ? 1 + below((uint32_t)opt.lifetime * 2) : UINT64_MAX;
    watch(slot, true, EPOLL_CTL_ADD);
}

void slot_close(struct slot *slot, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(slot->fd);
    slot->fd = -1;
    slot->state = SLOT_DONE;
    slot->op_head = slot->op_count = slot->expect_head = slot->expect_count = 0;
    slot->in.start = slot->in.end = slot->out.start = slot->out.end = 0;
}

/* A new connection in the same slot: new keys too, for what became of the last requests is not known. */
static void slot_renew(struct slot *slot)
{
    slot->generation++;
    memset(slot->keys, 0, (opt.keys + 1) * sizeof(*slot->keys));
    slot_open(slot, epoll_fd);
}

static void slot_broken(struct slot *slot, const char *why)
{
    total.closed++;
    if (!opt.closes && total.closed <= 20)
        fprintf(stderr, "pump: slot %" PRIu32 ": the connection broke with %zu replies due: %s\n", slot->index,
                slot->op_count, why);
    slot_close(slot, false);
    if (opt.closes && !ending)
        slot_renew(slot);
}

/* What is queued goes out with half a request after it, and the connection is torn down over the replies still due. */
static void slot_vanish(struct slot *slot)
{
    char *at = buffer_reserve(&slot->out, 128);
    size_t len = (size_t)(PUT(put_key(PUT(at, "set "), slot, 0), " 0 0 100\r\nhalf") - at);
    slot->out.end += 1 + below((uint32_t)len);
    if (send(slot->fd, slot->out.data + slot->out.start, slot->out.end - slot->out.start, MSG_NOSIGNAL) < 0 &&
        errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
        die("send");
    slot_close(slot, true);
}

static void slot_fill(struct slot *slot)
{
    while (slot->state == SLOT_RUNNING && slot->op_count < opt.depth &&
           slot->out.end - slot->out.start < OUT_WATERMARK) {
        if (ending || slot->sent_in_life >= slot->life || (opt.requests && total.requests >= opt.requests)) {
            slot->state = SLOT_DRAINING;
            break;
        }
        request(slot, pick_kind());
    }
}

static bool slot_flush(struct slot *slot)
{
    size_t len = slot->out.end - slot->out.start;
    ssize_t n = len ? send(slot->fd, slot->out.data + slot->out.start, len, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) {
        slot_broken(slot, strerror(errno));
        return false;
    }
    if (n > 0) {
        slot->out.start += (size_t)n;
        total.sent_bytes += (uint64_t)n;
    }
    bool write = slot->out.start != slot->out.end;
    if (write != slot->wants_write)
        watch(slot, write, EPOLL_CTL_MOD);
    return true;
}

/* With all replies in: on to the next connection, or to the token, or to the end. */
static void slot_advance(struct slot *slot)
{
    if (slot->op_count || slot->out.start != slot->out.end)
        return;
    if (slot->state == SLOT_TOKEN) {
        slot_close(slot, false);
    } else if (slot->state == SLOT_DRAINING && ending) {
        slot->state = SLOT_TOKEN;
        request(slot, KIND_TOKEN_SET);
        request(slot, KIND_TOKEN_GET);
        slot_flush(slot);
    } else if (slot->state == SLOT_DRAINING && slot->sent_in_life >= slot->life) {
        slot_close(slot, false);
        slot_renew(slot);
    }
}

void slot_work(struct slot *slot)
{
    if (slot->state == SLOT_RUNNING && slot->sent_in_life >= slot->life && below(100) < opt.rude_percent && !ending) {
        slot_vanish(slot);
        slot_renew(slot);
        return;
    }
    slot_fill(slot);
    if (!slot_flush(slot))
        return;
    slot_advance(slot);
}

static void slot_readable(struct slot *slot)
{
    char *at = buffer_reserve(&slot->in, 64 * 1024);
    ssize_t n = recv(slot->fd, at, slot->in.capacity - slot->in.end, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        slot_broken(slot, n ? strerror(errno) : "closed by the peer");
        return;
    }
    slot->in.end += (size_t)n;
    slot->progress_ms = now_ms;
    total.received_bytes += (uint64_t)n;
    enum verdict verdict = VERDICT_DONE;
    while (verdict == VERDICT_DONE || verdict == VERDICT_UNIT) {
        if (slot->in.start == slot->in.end)
            break;
        verdict = judge_next(slot);
    }
    if (verdict == VERDICT_WRONG)
        slot_close(slot, true);
    else
        slot_work(slot);
}

void slot_event(struct slot *slot, uint32_t events)
{
    if (slot->fd < 0)
        return;
    if (slot->state == SLOT_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            slot_broken(slot, strerror(error));
            return;
        }
        slot->state = SLOT_RUNNING;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        slot_readable(slot);
    else
        slot_work(slot);
}
