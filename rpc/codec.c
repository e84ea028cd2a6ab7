/* Bytes of every message: one function each to write and to read a request and a response, and a
 * table made from rpc/messages.h. */
#include "rpc/codec.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "model/wire.h"
#include "rpc/codec_control.h"
#include "rpc/codec_copy.h"

#include <string.h>

/* ---- pieces ---- */

void put_target(struct buf *b, const struct rpc_target *t)
{
	buf_put_u64(b, t->collection_id);
	buf_put_u64(b, t->revision);
	buf_put_u32(b, t->partition);
	buf_put_u64(b, t->epoch);
}

struct rpc_target take_target(struct reader *r)
{
	struct rpc_target t;

	t.collection_id = reader_u64(r);
	t.revision = reader_u64(r);
	t.partition = reader_u32(r);
	t.epoch = reader_u64(r);
	return t;
}

static int take_filter(struct reader *r, struct arena *arena, const struct filter **out,
		       struct error *err)
{
	struct filter *f = NULL;
	int rc = filter_decode(r, arena, &f, err);

	*out = f;
	return rc;
}

static void put_hits(struct buf *b, const struct hits *h)
{
	hits_encode(b, h);
}

/* ---- search ---- */

static void put_search_request(struct buf *b, const struct rpc_search_request *q)
{
	put_target(b, &q->target);
	wire_put_bool(b, q->allow_partial);
	buf_put_u32(b, q->n_leaves);
	for (uint32_t i = 0; i < q->n_leaves; i++)
		leaf_encode(b, &q->leaves[i]);
}

static int take_search_request(struct reader *r, struct arena *arena, struct rpc_search_request *q,
			       struct error *err)
{
	struct leaf *leaves;

	q->target = take_target(r);
	q->allow_partial = wire_bool(r);
	q->n_leaves = reader_count(r, 16);
	if (q->n_leaves > LIMIT_BATCH_SEARCHES * LIMIT_PARTITIONS)
		return error_set(err, ERR_FORMAT, "%u leaves are above the limit", q->n_leaves);
	leaves = arena_zalloc(arena, q->n_leaves * sizeof(*leaves));
	q->leaves = leaves;
	for (uint32_t i = 0; i < q->n_leaves; i++) {
		int rc = leaf_decode(r, arena, &leaves[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static void put_receipt(struct buf *b, const struct leaf_receipt *l)
{
	buf_put_u64(b, l->applied_seq);
	buf_put_u64(b, l->candidates);
	buf_put_u8(b, (uint8_t)l->plan);
	wire_put_bool(b, l->cut);
	wire_put_bool(b, l->incomplete);
	buf_put_u32(b, l->ef);
}

static void put_search_response(struct buf *b, const struct rpc_search_request *q,
				const struct rpc_search_response *a)
{
	for (uint32_t i = 0; i < q->n_leaves; i++) {
		put_receipt(b, &a->receipts[i]);
		put_hits(b, &a->hits[i]);
	}
}

static int take_search_response(struct reader *r, const struct rpc_search_request *q,
				struct arena *arena, struct rpc_search_response *a,
				struct error *err)
{
	a->hits = arena_zalloc(arena, q->n_leaves * sizeof(*a->hits));
	a->receipts = arena_zalloc(arena, q->n_leaves * sizeof(*a->receipts));
	for (uint32_t i = 0; i < q->n_leaves; i++) {
		struct leaf_receipt *l = &a->receipts[i];
		int rc;

		l->applied_seq = reader_u64(r);
		l->candidates = reader_u64(r);
		l->plan = (enum search_plan)wire_enum(r, PLAN_SPARSE + 1);
		l->cut = wire_bool(r);
		l->incomplete = wire_bool(r);
		l->ef = reader_u32(r);
		rc = hits_decode(r, arena, &a->hits[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- retrieve ---- */

static void put_retrieve_request(struct buf *b, const struct rpc_retrieve_request *q)
{
	put_target(b, &q->target);
	buf_put_u32(b, q->n_ids);
	for (uint32_t i = 0; i < q->n_ids; i++)
		id_encode(b, &q->ids[i]);
	select_encode(b, &q->payload, &q->vectors);
}

static int take_retrieve_request(struct reader *r, struct arena *arena,
				 struct rpc_retrieve_request *q, struct error *err)
{
	struct point_id *ids;

	(void)err;
	q->target = take_target(r);
	q->n_ids = reader_count(r, ID_ENCODED_BYTES);
	ids = arena_alloc(arena, q->n_ids * sizeof(*ids));
	for (uint32_t i = 0; i < q->n_ids; i++)
		ids[i] = id_decode(r);
	q->ids = ids;
	select_decode(r, arena, &q->payload, &q->vectors);
	return 0;
}

static void put_retrieve_response(struct buf *b, const struct rpc_retrieve_request *q,
				  const struct rpc_retrieve_response *a)
{
	(void)q;
	put_hits(b, &a->hits);
}

static int take_retrieve_response(struct reader *r, const struct rpc_retrieve_request *q,
				  struct arena *arena, struct rpc_retrieve_response *a,
				  struct error *err)
{
	(void)q;
	return hits_decode(r, arena, &a->hits, err);
}

/* ---- scroll ---- */

static void put_scroll_request(struct buf *b, const struct rpc_scroll_request *q)
{
	put_target(b, &q->target);
	buf_put_u8(b, (uint8_t)q->order);
	filter_encode(b, q->filter);
	wire_put_bool(b, q->has_offset);
	if (q->has_offset)
		id_encode(b, &q->offset);
	buf_put_u32(b, q->limit);
	wire_put_path(b, &q->order_path);
	wire_put_bool(b, q->desc);
	wire_put_bool(b, q->has_start_from);
	buf_put_f64(b, q->has_start_from ? q->start_from : 0);
	buf_put_u64(b, q->seed);
	select_encode(b, &q->payload, &q->vectors);
}

static int take_scroll_request(struct reader *r, struct arena *arena, struct rpc_scroll_request *q,
			       struct error *err)
{
	int rc;

	q->target = take_target(r);
	q->order = (enum scroll_order)wire_enum(r, SCROLL_RANDOM + 1);
	rc = take_filter(r, arena, &q->filter, err);
	if (rc < 0)
		return rc;
	q->has_offset = wire_bool(r);
	if (q->has_offset)
		q->offset = id_decode(r);
	q->limit = reader_u32(r);
	wire_path(r, arena, true, &q->order_path);
	if (q->order == SCROLL_BY_VALUE && q->order_path.n_steps == 0)
		reader_fail(r);
	q->desc = wire_bool(r);
	q->has_start_from = wire_bool(r);
	q->start_from = wire_f64(r);
	q->seed = reader_u64(r);
	select_decode(r, arena, &q->payload, &q->vectors);
	return 0;
}

static void put_scroll_response(struct buf *b, const struct rpc_scroll_request *q,
				const struct rpc_scroll_response *a)
{
	(void)q;
	put_hits(b, &a->hits);
}

static int take_scroll_response(struct reader *r, const struct rpc_scroll_request *q,
				struct arena *arena, struct rpc_scroll_response *a,
				struct error *err)
{
	(void)q;
	return hits_decode(r, arena, &a->hits, err);
}

/* ---- count ---- */

static void put_count_request(struct buf *b, const struct rpc_count_request *q)
{
	put_target(b, &q->target);
	filter_encode(b, q->filter);
	wire_put_bool(b, q->exact);
}

static int take_count_request(struct reader *r, struct arena *arena, struct rpc_count_request *q,
			      struct error *err)
{
	int rc;

	q->target = take_target(r);
	rc = take_filter(r, arena, &q->filter, err);
	q->exact = wire_bool(r);
	return rc;
}

static void put_count_response(struct buf *b, const struct rpc_count_request *q,
			       const struct rpc_count_response *a)
{
	(void)q;
	buf_put_u64(b, a->count);
}

static int take_count_response(struct reader *r, const struct rpc_count_request *q,
			       struct arena *arena, struct rpc_count_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->count = reader_u64(r);
	return 0;
}

/* ---- facet ---- */

static void put_facet_request(struct buf *b, const struct rpc_facet_request *q)
{
	put_target(b, &q->target);
	wire_put_path(b, &q->path);
	filter_encode(b, q->filter);
}

static int take_facet_request(struct reader *r, struct arena *arena, struct rpc_facet_request *q,
			      struct error *err)
{
	q->target = take_target(r);
	wire_path(r, arena, false, &q->path);
	return take_filter(r, arena, &q->filter, err);
}

static void put_facet_response(struct buf *b, const struct rpc_facet_request *q,
			       const struct rpc_facet_response *a)
{
	(void)q;
	buf_put_u32(b, a->n);
	for (uint32_t i = 0; i < a->n; i++) {
		wire_put_slice(b, a->values[i].value);
		buf_put_u64(b, a->values[i].count);
	}
}

static int take_facet_response(struct reader *r, const struct rpc_facet_request *q,
			       struct arena *arena, struct rpc_facet_response *a, struct error *err)
{
	(void)q;
	(void)err;
	a->n = reader_count(r, 12);
	a->values = arena_zalloc(arena, a->n * sizeof(*a->values));
	for (uint32_t i = 0; i < a->n && reader_ok(r); i++) {
		a->values[i].value = wire_slice(r, false);
		a->values[i].count = reader_u64(r);
		if (a->values[i].value.n == 0)
			reader_fail(r);
	}
	return 0;
}

/* ---- idf ---- */

static void put_idf_request(struct buf *b, const struct rpc_idf_request *q)
{
	put_target(b, &q->target);
	buf_put_u32(b, q->space);
	buf_put_u32(b, q->n_indices);
	for (uint32_t i = 0; i < q->n_indices; i++)
		buf_put_u32(b, q->indices[i]);
}

static int take_idf_request(struct reader *r, struct arena *arena, struct rpc_idf_request *q,
			    struct error *err)
{
	uint32_t *indices;

	(void)err;
	q->target = take_target(r);
	q->space = reader_u32(r);
	q->n_indices = reader_count(r, 4);
	indices = arena_alloc(arena, q->n_indices * sizeof(*indices));
	for (uint32_t i = 0; i < q->n_indices; i++)
		indices[i] = reader_u32(r);
	q->indices = indices;
	return 0;
}

static void put_idf_response(struct buf *b, const struct rpc_idf_request *q,
			     const struct rpc_idf_response *a)
{
	buf_put_u64(b, a->n_points);
	for (uint32_t i = 0; i < q->n_indices; i++)
		buf_put_u64(b, a->n_with[i]);
}

static int take_idf_response(struct reader *r, const struct rpc_idf_request *q, struct arena *arena,
			     struct rpc_idf_response *a, struct error *err)
{
	(void)err;
	a->n_points = reader_u64(r);
	a->n_with = arena_alloc(arena, q->n_indices * sizeof(*a->n_with));
	for (uint32_t i = 0; i < q->n_indices; i++)
		a->n_with[i] = reader_u64(r);
	return 0;
}

/* ---- info ---- */

static void put_info_request(struct buf *b, const struct rpc_info_request *q)
{
	put_target(b, &q->target);
	wire_put_bool(b, q->newest);
}

static int take_info_request(struct reader *r, struct arena *arena, struct rpc_info_request *q,
			     struct error *err)
{
	(void)arena;
	(void)err;
	q->target = take_target(r);
	q->newest = wire_bool(r);
	return 0;
}

static void put_info_response(struct buf *b, const struct rpc_info_request *q,
			      const struct rpc_info_response *a)
{
	const uint64_t numbers[] = {a->points,   a->indexed_vectors, a->vectors,
				    a->segments, a->applied_seq,     a->last_seq,
				    a->epoch,    a->memory_bytes,    a->disk_bytes,
				    a->digest,   a->last_epoch,      a->commit_seq};

	(void)q;
	buf_put_u8(b, (uint8_t)a->status);
	buf_put_u8(b, (uint8_t)a->role);
	wire_put_bool(b, a->serves);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		buf_put_u64(b, numbers[i]);
	wire_put_bool(b, a->warning != NULL);
	if (a->warning != NULL)
		buf_put_str(b, a->warning);
	buf_put_u32(b, a->n_fields);
	for (uint32_t i = 0; i < a->n_fields; i++) {
		buf_put_str(b, a->fields[i].path);
		buf_put_u64(b, a->fields[i].points);
	}
}

static int take_info_response(struct reader *r, const struct rpc_info_request *q,
			      struct arena *arena, struct rpc_info_response *a, struct error *err)
{
	uint64_t *const numbers[] = {&a->points,   &a->indexed_vectors, &a->vectors,
				     &a->segments, &a->applied_seq,     &a->last_seq,
				     &a->epoch,    &a->memory_bytes,    &a->disk_bytes,
				     &a->digest,   &a->last_epoch,      &a->commit_seq};

	(void)q;
	(void)err;
	a->status = (enum replica_status)wire_enum(r, REPLICA_RED + 1);
	a->role = (enum copy_role)wire_enum(r, COPY_PRIMARY + 1);
	a->serves = wire_bool(r);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		*numbers[i] = reader_u64(r);
	if (wire_bool(r))
		a->warning = wire_text(r, arena, 1 << 16, NULL);
	a->n_fields = reader_count(r, 12);
	a->fields = arena_zalloc(arena, a->n_fields * sizeof(*a->fields));
	for (uint32_t i = 0; i < a->n_fields && reader_ok(r); i++) {
		a->fields[i].path = wire_text(r, arena, LIMIT_PATH_BYTES, NULL);
		a->fields[i].points = reader_u64(r);
	}
	return 0;
}

/* ---- write ---- */

static void put_write_request(struct buf *b, const struct rpc_write_request *q)
{
	put_target(b, &q->target);
	write_encode(b, q->write);
}

static int take_write_request(struct reader *r, struct arena *arena, struct rpc_write_request *q,
			      struct error *err)
{
	struct write *w = arena_zalloc(arena, sizeof(*w));

	q->target = take_target(r);
	q->write = w;
	return write_decode(r, arena, w, err);
}

static void put_write_response(struct buf *b, const struct rpc_write_request *q,
			       const struct rpc_write_response *a)
{
	(void)q;
	buf_put_u64(b, a->seq);
	buf_put_u64(b, a->changed);
}

static int take_write_response(struct reader *r, const struct rpc_write_request *q,
			       struct arena *arena, struct rpc_write_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->seq = reader_u64(r);
	a->changed = reader_u64(r);
	return 0;
}

/* ---- the table ---- */

/* One of each with the same shape, so that the table needs no casts of functions. */
#define GLUE(name, class_of)                                                                       \
	static void name##_put_request(struct buf *b, const void *q)                               \
	{                                                                                          \
		put_##name##_request(b, q);                                                        \
	}                                                                                          \
	static int name##_take_request(struct reader *r, struct arena *a, void *q,                 \
				       struct error *e)                                            \
	{                                                                                          \
		return take_##name##_request(r, a, q, e);                                          \
	}                                                                                          \
	static void name##_put_response(struct buf *b, const void *q, const void *s)               \
	{                                                                                          \
		put_##name##_response(b, q, s);                                                    \
	}                                                                                          \
	static int name##_take_response(struct reader *r, const void *q, struct arena *a, void *s, \
					struct error *e)                                           \
	{                                                                                          \
		return take_##name##_response(r, q, a, s, e);                                      \
	}
RPC_MESSAGES(GLUE)

struct message {
	const char *name;
	enum rpc_class class;
	size_t request_bytes, response_bytes;
	void (*put_request)(struct buf *b, const void *q);
	int (*take_request)(struct reader *r, struct arena *a, void *q, struct error *e);
	void (*put_response)(struct buf *b, const void *q, const void *s);
	int (*take_response)(struct reader *r, const void *q, struct arena *a, void *s,
			     struct error *e);
};
#define ROW(name, class_of)                                                                        \
	{#name,                                                                                    \
	 class_of,                                                                                 \
	 sizeof(struct rpc_##name##_request),                                                      \
	 sizeof(struct rpc_##name##_response),                                                     \
	 name##_put_request,                                                                       \
	 name##_take_request,                                                                      \
	 name##_put_response,                                                                      \
	 name##_take_response},
static const struct message MESSAGES[] = {RPC_MESSAGES(ROW)};

static const struct message *message_of(enum rpc_type type)
{
	assert(type < RPC_TYPE_COUNT);
	return &MESSAGES[type];
}

enum rpc_class rpc_type_class(enum rpc_type type)
{
	return message_of(type)->class;
}

const char *rpc_type_name(enum rpc_type type)
{
	return message_of(type)->name;
}

void rpc_request_encode(struct buf *b, enum rpc_type type, const void *request)
{
	message_of(type)->put_request(b, request);
}

static int finish(const struct reader *r, int rc, enum rpc_type type, const char *what,
		  struct error *err)
{
	if (rc == 0 && !reader_done(r))
		return error_set(err, ERR_FORMAT, "malformed %s %s", rpc_type_name(type), what);
	return rc < 0 ? error_wrap(err, rc, "%s %s", rpc_type_name(type), what) : 0;
}

int rpc_request_decode(enum rpc_type type, const void *bytes, size_t n, struct arena *arena,
		       const void **out, struct error *err)
{
	const struct message *m = message_of(type);
	struct reader r = reader_make(bytes, n);
	void *request = arena_zalloc(arena, m->request_bytes);
	int rc = m->take_request(&r, arena, request, err);

	*out = request;
	return finish(&r, rc, type, "request", err);
}

void *rpc_request_shape(enum rpc_type type, const void *request)
{
	return mem_copy(request, message_of(type)->request_bytes);
}

void *rpc_response_new(enum rpc_type type, struct arena *arena)
{
	return arena_zalloc(arena, message_of(type)->response_bytes);
}

void rpc_response_encode(struct buf *b, enum rpc_type type, const void *request,
			 const void *response)
{
	message_of(type)->put_response(b, request, response);
}

int rpc_response_decode(enum rpc_type type, const void *shape, struct reader bytes,
			struct arena *arena, void *response, struct error *err)
{
	size_t n = reader_left(&bytes);
	/* Payloads are borrowed from the bytes, so they move into the arena first. */
	struct reader r = reader_make(arena_copy(arena, bytes.at, n), n);
	int rc = message_of(type)->take_response(&r, shape, arena, response, err);

	return finish(&r, rc, type, "response", err);
}
