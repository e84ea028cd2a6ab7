/* See rowset.h. */
#include "store/rowset.h"
#include "base/assert.h"
#include "base/memory.h"
#include <roaring/roaring.h>
#include <stdlib.h>

void rowset_encode(struct buf *out, const struct bitset *set)
{
	roaring_bitmap_t *r = roaring_bitmap_create();
	assert(r != NULL);
	for (uint32_t i = bitset_next(set, 0); i < set->n_bits; i = bitset_next(set, i + 1))
		roaring_bitmap_add(r, i);
	roaring_bitmap_run_optimize(r);
	size_t n = roaring_bitmap_portable_size_in_bytes(r);
	buf_put_u32(out, (uint32_t)n);
	roaring_bitmap_portable_serialize(r, (char *)buf_extend(out, n));
	roaring_bitmap_free(r);
}

/* By iteration and not in bulk: a bitmap that lies about its cardinality must not overrun anything. */
static bool set_row(uint32_t row, void *ctx)
{
	struct bitset *set = ctx;
	if (row >= set->n_bits)
		return false;
	bitset_set(set, row);
	return true;
}

int rowset_decode(struct reader *r, uint32_t n_rows, struct bitset *out, struct error *err)
{
	uint32_t n = 0;
	const uint8_t *bytes = reader_blob(r, &n);
	roaring_bitmap_t *set =
		bytes != NULL ? roaring_bitmap_portable_deserialize_safe((const char *)bytes, n)
			      : NULL;
	if (set == NULL)
		return error_set(err, ERR_CORRUPT, "a set of rows cannot be decoded");
	bitset_init(out, n_rows, false);
	int rc = 0;
	if (!roaring_iterate(set, set_row, out)) {
		rc = error_set(err, ERR_CORRUPT, "a set of rows names a row beyond %u", n_rows);
		bitset_fini(out);
	}
	roaring_bitmap_free(set);
	return rc;
}
