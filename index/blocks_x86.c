/* Kernels on codes in blocks: AVX2, AVX-512 VNNI, and VBMI for the tables of a product quantiser, where four
 * registers hold one of them whole. */
#include "index/blocks_x86.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

/* GCC 12's AddressSanitizer may spill a register into a frame that is not aligned for it: see
 * kernels_x86.c. */
#define AVX2_TARGET target("avx2,fma"), no_sanitize("address")
#define AVX512_TARGET                                                                              \
	target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"), no_sanitize("address")
#define VBMI_TARGET   target("avx512f,avx512bw,avx512vl,avx512vbmi"), no_sanitize("address")
#define AVX2          __attribute__((AVX2_TARGET))
#define AVX2_INLINE   static inline __attribute__((always_inline, AVX2_TARGET))
#define AVX512        __attribute__((AVX512_TARGET))
#define AVX512_INLINE static inline __attribute__((always_inline, AVX512_TARGET))
#define VBMI          __attribute__((VBMI_TARGET))

enum { GROUP_BYTES = BLOCK_ROWS * BLOCK_GROUP, SUBS_OF_16_BITS = 256 };

static inline int32_t group_of(const uint8_t *query, uint32_t group)
{
	int32_t v;

	memcpy(&v, query + (size_t)group * BLOCK_GROUP, sizeof v);
	return v;
}

/* Compiled for the level of each caller. */
static inline __attribute__((always_inline)) void make_table(const float *values,
							     const float *entries, uint32_t n_dims,
							     float *out)
{
	memset(out, 0, LOOKUP_ENTRIES * sizeof *out);
	for (uint32_t d = 0; d < n_dims; d++) {
		const float *from = entries + (size_t)d * LOOKUP_ENTRIES;

		for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++)
			out[i] += values[d] * from[i];
	}
}

/* ---- AVX2 ------------------------------------------------------------------------------------ */

AVX2_INLINE __m256i load_32(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
AVX2_INLINE __m256i dot_32(__m256i sum, __m256i query, __m256i code)
{
	/* u8 x s8 pairs: |query| <= 64, so 2 * 255 * 64 fits in 16 bits */
	__m256i pairs = _mm256_maddubs_epi16(code, query);
	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

AVX2 static void avx2_dot_one(const struct block_scan *s, uint32_t q)
{
	const uint8_t *block = s->blocks, *query = s->queries[q];

	for (uint32_t b = 0; b < s->n_blocks; b++) {
		__m256i low = _mm256_setzero_si256(), high = low;
		int32_t *out = s->out[q] + (size_t)b * BLOCK_ROWS;

		for (uint32_t g = 0; g < s->groups; g++, block += GROUP_BYTES) {
			__m256i x = _mm256_set1_epi32(group_of(query, g));

			low = dot_32(low, x, load_32(block));
			high = dot_32(high, x, load_32(block + 32));
		}
		_mm256_storeu_si256((__m256i *)(void *)out, low);
		_mm256_storeu_si256((__m256i *)(void *)(out + 8), high);
	}
}

/* Two queries to each load. */
AVX2 static void avx2_dot_two(const struct block_scan *s, uint32_t q)
{
	const uint8_t *block = s->blocks, *one = s->queries[q], *two = s->queries[q + 1];

	for (uint32_t b = 0; b < s->n_blocks; b++) {
		__m256i sum[4] = {_mm256_setzero_si256()};

		sum[1] = sum[2] = sum[3] = sum[0];
		for (uint32_t g = 0; g < s->groups; g++, block += GROUP_BYTES) {
			__m256i x = _mm256_set1_epi32(group_of(one, g));
			__m256i y = _mm256_set1_epi32(group_of(two, g));
			__m256i low = load_32(block), high = load_32(block + 32);

			sum[0] = dot_32(sum[0], x, low);
			sum[1] = dot_32(sum[1], x, high);
			sum[2] = dot_32(sum[2], y, low);
			sum[3] = dot_32(sum[3], y, high);
		}
		for (uint32_t i = 0; i < 4; i++) {
			int32_t *out = s->out[q + i / 2] + (size_t)b * BLOCK_ROWS + i % 2 * 8;

			_mm256_storeu_si256((__m256i *)(void *)out, sum[i]);
		}
	}
}

static void avx2_dot(const struct block_scan *s)
{
	uint32_t q = 0;

	for (; q + 2 <= s->n_queries; q += 2)
		avx2_dot_two(s, q);
	if (q < s->n_queries)
		avx2_dot_one(s, q);
}

AVX2 static uint32_t avx2_pick(const struct block_pick *p, uint32_t *hits)
{
	__m256 base = _mm256_set1_ps(p->base), factor = _mm256_set1_ps(p->factor);
	__m256 bound = _mm256_set1_ps(p->bound);
	uint32_t n = 0, i = 0;

	for (; i + 8 <= p->n; i += 8) {
		__m256i sums = load_32((const uint8_t *)(p->sums + i));
		__m256 key = _mm256_fnmadd_ps(factor, _mm256_cvtepi32_ps(sums), base);

		if (p->norms)
			key = _mm256_add_ps(key, _mm256_loadu_ps(p->norms + i));
		uint32_t good = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(key, bound, _CMP_LE_OQ));
		for (; good; good &= good - 1)
			hits[n++] = i + (uint32_t)__builtin_ctz(good);
	}
	for (; i < p->n; i++) {
		if (block_key(p, i) <= p->bound)
			hits[n++] = i;
	}
	return n;
}

AVX2 static void avx2_table(const float *values, const float *entries, uint32_t n_dims, float *out)
{
	make_table(values, entries, n_dims, out);
}

const struct block_kernels *block_kernels_avx2(void)
{
	static const struct block_kernels table = {"avx2", avx2_dot, block_plain_lookup, avx2_pick,
						   avx2_table};

	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &table : NULL;
}

/* ---- AVX-512 --------------------------------------------------------------------------------- */

AVX512_INLINE void store_64(int32_t *out, __m512i v)
{
	_mm512_storeu_si512(out, v);
}

/* Four blocks side by side: the sums of one would wait for each other. */
AVX512 static void avx512_dot_one(const struct block_scan *s)
{
	const size_t bytes = (size_t)s->groups * GROUP_BYTES;
	const uint8_t *query = s->queries[0], *block = s->blocks;
	int32_t *out = s->out[0];
	uint32_t b = 0;

	for (; b + 4 <= s->n_blocks; b += 4, block += 4 * bytes, out += 4 * BLOCK_ROWS) {
		__m512i t = _mm512_setzero_si512(), u = t, v = t, w = t;

		for (uint32_t g = 0; g < s->groups; g++) {
			const uint8_t *at = block + (size_t)g * GROUP_BYTES;
			__m512i x = _mm512_set1_epi32(group_of(query, g));

			t = _mm512_dpbusd_epi32(t, _mm512_loadu_si512(at), x);
			u = _mm512_dpbusd_epi32(u, _mm512_loadu_si512(at + bytes), x);
			v = _mm512_dpbusd_epi32(v, _mm512_loadu_si512(at + 2 * bytes), x);
			w = _mm512_dpbusd_epi32(w, _mm512_loadu_si512(at + 3 * bytes), x);
		}
		store_64(out, t);
		store_64(out + BLOCK_ROWS, u);
		store_64(out + 2 * BLOCK_ROWS, v);
		store_64(out + 3 * BLOCK_ROWS, w);
	}
	for (; b < s->n_blocks; b++, block += bytes, out += BLOCK_ROWS) {
		__m512i t = _mm512_setzero_si512(), u = t;
		uint32_t g = 0;

		for (; g + 2 <= s->groups; g += 2) {
			const uint8_t *at = block + (size_t)g * GROUP_BYTES;

			t = _mm512_dpbusd_epi32(t, _mm512_loadu_si512(at),
						_mm512_set1_epi32(group_of(query, g)));
			u = _mm512_dpbusd_epi32(u, _mm512_loadu_si512(at + GROUP_BYTES),
						_mm512_set1_epi32(group_of(query, g + 1)));
		}
		if (g < s->groups)
			t = _mm512_dpbusd_epi32(t,
						_mm512_loadu_si512(block + (size_t)g * GROUP_BYTES),
						_mm512_set1_epi32(group_of(query, g)));
		store_64(out, _mm512_add_epi32(t, u));
	}
}

/* Up to four queries to each load. Those that are missing are computed as the first, and not kept. */
AVX512 static void avx512_dot_some(const struct block_scan *s)
{
	const uint8_t *block = s->blocks, *q[BLOCK_QUERIES];

	for (uint32_t i = 0; i < BLOCK_QUERIES; i++)
		q[i] = s->queries[i < s->n_queries ? i : 0];
	for (uint32_t b = 0; b < s->n_blocks; b++) {
		__m512i sum[BLOCK_QUERIES] = {_mm512_setzero_si512()};

		sum[1] = sum[2] = sum[3] = sum[0];
		for (uint32_t g = 0; g < s->groups; g++, block += GROUP_BYTES) {
			__m512i x = _mm512_loadu_si512(block);

			for (uint32_t i = 0; i < BLOCK_QUERIES; i++)
				sum[i] = _mm512_dpbusd_epi32(sum[i], x,
							     _mm512_set1_epi32(group_of(q[i], g)));
		}
		for (uint32_t i = 0; i < s->n_queries; i++)
			store_64(s->out[i] + (size_t)b * BLOCK_ROWS, sum[i]);
	}
}

static void avx512_dot(const struct block_scan *s)
{
	if (s->n_queries == 1)
		avx512_dot_one(s);
	else
		avx512_dot_some(s);
}

AVX512 static uint32_t avx512_pick(const struct block_pick *p, uint32_t *hits)
{
	const __m512i step = _mm512_set1_epi32(16);
	__m512 base = _mm512_set1_ps(p->base), factor = _mm512_set1_ps(p->factor);
	__m512 bound = _mm512_set1_ps(p->bound);
	__m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n; i += 16, places = _mm512_add_epi32(places, step)) {
		__mmask16 some = (__mmask16)(p->n - i >= 16 ? 0xffffu : (1u << (p->n - i)) - 1);
		__m512i sums = _mm512_maskz_loadu_epi32(some, p->sums + i);
		__m512 key = _mm512_fnmadd_ps(factor, _mm512_cvtepi32_ps(sums), base);

		if (p->norms)
			key = _mm512_add_ps(key, _mm512_maskz_loadu_ps(some, p->norms + i));
		__mmask16 good = _mm512_mask_cmp_ps_mask(some, key, bound, _CMP_LE_OQ);
		if (!good)
			continue;
		_mm512_mask_compressstoreu_epi32(hits + n, good, places);
		n += (uint32_t)__builtin_popcount(good);
	}
	return n;
}

AVX512 static void avx512_table(const float *values, const float *entries, uint32_t n_dims,
				float *out)
{
	make_table(values, entries, n_dims, out);
}

/* Adds sums of 16 bits to out: the lanes of even hold rows 4i and 4i + 2, those of odd 4i + 1 and 4i + 3. */
VBMI static void add_sums(__m512i even, __m512i odd, int32_t *out)
{
	const __m512i low = _mm512_set1_epi32(0xffff);
	__m512i a = _mm512_and_si512(even, low), b = _mm512_and_si512(odd, low);
	__m512i c = _mm512_srli_epi32(even, 16), d = _mm512_srli_epi32(odd, 16);
	__m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
	__m512i ab2 = _mm512_unpackhi_epi32(a, b), cd2 = _mm512_unpackhi_epi32(c, d);
	/* part l of r[j] holds the four rows of i = 4l + j */
	__m512i r[4] = {_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd),
			_mm512_unpacklo_epi64(ab2, cd2), _mm512_unpackhi_epi64(ab2, cd2)};
	__m512i s = _mm512_shuffle_i32x4(r[0], r[1], 0x44);
	__m512i t = _mm512_shuffle_i32x4(r[2], r[3], 0x44);
	__m512i u = _mm512_shuffle_i32x4(r[0], r[1], 0xee);
	__m512i v = _mm512_shuffle_i32x4(r[2], r[3], 0xee);
	__m512i rows[4] = {_mm512_shuffle_i32x4(s, t, 0x88), _mm512_shuffle_i32x4(s, t, 0xdd),
			   _mm512_shuffle_i32x4(u, v, 0x88), _mm512_shuffle_i32x4(u, v, 0xdd)};

	for (uint32_t i = 0; i < 4; i++) {
		int32_t *at = out + (size_t)16 * i;

		_mm512_storeu_si512(at, _mm512_add_epi32(_mm512_loadu_si512(at), rows[i]));
	}
}

/* Sums of bytes, kept in 16 bits: those of the even rows in one register, those of the odd ones in the other. */
VBMI static void vbmi_lookup_part(const struct lookup_scan *s, const uint8_t *block, uint32_t from,
				  uint32_t to, int32_t *out)
{
	const __m512i low_byte = _mm512_set1_epi16(0xff);
	__m512i even = _mm512_setzero_si512(), odd = even;

	for (uint32_t m = from; m < to; m++) {
		const uint8_t *table = s->tables + (size_t)m * LOOKUP_ENTRIES;
		__m512i code = _mm512_loadu_si512(block + (size_t)m * LOOKUP_ROWS);
		__m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), code,
						       _mm512_loadu_si512(table + 64));
		__m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), code,
							_mm512_loadu_si512(table + 192));
		__m512i value = _mm512_mask_blend_epi8(_mm512_movepi8_mask(code), low, high);

		even = _mm512_add_epi16(even, _mm512_and_si512(value, low_byte));
		odd = _mm512_add_epi16(odd, _mm512_srli_epi16(value, 8));
	}
	add_sums(even, odd, out);
}

static void vbmi_lookup(const struct lookup_scan *s)
{
	for (uint32_t b = 0; b < s->n_blocks; b++) {
		const uint8_t *block = s->blocks + (size_t)b * s->n_subs * LOOKUP_ROWS;
		int32_t *out = s->out + (size_t)b * LOOKUP_ROWS;

		memset(out, 0, LOOKUP_ROWS * sizeof *out);
		for (uint32_t m = 0; m < s->n_subs; m += SUBS_OF_16_BITS)
			vbmi_lookup_part(s, block, m,
					 s->n_subs - m < SUBS_OF_16_BITS ? s->n_subs
									 : m + SUBS_OF_16_BITS,
					 out);
	}
}

const struct block_kernels *block_kernels_avx512(void)
{
	static const struct block_kernels words = {"avx512", avx512_dot, block_plain_lookup,
						   avx512_pick, avx512_table};
	static const struct block_kernels bytes = {"avx512", avx512_dot, vbmi_lookup, avx512_pick,
						   avx512_table};

	if (!code_kernels_at(KERNEL_AVX512))
		return NULL;
	return __builtin_cpu_supports("avx512vbmi") ? &bytes : &words;
}

#else

const struct block_kernels *block_kernels_avx2(void)
{
	return NULL;
}

const struct block_kernels *block_kernels_avx512(void)
{
	return NULL;
}

#endif
