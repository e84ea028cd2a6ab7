/* The JSON reader: what it accepts and refuses, what it keeps exact, and that it agrees with yyjson on
 * random documents and on damaged ones. Every text is parsed from a block of its exact size, so that
 * AddressSanitizer sees a look beyond its end. */
#include "http/json.h"
#include "base/limits.h"
#include "base/prng.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static struct arena *arena;
static struct error error;
static uint8_t *last_text;

static int setup(void **state)
{
	arena = arena_new(1024);
	return 0;
}

static int teardown(void **state)
{
	arena_free(arena);
	free(last_text);
	last_text = NULL;
	return 0;
}

/* The text stays until the next call. */
static const struct json *parse_n(const void *text, size_t n)
{
	const struct json *v = NULL;
	int rc;

	free(last_text);
	last_text = malloc(n ? n : 1);
	memcpy(last_text, text, n);
	error = (struct error){0};
	rc = json_parse(last_text, n, arena, &v, &error);
	if (rc) {
		assert_int_equal(rc, ERR_FORMAT);
		assert_true(error.text[0]);
		return NULL;
	}
	return v;
}

static const struct json *parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void refuse(const char *text, const char *message)
{
	if (parse(text))
		fail_msg("accepted: %s", text);
	if (!strstr(error.text, message))
		fail_msg("%s: '%s' was expected in '%s'", text, message, error.text);
}

static void test_scalars(void **state)
{
	size_t n;

	assert_int_equal(json_type(parse("null")), JSON_NULL);
	assert_true(json_bool(parse(" true ")));
	assert_false(json_bool(parse("\t\r\nfalse")));
	assert_int_equal(json_int(parse("-12")), -12);
	assert_string_equal(json_string(parse("\"a b\""), &n), "a b");
	assert_int_equal(n, 3);
	assert_string_equal(json_string(parse("\"\""), &n), "");
	assert_int_equal(n, 0);
	assert_int_equal(json_count(parse("[]")), 0);
	assert_int_equal(json_count(parse("{}")), 0);
	assert_int_equal(json_count(parse("[1,\"a\"]")), 2);
	assert_int_equal(json_count(parse("\"ab\"")), 0);
}

static void test_numbers_keep_their_kind(void **state)
{
	const struct json *v;

	assert_int_equal(json_type(parse("9223372036854775807")), JSON_INT);
	assert_true(json_int(parse("9223372036854775807")) == INT64_MAX);
	assert_true(json_int(parse("-9223372036854775808")) == INT64_MIN);
	v = parse("18446744073709551615");
	assert_int_equal(json_type(v), JSON_UINT);
	assert_true(json_uint(v) == UINT64_MAX);
	assert_true(json_uint(parse("5")) == 5);
	v = parse("18446744073709551616");
	assert_int_equal(json_type(v), JSON_RAW);
	assert_string_equal(json_string(v, NULL), "18446744073709551616");
	assert_true(json_double(v) == 18446744073709551616.0);
	assert_int_equal(json_type(parse("-9223372036854775809")), JSON_RAW);
	assert_int_equal(json_type(parse("1e400")), JSON_RAW);
	assert_true(isinf(json_double(parse("-1e400"))));
	assert_true(json_double(parse("1e-400")) == 0);
	assert_int_equal(json_type(parse("10")), JSON_INT);
	assert_int_equal(json_type(parse("10.0")), JSON_DOUBLE);
	assert_int_equal(json_type(parse("1e1")), JSON_DOUBLE);
	assert_true(json_double(parse("0.1")) == 0.1);
	assert_true(json_double(parse("123456789012345678901234567890.5")) ==
		    123456789012345678901234567890.5);
	v = parse("-0");
	assert_int_equal(json_type(v), JSON_DOUBLE);
	assert_true(signbit(json_double(v)));
	assert_true(json_double(parse("1.7976931348623157e308")) == 1.7976931348623157e308);
}

static void test_refused_with_a_place(void **state)
{
	refuse("", "empty");
	refuse("  ", "empty");
	refuse("[1,2", "at line 1 column 5");
	refuse("{\"a\": 1,\n \"b\" 2}", "expected ':' after the key, found '2' at line 2 column 6");
	refuse("[1 2]", "expected ',' or ']', found '2' at line 1 column 4");
	refuse("{\"a\":1 \"b\":2}", "expected ',' or '}'");
	refuse("[1,]", "expected a value, found ']' at line 1 column 4");
	refuse("[,1]", "found ','");
	refuse("{\"a\":1,}", "expected a key in double quotes, found '}'");
	refuse("{a:1}", "a key in double quotes");
	refuse("{'a':1}", "a key in double quotes");
	refuse("[1]]", "the end of the text after the value, found ']'");
	refuse("1 2", "after the value");
	refuse("NaN", "found 'N'");
	refuse("[1.0, NaN]", "found 'N' at line 1 column 7");
	refuse("Infinity", "found 'I'");
	refuse("[-Infinity]", "expected a digit, found 'I'");
	refuse("nul", "null");
	refuse("nulll", "after the value");
	refuse("tru", "true");
	refuse("01", "begins with a zero");
	refuse("[-01.5]", "begins with a zero");
	refuse("1.", "expected a digit, found the end of the text at line 1 column 3");
	refuse("[1.]", "expected a digit, found ']'");
	refuse(".5", "expected a value");
	refuse("+1", "expected a value");
	refuse("-", "expected a digit");
	refuse("1e", "expected a digit");
	refuse("1e+", "expected a digit");
	refuse("0x10", "after the value");
	refuse("\"abc", "the text ends inside a string");
	refuse("\"abc\\", "the text ends inside a string");
	refuse("\"abc\\\"", "the text ends inside a string");
	refuse("\"a\nb\"", "control character");
	refuse("\"a\\x\"", "unknown escape in a string at line 1 column 3");
	refuse("\"\\u12g4\"", "\\u escape");
	refuse("\"\\ud800\"", "\\u escape");
	refuse("\"\\udc00\"", "\\u escape");
	refuse("\"\\ud800\\u0041\"", "\\u escape");
	refuse("\xef\xbb\xbf{}", "byte 0xef");
	refuse("[1, 2, 3, /* no */ 4]", "found '/'");
}

static void test_strings(void **state)
{
	const struct json *v;
	size_t n;

	assert_string_equal(json_string(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), &n),
			    "\"\\/\b\f\n\r\t");
	assert_string_equal(json_string(parse("\"\\u00e4\\u20AC\\uD83D\\uDE00!\""), &n),
			    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!");
	v = parse("\"a\\u0000b\"");
	assert_memory_equal(json_string(v, &n), "a\0b", 4);
	assert_int_equal(n, 3);
	assert_string_equal(json_string(parse("\"0123456\\n89abcdefghij\\tklmnop\""), &n),
			    "0123456\n89abcdefghij\tklmnop");
	assert_string_equal(json_string(parse("\"\xe4\xb8\xad\xe6\x96\x87 text that is longer\""),
					&n),
			    "\xe4\xb8\xad\xe6\x96\x87 text that is longer");
	assert_string_equal(json_string(parse("\"\x7f\""), &n), "\x7f");
}

/* Overlong forms, surrogates, above U+10FFFF, cut short, stray: Unicode 15, table 3-7. */
static void test_utf8(void **state)
{
	static const char *const bad[] = {"\x80",
					  "\xbf",
					  "\xc0\x80",
					  "\xc1\xbf",
					  "\xc3",
					  "\xc3\x28",
					  "\xe0\x80\x80",
					  "\xe0\x9f\xbf",
					  "\xe2\x82",
					  "\xe2\x28\xa1",
					  "\xed\xa0\x80",
					  "\xed\xbf\xbf",
					  "\xf0\x80\x80\x80",
					  "\xf0\x90\x80",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xff",
					  "\xfe",
					  "\xf8\x88\x80\x80",
					  "\xf0\x28\x8c\xbc"};
	static const char *const good[] = {"\xc2\x80",         "\xdf\xbf",        "\xe0\xa0\x80",
					   "\xed\x9f\xbf",     "\xee\x80\x80",    "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
	char text[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int before = 0; before < 10; before++) {
			snprintf(text, sizeof(text), "\"%.*s%s%s\"", before, "abcdefghijk", bad[i],
				 before & 1 ? "tail that is long" : "");
			refuse(text, "not valid UTF-8");
		}
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), "\"%s\"", good[i]);
		assert_string_equal(json_string(parse(text), NULL), good[i]);
	}
}

static void test_objects(void **state)
{
	const struct json *v = parse("{\"a\": 1, \"b\": null, \"ab\": {\"c\": [true]}, \"\": 2}");
	struct json_iter it;

	assert_int_equal(json_count(v), 4);
	assert_int_equal(json_int(json_get(v, "a")), 1);
	assert_null(json_get(v, "b"));
	assert_null(json_get(v, "c"));
	assert_int_equal(json_int(json_get(v, "")), 2);
	assert_int_equal(json_count(json_get(json_get(v, "ab"), "c")), 1);
	assert_null(json_get(json_get(v, "a"), "a"));
	it = json_iterate(v);
	assert_true(json_next(&it));
	assert_string_equal(it.key, "a");
	assert_true(json_next(&it));
	assert_string_equal(it.key, "b");
	assert_int_equal(json_type(it.value), JSON_NULL);
	assert_true(json_next(&it));
	assert_string_equal(it.key, "ab");
	assert_true(json_next(&it));
	assert_int_equal(it.key_n, 0);
	assert_false(json_next(&it));
	it = json_iterate(parse("\"no container\""));
	assert_false(json_next(&it));
}

static void test_the_last_of_equal_keys_wins(void **state)
{
	const struct json *v = parse("{\"a\":1,\"b\":{\"x\":[1,2]},\"a\":\"two\",\"b\":3,\"a\":4}");
	struct buf text = BUF_INIT;
	struct json_iter it;
	size_t n = 0;

	assert_int_equal(json_count(v), 2);
	assert_int_equal(json_int(json_get(v, "a")), 4);
	assert_int_equal(json_int(json_get(v, "b")), 3);
	it = json_iterate(v);
	assert_true(json_next(&it));
	assert_string_equal(it.key, "b");
	assert_true(json_next(&it));
	assert_string_equal(it.key, "a");
	assert_false(json_next(&it));
	assert_null(json_get(parse("{\"a\":1,\"a\":null}"), "a"));

	/* Enough for the table of keys: 300 names, each three times. */
	for (int i = 0; i < 900; i++)
		buf_printf(&text, "%c\"key%d\":[%d,\"x\"]", i ? ',' : '{', i % 300, i);
	buf_put_u8(&text, '}');
	v = parse_n(text.data, text.len);
	assert_non_null(v);
	assert_int_equal(json_count(v), 300);
	for (it = json_iterate(v); json_next(&it); n++) {
		struct json_iter inner = json_iterate(it.value);

		assert_true(json_next(&inner));
		assert_int_equal(json_int(inner.value), 600 + n);
	}
	assert_int_equal(n, 300);
	buf_fini(&text);
}

static void test_depth(void **state)
{
	char text[2 * LIMIT_JSON_DEPTH + 8], message[64];

	for (int object = 0; object < 2; object++) {
		for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
			size_t n = 0;

			/* The innermost is an array of numbers, which is read another way. */
			for (size_t i = 0; i < depth; i++)
				text[n++] = '[';
			if (object)
				text[n++] = '1';
			for (size_t i = 0; i < depth; i++)
				text[n++] = ']';
			if (depth == LIMIT_JSON_DEPTH) {
				assert_non_null(parse_n(text, n));
			} else {
				assert_null(parse_n(text, n));
				snprintf(message, sizeof(message),
					 "levels of nesting at line 1 column %d",
					 LIMIT_JSON_DEPTH + 1);
				assert_non_null(strstr(error.text, message));
			}
		}
	}
	/* Far too deep costs nothing. */
	{
		size_t n = 1 << 20;
		char *deep = malloc(n);

		memset(deep, '[', n);
		assert_null(parse_n(deep, n));
		free(deep);
	}
}

static void test_arrays_of_numbers(void **state)
{
	const struct json *v = parse("[1, 18446744073709551615 ,-2,3.5,1e2 , -0.0]");
	struct json_iter it = json_iterate(v);
	const float *f;
	size_t n;

	assert_int_equal(json_type(v), JSON_FLOATS);
	assert_int_equal(json_count(v), 6);
	assert_true(json_next(&it));
	assert_int_equal(json_int(it.value), 1);
	assert_true(json_next(&it));
	assert_int_equal(json_type(it.value), JSON_UINT);
	assert_true(json_uint(it.value) == UINT64_MAX);
	assert_true(json_next(&it));
	assert_int_equal(json_int(it.value), -2);
	assert_true(json_next(&it));
	assert_true(json_double(it.value) == 3.5);
	assert_true(json_next(&it));
	assert_int_equal(json_type(it.value), JSON_DOUBLE);
	assert_true(json_next(&it));
	assert_true(signbit(json_double(it.value)));
	assert_false(json_next(&it));
	f = json_floats(v, arena, &n);
	assert_int_equal(n, 6);
	assert_int_equal((uintptr_t)f % 64, 0);
	assert_true(f[0] == 1.0f && f[1] == 18446744073709551616.0f && f[2] == -2.0f);
	assert_true(f[3] == 3.5f && f[4] == 100.0f && f[5] == 0.0f && signbit(f[5]));
}

static void test_floats_of_other_arrays(void **state)
{
	size_t n = 7;
	const float *f;

	assert_non_null(json_floats(parse("[ ]"), arena, &n));
	assert_int_equal(n, 0);
	/* More than 64 bits: kept as text, still a number. */
	f = json_floats(parse("[1.5, 100000000000000000000]"), arena, &n);
	assert_non_null(f);
	assert_int_equal(n, 2);
	assert_int_equal((uintptr_t)f % 64, 0);
	assert_true(f[0] == 1.5f && f[1] == 1e20f);
	assert_int_equal(json_type(parse("[1, 1e39]")), JSON_ARRAY);
	assert_null(json_floats(parse("[1, 1e39]"), arena, &n));
	assert_null(json_floats(parse("[1, -1e400]"), arena, &n));
	assert_null(json_floats(parse("[1, \"2\"]"), arena, &n));
	assert_null(json_floats(parse("[1, null]"), arena, &n));
	assert_null(json_floats(parse("[[1]]"), arena, &n));
	assert_null(json_floats(parse("3"), arena, &n));
	assert_null(json_floats(parse("{}"), arena, &n));
	assert_int_equal(json_type(parse("[3.4028235e38]")), JSON_FLOATS);
	assert_int_equal(json_type(parse("[3.4028236e38]")), JSON_ARRAY);
}

static void test_many_vectors(void **state)
{
	const size_t rows = 50, columns = 1000;
	struct buf text = BUF_INIT;
	const struct json *v;
	struct json_iter it;
	size_t n, row = 0;

	buf_printf(&text, "[[1],");
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < columns; c++)
			buf_printf(&text, "%c%zu.5", c ? ',' : '[', r * columns + c);
		buf_printf(&text, "],");
	}
	buf_printf(&text, "[2]]");
	v = parse_n(text.data, text.len);
	assert_non_null(v);
	assert_int_equal(json_count(v), rows + 2);
	for (it = json_iterate(v); json_next(&it); row++) {
		const float *f = json_floats(it.value, arena, &n);

		assert_non_null(f);
		assert_int_equal((uintptr_t)f % 64, 0);
		if (row == 0 || row == rows + 1)
			continue;
		assert_int_equal(n, columns);
		for (size_t c = 0; c < columns; c++)
			assert_true(f[c] == (float)((row - 1) * columns + c) + 0.5f);
	}
	buf_fini(&text);
}

/* ---- against yyjson ---- */

static void compare(const struct json *v, yyjson_val *y);

static void compare_objects(const struct json *v, yyjson_val *y)
{
	struct json_iter it = json_iterate(v);
	yyjson_obj_iter yit = yyjson_obj_iter_with(y);
	yyjson_val *key, *other;
	size_t n = 0;

	while ((key = yyjson_obj_iter_next(&yit))) {
		yyjson_obj_iter rest = yit;
		bool again = false;

		while (!again && (other = yyjson_obj_iter_next(&rest)))
			again = yyjson_equals_strn(other, yyjson_get_str(key), yyjson_get_len(key));
		if (again)
			continue;
		assert_true(json_next(&it));
		assert_int_equal(it.key_n, yyjson_get_len(key));
		assert_memory_equal(it.key, yyjson_get_str(key), it.key_n + 1);
		compare(it.value, yyjson_obj_iter_get_val(key));
		n++;
	}
	assert_false(json_next(&it));
	assert_int_equal(json_count(v), n);
}

static void compare_arrays(const struct json *v, yyjson_val *y)
{
	struct json_iter it = json_iterate(v);
	yyjson_arr_iter yit = yyjson_arr_iter_with(y);
	const float *f = json_type(v) == JSON_FLOATS ? json_floats(v, arena, &(size_t){0}) : NULL;
	yyjson_val *item;
	size_t i = 0;

	assert_int_equal(json_count(v), yyjson_arr_size(y));
	while ((item = yyjson_arr_iter_next(&yit))) {
		assert_true(json_next(&it));
		compare(it.value, item);
		/* An integer of 64 bits is rounded once here and twice by way of a double. */
		if (f && yyjson_is_real(item))
			assert_true(fabsf(f[i] - (float)yyjson_get_real(item)) <=
				    fabsf(f[i]) * 1.2e-7f);
		i++;
	}
	assert_false(json_next(&it));
}

static void compare(const struct json *v, yyjson_val *y)
{
	size_t n;

	switch (json_type(v)) {
	case JSON_NULL: assert_true(yyjson_is_null(y)); break;
	case JSON_BOOL:
		assert_true(yyjson_is_bool(y));
		assert_int_equal(json_bool(v), yyjson_get_bool(y));
		break;
	case JSON_INT:
		assert_true(yyjson_is_int(y));
		assert_true(json_int(v) == (int64_t)yyjson_get_uint(y) ||
			    json_int(v) == yyjson_get_sint(y));
		break;
	case JSON_UINT: assert_true(json_uint(v) == yyjson_get_uint(y)); break;
	case JSON_DOUBLE:
		/* yyjson has no negative zero among its integers. */
		if (json_double(v) == 0 && yyjson_is_int(y))
			assert_true(signbit(json_double(v)));
		else
			assert_memory_equal(&(double){json_double(v)},
					    &(double){yyjson_get_real(y)}, sizeof(double));
		break;
	case JSON_RAW:
		assert_true(yyjson_is_raw(y));
		assert_string_equal(json_string(v, &n), yyjson_get_raw(y));
		break;
	case JSON_STRING:
		assert_true(yyjson_is_str(y));
		assert_memory_equal(json_string(v, &n), yyjson_get_str(y), yyjson_get_len(y) + 1);
		assert_int_equal(n, yyjson_get_len(y));
		break;
	case JSON_ARRAY:
	case JSON_FLOATS: compare_arrays(v, y); break;
	case JSON_OBJECT: compare_objects(v, y); break;
	}
}

static void agree(const void *text, size_t n)
{
	yyjson_doc *doc =
		yyjson_read_opts((char *)(uintptr_t)text, n, YYJSON_READ_BIGNUM_AS_RAW, NULL, NULL);
	const struct json *v = parse_n(text, n);

	if (!v != !doc)
		fail_msg("%s by quiver, %s by yyjson: %.*s (%s)", v ? "accepted" : "refused",
			 doc ? "accepted" : "refused", (int)n, (const char *)text, error.text);
	if (v)
		compare(v, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	arena_reset(arena);
}

static void put_random(struct buf *b, struct prng *p, int depth);

static void put_random_number(struct buf *b, struct prng *p)
{
	static const char *const special[] = {"0",
					      "-0",
					      "-0.0",
					      "1e-320",
					      "9007199254740993",
					      "18446744073709551615",
					      "18446744073709551616",
					      "-9223372036854775808",
					      "-9223372036854775809",
					      "123456789012345678901234567890",
					      "1.7976931348623157e308",
					      "1.8e308",
					      "1E+2",
					      "0.1e-5"};

	switch (prng_below(p, 6)) {
	case 0:
		buf_printf(b, "%s", special[prng_below(p, sizeof(special) / sizeof(*special))]);
		break;
	case 1: buf_printf(b, "%ld", (long)(prng_u64(p) >> prng_below(p, 64))); break;
	case 2: buf_printf(b, "%.*f", (int)prng_below(p, 25) + 1, prng_unit(p) - 0.5); break;
	case 3:
		buf_printf(b, "%.*g", (int)prng_below(p, 18) + 1,
			   (double)prng_gauss(p) * pow(10, (double)prng_below(p, 60) - 30));
		break;
	case 4:
		buf_printf(b, "%d.%de%d", (int)prng_below(p, 9), (int)prng_below(p, 99999),
			   (int)prng_below(p, 700) - 350);
		break;
	default: buf_printf(b, "%d", (int)prng_below(p, 2000) - 1000);
	}
}

static void put_random_string(struct buf *b, struct prng *p)
{
	static const char *const parts[] = {"a",
					    "text ",
					    "\\n",
					    "\\u00e9",
					    "\\ud83d\\ude00",
					    "\xc3\xa4",
					    "\xe4\xb8\xad",
					    "\xf0\x9f\x98\x80",
					    "\\\\",
					    "\\\"",
					    "longer piece of text ",
					    "\\u0000"};

	buf_put_u8(b, '"');
	for (uint64_t i = prng_below(p, 6); i > 0; i--)
		buf_printf(b, "%s", parts[prng_below(p, sizeof(parts) / sizeof(*parts))]);
	buf_put_u8(b, '"');
}

static void put_space(struct buf *b, struct prng *p)
{
	if (prng_below(p, 4) == 0)
		buf_put(b, " \n\t\r" + prng_below(p, 4), 1);
}

static void put_random_container(struct buf *b, struct prng *p, int depth, bool object)
{
	uint64_t n = prng_below(p, object && prng_below(p, 8) == 0 ? 40 : 6);

	buf_put_u8(b, object ? '{' : '[');
	for (uint64_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_u8(b, ',');
		put_space(b, p);
		if (object) {
			if (prng_below(p, 2))
				put_random_string(b, p);
			else
				buf_printf(b, "\"k%d\"", (int)prng_below(p, 30));
			put_space(b, p);
			buf_put_u8(b, ':');
			put_space(b, p);
		}
		put_random(b, p, depth - 1);
		put_space(b, p);
	}
	buf_put_u8(b, object ? '}' : ']');
}

static void put_random(struct buf *b, struct prng *p, int depth)
{
	static const char *const words[] = {"null", "true", "false"};

	switch (prng_below(p, depth > 0 ? 8 : 4)) {
	case 0: buf_printf(b, "%s", words[prng_below(p, 3)]); break;
	case 1: put_random_string(b, p); break;
	case 2:
	case 3: put_random_number(b, p); break;
	case 4: /* an array of numbers */
		buf_put_u8(b, '[');
		for (uint64_t i = prng_below(p, 20); i > 0; i--) {
			put_space(b, p);
			put_random_number(b, p);
			put_space(b, p);
			buf_put_u8(b, ',');
		}
		put_random_number(b, p);
		buf_put_u8(b, ']');
		break;
	case 5: put_random_container(b, p, depth, false); break;
	default: put_random_container(b, p, depth, true);
	}
}

static void test_random_documents(void **state)
{
	struct buf b = BUF_INIT;
	struct prng p;

	prng_seed(&p, 1);
	for (int i = 0; i < 20000; i++) {
		buf_clear(&b);
		put_random(&b, &p, 5);
		agree(b.data, b.len);
	}
	buf_fini(&b);
}

static void test_damaged_documents(void **state)
{
	static const char hostile[] = "[]{}\",:\\ue.-+0123456789 \n\x80\xff\xc3ntf";
	struct buf b = BUF_INIT;
	struct prng p;

	prng_seed(&p, 2);
	for (int i = 0; i < 60000; i++) {
		buf_clear(&b);
		put_random(&b, &p, 4);
		for (uint64_t k = prng_below(&p, 3) + 1; k > 0; k--) {
			uint8_t *at = b.data + prng_below(&p, b.len);

			switch (prng_below(&p, 3)) {
			case 0: *at ^= (uint8_t)(1 << prng_below(&p, 8)); break;
			case 1: *at = (uint8_t)hostile[prng_below(&p, sizeof(hostile) - 1)]; break;
			default:
				memmove(at, at + 1, (size_t)(b.data + b.len - at - 1));
				b.len -= b.len > 1;
			}
		}
		agree(b.data, b.len);
	}
	buf_fini(&b);
}

static void test_cut_and_flipped_everywhere(void **state)
{
	static const char text[] =
		"{\"points\": [{\"id\": 18446744073709551615, \"vector\": {\"\": [0.1, -2.5e-3, 3],\n"
		"\"sparse\": {\"indices\": [1, 7], \"values\": [1.0, 0.25]}}, \"payload\": {\"t\\u00e9xt\":"
		" \"caf\xc3\xa9 \\ud83d\\ude00\", \"n\": [null, true, false, {}], \"big\": 1e999}}]}";
	const size_t n = sizeof(text) - 1;
	char damaged[sizeof(text)];

	assert_non_null(parse_n(text, n));
	for (size_t cut = 0; cut < n; cut++)
		assert_null(parse_n(text, cut));
	for (size_t i = 0; i < n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(damaged, text, n);
			damaged[i] = (char)(damaged[i] ^ (1 << bit));
			agree(damaged, n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scalars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_keep_their_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_with_a_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_utf8, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_of_equal_keys_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arrays_of_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_floats_of_other_arrays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_and_flipped_everywhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
