/* Which live rows of a view's segment match a filter: through the payload indexes of a sealed
 * segment, row by row in memory. */
#pragma once
#include "shard/view.h"

/* Matching live rows into `out`, which is initialised here (n_bits = rows of the entry) and freed
 * by the caller. Returns their number; the payloads that had to be read are added to *scanned. */
uint32_t match_rows(const struct view_entry *e, const struct collection *schema,
		    const struct filter *f, struct bitset *out, uint64_t *scanned);
bool match_row(const struct view_entry *e, uint32_t row, const struct collection *schema,
	       const struct filter *f);
static inline bool entry_live(const struct view_entry *e, uint32_t row)
{
	return bitset_get(&e->live->bits, row);
}
/* The live row at or after `from`; e->n_rows when there is none. */
uint32_t entry_next(const struct view_entry *e, uint32_t from);

/* The same for a search in a sealed segment, which may come again with the same filter: what is kept for it is borrowed
 * where no row is dead. */
struct matches {
	const struct bitset *bits; /* live rows that match */
	uint32_t n;
	struct filter_rows *kept;
	struct bitset own; /* words NULL: bits are those of `kept` */
};
void matches_find(const struct view_entry *e, const struct collection *schema,
		  const struct filter *f, struct matches *out);
void matches_fini(struct matches *m);
