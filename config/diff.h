/* What changes from one configuration to the next, in one line for the log. */
#ifndef RINGSIDE_CONFIG_DIFF_H
#define RINGSIDE_CONFIG_DIFF_H

#include "base/text.h"
#include "config/model.h"

#include <stdbool.h>

/* Of servers, listeners and pools that come or go, as many of each are named; the rest are counted. */
#define CONFIG_DIFF_NAMES_MAX 8

/*
 * Appends the changes, separated by "; ", without a line's end: pools, servers and listeners that come and go, servers
 * with another weight, the route by place, access rules that come and go, settings as "old -> new", with a note at those
 * that wait for a restart. Never a password: the configuration holds none.
 * Returns whether anything changes; if not, "no change" is appended. Want of memory shows in out->failed.
 *
 * A server is the same if its pool's name, its label and its address are the same; a listener, if its address is.
 */
bool config_diff(const struct config *old, const struct config *new, struct text *out);

/* The route's part of it alone: appends nothing and returns false if the route stays. */
bool config_diff_route(const struct config *old, const struct config *new, struct text *out);

#endif
