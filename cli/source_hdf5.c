/* HDF5 files in the layout of ann-benchmarks: train (the points), test (the queries), neighbors and
 * distances (the ground truth), and an attribute "distance" on the file. */
#include "cli/source.h"

#include <hdf5.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"

struct hdf5_file {
	struct source head;
	hid_t file, set, space;
	uint64_t row, end_row, id_offset;
};

static void hdf5_close(struct source *s)
{
	struct hdf5_file *f = (struct hdf5_file *)s;

	if (f->space >= 0)
		H5Sclose(f->space);
	if (f->set >= 0)
		H5Dclose(f->set);
	if (f->file >= 0)
		H5Fclose(f->file);
	free(f);
}

/* Why HDF5 does not open it, as far as the first bytes tell: the superblock says where the file should
 * end (format specification, II.A). */
static int explain(const char *path, struct error *err)
{
	uint8_t head[64] = {0};
	struct stat st;
	FILE *file = fopen(path, "rb");
	size_t got;
	uint64_t end = 0;

	if (file == NULL)
		return error_set(err, ERR_NOT_FOUND,
				 "cannot read %s: no such file, or no permission", path);
	got = fread(head, 1, sizeof(head), file);
	fclose(file);
	if (got < 8 || memcmp(head, "\x89HDF\r\n\x1a\n", 8) != 0)
		return error_set(err, ERR_FORMAT, "%s is no HDF5 file", path);
	if (head[8] < 2 && head[13] == 8)
		end = load_u64(head + (head[8] == 0 ? 40 : 44));
	else if (head[8] >= 2 && head[9] == 8)
		end = load_u64(head + 28);
	if (stat(path, &st) == 0 && end > (uint64_t)st.st_size)
		return error_set(
			err, ERR_FORMAT,
			"%s is cut: it ends at byte %" PRIu64 " but says that it has %" PRIu64
			" bytes. Nothing was loaded; fetch it again (HDF5 cannot open a cut file, "
			"so --partial does not help here)",
			path, (uint64_t)st.st_size, end);
	return error_set(err, ERR_FORMAT,
			 "%s: HDF5 cannot open it; it is damaged or of a newer version", path);
}

static int open_set(const char *path, const char *name, struct hdf5_file *f, hsize_t shape[2],
		    struct error *err)
{
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* failures are told by us */
	f->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
	if (f->file < 0)
		return explain(path, err);
	f->set = H5Dopen2(f->file, name, H5P_DEFAULT);
	if (f->set < 0)
		return error_set(err, ERR_FORMAT,
				 "%s has no data set `%s`; --dataset names another one", path,
				 name);
	f->space = H5Dget_space(f->set);
	if (H5Sget_simple_extent_ndims(f->space) != 2)
		return error_set(err, ERR_FORMAT,
				 "%s: the data set `%s` has not two dimensions: points x values",
				 path, name);
	H5Sget_simple_extent_dims(f->space, shape, NULL);
	hid_t type = H5Dget_type(f->set);
	H5T_class_t class = H5Tget_class(type);
	H5Tclose(type);
	if (class != H5T_FLOAT && class != H5T_INTEGER)
		return error_set(err, ERR_FORMAT, "%s: the data set `%s` does not hold numbers",
				 path, name);
	if (shape[1] == 0 || shape[1] > LIMIT_DIMENSION)
		return error_set(
			err, ERR_FORMAT,
			"%s: the data set `%s` has dimension %llu, which is not within 1 .. %d",
			path, name, (unsigned long long)shape[1], LIMIT_DIMENSION);
	return 0;
}

/* The file's attribute "distance" in our words; NULL when there is none. */
static const char *read_distance(hid_t file)
{
	static const struct {
		const char *theirs, *ours;
	} names[] = {{"angular", "Cosine"}, {"cosine", "Cosine"},       {"euclidean", "Euclid"},
		     {"l2", "Euclid"},      {"manhattan", "Manhattan"}, {"ip", "Dot"},
		     {"dot", "Dot"},        {"inner_product", "Dot"}};
	char text[64] = {0};
	char *pointer = NULL;
	hid_t attribute = H5Aopen(file, "distance", H5P_DEFAULT);

	if (attribute < 0)
		return NULL;
	hid_t type = H5Aget_type(attribute);
	if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
		hid_t memory = H5Tcopy(type);

		if (H5Aread(attribute, memory, &pointer) >= 0 && pointer != NULL) {
			snprintf(text, sizeof(text), "%s", pointer);
			H5free_memory(pointer);
		}
		H5Tclose(memory);
	} else if (H5Tget_class(type) == H5T_STRING && H5Tget_size(type) < sizeof(text)) {
		H5Aread(attribute, type, text);
	}
	H5Tclose(type);
	H5Aclose(attribute);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i].theirs) == 0)
			return names[i].ours;
	}
	return NULL;
}

static int read_rows(const struct hdf5_file *f, uint64_t row, uint64_t n, hid_t type, void *out)
{
	hsize_t start[2] = {row, 0}, count[2] = {n, f->head.dim};
	hid_t memory = H5Screate_simple(2, count, NULL);
	int rc = -1;

	if (memory >= 0 &&
	    H5Sselect_hyperslab(f->space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
	    H5Dread(f->set, type, memory, f->space, H5P_DEFAULT, out) >= 0)
		rc = 0;
	if (memory >= 0)
		H5Sclose(memory);
	return rc;
}

static int hdf5_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	struct hdf5_file *f = (struct hdf5_file *)s;
	uint64_t n = f->end_row - f->row;
	size_t room = SOURCE_BATCH_BYTES / ((size_t)s->dim * 4 + 64);

	if (n > max)
		n = max;
	if (n > room)
		n = room ? room : 1;
	b->dim = s->dim;
	b->n = (uint32_t)n;
	if (n == 0)
		return 0;
	if (read_rows(f, f->row, n, H5T_NATIVE_FLOAT, buf_extend(&b->rows, n * s->dim * 4)) != 0)
		return error_set(err, ERR_IO, "%s: rows %" PRIu64 " to %" PRIu64 " cannot be read",
				 s->name, f->row, f->row + n - 1);
	for (uint64_t i = 0; i < n; i++)
		batch_put_u64_id(b, f->id_offset + f->row + i);
	f->row += n;
	s->done = f->end_row ? (double)f->row / (double)f->end_row : 1;
	return 0;
}

/* The library ends the process on some damaged files (1.10.8: a heap whose size is beyond all bounds), so a child looks
 * first. Where there can be no child the file is opened without that. */
static int look_first(const char *path, const char *name, struct error *err)
{
	static const int deaths[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct hdf5_file f = {.file = -1, .set = -1, .space = -1};
		struct error unused = {0};
		hsize_t shape[2];

		for (size_t i = 0; i < sizeof(deaths) / sizeof(*deaths); i++)
			signal(deaths[i], SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		if (open_set(path, name, &f, shape, &unused) == 0)
			read_distance(f.file);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
		return 0;
	return error_set(err, ERR_FORMAT,
			 "%s is damaged: the HDF5 library cannot even look at it (%s). Nothing was "
			 "loaded; fetch it again",
			 path, strsignal(WTERMSIG(status)));
}

static const struct source_ops hdf5_ops = {hdf5_next, hdf5_close};

static struct hdf5_file *new_file(const char *path)
{
	struct hdf5_file *f = mem_zalloc(sizeof(*f));

	f->head.ops = &hdf5_ops;
	f->head.name = mem_strdup(path);
	f->file = f->set = f->space = -1;
	return f;
}

int source_open_hdf5(struct source **out, const char *path, const struct source_options *options,
		     struct error *err)
{
	const char *name = options->dataset ? options->dataset : "train";
	struct hdf5_file *f = new_file(path);
	hsize_t shape[2] = {0, 0};
	int rc = look_first(path, name, err);

	if (rc == 0)
		rc = open_set(path, name, f, shape, err);

	*out = NULL;
	if (rc != 0) {
		source_close(&f->head);
		return rc;
	}
	f->head.dim = (uint32_t)shape[1];
	f->head.distance = read_distance(f->file);
	f->end_row = shape[0];
	if (options->limit && f->end_row > options->limit)
		f->end_row = options->limit;
	f->id_offset = options->id_offset;
	*out = &f->head;
	return 0;
}

bool hdf5_has(const char *path, const char *dataset)
{
	bool found = false;
	hid_t file;

	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
	if (file >= 0) {
		found = H5Lexists(file, dataset, H5P_DEFAULT) > 0;
		H5Fclose(file);
	}
	return found;
}

int matrix_read_hdf5(struct matrix *out, const char *path, const char *dataset, bool integers,
		     uint64_t limit, struct error *err)
{
	struct hdf5_file *f = new_file(path);
	hsize_t shape[2] = {0, 0};
	void *to;
	int rc = open_set(path, dataset, f, shape, err);

	*out = (struct matrix){0};
	if (rc != 0)
		goto out;
	if (limit && shape[0] > limit)
		shape[0] = limit;
	if (shape[0] > UINT32_MAX) {
		rc = error_set(err, ERR_TOO_LARGE, "%s: `%s` has too many rows", path, dataset);
		goto out;
	}
	f->head.dim = out->dim = (uint32_t)shape[1];
	out->n = (uint32_t)shape[0];
	to = mem_array(shape[0] * shape[1] + 1, integers ? 8 : 4);
	if (integers)
		out->numbers = to;
	else
		out->floats = to;
	if (out->n > 0 &&
	    read_rows(f, 0, out->n, integers ? H5T_NATIVE_INT64 : H5T_NATIVE_FLOAT, to) != 0) {
		rc = error_set(err, ERR_IO, "%s: `%s` cannot be read", path, dataset);
		matrix_free(out);
	}
out:
	source_close(&f->head);
	return rc;
}
