/* Signed 8-bit codes with one step for all dimensions: the builder's distances. */
#include "base/memory.h"
#include "index/graph_build.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ROWS = 8192 };
static const double widest = 5; /* standard deviations; values beyond are cut */

static inline float load_f32(const float *p, size_t i)
{
	float v;

	memcpy(&v, (const char *)(const void *)p + i * sizeof v, sizeof v);
	return v;
}

/* Means of a sample (zero for inner products, which change when the origin moves) and the reach of the
 * widest dimension. */
static double measure(const struct vindex_rows *rows, bool inner_product, float *mean)
{
	uint32_t n = rows->n < SAMPLE_ROWS ? rows->n : SAMPLE_ROWS, dim = rows->dim;
	double *sum = mem_array(dim, sizeof *sum), *squares = mem_array(dim, sizeof *squares);
	double reach = 0;

	for (uint32_t i = 0; i < n; i++) {
		size_t at = (size_t)((uint64_t)i * rows->n / n) * dim;

		for (uint32_t d = 0; d < dim; d++) {
			double x = (double)load_f32(rows->data, at + d);

			sum[d] += x;
			squares[d] += x * x;
		}
	}
	for (uint32_t d = 0; d < dim; d++) {
		double m = inner_product ? 0 : sum[d] / n;
		double variance = squares[d] / n - 2 * m * sum[d] / n + m * m;

		mean[d] = (float)m;
		if (variance > 0)
			reach = fmax(reach, widest * sqrt(variance));
	}
	free(sum);
	free(squares);
	return isfinite(reach) ? reach : 0;
}

static void encode(const struct graph_codes *c, const float *row, const float *mean, float inverse,
		   uint32_t i)
{
	uint8_t *to = c->codes + (size_t)i * c->stride;
	float most = (float)c->kernels->query_max;
	int32_t norm = 0;

	for (uint32_t d = 0; d < c->dim; d++) {
		float t = (load_f32(row, d) - mean[d]) * inverse;

		t = t < -most ? -most : t;
		t = t > most ? most : t;
		int32_t code = (int32_t)(t + 128.5f); /* positive: truncation rounds down */
		norm += (code - 128) * (code - 128);
		to[d] = (uint8_t)code;
	}
	memset(to + c->dim, 128, c->stride - c->dim);
	c->norms[i] = norm;
}

int graph_codes_init(struct graph_codes *c, const struct vindex_rows *rows, enum distance distance,
		     struct error *err)
{
	float *mean = mem_array(rows->dim, sizeof *mean);

	*c = (struct graph_codes){
		.n = rows->n,
		.dim = rows->dim,
		.stride = code_stride(rows->dim),
		/* for unit vectors the Euclidean distance sorts as the inner product does */
		.inner_product = distance == DISTANCE_DOT,
		.kernels = code_kernels_get(),
	};
	c->codes = aligned_alloc(CODE_ALIGN, (size_t)rows->n * c->stride);
	c->norms = malloc((size_t)rows->n * sizeof *c->norms);
	if (!c->codes || !c->norms) {
		free(mean);
		graph_codes_fini(c);
		return error_set(err, ERR_NOMEM, "no memory for the codes of %u rows", rows->n);
	}
	double reach = measure(rows, c->inner_product, mean);
	float inverse = reach > 0 ? (float)(c->kernels->query_max / reach) : 0;
	for (uint32_t i = 0; i < rows->n; i++) {
		const char *row = (const char *)rows->data + (size_t)i * rows->dim * sizeof(float);

		encode(c, (const float *)(const void *)row, mean, inverse, i);
	}
	free(mean);
	return 0;
}

void graph_codes_fini(struct graph_codes *c)
{
	free(c->codes);
	free(c->norms);
	*c = (struct graph_codes){0}; /* who could not make them ends them once more */
}

void graph_query_init(const struct graph_codes *c, uint32_t row, struct graph_query *q)
{
	const uint8_t *code = c->codes + (size_t)row * c->stride;
	int32_t sum = 0;

	for (size_t d = 0; d < c->stride; d++) {
		q->bytes[d] = code[d] ^ 0x80;
		sum += (int32_t)code[d] - 128;
	}
	q->shift = 128 * sum;
	q->norm = c->norms[row];
}

void graph_keys(const struct graph_codes *c, const struct graph_query *q, const uint32_t *ids,
		uint32_t n, int32_t *sums, uint32_t *keys)
{
	c->kernels->dot(q->bytes, c->codes, c->stride, ids, n, sums);
	for (uint32_t i = 0; i < n; i++) {
		int64_t dot = (int64_t)sums[i] - q->shift;

		keys[i] = c->inner_product
				  ? (uint32_t)(0x80000000ll - dot)
				  : (uint32_t)((int64_t)c->norms[ids[i]] + q->norm - 2 * dot);
	}
}
