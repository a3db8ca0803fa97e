/*
 * Owns how a binary request is said to a server: one meta line for each.
 *
 *      get        mg KEY f c v               delete      md KEY [C..]
 *      gat        mg KEY T.. f c v           increment   ma KEY D.. [MD] [N.. J..] [C..] c v
 *      touch      mg KEY T.. f c             append      ms KEY BYTES MA [C..] c
 *      set        ms KEY BYTES [F..] [T..] [ME|MR] [C..] c
 *      flush      flush_all [..]             stat, version    stats [..], version
 *
 *      [b]        behind all of them: the key is base64, as it is no lawful text key
 *
 * A quiet command whose success is not told does not ask for what it would tell (c, v). q is not used: each request has
 * its reply, and what a quiet one keeps back is kept back here.
 */
#include "wire/base64.h"
#include "wire/binary.h"
#include "wire/binary_text.h"
#include "wire/parse.h"

#include "base/text.h"

#include <string.h>

/* Servers read times as 32-bit numbers with a sign; what lies beyond (the year 2038) is for ever. */
static uint64_t time_of(uint32_t expiry)
{
    return expiry <= INT32_MAX ? expiry : 0;
}

/* Whether the client gets to see it when all went well. */
static bool shows(const struct binary_request *binary)
{
    return !binary->quiet;
}

static void put_cas(struct line *line, const struct binary_request *binary)
{
    if (binary->cas != 0)
        line_put_number(line, SLICE_OF(" C"), binary->cas);
}

static void put_get(struct line *line, const struct binary_request *binary)
{
    if (binary->action != BINARY_GET)
        line_put_number(line, SLICE_OF(" T"), time_of(binary->expiry));
    line_put(line, binary->action == BINARY_TOUCH ? SLICE_OF(" f c") : SLICE_OF(" f c v"));
}

/* With a CAS number add, replace and set are all the same (memcached: NREAD_CAS). */
static struct slice mode_of(const struct binary_request *binary)
{
    switch (binary->action) {
    case BINARY_ADD:
        return binary->cas != 0 ? SLICE_OF("") : SLICE_OF(" ME");
    case BINARY_REPLACE:
        return binary->cas != 0 ? SLICE_OF("") : SLICE_OF(" MR");
    case BINARY_APPEND:
        return SLICE_OF(" MA");
    case BINARY_PREPEND:
        return SLICE_OF(" MP");
    default:
        return SLICE_OF("");
    }
}

static void put_store(struct line *line, const struct binary_request *binary)
{
    line_put_number(line, SLICE_OF(" "), binary->body_bytes);
    if (binary->flags != 0)
        line_put_number(line, SLICE_OF(" F"), binary->flags);
    if (time_of(binary->expiry) != 0)
        line_put_number(line, SLICE_OF(" T"), time_of(binary->expiry));
    line_put(line, mode_of(binary));
    put_cas(line, binary);
    if (shows(binary))
        line_put(line, SLICE_OF(" c"));
}

static void put_count(struct line *line, const struct binary_request *binary)
{
    line_put_number(line, SLICE_OF(" D"), binary->delta);
    if (binary->action == BINARY_DECREMENT)
        line_put(line, SLICE_OF(" MD"));
    if (binary->expiry != UINT32_MAX) {
        line_put_number(line, SLICE_OF(" N"), time_of(binary->expiry));
        line_put_number(line, SLICE_OF(" J"), binary->initial);
    }
    put_cas(line, binary);
    if (shows(binary))
        line_put(line, SLICE_OF(" c v"));
}

/* Behind the key: what is asked for of it. */
static void put_flags(struct line *line, const struct binary_request *binary)
{
    switch (binary->action) {
    case BINARY_GET:
    case BINARY_GET_TOUCH:
    case BINARY_TOUCH:
        put_get(line, binary);
        break;
    case BINARY_INCREMENT:
    case BINARY_DECREMENT:
        put_count(line, binary);
        break;
    case BINARY_DELETE:
        put_cas(line, binary);
        break;
    default:
        put_store(line, binary);
        break;
    }
}

static enum verb verb_of(enum binary_action action)
{
    switch (action) {
    case BINARY_GET:
    case BINARY_GET_TOUCH:
    case BINARY_TOUCH:
        return VERB_MG;
    case BINARY_INCREMENT:
    case BINARY_DECREMENT:
        return VERB_MA;
    case BINARY_DELETE:
        return VERB_MD;
    case BINARY_STAT:
        return VERB_STATS;
    case BINARY_FLUSH:
        return VERB_FLUSH_ALL;
    case BINARY_VERSION:
        return VERB_VERSION;
    default:
        return VERB_MS;
    }
}

/* "mg KEY". false: the key cannot be written. */
static bool put_key(struct line *line, const struct binary_request *binary, struct request *request)
{
    char *start = line->buffer + line->used;
    request->key_encoded = !parse_key_is_valid(binary->key);
    if (!request->key_encoded)
        line_put(line, binary->key);
    else if (binary->key.len <= BINARY_RAW_KEY_MAX)
        line->used += base64_encode(binary->key, start);
    else
        return false;
    request->key = slice_make(start, (size_t)(line->buffer + line->used - start));
    request->key_count = 1;
    return true;
}

/* Commands without a key. */
static void put_argument(struct line *line, const struct binary_request *binary, struct request *request)
{
    size_t start = line->used + 1;
    if (request->verb == VERB_STATS && binary->key.len > 0) {
        line_put(line, SLICE_OF(" "));
        line_put(line, binary->key);
    } else if (request->verb == VERB_FLUSH_ALL && binary->has_expiry) {
        line_put_number(line, SLICE_OF(" "), binary->expiry <= INT32_MAX ? binary->expiry : INT32_MAX);
    } else {
        return;
    }
    request->argument = slice_make(line->buffer + start, line->used - start);
}

size_t binary_line(const struct binary_request *binary, char *buffer, struct request *request_out)
{
    struct line line = {buffer, 0};
    struct request *request = request_out;
    parse_start(request);
    request->verb = verb_of(binary->action);
    request->line_bytes = (uint32_t)binary->head_bytes;
    line_put(&line, verb_name(request->verb));
    if (verb_is_meta(request->verb)) {
        line_put(&line, SLICE_OF(" "));
        if (!put_key(&line, binary, request))
            return 0;
        put_flags(&line, binary);
        if (request->key_encoded)
            line_put(&line, SLICE_OF(" b"));
    } else {
        put_argument(&line, binary, request);
    }
    request->line = slice_make(buffer, line.used);
    request->has_value = request->verb == VERB_MS;
    request->value_bytes = request->has_value ? binary->body_bytes : 0;
    request->repeatable = binary->action == BINARY_GET;
    request->cas_offered = true;
    request->verbatim = true;
    line_put(&line, SLICE_OF("\r\n"));
    return line.used;
}
