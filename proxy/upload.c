/*
 * Owns storage commands whose value does not fit a block: the value goes on to the server as it comes.
 *
 *      start -> data ... data -> (all is sent) -> reply -> done
 *                 \-> failed or refused: the rest of the data block is swallowed, then the error is answered
 *      start -> data ... data -> (all is here) -> exchange_route
 *                 where the route may need the value more than once (replicas, failover): it is gathered first
 *
 * It travels on a connection of its own, so that a slow client holds up nobody else; and alone in its client's order
 * (CLIENT_PAUSE_ORDER), since requests before and after it travel on another connection.
 */
#include "proxy/exchange.h"

#include <stdlib.h>
#include <string.h>

struct upload {
    struct call *call;
    bool complete; /* the client has sent all of it */
    bool answered; /* the reply, or what stands for it, is in exchange->reply */
    struct plan plan;
    bool gathers;        /* all of it is needed before the first byte goes on */
    struct block *block; /* holds line */
    struct slice line;   /* the command as it is sent */
    struct chain body;   /* the data block so far */
    char tail[2];        /* its last two bytes */
};

static bool on_reply(struct call *call, const struct call_reply *reply);
static void on_failed(struct call *call, const struct call_failure *failure);

static const struct call_methods call_methods = {on_reply, on_failed};

static void upload_free(struct exchange *exchange)
{
    struct upload *upload = exchange->upload;
    exchange->upload = NULL;
    chain_clear(&upload->body, &exchange->client->worker->memory);
    block_unref(&upload->block);
    free(upload);
}

/* Ends it once both the data block and the answer are there. */
static void upload_finish(struct exchange *exchange)
{
    struct upload *upload = exchange->upload;
    if (!upload->complete || !upload->answered)
        return;
    upload_free(exchange);
    exchange_done(exchange);
}

/* May be before the data block has been read: the exchange ends when both have come. */
static void upload_answer(struct exchange *exchange, struct slice line)
{
    if (exchange->upload->answered)
        return;
    exchange->upload->answered = true;
    if (line.len > 0)
        exchange_emit_copy(exchange, line);
    upload_finish(exchange);
}

static bool on_reply(struct call *call, const struct call_reply *reply)
{
    struct exchange *exchange = call->owner;
    exchange->upload->call = NULL;
    bool swallowed = exchange_swallows(exchange, reply->unit->code);
    upload_answer(exchange, swallowed ? slice_make(NULL, 0) : slice_make(reply->data, reply->len));
    return true;
}

static void upload_fail(struct exchange *exchange, struct slice line)
{
    counter_add(&exchange->client->worker->stats.requests_failed, 1);
    upload_answer(exchange, exchange->noreply ? slice_make(NULL, 0) : line);
}

static void on_failed(struct call *call, const struct call_failure *failure)
{
    struct exchange *exchange = call->owner;
    exchange->upload->call = NULL;
    char buffer[FAILURE_LINE_MAX];
    upload_fail(exchange, failure_line(buffer, &exchange->upload->plan, failure));
}

static void upload_abandon(struct exchange *exchange)
{
    call_abandon(&exchange->upload->call);
    upload_free(exchange);
}

static const struct exchange_methods upload_methods = {.abandon = upload_abandon};

static bool upload_send_line(struct exchange *exchange, const struct request *request)
{
    struct upload *upload = exchange->upload;
    struct worker *worker = exchange->client->worker;
    struct upstream *upstream = worker_upstream(worker, upload->plan.server);
    struct call *call = upstream_upload(upstream, request->verb, &call_methods, exchange);
    if (call == NULL)
        return false;
    char *line = chain_reserve(call_out(call), &worker->memory, REQUEST_LINE_MAX + 2);
    if (line != NULL)
        chain_trim(call_out(call), REQUEST_LINE_MAX + 2 - request_print(request, line, REQUEST_LINE_MAX + 2));
    upstream_send(call);
    if (line == NULL) {
        call_give_up(call);
        return false;
    }
    upload->call = call;
    return true;
}

/* ---- Gathering ---- */

static bool upload_keep_line(struct exchange *exchange, const struct request *request)
{
    struct upload *upload = exchange->upload;
    char *line = worker_scratch(exchange->client->worker, REQUEST_LINE_MAX + 2, &upload->block);
    if (line == NULL)
        return false;
    upload->line = slice_make(line, request_print(request, line, REQUEST_LINE_MAX + 2));
    return upload->line.len > 0;
}

static void upload_gather(struct exchange *exchange, struct block *block, const char *data, size_t len)
{
    struct upload *upload = exchange->upload;
    if (upload->answered)
        return;
    if (!chain_append(&upload->body, &exchange->client->worker->memory, block, data, len)) {
        chain_clear(&upload->body, &exchange->client->worker->memory);
        upload_fail(exchange, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    upload->tail[0] = len > 1 ? data[len - 2] : len > 0 ? upload->tail[1] : upload->tail[0];
    upload->tail[1] = len > 0 ? data[len - 1] : upload->tail[1];
}

/* All of it is here: the exchange becomes one that takes more than one call. */
static void upload_route(struct exchange *exchange)
{
    struct upload *upload = exchange->upload;
    if (memcmp(upload->tail, "\r\n", 2) != 0) {
        upload_answer(exchange, exchange->noreply ? slice_make(NULL, 0) : SLICE_OF("CLIENT_ERROR bad data chunk\r\n"));
        return;
    }
    struct block *block = upload->block;
    struct chain body = upload->body;
    const struct routed_request request = {
        .client = exchange->client,
        .pin = exchange->pin,
        .line_and_body = upload->line,
        .block = block,
        .body = &body,
        .choices = upload->plan.choices,
        .cas_offered = exchange->binary != NULL,
    };
    struct memory *memory = &exchange->client->worker->memory;
    free(upload);
    exchange_route(exchange, &request);
    chain_clear(&body, memory);
    block_unref(&block);
}

struct exchange *upload_start(struct client *client, const struct request *request)
{
    struct upload *upload = calloc(1, sizeof *upload);
    struct exchange *exchange = upload != NULL ? exchange_create(client, request, &upload_methods) : NULL;
    if (exchange == NULL) {
        free(upload);
        return NULL;
    }
    exchange->upload = upload;
    char buffer[KEY_LEN_MAX];
    struct request_traits traits;
    request_traits(request, &traits);
    upload->plan = route_plan(pin_route(exchange->pin), &traits, request->verb, request_route_key(request, buffer));
    if (upload->plan.outcome == PLAN_RUN || upload->plan.watch != 0) {
        upload->gathers = true;
        if (!upload_keep_line(exchange, request))
            upload_fail(exchange, SLICE_OF("SERVER_ERROR out of memory\r\n"));
    } else if (upload->plan.outcome != PLAN_SEND) {
        char line[FAILURE_LINE_MAX];
        upload_fail(exchange, plan_failure_line(line, &upload->plan));
    } else if (verb_is_meta(request->verb) && server_is_too_old(upload->plan.server)) {
        static const struct call_failure too_old = {CALL_FAILURE_LOCAL, SERVER_TOO_OLD_TEXT, true};
        char line[FAILURE_LINE_MAX];
        upload_fail(exchange, failure_line(line, &upload->plan, &too_old));
    } else if (!upload_send_line(exchange, request)) {
        upload_fail(exchange, SLICE_OF("SERVER_ERROR out of memory\r\n"));
    }
    return exchange;
}

void upload_data(struct exchange *exchange, struct block *block, const char *data, size_t len, uint64_t left)
{
    struct upload *upload = exchange->upload;
    struct client *client = exchange->client;
    struct call *call = upload->call;
    if (upload->gathers) {
        upload_gather(exchange, block, data, len);
    } else if (call != NULL) {
        if (chain_append(call_out(call), &client->worker->memory, block, data, len)) {
            upload_continue(call);
            client_heed(client, call);
        } else {
            call_give_up(call);
            upload->call = NULL;
            upload_fail(exchange, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        }
    }
    if (left > 0)
        return;
    upload->complete = true;
    if (upload->call != NULL)
        upload_end(upload->call);
    if (upload->gathers && !upload->answered)
        upload_route(exchange);
    else
        upload_finish(exchange);
}
