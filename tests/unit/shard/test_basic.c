/* The first whole: upsert, search, read, restart. */
#include "tests/unit/shard/fixture.h"
#include <string.h>

enum { DIM = 4 };

static void upsert_one(struct fixture *f, uint64_t id, float x, int64_t n)
{
	float v[DIM] = {x, 0, 0, 1};
	struct point p;
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};

	test_point(f->arena, &p, id, v, DIM, test_payload(f->arena, n, "a"));
	assert_int_equal(fixture_write(f, &w), 1);
}

static struct hits search(struct fixture *f, float x, uint32_t top, const struct filter *filter)
{
	float *v = arena_zalloc(f->arena, DIM * sizeof *v);
	struct leaf *leaf = arena_zalloc(f->arena, sizeof *leaf);
	struct rpc_search_request request = {.target = fixture_target(f, 0),
					     .leaves = leaf,
					     .n_leaves = 1};
	struct rpc_search_response out = {0};

	v[0] = x;
	v[3] = 1;
	leaf->vector = (struct vector){VECTOR_DENSE, 0, DIM, v, NULL};
	leaf->top = top;
	leaf->filter = filter;
	leaf->payload.enabled = leaf->vectors.enabled = true;
	assert_int_equal(fixture_call(f, RPC_TYPE_search, &request, &out), 0);
	assert_int_equal(out.receipts[0].plan, PLAN_EXACT);
	return out.hits[0];
}

static void found_after_upsert_and_after_restart(void **state)
{
	struct fixture f;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_HNSW);
	fixture_start(&f);
	for (uint64_t i = 0; i < 50; i++)
		upsert_one(&f, i, (float)i, (int64_t)i);
	for (int round = 0; round < 2; round++) {
		struct hits hits = search(&f, 20.2f, 3, NULL);
		const struct point_id nearest = test_id(20);
		struct pv n;

		assert_int_equal(hits.n, 3);
		assert_true(id_equal(&hits.items[0].id, &nearest));
		assert_float_equal(hits.items[0].score, 0.2f, 1e-4);
		assert_int_equal(hits.items[0].version, 21);
		assert_true(pv_get(pv_of(hits.items[0].payload.bytes), "n", 1, &n));
		assert_int_equal(pv_int(n), 20);
		assert_int_equal(hits.items[0].n_vectors, 1);
		assert_float_equal(hits.items[0].vectors[0].values[0], 20.0f, 0);
		hits = search(&f, 20.2f, 3, test_range(f.arena, 40, 42));
		assert_int_equal(hits.n, 2);
		assert_int_equal(fixture_count(&f, NULL), 50);
		fixture_stop(&f);
		fixture_start(&f);
	}
	fixture_fini(&f);
	(void)state;
}

static void wrong_requests_are_refused(void **state)
{
	struct fixture f;
	float v[DIM + 1] = {0};
	struct point p;
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};
	struct rpc_write_request request;
	struct rpc_write_response out = {0};
	struct rpc_count_request count = {.target = {99, 1, 0, 1}};
	struct rpc_count_response counted = {0};

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_HNSW);
	fixture_start(&f);
	test_point(f.arena, &p, 1, v, DIM + 1, PV_EMPTY_OBJECT);
	request = (struct rpc_write_request){fixture_target(&f, 0), &w};
	assert_int_equal(fixture_call(&f, RPC_TYPE_write, &request, &out), ERR_INPUT);
	p.vectors[0].n = DIM;
	request.target.epoch = 9;
	assert_int_equal(fixture_call(&f, RPC_TYPE_write, &request, &out), ERR_STALE);
	request.target = fixture_target(&f, 5);
	assert_int_equal(fixture_call(&f, RPC_TYPE_write, &request, &out), ERR_STALE);
	assert_int_equal(fixture_call(&f, RPC_TYPE_count, &count, &counted), ERR_STALE);
	assert_int_equal(fixture_count(&f, NULL), 0);
	fixture_fini(&f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_after_upsert_and_after_restart),
		cmocka_unit_test(wrong_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
