/*
 * Command lines other than retrievals and meta commands. The answers to refused lines are those of memcached 1.6.18,
 * but where numbers, blanks in keys, or sizes are judged more strictly here.
 */
#include "tests/wire/request_rows.h"

#define K50 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50
#define DELTA "CLIENT_ERROR invalid numeric delta argument\r\n"
#define USAGE "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"

static const struct row storage[] = {
    ROW_READY("set k 0 0 5\r\n", "set k 0 0 5", "vd", 5),
    ROW_READY("set k 4294967295 2147483647 1000\r\n", "set k 4294967295 2147483647 1000", "vd", 1000),
    ROW_READY("set k 0 -1 0\r\n", "set k 0 -1 0", "vd", 0),
    ROW_READY("set k 0 -2147483648 0\r\n", "set k 0 -2147483648 0", "vd", 0),
    ROW_READY("set k 01 00 05\r\n", "set k 01 00 05", "vd", 5),
    ROW_READY("set k 00000000001 -0000000001 00000000005\r\n", "set k 00000000001 -0000000001 00000000005", "vd", 5),
    ROW_READY("set k 0 -0 5\r\n", "set k 0 -0 5", "vd", 5),
    ROW_READY("set " K250 " 0 0 5\r\n", "set " K250 " 0 0 5", "vd", 5),
    ROW_READY("set \x80\xff 0 0 5\r\n", "set \x80\xff 0 0 5", "vd", 5),
    ROW_READY("add k 0 0 5\r\n", "add k 0 0 5", "vd", 5),
    ROW_READY("replace k 0 0 5\r\n", "replace k 0 0 5", "vd", 5),
    ROW_READY("append k 0 0 5\r\n", "append k 0 0 5", "vd", 5),
    ROW_READY("prepend k 0 0 5\r\n", "prepend k 0 0 5", "vd", 5),
    ROW_READY("cas k 0 0 5 18446744073709551615\r\n", "cas k 0 0 5 18446744073709551615", "vd", 5),
    /* not canonical */
    ROW_READY("set k 0 0 5\n", "set k 0 0 5", "d", 5),
    ROW_READY(" set k 0 0 5\r\n", "set k 0 0 5", "d", 5),
    ROW_READY("set  k 0 0 5\r\n", "set k 0 0 5", "d", 5),
    ROW_READY("set k 0 0   5 \r\n", "set k 0 0 5", "d", 5),
    ROW_READY("set k 0 0 5 noreply\r\n", "set k 0 0 5", "nd", 5),
    ROW_READY("add k 0 0 5 noreply\r\n", "add k 0 0 5", "nd", 5),
    ROW_READY("cas k 0 0 5 7 noreply\r\n", "cas k 0 0 5 7", "nd", 5),
    ROW_READY("set noreply 0 0 5\r\n", "set noreply 0 0 5", "vd", 5),
    /* one token more is passed over, unless it is a number */
    ROW_READY("set k 0 0 5 norepl\r\n", "set k 0 0 5", "d", 5),
    ROW_READY("set k 0 0 5 noreplyy\r\n", "set k 0 0 5", "d", 5),
    ROW_READY("set k 0 0 5 NOREPLY\r\n", "set k 0 0 5", "d", 5),
    ROW_READY("cas k 0 0 5 7 x\r\n", "cas k 0 0 5 7", "d", 5),
    ROW_REFUSED("set a 0 0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set my key 0 3600 5\r\n", BAD, 7),
    ROW_REFUSED("set a b c 0 3600 5\r\n", ERR, 7),
    ROW_REFUSED("cas my key 0 3600 5 77\r\n", BAD, 7),
    ROW_REFUSED("cas a 0 0 0 5 77\r\n", BAD, 7),
    ROW_REFUSED("set my key 0 3600 x noreply\r\n", ERR, 3602),
    /* counts */
    ROW_REFUSED("set\r\n", ERR, 0),
    ROW_REFUSED("set k\r\n", ERR, 0),
    ROW_REFUSED("set k 0\r\n", ERR, 0),
    ROW_REFUSED("set k 0 5\r\n", ERR, 0),
    ROW_REFUSED("set k 0 0 5 noreply x\r\n", ERR, 7),
    ROW_REFUSED("set k 0 0 5 6 noreply\r\n", ERR, 8),
    ROW_REFUSED("cas k 0 0 5\r\n", ERR, 7),
    ROW_REFUSED("set the title of a very long book of twenty words and more and more 1 2 3 4 5 6 7 8 9 0 0 5\r\n", ERR,
                7),
    /* noreply where a number is due */
    ROW_SILENT("set k 0 0 noreply\r\n", 0),
    ROW_SILENT("cas k 0 0 5 noreply\r\n", 7),
    /* keys */
    ROW_REFUSED("set " K250 "k 0 0 5\r\n", BAD, 7),
    ROW_SILENT("set " K250 "k 0 0 5 noreply\r\n", 7),
    ROW_REFUSED("set a\tb 0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set a\x7f 0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set \x01 0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set a\rb 0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set a\0b 0 0 5\r\n", BAD, 7),
    /* numbers that servers do not agree on */
    ROW_REFUSED("set k x 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k -1 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k -0 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k +1 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k 4294967296 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k 000000000001 0 5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 x 5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 2147483648 5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 -2147483649 5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 +5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 5\r\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 \t5\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 5\0\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 000000000005\r\n", BAD, 7),
    ROW_REFUSED("set k 0 0 -0\r\n", BAD, 2),
    ROW_REFUSED("set k 0 0 -1\r\n", BAD, 0),
    ROW_REFUSED("set k 0 0 -2147483648\r\n", BAD, 0),
    ROW_REFUSED("set k 0 0 x\r\n", BAD, 0),
    ROW_REFUSED("set k 0 0 5x\r\n", BAD, 0),
    ROW_REFUSED("cas k 0 0 5 x\r\n", BAD, 7),
    ROW_REFUSED("cas k 0 0 5 -1\r\n", BAD, 7),
    ROW_REFUSED("cas k 0 0 5 18446744073709551616\r\n", BAD, 7),
    /* sizes */
    ROW_REFUSED("set k 0 0 1001\r\n", LARGE, 1003),
    ROW_SILENT("set k 0 0 1001 noreply\r\n", 1003),
    ROW_REFUSED("set k 0 0 2147483645\r\n", LARGE, 2147483647),
    ROW_REFUSED("set k 0 0 2147483646\r\n", LARGE, 2147483648),
    ROW_REFUSED("set k 0 0 4294967301\r\n", LARGE, 4294967303),
    ROW_REFUSED("set k 0 0 9223372036854775807\r\n", LARGE, 9223372036854775809u),
    ROW_REFUSED("set k 0 0 9223372036854775808\r\n", BAD, 0),
    ROW_REFUSED("set k 0 0 18446744073709551616\r\n", BAD, 0),
};

static const struct row others[] = {
    ROW_READY("delete k\r\n", "delete k", "v", 0),
    ROW_READY("delete k 0\r\n", "delete k", "", 0),
    ROW_READY("delete k noreply\r\n", "delete k", "n", 0),
    ROW_READY("delete k 0 noreply\r\n", "delete k", "n", 0),
    /* memcached 1.6.40 would answer nothing to `delete noreply` */
    ROW_READY("delete noreply\r\n", "delete noreply 0", "", 0),
    ROW_READY("delete noreply noreply\r\n", "delete noreply 0", "n", 0),
    ROW_READY("delete noreply 0\r\n", "delete noreply 0", "", 0),
    ROW_REFUSED("delete\r\n", ERR, 0),
    ROW_REFUSED("delete k 1\r\n", USAGE, 0),
    ROW_REFUSED("delete k 00\r\n", USAGE, 0),
    ROW_REFUSED("delete k norepl\r\n", USAGE, 0),
    ROW_REFUSED("delete k 0 x\r\n", USAGE, 0),
    ROW_REFUSED("delete k noreply 0\r\n", USAGE, 0),
    ROW_SILENT("delete k 1 noreply\r\n", 0),
    ROW_REFUSED("delete k 0 noreply x\r\n", ERR, 0),
    ROW_REFUSED("delete " K250 "k\r\n", BAD, 0),
    ROW_REFUSED("delete a\x01\r\n", BAD, 0),

    ROW_READY("incr k 5\r\n", "incr k 5", "v", 0),
    ROW_READY("decr k 18446744073709551615\r\n", "decr k 18446744073709551615", "v", 0),
    ROW_READY("incr k +5\r\n", "incr k +5", "v", 0),
    ROW_READY("incr k 5 noreply\r\n", "incr k 5", "n", 0),
    ROW_READY("incr k 5 x\r\n", "incr k 5", "", 0),
    ROW_READY("incr noreply 5\r\n", "incr noreply 5", "v", 0),
    ROW_REFUSED("incr k\r\n", ERR, 0),
    ROW_REFUSED("incr k 5 noreply x\r\n", ERR, 0),
    ROW_REFUSED("incr k x\r\n", DELTA, 0),
    ROW_REFUSED("incr k -1\r\n", DELTA, 0),
    ROW_REFUSED("decr k 18446744073709551616\r\n", DELTA, 0),
    ROW_SILENT("incr k noreply\r\n", 0),
    ROW_SILENT("incr k x noreply\r\n", 0),
    ROW_REFUSED("incr " K250 "k x\r\n", BAD, 0),

    ROW_READY("touch k 0\r\n", "touch k 0", "v", 0),
    ROW_READY("touch k -1\r\n", "touch k -1", "v", 0),
    ROW_READY("touch k 4294967296\r\n", "touch k 4294967296", "v", 0),
    ROW_READY("touch k 0 noreply\r\n", "touch k 0", "n", 0),
    ROW_REFUSED("touch k\r\n", ERR, 0),
    ROW_REFUSED("touch k x\r\n", TIME, 0),
    ROW_REFUSED("touch k 9223372036854775808\r\n", TIME, 0),
    ROW_SILENT("touch k noreply\r\n", 0),
    ROW_REFUSED("touch k 0\0\r\n", BAD, 0),

    ROW_READY("flush_all\r\n", "flush_all", "v", 0),
    ROW_READY("flush_all 10\r\n", "flush_all 10", "v", 0),
    ROW_READY("flush_all -1\r\n", "flush_all -1", "v", 0),
    ROW_READY("flush_all noreply\r\n", "flush_all", "n", 0),
    ROW_READY("flush_all 10 noreply\r\n", "flush_all 10", "n", 0),
    ROW_READY("flush_all 10 x\r\n", "flush_all 10", "", 0),
    ROW_REFUSED("flush_all x\r\n", TIME, 0),
    ROW_REFUSED("flush_all 1 2 3\r\n", ERR, 0),
    ROW_SILENT("flush_all noreply noreply\r\n", 0),

    ROW_READY("verbosity 1\r\n", "verbosity 1", "v", 0),
    ROW_READY("verbosity 1 noreply\r\n", "verbosity 1", "n", 0),
    ROW_REFUSED("verbosity\r\n", ERR, 0),
    ROW_REFUSED("verbosity x\r\n", BAD, 0),
    ROW_SILENT("verbosity noreply\r\n", 0),
    ROW_REFUSED("verbosity 1 2 3\r\n", ERR, 0),

    ROW_READY("version\r\n", "version", "vr", 0),
    ROW_READY("version x\r\n", "version", "r", 0),
    ROW_READY("stats\r\n", "stats", "vr", 0),
    ROW_READY("stats settings\r\n", "stats settings", "vr", 0),
    ROW_READY("stats  detail dump\n", "stats detail dump", "r", 0),
    ROW_READY("quit\r\n", "quit", "v", 0),
    ROW_READY("quit x\r\n", "quit", "", 0),
    ROW_READY("mn\r\n", "mn", "v", 0),
    ROW_READY("mn x\r\n", "mn", "", 0),

    ROW_REFUSED("\r\n", ERR, 0),
    ROW_REFUSED("\n", ERR, 0),
    ROW_REFUSED("  \r\n", ERR, 0),
    ROW_REFUSED("x\r\n", ERR, 0),
    ROW_REFUSED("\r\r\n", ERR, 0),
    ROW_REFUSED("foo bar\r\n", ERR, 0),
    ROW_REFUSED("foo bar noreply\r\n", ERR, 0),
    ROW_REFUSED("GET k\r\n", ERR, 0),
    ROW_REFUSED("bget k\r\n", ERR, 0),
    ROW_REFUSED("se\0t k 0 0 5\r\n", ERR, 0),
    ROW_REFUSED("setk 0 0 5\r\n", ERR, 0),
    ROW_REFUSED("set\tk 0 0 5\r\n", ERR, 0),
    ROW_REFUSED("\x80\x01\x02\r\n", ERR, 0),
    ROW_FATAL("GET / HTTP/1.1\r\n", ERR),
    ROW_FATAL("POST / HTTP/1.0 \r\n", ERR),
    ROW_REFUSED("GET / HTTP\r\n", ERR, 0),
    ROW_REFUSED("shutdown\r\n", "CLIENT_ERROR shutdown is not available through a proxy\r\n", 0),
    ROW_REFUSED("watch fetchers\r\n", "CLIENT_ERROR watch is not available through a proxy\r\n", 0),
    ROW_REFUSED("lru_crawler metadump all\r\n", "CLIENT_ERROR lru_crawler is not available through a proxy\r\n", 0),
    ROW_REFUSED("lru mode flat\r\n", "CLIENT_ERROR lru is not available through a proxy\r\n", 0),
    ROW_REFUSED("debugtime 1\r\n", "CLIENT_ERROR debugtime is not available through a proxy\r\n", 0),
    ROW_SILENT("cache_memlimit 100 noreply\r\n", 0),
};

START_TEST(storage_lines_are_as_tabled)
{
    row_check(&storage[_i]);
}
END_TEST

START_TEST(other_lines_are_as_tabled)
{
    row_check(&others[_i]);
}
END_TEST

static struct request parse(const char *line)
{
    struct request request;
    ck_assert_int_eq(request_parse(line, strlen(line), ROW_ITEM_SIZE, &request), REQUEST_READY);
    return request;
}

static void check_slice(struct slice slice, const char *expected)
{
    ck_assert_msg(slice_equal(slice, slice_make(expected, strlen(expected))), "`%.*s` is not `%s`", (int)slice.len,
                  slice.data, expected);
}

START_TEST(arguments_are_found)
{
    check_slice(parse("stats\r\n").argument, "");
    check_slice(parse("stats detail  on \r\n").argument, "detail  on");
    check_slice(parse("flush_all\r\n").argument, "");
    check_slice(parse("flush_all noreply\r\n").argument, "");
    check_slice(parse("flush_all 10 noreply\r\n").argument, "10");
    check_slice(parse("verbosity 2 noreply\r\n").argument, "2");
}
END_TEST

START_TEST(keys_are_found)
{
    struct request request = parse("set key 1 2 3\r\n");
    check_slice(request.key, "key");
    ck_assert_uint_eq(request.key_count, 1);
    check_slice(parse("delete  key 0\r\n").key, "key");
    check_slice(parse("incr key 7\r\n").key, "key");
    check_slice(parse("touch key 7\r\n").key, "key");
    ck_assert_uint_eq(parse("flush_all\r\n").key_count, 0);
    ck_assert_uint_eq(parse("version\r\n").key_count, 0);
}
END_TEST

START_TEST(the_item_size_is_the_largest_value)
{
    struct request request;
    static const char line[] = "set k 0 0 2147483645\r\n";
    ck_assert_int_eq(request_parse(line, sizeof(line) - 1, UINT64_MAX, &request), REQUEST_READY);
    static const char over[] = "set k 0 0 2147483646\r\n";
    ck_assert_int_eq(request_parse(over, sizeof(over) - 1, UINT64_MAX, &request), REQUEST_REFUSED);
    static const char none[] = "set k 0 0 0\r\n";
    ck_assert_int_eq(request_parse(none, sizeof(none) - 1, 0, &request), REQUEST_READY);
    static const char one[] = "set k 0 0 1\r\n";
    ck_assert_int_eq(request_parse(one, sizeof(one) - 1, 0, &request), REQUEST_REFUSED);
}
END_TEST

/* "touch k 000...0": count bytes with the line's end. */
static char *line_of(size_t count, const char *start)
{
    char *line = malloc(count);
    ck_assert_ptr_nonnull(line);
    memset(line, ' ', count);
    memcpy(line, start, strlen(start));
    memcpy(line + count - 2, "\r\n", 2);
    return line;
}

START_TEST(a_line_has_a_largest_length)
{
    struct request request;
    char *line = line_of(REQUEST_LINE_MAX, "touch k 0");
    ck_assert_int_eq(request_parse(line, REQUEST_LINE_MAX, 0, &request), REQUEST_READY);
    ck_assert_int_eq(request_parse(line, REQUEST_LINE_MAX - 1, 0, &request), REQUEST_PARTIAL);
    free(line);
    line = line_of(REQUEST_LINE_MAX + 1, "touch k 0");
    /* whether or not the end is in sight */
    for (size_t len = REQUEST_LINE_MAX; len <= REQUEST_LINE_MAX + 1; len++) {
        ck_assert_int_eq(request_parse(line, len, 0, &request), REQUEST_FATAL);
        check_slice(request.error, LONG);
    }
    free(line);
}
END_TEST

START_TEST(an_unknown_line_has_a_largest_length_too)
{
    static const char *const starts[] = {"", "foo", "mg k", "set k 0 0 5", "getx a"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct request request;
        char *line = line_of(4000, starts[i]);
        for (size_t len = REQUEST_LINE_MAX; len <= 4000; len += 976) {
            ck_assert_int_eq(request_parse(line, len, 0, &request), REQUEST_FATAL);
            check_slice(request.error, LONG);
        }
        free(line);
    }
}
END_TEST

START_TEST(noreply_swallows_every_answer)
{
    struct request request = parse("set k 0 0 5 noreply\r\n");
    for (unsigned code = 0; code <= REPLY_CODE_SERVER_ERROR; code++)
        ck_assert(request_swallows(&request, (enum reply_code)code));
    request = parse("set k 0 0 5\r\n");
    for (unsigned code = 0; code <= REPLY_CODE_SERVER_ERROR; code++)
        ck_assert(!request_swallows(&request, (enum reply_code)code));
}
END_TEST

START_TEST(the_route_key_of_a_plain_request_is_its_key)
{
    char buffer[KEY_LEN_MAX];
    struct request request = parse("set Zm9v 0 0 5\r\n");
    check_slice(request_route_key(&request, buffer), "Zm9v");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/request");
    TCase *tcase = tcase_create("classic");
    tcase_add_loop_test(tcase, storage_lines_are_as_tabled, 0, (int)(sizeof(storage) / sizeof(storage[0])));
    tcase_add_loop_test(tcase, other_lines_are_as_tabled, 0, (int)(sizeof(others) / sizeof(others[0])));
    tcase_add_test(tcase, arguments_are_found);
    tcase_add_test(tcase, keys_are_found);
    tcase_add_test(tcase, the_item_size_is_the_largest_value);
    tcase_add_test(tcase, a_line_has_a_largest_length);
    tcase_add_test(tcase, an_unknown_line_has_a_largest_length_too);
    tcase_add_test(tcase, noreply_swallows_every_answer);
    tcase_add_test(tcase, the_route_key_of_a_plain_request_is_its_key);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
