/* HDF5 files: damage to a small good one. The library itself is not built with the sanitizers. */
#include "cli/source.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

static struct buf good;

/* The library takes sizes of allocations from the file, and copes with being refused. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void make_good(void)
{
	const char *path = fuzz_file(".hdf5", "", 0);
	hsize_t shape[2] = {6, 4};
	float values[24] = {1, 2, 3};
	hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	hid_t space = H5Screate_simple(2, shape, NULL);
	hid_t set = H5Dcreate2(file, "train", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT,
			       H5P_DEFAULT);
	int f;
	ssize_t n;

	FUZZ_CHECK(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
	H5Dclose(set);
	H5Sclose(space);
	H5Fclose(file);
	f = open(path, O_RDONLY);
	buf_reserve(&good, 1 << 16);
	n = read(f, good.data, 1 << 16);
	FUZZ_CHECK(n > 100);
	good.len = (size_t)n;
	close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct source_options options = {.limit = 100};
	struct reader r = reader_make(data, n);
	struct buf b = BUF_INIT;
	struct source *s = NULL;
	struct error err = {0};
	struct batch batch = {0};

	if (good.len == 0)
		make_good();
	buf_put(&b, good.data, good.len);
	fuzz_damage(&b, &r);
	int rc = source_open(&s, fuzz_file(".hdf5", b.data, b.len), &options, &err);
	for (int i = 0; rc == 0 && i < 10; i++) {
		rc = source_next(s, &batch, 100, &err);
		if (rc == 0 && batch.n == 0)
			break;
	}
	if (rc != 0)
		fuzz_check_error(rc, &err);
	batch_fini(&batch);
	source_close(s);
	buf_fini(&b);
	return 0;
}
