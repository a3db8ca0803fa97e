/*
 * Owns the list of what is wrong with a configuration.
 *
 *     items -> | line column text | line column text | … |    in the order found, then sorted
 *              0                                      count   room: the next power of two
 *
 * It does not print: the caller puts the file's name before line and column.
 */
#include "config/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_errors_init(struct config_errors *errors)
{
    *errors = (struct config_errors){NULL, 0, 0};
}

void config_errors_fini(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        free(errors->items[i].text);
    free(errors->items);
    config_errors_init(errors);
}

/* Makes room for one more. The capacity is the least power of two that holds count. */
static bool reserve(struct config_errors *errors)
{
    if ((errors->count & (errors->count - 1)) != 0)
        return true;
    size_t capacity = errors->count == 0 ? 1 : errors->count * 2;
    struct config_error *items = realloc(errors->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    errors->items = items;
    return true;
}

static char *print(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 ? NULL : malloc((size_t)len + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void config_errors_add(struct config_errors *errors, int line, int column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = print(format, args);
    va_end(args);
    if (text == NULL || !reserve(errors)) {
        free(text);
        config_errors_no_memory(errors);
        return;
    }
    errors->items[errors->count++] = (struct config_error){line, column, text};
}

void config_errors_no_memory(struct config_errors *errors)
{
    errors->system_error = ENOMEM;
}

bool config_errors_none(const struct config_errors *errors)
{
    return errors->count == 0 && errors->system_error == 0;
}

static int by_place(const void *left, const void *right)
{
    const struct config_error *a = left, *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return strcmp(a->text, b->text);
}

void config_errors_sort(struct config_errors *errors)
{
    if (errors->count == 0)
        return;
    qsort(errors->items, errors->count, sizeof *errors->items, by_place);
    size_t kept = 1;
    for (size_t i = 1; i < errors->count; i++) {
        if (by_place(&errors->items[i], &errors->items[kept - 1]) == 0)
            free(errors->items[i].text);
        else
            errors->items[kept++] = errors->items[i];
    }
    errors->count = kept;
}

/* ---- quoting ---- */

/* The bytes of found that are shown: all of them, or as many whole characters as fit. */
static size_t shown_bytes(struct slice found)
{
    if (found.len <= QUOTE_BYTES_MAX)
        return found.len;
    size_t len = QUOTE_BYTES_MAX;
    while (len > 0 && ((unsigned char)found.data[len] & 0xc0) == 0x80)
        len--;
    return len;
}

struct quote quote(struct slice found)
{
    struct quote quoted;
    char *at = quoted.text;
    size_t len = shown_bytes(found);
    *at++ = '`';
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)found.data[i];
        if (byte < 0x20 || byte == 0x7f)
            at += sprintf(at, "\\x%02x", byte);
        else
            *at++ = (char)byte;
    }
    at += sprintf(at, "%s`", len < found.len ? "..." : "");
    return quoted;
}
