/*
 * The wide and the narrow reading of a number.
 *
 *     token:  [blanks] [+|-] digits [blank rest]          wide:   all of it
 *                       [-] digits                        narrow: this and nothing else
 *
 * A blank here is \t \v \f \r: a space ends the token before, and a newline the line. It does not say which commands
 * take which reading.
 */
#include "wire/number.h"

#include <stddef.h>

static bool is_blank(char c)
{
    return c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

/* Reads digits from token at *at on. false: none, or they do not fit. */
static bool read_digits(struct slice token, size_t *at, uint64_t *value_out)
{
    uint64_t value = 0;
    size_t start = *at;
    for (; *at < token.len; (*at)++) {
        unsigned digit = (unsigned char)token.data[*at] - '0';
        if (digit > 9)
            break;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *value_out = value;
    return *at > start;
}

struct number number_parse(struct slice token)
{
    struct number number = {0};
    size_t at = 0;
    if (token.len > NUMBER_LEN_MAX)
        return number;
    while (at < token.len && is_blank(token.data[at]))
        at++;
    bool plain = at == 0;
    if (at < token.len && (token.data[at] == '-' || token.data[at] == '+')) {
        number.negative = token.data[at] == '-';
        plain = plain && number.negative;
        at++;
    }
    if (!read_digits(token, &at, &number.magnitude))
        return number;
    number.valid = at == token.len || is_blank(token.data[at]) || token.data[at] == '\0';
    number.plain = number.valid && plain && at == token.len;
    return number;
}

bool number_is_u64(struct slice token)
{
    struct number number = number_parse(token);
    return number.valid && (!number.negative || (int64_t)(0 - number.magnitude) >= 0);
}

bool number_is_i64(struct slice token)
{
    struct number number = number_parse(token);
    return number.valid && number.magnitude <= (uint64_t)INT64_MAX + number.negative;
}

bool number_is_plain_u32(struct slice token)
{
    struct number number = number_parse(token);
    return number.plain && !number.negative && number.magnitude <= UINT32_MAX && token.len <= NUMBER_32_LEN_MAX;
}

bool number_is_plain_i32(struct slice token)
{
    struct number number = number_parse(token);
    return number.plain && number.magnitude <= (uint64_t)INT32_MAX + number.negative && token.len <= NUMBER_32_LEN_MAX;
}

bool number_is_plain_u64(struct slice token)
{
    struct number number = number_parse(token);
    return number.plain && !number.negative && token.len <= 20;
}
