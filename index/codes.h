/* 8-bit codes of rows, and the kernels that compare a query with them: plain C, AVX2, AVX-512 VNNI.
 *
 * A row x becomes bytes c with x ~ middle + step * (c - 128), per dimension; the query is quantised to
 * signed bytes after its values are multiplied by the steps, so that one integer dot product stands for
 * the inner product with the decoded row (up to a constant and a factor, which order nothing). For the
 * Euclidean distance the squared norm of the decoded row is added; for Manhattan all dimensions share
 * one step and the sum of absolute differences of bytes is taken.
 *
 * The results of all kernels are the same integers, but AVX2 without VNNI multiplies bytes into
 * saturating 16-bit sums: for it (and for nothing else) the query keeps 7 bits, -64..63.
 */
#pragma once

#include "index/kernels.h"
#include "index/vindex.h"
#include <stdint.h>

enum { CODE_ALIGN = 64 }; /* bytes; a code is padded with zeros to a multiple */

/* out[i] = sum over stride of query[d] * codes[ids[i] * stride + d] (or of |query - code|). stride is a
 * multiple of CODE_ALIGN; codes are aligned to it. */
typedef void (*code_fn)(const uint8_t *query, const uint8_t *codes, size_t stride,
			const uint32_t *ids, uint32_t n, int32_t *out);

struct code_kernels {
	const char *name;
	code_fn dot;       /* query: int8_t */
	code_fn l1;        /* query: uint8_t */
	int32_t query_max; /* largest absolute value of a query byte in dot */
};

const struct code_kernels *code_kernels_at(enum kernel_level level); /* NULL: not on this machine */
const struct code_kernels *code_kernels_get(void);

/* How rows are coded. */
struct code_scale {
	uint32_t dim;
	enum distance distance;
	float *middle;  /* dim */
	float *step;    /* dim; all the same for Manhattan; 0 where the dimension is constant */
	float *inverse; /* 1 / step, or 0 */
};

static inline size_t code_stride(uint32_t dim)
{
	return ((size_t)dim + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
}

/* Looks at a sample of the rows. */
void code_scale_init(struct code_scale *s, const struct vindex_rows *rows, enum distance distance);
void code_scale_fini(struct code_scale *s);
/* Codes one row (any alignment) into code_stride(dim) bytes; for Euclid returns the squared norm of
 * the decoded row, measured from the middle. */
float code_encode(const struct code_scale *s, const float *row, uint8_t *out);
void code_decode(const struct code_scale *s, const uint8_t *code, float *out);
/* The same for codes of one bit (bits.h): middle is the mean, step 0.8 standard deviations. */
void code_scale_init_bits(struct code_scale *s, const struct vindex_rows *rows,
			  enum distance distance);

/* A query made ready: its bytes, and what turns an integer into a key. */
struct code_query {
	uint8_t *bytes; /* code_stride(dim), given by the caller, aligned */
	float factor;   /* key = norm - factor * integer (Euclid) */
};
void code_query_init(const struct code_scale *s, const struct code_kernels *k, const float *vector,
		     float *scratch, struct code_query *q);
/* Of its bytes. */
int32_t code_query_sum(const struct code_query *q, uint32_t dim);
