/*
 * The request parser's driver: finds the line and its verb, and hands both on. And what can be asked of a request.
 *
 *     input:   [spaces] VERB [ tokens ... ] [spaces] [\r]\n  rest
 *              |        |---- line.text ----|         |
 *              |-------------- line_bytes ------------|
 *
 *     READY, REFUSED  a line in sight (a retrieval's: of any length; others: of at most REQUEST_LINE_MAX bytes)
 *     PARTIAL         no end in sight, fewer than REQUEST_LINE_MAX bytes
 *     KEYS, FATAL     no end in sight, and that many bytes or more
 *
 * It knows no command's arguments: see parse.h for who does.
 */
#include "wire/request.h"

#include "wire/base64.h"
#include "wire/number.h"
#include "wire/parse.h"
#include "wire/scan.h"
#include "wire/token.h"
#include "wire/verb.h"

#include <string.h>

/* Commands of memcached that act on one server, or on its process. */
static const struct {
    struct slice name;
    struct slice error;
} private_commands[] = {
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }
#define X(name)                                                                        \
    {                                                                                  \
        TEXT(name), TEXT("CLIENT_ERROR " name " is not available through a proxy\r\n") \
    }
    X("shutdown"),  X("cache_memlimit"), X("slabs"),         X("lru"),       X("lru_crawler"), X("watch"),
    X("debugtime"), X("debugitem"),      X("refresh_certs"), X("misbehave"), X("extstore"),
#undef X
#undef TEXT
};

bool parse_key_is_valid(struct slice key)
{
    const char *end = key.data + key.len;
    return key.len > 0 && key.len <= KEY_LEN_MAX && scan_key(key.data, end) == end;
}

bool parse_ends_in_noreply(const struct tokens *tokens)
{
    return tokens->count < TOKENS_MAX && slice_equal(tokens->at[tokens->count - 1], SLICE_OF("noreply"));
}

uint64_t parse_swallow_bytes(struct slice token)
{
    struct number length = number_parse(token);
    bool negative = length.negative && length.magnitude > 0;
    return length.valid && !negative && length.magnitude <= INT64_MAX ? length.magnitude + 2 : 0;
}

static struct slice last_token(struct slice text)
{
    const char *end = text.data + text.len;
    const char *at = end;
    while (at > text.data && at[-1] != ' ')
        at--;
    return slice_make(at, (size_t)(end - at));
}

static bool starts_with(struct slice text, struct slice start)
{
    return text.len >= start.len && memcmp(text.data, start.data, start.len) == 0;
}

/* A line whose first token is no verb of ours. */
static enum request_status refuse_unknown(const struct parse_line *line, struct slice name, struct request *request)
{
    struct slice last = last_token(line->text);
    for (size_t i = 0; i < sizeof(private_commands) / sizeof(private_commands[0]); i++) {
        if (slice_equal(private_commands[i].name, name)) {
            request->noreply = slice_equal(last, SLICE_OF("noreply"));
            return parse_refuse(request, request->noreply ? SLICE_OF("") : private_commands[i].error);
        }
    }
    request->error = PARSE_ERROR;
    /* A web browser: what follows are headers, and none of them is a command. */
    return starts_with(last, SLICE_OF("HTTP/")) ? REQUEST_FATAL : REQUEST_REFUSED;
}

/* A line with its end in sight. Its verb decides who parses it. */
static enum request_status parse_verb(const struct parse_line *line, uint64_t item_size_max, struct request *request)
{
    struct slice rest = line->text, name;
    bool known = token_next(&rest, &name) && verb_by_name(name, &request->verb);
    if (known && verb_is_retrieval(request->verb))
        return retrieval_parse(line, request);
    if (request->line_bytes > REQUEST_LINE_MAX) {
        request->error = PARSE_LINE_TOO_LONG;
        return REQUEST_FATAL;
    }
    if (!known)
        return refuse_unknown(line, name, request);
    return verb_is_meta(request->verb) ? meta_parse(line, item_size_max, request)
                                       : classic_parse(line, item_size_max, request);
}

static enum request_status parse_ended(const char *data, const char *newline, uint64_t item_size_max,
                                       struct request *request)
{
    const char *start = data;
    const char *end = newline;
    /* memcached takes the '\r' of an empty line for a command. */
    if (end - start > 1 && end[-1] == '\r')
        end--;
    bool crlf = end < newline;
    while (start < end && *start == ' ')
        start++;
    const char *text_end = end;
    while (text_end > start && text_end[-1] == ' ')
        text_end--;
    request->line = slice_make(start, (size_t)(text_end - start));
    request->line_bytes = (uint32_t)(newline - data) + 1;
    struct parse_line line = {
        .text = request->line,
        .exact = crlf && start == data && text_end == end,
    };
    return parse_verb(&line, item_size_max, request);
}

/* REQUEST_LINE_MAX bytes and more without an end: good only if it is a retrieval. */
static enum request_status parse_unended(const char *data, size_t len, struct request *request)
{
    const char *start = data;
    while (start < data + len && *start == ' ')
        start++;
    struct slice text = slice_make(start, (size_t)(data + len - start));
    struct slice rest = text, name;
    bool whole = token_next(&rest, &name) && rest.len > 0;
    if (!whole || !verb_by_name(name, &request->verb) || !verb_is_retrieval(request->verb)) {
        request->error = PARSE_LINE_TOO_LONG;
        return REQUEST_FATAL;
    }
    enum request_status status = retrieval_parse_unended(text, request);
    if (status == REQUEST_KEYS)
        request->line_bytes = (uint32_t)(request->keys.data + request->keys.len - data);
    return status;
}

enum request_status request_parse(const char *data, size_t len, uint64_t item_size_max, struct request *request_out)
{
    if (request_parse_frequent(data, len, item_size_max, request_out))
        return REQUEST_READY;
    parse_start(request_out);
    const char *newline = len == 0 ? NULL : memchr(data, '\n', len);
    if (newline != NULL)
        return parse_ended(data, newline, item_size_max, request_out);
    return len < REQUEST_LINE_MAX ? REQUEST_PARTIAL : parse_unended(data, len, request_out);
}

/* How many of the line's tokens go to a server. */
static uint32_t printed_tokens(const struct request *request)
{
    switch (request->verb) {
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_APPEND:
    case VERB_PREPEND:
        return 5;
    case VERB_CAS:
        return 6;
    case VERB_INCR:
    case VERB_DECR:
    case VERB_TOUCH:
        return 3;
    case VERB_ME:
        return request->key_encoded ? 3 : 2;
    case VERB_DELETE:
    case VERB_VERBOSITY:
        return 2;
    case VERB_FLUSH_ALL:
        return request->argument.len > 0 ? 2 : 1;
    case VERB_VERSION:
    case VERB_QUIT:
    case VERB_MN:
        return 1;
    default:
        return UINT32_MAX;
    }
}

static bool prints_token(const struct request *request, uint32_t index, struct slice token)
{
    return !verb_is_meta(request->verb) || meta_prints_token(request->verb, index, token);
}

bool parse_prints_token(const struct request *request, uint32_t index, struct slice token)
{
    return index < printed_tokens(request) && prints_token(request, index, token);
}

bool parse_print_token(struct slice token, char *buffer, size_t capacity, size_t *used)
{
    size_t space = *used > 0;
    if (token.len + space > capacity - *used)
        return false;
    if (space)
        buffer[*used] = ' ';
    memcpy(buffer + *used + space, token.data, token.len);
    *used += space + token.len;
    return true;
}

size_t request_print(const struct request *request, char *buffer, size_t capacity)
{
    struct slice rest = request->line, token;
    size_t used = 0;
    uint32_t limit = printed_tokens(request);
    for (uint32_t i = 0; i < limit && token_next(&rest, &token); i++) {
        if (prints_token(request, i, token) && !parse_print_token(token, buffer, capacity, &used))
            return 0;
    }
    /* See parse_delete: the old form with a time of 0 is understood by all. */
    if (request->verb == VERB_DELETE && slice_equal(request->key, SLICE_OF("noreply")) &&
        !parse_print_token(SLICE_OF("0"), buffer, capacity, &used))
        return 0;
    if (capacity - used < 2)
        return 0;
    buffer[used] = '\r';
    buffer[used + 1] = '\n';
    return used + 2;
}

struct slice request_route_key(const struct request *request, char *buffer)
{
    if (!request->key_encoded)
        return request->key;
    return slice_make(buffer, base64_decode(request->key, buffer));
}

/*
 * What q keeps back in memcached: of mg the miss, of the others the success. An item that ma makes by flag N counts as
 * success (memcached 1.6.18 answers it; later ones do not).
 */
static bool quiet_swallows(enum verb verb, enum reply_code code)
{
    switch (verb) {
    case VERB_MG:
        return code == REPLY_CODE_EN;
    case VERB_MS:
    case VERB_MD:
        return code == REPLY_CODE_HD;
    case VERB_MA:
        return code == REPLY_CODE_HD || code == REPLY_CODE_VA;
    default:
        return false;
    }
}

bool request_swallows(const struct request *request, enum reply_code code)
{
    return request->noreply || (request->quiet && quiet_swallows(request->verb, code));
}
