/*
 * The servers' `stats` added up: a list of names, each with what its values make together.
 */
#ifndef RINGSIDE_PROXY_TOTALS_H
#define RINGSIDE_PROXY_TOTALS_H

#include "base/slice.h"
#include "base/text.h"
#include "proxy/stats.h"

#include <stdbool.h>
#include <stddef.h>

struct total;

struct totals {
    struct total *items;
    size_t count;
    size_t capacity;
    size_t cursor; /* where the next name is likely: servers list theirs in the same order */
    bool failed;   /* memory was out */
};

void totals_init(struct totals *totals);
void totals_fini(struct totals *totals);
/*
 * One server's value for a name: numbers are added up, no further than a uint64_t goes (rusage: than its millionths do);
 * some are the smallest, the largest, or the first. Of anything else the first stands, and what does not fit to it is
 * passed over.
 */
void totals_add(struct totals *totals, enum stats_form form, struct slice name, struct slice value);
/* The next values are another server's. */
void totals_next_server(struct totals *totals);
/* Appends "STAT name value\r\n" lines. */
void totals_print(const struct totals *totals, struct text *text);

#endif
