/* One-bit codes of rows (quantizer "binary"): is a value above the mean of its dimension?
 *
 * A bit stands for mean + step or mean - step, where step is the mean distance from the mean, taken as
 * 0.8 standard deviations (right for normal ones). So every distance is linear in the bits: the query
 * becomes a weight per dimension, as an integer of 4 bits, and the sum of the weights of the bits that
 * are set says how near a row is, larger is nearer. The weights are kept as planes of bits, so that popcount
 * adds them up (so does RaBitQ; Gao and Long, SIGMOD 2024). For Euclid the true squared norm of the row, seen
 * from the means, is added. */
#pragma once
#include "index/codes.h"

enum { BITS_PLANES = 4 };

static inline size_t bits_stride(uint32_t dim) /* bytes */
{
	return ((size_t)dim + 63) / 64 * 8;
}
/* One row into bits_stride(dim) bytes, aligned to 8; for Euclid returns the norm. */
float bits_encode(const struct code_scale *s, const float *row, uint8_t *out);
/* q->bytes: BITS_PLANES * bits_stride(dim), aligned to 8; key = norm - factor * integer (Euclid), else minus the
 * integer. scratch: dim floats. */
void bits_query_init(const struct code_scale *s, const float *vector, float *scratch,
		     struct code_query *q);
/* For the kernels in use; stride is bits_stride(dim). */
code_fn bits_sums_get(void);
void bits_decode(const struct code_scale *s, const uint8_t *code, float *out);
