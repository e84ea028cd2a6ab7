/* Sealed segments: what is written comes back, and damage anywhere is found. */
#include "tests/unit/store/random_util.h"
#include "base/hash.h"
#include "model/element.h"
#include "store/segment_internal.h"
#include <unistd.h>

static void check_elements(const struct segment_vectors *v, uint32_t ord, const float *want)
{
	size_t bytes = v->dim * datatype_bytes(v->type);
	uint8_t elements[17 * 4];
	assert_true(bytes <= sizeof(elements));
	element_encode(v->type, want, v->dim, elements);
	assert_memory_equal((const uint8_t *)v->data + ord * bytes, elements, bytes);
}

static void check_dense(const struct segment *s, const struct rows *r)
{
	for (uint32_t space = 0; space < 2; space++) {
		const bool *has = space == 0 ? r->has0 : r->has1;
		uint32_t dim = space == 0 ? 3 : 17, n = 0;
		struct segment_vectors v = segment_vectors(s, space);
		assert_int_equal(v.dim, dim);
		assert_int_equal((uintptr_t)v.data % 64, 0);
		for (uint32_t row = 0; row < r->n; row++) {
			if (!has[row]) {
				assert_int_equal(v.ord_of[row], UINT32_MAX);
				continue;
			}
			const float *want = space == 0 ? r->dense0[row] : r->dense1[row];
			uint32_t ord = v.ord_of != NULL ? v.ord_of[row] : row;
			assert_int_equal(ord, n++);
			assert_int_equal(v.row_of != NULL ? v.row_of[ord] : ord, row);
			check_elements(&v, ord, want);
		}
		assert_int_equal(v.n, n);
		assert_int_equal(v.ord_of == NULL, n == r->n);
		assert_int_equal(v.row_of == NULL, n == r->n);
	}
}

static void check_sparse(const struct segment *s, const struct rows *r)
{
	uint32_t count = 0, postings = 0, values = 0;
	for (uint32_t row = 0; row < r->n; row++) {
		struct vector v, *want = &r->sparse[row];
		bool has = segment_sparse(s, 0, row, &v);
		assert_int_equal(has, want->n != 0);
		if (!has)
			continue;
		count++;
		values += v.n;
		assert_int_equal(v.n, want->n);
		assert_memory_equal(v.indices, want->indices, v.n * 4);
		assert_memory_equal(v.values, want->values, v.n * 4);
	}
	assert_int_equal(segment_sparse_count(s, 0), count);
	for (uint32_t index = 0; index < 60; index++) {
		struct posting_list l;
		if (!segment_postings(s, 0, index, &l))
			continue;
		assert_true(l.n != 0);
		postings += l.n;
		for (uint32_t i = 0; i < l.n; i++) {
			const struct vector *want = &r->sparse[l.rows[i]];
			bool found = false;
			assert_true(i == 0 || l.rows[i] > l.rows[i - 1]);
			for (uint32_t k = 0; k < want->n; k++)
				found |= want->indices[k] == index &&
					 want->values[k] == l.weights[i];
			assert_true(found);
		}
	}
	assert_int_equal(postings, values);
	struct posting_list l;
	assert_false(segment_postings(s, 0, 1000000, &l));
	assert_false(segment_postings(s, 1, 1, &l));
}

static void check_rows(const struct segment *s, const struct rows *r)
{
	assert_int_equal(segment_rows(s), r->n);
	const uint32_t *order = s->order;
	for (uint32_t row = 0; row < r->n; row++) {
		struct point_id id = segment_point_id(s, row);
		struct pv_slice payload = segment_payload(s, row), want = r->payloads[row];
		if (want.n == 0)
			want = PV_EMPTY_OBJECT;
		assert_true(id_equal(&id, &r->ids[row]));
		assert_int_equal(segment_find(s, &id), row);
		assert_int_equal(segment_version(s, row), r->versions[row]);
		assert_int_equal(payload.n, want.n);
		assert_memory_equal(payload.bytes, want.bytes, want.n);
		assert_true(row == 0 ||
			    id_compare(&r->ids[order[row - 1]], &r->ids[order[row]]) < 0);
	}
	struct point_id none = id_from_u64(999999);
	assert_int_equal(segment_find(s, &none), UINT32_MAX);
	assert_false(segment_damaged(s));
}

static void round_trip(const struct store_io *io, uint32_t n, uint64_t seed)
{
	struct collection *schema = random_schema(seed % 3 != 0);
	struct rows rows = random_rows(n, seed);
	struct error err = {0};
	if (write_rows(io, 5, schema, &rows, &err) != 0)
		fail_msg("%s", err.text);
	struct segment *s = open_segment(io, 5, schema);
	assert_int_equal(segment_id(s), 5);
	assert_true(segment_disk_bytes(s) > n * 40ull);
	check_rows(s, &rows);
	check_dense(s, &rows);
	check_sparse(s, &rows);
	assert_int_equal(segment_verify(s, NULL), 0);
	segment_close(s);
	collection_unref(schema);
	arena_free(rows.arena);
}

static void what_is_written_comes_back(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 500, 2000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct memory_disk *disk = memory_disk_new();
		struct store_io io;
		memory_disk_io(disk, &io);
		round_trip(&io, sizes[i], i);
		round_trip(&io, sizes[i], i + 20); /* over the first */
		memory_disk_free(disk);
	}
}

static void it_works_on_the_real_disk(void **state)
{
	char root[] = "/tmp/quiver-test-XXXXXX";
	struct store_io io, sub;
	assert_non_null(mkdtemp(root));
	assert_int_equal(store_io_real(root, &io, NULL), 0);
	assert_int_equal(store_io_sub(&io, "c/1", &sub, NULL), 0);
	round_trip(&sub, 700, 4);
	assert_int_equal(io.remove_tree(io.ctx, "c", NULL), 0);
	store_io_fini(&sub);
	store_io_fini(&io);
	assert_int_equal(rmdir(root), 0);
}

static void vectors_are_stored_in_their_type(void **state)
{
	for (int t = 0; t < 3; t++) {
		struct memory_disk *disk = memory_disk_new();
		struct store_io io;
		memory_disk_io(disk, &io);
		struct collection *schema = random_schema(false);
		struct rows rows = random_rows(300, 9);
		schema->spaces[0].datatype = (enum datatype)t;
		schema->spaces[1].datatype = (enum datatype)((t + 1) % 3);
		assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
		struct segment *s = open_segment(&io, 1, schema);
		assert_int_equal(segment_vectors(s, 0).type, t);
		check_dense(s, &rows);
		assert_int_equal(segment_verify(s, NULL), 0);
		segment_close(s);
		collection_unref(schema);
		arena_free(rows.arena);
		memory_disk_free(disk);
	}
}

static void vectors_are_read_one_by_one(void **state)
{
	char root[] = "/tmp/quiver-test-XXXXXX";
	struct store_io io;
	assert_non_null(mkdtemp(root));
	assert_int_equal(store_io_real(root, &io, NULL), 0);
	struct collection *schema = random_schema(false);
	struct rows rows = random_rows(300, 9);
	schema->spaces[1].datatype = DATATYPE_FLOAT16;
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	struct segment *s = open_segment(&io, 1, schema);
	segment_release(s);
	for (uint32_t space = 0; space < 2; space++) {
		struct segment_vectors v = segment_vectors(s, space);
		size_t bytes = v.dim * datatype_bytes(v.type);
		struct segment_reader *reader, *again;
		uint8_t element[17 * 4];
		assert_int_equal(segment_reader(s, space, &reader, NULL), 0);
		assert_int_equal(segment_reader(s, space, &again, NULL), 0);
		assert_ptr_equal(reader, again);
		for (uint32_t i = 0; i < v.n; i++) {
			assert_int_equal(segment_read_vector(reader, i, element), 0);
			assert_memory_equal(element, (const uint8_t *)v.data + i * bytes, bytes);
		}
		/* a file that was cut is no vector */
		char path[400];
		snprintf(path, sizeof(path), "%s/seg-1/dense-%u", root, space);
		assert_int_equal(truncate(path, 100), 0);
		assert_int_equal(segment_read_vector(reader, v.n - 1, element), ERR_CORRUPT);
	}
	segment_close(s);
	collection_unref(schema);
	arena_free(rows.arena);
	assert_int_equal(io.remove_tree(io.ctx, "seg-1", NULL), 0);
	store_io_fini(&io);
	assert_int_equal(rmdir(root), 0);
}

/* Ids in 8 bytes each where all are integers, as nearly everywhere; in 24 as soon as one is not. Versions in 4, where
 * they are near each other. */
static void integers_alone_are_stored_short(void **state)
{
	for (int mixed = 0; mixed < 2; mixed++) {
		struct memory_disk *disk = memory_disk_new();
		struct store_io io;
		memory_disk_io(disk, &io);
		struct collection *schema = random_schema(false);
		struct rows rows = random_rows(300, 9);
		for (uint32_t i = 0; i < rows.n; i++) {
			rows.ids[i] = id_from_u64(UINT64_MAX - 3 * ((i * 7ull) % rows.n));
			rows.versions[i] = (7ull << 40) + i * 11;
		}
		if (mixed) {
			rows.ids[299] = (struct point_id){1, 2, ID_UUID, 0};
			rows.versions[7] += 1ull << 40;
		}
		assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
		struct segment *s = open_segment(&io, 1, schema);
		uint64_t bytes;
		sum_section(&s->rows, ROWS_IDS, &bytes);
		assert_int_equal(bytes, rows.n * (mixed ? 24u : 8u));
		sum_section(&s->rows, ROWS_VERSIONS, &bytes);
		assert_int_equal(bytes, 8 + rows.n * (mixed ? 8u : 4u));
		check_rows(s, &rows);
		segment_close(s);
		collection_unref(schema);
		arena_free(rows.arena);
		memory_disk_free(disk);
	}
}

/* The file of rows once more, with these ids and versions; what else is in it stays. */
static void put_rows_again(const struct store_io *io, const struct segment *s,
			   const struct buf *ids, const struct buf *versions)
{
	uint64_t n = segment_rows(s);
	struct sum_writer f;
	char path[SUM_PATH_BYTES];
	segment_path(path, 1, "rows");
	assert_int_equal(sum_create(&f, io, path, (struct sum_name){SUM_ROWS, 1, 0}, NULL), 0);
	assert_int_equal(sum_put(&f, ids->data, ids->len, NULL), 0);
	assert_int_equal(sum_put(&f, versions->data, versions->len, NULL), 0);
	assert_int_equal(sum_put(&f, s->order, n * sizeof(*s->order), NULL), 0);
	assert_int_equal(sum_put(&f, s->payload_offsets, (n + 1) * 8, NULL), 0);
	assert_int_equal(sum_finish(&f, NULL, NULL), 0);
	sum_abort(&f);
}

static void set_format(const struct store_io *io, uint8_t version)
{
	struct buf b = BUF_INIT;
	assert_int_equal(store_get_file(io, "seg-1/SEGMENT", &b, NULL), 0);
	assert_int_equal(b.data[0], SEGMENT_VERSION);
	b.data[0] = version;
	assert_int_equal(store_put_file(io, "seg-1/SEGMENT", b.data, b.len, NULL), 0);
	buf_fini(&b);
}

/* Version 2 had whole ids and a whole version for each row. */
static void rows_of_the_second_version_are_read(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct collection *schema = random_schema(false);
	struct rows rows = random_rows(300, 9);
	struct buf ids = BUF_INIT, versions = BUF_INIT;
	buf_put(&ids, rows.ids, rows.n * sizeof(*rows.ids));
	buf_put(&versions, rows.versions, rows.n * sizeof(*rows.versions));
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	struct segment *s = open_segment(&io, 1, schema);
	put_rows_again(&io, s, &ids, &versions);
	segment_close(s);
	struct error err = {0}; /* to version 3 that is no version for each row */
	assert_int_equal(segment_open(&io, 1, schema, &s, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "version for each row"));
	set_format(&io, 2);
	s = open_segment(&io, 1, schema);
	check_rows(s, &rows);
	check_dense(s, &rows);
	assert_int_equal(segment_verify(s, NULL), 0);
	segment_close(s);
	buf_fini(&ids);
	buf_fini(&versions);
	collection_unref(schema);
	arena_free(rows.arena);
	memory_disk_free(disk);
}

/* SEGMENT files of version 1 had no types. */
static void the_first_version_is_read(void **state)
{
	struct buf b = BUF_INIT;
	struct segment_meta m;
	buf_put_u32(&b, 1);
	buf_put_u64(&b, 7);  /* id */
	buf_put_u64(&b, 8);  /* collection */
	buf_put_u32(&b, 10); /* rows */
	buf_put_u64(&b, 0);
	buf_put_u32(&b, 1); /* spaces */
	buf_put_u32(&b, 4);
	buf_put_u32(&b, 9);
	buf_put_u32(&b, 0); /* sparse spaces */
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(segment_meta_decode(&r, &m, NULL), 0);
	assert_int_equal(m.dim[0], 4);
	assert_int_equal(m.n_dense[0], 9);
	assert_int_equal(m.type[0], DATATYPE_FLOAT32);
	b.data[0] = SEGMENT_VERSION + 1;
	r = reader_make(b.data, b.len);
	assert_int_equal(segment_meta_decode(&r, &m, NULL), ERR_VERSION);
	buf_fini(&b);
}

static void spaces_added_later_are_empty(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct collection *schema = random_schema(false);
	struct rows rows = random_rows(50, 2);
	schema->n_spaces = 1;
	schema->n_sparse = 0;
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	schema->n_spaces = 2;
	schema->n_sparse = 1;
	struct segment *s = open_segment(&io, 1, schema);
	struct segment_vectors v = segment_vectors(s, 1);
	struct vector sparse;
	assert_int_equal(v.n, 0);
	assert_int_equal(v.dim, 17);
	for (uint32_t row = 0; row < 50; row++) {
		assert_int_equal(v.ord_of[row], UINT32_MAX);
		assert_false(segment_sparse(s, 0, row, &sparse));
	}
	assert_int_equal(segment_sparse_count(s, 0), 0);
	segment_close(s);
	schema->spaces[0].dim = 4; /* another collection's rows are refused */
	struct error err = {0};
	assert_int_equal(segment_open(&io, 1, schema, &s, &err), ERR_CORRUPT);
	schema->spaces[0].dim = 3;
	schema->id++;
	assert_int_equal(segment_open(&io, 1, schema, &s, &err), ERR_CORRUPT);
	collection_unref(schema);
	arena_free(rows.arena);
	memory_disk_free(disk);
}

static void an_unfinished_segment_leaves_nothing(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct collection *schema = random_schema(true);
	struct segment_writer *w = NULL;
	struct segment *s = NULL;
	assert_int_equal(segment_writer_new(&io, 9, schema, &w, NULL), 0);
	assert_true(memory_disk_changes(disk) > 0);
	segment_writer_free(w);
	assert_int_equal(memory_disk_used(disk), 0);
	assert_int_equal(segment_open(&io, 9, schema, &s, NULL), ERR_NOT_FOUND);
	segment_writer_free(NULL);
	segment_close(NULL);
	collection_unref(schema);
	memory_disk_free(disk);
}

/* ---- index files ---- */

static int put_blob(const struct store_io *io, uint64_t id, const char *name, const uint8_t *bytes,
		    size_t n)
{
	struct segment_blob *b = NULL;
	int rc = segment_blob_begin(io, id, name, &b, NULL);
	if (rc != 0)
		return rc;
	for (size_t at = 0; at < n && rc == 0; at += 1000)
		rc = segment_blob_write(b, bytes + at, n - at < 1000 ? n - at : 1000, NULL);
	if (rc != 0) {
		segment_blob_abort(b);
		return rc;
	}
	return segment_blob_commit(b, NULL);
}

static uint8_t *blob_bytes(size_t n, uint64_t seed)
{
	struct prng p;
	uint8_t *bytes = malloc(n + 1);
	prng_seed(&p, seed);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)prng_u64(&p);
	return bytes;
}

static void index_files_come_back(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct collection *schema = random_schema(false);
	struct rows rows = random_rows(10, 2);
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	struct segment *s = open_segment(&io, 1, schema);
	const uint8_t *got;
	size_t n, file_n;
	assert_int_equal(segment_blob_map(s, "index-0.faiss", &got, &n, NULL), ERR_NOT_FOUND);
	static const size_t sizes[] = {0, 1, 65536, 65537, 300000};
	for (size_t i = 0; i < 5; i++) {
		char name[32];
		snprintf(name, sizeof(name), "index-%zu.faiss", i);
		uint8_t *bytes = blob_bytes(sizes[i], i);
		assert_int_equal(put_blob(&io, 1, name, bytes, sizes[i]), 0);
		assert_int_equal(segment_blob_map(s, name, &got, &n, NULL), 0);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(got, bytes, n);
		char path[64];
		snprintf(path, sizeof(path), "seg-1/%s", name); /* plain, for other programs */
		const uint8_t *file = memory_disk_bytes(disk, path, &file_n);
		assert_int_equal(file_n, n);
		assert_true(n == 0 || memcmp(file, bytes, n) == 0);
		free(bytes);
	}
	assert_int_equal(segment_verify(s, NULL), 0);
	segment_close(s);
	struct segment_blob *b = NULL;
	assert_int_equal(segment_blob_begin(&io, 1, "../x", &b, NULL), ERR_INPUT);
	assert_int_equal(segment_blob_begin(&io, 1, "", &b, NULL), ERR_INPUT);
	assert_int_equal(segment_blob_begin(&io, 1, "gone", &b, NULL), 0);
	segment_blob_abort(b);
	segment_blob_abort(NULL);
	s = open_segment(&io, 1, schema);
	assert_int_equal(segment_blob_map(s, "gone", &got, &n, NULL), ERR_NOT_FOUND);
	segment_close(s);
	collection_unref(schema);
	arena_free(rows.arena);
	memory_disk_free(disk);
}

/* ---- damage ---- */

struct paths {
	char all[64][64];
	size_t n;
};

static void collect(void *ctx, const char *path)
{
	struct paths *p = ctx;
	snprintf(p->all[p->n++], sizeof(p->all[0]), "%s", path);
}

/* Uses everything that a search would; must not crash whatever is on disk. */
static void use(const struct segment *s, const struct collection *schema)
{
	struct arena *a = arena_new(1 << 14);
	struct prng p;
	struct bitset out;
	prng_seed(&p, 1);
	bitset_init(&out, segment_rows(s), false);
	for (int i = 0; i < 5; i++)
		segment_filter(s, schema, random_filter(a, &p, segment_rows(s), 0), NULL, &out);
	for (uint32_t index = 0; index < 10; index++) {
		struct posting_list l;
		if (segment_postings(s, 0, index, &l))
			for (uint32_t i = 0; i < l.n; i++)
				assert_true(l.rows[i] < segment_rows(s));
	}
	for (uint32_t row = 0; row < segment_rows(s); row++) {
		struct vector v;
		struct pv_slice payload = segment_payload(s, row);
		assert_int_equal(pv_validate(payload.bytes, payload.n, NULL), 0);
		segment_sparse(s, 0, row, &v);
	}
	bitset_fini(&out);
	arena_free(a);
}

static struct memory_disk *damaged_world(struct collection **schema, struct paths *paths)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	*schema = random_schema(true);
	struct rows rows = random_rows(40, 3);
	assert_int_equal(write_rows(&io, 1, *schema, &rows, NULL), 0);
	uint8_t *bytes = blob_bytes(3000, 9);
	assert_int_equal(put_blob(&io, 1, "index-0.faiss", bytes, 3000), 0);
	free(bytes);
	arena_free(rows.arena);
	memory_disk_each(disk, collect, paths);
	return disk;
}

static void try_damaged(struct memory_disk *disk, const struct collection *schema, const char *path)
{
	struct store_io io;
	struct segment *s = NULL;
	struct error err = {0};
	memory_disk_io(disk, &io);
	int rc = segment_open(&io, 1, schema, &s, &err);
	if (rc == 0) {
		use(s, schema);
		rc = segment_verify(s, &err);
		segment_close(s);
	}
	if (rc == 0)
		fail_msg("damage to %s was not found", path);
	assert_int_equal(rc, ERR_CORRUPT);
	assert_non_null(strstr(err.text, "seg-1/"));
}

static void every_flip_is_found(void **state)
{
	struct paths paths = {0};
	struct collection *schema;
	struct memory_disk *disk = damaged_world(&schema, &paths);
	struct prng p;
	prng_seed(&p, 5);
	assert_true(paths.n >= 19);
	for (size_t i = 0; i < paths.n; i++) {
		size_t n;
		uint8_t *bytes = memory_disk_bytes(disk, paths.all[i], &n);
		for (int k = 0; k < 60; k++) {
			size_t at = k < 20 ? n - 1 - (size_t)k * 12 % n : prng_below(&p, n);
			uint8_t mask = (uint8_t)(1u << prng_below(&p, 8));
			bytes[at] ^= mask;
			try_damaged(disk, schema, paths.all[i]);
			bytes[at] ^= mask;
		}
	}
	struct store_io io;
	memory_disk_io(disk, &io);
	struct segment *s = open_segment(&io, 1, schema);
	assert_int_equal(segment_verify(s, NULL), 0);
	segment_close(s);
	collection_unref(schema);
	memory_disk_free(disk);
}

static void every_cut_is_found(void **state)
{
	struct paths paths = {0};
	struct collection *schema;
	struct memory_disk *disk = damaged_world(&schema, &paths);
	struct prng p;
	prng_seed(&p, 6);
	for (size_t i = 0; i < paths.n; i++) {
		size_t n;
		memory_disk_bytes(disk, paths.all[i], &n);
		for (int k = 0; k < 20; k++) {
			struct memory_disk *copy = memory_disk_clone(disk);
			memory_disk_cut(copy, paths.all[i], k < 5 ? (size_t)k : prng_below(&p, n));
			try_damaged(copy, schema, paths.all[i]);
			memory_disk_free(copy);
		}
	}
	collection_unref(schema);
	memory_disk_free(disk);
}

/* Contents that a checksum vouches for and that make no sense: trailers and the SEGMENT file, put right again
 * after a change. */
static void seal_trailer_again(uint8_t *bytes, size_t n)
{
	struct sum_trailer t;
	memcpy(&t, bytes + n - sizeof(t), sizeof(t));
	t.hash = hash64(&t, offsetof(struct sum_trailer, hash));
	memcpy(bytes + n - sizeof(t), &t, sizeof(t));
}

static void nonsense_is_refused(void **state)
{
	struct paths paths = {0};
	struct collection *schema;
	struct memory_disk *disk = damaged_world(&schema, &paths);
	struct prng p;
	prng_seed(&p, 12);
	for (int round = 0; round < 1500; round++) {
		struct memory_disk *copy = memory_disk_clone(disk);
		const char *path = paths.all[prng_below(&p, paths.n)];
		struct store_io io;
		memory_disk_io(copy, &io);
		if (strstr(path, "SEGMENT") != NULL) {
			struct buf b = BUF_INIT;
			assert_int_equal(store_get_file(&io, path, &b, NULL), 0);
			b.data[prng_below(&p, b.len)] ^= (uint8_t)(1u << prng_below(&p, 8));
			assert_int_equal(store_put_file(&io, path, b.data, b.len, NULL), 0);
			buf_fini(&b);
		} else if (strcmp(path, "seg-1/index-0.faiss") != 0) {
			size_t n;
			uint8_t *bytes = memory_disk_bytes(copy, path, &n);
			size_t at = n - sizeof(struct sum_trailer) +
				    (size_t)prng_below(&p, sizeof(struct sum_trailer) - 16);
			bytes[at] ^= (uint8_t)(1u << prng_below(&p, 8));
			seal_trailer_again(bytes, n);
		}
		struct segment *s = NULL;
		int rc = segment_open(&io, 1, schema, &s, NULL);
		assert_true(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
		if (rc == 0)
			segment_verify(s, NULL);
		segment_close(s);
		memory_disk_free(copy);
	}
	collection_unref(schema);
	memory_disk_free(disk);
}

/* Files of another segment, or one in the place of another, are not taken for the right ones. */
static void exchanged_files_are_found(void **state)
{
	struct paths paths = {0};
	struct collection *schema;
	struct memory_disk *disk = damaged_world(&schema, &paths);
	struct store_io io;
	memory_disk_io(disk, &io);
	struct rows rows = random_rows(40, 33);
	assert_int_equal(write_rows(&io, 2, schema, &rows, NULL), 0);
	for (size_t i = 0; i < paths.n; i++) {
		struct memory_disk *copy = memory_disk_clone(disk);
		struct store_io copy_io;
		char other[64];
		memory_disk_io(copy, &copy_io);
		snprintf(other, sizeof(other), "seg-2%s", paths.all[i] + 5);
		if (copy_io.rename(copy_io.ctx, other, paths.all[i], NULL) == 0)
			try_damaged(copy, schema, paths.all[i]);
		memory_disk_free(copy);
	}
	arena_free(rows.arena);
	collection_unref(schema);
	memory_disk_free(disk);
}

static void a_missing_file_is_found(void **state)
{
	struct paths paths = {0};
	struct collection *schema;
	struct memory_disk *disk = damaged_world(&schema, &paths);
	for (size_t i = 0; i < paths.n; i++) {
		struct memory_disk *copy = memory_disk_clone(disk);
		struct store_io io;
		struct segment *s = NULL;
		memory_disk_io(copy, &io);
		io.remove(io.ctx, paths.all[i], NULL);
		int rc = segment_open(&io, 1, schema, &s, NULL);
		bool optional = strstr(paths.all[i], "index") != NULL;
		bool whole = strstr(paths.all[i], "SEGMENT") != NULL;
		assert_int_equal(rc, optional ? 0 : whole ? ERR_NOT_FOUND : ERR_CORRUPT);
		segment_close(s);
		memory_disk_free(copy);
	}
	collection_unref(schema);
	memory_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_comes_back),
		cmocka_unit_test(it_works_on_the_real_disk),
		cmocka_unit_test(vectors_are_stored_in_their_type),
		cmocka_unit_test(vectors_are_read_one_by_one),
		cmocka_unit_test(integers_alone_are_stored_short),
		cmocka_unit_test(rows_of_the_second_version_are_read),
		cmocka_unit_test(the_first_version_is_read),
		cmocka_unit_test(spaces_added_later_are_empty),
		cmocka_unit_test(an_unfinished_segment_leaves_nothing),
		cmocka_unit_test(index_files_come_back),
		cmocka_unit_test(every_flip_is_found),
		cmocka_unit_test(every_cut_is_found),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(exchanged_files_are_found),
		cmocka_unit_test(a_missing_file_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
