/* Elements of stored vectors; see the header. */
#include "model/element.h"
#include "model/point.h"
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static const float half_max = 65504;

static inline uint32_t bits_of(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof(u));
	return u;
}

static inline float float_of(uint32_t u)
{
	float f;
	memcpy(&f, &u, sizeof(f));
	return f;
}

/* Finite halves only: their exponent is moved by a product, which also makes subnormal ones right. */
static inline float from_half(uint16_t h)
{
	float size = float_of((uint32_t)(h & 0x7fff) << 13) * 0x1p112f;
	return float_of(bits_of(size) | (uint32_t)(h & 0x8000) << 16);
}

static void from_halves(const uint8_t *from, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t h;
		memcpy(&h, from + 2 * i, sizeof(h));
		out[i] = from_half(h);
	}
}

static void from_bytes(const uint8_t *from, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = from[i];
}

#ifdef __x86_64__
static bool has_f16c;

/* Asked once: the instruction is slow, and not every compiler's __builtin_cpu_supports knows the name f16c. */
__attribute__((constructor)) static void find_f16c(void)
{
	unsigned a, b, c, d;
	has_f16c = __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) &&
		   (c & bit_F16C) != 0;
}

__attribute__((target("avx,f16c"))) static void from_halves_f16c(const uint8_t *from, size_t n,
								 float *out)
{
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		__m128i halves = _mm_loadu_si128((const __m128i *)(const void *)(from + 2 * i));
		_mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
	}
	from_halves(from + 2 * i, n - i, out + i);
}

__attribute__((target("avx2"))) static void from_bytes_avx2(const uint8_t *from, size_t n,
							    float *out)
{
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		__m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(from + i));
		_mm256_storeu_ps(out + i, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)));
	}
	from_bytes(from + i, n - i, out + i);
}
#endif

/* A sum with a power of two rounds off the bits that a half has no room for, as the processor rounds:
 * to the nearest, ties to even. */
static inline uint16_t to_half(float f)
{
	uint32_t sign = bits_of(f) >> 31 << 15;
	float size = float_of(bits_of(f) & 0x7fffffff);
	size = size > half_max ? half_max : size;
	if (size < 0x1p-14f) /* subnormal: a multiple of 2^-24 */
		return (uint16_t)(sign | (bits_of(size + 0.5f) - bits_of(0.5f)));
	uint32_t u = bits_of(size);
	u += 0xfff + (u >> 13 & 1); /* may carry into the exponent, as it should */
	return (uint16_t)(sign | ((u >> 13) - (112u << 10)));
}

static inline uint8_t to_byte(float f)
{
	f = f > 0 ? f : 0;
	f = f < 255 ? f : 255;
	return (uint8_t)(int32_t)f;
}

void element_encode(enum datatype t, const float *x, size_t n, void *out)
{
	uint8_t *to = out;
	switch (t) {
	case DATATYPE_UINT8:
		for (size_t i = 0; i < n; i++)
			to[i] = to_byte(x[i]);
		break;
	case DATATYPE_FLOAT16:
		for (size_t i = 0; i < n; i++) {
			uint16_t h = to_half(x[i]);
			memcpy(to + 2 * i, &h, sizeof(h));
		}
		break;
	case DATATYPE_FLOAT32:
	default: memcpy(to, x, n * sizeof(*x)); break;
	}
}

void element_decode(enum datatype t, const void *elements, size_t n, float *out)
{
	const uint8_t *from = elements;
	switch (t) {
	case DATATYPE_UINT8:
#ifdef __x86_64__
		if (__builtin_cpu_supports("avx2")) {
			from_bytes_avx2(from, n, out);
			break;
		}
#endif
		from_bytes(from, n, out);
		break;
	case DATATYPE_FLOAT16:
#ifdef __x86_64__
		if (has_f16c) {
			from_halves_f16c(from, n, out);
			break;
		}
#endif
		from_halves(from, n, out);
		break;
	case DATATYPE_FLOAT32:
	default: memcpy(out, from, n * sizeof(*out)); break;
	}
}

bool space_fits(const struct vector_space *s, const float *x)
{
	bool fits = true;
	if (s->datatype != DATATYPE_FLOAT16 || s->distance == DISTANCE_COSINE)
		return true;
	/* What is at most half the last step above the largest half is rounded down to it. */
	for (uint32_t i = 0; i < s->dim; i++)
		fits &= x[i] > -65520 && x[i] < 65520;
	return fits;
}

static void round_elements(enum datatype t, float *x, size_t n)
{
	uint8_t stored[256];
	for (size_t i = 0; t != DATATYPE_FLOAT32 && i < n; i += 64) {
		size_t some = n - i < 64 ? n - i : 64;
		element_encode(t, x + i, some, stored);
		element_decode(t, stored, some, x + i);
	}
}

void space_stored(const struct vector_space *s, float *x)
{
	if (s->distance == DISTANCE_COSINE && s->datatype != DATATYPE_UINT8)
		vector_normalize(x, s->dim);
	round_elements(s->datatype, x, s->dim);
}

void space_query(const struct vector_space *s, float *x)
{
	space_stored(s, x);
	if (space_unit_rows(s))
		vector_normalize(x, s->dim);
}
