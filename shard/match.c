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
