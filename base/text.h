/*
 * Text in and out: a growing byte string for messages, statistics and reports; and checked parsing of numbers,
 * durations, sizes and shares. None of it depends on the locale.
 */
#ifndef RINGSIDE_BASE_TEXT_H
#define RINGSIDE_BASE_TEXT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A growing byte string. May hold any byte. data is NUL-terminated beyond len, or NULL while nothing was appended.
 * When memory is out an append does nothing and `failed` stays set until text_clear: check it once, at the end.
 */
struct text {
    char *data;
    size_t len;
    size_t capacity;
    bool failed;
};

void text_init(struct text *text);
/* Frees the bytes. The text is as after text_init. */
void text_fini(struct text *text);
/* Forgets the bytes and the failure, keeps the memory. */
void text_clear(struct text *text);

void text_append(struct text *text, const char *data, size_t len);
void text_append_slice(struct text *text, struct slice slice);
/* string: NUL-terminated. */
void text_append_string(struct text *text, const char *string);
void text_append_u64(struct text *text, uint64_t value);
void text_appendf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The bytes so far; valid until the next change of the text. */
struct slice text_slice(const struct text *text);
/*
 * Gives the bytes away: malloc'ed, NUL-terminated, the caller's to free. NULL if any append failed or memory is out.
 * len_out may be NULL. The text is as after text_init in both cases.
 */
char *text_steal(struct text *text, size_t *len_out);

/*
 * Decimal numbers that fill the whole slice. No sign but a leading '-' for i64, no spaces, no "0x", no empty slice;
 * leading zeroes are allowed. false if it is no such number or does not fit; *value_out is then untouched.
 */
bool text_parse_u64(struct slice slice, uint64_t *value_out);
bool text_parse_i64(struct slice slice, int64_t *value_out);
bool text_parse_u32(struct slice slice, uint32_t *value_out);

/*
 * A whole number with its unit, without a space between: false with *error_out a static sentence part that says what
 * is wrong and what would be right ("has no unit; write a duration such as `250ms`, …"), to stand behind the text
 * found. A bare number, 0 included, is an error, and so is what does not fit. *…_out is untouched then.
 *
 * duration: ms, s, m, h. size: B, KiB, MiB, GiB. share: 0% to 100%.
 */
bool text_parse_duration(struct slice slice, uint64_t *ms_out, const char **error_out);
bool text_parse_size(struct slice slice, uint64_t *bytes_out, const char **error_out);
bool text_parse_share(struct slice slice, uint32_t *percent_out, const char **error_out);

/* The most digits that a uint64_t has. */
#define TEXT_U64_DIGITS 20

/* Writes value in decimal at buffer, not NUL-terminated. Returns the number of digits. */
size_t text_print_u64(uint64_t value, char buffer[TEXT_U64_DIGITS]);

#endif
