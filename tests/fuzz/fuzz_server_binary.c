/*
 * The binary protocol towards servers on any bytes: the first two are the length of a stream of requests, behind which stands what a
 * server answers.
 *
 * Held: what comes of a stream is the same however it is cut, in both directions; every packet is one that the parser of clients'
 * packets takes; packets have the next number each; no piece of an answer lies outside the input; a server that is given no
 * request is not listened to.
 */
#include "wire/server_binary.h"

#include "wire/binary.h"

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

/* Of what is printed: replies are longer than what they are printed of. */
#define OUT_MAX ((size_t)1 << 20)

struct out {
    char *bytes;
    size_t len;
    enum server_binary_status status; /* that ended it */
    size_t consumed;
};

static void out_add(struct out *out, const char *data, size_t len)
{
    if (len == 0)
        return;
    REQUIRE(out->len + len <= OUT_MAX);
    memcpy(out->bytes + out->len, data, len);
    out->len += len;
}

static enum server_binary_status step(struct server_binary *binary, bool takes, const char *data, size_t len,
                                      struct out *out)
{
    static char buffer[SERVER_BINARY_PRINT_MAX];
    struct server_binary_piece piece;
    char *copy = malloc(len + 1);
    REQUIRE(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    enum server_binary_status status = takes ? server_binary_take(binary, copy, len, UINT64_MAX, buffer, &piece)
                                             : server_binary_give(binary, copy, len, buffer, &piece);
    if (status == SERVER_BINARY_TAKEN) {
        REQUIRE(piece.consumed <= len && piece.printed <= sizeof buffer && piece.pass.len <= piece.consumed);
        REQUIRE(piece.pass.len == 0 || (piece.pass.data >= copy && piece.pass.data + piece.pass.len <= copy + len));
        out_add(out, buffer, piece.printed);
        out_add(out, piece.pass.data, piece.pass.len);
        out->consumed += piece.consumed;
    }
    free(copy);
    return status;
}

/* The stream in pieces of `cut` bytes; 0: at once. */
static struct out run(struct server_binary *binary, bool takes, const char *data, size_t len, size_t cut)
{
    struct out out = {.bytes = malloc(OUT_MAX), .status = SERVER_BINARY_MORE};
    REQUIRE(out.bytes != NULL);
    size_t seen = cut == 0 || cut > len ? len : cut;
    for (;;) {
        bool due = out.consumed < seen || (!takes && binary->hearing == HEARING_TAIL);
        out.status = due ? step(binary, takes, data + out.consumed, seen - out.consumed, &out) : SERVER_BINARY_MORE;
        if (out.status == SERVER_BINARY_WRONG || (out.status == SERVER_BINARY_MORE && seen == len))
            break;
        if (out.status == SERVER_BINARY_MORE)
            seen = len - seen > cut ? seen + cut : len;
    }
    REQUIRE(out.status != SERVER_BINARY_WRONG || binary->problem != NULL);
    return out;
}

static void check_packets(const struct out *out)
{
    size_t at = 0;
    for (uint32_t opaque = 0; at < out->len; opaque++) {
        struct binary_request packet;
        uint32_t told;
        enum binary_parsed parsed = binary_parse(out->bytes + at, out->len - at, UINT64_MAX, &packet);
        if (parsed == BINARY_PARTIAL)
            return;
        REQUIRE(parsed == BINARY_READY);
        memcpy(&told, out->bytes + at + 12, sizeof told);
        REQUIRE(__builtin_bswap32(told) == opaque || told == opaque);
        if (packet.body_bytes > out->len - at - packet.head_bytes)
            return;
        at += packet.head_bytes + packet.body_bytes;
    }
}

static void require_same(struct out *a, struct out *b)
{
    REQUIRE(a->status == b->status && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
    free(a->bytes);
    free(b->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536)
        return 0;
    size_t asked = (size_t)data[0] << 8 | data[1];
    const char *requests = (const char *)data + 2;
    if (asked > size - 2)
        asked = size - 2;
    struct server_binary whole, parts;
    server_binary_init(&whole, false);
    server_binary_init(&parts, false);
    struct out a = run(&whole, true, requests, asked, 0), b = run(&parts, true, requests, asked, 1 + size % 7);
    check_packets(&a);
    bool silent = whole.asked_start == whole.asked_end;
    /* A value that is not whole may have left further in one than in the other: only its last byte waits. */
    if (a.status == SERVER_BINARY_WRONG) {
        REQUIRE(b.status == SERVER_BINARY_WRONG);
        free(a.bytes);
        free(b.bytes);
    } else {
        require_same(&a, &b);
    }
    a = run(&whole, false, requests + asked, size - 2 - asked, 0);
    b = run(&parts, false, requests + asked, size - 2 - asked, 1 + size % 11);
    REQUIRE(!silent || a.len == 0);
    require_same(&a, &b);
    server_binary_fini(&whole);
    server_binary_fini(&parts);
    return 0;
}
