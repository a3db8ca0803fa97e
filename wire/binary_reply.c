/*
 * Owns binary replies: what a server's line, or an error of Ringside's own, is in the words of the binary protocol.
 *
 *      HD STORED DELETED OK RESET    success         quiet: nothing
 *      VA                            the value       of ma: a number of 8 bytes, when its digits are there
 *      EN NF NOT_FOUND               not found       quiet get and gat: nothing
 *      NS NOT_STORED                 by the opcode: add EXISTS, replace NOT_FOUND, append NOT_STORED
 *      EX EXISTS                     EXISTS
 *      STAT, END                     a packet each, the last one empty
 *      ERROR CLIENT_ERROR SERVER_ERROR    by the table of complaints
 *
 * Errors of quiet commands are told, as memcached does it.
 */
#include "wire/binary.h"
#include "wire/binary_text.h"
#include "wire/token.h"

#include <string.h>

enum meaning {
    MEANS_DONE,
    MEANS_VALUE,
    MEANS_MISS,
    MEANS_UNSTORED,
    MEANS_DIFFERS,
    MEANS_STAT,
    MEANS_END,
    MEANS_VERSION,
    MEANS_COMPLAINT,
};

static const struct {
    struct slice word;
    enum meaning meaning;
} words[] = {
#define WORD(text, meaning)               \
    {                                     \
        {text, sizeof(text) - 1}, meaning \
    }
    WORD("VA", MEANS_VALUE),        WORD("HD", MEANS_DONE),
    WORD("EN", MEANS_MISS),         WORD("NF", MEANS_MISS),
    WORD("NS", MEANS_UNSTORED),     WORD("EX", MEANS_DIFFERS),
    WORD("STAT", MEANS_STAT),       WORD("END", MEANS_END),
    WORD("OK", MEANS_DONE),         WORD("RESET", MEANS_DONE),
    WORD("VERSION", MEANS_VERSION), WORD("STORED", MEANS_DONE),
    WORD("DELETED", MEANS_DONE),    WORD("TOUCHED", MEANS_DONE),
    WORD("NOT_FOUND", MEANS_MISS),  WORD("NOT_STORED", MEANS_UNSTORED),
    WORD("EXISTS", MEANS_DIFFERS),
#undef WORD
};

/* The first row whose words the line begins with, and has `within` in it, says the status. */
static const struct {
    const char *start;
    const char *within; /* NULL: anything */
    enum binary_status status;
    bool keeps_text; /* the words behind SERVER_ERROR are the text; else the status's own */
} complaints[] = {
    {"SERVER_ERROR object too large", NULL, BINARY_STATUS_TOO_LARGE, false},
    {"SERVER_ERROR out of memory", NULL, BINARY_STATUS_NO_MEMORY, true},
    {"SERVER_ERROR route ", "requests a second", BINARY_STATUS_BUSY, true},
    {"SERVER_ERROR route ", NULL, BINARY_STATUS_TEMPORARY, true},
    {"SERVER_ERROR pool ", NULL, BINARY_STATUS_TEMPORARY, true},
    {"SERVER_ERROR no server answered", NULL, BINARY_STATUS_TEMPORARY, true},
    {"SERVER_ERROR", NULL, BINARY_STATUS_INTERNAL, true},
    {"CLIENT_ERROR", "non-numeric value", BINARY_STATUS_NOT_A_NUMBER, false},
    {"CLIENT_ERROR", NULL, BINARY_STATUS_INVALID, true},
    {"ERROR", NULL, BINARY_STATUS_UNKNOWN, false},
};

static struct slice text_of(enum binary_status status)
{
    switch (status) {
    case BINARY_STATUS_NOT_FOUND:
        return SLICE_OF("Not found");
    case BINARY_STATUS_EXISTS:
        return SLICE_OF("Data exists for key.");
    case BINARY_STATUS_TOO_LARGE:
        return SLICE_OF("Too large.");
    case BINARY_STATUS_INVALID:
        return SLICE_OF("Invalid arguments");
    case BINARY_STATUS_NOT_STORED:
        return SLICE_OF("Not stored.");
    case BINARY_STATUS_NOT_A_NUMBER:
        return SLICE_OF("Non-numeric server-side value for incr or decr");
    case BINARY_STATUS_DENIED:
        return SLICE_OF("Auth failure.");
    case BINARY_STATUS_UNKNOWN:
        return SLICE_OF("Unknown command");
    case BINARY_STATUS_NO_MEMORY:
        return SLICE_OF("Out of memory");
    default:
        return SLICE_OF("");
    }
}

/* ---- Printing ---- */

/* What a header tells of what follows it; the body's length is the sum of the three. */
struct header {
    enum binary_status status;
    size_t extras, key;
    uint64_t value;
    uint64_t cas;
};

static size_t put_header(const struct binary_asked *asked, const struct header *header, char *buffer)
{
    memset(buffer, 0, BINARY_HEADER_BYTES);
    buffer[0] = (char)0x81;
    buffer[1] = (char)asked->opcode;
    big_endian_write(buffer + 2, 2, header->key);
    buffer[4] = (char)header->extras;
    big_endian_write(buffer + 6, 2, header->status);
    big_endian_write(buffer + 8, 4, header->extras + header->key + header->value);
    memcpy(buffer + 12, &asked->opaque, sizeof asked->opaque);
    big_endian_write(buffer + 16, 8, header->cas);
    return BINARY_HEADER_BYTES;
}

static size_t put_bytes(struct slice bytes, char *buffer, size_t used)
{
    if (bytes.len > 0)
        memcpy(buffer + used, bytes.data, bytes.len);
    return used + bytes.len;
}

size_t binary_reply_status(const struct binary_asked *asked, enum binary_status status, struct slice text,
                           char buffer[BINARY_REPLY_MAX])
{
    if (text.len == 0)
        text = text_of(status);
    if (text.len > REPLY_LINE_MAX)
        text.len = REPLY_LINE_MAX;
    const struct header header = {.status = status, .value = text.len};
    return put_bytes(text, buffer, put_header(asked, &header, buffer));
}

static size_t put_plain_status(const struct binary_asked *asked, enum binary_status status, char *buffer)
{
    return binary_reply_status(asked, status, slice_make(NULL, 0), buffer);
}

/* ---- Lines ---- */

/* Servers count CAS numbers from 1 on: they do not come as far as this. */
#define COPY_CAS (UINT64_C(1) << 63)

/* What stands behind the word of a meta line. */
struct returned {
    uint64_t length, flags, cas;
};

static uint64_t digits(const char *at, const char *end)
{
    uint64_t number = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    return number;
}

static struct returned read_flags(const struct binary_asked *asked, struct slice rest, bool has_length)
{
    struct returned returned = {0};
    struct slice token;
    if (has_length && token_next(&rest, &token))
        returned.length = digits(token.data, token.data + token.len);
    while (token_next(&rest, &token)) {
        if (token.data[0] == 'f')
            returned.flags = digits(token.data + 1, token.data + token.len);
        else if (token.data[0] == 'c')
            returned.cas = digits(token.data + 1, token.data + token.len);
    }
    if (asked->is_copy && returned.cas != 0)
        returned.cas |= COPY_CAS;
    return returned;
}

/* Extras with the item's flags, and the key where it is wanted. */
static size_t put_item(const struct binary_asked *asked, const struct returned *returned, char *buffer)
{
    const struct header header = {.extras = 4, .key = asked->key.len, .value = returned->length, .cas = returned->cas};
    size_t used = put_header(asked, &header, buffer);
    big_endian_write(buffer + used, 4, returned->flags);
    return put_bytes(asked->key, buffer, used + 4);
}

static size_t reply_done(const struct binary_asked *asked, struct slice rest, char *buffer)
{
    if (binary_is_quiet(asked->opcode))
        return 0;
    const struct returned returned = read_flags(asked, rest, false);
    if (binary_action_of(asked->opcode) == BINARY_TOUCH)
        return put_item(asked, &returned, buffer);
    const struct header header = {.cas = returned.cas};
    return put_header(asked, &header, buffer);
}

static bool counts(const struct binary_asked *asked)
{
    enum binary_action action = binary_action_of(asked->opcode);
    return action == BINARY_INCREMENT || action == BINARY_DECREMENT;
}

static size_t reply_value(const struct binary_asked *asked, struct slice rest, struct binary_stream *stream,
                          char *buffer)
{
    const struct returned returned = read_flags(asked, rest, true);
    *stream = (struct binary_stream){.value_left = returned.length, .end_left = 2, .cas = returned.cas};
    stream->counts = counts(asked);
    return stream->counts ? 0 : put_item(asked, &returned, buffer);
}

static size_t reply_miss(const struct binary_asked *asked, char *buffer)
{
    enum binary_action action = binary_action_of(asked->opcode);
    bool keeps_back = action == BINARY_GET || action == BINARY_GET_TOUCH;
    if (keeps_back && binary_is_quiet(asked->opcode))
        return 0;
    if (asked->key.len == 0)
        return put_plain_status(asked, BINARY_STATUS_NOT_FOUND, buffer);
    const struct header header = {.status = BINARY_STATUS_NOT_FOUND, .key = asked->key.len};
    return put_bytes(asked->key, buffer, put_header(asked, &header, buffer));
}

static enum binary_status status_unstored(enum binary_action action)
{
    if (action == BINARY_ADD)
        return BINARY_STATUS_EXISTS;
    return action == BINARY_REPLACE ? BINARY_STATUS_NOT_FOUND : BINARY_STATUS_NOT_STORED;
}

static size_t reply_stat(const struct binary_asked *asked, struct slice rest, char *buffer)
{
    const char *space = memchr(rest.data, ' ', rest.len);
    size_t name = space != NULL ? (size_t)(space - rest.data) : rest.len;
    struct slice value = slice_make(rest.data + rest.len, 0);
    if (space != NULL)
        value = slice_make(space + 1, rest.len - name - 1);
    const struct header header = {.key = name, .value = value.len};
    size_t used = put_bytes(slice_make(rest.data, name), buffer, put_header(asked, &header, buffer));
    return put_bytes(value, buffer, used);
}

static bool starts_with(struct slice line, const char *start)
{
    size_t len = strlen(start);
    return line.len >= len && memcmp(line.data, start, len) == 0;
}

static size_t reply_complaint(const struct binary_asked *asked, struct slice line, char *buffer)
{
    size_t i = 0, last = sizeof complaints / sizeof complaints[0] - 1;
    while (i < last && (!starts_with(line, complaints[i].start) ||
                        (complaints[i].within != NULL &&
                         memmem(line.data, line.len, complaints[i].within, strlen(complaints[i].within)) == NULL)))
        i++;
    enum binary_status status = complaints[i].status;
    if (status == BINARY_STATUS_UNKNOWN && binary_action_of(asked->opcode) == BINARY_STAT)
        status = BINARY_STATUS_NOT_FOUND;
    size_t word = strlen("SERVER_ERROR ");
    struct slice text = slice_make(NULL, 0);
    if (complaints[i].keeps_text && line.len > word)
        text = slice_make(line.data + word, line.len - word);
    return binary_reply_status(asked, status, text, buffer);
}

static enum meaning meaning_of(struct slice word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_equal(words[i].word, word))
            return words[i].meaning;
    }
    return MEANS_COMPLAINT;
}

size_t binary_reply_line(const struct binary_asked *asked, struct slice line, struct binary_stream *stream_out,
                         char buffer[BINARY_REPLY_MAX])
{
    *stream_out = (struct binary_stream){0};
    if (line.len > REPLY_LINE_MAX)
        line.len = REPLY_LINE_MAX;
    const char *space = memchr(line.data, ' ', line.len);
    struct slice word = slice_make(line.data, space != NULL ? (size_t)(space - line.data) : line.len);
    struct slice rest = slice_make(line.data + line.len, 0);
    if (space != NULL)
        rest = slice_make(space + 1, line.len - word.len - 1);
    switch (meaning_of(word)) {
    case MEANS_DONE:
        return reply_done(asked, rest, buffer);
    case MEANS_VALUE:
        return reply_value(asked, rest, stream_out, buffer);
    case MEANS_MISS:
        return reply_miss(asked, buffer);
    case MEANS_UNSTORED:
        return put_plain_status(asked, status_unstored(binary_action_of(asked->opcode)), buffer);
    case MEANS_DIFFERS:
        return put_plain_status(asked, BINARY_STATUS_EXISTS, buffer);
    case MEANS_STAT:
        return reply_stat(asked, rest, buffer);
    case MEANS_END:
        return binary_action_of(asked->opcode) == BINARY_STAT ? put_plain_status(asked, BINARY_STATUS_SUCCESS, buffer)
                                                              : reply_miss(asked, buffer);
    case MEANS_VERSION:
        return binary_reply_status(asked, BINARY_STATUS_SUCCESS, rest, buffer);
    default:
        return reply_complaint(asked, line, buffer);
    }
}

/* ---- Values ---- */

static size_t put_counter(const struct binary_asked *asked, const struct binary_stream *stream, char *buffer)
{
    if (binary_is_quiet(asked->opcode))
        return 0;
    const struct header header = {.value = 8, .cas = stream->cas};
    size_t used = put_header(asked, &header, buffer);
    big_endian_write(buffer + used, 8, stream->number);
    return used + 8;
}

static void count(struct binary_stream *stream, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] >= '0' && data[i] <= '9')
            stream->number = stream->number * 10 + (uint64_t)(data[i] - '0');
    }
}

size_t binary_stream_take(const struct binary_asked *asked, struct binary_stream *stream, const char *data, size_t len,
                          struct slice *pass_out, size_t *printed_out, char buffer[BINARY_HEADER_BYTES + 8])
{
    size_t value = stream->value_left < len ? (size_t)stream->value_left : len;
    size_t end = stream->end_left < len - value ? stream->end_left : len - value;
    *pass_out = slice_make(data, stream->counts ? 0 : value);
    *printed_out = 0;
    stream->value_left -= value;
    if (stream->value_left == 0)
        stream->end_left -= (uint32_t)end;
    if (stream->counts)
        count(stream, data, value);
    if (stream->counts && !binary_stream_is_open(stream))
        *printed_out = put_counter(asked, stream, buffer);
    return value + end;
}
