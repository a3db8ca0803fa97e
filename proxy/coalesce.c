/* Owns the decision whether a worker sleeps before it waits, and the sleep: see coalesce.h. */
#include "proxy/coalesce.h"

#include "proxy/worker.h"

#include <time.h>

/* It begins when the thread works more than this share of its time (percent), and ends below that. */
#define BEGIN_BUSY 60
#define END_BUSY 35
/* The same for what is written to servers: not by requests a second, since it costs no sleep. */
#define BEGIN_GATHER_BUSY 50
#define END_GATHER_BUSY 30
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

bool coalesce_gathers(bool gathers, const struct coalesce_load *load)
{
    return is_busy(load, gathers ? END_GATHER_BUSY : BEGIN_GATHER_BUSY);
}

static uint64_t clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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
    bool wanted =
        worker->current != NULL && worker->current->snapshot->config->coalesce && worker->loop.busy_poll_us == 0;
    coalesce->sleeps = wanted && coalesce_sleeps(coalesce->sleeps, &load);
    worker->upstream_context.gathers = wanted && coalesce_gathers(worker->upstream_context.gathers, &load);
    coalesce->since = now;
    coalesce->turns = 0;
}

void coalesce(struct worker *worker)
{
    if (++worker->coalesce.turns >= COALESCE_TURNS)
        look(worker);
    if (!worker->coalesce.sleeps)
        return;
    counter_add(&worker->stats.turns_coalesced, 1);
    const struct timespec sleep = {.tv_nsec = COALESCE_SLEEP_US * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &sleep, NULL);
}
