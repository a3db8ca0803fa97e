/*
 * Points in time as they stand in a configuration: ISO 8601, `2026-11-21T10:00:00Z`. The seconds may be left out; in
 * the place of `Z` an offset may stand (`+02:00`); a date alone is its midnight in UTC.
 */
#ifndef RINGSIDE_CONFIG_TIMESTAMP_H
#define RINGSIDE_CONFIG_TIMESTAMP_H

#include "base/slice.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Seconds since 1970. false with *error_out a static sentence part, to stand behind the text found; *unix_s_out is
 * untouched then. Years from 1970 to 9999.
 */
bool timestamp_parse(struct slice slice, int64_t *unix_s_out, const char **error_out);
/* Appends the time in UTC. */
void timestamp_print(int64_t unix_s, struct text *out);

#endif
