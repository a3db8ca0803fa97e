/* Tests of base/histogram: the buckets tile the range, and quantiles agree with a sorted array. */
#include "base/histogram.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(buckets_follow_each_other_without_gap)
{
    uint64_t low_us = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        ck_assert_uint_eq(histogram_bucket_low_us(bucket), low_us);
        uint64_t high_us = low_us + histogram_bucket_width_us(bucket) - 1;
        ck_assert_uint_eq(histogram_bucket(low_us), bucket);
        ck_assert_uint_eq(histogram_bucket(high_us), bucket);
        low_us = high_us + 1;
    }
    ck_assert_uint_eq(low_us, UINT64_C(1) << 32);
}
END_TEST

START_TEST(a_bucket_is_at_most_a_sixteenth_of_its_values)
{
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t width_us = histogram_bucket_width_us(bucket);
        ck_assert(width_us == 1 || width_us * 16 <= histogram_bucket_low_us(bucket));
    }
}
END_TEST

START_TEST(what_is_too_large_counts_as_the_largest)
{
    ck_assert_uint_eq(histogram_bucket(UINT64_C(1) << 32), HISTOGRAM_BUCKETS - 1);
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    struct histogram histogram = {0};
    histogram_record(&histogram, UINT64_MAX);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.5), UINT32_MAX);
}
END_TEST

START_TEST(an_empty_histogram_has_no_quantile)
{
    struct histogram histogram = {0};
    ck_assert_uint_eq(histogram_count(&histogram), 0);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0), 0);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.99), 0);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 1), 0);
}
END_TEST

/* Below 16 us every value has its own bucket, and quantiles are exact. */
START_TEST(small_values_are_exact)
{
    struct histogram histogram = {0};
    for (uint64_t value_us = 1; value_us <= 10; value_us++)
        histogram_record(&histogram, value_us);
    ck_assert_uint_eq(histogram_count(&histogram), 10);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0), 1);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.05), 1);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.1), 1);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.11), 2);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.5), 5);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.9), 9);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.91), 10);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 1), 10);
}
END_TEST

START_TEST(quantiles_beyond_the_ends_are_the_ends)
{
    struct histogram histogram = {0};
    histogram_record(&histogram, 3);
    histogram_record(&histogram, 8);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, -1), 3);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0.0 / 0.0), 3);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 17), 8);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 4;
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

START_TEST(quantiles_are_those_of_the_sorted_values_within_a_sixteenth)
{
    enum { COUNT = 1000 };
    static const double quantiles[] = {0.001, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
    uint64_t values_us[COUNT];
    struct histogram histogram = {0};
    uint32_t state = (uint32_t)_i + 1;
    for (int i = 0; i < COUNT; i++) {
        values_us[i] = next_random(&state) >> next_random(&state) % 28;
        histogram_record(&histogram, values_us[i]);
    }
    qsort(values_us, COUNT, sizeof values_us[0], compare_u64);
    ck_assert_uint_eq(histogram_count(&histogram), COUNT);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        uint64_t exact_us = values_us[(size_t)(quantiles[i] * COUNT + 0.5) - 1];
        uint64_t found_us = histogram_quantile_us(&histogram, quantiles[i]);
        ck_assert_uint_ge(found_us, exact_us);
        ck_assert_uint_le(found_us - exact_us, exact_us / 16);
    }
}
END_TEST

START_TEST(adding_sums_each_bucket)
{
    struct histogram sum = {0}, from = {0};
    histogram_record(&sum, 5);
    histogram_record(&sum, 1000);
    histogram_record(&from, 1000);
    histogram_record(&from, UINT32_MAX);
    histogram_add(&sum, &from);
    ck_assert_uint_eq(histogram_count(&sum), 4);
    ck_assert_uint_eq(histogram_count(&from), 2);
    ck_assert_uint_eq(counter_read(&sum.buckets[5]), 1);
    ck_assert_uint_eq(counter_read(&sum.buckets[histogram_bucket(1000)]), 2);
    ck_assert_uint_eq(counter_read(&sum.buckets[HISTOGRAM_BUCKETS - 1]), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("histogram");
    tcase_add_test(tcase, buckets_follow_each_other_without_gap);
    tcase_add_test(tcase, a_bucket_is_at_most_a_sixteenth_of_its_values);
    tcase_add_test(tcase, what_is_too_large_counts_as_the_largest);
    tcase_add_test(tcase, an_empty_histogram_has_no_quantile);
    tcase_add_test(tcase, small_values_are_exact);
    tcase_add_test(tcase, quantiles_beyond_the_ends_are_the_ends);
    tcase_add_loop_test(tcase, quantiles_are_those_of_the_sorted_values_within_a_sixteenth, 0, 10);
    tcase_add_test(tcase, adding_sums_each_bucket);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
