/* Tests of routing/tag: the part of a key that decides its place. */
#include "routing/tag.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct example {
    const char *tag;
    const char *key;
    const char *part;
};

static const struct example examples[] = {
    {"{}", "user:{42}:name", "42"},
    {"{}", "{42}", "42"},
    {"{}", "{a}{b}", "a"},
    {"{}", "a{b{c}d}e", "b{c"}, /* the first open, the first close behind it */
    {"{}", "a}b{c}d", "c"},     /* a close before the open counts for nothing */
    {"{}", "a{}b", "a{}b"},     /* empty: the whole key */
    {"{}", "a{}b{c}d", "a{}b{c}d"},
    {"{}", "a{b", "a{b"},
    {"{}", "a}b", "a}b"},
    {"{}", "{", "{"},
    {"{}", "a{", "a{"},
    {"{}", "plain", "plain"},
    {"::", "a:bc:d", "bc"}, /* open and close may be one character */
    {"::", "a::d", "a::d"},
    {"::", "a:d", "a:d"},
    {"", "user:{42}:name", "user:{42}:name"},
};

START_TEST(the_part_is_found)
{
    const struct example *example = &examples[_i];
    char tag[2] = {'\0', '\0'};
    memcpy(tag, example->tag, strlen(example->tag));
    /* An exact heap copy: a sanitizer sees a look past its end. */
    size_t len = strlen(example->key);
    char *key = malloc(len);
    ck_assert_ptr_nonnull(key);
    memcpy(key, example->key, len);
    struct slice part = tag_apply(tag, slice_make(key, len));
    ck_assert_uint_eq(part.len, strlen(example->part));
    ck_assert_mem_eq(part.data, example->part, part.len);
    ck_assert(part.data >= key && part.data + part.len <= key + len);
    free(key);
}
END_TEST

START_TEST(the_close_counts_only_within_the_key)
{
    const char bytes[] = "a{b}c";
    struct slice part = tag_apply("{}", slice_make(bytes, 3));
    ck_assert(part.data == bytes && part.len == 3);
}
END_TEST

START_TEST(keys_with_one_tag_go_together)
{
    struct slice left = tag_apply("{}", SLICE_OF("session:{u7}:a"));
    struct slice right = tag_apply("{}", SLICE_OF("profile:{u7}"));
    ck_assert(slice_equal(left, right));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tag");
    TCase *tcase = tcase_create("tag");
    tcase_add_loop_test(tcase, the_part_is_found, 0, (int)(sizeof examples / sizeof examples[0]));
    tcase_add_test(tcase, the_close_counts_only_within_the_key);
    tcase_add_test(tcase, keys_with_one_tag_go_together);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
