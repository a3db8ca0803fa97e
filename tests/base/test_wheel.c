/*
 * Tests of base/wheel: single timers at every distance, what callbacks may do, and long random sequences against a
 * model that only keeps an array of due times.
 */
#include "base/wheel.h"

#include <check.h>
#include <stdlib.h>

/* ---- one or few timers ---- */

struct probe {
    struct wheel_timer timer;
    struct wheel *wheel;
    int fired;
    uint64_t fired_at_ms;
    int order;             /* 1 for the first call of all */
    struct probe *disarms; /* what the callback does to others, and to itself */
    struct probe *arms;
    uint64_t arms_at_ms;
};

static int call_count;

static void on_probe(struct wheel_timer *timer)
{
    struct probe *probe = list_entry(timer, struct probe, timer);
    ck_assert(!wheel_is_armed(timer));
    probe->fired++;
    probe->fired_at_ms = probe->wheel->now_ms;
    probe->order = ++call_count;
    if (probe->disarms != NULL)
        wheel_disarm(probe->wheel, &probe->disarms->timer);
    if (probe->arms != NULL)
        wheel_arm(probe->wheel, &probe->arms->timer, probe->arms_at_ms);
}

static void setup(struct wheel *wheel, uint64_t now_ms, struct probe *probes, size_t count)
{
    wheel_init(wheel, now_ms);
    for (size_t i = 0; i < count; i++) {
        probes[i] = (struct probe){.wheel = wheel};
        wheel_timer_init(&probes[i].timer, on_probe);
        ck_assert(!wheel_is_armed(&probes[i].timer));
    }
}

START_TEST(an_empty_wheel_has_nothing_due)
{
    struct wheel wheel;
    wheel_init(&wheel, 123456);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
    wheel_advance(&wheel, 999999);
    wheel_advance(&wheel, UINT64_MAX);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
}
END_TEST

static const uint64_t starts_ms[] = {0, 1, 63, 64, 4095, 1000000007, UINT64_C(1) << 40, (UINT64_C(1) << 60) - 1};
static const uint64_t distances_ms[] = {1,
                                        2,
                                        63,
                                        64,
                                        65,
                                        250,
                                        4095,
                                        4096,
                                        4097,
                                        262144,
                                        86400000,
                                        UINT64_C(31536000000),
                                        UINT64_C(1) << 36,
                                        (UINT64_C(1) << 36) + 1,
                                        UINT64_C(1) << 62};
#define COUNT_OF(array) (sizeof array / sizeof array[0])

START_TEST(fires_at_its_time_and_not_a_millisecond_before)
{
    for (size_t i = 0; i < COUNT_OF(starts_ms); i++) {
        struct wheel wheel;
        struct probe probe;
        setup(&wheel, starts_ms[i], &probe, 1);
        uint64_t due_ms = starts_ms[i] + distances_ms[_i];
        wheel_arm(&wheel, &probe.timer, due_ms);
        ck_assert(wheel_is_armed(&probe.timer));
        wheel_advance(&wheel, due_ms - 1);
        ck_assert_int_eq(probe.fired, 0);
        ck_assert_uint_eq(wheel_next_due_ms(&wheel), due_ms);
        wheel_advance(&wheel, due_ms);
        ck_assert_int_eq(probe.fired, 1);
        wheel_advance(&wheel, UINT64_MAX);
        ck_assert_int_eq(probe.fired, 1);
    }
}
END_TEST

/* Following wheel_next_due_ms leads to the due time, never past it, in at most one step a level. */
START_TEST(the_next_due_time_leads_there)
{
    for (size_t i = 0; i < COUNT_OF(starts_ms); i++) {
        struct wheel wheel;
        struct probe probe;
        setup(&wheel, starts_ms[i], &probe, 1);
        uint64_t due_ms = starts_ms[i] + distances_ms[_i];
        wheel_arm(&wheel, &probe.timer, due_ms);
        int steps = 0;
        while (probe.fired == 0) {
            uint64_t next_ms = wheel_next_due_ms(&wheel);
            ck_assert_uint_gt(next_ms, wheel.now_ms);
            ck_assert_uint_le(next_ms, due_ms);
            wheel_advance(&wheel, next_ms);
            ck_assert_int_le(++steps, WHEEL_LEVELS);
        }
        ck_assert_uint_eq(probe.fired_at_ms, due_ms);
        ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
    }
}
END_TEST

START_TEST(the_last_millisecond_of_all_can_be_armed)
{
    struct wheel wheel;
    struct probe probe;
    setup(&wheel, 5, &probe, 1);
    wheel_arm(&wheel, &probe.timer, UINT64_MAX);
    wheel_advance(&wheel, UINT64_MAX - 1);
    ck_assert_int_eq(probe.fired, 0);
    wheel_advance(&wheel, UINT64_MAX);
    ck_assert_int_eq(probe.fired, 1);
}
END_TEST

START_TEST(a_time_that_has_passed_fires_at_the_next_advance)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 1000, probes, 2);
    wheel_arm(&wheel, &probes[0].timer, 1000);
    wheel_arm(&wheel, &probes[1].timer, 3);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), 1000);
    wheel_advance(&wheel, 1000);
    ck_assert_int_eq(probes[0].fired, 1);
    ck_assert_int_eq(probes[1].fired, 1);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(time_does_not_go_back)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 1000, probes, 2);
    wheel_arm(&wheel, &probes[0].timer, 1005);
    wheel_arm(&wheel, &probes[1].timer, 1000);
    wheel_advance(&wheel, 10);
    ck_assert_int_eq(probes[0].fired, 0);
    ck_assert_int_eq(probes[1].fired, 1);
    ck_assert_uint_eq(wheel.now_ms, 1000);
    wheel_advance(&wheel, 1005);
    ck_assert_int_eq(probes[0].fired, 1);
}
END_TEST

START_TEST(arming_again_moves_the_timer)
{
    struct wheel wheel;
    struct probe probe;
    setup(&wheel, 0, &probe, 1);
    wheel_arm(&wheel, &probe.timer, 10);
    wheel_arm(&wheel, &probe.timer, 5000);
    wheel_advance(&wheel, 4999);
    ck_assert_int_eq(probe.fired, 0);
    wheel_arm(&wheel, &probe.timer, 6000);
    wheel_arm(&wheel, &probe.timer, 5000);
    wheel_advance(&wheel, 5000);
    ck_assert_int_eq(probe.fired, 1);
    wheel_advance(&wheel, 10000);
    ck_assert_int_eq(probe.fired, 1);
}
END_TEST

START_TEST(a_disarmed_timer_does_not_fire)
{
    struct wheel wheel;
    struct probe probes[3];
    setup(&wheel, 0, probes, 3);
    wheel_disarm(&wheel, &probes[0].timer);
    wheel_arm(&wheel, &probes[0].timer, 100);
    wheel_arm(&wheel, &probes[1].timer, 100);
    wheel_arm(&wheel, &probes[2].timer, 0);
    wheel_disarm(&wheel, &probes[0].timer);
    wheel_disarm(&wheel, &probes[2].timer);
    ck_assert(!wheel_is_armed(&probes[0].timer));
    ck_assert(!wheel_is_armed(&probes[2].timer));
    wheel_advance(&wheel, 200);
    ck_assert_int_eq(probes[0].fired, 0);
    ck_assert_int_eq(probes[1].fired, 1);
    ck_assert_int_eq(probes[2].fired, 0);
}
END_TEST

START_TEST(disarming_the_last_timer_leaves_nothing_due)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 0, probes, 2);
    wheel_arm(&wheel, &probes[0].timer, 100);
    wheel_arm(&wheel, &probes[1].timer, 100);
    wheel_disarm(&wheel, &probes[0].timer);
    ck_assert_uint_le(wheel_next_due_ms(&wheel), 100);
    wheel_disarm(&wheel, &probes[1].timer);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(fires_in_the_order_of_due_times)
{
    static const uint64_t due_ms[] = {5000, 3, 70, 64, 4096, 4095, 71, 1 << 20};
    struct wheel wheel;
    struct probe probes[COUNT_OF(due_ms)];
    setup(&wheel, 2, probes, COUNT_OF(due_ms));
    for (size_t i = 0; i < COUNT_OF(due_ms); i++)
        wheel_arm(&wheel, &probes[i].timer, due_ms[i]);
    wheel_advance(&wheel, 1 << 21);
    for (size_t i = 0; i < COUNT_OF(due_ms); i++) {
        ck_assert_int_eq(probes[i].fired, 1);
        for (size_t k = 0; k < COUNT_OF(due_ms); k++)
            ck_assert_int_eq(due_ms[i] < due_ms[k], probes[i].order < probes[k].order);
    }
}
END_TEST

START_TEST(a_callback_may_disarm_another_of_the_same_tick)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 0, probes, 2);
    probes[0].disarms = &probes[1];
    probes[1].disarms = &probes[0];
    wheel_arm(&wheel, &probes[0].timer, 10);
    wheel_arm(&wheel, &probes[1].timer, 10);
    wheel_advance(&wheel, 10);
    ck_assert_int_eq(probes[0].fired + probes[1].fired, 1);
}
END_TEST

START_TEST(a_callback_may_disarm_a_later_one_that_is_due_too)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 0, probes, 2);
    probes[0].disarms = &probes[1];
    wheel_arm(&wheel, &probes[0].timer, 10);
    wheel_arm(&wheel, &probes[1].timer, 5000);
    wheel_advance(&wheel, 9000);
    ck_assert_int_eq(probes[0].fired, 1);
    ck_assert_int_eq(probes[1].fired, 0);
}
END_TEST

START_TEST(a_callback_may_put_off_another_of_the_same_tick)
{
    struct wheel wheel;
    struct probe probes[2];
    setup(&wheel, 0, probes, 2);
    probes[0].arms = &probes[1];
    probes[0].arms_at_ms = 30;
    wheel_arm(&wheel, &probes[0].timer, 10);
    wheel_arm(&wheel, &probes[1].timer, 11);
    wheel_advance(&wheel, 20);
    ck_assert_int_eq(probes[1].fired, 0);
    wheel_advance(&wheel, 30);
    ck_assert_int_eq(probes[1].fired, 1);
}
END_TEST

/* A timer that re-arms itself for a time already past fires once an advance, and does not hold up the wheel. */
START_TEST(what_a_callback_arms_waits_for_the_next_advance)
{
    struct wheel wheel;
    struct probe probe;
    setup(&wheel, 0, &probe, 1);
    probe.arms = &probe;
    probe.arms_at_ms = 15;
    wheel_arm(&wheel, &probe.timer, 10);
    wheel_advance(&wheel, 20);
    ck_assert_int_eq(probe.fired, 1);
    ck_assert(wheel_is_armed(&probe.timer));
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), 20);
    wheel_advance(&wheel, 20);
    ck_assert_int_eq(probe.fired, 2);
    probe.arms_at_ms = 1000;
    wheel_advance(&wheel, 20);
    ck_assert_int_eq(probe.fired, 3);
    wheel_advance(&wheel, 999);
    ck_assert_int_eq(probe.fired, 3);
    wheel_advance(&wheel, 1000);
    ck_assert_int_eq(probe.fired, 4);
}
END_TEST

static void on_free(struct wheel_timer *timer)
{
    free(list_entry(timer, struct probe, timer));
}

START_TEST(a_callback_may_free_its_object)
{
    struct wheel wheel;
    wheel_init(&wheel, 0);
    for (int i = 0; i < 10; i++) {
        struct probe *probe = malloc(sizeof *probe);
        ck_assert_ptr_nonnull(probe);
        wheel_timer_init(&probe->timer, on_free);
        wheel_arm(&wheel, &probe->timer, (uint64_t)(i / 3 * 100));
    }
    wheel_advance(&wheel, 10000);
    ck_assert_uint_eq(wheel_next_due_ms(&wheel), UINT64_MAX);
}
END_TEST

/* ---- against a model ---- */

enum { TIMERS = 60 };

struct model_timer {
    struct wheel_timer timer;
    bool armed;
    bool overdue; /* armed for a time that had passed */
    uint64_t due_ms;
    unsigned armed_in; /* the advance before or within which it was armed */
};

static struct {
    struct wheel wheel;
    struct model_timer timers[TIMERS];
    uint64_t now_ms;
    unsigned advance; /* counts them */
    bool advancing;
    uint64_t last_due_ms; /* of what fired in this advance, overdue ones aside */
    uint64_t state;
    unsigned long fired;
} model;

static uint64_t next_random(void)
{
    model.state ^= model.state << 13;
    model.state ^= model.state >> 7;
    model.state ^= model.state << 17;
    return model.state;
}

/* A distance of any magnitude, small ones most often. */
static uint64_t random_distance_ms(void)
{
    unsigned bits = next_random() % 4 != 0 ? next_random() % 14 : next_random() % 45;
    return next_random() & ((UINT64_C(1) << bits) - 1);
}

static void arm(struct model_timer *timer)
{
    uint64_t distance_ms = random_distance_ms();
    uint64_t due_ms = model.now_ms + distance_ms;
    if (next_random() % 8 == 0)
        due_ms = distance_ms < model.now_ms ? model.now_ms - distance_ms : 0;
    else if (next_random() % 4 == 0)
        due_ms |= 63; /* the edges of slots */
    wheel_arm(&model.wheel, &timer->timer, due_ms);
    timer->armed = true;
    timer->due_ms = due_ms;
    timer->overdue = due_ms <= model.now_ms;
    timer->armed_in = model.advance;
}

static void disarm(struct model_timer *timer)
{
    wheel_disarm(&model.wheel, &timer->timer);
    timer->armed = false;
}

static void change_some(void)
{
    for (uint64_t count = next_random() % 4; count > 0; count--) {
        struct model_timer *timer = &model.timers[next_random() % TIMERS];
        if (next_random() % 3 == 0)
            disarm(timer);
        else
            arm(timer);
    }
}

static void on_model_due(struct wheel_timer *timer)
{
    struct model_timer *due = list_entry(timer, struct model_timer, timer);
    ck_assert(model.advancing);
    ck_assert(due->armed);
    ck_assert(!wheel_is_armed(timer));
    ck_assert_uint_le(due->due_ms, model.now_ms);
    ck_assert_uint_lt(due->armed_in, model.advance);
    if (due->overdue) {
        ck_assert_uint_eq(model.last_due_ms, 0);
    } else {
        ck_assert_uint_ge(due->due_ms, model.last_due_ms);
        model.last_due_ms = due->due_ms;
    }
    due->armed = false;
    model.fired++;
    if (next_random() % 2 == 0)
        change_some();
}

/* What the wheel says of itself agrees with the array. */
static void compare(void)
{
    uint64_t earliest_ms = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct model_timer *timer = &model.timers[i];
        ck_assert_int_eq(timer->armed, wheel_is_armed(&timer->timer));
        if (!timer->armed)
            continue;
        /* Nothing that was due is left, but for what was armed since. */
        ck_assert(timer->due_ms > model.now_ms || timer->overdue);
        uint64_t due_ms = timer->overdue ? model.now_ms : timer->due_ms;
        if (due_ms < earliest_ms)
            earliest_ms = due_ms;
    }
    uint64_t next_ms = wheel_next_due_ms(&model.wheel);
    ck_assert_uint_le(next_ms, earliest_ms);
    if (earliest_ms == UINT64_MAX)
        ck_assert_uint_eq(next_ms, UINT64_MAX);
    else if (earliest_ms > model.now_ms)
        ck_assert_uint_gt(next_ms, model.now_ms);
}

static void advance(void)
{
    uint64_t next_ms = wheel_next_due_ms(&model.wheel);
    if (next_random() % 2 == 0 && next_ms != UINT64_MAX)
        model.now_ms = next_ms;
    else
        model.now_ms += random_distance_ms();
    model.advance++;
    model.last_due_ms = 0;
    model.advancing = true;
    wheel_advance(&model.wheel, model.now_ms);
    model.advancing = false;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct model_timer *timer = &model.timers[i];
        ck_assert(!timer->armed || timer->due_ms > model.now_ms || timer->armed_in == model.advance);
    }
}

START_TEST(random_operations_agree_with_a_model)
{
    model.state = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(_i + 1);
    model.now_ms = _i % 2 == 0 ? 0 : next_random() >> 8;
    model.fired = 0;
    wheel_init(&model.wheel, model.now_ms);
    for (size_t i = 0; i < TIMERS; i++) {
        wheel_timer_init(&model.timers[i].timer, on_model_due);
        model.timers[i].armed = false;
    }
    for (int step = 0; step < 5000; step++) {
        change_some();
        compare();
        advance();
        compare();
    }
    ck_assert_uint_gt(model.fired, 1000);
}
END_TEST

static TCase *create_single_case(void)
{
    TCase *tcase = tcase_create("single");
    tcase_add_test(tcase, an_empty_wheel_has_nothing_due);
    tcase_add_loop_test(tcase, fires_at_its_time_and_not_a_millisecond_before, 0, COUNT_OF(distances_ms));
    tcase_add_loop_test(tcase, the_next_due_time_leads_there, 0, COUNT_OF(distances_ms));
    tcase_add_test(tcase, the_last_millisecond_of_all_can_be_armed);
    tcase_add_test(tcase, a_time_that_has_passed_fires_at_the_next_advance);
    tcase_add_test(tcase, time_does_not_go_back);
    tcase_add_test(tcase, arming_again_moves_the_timer);
    tcase_add_test(tcase, a_disarmed_timer_does_not_fire);
    tcase_add_test(tcase, disarming_the_last_timer_leaves_nothing_due);
    tcase_add_test(tcase, fires_in_the_order_of_due_times);
    return tcase;
}

static TCase *create_callback_case(void)
{
    TCase *tcase = tcase_create("callbacks");
    tcase_add_test(tcase, a_callback_may_disarm_another_of_the_same_tick);
    tcase_add_test(tcase, a_callback_may_disarm_a_later_one_that_is_due_too);
    tcase_add_test(tcase, a_callback_may_put_off_another_of_the_same_tick);
    tcase_add_test(tcase, what_a_callback_arms_waits_for_the_next_advance);
    tcase_add_test(tcase, a_callback_may_free_its_object);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("wheel");
    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 60);
    tcase_add_loop_test(random, random_operations_agree_with_a_model, 0, 10);
    suite_add_tcase(suite, create_single_case());
    suite_add_tcase(suite, create_callback_case());
    suite_add_tcase(suite, random);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
