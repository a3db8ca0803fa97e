/*
 * Owns a socket to a server, the order of the calls on it, and the bytes on their way; see the picture in connection.h.
 *
 * Every byte that arrives belongs to the first call in order, or the connection is given up: bytes that nobody asked
 * for, a line that is no lawful reply, a data block without its CRLF, an owner that does not know the key. A call whose
 * time is over leaves its place, and its reply is dropped there. It decides nothing about where a request goes next.
 */
#include "pool/connection.h"

#include "base/log.h"
#include "pool/health.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A deadline is put off while a reply arrives with at least this many bytes since the last time. */
#define EXTENSION_BYTES 1024
#define STALL_MIN_US 1000000
#define GREETING "version\r\n"
/* The plaintext of a full TLS record, and what memcached reads at once. */
#define RECORD_BYTES 16384

static struct loop *connection_loop(const struct connection *connection)
{
    return connection->upstream->context->loop;
}

static struct memory *connection_memory(const struct connection *connection)
{
    return connection->upstream->context->memory;
}

/* ---- The greeting: the first call on every connection asks for the version, so that no client's request meets a peer
 * that does not speak the protocol. ---- */

/*
 * A server that does not know the meta commands would take an ms command's data block for commands: so nothing is sent
 * before its version is known, and nothing meta if that is too low. false: such a call waits here; all calls, of which
 * nothing has left, are to be placed anew, and those that need another server find no other.
 */
static bool pass_gate(const struct connection *connection)
{
    if (server_knows_meta(connection->upstream->server))
        return true;
    for (const struct call *call = connection->first; call != NULL; call = call->next) {
        if (verb_is_meta(call->verb))
            return false;
    }
    return true;
}

/* What a server answers to the login that goes before all else. */
static bool login_on_reply(const struct call *call, const struct call_reply *reply)
{
    const struct upstream *upstream = call->connection->upstream;
    if (reply->unit->code == REPLY_CODE_STORED)
        return true;
    log_warning("login_refused", "pool %s: server %s does not let the user `%s` in: `%.*s`",
                upstream->server->identity.pool, upstream->server->identity.label,
                upstream->settings.auth != NULL ? upstream->settings.auth->user : "", (int)reply->unit->head_bytes - 2,
                reply->data);
    return false;
}

static bool greeting_on_reply(struct call *call, const struct call_reply *reply)
{
    if (call->verb == VERB_SET)
        return login_on_reply(call, reply);
    if (reply->unit->code != REPLY_CODE_VERSION) {
        const struct server_identity *identity = &call->connection->upstream->server->identity;
        log_warning("greeting_refused",
                    "pool %s: server %s answered `%.*s` to `version`: it is no memcached, or takes no more "
                    "connections (memcached -c)",
                    identity->pool, identity->label, (int)reply->unit->head_bytes - 2, reply->data);
        return false;
    }
    unsigned version = server_version_pack(reply->unit->rest.data, reply->unit->rest.len);
    struct connection *connection = call->connection;
    atomic_store_explicit(&connection->upstream->server->version, version, memory_order_relaxed);
    if (connection->gated) {
        connection->gated = false;
        if (!pass_gate(connection))
            connection_fail_later(connection, CALL_FAILURE_RESET, "the server is too old for meta commands");
        connection_sent_more(connection);
    }
    return true;
}

static void greeting_on_failed(struct call *call, const struct call_failure *failure)
{
    (void)call;
    (void)failure;
}

static const struct call_methods greeting_methods = {greeting_on_reply, greeting_on_failed};

/* What a reply that was not taken is to those whose requests wait behind it. */
static const char *rejection(const struct call *call)
{
    bool is_login = call->methods == &greeting_methods && call->verb == VERB_SET;
    return is_login ? "a refusal of the pool's login" : "a reply that does not belong to its request";
}

/* ---- The order of calls ---- */

static void call_enqueue(struct connection *connection, struct call *call)
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

static void call_release(struct connection *connection, struct call *call)
{
    connection->call_count--;
    counter_sub(&connection->upstream->stats->queue, 1);
    slab_free(&connection->upstream->context->calls, call);
}

static void call_dequeue(struct connection *connection)
{
    struct call *call = connection->first;
    connection->first = call->next;
    if (connection->first == NULL)
        connection->last = NULL;
    if (connection->first_waiting == call)
        connection->first_waiting = call->next;
    if (connection->first_unsent == call)
        connection->first_unsent = call->next;
    call_release(connection, call);
}

static void wake_waiters(struct connection *connection)
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

static void set_timer(struct connection *connection)
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
        if (methods == &greeting_methods)
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
                            connection->state == CONNECTION_RESOLVING ? "the name was not resolved in time"
                                                                      : "no connection in time");
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
    set_timer(connection);
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
    set_timer(connection);
}

void connection_start_clock(struct connection *connection, struct call *call)
{
    call->deadline_us =
        loop_now_us(connection_loop(connection)) + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    /* It may be set for later: to see whether calls that have timed out make any progress. */
    if (!wheel_is_armed(&connection->timer) || connection->timer.due_ms > call->deadline_us / 1000 + 1)
        set_timer(connection);
}

/* ---- Writing ---- */

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
    return connection->transport.methods == &transport_plain ? SIZE_MAX : record_limit(connection);
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

static void connection_flush(struct loop_task *task)
{
    struct connection *connection = list_entry(task, struct connection, flush);
    if (connection->state != CONNECTION_OPEN || chain_is_empty(&connection->out) ||
        list_is_linked(&connection->fail.node))
        return;
    if (connection->gated && connection->written_bytes == connection->greeting_bytes)
        return;
    if (!write_out(connection)) {
        connection_fail(connection, CALL_FAILURE_RESET, "the server closed the connection");
        return;
    }
    bool blocked =
        connection->gated ? connection->written_bytes < connection->greeting_bytes : !chain_is_empty(&connection->out);
    unsigned readable = connection->held ? 0 : TRANSPORT_READABLE;
    if (transport_want(&connection->transport, readable | (blocked ? TRANSPORT_WRITABLE : 0)) != 0) {
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
        return;
    }
    if (blocked && connection->exclusive && !wheel_is_armed(&connection->timer))
        set_timer(connection);
    if (blocked && !chain_settle(&connection->out, connection_memory(connection)))
        connection_fail(connection, CALL_FAILURE_LOCAL, "out of memory");
    else if (connection->out.bytes <= UPSTREAM_QUEUE_LOW)
        wake_waiters(connection);
}

void connection_sent_more(struct connection *connection)
{
    if (connection->state == CONNECTION_OPEN && !(connection->transport.wanted & TRANSPORT_WRITABLE))
        loop_defer(connection_loop(connection), &connection->flush, LOOP_PHASE_SERVERS);
}

/* ---- Reading ---- */

/* Hands a piece to the first call's owner, and ends the call with its last piece. false: the connection is lost. */
static bool deliver(struct connection *connection, const struct call_reply *reply)
{
    struct call *call = connection->first;
    struct upstream *upstream = connection->upstream;
    if (call->methods != NULL && !call->methods->on_reply(call, reply)) {
        connection_fail(connection, CALL_FAILURE_PROTOCOL, rejection(call));
        return false;
    }
    if (!reply->final)
        return true;
    if (call->timed_out) {
        counter_add(&upstream->stats->late_replies, 1);
    } else if (call->methods != &greeting_methods) {
        /* Neither a late reply nor a greeting is a sign of health. */
        uint64_t latency_us = loop_now_us(connection_loop(connection)) - call->start_us;
        server_record_latency(upstream->stats, latency_us);
        upstream_succeeded(upstream, latency_us);
    }
    bool upload_cut_short = connection->exclusive && call->deadline_us == UINT64_MAX;
    call_dequeue(connection);
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

static void connection_retire_if_idle(struct connection *connection)
{
    if (connection->retiring && connection_is_idle(connection) && connection->state != CONNECTION_CLOSED)
        connection_fail(connection, CALL_FAILURE_LOCAL, "no longer needed");
}

/* What the transport knows of its failure, in a place that outlives it; else the given text. */
static const char *keep_problem(struct connection *connection, const char *text)
{
    const char *problem = transport_problem(&connection->transport);
    if (problem == NULL)
        return text;
    (void)snprintf(connection->problem, sizeof connection->problem, "%s", problem);
    return connection->problem;
}

static void connection_read(struct connection *connection)
{
    struct upstream_context *context = connection->upstream->context;
    ssize_t n = input_read(&connection->in, context->input, &connection->transport);
    if (n == TRANSPORT_AGAIN)
        return;
    if (n == TRANSPORT_EOF || n == TRANSPORT_ERROR) {
        bool here = n == TRANSPORT_ERROR && errno == ENOMEM;
        connection_fail(connection, here ? CALL_FAILURE_LOCAL : CALL_FAILURE_RESET,
                        here ? "out of memory" : keep_problem(connection, "the server closed the connection"));
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

/* ---- Connecting ---- */

static void connection_opened(struct connection *connection)
{
    connection->state = CONNECTION_OPEN;
    uint64_t now_us = loop_now_us(connection_loop(connection));
    connection->progress_us = now_us;
    counter_add(&connection->upstream->stats->connections_opened, 1);
    wheel_disarm(&connection_loop(connection)->wheel, &connection->timer);
    set_timer(connection);
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
    if (upstream_open_transport(&connection->transport, connection_loop(connection), fd, upstream->server,
                                upstream->settings.tls, &upstream->session) != 0 ||
        transport_want(&connection->transport, TRANSPORT_WRITABLE) != 0)
        connection_fail_later(connection, CALL_FAILURE_LOCAL, "out of memory");
    set_timer(connection);
}

static void connection_on_connected(struct connection *connection)
{
    int error = transport_connect_result(&connection->transport);
    if (error == 0) {
        connection_opened(connection);
        return;
    }
    const char *text = keep_problem(connection, strerrordesc_np(error));
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

static void connection_open(struct connection *connection)
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
    set_timer(connection);
}

static void connection_on_ready(struct transport *transport, unsigned ready)
{
    struct connection *connection = list_entry(transport, struct connection, transport);
    if (connection->state == CONNECTION_CONNECTING)
        connection_on_connected(connection);
    else if (ready & TRANSPORT_WRITABLE)
        connection_flush(&connection->flush);
    else
        connection_read(connection);
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
        call_release(connection, call);
        call = next;
    }
    wake_waiters(connection);
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

static struct call *call_create(struct connection *connection, enum verb verb, const struct call_methods *methods,
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

/* One of the connection's own calls, its request being `text`. */
static bool say(struct connection *connection, enum verb verb, const char *text, size_t len)
{
    struct call *call = call_create(connection, verb, &greeting_methods, connection);
    if (call == NULL)
        return false;
    call_enqueue(connection, call);
    if (!chain_append_copy(&connection->out, connection_memory(connection), text, len)) {
        call_dequeue(connection);
        return false;
    }
    /* The same clock as the calls behind it: deadlines stand in the order of the calls. */
    call->deadline_us = call->start_us + (uint64_t)connection->upstream->settings.timeout_ms * 1000;
    return true;
}

static bool greet(struct connection *connection)
{
    const struct secret *auth = connection->upstream->settings.auth;
    char login[SECRET_LOGIN_MAX];
    size_t login_len = auth != NULL ? secret_print_login(auth, login) : 0;
    connection->greeting_bytes = login_len + sizeof GREETING - 1;
    connection->gated = atomic_load_explicit(&connection->upstream->server->version, memory_order_relaxed) == 0;
    bool said = (auth == NULL || say(connection, VERB_SET, login, login_len)) &&
                say(connection, VERB_VERSION, GREETING, sizeof GREETING - 1);
    OPENSSL_cleanse(login, login_len);
    while (!said && connection->first != NULL)
        call_dequeue(connection);
    if (!said)
        chain_clear(&connection->out, connection_memory(connection));
    return said;
}

struct call *connection_call(struct connection *connection, enum verb verb, const struct call_methods *methods,
                             void *owner)
{
    if (connection->state == CONNECTION_CLOSED && connection->first == NULL) {
        connection->written_bytes = 0;
        if (!greet(connection))
            return NULL;
    }
    return call_create(connection, verb, methods, owner);
}

void connection_send(struct connection *connection, struct call *call)
{
    if (connection->held && call->group != connection->first->group)
        connection_release(connection);
    call_enqueue(connection, call);
    counter_add(&connection->upstream->stats->requests, 1);
    if (connection->state == CONNECTION_CLOSED && !list_is_linked(&connection->fail.node))
        connection_open(connection);
    else
        connection_sent_more(connection);
}

void connection_retire(struct connection *connection)
{
    connection->retiring = true;
    connection_retire_if_idle(connection);
}
