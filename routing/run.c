/*
 * Owns the engine of runs: frames, and the delivery of what came of them. See the picture in run.h.
 *
 * Outcomes are queued and delivered one after the other, never from within a node's method: so a node sees its children's
 * outcomes only between its own steps, whether they come from a server, from a plan that sends nothing, or from a node
 * that answers by itself.
 */
#include "routing/run.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct outcome out_of_memory = {
    .kind = OUTCOME_ERROR,
    .unsent = true,
    .line = {"SERVER_ERROR out of memory\r\n", sizeof "SERVER_ERROR out of memory\r\n" - 1},
};

/* ---- Delivery ---- */

static void answer(struct run *run, const struct outcome *outcome)
{
    assert(!run->answered);
    run->answered = true;
    run->methods->answer(run, outcome);
}

/* The frame's own outcome: given once. */
static void queue_result(struct frame *frame, const struct outcome *outcome)
{
    struct run *run = frame->run;
    if (run->dead)
        return;
    assert(!frame->finished);
    frame->finished = true;
    frame->result = *outcome;
    frame->next_result = NULL;
    if (run->results_last == NULL)
        run->results_first = frame;
    else
        run->results_last->next_result = frame;
    run->results_last = frame;
}

/* Delivers what is queued, and what that stirs up. */
static void deliver(struct run *run)
{
    if (run->delivering)
        return;
    run->delivering = true;
    struct frame *frame;
    while ((frame = run->results_first) != NULL) {
        run->results_first = frame->next_result;
        if (run->results_first == NULL)
            run->results_last = NULL;
        const struct outcome outcome = frame->result;
        if (frame->parent == NULL)
            answer(run, &outcome);
        else
            frame->parent->node->methods->on_child(frame->parent, frame, &outcome);
    }
    run->delivering = false;
}

/* ---- Frames ---- */

/* Traits follow the form: what a made-up command does is known. */
static void take_traits(struct frame *frame, const struct frame *parent)
{
    const struct request *request = frame->run->request;
    frame->verb = request_changed_verb(request, frame->change.form);
    switch (frame->change.form) {
    case REQUEST_FORM_SAME:
        if (parent != NULL)
            frame->traits = parent->traits;
        else
            request_traits(request, &frame->traits);
        break;
    case REQUEST_FORM_STORE:
        frame->traits = parent->traits;
        frame->traits.conditional = frame->traits.creates = frame->traits.needs_cas = frame->traits.needs_item = false;
        frame->traits.repeats_well = true;
        break;
    case REQUEST_FORM_DELETE:
        frame->traits = (struct request_traits){.writes = true, .removes = true, .repeats_well = true};
        break;
    case REQUEST_FORM_FETCH:
    case REQUEST_FORM_CHECK:
        frame->traits = (struct request_traits){.reads = true, .repeats_well = true};
        break;
    case REQUEST_FORM_FILL:
        frame->traits = (struct request_traits){.writes = true, .conditional = true, .creates = true};
        break;
    case REQUEST_FORM_UNFILL:
        frame->traits = (struct request_traits){.writes = true, .conditional = true, .needs_cas = true};
        break;
    }
    if (frame->change.expiry_set) {
        frame->traits.has_expiry = true;
        frame->traits.expiry = frame->change.expiry;
    }
}

/* NULL when memory is out. */
static struct frame *frame_create(struct run *run, const struct route_node *node, struct frame *parent)
{
    struct frame *frame = slab_alloc(&run->worker->frames);
    if (frame == NULL)
        return NULL;
    memset(frame, 0, sizeof *frame);
    frame->run = run;
    frame->node = node;
    frame->parent = parent;
    frame->next = run->frames;
    run->frames = frame;
    return frame;
}

/* The first leg of a replayed run has been called before; nothing is counted twice. */
static void enter(struct frame *frame)
{
    const struct route_node *node = frame->node;
    if (node->counters != NULL && !frame->run->replays)
        node_count(node, frame->run->worker, 0);
    node->methods->start(frame);
}

/* Memory is out: nothing more is begun, and what is under way is not listened to any more. */
static void give_up(struct run *run)
{
    run->dead = true;
    run->results_first = run->results_last = NULL;
    if (!run->answered)
        answer(run, &out_of_memory);
}

void frame_start(struct frame *frame, size_t i, const struct request_change *change)
{
    struct run *run = frame->run;
    if (run->dead)
        return;
    struct frame *child = frame_create(run, frame->node->children[i], frame);
    if (child == NULL) {
        give_up(run);
        return;
    }
    child->change = change != NULL ? *change : frame->change;
    child->rank = (uint32_t)i;
    child->is_copy = frame->is_copy || (i > 0 && frame->node->methods == &node_methods_replicate);
    take_traits(child, frame);
    enter(child);
}

void frame_finish(struct frame *frame, const struct outcome *outcome)
{
    queue_result(frame, outcome);
}

void frame_finish_line(struct frame *frame, enum outcome_kind kind, struct slice line)
{
    queue_result(frame, &(struct outcome){.kind = kind, .unsent = true, .line = line});
}

char *frame_text(struct frame *frame, size_t len)
{
    struct run *run = frame->run;
    struct run_text *text = len <= RUN_TEXT_MAX ? slab_alloc(&run->worker->texts) : NULL;
    if (text == NULL)
        return NULL;
    text->next = run->texts;
    run->texts = text;
    return text->bytes;
}

struct slice frame_printf(struct frame *frame, const char *format, ...)
{
    char *text = frame_text(frame, RUN_TEXT_MAX);
    if (text == NULL)
        return out_of_memory.line;
    va_list arguments;
    va_start(arguments, format);
    int printed = vsnprintf(text, RUN_TEXT_MAX, format, arguments);
    va_end(arguments);
    size_t len = printed < 0 ? 0 : (size_t)printed;
    if (len > RUN_TEXT_MAX - 2)
        len = RUN_TEXT_MAX - 2;
    memcpy(text + len, "\r\n", 2);
    return slice_make(text, len + 2);
}

struct slice frame_key(const struct frame *frame)
{
    return frame->change.key.data != NULL ? frame->change.key : frame->run->key;
}

const struct fetched *frame_fetched(const struct frame *leg)
{
    return leg->has_fetched ? &leg->fetched : NULL;
}

bool frame_choice(struct frame *frame, uint8_t *choice_out)
{
    struct run *run = frame->run;
    if (run->choices_used == run->choices.count)
        return false;
    *choice_out = run->choices.at[run->choices_used++];
    return true;
}

/* ---- Legs ---- */

void run_send_leg(struct frame *leg)
{
    struct run *run = leg->run;
    leg->is_leg = true;
    if (run->replays) {
        run->replays = false;
        run->replayed.leg = leg;
        queue_result(leg, &run->replayed);
        return;
    }
    if (leg->plan.outcome != PLAN_SEND) {
        queue_result(leg, &(struct outcome){.kind = OUTCOME_DOWN, .unsent = true, .leg = leg});
        return;
    }
    leg->under_way = true;
    run->legs_under_way++;
    run->methods->send(run, leg);
}

void run_leg_over(struct run *run, struct frame *leg, enum outcome_kind kind, bool unsent)
{
    assert(leg->under_way);
    leg->under_way = false;
    run->legs_under_way--;
    if (run->dead)
        return;
    if (leg->change.form == REQUEST_FORM_FETCH && kind == OUTCOME_DONE)
        run->fetched = leg;
    queue_result(leg, &(struct outcome){.kind = kind, .unsent = unsent, .leg = leg});
    deliver(run);
}

/* ---- Life ---- */

static void begin(struct run *run, const struct run_methods *methods, void *owner, struct route_worker *worker,
                  const struct request *request, struct slice key, const struct route_choices *choices)
{
    memset(run, 0, sizeof *run);
    run->methods = methods;
    run->owner = owner;
    run->worker = worker;
    run->request = request;
    run->key = key;
    if (choices != NULL)
        run->choices = *choices;
}

static void go(struct run *run)
{
    struct frame *root = frame_create(run, run->worker->route->root, NULL);
    if (root == NULL) {
        give_up(run);
        return;
    }
    take_traits(root, NULL);
    run->delivering = true; /* what comes of legs at once waits for `start` to end */
    enter(root);
    run->delivering = false;
    deliver(run);
}

void run_start(struct run *run, const struct run_methods *methods, void *owner, struct route_worker *worker,
               const struct request *request, struct slice key, const struct route_choices *choices)
{
    begin(run, methods, owner, worker, request, key, choices);
    go(run);
}

void run_replay(struct run *run, const struct run_methods *methods, void *owner, struct route_worker *worker,
                const struct request *request, struct slice key, const struct route_choices *choices,
                const struct outcome *outcome)
{
    begin(run, methods, owner, worker, request, key, choices);
    run->replays = true;
    run->replayed = *outcome;
    go(run);
}

void run_fini(struct run *run)
{
    while (run->frames != NULL) {
        struct frame *frame = run->frames;
        run->frames = frame->next;
        slab_free(&run->worker->frames, frame);
    }
    while (run->texts != NULL) {
        struct run_text *text = run->texts;
        run->texts = text->next;
        slab_free(&run->worker->texts, text);
    }
}
