/*
 * A log-linear histogram of durations in microseconds: 16 linear steps in each power of two, so that a quantile is off
 * by at most 1/16 (6.25 %) of its value. One writer, any readers (base/counter.h).
 * Source of the layout: Gil Tene's HdrHistogram, with fixed precision.
 */
#ifndef RINGSIDE_BASE_HISTOGRAM_H
#define RINGSIDE_BASE_HISTOGRAM_H

#include "base/counter.h"

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_STEP_BITS 4
/* Values from 0 to 2^32 - 1 microseconds; larger ones count as the largest. */
#define HISTOGRAM_BUCKETS ((32 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct histogram {
    counter buckets[HISTOGRAM_BUCKETS];
};

/* Bucket of a value; lower bound (inclusive) and width of a bucket. */
static inline uint32_t histogram_bucket(uint64_t value_us)
{
    if (value_us > UINT32_MAX)
        value_us = UINT32_MAX;
    uint32_t v = (uint32_t)value_us;
    if (v < (1u << HISTOGRAM_STEP_BITS))
        return v;
    uint32_t shift = 31 - (uint32_t)__builtin_clz(v) - HISTOGRAM_STEP_BITS;
    return ((shift + 1) << HISTOGRAM_STEP_BITS) + ((v >> shift) & ((1u << HISTOGRAM_STEP_BITS) - 1));
}
uint64_t histogram_bucket_low_us(uint32_t bucket);
uint64_t histogram_bucket_width_us(uint32_t bucket);

static inline void histogram_record(struct histogram *histogram, uint64_t value_us)
{
    counter_add(&histogram->buckets[histogram_bucket(value_us)], 1);
}

/* Adds from's buckets to sum (which belongs to the caller's thread). */
void histogram_add(struct histogram *sum, const struct histogram *from);
uint64_t histogram_count(const struct histogram *histogram);
/* The value that `quantile` (0 … 1) of the records do not exceed, as the upper end of its bucket; 0 when empty. */
uint64_t histogram_quantile_us(const struct histogram *histogram, double quantile);

#endif
