/* What every unit test's main does with its one test case. */
#ifndef RINGSIDE_TESTS_SUPPORT_SUITE_H
#define RINGSIDE_TESTS_SUPPORT_SUITE_H

#include <check.h>

/* Far more than any test takes: only a test that hangs meets it. */
#define SUITE_TIMEOUT_SECONDS 120

/* Runs all tests of the case, which is given away. main's result. */
static inline int suite_run(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    tcase_set_timeout(tcase, SUITE_TIMEOUT_SECONDS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
