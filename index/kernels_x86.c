/* Float kernels for AVX2 + FMA and for AVX-512. Each function carries its target attribute, so this
 * file is compiled with the flags of everything else and nothing here runs before
 * __builtin_cpu_supports said yes.
 *
 * A row is summed in two registers, a block of the vector width each in turn, the tail in the first
 * one; the forms for four rows keep this order for each row and gain by using each load of the query
 * four times and by eight independent chains of additions.
 */
#include "index/kernels_x86.h"

#include "index/kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2        __attribute__((target("avx2,fma")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2,fma")))
/* GCC 12's AddressSanitizer may put a register that it spills in a frame aligned to 32 bytes only, so
 * these are left out; the kernels for AVX2 and the plain ones read the same bytes under its eyes. */
#define AVX512_TARGET target("avx512f,avx512bw,avx512vl,avx512dq,fma"), no_sanitize("address")
#define AVX512        __attribute__((AVX512_TARGET))
#define AVX512_INLINE static inline __attribute__((always_inline, AVX512_TARGET))

/* One block: sum, query, row -> sum. */
AVX2_INLINE __m256 dot_8(__m256 s, __m256 x, __m256 y)
{
	return _mm256_fmadd_ps(x, y, s);
}
AVX2_INLINE __m256 l2_8(__m256 s, __m256 x, __m256 y)
{
	__m256 d = _mm256_sub_ps(x, y);
	return _mm256_fmadd_ps(d, d, s);
}
AVX2_INLINE __m256 l1_8(__m256 s, __m256 x, __m256 y)
{
	__m256 d = _mm256_sub_ps(x, y);
	return _mm256_add_ps(s, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d));
}
AVX2_INLINE float sum_8(__m256 s)
{
	__m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
	t = _mm_add_ps(t, _mm_movehl_ps(t, t));
	t = _mm_add_ss(t, _mm_movehdup_ps(t));
	return _mm_cvtss_f32(t);
}
/* Lanes below n are loaded, the others are zero. */
AVX2_INLINE __m256 load_tail_8(const float *p, size_t n)
{
	__m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
	return _mm256_maskload_ps(p, mask);
}

#define AVX2_KERNEL(op, sign)                                                                      \
	AVX2 static float avx2_##op(const float *a, const float *b, size_t dim)                    \
	{                                                                                          \
		__m256 s = _mm256_setzero_ps(), t = _mm256_setzero_ps();                           \
		size_t i = 0;                                                                      \
		for (; i + 16 <= dim; i += 16) {                                                   \
			s = op##_8(s, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));             \
			t = op##_8(t, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));     \
		}                                                                                  \
		if (i + 8 <= dim) {                                                                \
			s = op##_8(s, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));             \
			i += 8;                                                                    \
		}                                                                                  \
		if (i < dim)                                                                       \
			s = op##_8(s, load_tail_8(a + i, dim - i), load_tail_8(b + i, dim - i));   \
		return sign sum_8(_mm256_add_ps(s, t));                                            \
	}                                                                                          \
	AVX2 static void avx2_##op##4(const float *q, const float *const r[4], size_t dim,         \
				      float out[4])                                                \
	{                                                                                          \
		__m256 s[4], t[4];                                                                 \
		size_t i = 0;                                                                      \
		for (int j = 0; j < 4; j++)                                                        \
			s[j] = t[j] = _mm256_setzero_ps();                                         \
		for (; i + 16 <= dim; i += 16) {                                                   \
			__m256 x = _mm256_loadu_ps(q + i), y = _mm256_loadu_ps(q + i + 8);         \
			for (int j = 0; j < 4; j++) {                                              \
				s[j] = op##_8(s[j], x, _mm256_loadu_ps(r[j] + i));                 \
				t[j] = op##_8(t[j], y, _mm256_loadu_ps(r[j] + i + 8));             \
			}                                                                          \
		}                                                                                  \
		if (i + 8 <= dim) {                                                                \
			__m256 x = _mm256_loadu_ps(q + i);                                         \
			for (int j = 0; j < 4; j++)                                                \
				s[j] = op##_8(s[j], x, _mm256_loadu_ps(r[j] + i));                 \
			i += 8;                                                                    \
		}                                                                                  \
		if (i < dim) {                                                                     \
			__m256 x = load_tail_8(q + i, dim - i);                                    \
			for (int j = 0; j < 4; j++)                                                \
				s[j] = op##_8(s[j], x, load_tail_8(r[j] + i, dim - i));            \
		}                                                                                  \
		for (int j = 0; j < 4; j++)                                                        \
			out[j] = sign sum_8(_mm256_add_ps(s[j], t[j]));                            \
	}

AVX2_KERNEL(dot, -)
AVX2_KERNEL(l2, +)
AVX2_KERNEL(l1, +)

AVX512_INLINE __m512 dot_16(__m512 s, __m512 x, __m512 y)
{
	return _mm512_fmadd_ps(x, y, s);
}
AVX512_INLINE __m512 l2_16(__m512 s, __m512 x, __m512 y)
{
	__m512 d = _mm512_sub_ps(x, y);
	return _mm512_fmadd_ps(d, d, s);
}
AVX512_INLINE __m512 l1_16(__m512 s, __m512 x, __m512 y)
{
	return _mm512_add_ps(s, _mm512_abs_ps(_mm512_sub_ps(x, y)));
}

#define AVX512_KERNEL(op, sign)                                                                    \
	AVX512 static float avx512_##op(const float *a, const float *b, size_t dim)                \
	{                                                                                          \
		__m512 s = _mm512_setzero_ps(), t = _mm512_setzero_ps();                           \
		size_t i = 0;                                                                      \
		for (; i + 32 <= dim; i += 32) {                                                   \
			s = op##_16(s, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));            \
			t = op##_16(t, _mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));  \
		}                                                                                  \
		if (i + 16 <= dim) {                                                               \
			s = op##_16(s, _mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));            \
			i += 16;                                                                   \
		}                                                                                  \
		if (i < dim) {                                                                     \
			__mmask16 m = (__mmask16)((1u << (dim - i)) - 1);                          \
			s = op##_16(s, _mm512_maskz_loadu_ps(m, a + i),                            \
				    _mm512_maskz_loadu_ps(m, b + i));                              \
		}                                                                                  \
		return sign _mm512_reduce_add_ps(_mm512_add_ps(s, t));                             \
	}                                                                                          \
	AVX512 static void avx512_##op##4(const float *q, const float *const r[4], size_t dim,     \
					  float out[4])                                            \
	{                                                                                          \
		__m512 s[4], t[4];                                                                 \
		size_t i = 0;                                                                      \
		for (int j = 0; j < 4; j++)                                                        \
			s[j] = t[j] = _mm512_setzero_ps();                                         \
		for (; i + 32 <= dim; i += 32) {                                                   \
			__m512 x = _mm512_loadu_ps(q + i), y = _mm512_loadu_ps(q + i + 16);        \
			for (int j = 0; j < 4; j++) {                                              \
				s[j] = op##_16(s[j], x, _mm512_loadu_ps(r[j] + i));                \
				t[j] = op##_16(t[j], y, _mm512_loadu_ps(r[j] + i + 16));           \
			}                                                                          \
		}                                                                                  \
		if (i + 16 <= dim) {                                                               \
			__m512 x = _mm512_loadu_ps(q + i);                                         \
			for (int j = 0; j < 4; j++)                                                \
				s[j] = op##_16(s[j], x, _mm512_loadu_ps(r[j] + i));                \
			i += 16;                                                                   \
		}                                                                                  \
		if (i < dim) {                                                                     \
			__mmask16 m = (__mmask16)((1u << (dim - i)) - 1);                          \
			__m512 x = _mm512_maskz_loadu_ps(m, q + i);                                \
			for (int j = 0; j < 4; j++)                                                \
				s[j] = op##_16(s[j], x, _mm512_maskz_loadu_ps(m, r[j] + i));       \
		}                                                                                  \
		for (int j = 0; j < 4; j++)                                                        \
			out[j] = sign _mm512_reduce_add_ps(_mm512_add_ps(s[j], t[j]));             \
	}

AVX512_KERNEL(dot, -)
AVX512_KERNEL(l2, +)
AVX512_KERNEL(l1, +)

const struct kernels *kernels_avx2(void)
{
	static const struct kernels table = {
		.name = "avx2",
		.dot = avx2_dot,
		.l2 = avx2_l2,
		.l1 = avx2_l1,
		.dot4 = avx2_dot4,
		.l24 = avx2_l24,
		.l14 = avx2_l14,
	};

	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return NULL;
	return &table;
}

const struct kernels *kernels_avx512(void)
{
	static const struct kernels table = {
		.name = "avx512",
		.dot = avx512_dot,
		.l2 = avx512_l2,
		.l1 = avx512_l1,
		.dot4 = avx512_dot4,
		.l24 = avx512_l24,
		.l14 = avx512_l14,
	};

	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
	    !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
		return NULL;
	return &table;
}

#else

const struct kernels *kernels_avx2(void)
{
	return NULL;
}

const struct kernels *kernels_avx512(void)
{
	return NULL;
}

#endif
