/* Tests of config/nearest: which word is near to which. */
#include "config/nearest.h"
#include "tests/config/support.h"

#define NONE "none"

static const struct {
    const char *found;
    const char *known[4];
    const char *best;
} cases[] = {
    {"tiemout", {"timeout", "connections"}, "timeout"}, /* a swap */
    {"timeot", {"timeout"}, "timeout"},                 /* a letter is missing */
    {"timmeout", {"timeout"}, "timeout"},               /* a letter is too many */
    {"timeoux", {"timeout"}, "timeout"},                /* a letter is another */
    {"TimeOut", {"timeout"}, "timeout"},
    {"connect-timeout", {"timeout", "connect_timeout"}, "connect_timeout"},
    {"proeb", {"prove", "probe"}, "probe"}, /* one swap is nearer than two others */
    {"mdd5", {"md5", "xxh3"}, "md5"},
    {"xd5", {"md5", "xd6"}, "md5"}, /* a tie: the first */
    {"ab", {"cd"}, NONE},
    {"a", {"b"}, NONE},
    {"ab", {"ac"}, NONE}, /* one edit of two letters is too much */
    {"abc", {"abd"}, "abd"},
    {"abcdef", {"abcxyz"}, NONE},
    {"", {"abc"}, NONE},
    {"abc", {""}, NONE},
    {"servers", {NULL}, NONE},
};

START_TEST(the_nearest_word_is_found)
{
    struct nearest nearest;
    nearest_init(&nearest, slice_make(cases[_i].found, strlen(cases[_i].found)));
    for (size_t i = 0; i < 4 && cases[_i].known[i] != NULL; i++)
        nearest_offer_string(&nearest, cases[_i].known[i]);
    ck_assert_str_eq(nearest.best.data == NULL ? NONE : nearest.best.data, cases[_i].best);
}
END_TEST

START_TEST(the_distance_counts_edits)
{
    struct nearest nearest;
    nearest_init(&nearest, SLICE_OF("abcdefghi"));
    nearest_offer_string(&nearest, "badcfeghi");
    ck_assert_uint_eq(nearest.distance, 3);
    nearest_offer_string(&nearest, "bacdefghi");
    ck_assert_uint_eq(nearest.distance, 1);
    nearest_offer_string(&nearest, "abcdefghi");
    ck_assert_uint_eq(nearest.distance, 0);
}
END_TEST

START_TEST(a_long_word_is_near_to_nothing)
{
    char word[NEAREST_LEN_MAX + 2];
    memset(word, 'a', sizeof word);
    struct nearest nearest;
    nearest_init(&nearest, slice_make(word, NEAREST_LEN_MAX));
    nearest_offer(&nearest, slice_make(word, NEAREST_LEN_MAX + 1));
    ck_assert_ptr_null(nearest.best.data);
    nearest_offer(&nearest, slice_make(word, NEAREST_LEN_MAX));
    ck_assert_ptr_nonnull(nearest.best.data);
    nearest_init(&nearest, slice_make(word, NEAREST_LEN_MAX + 1));
    nearest_offer(&nearest, slice_make(word, NEAREST_LEN_MAX));
    ck_assert_ptr_null(nearest.best.data);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("nearest");
    tcase_add_loop_test(tcase, the_nearest_word_is_found, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, the_distance_counts_edits);
    tcase_add_test(tcase, a_long_word_is_near_to_nothing);
    return run_suite("config/nearest", tcase);
}
