/* Logins as memcached's ASCII authentication has them: the command's line, and the data block. */
#include "tests/support/suite.h"
#include "wire/credentials.h"

#include <string.h>

#define BODY_MAX 100

static const struct {
    const char *bytes;
    enum credentials_status status;
    size_t line_bytes, total_bytes;
} rows[] = {
    {"set k 0 0 3\r\na b\r\n", CREDENTIALS_READY, 13, 18},
    {"set k 0 0 3\na b\r\n", CREDENTIALS_READY, 12, 17},
    {"set k 0 0 3\r\na b\r\nget k\r\n", CREDENTIALS_READY, 13, 18},
    {"set k 0 0 3 noreply and more\r\na bxy", CREDENTIALS_READY, 30, 35},
    {"  set  k 0 0 3 \r\na b\r\n", CREDENTIALS_READY, 17, 22},
    {"set k x y 3\r\na b\r\n", CREDENTIALS_READY, 13, 18},
    {"set k 0 0 0\r\n\r\n", CREDENTIALS_READY, 13, 15},
    {"set k 0 0 +3\r\na b\r\n", CREDENTIALS_READY, 14, 19},
    {"set k 0 0 00000000003\r\na b\r\n", CREDENTIALS_READY, 23, 28},
    {"", CREDENTIALS_PARTIAL, 0, 0},
    {"set k 0 0 3\r", CREDENTIALS_PARTIAL, 0, 0},
    {"set k 0 0 3\r\n", CREDENTIALS_PARTIAL, 13, 18},
    {"set k 0 0 3\r\na b\r", CREDENTIALS_PARTIAL, 13, 18},
    {"set k 0 0 100\r\n", CREDENTIALS_PARTIAL, 15, 117},
    {"set k 0 0 101\r\n", CREDENTIALS_LARGE, 15, 0},
    {"set k 0 0 18446744073709551615\r\n", CREDENTIALS_LARGE, 32, 0},
    {"set k 0 0 9223372036854775807\r\n", CREDENTIALS_LARGE, 31, 0},
    {"\n", CREDENTIALS_OTHER, 1, 0},
    {"\r\n", CREDENTIALS_OTHER, 2, 0},
    {"set k 0 0\r\n", CREDENTIALS_OTHER, 11, 0},
    {"set k 0 0 \r\n", CREDENTIALS_OTHER, 12, 0},
    {"set k 0 0 -3\r\n", CREDENTIALS_OTHER, 14, 0},
    {"set k 0 0 3x\r\n", CREDENTIALS_OTHER, 14, 0},
    {"add k 0 0 3\r\na b\r\n", CREDENTIALS_OTHER, 13, 0},
    {"Set k 0 0 3\r\na b\r\n", CREDENTIALS_OTHER, 13, 0},
    {"set\tk 0 0 3\r\na b\r\n", CREDENTIALS_OTHER, 13, 0},
    {"get k\r\nset k 0 0 3\r\n", CREDENTIALS_OTHER, 7, 0},
};

START_TEST(lines_are_as_tabled)
{
    struct credentials credentials;
    const char *bytes = rows[_i].bytes;
    ck_assert_int_eq(credentials_parse(bytes, strlen(bytes), BODY_MAX, &credentials), rows[_i].status);
    ck_assert_uint_eq(credentials.line_bytes, rows[_i].line_bytes);
    ck_assert_uint_eq(credentials.total_bytes, rows[_i].total_bytes);
    if (rows[_i].status != CREDENTIALS_READY)
        return;
    ck_assert_ptr_eq(credentials.body.data, bytes + credentials.line_bytes);
    ck_assert_uint_eq(credentials.body.len, credentials.total_bytes - credentials.line_bytes);
}
END_TEST

START_TEST(a_line_without_an_end_is_waited_for_up_to_its_limit)
{
    char bytes[CREDENTIALS_LINE_MAX + 1];
    struct credentials credentials;
    memset(bytes, 'x', sizeof bytes);
    ck_assert_int_eq(credentials_parse(bytes, sizeof bytes - 1, BODY_MAX, &credentials), CREDENTIALS_PARTIAL);
    ck_assert_int_eq(credentials_parse(bytes, sizeof bytes, BODY_MAX, &credentials), CREDENTIALS_ENDLESS);
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "set k 0 0 3", 11);
    bytes[sizeof bytes - 1] = '\n';
    ck_assert_int_eq(credentials_parse(bytes, sizeof bytes, BODY_MAX, &credentials), CREDENTIALS_OTHER);
    ck_assert_uint_eq(credentials.line_bytes, sizeof bytes);
    bytes[sizeof bytes - 2] = '\n';
    ck_assert_int_eq(credentials_parse(bytes, sizeof bytes - 1, BODY_MAX, &credentials), CREDENTIALS_PARTIAL);
    ck_assert_uint_eq(credentials.total_bytes, sizeof bytes - 1 + 5);
}
END_TEST

#define TERMINATION "CLIENT_ERROR bad command line termination\r\n"
#define FORMAT "CLIENT_ERROR bad authentication token format\r\n"

static const struct {
    const char *body, *error, *name, *password;
} bodies[] = {
    {"app secret\r\n", "", "app", "secret"},
    {"  app   secret  \r\n", "", "app", "secret"},
    {"app secret more\r\n", "", "app", "secret"},
    {"app se\tcret\r\n", "", "app", "se\tcret"},
    {"app secret\n\r\n", "", "app", "secret\n"},
    {"app secret\n\n", TERMINATION, NULL, NULL},
    {"app secretxy", TERMINATION, NULL, NULL},
    {"\n\r", TERMINATION, NULL, NULL},
    {"\r\n", FORMAT, NULL, NULL},
    {"   \r\n", FORMAT, NULL, NULL},
    {"app\r\n", FORMAT, NULL, NULL},
    {"app \r\n", FORMAT, NULL, NULL},
    {"app:secret\r\n", FORMAT, NULL, NULL},
};

static void expect_slice(struct slice got, const char *expected)
{
    ck_assert_uint_eq(got.len, strlen(expected));
    ck_assert_mem_eq(got.data, expected, got.len);
}

START_TEST(bodies_are_as_tabled)
{
    struct slice name, password;
    struct slice body = slice_make(bodies[_i].body, strlen(bodies[_i].body));
    struct slice error = credentials_split(body, &name, &password);
    ck_assert_uint_eq(error.len, strlen(bodies[_i].error));
    if (error.len > 0) {
        ck_assert_mem_eq(error.data, bodies[_i].error, error.len);
        return;
    }
    expect_slice(name, bodies[_i].name);
    expect_slice(password, bodies[_i].password);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("credentials");
    tcase_add_loop_test(tcase, lines_are_as_tabled, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(tcase, a_line_without_an_end_is_waited_for_up_to_its_limit);
    tcase_add_loop_test(tcase, bodies_are_as_tabled, 0, (int)(sizeof bodies / sizeof bodies[0]));
    return suite_run("wire/credentials", tcase);
}
