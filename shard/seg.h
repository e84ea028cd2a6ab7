/* A segment as a replica holds it, mutable or sealed behind one face, reference-counted; and the
 * live bits that say which of its rows count.
 *
 * A seg never changes what its rows hold. What may be added while threads search it: rows at the
 * end (mutable; readers stay below their view's count), a vector index per space and the id order
 * (sealed; each published once through an atomic pointer).
 *
 * Live bits are copy-on-write: views and snapshots share them, the loop thread copies before it
 * changes shared ones. */
#pragma once
#include "base/bitset.h"
#include "index/vindex.h"
#include "shard/filters.h"
#include "shard/rows.h"
#include "store/store.h"

/* Live bits in the order of a space's vectors, for segments in which some rows have none. */
struct live_ordinals {
	struct live_ordinals *next;
	uint32_t space;
	uint32_t n_live;
	struct bitset bits;
};
struct live {
	uint32_t refs; /* atomic */
	uint32_t n_live;
	struct bitset bits;             /* n_bits >= rows */
	struct live_ordinals *ordinals; /* atomic: made when first needed */
};
struct live *live_new(uint32_t n_bits, bool value);
struct live *live_ref(struct live *l);
void live_unref(struct live *l); /* NULL ok */
/* The loop thread's: makes *slot its own with room for n_bits, then sets or unsets a row. */
void live_add(struct live **slot, uint32_t row);
void live_kill(struct live **slot, uint32_t row);

struct seg {
	uint32_t refs;                   /* atomic */
	uint64_t id;                     /* of the sealed files; 0 for rows in memory */
	const struct collection *schema; /* referenced */
	struct rows *rows;               /* mutable or frozen; else NULL */
	struct segment *sealed;          /* else NULL */
	uint32_t n_rows;                 /* sealed */
	struct idhash ids;               /* sealed */
	struct vindex **indexes;         /* sealed, per space, atomic; NULL: not built (yet) */
	struct filters filters;          /* sealed: the newest, with their rows */
	uint32_t *order; /* rows by id, atomic; made when first needed; sealed or frozen only */
	uint32_t n_order;
	/* the loop thread's */
	bool unverified; /* checksums are still to be verified */
	bool reverified; /* they were verified after a reader met a damaged block */
	/* opened at start: its payload indexes may be of an older schema than `schema` */
	bool recovered;
	bool healed;   /* it lost a damaged index when it was opened */
	bool no_index; /* a build failed for good: not tried again */
};

struct seg *seg_new_rows(const struct collection *schema);
/* Opens the sealed files and reads their ids; indexes that are there are opened by
 * seg_open_indexes. */
int seg_open(const struct store_io *io, uint64_t id, const struct collection *schema,
	     struct seg **out, struct error *err);
/* ERR_CORRUPT when the bytes of an index are bad; missing ones are not an error. */
int seg_open_indexes(struct seg *s, bool faiss_only, struct error *err);
struct seg *seg_ref(struct seg *s);
void seg_unref(struct seg *s); /* NULL ok */
static inline struct vindex *seg_index(const struct seg *s, uint32_t space)
{
	return s->indexes ? __atomic_load_n(&s->indexes[space], __ATOMIC_ACQUIRE) : NULL;
}
void seg_index_name(uint32_t space, char out[32]);
/* Takes over the index. */
void seg_set_index(struct seg *s, uint32_t space, struct vindex *v);

struct point_id seg_point_id(const struct seg *s, uint32_t row);
uint64_t seg_version(const struct seg *s, uint32_t row);
struct pv_slice seg_payload(const struct seg *s, uint32_t row); /* never empty: {} at least */
/* NULL: none. `scratch` has room for the floats of a vector that is stored in another type. */
const float *seg_dense(const struct seg *s, uint32_t space, uint32_t row, float *scratch);
bool seg_has_dense(const struct seg *s, uint32_t space, uint32_t row);
/* The rows of a sealed space, as an index and a scan read them. */
struct vindex_rows seg_vindex_rows(const struct seg *s, uint32_t space);
bool seg_sparse(const struct seg *s, uint32_t space, uint32_t row, struct vector *out);
/* Room for the vectors of a row that are decoded, NULL when the schema has none; free() it. */
float *seg_scratch(const struct collection *schema);
/* The whole row, borrowed. dense and sparse have room for the spaces of the schema, scratch for its
 * decoded vectors. */
void seg_row(const struct seg *s, uint32_t row, const float **dense, struct vector *sparse,
	     float *scratch, struct segment_row *out);
/* Everything that a filter looks at. */
struct filter_point seg_filter_point(const struct seg *s, uint32_t row, struct point_id *id);
/* The row of an id among rows 0..n-1 whether live or not, or ROW_NONE. */
uint32_t seg_find(const struct seg *s, const struct point_id *id, uint64_t hash, uint32_t n);
/* Row numbers in the order of their ids; made at the first call. Sealed or frozen segments. */
const uint32_t *seg_order(struct seg *s);
/* Live bits by ordinal of the space's vectors; n_live through *n. */
const struct bitset *seg_live_ordinals(const struct seg *s, struct live *l, uint32_t space,
				       uint32_t *n);
uint64_t seg_memory_bytes(struct seg *s);
