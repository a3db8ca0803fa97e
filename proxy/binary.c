/*
 * Owns the way from a binary client's bytes to exchanges: a step a request, as requests.c for the text protocol.
 *
 *      get ... delete, counters    a meta line in the worker's scratch block, then single.c
 *      set ... prepend             the same; a value of CHAIN_COPY_BYTES and more goes on from where it was read,
 *                                  one that does not fit a block by upload.c
 *      stat, flush, version        gather.c
 *      noop, verbosity, quit, sasl answered here
 *
 * A value has no line's end in binary: the CRLF that servers want is put behind it.
 */
#include "proxy/binary.h"

#include "proxy/client.h"
#include "proxy/gate.h"
#include "tls/scram.h"

#include <string.h>

/* Opcodes. */
#define SASL_LIST 0x20
#define SASL_STEP 0x22
#define SASL_MESSAGE_MAX 2048

/* Answers the request that is being taken in. */
static void answer(struct client *client, enum binary_status status, struct slice text)
{
    char buffer[BINARY_REPLY_MAX];
    size_t len = binary_reply_status(&client->asking->asked, status, text, buffer);
    exchange_answer_bytes(client, slice_make(buffer, len));
}

static struct slice nothing(void)
{
    return slice_make(NULL, 0);
}

/* Answers it with an error, and drops it. */
static void refuse(struct client *client, const struct binary_request *binary, enum binary_status status,
                   struct slice text)
{
    answer(client, status, text);
    requests_swallow(client, binary->head_bytes + (uint64_t)binary->body_bytes);
    client_heed_window(client);
}

/* ---- Refused requests ---- */

static bool is_denied(const struct client *client, const struct binary_request *binary)
{
    return client->listener->denied >> binary->verb & 1;
}

static bool is_forbidden(struct client *client, const struct binary_request *binary)
{
    if (!client->worker->guarded || binary->verb == VERB_COUNT)
        return false;
    struct slice key = binary->action == BINARY_STAT ? nothing() : binary->key;
    return !gate_allows_key(client, binary->verb, key);
}

/* A set that is too large: what stood there before is removed, as for text clients. */
static void remove_old(struct client *client, const struct binary_request *binary)
{
    char line[BINARY_LINE_MAX];
    struct request refused;
    if (binary_line(binary, line, &refused) == 0) {
        refuse(client, binary, BINARY_STATUS_TOO_LARGE, nothing());
        return;
    }
    refused.line = nothing();
    refused.error = SLICE_OF("SERVER_ERROR object too large for cache\r\n");
    single_remove(client, &refused);
    requests_swallow(client, binary->head_bytes + (uint64_t)binary->body_bytes);
    client_heed_window(client);
}

static void refused(struct client *client, const struct binary_request *binary)
{
    counter_add(&client->worker->stats.requests_refused, 1);
    bool allowed = !is_denied(client, binary) && !is_forbidden(client, binary);
    if (binary->status == BINARY_STATUS_TOO_LARGE && binary->action == BINARY_SET && allowed)
        remove_old(client, binary);
    else
        refuse(client, binary, binary->status, nothing());
}

static void deny(struct client *client, const struct binary_request *binary)
{
    counter_add(&client->worker->stats.requests_denied, 1);
    struct slice name = verb_name(binary->verb);
    char text[80];
    int len = snprintf(text, sizeof text, "%.*s is denied on this listener", (int)name.len, name.data);
    refuse(client, binary, BINARY_STATUS_DENIED, slice_make(text, (size_t)len));
}

/* ---- Requests for one key ---- */

static void out_of_memory(struct client *client, const struct binary_request *binary)
{
    counter_add(&client->worker->stats.requests_failed, 1);
    refuse(client, binary, BINARY_STATUS_NO_MEMORY, nothing());
}

static void cannot_write_key(struct client *client, const struct binary_request *binary)
{
    counter_add(&client->worker->stats.requests_refused, 1);
    refuse(client, binary, BINARY_STATUS_INVALID,
           SLICE_OF("A key with blanks or control characters has at most 186 bytes"));
}

static bool has_value(const struct binary_request *binary)
{
    return binary->action >= BINARY_SET && binary->action <= BINARY_PREPEND;
}

/* The whole request is here. A small value is put behind the line, a large one stays where it is. */
static bool start_single(struct client *client, const struct binary_request *binary, struct binary_asking *asking)
{
    struct slice body = slice_make(input_data(&client->in) + binary->head_bytes, binary->body_bytes);
    bool copies = has_value(binary) && body.len < CHAIN_COPY_BYTES;
    char line[BINARY_LINE_MAX];
    struct request request;
    size_t len = binary_line(binary, line, &request);
    if (len == 0) {
        cannot_write_key(client, binary);
        return false;
    }
    size_t capacity = len + (copies ? body.len + 2 : 0);
    struct block *block = NULL;
    char *text = worker_scratch(client->worker, capacity, &block);
    if (text == NULL) {
        out_of_memory(client, binary);
        return false;
    }
    memcpy(text, line, len);
    if (copies) {
        memcpy(text + len, body.data, body.len);
        memcpy(text + len + body.len, "\r\n", 2);
    } else if (has_value(binary)) {
        asking->block = input_block(&client->in);
        asking->body = body;
    }
    request.key.data = text + (request.key.data - line);
    request.line.data = text;
    single_start(client, &request, block, slice_make(text, capacity));
    block_unref(&block);
    return true;
}

static void start_upload(struct client *client, const struct binary_request *binary)
{
    char line[BINARY_LINE_MAX];
    struct request request;
    if (binary_line(binary, line, &request) == 0)
        cannot_write_key(client, binary);
    else
        requests_start_upload(client, &request);
}

void binary_end_upload(struct client *client)
{
    struct block *block = NULL;
    char *end = worker_scratch(client->worker, 2, &block);
    if (end == NULL) {
        client_close_soon(client);
        return;
    }
    memcpy(end, "\r\n", 2);
    upload_data(client->upload, block, end, 2, 0);
    block_unref(&block);
}

/* ---- The others ---- */

static void start_gather(struct client *client, const struct binary_request *binary)
{
    char line[BINARY_LINE_MAX];
    struct request request;
    binary_line(binary, line, &request);
    gather_start(client, &request);
}

static void quit(struct client *client, const struct binary_request *binary)
{
    if (!binary->quiet)
        answer(client, BINARY_STATUS_SUCCESS, nothing());
    client_end(client);
}

typedef void take_message_fn(struct client *client, const struct binary_asked *asked, struct slice message);

/* Whose the message is, which need not be here yet. NULL: it is no message, or is not the one that is to come now. */
static take_message_fn *find_mechanism(const struct client *client, const struct binary_request *binary)
{
    bool is_step = binary->asked.opcode == SASL_STEP;
    bool is_scram = slice_equal(binary->key, SLICE_OF(SCRAM_MECHANISM));
    if (binary->body_bytes > SASL_MESSAGE_MAX || is_step != gate_awaits_step(client))
        return NULL;
    if (is_step)
        return is_scram ? gate_take_scram_final : NULL;
    if (is_scram)
        return gate_take_scram_first;
    return slice_equal(binary->key, SLICE_OF("PLAIN")) ? gate_take_sasl_plain : NULL;
}

/* What is no step in its place ends the exchange that waited for one. */
static void refuse_sasl(struct client *client, const struct binary_request *binary, enum binary_status status,
                        struct slice text)
{
    gate_end_exchange(client);
    refuse(client, binary, status, text);
}

/*
 * SASL: list of mechanisms, authentication, step. Where nobody can log in, as a memcached without SASL. The mechanism is
 * binary->key, what it says are body_bytes behind head_bytes, which may not be here yet.
 */
static enum request_step sasl(struct client *client, const struct binary_request *binary, size_t *need_out)
{
    size_t total = binary->head_bytes + binary->body_bytes;
    take_message_fn *take_message = find_mechanism(client, binary);
    if (!gate_takes_sasl(client)) {
        refuse_sasl(client, binary, BINARY_STATUS_UNKNOWN, nothing());
    } else if (binary->asked.opcode == SASL_LIST) {
        refuse_sasl(client, binary, BINARY_STATUS_SUCCESS, gate_sasl_mechanisms(client));
    } else if (take_message == NULL) {
        refuse_sasl(client, binary, BINARY_STATUS_DENIED, SLICE_OF("Auth failure."));
    } else if (input_bytes(&client->in) < total) {
        *need_out = total;
        return REQUEST_STEP_WAIT;
    } else {
        take_message(client, &binary->asked,
                     slice_make(input_data(&client->in) + binary->head_bytes, binary->body_bytes));
        input_consume(&client->in, total);
    }
    return REQUEST_STEP_ON;
}

/*
 * Whether it is not for a client that has yet to log in. As in memcached, a login and the version are for all, and lengths
 * that the opcode may not have come after the login.
 */
static bool is_before_login(struct client *client, enum binary_parsed parsed, const struct binary_request *binary)
{
    if (!client->worker->guarded || parsed == BINARY_PARTIAL || parsed == BINARY_FOREIGN)
        return false;
    enum binary_action action = binary_action_of(binary->asked.opcode);
    bool is_broken = parsed == BINARY_FATAL && binary->status == BINARY_STATUS_UNKNOWN;
    bool is_for_all = action == BINARY_SASL || action == BINARY_VERSION || is_broken;
    return !is_for_all && !gate_passes(client);
}

/* Whatever else comes between the two messages of an exchange: nobody is half logged in. */
static void end_exchange(struct client *client, enum binary_parsed parsed, const struct binary_request *binary)
{
    bool is_whole = parsed != BINARY_PARTIAL && parsed != BINARY_FOREIGN;
    if (is_whole && !(parsed == BINARY_READY && binary->action == BINARY_SASL))
        gate_end_exchange(client);
}

/* Nobody gets further without a login where one is required. memcached closes too. */
static enum request_step stop_at_gate(struct client *client, const struct binary_request *binary)
{
    refuse(client, binary, BINARY_STATUS_DENIED, SLICE_OF("Auth failure."));
    client_end_lingering(client);
    return REQUEST_STEP_ON;
}

static void forbid(struct client *client, const struct binary_request *binary)
{
    counter_add(&client->worker->stats.requests_forbidden, 1);
    refuse(client, binary, BINARY_STATUS_DENIED, SLICE_OF("access denied"));
}

/* false: the request has been dropped already. */
static bool dispatch(struct client *client, const struct binary_request *binary, struct binary_asking *asking)
{
    switch (binary->action) {
    case BINARY_NOOP:
    case BINARY_VERBOSITY:
        counter_add(&client->worker->stats.requests_local, 1);
        answer(client, BINARY_STATUS_SUCCESS, nothing());
        return true;
    case BINARY_VERSION:
    case BINARY_STAT:
    case BINARY_FLUSH:
        start_gather(client, binary);
        return true;
    case BINARY_QUIT:
        quit(client, binary);
        return true;
    default:
        counter_add(&client->worker->stats.keys, 1);
        return start_single(client, binary, asking);
    }
}

static enum request_step ready(struct client *client, const struct binary_request *binary, struct binary_asking *asking,
                               size_t *need_out)
{
    size_t total = binary->head_bytes + binary->body_bytes;
    if (binary->action == BINARY_SASL)
        return sasl(client, binary, need_out);
    if (is_denied(client, binary)) {
        deny(client, binary);
    } else if (is_forbidden(client, binary)) {
        forbid(client, binary);
    } else if (block_pool_is_short(&client->worker->memory.blocks) && binary->action != BINARY_QUIT) {
        counter_add(&client->worker->stats.requests_shed, 1);
        refuse(client, binary, BINARY_STATUS_NO_MEMORY, SLICE_OF("out of memory (limits.memory)"));
    } else if (total > INPUT_PIECE_MAX) {
        start_upload(client, binary);
    } else if (input_bytes(&client->in) < total) {
        *need_out = total;
        return REQUEST_STEP_WAIT;
    } else {
        counter_add(&client->worker->stats.requests, 1);
        if (dispatch(client, binary, asking)) {
            input_consume(&client->in, total);
            client_heed_window(client);
        }
    }
    return REQUEST_STEP_ON;
}

static enum request_step take(struct client *client, enum binary_parsed parsed, const struct binary_request *binary,
                              struct binary_asking *asking, size_t *need_out)
{
    if (client->gate.login != NULL)
        end_exchange(client, parsed, binary);
    if (is_before_login(client, parsed, binary))
        return stop_at_gate(client, binary);
    switch (parsed) {
    case BINARY_READY:
        return ready(client, binary, asking, need_out);
    case BINARY_PARTIAL:
        *need_out = binary->head_bytes;
        return REQUEST_STEP_WAIT;
    case BINARY_REFUSED:
        refused(client, binary);
        return REQUEST_STEP_ON;
    case BINARY_FATAL:
        answer(client, binary->status, nothing());
        break;
    case BINARY_FOREIGN:
        break;
    }
    counter_add(&client->worker->stats.requests_refused, 1);
    client_end_lingering(client);
    return REQUEST_STEP_ON;
}

enum request_step binary_step(struct client *client, size_t *need_out)
{
    uint64_t item_size_max = client->worker->current->snapshot->config->limits.item_size_bytes;
    struct binary_request binary;
    enum binary_parsed parsed = binary_parse(input_data(&client->in), input_bytes(&client->in), item_size_max, &binary);
    struct binary_asking asking = {.block = NULL};
    if (parsed != BINARY_PARTIAL && parsed != BINARY_FOREIGN)
        asking.asked = binary.asked;
    client->asking = &asking;
    enum request_step step = take(client, parsed, &binary, &asking, need_out);
    client->asking = NULL;
    return step;
}
