/* What the benchmarks of the index share: how they end on an error, and how they read their flags. */
#pragma once
#include "base/config.h"
#include <stddef.h>

/* Prints `bench_NAME: what: why` and ends the process with 1. */
_Noreturn void bench_die(const char *name, const char *what, const char *why);

struct bench_program {
	const char *name;  /* bench_index */
	const char *about; /* a few words for --help */
	const struct config_row *rows;
	size_t n_rows;
};

/* Fills `out` with the defaults of the rows and what the flags say; strings live until the process ends. --help
 * prints and ends with 0, a wrong flag with 1. */
void bench_options(const struct bench_program *p, int argc, char **argv, void *out);
