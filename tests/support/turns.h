/*
 * Runs a loop turn by turn from a test, with the clock of clock.h. A turn handles what is ready and never waits.
 *
 *      LOOP_UNTIL(&loop, condition)      turns until it holds; fails when it does not come true in a minute
 *      loop_skip(&loop, ms)              lets time pass
 */
#ifndef RINGSIDE_TESTS_SUPPORT_TURNS_H
#define RINGSIDE_TESTS_SUPPORT_TURNS_H

#include "event/loop.h"
#include "tests/support/clock.h"

#include <check.h>

#define TURNS_PATIENCE_MS 60000

struct turn {
    struct loop *loop;
    struct loop_task begin, end;
};

static inline void turn_on_end(struct loop_task *task)
{
    loop_stop(list_entry(task, struct turn, end)->loop);
}

/* Asks for the end in a phase that has passed: so the loop looks what is ready, does not wait, and comes to `end`. */
static inline void turn_on_begin(struct loop_task *task)
{
    struct turn *turn = list_entry(task, struct turn, begin);
    loop_defer(turn->loop, &turn->end, LOOP_PHASE_RESUME);
}

static inline void loop_turn(struct loop *loop)
{
    struct turn turn = {.loop = loop};
    loop_task_init(&turn.begin, turn_on_begin);
    loop_task_init(&turn.end, turn_on_end);
    loop_defer(loop, &turn.begin, LOOP_PHASE_CLIENTS);
    loop->stopping = false;
    loop_run(loop);
}

static inline void loop_turns(struct loop *loop, int count)
{
    while (count-- > 0)
        loop_turn(loop);
}

/* Lets ms pass, and sees to what is due then. */
static inline void loop_skip(struct loop *loop, uint64_t ms)
{
    clock_skip_us(ms * 1000);
    loop->now_us = 0;
    loop_turns(loop, 3);
}

struct patience {
    uint64_t start_ms;
    uint64_t turns;
};

static inline struct patience patience_start(void)
{
    return (struct patience){clock_real_ms(), 0};
}

/* Another thread, or the kernel, may need the processor. */
static inline void patience_check(struct patience *patience, const char *condition, const char *file, int line)
{
    if (++patience->turns < 100)
        return;
    struct timespec pause = {.tv_nsec = 200000};
    nanosleep(&pause, NULL);
    if (clock_real_ms() - patience->start_ms > TURNS_PATIENCE_MS)
        ck_abort_msg("%s:%d: still not: %s", file, line, condition);
}

#define LOOP_UNTIL(loop, condition)                                 \
    for (struct patience patience = patience_start(); !(condition); \
         patience_check(&patience, #condition, __FILE__, __LINE__)) \
    loop_turn(loop)

#endif
