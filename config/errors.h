/*
 * Collecting what is wrong with a configuration (struct config_errors of config/model.h), and quoting what was found.
 * Want of memory is kept as an errno value, since no item can be added then.
 */
#ifndef RINGSIDE_CONFIG_ERRORS_H
#define RINGSIDE_CONFIG_ERRORS_H

#include "base/slice.h"
#include "config/model.h"

#include <stdbool.h>

void config_errors_init(struct config_errors *errors);
/* Adds one. line and column count from 1; both 0: the file as a whole. */
void config_errors_add(struct config_errors *errors, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Notes that memory was out. */
void config_errors_no_memory(struct config_errors *errors);
/* Nothing was wrong so far. */
bool config_errors_none(const struct config_errors *errors);
/* Puts them into the order of the file. What was said twice of one place stays once. */
void config_errors_sort(struct config_errors *errors);

/*
 * Text as it was found, in backticks, for a message: control characters escaped, cut when long (at a character's
 * border). Used as quote(slice).text within a call's arguments.
 */
#define QUOTE_BYTES_MAX 60
struct quote {
    char text[4 * QUOTE_BYTES_MAX + sizeof "`...`"];
};
struct quote quote(struct slice found);

#endif
