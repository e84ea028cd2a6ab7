/* Payload values: writing and reading, checking of bytes from outside, equality. */
#include "tests/unit/arena.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "base/limits.h"
#include <math.h>
#include <string.h>

static const char sample[] =
	"{'i':-7,'u':18446744073709551615,'d':10.0,'e':1e300,'big':123456789012345678901234567890,"
	"'s':'h\xC3\xA4llo','n':null,'t':true,'f':false,'a':[1,[2,{}],'x'],'o':{'k':{'':''}},'':0}";

static void json_comes_back_as_it_was(void **state)
{
	struct pv v = doc(arena, sample);
	assert_string_equal(
		doc_text(arena, v),
		"{'i':-7,'u':18446744073709551615,'d':10.0,'e':1.0000000000000001e+300,"
		"'big':123456789012345678901234567890,'s':'h\xC3\xA4llo','n':null,'t':true,"
		"'f':false,'a':[1,[2,{}],'x'],'o':{'k':{'':''}},'':0}");
	assert_int_equal(pv_count(v), 12);
}

static void accessors_give_the_values(void **state)
{
	struct pv root = doc(arena, sample), v;
	uint32_t n;
	double d;
	assert_true(pv_get(root, "i", 1, &v));
	assert_int_equal(pv_int(v), -7);
	assert_true(pv_number(v, &d) && d == -7);
	assert_true(pv_get(root, "u", 1, &v));
	assert_int_equal(pv_type(v), PV_UINT);
	assert_int_equal(pv_uint(v), UINT64_MAX);
	assert_true(pv_number(v, &d) && d == 0x1p64);
	assert_true(pv_get(root, "d", 1, &v));
	assert_int_equal(pv_type(v), PV_DOUBLE);
	assert_true(pv_double(v) == 10);
	assert_true(pv_get(root, "big", 3, &v));
	assert_int_equal(pv_type(v), PV_RAW);
	assert_true(pv_number(v, &d) && fabs(d - 1.2345678901234568e29) < 1e15);
	assert_true(pv_get(root, "s", 1, &v));
	assert_memory_equal(pv_string(v, &n), "h\xC3\xA4llo", 6);
	assert_int_equal(n, 6);
	assert_false(pv_number(v, &d));
	assert_true(pv_get(root, "t", 1, &v) && pv_bool(v));
	assert_true(pv_get(root, "f", 1, &v) && !pv_bool(v));
	assert_int_equal(pv_count(v), 0);
	assert_true(pv_get(root, "", 0, &v));
	assert_false(pv_get(root, "zz", 2, &v));
	assert_false(pv_get(v, "i", 1, &v)); /* no object */
	struct buf b = BUF_INIT;
	pv_put_uint(&b, INT64_MAX);
	assert_int_equal(pv_type(pv_of(b.data)), PV_INT);
	assert_int_equal(pv_uint(pv_of(b.data)), INT64_MAX);
	buf_fini(&b);
}

static void a_long_raw_number_is_a_number(void **state)
{
	char json[600];
	memset(json, '9', sizeof(json) - 1);
	json[sizeof(json) - 1] = '\0';
	struct buf b = BUF_INIT;
	double d;
	pv_put_raw(&b, json, sizeof(json) - 1);
	assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
	assert_true(pv_number(pv_of(b.data), &d) && d == INFINITY);
	buf_fini(&b);
}

static int decode(struct reader *r, struct arena *a)
{
	size_t n = reader_left(r);
	const uint8_t *bytes = reader_bytes(r, n);
	if (pv_validate(bytes, n, NULL) != 0)
		return ERR_FORMAT;
	struct pv v = pv_of(bytes);
	assert_int_equal(pv_size(v), n);
	assert_true(pv_equal(v, v));
	doc_text(a, v);
	return 0;
}

static void damaged_bytes_are_refused_or_usable(void **state)
{
	struct pv_slice s = doc_slice(arena, sample);
	assert_decoder_is_safe(decode, s.bytes, s.n);
}

static void assert_refused(const struct buf *b, const char *why)
{
	struct error err = {0};
	assert_int_equal(pv_validate(b->data, b->len, &err), ERR_FORMAT);
	assert_non_null(strstr(err.text, why));
}

static void every_wrong_form_is_named(void **state)
{
	struct buf b = BUF_INIT;
	buf_put_u8(&b, 10);
	assert_refused(&b, "unknown type");
	buf_clear(&b);
	buf_put_u8(&b, PV_UINT);
	buf_put_u64(&b, 5);
	assert_refused(&b, "shortest form");
	buf_clear(&b);
	buf_put_u8(&b, PV_DOUBLE);
	buf_put_f64(&b, NAN);
	assert_refused(&b, "not finite");
	buf_clear(&b);
	pv_put_null(&b);
	pv_put_null(&b);
	assert_refused(&b, "bytes after its end");
	buf_clear(&b);
	pv_put_string(&b, "\xC3(", 2);
	assert_refused(&b, "not UTF-8");
	buf_clear(&b);
	pv_put_string(&b, "12345678\xED\xA0\x80", 11); /* a surrogate */
	assert_refused(&b, "not UTF-8");
	buf_clear(&b);
	size_t mark = pv_open(&b, PV_OBJECT);
	pv_put_key(&b, "\xFF", 1);
	pv_put_null(&b);
	pv_close(&b, mark, 1);
	assert_refused(&b, "not UTF-8");
	buf_clear(&b);
	mark = pv_open(&b, PV_ARRAY);
	pv_put_null(&b);
	pv_close(&b, mark, 2);
	assert_refused(&b, "cut short");
	buf_set_u32(&b, 5, 0);
	assert_refused(&b, "length of an array");
	buf_fini(&b);
}

static void raw_numbers_are_json_numbers(void **state)
{
	static const char *const right[] = {"0", "-0", "12", "0.5", "-1.25e10", "1E+5", "1e-5"};
	static const char *const wrong[] = {"",   "-",   "01", "1.",  ".5",   "1e", "1e+",
					    "+1", "0x1", "1 ", "nan", "1e5x", "--1"};
	struct buf b = BUF_INIT;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		buf_clear(&b);
		pv_put_raw(&b, right[i], (uint32_t)strlen(right[i]));
		assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		buf_clear(&b);
		buf_put_u8(&b, PV_RAW);
		buf_put_str(&b, wrong[i]);
		assert_refused(&b, "raw number");
	}
	buf_fini(&b);
}

static void nesting_is_limited(void **state)
{
	for (unsigned depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
		struct buf b = BUF_INIT;
		size_t marks[LIMIT_JSON_DEPTH + 1];
		for (unsigned i = 0; i < depth; i++)
			marks[i] = pv_open(&b, PV_ARRAY);
		for (unsigned i = depth; i-- > 0;)
			pv_close(&b, marks[i], i + 1 < depth);
		int rc = pv_validate(b.data, b.len, NULL);
		assert_int_equal(rc, depth <= LIMIT_JSON_DEPTH ? 0 : ERR_FORMAT);
		buf_fini(&b);
	}
}

static void equality(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{"1", "1", true},
		{"1", "1.0", false},
		{"1", "true", false},
		{"'a'", "'a'", true},
		{"'a'", "'ab'", false},
		{"[1,2]", "[1,2]", true},
		{"[1,2]", "[2,1]", false},
		{"[1,2]", "[1]", false},
		{"{'a':1,'b':[2]}", "{'b':[2],'a':1}", true},
		{"{'a':1,'b':2}", "{'a':1,'c':2}", false},
		{"{'a':1}", "{'a':1,'b':2}", false},
		{"{'a':{'b':null}}", "{'a':{'b':null}}", true},
		{"{'a':{'b':null}}", "{'a':{'b':0}}", false},
		{"{}", "[]", false},
		{"null", "null", true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pv a = doc(arena, cases[i].a), b = doc(arena, cases[i].b);
		assert_int_equal(pv_equal(a, b), cases[i].equal);
		assert_int_equal(pv_equal(b, a), cases[i].equal);
	}
}

static void the_empty_object_is_valid(void **state)
{
	assert_int_equal(pv_validate(PV_EMPTY_OBJECT.bytes, PV_EMPTY_OBJECT.n, NULL), 0);
	assert_true(pv_equal(pv_of(PV_EMPTY_OBJECT.bytes), doc(arena, "{}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(json_comes_back_as_it_was, fresh, clean),
		cmocka_unit_test_setup_teardown(accessors_give_the_values, fresh, clean),
		cmocka_unit_test_setup_teardown(a_long_raw_number_is_a_number, fresh, clean),
		cmocka_unit_test_setup_teardown(damaged_bytes_are_refused_or_usable, fresh, clean),
		cmocka_unit_test_setup_teardown(every_wrong_form_is_named, fresh, clean),
		cmocka_unit_test_setup_teardown(raw_numbers_are_json_numbers, fresh, clean),
		cmocka_unit_test_setup_teardown(nesting_is_limited, fresh, clean),
		cmocka_unit_test_setup_teardown(equality, fresh, clean),
		cmocka_unit_test_setup_teardown(the_empty_object_is_valid, fresh, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
