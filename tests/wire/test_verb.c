/* The table of commands: names, groups, and the questions that are answered from it. */
#include "wire/verb.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_name_finds_its_verb)
{
    for (unsigned i = 0; i < VERB_COUNT; i++) {
        enum verb found;
        struct slice name = verb_name((enum verb)i);
        ck_assert_uint_gt(name.len, 0);
        ck_assert(verb_by_name(name, &found));
        ck_assert_uint_eq(found, i);
    }
}
END_TEST

START_TEST(other_names_find_nothing)
{
    static const char *const names[] = {"g",        "ge",         "gett", "GET",    "Get",      "bget",
                                        "set ",     "",           "mx",   "m",      "mg ",      "get\r",
                                        "flush_al", "flush_alll", "stat", "versio", "verbosit", "\xff"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        enum verb found;
        ck_assert_msg(!verb_by_name(slice_make(names[i], strlen(names[i])), &found), "%s is found", names[i]);
    }
}
END_TEST

START_TEST(a_name_may_hold_a_nul)
{
    enum verb found;
    ck_assert(!verb_by_name(slice_make("ge\0", 3), &found));
}
END_TEST

START_TEST(groups_are_the_tables)
{
    ck_assert_uint_eq(verb_group(VERB_GET), VERB_GROUP_READ);
    ck_assert_uint_eq(verb_group(VERB_GAT), VERB_GROUP_TOUCH);
    ck_assert_uint_eq(verb_group(VERB_CAS), VERB_GROUP_WRITE);
    ck_assert_uint_eq(verb_group(VERB_DECR), VERB_GROUP_ARITHMETIC);
    ck_assert_uint_eq(verb_group(VERB_MN), VERB_GROUP_LOCAL);
}
END_TEST

/* The header's comparisons rest on the table's order. */
START_TEST(families_hold_whom_they_should)
{
    static const char *const retrievals[] = {"get", "gets", "gat", "gats"};
    static const char *const metas[] = {"mg", "ms", "md", "ma", "me"};
    unsigned retrieval_count = 0, meta_count = 0;
    for (unsigned i = 0; i < VERB_COUNT; i++) {
        retrieval_count += verb_is_retrieval((enum verb)i);
        meta_count += verb_is_meta((enum verb)i);
    }
    ck_assert_uint_eq(retrieval_count, 4);
    ck_assert_uint_eq(meta_count, 5);
    for (size_t i = 0; i < 4; i++) {
        enum verb verb;
        ck_assert(verb_by_name(slice_make(retrievals[i], strlen(retrievals[i])), &verb) && verb_is_retrieval(verb));
    }
    for (size_t i = 0; i < 5; i++) {
        enum verb verb;
        ck_assert(verb_by_name(slice_make(metas[i], strlen(metas[i])), &verb) && verb_is_meta(verb));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/verb");
    TCase *tcase = tcase_create("verb");
    tcase_add_test(tcase, every_name_finds_its_verb);
    tcase_add_test(tcase, other_names_find_nothing);
    tcase_add_test(tcase, a_name_may_hold_a_nul);
    tcase_add_test(tcase, groups_are_the_tables);
    tcase_add_test(tcase, families_hold_whom_they_should);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
