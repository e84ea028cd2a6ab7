/* Byte codec: what is put comes back, and nothing is read past the end. */
#include "tests/unit/unit.h"
#include "base/codec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_one_of_each(struct buf *b)
{
	buf_put_u8(b, 0xAB);
	buf_put_u16(b, 0xBEEF);
	buf_put_u32(b, 0xDEADBEEF);
	buf_put_u64(b, 0x0123456789ABCDEFull);
	buf_put_f32(b, -1.5f);
	buf_put_f64(b, 0x1.fffffffffffffp-1022);
	buf_put_blob(b, "a\0b", 3);
	buf_put_str(b, "text");
}

static bool read_one_of_each(struct reader *r)
{
	uint32_t n = 0;
	bool same = reader_u8(r) == 0xAB;
	same &= reader_u16(r) == 0xBEEF;
	same &= reader_u32(r) == 0xDEADBEEF;
	same &= reader_u64(r) == 0x0123456789ABCDEFull;
	same &= reader_f32(r) == -1.5f;
	same &= reader_f64(r) == 0x1.fffffffffffffp-1022;
	const uint8_t *blob = reader_blob(r, &n);
	same &= blob != NULL && n == 3 && memcmp(blob, "a\0b", 3) == 0;
	blob = reader_blob(r, &n);
	same &= blob != NULL && n == 4 && memcmp(blob, "text", 4) == 0;
	return same;
}

static void what_is_put_comes_back(void **state)
{
	struct buf b = BUF_INIT;
	put_one_of_each(&b);
	struct reader r = reader_make(b.data, b.len);
	assert_true(read_one_of_each(&r));
	assert_true(reader_done(&r));
	buf_fini(&b);
	assert_null(b.data);
}

static void integers_are_little_endian(void **state)
{
	struct buf b = BUF_INIT;
	buf_put_u32(&b, 0x04030201);
	buf_put_u16(&b, 0x0605);
	const uint8_t want[] = {1, 2, 3, 4, 5, 6};
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	assert_int_equal(load_u32(b.data), 0x04030201);
	buf_set_u32(&b, 2, 0xFFFFFFFF);
	assert_int_equal(load_u32(b.data + 2), 0xFFFFFFFF);
	buf_fini(&b);
}

static void a_short_input_is_bad_at_every_length(void **state)
{
	struct buf b = BUF_INIT;
	put_one_of_each(&b);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *exact = malloc(n + 1); /* its own block, so that overreads are seen */
		memcpy(exact, b.data, n);
		exact = realloc(exact, n != 0 ? n : 1);
		struct reader r = reader_make(exact, n);
		read_one_of_each(&r);
		assert_false(reader_ok(&r));
		assert_false(reader_done(&r));
		assert_int_equal(reader_left(&r), 0);
		assert_int_equal(reader_u64(&r), 0);
		assert_null(reader_bytes(&r, 0));
		free(exact);
	}
	buf_fini(&b);
}

static void an_empty_input_can_be_read_as_nothing(void **state)
{
	struct reader r = reader_make(NULL, 0);
	assert_true(reader_done(&r));
	assert_non_null(reader_bytes(&r, 0));
	assert_true(reader_done(&r));
	assert_int_equal(reader_u8(&r), 0);
	assert_false(reader_ok(&r));
}

static void a_blob_that_is_longer_than_the_input_is_bad(void **state)
{
	struct buf b = BUF_INIT;
	buf_put_u32(&b, UINT32_MAX);
	buf_put_u32(&b, 1);
	struct reader r = reader_make(b.data, b.len);
	uint32_t n = 99;
	assert_null(reader_blob(&r, &n));
	assert_int_equal(n, 0);
	assert_false(reader_ok(&r));
	buf_fini(&b);
}

static void a_count_must_fit_in_what_is_left(void **state)
{
	struct buf b = BUF_INIT;
	buf_put_u32(&b, 3);
	for (int i = 0; i < 3; i++)
		buf_put_u32(&b, 7);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(reader_count(&r, 4), 3);
	assert_true(reader_ok(&r));
	r = reader_make(b.data, b.len);
	assert_int_equal(reader_count(&r, 5), 0);
	assert_false(reader_ok(&r));
	buf_set_u32(&b, 0, UINT32_MAX);
	r = reader_make(b.data, b.len);
	assert_int_equal(reader_count(&r, 1), 0);
	assert_false(reader_ok(&r));
	buf_fini(&b);
}

static void printf_appends_text_of_any_length(void **state)
{
	struct buf b = BUF_INIT;
	buf_printf(&b, "%s", "");
	assert_int_equal(b.len, 0);
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3);
	assert_memory_equal(b.data, "0,1,2,3,4,", 10);
	assert_memory_equal(b.data + b.len - 6, "98,99,", 6);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void growth_keeps_the_content(void **state)
{
	struct buf b = BUF_INIT;
	for (uint32_t i = 0; i < 10000; i++)
		buf_put_u32(&b, i);
	struct reader r = reader_make(b.data, b.len);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(reader_u32(&r), i);
	assert_true(reader_done(&r));
	buf_put(&b, NULL, 0);
	assert_int_equal(b.len, 40000);
	buf_fini(&b);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_comes_back),
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(a_short_input_is_bad_at_every_length),
		cmocka_unit_test(an_empty_input_can_be_read_as_nothing),
		cmocka_unit_test(a_blob_that_is_longer_than_the_input_is_bad),
		cmocka_unit_test(a_count_must_fit_in_what_is_left),
		cmocka_unit_test(printf_appends_text_of_any_length),
		cmocka_unit_test(growth_keeps_the_content),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
