/* What all commands of `quiver` share: the flags of every command, reading the command line, exit
 * codes, and how a failure is told. A command is a function that gets its own part of the command line
 * (argv[0] is its name) and returns an exit code. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/config.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Documented in `quiver --help`. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,      /* the server refused, the data is wrong, a tally does not add up */
	EXIT_USAGE = 2,       /* wrong command line */
	EXIT_UNREACHABLE = 3, /* no server answers at the URL */
	EXIT_MISSING = 4,     /* the collection or point does not exist */
	EXIT_STOPPED = 130,   /* ended by Ctrl-C; `ingest` goes on from there when called again */
};

/* Members and rows that the options of every command have. */
#define COMMON_MEMBERS                                                                             \
	const char *url;                                                                           \
	const char *api_key;                                                                       \
	uint64_t timeout;                                                                          \
	bool json;
#define COMMON_ROWS(s)                                                                             \
	CONFIG_STR(s, url, NULL, "URL",                                                            \
		   "the server; also from QUIVER_URL; default http://127.0.0.1:6333"),             \
		CONFIG_STR(s, api_key, NULL, "KEY", "API key; also from QUIVER_API_KEY"),          \
		CONFIG_U64(s, timeout, "60", 1, 86400, "SECONDS",                                  \
			   "give up on a request after this time"),                                \
		CONFIG_BOOL(s, json, "false", "print the result as JSON")

#define N_ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

struct command_line {
	const char *name;              /* "ingest", "collection create" */
	const char *usage;             /* what comes after "Usage: quiver NAME", one line */
	const char *about;             /* paragraphs */
	const char *examples;          /* lines */
	const struct config_row *rows; /* its flags */
	size_t n_rows;
	size_t min_rest, max_rest; /* how many arguments that are no flags */
};

struct command_args {
	int argc;
	char **argv;
	/* Filled: the arguments that are no flags; in the arena. */
	const char **rest;
	size_t n_rest;
};

/* Reads the flags into `options` (defaults first). Returns -1 to go on, else the exit code to end
 * with: --help was printed, or the usage was wrong and has been told. */
int command_parse(const struct command_line *line, struct command_args *args, void *options,
		  struct arena *arena);

/* Tells the failure (stderr, and as {"error":..} on stdout with --json); returns the exit code. */
int command_fail(const char *command, bool json, int rc, const struct error *err);
/* A usage error: the sentence and where to look; EXIT_USAGE. */
int command_misused(const char *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "1,234,567" */
const char *command_number(uint64_t v, char out[32]);
/* Comma-separated whole numbers, ERR_INPUT with text; *n at most room. */
int command_numbers(const char *text, uint64_t *out, size_t room, size_t *n, struct error *err);
/* The named file, or standard input for "-", as a NUL-terminated text of at most `limit` bytes. */
int command_read_file(const char *path, size_t limit, struct buf *out, struct error *err);

int command_backup(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_collection(int argc, char **argv);
int command_ingest(int argc, char **argv);
int command_search(int argc, char **argv);
int command_count(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_cluster(int argc, char **argv);
int command_key(int argc, char **argv);
int command_sim(int argc, char **argv); /* returns only when it cannot be run */
