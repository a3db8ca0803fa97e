/*
 * Owns the exchange of a request that takes more than one call: it takes the answer of a routed request (routed.h), and
 * gives it to the client in the request's turn.
 */
#include "proxy/binary.h"
#include "proxy/exchange.h"

static bool is_silent(const struct exchange *exchange, enum outcome_kind kind)
{
    return exchange->noreply || (kind == OUTCOME_MISS && exchange_swallows(exchange, REPLY_CODE_EN));
}

static void on_piece(void *owner, unsigned tag, const struct routed_piece *piece)
{
    (void)tag;
    struct exchange *exchange = owner;
    if (exchange->binary != NULL)
        exchange->binary->asked.is_copy = piece->is_copy;
    if (exchange->instead.len > 0 || exchange_swallows(exchange, piece->code)) {
        if (piece->chain != NULL)
            chain_clear(piece->chain, &exchange->client->worker->memory);
    } else if (piece->chain != NULL) {
        exchange_emit_chain(exchange, piece->chain);
    } else {
        exchange_emit(exchange, piece->block, piece->data, piece->len);
    }
    if (piece->call != NULL && exchange == exchange->client->first)
        client_hold(exchange->client, piece->call);
}

static void on_line(void *owner, unsigned tag, enum outcome_kind kind, struct slice line)
{
    (void)tag;
    struct exchange *exchange = owner;
    if (outcome_is_failure(kind))
        counter_add(&exchange->client->worker->stats.requests_failed, 1);
    if (exchange->instead.len > 0)
        line = exchange->instead;
    if (!is_silent(exchange, kind))
        exchange_emit_copy(exchange, line);
    exchange_done(exchange);
}

static void on_end(void *owner, unsigned tag)
{
    (void)tag;
    struct exchange *exchange = owner;
    client_release(exchange->client);
    if (exchange->instead.len > 0 && !exchange->noreply)
        exchange_emit_copy(exchange, exchange->instead);
    exchange_done(exchange);
}

static void on_cut(void *owner, unsigned tag, struct slice line)
{
    (void)tag;
    struct exchange *exchange = owner;
    struct client *client = exchange->client;
    counter_add(&client->worker->stats.requests_failed, 1);
    if (exchange != client->first) {
        /* What there is of the value waits here still. */
        chain_clear(&exchange->reply, &client->worker->memory);
        exchange_emit_copy(exchange, line);
    } else {
        counter_add(&client->worker->stats.clients_cut, 1);
        client_close_soon(client);
    }
    exchange_done(exchange);
}

static const struct routed_taker taker = {
    .on_piece = on_piece,
    .on_line = on_line,
    .on_end = on_end,
    .on_cut = on_cut,
    .takes_end = true,
};

static void answer_abandon(struct exchange *exchange)
{
    routed_leave(&exchange->routed);
}

static const struct exchange_methods answer_methods = {.abandon = answer_abandon};

void exchange_route(struct exchange *exchange, const struct routed_request *request)
{
    exchange->methods = &answer_methods;
    exchange->routed = NULL;
    if (!routed_start(request, &taker, exchange, 0, &exchange->routed))
        on_line(exchange, 0, OUTCOME_ERROR, SLICE_OF("SERVER_ERROR out of memory\r\n"));
}
