/*
 * Owns the words for "there is no such item". mg and me say EN alone; ms, md and ma echo the flags O, k and b, as memcached
 * 1.6 does (proto_text.c).
 */
#include "wire/missing.h"

#include "wire/token.h"

#include <string.h>

static struct slice word_of(enum verb verb)
{
    switch (verb) {
    case VERB_GET:
    case VERB_GETS:
    case VERB_GAT:
    case VERB_GATS:
        return SLICE_OF("END");
    case VERB_MG:
    case VERB_ME:
        return SLICE_OF("EN");
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_APPEND:
    case VERB_PREPEND:
        return SLICE_OF("NOT_STORED");
    case VERB_MS:
        return SLICE_OF("NS");
    case VERB_MD:
    case VERB_MA:
        return SLICE_OF("NF");
    default:
        return SLICE_OF("NOT_FOUND");
    }
}

static size_t put(struct slice bytes, char *buffer, size_t used)
{
    memcpy(buffer + used, bytes.data, bytes.len);
    return used + bytes.len;
}

/* Appends the flags that are echoed, in the order of the request. */
static size_t echo_flags(const struct request *request, char *buffer, size_t used)
{
    struct slice rest = request->line, token;
    for (unsigned i = 0; token_next(&rest, &token); i++) {
        if (i < (request->verb == VERB_MS ? 3u : 2u))
            continue;
        char letter = token.data[0];
        if (letter != 'O' && letter != 'k' && letter != 'b')
            continue;
        buffer[used++] = ' ';
        used = put(letter == 'O' ? token : slice_make(&token.data[0], 1), buffer, used);
        if (letter == 'k')
            used = put(request->key, buffer, used);
    }
    return used;
}

size_t request_print_missing(const struct request *request, char *buffer, size_t capacity)
{
    if (capacity < REQUEST_MISSING_MAX)
        return 0;
    size_t used = put(word_of(request->verb), buffer, 0);
    if (request->verb == VERB_MS || request->verb == VERB_MD || request->verb == VERB_MA)
        used = echo_flags(request, buffer, used);
    return put(SLICE_OF("\r\n"), buffer, used);
}
