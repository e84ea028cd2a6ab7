/* The JSON writer: floats as short as possible and equal when read back, strings that stay JSON, and
 * payloads that come back as they were. */
#include "http/json.h"
#include "base/prng.h"
#include "tests/unit/unit.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static struct buf out;

static int setup(void **state)
{
	out = BUF_INIT;
	return 0;
}

static int teardown(void **state)
{
	buf_fini(&out);
	return 0;
}

/* NUL-terminated; the buffer is cleared by whoever writes next. */
static const char *text(void)
{
	buf_put_u8(&out, 0);
	out.len--;
	return (const char *)out.data;
}

static const char *float_text(float v)
{
	buf_clear(&out);
	json_put_float(&out, v);
	return text();
}

static const char *double_text(double v)
{
	buf_clear(&out);
	json_put_double(&out, v);
	return text();
}

static void test_how_floats_look(void **state)
{
	assert_string_equal(float_text(0.0f), "0.0");
	assert_string_equal(float_text(-0.0f), "-0.0");
	assert_string_equal(float_text(1.0f), "1.0");
	assert_string_equal(float_text(-2.0f), "-2.0");
	assert_string_equal(float_text(0.1f), "0.1");
	assert_string_equal(float_text(0.25f), "0.25");
	assert_string_equal(float_text(100.0f), "100.0");
	assert_string_equal(float_text(16777216.0f), "16777216.0");
	assert_string_equal(float_text(3.14159274f), "3.1415927");
	assert_string_equal(float_text(-0.034725f), "-0.034725");
	assert_string_equal(float_text(0.00012345f), "0.00012345");
	assert_string_equal(float_text(0.00001f), "0.00001");
	assert_string_equal(float_text(0.000001f), "1e-6");
	assert_string_equal(float_text(1.5e-7f), "1.5e-7");
	assert_string_equal(float_text(1e15f), "1000000000000000.0");
	assert_string_equal(float_text(1e20f), "1e20");
	assert_string_equal(float_text(FLT_MAX), "3.4028235e38");
	assert_string_equal(float_text(FLT_MIN), "1.1754944e-38");
	assert_string_equal(float_text(1e-45f), "1e-45");
}

/* As many digits as `text` needs, without zeros at either end. */
static int significant_digits(const char *s)
{
	int digits = 0, zeros = 0;

	for (; *s && *s != 'e'; s++) {
		if (*s < '0' || *s > '9' || (digits == 0 && *s == '0'))
			continue;
		digits++;
		zeros = *s == '0' ? zeros + 1 : 0;
	}
	return digits - zeros;
}

static void check_float(float v)
{
	const char *s = float_text(v);
	float back = strtof(s, NULL);
	char shorter[64];
	int digits = significant_digits(s);

	if (memcmp(&back, &v, sizeof(v)) != 0 || !strpbrk(s, ".e"))
		fail_msg("%a was written as %s", (double)v, s);
	if (digits < 2)
		return;
	/* No decimal of fewer digits reads back; of those with as many, none is nearer. */
	snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, (double)v);
	assert_true(strtof(shorter, NULL) != v);
	snprintf(shorter, sizeof(shorter), "%.*e", digits - 1, (double)v);
	if (strtof(shorter, NULL) == v &&
	    fabs(strtod(s, NULL) - (double)v) >
		    fabs(strtod(shorter, NULL) - (double)v) * (1 + 1e-9))
		fail_msg("%s was written, %s is nearer", s, shorter);
}

static void test_random_floats(void **state)
{
	struct prng p;

	prng_seed(&p, 6);
	for (int i = 0; i < 200000; i++) {
		uint32_t bits = (uint32_t)prng_u64(&p);
		float v;

		memcpy(&v, &bits, sizeof(v));
		if (isfinite(v) && v != 0)
			check_float(v);
		check_float(prng_gauss(&p) * 0.05f + 1e-9f);
	}
	/* Every power of two, and its neighbours: there the distance of the floats changes. */
	for (uint32_t exponent = 0; exponent < 255; exponent++) {
		for (int64_t by = -2; by <= 2; by++) {
			uint32_t bits = (uint32_t)((int64_t)(exponent << 23) + by);
			float v;

			memcpy(&v, &bits, sizeof(v));
			if (isfinite(v) && v > 0)
				check_float(v);
		}
	}
}

static void test_float_arrays(void **state)
{
	float values[] = {1.0f, -0.5f, 3.25e-9f};

	json_put_floats(&out, values, 3);
	assert_string_equal(text(), "[1.0,-0.5,3.25e-9]");
	buf_clear(&out);
	json_put_floats(&out, values, 0);
	assert_string_equal(text(), "[]");
}

static void test_doubles_and_integers(void **state)
{
	struct prng p;

	assert_string_equal(double_text(0), "0.0");
	assert_string_equal(double_text(-0.0), "-0.0");
	assert_string_equal(double_text(10), "10.0");
	assert_string_equal(double_text(0.1), "0.1");
	assert_true(strtod(double_text(DBL_MAX), NULL) == DBL_MAX);
	prng_seed(&p, 7);
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = prng_u64(&p);
		double v;

		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		assert_true(strtod(double_text(v), NULL) == v);
		assert_non_null(strpbrk(text(), ".e"));
	}
	buf_clear(&out);
	json_put_u64(&out, UINT64_MAX);
	json_put_literal(&out, " ");
	json_put_u64(&out, 0);
	json_put_literal(&out, " ");
	json_put_i64(&out, INT64_MIN);
	json_put_literal(&out, " ");
	json_put_i64(&out, -7);
	json_put_literal(&out, " ");
	json_put_i64(&out, 100);
	assert_string_equal(text(), "18446744073709551615 0 -9223372036854775808 -7 100");
}

static const char *string_text(const char *s, size_t n)
{
	buf_clear(&out);
	json_put_string(&out, s, n);
	return text();
}

static void test_strings(void **state)
{
	assert_string_equal(string_text("", 0), "\"\"");
	assert_string_equal(string_text("plain text", 10), "\"plain text\"");
	assert_string_equal(string_text("a\"b\\c/d\n\r\t\b\f\x01\x1f", 14),
			    "\"a\\\"b\\\\c/d\\n\\r\\t\\b\\f\\u0001\\u001f\"");
	assert_string_equal(string_text("a\0b", 3), "\"a\\u0000b\"");
	assert_string_equal(string_text("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", 9),
			    "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"");
	assert_string_equal(string_text("a\xff\xc3", 3), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_string_equal(string_text("\xed\xa0\x80z", 4),
			    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
}

/* Whatever the bytes are, yyjson reads the string; it is the same when they are UTF-8. */
static void test_random_strings(void **state)
{
	struct prng p;
	char s[80];

	prng_seed(&p, 8);
	for (int i = 0; i < 50000; i++) {
		size_t n = (size_t)prng_below(&p, sizeof(s));
		bool ascii = prng_below(&p, 2);
		yyjson_doc *doc;

		for (size_t k = 0; k < n; k++)
			s[k] = (char)(ascii ? prng_below(&p, 128) : prng_below(&p, 256));
		string_text(s, n);
		doc = yyjson_read((const char *)out.data, out.len, 0);
		assert_non_null(doc);
		if (ascii) {
			assert_int_equal(yyjson_get_len(yyjson_doc_get_root(doc)), n);
			assert_memory_equal(yyjson_get_str(yyjson_doc_get_root(doc)), s, n);
		}
		yyjson_doc_free(doc);
	}
}

static void test_payloads_come_back(void **state)
{
	static const char *const documents[] = {
		"{}",
		"{\"b\":1,\"a\":[1,2.0,\"x\",null,true,false,{}],\"c\":{\"d\":[]}}",
		"{\"int\":10,\"float\":10.0,\"big\":18446744073709551615,"
		"\"huge\":123456789012345678901234567890,\"low\":-9223372036854775808}",
		"{\"numbers\":[1,2,3],\"mixed\":[1,2.5,18446744073709551615],\"\":\"\"}",
		"{\"caf\xc3\xa9\":\"a\\u0000b\\n\\\"\",\"nested\":\"{\\\"json\\\":[1]}\"}",
		"[[1.5,-0.25],[],[[\"deep\"]]]"};
	struct arena *arena = arena_new(1024);
	struct buf pv = BUF_INIT;
	const struct json *v;

	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
		const char *s = documents[i];

		assert_int_equal(json_parse((const uint8_t *)s, strlen(s), arena, &v, NULL), 0);
		buf_clear(&pv);
		buf_clear(&out);
		json_to_pv(v, &pv);
		assert_int_equal(pv_validate(pv.data, pv.len, NULL), 0);
		json_from_pv(&out, pv_of(pv.data));
		assert_string_equal(text(), s);
		buf_clear(&out);
		json_put_value(&out, v);
		assert_string_equal(text(), s);
	}
	buf_fini(&pv);
	arena_free(arena);
}

static void check_entries(const char *object, const char *const *without, const char *expected)
{
	struct arena *arena = arena_new(1024);
	const struct json *v;

	assert_int_equal(json_parse((const uint8_t *)object, strlen(object), arena, &v, NULL), 0);
	buf_clear(&out);
	assert_int_equal(json_put_entries(&out, v, without), *expected != 0);
	assert_string_equal(text(), expected);
	arena_free(arena);
}

static void test_entries_of_objects(void **state)
{
	static const char *const without[] = {"a", "c", NULL};
	static const char object[] = "{\"a\":1,\"b\":[2.0],\"ab\":null,\"c\":{\"a\":1}}";

	check_entries(object, without, "\"b\":[2.0],\"ab\":null");
	check_entries(object, NULL, "\"a\":1,\"b\":[2.0],\"ab\":null,\"c\":{\"a\":1}");
	check_entries("{\"c\":1,\"a\":2}", without, "");
	check_entries("{}", NULL, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_how_floats_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_floats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_float_arrays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doubles_and_integers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payloads_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entries_of_objects, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
