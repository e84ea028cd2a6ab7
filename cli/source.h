/* Sources: what `quiver ingest` and `quiver bench` read. A source gives batches of records, in a fixed
 * order, until it ends. Every kind checks at opening what can be checked without reading all; a file
 * that ends in mid-record is refused there, with the byte at which its last record begins, unless
 * `partial` says to keep the whole ones. Not thread-safe. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some records, in the parts of the binary upsert (api/binary.h), so that they need no conversion. */
struct batch {
	uint32_t n;
	uint32_t dim;        /* of rows */
	bool uuids;          /* ids are UUIDs of 16 bytes, else u64 */
	struct buf ids;      /* n x 8 or 16 bytes */
	struct buf rows;     /* n x dim floats; empty when there are texts */
	struct buf texts;    /* n NUL-terminated texts to be embedded; else empty */
	struct buf payloads; /* n lines of JSON, each ended by '\n'; empty: no payloads */
};

void batch_fini(struct batch *b);
/* What the batch says, for recognising it in a later run: XXH3 over all its parts. */
uint64_t batch_hash(const struct batch *b);
/* For the sources. */
void batch_put_u64_id(struct batch *b, uint64_t id);
void batch_put_uuid(struct batch *b, uint64_t hi, uint64_t lo);

struct source_options {
	uint64_t id_offset; /* row numbers become ids from here on */
	uint64_t limit;     /* at most so many records; 0 = all */
	bool partial;
	const char *id_field, *vector_field, *payload_field,
		*text_field; /* JSON lines; NULL = default */
	const char *dataset; /* HDF5: NULL = "train" */
	const char *exclude; /* text: comma-separated patterns of paths to leave out; NULL = none */
	const char *extensions; /* text: comma-separated, without dots; NULL = the usual ones */
};

struct source;
struct source_ops {
	int (*next)(struct source *s, struct batch *b, uint32_t max, struct error *err);
	void (*close)(struct source *s);
};

/* The common head of every kind. */
struct source {
	const struct source_ops *ops;
	char *name;           /* for a person, and for the key of the state file */
	uint32_t dim;         /* 0: not known before texts are embedded */
	bool texts;           /* batches carry texts instead of rows */
	const char *distance; /* what the file says ("Cosine", ...), or NULL */
	double done;          /* part that has been given out, 0 .. 1 */
	uint64_t read;        /* records given out */
	uint64_t skipped;     /* files left out (text), lines without content (JSON lines) */
	bool once;            /* standard input: it cannot be read a second time */
	char *note;           /* a sentence about what was left out, or NULL */
};

/* The kind follows the name's end: .fvecs .bvecs .npy .hdf5 .h5 .jsonl .ndjson .json. ERR_INPUT for
 * others. */
int source_open(struct source **out, const char *path, const struct source_options *options,
		struct error *err);
/* Several files, one after the other, of the same dimension, distance and kind of record; row numbers
 * count on from file to file. One path alone is source_open(), or standard input (JSON lines) for "-". */
int source_open_files(struct source **out, const char *const *paths, size_t n,
		      const struct source_options *options, struct error *err);
/* Folders and files of text. */
int source_open_text(struct source **out, const char *const *paths, size_t n,
		     const struct source_options *options, struct error *err);
/* The next records, at most max (and at most 32 MiB); b->n = 0 at the end. The batch is cleared first. */
int source_next(struct source *s, struct batch *b, uint32_t max, struct error *err);
void source_close(struct source *s); /* NULL ok */
/* The paths with spaces between, as the name of a source; the caller frees it. */
char *source_names(const char *const *paths, size_t n);

/* For the kinds that do not know their number of records: `part` of `whole` bytes have been read, n
 * records are in the batch; a limit may be nearer than the end. */
void source_set_done(struct source *s, double part, double whole, uint32_t n, uint64_t limit);

enum { SOURCE_BATCH_BYTES = 32 << 20 };

/* The kinds, each in source_<kind>.c. */
int source_open_vecs(struct source **out, const char *path, const struct source_options *options,
		     struct error *err);
int source_open_npy(struct source **out, const char *path, const struct source_options *options,
		    struct error *err);
int source_open_hdf5(struct source **out, const char *path, const struct source_options *options,
		     struct error *err);
/* path NULL: standard input */
int source_open_jsonl(struct source **out, const char *path, const struct source_options *options,
		      struct error *err);

/* A two-dimensional data set of numbers read as a whole: queries, ground truth. */
struct matrix {
	uint32_t n, dim;
	float *floats;    /* or NULL */
	int64_t *numbers; /* or NULL: integers (.ivecs, HDF5) */
};
/* .fvecs .bvecs .ivecs .npy, or a data set of an HDF5 file (name NULL: the first of a file's kind). At
 * most `limit` rows (0 = all). */
int matrix_read(struct matrix *out, const char *path, const char *dataset, uint64_t limit,
		struct error *err);
int matrix_read_hdf5(struct matrix *out, const char *path, const char *dataset, bool integers,
		     uint64_t limit, struct error *err);
/* Whether an HDF5 file has that data set. */
bool hdf5_has(const char *path, const char *dataset);
void matrix_free(struct matrix *m);
bool source_is_hdf5(const char *path);
/* Does the name end so (letter case does not matter)? */
bool source_name_ends(const char *path, const char *ending);
