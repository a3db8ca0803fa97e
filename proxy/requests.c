/*
 * Owns the way from a client's bytes to exchanges: one step a request, by the client's state.
 *
 *      COMMAND --- refused, with a data block ---> SWALLOW --> COMMAND
 *              --- a retrieval longer than its line may be ---> KEYS --> COMMAND
 *              --- a value larger than a block ---> UPLOAD --> COMMAND
 *
 * Bytes go to a server only from here, and only when the request is whole and valid (a large value excepted, whose line
 * is). What the parser says is law: see wire/request.h. A client of the binary protocol is known by its first byte, and
 * stepped through by binary.c.
 */
#include "proxy/requests.h"

#include "proxy/binary.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/gate.h"
#include "proxy/lookahead.h"

#include <stdio.h>
#include <string.h>

static struct slice nothing(void)
{
    return slice_make(NULL, 0);
}

void requests_swallow(struct client *client, uint64_t n)
{
    uint64_t here = input_bytes(&client->in);
    if (n <= here) {
        input_consume(&client->in, (size_t)n);
        return;
    }
    input_consume(&client->in, (size_t)here);
    client->swallow_left = n - here;
    client->state = CLIENT_SWALLOW;
}

static enum request_step step_swallow(struct client *client)
{
    uint64_t n = client->swallow_left;
    client->state = CLIENT_COMMAND;
    requests_swallow(client, n);
    return REQUEST_STEP_ON;
}

/* Answers with an error line, and drops the request: its line and its data block. */
static void refuse(struct client *client, const struct request *request, struct slice line, uint64_t bytes)
{
    if (request->noreply)
        exchange_answer(client, nothing());
    else
        exchange_answer(client, line);
    requests_swallow(client, bytes);
}

/* ---- Long retrievals ---- */

/* The keys of *request as a part of the long line; an error of memory is answered at its end. */
static void take_keys(struct client *client, const struct request *request, struct long_get *long_get)
{
    counter_add(&client->worker->stats.keys, request->key_count);
    if (request->key_count == 0 || long_get_is_forbidden(long_get))
        return;
    if (client->worker->guarded && !gate_allows(client, request)) {
        counter_add(&client->worker->stats.requests_forbidden, 1);
        long_get_forbid(long_get, SLICE_OF("CLIENT_ERROR access denied\r\n"));
    } else if (!multiget_start(client, request, input_block(&client->in), long_get)) {
        long_get_fail(long_get, SLICE_OF("SERVER_ERROR out of memory\r\n"));
    }
}

static struct long_get *begin_long_get(struct client *client, const struct request *request)
{
    struct long_get *long_get = long_get_begin(request);
    if (long_get == NULL) {
        exchange_refuse(client, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        client_end(client);
        return NULL;
    }
    take_keys(client, request, long_get);
    return long_get;
}

/* The line goes on beyond what is here. */
static enum request_step start_keys(struct client *client, const struct request *request)
{
    client->long_get = begin_long_get(client, request);
    if (client->long_get == NULL)
        return REQUEST_STEP_ON;
    input_consume(&client->in, request->line_bytes);
    client->state = CLIENT_KEYS;
    client_heed_window(client);
    return REQUEST_STEP_ON;
}

static enum request_step step_keys(struct client *client, size_t *need_out)
{
    struct request *more = long_get_request(client->long_get);
    enum request_status status = request_parse_more_keys(input_data(&client->in), input_bytes(&client->in), more);
    switch (status) {
    case REQUEST_PARTIAL:
        *need_out = 0;
        return REQUEST_STEP_WAIT;
    case REQUEST_READY:
    case REQUEST_KEYS:
        take_keys(client, more, client->long_get);
        break;
    case REQUEST_REFUSED:
    case REQUEST_FATAL:
        counter_add(&client->worker->stats.requests_refused, 1);
        long_get_fail(client->long_get, more->error);
        break;
    }
    input_consume(&client->in, more->line_bytes);
    client_heed_window(client);
    if (status == REQUEST_KEYS)
        return REQUEST_STEP_ON;
    client->state = CLIENT_COMMAND;
    long_get_end(client, &client->long_get);
    if (status == REQUEST_FATAL)
        client_end_lingering(client);
    return REQUEST_STEP_ON;
}

/* ---- Large values ---- */

/* What ends a data block: in the text protocol a CRLF, which binary clients do not send. */
static uint64_t end_bytes(const struct client *client)
{
    return client->protocol == CLIENT_PROTOCOL_BINARY ? 0 : 2;
}

static enum request_step step_upload(struct client *client)
{
    struct input *in = &client->in;
    size_t here = input_bytes(in);
    size_t n = client->swallow_left < here ? (size_t)client->swallow_left : here;
    client->swallow_left -= n;
    uint64_t left = client->swallow_left;
    if (left == 0)
        client->state = CLIENT_COMMAND;
    upload_data(client->upload, input_block(in), input_data(in), n, left + 2 - end_bytes(client));
    input_consume(in, n);
    if (left == 0 && end_bytes(client) == 0)
        binary_end_upload(client);
    if (left == 0) {
        client->upload = NULL;
        if (client->first != NULL)
            client_pause(client, CLIENT_PAUSE_ORDER);
    }
    return REQUEST_STEP_ON;
}

enum request_step requests_start_upload(struct client *client, const struct request *request)
{
    if (client->first != NULL) {
        client_pause(client, CLIENT_PAUSE_ORDER);
        return REQUEST_STEP_ON;
    }
    struct exchange *exchange = upload_start(client, request);
    if (exchange == NULL) {
        refuse(client, request, SLICE_OF("SERVER_ERROR out of memory\r\n"),
               request->line_bytes + request->value_bytes + end_bytes(client));
        return REQUEST_STEP_ON;
    }
    counter_add(&client->worker->stats.requests, 1);
    counter_add(&client->worker->stats.keys, 1);
    input_consume(&client->in, request->line_bytes);
    client->upload = exchange;
    client->swallow_left = request->value_bytes + end_bytes(client);
    client->state = CLIENT_UPLOAD;
    return REQUEST_STEP_ON;
}

/* ---- Commands ---- */

static bool is_denied(const struct client *client, enum verb verb)
{
    return client->listener->denied >> verb & 1;
}

static void deny(struct client *client, const struct request *request, uint64_t bytes)
{
    counter_add(&client->worker->stats.requests_denied, 1);
    struct slice name = verb_name(request->verb);
    char line[80];
    int len = snprintf(line, sizeof line, "CLIENT_ERROR %.*s is denied on this listener\r\n", (int)name.len, name.data);
    refuse(client, request, slice_make(line, (size_t)len), bytes);
}

/* Whether the rules of `access` stand in the way; if so the request is refused, and that answered. */
static bool is_forbidden(struct client *client, const struct request *request, uint64_t bytes)
{
    if (!client->worker->guarded || gate_allows(client, request))
        return false;
    counter_add(&client->worker->stats.requests_forbidden, 1);
    refuse(client, request, SLICE_OF("CLIENT_ERROR access denied\r\n"), bytes);
    return true;
}

/* Whether it is denied or forbidden; if so that is answered. */
static bool is_barred(struct client *client, const struct request *request, uint64_t bytes)
{
    if (!is_denied(client, request->verb))
        return is_forbidden(client, request, bytes);
    deny(client, request, bytes);
    return true;
}

/* A login that is too long to be one must not go where large values go. */
static bool is_endless_login(struct client *client, const struct request *request, uint64_t bytes)
{
    if (request->value_bytes <= GATE_LOGIN_BYTES_MAX)
        return false;
    refuse(client, request, SLICE_OF("CLIENT_ERROR authentication failure\r\n"), bytes);
    return true;
}

static void start_retrieval(struct client *client, const struct request *request, struct slice bytes)
{
    struct block *block = input_block(&client->in);
    if (request->key_count == 1) {
        single_start(client, request, block, bytes);
    } else if (request->key_count <= MULTIGET_KEYS_MAX) {
        if (!multiget_start(client, request, block, NULL))
            exchange_refuse(client, SLICE_OF("SERVER_ERROR out of memory\r\n"));
    } else {
        struct long_get *long_get = begin_long_get(client, request);
        if (long_get != NULL)
            long_get_end(client, &long_get);
    }
}

/* A whole, valid request. */
static void dispatch(struct client *client, const struct request *request, struct slice bytes)
{
    switch (request->verb) {
    case VERB_GET:
    case VERB_GETS:
    case VERB_GAT:
    case VERB_GATS:
        counter_add(&client->worker->stats.keys, request->key_count);
        start_retrieval(client, request, bytes);
        break;
    case VERB_MN:
        exchange_answer(client, SLICE_OF("MN\r\n"));
        break;
    case VERB_VERSION:
    case VERB_STATS:
    case VERB_FLUSH_ALL:
    case VERB_VERBOSITY:
        gather_start(client, request);
        break;
    case VERB_QUIT:
        client_end(client);
        break;
    default:
        counter_add(&client->worker->stats.keys, 1);
        single_start(client, request, input_block(&client->in), bytes);
        break;
    }
}

static enum request_step command_ready(struct client *client, const struct request *request, size_t *need_out)
{
    struct input *in = &client->in;
    uint64_t total = request->line_bytes + (request->has_value ? request->value_bytes + 2 : 0);
    struct worker_stats *stats = &client->worker->stats;
    bool is_login = client->worker->guarded && gate_is_login(client, request);
    if (is_login ? is_endless_login(client, request, total) : is_barred(client, request, total))
        return REQUEST_STEP_ON;
    if (block_pool_is_short(&client->worker->memory.blocks) && request->verb != VERB_QUIT) {
        counter_add(&stats->requests_shed, 1);
        refuse(client, request, SLICE_OF("SERVER_ERROR out of memory (limits.memory)\r\n"), total);
        return REQUEST_STEP_ON;
    }
    if (total > INPUT_PIECE_MAX)
        return requests_start_upload(client, request);
    if (input_bytes(in) < total) {
        *need_out = (size_t)total;
        return REQUEST_STEP_WAIT;
    }
    struct slice bytes = slice_make(input_data(in), (size_t)total);
    counter_add(&stats->requests, 1);
    if (request->has_value && memcmp(bytes.data + bytes.len - 2, "\r\n", 2) != 0) {
        counter_add(&stats->requests_refused, 1);
        refuse(client, request, SLICE_OF("CLIENT_ERROR bad data chunk\r\n"), total);
        return REQUEST_STEP_ON;
    }
    if (is_login)
        gate_take_login(client, slice_make(bytes.data + request->line_bytes, bytes.len - request->line_bytes),
                        request->noreply);
    else
        dispatch(client, request, bytes);
    input_consume(in, (size_t)total);
    client_heed_window(client);
    return REQUEST_STEP_ON;
}

static void step_refused(struct client *client, const struct request *request)
{
    counter_add(&client->worker->stats.requests_refused, 1);
    bool too_large = request->key.len > 0 && (request->verb == VERB_SET || request->verb == VERB_MS);
    bool allowed = !is_denied(client, request->verb) && (!client->worker->guarded || gate_allows(client, request));
    if (too_large && allowed)
        single_remove(client, request);
    else
        exchange_answer(client, request->error);
    requests_swallow(client, request->line_bytes + request->swallow_bytes);
    client_heed_window(client);
}

static enum request_step step_line(struct client *client, size_t *need_out)
{
    if (client->worker->guarded && !gate_passes(client))
        return gate_step(client, need_out);
    struct input *in = &client->in;
    uint64_t item_size_max = client->worker->current->snapshot->config->limits.item_size_bytes;
    const struct request *known = lookahead_next(client, item_size_max);
    if (known != NULL)
        return command_ready(client, known, need_out);
    struct request request;
    switch (request_parse(input_data(in), input_bytes(in), item_size_max, &request)) {
    case REQUEST_PARTIAL:
        *need_out = 0;
        return REQUEST_STEP_WAIT;
    case REQUEST_READY:
        return command_ready(client, &request, need_out);
    case REQUEST_KEYS:
        if (is_denied(client, request.verb)) {
            deny(client, &request, request.line_bytes);
            client_end_lingering(client);
            return REQUEST_STEP_ON;
        }
        /* Where rules stand, a line that can be kept whole is judged as a whole, in however many pieces it comes. */
        if (client->worker->guarded && input_bytes(in) < INPUT_PIECE_MAX) {
            *need_out = INPUT_PIECE_MAX;
            return REQUEST_STEP_WAIT;
        }
        counter_add(&client->worker->stats.requests, 1);
        return start_keys(client, &request);
    case REQUEST_REFUSED:
        step_refused(client, &request);
        return REQUEST_STEP_ON;
    case REQUEST_FATAL:
        counter_add(&client->worker->stats.requests_refused, 1);
        exchange_answer(client, request.error);
        client_end_lingering(client);
        return REQUEST_STEP_ON;
    }
    return REQUEST_STEP_WAIT;
}

static enum request_step step_command(struct client *client, size_t *need_out)
{
    if (client->protocol == CLIENT_PROTOCOL_TEXT)
        return step_line(client, need_out);
    if (client->protocol == CLIENT_PROTOCOL_BINARY)
        return binary_step(client, need_out);
    bool is_binary = *input_data(&client->in) == BINARY_MAGIC;
    client->protocol = is_binary ? CLIENT_PROTOCOL_BINARY : CLIENT_PROTOCOL_TEXT;
    return step_command(client, need_out);
}

enum request_step requests_step(struct client *client, size_t *need_out)
{
    switch (client->state) {
    case CLIENT_COMMAND:
        return step_command(client, need_out);
    case CLIENT_SWALLOW:
        return step_swallow(client);
    case CLIENT_KEYS:
        return step_keys(client, need_out);
    case CLIENT_UPLOAD:
        return step_upload(client);
    }
    return REQUEST_STEP_WAIT;
}
