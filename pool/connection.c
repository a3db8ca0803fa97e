/*
 * Owns a connection's life: the order of the calls on it, their deadlines, and its failing; see the picture in connection.h.
 *
 *      connection_open.c       addresses, the socket, the transport
 *      connection_greeting.c   what is said before all requests
 *      connection_write.c      bytes on their way out
 *      connection_read.c       replies
 *
 * A call whose time is over leaves its place, and its reply is dropped there. It decides nothing about where a request
 * goes next.
 */
#include "pool/connection_internal.h"

#include "base/log.h"
#include "pool/health.h"

#include <stdlib.h>

/* A deadline is put off while a reply arrives with at least this many bytes since the last time. */
#define EXTENSION_BYTES 1024
#define STALL_MIN_US 1000000

/* ---- The order of calls ---- */

void connection_enqueue(struct connection *connection, struct call *call)
{
    uint64_t now_us = loop_now_us(connection_loop(connection));
    call->next = NULL;
    call->start_us = now_us;
    if (connection->last == NULL) {
        connection->first = call;
        connection->progress_us = now_us;
    } else {
        connection->last->next = call;
    }
    connection->last = call;
    if (connection->first_waiting == NULL)
        connection->first_waiting = call;
    if (connection->first_unsent == NULL)
        connection->first_unsent = call;
    connection->call_count++;
    counter_add(&connection->upstream->stats->queue, 1);
}

void connection_wake_waiters(struct connection *connection)
{
    struct list *node;
    while ((node = list_pop_front(&connection->waiters)) != NULL) {
        struct upstream_waiter *waiter = list_entry(node, struct upstream_waiter, node);
        waiter->on_drained(waiter);
    }
}

/* ---- Time ---- */

static uint64_t stall_us(const struct connection *connection)
{
    uint64_t us = (uint64_t)connection->upstream->settings.timeout_ms * 4000;
    return us > STALL_MIN_US ? us : STALL_MIN_US;
}

/* In the middle of an upload: it is the server's turn only while bytes wait to be written. */
static bool is_uploading(const struct connection *connection)
{
    return connection->first != NULL && connection->first->deadline_us == UINT64_MAX;
}

/* When the connection next needs looking at, or UINT64_MAX. */
static uint64_t next_due_us(const struct connection *connection)
{
    if (connection->held)
        return UINT64_MAX;
    if (connection->state == CONNECTION_RESOLVING || connection->state == CONNECTION_CONNECTING)
        return connection->connect_deadline_us;
    if (connection->first == NULL || (is_uploading(connection) && chain_is_empty(&connection->out)))
        return UINT64_MAX;
    uint64_t due_us = connection->progress_us + stall_us(connection);
    if (connection->first_waiting != NULL && connection->first_waiting->deadline_us < due_us)
        due_us = connection->first_waiting->deadline_us;
    return due_us;
}

void connection_set_timer(struct connection *connection)
{
    uint64_t due_us = next_due_us(connection);
    if (due_us != UINT64_MAX)
        wheel_arm(&connection_loop(connection)->wheel, &connection->timer, due_us / 1000 + 1);
}

/* Whether the first call's reply is arriving at a fair pace: then its deadline is put off. */
static bool extend(struct connection *connection, struct call *call, uint64_t now_us)
{
    if (call != connection->first || connection->read_bytes - connection->extended_at < EXTENSION_BYTES)
        return false;
    if (connection->body_left == 0 && connection->in.block == NULL)
        return false;
    connection->extended_at = connection->read_bytes;
    call->deadline_us = now_us + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    return true;
}

static bool expire_calls(struct connection *connection, uint64_t now_us)
{
    static const struct call_failure failure = {CALL_FAILURE_TIMEOUT, "no answer in time", false};
    bool expired = false;
    struct call *call;
    while ((call = connection->first_waiting) != NULL && call->deadline_us <= now_us) {
        if (extend(connection, call, now_us))
            break;
        connection->first_waiting = call->next;
        call->timed_out = true;
        expired = true;
        counter_add(&connection->upstream->stats->errors_timeout, 1);
        const struct call_methods *methods = call->methods;
        if (methods == &connection_greeting)
            continue; /* its answer opens the connection, also when it is late */
        call->methods = NULL;
        if (methods != NULL)
            methods->on_failed(call, &failure);
    }
    if (expired)
        upstream_failed(connection->upstream, &failure);
    return expired;
}

static void on_due(struct wheel_timer *timer)
{
    struct connection *connection = list_entry(timer, struct connection, timer);
    uint64_t now_us = loop_now_us(connection_loop(connection));
    if (connection->state == CONNECTION_RESOLVING || connection->state == CONNECTION_CONNECTING) {
        if (now_us >= connection->connect_deadline_us) {
            connection_fail(connection, CALL_FAILURE_CONNECT_TIMEOUT,
                            connection->state == CONNECTION_RESOLVING
                                ? "the name was not resolved in time"
                                : connection_keep_problem(connection, "no connection in time"));
            return;
        }
    } else if (connection->state == CONNECTION_OPEN && !connection->held) {
        expire_calls(connection, now_us);
        bool waiting = connection->first != NULL && !(is_uploading(connection) && chain_is_empty(&connection->out));
        if (waiting && now_us >= connection->progress_us + stall_us(connection)) {
            connection_fail(connection, CALL_FAILURE_TIMEOUT, "the connection makes no progress");
            return;
        }
    }
    connection_set_timer(connection);
}

/* ---- Holding: a server is not read while the only client that waits for it cannot take more ---- */

bool connection_hold(struct connection *connection, const struct call *call)
{
    for (const struct call *other = connection->first; other != NULL; other = other->next) {
        if (other->group != call->group)
            return false;
    }
    if (transport_want(&connection->transport, connection->transport.wanted & ~(unsigned)TRANSPORT_READABLE) != 0)
        return false;
    connection->held = true;
    return true;
}

void connection_release(struct connection *connection)
{
    if (!connection->held)
        return;
    connection->held = false;
    uint64_t now_us = loop_now_us(connection_loop(connection));
    connection->progress_us = now_us;
    for (struct call *call = connection->first; call != NULL; call = call->next) {
        if (call->deadline_us != UINT64_MAX)
            call->deadline_us = now_us + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    }
    if (transport_want(&connection->transport, connection->transport.wanted | (unsigned)TRANSPORT_READABLE) != 0)
        connection_fail_later(connection, CALL_FAILURE_LOCAL, "out of memory");
    connection_set_timer(connection);
}

void connection_start_clock(struct connection *connection, struct call *call)
{
    call->deadline_us =
        loop_now_us(connection_loop(connection)) + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    /* It may be set for later: to see whether calls that have timed out make any progress. */
    if (!wheel_is_armed(&connection->timer) || connection->timer.due_ms > call->deadline_us / 1000 + 1)
        connection_set_timer(connection);
}

/* ---- Failing ---- */

static void count_failure(struct connection *connection, const struct call *call, enum call_failure_reason reason)
{
    if (call->timed_out)
        return;
    struct server_stats *stats = connection->upstream->stats;
    counter *const counters[CALL_FAILURE_REASONS] = {
        [CALL_FAILURE_REFUSED] = &stats->errors_refused,
        [CALL_FAILURE_RESET] = &stats->errors_reset,
        [CALL_FAILURE_TIMEOUT] = &stats->errors_timeout,
        [CALL_FAILURE_CONNECT_TIMEOUT] = &stats->errors_connect_timeout,
        [CALL_FAILURE_PROTOCOL] = &stats->errors_protocol,
        [CALL_FAILURE_DOWN] = &stats->errors_down,
        [CALL_FAILURE_LOCAL] = &stats->errors_local,
    };
    counter_add(counters[reason], 1);
}

static void connection_close(struct connection *connection)
{
    struct server_stats *stats = connection->upstream->stats;
    if (connection->state == CONNECTION_OPEN)
        counter_add(&stats->connections_closed, 1);
    else if (connection->state != CONNECTION_CLOSED || connection->first != NULL)
        counter_add(&stats->connect_failures, 1);
    if (connection->resolving != NULL) {
        connection->resolving->owner = NULL;
        connection->resolving = NULL;
    }
    transport_close(&connection->transport);
    connection->state = CONNECTION_CLOSED;
    chain_clear(&connection->out, connection_memory(connection));
    input_clear(&connection->in);
    connection->body_left = 0;
    connection->held = false;
    connection->gated = false;
    loop_disarm(connection_loop(connection), &connection->timer);
    loop_task_cancel(&connection->flush);
    loop_task_cancel(&connection->fail);
}

static void log_failure(const struct connection *connection, const struct call_failure *failure)
{
    const struct server_identity *identity = &connection->upstream->server->identity;
    if (failure->reason == CALL_FAILURE_PROTOCOL)
        log_warning("protocol_error", "pool %s: server %s sent %s: its connection is closed, %u requests on it fail",
                    identity->pool, identity->label, failure->text, connection->call_count);
    else
        log_debug("connection_failed", "pool %s: server %s: %s, %u requests on its connection fail", identity->pool,
                  identity->label, failure->text, connection->call_count);
}

void connection_fail(struct connection *connection, enum call_failure_reason reason, const char *text)
{
    struct call_failure failure = {.reason = reason, .text = text};
    uint64_t written_bytes = connection->written_bytes + connection->transport.unreported;
    struct call *call = connection->first;
    if (call != NULL) {
        log_failure(connection, &failure);
        upstream_failed(connection->upstream, &failure);
    }
    connection_close(connection);
    connection->first = connection->last = connection->first_waiting = connection->first_unsent = NULL;
    /* From here on new calls may come: they find a closed, empty connection. */
    while (call != NULL) {
        struct call *next = call->next;
        count_failure(connection, call, reason);
        failure.unsent = call->begin >= written_bytes;
        const struct call_methods *methods = call->methods;
        call->methods = NULL;
        if (methods != NULL)
            methods->on_failed(call, &failure);
        connection_release_call(connection, call);
        call = next;
    }
    connection_wake_waiters(connection);
}

void connection_fail_later(struct connection *connection, enum call_failure_reason reason, const char *text)
{
    connection->failure = (struct call_failure){.reason = reason, .text = text};
    loop_defer(connection_loop(connection), &connection->fail, LOOP_PHASE_SERVERS);
}

static void connection_on_fail(struct loop_task *task)
{
    struct connection *connection = list_entry(task, struct connection, fail);
    connection_fail(connection, connection->failure.reason, connection->failure.text);
}

/* ---- Life ---- */

struct connection *connection_create(struct upstream *upstream, bool exclusive)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    list_init(&connection->node);
    list_init(&connection->waiters);
    transport_init(&connection->transport, connection_on_ready);
    connection->upstream = upstream;
    connection->exclusive = exclusive;
    chain_init(&connection->out);
    input_init(&connection->in);
    wheel_timer_init(&connection->timer, on_due);
    loop_task_init(&connection->flush, connection_flush);
    loop_task_init(&connection->fail, connection_on_fail);
    return connection;
}

void connection_destroy(struct connection **connection)
{
    struct connection *c = *connection;
    *connection = NULL;
    if (c == NULL)
        return;
    connection_fail(c, CALL_FAILURE_LOCAL, "the server has left the configuration");
    assert(c->first == NULL);
    list_unlink(&c->node);
    free(c);
}

struct call *connection_make_call(struct connection *connection, enum verb verb, const struct call_methods *methods,
                                  void *owner)
{
    struct call *call = slab_alloc(&connection->upstream->context->calls);
    if (call == NULL)
        return NULL;
    *call = (struct call){
        .methods = methods,
        .owner = owner,
        .connection = connection,
        .begin = connection->written_bytes + connection->out.bytes,
        .deadline_us = UINT64_MAX,
        .verb = verb,
        .keys = 1,
    };
    return call;
}

struct call *connection_call(struct connection *connection, enum verb verb, const struct call_methods *methods,
                             void *owner)
{
    if (connection->state == CONNECTION_CLOSED && connection->first == NULL) {
        connection->written_bytes = 0;
        if (!connection_greet(connection))
            return NULL;
    }
    return connection_make_call(connection, verb, methods, owner);
}

void connection_send(struct connection *connection, struct call *call)
{
    if (connection->held && call->group != connection->first->group)
        connection_release(connection);
    connection_enqueue(connection, call);
    counter_add(&connection->upstream->stats->requests, 1);
    if (connection->state == CONNECTION_CLOSED && !list_is_linked(&connection->fail.node))
        connection_open(connection);
    else
        connection_sent_more(connection);
}

void connection_sent_more(struct connection *connection)
{
    if (connection->state == CONNECTION_OPEN && !(connection->transport.wanted & TRANSPORT_WRITABLE))
        loop_defer(connection_loop(connection), &connection->flush, LOOP_PHASE_SERVERS);
}

void connection_retire(struct connection *connection)
{
    connection->retiring = true;
    connection_retire_if_idle(connection);
}
