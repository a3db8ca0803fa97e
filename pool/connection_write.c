/* Owns the bytes of a connection on their way out: how many of them one write takes, and what follows when it is done. */
#include "pool/connection_internal.h"

#include "event/socket.h"

#include <errno.h>

/* The plaintext of a full TLS record, and what memcached reads at once. */
#define RECORD_BYTES 16384

/*
 * How much to write at once over TLS: whole requests of at most one record, or one request that is larger, to its end. So no
 * record holds the end of one read and the begin of the next: memcached (1.6.18) takes of a record what it has room for, or
 * what it needs for a value, and then waits for the socket, though the rest of the record lies decrypted in its memory.
 *
 *      ... written | unreported | first unsent | next | next ...
 *                               ^ from         ^ a border each
 */
static size_t record_limit(struct connection *connection)
{
    uint64_t written = connection->written_bytes, from = written + connection->transport.unreported;
    struct call *call = connection->first_unsent;
    while (call != NULL && call->begin < from)
        call = call->next;
    connection->first_unsent = call;
    if (call != NULL && call->begin == from)
        call = call->next;
    else if (call != NULL)
        return (size_t)(call->begin - written); /* the rest of one that is larger */
    while (call != NULL && call->next != NULL && call->next->begin - from <= RECORD_BYTES)
        call = call->next;
    if (call == NULL || (call->next == NULL && written + connection->out.bytes - from <= RECORD_BYTES))
        return SIZE_MAX;
    return (size_t)(call->begin - written);
}

static size_t write_limit(struct connection *connection)
{
    if (connection->gated)
        return connection->greeting_bytes - (size_t)connection->written_bytes;
    return connection->transport.methods->minds_borders ? record_limit(connection) : SIZE_MAX;
}

/* Writes what can be written now. false: the connection is lost. */
static bool write_out(struct connection *connection)
{
    size_t limit;
    ssize_t n;
    do {
        limit = write_limit(connection);
        n = transport_write_chain(&connection->transport, &connection->out, connection_memory(connection), limit);
        if (n == TRANSPORT_ERROR)
            return false;
        connection->written_bytes += (uint64_t)n;
        counter_add(&connection->upstream->stats->bytes_out, (uint64_t)n);
        if (n > 0 && connection->exclusive)
            connection->progress_us = loop_now_us(connection_loop(connection));
    } while ((size_t)n == limit && !connection->gated && !chain_is_empty(&connection->out));
    return true;
}

/* EBADMSG: the transport cannot say it (pool/binary_transport.h), which is no server's fault. */
static void connection_fail_write(struct connection *connection)
{
    if (errno == EBADMSG)
        connection_fail(connection, CALL_FAILURE_LOCAL, connection_keep_problem(connection, "a bad request"));
    else
        connection_fail(connection, CALL_FAILURE_RESET,
                        connection_keep_problem(connection, "the server closed the connection"));
}

/* Whether the server acknowledges fast enough. Looked at anew from time to time: a server's pace changes. */
static bool is_fast(struct connection *connection)
{
    const struct upstream_context *context = connection->upstream->context;
    if (connection->looked != context->looks) {
        connection->looked = context->looks;
        connection->is_slow = socket_rtt_us(connection->transport.fd) > context->nagle_rtt_us;
    }
    return !connection->is_slow;
}

static bool wants_nagle(struct connection *connection)
{
    return connection->upstream->context->wants_nagle && !connection->exclusive &&
           !connection->upstream->server->identity.is_unix && connection->transport.methods == &transport_plain &&
           is_fast(connection);
}

/*
 * While the worker is busy, what it writes gathers in the kernel as long as the server has something to acknowledge (Nagle's algorithm),
 * which it mostly does by its answer: so a few requests at a time become one segment, which leaves with the answer's arrival,
 * and wakes the server once.
 *
 *      written:   a        b  c      d  e  f
 *      sent:      a ...... answer,bc ...... answer,def
 *
 * What is held back waits for one acknowledgement: so only where that takes no longer than nagle_rtt_us, way and server together. What the
 * server needs in order to answer is never held: of a request that could not be written whole at once (blocked) no part waits, since
 * the server may not acknowledge the begin of one for 40 ms.
 */
static void set_nagle(struct connection *connection, bool blocked)
{
    bool wanted = !blocked && wants_nagle(connection);
    if (wanted != connection->has_nagle && socket_set_nagle(connection->transport.fd, wanted))
        connection->has_nagle = wanted;
}

void connection_flush(struct loop_task *task)
{
    struct connection *connection = list_entry(task, struct connection, flush);
    if (connection->state != CONNECTION_OPEN || chain_is_empty(&connection->out) ||
        list_is_linked(&connection->fail.node))
        return;
    if (connection->gated && connection->written_bytes == connection->greeting_bytes)
        return;
    bool was_blocked = connection->transport.wanted & TRANSPORT_WRITABLE;
    if (!write_out(connection)) {
        connection_fail_write(connection);
        return;
    }
    bool blocked =
        connection->gated ? connection->written_bytes < connection->greeting_bytes : !chain_is_empty(&connection->out);
    set_nagle(connection, blocked || was_blocked);
    unsigned readable = connection->held ? 0 : TRANSPORT_READABLE;
    if (transport_want(&connection->transport, readable | (blocked ? TRANSPORT_WRITABLE : 0)) != 0) {
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
        return;
    }
    if (blocked && connection->exclusive && !wheel_is_armed(&connection->timer))
        connection_set_timer(connection);
    if (blocked && !chain_settle(&connection->out, connection_memory(connection)))
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
    else if (connection->out.bytes <= UPSTREAM_QUEUE_LOW)
        connection_wake_waiters(connection);
}
