/* Error texts: setting, wrapping, cutting. */
#include "tests/unit/unit.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>

static void set_fills_code_and_text(void **state)
{
	struct error err = {0};
	assert_int_equal(error_set(&err, ERR_INPUT, "limit is %d", 7), ERR_INPUT);
	assert_int_equal(err.code, ERR_INPUT);
	assert_string_equal(err.text, "limit is 7");
	assert_int_equal(error_set(NULL, ERR_IO, "nobody listens %d", 1), ERR_IO);
}

static void wrap_reads_outermost_first(void **state)
{
	struct error err = {0};
	error_set(&err, ERR_CORRUPT, "bad checksum");
	error_wrap(&err, ERR_CORRUPT, "read header");
	assert_int_equal(error_wrap(&err, ERR_UNAVAILABLE, "open segment %d", 7), ERR_UNAVAILABLE);
	assert_string_equal(err.text, "open segment 7: read header: bad checksum");
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void wrap_without_text_uses_the_default(void **state)
{
	struct error err = {0};
	error_wrap(&err, ERR_TIMEOUT, "ask node a");
	assert_string_equal(err.text, "ask node a: timed out");
	err = (struct error){.code = ERR_DISK_FULL};
	error_wrap(&err, ERR_IO, "append");
	assert_string_equal(err.text, "append: no space left on the device");
	assert_int_equal(error_wrap(NULL, ERR_IO, "x"), ERR_IO);
}

static void arguments_may_point_into_the_text(void **state)
{
	struct error err = {0};
	error_set(&err, ERR_IO, "inner");
	error_set(&err, ERR_IO, "outer (%s)", err.text);
	assert_string_equal(err.text, "outer (inner)");
	error_wrap(&err, ERR_IO, "%s", err.text);
	assert_string_equal(err.text, "outer (inner): outer (inner)");
}

static void errno_chooses_the_code(void **state)
{
	struct error err = {0};
	assert_int_equal(error_errno(&err, ENOSPC, "write %s", "wal"), ERR_DISK_FULL);
	assert_string_equal(err.text, "write wal: No space left on device");
	assert_int_equal(error_errno(&err, EDQUOT, "w"), ERR_DISK_FULL);
	assert_int_equal(error_errno(&err, ENOENT, "w"), ERR_NOT_FOUND);
	assert_int_equal(error_errno(&err, ENOMEM, "w"), ERR_NOMEM);
	assert_int_equal(error_errno(&err, EACCES, "w"), ERR_IO);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(error_errno(NULL, EIO, "w"), ERR_IO);
}

static void long_texts_are_cut_between_characters(void **state)
{
	struct error err = {0};
	char text[1000];
	/* Two-byte characters, shifted by one so that the cut would fall inside one. */
	for (size_t shift = 0; shift < 2; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 2 < sizeof(text); i += 2)
			memcpy(text + i, "\xC3\xA4", 2);
		text[sizeof(text) - 3] = '\0';
		error_set(&err, ERR_INPUT, "%s", text);
		size_t n = strlen(err.text);
		assert_true(n >= sizeof(err.text) - 2 && n < sizeof(err.text));
		assert_int_equal((n - shift) % 2, 0);
	}
	error_wrap(&err, ERR_INPUT, "%s", text);
	assert_true(strlen(err.text) < sizeof(err.text));
}

static void every_code_has_a_name(void **state)
{
#define CHECK_CODE(name, number, text)                                                             \
	assert_string_equal(error_name(number), #name);                                            \
	assert_string_equal(error_text(number), text);                                             \
	assert_true(name < 0);
	ERROR_CODES(CHECK_CODE)
#undef CHECK_CODE
	assert_string_equal(error_name(-999), "ERR_UNKNOWN");
	assert_non_null(error_text(-999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_code_and_text),
		cmocka_unit_test(wrap_reads_outermost_first),
		cmocka_unit_test(wrap_without_text_uses_the_default),
		cmocka_unit_test(arguments_may_point_into_the_text),
		cmocka_unit_test(errno_chooses_the_code),
		cmocka_unit_test(long_texts_are_cut_between_characters),
		cmocka_unit_test(every_code_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
