/* Log lines: level, shape, and that text from outside cannot forge a line. */
#include "tests/unit/unit.h"
#include "base/error.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char captured[8192];

/* Runs `speak` with stderr going to a file; what it wrote is in captured[]. */
static void capture(void (*speak)(void))
{
	char path[] = "log-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	int saved = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	speak();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = pread(fd, captured, sizeof(captured) - 1, 0);
	close(fd);
	unlink(path);
	assert_true(n >= 0);
	captured[n] = '\0';
}

static void speak_all(void)
{
	log_error("test", "e %d", 1);
	log_warn("test", "w");
	log_info("test", "i");
	log_debug("test", "d");
}

static void only_the_wanted_levels_are_written(void **state)
{
	log_set_level(LOG_WARN);
	capture(speak_all);
	assert_non_null(strstr(captured, " error test: e 1\n"));
	assert_non_null(strstr(captured, " warn test: w\n"));
	assert_null(strstr(captured, "info"));
	log_set_level(LOG_DEBUG);
	capture(speak_all);
	assert_non_null(strstr(captured, " debug test: d\n"));
	/* 2026-01-31T12:00:00.123Z */
	assert_int_equal(captured[4], '-');
	assert_int_equal(captured[10], 'T');
	assert_int_equal(captured[19], '.');
	assert_int_equal(captured[23], 'Z');
	log_set_level(LOG_INFO);
}

static void speak_forged(void)
{
	log_info("test", "%s", "name\n2026-01-31T12:00:00.123Z error forged: \x1B[31m");
}

static void control_characters_become_spaces(void **state)
{
	capture(speak_forged);
	char *end = strchr(captured, '\n');
	assert_non_null(end);
	assert_int_equal(end[1], '\0');
	assert_null(strchr(captured, '\x1B'));
}

static void speak_at_length(void)
{
	char text[5000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_info("test", "%s", text);
}

static void long_lines_are_cut(void **state)
{
	capture(speak_at_length);
	size_t n = strlen(captured);
	assert_true(n > 2000 && n <= 2048);
	assert_int_equal(captured[n - 1], '\n');
}

static void levels_are_parsed(void **state)
{
	enum log_level level;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_ERROR);
	assert_int_equal(log_level_parse("loud", &level), ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_wanted_levels_are_written),
		cmocka_unit_test(control_characters_become_spaces),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(levels_are_parsed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
