/* The two readings of a number, the search for a key's end, and base64: what the parsers are built from. */
#include "wire/base64.h"
#include "wire/number.h"
#include "wire/scan.h"
#include "wire/token.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct slice text(const char *string)
{
    return slice_make(string, strlen(string));
}

static const struct {
    const char *token;
    bool u64, i64, plain_u32, plain_i32, plain_u64;
} numbers[] = {
    {"0", true, true, true, true, true},
    {"-0", true, true, false, true, false},
    {"5", true, true, true, true, true},
    {"-5", false, true, false, true, false},
    {"+5", true, true, false, false, false},
    {"05", true, true, true, true, true},
    {"00000000005", true, true, true, true, true},
    {"000000000005", true, true, false, false, true},
    {"00000000000000000005", true, true, false, false, true},
    {"000000000000000000005", true, true, false, false, false},
    {"00000000000000000000000000000005", true, true, false, false, false},
    {"000000000000000000000000000000005", false, false, false, false, false},
    {"2147483647", true, true, true, true, true},
    {"2147483648", true, true, true, false, true},
    {"-2147483648", false, true, false, true, false},
    {"-2147483649", false, true, false, false, false},
    {"4294967295", true, true, true, false, true},
    {"4294967296", true, true, false, false, true},
    {"9223372036854775807", true, true, false, false, true},
    {"9223372036854775808", true, false, false, false, true},
    {"-9223372036854775808", false, true, false, false, false},
    {"-9223372036854775809", true, false, false, false, false},
    {"18446744073709551615", true, false, false, false, true},
    {"18446744073709551616", false, false, false, false, false},
    {"-18446744073709551615", true, false, false, false, false},
    {"", false, false, false, false, false},
    {"-", false, false, false, false, false},
    {"+", false, false, false, false, false},
    {"--5", false, false, false, false, false},
    {"x", false, false, false, false, false},
    {"5x", false, false, false, false, false},
    {"1e3", false, false, false, false, false},
    {"0x10", false, false, false, false, false},
    {"5.", false, false, false, false, false},
    {"\t5", true, true, false, false, false},
    {"\v\f5", true, true, false, false, false},
    {"5\t", true, true, false, false, false},
    {"5\r", true, true, false, false, false},
    {"5\rx", true, true, false, false, false},
    {"\t", false, false, false, false, false},
};

START_TEST(readings_are_as_tabled)
{
    struct slice token = text(numbers[_i].token);
    ck_assert_msg(number_is_u64(token) == numbers[_i].u64, "u64 of `%s`", numbers[_i].token);
    ck_assert_msg(number_is_i64(token) == numbers[_i].i64, "i64 of `%s`", numbers[_i].token);
    ck_assert_msg(number_is_plain_u32(token) == numbers[_i].plain_u32, "plain u32 of `%s`", numbers[_i].token);
    ck_assert_msg(number_is_plain_i32(token) == numbers[_i].plain_i32, "plain i32 of `%s`", numbers[_i].token);
    ck_assert_msg(number_is_plain_u64(token) == numbers[_i].plain_u64, "plain u64 of `%s`", numbers[_i].token);
}
END_TEST

/* The wide reading is strtoull's and strtoll's, but for tokens that are too long. */
START_TEST(the_wide_reading_is_that_of_the_c_library)
{
    static const char alphabet[] = "0123456789999-+\t\rx";
    srand(20261120);
    for (int round = 0; round < 200000; round++) {
        char token[25] = {0};
        size_t len = 1 + (size_t)rand() % 23;
        for (size_t i = 0; i < len; i++)
            token[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        char *end;
        errno = 0;
        unsigned long long u = strtoull(token, &end, 10);
        bool good = errno == 0 && end != token && (*end == '\0' || *end == '\t' || *end == '\r');
        bool negative = strchr(token, '-') != NULL && strchr(token, '-') < end;
        ck_assert_msg(number_is_u64(text(token)) == (good && !(negative && (long long)u < 0)), "u64 of `%s`", token);
        errno = 0;
        strtoll(token, &end, 10);
        good = errno == 0 && end != token && (*end == '\0' || *end == '\t' || *end == '\r');
        ck_assert_msg(number_is_i64(text(token)) == good, "i64 of `%s`", token);
    }
}
END_TEST

/* Every byte, at every place of a key, and at every place of the word that is looked at. */
START_TEST(a_key_ends_at_the_first_byte_that_is_none)
{
    for (size_t len = 0; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char *key = malloc(len);
                memset(key, 'k', len);
                key[at] = (char)byte;
                bool good = byte > ' ' && byte != 0x7f;
                size_t found = (size_t)(scan_key(key, key + len) - key);
                ck_assert_msg(found == (good ? len : at), "byte %02x at %zu of %zu: %zu", byte, at, len, found);
                free(key);
            }
        }
    }
}
END_TEST

START_TEST(a_key_of_high_bytes_has_no_end_within)
{
    char key[64];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (char)(0x80 + i * 2);
    ck_assert_ptr_eq(scan_key(key, key + sizeof(key)), key + sizeof(key));
}
END_TEST

static const struct {
    const char *encoded, *decoded;
    size_t len;
} codes[] = {
    {"Zm9v", "foo", 3},
    {"Zm9vYg==", "foob", 4},
    {"Zm9vYmE=", "fooba", 5},
    {"Zm9vYmFy", "foobar", 6},
    {"AA==", "\0", 1},
    {"/+8=", "\xff\xef", 2},
    {"Z!m9v", "foo", 3},         /* passed over */
    {"Zm9vYg==Zm9v", "foob", 4}, /* ends with its padding */
    {"Zm9", "", 0},
    {"Zm9vZ", "", 0},
    {"====", "", 0},
    {"A===", "", 0},
    {"", "", 0},
    {"!!!!", "", 0},
};

START_TEST(base64_decodes_as_tabled)
{
    char out[16];
    size_t len = base64_decode(text(codes[_i].encoded), out);
    ck_assert_msg(len == codes[_i].len, "`%s` has %zu bytes", codes[_i].encoded, len);
    ck_assert_mem_eq(out, codes[_i].decoded, len);
}
END_TEST

START_TEST(tokens_are_cut_at_spaces_alone)
{
    struct tokens tokens;
    tokens_split(text("a bc\td  e"), &tokens);
    ck_assert_uint_eq(tokens.count, 3);
    ck_assert(!tokens.single_spaced);
    ck_assert(slice_equal(tokens.at[1], text("bc\td")));
    ck_assert(slice_equal(tokens.at[2], text("e")));
    tokens_split(text("a b c"), &tokens);
    ck_assert(tokens.single_spaced);
}
END_TEST

START_TEST(tokens_stop_at_their_limit)
{
    struct tokens tokens;
    tokens_split(text("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23"), &tokens);
    ck_assert_uint_eq(tokens.count, 23);
    tokens_split(text("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25  26"), &tokens);
    ck_assert_uint_eq(tokens.count, TOKENS_MAX);
    ck_assert(tokens.single_spaced);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/number");
    TCase *tcase = tcase_create("parts");
    tcase_add_loop_test(tcase, readings_are_as_tabled, 0, (int)(sizeof(numbers) / sizeof(numbers[0])));
    tcase_add_test(tcase, the_wide_reading_is_that_of_the_c_library);
    tcase_add_test(tcase, a_key_ends_at_the_first_byte_that_is_none);
    tcase_add_test(tcase, a_key_of_high_bytes_has_no_end_within);
    tcase_add_loop_test(tcase, base64_decodes_as_tabled, 0, (int)(sizeof(codes) / sizeof(codes[0])));
    tcase_add_test(tcase, tokens_are_cut_at_spaces_alone);
    tcase_add_test(tcase, tokens_stop_at_their_limit);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
