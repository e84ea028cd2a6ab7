/* Layout of a segment's folder, shared by its writer and its reader.
 *
 *   SEGMENT        what it holds and the size of each file; written last
 *   rows           ids, versions, row order by id, payload offsets
 *   payload        payloads one after the other
 *   dense-<i>      vectors of space i, and which rows have one
 *   sparse-<i>     vectors of sparse space i by row, and inverted by index
 *   pindex-<hash>  payload index of one field; may come and go later
 *   <name>, <name>.sum   index files and their checksums; come later
 */
#pragma once
#include "store/sumfile.h"
#include <pthread.h>

/* 1 had no types of vectors: all were float32. 1 and 2 had whole ids and versions only. */
enum { SEGMENT_VERSION = 3, SEGMENT_VERSION_OLDEST = 1 };

enum rows_section { ROWS_IDS, ROWS_VERSIONS, ROWS_ORDER, ROWS_PAYLOAD_OFFSETS };
enum dense_section { DENSE_DATA, DENSE_ROW_OF, DENSE_ORD_OF }; /* the last two empty: all rows */
enum sparse_section {
	SPARSE_OFFSETS,  /* u64 per row and one more, into the next two */
	SPARSE_INDICES,  /* u32, ascending within a row */
	SPARSE_VALUES,   /* f32 */
	POSTING_INDICES, /* u32: the indices that occur, ascending */
	POSTING_OFFSETS, /* u64 per index and one more, into the next two */
	POSTING_ROWS,    /* u32, ascending within a list */
	POSTING_WEIGHTS, /* f32 */
};

_Static_assert(sizeof(struct point_id) == 24 && offsetof(struct point_id, lo) == 8 &&
		       offsetof(struct point_id, kind) == 16,
	       "ids are on disk as they are in memory");

struct segment_meta {
	uint32_t version; /* of the format */
	uint64_t id;
	uint64_t collection_id;
	uint32_t n_rows;
	uint32_t n_spaces, n_sparse;
	uint32_t dim[LIMIT_VECTOR_SPACES];
	enum datatype type[LIMIT_VECTOR_SPACES];
	uint32_t n_dense[LIMIT_VECTOR_SPACES]; /* rows that have the space */
	uint32_t n_sparse_rows[LIMIT_VECTOR_SPACES];
	uint64_t n_values[LIMIT_VECTOR_SPACES];   /* of all sparse vectors of the space */
	uint32_t n_postings[LIMIT_VECTOR_SPACES]; /* distinct indices */
	uint64_t payload_bytes;
};

void segment_path(char out[SUM_PATH_BYTES], uint64_t id, const char *name);
void segment_path_i(char out[SUM_PATH_BYTES], uint64_t id, const char *stem, uint32_t i);
void segment_path_pindex(char out[SUM_PATH_BYTES], uint64_t id, const char *field);
void segment_meta_encode(struct buf *b, const struct segment_meta *m);
int segment_meta_decode(struct reader *r, struct segment_meta *m, struct error *err);

/* Sparse vectors by row: those of row r are at offsets[r] .. offsets[r + 1]. */
struct sparse_rows {
	uint32_t n_rows;
	const uint64_t *offsets;
	const uint32_t *indices;
	const float *values;
};
/* Writes the four POSTING_ sections; *n_lists gets the number of distinct indices. */
int postings_write(const struct sparse_rows *in, struct sum_writer *f, uint32_t *n_lists,
		   struct error *err);

struct segment_blob_map {
	char name[128];
	struct sum_file file;
	struct segment_blob_map *next;
};

struct segment {
	struct store_io io;
	struct segment_meta meta;
	struct sum_file rows, payload;
	struct sum_file *dense;     /* meta.n_spaces */
	struct sum_file *sparse;    /* meta.n_sparse */
	const struct point_id *ids; /* NULL: all are integers */
	const uint64_t *numbers;    /* then: these */
	const uint64_t *versions;   /* NULL: they are near each other */
	const uint32_t *above;      /* then: what each is above this */
	uint64_t version_base;
	const uint32_t *order; /* rows by ascending id */
	const uint64_t *payload_offsets;
	const uint8_t *payload_bytes;
	struct segment_vectors *vectors; /* of the spaces of the schema */
	uint32_t n_vectors;
	uint32_t *none; /* ord_of of a space that no row has */
	struct sparse_view {
		const uint64_t *offsets;
		const uint32_t *indices;
		const float *values;
		const uint32_t *posting_indices;
		const uint64_t *posting_offsets;
		const uint32_t *posting_rows;
		const float *posting_weights;
	} * sparse_views;
	struct pindex **pindexes;
	uint32_t n_pindexes;
	uint64_t disk_bytes;
	bool damaged;         /* atomic */
	pthread_mutex_t lock; /* guards the rest */
	struct segment_blob_map *blobs;
	struct segment_reader **readers; /* meta.n_spaces; NULL: none yet */
};

void segment_readers_close(struct segment *s);
void segment_set_damaged(const struct segment *s);
struct sum_name segment_blob_name(uint64_t segment_id, const char *name);

/* Builds the index of `field` over the rows of `source` and publishes it by a rename; the caller syncs the folder,
 * which makes it durable. */
struct pindex_source {
	uint32_t n_rows;
	struct pv_slice (*payload)(void *ctx, uint32_t row);
	void *ctx;
};
int pindex_write(const struct store_io *io, uint64_t segment_id, const struct pindex_source *source,
		 const struct payload_field *field, struct error *err);
/* Opens the index of `field`; *out = NULL when there is none, or one of another definition. */
int pindex_open(const struct segment *s, const struct payload_field *field, struct pindex **out,
		struct error *err);
void pindex_close(struct pindex *p); /* NULL ok */
int pindex_verify(const struct pindex *p, struct error *err);
bool pindex_is_for(const struct pindex *p, const struct payload_field *field);
const char *pindex_path_text(const struct pindex *p);
uint64_t pindex_disk_bytes(const struct pindex *p);
