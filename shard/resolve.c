/* Writes that look at the state, turned into plain ops: which points a filter selects, which of the
 * given ones exist, which of those meet a condition. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/match.h"
#include "shard/state.h"
#include <stdlib.h>

enum { RESOLVED_IDS_MAX = 4 << 20 };

static int select_ids(const struct view *v, const struct filter *f, struct arena *arena,
		      struct op *out, struct error *err)
{
	struct bitset *matches = mem_array(v->n + 1, sizeof *matches);
	uint64_t total = 0, scanned = 0;
	int rc = 0;

	for (uint32_t i = 0; i < v->n; i++)
		total += match_rows(&v->entries[i], v->schema, f, &matches[i], &scanned);
	if (total > RESOLVED_IDS_MAX) {
		rc = error_set(err, ERR_TOO_LARGE,
			       "the filter selects %llu points of one shard, at most %d can be "
			       "changed at once: narrow it",
			       (unsigned long long)total, RESOLVED_IDS_MAX);
		goto out;
	}
	out->ids = arena_alloc(arena, total * sizeof *out->ids);
	for (uint32_t i = 0; i < v->n; i++)
		for (uint32_t row = bitset_next(&matches[i], 0); row < matches[i].n_bits;) {
			out->ids[out->n_ids++] = seg_point_id(v->entries[i].seg, row);
			row = row + 1 < matches[i].n_bits ? bitset_next(&matches[i], row + 1)
							  : matches[i].n_bits;
		}
out:
	for (uint32_t i = 0; i < v->n; i++)
		bitset_fini(&matches[i]);
	free(matches);
	return rc;
}

/* Is this point to be written? */
static bool wanted(const struct view *v, const struct write *w, const struct point_id *id)
{
	struct place at;

	if (!view_find(v, id, &at))
		return w->op.type != OP_UPSERT || w->mode != UPDATE_UPDATE_ONLY;
	if (w->op.type == OP_UPSERT && w->mode == UPDATE_INSERT_ONLY)
		return false;
	return !w->condition || match_row(&v->entries[at.entry], at.row, v->schema, w->condition);
}

static struct point_id id_of_point(const void *ctx, uint32_t row)
{
	return ((const struct point *)ctx)[row].id;
}

static void keep_points(const struct view *v, const struct write *w, struct arena *arena,
			struct op *out)
{
	struct idhash seen;

	out->points = arena_alloc(arena, w->op.n_points * sizeof *out->points);
	idhash_init(&seen, w->op.n_points, id_of_point, out->points);
	for (uint32_t i = 0; i < w->op.n_points; i++) {
		const struct point *p = &w->op.points[i];
		uint64_t hash = id_hash(&p->id);

		if (!wanted(v, w, &p->id))
			continue;
		/* The first of two equal ids of one request inserts it; then it exists. */
		if (w->mode == UPDATE_INSERT_ONLY && idhash_find(&seen, &p->id, hash) != ROW_NONE)
			continue;
		out->points[out->n_points] = *p;
		idhash_put(&seen, &p->id, hash, out->n_points++);
	}
	idhash_fini(&seen);
}

static void keep_ids(const struct view *v, const struct write *w, struct arena *arena,
		     struct op *out)
{
	out->ids = arena_alloc(arena, w->op.n_ids * sizeof *out->ids);
	for (uint32_t i = 0; i < w->op.n_ids; i++)
		if (wanted(v, w, &w->op.ids[i]))
			out->ids[out->n_ids++] = w->op.ids[i];
}

int resolve_write(const struct view *view, const struct write *w, struct arena *arena,
		  struct op *out, struct error *err)
{
	*out = w->op;
	out->n_points = out->n_ids = 0;
	out->points = NULL;
	out->ids = NULL;
	if (w->select)
		return select_ids(view, w->select, arena, out, err);
	if (w->op.n_points)
		keep_points(view, w, arena, out);
	else
		keep_ids(view, w, arena, out);
	return 0;
}
