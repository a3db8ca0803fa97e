/* Tests of proxy/coalesce: under which load a worker begins to let requests gather, goes on, and ends. */
#include "proxy/coalesce.h"

#include "tests/support/suite.h"

#include <check.h>
#include <stddef.h>

#define SECOND_US 1000000

struct row {
    const char *what;
    struct coalesce_load load;
    bool begins, goes_on;                  /* to sleep */
    bool begins_nagle, goes_on_with_nagle; /* what is sent to servers */
};

static const struct row rows[] = {
    {"nothing to do", {SECOND_US, 0, 0}, false, false, false, false},
    {"busy with many", {SECOND_US, 900000, 900000}, true, true, true, true},
    {"busy with few, that cost much", {SECOND_US, 990000, 50000}, false, false, true, true},
    {"many, with time to spare", {SECOND_US, 290000, 900000}, false, false, false, false},
    {"between the limits of time", {SECOND_US, 490000, 900000}, false, true, false, true},
    {"between the limits of requests", {SECOND_US, 900000, 180000}, false, true, true, true},
    {"the same in a shorter time", {SECOND_US / 1000, 900, 180}, false, true, true, true},
    {"just enough", {SECOND_US, 600000, 200000}, true, true, true, true},
    {"just enough to gather", {SECOND_US, 500000, 0}, false, false, true, true},
    {"just enough to go on", {SECOND_US, 350000, 150000}, false, true, false, true},
    {"just enough to go on gathering", {SECOND_US, 300000, 0}, false, false, false, true},
};

START_TEST(it_begins_goes_on_and_ends_by_the_load)
{
    const struct row *row = &rows[_i];
    ck_assert_msg(coalesce_sleeps(false, &row->load) == row->begins, "%s: begins", row->what);
    ck_assert_msg(coalesce_sleeps(true, &row->load) == row->goes_on, "%s: goes on", row->what);
    ck_assert_msg(coalesce_wants_nagle(false, &row->load) == row->begins_nagle, "%s: begins gathering", row->what);
    ck_assert_msg(coalesce_wants_nagle(true, &row->load) == row->goes_on_with_nagle, "%s: goes on gathering",
                  row->what);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("coalesce");
    tcase_add_loop_test(tcase, it_begins_goes_on_and_ends_by_the_load, 0, sizeof rows / sizeof rows[0]);
    return suite_run("proxy/coalesce", tcase);
}
