/*
 * A server's reply, unit by unit, held against what the request may be answered.
 *
 *     get gets gat gats    VALUE key flags bytes [unique]   + block    ...    END
 *     mg                   VA bytes flags*   + block, or HD, EN              one unit
 *     ma                   VA bytes flags*   + block, or HD, NF, NS, EX      one unit
 *     stats                STAT name value   ...   END, or RESET, or OK
 *     all others           one line
 *     any                  CLIENT_ERROR, SERVER_ERROR, and ERROR if the request had no data block
 *
 * Strict, since here a connection that has fallen out of step is found out: a word that does not answer the verb, a
 * number that is none, a `gets` without unique, a line without CRLF are GARBAGE. So is ERROR, or a complaint about the
 * format, in answer to a command with a data block: the server has not swallowed the block, and reads it as commands.
 *
 * It keeps no state between units, does not look into data blocks, and does not compare keys: the caller does.
 */
#include "wire/reply.h"

#include "wire/request.h"
#include "wire/scan.h"

#include <string.h>

#define BIT(code) (UINT32_C(1) << REPLY_CODE_##code)
#define COMPLAINTS (BIT(CLIENT_ERROR) | BIT(SERVER_ERROR))
#define ERRORS (COMPLAINTS | BIT(ERROR))
#define VALUES (ERRORS | BIT(VALUE) | BIT(END))
#define STORES (COMPLAINTS | BIT(STORED) | BIT(NOT_STORED))

/* The answers that each verb may have. */
static const uint32_t lawful_codes[VERB_COUNT] = {
    [VERB_GET] = VALUES,
    [VERB_GETS] = VALUES,
    [VERB_GAT] = VALUES,
    [VERB_GATS] = VALUES,
    [VERB_SET] = STORES,
    [VERB_ADD] = STORES,
    [VERB_REPLACE] = STORES,
    [VERB_APPEND] = STORES,
    [VERB_PREPEND] = STORES,
    [VERB_CAS] = STORES | BIT(EXISTS) | BIT(NOT_FOUND),
    [VERB_DELETE] = ERRORS | BIT(DELETED) | BIT(NOT_FOUND),
    [VERB_INCR] = ERRORS | BIT(NUMBER) | BIT(NOT_FOUND),
    [VERB_DECR] = ERRORS | BIT(NUMBER) | BIT(NOT_FOUND),
    [VERB_TOUCH] = ERRORS | BIT(TOUCHED) | BIT(NOT_FOUND),
    [VERB_MG] = ERRORS | BIT(VA) | BIT(HD) | BIT(EN),
    [VERB_MS] = COMPLAINTS | BIT(HD) | BIT(NS) | BIT(EX) | BIT(NF),
    [VERB_MD] = ERRORS | BIT(HD) | BIT(NS) | BIT(EX) | BIT(NF),
    [VERB_MA] = ERRORS | BIT(HD) | BIT(VA) | BIT(NS) | BIT(EX) | BIT(NF),
    [VERB_ME] = ERRORS | BIT(ME) | BIT(EN),
    [VERB_MN] = ERRORS | BIT(MN),
    [VERB_VERSION] = ERRORS | BIT(VERSION),
    [VERB_STATS] = ERRORS | BIT(STAT) | BIT(END) | BIT(RESET) | BIT(OK),
    [VERB_FLUSH_ALL] = ERRORS | BIT(OK),
    [VERB_VERBOSITY] = ERRORS | BIT(OK),
    [VERB_QUIT] = ERRORS,
};

/* What follows a code's word on its line. */
enum tail {
    TAIL_NONE,   /* the line's end */
    TAIL_TEXT,   /* the line's end, or a space and anything */
    TAIL_NAME,   /* a space, a name, and perhaps a space and anything */
    TAIL_LENGTH, /* a space and the length of a data block; then as TAIL_TEXT */
    TAIL_VALUE,  /* a space and a VALUE's fields */
};

static const struct {
    const char *word;
    uint8_t len;
    uint8_t tail;
} codes[] = {
#define X(code, tail) [REPLY_CODE_##code] = {#code, sizeof(#code) - 1, tail}
    X(VALUE, TAIL_VALUE), X(END, TAIL_NONE),          X(STORED, TAIL_NONE),       X(NOT_STORED, TAIL_NONE),
    X(EXISTS, TAIL_NONE), X(NOT_FOUND, TAIL_NONE),    X(DELETED, TAIL_NONE),      X(TOUCHED, TAIL_NONE),
    X(OK, TAIL_NONE),     X(RESET, TAIL_NONE),        X(VERSION, TAIL_TEXT),      X(STAT, TAIL_NAME),
    X(HD, TAIL_TEXT),     X(VA, TAIL_LENGTH),         X(EN, TAIL_TEXT),           X(NS, TAIL_TEXT),
    X(EX, TAIL_TEXT),     X(NF, TAIL_TEXT),           X(ME, TAIL_TEXT),           X(MN, TAIL_NONE),
    X(ERROR, TAIL_TEXT),  X(CLIENT_ERROR, TAIL_TEXT), X(SERVER_ERROR, TAIL_TEXT),
#undef X
};

/* Digits of a number at *at, which is moved behind them. false: none, or they do not fit. */
static bool take_u64(const char **at, const char *end, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *start = *at;
    for (; *at < end; (*at)++) {
        unsigned digit = (unsigned char)**at - '0';
        if (digit > 9)
            break;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *value_out = value;
    return *at > start;
}

static bool take_space(const char **at, const char *end)
{
    if (*at == end || **at != ' ')
        return false;
    (*at)++;
    return true;
}

/* A data block's length. */
static bool take_length(const char **at, const char *end, struct reply_unit *unit)
{
    uint64_t length;
    if (!take_u64(at, end, &length) || length > REPLY_VALUE_MAX)
        return false;
    unit->body_bytes = length + 2;
    return true;
}

/* memcached 1.4 prints flags of 2^31 and more as negative numbers; large flags of later versions have 64 bits. */
static bool take_flags(const char **at, const char *end)
{
    uint64_t flags;
    *at += *at < end && **at == '-';
    return take_u64(at, end, &flags);
}

static bool has_unique(enum verb verb)
{
    return verb == VERB_GETS || verb == VERB_GATS;
}

/* KEY FLAGS BYTES, and UNIQUE for those verbs that ask for it; up to the line's end. */
static bool parse_value(enum verb verb, const char *at, const char *end, struct reply_unit *unit)
{
    uint64_t unique;
    const char *key = at;
    at = scan_key(at, end);
    unit->key = slice_make(key, (size_t)(at - key));
    if (unit->key.len - 1 >= KEY_LEN_MAX)
        return false;
    if (!take_space(&at, end) || !take_flags(&at, end))
        return false;
    if (!take_space(&at, end) || !take_length(&at, end, unit))
        return false;
    if (has_unique(verb) && (!take_space(&at, end) || !take_u64(&at, end, &unique)))
        return false;
    return at == end;
}

/* NAME [VALUE] */
static bool parse_name(const char *at, const char *end, struct reply_unit *unit)
{
    const char *space = memchr(at, ' ', (size_t)(end - at));
    const char *name_end = space == NULL ? end : space;
    const char *rest = space == NULL ? end : space + 1;
    unit->key = slice_make(at, (size_t)(name_end - at));
    unit->rest = slice_make(rest, (size_t)(end - rest));
    return unit->key.len > 0;
}

/* What follows the word, which ends at `at`. */
static bool parse_tail(enum verb verb, enum tail tail, const char *at, const char *end, struct reply_unit *unit)
{
    if (tail == TAIL_NONE)
        return at == end;
    if (tail == TAIL_TEXT && at == end)
        return true;
    if (!take_space(&at, end))
        return false;
    switch (tail) {
    case TAIL_NAME:
        return parse_name(at, end, unit);
    case TAIL_VALUE:
        return parse_value(verb, at, end, unit);
    case TAIL_LENGTH:
        return take_length(&at, end, unit) && (at == end || *at == ' ');
    default:
        unit->rest = slice_make(at, (size_t)(end - at));
        return true;
    }
}

/* A counter's new value; some servers pad it with spaces. */
static bool parse_number(const char *at, const char *end, struct reply_unit *unit)
{
    uint64_t number;
    if (!take_u64(&at, end, &number))
        return false;
    while (at < end && *at == ' ')
        at++;
    unit->code = REPLY_CODE_NUMBER;
    return at == end;
}

/* The line [line, end) says that the server has not swallowed the request's data block. */
static bool tells_lost_step(enum verb verb, const struct reply_unit *unit)
{
    return verb >= VERB_SET && verb <= VERB_CAS && unit->code == REPLY_CODE_CLIENT_ERROR &&
           slice_equal(unit->rest, SLICE_OF("bad command line format"));
}

/* A line without its CRLF. false: not lawful. */
static bool parse_line(enum verb verb, const char *line, const char *end, struct reply_unit *unit)
{
    uint32_t lawful = lawful_codes[verb];
    if ((lawful & BIT(NUMBER)) && parse_number(line, end, unit))
        return true;
    for (lawful &= ~BIT(NUMBER); lawful != 0; lawful &= lawful - 1) {
        unsigned code = (unsigned)__builtin_ctz(lawful);
        size_t len = codes[code].len;
        if ((size_t)(end - line) < len || memcmp(line, codes[code].word, len) != 0)
            continue;
        /* No word is the start of another that the same verb may be answered, but for EN and END: never together. */
        unit->code = (enum reply_code)code;
        return parse_tail(verb, (enum tail)codes[code].tail, line + len, end, unit) && !tells_lost_step(verb, unit);
    }
    return false;
}

/*
 * The line's CRLF; NULL: not in [data, end). A key that is printed raw can hold a newline, but no CRLF (meta.c sees to
 * that), so for mg and me only both together end a line.
 */
static const char *find_crlf(enum verb verb, const char *data, const char *end, bool *garbage_out)
{
    const char *at = data;
    *garbage_out = false;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            return NULL;
        if (newline > data && newline[-1] == '\r')
            return newline - 1;
        if (verb != VERB_MG && verb != VERB_ME) {
            *garbage_out = true;
            return NULL;
        }
        at = newline + 1;
    }
    return NULL;
}

static bool is_final(enum verb verb, enum reply_code code)
{
    if (code == REPLY_CODE_STAT)
        return false;
    return !(verb_is_retrieval(verb) && code == REPLY_CODE_VALUE);
}

/* A decimal of at most nine digits at `at`: the place behind it, or NULL. */
static inline const char *take_short(const char *at, const char *end, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *start = at;
    while (at < end && (unsigned char)(*at - '0') <= 9 && at - start < 10)
        value = value * 10 + (unsigned char)(*at++ - '0');
    *value_out = value;
    return at > start && at - start < 10 ? at : NULL;
}

/*
 * "VALUE KEY FLAGS BYTES\r\n" in its usual form: what nearly all replies begin with. false: it is something else, or not
 * whole; then the rest of this file says what.
 */
static inline bool parse_plain_value(const char *data, size_t len, struct reply_unit *unit)
{
    uint64_t flags, length;
    const char *end = data + (len < REPLY_LINE_MAX ? len : REPLY_LINE_MAX);
    if (len < sizeof "VALUE k 0 0\r\n" - 1 || memcmp(data, "VALUE ", 6) != 0)
        return false;
    const char *key = data + 6;
    const char *at = scan_key(key, end);
    size_t key_len = (size_t)(at - key);
    if (key_len - 1 >= KEY_LEN_MAX || at == end || *at != ' ')
        return false;
    at = take_short(at + 1, end, &flags);
    if (at == NULL || at == end || *at != ' ')
        return false;
    at = take_short(at + 1, end, &length);
    if (at == NULL || end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return false;
    unit->code = REPLY_CODE_VALUE;
    unit->final = false;
    unit->head_bytes = (uint32_t)(at + 2 - data);
    unit->body_bytes = length + 2;
    unit->key = slice_make(key, key_len);
    unit->rest = slice_make(NULL, 0);
    return true;
}

/* Any unit. Kept apart, so that what nearly all replies are does not pay for its registers. */
__attribute__((noinline)) static enum reply_status parse_unit(enum verb verb, const char *data, size_t len,
                                                              struct reply_unit *unit_out)
{
    bool garbage;
    if (len == 0)
        return REPLY_PARTIAL;
    const char *end = data + (len < REPLY_LINE_MAX ? len : REPLY_LINE_MAX);
    const char *crlf = find_crlf(verb, data, end, &garbage);
    if (garbage || (crlf == NULL && len >= REPLY_LINE_MAX))
        return REPLY_GARBAGE;
    if (crlf == NULL)
        return REPLY_PARTIAL;
    *unit_out = (struct reply_unit){.head_bytes = (uint32_t)(crlf - data) + 2};
    if (!parse_line(verb, data, crlf, unit_out))
        return REPLY_GARBAGE;
    unit_out->final = is_final(verb, unit_out->code);
    return REPLY_UNIT;
}

enum reply_status reply_parse(enum verb verb, const char *data, size_t len, struct reply_unit *unit_out)
{
    if ((verb == VERB_GET || verb == VERB_GAT) && parse_plain_value(data, len, unit_out))
        return REPLY_UNIT;
    return parse_unit(verb, data, len, unit_out);
}
