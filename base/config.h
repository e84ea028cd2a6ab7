/* Configuration as one table: a row gives type, name, default, bounds and help; the table yields
 * the parser of flags and of the INI file, and the text of --help. A program declares
 *   static const struct config_row rows[] = {
 *           CONFIG_STR(struct server_config, http, "127.0.0.1:6333", "HOST:PORT", "..."), ...
 *   };
 * and gets its struct filled: defaults, then the file named by --config, then flags (last wins).
 * Flags are --name VALUE or --name=VALUE; a bool row is a flag without a value (or =true/false).
 * An underscore in a name is a dash on the command line. Strings are owned by the struct's arena.
 * The INI file has lines "name = value"; empty lines and lines that begin with # or ; are skipped,
 * there are no sections. A value may stand in double quotes, to keep spaces at its ends. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type { CONFIG_TYPE_STR, CONFIG_TYPE_U64, CONFIG_TYPE_BOOL, CONFIG_TYPE_F64 };

struct config_row {
	enum config_type type;
	const char *name;
	size_t offset;             /* of the member: const char *, uint64_t, bool or double */
	const char *default_value; /* parsed like a flag; NULL: string NULL */
	double min, max;           /* numbers */
	const char *placeholder;   /* "HOST:PORT" */
	const char *help;
};

#define CONFIG_STR(s, m, def, ph, help)                                                            \
	{                                                                                          \
		CONFIG_TYPE_STR, #m, offsetof(s, m), def, 0, 0, ph, help                           \
	}
#define CONFIG_U64(s, m, def, lo, hi, ph, help)                                                    \
	{                                                                                          \
		CONFIG_TYPE_U64, #m, offsetof(s, m), def, lo, hi, ph, help                         \
	}
#define CONFIG_F64(s, m, def, lo, hi, ph, help)                                                    \
	{                                                                                          \
		CONFIG_TYPE_F64, #m, offsetof(s, m), def, lo, hi, ph, help                         \
	}
#define CONFIG_BOOL(s, m, def, help)                                                               \
	{                                                                                          \
		CONFIG_TYPE_BOOL, #m, offsetof(s, m), def, 0, 0, NULL, help                        \
	}

void config_defaults(const struct config_row *rows, size_t n, void *out, struct arena *arena);
/* The INI file; unknown names and bad values are errors that name file, line and name. */
int config_file(const struct config_row *rows, size_t n, const char *path, void *out,
		struct arena *arena, struct error *err);
/* argv[1..]; what is not a flag is collected in rest[] (room for argc), "--" ends flags. An unknown
 * flag is ERR_INPUT with the nearest known name as a hint. Sets help when --help or -h was
 * given. */
struct config_args {
	int argc;
	char **argv;
	const char **rest;
	size_t n_rest;
	bool help;
};
int config_flags(const struct config_row *rows, size_t n, struct config_args *args, void *out,
		 struct arena *arena, struct error *err);
/* All three in order: defaults, the file that the string row called "config" names (when there is
 * such a row and it was given), flags. */
int config_load(const struct config_row *rows, size_t n, struct config_args *args, void *out,
		struct arena *arena, struct error *err);
/* The flags part of a --help text, to stdout, wrapped at 80 columns. */
void config_print_help(const struct config_row *rows, size_t n);
