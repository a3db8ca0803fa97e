/*
 * The request parser on any bytes, read as a client's stream: line after line, as far as it can be trusted.
 *
 * Held for every line: the parser stays inside the bytes; what it lets through is one line for a server, which parses
 * to the same request again and needs no more change; the fast path and the slow one agree; a line cut short is not
 * taken for a whole one; a long retrieval gives the same keys in parts as at once.
 */
#include "wire/request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_SIZE 4096
#define LINES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                            \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not held: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

static char *copy_of(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    REQUIRE(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

static void check_inside(struct slice slice, const char *data, size_t len)
{
    if (slice.len > 0)
        REQUIRE(slice.data >= data && slice.data + slice.len <= data + len);
}

static bool is_key(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.data[i] <= ' ' || key.data[i] == 0x7f)
            return false;
    }
    return key.len > 0 && key.len <= KEY_LEN_MAX;
}

static void check_keys(const struct request *request)
{
    struct slice keys = request->keys, key;
    uint32_t count = 0;
    if (!verb_is_retrieval(request->verb)) {
        REQUIRE(request->key_count == 0 || is_key(request->key));
        return;
    }
    while (request_next_key(&keys, &key)) {
        REQUIRE(is_key(key));
        REQUIRE(count > 0 || slice_equal(key, request->key));
        count++;
    }
    REQUIRE(count == request->key_count);
}

static void check_same(const struct request *a, const struct request *b)
{
    REQUIRE(a->verb == b->verb);
    REQUIRE(a->key_count == b->key_count);
    REQUIRE(slice_equal(a->key, b->key));
    REQUIRE(a->has_value == b->has_value && a->value_bytes == b->value_bytes);
    REQUIRE(a->key_encoded == b->key_encoded);
    REQUIRE(a->repeatable == b->repeatable);
}

/* The line for a server: one line, the same request, and in its last form. */
static void check_printed(const struct request *request)
{
    size_t capacity = request->line.len + 4, again_len;
    char *printed = malloc(capacity), *again = malloc(capacity);
    REQUIRE(printed != NULL && again != NULL);
    size_t len = request_print(request, printed, capacity);
    REQUIRE(len >= 4 && memcmp(printed + len - 2, "\r\n", 2) == 0);
    REQUIRE(memchr(printed, '\n', len) == printed + len - 1);
    if (request->verbatim)
        REQUIRE(len == request->line_bytes && memcmp(printed, request->line.data, request->line.len) == 0);
    char *tight = copy_of(printed, len);
    struct request second;
    REQUIRE(request_parse(tight, len, ITEM_SIZE, &second) == REQUEST_READY);
    REQUIRE(second.line_bytes == len && !second.noreply && !second.quiet);
    check_same(request, &second);
    again_len = request_print(&second, again, capacity);
    REQUIRE(again_len == len && memcmp(again, printed, len) == 0);
    free(tight);
    free(printed);
    free(again);
}

/* A space before the line keeps it from the fast path. */
static void check_slow_path(const char *data, const struct request *request)
{
    struct request slow;
    char *line = malloc((size_t)request->line_bytes + 1);
    REQUIRE(line != NULL);
    line[0] = ' ';
    memcpy(line + 1, data, request->line_bytes);
    if (verb_is_retrieval(request->verb) || request->line_bytes < REQUEST_LINE_MAX) {
        REQUIRE(request_parse(line, (size_t)request->line_bytes + 1, ITEM_SIZE, &slow) == REQUEST_READY);
        REQUIRE(!slow.verbatim && slow.line_bytes == request->line_bytes + 1);
        REQUIRE(slow.noreply == request->noreply && slow.quiet == request->quiet);
        check_same(request, &slow);
    }
    free(line);
}

static void check_prefixes(const char *data, size_t line_bytes)
{
    struct request request;
    for (size_t len = 0; len < line_bytes && len < REQUEST_LINE_MAX; len += len < 64 ? 1 : 61) {
        char *prefix = copy_of(data, len);
        REQUIRE(request_parse(prefix, len, ITEM_SIZE, &request) == REQUEST_PARTIAL);
        free(prefix);
    }
}

/* The keys of a long line that comes in parts of REQUEST_LINE_MAX bytes are those of the line at once. */
static void check_parts(const char *data, const struct request *whole)
{
    struct request part;
    struct slice keys = whole->keys, key, expected;
    size_t used = 0, seen = REQUEST_LINE_MAX;
    uint32_t count = 0;
    enum request_status status = request_parse(data, seen, ITEM_SIZE, &part);
    for (;;) {
        if (status == REQUEST_KEYS || status == REQUEST_READY) {
            check_inside(part.keys, data + used, seen - used);
            while (request_next_key(&part.keys, &key)) {
                REQUIRE(request_next_key(&keys, &expected) && slice_equal(key, expected));
                count++;
            }
            used += part.line_bytes;
        }
        if (status != REQUEST_KEYS && status != REQUEST_PARTIAL)
            break;
        REQUIRE(seen < whole->line_bytes || status == REQUEST_KEYS);
        seen = whole->line_bytes - seen < 700 ? whole->line_bytes : seen + 700;
        status = request_parse_more_keys(data + used, seen - used, &part);
    }
    /* Only a run of spaces that is too long is judged by the parts that it comes in. */
    if (status == REQUEST_FATAL) {
        REQUIRE(slice_equal(part.error, SLICE_OF("CLIENT_ERROR line too long\r\n")));
        return;
    }
    REQUIRE(status == REQUEST_READY && used == whole->line_bytes && count == whole->key_count);
}

static void check_ready(const char *data, size_t len, const struct request *request)
{
    char buffer[KEY_LEN_MAX];
    check_inside(request->key, data, len);
    check_inside(request->keys, data, len);
    check_inside(request->line, data, len);
    check_inside(request->prefix, data, len);
    check_inside(request->argument, data, len);
    check_keys(request);
    REQUIRE(request->value_bytes <= ITEM_SIZE && (request->has_value || request->value_bytes == 0));
    REQUIRE(request->swallow_bytes == 0 && request->error.len == 0);
    REQUIRE(request->line_bytes <= REQUEST_LINE_MAX || verb_is_retrieval(request->verb));
    if (request->key_count > 0) {
        struct slice route_key = request_route_key(request, buffer);
        REQUIRE(route_key.len > 0 && route_key.len <= KEY_LEN_MAX);
    }
    check_printed(request);
    check_slow_path(data, request);
    if (request->line_bytes > REQUEST_LINE_MAX)
        check_parts(data, request);
}

/* How many bytes the line and its data block take; 0: the stream ends here. */
static size_t check_line(const char *data, size_t len)
{
    struct request request;
    enum request_status status = request_parse(data, len, ITEM_SIZE, &request);
    const char *newline = len == 0 ? NULL : memchr(data, '\n', len);
    if (status == REQUEST_PARTIAL)
        REQUIRE(newline == NULL && len < REQUEST_LINE_MAX);
    if (status == REQUEST_KEYS) {
        REQUIRE(newline == NULL && request.key_count > 0 && request.line_bytes <= len);
        check_inside(request.keys, data, len);
        check_keys(&request);
    }
    if (status == REQUEST_FATAL)
        REQUIRE(request.error.len > 2);
    if (status != REQUEST_READY && status != REQUEST_REFUSED)
        return 0;
    REQUIRE(newline != NULL && request.line_bytes == (size_t)(newline - data) + 1);
    if (status == REQUEST_REFUSED)
        REQUIRE(request.noreply == (request.error.len == 0));
    else
        check_ready(data, len, &request);
    check_prefixes(data, request.line_bytes);
    uint64_t block = request.has_value ? request.value_bytes + 2 : request.swallow_bytes;
    return block > len - request.line_bytes ? 0 : request.line_bytes + (size_t)block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    for (int lines = 0; lines < LINES_MAX; lines++) {
        size_t used = check_line(at, size);
        if (used == 0)
            break;
        at += used;
        size -= used;
    }
    return 0;
}
