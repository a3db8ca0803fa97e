/*
 * Owns retrievals of several keys: split by server, sent to all at once, merged in the order of the keys.
 *
 *      keys      0  1  2  3  4  5        each knows its state, and the next key of the same part
 *      parts     A  B  A  A  C  B        one call each: "get k0 k2 k3", "get k1 k5", "get k4"
 *                ^
 *                next: all before it have been given out
 *
 * A VALUE that comes for key `next` goes out at once; others are held at their key. A key that a part's reply has passed
 * over is a miss. The reply's keys are compared with those asked for: one that was not asked for costs the server its
 * connection. Keys of a part that failed are placed anew where that is safe. Lines of more than KEYS_MAX keys are the
 * caller's to cut (long_get.c).
 */
#include "proxy/multiget.h"

#include <string.h>

/* Times that keys of failed parts are placed anew. */
#define RETRIES_MAX 2
/* A part of gat takes no further key beyond these bytes of keys: with that key, verb and time it stays under 1 024. */
#define TOUCH_KEYS_BYTES 700

static bool part_on_reply(struct call *call, const struct call_reply *reply);
static void part_on_failed(struct call *call, const struct call_failure *failure);

static const struct call_methods part_methods = {part_on_reply, part_on_failed};

/* ---- Giving out ---- */

static void multiget_free(struct multiget *multiget)
{
    struct worker *worker = multiget->exchange->client->worker;
    for (uint16_t k = multiget->next; k < multiget->key_count; k++)
        chain_clear(&multiget->keys[k].held, &worker->memory);
    block_unref(&multiget->block);
    long_get_unref(&multiget->part_of);
    slab_free(&worker->multiget_slab, multiget);
}

static void multiget_finish(struct multiget *multiget)
{
    struct exchange *exchange = multiget->exchange;
    struct slice error = slice_make(multiget->error, multiget->error_len);
    if (multiget->part_of == NULL)
        exchange_emit_copy(exchange, error.len > 0 ? error : SLICE_OF("END\r\n"));
    else if (error.len > 0)
        long_get_fail(multiget->part_of, error);
    multiget_free(multiget);
    exchange_done(exchange);
}

/* Gives out what can be given out now. */
static void multiget_advance(struct multiget *multiget)
{
    while (multiget->next < multiget->key_count) {
        struct multiget_key *key = &multiget->keys[multiget->next];
        if (!chain_is_empty(&key->held))
            exchange_emit_chain(multiget->exchange, &key->held);
        if (key->state == KEY_WAITING)
            return;
        multiget->next++;
    }
}

/* A part is over. */
static void multiget_part_over(struct multiget *multiget)
{
    multiget->parts_under_way--;
    multiget_advance(multiget);
    if (multiget->parts_under_way == 0 && multiget->next == multiget->key_count)
        multiget_finish(multiget);
}

static void set_error(struct multiget *multiget, struct slice line)
{
    if (multiget->error_len > 0 || line.len < 2)
        return;
    size_t len = line.len < sizeof multiget->error ? line.len : sizeof multiget->error;
    memcpy(multiget->error, line.data, len);
    memcpy(multiget->error + len - 2, "\r\n", 2);
    multiget->error_len = len;
}

static void fail_key(struct multiget *multiget, uint16_t k, const struct pool *pool, struct slice line)
{
    multiget->keys[k].state = KEY_FAILED;
    chain_clear(&multiget->keys[k].held, &multiget->exchange->client->worker->memory);
    if (!pool->misses_on_error)
        set_error(multiget, line);
}

/* ---- Replies ---- */

/* The key that the unit names, among those that the part may still name; those before it are misses. NO_KEY: none. */
static uint16_t find_key(struct multiget_part *part, struct slice name)
{
    struct multiget_key *keys = part->multiget->keys;
    uint16_t k = part->first;
    while (k != NO_KEY && !(keys[k].len == name.len && memcmp(keys[k].data, name.data, name.len) == 0))
        k = keys[k].next;
    if (k == NO_KEY)
        return NO_KEY;
    for (; part->first != k; part->first = keys[part->first].next)
        keys[part->first].state = KEY_MISSED;
    part->first = keys[k].next;
    return k;
}

static bool take_value(struct multiget_part *part, const struct call_reply *reply)
{
    struct multiget *multiget = part->multiget;
    if (reply->first) {
        part->current = find_key(part, reply->unit->key);
        if (part->current == NO_KEY)
            return false;
        multiget_advance(multiget);
    }
    struct exchange *exchange = multiget->exchange;
    struct multiget_key *key = &multiget->keys[part->current];
    if (part->current == multiget->next)
        exchange_emit(exchange, reply->block, reply->data, reply->len);
    else if (!chain_append(&key->held, &exchange->client->worker->memory, reply->block, reply->data, reply->len))
        client_close_soon(exchange->client);
    if (reply->last) {
        key->state = KEY_HELD;
        part->current = NO_KEY;
        multiget_advance(multiget);
    }
    return true;
}

static bool part_on_reply(struct call *call, const struct call_reply *reply)
{
    struct multiget_part *part = call->owner;
    struct multiget *multiget = part->multiget;
    if (reply->unit->code == REPLY_CODE_VALUE)
        return take_value(part, reply);
    part->call = NULL;
    bool ended = reply->unit->code == REPLY_CODE_END;
    for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next) {
        if (ended)
            multiget->keys[k].state = KEY_MISSED;
        else
            fail_key(multiget, k, part->pool, slice_make(reply->data, reply->len));
    }
    multiget_part_over(multiget);
    return true;
}

/* ---- Splitting and sending ---- */

static bool append_request(struct multiget_part *part, struct call *call)
{
    struct multiget *multiget = part->multiget;
    struct memory *memory = &multiget->exchange->client->worker->memory;
    struct chain *out = call_out(call);
    size_t total = multiget->prefix.len + part->bytes + 2;
    char *place = total <= BLOCK_SMALL_BYTES ? chain_reserve(out, memory, total) : NULL;
    if (place != NULL) {
        memcpy(place, multiget->prefix.data, multiget->prefix.len);
        place += multiget->prefix.len;
        for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next) {
            *place++ = ' ';
            memcpy(place, multiget->keys[k].data, multiget->keys[k].len);
            place += multiget->keys[k].len;
        }
        memcpy(place, "\r\n", 2);
        return true;
    }
    bool appended = chain_append_copy(out, memory, multiget->prefix.data, multiget->prefix.len);
    for (uint16_t k = part->first; appended && k != NO_KEY; k = multiget->keys[k].next)
        appended = chain_append_copy(out, memory, " ", 1) &&
                   chain_append_copy(out, memory, multiget->keys[k].data, multiget->keys[k].len);
    return appended && chain_append_copy(out, memory, "\r\n", 2);
}

static void send_part(struct multiget_part *part)
{
    struct multiget *multiget = part->multiget;
    struct client *client = multiget->exchange->client;
    struct call *call = upstream_call(part->upstream, client->lane, multiget->exchange->verb, &part_methods, part);
    if (call != NULL) {
        call->keys = part->count;
        bool appended = append_request(part, call);
        upstream_send(call);
        if (appended) {
            part->call = call;
            multiget->parts_under_way++;
            client_heed(client, call);
            return;
        }
        call_give_up(call);
    }
    for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next)
        fail_key(multiget, k, part->pool, SLICE_OF("SERVER_ERROR out of memory\r\n"));
}

/* Servers close on a gat line of more than 2 048 bytes (1 024 before 1.5) that comes in pieces; get may be of any length. */
static bool is_full(const struct multiget_part *part)
{
    enum verb verb = part->multiget->exchange->verb;
    return (verb == VERB_GAT || verb == VERB_GATS) && part->bytes > TOUCH_KEYS_BYTES;
}

static struct multiget_part *part_for(struct multiget *multiget, const struct plan *plan, uint64_t mark)
{
    struct upstream *upstream = worker_upstream(multiget->exchange->client->worker, plan->server);
    if (upstream->mark == mark && !is_full(&multiget->parts[upstream->mark_index]))
        return &multiget->parts[upstream->mark_index];
    if (multiget->part_count == PARTS_MAX)
        return NULL;
    upstream->mark = mark;
    upstream->mark_index = multiget->part_count;
    struct multiget_part *part = &multiget->parts[multiget->part_count++];
    *part = (struct multiget_part){
        .multiget = multiget,
        .upstream = upstream,
        .pool = plan->pool,
        .first = NO_KEY,
        .last = NO_KEY,
        .current = NO_KEY,
    };
    return part;
}

static void fail_unplaced(struct multiget *multiget, uint16_t k, const struct plan *plan)
{
    if (plan->server != NULL)
        counter_add(&plan->server->stats[multiget->exchange->client->worker->index].errors_down, 1);
    else
        atomic_fetch_add_explicit(&plan->pool->health->no_server, 1, memory_order_relaxed);
    char buffer[FAILURE_LINE_MAX];
    fail_key(multiget, k, plan->pool, plan_failure_line(buffer, plan));
}

/* Puts a key into the part of its server. `failed`: a server that need not be tried again; may be NULL. */
static void place_key(struct multiget *multiget, uint16_t k, uint64_t mark, const struct server *failed,
                      struct slice failure)
{
    struct multiget_key *key = &multiget->keys[k];
    struct exchange *exchange = multiget->exchange;
    struct plan plan = route_plan(&exchange->pin->snapshot->route, exchange->verb, slice_make(key->data, key->len));
    if (plan.outcome != PLAN_SEND) {
        fail_unplaced(multiget, k, &plan);
        return;
    }
    struct multiget_part *part = plan.server != failed ? part_for(multiget, &plan, mark) : NULL;
    if (part == NULL) {
        fail_key(multiget, k, plan.pool, failure);
        return;
    }
    key->next = NO_KEY;
    if (part->first == NO_KEY)
        part->first = k;
    else
        multiget->keys[part->last].next = k;
    part->last = k;
    part->count++;
    part->bytes += 1u + key->len;
}

/* Splits the keys from k on over their servers, and sends each its part. */
static void place_keys(struct multiget *multiget, uint16_t k, const struct server *failed, struct slice failure)
{
    uint64_t mark = ++multiget->exchange->client->worker->next_mark;
    uint16_t first_part = multiget->part_count;
    while (k != NO_KEY) {
        uint16_t following = multiget->keys[k].next;
        place_key(multiget, k, mark, failed, failure);
        k = following;
    }
    for (uint16_t p = first_part; p < multiget->part_count; p++)
        send_part(&multiget->parts[p]);
}

/* ---- Failing ---- */

static bool may_retry(const struct multiget *multiget, const struct call_failure *failure)
{
    if (multiget->retries >= RETRIES_MAX || (!failure->unsent && !multiget->exchange->repeatable))
        return false;
    /* Not after a protocol error: the misses that the reply seemed to tell of may be none, and may be out already. */
    return failure->reason == CALL_FAILURE_RESET || failure->reason == CALL_FAILURE_REFUSED ||
           failure->reason == CALL_FAILURE_CONNECT_TIMEOUT;
}

/* A unit has arrived in part. false: that part is out already, and the client's stream cannot be mended. */
static bool drop_current(struct multiget_part *part, struct slice line)
{
    struct multiget *multiget = part->multiget;
    uint16_t k = part->current;
    if (k == NO_KEY)
        return true;
    part->current = NO_KEY;
    fail_key(multiget, k, part->pool, line);
    return k != multiget->next;
}

static void part_on_failed(struct call *call, const struct call_failure *failure)
{
    struct multiget_part *part = call->owner;
    struct multiget *multiget = part->multiget;
    struct worker *worker = multiget->exchange->client->worker;
    struct server *failed = call_server(call);
    part->call = NULL;
    const struct plan sent = {PLAN_SEND, part->pool, failed};
    char buffer[FAILURE_LINE_MAX];
    struct slice line = failure_line(buffer, &sent, failure);
    counter_add(&worker->stats.requests_failed, 1);
    if (!drop_current(part, line)) {
        counter_add(&worker->stats.clients_cut, 1);
        client_close_soon(multiget->exchange->client);
    }
    if (may_retry(multiget, failure)) {
        multiget->retries++;
        counter_add(&failed->stats[worker->index].retries, 1);
        bool same_again = failure->reason == CALL_FAILURE_RESET;
        place_keys(multiget, part->first, same_again ? NULL : failed, line);
    } else {
        for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next)
            fail_key(multiget, k, part->pool, line);
        /* Also when no key is left: after a protocol error what seemed to be misses may be none. */
        if (!part->pool->misses_on_error)
            set_error(multiget, line);
    }
    multiget_part_over(multiget);
}

/* ---- Starting ---- */

static void multiget_abandon(struct exchange *exchange)
{
    struct multiget *multiget = exchange->multiget;
    for (uint16_t p = 0; p < multiget->part_count; p++)
        call_abandon(&multiget->parts[p].call);
    multiget_free(multiget);
}

static const struct exchange_methods multiget_methods = {.abandon = multiget_abandon};

static void add_keys(struct multiget *multiget, struct slice *keys)
{
    struct slice name;
    while (multiget->key_count < MULTIGET_KEYS_MAX && request_next_key(keys, &name)) {
        struct multiget_key *key = &multiget->keys[multiget->key_count++];
        key->data = name.data;
        key->len = (uint8_t)name.len;
        key->state = KEY_WAITING;
        key->next = multiget->key_count;
        chain_init(&key->held);
    }
    multiget->keys[multiget->key_count - 1].next = NO_KEY;
}

/* One exchange for the next keys of *keys. false when memory is out. */
static bool start_some(struct client *client, const struct request *request, struct block *block,
                       struct long_get *part_of, struct slice *keys)
{
    struct multiget *multiget = slab_alloc(&client->worker->multiget_slab);
    if (multiget == NULL)
        return false;
    struct exchange *exchange = exchange_create(client, request, &multiget_methods);
    if (exchange == NULL) {
        slab_free(&client->worker->multiget_slab, multiget);
        return false;
    }
    exchange->multiget = multiget;
    multiget->exchange = exchange;
    multiget->block = block_ref(block);
    multiget->prefix = request->prefix;
    multiget->part_of = part_of != NULL ? long_get_ref(part_of) : NULL;
    multiget->key_count = 0;
    multiget->next = 0;
    multiget->part_count = 0;
    multiget->parts_under_way = 1; /* this one, so that nothing ends while it is being split */
    multiget->retries = 0;
    multiget->error_len = 0;
    add_keys(multiget, keys);
    place_keys(multiget, 0, NULL, slice_make(NULL, 0));
    multiget_part_over(multiget);
    return true;
}

bool multiget_start(struct client *client, const struct request *request, struct block *block, struct long_get *part_of)
{
    struct slice keys = request->keys;
    uint32_t left = request->key_count;
    while (left > 0) {
        if (!start_some(client, request, block, part_of, &keys))
            return false;
        left -= left < MULTIGET_KEYS_MAX ? left : MULTIGET_KEYS_MAX;
    }
    return true;
}
