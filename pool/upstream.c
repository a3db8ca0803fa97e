/*
 * Owns a worker's connections to one server: which of them a call takes, and how many failures in a row there were.
 *
 *      lanes[0 .. connections-1]   shared, pipelined
 *      uploads                     exclusive, one large upload at a time
 *
 * The order and the bytes on a connection are connection.c's; ejection is health.c's.
 */
#include "pool/upstream.h"

#include "pool/binary_transport.h"
#include "pool/connection.h"
#include "pool/health.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS_PER_CHUNK 512
/* The longest that a server may take to acknowledge, on average, for requests to gather until it does. */
#define NAGLE_RTT_US 300
/* Idle connections kept for uploads. */
#define UPLOADS_KEPT 4

void upstream_context_init(struct upstream_context *context, struct loop *loop, struct mailbox *mailbox,
                           struct memory *memory, struct input_shared *input, struct resolver *resolver,
                           unsigned worker)
{
    *context = (struct upstream_context){
        .loop = loop,
        .mailbox = mailbox,
        .memory = memory,
        .input = input,
        .resolver = resolver,
        .worker = worker,
        .nagle_rtt_us = NAGLE_RTT_US,
    };
    slab_init(&context->calls, "call", sizeof(struct call), CALLS_PER_CHUNK);
}

void upstream_context_fini(struct upstream_context *context)
{
    slab_fini(&context->calls);
}

/* Makes room for `count` lanes; connections themselves are made when they are first used. */
static bool grow_lanes(struct upstream *upstream, uint32_t count)
{
    if (count <= upstream->lane_count)
        return true;
    struct connection **lanes = realloc(upstream->lanes, count * sizeof(struct connection *));
    if (lanes == NULL)
        return false;
    memset(lanes + upstream->lane_count, 0, (count - upstream->lane_count) * sizeof(struct connection *));
    upstream->lanes = lanes;
    upstream->lane_count = count;
    return true;
}

struct upstream *upstream_create(struct upstream_context *context, struct server *server,
                                 const struct upstream_settings *settings)
{
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (upstream == NULL)
        return NULL;
    upstream->context = context;
    upstream->server = server;
    upstream->stats = &server->stats[context->worker];
    upstream->settings = *settings;
    list_init(&upstream->uploads);
    if (!grow_lanes(upstream, settings->connections)) {
        free(upstream);
        return NULL;
    }
    return upstream;
}

void upstream_destroy(struct upstream **upstream)
{
    struct upstream *u = *upstream;
    *upstream = NULL;
    if (u == NULL)
        return;
    for (uint32_t i = 0; i < u->lane_count; i++)
        connection_destroy(&u->lanes[i]);
    while (!list_is_empty(&u->uploads)) {
        struct connection *connection = list_first(&u->uploads, struct connection, node);
        connection_destroy(&connection);
    }
    tls_session_forget(&u->session);
    free(u->lanes);
    free(u);
}

/* It is closed, or was opened with the protocol that is to be spoken now. */
static bool speaks_right(const struct connection *connection)
{
    return connection->state == CONNECTION_CLOSED || connection->binary == connection->upstream->settings.binary;
}

void upstream_configure(struct upstream *upstream, const struct upstream_settings *settings)
{
    uint32_t wanted = settings->connections;
    upstream->settings = *settings;
    if (!grow_lanes(upstream, wanted))
        upstream->settings.connections = upstream->lane_count;
    for (uint32_t i = 0; i < upstream->lane_count; i++) {
        struct connection *connection = upstream->lanes[i];
        if (connection == NULL)
            continue;
        if (i < upstream->settings.connections && speaks_right(connection))
            connection->retiring = false;
        else
            connection_retire(connection);
    }
    struct list *node, *following;
    list_for_each_safe (node, following, &upstream->uploads) {
        struct connection *connection = list_entry(node, struct connection, node);
        if (!speaks_right(connection))
            connection_retire(connection);
    }
}

struct call *upstream_call(struct upstream *upstream, uint32_t lane, enum verb verb, const struct call_methods *methods,
                           void *owner)
{
    struct connection **place = &upstream->lanes[lane % upstream->settings.connections];
    if (*place == NULL && (*place = connection_create(upstream, false)) == NULL)
        return NULL;
    struct call *call = connection_call(*place, verb, methods, owner);
    if (call != NULL)
        call->group = lane;
    return call;
}

static struct connection *take_upload(struct upstream *upstream)
{
    struct list *node, *following;
    uint32_t idle = 0;
    struct connection *found = NULL;
    list_for_each_safe (node, following, &upstream->uploads) {
        struct connection *connection = list_entry(node, struct connection, node);
        if (!connection_is_idle(connection))
            continue;
        if (found == NULL)
            found = connection;
        else if (++idle >= UPLOADS_KEPT)
            connection_destroy(&connection);
    }
    if (found != NULL)
        return found;
    found = connection_create(upstream, true);
    if (found != NULL)
        list_push_back(&upstream->uploads, &found->node);
    return found;
}

struct call *upstream_upload(struct upstream *upstream, enum verb verb, const struct call_methods *methods, void *owner)
{
    struct connection *connection = take_upload(upstream);
    return connection != NULL ? connection_call(connection, verb, methods, owner) : NULL;
}

struct chain *call_out(struct call *call)
{
    return &call->connection->out;
}

void upstream_send(struct call *call)
{
    struct connection *connection = call->connection;
    connection_send(connection, call);
    if (!connection->exclusive)
        connection_start_clock(connection, call);
}

void upload_continue(struct call *call)
{
    connection_sent_more(call->connection);
}

void upload_end(struct call *call)
{
    connection_start_clock(call->connection, call);
}

void call_abandon(struct call **call)
{
    struct call *c = *call;
    *call = NULL;
    if (c == NULL)
        return;
    c->methods = NULL;
    c->owner = NULL;
    if (c->connection->exclusive && c->deadline_us == UINT64_MAX)
        connection_fail_later(c->connection, CALL_FAILURE_LOCAL, "the client left in the middle of an upload");
}

void call_give_up(struct call *call)
{
    call->methods = NULL;
    call->owner = NULL;
    connection_fail_later(call->connection, CALL_FAILURE_LOCAL, "out of memory");
}

bool call_hold(struct call *call)
{
    return connection_hold(call->connection, call);
}

void call_unhold(struct call *call)
{
    connection_release(call->connection);
}

struct server *call_server(const struct call *call)
{
    return call->connection->upstream->server;
}

bool call_is_congested(const struct call *call)
{
    return call->connection->out.bytes > UPSTREAM_QUEUE_HIGH;
}

void call_wait(struct call *call, struct upstream_waiter *waiter)
{
    list_unlink(&waiter->node);
    list_push_back(&call->connection->waiters, &waiter->node);
}

uint32_t upstream_outstanding(const struct upstream *upstream)
{
    uint32_t calls = 0;
    for (uint32_t i = 0; i < upstream->lane_count; i++)
        calls += upstream->lanes[i] != NULL ? upstream->lanes[i]->call_count : 0;
    struct list *node, *following;
    list_for_each_safe (node, following, &upstream->uploads)
        calls += list_entry(node, struct connection, node)->call_count;
    return calls;
}

/* In the clear or by TLS. */
static int open_base(struct transport *transport, struct loop *loop, int fd, const struct server *server,
                     const struct upstream_manner *manner)
{
    if (manner->tls != NULL)
        return tls_transport_open_client(transport, loop, manner->tls, fd, server->identity.host, manner->session);
    transport_open(transport, loop, &transport_plain, fd);
    return 0;
}

int upstream_open_transport(struct transport *transport, struct loop *loop, int fd, const struct server *server,
                            const struct upstream_manner *manner)
{
    if (!manner->binary)
        return open_base(transport, loop, fd, server, manner);
    struct binary_transport *stream = binary_transport_create(manner->logs_in);
    if (stream == NULL) {
        close(fd);
        return -1;
    }
    if (open_base(binary_transport_base(stream), loop, fd, server, manner) != 0) {
        binary_transport_destroy(&stream);
        return -1;
    }
    binary_transport_open(transport, &stream);
    return 0;
}

void upstream_failed(struct upstream *upstream, const struct call_failure *failure)
{
    if (failure->reason == CALL_FAILURE_LOCAL)
        return;
    if (failure->reason == CALL_FAILURE_TIMEOUT)
        upstream_note_latency(upstream, (uint64_t)upstream->settings.timeout_ms * 1000);
    upstream->failures++;
    if (failure->reason != CALL_FAILURE_REFUSED && upstream->failures < upstream->settings.failures)
        return;
    if (health_report_down(upstream->server, failure->text))
        upstream->failures = 0;
}
