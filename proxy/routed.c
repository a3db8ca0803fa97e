/*
 * Owns the way of a run's legs to servers and back: each leg is a call, tried again where that is safe; the run decides
 * what follows, and whose reply is the answer.
 *
 *      run: send(leg) -> plan, print or pass on the request -> call
 *      call's first unit -> outcome -> run -> send(...) | answer(leg)
 *      bytes of a leg wait in leg->reply until it is the answer; from then on they go to the taker as they come
 *
 * A FETCH's value is gathered whole in leg->reply, without its line: what FILL sends.
 */
#include "proxy/routed.h"

#include "proxy/client.h"
#include "proxy/exchange.h"
#include "wire/missing.h"

#include <stddef.h>
#include <string.h>

/* Tries of one leg in all: the first, and one on a new connection or on the server that stands in. */
#define ATTEMPTS_MAX 2

struct routed_leg {
    struct routed_leg *next;
    struct routed *routed;
    struct frame *frame;
    struct call *call; /* NULL: not under way */
    struct chain reply;
    uint8_t attempts;
    bool told;    /* its outcome has been told to the run */
    bool in_body; /* in the middle of a unit */
    bool broken;  /* it failed after its outcome had been told, before it was the answer: reply is an error line */
    enum reply_code code; /* of the first unit */
};

struct routed {
    struct list node; /* in the worker's */
    struct worker *worker;
    struct client *client; /* NULL: it has gone */
    struct pin *pin;
    uint32_t lane;
    const struct routed_taker *taker;
    void *owner;
    unsigned tag;
    struct routed **place; /* the taker's pointer to this; NULL: none */
    struct run run;
    struct request request;
    struct slice line_and_body;
    struct block *block;
    struct chain body;
    struct routed_leg *legs;
    struct routed_leg *answer; /* whose reply goes to the taker */
    bool busy;                 /* within the run: not to be freed */
    char key[KEY_LEN_MAX];     /* decoded */
    size_t replay_len;
    char replay[FAILURE_LINE_MAX]; /* the reply of the call that was made before */
};

static bool on_reply(struct call *call, const struct call_reply *reply);
static void on_failed(struct call *call, const struct call_failure *failure);
static void on_send(struct run *run, struct frame *frame);
static void on_answer(struct run *run, const struct outcome *outcome);

static const struct call_methods call_methods = {on_reply, on_failed};
static const struct run_methods run_methods = {on_send, on_answer};

static struct memory *routed_memory(struct routed *routed)
{
    return &routed->worker->memory;
}

/* ---- Life ---- */

#define ROUTED_PER_CHUNK 16
#define LEGS_PER_CHUNK 32

void routed_init_slabs(struct worker *worker)
{
    slab_init(&worker->routed_slab, "routed", sizeof(struct routed), ROUTED_PER_CHUNK);
    slab_init(&worker->leg_slab, "leg", sizeof(struct routed_leg), LEGS_PER_CHUNK);
}

/* The taker has had its last call. */
static void let_taker_go(struct routed *routed)
{
    routed->taker = NULL;
    routed->client = NULL;
    if (routed->place != NULL)
        *routed->place = NULL;
    routed->place = NULL;
}

static void routed_free(struct routed *routed)
{
    struct worker *worker = routed->worker;
    let_taker_go(routed);
    run_fini(&routed->run);
    while (routed->legs != NULL) {
        struct routed_leg *leg = routed->legs;
        routed->legs = leg->next;
        call_abandon(&leg->call);
        chain_clear(&leg->reply, &worker->memory);
        slab_free(&worker->leg_slab, leg);
    }
    chain_clear(&routed->body, &worker->memory);
    block_unref(&routed->block);
    pin_give(&routed->pin);
    list_unlink(&routed->node);
    slab_free(&worker->routed_slab, routed);
    worker_settle_drain(worker);
}

/* Frees it if nothing is left to do. */
static void routed_settle(struct routed *routed)
{
    if (routed->busy || !run_is_over(&routed->run))
        return;
    for (const struct routed_leg *leg = routed->legs; leg != NULL; leg = leg->next) {
        if (leg->call != NULL)
            return;
    }
    routed_free(routed);
}

void routed_leave(struct routed **routed)
{
    struct routed *r = *routed;
    *routed = NULL;
    if (r == NULL)
        return;
    r->place = NULL;
    let_taker_go(r);
    if (r->answer != NULL)
        call_abandon(&r->answer->call);
    routed_settle(r);
}

void routed_end_all(struct worker *worker)
{
    struct list *node, *following;
    list_for_each_safe (node, following, &worker->routed)
        routed_free(list_entry(node, struct routed, node));
}

void routed_parse(struct slice line_and_body, struct request *request_out)
{
    request_parse(line_and_body.data, line_and_body.len, UINT64_MAX, request_out);
}

/* ---- The answer ---- */

/* The error line that a leg's reply is. */
static struct slice leg_line(const struct routed_leg *leg, char buffer[FAILURE_LINE_MAX])
{
    size_t len = chain_peek(&leg->reply, buffer, FAILURE_LINE_MAX);
    if (len < 2)
        return SLICE_OF("SERVER_ERROR out of memory\r\n");
    memcpy(buffer + len - 2, "\r\n", 2);
    return slice_make(buffer, len);
}

static void answer_line(struct routed *routed, enum outcome_kind kind, struct slice line)
{
    const struct routed_taker *taker = routed->taker;
    if (taker == NULL)
        return;
    void *owner = routed->owner;
    unsigned tag = routed->tag;
    char buffer[FAILURE_LINE_MAX];
    if (line.len == 0)
        line = slice_make(buffer, request_print_missing(&routed->request, buffer, sizeof buffer));
    let_taker_go(routed);
    taker->on_line(owner, tag, kind, line);
}

static void answer_end(struct routed *routed)
{
    const struct routed_taker *taker = routed->taker;
    if (taker == NULL)
        return;
    void *owner = routed->owner;
    unsigned tag = routed->tag;
    let_taker_go(routed);
    taker->on_end(owner, tag);
}

/* The reply of the leg so far; what is still to come follows as it comes. */
static void answer_with(struct routed *routed, struct routed_leg *leg)
{
    routed->answer = leg;
    if (routed->taker == NULL)
        return;
    const struct routed_piece piece = {
        .code = leg->code,
        .chain = &leg->reply,
        .len = leg->reply.bytes,
        .first = true,
        .last = !leg->in_body,
        .call = leg->call,
        .is_copy = leg->frame->is_copy,
    };
    if (piece.len > 0)
        routed->taker->on_piece(routed->owner, routed->tag, &piece);
    if (leg->call == NULL)
        answer_end(routed);
}

/* Errors count as misses in that leg's pool, for reads. */
static bool misses(const struct routed *routed, const struct outcome *outcome)
{
    const struct pool *pool = outcome->leg != NULL ? outcome->leg->plan.pool : NULL;
    return pool != NULL && outcome_is_failure(outcome->kind) && miss_line(pool, routed->request.verb).len > 0;
}

static void on_answer(struct run *run, const struct outcome *outcome)
{
    struct routed *routed = run->owner;
    struct routed_leg *leg = outcome->leg != NULL ? outcome->leg->call : NULL;
    char buffer[FAILURE_LINE_MAX];
    if (misses(routed, outcome))
        answer_line(routed, OUTCOME_MISS, slice_make(NULL, 0));
    else if (outcome->line.len > 0)
        answer_line(routed, outcome->kind, outcome->line);
    else if (leg != NULL && leg->broken)
        answer_line(routed, OUTCOME_ERROR, leg_line(leg, buffer));
    else if (leg != NULL && outcome_is_failure(outcome->kind) && leg->call == NULL)
        answer_line(routed, outcome->kind, leg_line(leg, buffer));
    else if (leg != NULL)
        answer_with(routed, leg);
    else if (outcome->leg != NULL && outcome->leg == run->replayed.leg)
        answer_line(routed, outcome->kind, slice_make(routed->replay, routed->replay_len));
    else if (outcome->leg != NULL)
        answer_line(routed, outcome->kind, plan_failure_line(buffer, &outcome->leg->plan));
    else
        answer_line(routed, outcome->kind, outcome->line);
}

/* ---- Sending ---- */

static bool is_unchanged(const struct request_change *change)
{
    return change->form == REQUEST_FORM_SAME && change->key.data == NULL && !change->expiry_set;
}

static bool append_bytes(struct routed *routed, struct chain *out, struct slice bytes)
{
    return bytes.len == 0 || chain_append(out, routed_memory(routed), routed->block, bytes.data, bytes.len);
}

static struct slice inline_body(const struct routed *routed)
{
    size_t line = routed->request.line_bytes;
    return slice_make(routed->line_and_body.data + line, routed->line_and_body.len - line);
}

/* The data block behind a line of that form. */
static bool append_body(struct routed *routed, struct chain *out, const struct frame *frame)
{
    if (frame->change.form == REQUEST_FORM_SAME || frame->change.form == REQUEST_FORM_STORE)
        return append_bytes(routed, out, inline_body(routed)) &&
               chain_append_shared(out, routed_memory(routed), &routed->body);
    if (frame->change.form != REQUEST_FORM_FILL)
        return true;
    struct routed_leg *fetched = routed->run.fetched->call;
    return chain_append_shared(out, routed_memory(routed), &fetched->reply);
}

/* line: as printed; empty: the request goes as it came. false when memory is out. */
static bool append_request(struct routed *routed, struct chain *out, const struct frame *frame, struct slice line)
{
    struct memory *memory = routed_memory(routed);
    if (line.len == 0)
        return append_bytes(routed, out, routed->line_and_body) && chain_append_shared(out, memory, &routed->body);
    return chain_append_copy(out, memory, line.data, line.len) && append_body(routed, out, frame);
}

/* The leg is over without a call: line says why. */
static void leg_fails(struct routed_leg *leg, enum outcome_kind kind, bool unsent, struct slice line)
{
    struct routed *routed = leg->routed;
    leg->code = REPLY_CODE_SERVER_ERROR;
    chain_clear(&leg->reply, routed_memory(routed));
    /* Without memory the answer is an empty error line of its own; see leg_line. */
    (void)chain_append_copy(&leg->reply, routed_memory(routed), line.data, line.len);
    leg->told = true;
    run_leg_over(&routed->run, leg->frame, kind, unsent);
}

/* What there is of its reply is of no use any more. */
static void leg_breaks(struct routed_leg *leg, struct slice line)
{
    struct memory *memory = routed_memory(leg->routed);
    leg->broken = true;
    chain_clear(&leg->reply, memory);
    (void)chain_append_copy(&leg->reply, memory, line.data, line.len);
}

static bool knows_command(const struct frame *frame)
{
    return !verb_is_meta(frame->verb) || !server_is_too_old(frame->plan.server);
}

/* NULL: sent. Else why not. */
static const char *leg_send(struct routed_leg *leg)
{
    struct routed *routed = leg->routed;
    struct frame *frame = leg->frame;
    leg->attempts++;
    if (!knows_command(frame))
        return SERVER_TOO_OLD_TEXT;
    char line[REQUEST_CHANGED_MAX];
    size_t len = 0;
    if (!is_unchanged(&frame->change)) {
        len = request_print_changed(&routed->request, &frame->change, line, sizeof line);
        if (len == 0)
            return "the key, as it is changed for it, is too long";
    }
    struct upstream *upstream = worker_upstream(routed->worker, frame->plan.server);
    struct call *call = upstream_call(upstream, routed->lane, frame->verb, &call_methods, leg);
    if (call == NULL)
        return "out of memory here";
    call->whole = verb_is_retrieval(frame->verb) && (routed->taker == NULL || routed->taker->takes_end);
    bool appended = append_request(routed, call_out(call), frame, slice_make(line, len));
    upstream_send(call);
    if (!appended) {
        call_give_up(call);
        return "out of memory here";
    }
    leg->call = call;
    if (routed->client != NULL)
        client_heed(routed->client, call);
    return NULL;
}

static void fail_unsent(struct routed_leg *leg, const char *text)
{
    const struct call_failure failure = {CALL_FAILURE_LOCAL, text, true};
    char buffer[FAILURE_LINE_MAX];
    leg_fails(leg, OUTCOME_ERROR, true, failure_line(buffer, &leg->frame->plan, &failure));
}

static void on_send(struct run *run, struct frame *frame)
{
    struct routed *routed = run->owner;
    struct routed_leg *leg = slab_alloc(&routed->worker->leg_slab);
    if (leg == NULL) {
        run_leg_over(run, frame, OUTCOME_ERROR, true);
        return;
    }
    *leg = (struct routed_leg){.next = routed->legs, .routed = routed, .frame = frame};
    chain_init(&leg->reply);
    routed->legs = leg;
    frame->call = leg;
    const char *failure = leg_send(leg);
    if (failure != NULL)
        fail_unsent(leg, failure);
}

/* ---- Replies ---- */

/* Within the run the routed must not be freed; what it leaves over is freed here. */
static void tell(struct routed_leg *leg, enum outcome_kind kind, bool unsent)
{
    struct routed *routed = leg->routed;
    leg->told = true;
    pin_route(routed->pin);
    routed->busy = true;
    run_leg_over(&routed->run, leg->frame, kind, unsent);
    routed->busy = false;
}

/* A unit's line with the key that the client knows. The number of bytes of the piece that it stands for; 0: as it is. */
static size_t rename_key(struct routed_leg *leg, const struct call_reply *reply, char *line, size_t *len_out)
{
    const struct frame *frame = leg->frame;
    if (frame->change.key.data == NULL)
        return 0;
    *len_out = reply_print_key(slice_make(reply->data, reply->unit->head_bytes), frame->verb, leg->routed->request.key,
                               line, REPLY_LINE_MAX);
    return *len_out > 0 ? reply->unit->head_bytes : 0;
}

/* Whether the reply names the key that was asked for. */
static bool names_key(const struct routed_leg *leg, const struct call_reply *reply)
{
    if (!reply->first || reply->unit->code != REPLY_CODE_VALUE)
        return true;
    return !leg->told && slice_equal(reply->unit->key, frame_key(leg->frame));
}

static bool wants(const struct routed *routed, enum reply_code code)
{
    return code != REPLY_CODE_END || routed->taker == NULL || routed->taker->takes_end;
}

/* Keeps a piece until the leg is the answer. false when memory is out. */
static bool keep(struct routed_leg *leg, const struct call_reply *reply)
{
    struct memory *memory = routed_memory(leg->routed);
    char line[REPLY_LINE_MAX];
    size_t len = 0, skip = reply->first ? rename_key(leg, reply, line, &len) : 0;
    if (skip > 0 && !chain_append_copy(&leg->reply, memory, line, len))
        return false;
    return chain_append(&leg->reply, memory, reply->block, reply->data + skip, reply->len - skip);
}

static void pass_on(struct routed *routed, struct routed_leg *leg, const struct call_reply *reply)
{
    const struct routed_piece piece = {
        .code = reply->unit->code,
        .block = reply->block,
        .data = reply->data,
        .len = reply->len,
        .first = reply->first,
        .last = reply->last,
        .call = reply->final ? NULL : leg->call,
        .is_copy = leg->frame->is_copy,
    };
    if (routed->taker != NULL && wants(routed, piece.code))
        routed->taker->on_piece(routed->owner, routed->tag, &piece);
}

/* A value that is to be carried to another server: its data block is kept, its line read. false: not lawful. */
static bool take_fetched(struct routed_leg *leg, const struct call_reply *reply)
{
    struct frame *frame = leg->frame;
    const struct reply_unit *unit = reply->unit;
    size_t skip = reply->first ? unit->head_bytes : 0;
    bool found = unit->code == REPLY_CODE_VA || unit->code == REPLY_CODE_HD;
    if (reply->first && found) {
        frame->has_fetched = fetched_parse(slice_make(reply->data, unit->head_bytes - 2), &frame->fetched);
        frame->fetched.value_bytes = unit->body_bytes >= 2 ? unit->body_bytes - 2 : 0;
        if (!frame->has_fetched)
            return false;
    }
    if (found && reply->len > skip &&
        !chain_append(&leg->reply, routed_memory(leg->routed), reply->block, reply->data + skip, reply->len - skip))
        frame->has_fetched = false; /* no memory: as if nothing had been there */
    if (!reply->final)
        return true;
    leg->call = NULL;
    enum outcome_kind kind = outcome_of_reply(&frame->traits, unit->code);
    tell(leg, kind == OUTCOME_DONE && !frame->has_fetched ? OUTCOME_MISS : kind, false);
    return true;
}

/* More of a reply whose outcome has been told. While it is not known who answers, it is kept. */
static void go_on(struct routed_leg *leg, const struct call_reply *reply)
{
    struct routed *routed = leg->routed;
    if (routed->answer == leg) {
        pass_on(routed, leg, reply);
        if (reply->final)
            answer_end(routed);
    } else if (!routed->run.answered && routed->taker != NULL && wants(routed, reply->unit->code) &&
               !keep(leg, reply)) {
        client_close_soon(routed->client);
    }
}

static bool on_reply(struct call *call, const struct call_reply *reply)
{
    struct routed_leg *leg = call->owner;
    struct routed *routed = leg->routed;
    enum request_form form = leg->frame->change.form;
    if (form == REQUEST_FORM_FETCH || form == REQUEST_FORM_CHECK) {
        if (!take_fetched(leg, reply))
            return false;
        routed_settle(routed);
        return true;
    }
    if (!names_key(leg, reply))
        return false;
    leg->in_body = !reply->last;
    if (reply->final)
        leg->call = NULL;
    if (leg->told) {
        go_on(leg, reply);
    } else {
        leg->code = reply->unit->code;
        if (form == REQUEST_FORM_FILL && leg->code == REPLY_CODE_HD)
            leg->frame->has_fetched =
                fetched_parse(slice_make(reply->data, reply->unit->head_bytes - 2), &leg->frame->fetched);
        bool kept = !wants(routed, leg->code) || keep(leg, reply);
        tell(leg, kept ? outcome_of_reply(&leg->frame->traits, leg->code) : OUTCOME_ERROR, false);
    }
    routed_settle(routed);
    return true;
}

/* ---- Failures ---- */

enum outcome_kind routed_outcome(enum call_failure_reason reason)
{
    switch (reason) {
    case CALL_FAILURE_REFUSED:
    case CALL_FAILURE_CONNECT_TIMEOUT:
    case CALL_FAILURE_DOWN:
        return OUTCOME_DOWN;
    case CALL_FAILURE_TIMEOUT:
        return OUTCOME_TIMEOUT;
    default:
        return OUTCOME_ERROR;
    }
}

static bool may_repeat(const struct routed_leg *leg)
{
    switch (leg->frame->change.form) {
    case REQUEST_FORM_SAME:
        return leg->routed->request.repeatable;
    case REQUEST_FORM_FETCH:
    case REQUEST_FORM_CHECK:
        return true;
    default:
        return false;
    }
}

/* Another try within the leg's pool. true: it is under way. */
static bool try_again(struct routed_leg *leg, const struct call_failure *failure, const struct server *failed)
{
    struct frame *frame = leg->frame;
    if (leg->attempts >= ATTEMPTS_MAX || (!failure->unsent && !may_repeat(leg)))
        return false;
    const struct plan plan = pool_plan(frame->plan.pool, frame_key(frame));
    bool promising = failure->reason == CALL_FAILURE_RESET ||
                     ((failure->reason == CALL_FAILURE_REFUSED || failure->reason == CALL_FAILURE_CONNECT_TIMEOUT ||
                       failure->reason == CALL_FAILURE_PROTOCOL) &&
                      plan.server != failed);
    if (plan.outcome != PLAN_SEND || !promising)
        return false;
    chain_clear(&leg->reply, routed_memory(leg->routed));
    frame->has_fetched = false;
    frame->plan.server = plan.server;
    counter_add(&plan.server->stats[leg->routed->worker->index].retries, 1);
    return leg_send(leg) == NULL;
}

/* In the middle of the answer. */
static void cut(struct routed *routed, struct slice line)
{
    const struct routed_taker *taker = routed->taker;
    if (taker == NULL)
        return;
    void *owner = routed->owner;
    unsigned tag = routed->tag;
    let_taker_go(routed);
    taker->on_cut(owner, tag, line);
}

static void on_failed(struct call *call, const struct call_failure *failure)
{
    struct routed_leg *leg = call->owner;
    struct routed *routed = leg->routed;
    struct server *failed = call_server(call);
    if (routed->client != NULL)
        client_forget(routed->client, call);
    leg->call = NULL;
    if (!leg->told && try_again(leg, failure, failed))
        return;
    const struct plan sent = {.outcome = PLAN_SEND, .pool = leg->frame->plan.pool, .server = failed};
    char buffer[FAILURE_LINE_MAX];
    struct slice line = failure_line(buffer, &sent, failure);
    pin_route(routed->pin);
    routed->busy = true;
    if (!leg->told)
        leg_fails(leg, routed_outcome(failure->reason), failure->unsent, line);
    else if (routed->answer == leg)
        cut(routed, line);
    else
        leg_breaks(leg, line);
    routed->busy = false;
    routed_settle(routed);
}

/* ---- Starting ---- */

static struct routed *routed_create(const struct routed_request *request, const struct routed_taker *taker, void *owner,
                                    unsigned tag)
{
    struct worker *worker = request->client->worker;
    struct routed *routed = slab_alloc(&worker->routed_slab);
    if (routed == NULL)
        return NULL;
    memset(routed, 0, offsetof(struct routed, key));
    routed->replay_len = 0;
    routed->worker = worker;
    routed->client = request->client;
    routed->pin = request->pin;
    routed->pin->count++;
    routed->lane = request->client->lane;
    routed->taker = taker;
    routed->owner = owner;
    routed->tag = tag;
    routed->line_and_body = request->line_and_body;
    routed->block = block_ref(request->block);
    chain_init(&routed->body);
    if (request->body != NULL)
        chain_splice(&routed->body, request->body);
    routed_parse(routed->line_and_body, &routed->request);
    routed->request.cas_offered = request->cas_offered;
    list_push_back(&worker->routed, &routed->node);
    return routed;
}

bool routed_start(const struct routed_request *request, const struct routed_taker *taker, void *owner, unsigned tag,
                  struct routed **routed_out)
{
    struct routed *routed = routed_create(request, taker, owner, tag);
    if (routed == NULL)
        return false;
    if (routed_out != NULL)
        *routed_out = routed;
    routed->place = routed_out;
    struct slice key = request_route_key(&routed->request, routed->key);
    struct route_worker *route = pin_route(routed->pin);
    routed->busy = true;
    if (request->replays) {
        size_t len = request->reply.len < sizeof routed->replay ? request->reply.len : sizeof routed->replay;
        memcpy(routed->replay, request->reply.data, len);
        memcpy(routed->replay + len - 2, "\r\n", 2);
        routed->replay_len = len;
        const struct outcome outcome = {.kind = request->kind, .unsent = request->unsent};
        run_replay(&routed->run, &run_methods, routed, route, &routed->request, key, &request->choices, &outcome);
    } else {
        run_start(&routed->run, &run_methods, routed, route, &routed->request, key, &request->choices);
    }
    routed->busy = false;
    if (routed->run.staged && routed->client != NULL)
        client_pause(routed->client, CLIENT_PAUSE_ORDER);
    routed_settle(routed);
    return true;
}
