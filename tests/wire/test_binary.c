/* The binary protocol: requests to meta lines, servers' lines to replies. */
#include "tests/support/suite.h"
#include "wire/binary.h"

#include <stdio.h>
#include <string.h>

#define ITEM_MAX 1000

/* ---- Requests ---- */

struct packet {
    uint8_t opcode;
    const char *extras;
    size_t extras_len;
    const char *key;
    size_t key_len;
    size_t value_len;
    uint64_t cas;
};

#define BYTES(literal) literal, sizeof(literal) - 1

static void put(char *at, unsigned bytes, uint64_t number)
{
    for (unsigned i = bytes; i > 0; i--, number >>= 8)
        at[i - 1] = (char)number;
}

static size_t build(const struct packet *packet, char *out)
{
    memset(out, 0, BINARY_HEADER_BYTES);
    out[0] = BINARY_MAGIC;
    out[1] = (char)packet->opcode;
    put(out + 2, 2, packet->key_len);
    out[4] = (char)packet->extras_len;
    put(out + 8, 4, packet->extras_len + packet->key_len + packet->value_len);
    memcpy(out + 12, "opaq", 4);
    put(out + 16, 8, packet->cas);
    char *at = out + BINARY_HEADER_BYTES;
    if (packet->extras_len > 0)
        memcpy(at, packet->extras, packet->extras_len);
    if (packet->key_len > 0)
        memcpy(at + packet->extras_len, packet->key, packet->key_len);
    memset(at + packet->extras_len + packet->key_len, 'v', packet->value_len);
    return BINARY_HEADER_BYTES + packet->extras_len + packet->key_len + packet->value_len;
}

#define NONE BYTES("")
#define KEY BYTES("k")
#define TIME BYTES("\0\0\0\x64")
#define FLAGS_AND_TIME BYTES("\0\0\0\7\0\0\0\x64")
#define COUNT                  \
    BYTES("\0\0\0\0\0\0\0\5"   \
          "\0\0\0\0\0\0\0\x0a" \
          "\0\0\0\0")
#define NO_MAKING              \
    BYTES("\0\0\0\0\0\0\0\5"   \
          "\0\0\0\0\0\0\0\x0a" \
          "\xff\xff\xff\xff")

static const struct {
    struct packet packet;
    const char *line;
    enum verb verb;
} lines[] = {
    {{0x00, NONE, KEY, 0, 0}, "mg k f c v", VERB_MG},
    {{0x09, NONE, KEY, 0, 0}, "mg k f c v", VERB_MG},
    {{0x0c, NONE, BYTES("a b"), 0, 0}, "mg YSBi f c v b", VERB_MG},
    {{0x1c, TIME, KEY, 0, 0}, "mg k T100 f c", VERB_MG},
    {{0x1d, TIME, KEY, 0, 0}, "mg k T100 f c v", VERB_MG},
    {{0x24, BYTES("\x80\0\0\0"), KEY, 0, 0}, "mg k T0 f c v", VERB_MG},
    {{0x01, FLAGS_AND_TIME, KEY, 3, 0}, "ms k 3 F7 T100 c", VERB_MS},
    {{0x11, FLAGS_AND_TIME, KEY, 0, 0}, "ms k 0 F7 T100", VERB_MS},
    {{0x01, BYTES("\0\0\0\0\xff\xff\xff\xff"), KEY, 3, 9}, "ms k 3 C9 c", VERB_MS},
    {{0x02, FLAGS_AND_TIME, KEY, 3, 0}, "ms k 3 F7 T100 ME c", VERB_MS},
    {{0x02, FLAGS_AND_TIME, KEY, 3, 9}, "ms k 3 F7 T100 C9 c", VERB_MS},
    {{0x13, FLAGS_AND_TIME, KEY, 3, 0}, "ms k 3 F7 T100 MR", VERB_MS},
    {{0x03, FLAGS_AND_TIME, BYTES("\n"), 3, UINT64_MAX}, "ms Cg== 3 F7 T100 C18446744073709551615 c b", VERB_MS},
    {{0x0e, NONE, KEY, 3, 0}, "ms k 3 MA c", VERB_MS},
    {{0x1a, NONE, KEY, 3, 9}, "ms k 3 MP C9", VERB_MS},
    {{0x04, NONE, KEY, 0, 0}, "md k", VERB_MD},
    {{0x14, NONE, BYTES("\0"), 0, 9}, "md AA== C9 b", VERB_MD},
    {{0x05, COUNT, KEY, 0, 0}, "ma k D5 N0 J10 c v", VERB_MA},
    {{0x06, NO_MAKING, KEY, 0, 9}, "ma k D5 MD C9 c v", VERB_MA},
    {{0x15, COUNT, KEY, 0, 0}, "ma k D5 N0 J10", VERB_MA},
    {{0x10, NONE, NONE, 0, 0}, "stats", VERB_STATS},
    {{0x10, NONE, BYTES("settings"), 0, 0}, "stats settings", VERB_STATS},
    {{0x08, NONE, NONE, 0, 0}, "flush_all", VERB_FLUSH_ALL},
    {{0x18, TIME, NONE, 0, 0}, "flush_all 100", VERB_FLUSH_ALL},
    {{0x0b, NONE, NONE, 0, 0}, "version", VERB_VERSION},
};

START_TEST(each_request_has_its_line)
{
    char data[400], line[BINARY_LINE_MAX];
    struct binary_request binary;
    struct request request, parsed;
    size_t len = build(&lines[_i].packet, data);
    ck_assert_int_eq(binary_parse(data, len, ITEM_MAX, &binary), BINARY_READY);
    ck_assert_uint_eq(binary.head_bytes + binary.body_bytes, len);
    ck_assert_mem_eq(&binary.asked.opaque, "opaq", 4);
    size_t line_len = binary_line(&binary, line, &request);
    ck_assert_uint_eq(line_len, strlen(lines[_i].line) + 2);
    ck_assert_mem_eq(line, lines[_i].line, line_len - 2);
    ck_assert_mem_eq(line + line_len - 2, "\r\n", 2);
    /* It is what a text client's line would have become. */
    ck_assert_int_eq(request_parse(line, line_len, ITEM_MAX, &parsed), REQUEST_READY);
    ck_assert_int_eq(request.verb, lines[_i].verb);
    ck_assert_int_eq(parsed.verb, request.verb);
    ck_assert(slice_equal(parsed.line, request.line) && slice_equal(parsed.key, request.key));
    ck_assert(slice_equal(parsed.argument, request.argument));
    ck_assert(parsed.key_encoded == request.key_encoded && parsed.has_value == request.has_value);
    ck_assert(parsed.value_bytes == request.value_bytes && parsed.key_count == request.key_count);
    ck_assert(parsed.repeatable == request.repeatable || !verb_is_meta(request.verb));
    if (request.key_count > 0) {
        char decoded[KEY_LEN_MAX];
        ck_assert(slice_equal(request_route_key(&request, decoded), binary.key));
    }
}
END_TEST

START_TEST(bytes_are_waited_for)
{
    char data[400];
    struct binary_request binary;
    size_t len = build(&lines[_i].packet, data);
    size_t head = len - lines[_i].packet.value_len;
    for (size_t n = 0; n < head; n++) {
        ck_assert_int_eq(binary_parse(data, n, ITEM_MAX, &binary), BINARY_PARTIAL);
        ck_assert_uint_eq(binary.head_bytes, n < BINARY_HEADER_BYTES ? BINARY_HEADER_BYTES : head);
    }
    for (size_t n = head; n <= len; n++)
        ck_assert_int_eq(binary_parse(data, n, ITEM_MAX, &binary), BINARY_READY);
}
END_TEST

START_TEST(a_key_is_written_where_it_can_be)
{
    char data[400], line[BINARY_LINE_MAX], key[KEY_LEN_MAX + 1];
    struct binary_request binary;
    struct request request;
    for (size_t len = 1; len <= KEY_LEN_MAX; len++) {
        const struct packet packet = {0x00, NONE, key, len, 0, 0};
        memset(key, 'k', sizeof key);
        size_t n = build(&packet, data);
        ck_assert_int_eq(binary_parse(data, n, ITEM_MAX, &binary), BINARY_READY);
        ck_assert_uint_gt(binary_line(&binary, line, &request), 0);
        ck_assert(!request.key_encoded);
        memset(key, ' ', sizeof key);
        n = build(&packet, data);
        ck_assert_int_eq(binary_parse(data, n, ITEM_MAX, &binary), BINARY_READY);
        ck_assert((binary_line(&binary, line, &request) > 0) == (len <= BINARY_RAW_KEY_MAX));
    }
    memset(key, 'k', sizeof key);
    const struct packet too_long = {0x00, NONE, key, KEY_LEN_MAX + 1, 0, 0};
    ck_assert_int_eq(binary_parse(data, build(&too_long, data), ITEM_MAX, &binary), BINARY_FATAL);
    ck_assert_int_eq(binary.status, BINARY_STATUS_INVALID);
}
END_TEST

static const struct {
    struct packet packet;
    enum binary_parsed parsed;
    enum binary_status status;
} refusals[] = {
    {{0x00, NONE, NONE, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x00, TIME, KEY, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x00, NONE, KEY, 1, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x01, NONE, KEY, 1, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x01, FLAGS_AND_TIME, NONE, 1, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x05, COUNT, KEY, 1, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x08, BYTES("\0"), NONE, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x0a, NONE, KEY, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x10, TIME, NONE, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x1b, NONE, NONE, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x1c, NONE, KEY, 0, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x21, NONE, NONE, 3, 0}, BINARY_FATAL, BINARY_STATUS_INVALID},
    {{0x1f, TIME, KEY, 9, 0}, BINARY_REFUSED, BINARY_STATUS_UNKNOWN},
    {{0xff, NONE, NONE, 0, 0}, BINARY_REFUSED, BINARY_STATUS_UNKNOWN},
    {{0x01, FLAGS_AND_TIME, KEY, ITEM_MAX + 1, 0}, BINARY_REFUSED, BINARY_STATUS_TOO_LARGE},
    {{0x0e, NONE, KEY, ITEM_MAX + 1, 0}, BINARY_REFUSED, BINARY_STATUS_TOO_LARGE},
};

START_TEST(what_cannot_be_is_refused)
{
    char data[ITEM_MAX + 100];
    struct binary_request binary;
    size_t len = build(&refusals[_i].packet, data);
    ck_assert_int_eq(binary_parse(data, len, ITEM_MAX, &binary), refusals[_i].parsed);
    ck_assert_int_eq(binary.status, refusals[_i].status);
    if (refusals[_i].parsed == BINARY_REFUSED)
        ck_assert_uint_eq(binary.head_bytes + binary.body_bytes, len);
}
END_TEST

START_TEST(lengths_that_lie)
{
    char data[100];
    struct binary_request binary;
    const struct packet get = {0x00, NONE, BYTES("key"), 0, 0};
    size_t len = build(&get, data);
    put(data + 8, 4, 2);
    ck_assert_int_eq(binary_parse(data, len, ITEM_MAX, &binary), BINARY_FATAL);
    ck_assert_int_eq(binary.status, BINARY_STATUS_UNKNOWN);
    ck_assert_int_eq(binary_parse("\x81", 1, ITEM_MAX, &binary), BINARY_FOREIGN);
    ck_assert_int_eq(binary_parse("get k\r\n", 7, ITEM_MAX, &binary), BINARY_FOREIGN);
}
END_TEST

/* ---- Replies ---- */

#define HEADER(opcode, key, extras, status, body, cas) \
    "\x81" opcode "\0" key extras "\0\0" status "\0\0\0" body "opaq\0\0\0\0\0\0\0" cas

static const struct {
    uint8_t opcode;
    const char *key; /* wanted in the reply */
    const char *line;
    const char *reply;
    size_t reply_len;
} replies[] = {
    {0x00, "", "EN", BYTES(HEADER("\0", "\0", "\0", "\1", "\x09", "\0") "Not found")},
    {0x09, "", "EN", NONE},
    {0x0d, "k", "EN", NONE},
    {0x0c, "k", "EN", BYTES(HEADER("\x0c", "\1", "\0", "\1", "\1", "\0") "k")},
    {0x00, "", "VA 3 f7 c9", BYTES(HEADER("\0", "\0", "\4", "\0", "\7", "\x09") "\0\0\0\7")},
    {0x0d, "k", "VA 3 f7 c9", BYTES(HEADER("\x0d", "\1", "\4", "\0", "\x08", "\x09") "\0\0\0\7k")},
    {0x1c, "", "HD f7 c9", BYTES(HEADER("\x1c", "\0", "\4", "\0", "\4", "\x09") "\0\0\0\7")},
    {0x1c, "", "EN", BYTES(HEADER("\x1c", "\0", "\0", "\1", "\x09", "\0") "Not found")},
    {0x01, "", "HD c9", BYTES(HEADER("\1", "\0", "\0", "\0", "\0", "\x09"))},
    {0x11, "", "HD", NONE},
    {0x11, "", "EX", BYTES(HEADER("\x11", "\0", "\0", "\2", "\x14", "\0") "Data exists for key.")},
    {0x02, "", "NS", BYTES(HEADER("\2", "\0", "\0", "\2", "\x14", "\0") "Data exists for key.")},
    {0x03, "", "NS", BYTES(HEADER("\3", "\0", "\0", "\1", "\x09", "\0") "Not found")},
    {0x19, "", "NS", BYTES(HEADER("\x19", "\0", "\0", "\5", "\x0b", "\0") "Not stored.")},
    {0x14, "", "NF", BYTES(HEADER("\x14", "\0", "\0", "\1", "\x09", "\0") "Not found")},
    {0x15, "", "HD", NONE},
    {0x0b, "", "VERSION 1.6.18", BYTES(HEADER("\x0b", "\0", "\0", "\0", "\6", "\0") "1.6.18")},
    {0x10, "", "STAT pid 12", BYTES(HEADER("\x10", "\3", "\0", "\0", "\5", "\0") "pid12")},
    {0x10, "", "STAT empty", BYTES(HEADER("\x10", "\5", "\0", "\0", "\5", "\0") "empty")},
    {0x10, "", "END", BYTES(HEADER("\x10", "\0", "\0", "\0", "\0", "\0"))},
    {0x10, "", "RESET", BYTES(HEADER("\x10", "\0", "\0", "\0", "\0", "\0"))},
    {0x10, "", "ERROR", BYTES(HEADER("\x10", "\0", "\0", "\1", "\x09", "\0") "Not found")},
    {0x08, "", "OK", BYTES(HEADER("\x08", "\0", "\0", "\0", "\0", "\0"))},
    {0x18, "", "OK", NONE},
    {0x05, "", "CLIENT_ERROR cannot increment or decrement non-numeric value",
     BYTES(HEADER("\5", "\0", "\0", "\6", "\x2e", "\0") "Non-numeric server-side value for incr or decr")},
    {0x11, "", "SERVER_ERROR object too large for cache",
     BYTES(HEADER("\x11", "\0", "\0", "\3", "\x0a", "\0") "Too large.")},
    {0x01, "", "SERVER_ERROR out of memory", BYTES(HEADER("\1", "\0", "\0", "\x82", "\x0d", "\0") "out of memory")},
    {0x09, "", "SERVER_ERROR pool a: no", BYTES(HEADER("\x09", "\0", "\0", "\x86", "\x0a", "\0") "pool a: no")},
    {0x00, "", "SERVER_ERROR route r: more than 5 requests a second",
     BYTES(HEADER("\0", "\0", "\0", "\x85", "\x26", "\0") "route r: more than 5 requests a second")},
    {0x00, "", "SERVER_ERROR disk", BYTES(HEADER("\0", "\0", "\0", "\x84", "\4", "\0") "disk")},
    {0x00, "", "SERVER_ERROR", BYTES(HEADER("\0", "\0", "\0", "\x84", "\0", "\0"))},
    {0x00, "", "CLIENT_ERROR bad", BYTES(HEADER("\0", "\0", "\0", "\4", "\3", "\0") "bad")},
    {0x00, "", "ERROR", BYTES(HEADER("\0", "\0", "\0", "\x81", "\x0f", "\0") "Unknown command")},
};

static struct binary_asked asked_of(uint8_t opcode, const char *key)
{
    struct binary_asked asked = {.opcode = opcode, .key = slice_make(key, strlen(key))};
    memcpy(&asked.opaque, "opaq", 4);
    return asked;
}

START_TEST(each_line_has_its_reply)
{
    char buffer[BINARY_REPLY_MAX];
    struct binary_stream stream;
    struct binary_asked asked = asked_of(replies[_i].opcode, replies[_i].key);
    const char *line = replies[_i].line;
    size_t len = binary_reply_line(&asked, slice_make(line, strlen(line)), &stream, buffer);
    ck_assert_uint_eq(len, replies[_i].reply_len);
    if (len > 0)
        ck_assert_mem_eq(buffer, replies[_i].reply, len);
    ck_assert(binary_stream_is_open(&stream) == (strncmp(line, "VA", 2) == 0));
}
END_TEST

/* In pieces of every size: the value goes on, its CRLF does not. */
START_TEST(a_value_is_passed_on_in_pieces)
{
    static const char data[] = "value\r\nEN\r\n";
    struct binary_asked asked = asked_of(0x00, "");
    for (size_t piece = 1; piece < sizeof data; piece++) {
        char buffer[BINARY_REPLY_MAX], passed[16];
        struct binary_stream stream;
        size_t at = 0, used = 0;
        binary_reply_line(&asked, SLICE_OF("VA 5 f0 c1"), &stream, buffer);
        while (binary_stream_is_open(&stream)) {
            struct slice pass;
            size_t printed, left = sizeof data - 1 - at;
            at += binary_stream_take(&asked, &stream, data + at, left < piece ? left : piece, &pass, &printed, buffer);
            ck_assert_uint_eq(printed, 0);
            memcpy(passed + used, pass.data, pass.len);
            used += pass.len;
        }
        ck_assert_uint_eq(at, 7);
        ck_assert_uint_eq(used, 5);
        ck_assert_mem_eq(passed, "value", 5);
    }
}
END_TEST

START_TEST(a_counter_is_a_number)
{
    static const char data[] = "18446744073709551615\r\n";
    struct binary_asked asked = asked_of(0x05, "");
    for (size_t piece = 1; piece < sizeof data; piece++) {
        char buffer[BINARY_REPLY_MAX];
        struct binary_stream stream;
        size_t at = 0, printed = 0;
        ck_assert_uint_eq(binary_reply_line(&asked, SLICE_OF("VA 20 c9"), &stream, buffer), 0);
        while (binary_stream_is_open(&stream)) {
            struct slice pass;
            size_t left = sizeof data - 1 - at;
            ck_assert_uint_eq(printed, 0);
            at += binary_stream_take(&asked, &stream, data + at, left < piece ? left : piece, &pass, &printed, buffer);
            ck_assert_uint_eq(pass.len, 0);
        }
        static const char expected[] =
            HEADER("\5", "\0", "\0", "\0", "\x08", "\x09") "\xff\xff\xff\xff\xff\xff\xff\xff";
        ck_assert_uint_eq(printed, sizeof expected - 1);
        ck_assert_mem_eq(buffer, expected, printed);
    }
}
END_TEST

START_TEST(a_copys_cas_number_matches_nowhere)
{
    char buffer[BINARY_REPLY_MAX];
    struct binary_stream stream;
    struct binary_asked asked = asked_of(0x00, "");
    asked.is_copy = true;
    binary_reply_line(&asked, SLICE_OF("VA 5 f0 c9"), &stream, buffer);
    ck_assert_mem_eq(buffer + 16, "\x80\0\0\0\0\0\0\x09", 8);
}
END_TEST

START_TEST(long_texts_fit)
{
    static char line[REPLY_LINE_MAX + 500];
    char buffer[BINARY_REPLY_MAX];
    struct binary_stream stream;
    struct binary_asked asked = asked_of(0x00, "");
    memset(line, 'x', sizeof line);
    memcpy(line, "SERVER_ERROR ", 13);
    size_t len = binary_reply_line(&asked, slice_make(line, sizeof line), &stream, buffer);
    ck_assert_uint_eq(len, BINARY_HEADER_BYTES + REPLY_LINE_MAX - 13);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("binary");
    tcase_add_loop_test(tcase, each_request_has_its_line, 0, sizeof lines / sizeof lines[0]);
    tcase_add_loop_test(tcase, bytes_are_waited_for, 0, sizeof lines / sizeof lines[0]);
    tcase_add_test(tcase, a_key_is_written_where_it_can_be);
    tcase_add_loop_test(tcase, what_cannot_be_is_refused, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tcase, lengths_that_lie);
    tcase_add_loop_test(tcase, each_line_has_its_reply, 0, sizeof replies / sizeof replies[0]);
    tcase_add_test(tcase, a_value_is_passed_on_in_pieces);
    tcase_add_test(tcase, a_counter_is_a_number);
    tcase_add_test(tcase, a_copys_cas_number_matches_nowhere);
    tcase_add_test(tcase, long_texts_fit);
    return suite_run("binary", tcase);
}
