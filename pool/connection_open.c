/*
 * Owns the way to an open socket: the server's name, its addresses one by one, the transport, and what came of it.
 *
 *      connection_open -> (resolved) -> an address -> connecting -> open
 *                                           ^-- the next one --+
 */
#include "pool/connection_internal.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

static void connection_opened(struct connection *connection)
{
    connection->state = CONNECTION_OPEN;
    uint64_t now_us = loop_now_us(connection_loop(connection));
    connection->progress_us = now_us;
    connection->has_nagle = false;
    connection->looked = connection->upstream->context->looks - 1;
    counter_add(&connection->upstream->stats->connections_opened, 1);
    wheel_disarm(&connection_loop(connection)->wheel, &connection->timer);
    connection_set_timer(connection);
    connection_flush(&connection->flush);
}

/* What a failed connect is to those who wait for it. */
static enum call_failure_reason connect_failure_reason(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
        return CALL_FAILURE_LOCAL;
    case ETIMEDOUT:
        return CALL_FAILURE_CONNECT_TIMEOUT;
    default:
        return CALL_FAILURE_REFUSED;
    }
}

static void connect_next_address(struct connection *connection)
{
    struct server_address address;
    if (!server_take_address(connection->upstream->server, &address)) {
        connection_fail_later(connection, CALL_FAILURE_REFUSED, "its address is not known");
        return;
    }
    if (connection->addresses_left > 0)
        connection->addresses_left--;
    int fd = transport_connect_socket((const struct sockaddr *)&address.address, address.len);
    if (fd < 0) {
        connection_fail_later(connection, connect_failure_reason(errno), strerrordesc_np(errno));
        return;
    }
    connection->state = CONNECTION_CONNECTING;
    struct upstream *upstream = connection->upstream;
    const struct upstream_manner manner = {
        .tls = upstream->settings.tls,
        .session = &upstream->session,
        .binary = connection->binary,
        .logs_in = connection->logs_in,
    };
    if (upstream_open_transport(&connection->transport, connection_loop(connection), fd, upstream->server, &manner) !=
            0 ||
        transport_want(&connection->transport, TRANSPORT_WRITABLE) != 0)
        connection_fail_later(connection, CALL_FAILURE_LOCAL, "out of memory");
    connection_set_timer(connection);
}

static void connection_on_connected(struct connection *connection)
{
    int error = transport_connect_result(&connection->transport);
    if (error == 0) {
        connection_opened(connection);
        return;
    }
    const char *text = connection_keep_problem(connection, strerrordesc_np(error));
    transport_close(&connection->transport);
    if (connection->addresses_left > 0)
        connect_next_address(connection);
    else
        connection_fail(connection, connect_failure_reason(error), text);
}

static void on_resolved(struct resolve_job *job)
{
    struct connection *connection = job->owner;
    if (connection != NULL) {
        connection->resolving = NULL;
        struct server *server = connection->upstream->server;
        if (job->address_count > 0)
            server_set_addresses(server, job->addresses, job->address_count);
        else
            log_warning("resolve_failed", "pool %s: server %s: the name %s was not resolved: %s%s",
                        server->identity.pool, server->identity.label, server->identity.host, job->error,
                        server_address_count(server) > 0 ? "; its last known address is used" : "");
        connection->addresses_left = server_address_count(server);
        connect_next_address(connection);
    }
    resolve_job_destroy(&job);
}

void connection_open(struct connection *connection)
{
    struct upstream *upstream = connection->upstream;
    struct upstream_context *context = upstream->context;
    connection->connect_deadline_us =
        loop_now_us(context->loop) + (uint64_t)upstream->settings.connect_timeout_ms * 1000;
    connection->written_bytes = 0;
    connection->read_bytes = 0;
    connection->extended_at = 0;
    connection->addresses_left = 1;
    if (!upstream->server->is_name) {
        connect_next_address(connection);
        return;
    }
    connection->state = CONNECTION_RESOLVING;
    const struct server_identity *identity = &upstream->server->identity;
    connection->resolving =
        resolve_job_create(identity->host, identity->port, context->mailbox, on_resolved, connection);
    if (connection->resolving == NULL) {
        connection_fail_later(connection, CALL_FAILURE_LOCAL, "out of memory");
        return;
    }
    resolver_submit(context->resolver, connection->resolving);
    connection_set_timer(connection);
}

void connection_on_ready(struct transport *transport, unsigned ready)
{
    struct connection *connection = list_entry(transport, struct connection, transport);
    if (connection->state == CONNECTION_CONNECTING)
        connection_on_connected(connection);
    else if (ready & TRANSPORT_WRITABLE)
        connection_flush(&connection->flush);
    else
        connection_read(connection);
}
