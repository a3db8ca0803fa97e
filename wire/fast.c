/*
 * The lines that make up the traffic, parsed in one pass and without looking for the line's end first:
 *
 *     get KEY\r\n     gets KEY\r\n     set|add KEY FLAGS EXPTIME BYTES\r\n        one space each, nothing else
 *
 * Whatever is not exactly so is left to the slow path, which gives the same answer for these lines too. Nothing is
 * refused here.
 */
#include "wire/parse.h"
#include "wire/scan.h"

/* Ten digits at most: more can only be leading zeroes, or too large. */
#define FAST_DIGITS_MAX 10

/* The byte behind the digits at `at`; NULL: none there, or too many. Reads at most up to end. */
static inline const char *fast_digits(const char *at, const char *end, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *stop = end - at > FAST_DIGITS_MAX ? at + FAST_DIGITS_MAX : end;
    const char *start = at;
    for (; at < stop; at++) {
        unsigned digit = (unsigned char)*at - '0';
        if (digit > 9)
            break;
        value = value * 10 + digit;
    }
    *value_out = value;
    return at > start ? at : NULL;
}

/* The end of a valid key at `at`, which is never end itself; NULL: none. */
static inline const char *fast_key(const char *at, const char *end)
{
    const char *key_end = scan_key(at, end);
    size_t key_len = (size_t)(key_end - at);
    return key_end < end && key_len - 1 < KEY_LEN_MAX ? key_end : NULL;
}

static inline bool fast_line_ends(const char *at, const char *end)
{
    return end - at >= 2 && at[0] == '\r' && at[1] == '\n';
}

/* get KEY, gets KEY */
static bool fast_get(enum verb verb, const char *data, const char *key, const char *end, struct request *request_out)
{
    const char *key_end = fast_key(key, end);
    if (key_end == NULL || !fast_line_ends(key_end, end))
        return false;
    parse_start(request_out);
    request_out->verb = verb;
    request_out->line_bytes = (uint32_t)(key_end - data) + 2;
    request_out->key_count = 1;
    request_out->key = slice_make(key, (size_t)(key_end - key));
    request_out->keys = request_out->key;
    request_out->line = slice_make(data, (size_t)(key_end - data));
    request_out->prefix = slice_make(data, (size_t)(key - data) - 1);
    request_out->repeatable = true;
    request_out->verbatim = true;
    return true;
}

/* " FLAGS EXPTIME BYTES" at `at`: its end, or NULL. */
static const char *fast_numbers(const char *at, const char *end, uint64_t *value_bytes_out)
{
    uint64_t flags, exptime;
    at = fast_digits(at + 1, end, &flags);
    if (at == NULL || at == end || *at != ' ' || flags > UINT32_MAX)
        return NULL;
    bool negative = end - at > 1 && at[1] == '-';
    at = fast_digits(at + 1 + negative, end, &exptime);
    if (at == NULL || at == end || *at != ' ' || exptime > INT32_MAX)
        return NULL;
    return fast_digits(at + 1, end, value_bytes_out);
}

/* set KEY FLAGS EXPTIME BYTES, and add */
static bool fast_store(enum verb verb, const char *data, const char *end, uint64_t item_size_max,
                       struct request *request_out)
{
    const char *key = data + 4;
    const char *key_end = fast_key(key, end);
    if (key_end == NULL || *key_end != ' ')
        return false;
    uint64_t value_bytes;
    const char *line_end = fast_numbers(key_end, end, &value_bytes);
    if (line_end == NULL || !fast_line_ends(line_end, end))
        return false;
    if (value_bytes > item_size_max || value_bytes > PARSE_VALUE_MAX)
        return false;
    parse_start(request_out);
    request_out->verb = verb;
    request_out->line_bytes = (uint32_t)(line_end - data) + 2;
    request_out->key_count = 1;
    request_out->key = slice_make(key, (size_t)(key_end - key));
    request_out->line = slice_make(data, (size_t)(line_end - data));
    request_out->value_bytes = value_bytes;
    request_out->has_value = true;
    request_out->verbatim = true;
    return true;
}

bool request_parse_frequent(const char *data, size_t len, uint64_t item_size_max, struct request *request_out)
{
    static const char get[4] = "get ", gets[4] = "gets", set[4] = "set ", add[4] = "add ";
    if (len < sizeof("get k\r\n") - 1)
        return false;
    const char *end = data + len;
    uint32_t word = scan_load32(data);
    if (word == scan_load32(get))
        return fast_get(VERB_GET, data, data + 4, end, request_out);
    if (word == scan_load32(set))
        return fast_store(VERB_SET, data, end, item_size_max, request_out);
    if (word == scan_load32(gets) && data[4] == ' ')
        return fast_get(VERB_GETS, data, data + 5, end, request_out);
    if (word == scan_load32(add))
        return fast_store(VERB_ADD, data, end, item_size_max, request_out);
    return false;
}
