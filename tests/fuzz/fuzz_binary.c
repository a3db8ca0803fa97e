/*
 * Binary requests and replies on any bytes. The input is read twice: as a client's stream of packets, and, its first byte the
 * opcode that was asked, as a server's reply.
 *
 * Held for every request: it lies inside the input; what follows it does not matter; cut short it is PARTIAL; its line is
 * one that the text parser takes for the same request, with the same key; a server could not see two lines. Held for every
 * reply: a whole number of packets with the right magic, opcode and opaque, or, where a value follows, a header that tells
 * its length; the same however the value is cut.
 */
#include "wire/binary.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEM_MAX 4096

#define REQUIRE(condition)                                                            \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not held: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

static enum binary_parsed parse_copy(const char *data, size_t len, struct binary_request *binary)
{
    char *copy = malloc(len > 0 ? len : 1);
    REQUIRE(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    enum binary_parsed parsed = binary_parse(copy, len, ITEM_MAX, binary);
    free(copy);
    return parsed;
}

static void check_line(const struct binary_request *binary)
{
    char line[BINARY_LINE_MAX], decoded[KEY_LEN_MAX];
    struct request request, parsed;
    size_t len = binary_line(binary, line, &request);
    if (len == 0) {
        REQUIRE(binary->key.len > BINARY_RAW_KEY_MAX);
        return;
    }
    REQUIRE(len <= BINARY_LINE_MAX);
    if (binary->action == BINARY_STAT)
        return; /* its argument is looked up before it is sent */
    REQUIRE(memchr(line, '\n', len) == line + len - 1);
    REQUIRE(request_parse(line, len, UINT64_MAX, &parsed) == REQUEST_READY);
    REQUIRE(parsed.line_bytes == len && parsed.verb == request.verb && slice_equal(parsed.line, request.line));
    REQUIRE(parsed.has_value == request.has_value && parsed.value_bytes == request.value_bytes);
    REQUIRE(parsed.key_encoded == request.key_encoded && !parsed.quiet && !parsed.noreply);
    if (request.key_count > 0)
        REQUIRE(slice_equal(request_route_key(&parsed, decoded), binary->key));
}

static bool is_for_server(const struct binary_request *binary)
{
    return (binary->action >= BINARY_GET && binary->action <= BINARY_DECREMENT) || binary->action == BINARY_VERSION ||
           binary->action == BINARY_STAT || binary->action == BINARY_FLUSH;
}

static void check_requests(const char *data, size_t len)
{
    struct binary_request binary, again;
    for (int n = 0; n < 64; n++) {
        enum binary_parsed parsed = binary_parse(data, len, ITEM_MAX, &binary);
        if (parsed == BINARY_PARTIAL)
            REQUIRE(len < binary.head_bytes && binary.head_bytes <= BINARY_HEADER_BYTES + 255 + KEY_LEN_MAX);
        if (parsed != BINARY_READY && parsed != BINARY_REFUSED)
            return;
        REQUIRE(binary.head_bytes <= len && binary.key.data >= data);
        REQUIRE(binary.key.data + binary.key.len == data + binary.head_bytes);
        REQUIRE(parse_copy(data, binary.head_bytes, &again) == parsed);
        REQUIRE(again.body_bytes == binary.body_bytes && again.action == binary.action);
        REQUIRE(parse_copy(data, binary.head_bytes - 1, &again) == BINARY_PARTIAL);
        if (parsed == BINARY_READY && is_for_server(&binary))
            check_line(&binary);
        if (binary.body_bytes > len - binary.head_bytes)
            return;
        data += binary.head_bytes + binary.body_bytes;
        len -= binary.head_bytes + binary.body_bytes;
    }
}

static uint32_t body_length(const char *packet)
{
    const unsigned char *at = (const unsigned char *)packet + 8;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The stream with pieces of that size; returns the bytes of value that came through. */
static uint64_t drain(const struct binary_asked *asked, struct binary_stream stream, const char *data, size_t len,
                      size_t piece)
{
    char buffer[BINARY_REPLY_MAX];
    uint64_t passed = 0;
    while (len > 0 && binary_stream_is_open(&stream)) {
        struct slice pass;
        size_t printed;
        size_t n = binary_stream_take(asked, &stream, data, len < piece ? len : piece, &pass, &printed, buffer);
        REQUIRE(n > 0 && n <= len && pass.len <= n && printed <= BINARY_HEADER_BYTES + 8);
        REQUIRE(printed == 0 || (stream.counts && !binary_stream_is_open(&stream)));
        passed += pass.len;
        data += n;
        len -= n;
    }
    return passed;
}

static void check_reply(const char *data, size_t len)
{
    char buffer[BINARY_REPLY_MAX];
    struct binary_stream stream;
    struct reply_unit unit;
    struct binary_asked asked = {.opcode = (uint8_t)data[0], .opaque = 0x01020304, .key = SLICE_OF("key")};
    static const enum verb verbs[] = {VERB_MG, VERB_MS, VERB_MD, VERB_MA, VERB_STATS, VERB_FLUSH_ALL, VERB_VERSION};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (reply_parse(verbs[i], data + 1, len - 1, &unit) != REPLY_UNIT)
            continue;
        struct slice line = slice_make(data + 1, unit.head_bytes - 2);
        size_t printed = binary_reply_line(&asked, line, &stream, buffer);
        REQUIRE(printed <= sizeof buffer && (printed == 0 || printed >= BINARY_HEADER_BYTES));
        if (printed > 0) {
            REQUIRE(buffer[0] == (char)0x81 && buffer[1] == data[0] && memcmp(buffer + 12, &asked.opaque, 4) == 0);
            if (!binary_stream_is_open(&stream))
                REQUIRE(body_length(buffer) == printed - BINARY_HEADER_BYTES);
        }
        REQUIRE(binary_stream_is_open(&stream) == (unit.code == REPLY_CODE_VA));
        if (unit.body_bytes > 0)
            REQUIRE(stream.value_left == unit.body_bytes - 2);
        const char *body = data + 1 + unit.head_bytes;
        size_t here = len - 1 - unit.head_bytes;
        REQUIRE(drain(&asked, stream, body, here, 1) == drain(&asked, stream, body, here, SIZE_MAX));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_requests((const char *)data, size);
    if (size > 0)
        check_reply((const char *)data, size);
    return 0;
}
