/* Tests of routing/hash and routing/md5: equal to libhashkit, to OpenSSL, and to published values. */
#include "routing/hash.h"
#include "routing/md5.h"
#include "tests/routing/keys.h"

#include <check.h>
#include <libhashkit-1.0/hashkit.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COUNT 20000
#define BYTES_OF(literal) literal, sizeof(literal) - 1

static uint32_t hash_of(const char *name, const char *key, size_t len)
{
    hash_fn *fn = hash_by_name(name);
    ck_assert_ptr_nonnull(fn);
    return fn(key, len);
}

struct golden {
    const char *hash;
    const char *key;
    size_t len;
    uint32_t value;
};

/* Published check values; hsieh, crc16 and crc are what twemproxy 0.5.0 computes where char is signed. */
static const struct golden goldens[] = {
    {"md5", BYTES_OF("server1-8"), 3853726576u},
    {"md5", BYTES_OF("VDEAAAAA"), 0xfffcd1b5u},
    {"one_at_a_time", BYTES_OF("a"), 0xca2e9442u},
    {"one_at_a_time", BYTES_OF("The quick brown fox jumps over the lazy dog"), 0x519e91f5u},
    {"fnv1_32", BYTES_OF("foobar"), 0x31f0b262u},
    {"fnv1a_32", BYTES_OF("foobar"), 0xbf9cf968u},
    {"fnv1_64", BYTES_OF("foobar"), 0xa4dda9c2u},
    {"crc32a", BYTES_OF("123456789"), 0xcbf43926u},
    {"crc", BYTES_OF("123456789"), 0x4bf4u},
    {"crc32", BYTES_OF("server1-8"), 11461u},
    {"crc16", BYTES_OF("a"), 31879u},
    {"crc16", BYTES_OF("123456789"), 2257596867u},
    {"xxh3", BYTES_OF(""), 0x38d394c2u},
    {"hsieh", BYTES_OF(""), 0},
    {"hsieh", BYTES_OF("a"), 2472816263u},
    {"hsieh", BYTES_OF("ab"), 1535905475u},
    {"hsieh", BYTES_OF("abc"), 3843582778u},
    {"hsieh", BYTES_OF("abcd"), 984896216u},
    {"hsieh", BYTES_OF("123456789"), 3841726064u},
    {"hsieh", BYTES_OF("\xff"), 44489640u},
    {"hsieh", BYTES_OF("\xc3\xa9"), 3203012475u},
#if !defined(__CHAR_UNSIGNED__)
    {"hsieh", BYTES_OF("a\xc3\xa9"), 1950942766u},
#endif
};

START_TEST(published_values_come_out)
{
    const struct golden *golden = &goldens[_i];
    ck_assert_msg(hash_of(golden->hash, golden->key, golden->len) == golden->value, "%s of `%s`", golden->hash,
                  golden->key);
}
END_TEST

struct md5_golden {
    const char *text;
    uint32_t words[4];
};

/* RFC 1321, A.5, and twemproxy's own check of server1-8. */
static const struct md5_golden md5_goldens[] = {
    {"", {0xd98c1dd4u, 0x04b2008fu, 0x980980e9u, 0x7e42f8ecu}},
    {"abc", {0x98500190u, 0xb04fd23cu, 0x7d3f96d6u, 0x727fe128u}},
    {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
     {0xa2f4ed57u, 0x55c9e32bu, 0x2eda49acu, 0x7ab60721u}},
};

/* However many, of all lengths around the border of one block, each lane with a length of its own. */
START_TEST(md5_of_many_texts_is_that_of_each)
{
    enum { COUNT = 3 * MD5_LANES };
    char text[300];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 31 + 7);
    for (size_t n = 0; n <= COUNT; n++) {
        for (size_t len = 0; len < 80; len++) {
            struct slice texts[COUNT];
            uint32_t words[COUNT + 1];
            words[n] = 42;
            for (size_t i = 0; i < n; i++)
                texts[i] = slice_make(text + 9 * i, i % 5 == 4 ? len : (len * (2 * i + 1)) % 56);
            md5_first_words(texts, n, words);
            for (size_t i = 0; i < n; i++)
                ck_assert_uint_eq(words[i], md5_first_word(texts[i].data, texts[i].len));
            ck_assert_uint_eq(words[n], 42);
        }
    }
}
END_TEST

START_TEST(md5_gives_the_values_of_its_rfc)
{
    uint32_t words[4];
    md5_words(md5_goldens[_i].text, strlen(md5_goldens[_i].text), words);
    ck_assert_mem_eq(words, md5_goldens[_i].words, sizeof words);
}
END_TEST

START_TEST(md5_of_a_server_name_gives_the_points_of_twemproxy)
{
    uint32_t words[4];
    md5_words(BYTES_OF("server1-8"), words);
    ck_assert_uint_eq(words[0], 3853726576u);
    ck_assert_uint_eq(words[3], 2667054752u);
}
END_TEST

static bool md5_equals_openssl(const char *text, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE], ours[16];
    if (EVP_Digest(text, len, digest, NULL, EVP_md5(), NULL) != 1)
        return false;
    uint32_t words[4];
    md5_words(text, len, words);
    for (size_t i = 0; i < sizeof ours; i++)
        ours[i] = (unsigned char)(words[i / 4] >> 8 * (i % 4));
    return memcmp(ours, digest, sizeof ours) == 0 && md5_first_word(text, len) == words[0];
}

/* Every length around the borders of blocks and of the padding; exact heap blocks, so that a sanitizer sees overreads.
 */
START_TEST(md5_equals_openssl_at_every_length)
{
    uint64_t state = 1;
    for (size_t len = 0; len <= 300; len++) {
        char *text = malloc(len + (len == 0));
        ck_assert_ptr_nonnull(text);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(keys_random(&state) >> 24);
        ck_assert_msg(md5_equals_openssl(text, len), "length %zu", len);
        free(text);
    }
}
END_TEST

START_TEST(md5_equals_openssl_on_random_keys)
{
    uint64_t state = 2;
    size_t wrong = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        struct key key;
        keys_next(&state, &key);
        wrong += !md5_equals_openssl(key.bytes, key.len);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

struct twin {
    const char *name;
    hashkit_hash_algorithm_t algorithm;
};

static const struct twin twins[] = {
    {"default", HASHKIT_HASH_DEFAULT}, {"one_at_a_time", HASHKIT_HASH_DEFAULT}, {"md5", HASHKIT_HASH_MD5},
    {"crc", HASHKIT_HASH_CRC},         {"fnv1_64", HASHKIT_HASH_FNV1_64},       {"fnv1a_64", HASHKIT_HASH_FNV1A_64},
    {"fnv1_32", HASHKIT_HASH_FNV1_32}, {"fnv1a_32", HASHKIT_HASH_FNV1A_32},     {"hsieh", HASHKIT_HASH_HSIEH},
    {"murmur", HASHKIT_HASH_MURMUR},   {"jenkins", HASHKIT_HASH_JENKINS},       {"murmur3", HASHKIT_HASH_MURMUR3},
};

/* Lengths, bytes and alignments of all kinds. A hash that this libhashkit was built without has nothing to say. */
START_TEST(equals_libhashkit_on_random_keys)
{
    const struct twin *twin = &twins[_i];
    if (!libhashkit_has_algorithm(twin->algorithm))
        return;
    hash_fn *fn = hash_by_name(twin->name);
    ck_assert_ptr_nonnull(fn);
    uint64_t state = 3;
    size_t wrong = 0;
    for (int i = 0; i < KEY_COUNT; i++) {
        struct key key;
        keys_next(&state, &key);
        size_t skip = (size_t)i % 4 < key.len ? (size_t)i % 4 : 0;
        uint32_t theirs = libhashkit_digest(key.bytes + skip, key.len - skip, twin->algorithm);
        wrong += fn(key.bytes + skip, key.len - skip) != theirs;
    }
    ck_assert_msg(wrong == 0, "%s of %zu keys", twin->name, wrong);
}
END_TEST

START_TEST(every_name_of_libhashkit_is_known)
{
    for (int algorithm = HASHKIT_HASH_DEFAULT; algorithm < HASHKIT_HASH_CUSTOM; algorithm++) {
        const char *name = libhashkit_string_hash((hashkit_hash_algorithm_t)algorithm);
        ck_assert_msg(hash_by_name(name) != NULL, "%s", name);
    }
}
END_TEST

START_TEST(every_listed_name_is_known_and_has_a_canonical_one)
{
    size_t count = 0;
    for (const char *const *name = hash_names(); *name != NULL; name++, count++) {
        hash_fn *fn = hash_by_name(*name);
        ck_assert_ptr_nonnull(fn);
        ck_assert_ptr_nonnull(hash_name(fn));
        ck_assert(hash_by_name(hash_name(fn)) == fn);
    }
    ck_assert_uint_eq(count, 16);
    ck_assert_str_eq(hash_names()[0], "one_at_a_time");
}
END_TEST

START_TEST(aliases_and_case_lead_to_the_canonical_name)
{
    ck_assert_str_eq(hash_name(hash_by_name("default")), "one_at_a_time");
    ck_assert_str_eq(hash_name(hash_by_name("CRC32")), "crc");
    ck_assert_str_eq(hash_name(hash_by_name("Crc32A")), "crc32a");
    ck_assert_str_eq(hash_name(hash_by_name("FNV1A_64")), "fnv1a_64");
    ck_assert_str_eq(hash_name(hash_by_name("MD5")), "md5");
}
END_TEST

static uint32_t a_stranger(const char *key, size_t len)
{
    return (uint32_t)len + (uint8_t)key[0];
}

START_TEST(an_unknown_name_or_function_is_told)
{
    ck_assert(hash_by_name("md") == NULL);
    ck_assert(hash_by_name("md55") == NULL);
    ck_assert(hash_by_name("") == NULL);
    ck_assert_ptr_null(hash_name(a_stranger));
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *tcase = tcase_create("hash");
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, published_values_come_out, 0, COUNT(goldens));
    tcase_add_test(tcase, md5_of_many_texts_is_that_of_each);
    tcase_add_loop_test(tcase, md5_gives_the_values_of_its_rfc, 0, COUNT(md5_goldens));
    tcase_add_test(tcase, md5_of_a_server_name_gives_the_points_of_twemproxy);
    tcase_add_test(tcase, md5_equals_openssl_at_every_length);
    tcase_add_test(tcase, md5_equals_openssl_on_random_keys);
    tcase_add_loop_test(tcase, equals_libhashkit_on_random_keys, 0, COUNT(twins));
    tcase_add_test(tcase, every_name_of_libhashkit_is_known);
    tcase_add_test(tcase, every_listed_name_is_known_and_has_a_canonical_one);
    tcase_add_test(tcase, aliases_and_case_lead_to_the_canonical_name);
    tcase_add_test(tcase, an_unknown_name_or_function_is_told);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
