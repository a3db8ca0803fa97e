/*
 * The ASCII commands but for the retrievals: how many tokens each takes, what they must be, and which may be missing.
 *
 *     set add replace append prepend   KEY FLAGS EXPTIME BYTES [noreply]           and a data block
 *     cas                              KEY FLAGS EXPTIME BYTES UNIQUE [noreply]    and a data block
 *     delete                           KEY [0] [noreply]
 *     incr decr                        KEY DELTA [noreply]
 *     touch                            KEY EXPTIME [noreply]
 *     flush_all                        [DELAY] [noreply]
 *     verbosity                        LEVEL [noreply]
 *     stats                            [anything]                    version, quit, mn: likewise
 *
 * The order of the checks, and so the error that wins, is that of memcached's process_*_command (proto_text.c). As
 * there, noreply silences an error only when the count of tokens was right, and a last token that is not noreply is
 * passed over where one more is allowed.
 *
 * Storage commands are held to the narrow reading of numbers: a server that disliked one would not swallow the data
 * block, and take it for commands.
 */
#include "wire/number.h"
#include "wire/parse.h"

#include <string.h>

/* Where a storage command has the length of its data block. */
#define LENGTH_TOKEN 4

/* A request whose count of tokens is right: noreply holds, also for the error. */
static enum request_status refuse_politely(struct request *request, struct slice error)
{
    return parse_refuse(request, request->noreply ? SLICE_OF("") : error);
}

static void set_key(struct request *request, struct slice key)
{
    request->key = key;
    request->key_count = 1;
}

/* The command takes `least` tokens, its name included, or up to `most`. Sets noreply. */
static bool count_is_right(const struct tokens *tokens, uint32_t least, uint32_t most, struct request *request)
{
    if (tokens->count < least || tokens->count > most)
        return false;
    request->noreply = parse_ends_in_noreply(tokens);
    return true;
}

static bool has_data_block(enum verb verb)
{
    return verb >= VERB_SET && verb <= VERB_CAS;
}

/* The tokens of a storage command, without noreply. */
static uint32_t store_tokens(enum verb verb)
{
    return verb == VERB_CAS ? LENGTH_TOKEN + 2 : LENGTH_TOKEN + 1;
}

static struct slice take_last_token(struct slice *text)
{
    const char *start = text->data;
    const char *end = start + text->len;
    while (end > start && end[-1] == ' ')
        end--;
    const char *at = end;
    while (at > start && at[-1] != ' ')
        at--;
    text->len = (size_t)(at - start);
    return slice_make(at, (size_t)(end - at));
}

/*
 * The token of a refused storage command that most likely is the length of its data block: counted from the end, since
 * a line with too many tokens mostly has a key with a blank in it. count: tokens that the command needs.
 */
static uint64_t guess_swallow_bytes(const struct parse_line *line, const struct tokens *tokens, uint32_t count)
{
    struct slice rest = line->text;
    struct slice token = take_last_token(&rest);
    uint32_t found = tokens->count;
    uint64_t bytes = 0;
    if (found <= LENGTH_TOKEN)
        return 0;
    if (slice_equal(token, SLICE_OF("noreply"))) {
        token = take_last_token(&rest);
        found--;
    }
    for (uint32_t i = LENGTH_TOKEN + 1; i < count; i++)
        token = take_last_token(&rest);
    if (found >= count)
        bytes = parse_swallow_bytes(token);
    return bytes > 0 ? bytes : parse_swallow_bytes(tokens->at[LENGTH_TOKEN]);
}

static bool store_is_valid(const struct tokens *tokens, uint32_t count, const struct request *request)
{
    if (!parse_key_is_valid(tokens->at[1]) || !number_is_plain_u32(tokens->at[2]) ||
        !number_is_plain_i32(tokens->at[3]))
        return false;
    struct number length = number_parse(tokens->at[LENGTH_TOKEN]);
    if (!length.plain || length.negative || length.magnitude > INT64_MAX)
        return false;
    if (length.magnitude <= PARSE_VALUE_MAX && tokens->at[LENGTH_TOKEN].len > NUMBER_32_LEN_MAX)
        return false;
    if (count > LENGTH_TOKEN + 1 && !number_is_plain_u64(tokens->at[5]))
        return false;
    /* One number too many: the key has a blank in it, and the length is not where it seems to be. */
    return tokens->count == count || request->noreply || !number_parse(tokens->at[count]).valid;
}

static enum request_status parse_store(const struct parse_line *line, const struct tokens *tokens,
                                       uint64_t item_size_max, struct request *request)
{
    uint32_t count = store_tokens(request->verb);
    if (!count_is_right(tokens, count, count + 1, request)) {
        request->swallow_bytes = guess_swallow_bytes(line, tokens, count);
        return parse_refuse(request, PARSE_ERROR);
    }
    if (!store_is_valid(tokens, count, request)) {
        request->swallow_bytes = guess_swallow_bytes(line, tokens, count);
        return refuse_politely(request, PARSE_BAD_FORMAT);
    }
    uint64_t value_bytes = number_parse(tokens->at[LENGTH_TOKEN]).magnitude;
    set_key(request, tokens->at[1]);
    if (value_bytes > item_size_max || value_bytes > PARSE_VALUE_MAX) {
        request->swallow_bytes = value_bytes + 2;
        return refuse_politely(request, PARSE_TOO_LARGE);
    }
    request->value_bytes = value_bytes;
    request->has_value = true;
    request->verbatim = line->exact && tokens->single_spaced && tokens->count == count;
    return REQUEST_READY;
}

static enum request_status parse_delete(const struct parse_line *line, const struct tokens *tokens,
                                        struct request *request)
{
    uint32_t count = tokens->count;
    if (count < 2 || count > 4)
        return parse_refuse(request, PARSE_ERROR);
    if (count > 2) {
        bool zero = slice_equal(tokens->at[2], SLICE_OF("0"));
        request->noreply = parse_ends_in_noreply(tokens);
        if (count == 3 ? !zero && !request->noreply : !zero || !request->noreply)
            return refuse_politely(
                request, SLICE_OF("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"));
    }
    if (!parse_key_is_valid(tokens->at[1]))
        return refuse_politely(request, PARSE_BAD_FORMAT);
    set_key(request, tokens->at[1]);
    /* memcached 1.6.40 and later take `delete noreply` for a delete without a reply: see request_print. */
    bool misread = slice_equal(tokens->at[1], SLICE_OF("noreply"));
    request->verbatim = line->exact && tokens->single_spaced && count == 2 && !misread;
    return REQUEST_READY;
}

/* incr, decr, touch: a key and a number. */
static enum request_status parse_key_and_number(const struct parse_line *line, const struct tokens *tokens,
                                                struct request *request)
{
    if (!count_is_right(tokens, 3, 4, request))
        return parse_refuse(request, PARSE_ERROR);
    if (!parse_key_is_valid(tokens->at[1]))
        return refuse_politely(request, PARSE_BAD_FORMAT);
    if (request->verb == VERB_TOUCH && !number_is_i64(tokens->at[2]))
        return refuse_politely(request, PARSE_BAD_EXPTIME);
    if (request->verb != VERB_TOUCH && !number_is_u64(tokens->at[2]))
        return refuse_politely(request, SLICE_OF("CLIENT_ERROR invalid numeric delta argument\r\n"));
    set_key(request, tokens->at[1]);
    request->verbatim = line->exact && tokens->single_spaced && tokens->count == 3;
    return REQUEST_READY;
}

static enum request_status parse_flush_all(const struct parse_line *line, const struct tokens *tokens,
                                           struct request *request)
{
    if (!count_is_right(tokens, 1, 3, request))
        return parse_refuse(request, PARSE_ERROR);
    uint32_t bare = request->noreply ? 2 : 1;
    if (tokens->count != bare) {
        if (!number_is_i64(tokens->at[1]))
            return refuse_politely(request, PARSE_BAD_EXPTIME);
        request->argument = tokens->at[1];
    }
    request->verbatim = line->exact && tokens->single_spaced && !request->noreply && tokens->count <= 2;
    return REQUEST_READY;
}

static enum request_status parse_verbosity(const struct parse_line *line, const struct tokens *tokens,
                                           struct request *request)
{
    if (!count_is_right(tokens, 2, 3, request))
        return parse_refuse(request, PARSE_ERROR);
    if (!number_is_u64(tokens->at[1]))
        return refuse_politely(request, PARSE_BAD_FORMAT);
    request->argument = tokens->at[1];
    request->verbatim = line->exact && tokens->single_spaced && tokens->count == 2;
    return REQUEST_READY;
}

/* version, quit, mn, stats: with anything behind them. */
static enum request_status parse_bare(const struct parse_line *line, const struct tokens *tokens,
                                      struct request *request)
{
    if (request->verb == VERB_STATS && tokens->count > 1) {
        const char *start = tokens->at[1].data;
        request->argument = slice_make(start, (size_t)(line->text.data + line->text.len - start));
    }
    bool short_enough = request->verb == VERB_STATS ? tokens->count < TOKENS_MAX : tokens->count == 1;
    request->repeatable = verb_is_read(request->verb);
    request->verbatim = line->exact && tokens->single_spaced && short_enough;
    return REQUEST_READY;
}

/* memcached's own text ends at a NUL: no command is good that has one. */
static enum request_status refuse_nul(const struct parse_line *line, const struct tokens *tokens,
                                      struct request *request)
{
    if (has_data_block(request->verb))
        request->swallow_bytes = guess_swallow_bytes(line, tokens, store_tokens(request->verb));
    return parse_refuse(request, PARSE_BAD_FORMAT);
}

enum request_status classic_parse(const struct parse_line *line, uint64_t item_size_max, struct request *request_out)
{
    struct tokens tokens;
    tokens_split(line->text, &tokens);
    if (memchr(line->text.data, '\0', line->text.len) != NULL)
        return refuse_nul(line, &tokens, request_out);
    switch (request_out->verb) {
    case VERB_DELETE:
        return parse_delete(line, &tokens, request_out);
    case VERB_INCR:
    case VERB_DECR:
    case VERB_TOUCH:
        return parse_key_and_number(line, &tokens, request_out);
    case VERB_FLUSH_ALL:
        return parse_flush_all(line, &tokens, request_out);
    case VERB_VERBOSITY:
        return parse_verbosity(line, &tokens, request_out);
    default:
        break;
    }
    if (has_data_block(request_out->verb))
        return parse_store(line, &tokens, item_size_max, request_out);
    return parse_bare(line, &tokens, request_out);
}
