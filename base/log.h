/*
 * The log: one line an event to standard error, as text or JSON, for an operator to act on. Thread-safe: a line is one
 * write. Never blocks for ever: when standard error cannot take a line it is dropped and counted.
 */
#ifndef RINGSIDE_BASE_LOG_H
#define RINGSIDE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Level and format may be changed at any time (reload). Default: info, text. */
void log_configure(enum log_level level, bool json);
bool log_enabled(enum log_level level);
/* "error" "warning" "info" "debug"; false if unknown. */
bool log_level_by_name(const char *name, enum log_level *level_out);

/*
 * event: a short fixed name ("server_down"), the same for ever, to search and alert on; then a sentence for people.
 * Text:  2026-11-20T10:00:00.123Z warning server_down pool main: server 10.0.0.1:11211 is down: connection refused
 * JSON:  {"time":"…","level":"warning","event":"server_down","message":"…"}
 * Control characters in the message are escaped in both.
 */
void log_write(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)                               \
    do {                                                    \
        if (log_enabled(LOG_LEVEL_DEBUG))                   \
            log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__); \
    } while (0)

/* Lines that were dropped because standard error took none. */
uint64_t log_dropped(void);

#endif
