/*
 * Owns requests that go to one server, and whose reply is passed on as it is: nearly all traffic.
 *
 *      start -> place -> send -> reply -> done
 *                 ^        |
 *                 +--------+ failed, and no byte had left, or carrying it out twice does no harm: placed anew
 *
 * The bytes sent are those read, or, where noreply or q have to go, a line printed anew. They stay pinned until the
 * reply, for another try.
 */
#include "proxy/exchange.h"

#include <stdio.h>
#include <string.h>

/* Tries in all: the first, one on a new connection, one on the server that stands in. */
#define ATTEMPTS_MAX 3

static bool on_reply(struct call *call, const struct call_reply *reply);
static void on_failed(struct call *call, const struct call_failure *failure);

static const struct call_methods call_methods = {on_reply, on_failed};

static void single_finish(struct exchange *exchange)
{
    block_unref(&exchange->single.block);
    exchange_done(exchange);
}

static void answer_instead(struct exchange *exchange)
{
    if (!exchange->noreply)
        exchange_emit_copy(exchange, exchange->single.instead);
    single_finish(exchange);
}

/* Answers an error, or what the pool wants instead. */
static void single_fail(struct exchange *exchange, const struct pool *pool, struct slice line)
{
    if (exchange->single.instead.len > 0) {
        answer_instead(exchange);
        return;
    }
    counter_add(&exchange->client->worker->stats.requests_failed, 1);
    if (exchange->single.in_body && exchange != exchange->client->first) {
        /* What there is of the value waits here still. */
        chain_clear(&exchange->reply, &exchange->client->worker->memory);
        exchange->single.in_body = false;
        exchange->single.got_value = false;
    }
    if (exchange->single.in_body) {
        /* A part of a value is out already: nothing that follows could be told from it. */
        counter_add(&exchange->client->worker->stats.clients_cut, 1);
        client_close_soon(exchange->client);
        single_finish(exchange);
        return;
    }
    struct slice miss = miss_line(pool, exchange->verb);
    if (miss.len > 0 && !exchange->single.got_value)
        line = miss;
    bool silent = exchange->noreply || (miss.len > 0 && exchange_swallows(exchange, REPLY_CODE_EN));
    if (!silent)
        exchange_emit_copy(exchange, line);
    single_finish(exchange);
}

static struct slice route_key(const struct exchange *exchange, char buffer[KEY_LEN_MAX])
{
    const struct exchange_single *single = &exchange->single;
    if (!exchange->key_encoded)
        return single->key;
    const struct request request = {.verb = exchange->verb, .key = single->key, .key_encoded = true};
    return request_route_key(&request, buffer);
}

static struct plan single_place(const struct exchange *exchange)
{
    char buffer[KEY_LEN_MAX];
    return route_plan(&exchange->pin->snapshot->route, exchange->verb, route_key(exchange, buffer));
}

static void single_send(struct exchange *exchange, const struct plan *plan)
{
    struct client *client = exchange->client;
    struct exchange_single *single = &exchange->single;
    single->attempts++;
    if (verb_is_meta(exchange->verb) && plan->server->version != 0 && !server_knows_meta(plan->server)) {
        static const struct call_failure too_old = {CALL_FAILURE_LOCAL,
                                                    "it is older than 1.6.10 and has no meta commands", true};
        char buffer[FAILURE_LINE_MAX];
        single_fail(exchange, plan->pool, failure_line(buffer, plan, &too_old));
        return;
    }
    struct upstream *upstream = worker_upstream(client->worker, plan->server);
    struct call *call = upstream_call(upstream, client->lane, exchange->verb, &call_methods, exchange);
    if (call == NULL)
        goto failed;
    call->whole = verb_is_retrieval(exchange->verb);
    bool appended =
        chain_append(call_out(call), &client->worker->memory, single->block, single->request.data, single->request.len);
    upstream_send(call);
    if (!appended) {
        /* Half a request may stand there now: nothing may follow it. */
        call_give_up(call);
        goto failed;
    }
    single->call = call;
    client_heed(client, call);
    return;

failed:
    single_fail(exchange, plan->pool, SLICE_OF("SERVER_ERROR out of memory\r\n"));
}

static void single_run(struct exchange *exchange)
{
    struct plan plan = single_place(exchange);
    if (plan.outcome == PLAN_SEND) {
        single_send(exchange, &plan);
        return;
    }
    if (plan.server != NULL)
        counter_add(&plan.server->stats[exchange->client->worker->index].errors_down, 1);
    else
        atomic_fetch_add_explicit(&plan.pool->health->no_server, 1, memory_order_relaxed);
    char buffer[FAILURE_LINE_MAX];
    single_fail(exchange, plan.pool, plan_failure_line(buffer, &plan));
}

static bool on_reply(struct call *call, const struct call_reply *reply)
{
    struct exchange *exchange = call->owner;
    struct exchange_single *single = &exchange->single;
    const struct reply_unit *unit = reply->unit;
    if (single->instead.len > 0) {
        single->call = NULL;
        answer_instead(exchange);
        return true;
    }
    if (reply->first && unit->code == REPLY_CODE_VALUE) {
        if (single->got_value || !slice_equal(unit->key, single->key))
            return false;
        single->got_value = true;
    }
    if (!exchange_swallows(exchange, unit->code))
        exchange_emit(exchange, reply->block, reply->data, reply->len);
    single->in_body = !reply->last;
    if (reply->final) {
        client_release(exchange->client);
        single->call = NULL;
        single_finish(exchange);
    } else if (exchange == exchange->client->first) {
        client_hold(exchange->client, call);
    }
    return true;
}

/* Whether another try may be made, and promises more than the last one. */
static bool may_retry(const struct exchange *exchange, const struct call_failure *failure, const struct server *failed,
                      const struct plan *next)
{
    if (exchange->single.attempts >= ATTEMPTS_MAX || exchange->single.got_value || next->outcome != PLAN_SEND)
        return false;
    if (!failure->unsent && !exchange->repeatable)
        return false;
    if (failure->reason == CALL_FAILURE_RESET)
        return true;
    return (failure->reason == CALL_FAILURE_REFUSED || failure->reason == CALL_FAILURE_CONNECT_TIMEOUT ||
            failure->reason == CALL_FAILURE_PROTOCOL) &&
           next->server != failed;
}

static void on_failed(struct call *call, const struct call_failure *failure)
{
    struct exchange *exchange = call->owner;
    struct server *failed = call_server(call);
    client_forget(exchange->client, call);
    exchange->single.call = NULL;
    struct plan plan = single_place(exchange);
    if (!exchange->single.in_body && may_retry(exchange, failure, failed, &plan)) {
        counter_add(&failed->stats[exchange->client->worker->index].retries, 1);
        single_send(exchange, &plan);
        return;
    }
    const struct plan sent = {PLAN_SEND, plan.pool, failed};
    char buffer[FAILURE_LINE_MAX];
    single_fail(exchange, plan.pool, failure_line(buffer, &sent, failure));
}

static void single_abandon(struct exchange *exchange)
{
    call_abandon(&exchange->single.call);
    block_unref(&exchange->single.block);
}

static const struct exchange_methods single_methods = {.abandon = single_abandon};

/* Prints the request's line anew and puts its data block behind it. false when memory is out. */
static bool print_anew(struct exchange *exchange, const struct request *request, struct slice line_and_body)
{
    struct exchange_single *single = &exchange->single;
    size_t body = line_and_body.len - request->line_bytes;
    size_t capacity = request->line.len + REQUEST_PRINT_EXTRA + body;
    char *text = worker_scratch(exchange->client->worker, capacity, &single->block);
    if (text == NULL)
        return false;
    size_t line = request_print(request, text, capacity - body);
    if (line == 0)
        return false;
    memcpy(text + line, line_and_body.data + request->line_bytes, body);
    single->request = slice_make(text, line + body);
    /* A retrieval's key stands at the line's end, others behind the verb and one space. */
    size_t before = verb_name(request->verb).len + 1;
    if (verb_is_retrieval(request->verb))
        before = line - 2 - request->key.len;
    single->key = slice_make(text + before, request->key.len);
    return true;
}

void single_start(struct client *client, const struct request *request, struct block *block, struct slice line_and_body)
{
    struct exchange *exchange = exchange_create(client, request, &single_methods);
    if (exchange == NULL) {
        exchange_refuse(client, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    if (request->verbatim) {
        exchange->single.block = block_ref(block);
        exchange->single.request = line_and_body;
        exchange->single.key = request->key;
    } else if (!print_anew(exchange, request, line_and_body)) {
        single_fail(exchange, exchange->pin->snapshot->route.pool, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    single_run(exchange);
}

void single_remove(struct client *client, const struct request *refused)
{
    struct request request = *refused;
    request.verb = refused->key_encoded ? VERB_MD : VERB_DELETE;
    request.quiet = false;
    struct exchange *exchange = exchange_create(client, &request, &single_methods);
    struct exchange_single *single = exchange != NULL ? &exchange->single : NULL;
    size_t capacity = KEY_LEN_MAX + sizeof "delete  b\r\n";
    char *text = exchange != NULL ? worker_scratch(client->worker, capacity, &single->block) : NULL;
    if (text == NULL) {
        if (exchange != NULL)
            exchange_done(exchange);
        exchange_refuse(client, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    int len = snprintf(text, capacity, refused->key_encoded ? "md %.*s b\r\n" : "delete %.*s\r\n",
                       (int)refused->key.len, refused->key.data);
    single->request = slice_make(text, (size_t)len);
    single->key = slice_make((const char *)memchr(text, ' ', (size_t)len) + 1, refused->key.len);
    single->instead = refused->error;
    single_run(exchange);
}
