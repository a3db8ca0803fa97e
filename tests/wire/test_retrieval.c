/* get gets gat gats: whole lines, and lines that come in parts. */
#include "tests/wire/request_rows.h"

#define K50 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50
#define END "END\r\n"

static const struct row rows[] = {
    ROW_READY("get k\r\n", "get k", "vr", 0),
    ROW_READY("get key:12345\r\n", "get key:12345", "vr", 0),
    ROW_READY("get " K250 "\r\n", "get " K250, "vr", 0),
    ROW_READY("gets k\r\n", "gets k", "vr", 0),
    ROW_READY("get a b c\r\n", "get a b c", "vr", 0),
    ROW_READY("gets a " K250 " c\r\n", "gets a " K250 " c", "vr", 0),
    ROW_READY("get a a a\r\n", "get a a a", "vr", 0),
    ROW_READY("get noreply\r\n", "get noreply", "vr", 0),
    ROW_READY("get k noreply\r\n", "get k noreply", "vr", 0),
    ROW_READY("get \x80\xff\xfe\r\n", "get \x80\xff\xfe", "vr", 0),
    ROW_READY("get k\n", "get k", "r", 0),
    ROW_READY("get k \r\n", "get k", "r", 0),
    ROW_READY("  get k\r\n", "get k", "r", 0),
    ROW_READY("get  k\r\n", "get k", "r", 0),
    ROW_READY("get a  b\r\n", "get a b", "r", 0),
    ROW_READY("get a b  \n", "get a b", "r", 0),
    ROW_READY("gat 0 k\r\n", "gat 0 k", "v", 0),
    ROW_READY("gats -1 a b\r\n", "gats -1 a b", "v", 0),
    ROW_READY("gat +100 k\r\n", "gat +100 k", "v", 0),
    ROW_READY("gat 9223372036854775807 k\r\n", "gat 9223372036854775807 k", "v", 0),
    ROW_READY("gat  100 k\r\n", "gat 100 k", "", 0),
    ROW_READY("gat 100  k\r\n", "gat 100 k", "", 0),
    ROW_READY("gat 100 a  b\r\n", "gat 100 a b", "", 0),

    ROW_REFUSED("get\r\n", ERR, 0),
    ROW_REFUSED("get \r\n", ERR, 0),
    ROW_REFUSED("gets\n", ERR, 0),
    ROW_REFUSED("gat\r\n", ERR, 0),
    ROW_REFUSED("gat 100\r\n", END, 0),
    ROW_REFUSED("gats 100 \r\n", END, 0),
    ROW_REFUSED("gat x\r\n", TIME, 0),
    ROW_REFUSED("gat x k\r\n", TIME, 0),
    ROW_REFUSED("gat k\r\n", TIME, 0),
    ROW_REFUSED("gat 9223372036854775808 k\r\n", TIME, 0),
    ROW_REFUSED("gat 1\0 k\r\n", TIME, 0),
    ROW_REFUSED("gat                                                                    100 k\r\n", BAD, 0),
    ROW_REFUSED("get " K250 "k\r\n", BAD, 0),
    ROW_REFUSED("get a " K250 "k b\r\n", BAD, 0),
    ROW_REFUSED("get a\tb\r\n", BAD, 0),
    ROW_REFUSED("get a\x7f\r\n", BAD, 0),
    ROW_REFUSED("get a \x01 b\r\n", BAD, 0),
    ROW_REFUSED("get a\0b\r\n", BAD, 0),
    ROW_REFUSED("get \r k\r\n", BAD, 0),
    ROW_REFUSED("get k\r\r\n", BAD, 0),
    ROW_REFUSED("get a\rb\n", BAD, 0),
    ROW_REFUSED("gat 100 a\x02\r\n", BAD, 0),
};

START_TEST(lines_are_as_tabled)
{
    row_check(&rows[_i]);
}
END_TEST

static void check_slice(struct slice slice, const char *expected)
{
    ck_assert_msg(slice_equal(slice, slice_make(expected, strlen(expected))), "`%.*s` is not `%s`", (int)slice.len,
                  slice.data, expected);
}

/* Every key that keys holds, in order, each with '\n' behind it, appended at *text. */
static void append_keys(struct slice keys, uint32_t count, char *text)
{
    struct slice key;
    uint32_t found = 0;
    while (request_next_key(&keys, &key)) {
        strncat(text, key.data, key.len);
        strcat(text, "\n");
        found++;
    }
    ck_assert_uint_eq(found, count);
}

START_TEST(keys_and_prefix_are_found)
{
    struct request request;
    char text[64] = "";
    static const char line[] = " gat  100  a  bc d \r\n";
    ck_assert_int_eq(request_parse(line, sizeof(line) - 1, 0, &request), REQUEST_READY);
    check_slice(request.prefix, "gat  100");
    check_slice(request.keys, "a  bc d");
    check_slice(request.key, "a");
    ck_assert_uint_eq(request.key_count, 3);
    append_keys(request.keys, 3, text);
    ck_assert_str_eq(text, "a\nbc\nd\n");
    static const char fast[] = "gets key\r\n";
    ck_assert_int_eq(request_parse(fast, sizeof(fast) - 1, 0, &request), REQUEST_READY);
    check_slice(request.prefix, "gets");
    check_slice(request.keys, "key");
}
END_TEST

/* "get key0000 key0001 ...": count keys. Returns the length; the caller frees *line_out. */
static size_t long_line(const char *prefix, unsigned count, const char *end, char **line_out, char **keys_out)
{
    char *line = malloc(strlen(prefix) + count * 9 + 8);
    char *keys = calloc(1, count * 9 + 1);
    ck_assert(line != NULL && keys != NULL);
    size_t len = (size_t)sprintf(line, "%s", prefix), keys_len = 0;
    for (unsigned i = 0; i < count; i++) {
        len += (size_t)sprintf(line + len, "%skey%04u", i % 97 == 96 ? "  " : " ", i);
        keys_len += (size_t)sprintf(keys + keys_len, "key%04u\n", i);
    }
    len += (size_t)sprintf(line + len, "%s", end);
    *line_out = line;
    *keys_out = keys;
    return len;
}

START_TEST(a_line_in_sight_may_have_any_length)
{
    char *line, *keys;
    size_t len = long_line("gets", 5000, "\r\n", &line, &keys);
    struct request request;
    ck_assert_int_eq(request_parse(line, len, 0, &request), REQUEST_READY);
    ck_assert_uint_eq(request.key_count, 5000);
    ck_assert_uint_eq(request.line_bytes, len);
    char *found = calloc(1, strlen(keys) + 1);
    append_keys(request.keys, 5000, found);
    ck_assert_str_eq(found, keys);
    free(found);
    free(line);
    free(keys);
}
END_TEST

/* What a client's connection does with a line that comes step bytes at a time. */
static enum request_status feed(const char *line, size_t len, size_t step, char *found)
{
    struct request request;
    enum request_status status = REQUEST_PARTIAL;
    size_t used = 0;
    bool begun = false;
    for (size_t seen = 0; seen < len;) {
        seen = len - seen < step ? len : seen + step;
        for (;;) {
            char *part = row_copy(line + used, seen - used);
            status = begun ? request_parse_more_keys(part, seen - used, &request)
                           : request_parse(part, seen - used, 0, &request);
            if (status == REQUEST_PARTIAL) {
                free(part);
                break;
            }
            ck_assert_int_eq(request.verb, VERB_GETS);
            if (status == REQUEST_KEYS || status == REQUEST_READY)
                append_keys(request.keys, request.key_count, found);
            used += request.line_bytes;
            begun = true;
            free(part);
            if (status != REQUEST_KEYS)
                return status;
            ck_assert_uint_gt(request.key_count, 0);
        }
        ck_assert_uint_lt(seen - used, REQUEST_LINE_MAX);
    }
    return status;
}

START_TEST(a_long_line_is_the_same_in_any_parts)
{
    static const char *const ends[] = {"\r\n", "\n", " \r\n", "    \n"};
    char *line, *keys;
    size_t len = long_line("  gets", 1200, ends[_i], &line, &keys);
    char *found = malloc(strlen(keys) + 1);
    for (size_t step = 1; step < 5000; step += step < 40 ? 1 : 331) {
        found[0] = '\0';
        ck_assert_int_eq(feed(line, len, step, found), REQUEST_READY);
        ck_assert_str_eq(found, keys);
    }
    free(found);
    free(line);
    free(keys);
}
END_TEST

START_TEST(a_wrong_key_in_a_later_part_ends_the_line)
{
    static const char *const bad[] = {"a\tb", K250 "k", "\x7f", "a\rb"};
    char *line, *keys;
    size_t len = long_line("gets", 1200, "", &line, &keys);
    line = realloc(line, len + 600);
    len += (size_t)sprintf(line + len, " %s tail\r\n", bad[_i]);
    char *found = malloc(strlen(keys) + 1);
    for (size_t step = 1; step < 5000; step += step < 40 ? 1 : 331) {
        found[0] = '\0';
        enum request_status status = feed(line, len, step, found);
        ck_assert(status == REQUEST_REFUSED || status == REQUEST_FATAL);
        ck_assert_mem_eq(found, keys, strlen(found));
    }
    free(found);
    free(line);
    free(keys);
}
END_TEST

START_TEST(later_parts_answer_as_promised)
{
    struct request more = {.verb = VERB_GET};
    ck_assert_int_eq(request_parse_more_keys("\r\n", 2, &more), REQUEST_READY);
    ck_assert_uint_eq(more.key_count, 0);
    ck_assert_uint_eq(more.line_bytes, 2);
    ck_assert_int_eq(request_parse_more_keys("\n", 1, &more), REQUEST_READY);
    ck_assert_uint_eq(more.line_bytes, 1);
    ck_assert_int_eq(request_parse_more_keys(" a b\r\nget c\r\n", 13, &more), REQUEST_READY);
    ck_assert_uint_eq(more.key_count, 2);
    ck_assert_uint_eq(more.line_bytes, 6);
    check_slice(more.keys, "a b");
    ck_assert_int_eq(request_parse_more_keys(" a b", 4, &more), REQUEST_KEYS);
    ck_assert_uint_eq(more.key_count, 1);
    ck_assert_uint_eq(more.line_bytes, 2);
    ck_assert_int_eq(request_parse_more_keys(" a", 2, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(" a\r", 3, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys("", 0, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys("\r", 1, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(" a \x01\r\n", 6, &more), REQUEST_REFUSED);
    check_slice(more.error, BAD);
    ck_assert_uint_eq(more.line_bytes, 6);
    ck_assert_int_eq(request_parse_more_keys(" a \x01 ", 5, &more), REQUEST_KEYS);
    ck_assert_uint_eq(more.line_bytes, 2);
    ck_assert_int_eq(request_parse_more_keys(" \x01 ", 3, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(" \x01 b\r\n", 6, &more), REQUEST_REFUSED);
    check_slice(more.error, BAD);
    ck_assert_uint_eq(more.line_bytes, 6);
    ck_assert_int_eq(request_parse_more_keys(" " K250, 251, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(" " K250 "k", 252, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(" " K250 "k\n", 253, &more), REQUEST_REFUSED);
    check_slice(more.error, BAD);
    char wrong[REQUEST_LINE_MAX];
    memset(wrong, ' ', sizeof(wrong));
    wrong[1] = '\x01';
    ck_assert_int_eq(request_parse_more_keys(wrong, sizeof(wrong) - 1, &more), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(wrong, sizeof(wrong), &more), REQUEST_FATAL);
    check_slice(more.error, BAD);
}
END_TEST

static enum request_status parse_spaces(const char *start, size_t len, struct request *request_out)
{
    char *line = malloc(len);
    memset(line, ' ', len);
    memcpy(line, start, strlen(start));
    enum request_status status = request_parse(line, len, 0, request_out);
    free(line);
    return status;
}

START_TEST(a_line_without_keys_may_not_go_on_for_ever)
{
    static const char *const starts[] = {"get", "gets ", "gat", "gat 100", "get \r", ""};
    struct request request;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        ck_assert_int_eq(parse_spaces(starts[i], REQUEST_LINE_MAX - 1, &request), REQUEST_PARTIAL);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(parse_spaces(starts[i], REQUEST_LINE_MAX, &request), REQUEST_FATAL);
        check_slice(request.error, LONG);
    }
    ck_assert_int_eq(parse_spaces("get k", REQUEST_LINE_MAX, &request), REQUEST_KEYS);
    ck_assert_uint_eq(request.key_count, 1);
    ck_assert_uint_eq(request.line_bytes, 5);
    ck_assert_int_eq(parse_spaces("gat 5 k", REQUEST_LINE_MAX, &request), REQUEST_KEYS);
    ck_assert_int_eq(parse_spaces("gat x k", REQUEST_LINE_MAX, &request), REQUEST_FATAL);
    check_slice(request.error, TIME);
    ck_assert_int_eq(parse_spaces("get \x01", REQUEST_LINE_MAX, &request), REQUEST_FATAL);
    check_slice(request.error, BAD);
    char spaces[REQUEST_LINE_MAX];
    memset(spaces, ' ', sizeof(spaces));
    ck_assert_int_eq(request_parse_more_keys(spaces, sizeof(spaces) - 1, &request), REQUEST_PARTIAL);
    ck_assert_int_eq(request_parse_more_keys(spaces, sizeof(spaces), &request), REQUEST_FATAL);
    check_slice(request.error, LONG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/retrieval");
    TCase *tcase = tcase_create("retrieval");
    tcase_add_loop_test(tcase, lines_are_as_tabled, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_test(tcase, keys_and_prefix_are_found);
    tcase_add_test(tcase, a_line_in_sight_may_have_any_length);
    tcase_add_loop_test(tcase, a_long_line_is_the_same_in_any_parts, 0, 4);
    tcase_add_loop_test(tcase, a_wrong_key_in_a_later_part_ends_the_line, 0, 4);
    tcase_add_test(tcase, later_parts_answer_as_promised);
    tcase_add_test(tcase, a_line_without_keys_may_not_go_on_for_ever);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
