/* Lists of segments with their live bits.
 *
 * struct snap: the loop thread's; the present of a replica, or what it was at a certain seq (for a
 * manifest). At most one row of all segments is live for a point id: that row is the point.
 *
 * struct view: what searches see: immutable, reference-counted, published by one pointer swap after
 * each applied batch. */
#pragma once
#include "shard/seg.h"

struct snap_entry {
	struct seg *seg;
	struct live *live;
};
struct snap {
	uint64_t seq, epoch;
	struct snap_entry *entries;
	uint32_t n, cap;
	struct buf extra; /* of the manifest, when the snapshot is for one */
};
void snap_fini(struct snap *s);
void snap_copy(struct snap *dst,
	       const struct snap *src); /* dst uninitialised; extra is left empty */
void snap_push(struct snap *s, struct seg *seg, struct live *live); /* takes over both references */
void snap_remove(struct snap *s, uint32_t at);
int snap_index(const struct snap *s, const struct seg *seg); /* -1: not in it */
uint64_t snap_points(const struct snap *s);
/* The live row of a point; false: there is none. */
struct place {
	uint32_t entry, row;
};
bool snap_find(const struct snap *s, const struct point_id *id, uint64_t hash, struct place *out);

/* A rewrite makes one sealed segment `out` of source segments: it holds their rows that were live
 * in `sources`, in that order. The same rows may be dead in a newer snapshot; so the live bits of
 * `out` in any snapshot follow from those of the sources there. Replaces the sources by `out`
 * (NULL: no row was live) in s. False, and nothing done, when s does not hold all of them. */
bool snap_replace(struct snap *s, const struct snap *sources, struct seg *out);

struct view_entry {
	struct seg *seg;
	struct live *live;
	uint32_t n_rows; /* rows that this view knows */
	bool ordered;    /* no row will ever be added: seg_order may be asked */
	uint64_t memory_bytes;
};
struct view {
	uint32_t refs; /* atomic */
	const struct collection *schema;
	uint64_t seq; /* applied */
	uint64_t points;
	bool incomplete; /* a quarantined segment is missing */
	uint32_t n;
	struct view_entry entries[];
};
struct view *view_new(const struct collection *schema, const struct snap *now, bool incomplete);
struct view *view_ref(struct view *v);
void view_unref(struct view *v); /* NULL ok */
bool view_find(const struct view *v, const struct point_id *id, struct place *out);
