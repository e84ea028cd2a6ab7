/* Filters over one segment of a view; see the header. */
#include "shard/match.h"
#include "base/assert.h"

bool match_row(const struct view_entry *e, uint32_t row, const struct collection *schema,
	       const struct filter *f)
{
	struct point_id id;
	struct filter_point p = seg_filter_point(e->seg, row, &id);

	return filter_match(f, &p, schema);
}

uint32_t entry_next(const struct view_entry *e, uint32_t from)
{
	uint32_t row = from < e->n_rows ? bitset_next(&e->live->bits, from) : e->n_rows;

	return row < e->n_rows ? row : e->n_rows;
}

uint32_t match_rows(const struct view_entry *e, const struct collection *schema,
		    const struct filter *f, struct bitset *out, uint64_t *scanned)
{
	uint32_t n = 0;

	bitset_init(out, e->n_rows, false);
	if (e->seg->sealed) {
		assert(e->live->bits.n_bits == e->n_rows);
		if (filter_is_trivial(f))
			bitset_copy(out, &e->live->bits);
		else
			*scanned += segment_filter(e->seg->sealed, schema, f, &e->live->bits, out);
		return bitset_count(out);
	}
	for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1)) {
		if (!match_row(e, row, schema, f))
			continue;
		bitset_set(out, row);
		n++;
	}
	*scanned += e->live->n_live;
	return n;
}

/* All rows of a sealed segment that match, dead ones among them: from those that are kept for its newest filters, or
 * else now among them. A damaged block can make some be missing, until the segment is mended. */
static struct filter_rows *rows_of_filter(struct seg *seg, const struct collection *schema,
					  const struct filter *f)
{
	struct filter_rows *rows;
	struct buf key = BUF_INIT;

	buf_put_u64(&key, schema->revision);
	filter_encode(&key, f);
	rows = filters_find(&seg->filters, &key);
	if (!rows) {
		rows = filter_rows_new(seg->n_rows);
		segment_filter(seg->sealed, schema, f, NULL, &rows->bits);
		rows->n = bitset_count(&rows->bits);
		if (!segment_damaged(seg->sealed))
			filters_keep(&seg->filters, &key, rows);
	}
	buf_fini(&key);
	return rows;
}

void matches_find(const struct view_entry *e, const struct collection *schema,
		  const struct filter *f, struct matches *out)
{
	assert(e->seg->sealed && e->live->bits.n_bits == e->n_rows && !filter_is_trivial(f));
	*out = (struct matches){.kept = rows_of_filter(e->seg, schema, f)};
	if (e->live->n_live == e->n_rows) {
		out->bits = &out->kept->bits;
		out->n = out->kept->n;
		return;
	}
	bitset_init(&out->own, e->n_rows, false);
	bitset_copy(&out->own, &out->kept->bits);
	bitset_and(&out->own, &e->live->bits);
	out->bits = &out->own;
	out->n = bitset_count(&out->own);
}

void matches_fini(struct matches *m)
{
	filter_rows_unref(m->kept);
	if (m->own.words)
		bitset_fini(&m->own);
}
