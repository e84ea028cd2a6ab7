/* How the benchmarks of the index compare engines at one recall: the efforts (ef, nprobe) just below and just above it, and
 * the rate between the two. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
	double recall; /* to be reached */
	uint32_t effort[2];
	double found[2]; /* the recall at each effort */
	double qps[2];   /* the caller's, measured between target_search() and target_qps() */
	bool reached; /* false: the second effort is the most that was allowed, and below the target */
};

/* The recall of all queries at an effort. */
typedef double (*target_recall)(void *ctx, uint32_t effort);

/* Doubles the effort from `least` until the recall is reached, or `most`; then halves the interval until its ends differ by
 * one, or by an eighth of the lower one. */
void target_search(struct target *t, uint32_t least, uint32_t most, target_recall recall,
		   void *ctx);

/* Queries a second at the target, between the two rates on a logarithmic scale; one outside of the two counts as the nearer. */
double target_qps(const struct target *t);

/* Sorts the values in place. */
double median(double *values, size_t n);
