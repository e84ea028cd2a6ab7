/* See target.h. */
#include "bench/target.h"
#include <math.h>
#include <stdlib.h>

void target_search(struct target *t, uint32_t least, uint32_t most, target_recall recall, void *ctx)
{
	uint32_t low = least, high = least;
	double r_low = recall(ctx, least), r_high = r_low;

	while (r_high < t->recall && high < most) {
		low = high;
		r_low = r_high;
		high = high < most / 2 ? high * 2 : most;
		r_high = recall(ctx, high);
	}
	t->reached = r_high >= t->recall;
	while (t->reached && high - low > 1 + low / 8) {
		uint32_t middle = (low + high) / 2;
		double r = recall(ctx, middle);

		if (r >= t->recall) {
			high = middle;
			r_high = r;
		} else {
			low = middle;
			r_low = r;
		}
	}
	t->effort[0] = low;
	t->effort[1] = high;
	t->found[0] = r_low;
	t->found[1] = r_high;
}

double target_qps(const struct target *t)
{
	double span = t->found[1] - t->found[0];
	double part = span > 0 ? (t->recall - t->found[0]) / span : 1;

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return exp(log(t->qps[0]) * (1 - part) + log(t->qps[1]) * part);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
	qsort(values, n, sizeof *values, compare_doubles);
	return values[n / 2];
}
