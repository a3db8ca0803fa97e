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
 * connection. Keys of a part that failed are placed anew where that is safe. A key for which the route wants more than one
 * call goes its own way (routed.h), from the start or when its part had no last word on it. Lines of more than KEYS_MAX keys
 * are the caller's to cut (long_get.c).
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
    chain_clear(&multiget->kept, &worker->memory);
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
        if (key->kept != NULL)
            exchange_emit_copy(multiget->exchange, slice_make(key->kept, key->kept_len));
        else if (!chain_is_empty(&key->held))
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

/* pool: whose policy says whether the line is heard; NULL: it is. */
static void fail_key(struct multiget *multiget, uint16_t k, const struct pool *pool, struct slice line)
{
    multiget->keys[k].state = KEY_FAILED;
    multiget->keys[k].kept = NULL;
    chain_clear(&multiget->keys[k].held, &multiget->exchange->client->worker->memory);
    if (pool == NULL || !pool->misses_on_error)
        set_error(multiget, line);
}

/* ---- Keys that take more than one call ---- */

static void key_on_piece(void *owner, unsigned tag, const struct routed_piece *piece)
{
    struct multiget *multiget = owner;
    struct exchange *exchange = multiget->exchange;
    struct multiget_key *key = &multiget->keys[tag];
    multiget->routes[tag].got_value = true;
    if (piece->chain != NULL && tag == multiget->next)
        exchange_emit_chain(exchange, piece->chain);
    else if (piece->chain != NULL)
        chain_splice(&key->held, piece->chain);
    else if (tag == multiget->next)
        exchange_emit(exchange, piece->block, piece->data, piece->len);
    else if (!chain_append(&key->held, &exchange->client->worker->memory, piece->block, piece->data, piece->len))
        client_close_soon(exchange->client);
}

static void key_on_line(void *owner, unsigned tag, enum outcome_kind kind, struct slice line)
{
    struct multiget *multiget = owner;
    if (kind == OUTCOME_MISS)
        multiget->keys[tag].state = KEY_MISSED;
    else
        fail_key(multiget, (uint16_t)tag, NULL, line);
    multiget_part_over(multiget);
}

static void key_on_end(void *owner, unsigned tag)
{
    struct multiget *multiget = owner;
    multiget->keys[tag].state = multiget->routes[tag].got_value ? KEY_HELD : KEY_MISSED;
    multiget_part_over(multiget);
}

static void key_on_cut(void *owner, unsigned tag, struct slice line)
{
    struct multiget *multiget = owner;
    struct client *client = multiget->exchange->client;
    counter_add(&client->worker->stats.requests_failed, 1);
    if (tag == multiget->next) {
        counter_add(&client->worker->stats.clients_cut, 1);
        client_close_soon(client);
    }
    fail_key(multiget, (uint16_t)tag, NULL, line);
    multiget_part_over(multiget);
}

static const struct routed_taker key_taker = {key_on_piece, key_on_line, key_on_end, key_on_cut, false};

/* A request for that key alone, in *block_out, which the caller gets a reference to. Empty when memory is out. */
static struct slice key_request(struct multiget *multiget, uint16_t k, struct block **block_out)
{
    const struct multiget_key *key = &multiget->keys[k];
    size_t len = multiget->prefix.len + 1 + key->len + 2;
    char *text = worker_scratch(multiget->exchange->client->worker, len, block_out);
    if (text == NULL)
        return slice_make(NULL, 0);
    memcpy(text, multiget->prefix.data, multiget->prefix.len);
    text[multiget->prefix.len] = ' ';
    memcpy(text + multiget->prefix.len + 1, key->data, key->len);
    memcpy(text + len - 2, "\r\n", 2);
    return slice_make(text, len);
}

/* The key goes its own way. replayed: what came of the call that was made for it, or NULL. */
static void route_key(struct multiget *multiget, uint16_t k, const struct routed_request *replayed)
{
    struct multiget_route *route = &multiget->routes[k];
    struct routed_request request = {0};
    if (replayed != NULL)
        request = *replayed;
    request.client = multiget->exchange->client;
    request.pin = multiget->exchange->pin;
    request.choices = route->choices;
    request.line_and_body = key_request(multiget, k, &request.block);
    struct block *block = request.block;
    route->watch = 0;
    multiget->parts_under_way++;
    if (request.line_and_body.len == 0 || !routed_start(&request, &key_taker, multiget, k, &route->routed))
        key_on_line(multiget, k, OUTCOME_ERROR, SLICE_OF("SERVER_ERROR out of memory\r\n"));
    block_unref(&block);
}

/* Whether the route has a further word on what came of the key; if so it is said. */
static bool route_goes_on(struct multiget *multiget, uint16_t k, enum outcome_kind kind, bool unsent,
                          struct slice reply)
{
    if (!multiget->is_routed || !(multiget->routes[k].watch >> kind & 1))
        return false;
    const struct routed_request replayed = {.replays = true, .kind = kind, .unsent = unsent, .reply = reply};
    route_key(multiget, k, &replayed);
    return true;
}

static void miss_key(struct multiget *multiget, uint16_t k)
{
    if (!route_goes_on(multiget, k, OUTCOME_MISS, false, SLICE_OF("END\r\n")))
        multiget->keys[k].state = KEY_MISSED;
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
        miss_key(part->multiget, part->first);
    part->first = keys[k].next;
    return k;
}

/*
 * Keeps a unit, or a piece of one, for its key's turn: small ones side by side, so that a hundred of them lie in a block or
 * two. false: memory is out.
 */
static bool keep(struct multiget *multiget, struct multiget_key *key, const struct call_reply *reply)
{
    struct memory *memory = &multiget->exchange->client->worker->memory;
    if (!reply->first || !reply->last || reply->len >= CHAIN_COPY_BYTES)
        return chain_append(&key->held, memory, reply->block, reply->data, reply->len);
    char *place = chain_reserve(&multiget->kept, memory, reply->len);
    if (place == NULL)
        return false;
    memcpy(place, reply->data, reply->len);
    key->kept = place;
    key->kept_len = (uint32_t)reply->len;
    return true;
}

static bool take_value(struct multiget_part *part, const struct call_reply *reply)
{
    struct multiget *multiget = part->multiget;
    if (reply->first) {
        part->current = find_key(part, reply->unit->key);
        if (part->current == NO_KEY)
            return false;
        if (multiget->keys[multiget->next].state != KEY_WAITING)
            multiget_advance(multiget);
    }
    struct exchange *exchange = multiget->exchange;
    struct multiget_key *key = &multiget->keys[part->current];
    if (part->current == multiget->next)
        exchange_emit(exchange, reply->block, reply->data, reply->len);
    else if (!keep(multiget, key, reply))
        client_close_soon(exchange->client);
    if (reply->last) {
        key->state = KEY_HELD;
        if (part->current == multiget->next)
            multiget_advance(multiget);
        part->current = NO_KEY;
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
    struct slice line = slice_make(reply->data, reply->len);
    for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next) {
        if (ended)
            miss_key(multiget, k);
        else if (!route_goes_on(multiget, k, OUTCOME_ERROR, false, line))
            fail_key(multiget, k, part->pool, line);
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

/* A call for the key, or the way to one, has failed. */
static void fail_placed(struct multiget *multiget, uint16_t k, const struct pool *pool,
                        const struct call_failure *failure, struct slice line)
{
    if (!route_goes_on(multiget, k, routed_outcome(failure->reason), failure->unsent, line))
        fail_key(multiget, k, pool, line);
}

static void fail_unplaced(struct multiget *multiget, uint16_t k, const struct plan *plan)
{
    if (plan->server != NULL)
        counter_add(&plan->server->stats[multiget->exchange->client->worker->index].errors_down, 1);
    else
        atomic_fetch_add_explicit(&plan->pool->health->no_server, 1, memory_order_relaxed);
    static const struct call_failure down = {CALL_FAILURE_DOWN, "the server is down", true};
    char buffer[FAILURE_LINE_MAX];
    fail_placed(multiget, k, plan->pool, &down, plan_failure_line(buffer, plan));
}

/* Keys of a part that failed are placed within its pool. */
struct placing {
    uint64_t mark;               /* of the parts that are being filled */
    const struct pool *pool;     /* NULL: the route says which */
    const struct server *failed; /* need not be tried again; NULL: none */
    const struct call_failure *failure;
    struct slice line; /* that tells of it */
};

static struct slice key_name(const struct multiget_key *key)
{
    return slice_make(key->data, key->len);
}

/* The keys from k on, in the order of their list. Returns how many. */
static size_t key_names(const struct multiget *multiget, uint16_t k, struct slice names_out[MULTIGET_KEYS_MAX])
{
    size_t n = 0;
    for (; k != NO_KEY; k = multiget->keys[k].next)
        names_out[n++] = key_name(&multiget->keys[k]);
    return n;
}

static struct plan plan_by_route(struct multiget *multiget, uint16_t k)
{
    struct exchange *exchange = multiget->exchange;
    struct slice name = key_name(&multiget->keys[k]);
    struct plan plan = route_plan(pin_route(exchange->pin), &multiget->traits, exchange->verb, name);
    multiget->routes[k] = (struct multiget_route){.watch = plan.watch, .choices = plan.choices};
    return plan;
}

/* Puts a key into the part of its server. */
static void place_key(struct multiget *multiget, uint16_t k, const struct plan *plan, const struct placing *placing)
{
    struct multiget_key *key = &multiget->keys[k];
    if (plan->outcome == PLAN_RUN) {
        route_key(multiget, k, NULL);
        return;
    }
    if (plan->outcome != PLAN_SEND) {
        fail_unplaced(multiget, k, plan);
        return;
    }
    struct multiget_part *part = plan->server != placing->failed ? part_for(multiget, plan, placing->mark) : NULL;
    if (part == NULL) {
        fail_placed(multiget, k, plan->pool, placing->failure, placing->line);
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
static void place_keys(struct multiget *multiget, uint16_t k, struct placing *placing)
{
    placing->mark = ++multiget->exchange->client->worker->next_mark;
    uint16_t first_part = multiget->part_count;
    const struct pool *pool = placing->pool;
    if (pool == NULL && !multiget->is_routed)
        pool = multiget->exchange->pin->snapshot->route->pool;
    struct route_worker *route = pin_route(multiget->exchange->pin);
    struct plan plans[MULTIGET_KEYS_MAX];
    struct slice names[MULTIGET_KEYS_MAX];
    size_t n = key_names(multiget, k, names);
    if (pool != NULL)
        pool_plan_many(pool, names, n, plans);
    else if (route->route->is_hashed_ahead)
        ahead_hash(&route->ahead, names, n);
    for (size_t i = 0; k != NO_KEY; i++) {
        uint16_t following = multiget->keys[k].next;
        if (pool == NULL)
            plans[i] = plan_by_route(multiget, k);
        place_key(multiget, k, &plans[i], placing);
        k = following;
    }
    ahead_clear(&route->ahead);
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

/* The route goes on with all keys of the part, and no key was given an answer that may be wrong. */
static bool goes_on_after(const struct multiget_part *part, const struct call_failure *failure)
{
    const struct multiget *multiget = part->multiget;
    if (!multiget->is_routed || failure->reason == CALL_FAILURE_PROTOCOL)
        return false;
    for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next) {
        if (!(multiget->routes[k].watch >> routed_outcome(failure->reason) & 1))
            return false;
    }
    return true;
}

static void part_on_failed(struct call *call, const struct call_failure *failure)
{
    struct multiget_part *part = call->owner;
    struct multiget *multiget = part->multiget;
    struct worker *worker = multiget->exchange->client->worker;
    struct server *failed = call_server(call);
    part->call = NULL;
    const struct plan sent = {.outcome = PLAN_SEND, .pool = part->pool, .server = failed};
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
        struct placing placing = {
            .pool = part->pool,
            .failed = same_again ? NULL : failed,
            .failure = failure,
            .line = line,
        };
        place_keys(multiget, part->first, &placing);
    } else {
        /* Also when no key is left: after a protocol error what seemed to be misses may be none. */
        if (!part->pool->misses_on_error && !goes_on_after(part, failure))
            set_error(multiget, line);
        for (uint16_t k = part->first; k != NO_KEY; k = multiget->keys[k].next)
            fail_placed(multiget, k, part->pool, failure, line);
    }
    multiget_part_over(multiget);
}

/* ---- Starting ---- */

static void multiget_abandon(struct exchange *exchange)
{
    struct multiget *multiget = exchange->multiget;
    for (uint16_t p = 0; p < multiget->part_count; p++)
        call_abandon(&multiget->parts[p].call);
    for (uint16_t k = 0; multiget->is_routed && k < multiget->key_count; k++)
        routed_leave(&multiget->routes[k].routed);
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
        key->kept = NULL;
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
    chain_init(&multiget->kept);
    multiget->is_routed = exchange->pin->snapshot->route->pool == NULL;
    if (multiget->is_routed)
        request_traits(request, &multiget->traits);
    add_keys(multiget, keys);
    place_keys(multiget, 0, &(struct placing){0});
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
