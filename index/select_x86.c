/* select.h for AVX2 (8 rows at a time) and AVX-512 (16): the words of the bits are gathered, and the rows that
 * pass are put side by side. */
#include "index/select_x86.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* GCC 12's AddressSanitizer may spill a register into a frame that is not aligned for it: see
 * kernels_x86.c. */
#define AVX2 __attribute__((target("avx2,bmi,popcnt"), no_sanitize("address")))
#define AVX512                                                                                     \
	__attribute__((target("avx512f,avx512bw,avx512vl,bmi,popcnt"), no_sanitize("address")))

AVX2 static uint32_t avx2_select(const uint64_t *bits, const uint32_t *ids, uint32_t n,
				 uint32_t limit, uint32_t *out, uint32_t *read)
{
	const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	const __m256i sign = _mm256_set1_epi32(INT32_MIN);
	const __m256i most = _mm256_xor_si256(_mm256_set1_epi32((int)limit), sign);
	uint32_t n_out = 0, i = 0;

	for (; i < n; i += 8) {
		__m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n - i)), lanes);
		__m256i id = _mm256_maskload_epi32((const int *)(const void *)(ids + i), there);
		__m256i below =
			_mm256_and_si256(there,
					 _mm256_cmpgt_epi32(most, _mm256_xor_si256(id, sign)));
		uint32_t valid = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(below));
		__m256i word = _mm256_mask_i32gather_epi32(_mm256_setzero_si256(),
							   (const int *)(const void *)bits,
							   _mm256_srli_epi32(id, 5), below, 4);
		/* the row's bit to the top, where movemask finds it */
		__m256i shift = _mm256_andnot_si256(id, _mm256_set1_epi32(31));
		uint32_t set = (uint32_t)_mm256_movemask_ps(
			_mm256_castsi256_ps(_mm256_sllv_epi32(word, shift)));

		valid &= valid ^ (valid + 1); /* before the first that is too large */
		for (set &= valid; set; set &= set - 1)
			out[n_out++] = ids[i + (uint32_t)__builtin_ctz(set)];
		if (valid != 0xff) {
			*read = i + (uint32_t)__builtin_popcount(valid);
			return n_out;
		}
	}
	*read = n;
	return n_out;
}

AVX512 static uint32_t avx512_select(const uint64_t *bits, const uint32_t *ids, uint32_t n,
				     uint32_t limit, uint32_t *out, uint32_t *read)
{
	const __m512i most = _mm512_set1_epi32((int)limit), one = _mm512_set1_epi32(1);
	uint32_t n_out = 0, i = 0;

	for (; i < n; i += 16) {
		uint32_t there = n - i < 16 ? (1u << (n - i)) - 1 : 0xffff;
		__m512i id = _mm512_maskz_loadu_epi32((__mmask16)there, ids + i);
		uint32_t valid = _mm512_mask_cmplt_epu32_mask((__mmask16)there, id, most);

		valid &= valid ^ (valid + 1); /* before the first that is too large */
		__m512i word = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), (__mmask16)valid,
							   _mm512_srli_epi32(id, 5), bits, 4);
		__m512i bit = _mm512_sllv_epi32(one, _mm512_and_si512(id, _mm512_set1_epi32(31)));
		uint32_t set = _mm512_mask_test_epi32_mask((__mmask16)valid, word, bit);

		_mm512_storeu_si512(out + n_out, _mm512_maskz_compress_epi32((__mmask16)set, id));
		n_out += (uint32_t)__builtin_popcount(set);
		if (valid != 0xffff) {
			*read = i + (uint32_t)__builtin_popcount(valid);
			return n_out;
		}
	}
	*read = n;
	return n_out;
}

select_fn select_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") ? avx2_select : NULL;
}

select_fn select_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
			       __builtin_cpu_supports("avx512vl")
		       ? avx512_select
		       : NULL;
}

#else

select_fn select_avx2(void)
{
	return NULL;
}

select_fn select_avx512(void)
{
	return NULL;
}

#endif
