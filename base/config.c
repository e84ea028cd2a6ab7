/* Configuration table: parsing of values, the INI file and the command line; the text of --help. */
#include "base/config.h"
#include "base/assert.h"
#include "base/hint.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMNS = 80, HELP_INDENT = 28, NAME_BYTES = 64 };

/* Compares names with '-' and '_' alike. */
static bool same_name(const char *row_name, const char *s, size_t n)
{
	if (strlen(row_name) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char a = row_name[i] == '_' ? '-' : row_name[i];
		char b = s[i] == '_' ? '-' : s[i];
		if (a != b)
			return false;
	}
	return true;
}

static const struct config_row *find_row(const struct config_row *rows, size_t n, const char *name,
					 size_t name_n)
{
	for (size_t i = 0; i < n; i++) {
		if (same_name(rows[i].name, name, name_n))
			return &rows[i];
	}
	return NULL;
}

static const char *flag_name(const char *name, char out[NAME_BYTES])
{
	size_t n = strlen(name);
	assert(n < NAME_BYTES);
	for (size_t i = 0; i <= n; i++)
		out[i] = name[i] == '_' ? '-' : name[i];
	return out;
}

/* ---- values ---- */

static int parse_u64(const struct config_row *row, const char *value, uint64_t *out,
		     struct error *err)
{
	bool negative = value[0] == '-';
	const char *digits = value + negative;
	errno = 0;
	unsigned long long v = strtoull(digits, NULL, 10);
	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return error_set(err, ERR_INPUT, "'%s' is not a whole number", value);
	if (negative || errno != 0 || (double)v < row->min || (double)v > row->max)
		return error_set(err, ERR_VALIDATION,
				 "%s is out of range, it must be from %.0f to %.0f", value,
				 row->min, row->max);
	*out = v;
	return 0;
}

static int parse_f64(const struct config_row *row, const char *value, double *out,
		     struct error *err)
{
	char *end;
	double v = strtod(value, &end);
	if (end == value || *end != '\0' || !isfinite(v))
		return error_set(err, ERR_INPUT, "'%s' is not a number", value);
	if (v < row->min || v > row->max)
		return error_set(err, ERR_VALIDATION,
				 "%s is out of range, it must be from %g to %g", value, row->min,
				 row->max);
	*out = v;
	return 0;
}

static int parse_bool(const struct config_row *row, const char *value, bool *out, struct error *err)
{
	static const char *const words[][2] = {{"false", "true"},
					       {"no", "yes"},
					       {"off", "on"},
					       {"0", "1"}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int v = 0; v < 2; v++) {
			if (strcmp(value, words[i][v]) == 0) {
				*out = v != 0;
				return 0;
			}
		}
	}
	return error_set(err, ERR_INPUT, "'%s' is neither true nor false", value);
}

static int set_value(const struct config_row *row, const char *value, void *out,
		     struct arena *arena, struct error *err)
{
	void *member = (char *)out + row->offset;
	switch (row->type) {
	case CONFIG_TYPE_STR: *(const char **)member = arena_strdup(arena, value); return 0;
	case CONFIG_TYPE_U64: return parse_u64(row, value, member, err);
	case CONFIG_TYPE_F64: return parse_f64(row, value, member, err);
	case CONFIG_TYPE_BOOL: return parse_bool(row, value, member, err);
	}
	assert(!"a row has an unknown type");
	return ERR_INTERNAL;
}

void config_defaults(const struct config_row *rows, size_t n, void *out, struct arena *arena)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].default_value == NULL) {
			assert(rows[i].type == CONFIG_TYPE_STR);
			*(const char **)((char *)out + rows[i].offset) = NULL;
			continue;
		}
		int rc = set_value(&rows[i], rows[i].default_value, out, arena, NULL);
		assert(rc == 0);
	}
}

/* ---- hints ---- */

static int unknown_name(const struct config_row *rows, size_t n, const char *name, size_t name_n,
			const char *dashes, struct error *err)
{
	struct hint hint = hint_of(name, name_n);
	char candidate[NAME_BYTES];
	int shown = (int)(name_n < 100 ? name_n : 100);

	for (size_t i = 0; i < n; i++)
		hint_consider(&hint, flag_name(rows[i].name, candidate));
	if (!hint.best[0])
		return error_set(err, ERR_INPUT, "there is no option %s%.*s; --help lists them all",
				 dashes, shown, name);
	return error_set(err, ERR_INPUT, "there is no option %s%.*s; did you mean %s%s?", dashes,
			 shown, name, dashes, hint.best);
}

/* ---- INI file ---- */

struct ini {
	const struct config_row *rows;
	size_t n;
	void *out;
	struct arena *arena;
};

static char *trim(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	size_t n = strlen(s);
	while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL)
		n--;
	s[n] = '\0';
	return s;
}

static int ini_line(const struct ini *ini, char *line, struct error *err)
{
	char *text = trim(line);
	if (text[0] == '\0' || text[0] == '#' || text[0] == ';')
		return 0;
	char *equals = strchr(text, '=');
	if (equals == NULL || text[0] == '[')
		return error_set(err, ERR_FORMAT, "expected a line 'name = value', found '%.100s'",
				 text);
	*equals = '\0';
	char *name = trim(text);
	char *value = trim(equals + 1);
	size_t value_n = strlen(value);
	if (value_n >= 2 && value[0] == '"' && value[value_n - 1] == '"') {
		value[value_n - 1] = '\0';
		value++;
	}
	const struct config_row *row = find_row(ini->rows, ini->n, name, strlen(name));
	if (row == NULL)
		return unknown_name(ini->rows, ini->n, name, strlen(name), "", err);
	int rc = set_value(row, value, ini->out, ini->arena, err);
	return rc ? error_wrap(err, rc, "%s", row->name) : 0;
}

int config_file(const struct config_row *rows, size_t n, const char *path, void *out,
		struct arena *arena, struct error *err)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return error_errno(err, errno, "open the configuration file %s", path);
	struct ini ini = {rows, n, out, arena};
	char *line = NULL;
	size_t room = 0;
	int rc = 0;
	for (unsigned number = 1; rc == 0; number++) {
		ssize_t got = getline(&line, &room, file);
		if (got < 0)
			break;
		if (strlen(line) != (size_t)got)
			rc = error_set(err, ERR_FORMAT, "the line has a NUL byte");
		else
			rc = ini_line(&ini, line, err);
		if (rc != 0)
			error_wrap(err, rc, "%s:%u", path, number);
	}
	if (rc == 0 && ferror(file))
		rc = error_set(err, ERR_IO, "read the configuration file %s: it cannot be read",
			       path);
	free(line);
	fclose(file);
	return rc;
}

/* ---- command line ---- */

static int one_flag(const struct config_row *rows, size_t n, struct config_args *args, int *at,
		    const struct ini *target, struct error *err)
{
	const char *name = args->argv[*at] + 2;
	const char *value = strchr(name, '=');
	size_t name_n = value != NULL ? (size_t)(value - name) : strlen(name);
	const struct config_row *row = find_row(rows, n, name, name_n);
	if (row == NULL)
		return unknown_name(rows, n, name, name_n, "--", err);
	if (value != NULL) {
		value++;
	} else if (row->type == CONFIG_TYPE_BOOL) {
		value = "true";
	} else {
		if (*at + 1 >= args->argc)
			return error_set(err, ERR_INPUT, "--%s needs a value, %s", name,
					 row->placeholder != NULL ? row->placeholder : "VALUE");
		value = args->argv[++*at];
	}
	int rc = set_value(row, value, target->out, target->arena, err);
	char flag[NAME_BYTES];
	return rc ? error_wrap(err, rc, "--%s", flag_name(row->name, flag)) : 0;
}

int config_flags(const struct config_row *rows, size_t n, struct config_args *args, void *out,
		 struct arena *arena, struct error *err)
{
	struct ini target = {rows, n, out, arena};
	bool flags = true;
	args->n_rest = 0;
	args->help = false;
	for (int i = 1; i < args->argc; i++) {
		const char *arg = args->argv[i];
		if (!flags || arg[0] != '-' || arg[1] == '\0') {
			args->rest[args->n_rest++] = arg;
		} else if (strcmp(arg, "--") == 0) {
			flags = false;
		} else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			args->help = true;
		} else if (arg[1] != '-') {
			return error_set(err, ERR_INPUT,
					 "there is no option %.100s; options begin with two dashes",
					 arg);
		} else {
			int rc = one_flag(rows, n, args, &i, &target, err);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

int config_load(const struct config_row *rows, size_t n, struct config_args *args, void *out,
		struct arena *arena, struct error *err)
{
	/* The flags are read twice: they name the file, and they have the last word. */
	config_defaults(rows, n, out, arena);
	int rc = config_flags(rows, n, args, out, arena, err);
	const struct config_row *row = find_row(rows, n, "config", strlen("config"));
	if (rc != 0 || row == NULL || row->type != CONFIG_TYPE_STR || args->help)
		return rc;
	const char *path = *(const char **)((char *)out + row->offset);
	if (path == NULL)
		return 0;
	path = arena_strdup(arena, path);
	config_defaults(rows, n, out, arena);
	rc = config_file(rows, n, path, out, arena, err);
	if (rc == 0)
		rc = config_flags(rows, n, args, out, arena, err);
	return rc;
}

/* ---- help ---- */

/* Prints words from column `column` on, going to a new line at HELP_COLUMNS. */
static void print_wrapped(const char *text, size_t column)
{
	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		if (column + 1 + word > HELP_COLUMNS && column > HELP_INDENT) {
			printf("\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		}
		if (column > HELP_INDENT) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)word, text);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	putchar('\n');
}

void config_print_help(const struct config_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct config_row *row = &rows[i];
		char name[NAME_BYTES];
		bool has_value = row->placeholder != NULL && row->type != CONFIG_TYPE_BOOL;
		int printed = printf("  --%s%s%s", flag_name(row->name, name), has_value ? " " : "",
				     has_value ? row->placeholder : "");
		if (printed + 2 > HELP_INDENT)
			printf("\n%*s", HELP_INDENT, "");
		else
			printf("%*s", HELP_INDENT - printed, "");
		char text[1024];
		bool show_default = row->default_value != NULL && row->default_value[0] != '\0' &&
				    row->type != CONFIG_TYPE_BOOL;
		snprintf(text, sizeof(text), "%s%s%s%s", row->help,
			 show_default ? " (default " : "", show_default ? row->default_value : "",
			 show_default ? ")" : "");
		print_wrapped(text, HELP_INDENT);
	}
}
