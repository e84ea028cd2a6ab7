/* One-bit codes; see the header. */
#include "index/bits.h"

#include <math.h>
#include <string.h>

static inline float load_f32(const float *p, size_t i)
{
	float v;

	memcpy(&v, (const char *)(const void *)p + i * sizeof v, sizeof v);
	return v;
}

float bits_encode(const struct code_scale *s, const float *row, uint8_t *out)
{
	double norm = 0;

	memset(out, 0, bits_stride(s->dim));
	for (uint32_t d = 0; d < s->dim; d++) {
		float x = load_f32(row, d) - s->middle[d];

		out[d / 8] |= (uint8_t)((x > 0) << d % 8);
		norm += (double)x * (double)x;
	}
	return s->distance == DISTANCE_EUCLID && isfinite(norm) ? (float)norm : 0;
}

/* What a set bit changes, larger is nearer. */
static float weight(const struct code_scale *s, float q, uint32_t d)
{
	float m = s->middle[d], step = s->step[d];

	switch (s->distance) {
	case DISTANCE_EUCLID: return (q - m) * step;
	case DISTANCE_MANHATTAN: return (fabsf(q - m + step) - fabsf(q - m - step)) / 2;
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	default: return q * step;
	}
}

void bits_query_init(const struct code_scale *s, const float *vector, float *scratch,
		     struct code_query *q)
{
	const int32_t least = -(1 << (BITS_PLANES - 1)), greatest = -least - 1;
	size_t stride = bits_stride(s->dim);
	float most = 0;

	memset(q->bytes, 0, BITS_PLANES * stride);
	q->factor = 0;
	for (uint32_t d = 0; d < s->dim; d++) {
		scratch[d] = weight(s, vector[d], d);
		most = fabsf(scratch[d]) > most ? fabsf(scratch[d]) : most;
	}
	bool usable = most > 0 && isfinite(most);
	float inverse = usable ? (float)greatest / most : 0;
	for (uint32_t d = 0; d < s->dim; d++) {
		/* moved by -least, so that all planes are positive; sum_planes() takes it back */
		uint32_t w = (uint32_t)(lrintf(usable ? scratch[d] * inverse : 0) - least);

		for (uint32_t plane = 0; plane < BITS_PLANES; plane++)
			q->bytes[plane * stride + d / 8] |= (uint8_t)((w >> plane & 1) << d % 8);
	}
	/* A bit moves the value by two steps, and the product counts twice in the square. */
	if (usable)
		q->factor = 4 / inverse;
}

static inline __attribute__((always_inline)) void sum_planes(const uint8_t *query,
							     const uint8_t *codes, size_t stride,
							     const uint32_t *ids, uint32_t n,
							     int32_t *out)
{
	const uint64_t *planes = (const uint64_t *)(const void *)query;
	size_t words = stride / 8;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *code =
			(const uint64_t *)(const void *)(codes + (size_t)ids[i] * stride);
		int64_t sum = 0;

		for (size_t w = 0; w < words; w++) {
			uint64_t bits = code[w];

			sum += __builtin_popcountll(bits & planes[w]);
			sum += __builtin_popcountll(bits & planes[words + w]) * 2;
			sum += __builtin_popcountll(bits & planes[2 * words + w]) * 4;
			sum += __builtin_popcountll(bits & planes[3 * words + w]) * 8;
			sum -= __builtin_popcountll(bits) * 8;
		}
		out[i] = (int32_t)sum;
	}
}

/* Without the instruction that counts bits, each word takes a call. */
#if defined(__x86_64__)
__attribute__((target("popcnt"))) static void sums_popcnt(const uint8_t *query,
							  const uint8_t *codes, size_t stride,
							  const uint32_t *ids, uint32_t n,
							  int32_t *out)
{
	sum_planes(query, codes, stride, ids, n, out);
}
#endif

static void sums_plain(const uint8_t *query, const uint8_t *codes, size_t stride,
		       const uint32_t *ids, uint32_t n, int32_t *out)
{
	sum_planes(query, codes, stride, ids, n, out);
}

code_fn bits_sums_get(void)
{
#if defined(__x86_64__)
	if (kernels_level() != KERNEL_PLAIN && __builtin_cpu_supports("popcnt"))
		return sums_popcnt;
#endif
	return sums_plain;
}

void bits_decode(const struct code_scale *s, const uint8_t *code, float *out)
{
	for (uint32_t d = 0; d < s->dim; d++) {
		bool above = code[d / 8] >> d % 8 & 1;

		out[d] = s->middle[d] + (above ? s->step[d] : -s->step[d]);
	}
}
