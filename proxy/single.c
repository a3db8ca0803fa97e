/*
 * Owns requests that go to one server, and whose reply is passed on as it is: nearly all traffic.
 *
 *      start -> place -> send -> reply -> done
 *                 ^        |
 *                 +--------+ failed, and no byte had left, or carrying it out twice does no harm: placed anew
 *
 * The bytes sent are those read, or, where noreply or q have to go, a line printed anew. They stay pinned until the
 * reply, for another try. Of a binary client the line is a translation, and a large value stands apart (binary.h).
 */
#include "proxy/binary.h"
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
        exchange_emit_copy(exchange, exchange->instead);
    single_finish(exchange);
}

/* Answers an error, or what the pool wants instead. pool may be NULL. */
static void single_fail(struct exchange *exchange, const struct pool *pool, struct slice line)
{
    if (exchange->instead.len > 0) {
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
    struct slice miss = pool != NULL ? miss_line(pool, exchange->verb) : slice_make(NULL, 0);
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

/* The first time. What a command does is asked only where the route is more than a pool. */
static struct plan single_place(const struct exchange *exchange, const struct request *request)
{
    struct route_worker *route = pin_route(exchange->pin);
    char buffer[KEY_LEN_MAX];
    struct slice key = route_key(exchange, buffer);
    struct request_traits traits;
    if (route->route->pool == NULL)
        request_traits(request, &traits);
    return route_plan(route, &traits, exchange->verb, key);
}

/* Another time, within the pool. */
static struct plan single_place_again(const struct exchange *exchange)
{
    char buffer[KEY_LEN_MAX];
    return pool_plan(exchange->single.pool, route_key(exchange, buffer));
}

/* ---- Where one call is not all there is to do ---- */

/* Goes on as a run; replayed: what came of the call that was made, or NULL. */
static void single_route(struct exchange *exchange, const struct route_choices *choices,
                         const struct routed_request *replayed)
{
    struct routed_request request = {0};
    if (replayed != NULL)
        request = *replayed;
    struct block *block = exchange->single.block;
    request.client = exchange->client;
    request.pin = exchange->pin;
    request.line_and_body = exchange->single.request;
    request.block = block;
    request.choices = *choices;
    request.cas_offered = exchange->binary != NULL;
    struct memory *memory = &exchange->client->worker->memory;
    struct chain body;
    chain_init(&body);
    if (exchange->binary != NULL && !binary_append_body(exchange, &body)) {
        chain_clear(&body, memory);
        single_fail(exchange, NULL, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    request.body = &body;
    exchange_route(exchange, &request);
    chain_clear(&body, memory);
    block_unref(&block);
}

/* Whether the route has a further word on that outcome; if so it is said. */
static bool route_goes_on(struct exchange *exchange, enum outcome_kind kind, bool unsent, struct slice reply)
{
    struct exchange_single *single = &exchange->single;
    if (!(single->watch >> kind & 1))
        return false;
    const struct routed_request replayed = {.replays = true, .kind = kind, .unsent = unsent, .reply = reply};
    const struct route_choices choices = single->choices;
    single_route(exchange, &choices, &replayed);
    return true;
}

static bool is_plain_success(enum reply_code code)
{
    return code == REPLY_CODE_VALUE || code == REPLY_CODE_STORED || code == REPLY_CODE_HD || code == REPLY_CODE_VA;
}

static bool route_goes_on_after(struct exchange *exchange, const struct call_reply *reply)
{
    if (is_plain_success(reply->unit->code) || !reply->final)
        return false;
    struct request request;
    struct request_traits traits;
    routed_parse(exchange->single.request, &request);
    request_traits(&request, &traits);
    enum outcome_kind kind = outcome_of_reply(&traits, reply->unit->code);
    return route_goes_on(exchange, kind, false, slice_make(reply->data, reply->len));
}

static void single_send(struct exchange *exchange, const struct plan *plan)
{
    struct client *client = exchange->client;
    struct exchange_single *single = &exchange->single;
    single->attempts++;
    single->pool = plan->pool;
    if (verb_is_meta(exchange->verb) && server_is_too_old(plan->server)) {
        static const struct call_failure too_old = {CALL_FAILURE_LOCAL, SERVER_TOO_OLD_TEXT, true};
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
    if (exchange->binary != NULL)
        appended = appended && binary_append_body(exchange, call_out(call));
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

/* request: as parsed, or what stands for it. */
static void single_run(struct exchange *exchange, const struct request *request)
{
    struct plan plan = single_place(exchange, request);
    exchange->single.watch = exchange->instead.len == 0 ? plan.watch : 0;
    exchange->single.choices = plan.choices;
    if (exchange->binary != NULL)
        exchange->binary->asked.is_copy = plan.is_copy;
    if (plan.outcome == PLAN_SEND) {
        single_send(exchange, &plan);
        return;
    }
    if (plan.outcome == PLAN_RUN) {
        single_route(exchange, &plan.choices, NULL);
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
    if (exchange->instead.len > 0) {
        single->call = NULL;
        answer_instead(exchange);
        return true;
    }
    if (single->watch != 0 && reply->first && !single->got_value && route_goes_on_after(exchange, reply))
        return true;
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
    struct plan plan = single_place_again(exchange);
    if (!exchange->single.in_body && may_retry(exchange, failure, failed, &plan)) {
        counter_add(&failed->stats[exchange->client->worker->index].retries, 1);
        single_send(exchange, &plan);
        return;
    }
    const struct plan sent = {.outcome = PLAN_SEND, .pool = plan.pool, .server = failed};
    char buffer[FAILURE_LINE_MAX];
    struct slice line = failure_line(buffer, &sent, failure);
    if (exchange->single.got_value || !route_goes_on(exchange, routed_outcome(failure->reason), failure->unsent, line))
        single_fail(exchange, plan.pool, line);
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
        single_fail(exchange, NULL, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    single_run(exchange, request);
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
    /* See request_print: the old form with a time of 0 is understood by all. */
    bool is_misread = slice_equal(refused->key, SLICE_OF("noreply"));
    const char *end = refused->key_encoded ? " b" : is_misread ? " 0" : "";
    int len = snprintf(text, capacity, "%s %.*s%s\r\n", refused->key_encoded ? "md" : "delete", (int)refused->key.len,
                       refused->key.data, end);
    single->request = slice_make(text, (size_t)len);
    single->key = slice_make((const char *)memchr(text, ' ', (size_t)len) + 1, refused->key.len);
    exchange->instead = refused->error;
    single_run(exchange, &request);
}
