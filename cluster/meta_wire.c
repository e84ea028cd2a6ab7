/* Bytes of the messages between the machines of the control plane.
 *
 * Frame: "QR", u8 version, u8 type, cluster id, sender, its address, term, then the fields of the
 * type. A frame of another version is refused with ERR_VERSION.
 */
#include "cluster/meta_wire.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
	WIRE_MAGIC = 0x5251, /* "QR" */
	WIRE_VERSION = 1,
	WIRE_ENTRIES_LIMIT = 4096,
	WIRE_ADDRESS_BYTES = 512,
	WIRE_MEMBERS_LIMIT = 64,
};

/* ---- writing ---- */

static void put_append(struct buf *b, const struct wire_append *a)
{
	buf_put_u64(b, a->prev_index);
	buf_put_u64(b, a->prev_term);
	buf_put_u64(b, a->commit);
	buf_put_u32(b, a->n);
	for (uint32_t i = 0; i < a->n; i++) {
		buf_put_u64(b, a->entries[i].term);
		buf_put_u16(b, a->entries[i].type);
		buf_put_blob(b, a->entries[i].data.bytes, a->entries[i].data.n);
	}
}

static void put_forward(struct buf *b, const struct wire_forward *f)
{
	buf_put_u64(b, f->request);
	buf_put_u8(b, (uint8_t)f->kind);
	buf_put_u8(b, (uint8_t)(f->change + 8));
	buf_put_u64(b, f->voter);
	buf_put_str(b, f->voter_address != NULL ? f->voter_address : "");
	buf_put_blob(b, f->command.bytes, f->command.n);
}

static void put_body(struct buf *b, const struct meta_wire *w)
{
	switch (w->type) {
	case WIRE_APPEND: put_append(b, &w->append); break;
	case WIRE_APPEND_RESULT:
		buf_put_u64(b, w->append_result.rejected);
		buf_put_u64(b, w->append_result.last_index);
		break;
	case WIRE_VOTE:
		buf_put_u64(b, w->vote.candidate);
		buf_put_u64(b, w->vote.last_index);
		buf_put_u64(b, w->vote.last_term);
		buf_put_u8(b, (uint8_t)(w->vote.disrupt | w->vote.pre << 1));
		break;
	case WIRE_VOTE_RESULT:
		buf_put_u8(b, (uint8_t)(w->vote_result.granted | w->vote_result.pre << 1));
		break;
	case WIRE_SNAPSHOT:
		buf_put_u64(b, w->snapshot.index);
		buf_put_u64(b, w->snapshot.index_term);
		buf_put_blob(b, w->snapshot.bytes.bytes, w->snapshot.bytes.n);
		break;
	case WIRE_TIMEOUT_NOW:
		buf_put_u64(b, w->timeout_now.last_index);
		buf_put_u64(b, w->timeout_now.last_term);
		break;
	case WIRE_READ:
	case WIRE_READ_RESULT: buf_put_u64(b, w->read_round); break;
	case WIRE_FORWARD: put_forward(b, &w->forward); break;
	case WIRE_FORWARD_RESULT:
		buf_put_u64(b, w->forward_result.request);
		buf_put_u8(b, error_to_wire(w->forward_result.error.code));
		buf_put_str(b, w->forward_result.error.text);
		buf_put_u64(b, w->forward_result.index);
		break;
	case WIRE_TYPE_COUNT: assert(w->type != WIRE_TYPE_COUNT);
	}
}

void meta_wire_encode(struct buf *b, const struct meta_wire *w)
{
	buf_put_u16(b, WIRE_MAGIC);
	buf_put_u8(b, WIRE_VERSION);
	buf_put_u8(b, (uint8_t)w->type);
	buf_put_u64(b, w->cluster_id);
	buf_put_u64(b, w->from);
	buf_put_str(b, w->address);
	buf_put_u64(b, w->term);
	put_body(b, w);
}

/* ---- reading ---- */

static const char *read_text(struct reader *r, struct arena *arena)
{
	uint32_t n;
	const uint8_t *bytes = reader_blob(r, &n);

	if (bytes == NULL || n > WIRE_ADDRESS_BYTES || memchr(bytes, 0, n) != NULL) {
		r->bad = true;
		return "";
	}
	return arena_strndup(arena, (const char *)bytes, n);
}

static struct wire_bytes read_blob(struct reader *r)
{
	struct wire_bytes out = {NULL, 0};

	out.bytes = reader_blob(r, &out.n);
	return out;
}

static void read_append(struct reader *r, struct arena *arena, struct wire_append *a)
{
	a->prev_index = reader_u64(r);
	a->prev_term = reader_u64(r);
	a->commit = reader_u64(r);
	a->n = reader_count(r, 14);
	if (a->n > WIRE_ENTRIES_LIMIT)
		r->bad = true;
	if (r->bad)
		return;
	a->entries = arena_alloc(arena, a->n * sizeof(*a->entries));
	for (uint32_t i = 0; i < a->n; i++) {
		struct wire_entry *e = &a->entries[i];

		e->term = reader_u64(r);
		e->type = reader_u16(r);
		e->data = read_blob(r);
		if (e->term == 0 || e->type < 1 || e->type > 3 ||
		    (e->type == 3 && !meta_configuration_ok(e->data.bytes, e->data.n)))
			r->bad = true;
		if (r->bad)
			return;
	}
}

static void read_forward(struct reader *r, struct arena *arena, struct wire_forward *f)
{
	uint8_t kind;

	f->request = reader_u64(r);
	kind = reader_u8(r);
	if (kind >= REQUEST_KIND_COUNT)
		r->bad = true;
	f->kind = (enum request_kind)kind;
	f->change = (int)reader_u8(r) - 8;
	f->voter = reader_u64(r);
	f->voter_address = read_text(r, arena);
	f->command = read_blob(r);
	if (f->kind == REQUEST_CHANGE &&
	    (f->voter == 0 || f->change < -1 || f->change > 2 || f->change == 0))
		r->bad = true;
}

static void read_forward_result(struct reader *r, struct wire_forward_result *f)
{
	uint8_t code;
	uint32_t n;
	const uint8_t *text;

	f->request = reader_u64(r);
	code = reader_u8(r);
	text = reader_blob(r, &n);
	f->index = reader_u64(r);
	if (r->bad || n >= sizeof(f->error.text)) {
		r->bad = true;
		return;
	}
	f->error.code = error_from_wire(code);
	memcpy(f->error.text, text, n);
	f->error.text[n] = '\0';
}

static void read_flags(struct reader *r, bool *first, bool *second)
{
	uint8_t flags = reader_u8(r);

	if (flags > 3)
		r->bad = true;
	*first = (flags & 1) != 0;
	*second = (flags & 2) != 0;
}

static void read_body(struct reader *r, struct arena *arena, struct meta_wire *w)
{
	switch (w->type) {
	case WIRE_APPEND: read_append(r, arena, &w->append); break;
	case WIRE_APPEND_RESULT:
		w->append_result.rejected = reader_u64(r);
		w->append_result.last_index = reader_u64(r);
		break;
	case WIRE_VOTE:
		w->vote.candidate = reader_u64(r);
		w->vote.last_index = reader_u64(r);
		w->vote.last_term = reader_u64(r);
		read_flags(r, &w->vote.disrupt, &w->vote.pre);
		break;
	case WIRE_VOTE_RESULT: read_flags(r, &w->vote_result.granted, &w->vote_result.pre); break;
	case WIRE_SNAPSHOT:
		w->snapshot.index = reader_u64(r);
		w->snapshot.index_term = reader_u64(r);
		w->snapshot.bytes = read_blob(r);
		break;
	case WIRE_TIMEOUT_NOW:
		w->timeout_now.last_index = reader_u64(r);
		w->timeout_now.last_term = reader_u64(r);
		break;
	case WIRE_READ:
	case WIRE_READ_RESULT: w->read_round = reader_u64(r); break;
	case WIRE_FORWARD: read_forward(r, arena, &w->forward); break;
	case WIRE_FORWARD_RESULT: read_forward_result(r, &w->forward_result); break;
	case WIRE_TYPE_COUNT: r->bad = true;
	}
}

int meta_wire_decode(const void *bytes, size_t n, struct arena *arena, struct meta_wire *out,
		     struct error *err)
{
	struct reader r = reader_make(bytes, n);
	uint16_t magic = reader_u16(&r);
	uint8_t version = reader_u8(&r);
	uint8_t type = reader_u8(&r);

	memset(out, 0, sizeof(*out));
	out->cluster_id = reader_u64(&r);
	out->from = reader_u64(&r);
	out->address = read_text(&r, arena);
	out->term = reader_u64(&r);
	if (!reader_ok(&r) || magic != WIRE_MAGIC)
		return error_set(err, ERR_FORMAT, "not a message of the control plane");
	if (version != WIRE_VERSION)
		return error_set(err, ERR_VERSION,
				 "a peer speaks version %u of the control plane, this program %d",
				 version, WIRE_VERSION);
	if (type < WIRE_APPEND || type >= WIRE_TYPE_COUNT || out->from == 0)
		return error_set(err, ERR_FORMAT, "unknown message of the control plane");
	out->type = (enum meta_wire_type)type;
	read_body(&r, arena, out);
	if (!reader_done(&r))
		return error_set(err, ERR_FORMAT, "malformed message %u of the control plane",
				 type);
	return 0;
}

/* The library's format: u8 1, u64 count, per server: u64 id, NUL-terminated address, u8 role; zeros
 * up to a multiple of eight. */
bool meta_configuration_ok(const void *bytes, size_t n)
{
	struct reader r = reader_make(bytes, n);
	const char *addresses[WIRE_MEMBERS_LIMIT];
	uint64_t ids[WIRE_MEMBERS_LIMIT], count;

	if (reader_u8(&r) != 1)
		return false;
	count = reader_u64(&r);
	if (!reader_ok(&r) || count < 1 || count > WIRE_MEMBERS_LIMIT)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *end;

		ids[i] = reader_u64(&r);
		addresses[i] = (const char *)r.at;
		if (!reader_ok(&r) || ids[i] == 0 || reader_left(&r) == 0)
			return false;
		end = memchr(r.at, 0, reader_left(&r));
		if (end == NULL || reader_bytes(&r, (size_t)(end - r.at) + 1) == NULL)
			return false;
		if (reader_u8(&r) > 2 || !reader_ok(&r))
			return false;
		for (uint64_t j = 0; j < i; j++) {
			if (ids[j] == ids[i] || strcmp(addresses[j], addresses[i]) == 0)
				return false;
		}
	}
	return reader_left(&r) < 8;
}
