/* What the tests of config/ share: errors as one text, and parsing with a verdict. */
#ifndef RINGSIDE_TESTS_CONFIG_SUPPORT_H
#define RINGSIDE_TESTS_CONFIG_SUPPORT_H

#include "base/text.h"
#include "config/model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* "LINE:COLUMN: TEXT\n" for each error; the caller's to free. */
static inline char *errors_text(const struct config_errors *errors)
{
    struct text text;
    text_init(&text);
    for (size_t i = 0; i < errors->count; i++)
        text_appendf(&text, "%d:%d: %s\n", errors->items[i].line, errors->items[i].column, errors->items[i].text);
    char *string = text_steal(&text, NULL);
    ck_assert_ptr_nonnull(string);
    return string;
}

/* Fails unless exactly these errors were found; frees them. */
static inline void expect_errors(struct config_errors *errors, const char *expected)
{
    char *found = errors_text(errors);
    ck_assert_msg(strcmp(found, expected) == 0, "\nexpected:\n%sfound:\n%s", expected, found);
    free(found);
    config_errors_fini(errors);
}

/* The configuration of a text without errors. */
static inline struct config *parse_good(const char *text, const char *path)
{
    struct config_errors errors;
    struct config *config = config_parse(text, strlen(text), path, &errors);
    expect_errors(&errors, "");
    ck_assert_ptr_nonnull(config);
    return config;
}

static inline int run_suite(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
