/*
 * Owns the growing of a text, and the reading of numbers with and without units.
 *
 *     data -> | the bytes so far | NUL | room |
 *             0                 len          capacity
 *
 * It does not know where a text goes, nor what a number means.
 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 64

/* ---- a growing byte string ---- */

/* Moves the bytes to a larger block, at least doubled, so that n appends cost O(n). */
static bool grow(struct text *text, size_t more)
{
    if (more >= SIZE_MAX / 2 - text->len)
        return false;
    size_t capacity = text->capacity < CAPACITY_MIN ? CAPACITY_MIN : text->capacity * 2;
    if (capacity < text->len + more + 1)
        capacity = text->len + more + 1;
    char *data = realloc(text->data, capacity);
    if (data == NULL)
        return false;
    text->data = data;
    text->capacity = capacity;
    return true;
}

/* Makes room for `more` bytes and the NUL behind them. */
static bool reserve(struct text *text, size_t more)
{
    if (!text->failed && more >= text->capacity - text->len && !grow(text, more))
        text->failed = true;
    return !text->failed;
}

void text_init(struct text *text)
{
    *text = (struct text){NULL, 0, 0, false};
}

void text_fini(struct text *text)
{
    free(text->data);
    text_init(text);
}

void text_clear(struct text *text)
{
    text->len = 0;
    text->failed = false;
    if (text->data != NULL)
        text->data[0] = '\0';
}

void text_append(struct text *text, const char *data, size_t len)
{
    if (len == 0 || !reserve(text, len))
        return;
    memcpy(text->data + text->len, data, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void text_append_slice(struct text *text, struct slice slice)
{
    text_append(text, slice.data, slice.len);
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_u64(struct text *text, uint64_t value)
{
    char digits[TEXT_U64_DIGITS];
    text_append(text, digits, text_print_u64(value, digits));
}

void text_appendf(struct text *text, const char *format, ...)
{
    if (!reserve(text, 0))
        return;
    va_list args, args_again;
    va_start(args, format);
    va_copy(args_again, args);
    size_t room = text->capacity - text->len;
    int count = vsnprintf(text->data + text->len, room, format, args);
    if (count >= 0 && (size_t)count >= room && reserve(text, (size_t)count))
        count = vsnprintf(text->data + text->len, text->capacity - text->len, format, args_again);
    if (count >= 0 && !text->failed)
        text->len += (size_t)count;
    else
        text->failed = true;
    text->data[text->len] = '\0';
    va_end(args_again);
    va_end(args);
}

struct slice text_slice(const struct text *text)
{
    return slice_make(text->data != NULL ? text->data : "", text->len);
}

char *text_steal(struct text *text, size_t *len_out)
{
    if (!reserve(text, 0)) {
        text_fini(text);
        return NULL;
    }
    char *data = text->data;
    data[text->len] = '\0';
    if (len_out != NULL)
        *len_out = text->len;
    text_init(text);
    return data;
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends a digit to a number. false if it would not fit. */
static bool shift_in(uint64_t *value, char digit)
{
    return !__builtin_mul_overflow(*value, 10u, value) &&
           !__builtin_add_overflow(*value, (unsigned)(digit - '0'), value);
}

bool text_parse_u64(struct slice slice, uint64_t *value_out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < slice.len; i++) {
        if (!is_digit(slice.data[i]) || !shift_in(&value, slice.data[i]))
            return false;
    }
    if (slice.len == 0)
        return false;
    *value_out = value;
    return true;
}

bool text_parse_i64(struct slice slice, int64_t *value_out)
{
    bool negative = slice.len > 0 && slice.data[0] == '-';
    if (negative)
        slice = slice_make(slice.data + 1, slice.len - 1);
    uint64_t magnitude;
    if (!text_parse_u64(slice, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    /* -1 - (magnitude - 1) reaches INT64_MIN without passing through its missing positive. */
    *value_out = negative && magnitude > 0 ? -1 - (int64_t)(magnitude - 1) : (int64_t)magnitude;
    return true;
}

bool text_parse_u32(struct slice slice, uint32_t *value_out)
{
    uint64_t value;
    if (!text_parse_u64(slice, &value) || value > UINT32_MAX)
        return false;
    *value_out = (uint32_t)value;
    return true;
}

size_t text_print_u64(uint64_t value, char buffer[TEXT_U64_DIGITS])
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char digits[TEXT_U64_DIGITS];
    size_t at = sizeof digits;
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(buffer, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

/* ---- numbers with units ---- */

struct unit {
    struct slice name;
    uint64_t factor;
};

/* A kind of quantity: its units, and what to say about text that is none. */
struct quantity {
    const struct unit *units;
    size_t unit_count;
    uint64_t max;
    const char *no_number;
    const char *no_unit;
    const char *no_whole_number;
    const char *unknown_unit;
    const char *too_large;
};

#define UNIT(name, factor)               \
    {                                    \
        {name, sizeof(name) - 1}, factor \
    }
/* The units of a table, the largest value, and the texts, which all end with the same advice. */
#define QUANTITY(table, largest, advice, excess)                                                             \
    {                                                                                                        \
        .units = table, .unit_count = sizeof table / sizeof table[0], .max = largest,                        \
        .no_number = "does not start with a number; write " advice, .no_unit = "has no unit; write " advice, \
        .no_whole_number = "is not a whole number with a unit; write " advice,                               \
        .unknown_unit = "has an unknown unit; write " advice, .too_large = excess "; write " advice,         \
    }

static const struct unit duration_units[] = {UNIT("ms", 1), UNIT("s", 1000), UNIT("m", 60000), UNIT("h", 3600000)};
static const struct unit size_units[] = {UNIT("B", 1), UNIT("KiB", 1u << 10), UNIT("MiB", 1u << 20),
                                         UNIT("GiB", 1u << 30)};
static const struct unit share_units[] = {UNIT("%", 1)};

static const struct quantity duration =
    QUANTITY(duration_units, UINT64_MAX, "a duration such as `250ms`, `2s`, `5m` or `1h`", "is too long");
static const struct quantity size =
    QUANTITY(size_units, UINT64_MAX, "a size such as `512B`, `16KiB`, `1MiB` or `2GiB`", "is too large");
static const struct quantity share =
    QUANTITY(share_units, 100, "a share from `0%` to `100%`", "is more than the whole");

/* The factor of a unit by its name; 0 if there is none of that name. */
static uint64_t find_factor(const struct quantity *quantity, struct slice name)
{
    for (size_t i = 0; i < quantity->unit_count; i++) {
        if (slice_equal(quantity->units[i].name, name))
            return quantity->units[i].factor;
    }
    return 0;
}

/* NULL, or what is wrong with the text. *value_out is only set when nothing is. */
static const char *parse_quantity(const struct quantity *quantity, struct slice slice, uint64_t *value_out)
{
    uint64_t value = 0;
    bool fits = true;
    size_t digits = 0;
    for (; digits < slice.len && is_digit(slice.data[digits]); digits++)
        fits = fits && shift_in(&value, slice.data[digits]);
    if (digits == 0)
        return quantity->no_number;
    if (digits == slice.len)
        return quantity->no_unit;
    if (slice.data[digits] == '.' || slice.data[digits] == ',')
        return quantity->no_whole_number;
    uint64_t factor = find_factor(quantity, slice_make(slice.data + digits, slice.len - digits));
    if (factor == 0)
        return quantity->unknown_unit;
    if (!fits || __builtin_mul_overflow(value, factor, &value) || value > quantity->max)
        return quantity->too_large;
    *value_out = value;
    return NULL;
}

bool text_parse_duration(struct slice slice, uint64_t *ms_out, const char **error_out)
{
    const char *error = parse_quantity(&duration, slice, ms_out);
    if (error != NULL)
        *error_out = error;
    return error == NULL;
}

bool text_parse_size(struct slice slice, uint64_t *bytes_out, const char **error_out)
{
    const char *error = parse_quantity(&size, slice, bytes_out);
    if (error != NULL)
        *error_out = error;
    return error == NULL;
}

bool text_parse_share(struct slice slice, uint32_t *percent_out, const char **error_out)
{
    uint64_t percent;
    const char *error = parse_quantity(&share, slice, &percent);
    if (error != NULL)
        *error_out = error;
    else
        *percent_out = (uint32_t)percent;
    return error == NULL;
}
