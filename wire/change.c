/*
 * Owns the lines that Ringside makes of a client's line: token by token, so that what it does not know passes on as it came.
 *
 *      SAME, STORE      the request's tokens, without noreply and q; key, time, verb and mode replaced where asked
 *      DELETE           "delete KEY", or "md KEY b"
 *      FETCH, CHECK     "mg KEY t f c v [b]", "mg KEY c [b]"
 *      FILL, UNFILL     "ms KEY BYTES F.. T.. ME c [b]", "md KEY C.. [b]"
 */
#include "wire/change.h"

#include "wire/base64.h"
#include "wire/number.h"
#include "wire/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct line {
    char *buffer;
    size_t capacity, used;
    bool failed;
};

/* How the key is to be written. */
struct key_text {
    struct slice text;
    bool encoded;
    char room[BASE64_TEXT_LEN(KEY_LEN_MAX)];
};

static void put(struct line *line, struct slice token)
{
    line->failed |= !parse_print_token(token, line->buffer, line->capacity, &line->used);
}

static void putf(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One token. */
static void putf(struct line *line, const char *format, ...)
{
    char token[KEY_LEN_MAX + 64];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(token, sizeof token, format, arguments);
    va_end(arguments);
    put(line, slice_make(token, (size_t)len));
}

/* The request's own key in its plain form, or the changed one. false: it is too long. */
static bool make_key(const struct request *request, const struct request_change *change, struct key_text *key)
{
    char decoded[KEY_LEN_MAX];
    struct slice plain = change->key.data != NULL ? change->key : request_route_key(request, decoded);
    key->encoded = request->key_encoded || !parse_key_is_valid(plain);
    key->text = plain;
    if (!key->encoded)
        return plain.len > 0 && plain.len <= KEY_LEN_MAX;
    if (plain.len == 0 || BASE64_TEXT_LEN(plain.len) > KEY_LEN_MAX)
        return false;
    key->text = slice_make(key->room, base64_encode(plain, key->room));
    return true;
}

static void put_base64_flag(struct line *line, const struct key_text *key)
{
    if (key->encoded)
        put(line, SLICE_OF("b"));
}

/* ---- Classic commands: every token has its place ---- */

static uint32_t key_place(enum verb verb)
{
    return verb == VERB_GAT || verb == VERB_GATS ? 2 : 1;
}

/* 0: the command has no time that a server heeds. */
static uint32_t expiry_place(enum verb verb)
{
    switch (verb) {
    case VERB_GAT:
    case VERB_GATS:
        return 1;
    case VERB_TOUCH:
        return 2;
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_CAS:
        return 3;
    default:
        return 0;
    }
}

static void put_classic(struct line *line, const struct request *request, const struct request_change *change,
                        const struct key_text *key)
{
    bool store = change->form == REQUEST_FORM_STORE;
    struct slice rest = request->line, token;
    for (uint32_t i = 0; token_next(&rest, &token); i++) {
        if (!parse_prints_token(request, i, token) || (store && i == 5))
            continue;
        if (i == 0 && store)
            put(line, SLICE_OF("set"));
        else if (i == key_place(request->verb))
            put(line, key->text);
        else if (i > 0 && i == expiry_place(request->verb) && change->expiry_set)
            putf(line, "%lld", (long long)change->expiry);
        else
            put(line, token);
    }
    /* See request_print: the old form with a time of 0 is understood by all. */
    if (request->verb == VERB_DELETE && slice_equal(key->text, SLICE_OF("noreply")))
        put(line, SLICE_OF("0"));
}

/* ---- Meta commands: flags in any order ---- */

/* Flags of ms that STORE leaves out: mode, comparison, mark. */
static bool is_conditional(char flag)
{
    return flag == 'M' || flag == 'C' || flag == 'I';
}

static void put_meta_flag(struct line *line, const struct request *request, const struct request_change *change,
                          struct slice token, bool *has_time)
{
    char flag = token.data[0];
    if (flag == 'b' || (change->form == REQUEST_FORM_STORE && is_conditional(flag)))
        return;
    bool is_time = flag == 'T' || (flag == 'N' && (request->verb == VERB_MA || request->verb == VERB_MG));
    if (is_time && change->expiry_set)
        putf(line, "%c%lld", flag, (long long)change->expiry);
    else
        put(line, token);
    *has_time |= flag == 'T';
}

static void put_meta(struct line *line, const struct request *request, const struct request_change *change,
                     const struct key_text *key)
{
    struct slice rest = request->line, token;
    uint32_t first_flag = request->verb == VERB_MS ? 3 : 2;
    bool has_time = false;
    for (uint32_t i = 0; token_next(&rest, &token); i++) {
        if (!parse_prints_token(request, i, token))
            continue;
        if (i == 1)
            put(line, key->text);
        else if (i < first_flag)
            put(line, token);
        else
            put_meta_flag(line, request, change, token, &has_time);
    }
    put_base64_flag(line, key);
    if (request->verb == VERB_MS && change->expiry_set && !has_time)
        putf(line, "T%lld", (long long)change->expiry);
}

/* ---- Commands of Ringside's own ---- */

static void put_delete(struct line *line, const struct key_text *key)
{
    put(line, key->encoded ? SLICE_OF("md") : SLICE_OF("delete"));
    put(line, key->text);
    put_base64_flag(line, key);
    if (slice_equal(key->text, SLICE_OF("noreply")))
        put(line, SLICE_OF("0"));
}

static void put_fetch(struct line *line, const struct key_text *key, bool whole)
{
    put(line, SLICE_OF("mg"));
    put(line, key->text);
    if (whole)
        put(line, SLICE_OF("t f v"));
    put(line, SLICE_OF("c"));
    put_base64_flag(line, key);
}

static void put_fill(struct line *line, const struct request_change *change, const struct key_text *key)
{
    put(line, SLICE_OF("ms"));
    put(line, key->text);
    putf(line, "%llu", (unsigned long long)change->value_bytes);
    putf(line, "F%u", change->flags);
    /* T0 would mean for ever. */
    if (change->expiry >= 0)
        putf(line, "T%lld", (long long)(change->expiry > 0 ? change->expiry : 1));
    put(line, SLICE_OF("ME c"));
    put_base64_flag(line, key);
}

static void put_unfill(struct line *line, const struct request_change *change, const struct key_text *key)
{
    put(line, SLICE_OF("md"));
    put(line, key->text);
    putf(line, "C%llu", (unsigned long long)change->cas);
    put_base64_flag(line, key);
}

/* ---- The door ---- */

static void put_line(struct line *line, const struct request *request, const struct request_change *change,
                     const struct key_text *key)
{
    switch (change->form) {
    case REQUEST_FORM_SAME:
    case REQUEST_FORM_STORE:
        if (verb_is_meta(request->verb))
            put_meta(line, request, change, key);
        else if (key->encoded)
            line->failed = true; /* classic commands have no way to write such a key */
        else
            put_classic(line, request, change, key);
        break;
    case REQUEST_FORM_DELETE:
        put_delete(line, key);
        break;
    case REQUEST_FORM_FETCH:
    case REQUEST_FORM_CHECK:
        put_fetch(line, key, change->form == REQUEST_FORM_FETCH);
        break;
    case REQUEST_FORM_FILL:
        put_fill(line, change, key);
        break;
    case REQUEST_FORM_UNFILL:
        put_unfill(line, change, key);
        break;
    }
}

size_t request_print_changed(const struct request *request, const struct request_change *change, char *buffer,
                             size_t capacity)
{
    struct line line = {.buffer = buffer, .capacity = capacity};
    struct key_text key;
    if (!make_key(request, change, &key))
        return 0;
    put_line(&line, request, change, &key);
    if (line.failed || capacity - line.used < 2)
        return 0;
    memcpy(buffer + line.used, "\r\n", 2);
    return line.used + 2;
}

enum verb request_changed_verb(const struct request *request, enum request_form form)
{
    char decoded[KEY_LEN_MAX];
    switch (form) {
    case REQUEST_FORM_STORE:
        return request->verb == VERB_MS ? VERB_MS : VERB_SET;
    case REQUEST_FORM_DELETE:
        return request->key_encoded || !parse_key_is_valid(request_route_key(request, decoded)) ? VERB_MD : VERB_DELETE;
    case REQUEST_FORM_FETCH:
    case REQUEST_FORM_CHECK:
        return VERB_MG;
    case REQUEST_FORM_FILL:
        return VERB_MS;
    case REQUEST_FORM_UNFILL:
        return VERB_MD;
    default:
        return request->verb;
    }
}

/* ---- Replies ---- */

static bool take_number(struct slice token, uint64_t max, uint64_t *value_out)
{
    struct number number = number_parse(slice_make(token.data + 1, token.len - 1));
    if (!number.plain || number.negative || number.magnitude > max)
        return false;
    *value_out = number.magnitude;
    return true;
}

bool fetched_parse(struct slice line, struct fetched *fetched_out)
{
    struct slice token;
    uint64_t value;
    bool has_cas = false, lawful = true;
    *fetched_out = (struct fetched){.expiry = -1};
    while (lawful && token_next(&line, &token)) {
        switch (token.data[0]) {
        case 'f':
            lawful = take_number(token, UINT32_MAX, &value);
            fetched_out->flags = lawful ? (uint32_t)value : 0;
            break;
        case 'c':
            lawful = has_cas = take_number(token, UINT64_MAX, &fetched_out->cas);
            break;
        case 't':
            if (slice_equal(token, SLICE_OF("t-1")))
                break;
            lawful = take_number(token, INT64_MAX, &value);
            fetched_out->expiry = lawful ? (int64_t)value : -1;
            break;
        default:
            break;
        }
    }
    return lawful && has_cas;
}

size_t reply_print_key(struct slice line_with_crlf, enum verb verb, struct slice key, char *buffer, size_t capacity)
{
    struct slice rest = slice_make(line_with_crlf.data, line_with_crlf.len - 2), token;
    struct line line = {.buffer = buffer, .capacity = capacity};
    bool named = verb_is_retrieval(verb) || verb == VERB_ME, changed = false;
    for (unsigned i = 0; token_next(&rest, &token); i++) {
        bool is_key = named ? i == 1 : i > 0 && token.data[0] == 'k';
        changed |= is_key;
        if (is_key && named)
            put(&line, key);
        else if (is_key)
            putf(&line, "k%.*s", (int)key.len, key.data);
        else
            put(&line, token);
    }
    if (!changed || line.failed || capacity - line.used < 2)
        return 0;
    memcpy(buffer + line.used, "\r\n", 2);
    return line.used + 2;
}
