/* Ringside's own statistics, as lines of the `stats` command. */
#ifndef RINGSIDE_PROXY_STATS_H
#define RINGSIDE_PROXY_STATS_H

#include "base/slice.h"
#include "base/text.h"
#include "config/snapshot.h"

#include <stdbool.h>

struct fleet;

enum stats_form {
    STATS_GENERAL,
    STATS_SETTINGS,
    STATS_ITEMS,
    STATS_SLABS,
    STATS_SIZES,
    STATS_RESET,
    STATS_RINGSIDE, /* from here on: Ringside's own alone */
    STATS_SERVERS,
    STATS_POOLS,
    STATS_ROUTES,
};

/* "" "settings" … false: there is none of that name. */
bool stats_form_by_name(struct slice name, enum stats_form *form_out);

/* Appends the lines of one of Ringside's own forms, without END. Any thread of the fleet. */
void stats_print(const struct fleet *fleet, const struct snapshot *snapshot, enum stats_form form, struct text *text);

#endif
