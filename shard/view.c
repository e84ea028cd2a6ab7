/* Snapshots and views; see the header. */
#include "shard/view.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

void snap_fini(struct snap *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		seg_unref(s->entries[i].seg);
		live_unref(s->entries[i].live);
	}
	free(s->entries);
	buf_fini(&s->extra);
	*s = (struct snap){0};
}

void snap_copy(struct snap *dst, const struct snap *src)
{
	*dst = (struct snap){.seq = src->seq, .epoch = src->epoch};
	for (uint32_t i = 0; i < src->n; i++)
		snap_push(dst, seg_ref(src->entries[i].seg), live_ref(src->entries[i].live));
}

void snap_push(struct snap *s, struct seg *seg, struct live *live)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->entries = mem_resize(s->entries, s->cap * sizeof *s->entries);
	}
	s->entries[s->n++] = (struct snap_entry){seg, live};
}

void snap_remove(struct snap *s, uint32_t at)
{
	assert(at < s->n);
	seg_unref(s->entries[at].seg);
	live_unref(s->entries[at].live);
	s->n--;
	memmove(s->entries + at, s->entries + at + 1, (s->n - at) * sizeof *s->entries);
}

int snap_index(const struct snap *s, const struct seg *seg)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->entries[i].seg == seg)
			return (int)i;
	return -1;
}

uint64_t snap_points(const struct snap *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->entries[i].live->n_live;
	return n;
}

static bool is_live(const struct live *l, uint32_t row)
{
	return row < l->bits.n_bits && bitset_get(&l->bits, row);
}

bool snap_find(const struct snap *s, const struct point_id *id, uint64_t hash, struct place *out)
{
	for (uint32_t i = s->n; i-- > 0;) {
		uint32_t row = seg_find(s->entries[i].seg, id, hash, UINT32_MAX);

		if (row != ROW_NONE && is_live(s->entries[i].live, row)) {
			*out = (struct place){i, row};
			return true;
		}
	}
	return false;
}

/* Walks the rows that went into the new segment in its own order. */
static struct live *live_of_output(const struct snap *s, const struct snap *sources,
				   const struct seg *out)
{
	struct live *l = live_new(out->n_rows, false);
	uint32_t row = 0;

	for (uint32_t i = 0; i < sources->n; i++) {
		const struct bitset *taken = &sources->entries[i].live->bits;
		const struct live *present =
			s->entries[snap_index(s, sources->entries[i].seg)].live;

		for (uint32_t from = bitset_next(taken, 0); from < taken->n_bits; row++) {
			if (is_live(present, from)) {
				bitset_set(&l->bits, row);
				l->n_live++;
			}
			from = from + 1 < taken->n_bits ? bitset_next(taken, from + 1)
							: taken->n_bits;
		}
	}
	assert(row == out->n_rows);
	return l;
}

bool snap_replace(struct snap *s, const struct snap *sources, struct seg *out)
{
	struct live *live = NULL;
	int at = -1;

	for (uint32_t i = 0; i < sources->n; i++)
		if ((at = snap_index(s, sources->entries[i].seg)) < 0)
			return false;
	if (out)
		live = live_of_output(s, sources, out);
	for (uint32_t i = 0; i < sources->n; i++)
		snap_remove(s, (uint32_t)snap_index(s, sources->entries[i].seg));
	if (!out)
		return true;
	snap_push(s, seg_ref(out), live);
	/* The mutable segment is kept last by those who have one: put the new one first. */
	struct snap_entry pushed = s->entries[s->n - 1];
	memmove(s->entries + 1, s->entries, (s->n - 1) * sizeof *s->entries);
	s->entries[0] = pushed;
	return true;
}

struct view *view_new(const struct collection *schema, const struct snap *now, bool incomplete)
{
	struct view *v = mem_zalloc(sizeof *v + now->n * sizeof v->entries[0]);

	v->refs = 1;
	v->schema = collection_ref(schema);
	v->seq = now->seq;
	v->incomplete = incomplete;
	for (uint32_t i = 0; i < now->n; i++) {
		struct seg *seg = now->entries[i].seg;
		bool open_rows = seg->rows && i + 1 == now->n;

		v->points += now->entries[i].live->n_live;
		if (!open_rows && now->entries[i].live->n_live == 0)
			continue;
		v->entries[v->n++] = (struct view_entry){
			.seg = seg_ref(seg),
			.live = live_ref(now->entries[i].live),
			.n_rows = seg->rows ? seg->rows->n : seg->n_rows,
			.ordered = !open_rows,
			.memory_bytes = seg->rows ? seg->rows->bytes : 0,
		};
	}
	return v;
}

struct view *view_ref(struct view *v)
{
	__atomic_fetch_add(&v->refs, 1, __ATOMIC_RELAXED);
	return v;
}

void view_unref(struct view *v)
{
	if (!v || __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (uint32_t i = 0; i < v->n; i++) {
		seg_unref(v->entries[i].seg);
		live_unref(v->entries[i].live);
	}
	collection_unref(v->schema);
	free(v);
}

bool view_find(const struct view *v, const struct point_id *id, struct place *out)
{
	uint64_t hash = id_hash(id);

	for (uint32_t i = v->n; i-- > 0;) {
		const struct view_entry *e = &v->entries[i];
		uint32_t row = seg_find(e->seg, id, hash, e->n_rows);

		if (row != ROW_NONE && is_live(e->live, row)) {
			*out = (struct place){i, row};
			return true;
		}
	}
	return false;
}
