/* The INI file, with a row of each type. */
#include "base/config.h"
#include "tests/fuzz/fuzz.h"

struct settings {
	const char *http;
	uint64_t workers;
	bool fsync;
	double ratio;
};

static const struct config_row rows[] = {
	CONFIG_STR(struct settings, http, "127.0.0.1:6333", "HOST:PORT", "where to listen"),
	CONFIG_U64(struct settings, workers, "4", 1, 1000, "N", "threads"),
	CONFIG_BOOL(struct settings, fsync, "true", "sync"),
	CONFIG_F64(struct settings, ratio, "0.5", 0, 1, "R", "a ratio"),
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(1024);
	struct settings s;
	struct error err = {0};
	int rc;

	config_defaults(rows, N_ROWS, &s, arena);
	rc = config_file(rows, N_ROWS, fuzz_file(".ini", data, n), &s, arena, &err);
	if (rc != 0)
		fuzz_check_error(rc, &err);
	else
		FUZZ_CHECK(s.workers >= 1 && s.workers <= 1000 && s.ratio >= 0 && s.ratio <= 1 &&
			   s.http != NULL);
	arena_free(arena);
	return 0;
}
