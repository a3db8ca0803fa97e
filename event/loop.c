/*
 * Owns a thread's event_base, its timer wheel and its tasks.
 *
 * libevent runs one batch of ready events at a time (EVLOOP_ONCE); after each batch the tasks run, phase by phase. What a
 * phase stirs up in a later one (a client that leaves gives up an upload) runs in the same turn, what it stirs up in an earlier
 * one (a failed write fails calls, these dirty clients) in the next, which does not wait: so that no connection is written to
 * twice in a turn. One libevent timer stands for the whole wheel.
 *
 * Where it busy-polls, turns that wait for nothing follow each other until none of them has had tasks for that time.
 */
#include "event/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

uint64_t loop_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct loop *loop = context;
    loop->timer_due_ms = UINT64_MAX;
    wheel_advance(&loop->wheel, loop_now_ms(loop));
}

/*
 * No epoll changelist: it would touch descriptors after they were closed, when their numbers may stand for another
 * thread's. Connections change what they wait for so seldom that it saves nothing.
 */
static struct event_base *base_create(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

int loop_init(struct loop *loop)
{
    loop->now_us = 0;
    loop->turns = 0;
    loop->stopping = false;
    loop->before_wait = NULL;
    loop->busy_poll_us = 0;
    loop->polls_until_us = 0;
    loop->timer_due_ms = UINT64_MAX;
    for (int phase = 0; phase < LOOP_PHASES; phase++)
        list_init(&loop->tasks[phase]);
    wheel_init(&loop->wheel, loop_clock_us() / 1000);
    loop->base = base_create();
    if (loop->base == NULL) {
        errno = ENOMEM;
        return -1;
    }
    loop->timer = evtimer_new(loop->base, on_timer, loop);
    if (loop->timer == NULL) {
        event_base_free(loop->base);
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

void loop_fini(struct loop *loop)
{
    event_free(loop->timer);
    event_base_free(loop->base);
}

/* Whether there were any. */
static bool run_tasks(struct loop *loop)
{
    bool ran = false;
    for (int phase = 0; phase < LOOP_PHASES; phase++) {
        struct list *node;
        while ((node = list_pop_front(&loop->tasks[phase])) != NULL) {
            struct loop_task *task = list_entry(node, struct loop_task, node);
            task->run(task);
            ran = true;
        }
    }
    return ran;
}

/* Whether a task was deferred to a phase that had passed. */
static bool has_tasks(const struct loop *loop)
{
    for (int phase = 0; phase < LOOP_PHASES; phase++) {
        if (!list_is_empty(&loop->tasks[phase]))
            return true;
    }
    return false;
}

/* Sets the one timer to the wheel's next due time, if that is earlier than what it is set to. */
static void set_timer(struct loop *loop)
{
    uint64_t due_ms = wheel_next_due_ms(&loop->wheel);
    if (due_ms >= loop->timer_due_ms)
        return;
    uint64_t now_ms = loop_now_ms(loop);
    uint64_t delay_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    /* Beyond an hour: look again then. */
    if (delay_ms > 3600000)
        delay_ms = 3600000;
    struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000), .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};
    if (evtimer_add(loop->timer, &delay) == 0)
        loop->timer_due_ms = now_ms + delay_ms;
}

/* Whether to look for events without waiting for them. did_something: in the turn that has just ended. */
static bool is_polling(struct loop *loop, bool did_something)
{
    if (has_tasks(loop))
        return true;
    if (loop->busy_poll_us == 0)
        return false;
    uint64_t now_us = loop_clock_us();
    if (did_something)
        loop->polls_until_us = now_us + loop->busy_poll_us;
    return now_us < loop->polls_until_us;
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping) {
        bool did_something = run_tasks(loop);
        set_timer(loop);
        if (loop->stopping)
            break;
        loop->now_us = 0;
        loop->turns++;
        /* ONCE always: NONBLOCK alone would go on for as long as anything is ready. */
        int nonblock = is_polling(loop, did_something) ? EVLOOP_NONBLOCK : 0;
        if (nonblock == 0 && loop->before_wait != NULL)
            loop->before_wait(loop);
        if (event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | nonblock) < 0)
            break;
    }
    loop_settle(loop);
}

void loop_settle(struct loop *loop)
{
    while (has_tasks(loop))
        (void)run_tasks(loop);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}
