/*
 * Tests of the widths in which routing/md5 hashes texts side by side: a processor takes the widest that it has, so the others are
 * reached from within.
 */
#include "routing/md5.c" /* NOLINT: its functions are static */

#include "tests/support/suite.h"

#include <check.h>

static void expect_lanes(lanes_fn *lanes)
{
    char text[MD5_LENGTH_AT];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 37 + 11);
    for (size_t len = 0; len < MD5_LENGTH_AT - MD5_LANES; len++) {
        struct slice texts[MD5_LANES];
        uint32_t words[16][MD5_LANES], found[MD5_LANES];
        for (size_t i = 0; i < MD5_LANES; i++)
            texts[i] = slice_make(text + i, (len * (i + 1)) % (MD5_LENGTH_AT - MD5_LANES));
        gather_lanes(texts, MD5_LANES, words);
        lanes(words, found);
        for (size_t i = 0; i < MD5_LANES; i++)
            ck_assert_uint_eq(found[i], md5_first_word(texts[i].data, texts[i].len));
    }
}

START_TEST(vectors_that_all_have)
{
    expect_lanes(hash_lanes);
}
END_TEST

#ifdef __x86_64__
START_TEST(avx2)
{
    if (__builtin_cpu_supports("avx2"))
        expect_lanes(hash_lanes_avx2);
}
END_TEST

START_TEST(avx512)
{
    if (__builtin_cpu_supports("avx512vl"))
        expect_lanes(hash_lanes_avx512);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("lanes");
    tcase_add_test(tcase, vectors_that_all_have);
#ifdef __x86_64__
    tcase_add_test(tcase, avx2);
    tcase_add_test(tcase, avx512);
#endif
    return suite_run("routing/md5 lanes", tcase);
}
