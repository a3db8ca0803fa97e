/*
 * Owns the order of a client's exchanges: whose turn it is, whose reply waits; see the picture in exchange.h.
 *
 * What a request means, and how its replies are made one, is the kinds' affair: single.c, multiget.c, gather.c,
 * upload.c. Bytes reach client->out only here, and only from the exchange whose turn it is.
 */
#include "proxy/exchange.h"

#include "proxy/binary.h"

#include <stdio.h>
#include <string.h>

/* A reply that waits its turn, complete. */
static void ready_abandon(struct exchange *exchange)
{
    (void)exchange;
}

static const struct exchange_methods ready_methods = {.abandon = ready_abandon};

struct exchange *exchange_create(struct client *client, const struct request *request,
                                 const struct exchange_methods *methods)
{
    struct worker *worker = client->worker;
    struct exchange *exchange = slab_alloc(&worker->exchange_slab);
    if (exchange == NULL)
        return NULL;
    memset(exchange, 0, sizeof *exchange);
    exchange->client = client;
    exchange->pin = pin_take(worker);
    exchange->methods = methods;
    if (request != NULL) {
        exchange->verb = request->verb;
        exchange->noreply = request->noreply;
        exchange->quiet = request->quiet;
        exchange->key_encoded = request->key_encoded;
        exchange->repeatable = request->repeatable;
    }
    if (client->asking != NULL && request != NULL && !binary_attach(exchange)) {
        pin_give(&exchange->pin);
        slab_free(&worker->exchange_slab, exchange);
        return NULL;
    }
    if (client->last == NULL)
        client->first = exchange;
    else
        client->last->next = exchange;
    client->last = exchange;
    client->under_way++;
    return exchange;
}

static void exchange_free(struct exchange *exchange)
{
    struct worker *worker = exchange->client->worker;
    chain_clear(&exchange->reply, &worker->memory);
    if (exchange->binary != NULL)
        binary_detach(exchange);
    pin_give(&exchange->pin);
    slab_free(&worker->exchange_slab, exchange);
}

void exchange_abandon(struct exchange **exchange)
{
    struct exchange *e = *exchange;
    *exchange = NULL;
    if (!e->done)
        e->methods->abandon(e);
    exchange_free(e);
}

/* The bytes that a reply is expected to have: a moving average, quick to rise. */
static void learn_reply_size(struct client *client, size_t bytes)
{
    uint32_t sample = bytes < UINT32_MAX / 2 ? (uint32_t)bytes : UINT32_MAX / 2;
    if (sample > client->expected_bytes)
        client->expected_bytes = sample;
    else
        client->expected_bytes -= (client->expected_bytes - sample) / 8;
}

/* Frees the exchanges at the front that are done, and lets the next one speak. */
static void advance(struct client *client)
{
    struct exchange *exchange;
    while ((exchange = client->first) != NULL) {
        chain_join(&client->out, &client->worker->memory, &exchange->reply);
        if (!exchange->done) {
            if (exchange->methods->on_first != NULL)
                exchange->methods->on_first(exchange);
            break;
        }
        learn_reply_size(client, exchange->reply_bytes);
        client->batch_answered |= exchange->ends_batch;
        client->first = exchange->next;
        if (client->first == NULL)
            client->last = NULL;
        client->under_way--;
        exchange_free(exchange);
    }
    client_dirty(client);
    client_answered(client);
}

void exchange_done(struct exchange *exchange)
{
    exchange->done = true;
    if (exchange == exchange->client->first)
        advance(exchange->client);
}

static void emitted(struct exchange *exchange, size_t len, bool appended)
{
    struct client *client = exchange->client;
    exchange->reply_bytes += len;
    if (!appended)
        client_close_soon(client);
    else if (exchange == client->first)
        client_dirty(client);
}

/* Copies a piece of the reply. A pipeline's replies are many, and share a block; a reply by itself, or one that waits, is short. */
static bool put_copy(struct exchange *exchange, const char *data, size_t len)
{
    struct client *client = exchange->client;
    struct memory *memory = &client->worker->memory;
    if (exchange != client->first)
        return chain_append_few(&exchange->reply, memory, data, len);
    if (client->under_way == 1)
        return chain_append_few(&client->out, memory, data, len);
    return chain_append_copy(&client->out, memory, data, len);
}

void exchange_put(struct exchange *exchange, struct block *block, const char *data, size_t len)
{
    bool appended = len < CHAIN_COPY_BYTES ? put_copy(exchange, data, len)
                                           : chain_append_ref(exchange_chain(exchange),
                                                              &exchange->client->worker->memory, block, data, len);
    emitted(exchange, len, appended);
}

void exchange_put_copy(struct exchange *exchange, struct slice bytes)
{
    emitted(exchange, bytes.len, put_copy(exchange, bytes.data, bytes.len));
}

void exchange_emit(struct exchange *exchange, struct block *block, const char *data, size_t len)
{
    if (exchange->binary != NULL)
        binary_emit(exchange, block, data, len);
    else
        exchange_put(exchange, block, data, len);
}

void exchange_emit_copy(struct exchange *exchange, struct slice bytes)
{
    if (exchange->binary != NULL)
        binary_emit_lines(exchange, bytes);
    else
        exchange_put_copy(exchange, bytes);
}

void exchange_emit_chain(struct exchange *exchange, struct chain *chain)
{
    if (exchange->binary != NULL) {
        binary_emit_chain(exchange, chain);
        return;
    }
    size_t len = chain->bytes;
    chain_splice(exchange_chain(exchange), chain);
    emitted(exchange, len, true);
}

void exchange_answer_bytes(struct client *client, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    if (client->first == NULL) {
        if (!chain_append_few(&client->out, &client->worker->memory, bytes.data, bytes.len))
            client_close_soon(client);
        client_dirty(client);
        return;
    }
    struct exchange *exchange = exchange_create(client, NULL, &ready_methods);
    if (exchange == NULL) {
        client_close_soon(client);
        return;
    }
    exchange_put_copy(exchange, bytes);
    exchange_done(exchange);
}

void exchange_answer(struct client *client, struct slice line)
{
    counter_add(&client->worker->stats.requests_local, 1);
    if (client->asking != NULL)
        binary_answer(client, line);
    else
        exchange_answer_bytes(client, line);
}

void exchange_refuse(struct client *client, struct slice line)
{
    counter_add(&client->worker->stats.requests_failed, 1);
    exchange_answer(client, line);
}

bool exchange_swallows(const struct exchange *exchange, enum reply_code code)
{
    if (!exchange->noreply && !exchange->quiet)
        return false;
    const struct request request = {
        .verb = exchange->verb,
        .noreply = exchange->noreply,
        .quiet = exchange->quiet,
    };
    return request_swallows(&request, code);
}

/* snprintf's result as a slice that ends in CRLF even when the text was cut. */
static struct slice finish_line(char buffer[FAILURE_LINE_MAX], int printed)
{
    size_t len = printed < 0 ? 0 : (size_t)printed;
    if (len > FAILURE_LINE_MAX - 3)
        len = FAILURE_LINE_MAX - 3;
    memcpy(buffer + len, "\r\n", 2);
    return slice_make(buffer, len + 2);
}

struct slice failure_line(char buffer[FAILURE_LINE_MAX], const struct plan *plan, const struct call_failure *failure)
{
    return finish_line(buffer, snprintf(buffer, FAILURE_LINE_MAX, "SERVER_ERROR pool %s: server %s: %s",
                                        plan->pool->name, plan->server->identity.label, failure->text));
}

struct slice plan_failure_line(char buffer[FAILURE_LINE_MAX], const struct plan *plan)
{
    if (plan->outcome == PLAN_NO_SERVER)
        return finish_line(
            buffer, snprintf(buffer, FAILURE_LINE_MAX, "SERVER_ERROR pool %s: every server is down", plan->pool->name));
    static const struct call_failure down = {CALL_FAILURE_DOWN, "the server is down", true};
    return failure_line(buffer, plan, &down);
}

struct slice miss_line(const struct pool *pool, enum verb verb)
{
    if (!pool->misses_on_error)
        return slice_make(NULL, 0);
    if (verb_is_retrieval(verb))
        return SLICE_OF("END\r\n");
    if (verb == VERB_MG)
        return SLICE_OF("EN\r\n");
    return slice_make(NULL, 0);
}
