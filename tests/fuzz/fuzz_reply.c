/*
 * The reply parser on any bytes, read as a server's stream: the first byte chooses the verb, the rest are units.
 *
 * Held for every unit: it is one line with CRLF, no longer than allowed; what follows it does not matter; a unit cut
 * short is never taken for a whole one, nor for garbage; its parts lie inside it; and what answers a request without
 * units of its own is final.
 */
#include "wire/reply.h"
#include "wire/request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                            \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not held: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

static enum reply_status parse_copy(enum verb verb, const char *data, size_t len, struct reply_unit *unit_out)
{
    char *copy = malloc(len > 0 ? len : 1);
    REQUIRE(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    enum reply_status status = reply_parse(verb, copy, len, unit_out);
    free(copy);
    return status;
}

static void check_inside(struct slice slice, const char *data, size_t len)
{
    if (slice.len > 0)
        REQUIRE(slice.data >= data && slice.data + slice.len <= data + len);
}

static void check_alone(enum verb verb, const char *data, const struct reply_unit *unit)
{
    struct reply_unit alone;
    REQUIRE(parse_copy(verb, data, unit->head_bytes, &alone) == REPLY_UNIT);
    REQUIRE(alone.code == unit->code && alone.final == unit->final);
    REQUIRE(alone.head_bytes == unit->head_bytes && alone.body_bytes == unit->body_bytes);
    REQUIRE(alone.key.len == unit->key.len && alone.rest.len == unit->rest.len);
    for (size_t len = 0; len < unit->head_bytes; len += len < 64 ? 1 : 61)
        REQUIRE(parse_copy(verb, data, len, &alone) == REPLY_PARTIAL);
    REQUIRE(parse_copy(verb, data, unit->head_bytes - 1, &alone) == REPLY_PARTIAL);
}

static void check_unit(enum verb verb, const char *data, size_t len, const struct reply_unit *unit)
{
    REQUIRE(unit->head_bytes >= 3 && unit->head_bytes <= REPLY_LINE_MAX && unit->head_bytes <= len);
    REQUIRE(memcmp(data + unit->head_bytes - 2, "\r\n", 2) == 0);
    if (verb != VERB_MG && verb != VERB_ME)
        REQUIRE(memchr(data, '\n', unit->head_bytes) == data + unit->head_bytes - 1);
    check_inside(unit->key, data, unit->head_bytes - 2);
    check_inside(unit->rest, data, unit->head_bytes - 2);
    bool has_block = unit->code == REPLY_CODE_VALUE || unit->code == REPLY_CODE_VA;
    REQUIRE(has_block ? unit->body_bytes >= 2 : unit->body_bytes == 0);
    bool goes_on = unit->code == REPLY_CODE_VALUE || unit->code == REPLY_CODE_STAT;
    REQUIRE(unit->final == !goes_on);
    REQUIRE(unit->code != REPLY_CODE_VALUE || (unit->key.len > 0 && unit->key.len <= KEY_LEN_MAX));
    REQUIRE(unit->code != REPLY_CODE_VALUE || verb_is_retrieval(verb));
    REQUIRE(unit->code != REPLY_CODE_STAT || verb == VERB_STATS);
    check_alone(verb, data, unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum verb verb = (enum verb)(data[0] % VERB_COUNT);
    const char *at = (const char *)data + 1;
    size_t len = size - 1;
    struct reply_unit unit;
    for (int units = 0; units < 64; units++) {
        enum reply_status status = reply_parse(verb, at, len, &unit);
        if (status == REPLY_PARTIAL)
            REQUIRE(len < REPLY_LINE_MAX);
        if (status != REPLY_UNIT)
            return 0;
        check_unit(verb, at, len, &unit);
        if (unit.body_bytes > len - unit.head_bytes)
            return 0;
        at += unit.head_bytes + unit.body_bytes;
        len -= unit.head_bytes + (size_t)unit.body_bytes;
    }
    return 0;
}
