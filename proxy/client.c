/*
 * Owns a client's socket, its unread bytes, and the order of its replies; see the picture in client.h.
 *
 *      on_ready -> read once -> step, step, ... (requests.c) -> settle
 *      turn's end: flush (one write, when a batch is answered; see CLIENT_CORK_BYTES)
 *
 * It takes no decision on a request: requests.c does. A client is freed in two places only: here on a socket error, and
 * in its flush at the turn's end.
 */
#include "proxy/client.h"

#include "base/log.h"
#include "proxy/exchange.h"
#include "proxy/requests.h"
#include "tls/transport.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct config_limits *limits(const struct client *client)
{
    return &client->worker->current->snapshot->config->limits;
}

/* ---- Time ---- */

/* Something is expected of the client: the rest of a request, or that it takes its replies. */
static bool is_owing(const struct client *client)
{
    if (client->transport.wanted & TRANSPORT_WRITABLE || tls_transport_is_opening(&client->transport))
        return true;
    return client->paused == 0 && !client->ended && (client->in.block != NULL || client->state != CLIENT_COMMAND);
}

/* How long it may stay as it is; 0: for ever. */
static uint32_t patience_ms(const struct client *client)
{
    if (client->lingering)
        return CLIENT_LINGER_MS;
    if (tls_transport_is_opening(&client->transport))
        return limits(client)->handshake_ms;
    if (is_owing(client))
        return limits(client)->stall_ms;
    return client->first == NULL ? limits(client)->idle_ms : 0;
}

/* When to look next, or UINT64_MAX. The end of a handshake is not told: it is looked whether the client is idle since. */
static uint64_t next_look_ms(const struct client *client)
{
    uint32_t ms = patience_ms(client), idle_ms = limits(client)->idle_ms;
    uint64_t due_ms = ms > 0 ? client->active_us / 1000 + ms : UINT64_MAX;
    if (!tls_transport_is_opening(&client->transport) || idle_ms == 0)
        return due_ms;
    uint64_t idle_due_ms = loop_now_ms(&client->worker->loop) + idle_ms;
    return idle_due_ms < due_ms ? idle_due_ms : due_ms;
}

/* Sees to it that the timer fires in time. It is left armed when the reason passes: on_due looks again. */
static void watch(struct client *client)
{
    uint64_t due_ms = next_look_ms(client);
    if (due_ms != UINT64_MAX && (!wheel_is_armed(&client->timer) || client->timer.due_ms > due_ms))
        wheel_arm(&client->worker->loop.wheel, &client->timer, due_ms);
}

static void on_due(struct wheel_timer *timer)
{
    struct client *client = list_entry(timer, struct client, timer);
    uint32_t ms = patience_ms(client);
    if (client->lingering) {
        client_close_soon(client);
    } else if (ms > 0 && loop_now_ms(&client->worker->loop) >= client->active_us / 1000 + ms) {
        bool stalled = is_owing(client);
        log_debug(stalled ? "client_stalled" : "client_idle", "a client of %s is closed after %u ms without progress",
                  client->listener->label, ms);
        counter_add(
            stalled ? &client->worker->stats.clients_stalled_closed : &client->worker->stats.clients_idle_closed, 1);
        client_close_soon(client);
    } else {
        watch(client);
    }
}

/* ---- Handshakes ---- */

static void handshake_begun(struct client *client)
{
    if (tls_transport_is_opening(&client->transport)) {
        client->shaking = true;
        client->worker->handshakes++;
    }
}

static void handshake_ended(struct client *client)
{
    if (client->shaking) {
        client->shaking = false;
        client->worker->handshakes--;
    }
}

/* From here on the client has the patience that others have. */
static void handshake_done(struct client *client)
{
    handshake_ended(client);
    client->active_us = loop_now_us(&client->worker->loop);
    loop_disarm(&client->worker->loop, &client->timer);
    watch(client);
}

/* ---- Writing ---- */

/* Whether the client is over: it asks for nothing more, and all is answered and written. */
static bool is_over(const struct client *client)
{
    return client->ended && client->first == NULL && chain_is_empty(&client->out);
}

/* With memory short, whoever lets many bytes lie is closed. */
static bool is_hoarding(const struct client *client)
{
    return client->out.bytes > CLIENT_OUT_HIGH && block_pool_is_short(&client->worker->memory.blocks);
}

/* The socket takes no more for now. */
static void on_blocked(struct client *client)
{
    if (is_hoarding(client)) {
        log_warning("client_memory",
                    "a client of %s is closed: it does not take its replies (%zu bytes wait), and memory "
                    "is short (limits.memory)",
                    client->listener->label, client->out.bytes);
        counter_add(&client->worker->stats.clients_memory_closed, 1);
        client->closing = true;
        return;
    }
    if (!chain_settle(&client->out, &client->worker->memory))
        client->closing = true;
    if (client->out.bytes > CLIENT_OUT_HIGH)
        client_pause(client, CLIENT_PAUSE_OUT);
    watch(client);
}

static void write_out(struct client *client)
{
    ssize_t n = transport_write_chain(&client->transport, &client->out, &client->worker->memory, SIZE_MAX);
    if (n == TRANSPORT_ERROR) {
        client->closing = true;
        return;
    }
    if (n > 0) {
        client->active_us = loop_now_us(&client->worker->loop);
        counter_add(&client->worker->stats.bytes_written, (uint64_t)n);
    }
    bool blocked = !chain_is_empty(&client->out);
    unsigned wanted = client->transport.wanted & TRANSPORT_READABLE;
    if (transport_want(&client->transport, wanted | (blocked ? TRANSPORT_WRITABLE : 0)) != 0)
        client->closing = true;
    if (blocked)
        on_blocked(client);
    if (client->out.bytes <= CLIENT_OUT_LOW) {
        client_unpause(client, CLIENT_PAUSE_OUT);
        client_release(client);
    }
}

/* Its last words are out: it is told so, and what it still sends is read and dropped. */
static void start_lingering(struct client *client)
{
    client->linger = false;
    client->lingering = true;
    client->active_us = loop_now_us(&client->worker->loop);
    transport_end_writing(&client->transport);
    if (transport_want(&client->transport, TRANSPORT_READABLE) != 0)
        client->closing = true;
    loop_disarm(&client->worker->loop, &client->timer);
    watch(client);
}

/* More of the batch is due at any moment, and can go in the same write. */
static bool is_worth_waiting(const struct client *client)
{
    return client->first != NULL && !client->batch_answered && client->out.bytes < CLIENT_CORK_BYTES &&
           !(client->transport.wanted & TRANSPORT_WRITABLE);
}

static void cork(struct client *client)
{
    struct worker *worker = client->worker;
    if (!list_is_linked(&client->corked))
        list_push_back(&worker->corked, &client->corked);
    if (!wheel_is_armed(&worker->uncork_timer))
        loop_arm(&worker->loop, &worker->uncork_timer, CLIENT_CORK_MS);
}

void clients_uncork(struct wheel_timer *timer)
{
    struct worker *worker = list_entry(timer, struct worker, uncork_timer);
    while (!list_is_empty(&worker->corked)) {
        struct client *client = list_first(&worker->corked, struct client, corked);
        list_unlink(&client->corked);
        client->batch_answered = true;
        client_dirty(client);
    }
}

static void write_or_cork(struct client *client)
{
    if (is_worth_waiting(client)) {
        cork(client);
        return;
    }
    list_unlink(&client->corked);
    client->batch_answered = false;
    write_out(client);
}

static void client_flush(struct loop_task *task)
{
    struct client *client = list_entry(task, struct client, flush);
    if (!client->closing && !chain_is_empty(&client->out))
        write_or_cork(client);
    if (!client->closing && is_over(client) && client->linger)
        start_lingering(client);
    if (client->closing || (is_over(client) && !client->lingering))
        client_destroy(&client);
}

/* ---- Reading ---- */

static void end_if_drained(struct client *client)
{
    if (client->draining && client->paused == 0 && client->state == CLIENT_COMMAND && client->in.block == NULL)
        client_end(client);
}

/* Handles what is there, and keeps what is left. */
static void client_process(struct client *client)
{
    size_t need = 0;
    enum request_step step = REQUEST_STEP_ON;
    while (step == REQUEST_STEP_ON && client->paused == 0 && !client->ended && !client->closing &&
           client->in.block != NULL && input_bytes(&client->in) > 0)
        step = requests_step(client, &need);
    lookahead_end(client);
    if (client->last != NULL)
        client->last->ends_batch = true;
    if (client->ended)
        input_clear(&client->in);
    if (client->worker->guarded && client->listener->auth != CONFIG_AUTH_NONE && client->state == CLIENT_COMMAND)
        input_keep_secret(&client->in); /* the begin of a login, perhaps */
    if (input_settle(&client->in, &client->worker->input, client->paused != 0 ? INPUT_NO_READ : need) != 0)
        client_close_soon(client);
    end_if_drained(client);
    watch(client);
}

static void client_read_away(struct client *client)
{
    ssize_t n = input_read(&client->in, &client->worker->input, &client->transport);
    input_clear(&client->in);
    if (n < 0)
        client_destroy(&client);
}

static void client_read(struct client *client)
{
    if (client->lingering) {
        client_read_away(client);
        return;
    }
    if (client->paused != 0 || client->ended || loop_task_is_deferred(&client->resume)) {
        /*
         * Asked for again when it goes on. Not read either when it is about to: what was read before has not been looked at,
         * and the end of the stream would pass it by.
         */
        transport_want(&client->transport, client->transport.wanted & ~(unsigned)TRANSPORT_READABLE);
        return;
    }
    ssize_t n = input_read(&client->in, &client->worker->input, &client->transport);
    if (n == TRANSPORT_AGAIN)
        return;
    if (n == TRANSPORT_ERROR || (n == TRANSPORT_EOF && client->state == CLIENT_UPLOAD)) {
        client_destroy(&client);
        return;
    }
    if (n == TRANSPORT_EOF) {
        client_end(client);
        transport_want(&client->transport, client->transport.wanted & ~(unsigned)TRANSPORT_READABLE);
        return;
    }
    client->active_us = loop_now_us(&client->worker->loop);
    counter_add(&client->worker->stats.bytes_read, (uint64_t)n);
    client_process(client);
}

static void client_resume(struct loop_task *task)
{
    struct client *client = list_entry(task, struct client, resume);
    if (client->paused != 0 || client->closing)
        return;
    if (!client->ended &&
        transport_want(&client->transport, client->transport.wanted | (unsigned)TRANSPORT_READABLE) != 0) {
        client_close_soon(client);
        return;
    }
    client->active_us = loop_now_us(&client->worker->loop);
    client_process(client);
}

static void client_on_ready(struct transport *transport, unsigned ready)
{
    struct client *client = list_entry(transport, struct client, transport);
    if (client->shaking)
        handshake_done(client);
    if (ready & TRANSPORT_WRITABLE)
        client_dirty(client);
    else
        client_read(client);
}

/* ---- Back-pressure ---- */

void client_pause(struct client *client, enum client_pause reason)
{
    client->paused |= (uint8_t)reason;
}

void client_unpause(struct client *client, enum client_pause reason)
{
    if (!(client->paused & reason))
        return;
    client->paused &= (uint8_t)~reason;
    if (client->paused == 0)
        loop_defer(&client->worker->loop, &client->resume, LOOP_PHASE_RESUME);
}

void client_hold(struct client *client, struct call *call)
{
    bool blocked = client->transport.wanted & TRANSPORT_WRITABLE;
    if (client->held == NULL && blocked && client->out.bytes > CLIENT_OUT_HIGH && call_hold(call))
        client->held = call;
}

void client_release(struct client *client)
{
    if (client->held == NULL)
        return;
    call_unhold(client->held);
    client->held = NULL;
}

static void on_drained(struct upstream_waiter *waiter)
{
    client_unpause(list_entry(waiter, struct client, waiter), CLIENT_PAUSE_UPSTREAM);
}

void client_heed(struct client *client, struct call *call)
{
    if (!call_is_congested(call) || client->paused & CLIENT_PAUSE_UPSTREAM)
        return;
    client_pause(client, CLIENT_PAUSE_UPSTREAM);
    call_wait(call, &client->waiter);
}

/* How many requests may be under way: fewer while replies are large. */
static uint32_t window(const struct client *client)
{
    size_t by_bytes = CLIENT_EXPECTED_BYTES / (client->expected_bytes + 1);
    uint32_t by_count = limits(client)->pipeline;
    if (by_bytes >= by_count)
        return by_count;
    return by_bytes < 1 ? 1 : (uint32_t)by_bytes;
}

void client_heed_window(struct client *client)
{
    if (client->under_way >= window(client))
        client_pause(client, CLIENT_PAUSE_PIPELINE);
}

void client_answered(struct client *client)
{
    if (client->paused & CLIENT_PAUSE_PIPELINE && client->under_way <= window(client) / 2)
        client_unpause(client, CLIENT_PAUSE_PIPELINE);
    if (client->first == NULL)
        client_unpause(client, CLIENT_PAUSE_ORDER);
}

/* ---- Life ---- */

/* false: memory is out, and fd is closed. */
static bool open_transport(struct client *client, int fd)
{
    struct loop *loop = &client->worker->loop;
    if (client->listener->tls != NULL)
        return tls_transport_open_server(&client->transport, loop, client->listener->tls, fd) == 0;
    transport_open(&client->transport, loop, &transport_plain, fd);
    return true;
}

struct client *client_create(struct worker *worker, struct listener *listener, int fd)
{
    struct client *client = slab_alloc(&worker->client_slab);
    if (client == NULL) {
        close(fd);
        return NULL;
    }
    *client = (struct client){
        .worker = worker,
        .listener = listener,
        .expected_bytes = CLIENT_EXPECTED_FIRST,
        .lane = worker->next_client++,
        .state = CLIENT_COMMAND,
        .active_us = loop_now_us(&worker->loop),
    };
    list_init(&client->node);
    list_init(&client->corked);
    list_init(&client->waiter.node);
    client->waiter.on_drained = on_drained;
    loop_task_init(&client->flush, client_flush);
    loop_task_init(&client->resume, client_resume);
    wheel_timer_init(&client->timer, on_due);
    transport_init(&client->transport, client_on_ready);
    bool open = open_transport(client, fd);
    handshake_begun(client);
    listener->refs++;
    list_push_back(&worker->clients, &client->node);
    counter_add(&worker->stats.clients, 1);
    counter_add(&worker->stats.clients_accepted, 1);
    if (!open || transport_want(&client->transport, TRANSPORT_READABLE) != 0) {
        client_destroy(&client);
        return NULL;
    }
    watch(client);
    return client;
}

void client_destroy(struct client **client)
{
    struct client *c = *client;
    *client = NULL;
    struct worker *worker = c->worker;
    transport_close(&c->transport);
    handshake_ended(c);
    loop_task_cancel(&c->flush);
    loop_task_cancel(&c->resume);
    loop_disarm(&worker->loop, &c->timer);
    upstream_waiter_cancel(&c->waiter);
    client_release(c);
    gate_leave(c);
    while (c->first != NULL) {
        struct exchange *exchange = c->first;
        c->first = exchange->next;
        exchange_abandon(&exchange);
    }
    list_unlink(&c->corked);
    long_get_unref(&c->long_get);
    input_clear(&c->in);
    chain_clear(&c->out, &worker->memory);
    list_unlink(&c->node);
    listener_unref(&c->listener);
    counter_sub(&worker->stats.clients, 1);
    slab_free(&worker->client_slab, c);
    worker_client_gone(worker);
}

void client_close_soon(struct client *client)
{
    client->closing = true;
    client_dirty(client);
}

void client_end(struct client *client)
{
    client->ended = true;
    client_dirty(client);
}

void client_end_lingering(struct client *client)
{
    client->linger = true;
    client_end(client);
}

void client_drain(struct client *client)
{
    client->draining = true;
    end_if_drained(client);
}
