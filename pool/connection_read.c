/*
 * Owns the reading of replies: every byte that arrives belongs to the first call in order, or the connection is given up: bytes
 * that nobody asked for, a line that is no lawful reply, a data block without its CRLF, an owner that does not know the key.
 *
 *      input -> unit, whole, or in pieces where it is large -> the first call's owner
 */
#include "pool/connection_internal.h"

#include <errno.h>
#include <string.h>

/* Hands a piece to the first call's owner, and ends the call with its last piece. false: the connection is lost. */
static bool deliver(struct connection *connection, const struct call_reply *reply)
{
    struct call *call = connection->first;
    struct upstream *upstream = connection->upstream;
    if (call->methods != NULL && !call->methods->on_reply(call, reply)) {
        connection_fail(connection, CALL_FAILURE_PROTOCOL, connection_rejection(call));
        return false;
    }
    if (!reply->final)
        return true;
    if (call->timed_out) {
        counter_add(&upstream->stats->late_replies, 1);
    } else if (call->methods != &connection_greeting) {
        /* Neither a late reply nor a greeting is a sign of health. */
        uint64_t latency_us = loop_now_us(connection_loop(connection)) - call->start_us;
        server_record_latency(upstream->stats, latency_us);
        upstream_succeeded(upstream, latency_us);
    }
    bool upload_cut_short = connection->exclusive && call->deadline_us == UINT64_MAX;
    connection_dequeue(connection);
    if (!upload_cut_short)
        return true;
    /* The server answered before it had all of the upload, and waits for bytes that will not come. */
    connection_fail(connection, CALL_FAILURE_LOCAL, "an upload was refused");
    return false;
}

static void count_unit(struct connection *connection, const struct reply_unit *unit)
{
    struct call *call = connection->first;
    struct server_stats *stats = connection->upstream->stats;
    switch (unit->code) {
    case REPLY_CODE_VALUE:
        call->keys_found++;
        counter_add(&stats->hits, 1);
        break;
    case REPLY_CODE_END:
        if (verb_is_retrieval(call->verb) && call->keys > call->keys_found)
            counter_add(&stats->misses, call->keys - call->keys_found);
        break;
    case REPLY_CODE_VA:
    case REPLY_CODE_HD:
        if (call->verb == VERB_MG)
            counter_add(&stats->hits, 1);
        break;
    case REPLY_CODE_EN:
        if (call->verb == VERB_MG)
            counter_add(&stats->misses, 1);
        break;
    case REPLY_CODE_ERROR:
    case REPLY_CODE_CLIENT_ERROR:
    case REPLY_CODE_SERVER_ERROR:
        counter_add(&stats->errors_server, 1);
        break;
    default:
        break;
    }
}

/* A piece of a unit that is too large to be kept whole. */
static bool deliver_piece(struct connection *connection, size_t len, bool first)
{
    struct input *in = &connection->in;
    const char *data = input_data(in);
    if (len == 1)
        connection->body_tail[0] = connection->body_tail[1];
    else
        connection->body_tail[0] = data[len - 2];
    connection->body_tail[1] = data[len - 1];
    bool last = connection->body_left == 0;
    if (last && memcmp(connection->body_tail, "\r\n", 2) != 0) {
        connection_fail(connection, CALL_FAILURE_PROTOCOL, "a data block without its end");
        return false;
    }
    struct call_reply reply = {
        .unit = &connection->unit,
        .block = input_block(in),
        .data = data,
        .len = len,
        .first = first,
        .last = last,
        .final = last && connection->unit.final,
    };
    input_consume(in, len);
    return deliver(connection, &reply);
}

enum progress { PROGRESS_ON, PROGRESS_WAIT, PROGRESS_LOST };

/* A unit whose bytes are all there; with its END, where that is wanted and there. */
static enum progress take_whole_unit(struct connection *connection, const struct reply_unit *unit, size_t *need)
{
    struct call *call = connection->first;
    struct input *in = &connection->in;
    const char *data = input_data(in);
    size_t len = unit->head_bytes + unit->body_bytes;
    if (unit->body_bytes > 0 && memcmp(data + len - 2, "\r\n", 2) != 0) {
        connection_fail(connection, CALL_FAILURE_PROTOCOL, "a data block without its end");
        return PROGRESS_LOST;
    }
    bool whole = false;
    if (call->whole && unit->code == REPLY_CODE_VALUE && len + 5 <= INPUT_PIECE_MAX) {
        size_t left = input_bytes(in) - len;
        if (memcmp(data + len, "END\r\n", left < 5 ? left : 5) == 0) {
            if (left < 5) {
                *need = len + 5;
                return PROGRESS_WAIT;
            }
            whole = true;
        }
    }
    count_unit(connection, unit);
    struct call_reply reply = {
        .unit = unit,
        .block = input_block(in),
        .data = data,
        .len = whole ? len + 5 : len,
        .first = true,
        .last = true,
        .final = whole || unit->final,
        .whole = whole,
    };
    input_consume(in, reply.len);
    return deliver(connection, &reply) ? PROGRESS_ON : PROGRESS_LOST;
}

static enum progress take_unit(struct connection *connection, size_t *need)
{
    struct input *in = &connection->in;
    size_t available = input_bytes(in);
    if (connection->body_left > 0) {
        size_t len = connection->body_left < available ? (size_t)connection->body_left : available;
        connection->body_left -= len;
        return deliver_piece(connection, len, false) ? PROGRESS_ON : PROGRESS_LOST;
    }
    if (connection->first == NULL) {
        connection_fail(connection, CALL_FAILURE_PROTOCOL, "bytes that nobody asked for");
        return PROGRESS_LOST;
    }
    struct reply_unit unit;
    switch (reply_parse(connection->first->verb, input_data(in), available, &unit)) {
    case REPLY_PARTIAL:
        return PROGRESS_WAIT;
    case REPLY_GARBAGE:
        connection_fail(connection, CALL_FAILURE_PROTOCOL, "not a lawful reply");
        return PROGRESS_LOST;
    case REPLY_UNIT:
        break;
    }
    uint64_t total = unit.head_bytes + unit.body_bytes;
    if (total <= available)
        return take_whole_unit(connection, &unit, need);
    if (total <= INPUT_PIECE_MAX) {
        *need = (size_t)total;
        return PROGRESS_WAIT;
    }
    count_unit(connection, &unit);
    connection->unit = unit;
    connection->body_left = total - available;
    return deliver_piece(connection, available, true) ? PROGRESS_ON : PROGRESS_LOST;
}

void connection_retire_if_idle(struct connection *connection)
{
    if (connection->retiring && connection_is_idle(connection) && connection->state != CONNECTION_CLOSED)
        connection_fail(connection, CALL_FAILURE_LOCAL, "no longer needed");
}

/* What the transport knows of its failure, in a place that outlives it; else the given text. */
const char *connection_keep_problem(struct connection *connection, const char *text)
{
    const char *problem = transport_problem(&connection->transport);
    if (problem == NULL)
        return text;
    (void)snprintf(connection->problem, sizeof connection->problem, "%s", problem);
    return connection->problem;
}

/* error: errno value; 0: the end. EBADMSG: bytes that the transport cannot make sense of (pool/binary_transport.h). */
static void fail_read(struct connection *connection, int error)
{
    if (error == ENOMEM)
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
    else if (error == EBADMSG)
        connection_fail(connection, CALL_FAILURE_PROTOCOL, connection_keep_problem(connection, "not a lawful reply"));
    else
        connection_fail(connection, CALL_FAILURE_RESET,
                        connection_keep_problem(connection, "the server closed the connection"));
}

void connection_read(struct connection *connection)
{
    struct upstream_context *context = connection->upstream->context;
    ssize_t n = input_read(&connection->in, context->input, &connection->transport);
    if (n == TRANSPORT_AGAIN)
        return;
    if (n == TRANSPORT_EOF || n == TRANSPORT_ERROR) {
        fail_read(connection, n == TRANSPORT_ERROR ? errno : 0);
        return;
    }
    connection->progress_us = loop_now_us(context->loop);
    connection->read_bytes += (uint64_t)n;
    counter_add(&connection->upstream->stats->bytes_in, (uint64_t)n);
    size_t need = 0;
    enum progress progress = PROGRESS_ON;
    while (progress == PROGRESS_ON && input_bytes(&connection->in) > 0)
        progress = take_unit(connection, &need);
    if (progress == PROGRESS_LOST)
        return;
    if (input_settle(&connection->in, context->input, need) != 0) {
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
        return;
    }
    connection_retire_if_idle(connection);
}
