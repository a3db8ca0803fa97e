/*
 * Owns times as text.
 *
 *     2026-11-21T10:00:00+02:00
 *     date       time    zone
 */
#include "config/timestamp.h"

#include <time.h>

#define ADVICE "; write a time such as `2026-11-21T10:00:00Z`"

/* What is still to be read. */
struct cursor {
    const char *at;
    size_t left;
};

/* Exactly that many digits. */
static bool take_number(struct cursor *cursor, size_t digits, int *number_out)
{
    if (cursor->left < digits)
        return false;
    int number = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = cursor->at[i];
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    cursor->at += digits;
    cursor->left -= digits;
    *number_out = number;
    return true;
}

static bool take_char(struct cursor *cursor, char c)
{
    if (cursor->left == 0 || *cursor->at != c)
        return false;
    cursor->at++;
    cursor->left--;
    return true;
}

static bool take_date(struct cursor *cursor, struct tm *date_out)
{
    int year, month, day;
    if (!take_number(cursor, 4, &year) || !take_char(cursor, '-') || !take_number(cursor, 2, &month) ||
        !take_char(cursor, '-') || !take_number(cursor, 2, &day))
        return false;
    date_out->tm_year = year - 1900;
    date_out->tm_mon = month - 1;
    date_out->tm_mday = day;
    return true;
}

static bool take_time(struct cursor *cursor, struct tm *time_out)
{
    if (!take_char(cursor, 'T') || !take_number(cursor, 2, &time_out->tm_hour) || !take_char(cursor, ':') ||
        !take_number(cursor, 2, &time_out->tm_min))
        return false;
    return !take_char(cursor, ':') || take_number(cursor, 2, &time_out->tm_sec);
}

/* East of Greenwich, in seconds. */
static bool take_zone(struct cursor *cursor, int *offset_s_out)
{
    int hours, minutes;
    *offset_s_out = 0;
    if (take_char(cursor, 'Z'))
        return true;
    int sign = take_char(cursor, '+') ? 1 : take_char(cursor, '-') ? -1 : 0;
    if (sign == 0 || !take_number(cursor, 2, &hours) || !take_char(cursor, ':') || !take_number(cursor, 2, &minutes))
        return false;
    *offset_s_out = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

/* Whether timegm finds nothing to put right: the 31st of June, an hour 24. */
static bool is_on_the_calendar(const struct tm *time, int64_t *unix_s_out)
{
    struct tm normal = *time;
    *unix_s_out = timegm(&normal);
    return normal.tm_year == time->tm_year && normal.tm_mon == time->tm_mon && normal.tm_mday == time->tm_mday &&
           normal.tm_hour == time->tm_hour && normal.tm_min == time->tm_min && normal.tm_sec == time->tm_sec;
}

bool timestamp_parse(struct slice slice, int64_t *unix_s_out, const char **error_out)
{
    struct cursor cursor = {slice.data, slice.len};
    struct tm time = {.tm_sec = 0};
    int offset_s = 0;
    int64_t unix_s;
    *error_out = "is not a time" ADVICE;
    if (!take_date(&cursor, &time))
        return false;
    if (cursor.left > 0) {
        if (!take_time(&cursor, &time))
            return false;
        *error_out = "has no time zone" ADVICE;
        if (cursor.left == 0)
            return false;
        *error_out = "has an unknown time zone" ADVICE;
        if (!take_zone(&cursor, &offset_s) || cursor.left > 0)
            return false;
    }
    *error_out = "is not on the calendar" ADVICE;
    if (!is_on_the_calendar(&time, &unix_s))
        return false;
    *error_out = "is before 1970" ADVICE;
    if (unix_s - offset_s < 0)
        return false;
    *unix_s_out = unix_s - offset_s;
    return true;
}

void timestamp_print(int64_t unix_s, struct text *out)
{
    struct tm time;
    time_t seconds = (time_t)unix_s;
    if (gmtime_r(&seconds, &time) == NULL)
        text_appendf(out, "%lld", (long long)unix_s);
    else
        text_appendf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday,
                     time.tm_hour, time.tm_min, time.tm_sec);
}
