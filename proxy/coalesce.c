/* Owns the decision whether a worker lets requests gather, and how, and the sleep: see coalesce.h. */
#include "proxy/coalesce.h"

#include "proxy/worker.h"

#include <time.h>

/* It begins when the thread works more than this share of its time (percent), and ends below that. */
#define BEGIN_BUSY 60
#define END_BUSY 35
/* The same for Nagle's algorithm towards servers: at any number of requests a second, since nobody sleeps. */
#define BEGIN_NAGLE_BUSY 50
#define END_NAGLE_BUSY 30
/* Requests a second; at the first one ten gather in a sleep, with what it takes to wake up. */
#define BEGIN_REQUESTS 200000
#define END_REQUESTS 150000

static bool is_busy(const struct coalesce_load *load, uint64_t percent)
{
    return load->cpu_us * 100 >= load->wall_us * percent;
}

bool coalesce_sleeps(bool sleeps, const struct coalesce_load *load)
{
    uint64_t requests = sleeps ? END_REQUESTS : BEGIN_REQUESTS;
    return is_busy(load, sleeps ? END_BUSY : BEGIN_BUSY) && load->requests * 1000000 >= load->wall_us * requests;
}

bool coalesce_wants_nagle(bool wanted, const struct coalesce_load *load)
{
    return is_busy(load, wanted ? END_NAGLE_BUSY : BEGIN_NAGLE_BUSY);
}

static uint64_t clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool is_wanted(const struct worker *worker)
{
    return worker->current != NULL && worker->current->snapshot->config->coalesce && worker->loop.busy_poll_us == 0;
}

void coalesce_configure(struct worker *worker)
{
    worker->coalesce.sleeps &= is_wanted(worker);
    worker->upstream_context.wants_nagle &= is_wanted(worker);
}

static void look(struct worker *worker)
{
    struct coalesce *coalesce = &worker->coalesce;
    const struct coalesce_load now = {
        .wall_us = clock_us(CLOCK_MONOTONIC),
        .cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID),
        .requests = counter_read(&worker->stats.requests),
    };
    const struct coalesce_load load = {
        .wall_us = now.wall_us - coalesce->since.wall_us,
        .cpu_us = now.cpu_us - coalesce->since.cpu_us,
        .requests = now.requests - coalesce->since.requests,
    };
    struct upstream_context *context = &worker->upstream_context;
    bool wanted = is_wanted(worker);
    coalesce->sleeps = wanted && coalesce_sleeps(coalesce->sleeps, &load);
    context->wants_nagle = wanted && coalesce_wants_nagle(context->wants_nagle, &load);
    context->looks++;
    coalesce->since = now;
    coalesce->turns = 0;
}

/* After a busy time turns may become few: what that time has begun is not to outlive it. */
static bool is_overdue(const struct worker *worker)
{
    bool has_begun = worker->coalesce.sleeps || worker->upstream_context.wants_nagle;
    return has_begun && clock_us(CLOCK_MONOTONIC) - worker->coalesce.since.wall_us >= COALESCE_LOOK_US;
}

void coalesce(struct worker *worker)
{
    if (++worker->coalesce.turns >= COALESCE_TURNS || is_overdue(worker))
        look(worker);
    if (!worker->coalesce.sleeps)
        return;
    counter_add(&worker->stats.turns_coalesced, 1);
    const struct timespec sleep = {.tv_nsec = COALESCE_SLEEP_US * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, NULL);
}
