/*
 * Owns a worker's thread and all that lives in it; see the picture in worker.h. Start-up reads top to bottom in
 * worker_create, teardown is its mirror.
 */
#include "proxy/worker.h"

#include "base/log.h"
#include "proxy/binary.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/gate.h"
#include "proxy/listener.h"
#include "proxy/multiget.h"
#include "proxy/routed.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CLIENTS_PER_CHUNK 64
#define EXCHANGES_PER_CHUNK 512
#define MULTIGETS_PER_CHUNK 8
/* However small limits.memory is, a worker may hold this much. */
#define MEMORY_MIN ((size_t)4 << 20)

/* ---- Pins ---- */

struct released_mail {
    struct mail mail;
    struct fleet *fleet;
    const struct snapshot *snapshot;
};

static void deliver_released(struct mail *mail)
{
    struct released_mail *released = list_entry(mail, struct released_mail, mail);
    released->fleet->on_released(released->fleet->context, released->snapshot);
    free(released);
}

/* An upstream that no snapshot of this worker names any more is closed. */
static void drop_upstreams(struct worker *worker, const struct snapshot *snapshot)
{
    for (size_t p = 0; p < snapshot->pool_count; p++) {
        const struct pool *pool = &snapshot->pools[p];
        for (size_t i = 0; i < pool->server_count; i++) {
            struct upstream **place = &worker->upstreams[pool->servers[i]->slot];
            if (--(*place)->users == 0)
                upstream_destroy(place);
        }
    }
}

/* At a turn's end, never within a call's callbacks: it may destroy upstreams. */
static void pin_release(struct loop_task *task)
{
    struct pin *pin = list_entry(task, struct pin, release);
    struct worker *worker = pin->worker;
    if (pin->count > 0)
        return;
    drop_upstreams(worker, pin->snapshot);
    route_worker_fini(&pin->route);
    struct released_mail *released = malloc(sizeof *released);
    if (released == NULL) {
        /* The snapshot stays in memory; nothing else is lost. */
        free(pin);
        return;
    }
    released->mail.deliver = deliver_released;
    released->fleet = worker->fleet;
    released->snapshot = pin->snapshot;
    free(pin);
    mailbox_post(worker->fleet->control, &released->mail);
}

void pin_give(struct pin **pin)
{
    struct pin *p = *pin;
    *pin = NULL;
    assert(p->count > 0);
    if (--p->count == 0)
        loop_defer(&p->worker->loop, &p->release, LOOP_PHASE_RESUME);
}

/* ---- Snapshots ---- */

static bool grow_upstreams(struct worker *worker, size_t slots)
{
    if (slots <= worker->upstream_slots)
        return true;
    struct upstream **upstreams = realloc(worker->upstreams, slots * sizeof(struct upstream *));
    if (upstreams == NULL)
        return false;
    memset(upstreams + worker->upstream_slots, 0, (slots - worker->upstream_slots) * sizeof(struct upstream *));
    worker->upstreams = upstreams;
    worker->upstream_slots = slots;
    return true;
}

static bool take_upstream(struct worker *worker, const struct pool *pool, struct server *server)
{
    if (!grow_upstreams(worker, (size_t)server->slot + 1))
        return false;
    struct upstream **place = &worker->upstreams[server->slot];
    if (*place == NULL)
        *place = upstream_create(&worker->upstream_context, server, &pool->settings);
    else
        upstream_configure(*place, &pool->settings);
    if (*place == NULL)
        return false;
    (*place)->users++;
    return true;
}

static void take_upstreams(struct worker *worker, const struct snapshot *snapshot)
{
    for (size_t p = 0; p < snapshot->pool_count; p++) {
        const struct pool *pool = &snapshot->pools[p];
        for (size_t i = 0; i < pool->server_count; i++) {
            if (take_upstream(worker, pool, pool->servers[i]))
                continue;
            log_error("out_of_memory", "worker %u: no memory for a new configuration: ending", worker->index);
            abort();
        }
    }
}

static void configure_listeners(struct worker *worker)
{
    const struct config *config = worker->current->snapshot->config;
    struct list *node, *following;
    list_for_each_safe (node, following, &worker->listeners) {
        struct listener *listener = list_entry(node, struct listener, node);
        for (size_t i = 0; i < config->listen_count; i++) {
            if (strcmp(config->listens[i].label, listener->label) == 0)
                listener_configure(listener, worker->current->snapshot, i);
        }
    }
}

struct snapshot_mail {
    struct mail mail;
    struct worker *worker;
    struct pin *pin;
};

static void deliver_snapshot(struct mail *mail)
{
    struct snapshot_mail *content = list_entry(mail, struct snapshot_mail, mail);
    struct worker *worker = content->worker;
    struct pin *old = worker->current;
    take_upstreams(worker, content->pin->snapshot);
    worker->current = content->pin;
    uint64_t memory = content->pin->snapshot->config->limits.memory_bytes / worker->fleet->count;
    worker->memory.blocks.limit_bytes = memory > MEMORY_MIN ? (size_t)memory : MEMORY_MIN;
    /* Once set it stays: who has to log in may be connected by a listener that this configuration no longer has. */
    worker->guarded |= gate_guards(content->pin->snapshot);
    worker->loop.busy_poll_us = content->pin->snapshot->config->busy_poll_us;
    coalesce_configure(worker);
    configure_listeners(worker);
    free(content);
    if (old != NULL)
        pin_give(&old);
}

void worker_post_snapshot(struct worker *worker, const struct snapshot *snapshot)
{
    struct snapshot_mail *content = calloc(1, sizeof *content);
    struct pin *pin = calloc(1, sizeof *pin);
    if (content == NULL || pin == NULL || !route_worker_init(&pin->route, snapshot->route, worker->index)) {
        log_error("out_of_memory", "no memory to hand a configuration to worker %u: ending", worker->index);
        abort();
    }
    pin->snapshot = snapshot;
    pin->worker = worker;
    pin->count = 1;
    loop_task_init(&pin->release, pin_release);
    content->mail.deliver = deliver_snapshot;
    content->worker = worker;
    content->pin = pin;
    mailbox_post(&worker->mailbox, &content->mail);
}

/* ---- Listeners ---- */

struct listen_mail {
    struct mail mail;
    struct worker *worker;
    int fd; /* -1: stop listening */
    char label[];
};

static void stop_listening(struct worker *worker, const char *label)
{
    struct list *node, *following;
    list_for_each_safe (node, following, &worker->listeners) {
        struct listener *listener = list_entry(node, struct listener, node);
        if (label == NULL || strcmp(listener->label, label) == 0)
            listener_close(listener);
    }
}

static void deliver_listen(struct mail *mail)
{
    struct listen_mail *content = list_entry(mail, struct listen_mail, mail);
    struct worker *worker = content->worker;
    if (content->fd < 0)
        stop_listening(worker, content->label);
    else if (listener_create(worker, content->fd, content->label) != NULL)
        configure_listeners(worker);
    else
        log_error("listen_failed", "worker %u: no memory to listen on %s", worker->index, content->label);
    free(content);
}

static void post_listen(struct worker *worker, int fd, const char *label)
{
    size_t len = strlen(label) + 1;
    struct listen_mail *content = malloc(sizeof *content + len);
    if (content == NULL) {
        log_error("out_of_memory", "no memory to tell worker %u of listener %s", worker->index, label);
        if (fd >= 0)
            close(fd);
        return;
    }
    content->mail.deliver = deliver_listen;
    content->worker = worker;
    content->fd = fd;
    memcpy(content->label, label, len);
    mailbox_post(&worker->mailbox, &content->mail);
}

void worker_post_listen(struct worker *worker, int fd, const char *label)
{
    post_listen(worker, fd, label);
}

void worker_post_unlisten(struct worker *worker, const char *label)
{
    post_listen(worker, -1, label);
}

/* ---- Barriers: a letter to the worker and back ---- */

struct barrier_mail {
    struct mail mail;
    struct worker *worker;
};

static void deliver_barrier_back(struct mail *mail)
{
    struct barrier_mail *barrier = list_entry(mail, struct barrier_mail, mail);
    struct fleet *fleet = barrier->worker->fleet;
    free(barrier);
    fleet->on_in_force(fleet->context);
}

static void deliver_barrier(struct mail *mail)
{
    struct barrier_mail *barrier = list_entry(mail, struct barrier_mail, mail);
    barrier->mail.deliver = deliver_barrier_back;
    mailbox_post(barrier->worker->fleet->control, &barrier->mail);
}

void worker_post_barrier(struct worker *worker)
{
    struct barrier_mail *barrier = malloc(sizeof *barrier);
    if (barrier == NULL)
        return;
    barrier->mail.deliver = deliver_barrier;
    barrier->worker = worker;
    mailbox_post(&worker->mailbox, &barrier->mail);
}

/* ---- Draining ---- */

struct drain_mail {
    struct mail mail;
    struct worker *worker;
    uint32_t drain_ms;
};

static void deliver_drained(struct mail *mail)
{
    struct drain_mail *content = list_entry(mail, struct drain_mail, mail);
    struct fleet *fleet = content->worker->fleet;
    free(content);
    fleet->on_drained(fleet->context);
}

static void report_drained(struct worker *worker)
{
    struct drain_mail *content = malloc(sizeof *content);
    if (content == NULL)
        return;
    content->mail.deliver = deliver_drained;
    content->worker = worker;
    mailbox_post(worker->fleet->control, &content->mail);
}

void worker_settle_drain(struct worker *worker)
{
    if (!worker->draining || worker->drained || !list_is_empty(&worker->clients) || !list_is_empty(&worker->routed))
        return;
    worker->drained = true;
    report_drained(worker);
}

void worker_client_gone(struct worker *worker)
{
    atomic_fetch_sub_explicit(&worker->fleet->clients, 1, memory_order_relaxed);
    worker_settle_drain(worker);
}

/* Time is up. */
static void on_drain_due(struct wheel_timer *timer)
{
    struct worker *worker = list_entry(timer, struct worker, drain_timer);
    struct list *node, *following;
    list_for_each_safe (node, following, &worker->clients)
        client_close_soon(list_entry(node, struct client, node));
    routed_end_all(worker);
}

static void deliver_drain(struct mail *mail)
{
    struct drain_mail *content = list_entry(mail, struct drain_mail, mail);
    struct worker *worker = content->worker;
    stop_listening(worker, NULL);
    worker->draining = true;
    struct list *node, *following;
    list_for_each_safe (node, following, &worker->clients)
        client_drain(list_entry(node, struct client, node));
    loop_arm(&worker->loop, &worker->drain_timer, content->drain_ms);
    free(content);
    worker_settle_drain(worker);
}

void worker_post_drain(struct worker *worker, uint32_t drain_ms)
{
    struct drain_mail *content = malloc(sizeof *content);
    if (content == NULL)
        return;
    content->mail.deliver = deliver_drain;
    content->worker = worker;
    content->drain_ms = drain_ms;
    mailbox_post(&worker->mailbox, &content->mail);
}

/* ---- Scratch ---- */

char *worker_scratch(struct worker *worker, size_t len, struct block **block_out)
{
    if (len > BLOCK_LARGE_BYTES)
        return NULL;
    if (worker->scratch != NULL && worker->scratch->refs == 1)
        worker->scratch->used = 0;
    if (worker->scratch != NULL && block_room(worker->scratch) < len)
        block_unref(&worker->scratch);
    if (worker->scratch == NULL)
        worker->scratch = block_create(&worker->memory.blocks, BLOCK_LARGE);
    if (worker->scratch == NULL)
        return NULL;
    char *place = worker->scratch->data + worker->scratch->used;
    worker->scratch->used += (uint32_t)len;
    *block_out = block_ref(worker->scratch);
    return place;
}

/* ---- Life ---- */

struct worker *worker_create(struct fleet *fleet, unsigned index, struct resolver *resolver)
{
    struct worker *worker = aligned_alloc(64, (sizeof *worker + 63) / 64 * 64);
    if (worker == NULL)
        return NULL;
    memset((void *)worker, 0, sizeof *worker);
    worker->fleet = fleet;
    worker->index = index;
    if (loop_init(&worker->loop) != 0)
        goto failed_loop;
    if (mailbox_init(&worker->mailbox, &worker->loop) != 0)
        goto failed_mailbox;
    memory_init(&worker->memory, SIZE_MAX);
    input_shared_init(&worker->input, &worker->memory, BLOCK_LARGE);
    input_shared_init(&worker->server_input, &worker->memory, BLOCK_HUGE);
    upstream_context_init(&worker->upstream_context, &worker->loop, &worker->mailbox, &worker->memory,
                          &worker->server_input, resolver, index);
    list_init(&worker->listeners);
    list_init(&worker->clients);
    list_init(&worker->corked);
    slab_init(&worker->client_slab, "client", sizeof(struct client), CLIENTS_PER_CHUNK);
    slab_init(&worker->exchange_slab, "exchange", sizeof(struct exchange), EXCHANGES_PER_CHUNK);
    slab_init(&worker->binary_slab, "binary", sizeof(struct exchange_binary), EXCHANGES_PER_CHUNK);
    list_init(&worker->routed);
    slab_init(&worker->multiget_slab, "multiget", sizeof(struct multiget), MULTIGETS_PER_CHUNK);
    routed_init_slabs(worker);
    wheel_timer_init(&worker->drain_timer, on_drain_due);
    wheel_timer_init(&worker->uncork_timer, clients_uncork);
    return worker;

failed_mailbox:
    loop_fini(&worker->loop);
failed_loop:
    free(worker);
    return NULL;
}

static void before_wait(struct loop *loop)
{
    coalesce(list_entry(loop, struct worker, loop));
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    /* Timers that are due within the default, 50 us, are let fire together: too coarse for coalesce. */
    prctl(PR_SET_TIMERSLACK, 1000ul);
    worker->loop.before_wait = before_wait;
    loop_run(&worker->loop);
    return NULL;
}

int worker_start(struct worker *worker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        worker->thread = 0;
    return error;
}

struct stop_mail {
    struct mail mail;
    struct worker *worker;
};

static void deliver_stop(struct mail *mail)
{
    struct stop_mail *stop = list_entry(mail, struct stop_mail, mail);
    loop_stop(&stop->worker->loop);
}

static void stop_thread(struct worker *worker)
{
    if (worker->thread == 0)
        return;
    struct stop_mail stop = {.mail.deliver = deliver_stop, .worker = worker};
    mailbox_post(&worker->mailbox, &stop.mail);
    pthread_join(worker->thread, NULL);
}

void worker_stop(struct worker *worker)
{
    stop_thread(worker);
    mailbox_deliver(&worker->mailbox);
    stop_listening(worker, NULL);
    while (!list_is_empty(&worker->clients)) {
        struct client *client = list_first(&worker->clients, struct client, node);
        client_destroy(&client);
    }
    routed_end_all(worker);
    loop_settle(&worker->loop);
    for (size_t i = 0; i < worker->upstream_slots; i++)
        upstream_destroy(&worker->upstreams[i]);
    worker->stopped = true;
}

void worker_destroy(struct worker **worker)
{
    struct worker *w = *worker;
    *worker = NULL;
    if (!w->stopped)
        worker_stop(w);
    free(w->upstreams);
    if (w->current != NULL)
        route_worker_fini(&w->current->route);
    free(w->current);
    loop_disarm(&w->loop, &w->drain_timer);
    loop_disarm(&w->loop, &w->uncork_timer);
    slab_fini(&w->leg_slab);
    slab_fini(&w->routed_slab);
    slab_fini(&w->multiget_slab);
    slab_fini(&w->binary_slab);
    slab_fini(&w->exchange_slab);
    slab_fini(&w->client_slab);
    upstream_context_fini(&w->upstream_context);
    block_unref(&w->scratch);
    input_shared_fini(&w->server_input);
    input_shared_fini(&w->input);
    memory_fini(&w->memory);
    mailbox_fini(&w->mailbox);
    loop_fini(&w->loop);
    free(w);
}
