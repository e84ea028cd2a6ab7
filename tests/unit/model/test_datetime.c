/* Dates: the accepted forms, the calendar, and a check against the C library. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include "model/payload.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t SECOND = 1000000;

static void forms_and_moments(void **state)
{
	static const struct {
		const char *text;
		int64_t micros;
	} cases[] = {
		{"1970-01-01", 0},
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-02", 86400000000},
		{"1969-12-31 23:59:59", -1000000},
		{"1969-12-31T23:59:59.999999Z", -1},
		{"2000-02-29", 951782400000000},
		{"2024-02-29T12:34:56.789Z", 1709210096789000},
		{"2024-02-29t12:34:56.789z", 1709210096789000},
		{"2024-02-29 12:34:56.789", 1709210096789000},
		{"2024-02-29 12:34", 1709210040000000},
		{"2024-02-29T12:34Z", 1709210040000000},
		{"2024-02-29T12:34:56+02:00", 1709202896000000},
		{"2024-02-29T12:34:56-00:30", 1709211896000000},
		{"2024-02-29T12:34:56.1", 1709210096100000},
		{"2024-02-29T12:34:56.1234567899999999999", 1709210096123456},
		{"2016-12-31T23:59:60Z", 1483228800000000},
		{"2017-01-01T00:59:60+01:00", 1483228800000000},
		{"0000-01-01", -62167219200000000},
		{"9999-12-31T23:59:59.999999Z", 253402300799999999},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t micros = -12345;
		assert_true(datetime_parse(cases[i].text, strlen(cases[i].text), &micros));
		assert_int_equal(micros, cases[i].micros);
	}
}

static void what_is_no_date_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"2024",
		"2024-01",
		"2024-1-01",
		"24-01-01",
		"2024-13-01",
		"2024-00-01",
		"2024-01-00",
		"2024-01-32",
		"2024-04-31",
		"2023-02-29",
		"1900-02-29",
		"2100-02-29",
		"2024/01/01",
		"2024-01-01T",
		"2024-01-01 ",
		" 2024-01-01",
		"2024-01-01Z",
		"2024-01-01T12",
		"2024-01-01T12Z",
		"2024-01-01T24:00:00",
		"2024-01-01T12:60",
		"2024-01-01T12:00:61",
		"2024-01-01T12:00:60",
		"2016-12-31T23:59:60+01:00",
		"2024-01-01T12:00:00.",
		"2024-01-01T12:00:00.Z",
		"2024-01-01T12:00:00,5",
		"2024-01-01T12:00.5",
		"2024-01-01T12:00:00+0200",
		"2024-01-01T12:00:00+02",
		"2024-01-01T12:00:00+24:00",
		"2024-01-01T12:00:00+02:60",
		"2024-01-01T12:00:00 Z",
		"2024-01-01T12:00:00Zx",
		"2024-01-01X12:00:00",
		"2024-01-01T-1:00:00",
		"+024-01-01",
		"20240101",
		"yesterday",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int64_t micros;
		assert_false(datetime_parse(wrong[i], strlen(wrong[i]), &micros));
	}
	int64_t micros;
	assert_false(datetime_parse("2024-01-01\0", 11, &micros));
}

static void agrees_with_the_c_library(void **state)
{
	struct prng random;
	prng_seed(&random, 1);
	for (int i = 0; i < 20000; i++) {
		/* Years 0 to 9999. */
		time_t seconds = (time_t)prng_below(&random, 315569520000) - 62167219200;
		char text[64];
		struct tm tm;
		gmtime_r(&seconds, &tm);
		size_t n = (size_t)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ",
					    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
					    tm.tm_hour, tm.tm_min, tm.tm_sec);
		int64_t micros;
		assert_true(datetime_parse(text, n, &micros));
		assert_int_equal(micros, seconds * SECOND);
	}
}

static void every_shorter_piece_is_safe(void **state)
{
	static const char whole[] = "2024-02-29T12:34:56.789+02:00";
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char exact[32];
		int64_t micros;
		memcpy(exact, whole, n);
		memset(exact + n, '9', sizeof(exact) - n); /* must not be looked at */
		bool is_date = n == 10 || n == 16 || n == 19 || (n > 20 && n <= 23);
		assert_int_equal(datetime_parse(exact, n, &micros), is_date);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_and_moments),
		cmocka_unit_test(what_is_no_date_is_refused),
		cmocka_unit_test(agrees_with_the_c_library),
		cmocka_unit_test(every_shorter_piece_is_safe),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
