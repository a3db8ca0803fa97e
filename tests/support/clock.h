/*
 * A clock for tests: the monotonic clock of the whole process stands still, and moves only when a test says so. So
 * what depends on time is tested to the millisecond, without waiting, and however slow the machine is.
 *
 * Include it in one source of a program only: it defines clock_gettime in the C library's place.
 */
#ifndef RINGSIDE_TESTS_SUPPORT_CLOCK_H
#define RINGSIDE_TESTS_SUPPORT_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_START_NS INT64_C(5000000000000)

static _Atomic int64_t clock_test_ns = CLOCK_START_NS;

int clock_gettime(clockid_t id, struct timespec *time_out)
{
    if (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE)
        return (int)syscall(SYS_clock_gettime, id, time_out);
    int64_t now_ns = atomic_load(&clock_test_ns);
    time_out->tv_sec = now_ns / 1000000000;
    time_out->tv_nsec = now_ns % 1000000000;
    return 0;
}

static inline void clock_skip_us(uint64_t us)
{
    atomic_fetch_add(&clock_test_ns, (int64_t)us * 1000);
}

/* To its start. libcheck measures tests by the same clock, and ends those of more than an hour. */
static inline void clock_rewind(void)
{
    atomic_store(&clock_test_ns, CLOCK_START_NS);
}

/* The time that really passes, to give up on a test that hangs. */
static inline uint64_t clock_real_ms(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
