/*
 * Tests of tls/scram and tls/scram_keys: the example of RFC 7677, 3, byte by byte; what every malformed message is; that an
 * unknown name goes the same way; and keys as text. Other keys than the example's come from Python's hashlib.
 */
#include "tls/scram.h"

#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* RFC 7677, 3: the user "user", the password "pencil". The keys follow from it. */
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define NONCE CLIENT_NONCE SERVER_NONCE
#define BARE "n=user,r=" CLIENT_NONCE
#define FIRST "n,," BARE
#define CHALLENGE "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define FINAL "c=biws,r=" NONCE ",p=" PROOF
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY"
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU"
#define KEYS "$scram-sha-256$i=4096$W22ZaJ0SNY7soEsUEjb6gQ$" STORED "$" SERVER

static const uint8_t secret[SCRAM_SECRET] = "a secret of the process 01234567";

static struct slice of(const char *string)
{
    return slice_make(string, strlen(string));
}

static struct scram_keys example_keys(void)
{
    struct scram_keys keys;
    const char *error = NULL;
    ck_assert_msg(scram_keys_parse(of(KEYS), &keys, &error), "%s", error);
    return keys;
}

/* An exchange up to the challenge. */
static struct scram *begun(const char *message, bool known)
{
    struct scram_first first;
    struct scram_keys keys = example_keys();
    ck_assert_msg(scram_first_parse(of(message), &first), "%s", message);
    struct scram *scram = scram_create(&first, &keys, known, of(SERVER_NONCE));
    ck_assert_ptr_nonnull(scram);
    return scram;
}

static enum scram_verdict finish(const struct scram *scram, struct slice message, char text_out[SCRAM_FINAL_MAX])
{
    size_t len = 99;
    enum scram_verdict verdict = scram_finish(scram, message, text_out, &len);
    ck_assert(verdict == SCRAM_GOOD ? len < SCRAM_FINAL_MAX : len == 0);
    text_out[len] = '\0';
    return verdict;
}

START_TEST(the_example_of_the_rfc)
{
    char text[SCRAM_FINAL_MAX];
    struct scram *scram = begun(FIRST, true);
    ck_assert(slice_equal(scram_challenge(scram), of(CHALLENGE)));
    ck_assert(slice_equal(scram_name(scram), of("user")));
    ck_assert_int_eq(finish(scram, of(FINAL), text), SCRAM_GOOD);
    ck_assert_str_eq(text, SIGNATURE);
    scram_destroy(&scram);
    ck_assert_ptr_null(scram);
    scram_destroy(&scram);
}
END_TEST

START_TEST(an_unknown_name_fails_at_the_end)
{
    char text[SCRAM_FINAL_MAX];
    struct scram *scram = begun(FIRST, false);
    ck_assert(slice_equal(scram_challenge(scram), of(CHALLENGE)));
    ck_assert_int_eq(finish(scram, of(FINAL), text), SCRAM_WRONG);
    scram_destroy(&scram);
}
END_TEST

START_TEST(a_proof_that_is_wrong_anywhere)
{
    char message[] = FINAL, text[SCRAM_FINAL_MAX];
    struct scram *scram = begun(FIRST, true);
    /* Of the last letter but the padding, two bits mean nothing. */
    for (size_t i = sizeof message - sizeof PROOF; i < sizeof message - 3; i++) {
        char was = message[i];
        message[i] = was == 'A' ? 'Z' : 'A';
        ck_assert_msg(finish(scram, of(message), text) == SCRAM_WRONG, "%s", message);
        message[i] = was;
    }
    ck_assert_int_eq(finish(scram, of(message), text), SCRAM_GOOD);
    scram_destroy(&scram);
}
END_TEST

/* ---- the first message ---- */

START_TEST(first_messages_that_are_taken)
{
    static const struct {
        const char *message, *name, *nonce, *gs2, *bare;
    } rows[] = {
        {FIRST, "user", CLIENT_NONCE, "n,,", BARE},
        {"y,,n=a,r=x", "a", "x", "y,,", "n=a,r=x"},
        {"n,a=a,n=a,r=x", "a", "x", "n,a=a,", "n=a,r=x"},
        {"n,a=a=2Cb,n=a=2Cb,r=x", "a,b", "x", "n,a=a=2Cb,", "n=a=2Cb,r=x"},
        {"n,,n==3D=2C=3D2C,r=!~", "=,=2C", "!~", "n,,", "n==3D=2C=3D2C,r=!~"},
        {"n,,n=\xc3\xbc,r=a=b", "\xc3\xbc", "a=b", "n,,", "n=\xc3\xbc,r=a=b"},
        {"n,,n=a,r=x,e=what,Z==,t=a=b", "a", "x", "n,,", "n=a,r=x,e=what,Z==,t=a=b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scram_first first;
        ck_assert_msg(scram_first_parse(of(rows[i].message), &first), "%s", rows[i].message);
        ck_assert_msg(slice_equal(slice_make(first.name, first.name_len), of(rows[i].name)), "%s", rows[i].message);
        ck_assert_msg(slice_equal(first.nonce, of(rows[i].nonce)), "%s", rows[i].message);
        ck_assert_msg(slice_equal(first.gs2, of(rows[i].gs2)), "%s", rows[i].message);
        ck_assert_msg(slice_equal(first.bare, of(rows[i].bare)), "%s", rows[i].message);
    }
}
END_TEST

static const char *const refused_firsts[] = {
    "", "n", "n,", "n,,", ",", ",,", ",,,", "n=a,r=x", "n,n=a,r=x", ",,n=a,r=x", "x,,n=a,r=x", "N,,n=a,r=x",
    "nn,,n=a,r=x",
    /* channel binding */
    "p=tls-unique,,n=a,r=x", "p=tls-server-end-point,,n=a,r=x", "p,,n=a,r=x", "p=,,n=a,r=x",
    /* acting for another, or badly said */
    "n,a=b,n=a,r=x", "n,a=aa,n=a,r=x", "n,a=,n=a,r=x", "n,a,n=a,r=x", "n,b=a,n=a,r=x", "n,aa,n=a,r=x", "n,a==2,n=a,r=x",
    "n,a=a=2c,n=a=2C,r=x",
    /* the name */
    "n,,n=,r=x", "n,,n,r=x", "n,,r=x", "n,,r=x,n=a", "n,,x=a,r=x", "n,,=a,r=x", "n,,n==,r=x", "n,,n=a=,r=x",
    "n,,n=a=2,r=x", "n,,n=a=2c,r=x", "n,,n=a=3d,r=x", "n,,n=a=41,r=x", "n,, n=a,r=x",
    /* the nonce */
    "n,,n=a", "n,,n=a,", "n,,n=a,r", "n,,n=a,r=", "n,,n=a,r=,e=x", "n,,n=a,x=x", "n,,n=a,r=x y", "n,,n=a,r=x\n",
    "n,,n=a,r=\x7f", "n,,n=a,r=\xc3\xbc", "n,,n=a,,r=x",
    /* extensions */
    "n,,m=ext,n=a,r=x", "n,,n=a,r=x,m=ext", "n,,n=a,r=x,e=y,m=z", "n,,n=a,r=x,", "n,,n=a,r=x,,", "n,,n=a,r=x,e",
    "n,,n=a,r=x,e=", "n,,n=a,r=x,1=y", "n,,n=a,r=x,=y", "n,,n=a,r=x,ee=y", "n,,e=x,n=a,r=x"};

START_TEST(first_messages_that_are_refused)
{
    struct scram_first first;
    for (size_t i = 0; i < sizeof refused_firsts / sizeof refused_firsts[0]; i++)
        ck_assert_msg(!scram_first_parse(of(refused_firsts[i]), &first), "%s", refused_firsts[i]);
    ck_assert(!scram_first_parse(slice_make(NULL, 0), &first));
    ck_assert(!scram_first_parse(slice_make("n,,n=a\0,r=x", 11), &first));
    ck_assert(!scram_first_parse(slice_make("n,,n=a,r=x\0", 11), &first));
    for (size_t len = 0; len < strlen(FIRST) - strlen(CLIENT_NONCE) + 1; len++)
        ck_assert_msg(!scram_first_parse(slice_make(FIRST, len), &first), "%zu", len);
}
END_TEST

/* A first message of len bytes. */
static struct slice padded_first(char *buffer, size_t len, const char *begin)
{
    memset(buffer, 'x', len);
    memcpy(buffer, begin, strlen(begin));
    return slice_make(buffer, len);
}

START_TEST(first_messages_of_any_length)
{
    char buffer[SCRAM_MESSAGE_MAX + 2], final[SCRAM_FINAL_MAX];
    struct scram_first first;
    struct scram_keys keys = example_keys();
    ck_assert(!scram_first_parse(padded_first(buffer, SCRAM_MESSAGE_MAX + 1, "n,,n=a,r="), &first));
    for (size_t len = 10; len <= SCRAM_MESSAGE_MAX; len++) {
        ck_assert(scram_first_parse(padded_first(buffer, len, "n,,n=a,r="), &first));
        struct scram *scram = scram_create(&first, &keys, true, of(SERVER_NONCE));
        struct slice challenge = scram_challenge(scram);
        ck_assert_uint_eq(challenge.len, len + strlen(CHALLENGE) - strlen(CLIENT_NONCE) - 9);
        ck_assert_int_eq(finish(scram, slice_make(buffer, len), final), SCRAM_BROKEN);
        scram_destroy(&scram);
    }
    struct slice message = padded_first(buffer, SCRAM_MESSAGE_MAX, "n,,n=");
    memcpy(buffer + SCRAM_MESSAGE_MAX - 4, ",r=y", 4);
    ck_assert(scram_first_parse(message, &first));
    ck_assert_uint_eq(first.name_len, SCRAM_MESSAGE_MAX - 9);
    struct scram *scram = scram_create(&first, &keys, false, of(SERVER_NONCE));
    ck_assert_uint_eq(scram_name(scram).len, SCRAM_MESSAGE_MAX - 9);
    scram_destroy(&scram);
}
END_TEST

/* ---- the final message ---- */

#define R "r=" NONCE
#define P "p=" PROOF

START_TEST(final_messages_that_are_broken)
{
    static const char *const messages[] = {
        "", ",", ",,", "c=biws", R, P, "c=biws," R, "c=biws," P, R "," P, R ",c=biws," P, "c=biws," P "," R,
        /* another binding: "y,,", "n,a=user,", none, no base64 */
        "c=eSws," R "," P, "c=bixhPXVzZXIs," R "," P, "c=," R "," P, "c," R "," P, "=biws," R "," P, "c=biws=," R "," P,
        "c=biw," R "," P, "c=biwsAAAA," R "," P, "c=n,,," R "," P, " c=biws," R "," P,
        /* a nonce that is not ours */
        "c=biws,r=" CLIENT_NONCE "," P, "c=biws,r=" SERVER_NONCE "," P, "c=biws," R "x," P, "c=biws,r=x" NONCE "," P,
        "c=biws,r=," P, "c=biws,R=" NONCE "," P, "c=biws,r=rOprNGfwEbeRWgbNEkqo" SERVER_NONCE "," P,
        /* extensions */
        "c=biws," R ",m=x," P, "c=biws," R ",," P, "c=biws," R ",e," P, "m=x,c=biws," R "," P, "c=biws," R "," P ",e=x",
        "c=biws," R "," P ",", "c=biws," R "," P "," P,
        /* the proof: none, no base64, too short, too long, without its padding */
        "c=biws," R ",p=", "c=biws," R ",p", "c=biws," R ",", "c=biws," R ",P=" PROOF,
        "c=biws," R ",p=====", "c=biws," R ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
        "c=biws," R ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndV==",
        "c=biws," R ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7And===",
        "c=biws," R ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQA", "c=biws," R ",p=AAAA" PROOF,
        "c=biws," R ",p=dHzbZapWIk4jUhN-Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws," R ",p= HzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "c=biws," R "," P "\n"};
    char text[SCRAM_FINAL_MAX], long_one[SCRAM_MESSAGE_MAX + 2];
    struct scram *scram = begun(FIRST, true);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        ck_assert_msg(finish(scram, of(messages[i]), text) == SCRAM_BROKEN, "%s", messages[i]);
    ck_assert_int_eq(finish(scram, slice_make(NULL, 0), text), SCRAM_BROKEN);
    ck_assert_int_eq(finish(scram, slice_make("c=biws\0", 7), text), SCRAM_BROKEN);
    for (size_t len = 0; len < strlen(FINAL); len++)
        ck_assert_int_eq(finish(scram, slice_make(FINAL, len), text), SCRAM_BROKEN);
    memset(long_one, 'x', sizeof long_one);
    memcpy(long_one, "c=biws," R ",e=", strlen("c=biws," R ",e="));
    memcpy(long_one + sizeof long_one - strlen("," P), "," P, strlen("," P));
    ck_assert_int_eq(finish(scram, slice_make(long_one, sizeof long_one), text), SCRAM_BROKEN);
    memmove(long_one + 100, long_one + 102, sizeof long_one - 102);
    ck_assert_int_eq(finish(scram, slice_make(long_one, SCRAM_MESSAGE_MAX), text), SCRAM_WRONG);
    scram_destroy(&scram);
}
END_TEST

START_TEST(what_is_passed_over_is_signed_too)
{
    char text[SCRAM_FINAL_MAX];
    struct scram *scram = begun(FIRST, true);
    ck_assert_int_eq(finish(scram, of("c=biws," R ",e=x," P), text), SCRAM_WRONG);
    scram_destroy(&scram);
    scram = begun(FIRST ",e=x", true);
    ck_assert_int_eq(finish(scram, of(FINAL), text), SCRAM_WRONG);
    scram_destroy(&scram);
}
END_TEST

START_TEST(the_binding_is_the_first_messages)
{
    char text[SCRAM_FINAL_MAX];
    struct scram *scram = begun("y,," BARE, true);
    ck_assert_int_eq(finish(scram, of(FINAL), text), SCRAM_BROKEN);
    ck_assert_int_eq(finish(scram, of("c=eSws," R "," P), text), SCRAM_WRONG);
    scram_destroy(&scram);
    scram = begun("n,a=user," BARE, true);
    ck_assert_int_eq(finish(scram, of("c=bixhPXVzZXIs," R "," P), text), SCRAM_WRONG);
    scram_destroy(&scram);
}
END_TEST

START_TEST(nonces_are_by_chance)
{
    char one[SCRAM_NONCE_LEN + 1], two[SCRAM_NONCE_LEN + 1];
    ck_assert(scram_nonce_make(one));
    ck_assert(scram_nonce_make(two));
    ck_assert_uint_eq(strlen(one), SCRAM_NONCE_LEN);
    ck_assert_str_ne(one, two);
    for (size_t i = 0; i < SCRAM_NONCE_LEN; i++)
        ck_assert(one[i] > ' ' && one[i] <= '~' && one[i] != ',');
}
END_TEST

/* ---- keys ---- */

START_TEST(new_keys)
{
    char one[SCRAM_KEYS_TEXT_MAX], two[SCRAM_KEYS_TEXT_MAX];
    struct scram_keys keys;
    const char *error;
    ck_assert(scram_keys_make(of("pencil"), one));
    ck_assert(scram_keys_make(of("pencil"), two));
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(strncmp(one, "$scram-sha-256$i=15000$", 23), 0);
    ck_assert(scram_keys_parse(of(one), &keys, &error));
    ck_assert_uint_eq(keys.iterations, 15000);
    ck_assert_uint_eq(keys.salt_len, 16);
    ck_assert_int_ne(memcmp(keys.stored, keys.server, SCRAM_KEY), 0);
    ck_assert(scram_keys_make(slice_make(NULL, 0), one));
    ck_assert(scram_keys_parse(of(one), &keys, &error));
}
END_TEST

#define S32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SALT "AAAAAAAAAAA"

START_TEST(keys_that_are_refused)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"", "are to look like"},
        {"x", "are to look like"},
        {"$scrypt$ln=15,r=8,p=1$A$B", "are to look like"},
        {"$scram-sha-1$i=4096$" SALT "$" S32 "$" S32, "are to look like"},
        {"$SCRAM-SHA-256$i=4096$" SALT "$" S32 "$" S32, "are to look like"},
        {"x$scram-sha-256$i=4096$" SALT "$" S32 "$" S32, "are to look like"},
        {"$scram-sha-256$4096$" SALT "$" S32 "$" S32, "are to look like"},
        {"$scram-sha-256$i=$" SALT "$" S32 "$" S32, "are to look like"},
        {"$scram-sha-256$i=-4096$" SALT "$" S32 "$" S32, "are to look like"},
        {"$scram-sha-256$i=4294971392$" SALT "$" S32 "$" S32, "are to look like"},
        {"$scram-sha-256$i=4096$" SALT "$" S32, "are to look like"},
        {"$scram-sha-256$i=4095$" SALT "$" S32 "$" S32, "`i` of SCRAM's keys"},
        {"$scram-sha-256$i=10000001$" SALT "$" S32 "$" S32, "`i` of SCRAM's keys"},
        {"$scram-sha-256$i=4096$$" S32 "$" S32, "the salt of SCRAM's keys"},
        {"$scram-sha-256$i=4096$AAAAAAAAAA$" S32 "$" S32, "the salt of SCRAM's keys"},
        {"$scram-sha-256$i=4096$AAAAAAAA-AA$" S32 "$" S32, "the salt of SCRAM's keys"},
        {"$scram-sha-256$i=4096$A" S32 "$" S32 "$" S32, "the salt of SCRAM's keys"},
        {"$scram-sha-256$i=4096$" SALT "$" S32 "$", "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$$" S32, "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$A" S32 "$" S32, "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$" S32 "$" S32 "AAAA", "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$" S32 "$" S32 "$", "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$" S32 "$ AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "32 bytes each"},
        {"$scram-sha-256$i=4096$" SALT "$" S32 "==$" S32, "32 bytes each"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scram_keys keys;
        const char *error = NULL;
        ck_assert_msg(!scram_keys_parse(of(rows[i].text), &keys, &error), "%s", rows[i].text);
        ck_assert_msg(strstr(error, rows[i].said) != NULL, "%s: %s", rows[i].text, error);
    }
}
END_TEST

START_TEST(keys_at_the_bounds)
{
    static const char *const texts[] = {
        "$scram-sha-256$i=4096$" SALT "$" S32 "$" S32,
        "$scram-sha-256$i=10000000$" SALT "=$" S32 "=$" S32 "=",
        "$scram-sha-256$i=4096$" S32 "$" S32 "$" S32,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct scram_keys keys;
        const char *error = NULL;
        ck_assert_msg(scram_keys_parse(of(texts[i]), &keys, &error), "%s: %s", texts[i], error);
    }
}
END_TEST

START_TEST(nobodys_keys_are_always_the_same)
{
    static const uint8_t other_secret[SCRAM_SECRET] = "another secret 0123456789abcdef";
    const struct scram_keys like = {.iterations = 5000, .salt_len = 16};
    struct scram_keys one, two;
    scram_keys_pretend(secret, of("nobody"), &like, &one);
    scram_keys_pretend(secret, of("nobody"), &like, &two);
    ck_assert_uint_eq(one.iterations, 5000);
    ck_assert_uint_eq(one.salt_len, 16);
    ck_assert_mem_eq(&one, &two, sizeof one);
    ck_assert_mem_ne(one.salt, one.stored, 16);
    scram_keys_pretend(secret, of("nobody2"), &like, &two);
    ck_assert_mem_ne(one.salt, two.salt, 16);
    ck_assert_mem_ne(one.stored, two.stored, SCRAM_KEY);
    scram_keys_pretend(other_secret, of("nobody"), &like, &two);
    ck_assert_mem_ne(one.salt, two.salt, 16);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("scram");
    tcase_add_test(tcase, the_example_of_the_rfc);
    tcase_add_test(tcase, an_unknown_name_fails_at_the_end);
    tcase_add_test(tcase, a_proof_that_is_wrong_anywhere);
    tcase_add_test(tcase, first_messages_that_are_taken);
    tcase_add_test(tcase, first_messages_that_are_refused);
    tcase_add_test(tcase, first_messages_of_any_length);
    tcase_add_test(tcase, final_messages_that_are_broken);
    tcase_add_test(tcase, what_is_passed_over_is_signed_too);
    tcase_add_test(tcase, the_binding_is_the_first_messages);
    tcase_add_test(tcase, nonces_are_by_chance);
    tcase_add_test(tcase, new_keys);
    tcase_add_test(tcase, keys_that_are_refused);
    tcase_add_test(tcase, keys_at_the_bounds);
    tcase_add_test(tcase, nobodys_keys_are_always_the_same);
    return suite_run("scram", tcase);
}
