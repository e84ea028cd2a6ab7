/* 8-bit codes: scales, coding, and the plain kernels. */
#include "index/codes.h"

#include "base/memory.h"
#include "index/codes_x86.h"
#include "index/rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ROWS = 8192 };
/* Values beyond this many standard deviations are cut: re-scoring sees them as they are. */
static const float widest = 5.0f;

static inline float load_f32(const float *p, size_t i)
{
	float v;

	memcpy(&v, (const char *)(const void *)p + i * sizeof v, sizeof v);
	return v;
}

struct spread {
	double *sum, *squares;
	float *low, *high;
};

static void measure(const struct vindex_rows *rows, uint32_t n, struct spread *s)
{
	float *scratch = mem_array(rows->dim, sizeof *scratch);

	for (uint32_t d = 0; d < rows->dim; d++) {
		s->low[d] = INFINITY;
		s->high[d] = -INFINITY;
	}
	for (uint32_t i = 0; i < n; i++) {
		const float *row = rows_get(rows, (uint64_t)i * rows->n / n, scratch);

		for (uint32_t d = 0; d < rows->dim; d++) {
			float x = load_f32(row, d);

			if (!isfinite(x)) /* a damaged file */
				continue;
			s->sum[d] += (double)x;
			s->squares[d] += (double)x * (double)x;
			s->low[d] = x < s->low[d] ? x : s->low[d];
			s->high[d] = x > s->high[d] ? x : s->high[d];
		}
	}
	free(scratch);
}

/* Measures a sample, whose size it returns, and makes room for the scale. */
static uint32_t begin(struct code_scale *s, const struct vindex_rows *rows, enum distance distance,
		      struct spread *spread)
{
	uint32_t dim = rows->dim, n = rows->n < SAMPLE_ROWS ? rows->n : SAMPLE_ROWS;

	*spread = (struct spread){
		.sum = mem_array(dim, sizeof(double)),
		.squares = mem_array(dim, sizeof(double)),
		.low = mem_array(dim, sizeof(float)),
		.high = mem_array(dim, sizeof(float)),
	};
	s->dim = dim;
	s->distance = distance;
	s->middle = mem_array(dim, sizeof(float));
	s->step = mem_array(dim, sizeof(float));
	s->inverse = mem_array(dim, sizeof(float));
	measure(rows, n, spread);
	return n;
}

static void spread_fini(struct spread *spread)
{
	free(spread->sum);
	free(spread->squares);
	free(spread->low);
	free(spread->high);
}

void code_scale_init_bits(struct code_scale *s, const struct vindex_rows *rows,
			  enum distance distance)
{
	struct spread spread;
	uint32_t n = begin(s, rows, distance, &spread);

	for (uint32_t d = 0; d < s->dim; d++) {
		double mean = n ? spread.sum[d] / n : 0;
		double variance = n ? spread.squares[d] / n - mean * mean : 0;

		s->middle[d] = isfinite((float)mean) ? (float)mean : 0;
		s->step[d] = isfinite((float)variance) && variance > 0
				     ? 0.8f * (float)sqrt(variance)
				     : 0;
	}
	spread_fini(&spread);
}

void code_scale_init(struct code_scale *s, const struct vindex_rows *rows, enum distance distance)
{
	struct spread spread;
	uint32_t n = begin(s, rows, distance, &spread);
	uint32_t dim = s->dim;
	float most = 0;

	for (uint32_t d = 0; d < dim; d++) {
		double mean = n ? spread.sum[d] / n : 0;
		double variance = n ? spread.squares[d] / n - mean * mean : 0;
		float reach = widest * (float)sqrt(variance > 0 ? variance : 0);
		float low = fmaxf(spread.low[d], (float)mean - reach);
		float high = fminf(spread.high[d], (float)mean + reach);

		if (!(high > low) || !isfinite(high - low)) /* constant, or nothing finite */
			low = high = isfinite(mean) ? (float)mean : 0;
		s->middle[d] = (low + high) / 2;
		s->step[d] = (high - low) / 254;
		most = fmaxf(most, s->step[d]);
	}
	/* One step for all: bytes of different dimensions are added up. */
	for (uint32_t d = 0; d < dim; d++) {
		if (distance == DISTANCE_MANHATTAN)
			s->step[d] = most;
		s->inverse[d] = s->step[d] > 0 ? 1 / s->step[d] : 0;
	}
	spread_fini(&spread);
}

void code_scale_fini(struct code_scale *s)
{
	free(s->middle);
	free(s->step);
	free(s->inverse);
}

static inline uint8_t encode_value(float x, float middle, float inverse)
{
	float c = (x - middle) * inverse + 128.5f;

	/* NaN becomes 0: every comparison with it is false */
	c = c > 0 ? c : 0;
	c = c < 255 ? c : 255;
	return (uint8_t)(int32_t)c;
}

float code_encode(const struct code_scale *s, const float *row, uint8_t *out)
{
	const float *restrict middle = s->middle, *restrict inverse = s->inverse;
	uint8_t *restrict to = out;
	float norm = 0;

	for (uint32_t d = 0; d < s->dim; d++)
		to[d] = encode_value(load_f32(row, d), middle[d], inverse[d]);
	memset(out + s->dim, 0, code_stride(s->dim) - s->dim);
	for (uint32_t d = 0; d < s->dim && s->distance == DISTANCE_EUCLID; d++) {
		float decoded = s->step[d] * ((float)out[d] - 128);

		norm += decoded * decoded;
	}
	return norm;
}

void code_decode(const struct code_scale *s, const uint8_t *code, float *out)
{
	for (uint32_t d = 0; d < s->dim; d++)
		out[d] = s->middle[d] + s->step[d] * ((float)code[d] - 128);
}

/* Times the steps; returns the largest absolute value. As integers these sort as they do as floats, and a compiler
 * takes several at once. */
static float scale_query(const struct code_scale *s, const float *restrict vector,
			 float *restrict out)
{
	const float *restrict middle = s->middle, *restrict step = s->step;
	uint32_t most = 0, dim = s->dim;
	float size;

	if (s->distance == DISTANCE_EUCLID) {
		for (uint32_t d = 0; d < dim; d++)
			out[d] = (vector[d] - middle[d]) * step[d];
	} else {
		for (uint32_t d = 0; d < dim; d++)
			out[d] = vector[d] * step[d];
	}
	for (uint32_t d = 0; d < dim; d++) {
		uint32_t bits;

		memcpy(&bits, out + d, sizeof bits);
		bits &= INT32_MAX;
		most = bits > most ? bits : most;
	}
	memcpy(&size, &most, sizeof size);
	return size;
}

void code_query_init(const struct code_scale *s, const struct code_kernels *k, const float *vector,
		     float *scratch, struct code_query *q)
{
	size_t stride = code_stride(s->dim);
	float most;

	memset(q->bytes, 0, stride);
	q->factor = 0;
	if (s->distance == DISTANCE_MANHATTAN) {
		for (uint32_t d = 0; d < s->dim; d++)
			q->bytes[d] = encode_value(vector[d], s->middle[d], s->inverse[d]);
		return;
	}
	most = scale_query(s, vector, scratch);
	if (!(most > 0) || !isfinite(most))
		return;
	const float *restrict from = scratch;
	uint8_t *restrict to = q->bytes;
	float inverse = (float)k->query_max / most;
	for (uint32_t d = 0, dim = s->dim; d < dim; d++) {
		/* rounded by adding a half to a positive number */
		float c = from[d] * inverse + 256.5f;

		to[d] = (uint8_t)(int8_t)((int)c - 256);
	}
	q->factor = 2 / inverse;
}

int32_t code_query_sum(const struct code_query *q, uint32_t dim)
{
	int32_t sum = 0;

	for (uint32_t d = 0; d < dim; d++)
		sum += (int8_t)q->bytes[d];
	return sum;
}

static void plain_dot(const uint8_t *query, const uint8_t *codes, size_t stride,
		      const uint32_t *ids, uint32_t n, int32_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *code = codes + (size_t)ids[i] * stride;
		int32_t sum = 0;

		for (size_t d = 0; d < stride; d++)
			sum += (int32_t)(int8_t)query[d] * code[d];
		out[i] = sum;
	}
}

static void plain_l1(const uint8_t *query, const uint8_t *codes, size_t stride, const uint32_t *ids,
		     uint32_t n, int32_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *code = codes + (size_t)ids[i] * stride;
		int32_t sum = 0;

		for (size_t d = 0; d < stride; d++)
			sum += abs((int32_t)query[d] - code[d]);
		out[i] = sum;
	}
}

static const struct code_kernels plain = {.name = "plain",
					  .dot = plain_dot,
					  .l1 = plain_l1,
					  .query_max = 127};

const struct code_kernels *code_kernels_at(enum kernel_level level)
{
	switch (level) {
	case KERNEL_PLAIN: return &plain;
	case KERNEL_AVX2: return code_kernels_avx2();
	case KERNEL_AVX512: return code_kernels_avx512();
	default: return NULL;
	}
}

const struct code_kernels *code_kernels_get(void)
{
	int level = (int)kernels_level();
	const struct code_kernels *k;

	/* AVX-512 without VNNI falls to AVX2 */
	while (!(k = code_kernels_at((enum kernel_level)level)))
		level--;
	return k;
}
