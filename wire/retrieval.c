/*
 * get gets gat gats: a verb, for gat an expiry time, and any number of keys.
 *
 *     gat 100  key1 key2 key3\r\n          a line in sight: READY, or REFUSED as a whole
 *     |prefix| |---- keys ----|
 *
 *     get key1 key2 ke | y3 key4 ... | key99\r\n      a line without an end in sight: KEYS, KEYS, ... READY
 *
 * A key is whole when the byte behind it is there to be seen. A key that is wrong refuses the whole line, as memcached
 * does; once some keys of it have been handled, it can only replace the END.
 */
#include "wire/number.h"
#include "wire/parse.h"
#include "wire/scan.h"

/*
 * The verb and the expiry time, with what spaces they came with, are repeated for each server. More bytes than this
 * cannot mean anything, and would make lines for the servers too long.
 */
#define PREFIX_LEN_MAX 64

enum keys_status {
    KEYS_TAKEN, /* all whole keys; *request_out has them */
    KEYS_WRONG, /* one is too long, or holds a control character; *request_out has those before it */
};

/* A '\r' that ends the bytes at hand is perhaps the first half of the line's end. */
static bool is_cut(const char *at, const char *end, bool ended)
{
    return !ended && (at == end || (*at == '\r' && at + 1 == end));
}

static void add_key(struct request *request, struct slice key)
{
    if (request->key_count++ == 0)
        request->key = key;
    request->keys = slice_make(request->key.data, (size_t)(key.data + key.len - request->key.data));
}

/*
 * Takes the keys that are whole in text. ended: the line ends with text, so its last key is whole.
 * *single_spaced_out: one space between each two keys.
 */
static enum keys_status take_keys(struct slice text, bool ended, struct request *request, bool *single_spaced_out)
{
    const char *at = text.data;
    const char *end = text.data + text.len;
    uint32_t gaps = 0, spaces = 0;
    for (;;) {
        const char *gap = at;
        while (at < end && *at == ' ')
            at++;
        if (at == end)
            break;
        if (request->key_count > 0) {
            gaps++;
            spaces += (uint32_t)(at - gap);
        }
        struct slice key = slice_make(at, (size_t)(scan_key(at, end) - at));
        at += key.len;
        if (key.len > KEY_LEN_MAX)
            return KEYS_WRONG;
        if (is_cut(at, end, ended))
            break;
        if (at < end && *at != ' ')
            return KEYS_WRONG;
        add_key(request, key);
    }
    *single_spaced_out = gaps == spaces;
    return KEYS_TAKEN;
}

static bool has_exptime(enum verb verb)
{
    return verb == VERB_GAT || verb == VERB_GATS;
}

/*
 * Takes the verb, and the expiry time, off *text; sets prefix. false: the line is refused, and error set.
 * ended: as for take_keys.
 */
static bool take_prefix(struct slice *text, bool ended, struct request *request)
{
    const char *start = text->data;
    struct slice token;
    token_next(text, &token);
    if (!has_exptime(request->verb)) {
        request->prefix = token;
        return true;
    }
    bool found = token_next(text, &token);
    if (!found || (!ended && text->len == 0)) {
        request->error = ended ? PARSE_ERROR : PARSE_LINE_TOO_LONG;
        return false;
    }
    if (!number_is_i64(token) || memchr(token.data, '\0', token.len) != NULL) {
        request->error = PARSE_BAD_EXPTIME;
        return false;
    }
    request->prefix = slice_make(start, (size_t)(token.data + token.len - start));
    if (request->prefix.len > PREFIX_LEN_MAX) {
        request->error = PARSE_BAD_FORMAT;
        return false;
    }
    return true;
}

/* Single spaced from the first token of the line to its first key. */
static bool prefix_is_canonical(const struct request *request)
{
    size_t token_bytes = verb_name(request->verb).len;
    if (has_exptime(request->verb)) {
        const char *space = memchr(request->prefix.data, ' ', request->prefix.len);
        if (space[1] == ' ')
            return false;
        token_bytes = request->prefix.len;
    }
    return request->key.data == request->prefix.data + token_bytes + 1;
}

enum request_status retrieval_parse(const struct parse_line *line, struct request *request_out)
{
    struct slice text = line->text;
    bool single_spaced;
    if (!take_prefix(&text, true, request_out))
        return REQUEST_REFUSED;
    if (take_keys(text, true, request_out, &single_spaced) == KEYS_WRONG)
        return parse_refuse(request_out, PARSE_BAD_FORMAT);
    /* memcached finds nothing wrong with `gat 100`: it answers END. */
    if (request_out->key_count == 0)
        return parse_refuse(request_out, has_exptime(request_out->verb) ? PARSE_END : PARSE_ERROR);
    request_out->repeatable = !has_exptime(request_out->verb);
    request_out->verbatim = line->exact && single_spaced && prefix_is_canonical(request_out);
    return REQUEST_READY;
}

static enum request_status give_up(struct request *request, struct slice error)
{
    request->error = error;
    return REQUEST_FATAL;
}

enum request_status retrieval_parse_unended(struct slice text, struct request *request_out)
{
    struct slice rest = text;
    bool single_spaced;
    if (!take_prefix(&rest, false, request_out))
        return REQUEST_FATAL;
    enum keys_status status = take_keys(rest, false, request_out, &single_spaced);
    /* A wrong one that is not the first is met again, in what follows these. */
    if (request_out->key_count == 0)
        return give_up(request_out, status == KEYS_WRONG ? PARSE_BAD_FORMAT : PARSE_LINE_TOO_LONG);
    const char *last = request_out->keys.data + request_out->keys.len;
    request_out->line = slice_make(text.data, (size_t)(last - text.data));
    request_out->repeatable = !has_exptime(request_out->verb);
    return REQUEST_KEYS;
}

/* The rest of a line, up to its newline. */
static enum request_status parse_last_keys(const char *data, const char *newline, struct request *more)
{
    size_t len = (size_t)(newline - data);
    bool single_spaced;
    more->line_bytes = (uint32_t)len + 1;
    if (len > 0 && data[len - 1] == '\r')
        len--;
    if (take_keys(slice_make(data, len), true, more, &single_spaced) == KEYS_WRONG)
        return parse_refuse(more, PARSE_BAD_FORMAT);
    return REQUEST_READY;
}

enum request_status request_parse_more_keys(const char *data, size_t len, struct request *more)
{
    bool single_spaced;
    more->key_count = 0;
    more->line_bytes = 0;
    more->key = more->keys = more->error = slice_make(data, 0);
    const char *newline = len == 0 ? NULL : memchr(data, '\n', len);
    if (newline != NULL)
        return parse_last_keys(data, newline, more);
    enum keys_status status = take_keys(slice_make(data, len), false, more, &single_spaced);
    if (more->key_count > 0) {
        more->line_bytes = (uint32_t)(more->keys.data + more->keys.len - data);
        return REQUEST_KEYS;
    }
    /* A wrong key: the line's end, from where the client can go on, may be near. */
    if (len < REQUEST_LINE_MAX)
        return REQUEST_PARTIAL;
    return give_up(more, status == KEYS_WRONG ? PARSE_BAD_FORMAT : PARSE_LINE_TOO_LONG);
}

/* What take_keys let through holds keys and spaces alone. */
bool request_next_key(struct slice *keys, struct slice *key_out)
{
    const char *at = keys->data;
    const char *end = at + keys->len;
    while (at < end && *at == ' ')
        at++;
    const char *key_end = scan_space(at, end);
    *key_out = slice_make(at, (size_t)(key_end - at));
    *keys = slice_make(key_end, (size_t)(end - key_end));
    return key_end > at;
}
