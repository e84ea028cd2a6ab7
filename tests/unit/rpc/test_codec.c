/* Bytes of every message: what is written is read again, and hostile bytes are refused without
 * harm. Frames: likewise. */
#include "base/memory.h"
#include "base/prng.h"
#include "rpc/codec.h"
#include "rpc/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- one of each ---- */

static const uint8_t TEXT_BYTES[] = {PV_STRING, 2, 0, 0, 0, 'h', 'i'};
static const struct pv_slice TEXT = {TEXT_BYTES, sizeof(TEXT_BYTES)};

static struct path path_of(struct arena *a, const char *text)
{
	struct path p;

	assert_int_equal(path_parse(text, strlen(text), a, &p, NULL), 0);
	return p;
}

static struct select_payload some_payload(struct arena *a)
{
	struct select_payload p = {.enabled = true, .n_paths = 2};

	p.paths = arena_zalloc(a, 2 * sizeof(*p.paths));
	p.paths[0] = path_of(a, "a.b");
	p.paths[1] = path_of(a, "c[].d");
	return p;
}

static struct select_vectors some_vectors(struct arena *a)
{
	struct select_vectors v = {.enabled = true, .n_names = 1};

	v.names = arena_zalloc(a, sizeof(*v.names));
	v.names[0] = (struct vector_name){"text", 4};
	return v;
}

static struct hits some_hits(struct arena *a, uint32_t n)
{
	struct hits h = {arena_zalloc(a, n * sizeof(struct hit)), n};

	for (uint32_t i = 0; i < n; i++) {
		h.items[i].id = id_from_u64(i * 7 + 1);
		h.items[i].version = i + 3;
		h.items[i].score = 1.0f / (float)(i + 1);
		if (i % 2 == 0)
			h.items[i].payload = PV_EMPTY_OBJECT;
	}
	return h;
}

static struct rpc_target some_target(void)
{
	return (struct rpc_target){17, 3, 2, 9};
}

static const void *control_request_of(enum rpc_type type, struct arena *a)
{
	switch (type) {
	case RPC_TYPE_meta: {
		struct rpc_meta_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_meta_request){3, "raft", 4};
		return q;
	}
	case RPC_TYPE_heartbeat: {
		struct rpc_heartbeat_request *q = arena_zalloc(a, sizeof(*q));

		q->node = 2;
		q->incarnation = 5;
		q->rpc_address = "10.0.0.1:7000";
		return q;
	}
	case RPC_TYPE_probe: {
		struct rpc_probe_request *q = arena_zalloc(a, sizeof(*q));

		q->node = 6;
		return q;
	}
	case RPC_TYPE_join: {
		struct rpc_join_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_join_request){"n4", "10.0.0.4:1", "10.0.0.4:2", true, false};
		return q;
	}
	default: return NULL; /* types that came later have tests of their own */
	}
}

static const void *copy_request_of(enum rpc_type type, struct arena *a)
{
	static const struct append_record records[] = {{8, 3, "abc", 3},
						       {9, 3, "", 0},
						       {10, 9, "d", 1}};

	switch (type) {
	case RPC_TYPE_append: {
		struct rpc_append_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_append_request){.target = some_target(),
						 .from = 2,
						 .prev_seq = 7,
						 .prev_epoch = 3,
						 .commit_seq = 6,
						 .digest_seq = 6,
						 .digest = 0xfeed,
						 .heard_us = 55,
						 .lease_us = 66,
						 .in_sync = true,
						 .seed = true,
						 .records = records,
						 .n_records = 3};
		return q;
	}
	case RPC_TYPE_seed_open: {
		struct rpc_seed_open_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_seed_open_request){some_target(), 4};
		return q;
	}
	case RPC_TYPE_seed_read: {
		struct rpc_seed_read_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_seed_read_request){some_target(), 3, 12, "rows", 4096, 4096};
		return q;
	}
	case RPC_TYPE_seed_close: {
		struct rpc_seed_close_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_seed_close_request){some_target(), 3};
		return q;
	}
	default: return control_request_of(type, a);
	}
}

static const void *small_request_of(enum rpc_type type, struct arena *a)
{
	static const struct point_id ids[] = {{0, 5, ID_INT, 0}, {7, 8, ID_UUID, 0}};
	static const uint32_t indices[] = {3, 9, 4};
	struct rpc_target t = some_target();

	switch (type) {
	case RPC_TYPE_facet: {
		struct rpc_facet_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_facet_request){t, path_of(a, "tags[]"), NULL};
		return q;
	}
	case RPC_TYPE_idf: {
		struct rpc_idf_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_idf_request){t, 1, indices, 3};
		return q;
	}
	case RPC_TYPE_info: {
		struct rpc_info_request *q = arena_zalloc(a, sizeof(*q));
		q->newest = true;

		q->target = t;
		return q;
	}
	case RPC_TYPE_write: {
		struct rpc_write_request *q = arena_zalloc(a, sizeof(*q));
		struct write *w = arena_zalloc(a, sizeof(*w));

		w->op.type = OP_DELETE;
		w->op.batch_hi = 1;
		w->op.n_ids = 2;
		w->op.ids = arena_copy(a, ids, sizeof(ids));
		*q = (struct rpc_write_request){t, w};
		return q;
	}
	default: return copy_request_of(type, a);
	}
}

static const void *request_of(enum rpc_type type, struct arena *a)
{
	static const float values[] = {0.5f, -1.0f, 2.0f};
	static const struct point_id ids[] = {{0, 5, ID_INT, 0}, {7, 8, ID_UUID, 0}};
	struct rpc_target t = some_target();

	switch (type) {
	case RPC_TYPE_search: {
		struct rpc_search_request *q = arena_zalloc(a, sizeof(*q));
		struct leaf *leaves = arena_zalloc(a, 3 * sizeof(*leaves));

		for (uint32_t i = 0; i < 3; i++)
			leaves[i] = (struct leaf){.partition = i,
						  .vector = {VECTOR_DENSE, 0, 3, values, NULL},
						  .params = {.ef = 64},
						  .top = 10 + i,
						  .payload = some_payload(a),
						  .vectors = some_vectors(a)};
		*q = (struct rpc_search_request){t, leaves, 3, true};
		return q;
	}
	case RPC_TYPE_retrieve: {
		struct rpc_retrieve_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_retrieve_request){t, ids, 2, some_payload(a), some_vectors(a)};
		return q;
	}
	case RPC_TYPE_scroll: {
		struct rpc_scroll_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_scroll_request){.target = t,
						 .order = SCROLL_BY_VALUE,
						 .has_offset = true,
						 .offset = ids[1],
						 .limit = 99,
						 .order_path = path_of(a, "price"),
						 .desc = true,
						 .has_start_from = true,
						 .start_from = -2.5,
						 .seed = 44,
						 .payload = some_payload(a)};
		return q;
	}
	case RPC_TYPE_count: {
		struct rpc_count_request *q = arena_zalloc(a, sizeof(*q));

		*q = (struct rpc_count_request){t, NULL, true};
		return q;
	}
	default: return small_request_of(type, a);
	}
}

static void fill_copy_response(enum rpc_type type, void *out)
{
	static const struct seed_file files[] = {{3, "rows", 100, 7}, {3, "index-0.faiss", 5, 8}};

	switch (type) {
	case RPC_TYPE_append:
		*(struct rpc_append_response *)out =
			(struct rpc_append_response){APPEND_MISMATCH, 9, 8, 7, 6, 5};
		break;
	case RPC_TYPE_seed_open:
		*(struct rpc_seed_open_response *)out =
			(struct rpc_seed_open_response){3, "manifest", 8, files, 2};
		break;
	case RPC_TYPE_seed_read:
		*(struct rpc_seed_read_response *)out =
			(struct rpc_seed_read_response){"bytes", 5, 99};
		break;
	case RPC_TYPE_seed_close: ((struct rpc_seed_close_response *)out)->was_open = true; break;
	default: break;
	}
}

static const void *response_of(enum rpc_type type, struct arena *a)
{
	void *out = rpc_response_new(type, a);

	switch (type) {
	case RPC_TYPE_search: {
		struct rpc_search_response *r = out;

		r->hits = arena_zalloc(a, 3 * sizeof(*r->hits));
		r->receipts = arena_zalloc(a, 3 * sizeof(*r->receipts));
		for (uint32_t i = 0; i < 3; i++) {
			r->hits[i] = some_hits(a, i * 4);
			r->receipts[i] =
				(struct leaf_receipt){i, 100 * i, PLAN_GRAPH, true, false, 64};
		}
		break;
	}
	case RPC_TYPE_retrieve:
		((struct rpc_retrieve_response *)out)->hits = some_hits(a, 2);
		break;
	case RPC_TYPE_scroll: ((struct rpc_scroll_response *)out)->hits = some_hits(a, 5); break;
	case RPC_TYPE_count: ((struct rpc_count_response *)out)->count = 12345; break;
	case RPC_TYPE_facet: {
		struct rpc_facet_response *r = out;

		r->n = 2;
		r->values = arena_zalloc(a, 2 * sizeof(*r->values));
		r->values[0] = (struct facet_value){TEXT, 9};
		r->values[1] = (struct facet_value){TEXT, 1};
		break;
	}
	case RPC_TYPE_idf: {
		struct rpc_idf_response *r = out;

		r->n_points = 100;
		r->n_with = arena_zalloc(a, 3 * sizeof(*r->n_with));
		r->n_with[2] = 50;
		break;
	}
	case RPC_TYPE_info: {
		struct rpc_info_response *r = out;

		r->status = REPLICA_YELLOW;
		r->points = 10;
		r->digest = 0xabcdef;
		r->role = COPY_MEMBER;
		r->serves = true;
		r->last_epoch = 4;
		r->commit_seq = 77;
		r->warning = "slow";
		r->n_fields = 1;
		r->fields = arena_zalloc(a, sizeof(*r->fields));
		r->fields[0] = (struct replica_field){"price", 7};
		break;
	}
	case RPC_TYPE_write:
		*(struct rpc_write_response *)out =
			(struct rpc_write_response){.seq = 88, .changed = 2};
		break;
	default: fill_copy_response(type, out); break;
	}
	return out;
}

/* ---- round trips ---- */

static void test_requests_come_back(void **state)
{
	for (enum rpc_type t = 0; t < RPC_TYPE_COUNT; t++) {
		struct arena *a = arena_new(4096);
		const void *request = request_of(t, a), *again;
		struct buf first = BUF_INIT, second = BUF_INIT;
		struct error err;

		if (request != NULL) {
			rpc_request_encode(&first, t, request);
			assert_int_equal(rpc_request_decode(t, first.data, first.len, a, &again,
							    &err),
					 0);
			rpc_request_encode(&second, t, again);
			assert_int_equal(first.len, second.len);
			assert_memory_equal(first.data, second.data, first.len);
		}
		buf_fini(&first);
		buf_fini(&second);
		arena_free(a);
	}
}

static void test_responses_come_back(void **state)
{
	for (enum rpc_type t = 0; t < RPC_TYPE_COUNT; t++) {
		struct arena *a = arena_new(4096);
		const void *request = request_of(t, a);
		void *again = rpc_response_new(t, a);
		struct buf first = BUF_INIT, second = BUF_INIT;
		struct error err;
		void *shape;

		if (request != NULL) {
			rpc_response_encode(&first, t, request, response_of(t, a));
			shape = rpc_request_shape(t, request);
			assert_int_equal(rpc_response_decode(t, shape,
							     reader_make(first.data, first.len), a,
							     again, &err),
					 0);
			rpc_response_encode(&second, t, request, again);
			assert_int_equal(first.len, second.len);
			assert_memory_equal(first.data, second.data, first.len);
			free(shape);
		}
		buf_fini(&first);
		buf_fini(&second);
		arena_free(a);
	}
}

static void test_search_values(void **state)
{
	struct arena *a = arena_new(4096);
	const struct rpc_search_request *q;
	const void *out;
	struct buf b = BUF_INIT;

	rpc_request_encode(&b, RPC_TYPE_search, request_of(RPC_TYPE_search, a));
	assert_int_equal(rpc_request_decode(RPC_TYPE_search, b.data, b.len, a, &out, NULL), 0);
	q = out;
	assert_int_equal(q->n_leaves, 3);
	assert_true(q->allow_partial);
	assert_int_equal(q->target.epoch, 9);
	assert_int_equal(q->leaves[2].top, 12);
	assert_true(q->leaves[1].vector.values[2] == 2.0f);
	assert_string_equal(q->leaves[0].payload.paths[1].text, "c[].d");
	buf_fini(&b);
	arena_free(a);
}

static void test_append_values(void **state)
{
	struct arena *a = arena_new(4096);
	const struct rpc_append_request *q;
	const void *out;
	struct buf b = BUF_INIT;

	rpc_request_encode(&b, RPC_TYPE_append, request_of(RPC_TYPE_append, a));
	assert_int_equal(rpc_request_decode(RPC_TYPE_append, b.data, b.len, a, &out, NULL), 0);
	q = out;
	assert_int_equal(q->n_records, 3);
	assert_int_equal(q->records[2].seq, 10);
	assert_int_equal(q->records[2].epoch, 9);
	assert_memory_equal(q->records[0].bytes, "abc", 3);
	/* borrowed: no copy was made */
	assert_true((const uint8_t *)q->records[0].bytes > b.data &&
		    (const uint8_t *)q->records[0].bytes < b.data + b.len);
	buf_fini(&b);
	arena_free(a);
}

static int decoded_append(const struct append_record *records, uint32_t n)
{
	struct rpc_append_request q = {.target = some_target(), /* epoch 9 */
				       .prev_seq = 7,
				       .prev_epoch = 3,
				       .records = records,
				       .n_records = n};
	struct arena *a = arena_new(4096);
	struct buf b = BUF_INIT;
	const void *out;
	int rc;

	rpc_request_encode(&b, RPC_TYPE_append, &q);
	rc = rpc_request_decode(RPC_TYPE_append, b.data, b.len, a, &out, NULL);
	buf_fini(&b);
	arena_free(a);
	return rc;
}

static void test_records_that_are_no_log(void **state)
{
	const struct append_record good[] = {{8, 3, "a", 1}, {9, 5, "b", 1}};
	const struct append_record gap[] = {{8, 3, "a", 1}, {10, 3, "b", 1}};
	const struct append_record late[] = {{9, 3, "a", 1}};
	const struct append_record falling[] = {{8, 4, "a", 1}, {9, 3, "b", 1}};
	const struct append_record before[] = {{8, 2, "a", 1}};
	const struct append_record future[] = {{8, 10, "a", 1}};

	assert_int_equal(decoded_append(good, 2), 0);
	assert_int_equal(decoded_append(gap, 2), ERR_FORMAT);
	assert_int_equal(decoded_append(late, 1), ERR_FORMAT);
	assert_int_equal(decoded_append(falling, 2), ERR_FORMAT);
	assert_int_equal(decoded_append(before, 1), ERR_FORMAT);
	assert_int_equal(decoded_append(future, 1), ERR_FORMAT);
}

static int decoded_name(const char *name)
{
	struct rpc_seed_read_request q = {some_target(), 1, 2, name, 0, 10};
	struct arena *a = arena_new(4096);
	struct buf b = BUF_INIT;
	const void *out;
	int rc;

	rpc_request_encode(&b, RPC_TYPE_seed_read, &q);
	rc = rpc_request_decode(RPC_TYPE_seed_read, b.data, b.len, a, &out, NULL);
	buf_fini(&b);
	arena_free(a);
	return rc;
}

/* What a peer names stays in the segment's folder. */
static void test_names_of_files(void **state)
{
	assert_int_equal(decoded_name("index-0.faiss"), 0);
	assert_int_equal(decoded_name(""), ERR_FORMAT);
	assert_int_equal(decoded_name(".."), ERR_FORMAT);
	assert_int_equal(decoded_name("../../LOCK"), ERR_FORMAT);
	assert_int_equal(decoded_name("/etc/passwd"), ERR_FORMAT);
}

/* ---- hostile ---- */

static void hostile(const struct buf *good, struct prng *p, enum rpc_type t, const void *shape)
{
	for (int round = 0; round < 4000; round++) {
		size_t n = prng_below(p, 3) == 0 ? prng_below(p, good->len + 1) : good->len;
		uint8_t *copy = mem_copy(good->data, n); /* exact, so that ASan sees each byte */
		struct arena *a = arena_new(1024);
		struct error err = {0};
		const void *request;
		int rc;

		for (uint64_t k = prng_below(p, 4); k-- > 0 && n > 0;)
			copy[prng_below(p, n)] = (uint8_t)prng_u64(p);
		if (shape == NULL)
			rc = rpc_request_decode(t, copy, n, a, &request, &err);
		else
			rc = rpc_response_decode(t, shape, reader_make(copy, n), a,
						 rpc_response_new(t, a), &err);
		assert_true(rc == 0 || err.text[0] != '\0');
		if (rc == 0 && shape == NULL) {
			struct buf again = BUF_INIT;

			rpc_request_encode(&again, t, request); /* it holds together */
			buf_fini(&again);
		}
		arena_free(a);
		free(copy);
	}
}

static void test_hostile_bytes(void **state)
{
	struct prng p;

	prng_seed(&p, 5);
	for (enum rpc_type t = 0; t < RPC_TYPE_COUNT; t++) {
		struct arena *a = arena_new(4096);
		const void *request = request_of(t, a);
		struct buf b = BUF_INIT;

		if (request != NULL) {
			void *shape = rpc_request_shape(t, request);

			rpc_request_encode(&b, t, request);
			hostile(&b, &p, t, NULL);
			buf_clear(&b);
			rpc_response_encode(&b, t, request, response_of(t, a));
			hostile(&b, &p, t, shape);
			free(shape);
		}
		buf_fini(&b);
		arena_free(a);
	}
}

/* ---- frames ---- */

static void test_frames(void **state)
{
	struct frame_head h = {FRAME_REQUESTS, RPC_WRITE, 77, 1, 2, 0}, back;
	struct buf b = BUF_INIT, body = BUF_INIT;
	struct frame_request q;
	struct frame_response a;
	struct reader items;
	struct error err = {ERR_STALE, "old map"}, ok = {0}, out;

	buf_put_str(&body, "hello");
	frame_begin(&b, &h);
	frame_put_request(&b, 5, RPC_TYPE_write, 1000, &body);
	frame_put_request(&b, 6, RPC_TYPE_count, 0, &body);
	frame_end(&b, 2);
	assert_int_equal(frame_parse(b.data, b.len, &back, &items, &err), 0);
	assert_int_equal(back.n_items, 2);
	assert_int_equal(back.class, RPC_WRITE);
	assert_int_equal(back.to, 2);
	assert_int_equal(frame_next_request(&items, &q), 0);
	assert_int_equal(q.call, 5);
	assert_int_equal(q.budget_us, 1000);
	assert_int_equal(frame_next_request(&items, &q), 0);
	assert_int_equal(q.type, RPC_TYPE_count);
	assert_int_equal(q.n, body.len);
	assert_int_equal(frame_next_request(&items, &q), ERR_FORMAT);

	buf_clear(&b);
	h.kind = FRAME_RESPONSES;
	frame_begin(&b, &h);
	frame_put_response(&b, 5, &(struct error){ERR_STALE, "old map"}, NULL);
	frame_put_response(&b, 6, &ok, &body);
	frame_end(&b, 2);
	assert_int_equal(frame_parse(b.data, b.len, &back, &items, &err), 0);
	assert_int_equal(frame_next_response(&items, &a), 0);
	frame_error(&a, &out);
	assert_int_equal(out.code, ERR_STALE);
	assert_string_equal(out.text, "old map");
	assert_int_equal(frame_next_response(&items, &a), 0);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.n, body.len);

	/* Every byte counts. */
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x40;
		assert_true(frame_parse(b.data, b.len, &back, &items, &err) < 0);
		b.data[i] ^= 0x40;
	}
	for (size_t n = 0; n < b.len; n++)
		assert_true(frame_parse(b.data, n, &back, &items, &err) < 0);
	b.data[4] = 2; /* the version */
	assert_int_equal(frame_parse(b.data, b.len, &back, &items, &err), ERR_VERSION);
	assert_non_null(strstr(err.text, "speaks version 2"));
	buf_fini(&b);
	buf_fini(&body);
}

static void test_classes_and_names(void **state)
{
	assert_int_equal(rpc_type_class(RPC_TYPE_search), RPC_SEARCH);
	assert_int_equal(rpc_type_class(RPC_TYPE_write), RPC_WRITE);
	assert_int_equal(rpc_type_class(RPC_TYPE_meta), RPC_CONTROL);
	assert_string_equal(rpc_type_name(RPC_TYPE_info), "info");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_come_back),
		cmocka_unit_test(test_responses_come_back),
		cmocka_unit_test(test_search_values),
		cmocka_unit_test(test_append_values),
		cmocka_unit_test(test_records_that_are_no_log),
		cmocka_unit_test(test_names_of_files),
		cmocka_unit_test(test_hostile_bytes),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_classes_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
