/* Codec of writes: u8 mode, filter `select`, filter `condition`, the op as a blob. */
#include "model/write.h"
#include "base/assert.h"
#include "model/wire.h"

void write_encode(struct buf *b, const struct write *w)
{
	buf_put_u8(b, (uint8_t)w->mode);
	filter_encode(b, w->select);
	filter_encode(b, w->condition);
	size_t mark = b->len;
	buf_put_u32(b, 0);
	op_encode(b, &w->op);
	size_t n = b->len - mark - 4;
	assert(n <= UINT32_MAX);
	buf_set_u32(b, mark, (uint32_t)n);
}

int write_decode(struct reader *r, struct arena *arena, struct write *out, struct error *err)
{
	*out = (struct write){0};
	out->mode = (enum update_mode)wire_enum(r, UPDATE_UPDATE_ONLY + 1);
	filter_decode(r, arena, &out->select, NULL);
	filter_decode(r, arena, &out->condition, NULL);
	uint32_t n;
	const uint8_t *op = reader_blob(r, &n);
	if (!reader_ok(r))
		return error_set(err, ERR_FORMAT, "a write is malformed");
	int rc = op_decode(op, n, arena, &out->op, err);
	if (rc == 0 && ((out->select != NULL && out->op.n_ids != 0) ||
			(out->mode != UPDATE_UPSERT && out->op.type != OP_UPSERT)))
		rc = error_set(err, ERR_FORMAT, "a write is malformed");
	if (rc != 0)
		reader_fail(r);
	return rc;
}
