/*
 * Tests of wire/server_binary: what each request is in packets, what each status is in text, cut at every byte in both
 * directions; and servers that answer what they must not.
 */
#include "wire/server_binary.h"

#include "wire/binary.h"
#include "wire/reply.h"

/* Of a test's buffers. */
#define BYTES_ROOM ((size_t)1 << 20)
#include "tests/support/bytes.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Both directions, with input in pieces ---- */

static void add_text(struct bytes *bytes, const char *text)
{
    bytes_add(bytes, text, strlen(text));
}

static void add_piece(struct bytes *out, const char *buffer, const struct server_binary_piece *piece)
{
    bytes_add(out, buffer, piece->printed);
    bytes_add(out, piece->pass.data, piece->pass.len);
}

typedef enum server_binary_status step_fn(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                          struct server_binary_piece *piece_out);

static enum server_binary_status take(struct server_binary *binary, const char *data, size_t len, char *buffer,
                                      struct server_binary_piece *piece_out)
{
    return server_binary_take(binary, data, len, UINT64_MAX, buffer, piece_out);
}

/* Copies the input, so that a read behind its end is found. Moves *at on; what ended it. */
static enum server_binary_status run(struct server_binary *binary, step_fn *step, const char *data, size_t len,
                                     size_t *at, struct bytes *out)
{
    static char buffer[SERVER_BINARY_PRINT_MAX];
    enum server_binary_status status;
    do {
        struct server_binary_piece piece;
        size_t left = len - *at;
        char *copy = malloc(left + 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, data + *at, left);
        bool idle = left == 0 && (step == take || binary->hearing != HEARING_TAIL);
        status = idle ? SERVER_BINARY_MORE : step(binary, copy, left, buffer, &piece);
        if (status == SERVER_BINARY_TAKEN) {
            ck_assert_uint_le(piece.consumed, left);
            add_piece(out, buffer, &piece);
            *at += piece.consumed;
        }
        free(copy);
    } while (status == SERVER_BINARY_TAKEN);
    return status;
}

/* The whole in pieces of `step_bytes`; 0: at once. */
static enum server_binary_status run_cut(struct server_binary *binary, step_fn *step, struct bytes in,
                                         size_t step_bytes, struct bytes *out)
{
    size_t at = 0, seen = step_bytes == 0 ? in.len : 0;
    enum server_binary_status status = run(binary, step, in.data, seen, &at, out);
    while (status == SERVER_BINARY_MORE && seen < in.len) {
        seen = seen + step_bytes < in.len ? seen + step_bytes : in.len;
        status = run(binary, step, in.data, seen, &at, out);
    }
    ck_assert(status != SERVER_BINARY_MORE || at == in.len);
    return status;
}

/* ---- Packets ---- */

static void add_number(struct bytes *bytes, unsigned len, uint64_t number)
{
    for (unsigned i = len; i > 0; i--) {
        char byte = (char)(number >> (8 * (i - 1)) & 0xff);
        bytes_add(bytes, &byte, 1);
    }
}

/* What a test writes of a packet; texts may have NULs by their length. */
struct shape {
    uint8_t opcode;
    const char *key;
    const char *extras; /* in hex */
    const char *value;
    uint64_t cas;
    uint16_t status;
    uint32_t opaque;
};

static void add_packet(struct bytes *bytes, uint8_t magic, const struct shape *shape)
{
    const char *key = shape->key != NULL ? shape->key : "", *extras = shape->extras != NULL ? shape->extras : "";
    const char *value = shape->value != NULL ? shape->value : "";
    add_number(bytes, 1, magic);
    add_number(bytes, 1, shape->opcode);
    add_number(bytes, 2, strlen(key));
    add_number(bytes, 1, strlen(extras) / 2);
    add_number(bytes, 1, 0);
    add_number(bytes, 2, shape->status);
    add_number(bytes, 4, strlen(key) + strlen(extras) / 2 + strlen(value));
    add_number(bytes, 4, shape->opaque);
    add_number(bytes, 8, shape->cas);
    for (const char *at = extras; *at != '\0'; at += 2) {
        unsigned byte;
        ck_assert_int_eq(sscanf(at, "%2x", &byte), 1);
        add_number(bytes, 1, byte);
    }
    add_text(bytes, key);
    add_text(bytes, value);
}

static void add_packets(struct bytes *bytes, uint8_t magic, const struct shape *shapes, uint32_t first_opaque)
{
    for (uint32_t i = 0; i < 4 && (i == 0 || shapes[i].opcode != 0 || shapes[i].key != NULL); i++) {
        struct shape shape = shapes[i];
        shape.opaque = first_opaque + i;
        add_packet(bytes, magic, &shape);
    }
}

/* ---- Requests ---- */

#define NO_ITEM "ffffffff"
#define UNSUPPORTED "CLIENT_ERROR unsupported over the binary protocol\r\n"

static const struct {
    const char *text;
    struct shape packets[4];
} requests[] = {
    {"get k\r\n", {{.opcode = 0x0c, .key = "k"}}},
    {"gets k\r\n", {{.opcode = 0x0c, .key = "k"}}},
    {"get  a  bc \r\n", {{.opcode = 0x0d, .key = "a"}, {.opcode = 0x0d, .key = "bc"}, {.opcode = 0x0a}}},
    {"gat 100 k\r\n", {{.opcode = 0x23, .key = "k", .extras = "00000064"}}},
    {"gats -1 k l\r\n",
     {{.opcode = 0x24, .key = "k", .extras = "00278d01"},
      {.opcode = 0x24, .key = "l", .extras = "00278d01"},
      {.opcode = 0x0a}}},
    {"set k 5 100 3\r\nabc\r\n", {{.opcode = 0x01, .key = "k", .extras = "0000000500000064", .value = "abc"}}},
    {"set k 4294967295 -1 0\r\n\r\n", {{.opcode = 0x01, .key = "k", .extras = "ffffffff00278d01"}}},
    {"add k 0 0 1\r\nx\r\n", {{.opcode = 0x02, .key = "k", .extras = "0000000000000000", .value = "x"}}},
    {"replace k 0 0 2\r\nxy\r\n", {{.opcode = 0x03, .key = "k", .extras = "0000000000000000", .value = "xy"}}},
    {"append k 7 9 2\r\nxy\r\n", {{.opcode = 0x0e, .key = "k", .value = "xy"}}},
    {"prepend k 7 9 2\r\nxy\r\n", {{.opcode = 0x0f, .key = "k", .value = "xy"}}},
    {"cas k 0 0 1 77\r\nx\r\n", {{.opcode = 0x01, .key = "k", .extras = "0000000000000000", .value = "x", .cas = 77}}},
    {"cas k 0 0 1 0\r\nx\r\n",
     {{.opcode = 0x01, .key = "k", .extras = "0000000000000000", .value = "x", .cas = UINT64_MAX}}},
    {"delete k\r\n", {{.opcode = 0x04, .key = "k"}}},
    {"delete noreply 0\r\n", {{.opcode = 0x04, .key = "noreply"}}},
    {"incr k 258\r\n", {{.opcode = 0x05, .key = "k", .extras = "00000000000001020000000000000000" NO_ITEM}}},
    {"decr k 1\r\n", {{.opcode = 0x06, .key = "k", .extras = "00000000000000010000000000000000" NO_ITEM}}},
    {"touch k 0\r\n", {{.opcode = 0x1c, .key = "k", .extras = "00000000"}}},
    {"version\r\n", {{.opcode = 0x0a}, {.opcode = 0x0b}}},
    {"mn\r\n", {{.opcode = 0x0a}}},
    {"verbosity 1\r\n", {{.opcode = 0x0a}}},
    {"flush_all\r\n", {{.opcode = 0x08}}},
    {"flush_all 10\r\n", {{.opcode = 0x08, .extras = "0000000a"}}},
    {"flush_all -5\r\n", {{.opcode = 0x08}}},
    {"stats\r\n", {{.opcode = 0x10}}},
    {"stats detail on\r\n", {{.opcode = 0x10, .key = "detail on"}}},
    {"stats detail dump\r\n", {{.opcode = 0x0a}}},
    {"mg k v f\r\n", {{.opcode = 0x00, .key = "k"}}},
    {"mg Zm9v b v\r\n", {{.opcode = 0x00, .key = "foo"}}},
    {"mg k T30 v\r\n", {{.opcode = 0x1d, .key = "k", .extras = "0000001e"}}},
    {"mg k T30 s\r\n", {{.opcode = 0x1d, .key = "k", .extras = "0000001e"}}},
    {"mg k T30 c\r\n", {{.opcode = 0x1c, .key = "k", .extras = "0000001e"}}},
    {"ms k 1 F9 T5\r\nx\r\n", {{.opcode = 0x01, .key = "k", .extras = "0000000900000005", .value = "x"}}},
    {"ms k 1 ME C5\r\nx\r\n", {{.opcode = 0x02, .key = "k", .extras = "0000000000000000", .value = "x"}}},
    {"ms k 1 MR\r\nx\r\n", {{.opcode = 0x03, .key = "k", .extras = "0000000000000000", .value = "x"}}},
    {"ms k 1 MA C5\r\nx\r\n", {{.opcode = 0x0e, .key = "k", .value = "x", .cas = 5}}},
    {"ms k 1 MP\r\nx\r\n", {{.opcode = 0x0f, .key = "k", .value = "x"}}},
    {"ms k 1 C0\r\nx\r\n",
     {{.opcode = 0x01, .key = "k", .extras = "0000000000000000", .value = "x", .cas = UINT64_MAX}}},
    {"ms k 1 I\r\nx\r\n", {{.opcode = 0x0a}}},
    {"md k\r\n", {{.opcode = 0x04, .key = "k"}}},
    {"md k C0\r\n", {{.opcode = 0x04, .key = "k", .cas = UINT64_MAX}}},
    {"ma k\r\n", {{.opcode = 0x05, .key = "k", .extras = "00000000000000010000000000000000" NO_ITEM}}},
    {"ma k MD D3 N60 J9 C4\r\n",
     {{.opcode = 0x06, .key = "k", .extras = "000000000000000300000000000000090000003c", .cas = 4}}},
    {"ma k T3\r\n", {{.opcode = 0x0a}}},
    {"me k\r\n", {{.opcode = 0x0a}}},
};
enum { REQUESTS = sizeof requests / sizeof requests[0] };

START_TEST(each_request_is_its_packets)
{
    struct bytes in = bytes_new(), expected = bytes_new();
    add_text(&in, requests[_i].text);
    add_packets(&expected, 0x80, requests[_i].packets, 0);
    for (size_t step = 0; step <= in.len; step++) {
        struct server_binary binary;
        struct bytes out = bytes_new();
        server_binary_init(&binary, false);
        ck_assert_int_eq(run_cut(&binary, take, in, step, &out), SERVER_BINARY_MORE);
        ck_assert_uint_eq(out.len, expected.len);
        ck_assert_int_eq(memcmp(out.data, expected.data, out.len), 0);
        server_binary_fini(&binary);
        free(out.data);
    }
    free(in.data);
    free(expected.data);
}
END_TEST

START_TEST(a_login_becomes_sasl_plain)
{
    static const char login[] = "set ringside 0 -1 11\r\napp se cret\r\nversion\r\n";
    struct bytes in = bytes_new(), expected = bytes_new();
    add_text(&in, login);
    add_number(&expected, 2, 0x8021);
    add_number(&expected, 2, 5);
    add_number(&expected, 4, 0);
    add_number(&expected, 4, 5 + 12);
    add_number(&expected, 4, 0);
    add_number(&expected, 8, 0);
    bytes_add(&expected, "PLAIN\0app\0se cret", 17);
    for (size_t step = 0; step <= in.len; step++) {
        struct server_binary binary;
        struct bytes out = bytes_new();
        server_binary_init(&binary, true);
        ck_assert_int_eq(run_cut(&binary, take, in, step, &out), SERVER_BINARY_MORE);
        ck_assert_uint_eq(out.len, expected.len + 48);
        ck_assert_int_eq(memcmp(out.data, expected.data, expected.len), 0);
        server_binary_fini(&binary);
        free(out.data);
    }
    free(in.data);
    free(expected.data);
}
END_TEST

static const char *const bad_requests[] = {
    "set k 0 0 3\r\nabcde", "set k 0 0 3\r\nabc\rx", "set k 0 0 0\r\nxx", "ms k 1\r\nab\r\n",
    "nonsense\r\n",         "get \x01\r\n",          "set k\r\n",
};

START_TEST(what_is_no_request_is_not_said)
{
    struct bytes in = bytes_new();
    add_text(&in, bad_requests[_i]);
    for (size_t step = 0; step <= in.len; step++) {
        struct server_binary binary;
        struct bytes out = bytes_new();
        server_binary_init(&binary, false);
        ck_assert_int_eq(run_cut(&binary, take, in, step, &out), SERVER_BINARY_WRONG);
        ck_assert_ptr_nonnull(binary.problem);
        /* The value's last byte has not left. */
        ck_assert(out.len < 24 + 8 + 1 + 3 || memcmp(out.data + out.len - 3, "abc", 3) != 0);
        server_binary_fini(&binary);
        free(out.data);
    }
    free(in.data);
}
END_TEST

START_TEST(a_packet_is_not_begun_where_it_does_not_fit)
{
    struct server_binary binary;
    struct server_binary_piece piece;
    char buffer[SERVER_BINARY_PRINT_MAX];
    static const char set[] = "set k 0 0 100\r\n", gets[] = "get a b\r\n";
    server_binary_init(&binary, false);
    ck_assert_int_eq(server_binary_take(&binary, set, sizeof set - 1, 24 + 8 + 1 + 99, buffer, &piece),
                     SERVER_BINARY_FULL);
    ck_assert_int_eq(server_binary_take(&binary, gets, sizeof gets - 1, 30, buffer, &piece), SERVER_BINARY_TAKEN);
    ck_assert_uint_eq(piece.consumed, 4);
    ck_assert_int_eq(server_binary_take(&binary, gets + 4, sizeof gets - 5, 24, buffer, &piece), SERVER_BINARY_FULL);
    ck_assert_int_eq(server_binary_take(&binary, gets + 4, sizeof gets - 5, 25, buffer, &piece), SERVER_BINARY_TAKEN);
    ck_assert_uint_eq(piece.packet_bytes, 25);
    ck_assert(piece.ends);
    server_binary_fini(&binary);
}
END_TEST

/* ---- Replies ---- */

#define FLAGS_7 "00000007"

static const struct {
    const char *request;
    struct shape packets[4];
    const char *text;
} replies[] = {
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .extras = FLAGS_7, .value = "abc"}}, "VALUE k 7 3\r\nabc\r\nEND\r\n"},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .extras = FLAGS_7}}, "VALUE k 7 0\r\n\r\nEND\r\n"},
    {"gets k\r\n",
     {{.opcode = 0x0c, .key = "k", .extras = "ffffffff", .value = "a\r\n", .cas = UINT64_MAX}},
     "VALUE k 4294967295 3 18446744073709551615\r\na\r\n\r\nEND\r\n"},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .status = 1}}, "END\r\n"},
    {"get k\r\n", {{.opcode = 0x0c, .status = 0x85, .value = "busy\r\nEND"}}, "SERVER_ERROR busy??END\r\n"},
    {"get a b\r\n",
     {{.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .value = "1"},
      {.opcode = 0x0d, .key = "b", .extras = FLAGS_7, .value = "22"},
      {.opcode = 0x0a}},
     "VALUE a 7 1\r\n1\r\nVALUE b 7 2\r\n22\r\nEND\r\n"},
    {"get a b\r\n",
     {{.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .value = "1"},
      {.opcode = 0x0d, .status = 0x86, .value = "x"},
      {.opcode = 0x0a}},
     "VALUE a 7 1\r\n1\r\nSERVER_ERROR status 134\r\n"},
    {"gat 0 k\r\n", {{.opcode = 0x23, .key = "k", .extras = FLAGS_7, .value = "v"}}, "VALUE k 7 1\r\nv\r\nEND\r\n"},
    {"set k 0 0 0\r\n\r\n", {{.opcode = 0x01, .cas = 5}}, "STORED\r\n"},
    {"set k 0 0 0\r\n\r\n",
     {{.opcode = 0x01, .status = 3, .value = "Too large."}},
     "SERVER_ERROR object too large for cache\r\n"},
    {"set k 0 0 0\r\n\r\n",
     {{.opcode = 0x01, .status = 0x82, .value = "Out of memory"}},
     "SERVER_ERROR out of memory storing object\r\n"},
    {"set k 0 0 0\r\n\r\n",
     {{.opcode = 0x01, .status = 4, .value = "Invalid arguments"}},
     "CLIENT_ERROR Invalid arguments\r\n"},
    {"set k 0 0 0\r\n\r\n",
     {{.opcode = 0x01, .status = 0x81, .value = "Unknown command"}},
     "CLIENT_ERROR Unknown command\r\n"},
    {"add k 0 0 0\r\n\r\n", {{.opcode = 0x02, .status = 2}}, "NOT_STORED\r\n"},
    {"replace k 0 0 0\r\n\r\n", {{.opcode = 0x03, .status = 1}}, "NOT_STORED\r\n"},
    {"append k 0 0 0\r\n\r\n", {{.opcode = 0x0e, .status = 5}}, "NOT_STORED\r\n"},
    {"cas k 0 0 0 5\r\n\r\n", {{.opcode = 0x01, .status = 2}}, "EXISTS\r\n"},
    {"cas k 0 0 0 5\r\n\r\n", {{.opcode = 0x01, .status = 1}}, "NOT_FOUND\r\n"},
    {"delete k\r\n", {{.opcode = 0x04}}, "DELETED\r\n"},
    {"delete k\r\n", {{.opcode = 0x04, .status = 1, .value = "Not found"}}, "NOT_FOUND\r\n"},
    {"incr k 1\r\n", {{.opcode = 0x05, .value = "abcdefgh"}}, "7017280452245743464\r\n"},
    {"incr k 1\r\n", {{.opcode = 0x05, .status = 1}}, "NOT_FOUND\r\n"},
    {"decr k 1\r\n",
     {{.opcode = 0x06, .status = 6}},
     "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
    {"touch k 1\r\n", {{.opcode = 0x1c, .extras = FLAGS_7}}, "TOUCHED\r\n"},
    {"touch k 1\r\n", {{.opcode = 0x1c, .status = 1}}, "NOT_FOUND\r\n"},
    {"version\r\n", {{.opcode = 0x0a}, {.opcode = 0x0b, .value = "1.6.18"}}, "VERSION 1.6.18\r\n"},
    {"version\r\n", {{.opcode = 0x0a, .status = 0x20, .value = "Auth failure."}}, "CLIENT_ERROR Auth failure.\r\n"},
    {"mn\r\n", {{.opcode = 0x0a}}, "MN\r\n"},
    {"verbosity 1\r\n", {{.opcode = 0x0a}}, "OK\r\n"},
    {"flush_all\r\n", {{.opcode = 0x08}}, "OK\r\n"},
    {"flush_all\r\n", {{.opcode = 0x08, .status = 0x20}}, "CLIENT_ERROR flush_all not allowed\r\n"},
    {"stats\r\n", {{.opcode = 0x10}}, "END\r\n"},
    {"stats reset\r\n", {{.opcode = 0x10}}, "RESET\r\n"},
    {"stats detail off\r\n", {{.opcode = 0x10}}, "OK\r\n"},
    {"stats x\r\n", {{.opcode = 0x10, .status = 1, .value = "Not found"}}, "ERROR\r\n"},
    {"mg k f c s v O12 k\r\n",
     {{.opcode = 0x00, .extras = FLAGS_7, .value = "abc", .cas = 9}},
     "VA 3 f7 c9 s3 O12 kk\r\nabc\r\n"},
    {"mg Zm9v k b v\r\n", {{.opcode = 0x00, .extras = FLAGS_7, .value = "x"}}, "VA 1 kZm9v b\r\nx\r\n"},
    {"mg k f s\r\n", {{.opcode = 0x00, .extras = FLAGS_7, .value = "abc"}}, "HD f7 s3\r\n"},
    {"mg k f\r\n", {{.opcode = 0x00, .extras = FLAGS_7}}, "HD f7\r\n"},
    {"mg k v O1\r\n", {{.opcode = 0x00, .status = 1, .value = "Not found"}}, "EN O1\r\n"},
    {"mg k T1 f c\r\n", {{.opcode = 0x1c, .extras = FLAGS_7, .cas = 4}}, "HD f7 c4\r\n"},
    {"ms k 0 c k\r\n\r\n", {{.opcode = 0x01, .cas = 6}}, "HD c6 kk\r\n"},
    {"ms k 0 C1 O3\r\n\r\n", {{.opcode = 0x01, .status = 2}}, "EX O3\r\n"},
    {"ms k 0 C1\r\n\r\n", {{.opcode = 0x01, .status = 1}}, "NF\r\n"},
    {"ms k 0 ME\r\n\r\n", {{.opcode = 0x02, .status = 2}}, "NS\r\n"},
    {"ms k 0 MR\r\n\r\n", {{.opcode = 0x03, .status = 1}}, "NS\r\n"},
    {"ms k 0 MA\r\n\r\n", {{.opcode = 0x0e, .status = 5}}, "NS\r\n"},
    {"ms k 0 MA C3\r\n\r\n", {{.opcode = 0x0e, .status = 2}}, "EX\r\n"},
    {"ms k 3 I\r\nabc\r\n", {{.opcode = 0x0a}}, UNSUPPORTED},
    {"md k O1\r\n", {{.opcode = 0x04}}, "HD O1\r\n"},
    {"md k\r\n", {{.opcode = 0x04, .status = 1}}, "NF\r\n"},
    {"md k C1\r\n", {{.opcode = 0x04, .status = 2}}, "EX\r\n"},
    {"ma k v c\r\n", {{.opcode = 0x05, .value = "abcdefgh", .cas = 3}}, "VA 19 c3\r\n7017280452245743464\r\n"},
    {"ma k\r\n", {{.opcode = 0x05, .value = "abcdefgh"}}, "HD\r\n"},
    {"ma k\r\n", {{.opcode = 0x05, .status = 1}}, "NF\r\n"},
    {"ma k C1\r\n", {{.opcode = 0x05, .status = 2}}, "EX\r\n"},
};
enum { REPLIES = sizeof replies / sizeof replies[0] };

static void ask(struct server_binary *binary, const char *request)
{
    struct bytes in = bytes_new(), out = bytes_new();
    server_binary_init(binary, false);
    add_text(&in, request);
    ck_assert_int_eq(run_cut(binary, take, in, 0, &out), SERVER_BINARY_MORE);
    free(in.data);
    free(out.data);
}

START_TEST(each_reply_is_its_text)
{
    struct bytes in = bytes_new();
    size_t expected_len = strlen(replies[_i].text);
    add_packets(&in, 0x81, replies[_i].packets, 0);
    for (size_t step = 0; step <= in.len; step++) {
        struct server_binary binary;
        struct bytes out = bytes_new();
        ask(&binary, replies[_i].request);
        ck_assert_int_eq(run_cut(&binary, server_binary_give, in, step, &out), SERVER_BINARY_MORE);
        ck_assert_msg(out.len == expected_len && memcmp(out.data, replies[_i].text, out.len) == 0, "%.*s", (int)out.len,
                      out.data);
        /* Nothing is asked now: not even the same again is taken. */
        ck_assert_int_eq(run_cut(&binary, server_binary_give, in, 0, &out), SERVER_BINARY_WRONG);
        ck_assert_uint_eq(out.len, expected_len);
        server_binary_fini(&binary);
        free(out.data);
    }
    free(in.data);
}
END_TEST

/* What this says of a status is what the other direction makes that status of. */
START_TEST(both_directions_agree_on_what_a_status_is)
{
    char buffer[BINARY_REPLY_MAX];
    struct binary_stream stream;
    const struct shape *shape = &replies[_i].packets[0];
    const struct binary_asked asked = {.opcode = shape->opcode};
    bool has_cas = strstr(replies[_i].request, " 5\r\n") != NULL;
    bool single = shape->status != 0 && replies[_i].packets[1].opcode == 0;
    if (!single || shape->opcode == 0x0a || shape->opcode == 0x0c || shape->status == 0x81 || shape->status == 0x20 ||
        has_cas || (shape->opcode == 0x01 && shape->status == 1))
        return;
    const char *end = strstr(replies[_i].text, "\r\n");
    struct slice line = slice_make(replies[_i].text, (size_t)(end - replies[_i].text));
    ck_assert_uint_ge(binary_reply_line(&asked, line, &stream, buffer), BINARY_HEADER_BYTES);
    ck_assert_uint_eq((unsigned)(unsigned char)buffer[6] << 8 | (unsigned char)buffer[7], shape->status);
}
END_TEST

START_TEST(statistics_come_in_many_packets)
{
    struct server_binary binary;
    struct bytes in = bytes_new(), out = bytes_new();
    const struct shape stats[] = {
        {.opcode = 0x10, .key = "pid", .value = "5"}, {.opcode = 0x10, .key = "empty"}, {.opcode = 0x10}};
    ask(&binary, "stats\r\n");
    for (int i = 0; i < 3; i++)
        add_packet(&in, 0x81, &stats[i]);
    ck_assert_int_eq(run_cut(&binary, server_binary_give, in, 1, &out), SERVER_BINARY_MORE);
    ck_assert_uint_eq(out.len, strlen("STAT pid 5\r\nSTAT empty \r\nEND\r\n"));
    ck_assert_int_eq(memcmp(out.data, "STAT pid 5\r\nSTAT empty \r\nEND\r\n", out.len), 0);
    server_binary_fini(&binary);
    free(in.data);
    free(out.data);
}
END_TEST

/* Answers to all of them at once, the ones behind the others; and opaques that go past their end. */
START_TEST(requests_are_answered_in_their_order)
{
    struct server_binary binary;
    struct bytes in = bytes_new(), out = bytes_new(), text = bytes_new(), requested = bytes_new();
    uint32_t opaque = UINT32_MAX - 40;
    server_binary_init(&binary, false);
    binary.opaque = opaque;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < REPLIES; i++) {
            uint32_t before = binary.opaque;
            requested.len = 0;
            out.len = 0;
            add_text(&requested, replies[i].request);
            ck_assert_int_eq(run_cut(&binary, take, requested, 0, &out), SERVER_BINARY_MORE);
            add_packets(&in, 0x81, replies[i].packets, before);
            add_text(&text, replies[i].text);
        }
        if (round % 7 != 6)
            continue;
        out.len = 0;
        ck_assert_int_eq(run_cut(&binary, server_binary_give, in, round % 2 ? 0 : 61, &out), SERVER_BINARY_MORE);
        ck_assert_uint_eq(out.len, text.len);
        ck_assert_int_eq(memcmp(out.data, text.data, text.len), 0);
        in.len = text.len = 0;
    }
    server_binary_fini(&binary);
    free(in.data);
    free(out.data);
    free(text.data);
    free(requested.data);
}
END_TEST

/* ---- Servers that lie ---- */

static const struct {
    const char *request;
    struct shape packets[4]; /* their opaques as they stand here */
} lies[] = {
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .extras = FLAGS_7, .value = "v", .opaque = 1}}},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .extras = FLAGS_7, .value = "v", .opaque = UINT32_MAX}}},
    {"get k\r\n", {{.opcode = 0x00, .key = "k", .extras = FLAGS_7, .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0d, .key = "k", .extras = FLAGS_7, .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0c, .extras = FLAGS_7, .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k 0 1\r\n", .extras = FLAGS_7, .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0c, .key = "k", .extras = "0000000000", .value = "v"}}},
    {"get k\r\n", {{.opcode = 0x0c, .status = 0x20, .value = "Auth failure."}}},
    {"get a b\r\n", {{.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .opaque = 0}, {.opcode = 0x0a, .opaque = 1}}},
    {"get a b\r\n",
     {{.opcode = 0x0d, .key = "b", .extras = FLAGS_7, .opaque = 1},
      {.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .opaque = 0}}},
    {"get a b\r\n",
     {{.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .opaque = 0},
      {.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .opaque = 0}}},
    {"get a b\r\n", {{.opcode = 0x0d, .key = "a", .extras = FLAGS_7, .opaque = 2}}},
    {"get a b\r\n", {{.opcode = 0x0a, .opaque = 2}, {.opcode = 0x0d, .key = "b", .extras = FLAGS_7, .opaque = 1}}},
    {"get a\r\nget b\r\n", {{.opcode = 0x0c, .key = "b", .extras = FLAGS_7, .opaque = 1}}},
    {"version\r\n", {{.opcode = 0x0b, .value = "1.6.18", .opaque = 1}}},
    {"set k 0 0 0\r\n\r\n", {{.opcode = 0x01, .value = "x"}}},
    {"set k 0 0 0\r\n\r\n", {{.opcode = 0x02}}},
    {"delete k\r\n", {{.opcode = 0x04, .extras = FLAGS_7}}},
    {"incr k 1\r\n", {{.opcode = 0x05, .value = "abcdefg"}}},
    {"incr k 1\r\n", {{.opcode = 0x05, .value = "abcdefghi"}}},
    {"touch k 1\r\n", {{.opcode = 0x1c, .value = "xxxx"}}},
    {"mn\r\n", {{.opcode = 0x0a, .value = "x"}}},
    {"mg k v\r\n", {{.opcode = 0x00, .key = "k", .extras = FLAGS_7}}},
    {"stats\r\n", {{.opcode = 0x10, .value = "x"}}},
    {"stats\r\n", {{.opcode = 0x10, .key = "a", .value = "x\r\nEND"}}},
};
enum { LIES = sizeof lies / sizeof lies[0] };

START_TEST(a_lie_ends_it)
{
    struct bytes in = bytes_new();
    for (int i = 0; i < 4 && (i == 0 || lies[_i].packets[i].opcode != 0); i++)
        add_packet(&in, 0x81, &lies[_i].packets[i]);
    for (size_t step = 0; step <= in.len; step++) {
        struct server_binary binary;
        struct bytes out = bytes_new();
        ask(&binary, lies[_i].request);
        ck_assert_int_eq(run_cut(&binary, server_binary_give, in, step, &out), SERVER_BINARY_WRONG);
        ck_assert_ptr_nonnull(binary.problem);
        server_binary_fini(&binary);
        free(out.data);
    }
    free(in.data);
}
END_TEST

/* Headers by their bytes: magic, a data type, lengths that cannot be. */
static const char *const bad_headers[] = {
    "\x80\x0c\0\1\4\0\0\0\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\0",   "VALUE k 0 1\r\nx\r\nEND\r\n....",
    "\x81\x0c\0\1\4\1\0\0\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\0",   "\x81\x0c\0\2\4\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0",
    "\x81\x0c\1\0\4\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0",   "\x81\x0c\0\1\4\0\0\0\x80\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0",
    "\x81\x0c\0\1\4\0\0\1\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0",
};

START_TEST(a_header_that_cannot_be_ends_it)
{
    struct server_binary binary;
    struct server_binary_piece piece;
    char buffer[SERVER_BINARY_PRINT_MAX];
    ask(&binary, "get k\r\n");
    ck_assert_int_eq(server_binary_give(&binary, bad_headers[_i], 24, buffer, &piece), SERVER_BINARY_WRONG);
    server_binary_fini(&binary);
}
END_TEST

static const struct {
    uint16_t status;
    const char *text;
} logins[] = {
    {0, "STORED\r\n"},
    {0x81, "STORED\r\n"},
    {0x20, "CLIENT_ERROR Auth failure.\r\n"},
    {0x21, "SERVER_ERROR Auth failure.\r\n"},
    {0x01, "SERVER_ERROR Auth failure.\r\n"},
};

START_TEST(a_login_is_answered)
{
    struct server_binary binary;
    struct bytes in = bytes_new(), out = bytes_new();
    server_binary_init(&binary, true);
    add_text(&in, "set ringside 0 -1 5\r\na b c\r\n");
    ck_assert_int_eq(run_cut(&binary, take, in, 0, &out), SERVER_BINARY_MORE);
    in.len = out.len = 0;
    add_packet(&in, 0x81, &(struct shape){.opcode = 0x21, .status = logins[_i].status, .value = "Auth failure."});
    ck_assert_int_eq(run_cut(&binary, server_binary_give, in, 1, &out), SERVER_BINARY_MORE);
    ck_assert_msg(out.len == strlen(logins[_i].text) && memcmp(out.data, logins[_i].text, out.len) == 0, "%.*s",
                  (int)out.len, out.data);
    server_binary_fini(&binary);
    free(in.data);
    free(out.data);
}
END_TEST

/* ---- Lines of the greatest length ---- */

START_TEST(a_line_with_many_long_keys)
{
    struct server_binary binary;
    struct bytes in = bytes_new(), out = bytes_new();
    char key[251];
    memset(key, 'k', 250);
    key[250] = '\0';
    server_binary_init(&binary, false);
    add_text(&in, "gat 5");
    for (int i = 0; i < 128; i++) {
        add_text(&in, " ");
        add_text(&in, key);
    }
    add_text(&in, "\r\n");
    ck_assert_int_eq(run_cut(&binary, take, in, 0, &out), SERVER_BINARY_MORE);
    ck_assert_uint_eq(out.len, 128 * (24 + 4 + 250) + 24);
    server_binary_fini(&binary);
    free(in.data);
    free(out.data);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("server_binary");
    tcase_add_loop_test(tcase, each_request_is_its_packets, 0, REQUESTS);
    tcase_add_test(tcase, a_login_becomes_sasl_plain);
    tcase_add_loop_test(tcase, what_is_no_request_is_not_said, 0, sizeof bad_requests / sizeof bad_requests[0]);
    tcase_add_test(tcase, a_packet_is_not_begun_where_it_does_not_fit);
    tcase_add_loop_test(tcase, each_reply_is_its_text, 0, REPLIES);
    tcase_add_loop_test(tcase, both_directions_agree_on_what_a_status_is, 0, REPLIES);
    tcase_add_test(tcase, statistics_come_in_many_packets);
    tcase_add_test(tcase, requests_are_answered_in_their_order);
    tcase_add_loop_test(tcase, a_lie_ends_it, 0, LIES);
    tcase_add_loop_test(tcase, a_header_that_cannot_be_ends_it, 0, sizeof bad_headers / sizeof bad_headers[0]);
    tcase_add_loop_test(tcase, a_login_is_answered, 0, sizeof logins / sizeof logins[0]);
    tcase_add_test(tcase, a_line_with_many_long_keys);
    return suite_run("wire/server_binary", tcase);
}
