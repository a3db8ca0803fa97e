/*
 * The meta commands: a key, for ms the length of a data block, and flags: a letter each, perhaps with an argument.
 *
 *     mg KEY flags*      ms KEY BYTES flags*      md KEY flags*      ma KEY flags*      me KEY [b]
 *
 *     b       the key is base64                  O...   echoed, at most 32 bytes with its letter
 *     q       taken off, and the answers that it would have kept back are kept back here (request_swallows)
 *     N T R C F D J M    checked, since one that is wrong makes an error, and the error must be the only answer
 *     others  passed on untouched, as is what M asks for: a server that does not know it says so in one line, and
 *             swallows the data block
 *
 * The order of the checks is that of memcached 1.6.18 (proto_text.c); where later versions are stricter (a flag that
 * is no letter: they do not swallow the data block then), so is this.
 */
#include "wire/base64.h"
#include "wire/number.h"
#include "wire/parse.h"

#include <string.h>

/* memcached's MFLAG_MAX_OPT_LENGTH, which counts an empty token at the end. */
#define META_TOKENS_MAX 19
/* MFLAG_MAX_OPAQUE_LENGTH: the letter included. */
#define META_OPAQUE_LEN_MAX 32

#define META_BAD_TOKEN SLICE_OF("CLIENT_ERROR bad token in command line format\r\n")

/* What the flags say together. */
struct meta_flags {
    uint64_t seen;      /* bit (letter - 'A') */
    bool opaque_is_bad; /* memcached notices this later than the other errors */
    struct slice error; /* empty: none */
};

static uint64_t flag_bit(char letter)
{
    return UINT64_C(1) << (unsigned)(letter - 'A');
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Where the flags start: behind the key, for ms behind the length. */
static uint32_t first_flag(enum verb verb)
{
    return verb == VERB_MS ? 3 : 2;
}

/* The route's key must be found, and must be a key. */
static bool decodes(struct slice key)
{
    char decoded[KEY_LEN_MAX];
    return base64_decode(key, decoded) > 0;
}

/* The argument of a flag that has one is wrong: sets flags->error. */
static void check_argument(struct slice token, struct slice key, struct meta_flags *flags)
{
    struct slice argument = slice_make(token.data + 1, token.len - 1);
    switch (token.data[0]) {
    case 'b':
        if (!decodes(key))
            flags->error = SLICE_OF("CLIENT_ERROR error decoding key\r\n");
        break;
    case 'N':
    case 'T':
    case 'R':
        if (!number_is_i64(argument))
            flags->error = META_BAD_TOKEN;
        break;
    case 'C':
        if (!number_is_u64(argument))
            flags->error = META_BAD_TOKEN;
        break;
    case 'F': /* has no words of its own: keeps an earlier error's */
        if (!number_is_u64(argument) && flags->error.len == 0)
            flags->error = PARSE_BAD_FORMAT;
        break;
    case 'M':
        if (argument.len != 1)
            flags->error = SLICE_OF("CLIENT_ERROR incorrect length for M token\r\n");
        break;
    case 'J':
        if (!number_is_u64(argument))
            flags->error = SLICE_OF("CLIENT_ERROR invalid numeric initial value\r\n");
        break;
    case 'D':
        if (!number_is_u64(argument))
            flags->error = SLICE_OF("CLIENT_ERROR invalid numeric delta value\r\n");
        break;
    case 'O':
        flags->opaque_is_bad = token.len > META_OPAQUE_LEN_MAX;
        break;
    default:
        break;
    }
}

/* Reads the flags until one cannot be told apart from the others. */
static struct meta_flags read_flags(const struct tokens *tokens, uint32_t first)
{
    struct meta_flags flags = {0};
    for (uint32_t i = first; i < tokens->count; i++) {
        struct slice token = tokens->at[i];
        bool known = is_letter(token.data[0]);
        if ((unsigned char)token.data[0] >= 0x7f || (known && (flags.seen & flag_bit(token.data[0])))) {
            flags.error = SLICE_OF("CLIENT_ERROR duplicate flag\r\n");
            return flags;
        }
        if (!known) {
            flags.error = SLICE_OF("CLIENT_ERROR invalid flag\r\n");
            return flags;
        }
        flags.seen |= flag_bit(token.data[0]);
        check_argument(token, tokens->at[1], &flags);
    }
    return flags;
}

/*
 * memcached 1.6 prints a binary key raw when `mg` with flag N made the item. A line break within it would be a second
 * answer: such a key is not asked to be printed.
 */
static bool echo_is_safe(struct slice key)
{
    char decoded[KEY_LEN_MAX];
    size_t len = base64_decode(key, decoded);
    for (size_t i = 1; i < len; i++) {
        if (decoded[i - 1] == '\r' && decoded[i] == '\n')
            return false;
    }
    return true;
}

/* All that may be wrong with the flags; empty: nothing is. */
static struct slice flags_error(enum verb verb, const struct tokens *tokens, const struct meta_flags *flags)
{
    bool terse = verb == VERB_MD || verb == VERB_MA;
    if (flags->error.len > 0)
        return terse ? SLICE_OF("CLIENT_ERROR invalid or duplicate flag\r\n") : flags->error;
    if (flags->opaque_is_bad)
        return SLICE_OF("CLIENT_ERROR opaque token too long\r\n");
    if (verb == VERB_MG && (flags->seen & flag_bit('b')) && (flags->seen & flag_bit('k')) &&
        !echo_is_safe(tokens->at[1]))
        return PARSE_BAD_FORMAT;
    return SLICE_OF("");
}

/* What is wrong before the flags are looked at; empty: nothing is. */
static struct slice shape_error(const struct parse_line *line, const struct tokens *tokens, enum verb verb)
{
    if (tokens->count < 2)
        return PARSE_ERROR;
    if (!parse_key_is_valid(tokens->at[1]) || memchr(line->text.data, '\0', line->text.len) != NULL)
        return PARSE_BAD_FORMAT;
    if (verb == VERB_MS && tokens->count == 2)
        return PARSE_BAD_FORMAT;
    if (tokens->count > META_TOKENS_MAX)
        return verb == VERB_MG ? SLICE_OF("CLIENT_ERROR options flags are too long\r\n")
                               : SLICE_OF("CLIENT_ERROR options flags too long\r\n");
    if (verb != VERB_MS)
        return SLICE_OF("");
    struct number length = number_parse(tokens->at[2]);
    bool too_long = length.magnitude <= PARSE_VALUE_MAX && tokens->at[2].len > NUMBER_32_LEN_MAX;
    return !length.plain || length.negative || length.magnitude > INT64_MAX || too_long ? PARSE_BAD_FORMAT
                                                                                        : SLICE_OF("");
}

/* mg that changes nothing: no lease to win or item to make (N, R), no new expiry time (T), no letter of a later day. */
static bool is_repeatable(enum verb verb, uint64_t seen)
{
    static const char harmless[] = "bcfhklOPLqstuvCDFIJM";
    if (verb != VERB_MG)
        return false;
    for (size_t i = 0; i < sizeof(harmless) - 1; i++)
        seen &= ~flag_bit(harmless[i]);
    return seen == 0;
}

/* Meta commands show their errors in spite of q. */
static enum request_status parse_flagged(const struct parse_line *line, const struct tokens *tokens,
                                         uint64_t item_size_max, struct request *request)
{
    enum verb verb = request->verb;
    if (verb == VERB_MS && tokens->count > 2)
        request->swallow_bytes = parse_swallow_bytes(tokens->at[2]);
    struct slice error = shape_error(line, tokens, verb);
    if (error.len > 0)
        return parse_refuse(request, error);
    struct meta_flags flags = read_flags(tokens, first_flag(verb));
    error = flags_error(verb, tokens, &flags);
    if (error.len > 0)
        return parse_refuse(request, error);
    request->key = tokens->at[1];
    request->key_count = 1;
    request->key_encoded = flags.seen & flag_bit('b');
    if (verb == VERB_MS) {
        request->value_bytes = number_parse(tokens->at[2]).magnitude;
        if (request->value_bytes > item_size_max || request->value_bytes > PARSE_VALUE_MAX)
            return parse_refuse(request, PARSE_TOO_LARGE);
        request->swallow_bytes = 0;
        request->has_value = true;
    }
    request->quiet = flags.seen & flag_bit('q');
    request->repeatable = is_repeatable(verb, flags.seen);
    request->verbatim = line->exact && tokens->single_spaced && !request->quiet;
    return REQUEST_READY;
}

/* me takes flags other than b, and passes over them: they are not sent on, lest a server find a `b` where this has not. */
static enum request_status parse_debug(const struct parse_line *line, const struct tokens *tokens,
                                       struct request *request)
{
    if (tokens->count < 2 || !parse_key_is_valid(tokens->at[1]) ||
        memchr(line->text.data, '\0', line->text.len) != NULL)
        return parse_refuse(request, PARSE_BAD_FORMAT);
    request->key_encoded = tokens->count > 2 && slice_equal(tokens->at[2], SLICE_OF("b"));
    if (request->key_encoded && (!decodes(tokens->at[1]) || !echo_is_safe(tokens->at[1])))
        return parse_refuse(request, PARSE_BAD_FORMAT);
    request->key = tokens->at[1];
    request->key_count = 1;
    request->repeatable = true;
    request->verbatim = line->exact && tokens->single_spaced && tokens->count == (request->key_encoded ? 3 : 2);
    return REQUEST_READY;
}

enum request_status meta_parse(const struct parse_line *line, uint64_t item_size_max, struct request *request_out)
{
    struct tokens tokens;
    tokens_split(line->text, &tokens);
    return request_out->verb == VERB_ME ? parse_debug(line, &tokens, request_out)
                                        : parse_flagged(line, &tokens, item_size_max, request_out);
}

bool meta_prints_token(enum verb verb, uint32_t index, struct slice token)
{
    return verb == VERB_ME || index < first_flag(verb) || token.data[0] != 'q';
}
