/*
 * Owns the reading of histograms: bounds of buckets, sums, quantiles.
 *
 *     bucket   0 … 15     16 … 31     32 … 47     48 … 63      …
 *     values   0 … 15     16 … 31     32 … 63     64 … 127     …
 *     width    1          1           2           4            …      sixteen buckets to each power of two
 *
 * It does not forget: a rate over time is the difference of two readings. Recording is in histogram.h.
 */
#include "base/histogram.h"

#define STEPS (1u << HISTOGRAM_STEP_BITS)

/* The bucket's width is 2 to this power. */
static uint32_t width_bits(uint32_t bucket)
{
    return bucket < STEPS ? 0 : (bucket >> HISTOGRAM_STEP_BITS) - 1;
}

uint64_t histogram_bucket_low_us(uint32_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    return (uint64_t)(STEPS + bucket % STEPS) << width_bits(bucket);
}

uint64_t histogram_bucket_width_us(uint32_t bucket)
{
    return UINT64_C(1) << width_bits(bucket);
}

void histogram_add(struct histogram *sum, const struct histogram *from)
{
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t count = counter_read(&from->buckets[bucket]);
        if (count > 0)
            counter_add(&sum->buckets[bucket], count);
    }
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        count += counter_read(&histogram->buckets[bucket]);
    return count;
}

/* How many of `count` records make up the quantile: rounded up, at least one. */
static uint64_t rank_of(uint64_t count, double quantile)
{
    if (!(quantile > 0))
        return 1;
    if (quantile >= 1)
        return count;
    double exact = quantile * (double)count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    return rank < count ? rank : count;
}

uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile)
{
    uint64_t count = histogram_count(histogram);
    if (count == 0)
        return 0;
    uint64_t rank = rank_of(count, quantile);
    uint64_t seen = 0;
    uint32_t bucket = 0;
    /* The writer may go on meanwhile: counts only grow, so the rank is reached. */
    for (; bucket < HISTOGRAM_BUCKETS - 1; bucket++) {
        seen += counter_read(&histogram->buckets[bucket]);
        if (seen >= rank)
            break;
    }
    return histogram_bucket_low_us(bucket) + histogram_bucket_width_us(bucket) - 1;
}
