/*
 * Owns the log's level, its format and its line: from an event to one write on standard error.
 *
 *     format, … -> message (raw bytes) -> line: head | message, escaped | … if cut | tail
 *                                               time, level, event                 "} and newline
 *
 * A line never exceeds LINE_MAX bytes, so that a pipe takes it whole or not at all. Only the asking whether standard
 * error can take a line, and the write, are under a lock; both return at once, whoever reads the other end.
 *
 * It does not open, rotate or name files, and it is not for signal handlers.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096 /* at most PIPE_BUF */
#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
/* Always kept free for the end of the line. */
#define TAIL_BYTES (sizeof ELLIPSIS - 1 + sizeof "\"}\n" - 1)

static const char *const level_names[] = {"error", "warning", "info", "debug"};
#define LEVEL_COUNT (sizeof level_names / sizeof level_names[0])

static _Atomic int level_now = LOG_LEVEL_INFO;
static _Atomic bool json_now = false;
static _Atomic uint64_t dropped = 0;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

struct line {
    char data[LINE_BYTES_MAX];
    size_t len;
    bool cut;
};

/* ---- the line ---- */

/* Appends all of the bytes, or, when they do not fit, none of these nor of any later ones. */
static void put(struct line *line, const char *data, size_t len)
{
    if (line->cut || len > sizeof line->data - TAIL_BYTES - line->len) {
        line->cut = true;
        return;
    }
    memcpy(line->data + line->len, data, len);
    line->len += len;
}

static void put_string(struct line *line, const char *string)
{
    put(line, string, strlen(string));
}

/* Writes into the room that put leaves free. */
static void put_tail(struct line *line, const char *tail)
{
    if (line->cut) {
        memcpy(line->data + line->len, ELLIPSIS, sizeof ELLIPSIS - 1);
        line->len += sizeof ELLIPSIS - 1;
    }
    memcpy(line->data + line->len, tail, strlen(tail));
    line->len += strlen(tail);
}

/* ISO 8601, UTC, with milliseconds. */
static void put_time(struct line *line)
{
    struct timespec now = {0, 0};
    struct tm utc = {.tm_mday = 1};
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char text[64];
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    put(line, text, len);
    snprintf(text, sizeof text, ".%03ldZ", now.tv_nsec / 1000000);
    put_string(line, text);
}

/* ---- the message ---- */

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the well-formed UTF-8 sequence at the start of bytes; 0 if there is none. Unicode 15, table 3-7. */
static size_t utf8_length(const unsigned char *bytes, size_t len)
{
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t want = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len < want)
        return 0;
    for (size_t i = 1; i < want; i++) {
        if (!is_continuation(bytes[i]))
            return 0;
    }
    bool too_long = (first == 0xe0 && bytes[1] < 0xa0) || (first == 0xf0 && bytes[1] < 0x90);
    bool surrogate = first == 0xed && bytes[1] > 0x9f;
    bool too_high = first == 0xf4 && bytes[1] > 0x8f;
    return too_long || surrogate || too_high ? 0 : want;
}

/* C0, DEL, and C1, which stands as two bytes. */
static bool is_control(const unsigned char *bytes, size_t len)
{
    return len == 1 ? bytes[0] < 0x20 || bytes[0] == 0x7f : len == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
}

/* The letter of the short escape of a control character, alike in C and in JSON; 0 if it has none. */
static char short_escape(unsigned char byte)
{
    switch (byte) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void put_control(struct line *line, const unsigned char *bytes, size_t len, bool json)
{
    char text[16];
    if (len == 1 && short_escape(bytes[0]) != 0)
        snprintf(text, sizeof text, "\\%c", short_escape(bytes[0]));
    else if (json)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)bytes[len - 1]); /* a C1 character's last byte is its number */
    else if (len == 1)
        snprintf(text, sizeof text, "\\x%02x", (unsigned)bytes[0]);
    else
        snprintf(text, sizeof text, "\\x%02x\\x%02x", (unsigned)bytes[0], (unsigned)bytes[1]);
    put_string(line, text);
}

/* A byte that is no UTF-8: JSON has no way to hold it. */
static void put_invalid(struct line *line, unsigned char byte, bool json)
{
    char text[8] = REPLACEMENT;
    if (!json)
        snprintf(text, sizeof text, "\\x%02x", (unsigned)byte);
    put_string(line, text);
}

static void put_message(struct line *line, const char *message, size_t len, bool json)
{
    const unsigned char *bytes = (const unsigned char *)message;
    for (size_t at = 0; at < len && !line->cut;) {
        size_t count = utf8_length(bytes + at, len - at);
        if (count == 0) {
            put_invalid(line, bytes[at], json);
            count = 1;
        } else if (is_control(bytes + at, count)) {
            put_control(line, bytes + at, count, json);
        } else if (json && (bytes[at] == '"' || bytes[at] == '\\')) {
            put(line, (const char[]){'\\', message[at]}, 2);
        } else {
            put(line, message + at, count);
        }
        at += count;
    }
}

static void compose(struct line *line, enum log_level level, const char *event, const char *message, size_t len)
{
    bool json = atomic_load_explicit(&json_now, memory_order_relaxed);
    put_string(line, json ? "{\"time\":\"" : "");
    put_time(line);
    put_string(line, json ? "\",\"level\":\"" : " ");
    put_string(line, level_names[level]);
    put_string(line, json ? "\",\"event\":\"" : " ");
    put_string(line, event);
    put_string(line, json ? "\",\"message\":\"" : " ");
    put_message(line, message, len, json);
    put_tail(line, json ? "\"}\n" : "\n");
}

/* ---- standard error ---- */

/* Whether a write would neither block nor raise SIGPIPE. */
static bool can_take_line(void)
{
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&standard_error, 1, 0);
    } while (ready < 0 && errno == EINTR);
    return ready == 1 && standard_error.revents == POLLOUT;
}

/* One write. The lock keeps another thread from taking the room that poll saw. */
static bool write_line(const struct line *line)
{
    ssize_t written = -1;
    pthread_mutex_lock(&write_lock);
    if (can_take_line()) {
        do {
            written = write(STDERR_FILENO, line->data, line->len);
        } while (written < 0 && errno == EINTR);
    }
    pthread_mutex_unlock(&write_lock);
    return written == (ssize_t)line->len;
}

void log_configure(enum log_level level, bool json)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
    atomic_store_explicit(&json_now, json, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool log_level_by_name(const char *name, enum log_level *level_out)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(level_names[i], name) == 0) {
            *level_out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    int errno_before = errno;
    char message[LINE_BYTES_MAX]; /* more than a line has room for: a message cut here is cut again, cleanly */
    va_list args;
    va_start(args, format);
    int count = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t len = count < 0 ? 0 : (size_t)count < sizeof message ? (size_t)count : sizeof message - 1;

    struct line line;
    line.len = 0;
    line.cut = false;
    compose(&line, level, event, message, len);
    if (!write_line(&line))
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = errno_before;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}
