/* .fvecs, .bvecs and .ivecs: every record is an int32 dimension and that many float32, bytes or int32.
 * And .npy: a header with shape and type, then the rows. Both have records of one size, so that a file
 * which ends in mid-record is seen from its length. */
#include "cli/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/memory.h"

enum element { FLOAT32, FLOAT64, UINT8, INT8, INT32, INT64 };

static size_t element_bytes(enum element e)
{
	switch (e) {
	case UINT8:
	case INT8: return 1;
	case FLOAT32:
	case INT32: return 4;
	case FLOAT64:
	case INT64: return 8;
	}
	return 0;
}

struct rows_file {
	struct source head;
	FILE *file;
	char *path;
	uint64_t data_at;    /* byte at which the first record begins */
	size_t prefix;       /* bytes before the values of a record: 4 in .fvecs */
	size_t record_bytes; /* with prefix */
	enum element element;
	uint64_t row, end_row; /* next, and one past the last */
	uint64_t id_offset;
	struct buf scratch;
};

static void rows_close(struct source *s)
{
	struct rows_file *f = (struct rows_file *)s;

	if (f->file)
		fclose(f->file);
	buf_fini(&f->scratch);
	free(f->path);
	free(f);
}

static void convert_row(const struct rows_file *f, const uint8_t *from, float *to)
{
	uint32_t dim = f->head.dim;

	switch (f->element) {
	case FLOAT32: memcpy(to, from, (size_t)dim * 4); break;
	case FLOAT64:
		for (uint32_t i = 0; i < dim; i++) {
			double v;

			memcpy(&v, from + (size_t)i * 8, 8);
			to[i] = (float)v;
		}
		break;
	case UINT8:
		for (uint32_t i = 0; i < dim; i++)
			to[i] = from[i];
		break;
	case INT8:
		for (uint32_t i = 0; i < dim; i++)
			to[i] = (int8_t)from[i];
		break;
	case INT32:
		for (uint32_t i = 0; i < dim; i++)
			to[i] = (float)(int32_t)load_u32(from + (size_t)i * 4);
		break;
	case INT64:
		for (uint32_t i = 0; i < dim; i++)
			to[i] = (float)(int64_t)load_u64(from + (size_t)i * 8);
		break;
	}
}

/* Reads up to max records into the scratch buffer and checks the dimension that each one states. */
static int read_records(struct rows_file *f, uint32_t max, uint32_t *n, struct error *err)
{
	uint64_t left = f->end_row - f->row;
	size_t room = SOURCE_BATCH_BYTES / ((size_t)f->head.dim * 4 + 64);

	*n = max;
	if (*n > room)
		*n = room ? (uint32_t)room : 1;
	if (*n > left)
		*n = (uint32_t)left;
	buf_clear(&f->scratch);
	if (*n == 0)
		return 0;
	size_t want = (size_t)*n * f->record_bytes;
	uint8_t *bytes = buf_extend(&f->scratch, want);
	size_t got = fread(bytes, 1, want, f->file);
	if (got < want)
		return error_set(err, ERR_IO, "%s: cannot be read at byte %" PRIu64 ": %s", f->path,
				 f->data_at + f->row * f->record_bytes + got,
				 ferror(f->file) ? strerror(errno) : "it became shorter");
	for (uint32_t i = 0; f->prefix && i < *n; i++) {
		uint32_t dim = load_u32(bytes + (size_t)i * f->record_bytes);

		if (dim != f->head.dim)
			return error_set(err, ERR_FORMAT,
					 "%s: record %" PRIu64 " at byte %" PRIu64
					 " has dimension %" PRIu32 ", the first one has %" PRIu32,
					 f->path, f->row + i, (f->row + i) * f->record_bytes, dim,
					 f->head.dim);
	}
	return 0;
}

static int rows_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	struct rows_file *f = (struct rows_file *)s;
	uint32_t n;
	int rc = read_records(f, max, &n, err);

	if (rc != 0)
		return rc;
	b->dim = s->dim;
	b->n = n;
	float *rows = (float *)(void *)buf_extend(&b->rows, (size_t)n * s->dim * 4);
	for (uint32_t i = 0; i < n; i++) {
		convert_row(f, f->scratch.data + (size_t)i * f->record_bytes + f->prefix,
			    rows + (size_t)i * s->dim);
		batch_put_u64_id(b, f->id_offset + f->row + i);
	}
	f->row += n;
	s->done = f->end_row ? (double)f->row / (double)f->end_row : 1;
	return 0;
}

static const struct source_ops rows_ops = {rows_next, rows_close};

static int open_file(struct rows_file **out, const char *path, uint64_t *size, struct error *err)
{
	struct rows_file *f;
	struct stat st;
	FILE *file = fopen(path, "rb");

	if (file == NULL || fstat(fileno(file), &st) != 0 || S_ISDIR(st.st_mode)) {
		int code = file ? EISDIR : errno;

		if (file)
			fclose(file);
		return error_errno(err, code, "cannot read %s", path);
	}
	f = mem_zalloc(sizeof(*f));
	f->head.ops = &rows_ops;
	f->head.name = mem_strdup(path);
	f->path = mem_strdup(path);
	f->file = file;
	*size = (uint64_t)st.st_size;
	*out = f;
	return 0;
}

/* The number of whole records, or a refusal of a file that ends in mid-record. */
static int count_records(struct rows_file *f, uint64_t data_bytes, bool partial, struct error *err)
{
	uint64_t n = data_bytes / f->record_bytes, rest = data_bytes % f->record_bytes;

	f->end_row = n;
	if (rest == 0)
		return 0;
	uint64_t at = f->data_at + n * f->record_bytes;
	if (!partial)
		return error_set(err, ERR_FORMAT,
				 "%s ends in mid-record: the record that begins at byte %" PRIu64
				 " has %" PRIu64
				 " of %zu bytes. Nothing was loaded; --partial loads "
				 "the %" PRIu64 " whole records before it",
				 f->path, at, rest, f->record_bytes, n);
	struct buf note = BUF_INIT;
	buf_printf(&note,
		   "%s ends in mid-record at byte %" PRIu64 ": %" PRIu64
		   " whole records before it are kept, the rest is left out",
		   f->path, at, n);
	buf_put_u8(&note, 0);
	f->head.note = (char *)note.data;
	return 0;
}

static void limit_rows(struct rows_file *f, uint64_t limit)
{
	if (limit && f->end_row > limit)
		f->end_row = limit;
}

static int open_vecs(struct rows_file **out, const char *path, const struct source_options *o,
		     struct error *err)
{
	struct rows_file *f;
	uint64_t size;
	uint8_t head[4];
	int rc = open_file(&f, path, &size, err);

	if (rc != 0)
		return rc;
	f->element = source_name_ends(path, ".bvecs")   ? UINT8
		     : source_name_ends(path, ".ivecs") ? INT32
							: FLOAT32;
	f->prefix = 4;
	f->id_offset = o->id_offset;
	if (size == 0)
		rc = error_set(err, ERR_FORMAT, "%s is empty", path);
	else if (fread(head, 1, 4, f->file) != 4)
		rc = error_set(err, ERR_FORMAT,
			       "%s ends in mid-record: the record that begins at byte 0 has %" PRIu64
			       " bytes, too few for its dimension",
			       path, size);
	else if (load_u32(head) == 0 || load_u32(head) > LIMIT_DIMENSION)
		rc = error_set(err, ERR_FORMAT,
			       "%s: the first record states dimension %" PRId32
			       ", which is not within 1 .. %d; is this a .fvecs or .bvecs file?",
			       path, (int32_t)load_u32(head), LIMIT_DIMENSION);
	if (rc == 0) {
		f->head.dim = load_u32(head);
		f->record_bytes = 4 + f->head.dim * element_bytes(f->element);
		rc = count_records(f, size, o->partial, err);
	}
	if (rc != 0) {
		source_close(&f->head);
		return rc;
	}
	rewind(f->file);
	limit_rows(f, o->limit);
	*out = f;
	return 0;
}

int source_open_vecs(struct source **out, const char *path, const struct source_options *options,
		     struct error *err)
{
	struct rows_file *f;
	int rc = open_vecs(&f, path, options, err);

	*out = rc == 0 ? &f->head : NULL;
	return rc;
}

/* ---- .npy ------------------------------------------------------------------------------------ */

/* The value of a key in the header, which is the text of a Python dictionary. */
static const char *header_value(const char *header, const char *key)
{
	struct buf quoted = BUF_INIT;
	const char *at;

	buf_printf(&quoted, "'%s'", key);
	buf_put_u8(&quoted, 0);
	at = strstr(header, (const char *)quoted.data);
	if (at) {
		at += quoted.len - 1;
		at += strspn(at, " :");
	}
	buf_fini(&quoted);
	return at;
}

static int parse_type(struct rows_file *f, const char *descr, struct error *err)
{
	static const struct {
		const char *text;
		enum element element;
	} types[] = {{"'<f4'", FLOAT32}, {"'<f8'", FLOAT64}, {"'|u1'", UINT8},
		     {"'|i1'", INT8},    {"'<i4'", INT32},   {"'<i8'", INT64}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strncmp(descr, types[i].text, 5) == 0) {
			f->element = types[i].element;
			return 0;
		}
	}
	return error_set(err, ERR_UNSUPPORTED,
			 "%s holds elements of type %.8s; float32, float64, uint8, int8, int32 and "
			 "int64 (little-endian) are read",
			 f->path, descr);
}

static int parse_header(struct rows_file *f, const char *text, uint64_t *n_rows, struct error *err)
{
	const char *descr = header_value(text, "descr");
	const char *order = header_value(text, "fortran_order");
	const char *shape = header_value(text, "shape");
	unsigned long long rows, dim;
	int end = 0;

	if (!descr || !order || !shape)
		return error_set(err, ERR_FORMAT,
				 "%s: the header lacks descr, fortran_order or shape", f->path);
	int rc = parse_type(f, descr, err);
	if (rc != 0)
		return rc;
	if (strncmp(order, "False", 5) != 0)
		return error_set(err, ERR_UNSUPPORTED,
				 "%s is in Fortran order; save it with numpy.ascontiguousarray()",
				 f->path);
	if (sscanf(shape, "(%llu, %llu%n", &rows, &dim, &end) != 2 || shape[end] != ')')
		return error_set(
			err, ERR_FORMAT,
			"%s has the shape %.*s; two dimensions are expected: points x values",
			f->path, (int)strcspn(shape, ")") + 1, shape);
	if (dim == 0 || dim > LIMIT_DIMENSION)
		return error_set(err, ERR_FORMAT,
				 "%s has dimension %llu, which is not within 1 .. %d", f->path, dim,
				 LIMIT_DIMENSION);
	f->head.dim = (uint32_t)dim;
	f->record_bytes = f->head.dim * element_bytes(f->element);
	*n_rows = rows;
	return 0;
}

static int read_header(struct rows_file *f, uint64_t *n_rows, struct error *err)
{
	uint8_t head[12] = {0};
	char *text = NULL;
	uint32_t length, start;
	int rc;

	if (fread(head, 1, 10, f->file) != 10 || memcmp(head, "\x93NUMPY", 6) != 0)
		return error_set(err, ERR_FORMAT, "%s does not begin like a .npy file", f->path);
	if (head[6] == 1) {
		length = head[8] | (uint32_t)head[9] << 8;
		start = 10;
	} else {
		if (fread(head + 10, 1, 2, f->file) != 2)
			return error_set(err, ERR_FORMAT, "%s ends in its header", f->path);
		length = load_u32(head + 8);
		start = 12;
	}
	if (length > 1 << 20)
		return error_set(err, ERR_FORMAT,
				 "%s: a header of %" PRIu32 " bytes is not believable", f->path,
				 length);
	text = mem_zalloc((size_t)length + 1);
	if (fread(text, 1, length, f->file) != length)
		rc = error_set(err, ERR_FORMAT, "%s ends in its header", f->path);
	else
		rc = parse_header(f, text, n_rows, err);
	f->data_at = start + length;
	free(text);
	return rc;
}

static int open_npy(struct rows_file **out, const char *path, const struct source_options *o,
		    struct error *err)
{
	struct rows_file *f;
	uint64_t size, n_rows = 0;
	int rc = open_file(&f, path, &size, err);

	if (rc != 0)
		return rc;
	f->id_offset = o->id_offset;
	rc = read_header(f, &n_rows, err);
	if (rc == 0 && n_rows > (UINT64_MAX >> 1) / f->record_bytes)
		rc = error_set(err, ERR_FORMAT, "%s: %" PRIu64 " rows are not believable", path,
			       n_rows);
	if (rc == 0 && size - f->data_at < n_rows * f->record_bytes) {
		uint64_t whole = (size - f->data_at) / f->record_bytes;

		/* Also when it ends between two rows: the header says that more belong to it. */
		rc = count_records(f, whole * f->record_bytes + 1, o->partial, NULL);
		if (rc != 0)
			error_set(err, rc,
				  "%s ends in mid-record: the header says %" PRIu64
				  " rows, the row that begins at byte %" PRIu64
				  " is cut. Nothing was loaded; --partial loads the %" PRIu64
				  " whole rows before it",
				  path, n_rows, f->data_at + whole * f->record_bytes, whole);
	} else if (rc == 0) {
		f->end_row = n_rows;
	}
	if (rc != 0) {
		source_close(&f->head);
		return rc;
	}
	limit_rows(f, o->limit);
	*out = f;
	return 0;
}

int source_open_npy(struct source **out, const char *path, const struct source_options *options,
		    struct error *err)
{
	struct rows_file *f;
	int rc = open_npy(&f, path, options, err);

	*out = rc == 0 ? &f->head : NULL;
	return rc;
}

/* ---- whole files ------------------------------------------------------------------------------ */

static void matrix_take(struct matrix *m, const struct rows_file *f, bool integers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *from = f->scratch.data + (size_t)i * f->record_bytes + f->prefix;
		size_t at = (size_t)(m->n + i) * m->dim;

		if (!integers) {
			convert_row(f, from, m->floats + at);
			continue;
		}
		for (uint32_t j = 0; j < m->dim; j++)
			m->numbers[at + j] = f->element == INT64
						     ? (int64_t)load_u64(from + (size_t)j * 8)
						     : (int32_t)load_u32(from + (size_t)j * 4);
	}
	m->n += n;
}

int matrix_read(struct matrix *out, const char *path, const char *dataset, uint64_t limit,
		struct error *err)
{
	const struct source_options options = {.limit = limit};
	struct rows_file *f = NULL;
	int rc;

	*out = (struct matrix){0};
	if (source_is_hdf5(path))
		return matrix_read_hdf5(out, path, dataset ? dataset : "train",
					dataset && strcmp(dataset, "neighbors") == 0, limit, err);
	if (source_name_ends(path, ".npy"))
		rc = open_npy(&f, path, &options, err);
	else if (source_name_ends(path, ".fvecs") || source_name_ends(path, ".bvecs") ||
		 source_name_ends(path, ".ivecs"))
		rc = open_vecs(&f, path, &options, err);
	else
		rc = error_set(err, ERR_INPUT,
			       "%s: a .fvecs, .bvecs, .ivecs, .npy or .hdf5 file is expected",
			       path);
	if (rc != 0)
		return rc;
	bool integers = f->element == INT32 || f->element == INT64;
	if (f->end_row > UINT32_MAX) {
		rc = error_set(err, ERR_TOO_LARGE, "%s has too many rows to be read as a whole",
			       path);
		goto out;
	}
	out->dim = f->head.dim;
	if (integers)
		out->numbers = mem_array(f->end_row * out->dim + 1, sizeof(*out->numbers));
	else
		out->floats = mem_array(f->end_row * out->dim + 1, sizeof(*out->floats));
	while (rc == 0 && f->row < f->end_row) {
		uint32_t n;

		rc = read_records(f, 4096, &n, err);
		if (rc == 0)
			matrix_take(out, f, integers, n);
		f->row += n;
	}
out:
	source_close(&f->head);
	if (rc != 0)
		matrix_free(out);
	return rc;
}
