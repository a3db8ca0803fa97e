/*
 * Tests of tls/users and tls/password_hash: what a file may be, what a password makes, and that an unknown name costs what
 * a known one does: every call of scrypt is counted here, on its way to OpenSSL.
 */
#include "tls/users.h"

#include "tests/support/suite.h"
#include "tls/password_hash.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Made by Python's hashlib.scrypt; the first is the example of passlib's documentation. */
#define PASSLIB \
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E" /* password */
#define SECRET "$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ"                      /* secret */
#define SECRET_17 "$scrypt$ln=11,r=2,p=3$c2FsdHNhbHQ$MA5xXUEEKyR+4p0LKEKlYzw"
#define HUNTER "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$xhygCB++/lnqkJuXyqpuqIwyXp1fZuC+q3d168khIUA" /* hunter2 */
#define KEYS                                                                                    \
    "$scram-sha-256$i=4096$W22ZaJ0SNY7soEsUEjb6gQ$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY$" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU" /* pencil */
#define EMPTY "$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$Sqpn3ZIAsa/E9iZiemwB9g"

typedef int scrypt_fn(const char *, size_t, const unsigned char *, size_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      unsigned char *, size_t);

static unsigned calls;
static uint64_t last_n, last_r, last_p;

int EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt, size_t saltlen, uint64_t N, uint64_t r,
                   uint64_t p, uint64_t maxmem, unsigned char *key, size_t keylen)
{
    scrypt_fn *next;
    *(void **)&next = dlsym(RTLD_NEXT, "EVP_PBE_scrypt");
    ck_assert_ptr_nonnull(*(void **)&next);
    calls++;
    last_n = N;
    last_r = r;
    last_p = p;
    return next(pass, passlen, salt, saltlen, N, r, p, maxmem, key, keylen);
}

static struct slice of(const char *string)
{
    return slice_make(string, strlen(string));
}

static struct users *good(const char *text)
{
    struct users_errors errors;
    struct users *users = users_parse(of(text), &errors);
    ck_assert_msg(users != NULL, "%s: line %zu: %s", text, errors.items[0].line, errors.items[0].text);
    ck_assert_uint_eq(errors.count, 0);
    return users;
}

static bool lets_in(const struct users *users, const char *name, const char *password)
{
    return users_verify(users, of(name), of(password));
}

START_TEST(names_and_passwords)
{
    struct users *users =
        good("# who may come\n\napp:" SECRET "\r\n  bob:" HUNTER "\t\n#eve:" SECRET "\nzoe:" SECRET_17);
    ck_assert_uint_eq(users_count(users), 3);
    ck_assert_str_eq(users_find(users, of("app")), "app");
    ck_assert_str_eq(users_find(users, of("zoe")), "zoe");
    ck_assert_ptr_null(users_find(users, of("eve")));
    ck_assert_ptr_null(users_find(users, of("ap")));
    ck_assert_ptr_null(users_find(users, of("appp")));
    ck_assert_ptr_null(users_find(users, of("")));
    ck_assert(lets_in(users, "app", "secret"));
    ck_assert(lets_in(users, "bob", "hunter2"));
    ck_assert(lets_in(users, "zoe", "secret"));
    ck_assert(!lets_in(users, "app", "hunter2"));
    ck_assert(!lets_in(users, "app", "secre"));
    ck_assert(!lets_in(users, "app", "secret "));
    ck_assert(!lets_in(users, "app", ""));
    ck_assert(!lets_in(users, "eve", "secret"));
    ck_assert(!users_verify(users, of("app"), slice_make("secret\0", 7)));
    users_unref(&users);
    ck_assert_ptr_null(users);
}
END_TEST

START_TEST(many_names_are_all_found)
{
    enum { COUNT = 500 };
    struct text text;
    char name[32];
    text_init(&text);
    for (int i = 0; i < COUNT; i++)
        text_appendf(&text, "user%d:" SECRET "\n", i * 7919 % COUNT);
    struct users *users = good(text.data);
    ck_assert_uint_eq(users_count(users), COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "user%d", i);
        ck_assert_str_eq(users_find(users, of(name)), name);
    }
    users_unref(&users);
    text_fini(&text);
}
END_TEST

START_TEST(what_others_have_made)
{
    struct users *users =
        good("a:" PASSLIB "\nb:" SECRET "\nc:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ=$xmNhgvlNsLJFzANrdWsuAQ==\n"
             "d:" EMPTY);
    ck_assert(lets_in(users, "a", "password"));
    ck_assert(lets_in(users, "b", "secret"));
    ck_assert(lets_in(users, "c", "secret"));
    ck_assert(lets_in(users, "d", ""));
    users_unref(&users);
}
END_TEST

static const uint8_t secret[SCRAM_SECRET] = "a secret of the process 01234567";

static bool has_scram(const struct users *users, const char *name, struct scram_keys *keys_out)
{
    return users_scram_keys(users, of(name), secret, keys_out);
}

START_TEST(keys_behind_the_hash)
{
    struct scram_keys keys;
    struct users *users = good("a:" SECRET " " KEYS "\nb:" SECRET " \t " KEYS " \r\n c:" SECRET "\n");
    ck_assert(lets_in(users, "a", "secret"));
    ck_assert(lets_in(users, "b", "secret"));
    ck_assert(has_scram(users, "a", &keys));
    ck_assert(has_scram(users, "b", &keys));
    ck_assert_uint_eq(keys.iterations, 4096);
    ck_assert_uint_eq(keys.salt_len, 16);
    ck_assert(!has_scram(users, "c", &keys));
    ck_assert(!users_all_have_scram(users));
    users_unref(&users);
    users = good("a:" SECRET " " KEYS "\nb:" SECRET " " KEYS "\n");
    ck_assert(users_all_have_scram(users));
    users_unref(&users);
    users = good("a:" SECRET "\nb:" SECRET " " KEYS "\n");
    ck_assert(!users_all_have_scram(users));
    users_unref(&users);
}
END_TEST

/* By what is told of the keys, nobody finds out which names there are. */
START_TEST(who_has_no_keys_has_some_that_look_alike)
{
    static const char *const names[] = {"b", "nobody", "A", ""};
    struct scram_keys known, keys, again;
    struct users *users = good("a:" SECRET " " KEYS "\nb:" SECRET "\n"), *none = good("b:" SECRET);
    ck_assert(has_scram(users, "a", &known));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert(!has_scram(users, names[i], &keys));
        ck_assert_uint_eq(keys.iterations, known.iterations);
        ck_assert_uint_eq(keys.salt_len, known.salt_len);
        ck_assert(!has_scram(users, names[i], &again));
        ck_assert_mem_eq(&keys, &again, sizeof keys);
        ck_assert_mem_ne(keys.salt, known.salt, known.salt_len);
        /* A reload changes nothing, as long as there are users with keys. */
        ck_assert(!has_scram(none, names[i], &again));
        ck_assert_uint_eq(again.iterations, SCRAM_ITERATIONS);
        ck_assert_uint_eq(again.salt_len, SCRAM_SALT);
        ck_assert_mem_eq(keys.salt, again.salt, SCRAM_SALT);
    }
    users_unref(&users);
    users_unref(&none);
}
END_TEST

START_TEST(an_unknown_name_costs_what_a_known_one_does)
{
    struct users *users = good("a:" SECRET_17 "\nb:" SECRET);
    static const char *const names[] = {"a", "nobody", "", "b"};
    static const uint64_t n[] = {2048, 2048, 2048, 1024};
    for (size_t i = 0; i < 4; i++) {
        calls = 0;
        ck_assert(!lets_in(users, names[i], "wrong"));
        ck_assert_uint_eq(calls, 1);
        ck_assert_uint_eq(last_n, n[i]);
    }
    users_unref(&users);
    users = good("");
    calls = 0;
    ck_assert(!lets_in(users, "nobody", "wrong"));
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(last_n, 1 << PASSWORD_LN);
    ck_assert_uint_eq(last_r, PASSWORD_R);
    ck_assert_uint_eq(last_p, PASSWORD_P);
    users_unref(&users);
}
END_TEST

START_TEST(a_password_that_is_too_long_is_wrong)
{
    char hash[PASSWORD_HASH_TEXT_MAX], password[USERS_PASSWORD_MAX + 1];
    struct text text;
    memset(password, 'x', sizeof password);
    text_init(&text);
    ck_assert(password_hash_make(slice_make(password, USERS_PASSWORD_MAX), hash));
    text_appendf(&text, "a:%s", hash);
    struct users *users = good(text.data);
    ck_assert(users_verify(users, of("a"), slice_make(password, USERS_PASSWORD_MAX)));
    ck_assert(!users_verify(users, of("a"), slice_make(password, USERS_PASSWORD_MAX + 1)));
    users_unref(&users);
    text_fini(&text);
}
END_TEST

START_TEST(new_hashes)
{
    char one[PASSWORD_HASH_TEXT_MAX], two[PASSWORD_HASH_TEXT_MAX];
    struct password_hash hash;
    const char *error;
    ck_assert(password_hash_make(of("hunter2"), one));
    ck_assert(password_hash_make(of("hunter2"), two));
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(strncmp(one, "$scrypt$ln=15,r=8,p=1$", 22), 0);
    ck_assert(password_hash_parse(of(one), &hash, &error));
    ck_assert_uint_eq(hash.salt_len, 16);
    ck_assert_uint_eq(hash.key_len, 32);
    ck_assert(password_hash_verify(&hash, of("hunter2")));
    ck_assert(!password_hash_verify(&hash, of("hunter3")));
}
END_TEST

/* ---- what is wrong ---- */

#define HASH(ln, r, p) "a:$scrypt$ln=" ln ",r=" r ",p=" p "$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ"
#define TEXT_64 "0123456789012345678901234567890123456789012345678901234567890123"

START_TEST(errors_with_line_and_sentence)
{
    static const struct {
        const char *text;
        size_t line;
        const char *said;
    } rows[] = {
        {"a", 1, "there is no colon"},
        {"\n#\nb:" SECRET "\nabc\n", 4, "there is no colon"},
        {":" SECRET, 1, "a name is 1 to 64"},
        {"a b:" SECRET, 1, "a name is 1 to 64"},
        {"\xc3\xa4:" SECRET, 1, "a name is 1 to 64"},
        {"*:" SECRET, 1, "a name is 1 to 64"},
        {"x" TEXT_64 ":" SECRET, 1, "a name is 1 to 64"},
        {"a:" SECRET "\nb:" SECRET "\n\na:" HUNTER "\n", 4, "`a` stands in line 1 already"},
        {"a:", 1, "the hash is to look like"},
        {"a:secret", 1, "the hash is to look like"},
        {"a:x" SECRET, 1, "the hash is to look like"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ", 1, "the hash is to look like"},
        {"a:$2b$12$abcdefghijklmnopqrstuv", 1, "of another kind"},
        {HASH("9", "1", "1"), 1, "`ln` of the hash"},
        {HASH("21", "1", "1"), 1, "`ln` of the hash"},
        {HASH("10", "0", "1"), 1, "`r` of the hash"},
        {HASH("10", "17", "1"), 1, "`r` of the hash"},
        {HASH("10", "1", "0"), 1, "`p` of the hash"},
        {HASH("10", "1", "5"), 1, "`p` of the hash"},
        {HASH("16", "1", "1"), 1, "with `r=1`"},
        {HASH("16", "9", "1"), 1, "more than 64 MiB"},
        {HASH("20", "2", "1"), 1, "more than 64 MiB"},
        {HASH("4294967306", "1", "1"), 1, "the hash is to look like"},
        {HASH("-1", "1", "1"), 1, "the hash is to look like"},
        {"a:$scrypt$r=1,ln=10,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ", 1, "the hash is to look like"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNh$xmNhgvlNsLJFzANrdWsuAQ", 1, "the salt of the hash"},
        {"a:$scrypt$ln=10,r=1,p=1$c2Fs-HNhbHQ$xmNhgvlNsLJFzANrdWsuAQ", 1, "the salt of the hash"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsu", 1, "the last part of the hash"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ=", 1, "the last part of the hash"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$xmNhgvlNsLJFzANrdWsuAQ$", 1, "the last part of the hash"},
        {"a:" SECRET " b", 1, "SCRAM's keys are to look like"},
        {"a:" SECRET " " SECRET, 1, "SCRAM's keys are to look like"},
        {"a:" SECRET " " KEYS " b", 1, "32 bytes each"},
        {"a:" SECRET " " KEYS " " KEYS, 1, "32 bytes each"},
        {"a:" KEYS, 1, "of another kind"},
        {"a: " SECRET, 1, "the hash is to look like"},
        {"a:" SECRET "$" KEYS, 1, "the last part of the hash"},
        {"a:" SECRET " $scram-sha-256$i=4095$W22ZaJ0SNY7soEsUEjb6gQ$a$b", 1, "`i` of SCRAM's keys"},
        {"a:$scrypt$ln=10,r=1,p=1$c2FsdHNhbHQ$" TEXT_64 TEXT_64, 1, "the last part of the hash"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct users_errors errors;
        struct users *users = users_parse(of(rows[i].text), &errors);
        ck_assert_msg(users == NULL, "%s", rows[i].text);
        ck_assert_uint_eq(errors.count, 1);
        ck_assert_uint_eq(errors.items[0].line, rows[i].line);
        ck_assert_msg(strstr(errors.items[0].text, rows[i].said) != NULL, "%s: %s", rows[i].text, errors.items[0].text);
        ck_assert_ptr_null(strstr(errors.items[0].text, "xmNh"));
    }
}
END_TEST

START_TEST(bounds_that_are_allowed)
{
    static const char *const rows[] = {HASH("10", "16", "4"), HASH("16", "8", "1"), HASH("15", "1", "4"),
                                       HASH("15", "16", "4"), HASH("18", "2", "1")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct users *users = good(rows[i]);
        ck_assert_uint_eq(users_count(users), 1);
        users_unref(&users);
    }
    /* OpenSSL too finds room for the largest. */
    struct password_hash hash;
    const char *error;
    uint8_t nothing[PASSWORD_BYTES_MAX] = {0};
    ck_assert(password_hash_parse(of(&HASH("18", "2", "1")[2]), &hash, &error));
    ck_assert(
        EVP_PBE_scrypt("", 0, hash.salt, hash.salt_len, 1 << 18, 2, 1, PASSWORD_MEMORY_MAX + 256 * 3, nothing, 16));
    memcpy(hash.key, nothing, hash.key_len);
    ck_assert(password_hash_verify(&hash, of("")));
}
END_TEST

START_TEST(all_errors_are_told_up_to_the_bound)
{
    struct users_errors errors;
    ck_assert_ptr_null(users_parse(of("a\nb:x\na:" SECRET "\na:" SECRET "\n"), &errors));
    ck_assert_uint_eq(errors.count, 3);
    ck_assert_uint_eq(errors.items[2].line, 4);
    struct text text;
    text_init(&text);
    for (int i = 0; i < 100; i++)
        text_append_string(&text, "x\n");
    ck_assert_ptr_null(users_parse(text_slice(&text), &errors));
    ck_assert_uint_eq(errors.count, USERS_ERRORS_MAX);
    text_fini(&text);
}
END_TEST

START_TEST(files)
{
    char path[] = "/tmp/ringside-users-XXXXXX";
    struct users_errors errors;
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "app:" SECRET "\n", sizeof SECRET + 4), sizeof SECRET + 4);
    struct users *users = users_load(path, &errors);
    ck_assert_ptr_nonnull(users);
    ck_assert(lets_in(users, "app", "secret"));
    struct users *again = users_ref(users);
    users_unref(&users);
    ck_assert(lets_in(again, "app", "secret"));
    users_unref(&again);
    ck_assert_int_eq(ftruncate(fd, (off_t)USERS_FILE_MAX + 1), 0);
    ck_assert_ptr_null(users_load(path, &errors));
    ck_assert_int_eq(errors.system_error, 0);
    ck_assert_ptr_nonnull(strstr(errors.items[0].text, "larger than 4 MiB"));
    close(fd);
    unlink(path);
    ck_assert_ptr_null(users_load(path, &errors));
    ck_assert_int_eq(errors.system_error, ENOENT);
    ck_assert_ptr_null(users_load("/", &errors));
    ck_assert_int_eq(errors.system_error, EISDIR);
}
END_TEST

START_TEST(replacing_keeps_all_else)
{
    static const struct {
        const char *old;
        bool there;
        const char *new;
    } rows[] = {
        {"", false, "bob:NEW\n"},
        {"a:1\n", false, "a:1\nbob:NEW\n"},
        {"a:1", false, "a:1\nbob:NEW\n"},
        {"a:1 K\nbob:2 K\n", true, "a:1 K\nbob:NEW\n"},
        {"# bob:0\n\na:1\r\n bob:2\nc:3", true, "# bob:0\n\na:1\r\nbob:NEW\nc:3\n"},
        {"bobby:1\nbob:2", true, "bobby:1\nbob:NEW\n"},
        {"#bob:1\n", false, "#bob:1\nbob:NEW\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct text text;
        text_init(&text);
        ck_assert_int_eq(users_replace_text(of(rows[i].old), of("bob"), of("NEW"), &text), rows[i].there);
        ck_assert_str_eq(text.data, rows[i].new);
        text_fini(&text);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("users");
    tcase_add_test(tcase, names_and_passwords);
    tcase_add_test(tcase, many_names_are_all_found);
    tcase_add_test(tcase, what_others_have_made);
    tcase_add_test(tcase, keys_behind_the_hash);
    tcase_add_test(tcase, who_has_no_keys_has_some_that_look_alike);
    tcase_add_test(tcase, an_unknown_name_costs_what_a_known_one_does);
    tcase_add_test(tcase, a_password_that_is_too_long_is_wrong);
    tcase_add_test(tcase, new_hashes);
    tcase_add_test(tcase, errors_with_line_and_sentence);
    tcase_add_test(tcase, bounds_that_are_allowed);
    tcase_add_test(tcase, all_errors_are_told_up_to_the_bound);
    tcase_add_test(tcase, files);
    tcase_add_test(tcase, replacing_keeps_all_else);
    return suite_run("users", tcase);
}
