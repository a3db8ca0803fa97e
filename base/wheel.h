/*
 * A timer wheel in milliseconds, for one thread. Arming and disarming are O(1) for any number of timers and any
 * distance in time; a timer is moved at most once a level on its way to its due time.
 *
 * Eleven levels of 64 slots: a slot of level n spans 64^n milliseconds, so that together they cover all of uint64_t.
 * Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7.
 *
 * The wheel reads no clock: its owner says what time it is. It owns no memory and no timer: timers live in the objects
 * that they watch over, and must be disarmed before those are freed. A wheel does not move in memory.
 */
#ifndef RINGSIDE_BASE_WHEEL_H
#define RINGSIDE_BASE_WHEEL_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS 11
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS (1 << WHEEL_SLOT_BITS)

struct wheel_timer {
    struct list node;
    uint64_t due_ms;
    void (*on_due)(struct wheel_timer *timer); /* the timer is disarmed when it is called */
    uint16_t place;                            /* the wheel's own: level and slot where it hung last */
};

struct wheel {
    uint64_t now_ms;
    uint64_t occupied[WHEEL_LEVELS]; /* bit n: slot n holds a timer */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list overdue; /* armed for a time that had passed: they fire at the next advance */
    struct list firing;  /* taken out by wheel_advance, about to be called */
};

/* now_ms: of the clock that due times are given in, usually a monotonic one. */
void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* A timer is to be initialised once before any other use. It starts disarmed. */
static inline void wheel_timer_init(struct wheel_timer *timer, void (*on_due)(struct wheel_timer *timer))
{
    list_init(&timer->node);
    timer->due_ms = 0;
    timer->on_due = on_due;
    timer->place = 0;
}

static inline bool wheel_is_armed(const struct wheel_timer *timer)
{
    return list_is_linked(&timer->node);
}

/*
 * Fires the timer once, at the first wheel_advance to due_ms or later. If it is armed it moves to the new time. A
 * due_ms that has passed is lawful: the timer fires at the next wheel_advance.
 */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms);
/* Does nothing if the timer is not armed. */
void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer);

/*
 * Sets the time to now_ms and calls all timers that are due: first those that were armed for a time already past, in
 * the order of arming; then by due time. A time before the last one changes nothing but still fires the former.
 *
 * A callback may arm and disarm any timer, its own included, and free its object. One that is disarmed or moved by an
 * earlier callback is not called. What a callback arms never fires within the same advance. Callbacks do not call
 * wheel_advance.
 */
void wheel_advance(struct wheel *wheel, uint64_t now_ms);

/*
 * When wheel_advance is next worth calling: never later than the earliest due time, maybe earlier (far timers are seen
 * at their slot's start). UINT64_MAX when nothing is armed; the wheel's own time when something is overdue. O(levels).
 */
uint64_t wheel_next_due_ms(const struct wheel *wheel);

#endif
