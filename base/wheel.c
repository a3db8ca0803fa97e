/*
 * Owns the placing of timers in the wheel, and their firing.
 *
 * A time is read as eleven digits of six bits. A timer hangs on the level of the highest digit in which its due time
 * differs from now, in the slot of that digit's value. With digits of one decimal, at now = 4 2 7:
 *
 *     due 4 2 9   level 0, slot 9    differs in the last digit: fires when its slot is reached
 *     due 4 5 0   level 1, slot 5    fires or moves to level 0 when now becomes 4 5 0, its slot's start
 *     due 6 1 3   level 2, slot 6    moves to level 1 at 6 0 0, to level 0 at 6 1 0
 *
 * So all timers of a level are due before those of any higher level, and within a level slots are in order: the
 * earliest slot is the lowest bit of the lowest level that is occupied.
 *
 *                  wheel_arm                     wheel_advance                    called
 *     disarmed ------------------> slots ------------------------------> firing ---------> disarmed
 *                  |                 ^   (to a lower level, or …)           ^
 *                  +---> overdue ----+--------------------------------------+
 *
 * It reads no clock and frees nothing.
 */
#include "base/wheel.h"

#include <assert.h>

static unsigned highest_digit(uint64_t bits)
{
    return (63u - (unsigned)__builtin_clzll(bits)) / WHEEL_SLOT_BITS;
}

/* Hangs an unlinked timer where its due time belongs, or on `passed` if that is not after now. */
static void place(struct wheel *wheel, struct wheel_timer *timer, struct list *passed)
{
    if (timer->due_ms <= wheel->now_ms) {
        list_push_back(passed, &timer->node);
        return;
    }
    unsigned level = highest_digit(timer->due_ms ^ wheel->now_ms);
    unsigned slot = (timer->due_ms >> (level * WHEEL_SLOT_BITS)) & (WHEEL_SLOTS - 1);
    timer->place = (uint16_t)(level * WHEEL_SLOTS + slot);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    list_push_back(&wheel->slots[level][slot], &timer->node);
}

/* The earliest occupied slot and the time at which it starts. false when no slot is occupied. */
static bool earliest_slot(const struct wheel *wheel, unsigned *level_out, unsigned *slot_out, uint64_t *start_ms_out)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] == 0)
            continue;
        unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
        unsigned shift = level * WHEEL_SLOT_BITS;
        uint64_t higher_digits = (wheel->now_ms >> shift) & ~(uint64_t)(WHEEL_SLOTS - 1);
        *level_out = level;
        *slot_out = slot;
        *start_ms_out = (higher_digits | slot) << shift;
        return true;
    }
    return false;
}

/* Takes all timers that are due at now_ms out of the slots, by due time, and moves the wheel's time there. */
static void collect(struct wheel *wheel, uint64_t now_ms)
{
    unsigned level, slot;
    uint64_t start_ms;
    while (earliest_slot(wheel, &level, &slot, &start_ms) && start_ms <= now_ms) {
        struct list timers;
        list_init(&timers);
        list_splice_back(&timers, &wheel->slots[level][slot]);
        wheel->occupied[level] &= ~(UINT64_C(1) << slot);
        wheel->now_ms = start_ms;
        struct list *node;
        while ((node = list_pop_front(&timers)) != NULL)
            place(wheel, list_entry(node, struct wheel_timer, node), &wheel->firing);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
}

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
    list_init(&wheel->overdue);
    list_init(&wheel->firing);
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms)
{
    wheel_disarm(wheel, timer);
    timer->due_ms = due_ms;
    place(wheel, timer, &wheel->overdue);
}

void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer)
{
    if (!wheel_is_armed(timer))
        return;
    list_unlink(&timer->node);
    /* The place of an overdue or firing timer is an old one. To look there changes nothing: no empty slot has its bit. */
    unsigned level = timer->place / WHEEL_SLOTS;
    unsigned slot = timer->place % WHEEL_SLOTS;
    if (list_is_empty(&wheel->slots[level][slot]))
        wheel->occupied[level] &= ~(UINT64_C(1) << slot);
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    assert(list_is_empty(&wheel->firing));
    list_splice_back(&wheel->firing, &wheel->overdue);
    collect(wheel, now_ms);
    struct list *node;
    while ((node = list_pop_front(&wheel->firing)) != NULL) {
        struct wheel_timer *timer = list_entry(node, struct wheel_timer, node);
        timer->on_due(timer);
    }
}

uint64_t wheel_next_due_ms(const struct wheel *wheel)
{
    if (!list_is_empty(&wheel->overdue) || !list_is_empty(&wheel->firing))
        return wheel->now_ms;
    unsigned level, slot;
    uint64_t start_ms;
    return earliest_slot(wheel, &level, &slot, &start_ms) ? start_ms : UINT64_MAX;
}
