/* The readers of vector files and JSON lines: what they give, and what they refuse. */
#include "tests/unit/cli/files.h"

#include <hdf5.h>

#include "cli/source.h"

static const struct source_options plain;

static void put_i32(struct buf *b, int32_t v)
{
	buf_put_u32(b, (uint32_t)v);
}

/* n records of `dim` floats: record i is i, i + 0.5, i + 1, .. */
static void put_fvecs(struct buf *b, uint32_t n, uint32_t dim)
{
	for (uint32_t i = 0; i < n; i++) {
		put_i32(b, (int32_t)dim);
		for (uint32_t j = 0; j < dim; j++)
			buf_put_f32(b, (float)i + (float)j * 0.5f);
	}
}

static float value_of(const struct batch *b, uint32_t row, uint32_t column)
{
	float v;

	memcpy(&v, b->rows.data + ((size_t)row * b->dim + column) * 4, 4);
	return v;
}

static uint64_t id_of(const struct batch *b, uint32_t row)
{
	return load_u64(b->ids.data + (size_t)row * 8);
}

static struct source *open_good(const char *path, const struct source_options *options)
{
	struct error err = {0};
	struct source *s = NULL;

	if (source_open(&s, path, options, &err) != 0)
		fail_msg("%s", err.text);
	return s;
}

static void refused(const char *path, const struct source_options *options, const char *part)
{
	struct error err = {0};
	struct source *s = NULL;

	assert_true(source_open(&s, path, options, &err) < 0);
	assert_null(s);
	if (strstr(err.text, part) == NULL)
		fail_msg("`%s` does not say `%s`", err.text, part);
}

static void test_fvecs_in_batches(void **state)
{
	struct source_options options = {.id_offset = 100};
	struct buf b = BUF_INIT;
	struct batch batch = {0};

	put_fvecs(&b, 7, 3);
	struct source *s = open_good(write_bytes("a.fvecs", b.data, b.len), &options);
	assert_int_equal(s->dim, 3);
	assert_int_equal(source_next(s, &batch, 5, NULL), 0);
	assert_int_equal(batch.n, 5);
	assert_int_equal(id_of(&batch, 4), 104);
	assert_true(value_of(&batch, 4, 2) == 5.0f);
	assert_int_equal(source_next(s, &batch, 5, NULL), 0);
	assert_int_equal(batch.n, 2);
	assert_true(value_of(&batch, 1, 1) == 6.5f);
	assert_int_equal(source_next(s, &batch, 5, NULL), 0);
	assert_int_equal(batch.n, 0);
	assert_int_equal(s->read, 7);
	assert_true(s->done == 1.0);
	source_close(s);
	batch_fini(&batch);
	buf_fini(&b);
}

static void test_fvecs_cut_at_every_byte(void **state)
{
	struct source_options partial = {.partial = true};
	struct batch batch = {0};
	struct buf b = BUF_INIT;
	char where[64];

	put_fvecs(&b, 4, 3);
	for (size_t n = 4; n < b.len; n++) {
		const char *path = write_bytes("cut.fvecs", b.data, n);

		if (n % 16 == 0) {
			source_close(open_good(path, &plain));
			continue;
		}
		snprintf(where, sizeof(where), "begins at byte %zu has %zu of 16 bytes",
			 n / 16 * 16, n % 16);
		refused(path, &plain, where);
		struct source *s = open_good(path, &partial);
		assert_int_equal(source_next(s, &batch, 100, NULL), 0);
		assert_int_equal(batch.n, n / 16);
		assert_non_null(s->note);
		source_close(s);
	}
	refused(write_bytes("cut.fvecs", b.data, 3), &partial, "byte 0");
	refused(write_bytes("cut.fvecs", b.data, 0), &partial, "is empty");
	batch_fini(&batch);
	buf_fini(&b);
}

static void test_fvecs_with_another_dimension_inside(void **state)
{
	struct buf b = BUF_INIT;
	struct batch batch = {0};
	struct error err = {0};

	put_fvecs(&b, 4, 3);
	buf_set_u32(&b, 32, 4);
	struct source *s = open_good(write_bytes("odd.fvecs", b.data, b.len), &plain);
	assert_true(source_next(s, &batch, 10, &err) < 0);
	assert_non_null(strstr(err.text, "record 2 at byte 32 has dimension 4"));
	source_close(s);
	buf_set_u32(&b, 0, 1u << 30);
	refused(write_bytes("odd.fvecs", b.data, b.len), &plain, "dimension 1073741824");
	batch_fini(&batch);
	buf_fini(&b);
}

static void test_bvecs(void **state)
{
	static const uint8_t bytes[] = {2, 0, 0, 0, 0, 255, 2, 0, 0, 0, 7, 128};
	struct batch batch = {0};
	struct source *s = open_good(write_bytes("a.bvecs", bytes, sizeof(bytes)), &plain);

	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 2);
	assert_true(value_of(&batch, 0, 1) == 255.0f);
	assert_true(value_of(&batch, 1, 1) == 128.0f);
	source_close(s);
	batch_fini(&batch);
}

/* A .npy file of version 1 with that header text and n bytes of data. */
static const char *write_npy(const char *header, const void *data, size_t n)
{
	struct buf b = BUF_INIT;
	const char *path;

	buf_put(&b, "\x93NUMPY\x01\x00", 8);
	buf_put_u16(&b, (uint16_t)strlen(header));
	buf_put(&b, header, strlen(header));
	buf_put(&b, data, n);
	path = write_bytes("a.npy", b.data, b.len);
	buf_fini(&b);
	return path;
}

static void test_npy_types(void **state)
{
	static const double doubles[] = {1.5, -2, 3, 4, 5, 6};
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 250};
	struct batch batch = {0};
	struct source *s;

	s = open_good(write_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n",
				doubles, sizeof(doubles)),
		      &plain);
	assert_int_equal(s->dim, 3);
	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 2);
	assert_true(value_of(&batch, 0, 0) == 1.5f && value_of(&batch, 1, 2) == 6.0f);
	source_close(s);
	s = open_good(write_npy("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }",
				bytes, 6),
		      &plain);
	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 3);
	assert_true(value_of(&batch, 2, 1) == 250.0f);
	source_close(s);
	batch_fini(&batch);
}

static void test_npy_refusals(void **state)
{
	static const float floats[6];
	struct source_options partial = {.partial = true};
	const char *path;

	refused(write_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", floats, 24),
		&plain, "Fortran order");
	refused(write_npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", floats,
			  24),
		&plain, "'<c8'");
	refused(write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", floats, 24),
		&plain, "two dimensions");
	refused(write_npy(
			"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999, 3), }",
			floats, 24),
		&plain, "");
	refused(write_text("b.npy", "PK not numpy at all"), &plain, "does not begin like");
	/* Cut inside the second row, and between the rows. */
	path = write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", floats, 20);
	refused(path, &plain, "row that begins at byte 81 is cut");
	struct source *s = open_good(path, &partial);
	struct batch batch = {0};
	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 1);
	batch_fini(&batch);
	source_close(s);
	refused(write_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", floats,
			  12),
		&plain, "byte 81");
}

static void write_hdf5(const char *path)
{
	static const float train[3][2] = {{1, 2}, {3, 4}, {5, 6}};
	static const int neighbors[1][2] = {{2, 0}};
	hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
	hid_t space = H5Screate_simple(2, (hsize_t[]){3, 2}, NULL);
	hid_t set = H5Dcreate2(file, "train", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT,
			       H5P_DEFAULT);

	assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, train) >= 0);
	H5Dclose(set);
	H5Sclose(space);
	space = H5Screate_simple(2, (hsize_t[]){1, 2}, NULL);
	set = H5Dcreate2(file, "neighbors", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT,
			 H5P_DEFAULT);
	assert_true(H5Dwrite(set, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, neighbors) >= 0);
	H5Dclose(set);
	H5Sclose(space);
	hid_t type = H5Tcopy(H5T_C_S1);
	H5Tset_size(type, 9);
	space = H5Screate(H5S_SCALAR);
	hid_t attribute = H5Acreate2(file, "distance", type, space, H5P_DEFAULT, H5P_DEFAULT);
	assert_true(H5Awrite(attribute, type, "euclidean") >= 0);
	H5Aclose(attribute);
	H5Sclose(space);
	H5Tclose(type);
	H5Fclose(file);
}

static void test_hdf5(void **state)
{
	const char *path = in_folder("a.hdf5");
	struct batch batch = {0};
	struct matrix m;

	write_hdf5(path);
	struct source *s = open_good(path, &plain);
	assert_string_equal(s->distance, "Euclid");
	assert_int_equal(source_next(s, &batch, 2, NULL), 0);
	assert_int_equal(batch.n, 2);
	assert_int_equal(source_next(s, &batch, 2, NULL), 0);
	assert_int_equal(batch.n, 1);
	assert_int_equal(id_of(&batch, 0), 2);
	assert_true(value_of(&batch, 0, 1) == 6.0f);
	assert_int_equal(source_next(s, &batch, 2, NULL), 0);
	assert_int_equal(batch.n, 0);
	assert_int_equal(s->read, 3);
	source_close(s);
	assert_true(hdf5_has(path, "neighbors"));
	assert_false(hdf5_has(path, "distances"));
	assert_int_equal(matrix_read(&m, path, "neighbors", 0, NULL), 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(m.numbers[0], 2);
	matrix_free(&m);
	batch_fini(&batch);
	refused(path, &(struct source_options){.dataset = "nothing"}, "no data set `nothing`");
}

static void test_hdf5_cut(void **state)
{
	const char *path = in_folder("cut.hdf5");
	char part[64];
	struct stat st;

	write_hdf5(path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 100), 0);
	snprintf(part, sizeof(part), "ends at byte %lld but says", (long long)st.st_size - 100);
	refused(path, &plain, part);
	refused(write_text("text.hdf5", "not at all, not at all"), &plain, "no HDF5 file");
}

static void test_jsonl(void **state)
{
	struct batch b = {0};
	struct source *s = open_good(
		write_text("a.jsonl",
			   "{\"id\":7,\"vector\":[1,2.5],\"payload\":{\"a\":1.0,\"b\":[null]}}\n"
			   "\n"
			   "{\"vector\":[3,4],\"tag\":\"x\\n\",\"n\":18446744073709551615}\n"
			   "{\"id\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\",\"vector\":[5,6]}"),
		&plain);

	assert_int_equal(s->dim, 2);
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	/* The kind of id changes: that is another batch. */
	assert_int_equal(b.n, 2);
	assert_false(b.uuids);
	assert_int_equal(id_of(&b, 0), 7);
	assert_int_equal(id_of(&b, 1), 1); /* the number of the row */
	assert_true(value_of(&b, 0, 1) == 2.5f);
	buf_put_u8(&b.payloads, 0);
	assert_string_equal(
		(char *)b.payloads.data,
		"{\"a\":1.0,\"b\":[null]}\n{\"tag\":\"x\\n\",\"n\":18446744073709551615}\n");
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	assert_int_equal(b.n, 1);
	assert_true(b.uuids);
	assert_memory_equal(b.ids.data,
			    "\x6b\xa7\xb8\x10\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8", 16);
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	assert_int_equal(b.n, 0);
	source_close(s);
	batch_fini(&b);
}

static void test_jsonl_fields(void **state)
{
	struct source_options options = {.id_field = "key", .text_field = "body"};
	struct batch b = {0};
	struct source *s =
		open_good(write_text("f.jsonl",
				     "{\"key\":3,\"body\":\"first text\",\"year\":1999}\n"),
			  &options);

	assert_true(s->texts);
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	assert_int_equal(id_of(&b, 0), 3);
	assert_string_equal((char *)b.texts.data, "first text");
	buf_put_u8(&b.payloads, 0);
	assert_string_equal((char *)b.payloads.data, "{\"body\":\"first text\",\"year\":1999}\n");
	source_close(s);
	batch_fini(&b);
}

static void test_jsonl_refusals(void **state)
{
	struct source_options partial = {.partial = true};
	struct batch b = {0};
	struct error err = {0};
	const char *cut = "{\"id\":1,\"vector\":[1,2]}\n{\"id\":2,\"vector\":[1,";
	struct source *s;

	refused(write_text("c.jsonl", cut), &plain, "line that begins at byte 24 is cut");
	s = open_good(write_text("c.jsonl", cut), &partial);
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	assert_int_equal(b.n, 1);
	assert_int_equal(source_next(s, &b, 10, NULL), 0);
	assert_int_equal(b.n, 0);
	source_close(s);
	s = open_good(write_text("d.jsonl",
				 "{\"id\":1,\"vector\":[1,2]}\n{\"id\":2,\"vector\":[1]}\n"),
		      &plain);
	assert_true(source_next(s, &b, 10, &err) < 0);
	assert_non_null(strstr(err.text, "line 2 (byte 24): the vector has 1 values"));
	source_close(s);
	refused(write_text("e.jsonl", "{\"id\":-1,\"vector\":[1]}\n"), &plain, "`id` is no id");
	refused(write_text("e.jsonl", "{\"id\":1.5,\"vector\":[1]}\n"), &plain, "`id` is no id");
	refused(write_text("e.jsonl", "{\"id\":1}\n"), &plain, "`vector` is missing");
	refused(write_text("e.jsonl", "[1,2]\n"), &plain, "an object is expected");
	refused(write_text("e.jsonl", "\n\n"), &plain, "has no records");
	refused(write_text("e.csv", "1,2"), &plain, "kind of file is not known");
	refused(in_folder("nothing.jsonl"), &plain, "cannot read");
	batch_fini(&b);
}

static void test_limit(void **state)
{
	struct source_options options = {.limit = 3};
	struct buf b = BUF_INIT;
	struct batch batch = {0};

	put_fvecs(&b, 5, 2);
	struct source *s = open_good(write_bytes("l.fvecs", b.data, b.len), &options);
	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 3);
	assert_int_equal(source_next(s, &batch, 10, NULL), 0);
	assert_int_equal(batch.n, 0);
	source_close(s);
	batch_fini(&batch);
	buf_fini(&b);
}

/* ---- several files ---- */

/* Row numbers count on, a limit holds for all of them, and the last record of each is there. */
static void test_several_files(void **state)
{
	struct source_options options = {.id_offset = 100, .limit = 8};
	struct source *s = NULL;
	struct batch batch = {0};
	struct buf b = BUF_INIT;
	const char *paths[3];
	uint64_t id = 100;

	put_fvecs(&b, 4, 3);
	paths[0] = write_bytes("one.fvecs", b.data, b.len);
	paths[1] = write_bytes("two.fvecs", b.data, b.len - 16);
	paths[2] = write_text("three.jsonl", "{\"vector\":[1,2,3]}\n{\"id\":7,\"vector\":[1,2,3]}");
	assert_int_equal(source_open_files(&s, paths, 3, &options, NULL), 0);
	assert_int_equal(s->dim, 3);
	do {
		assert_int_equal(source_next(s, &batch, 3, NULL), 0);
		for (uint32_t i = 0; i < batch.n; i++)
			assert_int_equal(id_of(&batch, i), id++);
	} while (batch.n > 0);
	assert_int_equal(s->read, 8); /* 4, 3 and the first line */
	assert_true(s->done == 1.0);
	source_close(s);
	options.limit = 0;
	assert_int_equal(source_open_files(&s, paths, 3, &options, NULL), 0);
	do {
		assert_int_equal(source_next(s, &batch, 100, NULL), 0);
		id = batch.n ? id_of(&batch, batch.n - 1) : id;
	} while (batch.n > 0);
	assert_int_equal(s->read, 9);
	assert_int_equal(id, 7);
	source_close(s);
	batch_fini(&batch);
	buf_fini(&b);
}

static void files_refused(const char *const *paths, size_t n, const char *part)
{
	struct error err = {0};
	struct source *s = NULL;

	assert_true(source_open_files(&s, paths, n, &plain, &err) < 0);
	assert_null(s);
	if (strstr(err.text, part) == NULL)
		fail_msg("`%s` does not say `%s`", err.text, part);
}

static void test_several_files_that_do_not_fit(void **state)
{
	const char *three = write_text("a.jsonl", "{\"vector\":[1,2,3]}\n");
	const char *two = write_text("b.jsonl", "{\"vector\":[1,2]}\n");
	const char *cut = write_text("c.jsonl", "{\"vector\":[1,2,3]}\n{\"vec");

	files_refused((const char *[]){three, two}, 2, "vectors of 2 values");
	files_refused((const char *[]){three, cut}, 2, "begins at byte 19 is cut");
	files_refused((const char *[]){three, "-"}, 2, "standard input");
	files_refused((const char *[]){three, "nowhere.npy"}, 2, "nowhere.npy");
}

static void test_matrix_of_ivecs(void **state)
{
	struct buf b = BUF_INIT;
	struct matrix m;

	for (int32_t i = 0; i < 2; i++) {
		put_i32(&b, 2);
		put_i32(&b, i);
		put_i32(&b, -i);
	}
	assert_int_equal(matrix_read(&m, write_bytes("t.ivecs", b.data, b.len), NULL, 0, NULL), 0);
	assert_null(m.floats);
	assert_int_equal(m.n, 2);
	assert_int_equal(m.numbers[2], 1);
	assert_int_equal(m.numbers[3], -1);
	matrix_free(&m);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fvecs_in_batches),
		cmocka_unit_test(test_fvecs_cut_at_every_byte),
		cmocka_unit_test(test_fvecs_with_another_dimension_inside),
		cmocka_unit_test(test_bvecs),
		cmocka_unit_test(test_npy_types),
		cmocka_unit_test(test_npy_refusals),
		cmocka_unit_test(test_hdf5),
		cmocka_unit_test(test_hdf5_cut),
		cmocka_unit_test(test_jsonl),
		cmocka_unit_test(test_jsonl_fields),
		cmocka_unit_test(test_jsonl_refusals),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_several_files),
		cmocka_unit_test(test_several_files_that_do_not_fit),
		cmocka_unit_test(test_matrix_of_ivecs),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
