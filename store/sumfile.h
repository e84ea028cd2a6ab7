/* Checksummed immutable files: sections of plain arrays that are used straight from a mapping.
 *
 *   body: sections, each beginning at a multiple of 64 bytes, zeros between them
 *   sums: one XXH3 for each 64 KB block of the body
 *   trailer: what the file is, where its sections are, checksums of the sums and of itself
 *
 * Opening checks the trailer and the sizes. A block is checked when sum_touch() first meets it, so that a
 * reader never follows a damaged offset; sum_verify() checks them all. An index file keeps its body plain, for
 * other programs to read; its sums and trailer then are a file beside it ("detached").
 */
#pragma once
#include "store/store.h"

enum { SUM_BLOCK_BYTES = 64 << 10, SUM_SECTIONS_MAX = 16, SUM_ALIGN = 64, SUM_PATH_BYTES = 320 };

enum sum_kind {
	SUM_ROWS = 1,
	SUM_PAYLOAD,
	SUM_DENSE,
	SUM_SPARSE,
	SUM_PINDEX,
	SUM_BLOB,
};

struct sum_section {
	uint64_t offset;
	uint64_t n;
};

struct sum_trailer {
	uint64_t magic;
	uint32_t kind;
	uint32_t version;
	uint64_t segment_id;
	uint64_t tag; /* which of its kind: a space, or the hash of a name */
	uint64_t body_bytes;
	uint32_t block_bytes;
	uint32_t n_sections;
	struct sum_section sections[SUM_SECTIONS_MAX];
	uint64_t sums_hash;
	uint64_t hash; /* of the bytes above */
};

/* What a file must be to be the one that was meant. */
struct sum_name {
	enum sum_kind kind;
	uint64_t segment_id;
	uint64_t tag;
};

/* ---- writing: sections one after the other, then finish ---- */

struct sum_writer {
	const struct store_io *io;
	struct store_file *file;
	char path[SUM_PATH_BYTES];
	struct sum_trailer trailer;
	struct buf pending; /* from a block border on */
	struct buf sums;
	bool detached;
};
int sum_create(struct sum_writer *w, const struct store_io *io, const char *path,
	       struct sum_name name, struct error *err);
void sum_begin(struct sum_writer *w); /* the next section */
int sum_write(struct sum_writer *w, const void *bytes, size_t n, struct error *err);
/* A whole section in one call. */
int sum_put(struct sum_writer *w, const void *bytes, size_t n, struct error *err);
/* Writes sums and trailer, into the file or (detached) into `sums_path`, and syncs; closes in any case. */
int sum_finish(struct sum_writer *w, const char *sums_path, struct error *err);
void sum_abort(struct sum_writer *w); /* closes; accepts a finished or zeroed one */

/* ---- reading ---- */

struct sum_file {
	struct store_io io; /* only unmap is used */
	struct store_map map;
	struct store_map sums_map; /* detached only */
	const uint64_t *sums;
	struct sum_trailer trailer;
	uint64_t *checked; /* a bit per block, atomic */
	char path[SUM_PATH_BYTES];
};
int sum_open(struct sum_file *f, const struct store_io *io, const char *path, struct sum_name name,
	     struct error *err);
int sum_open_detached(struct sum_file *f, const struct store_io *io, const char *path,
		      const char *sums_path, struct sum_name name, struct error *err);
void sum_release(const struct sum_file *f); /* its pages need not stay in memory */
void sum_close(struct sum_file *f);         /* accepts a zeroed one */
/* Section i; *n in bytes. NULL (n = 0) when there is none. */
const void *sum_section(const struct sum_file *f, uint32_t i, uint64_t *n);
/* Section i when it has exactly `count` items of `each` bytes; else ERR_CORRUPT. */
int sum_array(const struct sum_file *f, uint32_t i, uint64_t count, size_t each, const void **out,
	      struct error *err);
/* Are the blocks under these n bytes of the body undamaged? Checks each block once. Thread-safe. */
bool sum_touch(const struct sum_file *f, const void *at, uint64_t n);
int sum_verify(const struct sum_file *f,
	       struct error *err); /* all blocks, whether checked or not */
