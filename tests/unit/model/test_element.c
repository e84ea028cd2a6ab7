/* Elements of stored vectors: halves against the compiler's own, bytes, and the forms of a vector. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include "model/element.h"
#include "model/point.h"
#include <math.h>
#include <string.h>

static uint16_t half_of(float f)
{
	uint16_t h;
	element_encode(DATATYPE_FLOAT16, &f, 1, &h);
	return h;
}

static float float_of_half(uint16_t h)
{
	float f;
	element_decode(DATATYPE_FLOAT16, &h, 1, &f);
	return f;
}

static void every_half_comes_back(void **state)
{
	for (uint32_t h = 0; h < 0x10000; h++) {
		if ((h & 0x7c00) == 0x7c00) /* infinity and NaN are never stored */
			continue;
		float f = float_of_half((uint16_t)h);
		double exact = ldexp((h & 0x7c00) ? 1024 + (h & 0x3ff) : (double)(h & 0x3ff),
				     (h & 0x7c00) ? (int)(h >> 10 & 31) - 25 : -24);
		assert_true((double)f == (h & 0x8000 ? -exact : exact));
		assert_int_equal(half_of(f), h);
	}
}

/* Long rows are converted by other instructions than single values. */
static void rows_are_decoded_like_their_values(void **state)
{
	enum { LONGEST = 40 };
	struct prng p;
	prng_seed(&p, 9);
	for (size_t n = 0; n <= LONGEST; n++) {
		for (int round = 0; round < 100; round++) {
			uint16_t halves[LONGEST + 1];
			float got[LONGEST], one;
			for (size_t i = 0; i <= n; i++) {
				halves[i] = (uint16_t)prng_u64(&p);
				if ((halves[i] & 0x7c00) == 0x7c00)
					halves[i] &= 0x83ff;
			}
			/* at an odd address, too */
			const uint8_t *bytes = (const uint8_t *)halves + 1;
			element_decode(DATATYPE_UINT8, bytes, n, got);
			for (size_t i = 0; i < n; i++)
				assert_true(got[i] == (float)bytes[i]);
			element_decode(DATATYPE_FLOAT16, halves, n, got);
			for (size_t i = 0; i < n; i++) {
				element_decode(DATATYPE_FLOAT16, &halves[i], 1, &one);
				assert_memory_equal(&got[i], &one, sizeof(one));
			}
		}
	}
}

/* Against the definition: the nearest half, of two equally near ones the even. */
static void floats_are_rounded_to_the_nearest_half(void **state)
{
	struct prng p;
	prng_seed(&p, 7);
	for (int i = 0; i < 200000; i++) {
		float f = ldexpf((float)prng_unit(&p) * 2 - 1, (int)prng_below(&p, 44) - 28);
		uint16_t h = half_of(f);
		double error = fabs((double)float_of_half(h) - (double)f);
		assert_true((signbit(f) != 0) == (h >> 15 != 0));
		for (int step = -1; step <= 1; step += 2) {
			uint16_t next = (uint16_t)(h + step);
			if ((next & 0x8000) != (h & 0x8000) || (next & 0x7c00) == 0x7c00)
				continue;
			double other = fabs((double)float_of_half(next) - (double)f);
			assert_true(error < other || (error == other && (h & 1) == 0));
		}
	}
	assert_int_equal(half_of(1.0f), 0x3c00);
	assert_int_equal(half_of(1.0f + 0x1p-11f), 0x3c00); /* a tie, to even */
	assert_int_equal(half_of(1.0f + 0x3p-11f), 0x3c02); /* a tie, to even */
	assert_int_equal(half_of(65504), 0x7bff);
	assert_int_equal(half_of(65519), 0x7bff);
	assert_int_equal(half_of(1e30f), 0x7bff);
	assert_int_equal(half_of(0x1p-24f), 1);
	assert_int_equal(half_of(0x1p-25f), 0);
	assert_int_equal(half_of(-0.0f), 0x8000);
}

static void bytes_are_cut_and_bounded(void **state)
{
	const float in[] = {0, 1, 254.99f, 255, 256, 1e9f, -1, -0.5f, 0.99f, 128.5f};
	const uint8_t want[] = {0, 1, 254, 255, 255, 255, 0, 0, 0, 128};
	uint8_t got[10];
	float back[10];
	element_encode(DATATYPE_UINT8, in, 10, got);
	assert_memory_equal(got, want, 10);
	element_decode(DATATYPE_UINT8, got, 10, back);
	for (int i = 0; i < 10; i++)
		assert_true(back[i] == (float)want[i]);
}

static void forms_of_a_vector(void **state)
{
	struct vector_space s = {.dim = 200, .distance = DISTANCE_COSINE};
	float x[200], y[200];
	for (int t = 0; t < 3; t++) {
		s.datatype = (enum datatype)t;
		for (int i = 0; i < 200; i++)
			x[i] = y[i] = (float)(i % 7) + 0.25f;
		space_stored(&s, x);
		memcpy(y, x, sizeof(y));
		space_stored(&s, y); /* twice is once */
		assert_memory_equal(x, y, sizeof(x));
		double length = 0;
		space_query(&s, y);
		for (int i = 0; i < 200; i++)
			length += (double)y[i] * (double)y[i];
		assert_true(fabs(length - 1) < 1e-3);
		if (s.datatype == DATATYPE_UINT8)
			assert_true(x[6] == 6.0f);
	}
	s.distance = DISTANCE_DOT;
	s.datatype = DATATYPE_FLOAT16;
	for (int i = 0; i < 200; i++)
		x[i] = 0;
	x[199] = 65519;
	assert_true(space_fits(&s, x));
	x[199] = -65520;
	assert_false(space_fits(&s, x));
	s.distance = DISTANCE_COSINE;
	assert_true(space_fits(&s, x));
	s.distance = DISTANCE_DOT;
	s.datatype = DATATYPE_UINT8;
	assert_true(space_fits(&s, x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_half_comes_back),
		cmocka_unit_test(rows_are_decoded_like_their_values),
		cmocka_unit_test(floats_are_rounded_to_the_nearest_half),
		cmocka_unit_test(bytes_are_cut_and_bounded),
		cmocka_unit_test(forms_of_a_vector),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
