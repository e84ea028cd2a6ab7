/* See options.h. */
#include "bench/options.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>

void bench_die(const char *name, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", name, what, why);
	exit(1);
}

void bench_options(const struct bench_program *p, int argc, char **argv, void *out)
{
	struct arena *arena = arena_new(4096);
	struct config_args args = {.argc = argc, .argv = argv};
	struct error err = {0};

	args.rest = mem_array((size_t)argc + 1, sizeof *args.rest);
	config_defaults(p->rows, p->n_rows, out, arena);
	if (config_flags(p->rows, p->n_rows, &args, out, arena, &err))
		bench_die(p->name, "options", err.text);
	if (args.help) {
		printf("%s: %s\n", p->name, p->about);
		config_print_help(p->rows, p->n_rows);
		exit(0);
	}
	free(args.rest);
}
