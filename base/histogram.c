/* Latency histogram. Values below 16 have a bucket each; above, every power of two is cut into 16
 * equal parts. All fields are touched with relaxed atomics: a reader sees each number whole, and
 * the numbers beside each other as of slightly different moments. */
#include "base/histogram.h"
#include <stdbool.h>
#include <stddef.h>

enum { SUB_BITS = 4, SUB_BUCKETS = 1 << SUB_BITS };

static uint32_t bucket_of(uint64_t value)
{
	if (value < SUB_BUCKETS)
		return (uint32_t)value;
	uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value);
	uint32_t sub = (uint32_t)(value >> (exponent - SUB_BITS)) & (SUB_BUCKETS - 1);
	uint32_t bucket = (exponent - SUB_BITS + 1) * SUB_BUCKETS + sub;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_top(uint32_t bucket)
{
	if (bucket < SUB_BUCKETS)
		return bucket;
	uint32_t shift = bucket / SUB_BUCKETS - 1;
	uint64_t sub = bucket % SUB_BUCKETS;
	return ((SUB_BUCKETS + sub + 1) << shift) - 1;
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void raise_max(uint64_t *max, uint64_t value)
{
	uint64_t seen = load(max);
	while (seen < value && !__atomic_compare_exchange_n(max, &seen, value, true,
							    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void histogram_record(struct histogram *h, uint64_t value)
{
	__atomic_fetch_add(&h->buckets[bucket_of(value)], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->count, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->sum, value, __ATOMIC_RELAXED);
	raise_max(&h->max, value);
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t total = 0;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += load(&h->buckets[i]);
	if (total == 0)
		return 0;
	if (q < 0)
		q = 0;
	if (q > 1)
		q = 1;
	double rank = q * (double)total;
	uint64_t max = load(&h->max);
	uint64_t seen = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += load(&h->buckets[i]);
		if (seen > 0 && (double)seen >= rank) {
			uint64_t top = bucket_top(i);
			return top < max ? top : max;
		}
	}
	return max;
}
