/* Searching beyond what the random model covers: many leaves and long scans on many threads, thresholds, selections, time
 * limits, sparse spaces with idf, and pages by value and at random. */
#include "tests/unit/shard/fixture.h"
#include "base/clock.h"
#include "base/prng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct fixture *f, uint32_t n, uint32_t dim, uint64_t seed)
{
	struct prng random;
	float *v = malloc(dim * sizeof *v);

	prng_seed(&random, seed);
	for (uint32_t first = 0; first < n; first += 1000) {
		uint32_t count = n - first < 1000 ? n - first : 1000;
		struct point *points;
		struct write w = {.op = {.type = OP_UPSERT, .n_points = count}};

		arena_reset(f->arena);
		points = w.op.points = arena_zalloc(f->arena, count * sizeof *points);
		for (uint32_t i = 0; i < count; i++) {
			for (uint32_t d = 0; d < dim; d++)
				v[d] = prng_gauss(&random);
			test_point(f->arena, &points[i], first + i, v, dim,
				   test_payload(f->arena, (first + i) % 100, "a"));
		}
		fixture_write(f, &w);
	}
	free(v);
}

static struct leaf random_leaf(struct fixture *f, struct prng *random, uint32_t dim, uint32_t top)
{
	float *v = arena_alloc(f->arena, dim * sizeof *v);
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, dim, v, NULL}, .top = top};

	for (uint32_t d = 0; d < dim; d++)
		v[d] = prng_gauss(random);
	return leaf;
}

static int search(struct fixture *f, const struct leaf *leaves, uint32_t n,
		  struct rpc_search_response *out)
{
	struct rpc_search_request request = {.target = fixture_target(f, 0),
					     .leaves = leaves,
					     .n_leaves = n};

	*out = (struct rpc_search_response){0};
	return fixture_call(f, RPC_TYPE_search, &request, out);
}

static void assert_same(const struct hits *a, const struct hits *b)
{
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		assert_true(id_equal(&a->items[i].id, &b->items[i].id));
		assert_float_equal(a->items[i].score, b->items[i].score, 0);
	}
}

/* A batch that is worth threads answers what each of its searches answers alone. */
static void batches_answer_like_single_searches(void **state)
{
	enum { DIM = 48, ROWS = 3000, LEAVES = 150 };
	struct fixture f;
	struct prng random;
	struct leaf leaves[LEAVES];
	struct rpc_search_response batch, one;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
	f.options.seal_rows = 1000;
	f.options.segment_max_rows = 1000;
	fixture_start(&f);
	fill(&f, ROWS, DIM, 1);
	fixture_settle(&f);
	arena_reset(f.arena);
	prng_seed(&random, 2);
	for (int i = 0; i < LEAVES; i++) {
		leaves[i] = random_leaf(&f, &random, DIM, 1 + (uint32_t)prng_below(&random, 20));
		if (i % 3 == 0)
			leaves[i].filter = test_range(f.arena, 10, 30);
	}
	assert_int_equal(search(&f, leaves, LEAVES, &batch), 0);
	for (int i = 0; i < LEAVES; i++) {
		assert_int_equal(search(&f, &leaves[i], 1, &one), 0);
		assert_int_equal(one.hits[0].n, leaves[i].top);
		assert_same(&batch.hits[i], &one.hits[0]);
		assert_int_equal(batch.receipts[i].candidates, one.receipts[0].candidates);
		assert_int_equal(batch.receipts[i].plan, PLAN_EXACT);
	}
	fixture_fini(&f);
	(void)state;
}

/* One long scan is cut into ranges of rows. */
static void long_scans_are_split(void **state)
{
	enum { DIM = 256, ROWS = 34000 };
	struct fixture f;
	struct prng random;
	struct rpc_search_response out;
	struct leaf leaf;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
	f.options.seal_rows = ROWS;
	f.options.seal_bytes = 1 << 30;
	fixture_start(&f);
	fill(&f, ROWS, DIM, 3);
	fixture_settle(&f);
	prng_seed(&random, 3);
	/* The same numbers as the points: the n-th query is the n-th point. */
	for (uint32_t i = 0; i < 3; i++) {
		struct point_id id = test_id(i);

		arena_reset(f.arena);
		leaf = random_leaf(&f, &random, DIM, 5);
		assert_int_equal(search(&f, &leaf, 1, &out), 0);
		assert_int_equal(out.hits[0].n, 5);
		assert_true(id_equal(&out.hits[0].items[0].id, &id));
		assert_float_equal(out.hits[0].items[0].score, 0, 1e-3);
		assert_int_equal(out.receipts[0].candidates, ROWS);
	}
	fixture_fini(&f);
	(void)state;
}

static void thresholds_are_strict_and_selections_kept(void **state)
{
	struct fixture f;
	struct point points[10];
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 10, .points = points}};
	float query[2] = {1, 0};
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, 2, query, NULL},
			    .top = 10,
			    .has_threshold = true,
			    .threshold = 5};
	struct vector_name name = {"other", 5};
	struct path path;
	struct rpc_search_response out;

	fixture_init(&f);
	fixture_add_space(&f, "", 2, DISTANCE_DOT, INDEX_HNSW);
	fixture_start(&f);
	for (uint32_t i = 0; i < 10; i++) {
		float v[2] = {(float)i, 1};

		test_point(f.arena, &points[i], i, v, 2, test_payload(f.arena, i, "a"));
	}
	fixture_write(&f, &w);
	assert_int_equal(path_parse("tag", 3, f.arena, &path, NULL), 0);
	leaf.payload = (struct select_payload){.enabled = true, .paths = &path, .n_paths = 1};
	leaf.vectors = (struct select_vectors){.enabled = true, .names = &name, .n_names = 1};
	assert_int_equal(search(&f, &leaf, 1, &out), 0);
	assert_int_equal(out.hits[0].n, 4); /* 6..9: 5 itself is not above 5 */
	assert_float_equal(out.hits[0].items[0].score, 9, 0);
	assert_int_equal(pv_count(pv_of(out.hits[0].items[0].payload.bytes)), 1);
	assert_true(out.hits[0].items[0].has_vectors);
	assert_int_equal(out.hits[0].items[0].n_vectors, 0);
	leaf.payload.exclude = true;
	leaf.vectors.n_names = 0;
	assert_int_equal(search(&f, &leaf, 1, &out), 0);
	assert_true(pv_get(pv_of(out.hits[0].items[0].payload.bytes), "n", 1, &(struct pv){0}));
	assert_false(pv_get(pv_of(out.hits[0].items[0].payload.bytes), "tag", 3, &(struct pv){0}));
	assert_int_equal(out.hits[0].items[0].n_vectors, 1);
	query[0] = 0;
	leaf.has_threshold = false;
	assert_int_equal(search(&f, &leaf, 1, &out), 0);
	assert_int_equal(signbit(out.hits[0].items[0].score), 0); /* 0, not -0 */
	fixture_fini(&f);
	(void)state;
}

static uint64_t late(void *ctx)
{
	return *(const uint64_t *)ctx;
}

static void deadlines_end_searches(void **state)
{
	struct fixture f;
	float v[4] = {0};
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, 4, v, NULL}, .top = 3};
	struct rpc_search_request request;
	struct rpc_search_response out = {0};
	uint64_t now = 1000000;
	struct clock clock = {late, late, &now};
	struct rpc_call call;

	fixture_init(&f);
	fixture_add_space(&f, "", 4, DISTANCE_EUCLID, INDEX_FLAT);
	f.clock = &clock;
	fixture_start(&f);
	fill(&f, 10, 4, 1);
	arena_reset(f.arena);
	request = (struct rpc_search_request){.target = fixture_target(&f, 0),
					      .leaves = &leaf,
					      .n_leaves = 1};
	call = (struct rpc_call){.deadline_us = now + 1};
	assert_int_equal(fixture_send(&f, RPC_TYPE_search, &request, &out, &call), 0);
	call = (struct rpc_call){.deadline_us = now};
	assert_int_equal(fixture_send(&f, RPC_TYPE_search, &request, &out, &call), ERR_TIMEOUT);
	fixture_fini(&f);
	(void)state;
}

/* ---- sparse ---- */

static void put_sparse(struct fixture *f, uint64_t id, uint32_t n, const uint32_t *indices,
		       const float *weights)
{
	struct vector v = {VECTOR_SPARSE, 0, n, weights, indices};
	struct point p = {.id = test_id(id),
			  .n_vectors = 1,
			  .vectors = &v,
			  .payload = PV_EMPTY_OBJECT};
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};

	fixture_write(f, &w);
}

static void sparse_scores_use_the_idf_factors(void **state)
{
	struct fixture f;
	const uint32_t indices[2] = {3, 7};
	const float weights[2] = {1, 2};
	float query[2] = {1, 1}, idf[2] = {10, 0.5f};
	uint32_t asked[3] = {3, 7, 9};
	struct leaf leaf = {.vector = {VECTOR_SPARSE, 0, 2, query, indices}, .top = 10};
	struct rpc_search_response out;
	struct rpc_idf_request request;
	struct rpc_idf_response answer = {0};

	fixture_init(&f);
	fixture_add_sparse(&f, "s");
	f.options.seal_rows = 3; /* the first three are sealed */
	fixture_start(&f);
	put_sparse(&f, 1, 2, indices, weights);
	put_sparse(&f, 3, 1, indices, weights);
	put_sparse(&f, 4, 1, indices + 1, weights + 1);
	fixture_settle(&f);
	put_sparse(&f, 6, 1, indices + 1, weights);
	assert_int_equal(search(&f, &leaf, 1, &out), 0);
	assert_int_equal(out.hits[0].n, 4);
	assert_float_equal(out.hits[0].items[0].score, 3, 1e-6);
	assert_int_equal(out.receipts[0].plan, PLAN_SPARSE);
	leaf.idf = idf;
	assert_int_equal(search(&f, &leaf, 1, &out), 0);
	assert_float_equal(out.hits[0].items[0].score, 11, 1e-6);
	assert_float_equal(out.hits[0].items[1].score, 10, 1e-6);
	assert_float_equal(out.hits[0].items[2].score, 1, 1e-6);
	assert_float_equal(out.hits[0].items[3].score, 0.5, 1e-6);
	request = (struct rpc_idf_request){fixture_target(&f, 0), 0, asked, 3};
	assert_int_equal(fixture_call(&f, RPC_TYPE_idf, &request, &answer), 0);
	assert_int_equal(answer.n_points, 4);
	assert_int_equal(answer.n_with[0], 2);
	assert_int_equal(answer.n_with[1], 3);
	assert_int_equal(answer.n_with[2], 0);
	fixture_fini(&f);
	(void)state;
}

/* ---- pages ---- */

static void pages_by_value_and_at_random(void **state)
{
	struct fixture f;
	struct rpc_scroll_request request;
	struct rpc_scroll_response out = {0}, again = {0};

	fixture_init(&f);
	fixture_add_space(&f, "", 4, DISTANCE_EUCLID, INDEX_FLAT);
	f.options.seal_rows = 1000;
	fixture_start(&f);
	fill(&f, 1500, 4, 1);
	arena_reset(f.arena);
	request = (struct rpc_scroll_request){.target = fixture_target(&f, 0),
					      .order = SCROLL_BY_VALUE,
					      .limit = 40,
					      .desc = true};
	assert_int_equal(path_parse("n", 1, f.arena, &request.order_path, NULL), 0);
	request.has_start_from = true;
	request.start_from = 50;
	assert_int_equal(fixture_call(&f, RPC_TYPE_scroll, &request, &out), 0);
	assert_int_equal(out.hits.n, 40);
	for (uint32_t i = 0; i < 40; i++)
		assert_float_equal(out.hits.items[i].order_value, (float)(50 - i / 15),
				   0); /* 15 points each */
	request.desc = false;
	request.filter = test_range(f.arena, 51, 52);
	out = (struct rpc_scroll_response){0};
	assert_int_equal(fixture_call(&f, RPC_TYPE_scroll, &request, &out), 0);
	assert_int_equal(out.hits.n, 15);
	request = (struct rpc_scroll_request){.target = fixture_target(&f, 0),
					      .order = SCROLL_RANDOM,
					      .limit = 100,
					      .seed = 5};
	out = (struct rpc_scroll_response){0};
	assert_int_equal(fixture_call(&f, RPC_TYPE_scroll, &request, &out), 0);
	assert_int_equal(fixture_call(&f, RPC_TYPE_scroll, &request, &again), 0);
	assert_int_equal(out.hits.n, 100);
	assert_same(&out.hits, &again.hits);
	request.seed = 6;
	again = (struct rpc_scroll_response){0};
	assert_int_equal(fixture_call(&f, RPC_TYPE_scroll, &request, &again), 0);
	assert_false(id_equal(&out.hits.items[0].id, &again.hits.items[0].id));
	fixture_fini(&f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_answer_like_single_searches),
		cmocka_unit_test(long_scans_are_split),
		cmocka_unit_test(thresholds_are_strict_and_selections_kept),
		cmocka_unit_test(deadlines_end_searches),
		cmocka_unit_test(sparse_scores_use_the_idf_factors),
		cmocka_unit_test(pages_by_value_and_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
