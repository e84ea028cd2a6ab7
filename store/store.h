/* Storage of one replica: write-ahead log, sealed segments with payload indexes, manifest.
 *
 * A replica's folder:
 *   LOCK is one per data folder, see store_lock()
 *   wal/<first seq, 20 digits>.wal     log segments
 *   seg-<id>/                          one sealed segment: immutable files, each block with an XXH3 checksum
 *   MANIFEST-<n>, CURRENT              what the replica consists of; CURRENT names the manifest in force
 *
 * All access to files goes through struct store_io, so that the simulator and the fault tests can stand in
 * for the disk. Nothing here starts a thread. Unless said otherwise an object is used by one thread at a time;
 * open segments and payload indexes are immutable and may be read by any number of threads.
 *
 * A failed fsync/fdatasync is not returned: it ends the process (the kernel may have dropped the dirty pages, so
 * nothing can be promised any more). ENOSPC on a write is ERR_DISK_FULL and leaves the log as it was before the call.
 */
#pragma once
#include "base/arena.h"
#include "base/bitset.h"
#include "base/codec.h"
#include "base/error.h"
#include "model/collection.h"
#include "model/filter.h"
#include "model/point.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- files ---- */

struct store_file; /* an open file of a store_io back-end */
struct store_map { /* a read-only mapping */
	const uint8_t *bytes;
	size_t n;
	void *handle;
	bool of_file; /* its pages may be dropped at any time, and are read from the file again */
};

/* Paths are relative to the io's root folder ("wal/000.wal"). All functions: 0 or negative error with text. */
struct store_io {
	void *ctx;
	/* Parents too; existing is fine. Durable on return, unlike the other changes to a folder. */
	int (*mkdirs)(void *ctx, const char *path, struct error *err);
	/* Read-write; without `create` a missing file is ERR_NOT_FOUND. Never truncates. */
	int (*open)(void *ctx, const char *path, bool create, struct store_file **out,
		    struct error *err);
	void (*close)(struct store_file *f);
	/* Short at the end of the file only. */
	int (*read)(struct store_file *f, uint64_t offset, void *bytes, size_t n, size_t *got,
		    struct error *err);
	/* On an error any part of the bytes may have been written. */
	int (*write)(struct store_file *f, uint64_t offset, const void *bytes, size_t n,
		     struct error *err);
	/* Reserves blocks up to `size` and makes the file that long; what is new reads as zero. ERR_DISK_FULL. */
	int (*allocate)(struct store_file *f, uint64_t size, struct error *err);
	int (*truncate)(struct store_file *f, uint64_t size, struct error *err);
	int (*size)(struct store_file *f, uint64_t *out, struct error *err);
	void (*sync)(struct store_file *f); /* fdatasync; a failure ends the process */
	void (*sync_dir)(void *ctx, const char *path);
	int (*rename)(void *ctx, const char *from, const char *to, struct error *err);
	int (*remove)(void *ctx, const char *path, struct error *err); /* a file */
	/* A folder with everything in it; a missing one is fine. */
	int (*remove_tree)(void *ctx, const char *path, struct error *err);
	/* Calls fn for each entry name of a folder (not sorted; "." and ".." left out). */
	int (*list)(void *ctx, const char *path, int (*fn)(void *fn_ctx, const char *name),
		    void *fn_ctx, struct error *err);
	int (*map)(void *ctx, const char *path, struct store_map *out, struct error *err);
	void (*unmap)(struct store_map *m);
	/* Its pages need not stay in this process; they come back when they are read. NULL: they always stay. */
	void (*release)(const struct store_map *m);
	int (*free_bytes)(void *ctx, uint64_t *out, struct error *err);
	void (*fini)(void *ctx); /* called by store_io_fini(); may be NULL */
};

/* The real disk under `root` (created when missing). */
int store_io_real(const char *root, struct store_io *out, struct error *err);
/* A view of `io` whose root is the sub-folder `path`; shares the ctx's lifetime. */
int store_io_sub(const struct store_io *io, const char *path, struct store_io *out,
		 struct error *err);
void store_io_fini(struct store_io *io);

/* Locks a data folder for this process (flock on LOCK) and checks or writes its FORMAT file. ERR_LOCKED names the
 * holder's pid; ERR_VERSION names both versions. */
struct store_lock;
int store_lock(const char *root, struct store_lock **out, struct error *err);
void store_unlock(struct store_lock *lock);
enum { STORE_FORMAT_VERSION = 1 };

/* Rows of a segment, and of all segments of a partition. Sets of rows take a bit for each, whatever their bytes on disk or
 * from another node say, so these limits bound what a few bytes of input may ask for. */
enum { SEGMENT_ROWS_MAX = 100000000 };
#define PARTITION_ROWS_MAX UINT32_MAX

/* Whole small files: written to a temporary, synced, renamed, folder synced. Checksummed; a bad sum is ERR_CORRUPT. */
int store_put_file(const struct store_io *io, const char *path, const void *bytes, size_t n,
		   struct error *err);
int store_get_file(const struct store_io *io, const char *path, struct buf *out, struct error *err);

/* ---- write-ahead log ---- */

/* One record of a partition's log. seq is contiguous from 1; epoch never falls; prev_epoch is the epoch of seq-1. */
struct wal_record {
	uint64_t seq;
	uint64_t epoch;
	uint64_t prev_epoch;
	const void *bytes; /* an encoded op */
	uint32_t n;
};

struct wal_options {
	uint64_t segment_bytes; /* 0: 64 MB; a file is closed and a new one begun beyond it */
};

struct wal;
/* Opens or creates the log under "<dir>/" and finds its end. A torn tail (nothing valid after it) is cut off;
 * a bad record that is *followed* by a valid later record is damage in the durable area: ERR_CORRUPT naming file,
 * offset and the sequence numbers lost, and the files stay untouched. `expect_seq` is what must at least be there
 * (the manifest's applied seq; 0 = nothing known): an end before it is ERR_CORRUPT too unless the log is empty and dropped. */
int wal_open(const struct store_io *io, const char *dir, const struct wal_options *options,
	     uint64_t expect_seq, struct wal **out, struct error *err);
void wal_close(struct wal *w);
uint64_t wal_first_seq(const struct wal *w); /* 0 when empty */
uint64_t wal_last_seq(const struct wal *w);
uint64_t wal_last_epoch(const struct wal *w);
uint64_t wal_bytes(const struct wal *w);
/* Starts an empty log so that the next record is seq `next`, with prev_epoch as the epoch before it. */
int wal_reset(struct wal *w, uint64_t next, uint64_t prev_epoch, struct error *err);
/* Writes records to the file (contiguous from wal_last_seq + 1); not yet durable. ERR_DISK_FULL or ERR_IO: nothing
 * of the call is kept. */
int wal_append(struct wal *w, const struct wal_record *records, size_t n, struct error *err);
void wal_sync(struct wal *w); /* after it, everything appended is durable */
/* Iterates records from `from` on; `bytes` valid during the call; fn's non-zero result ends it and is returned. */
int wal_read(struct wal *w, uint64_t from, int (*fn)(void *ctx, const struct wal_record *r),
	     void *ctx, struct error *err);
int wal_truncate_after(struct wal *w, uint64_t seq,
		       struct error *err); /* drop the losing tail; durable on return */
int wal_drop_before(struct wal *w, uint64_t seq,
		    struct error *err); /* free whole files below seq */
/* The first record of the newest file from which on the log has at least so many bytes; its first
 * record when it has fewer. */
uint64_t wal_seq_holding(const struct wal *w, uint64_t bytes);

/* ---- sealed segments ---- */

struct segment_row {
	struct point_id id;
	uint64_t version;
	const float *
		*dense; /* per space of the collection: dim floats, or NULL: this point has none */
	const struct vector *sparse; /* per sparse space: n = 0 means none */
	struct pv_slice payload;
};

/* Writes a new segment into folder "seg-<id>". Rows are given one by one; nothing is visible until finish. */
struct segment_writer;
int segment_writer_new(const struct store_io *io, uint64_t id, const struct collection *schema,
		       struct segment_writer **out, struct error *err);
int segment_writer_add(struct segment_writer *w, const struct segment_row *row, struct error *err);
/* Writes the ids, versions, presence maps, sparse inverted lists, payload blocks and one payload index per field of the
 * schema, syncs every file and the folder. */
int segment_writer_finish(struct segment_writer *w, struct error *err);
void segment_writer_free(struct segment_writer *w); /* an unfinished one removes its folder */

struct segment;
/* Maps the files. Sizes, headers and small tables are checked here; block checksums by segment_verify. */
int segment_open(const struct store_io *io, uint64_t id, const struct collection *schema,
		 struct segment **out, struct error *err);
void segment_close(struct segment *s); /* NULL ok */
/* Checks every block of every file, built indexes included: ERR_CORRUPT names file and offset. */
int segment_verify(const struct segment *s, struct error *err);
uint64_t segment_id(const struct segment *s);
uint32_t segment_rows(const struct segment *s);
uint64_t segment_disk_bytes(const struct segment *s);
struct point_id segment_point_id(const struct segment *s, uint32_t row);
uint64_t segment_version(const struct segment *s, uint32_t row);
/* Borrowed from the mapping, validated when written. A payload in a damaged block reads as the empty object, and
 * segment_damaged() says so from then on. */
struct pv_slice segment_payload(const struct segment *s, uint32_t row);
/* Was a damaged block met since the segment was opened? Then what was read from it may be incomplete. */
bool segment_damaged(const struct segment *s);
/* What was read while it was opened and checked need not stay in memory, but for the vectors. */
void segment_release(const struct segment *s);
/* Row of an id; UINT32_MAX when the segment does not have it. */
uint32_t segment_find(const struct segment *s, const struct point_id *id);
/* Dense vectors of a space are stored without gaps: ordinal 0..n-1. `row_of` maps ordinal -> row, `ord_of` row ->
 * ordinal (UINT32_MAX: none); both NULL when every row has the vector (ordinal = row). data is 64-byte aligned: n x dim
 * elements of the type that the space had when the segment was written (model/element.h). */
struct segment_vectors {
	const void *data;
	enum datatype type;
	uint32_t n;
	uint32_t dim;
	const uint32_t *row_of;
	const uint32_t *ord_of;
	bool of_file; /* data is part of such a mapping, see store_map */
};
struct segment_vectors segment_vectors(const struct segment *s, uint32_t space);
/* The same vectors read one by one, as they are stored, for a collection that leaves them on disk. It lives as long as the
 * segment; any number of threads may read. */
struct segment_reader;
int segment_reader(struct segment *s, uint32_t space, struct segment_reader **out,
		   struct error *err);
int segment_read_vector(void *reader, uint64_t ordinal, void *out); /* fits vindex_rows.read */
/* Sparse vector of a row (borrowed); false: none. */
bool segment_sparse(const struct segment *s, uint32_t space, uint32_t row, struct vector *out);
/* Inverted list of one index of a sparse space: rows ascending with their weights. false: no such index. */
struct posting_list {
	const uint32_t *rows;
	const float *weights;
	uint32_t n;
};
bool segment_postings(const struct segment *s, uint32_t space, uint32_t index,
		      struct posting_list *out);
uint32_t segment_sparse_count(const struct segment *s, uint32_t space); /* rows that have it */

/* Index files beside the rows ("index-<space>.faiss", and any derived ones). Written through a sink so that index/ needs no
 * file access: begin, write.., commit (sync + rename + folder sync). The reader maps the committed file. */
struct segment_blob;
int segment_blob_begin(const struct store_io *io, uint64_t segment_id, const char *name,
		       struct segment_blob **out, struct error *err);
int segment_blob_write(void *blob, const void *bytes, size_t n,
		       struct error *err); /* void *: fits vindex_write_fn */
int segment_blob_commit(struct segment_blob *b, struct error *err); /* frees b in any case */
void segment_blob_abort(struct segment_blob *b);
/* The content without checksums and framing, contiguous and mapped; ERR_NOT_FOUND when there is none. The file itself is
 * plain (checksums live in a file beside it), so other programs can open it. Valid until segment_close. */
int segment_blob_map(struct segment *s, const char *name, const uint8_t **bytes, size_t *n,
		     struct error *err);
/* Its pages need not stay in memory; they come back when they are read. */
void segment_blob_release(struct segment *s, const char *name);

/* ---- payload indexes ---- */

/* Index of one field of one segment: keyword/uuid/integer/bool -> roaring bitmap per value; integer/float/datetime -> sorted
 * column for ranges; text -> roaring per token; geo -> sorted cells or a plain column; and for all: which rows have a
 * non-empty value, which are null. */
struct pindex;
const struct pindex *segment_pindex(const struct segment *s, const char *path); /* NULL: none */
/* Builds (or rebuilds) the index of a field for an existing segment and publishes it for future segment_open calls. */
int segment_pindex_build(const struct store_io *io, const struct segment *s,
			 const struct collection *schema, const struct payload_field *field,
			 struct error *err);
/* Evaluates a condition exactly as cond_match would for every row: fills `out` (n_bits = rows, empty) and returns 1; 0 when
 * this index cannot answer it and the rows must be scanned: then some of `out` may be set. */
int pindex_eval(const struct pindex *p, const struct cond *c, struct bitset *out);
uint32_t pindex_points(const struct pindex *p); /* rows that have at least one indexed value */
/* Every number (integer and float fields) or date in microseconds (date fields), ascending, with its row; a row with
 * several values is there several times. false: the index has no such column, or it is damaged. */
struct pindex_column {
	const double *numbers; /* one of the two */
	const int64_t *dates;
	const uint32_t *rows;
	uint32_t n;
};
bool pindex_column(const struct pindex *p, struct pindex_column *out);
/* Each distinct string, integer and boolean, whatever the type of the field, with its number of rows in `live` (NULL: all),
 * for facets; value is a pv scalar. */
int pindex_values(const struct pindex *p, const struct bitset *live,
		  void (*fn)(void *ctx, struct pv_slice value, uint32_t count), void *ctx);

/* The whole filter over a segment: indexes where they exist, scanning only the rows that are still open for the conditions
 * without one. `live` (may be NULL) bounds the answer. out: n_bits = rows. Returns the number of payloads that were scanned. */
uint64_t segment_filter(const struct segment *s, const struct collection *schema,
			const struct filter *f, const struct bitset *live, struct bitset *out);
/* Is there an index for every condition? Then the payloads need hardly be read; an estimate. */
bool segment_filter_indexed(const struct segment *s, const struct filter *f);

/* ---- manifest ---- */

struct manifest_segment {
	uint64_t id;
	uint32_t n_rows;
	struct bitset deleted; /* as of applied_seq; words NULL: none. Stored as a roaring bitmap */
	bool quarantined;      /* found corrupt: kept aside, not searched */
};

/* The state of a replica at exactly `applied_seq`: replaying the log from applied_seq + 1 over these segments gives the
 * present. Deletes live in the manifest so that they and applied_seq change in one atomic step. */
struct manifest {
	uint64_t number;
	uint64_t collection_id;
	uint32_t partition;
	uint64_t applied_seq, applied_epoch;
	uint64_t next_segment_id;
	struct manifest_segment *segments;
	uint32_t n_segments;
	struct buf extra; /* opaque to store: batch ids seen, digest, highest epoch */
};
void manifest_init(struct manifest *m);
void manifest_fini(struct manifest *m);
int manifest_copy(struct manifest *dst, const struct manifest *src);
/* The bytes of a MANIFEST file, for another node. */
void manifest_encode(struct buf *b, const struct manifest *m);
int manifest_decode(const void *bytes, size_t n, struct manifest *out, struct error *err);
/* ERR_NOT_FOUND on a fresh folder. A damaged manifest is ERR_CORRUPT; the one before it is never used silently. */
int manifest_load(const struct store_io *io, struct manifest *out, struct error *err);
/* Writes MANIFEST-<number+1>, switches CURRENT, removes older ones. m->number grows on success. */
int manifest_store(const struct store_io *io, struct manifest *m, struct error *err);
/* Removes seg-* folders that the manifest does not name (left by a crash). */
int manifest_sweep(const struct store_io *io, const struct manifest *m, struct error *err);
