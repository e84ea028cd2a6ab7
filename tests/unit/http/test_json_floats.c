/* Decimal to float: held against strtof on random, extreme and tied numbers. */
#include "http/json_internal.h"
#include "base/prng.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 500 };

static struct arena *arena;

/* Numbers are collected into one array and checked together, each against strtof. */
static struct buf batch;
static float expected[BATCH];
static size_t n_expected;

static int setup(void **state)
{
	arena = arena_new(1024);
	batch = BUF_INIT;
	n_expected = 0;
	return 0;
}

static int teardown(void **state)
{
	arena_free(arena);
	buf_fini(&batch);
	return 0;
}

static void check_batch(void)
{
	struct json_float_room room = {.arena = arena};
	const float *floats;
	const uint8_t *after;
	uint8_t *text;
	size_t n;

	if (n_expected == 0)
		return;
	/* A block of the exact size, so that the sanitizer sees a look beyond its end. */
	batch.data[batch.len - 1] = ']';
	text = malloc(batch.len);
	memcpy(text, batch.data, batch.len);
	after = json_scan_floats(text, text + batch.len, &room, &floats, &n);
	assert_ptr_equal(after, text + batch.len);
	assert_int_equal(n, n_expected);
	for (size_t i = 0; i < n; i++)
		if (memcmp(&floats[i], &expected[i], sizeof(float)) != 0)
			fail_msg("number %zu of %.*s: %a, by strtof %a", i, (int)batch.len, text,
				 (double)floats[i], (double)expected[i]);
	free(text);
	buf_clear(&batch);
	arena_reset(arena);
	n_expected = 0;
}

static void add(const char *text)
{
	float value = strtof(text, NULL);

	/* Integers beyond 64 bits are left to the general reader, for their text. */
	if (isinf(value) || (!strpbrk(text, ".eE") && strlen(text) > 18))
		return;
	expected[n_expected++] = value;
	buf_printf(&batch, n_expected % 3 ? "%s," : " %s ,", text);
	if (n_expected == BATCH)
		check_batch();
}

static float random_bits(struct prng *p)
{
	float f;

	do {
		uint32_t bits = (uint32_t)prng_u64(p);

		memcpy(&f, &bits, sizeof(f));
	} while (!isfinite(f));
	return f;
}

static void test_random_floats_in_every_length(void **state)
{
	struct prng p;
	char text[128];

	prng_seed(&p, 3);
	for (int i = 0; i < 400000; i++) {
		double v = i % 2 ? (double)random_bits(&p) : (double)prng_gauss(&p) * 0.05;

		snprintf(text, sizeof(text), "%.*g", (int)prng_below(&p, 25) + 1, v);
		add(text);
		snprintf(text, sizeof(text), "%.*f", (int)prng_below(&p, 30) + 1,
			 (double)prng_gauss(&p));
		add(text);
	}
	check_batch();
}

static void put_digits(struct prng *p, char **to, uint64_t n)
{
	while (n-- > 0)
		*(*to)++ = (char)('0' + prng_below(p, 10));
}

static void test_random_digits(void **state)
{
	struct prng p;

	prng_seed(&p, 4);
	for (int i = 0; i < 400000; i++) {
		char text[160], *to = text;

		if (prng_below(&p, 2))
			*to++ = '-';
		if (prng_below(&p, 2)) {
			*to++ = '0';
		} else {
			*to++ = (char)('1' + prng_below(&p, 9));
			put_digits(&p, &to, prng_below(&p, 22));
		}
		if (prng_below(&p, 4)) {
			*to++ = '.';
			for (uint64_t zeros = prng_below(&p, 2) ? prng_below(&p, 12) : 0; zeros > 0;
			     zeros--)
				*to++ = '0';
			put_digits(&p, &to, prng_below(&p, 28) + 1);
		}
		*to = 0;
		if (prng_below(&p, 3) == 0)
			snprintf(to, 8, "%c%s%d", prng_below(&p, 2) ? 'e' : 'E',
				 prng_below(&p, 2)   ? "-"
				 : prng_below(&p, 2) ? "+"
						     : "",
				 (int)prng_below(&p, prng_below(&p, 2) ? 12 : 60));
		add(text);
	}
	check_batch();
}

/* Exactly between two floats, and a last digit more or less: the tie goes to the even one, and
 * nothing that is merely near it may. */
static void test_ties(void **state)
{
	struct prng p;

	prng_seed(&p, 5);
	for (int i = 0; i < 100000; i++) {
		float f = random_bits(&p), next = nextafterf(f, INFINITY);
		double middle = ((double)f + (double)next) / 2;
		char text[256];
		size_t n;

		if (!isfinite(next))
			continue;
		/* All digits of the middle, then a one far behind. */
		n = (size_t)snprintf(text, sizeof(text), "%.*e", 160, middle);
		add(text);
		text[n - 5 - (text[n - 5] != 'e')] = '1';
		if (strchr(text, 'e'))
			add(text);
		snprintf(text, sizeof(text), "%.17g", middle);
		add(text);
		snprintf(text, sizeof(text), "%.16g", middle);
		add(text);
	}
	for (uint64_t v = 16777216; v < 16777216 + 2000; v++) {
		char text[64];

		snprintf(text, sizeof(text), "%lu", (unsigned long)v);
		add(text);
		snprintf(text, sizeof(text), "%lu.0000000000000000000000000000000001",
			 (unsigned long)v);
		add(text);
	}
	check_batch();
}

static void test_the_ends_of_the_range(void **state)
{
	static const char *const numbers[] = {"0",
					      "-0",
					      "0.0",
					      "-0.0",
					      "0e5",
					      "0.000000000000000000000000000000000000000000001",
					      "1.4012984643e-45",
					      "7.006492321624085354618e-46",
					      "7.006492321624085354619e-46",
					      "7.006492321624086e-46",
					      "1.17549435e-38",
					      "1.1754942e-38",
					      "1.17549421069e-38",
					      "3.4028234663852886e38",
					      "3.4028235e38",
					      "3.40282356779733e38",
					      "340282346638528859811704183484516925440",
					      "340282356779733661637539395458142568447.9",
					      "1e-400",
					      "1e-50",
					      "123456789012345678901234567890e-20",
					      "0.00000000000000000000000000000000001e35",
					      "1e00000000000000000001",
					      "1e-0",
					      "5e-324",
					      "9007199254740993",
					      "18446744073709551615",
					      "99999999.99999999",
					      "12345678.87654321",
					      "1234567812345678.5",
					      "123456781234567.8"};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		add(numbers[i]);
	for (int exponent = -50; exponent <= 38; exponent++) {
		for (int digit = 1; digit < 10; digit++) {
			char text[64];

			snprintf(text, sizeof(text), "%de%d", digit, exponent);
			add(text);
			snprintf(text, sizeof(text), "-%d.%d%de%d", digit, digit, digit, exponent);
			add(text);
		}
	}
	check_batch();
}

static void test_what_is_no_array_of_floats(void **state)
{
	static const char *const texts[] = {"",
					    "]",
					    "1",
					    "1,",
					    ",1]",
					    "1,]",
					    "1 2]",
					    "01]",
					    "1.]",
					    "-]",
					    "1e]",
					    "1e+]",
					    "+1]",
					    ".5]",
					    "1,\"\"]",
					    "[1]]",
					    "null]",
					    "1.5.5]",
					    "1e5.5]",
					    "--1]",
					    "0x1]",
					    "1e39]",
					    "-3.5e38]",
					    "1e400]",
					    "1e99999999999999999999]",
					    "NaN]",
					    "1}",
					    "00.5]",
					    "-00]",
					    "18446744073709551616]",
					    "-9223372036854775809]",
					    "12345678901234567890123]",
					    "0.123456789012345678901234567890x]",
					    "1,2,3,4 5,6,7,8]"};
	struct json_float_room room = {.arena = arena};
	char text[256];
	const float *f;
	size_t n;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		/* With much text behind it the quick reader looks at it, alone the careful one. */
		for (int padded = 0; padded < 2; padded++) {
			size_t length = strlen(texts[i]);

			memset(text, ' ', sizeof(text));
			memcpy(text, texts[i], length);
			length = padded ? sizeof(text) : length;
			if (json_scan_floats((uint8_t *)text, (uint8_t *)text + length, &room, &f,
					     &n))
				fail_msg("accepted: %s", texts[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_floats_in_every_length, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_random_digits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ties, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_ends_of_the_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_array_of_floats, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
