#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/json.h"

static void print_help(const struct command_line *line)
{
	printf("Usage: quiver %s %s\n\n%s\n", line->name, line->usage, line->about);
	if (line->n_rows > 0) {
		printf("\nOptions:\n");
		config_print_help(line->rows, line->n_rows);
	}
	printf("\nExamples:\n%s", line->examples);
}

int command_parse(const struct command_line *line, struct command_args *given, void *options,
		  struct arena *arena)
{
	struct config_args args = {.argc = given->argc, .argv = given->argv};
	struct error err = {0};

	args.rest = arena_alloc(arena, ((size_t)args.argc + 1) * sizeof(*args.rest));
	config_defaults(line->rows, line->n_rows, options, arena);
	int rc = config_flags(line->rows, line->n_rows, &args, options, arena, &err);
	/* --help counts even beside a mistake: it is what the person asks for. */
	for (int i = 1; i < args.argc; i++) {
		if (strcmp(args.argv[i], "--help") == 0 || strcmp(args.argv[i], "-h") == 0)
			args.help = true;
	}
	if (args.help) {
		print_help(line);
		return EXIT_DONE;
	}
	if (rc != 0)
		return command_misused(line->name, "%s", err.text);
	if (args.n_rest < line->min_rest)
		return command_misused(line->name, "an argument is missing: quiver %s %s",
				       line->name, line->usage);
	if (args.n_rest > line->max_rest)
		return command_misused(line->name, "unexpected argument `%s`",
				       args.rest[line->max_rest]);
	for (size_t i = 0; i < args.n_rest; i++) {
		if (args.rest[i][0] == 0)
			return command_misused(line->name, "an argument is empty: quiver %s %s",
					       line->name, line->usage);
	}
	given->rest = args.rest;
	given->n_rest = args.n_rest;
	return -1;
}

static int exit_code_of(int rc)
{
	if (rc == ERR_UNAVAILABLE)
		return EXIT_UNREACHABLE;
	return rc == ERR_NOT_FOUND ? EXIT_MISSING : EXIT_FAILED;
}

int command_fail(const char *command, bool json, int rc, const struct error *err)
{
	const char *text = err->text[0] ? err->text : error_text(rc);

	if (json) {
		struct buf b = BUF_INIT;

		json_put_literal(&b, "{\"error\":");
		json_put_string(&b, text, strlen(text));
		json_put_literal(&b, "}\n");
		fwrite(b.data, 1, b.len, stdout);
		buf_fini(&b);
	}
	fflush(stdout);
	fprintf(stderr, "quiver %s: %s\n", command, text);
	return exit_code_of(rc);
}

int command_misused(const char *command, const char *format, ...)
{
	va_list list;

	fflush(stdout);
	fprintf(stderr, "quiver%s%s: ", *command ? " " : "", command);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, "\nSee quiver %s%s--help.\n", command, *command ? " " : "");
	return EXIT_USAGE;
}

const char *command_number(uint64_t v, char out[32])
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
	int o = 0;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = digits[i];
	}
	out[o] = 0;
	return out;
}

int command_numbers(const char *text, uint64_t *out, size_t room, size_t *n, struct error *err)
{
	const char *at = text;

	*n = 0;
	while (true) {
		char *end;

		errno = 0;
		unsigned long long v = strtoull(at, &end, 10);
		if (end == at || *at == '-' || errno != 0 || (*end != ',' && *end != 0))
			return error_set(err, ERR_INPUT, "`%s` is no list of numbers like 16,32,64",
					 text);
		if (*n == room)
			return error_set(err, ERR_INPUT, "`%s` has more than %zu numbers", text,
					 room);
		out[(*n)++] = v;
		if (*end == 0)
			return 0;
		at = end + 1;
	}
}

int command_read_file(const char *path, size_t limit, struct buf *out, struct error *err)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	int rc = 0;

	if (f == NULL)
		return error_errno(err, errno, "cannot open %s", path);
	while (rc == 0) {
		size_t room = 65536, got;

		buf_reserve(out, room + 1);
		got = fread(out->data + out->len, 1, room, f);
		out->len += got;
		if (out->len > limit)
			rc = error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path,
				       limit);
		else if (got < room) {
			if (ferror(f))
				rc = error_errno(err, errno, "cannot read %s", path);
			break;
		}
	}
	buf_reserve(out, 1);
	out->data[out->len] = 0;
	if (f != stdin)
		fclose(f);
	return rc;
}
