/* Tests of event/loop: the order of a turn, what is deferred, timers, and the clock. */
#include "event/loop.h"

#include "tests/support/suite.h"
#include "tests/support/turns.h"

#include <check.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A task that writes its letter down, with the turn, and then perhaps defers another. */
struct step {
    struct loop_task task;
    struct loop *loop;
    char letter;
    struct step *then;
    enum loop_phase then_phase;
};

static char story[64];
static uint64_t story_turns[64];
static size_t story_len;

static void write_down(struct loop *loop, char letter)
{
    ck_assert_uint_lt(story_len, sizeof story - 1);
    story_turns[story_len] = loop->turns;
    story[story_len++] = letter;
}

static void step_run(struct loop_task *task)
{
    struct step *step = list_entry(task, struct step, task);
    write_down(step->loop, step->letter);
    if (step->then != NULL)
        loop_defer(step->loop, &step->then->task, step->then_phase);
}

static void step_init(struct step *step, struct loop *loop, char letter)
{
    *step = (struct step){.loop = loop, .letter = letter};
    loop_task_init(&step->task, step_run);
}

START_TEST(phases_run_in_their_order_and_tasks_in_theirs)
{
    struct loop loop;
    struct step steps[6];
    ck_assert_int_eq(loop_init(&loop), 0);
    for (int i = 0; i < 6; i++)
        step_init(&steps[i], &loop, (char)('a' + i));
    loop_defer(&loop, &steps[0].task, LOOP_PHASE_CLIENTS);
    loop_defer(&loop, &steps[1].task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &steps[2].task, LOOP_PHASE_RESUME);
    loop_defer(&loop, &steps[3].task, LOOP_PHASE_CLIENTS);
    loop_defer(&loop, &steps[4].task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &steps[5].task, LOOP_PHASE_RESUME);
    loop_turn(&loop);
    ck_assert_str_eq(story, "cfadbe");
    loop_fini(&loop);
}
END_TEST

START_TEST(a_task_runs_once_however_often_it_is_deferred)
{
    struct loop loop;
    struct step step, other;
    ck_assert_int_eq(loop_init(&loop), 0);
    step_init(&step, &loop, 'a');
    step_init(&other, &loop, 'b');
    loop_defer(&loop, &step.task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &other.task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &step.task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &step.task, LOOP_PHASE_CLIENTS);
    loop_turn(&loop);
    loop_turn(&loop);
    ck_assert_str_eq(story, "ab");
    loop_fini(&loop);
}
END_TEST

START_TEST(a_cancelled_task_does_not_run)
{
    struct loop loop;
    struct step steps[2];
    ck_assert_int_eq(loop_init(&loop), 0);
    step_init(&steps[0], &loop, 'a');
    step_init(&steps[1], &loop, 'b');
    loop_task_cancel(&steps[0].task); /* lawful before it was deferred */
    loop_defer(&loop, &steps[0].task, LOOP_PHASE_SERVERS);
    loop_defer(&loop, &steps[1].task, LOOP_PHASE_SERVERS);
    loop_task_cancel(&steps[0].task);
    loop_turn(&loop);
    ck_assert_str_eq(story, "b");
    loop_fini(&loop);
}
END_TEST

START_TEST(a_task_deferred_to_the_same_or_a_later_phase_runs_in_this_turn)
{
    struct loop loop;
    struct step steps[4];
    ck_assert_int_eq(loop_init(&loop), 0);
    for (int i = 0; i < 4; i++)
        step_init(&steps[i], &loop, (char)('a' + i));
    steps[0].then = &steps[1];
    steps[0].then_phase = LOOP_PHASE_RESUME;
    steps[1].then = &steps[2];
    steps[1].then_phase = LOOP_PHASE_CLIENTS;
    steps[2].then = &steps[3];
    steps[2].then_phase = LOOP_PHASE_SERVERS;
    loop_defer(&loop, &steps[0].task, LOOP_PHASE_RESUME);
    loop_turn(&loop);
    ck_assert_str_eq(story, "abcd");
    for (int i = 1; i < 4; i++)
        ck_assert_uint_eq(story_turns[i], story_turns[0]);
    loop_fini(&loop);
}
END_TEST

static void step_stop(struct loop_task *task)
{
    struct step *step = list_entry(task, struct step, task);
    write_down(step->loop, step->letter);
    loop_stop(step->loop);
}

/* Nothing else is there to wake the loop: if it waited, this test would hang. */
START_TEST(a_task_deferred_to_an_earlier_phase_runs_in_the_next_turn_without_waiting)
{
    struct loop loop;
    struct step first, second, third;
    ck_assert_int_eq(loop_init(&loop), 0);
    step_init(&first, &loop, 'a');
    step_init(&second, &loop, 'b');
    step_init(&third, &loop, 'c');
    third.task.run = step_stop;
    first.then = &second;
    first.then_phase = LOOP_PHASE_CLIENTS;
    second.then = &third;
    second.then_phase = LOOP_PHASE_RESUME;
    loop_defer(&loop, &first.task, LOOP_PHASE_SERVERS);
    loop_run(&loop);
    ck_assert_str_eq(story, "abc");
    ck_assert_uint_eq(story_turns[1], story_turns[0] + 1);
    ck_assert_uint_eq(story_turns[2], story_turns[0] + 2);
    loop_fini(&loop);
}
END_TEST

/* An event that is ready all the time is handled between two turns' ends: no task shuts it out. */
static void on_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    write_down(context, 'E');
}

/* An event that is ready all the time. Returns its descriptor. */
static int add_ready_event(struct loop *loop, struct event *event, event_callback_fn on_ready)
{
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    event_assign(event, loop->base, fd, EV_READ | EV_PERSIST, on_ready, loop);
    event_add(event, NULL);
    return fd;
}

START_TEST(events_are_handled_between_turns)
{
    struct loop loop;
    struct step first, second;
    ck_assert_int_eq(loop_init(&loop), 0);
    struct event event;
    int fd = add_ready_event(&loop, &event, on_event);
    step_init(&first, &loop, 'a');
    step_init(&second, &loop, 'b');
    second.task.run = step_stop;
    first.then = &second;
    first.then_phase = LOOP_PHASE_RESUME;
    loop_defer(&loop, &first.task, LOOP_PHASE_SERVERS);
    loop_run(&loop);
    ck_assert_str_eq(story, "aEb");
    event_del(&event);
    close(fd);
    loop_fini(&loop);
}
END_TEST

/* The third time, a minute has gone by. */
static void on_event_that_takes_time(evutil_socket_t fd, short what, void *context)
{
    on_event(fd, what, context);
    if (story_len == 4)
        clock_skip_us(60000000);
}

static void write_down_wait(struct loop *loop)
{
    write_down(loop, 'w');
    loop_stop(loop);
}

static const struct {
    uint32_t busy_poll_us;
    const char *story;
} polls[] = {{0, "awE"}, {30000000, "aEEEwE"}};

/* After a task, a loop that polls looks for events as long as it is to, and only then waits. */
START_TEST(a_loop_polls_for_as_long_as_it_is_told_to)
{
    struct loop loop;
    struct step step;
    ck_assert_int_eq(loop_init(&loop), 0);
    loop.busy_poll_us = polls[_i].busy_poll_us;
    loop.before_wait = write_down_wait;
    struct event event;
    int fd = add_ready_event(&loop, &event, on_event_that_takes_time);
    step_init(&step, &loop, 'a');
    loop_defer(&loop, &step.task, LOOP_PHASE_SERVERS);
    loop_run(&loop);
    ck_assert_str_eq(story, polls[_i].story);
    event_del(&event);
    close(fd);
    loop_fini(&loop);
    clock_rewind();
}
END_TEST

START_TEST(after_the_stop_what_was_deferred_still_runs)
{
    struct loop loop;
    struct step stop, late, later;
    ck_assert_int_eq(loop_init(&loop), 0);
    step_init(&stop, &loop, 'a');
    stop.task.run = step_stop;
    step_init(&late, &loop, 'b');
    late.then = &later;
    late.then_phase = LOOP_PHASE_RESUME;
    step_init(&later, &loop, 'c');
    loop_defer(&loop, &stop.task, LOOP_PHASE_RESUME);
    loop_defer(&loop, &late.task, LOOP_PHASE_CLIENTS);
    loop_run(&loop);
    ck_assert_str_eq(story, "abc");
    loop_fini(&loop);
}
END_TEST

/* ---- Time ---- */

struct alarm {
    struct wheel_timer timer;
    struct loop *loop;
    char letter;
    uint64_t again_ms;
};

static void alarm_on_due(struct wheel_timer *timer)
{
    struct alarm *alarm = list_entry(timer, struct alarm, timer);
    write_down(alarm->loop, alarm->letter);
    if (alarm->again_ms > 0)
        loop_arm(alarm->loop, timer, alarm->again_ms);
}

static void alarm_init(struct alarm *alarm, struct loop *loop, char letter)
{
    *alarm = (struct alarm){.loop = loop, .letter = letter};
    wheel_timer_init(&alarm->timer, alarm_on_due);
}

START_TEST(timers_fire_in_the_order_of_their_times_and_not_before)
{
    struct loop loop;
    struct alarm alarms[3];
    ck_assert_int_eq(loop_init(&loop), 0);
    for (int i = 0; i < 3; i++)
        alarm_init(&alarms[i], &loop, (char)('a' + i));
    loop_arm(&loop, &alarms[0].timer, 300);
    loop_arm(&loop, &alarms[1].timer, 100);
    loop_arm(&loop, &alarms[2].timer, 200);
    loop_skip(&loop, 99);
    ck_assert_str_eq(story, "");
    loop_skip(&loop, 1);
    ck_assert_str_eq(story, "b");
    loop_skip(&loop, 200);
    ck_assert_str_eq(story, "bca");
    loop_skip(&loop, 100000);
    ck_assert_str_eq(story, "bca");
    loop_fini(&loop);
}
END_TEST

/* The one libevent timer was set for the later time. */
START_TEST(an_earlier_timer_armed_later_is_not_missed)
{
    struct loop loop;
    struct alarm far, near;
    ck_assert_int_eq(loop_init(&loop), 0);
    alarm_init(&far, &loop, 'f');
    alarm_init(&near, &loop, 'n');
    loop_arm(&loop, &far.timer, 5000);
    loop_turn(&loop);
    loop_arm(&loop, &near.timer, 10);
    loop_turn(&loop);
    loop_skip(&loop, 10);
    ck_assert_str_eq(story, "n");
    loop_skip(&loop, 4990);
    ck_assert_str_eq(story, "nf");
    loop_fini(&loop);
}
END_TEST

START_TEST(a_disarmed_timer_does_not_fire_and_a_timer_may_arm_itself_again)
{
    struct loop loop;
    struct alarm gone, again;
    ck_assert_int_eq(loop_init(&loop), 0);
    alarm_init(&gone, &loop, 'g');
    alarm_init(&again, &loop, 'a');
    again.again_ms = 50;
    loop_arm(&loop, &gone.timer, 50);
    loop_arm(&loop, &again.timer, 50);
    loop_disarm(&loop, &gone.timer);
    for (int i = 0; i < 5; i++)
        loop_skip(&loop, 50);
    ck_assert_str_eq(story, "aaaaa");
    loop_disarm(&loop, &again.timer);
    loop_fini(&loop);
}
END_TEST

/* libevent's timer is never set for more than an hour; the wheel's is. */
START_TEST(a_timer_beyond_an_hour_fires_at_its_time)
{
    struct loop loop;
    struct alarm alarm;
    ck_assert_int_eq(loop_init(&loop), 0);
    alarm_init(&alarm, &loop, 'a');
    loop_arm(&loop, &alarm.timer, 3 * 3600000 + 5);
    loop_turn(&loop);
    ck_assert_uint_le(loop.timer_due_ms, loop_now_ms(&loop) + 3600000);
    for (int i = 0; i < 3; i++)
        loop_skip(&loop, 3600000);
    ck_assert_str_eq(story, "");
    loop_skip(&loop, 4);
    ck_assert_str_eq(story, "");
    loop_skip(&loop, 1);
    ck_assert_str_eq(story, "a");
    loop_fini(&loop);
    clock_rewind();
}
END_TEST

/* Tasks of one turn see the same time, whatever the clock says; the next turn reads it anew. */
static uint64_t seen_us[2];

static void see_early(struct loop_task *task)
{
    struct step *step = list_entry(task, struct step, task);
    seen_us[0] = loop_now_us(step->loop);
    clock_skip_us(1234);
}

static void see_late(struct loop_task *task)
{
    struct step *step = list_entry(task, struct step, task);
    seen_us[1] = loop_now_us(step->loop);
}

START_TEST(the_clock_is_read_once_a_turn)
{
    struct loop loop;
    struct step early, late;
    ck_assert_int_eq(loop_init(&loop), 0);
    step_init(&early, &loop, 'e');
    step_init(&late, &loop, 'l');
    early.task.run = see_early;
    late.task.run = see_late;
    uint64_t before_us = loop_clock_us();
    loop_defer(&loop, &early.task, LOOP_PHASE_RESUME);
    loop_defer(&loop, &late.task, LOOP_PHASE_CLIENTS);
    loop_turn(&loop);
    ck_assert_uint_eq(seen_us[0], before_us);
    ck_assert_uint_eq(seen_us[1], before_us);
    loop_defer(&loop, &late.task, LOOP_PHASE_CLIENTS);
    loop_turn(&loop);
    loop_turn(&loop);
    ck_assert_uint_eq(loop_now_us(&loop), before_us + 1234);
    ck_assert_uint_eq(loop_now_ms(&loop), (before_us + 1234) / 1000);
    loop_fini(&loop);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("loop");
    tcase_add_test(tcase, phases_run_in_their_order_and_tasks_in_theirs);
    tcase_add_test(tcase, a_task_runs_once_however_often_it_is_deferred);
    tcase_add_test(tcase, a_cancelled_task_does_not_run);
    tcase_add_test(tcase, a_task_deferred_to_the_same_or_a_later_phase_runs_in_this_turn);
    tcase_add_test(tcase, a_task_deferred_to_an_earlier_phase_runs_in_the_next_turn_without_waiting);
    tcase_add_test(tcase, events_are_handled_between_turns);
    tcase_add_loop_test(tcase, a_loop_polls_for_as_long_as_it_is_told_to, 0, sizeof polls / sizeof polls[0]);
    tcase_add_test(tcase, after_the_stop_what_was_deferred_still_runs);
    tcase_add_test(tcase, timers_fire_in_the_order_of_their_times_and_not_before);
    tcase_add_test(tcase, an_earlier_timer_armed_later_is_not_missed);
    tcase_add_test(tcase, a_disarmed_timer_does_not_fire_and_a_timer_may_arm_itself_again);
    tcase_add_test(tcase, a_timer_beyond_an_hour_fires_at_its_time);
    tcase_add_test(tcase, the_clock_is_read_once_a_turn);
    return suite_run("loop", tcase);
}
