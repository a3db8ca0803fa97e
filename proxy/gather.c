/*
 * Owns requests that every server is asked, and whose replies are made into one.
 *
 *      flush_all         OK when all have said so, else the first error
 *      stats [...]       the counters added up (totals.c), then Ringside's own (stats.c)
 *      version           the lowest one; asked for only while none is known
 *
 * stats of Ringside's own, and verbosity, ask nobody.
 */
#include "proxy/exchange.h"
#include "proxy/stats.h"
#include "proxy/totals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gather_call {
    struct gather *gather;
    const struct pool *pool;
    struct call *call;
};

struct gather {
    struct exchange *exchange;
    enum stats_form form;
    struct totals totals;
    bool out_of_memory;
    size_t error_len;
    char error[FAILURE_LINE_MAX]; /* the first one, a line */
    size_t under_way;
    size_t call_count;
    struct gather_call calls[];
};

static bool on_reply(struct call *call, const struct call_reply *reply);
static void on_failed(struct call *call, const struct call_failure *failure);

static const struct call_methods call_methods = {on_reply, on_failed};

static void gather_free(struct exchange *exchange)
{
    totals_fini(&exchange->gather->totals);
    free(exchange->gather);
    exchange->gather = NULL;
}

static void gather_abandon(struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->gather->call_count; i++)
        call_abandon(&exchange->gather->calls[i].call);
    gather_free(exchange);
}

static const struct exchange_methods gather_methods = {.abandon = gather_abandon};

/* ---- The answers ---- */

static unsigned lowest_version(struct worker *worker, const struct snapshot *snapshot)
{
    unsigned lowest = 0;
    for (size_t p = 0; p < snapshot->route->pool_count; p++) {
        const struct pool *pool = snapshot->route->pools[p];
        for (size_t i = 0; i < pool->server_count; i++) {
            unsigned version = atomic_load_explicit(&pool->servers[i]->version, memory_order_relaxed);
            if (version != 0 && !server_is_down(pool->servers[i]) && (lowest == 0 || version < lowest))
                lowest = version;
        }
    }
    if (lowest != 0)
        atomic_store_explicit(&worker->fleet->lowest_version, lowest, memory_order_relaxed);
    return atomic_load_explicit(&worker->fleet->lowest_version, memory_order_relaxed);
}

static struct slice version_line(char buffer[64], unsigned version)
{
    int len = snprintf(buffer, 64, "VERSION %u.%u.%u\r\n", version >> 20, version >> 10 & 1023, version & 1023);
    return slice_make(buffer, (size_t)len);
}

static struct slice error_line(const struct gather *gather)
{
    if (gather->error_len > 0)
        return slice_make(gather->error, gather->error_len);
    return SLICE_OF("SERVER_ERROR no server answered\r\n");
}

static void answer_version(struct exchange *exchange)
{
    unsigned version = lowest_version(exchange->client->worker, exchange->pin->snapshot);
    char buffer[64];
    exchange_emit_copy(exchange, version != 0 ? version_line(buffer, version) : error_line(exchange->gather));
}

static void answer_stats(struct exchange *exchange)
{
    struct gather *gather = exchange->gather;
    if (gather->form == STATS_RESET) {
        exchange_emit_copy(exchange, gather->error_len > 0 ? error_line(gather) : SLICE_OF("RESET\r\n"));
        return;
    }
    struct text text;
    text_init(&text);
    totals_print(&gather->totals, &text);
    if (gather->form == STATS_GENERAL)
        stats_print(exchange->client->worker->fleet, exchange->pin->snapshot, STATS_RINGSIDE, &text);
    text_append_string(&text, "END\r\n");
    bool failed = text.failed || gather->totals.failed;
    exchange_emit_copy(exchange, failed ? SLICE_OF("SERVER_ERROR out of memory\r\n") : text_slice(&text));
    text_fini(&text);
}

static void answer_flush(struct exchange *exchange)
{
    if (!exchange->noreply)
        exchange_emit_copy(exchange,
                           exchange->gather->error_len > 0 ? error_line(exchange->gather) : SLICE_OF("OK\r\n"));
}

static void gather_one_over(struct gather *gather)
{
    if (--gather->under_way > 0)
        return;
    struct exchange *exchange = gather->exchange;
    if (gather->error_len > 0)
        counter_add(&exchange->client->worker->stats.requests_failed, 1);
    if (exchange->verb == VERB_VERSION)
        answer_version(exchange);
    else if (exchange->verb == VERB_STATS)
        answer_stats(exchange);
    else
        answer_flush(exchange);
    gather_free(exchange);
    exchange_done(exchange);
}

/* ---- The calls ---- */

static void set_error(struct gather *gather, struct slice line)
{
    if (gather->error_len > 0 || line.len > sizeof gather->error)
        return;
    memcpy(gather->error, line.data, line.len);
    gather->error_len = line.len;
}

static bool on_reply(struct call *call, const struct call_reply *reply)
{
    struct gather_call *own = call->owner;
    struct gather *gather = own->gather;
    const struct reply_unit *unit = reply->unit;
    if (unit->code == REPLY_CODE_STAT)
        totals_add(&gather->totals, gather->form, unit->key, unit->rest);
    else if (unit->code == REPLY_CODE_VERSION)
        atomic_store_explicit(&call_server(call)->version, server_version_pack(unit->rest.data, unit->rest.len),
                              memory_order_relaxed);
    else if (unit->code >= REPLY_CODE_ERROR)
        set_error(gather, slice_make(reply->data, reply->len));
    if (!reply->final)
        return true;
    own->call = NULL;
    totals_next_server(&gather->totals);
    gather_one_over(gather);
    return true;
}

static void on_failed(struct call *call, const struct call_failure *failure)
{
    struct gather_call *own = call->owner;
    own->call = NULL;
    const struct plan plan = {.outcome = PLAN_SEND, .pool = own->pool, .server = call_server(call)};
    char buffer[FAILURE_LINE_MAX];
    set_error(own->gather, failure_line(buffer, &plan, failure));
    gather_one_over(own->gather);
}

static void ask(struct gather_call *own, struct server *server, struct slice line)
{
    struct gather *gather = own->gather;
    struct client *client = gather->exchange->client;
    own->call = NULL;
    if (server_is_down(server)) {
        const struct plan plan = {.outcome = PLAN_DOWN, .pool = own->pool, .server = server};
        char buffer[FAILURE_LINE_MAX];
        set_error(gather, plan_failure_line(buffer, &plan));
        return;
    }
    struct upstream *upstream = worker_upstream(client->worker, server);
    struct call *call = upstream_call(upstream, client->lane, gather->exchange->verb, &call_methods, own);
    if (call == NULL) {
        set_error(gather, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    bool appended = chain_append_copy(call_out(call), &client->worker->memory, line.data, line.len);
    upstream_send(call);
    if (!appended) {
        call_give_up(call);
        set_error(gather, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    own->call = call;
    gather->under_way++;
}

static void ask_all(struct exchange *exchange, struct slice line)
{
    struct gather *gather = exchange->gather;
    const struct route *route = exchange->pin->snapshot->route;
    size_t n = 0;
    gather->under_way = 1; /* this one, so that nothing ends while the others are being asked */
    for (size_t p = 0; p < route->pool_count; p++) {
        const struct pool *pool = route->pools[p];
        for (size_t i = 0; i < pool->server_count; i++) {
            struct gather_call *own = &gather->calls[n++];
            own->gather = gather;
            own->pool = pool;
            ask(own, pool->servers[i], line);
        }
    }
    gather_one_over(gather);
}

static size_t servers_reached(const struct route *route)
{
    size_t n = 0;
    for (size_t p = 0; p < route->pool_count; p++)
        n += route->pools[p]->server_count;
    return n;
}

static void start(struct client *client, const struct request *request, enum stats_form form)
{
    size_t count = servers_reached(client->worker->current->snapshot->route);
    struct gather *gather = calloc(1, sizeof *gather + count * sizeof gather->calls[0]);
    struct exchange *exchange = gather != NULL ? exchange_create(client, request, &gather_methods) : NULL;
    if (exchange == NULL) {
        free(gather);
        exchange_refuse(client, SLICE_OF("SERVER_ERROR out of memory\r\n"));
        return;
    }
    exchange->gather = gather;
    gather->exchange = exchange;
    gather->form = form;
    gather->call_count = count;
    totals_init(&gather->totals);
    char line[REQUEST_LINE_MAX + 2];
    size_t len = request_print(request, line, sizeof line);
    ask_all(exchange, slice_make(line, len));
}

/* stats of Ringside's own. */
static void answer_own_stats(struct client *client, enum stats_form form)
{
    struct text text;
    text_init(&text);
    stats_print(client->worker->fleet, client->worker->current->snapshot, form, &text);
    text_append_string(&text, "END\r\n");
    exchange_answer(client, text.failed ? SLICE_OF("SERVER_ERROR out of memory\r\n") : text_slice(&text));
    text_fini(&text);
}

static void start_stats(struct client *client, const struct request *request)
{
    enum stats_form form;
    if (!stats_form_by_name(request->argument, &form))
        exchange_answer(client, SLICE_OF("ERROR\r\n"));
    else if (form >= STATS_RINGSIDE)
        answer_own_stats(client, form);
    else
        start(client, request, form);
}

void gather_start(struct client *client, const struct request *request)
{
    unsigned version;
    char buffer[64];
    switch (request->verb) {
    case VERB_STATS:
        start_stats(client, request);
        break;
    case VERB_VERSION:
        version = lowest_version(client->worker, client->worker->current->snapshot);
        if (version != 0)
            exchange_answer(client, version_line(buffer, version));
        else
            start(client, request, STATS_GENERAL);
        break;
    case VERB_VERBOSITY:
        exchange_answer(client, request->noreply ? slice_make(NULL, 0) : SLICE_OF("OK\r\n"));
        break;
    default:
        start(client, request, STATS_GENERAL);
        break;
    }
}
