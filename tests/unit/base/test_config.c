/* Configuration: defaults, file, flags, and the errors that a person gets to read. */
#include "tests/unit/unit.h"
#include "base/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sample {
	const char *config;
	const char *http;
	const char *node_name;
	uint64_t cache_mb;
	double ratio;
	bool verbose;
};

static const struct config_row rows[] = {
	CONFIG_STR(struct sample, config, NULL, "FILE", "Configuration file."),
	CONFIG_STR(struct sample, http, "127.0.0.1:6333", "HOST:PORT", "Address of the API."),
	CONFIG_STR(struct sample, node_name, "n1", "NAME", "Name of this node."),
	CONFIG_U64(
		struct sample, cache_mb, "64", 1, 4096, "MB",
		"Memory of the cache, which is a rather long explanation that has to be wrapped."),
	CONFIG_F64(struct sample, ratio, "0.5", 0, 1, "X", "A ratio."),
	CONFIG_BOOL(struct sample, verbose, "false", "Say more."),
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]), MAX_ARGS = 16 };

static struct arena *arena;
static struct sample config;
static struct error err;
static const char *rest[MAX_ARGS];
static struct config_args args;

static int fresh(void **state)
{
	arena = arena_new(0);
	memset(&err, 0, sizeof(err));
	config_defaults(rows, N_ROWS, &config, arena);
	return 0;
}

static int clean(void **state)
{
	arena_free(arena);
	return 0;
}

static int flags(int argc, const char **argv)
{
	args = (struct config_args){.argc = argc, .argv = (char **)argv, .rest = rest};
	return config_flags(rows, N_ROWS, &args, &config, arena, &err);
}
#define FLAGS(...)                                                                                 \
	flags((int)(sizeof((const char *[]){"prog", __VA_ARGS__}) / sizeof(const char *)),         \
	      (const char *[]){"prog", __VA_ARGS__})

/* Writes the text to a file and reads it as a configuration. */
static int from_file(const char *text, size_t n, char path[32])
{
	snprintf(path, 32, "config-test-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	int rc = config_file(rows, N_ROWS, path, &config, arena, &err);
	unlink(path);
	return rc;
}

static void defaults_fill_the_struct(void **state)
{
	assert_null(config.config);
	assert_string_equal(config.http, "127.0.0.1:6333");
	assert_int_equal(config.cache_mb, 64);
	assert_true(config.ratio == 0.5);
	assert_false(config.verbose);
}

static void flags_in_both_forms(void **state)
{
	assert_int_equal(FLAGS("--http", "0.0.0.0:1", "--cache-mb=128", "--verbose", "--ratio",
			       "0.25", "--node-name=", "file", "-"),
			 0);
	assert_string_equal(config.http, "0.0.0.0:1");
	assert_int_equal(config.cache_mb, 128);
	assert_true(config.verbose);
	assert_true(config.ratio == 0.25);
	assert_string_equal(config.node_name, "");
	assert_int_equal(args.n_rest, 2);
	assert_string_equal(rest[0], "file");
	assert_string_equal(rest[1], "-");
	assert_false(args.help);
	assert_int_equal(FLAGS("--verbose=false", "--node_name", "x", "--help"), 0);
	assert_false(config.verbose);
	assert_string_equal(config.node_name, "x");
	assert_true(args.help);
}

static void two_dashes_end_the_flags(void **state)
{
	assert_int_equal(FLAGS("--", "--http", "-h"), 0);
	assert_int_equal(args.n_rest, 2);
	assert_string_equal(rest[0], "--http");
	assert_false(args.help);
}

static void wrong_flags_are_explained(void **state)
{
	assert_int_equal(FLAGS("--cache-bm", "1"), ERR_INPUT);
	assert_string_equal(err.text, "there is no option --cache-bm; did you mean --cache-mb?");
	assert_int_equal(FLAGS("--zzzzzzzzzzzzz"), ERR_INPUT);
	assert_non_null(strstr(err.text, "--help lists them all"));
	assert_int_equal(FLAGS("--http"), ERR_INPUT);
	assert_string_equal(err.text, "--http needs a value, HOST:PORT");
	assert_int_equal(FLAGS("-x"), ERR_INPUT);
	assert_int_equal(FLAGS("--cache-mb", "1k"), ERR_INPUT);
	assert_int_equal(FLAGS("--cache-mb", "-1"), ERR_VALIDATION);
	assert_int_equal(FLAGS("--cache-mb", " 1"), ERR_INPUT);
	assert_int_equal(FLAGS("--cache-mb", ""), ERR_INPUT);
	assert_int_equal(FLAGS("--cache-mb", "99999999999999999999"), ERR_VALIDATION);
	assert_int_equal(FLAGS("--cache-mb", "0"), ERR_VALIDATION);
	assert_non_null(strstr(err.text, "from 1 to 4096"));
	assert_int_equal(FLAGS("--cache-mb", "4097"), ERR_VALIDATION);
	assert_int_equal(FLAGS("--ratio", "nan"), ERR_INPUT);
	assert_int_equal(FLAGS("--ratio", "1.01"), ERR_VALIDATION);
	assert_int_equal(FLAGS("--verbose=maybe"), ERR_INPUT);
}

static void a_file_is_read(void **state)
{
	static const char text[] = "# a comment\n; another\n\n  cache-mb = 7  \r\n"
				   "node_name = \"  two words \"\nverbose=yes\nhttp = a=b";
	char path[32];
	assert_int_equal(from_file(text, sizeof(text) - 1, path), 0);
	assert_int_equal(config.cache_mb, 7);
	assert_string_equal(config.node_name, "  two words ");
	assert_true(config.verbose);
	assert_string_equal(config.http, "a=b");
}

static void a_long_line_is_not_cut(void **state)
{
	char text[3000];
	memset(text, 'x', 2007);
	memcpy(text, "http = ", 7);
	text[2007] = '\0';
	char path[32];
	assert_int_equal(from_file(text, 2007, path), 0);
	assert_int_equal(strlen(config.http), 2000);
}

static void wrong_files_are_explained(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *says;
	} cases[] = {
#define CASE(text, says) {text, sizeof(text) - 1, says}
		CASE("verbose = on\nhtpp = x\n", ":2: there is no option htpp; did you mean http?"),
		CASE("\n\n[server]\n", ":3: expected a line 'name = value'"),
		CASE("verbose\n", ":1: expected a line"),
		CASE("cache_mb = many\n", ":1: cache_mb: 'many' is not a whole number"),
		CASE("cache_mb = -\n", ":1: cache_mb: '-' is not a whole number"),
		CASE("cache_mb = -1\n", ":1: cache_mb: -1 is out of range"),
		CASE("cache_mb = 99999999999999999999\n", " is out of range, it must be from"),
		CASE("http = a\0b\n", ":1: the line has a NUL byte"),
#undef CASE
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[32];
		assert_true(from_file(cases[i].text, cases[i].n, path) < 0);
		assert_memory_equal(err.text, path, strlen(path));
		assert_non_null(strstr(err.text, cases[i].says));
	}
	assert_int_equal(config_file(rows, N_ROWS, "no-such-file", &config, arena, &err),
			 ERR_NOT_FOUND);
	assert_true(config_file(rows, N_ROWS, ".", &config, arena, &err) < 0);
}

static void flags_win_over_the_file(void **state)
{
	char path[] = "config-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	static const char text[] = "http = from-file\ncache_mb = 9\n";
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	const char *argv[] = {"prog", "--http=from-flag", "--config", path, "word"};
	args = (struct config_args){.argc = 5, .argv = (char **)argv, .rest = rest};
	int rc = config_load(rows, N_ROWS, &args, &config, arena, &err);
	unlink(path);
	assert_int_equal(rc, 0);
	assert_string_equal(config.http, "from-flag");
	assert_int_equal(config.cache_mb, 9);
	assert_string_equal(config.node_name, "n1");
	assert_string_equal(config.config, path);
	assert_int_equal(args.n_rest, 1);
}

static void help_lists_every_row_within_80_columns(void **state)
{
	char path[] = "config-test-XXXXXX";
	int fd = mkstemp(path);
	int saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	config_print_help(rows, N_ROWS);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	char text[4096] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	unlink(path);
	assert_true(n > 0);
	assert_non_null(strstr(text, "  --cache-mb MB             Memory of the cache,"));
	assert_non_null(strstr(text, "(default 127.0.0.1:6333)\n"));
	assert_non_null(strstr(text, "  --verbose                 Say more.\n"));
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults_fill_the_struct, fresh, clean),
		cmocka_unit_test_setup_teardown(flags_in_both_forms, fresh, clean),
		cmocka_unit_test_setup_teardown(two_dashes_end_the_flags, fresh, clean),
		cmocka_unit_test_setup_teardown(wrong_flags_are_explained, fresh, clean),
		cmocka_unit_test_setup_teardown(a_file_is_read, fresh, clean),
		cmocka_unit_test_setup_teardown(a_long_line_is_not_cut, fresh, clean),
		cmocka_unit_test_setup_teardown(wrong_files_are_explained, fresh, clean),
		cmocka_unit_test_setup_teardown(flags_win_over_the_file, fresh, clean),
		cmocka_unit_test_setup_teardown(help_lists_every_row_within_80_columns, fresh,
						clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
