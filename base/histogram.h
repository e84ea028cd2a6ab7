/* Latency histogram: log-linear buckets (16 per power of two) over 0 .. 2^43, relative error < 7 %;
 * larger values count as the largest seen. Recording takes no lock and is thread-safe; a zeroed
 * struct is an empty histogram. */
#pragma once
#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 16 * 41 };

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS];
	uint64_t count;
	uint64_t sum;
	uint64_t max;
};

void histogram_record(struct histogram *h, uint64_t value);
uint64_t histogram_quantile(const struct histogram *h, double q); /* q in [0, 1]; 0 when empty */
