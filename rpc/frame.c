/* Frames as bytes. Everything that comes in is checked before it is looked at: length, version,
 * hash; then each item's bounds. */
#include "rpc/frame.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"

#include <string.h>

enum { FRAME_MAGIC = 0x43505251, COUNT_AT = 32, HASH_AT = 36 };
_Static_assert(HASH_AT + 8 == FRAME_HEAD_BYTES, "the hash ends the head");

static uint64_t frame_hash(const uint8_t *bytes, size_t n)
{
	return hash64_seed(bytes + FRAME_HEAD_BYTES, n - FRAME_HEAD_BYTES, hash64(bytes, HASH_AT));
}

/* ---- writing ---- */

void frame_begin(struct buf *b, const struct frame_head *h)
{
	assert(b->len == 0);
	buf_put_u32(b, FRAME_MAGIC);
	buf_put_u16(b, FRAME_VERSION);
	buf_put_u8(b, (uint8_t)h->kind);
	buf_put_u8(b, (uint8_t)h->class);
	buf_put_u64(b, h->cluster_id);
	buf_put_u64(b, h->from);
	buf_put_u64(b, h->to);
	buf_put_u32(b, 0);
	buf_put_u64(b, 0);
}

void frame_put_request(struct buf *b, uint64_t call, enum rpc_type type, uint64_t budget_us,
		       const struct buf *body)
{
	buf_put_u64(b, call);
	buf_put_u16(b, (uint16_t)type);
	buf_put_u64(b, budget_us);
	buf_put_blob(b, body->data, (uint32_t)body->len);
}

void frame_put_response(struct buf *b, uint64_t call, const struct error *error,
			const struct buf *body)
{
	buf_put_u64(b, call);
	buf_put_u8(b, error_to_wire(error->code));
	if (error->code != 0)
		buf_put_str(b, error->text);
	else
		buf_put_blob(b, body->data, (uint32_t)body->len);
}

void frame_put_cancel(struct buf *b, uint64_t call)
{
	buf_put_u64(b, call);
}

void frame_end(struct buf *b, uint32_t n_items)
{
	uint64_t hash;

	buf_set_u32(b, COUNT_AT, n_items);
	hash = frame_hash(b->data, b->len);
	memcpy(b->data + HASH_AT, &hash, sizeof(hash));
}

void frame_reject(struct buf *b, const struct frame_head *h, const struct error *why)
{
	struct frame_head head = *h;

	head.kind = FRAME_REJECT;
	frame_begin(b, &head);
	frame_put_response(b, 0, why, NULL);
	frame_end(b, 1);
}

/* ---- reading ---- */

int frame_parse(const void *bytes, size_t n, struct frame_head *h, struct reader *items,
		struct error *err)
{
	struct reader r = reader_make(bytes, n);
	uint16_t version;
	uint8_t kind, class;
	uint64_t hash;

	if (reader_u32(&r) != FRAME_MAGIC)
		return error_set(err, ERR_FORMAT, "not a message of quiver");
	version = reader_u16(&r);
	if (n >= FRAME_HEAD_BYTES && version != FRAME_VERSION)
		return error_set(err, ERR_VERSION,
				 "the peer speaks version %u of the protocol between nodes, this "
				 "program version %d; upgrade the older one",
				 version, FRAME_VERSION);
	kind = reader_u8(&r);
	class = reader_u8(&r);
	h->cluster_id = reader_u64(&r);
	h->from = reader_u64(&r);
	h->to = reader_u64(&r);
	h->n_items = reader_u32(&r);
	hash = reader_u64(&r);
	if (!reader_ok(&r) || kind < FRAME_REQUESTS || kind > FRAME_PROOF ||
	    class >= RPC_CLASS_COUNT || h->n_items > n || hash != frame_hash(bytes, n))
		return error_set(err, ERR_FORMAT, "a message of %zu bytes is garbled", n);
	h->kind = (enum frame_kind)kind;
	h->class = (enum rpc_class) class;
	*items = r;
	return 0;
}

int frame_next_request(struct reader *r, struct frame_request *out)
{
	uint16_t type;

	out->call = reader_u64(r);
	type = reader_u16(r);
	out->budget_us = reader_u64(r);
	out->bytes = reader_blob(r, &out->n);
	if (!reader_ok(r))
		return ERR_FORMAT;
	/* One of a newer program: its call is answered, the others in the frame are served. */
	out->type = type < RPC_TYPE_COUNT ? (enum rpc_type)type : RPC_TYPE_COUNT;
	return 0;
}

int frame_next_response(struct reader *r, struct frame_response *out)
{
	uint8_t code;

	memset(out, 0, sizeof(*out));
	out->call = reader_u64(r);
	code = reader_u8(r);
	if (code != 0)
		out->text = (const char *)reader_blob(r, &out->text_n);
	else
		out->bytes = reader_blob(r, &out->n);
	if (!reader_ok(r))
		return ERR_FORMAT;
	out->code = error_from_wire(code);
	return 0;
}

void frame_error(const struct frame_response *r, struct error *out)
{
	if (r->text == NULL || r->text_n == 0 || r->text[0] == 0)
		error_set(out, r->code, "%s", error_text(r->code));
	else
		error_set(out, r->code, "%.*s", r->text_n > 400 ? 400 : (int)r->text_n, r->text);
}
