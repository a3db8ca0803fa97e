/*
 * A thread's event loop, over libevent.
 *
 *      wait -> ready descriptors, timers and mail are handled -> the turn's end: flushes, first to clients, then to
 *      servers -> wait ...
 *
 * One loop a thread; nothing here is thread-safe but loop_stop's mail (event/mailbox.h). The clock is read at most once
 * a turn, and once more where it busy-polls.
 */
#ifndef RINGSIDE_EVENT_LOOP_H
#define RINGSIDE_EVENT_LOOP_H

#include "base/list.h"
#include "base/wheel.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct event;

/* At which step of the turn's end a task runs. */
enum loop_phase {
    LOOP_PHASE_RESUME,  /* take up again what back-pressure had stopped */
    LOOP_PHASE_CLIENTS, /* write to clients: who has an answer may ask again while servers are written to */
    LOOP_PHASE_SERVERS, /* write to servers */
    LOOP_PHASES
};

/* Something to do at the end of this turn. Embedded in its owner; loop_task_cancel before the owner goes. */
struct loop_task {
    struct list node;
    void (*run)(struct loop_task *task);
};

struct loop {
    struct event_base *base;
    struct event *timer;   /* fires when the wheel is due */
    uint64_t timer_due_ms; /* when it is set to fire; UINT64_MAX: not set */
    struct wheel wheel;
    struct list tasks[LOOP_PHASES];
    uint64_t now_us; /* of this turn; 0: not read yet */
    uint64_t turns;
    bool stopping;
    /* For so long after tasks have run, events are polled for before the loop waits; 0: not at all. */
    uint32_t busy_poll_us;
    uint64_t polls_until_us;
    /* Called before each wait for events that may last; NULL: nothing is. */
    void (*before_wait)(struct loop *loop);
};

/* 0, or -1 with errno. */
int loop_init(struct loop *loop);
void loop_fini(struct loop *loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
/* Runs the tasks that are left: for the time after loop_run has ended. */
void loop_settle(struct loop *loop);
/* Ends loop_run after this turn. From the loop's own thread. */
void loop_stop(struct loop *loop);

uint64_t loop_clock_us(void);

/* Monotonic time of this turn. */
static inline uint64_t loop_now_us(struct loop *loop)
{
    if (loop->now_us == 0)
        loop->now_us = loop_clock_us();
    return loop->now_us;
}

static inline uint64_t loop_now_ms(struct loop *loop)
{
    return loop_now_us(loop) / 1000;
}

static inline void loop_task_init(struct loop_task *task, void (*run)(struct loop_task *task))
{
    list_init(&task->node);
    task->run = run;
}

/* Once a turn, however often it is asked for. */
static inline void loop_defer(struct loop *loop, struct loop_task *task, enum loop_phase phase)
{
    if (!list_is_linked(&task->node))
        list_push_back(&loop->tasks[phase], &task->node);
}

static inline bool loop_task_is_deferred(const struct loop_task *task)
{
    return list_is_linked(&task->node);
}

static inline void loop_task_cancel(struct loop_task *task)
{
    list_unlink(&task->node);
}

/* Arms a timer to fire in delay_ms from now. */
static inline void loop_arm(struct loop *loop, struct wheel_timer *timer, uint64_t delay_ms)
{
    wheel_arm(&loop->wheel, timer, loop_now_ms(loop) + delay_ms);
}

static inline void loop_disarm(struct loop *loop, struct wheel_timer *timer)
{
    wheel_disarm(&loop->wheel, timer);
}

#endif
