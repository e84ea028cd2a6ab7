/* Distance kernels over float32 rows: plain C, AVX2 + FMA, AVX-512; the best one that this processor
 * runs is chosen once, at the first use.
 *
 * Every function takes rows at any address (a mapped file need not align them) and any dimension. A
 * function and its form for four rows add up in the same order, so a row has the same distance
 * whatever rows it is computed with: results do not depend on how a search groups its rows. Between
 * two kernels the last bits differ.
 */
#pragma once

#include "model/collection.h"
#include <stddef.h>
#include <stdint.h>

typedef float (*kernel_fn)(const float *a, const float *b, size_t dim);
typedef void (*kernel4_fn)(const float *query, const float *const rows[4], size_t dim,
			   float out[4]);

/* Keys: smaller is better. dot: minus the inner product; l2: squared distance; l1: sum of |a-b|. */
struct kernels {
	const char *name; /* "plain", "avx2", "avx512" */
	kernel_fn dot, l2, l1;
	kernel4_fn dot4, l24, l14;
};

enum kernel_level { KERNEL_PLAIN, KERNEL_AVX2, KERNEL_AVX512, KERNEL_LEVELS };

/* NULL when this processor cannot run the level. */
const struct kernels *kernels_at(enum kernel_level level);
/* The chosen ones; never NULL. */
const struct kernels *kernels_get(void);
enum kernel_level kernels_level(void);
/* For benchmarks and tests, before any index is built or opened: use nothing above `level`. Not
 * thread-safe. */
void kernels_limit(enum kernel_level level);

kernel_fn kernels_distance(const struct kernels *k, enum distance distance);
kernel4_fn kernels_distance4(const struct kernels *k, enum distance distance);
