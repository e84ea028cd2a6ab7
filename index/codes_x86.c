/* Kernels on 8-bit codes. The rows of a call lie anywhere, so each is asked for some rows before it is
 * used; four rows are summed side by side, each load of the query serving all of them.
 */
#include "index/codes_x86.h"

#include "index/codes.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { AHEAD = 8, LINE = 64 };

/* GCC 12's AddressSanitizer may spill a register into a frame that is not aligned for it: see
 * kernels_x86.c. */
#define AVX2_TARGET target("avx2"), no_sanitize("address")
#define AVX512_TARGET                                                                              \
	target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"), no_sanitize("address")
#define AVX2          __attribute__((AVX2_TARGET))
#define AVX2_INLINE   static inline __attribute__((always_inline, AVX2_TARGET))
#define AVX512        __attribute__((AVX512_TARGET))
#define AVX512_INLINE static inline __attribute__((always_inline, AVX512_TARGET))

static inline __attribute__((always_inline)) void prefetch_row(const uint8_t *row, size_t stride)
{
	for (size_t b = 0; b < stride; b += LINE)
		__builtin_prefetch(row + b);
}

/* ---- AVX2 ------------------------------------------------------------------------------------ */

AVX2_INLINE __m256i dot_32(__m256i sum, __m256i query, __m256i code)
{
	/* u8 x s8 pairs: |query| <= 64, so 2 * 255 * 64 fits in 16 bits */
	__m256i pairs = _mm256_maddubs_epi16(code, query);
	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
AVX2_INLINE __m256i l1_32(__m256i sum, __m256i query, __m256i code)
{
	return _mm256_add_epi32(sum, _mm256_sad_epu8(code, query));
}
AVX2_INLINE int32_t sum_32(__m256i s)
{
	__m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
	t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
	t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
	return _mm_cvtsi128_si32(t);
}
AVX2_INLINE __m256i at_32(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

#define AVX2_KERNEL(op)                                                                            \
	AVX2 static void avx2_##op(const uint8_t *query, const uint8_t *codes, size_t stride,      \
				   const uint32_t *ids, uint32_t n, int32_t *out)                  \
	{                                                                                          \
		uint32_t i = 0;                                                                    \
		for (; i < n && i < AHEAD; i++)                                                    \
			prefetch_row(codes + (size_t)ids[i] * stride, stride);                     \
		for (i = 0; i + 2 <= n; i += 2) {                                                  \
			const uint8_t *a = codes + (size_t)ids[i] * stride;                        \
			const uint8_t *b = codes + (size_t)ids[i + 1] * stride;                    \
			__m256i s = _mm256_setzero_si256(), t = s, u = s, v = s;                   \
			for (uint32_t j = i + AHEAD; j < i + AHEAD + 2 && j < n; j++)              \
				prefetch_row(codes + (size_t)ids[j] * stride, stride);             \
			for (size_t d = 0; d < stride; d += 64) {                                  \
				__m256i x = at_32(query + d), y = at_32(query + d + 32);           \
				s = op##_32(s, x, at_32(a + d));                                   \
				t = op##_32(t, y, at_32(a + d + 32));                              \
				u = op##_32(u, x, at_32(b + d));                                   \
				v = op##_32(v, y, at_32(b + d + 32));                              \
			}                                                                          \
			out[i] = sum_32(_mm256_add_epi32(s, t));                                   \
			out[i + 1] = sum_32(_mm256_add_epi32(u, v));                               \
		}                                                                                  \
		if (i < n) {                                                                       \
			const uint8_t *a = codes + (size_t)ids[i] * stride;                        \
			__m256i s = _mm256_setzero_si256();                                        \
			for (size_t d = 0; d < stride; d += 32)                                    \
				s = op##_32(s, at_32(query + d), at_32(a + d));                    \
			out[i] = sum_32(s);                                                        \
		}                                                                                  \
	}

AVX2_KERNEL(dot)
AVX2_KERNEL(l1)

/* ---- AVX-512 --------------------------------------------------------------------------------- */

AVX512_INLINE __m512i dot_64(__m512i sum, __m512i query, __m512i code)
{
	return _mm512_dpbusd_epi32(sum, code, query);
}
AVX512_INLINE __m512i l1_64(__m512i sum, __m512i query, __m512i code)
{
	return _mm512_add_epi32(sum, _mm512_sad_epu8(code, query));
}
/* Sums of four registers, in the four lanes of the result. */
AVX512_INLINE __m128i sum_4x64(__m512i a, __m512i b, __m512i c, __m512i d)
{
	__m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
	__m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
	__m512i all =
		_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
	__m256i half =
		_mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
	return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

#define AVX512_KERNEL(op)                                                                          \
	AVX512 static void avx512_##op(const uint8_t *query, const uint8_t *codes, size_t stride,  \
				       const uint32_t *ids, uint32_t n, int32_t *out)              \
	{                                                                                          \
		uint32_t i = 0;                                                                    \
		for (; i < n && i < AHEAD; i++)                                                    \
			prefetch_row(codes + (size_t)ids[i] * stride, stride);                     \
		for (i = 0; i + 4 <= n; i += 4) {                                                  \
			const uint8_t *a = codes + (size_t)ids[i] * stride;                        \
			const uint8_t *b = codes + (size_t)ids[i + 1] * stride;                    \
			const uint8_t *c = codes + (size_t)ids[i + 2] * stride;                    \
			const uint8_t *e = codes + (size_t)ids[i + 3] * stride;                    \
			__m512i s = _mm512_setzero_si512(), t = s, u = s, v = s;                   \
			for (uint32_t j = i + AHEAD; j < i + AHEAD + 4 && j < n; j++)              \
				prefetch_row(codes + (size_t)ids[j] * stride, stride);             \
			for (size_t d = 0; d < stride; d += 64) {                                  \
				__m512i x = _mm512_loadu_si512(query + d);                         \
				s = op##_64(s, x, _mm512_loadu_si512(a + d));                      \
				t = op##_64(t, x, _mm512_loadu_si512(b + d));                      \
				u = op##_64(u, x, _mm512_loadu_si512(c + d));                      \
				v = op##_64(v, x, _mm512_loadu_si512(e + d));                      \
			}                                                                          \
			_mm_storeu_si128((__m128i *)(void *)(out + i), sum_4x64(s, t, u, v));      \
		}                                                                                  \
		for (; i < n; i++) {                                                               \
			const uint8_t *a = codes + (size_t)ids[i] * stride;                        \
			__m512i s = _mm512_setzero_si512();                                        \
			for (size_t d = 0; d < stride; d += 64)                                    \
				s = op##_64(s, _mm512_loadu_si512(query + d),                      \
					    _mm512_loadu_si512(a + d));                            \
			out[i] = _mm512_reduce_add_epi32(s);                                       \
		}                                                                                  \
	}

AVX512_KERNEL(dot)
AVX512_KERNEL(l1)

const struct code_kernels *code_kernels_avx2(void)
{
	static const struct code_kernels table = {.name = "avx2",
						  .dot = avx2_dot,
						  .l1 = avx2_l1,
						  .query_max = 64};

	return __builtin_cpu_supports("avx2") ? &table : NULL;
}

const struct code_kernels *code_kernels_avx512(void)
{
	static const struct code_kernels table = {.name = "avx512",
						  .dot = avx512_dot,
						  .l1 = avx512_l1,
						  .query_max = 127};

	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
	    !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
	    !__builtin_cpu_supports("avx512vnni"))
		return NULL;
	return &table;
}

#else

const struct code_kernels *code_kernels_avx2(void)
{
	return NULL;
}

const struct code_kernels *code_kernels_avx512(void)
{
	return NULL;
}

#endif
