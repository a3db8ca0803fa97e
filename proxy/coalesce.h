/*
 * A busy worker lets requests gather, so that it handles more of them with fewer system calls: what it writes to servers, in the
 * kernel (pool/connection_write.c: set_nagle); and what its clients write, as network cards coalesce interrupts: before it waits
 * for the next events it sleeps for a moment.
 *
 *      turns of a few requests:   wait read write | wait read write | wait read write | ...
 *      coalesced:                 sleep wait read read read write ............... | sleep ...
 *
 * It sleeps only while it is short of time and requests come so fast that many gather in that moment: then each of them waits
 * for others anyhow. A worker that has time to spare does neither.
 */
#ifndef RINGSIDE_PROXY_COALESCE_H
#define RINGSIDE_PROXY_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* How long it sleeps, in microseconds. */
#define COALESCE_SLEEP_US 100
/* Turns between two looks at the load; and how long, in microseconds, what was begun by one may go on without another. */
#define COALESCE_TURNS 128
#define COALESCE_LOOK_US 100000

/* A worker's load between two looks. */
struct coalesce_load {
    uint64_t wall_us;  /* that went by */
    uint64_t cpu_us;   /* that the thread worked */
    uint64_t requests; /* that came */
};

struct coalesce {
    bool sleeps;
    uint64_t turns;             /* since the last look */
    struct coalesce_load since; /* at the last look: clocks and count as they stood */
};

/* Whether to sleep under that load, having slept before or not. */
bool coalesce_sleeps(bool sleeps, const struct coalesce_load *load);
/* Whether requests to servers are to gather under that load, having done so before or not. */
bool coalesce_wants_nagle(bool wanted, const struct coalesce_load *load);

/* A new configuration is in force: if it does not want this, it ends at once. */
void coalesce_configure(struct worker *worker);
/* Before the worker waits for events. */
void coalesce(struct worker *worker);

#endif
