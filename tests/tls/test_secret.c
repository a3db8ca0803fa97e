/* Tests of tls/secret: what a file or a variable gives as a password, what is refused, who frees it. */
#include "tls/secret.h"

#include "tests/support/folder.h"
#include "tests/support/suite.h"

#include <string.h>

/* Names what was found beside; none of them may quote it. */
static void expect_password(struct secret *secret, const char *error, const char *password, const char *reason)
{
    if (password == NULL) {
        ck_assert_ptr_null(secret);
        ck_assert_msg(strstr(error, reason) != NULL, "%s", error);
        ck_assert_msg(strstr(error, "sesame") == NULL, "%s", error);
        return;
    }
    ck_assert_msg(secret != NULL, "%s", error);
    ck_assert_str_eq(secret->user, "app");
    ck_assert_str_eq(secret->password, password);
    ck_assert_uint_eq(secret->password_len, strlen(password));
    secret_unref(&secret);
    ck_assert_ptr_null(secret);
}

static const struct {
    const char *content;
    size_t len; /* 0: strlen */
    const char *password;
    const char *reason;
} contents[] = {
    {"sesame", 0, "sesame", NULL},
    {"sesame\n", 0, "sesame", NULL},
    {"sesame\r\n", 0, "sesame", NULL},
    {" se same \n", 0, " se same ", NULL},
    {"", 0, NULL, "there is no password in it"},
    {"\n", 0, NULL, "there is no password in it"},
    {"sesame\n\n", 0, NULL, "more than one line"},
    {"sesame\nsesame", 0, NULL, "more than one line"},
    {"sesame\rsesame\n", 0, NULL, "more than one line"},
    {"ses\0ame\n", 8, NULL, "a NUL"},
};

START_TEST(a_file_is_one_line)
{
    char path[FOLDER_PATH_MAX], error[SECRET_ERROR_MAX] = "";
    size_t len = contents[_i].len > 0 ? contents[_i].len : strlen(contents[_i].content);
    folder_join("secret", path);
    folder_write(path, contents[_i].content, len);
    expect_password(secret_load("app", path, error), error, contents[_i].password, contents[_i].reason);
    if (contents[_i].len > 0)
        return;
    ck_assert_int_eq(setenv("RINGSIDE_TEST_PASSWORD", contents[_i].content, 1), 0);
    expect_password(secret_from_environment("app", "RINGSIDE_TEST_PASSWORD", error), error, contents[_i].password,
                    contents[_i].reason);
}
END_TEST

START_TEST(the_longest_is_taken)
{
    char path[FOLDER_PATH_MAX], error[SECRET_ERROR_MAX] = "", bytes[SECRET_PASSWORD_MAX + 100];
    memset(bytes, 'x', sizeof bytes);
    folder_join("secret", path);
    for (size_t len = SECRET_PASSWORD_MAX - 1; len <= SECRET_PASSWORD_MAX + 90; len++) {
        memcpy(bytes + len, "\r\n", 2);
        folder_write(path, bytes, len + 2);
        memset(bytes + len, 'x', 2);
        struct secret *secret = secret_load("app", path, error);
        ck_assert_msg((secret != NULL) == (len <= SECRET_PASSWORD_MAX), "%zu", len);
        ck_assert(secret == NULL || secret->password_len == len);
        ck_assert(secret != NULL || strstr(error, "longer than 1024 bytes") != NULL);
        secret_unref(&secret);
    }
}
END_TEST

START_TEST(what_is_not_there_is_told)
{
    char path[FOLDER_PATH_MAX], error[SECRET_ERROR_MAX] = "";
    folder_join("nowhere", path);
    ck_assert_ptr_null(secret_load("app", path, error));
    ck_assert(strstr(error, path) == error && strstr(error, ": cannot be read: No such file") != NULL);
    ck_assert_ptr_null(secret_load("app", folder_path, error));
    ck_assert(strstr(error, "cannot be read: Is a directory") != NULL);
    ck_assert_ptr_null(secret_from_environment("app", "RINGSIDE_TEST_NOWHERE", error));
    ck_assert_str_eq(error, "RINGSIDE_TEST_NOWHERE: there is no such environment variable");
}
END_TEST

static struct secret *make(const char *user, const char *password)
{
    char error[SECRET_ERROR_MAX];
    ck_assert_int_eq(setenv("RINGSIDE_TEST_PASSWORD", password, 1), 0);
    struct secret *secret = secret_from_environment(user, "RINGSIDE_TEST_PASSWORD", error);
    ck_assert_ptr_nonnull(secret);
    return secret;
}

START_TEST(secrets_are_compared)
{
    struct secret *a = make("a", "x"), *same = make("a", "x"), *user = make("b", "x"), *password = make("a", "y"),
                  *longer = make("a", "xx");
    ck_assert(secret_equal(a, same) && secret_equal(NULL, NULL));
    ck_assert(!secret_equal(a, user) && !secret_equal(a, password) && !secret_equal(a, longer));
    ck_assert(!secret_equal(a, NULL) && !secret_equal(NULL, a));
    struct secret *second = secret_ref(a);
    ck_assert_ptr_eq(second, a);
    secret_unref(&a);
    ck_assert_str_eq(second->password, "x");
    secret_unref(&second);
    secret_unref(&same);
    secret_unref(&user);
    secret_unref(&password);
    secret_unref(&longer);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("secret");
    folder_use(tcase);
    tcase_add_loop_test(tcase, a_file_is_one_line, 0, sizeof contents / sizeof contents[0]);
    tcase_add_test(tcase, the_longest_is_taken);
    tcase_add_test(tcase, what_is_not_there_is_told);
    tcase_add_test(tcase, secrets_are_compared);
    return suite_run("tls/secret", tcase);
}
