/* Files that `quiver ingest` reads: the first byte picks the format (fvecs, bvecs, ivecs, npy, JSON lines). */
#include "cli/source.h"
#include "tests/fuzz/fuzz.h"

static void read_all(const char *path, bool partial)
{
	struct source_options options = {.partial = partial, .limit = 10000};
	struct source *s = NULL;
	struct error err = {0};
	struct batch b = {0};
	int rc = source_open(&s, path, &options, &err);

	while (rc == 0) {
		rc = source_next(s, &b, 100, &err);
		if (rc == 0 && b.n == 0)
			break;
		if (rc != 0)
			break;
		FUZZ_CHECK(b.n <= 100);
		FUZZ_CHECK(b.ids.len == (size_t)b.n * (b.uuids ? 16 : 8));
		FUZZ_CHECK(b.rows.len == 0 || b.rows.len == (size_t)b.n * b.dim * 4);
	}
	if (rc != 0)
		fuzz_check_error(rc, &err);
	batch_fini(&b);
	source_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const endings[] = {".fvecs", ".bvecs", ".npy", ".jsonl"};
	const char *path;
	struct matrix m = {0};
	struct error err = {0};

	if (n == 0)
		return 0;
	path = fuzz_file(endings[(data[0] >> 1) % 4], data + 1, n - 1);
	read_all(path, data[0] & 1);
	if ((data[0] >> 1) % 4 == 3)
		return 0;
	int rc = matrix_read(&m, path, NULL, 100, &err);
	if (rc != 0)
		fuzz_check_error(rc, &err);
	matrix_free(&m);
	return 0;
}
