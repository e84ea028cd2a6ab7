/* The real coordinator over the real shard: the same random points in one partition and in five must give the same answers to every
 * kind of request, and those answers must be what a plain evaluation gives. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include "coordinator/coordinator.h"
#include "coordinator/internal.h"
#include "coordinator/meta_runtime.h"
#include "shard/shard.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <pthread.h>

enum { SELF = 1, N_POINTS = 400, DIM = 8, N_TAGS = 7 };

struct world {
	char root[64];
	struct store_io io, meta_io;
	struct pool *pool;
	struct rpc *rpc;
	struct shard *shard;
	struct meta_runtime *meta;
	struct coord *coord;
	struct arena *arena;
	float dense[N_POINTS][DIM];
	uint32_t sparse_index[N_POINTS][2];
	float sparse_value[N_POINTS][2];
	const struct collection *one, *five;
};

static void on_map(void *ctx, const struct map *map)
{
	struct world *w = ctx;
	struct shard_assignment list[16];
	size_t n = 0;
	for (uint32_t i = 0; i < map->n_collections; i++)
		for (uint32_t p = 0; p < map->collections[i].collection->n_partitions; p++)
			list[n++] = (struct shard_assignment){
				.collection = map->collections[i].collection,
				.partition = p,
				.config = map->collections[i].partitions[p]};
	assert_int_equal(shard_assign(w->shard, list, n, NULL), 0);
}

static void send_nothing(void *ctx, const struct meta_message *m)
{
	fail();
}

/* ---- waiting for requests ---- */

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool done;
	int rc;
	char text[480];
};

static void wait_init(struct waiter *w)
{
	*w = (struct waiter){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, ""};
}

static void wake(struct waiter *w, int rc, const char *text)
{
	pthread_mutex_lock(&w->mutex);
	w->done = true;
	w->rc = rc;
	snprintf(w->text, sizeof(w->text), "%s", text);
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->mutex);
}

static void call_done(struct coord_call *call)
{
	wake(call->ctx, call->rc, call->err.text);
}

static void meta_done(void *ctx, const struct error *result, uint64_t index)
{
	wake(ctx, result->code, result->text);
}

static void wait_for(struct waiter *w)
{
	pthread_mutex_lock(&w->mutex);
	while (!w->done)
		pthread_cond_wait(&w->changed, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
	if (w->rc != 0)
		print_error("%s\n", w->text);
	assert_int_equal(w->rc, 0);
}

static struct coord_call call_of(struct world *w, const struct collection *c, struct waiter *waiter)
{
	wait_init(waiter);
	return (struct coord_call){.collection = c,
				   .arena = w->arena,
				   .done = call_done,
				   .ctx = waiter};
}

/* ---- the world ---- */

static const struct collection *create(struct world *w, const char *name, uint32_t partitions)
{
	struct collection *c = collection_new();
	const struct collection *out;
	c->name = arena_strdup(c->arena, name);
	c->spaces = arena_zalloc(c->arena, sizeof(*c->spaces));
	c->spaces[0] =
		(struct vector_space){.name = "",
				      .dim = DIM,
				      .distance = DISTANCE_EUCLID,
				      .index = {.kind = INDEX_HNSW, .m = 16, .ef_construct = 100}};
	c->n_spaces = 1;
	c->sparse = arena_zalloc(c->arena, sizeof(*c->sparse));
	c->sparse[0] = (struct sparse_space){"words", true};
	c->n_sparse = 1;
	c->fields = arena_zalloc(c->arena, sizeof(*c->fields));
	c->fields[0].type = FIELD_KEYWORD;
	c->fields[0].params = PV_EMPTY_OBJECT;
	assert_int_equal(path_parse("tag", 3, c->arena, &c->fields[0].path, NULL), 0);
	c->n_fields = 1;
	c->n_partitions = partitions;
	c->replication_factor = 1;
	c->body = PV_EMPTY_OBJECT;
	struct waiter waiter;
	struct coord_change change = {.call = call_of(w, NULL, &waiter),
				      .command = {.type = MAP_CREATE_COLLECTION, .collection = c}};
	coord_change(w->coord, &change);
	wait_for(&waiter);
	collection_unref(c);
	assert_int_equal(coord_collection(w->coord, name, &out, NULL), 0);
	return out;
}

static void fill(struct world *w, const struct collection *c)
{
	struct point *points = arena_zalloc(w->arena, N_POINTS * sizeof(*points));
	for (uint32_t i = 0; i < N_POINTS; i++) {
		struct vector *v = arena_alloc(w->arena, 2 * sizeof(*v));
		struct buf payload = BUF_INIT;
		char tag[8];
		size_t mark = pv_open(&payload, PV_OBJECT);
		snprintf(tag, sizeof(tag), "t%u", i % N_TAGS);
		pv_put_key(&payload, "tag", 3);
		pv_put_string(&payload, tag, (uint32_t)strlen(tag));
		pv_put_key(&payload, "n", 1);
		pv_put_int(&payload, (int64_t)(i * 37 % N_POINTS));
		pv_close(&payload, mark, 2);
		v[0] = (struct vector){VECTOR_DENSE, 0, DIM, w->dense[i], NULL};
		v[1] = (struct vector){VECTOR_SPARSE, 0, 2, w->sparse_value[i], w->sparse_index[i]};
		points[i].id = id_from_u64(i);
		points[i].vectors = v;
		points[i].n_vectors = 2;
		points[i].payload =
			(struct pv_slice){arena_copy(w->arena, payload.data, payload.len),
					  (uint32_t)payload.len};
		buf_fini(&payload);
	}
	struct write write = {.op = {.type = OP_UPSERT, .n_points = N_POINTS, .points = points}};
	struct waiter waiter;
	struct coord_write request = {.call = call_of(w, c, &waiter),
				      .writes = &write,
				      .n_writes = 1};
	coord_write(w->coord, &request);
	wait_for(&waiter);
	assert_int_equal(request.changed[0], N_POINTS);
}

static void random_points(struct world *w)
{
	struct prng random;
	prng_seed(&random, 11);
	for (uint32_t i = 0; i < N_POINTS; i++) {
		for (uint32_t d = 0; d < DIM; d++)
			w->dense[i][d] = prng_gauss(&random);
		w->sparse_index[i][0] = (uint32_t)prng_below(&random, 10);
		w->sparse_index[i][1] = 10 + (uint32_t)prng_below(&random, 10);
		w->sparse_value[i][0] = 0.1f + (float)prng_unit(&random);
		w->sparse_value[i][1] = 0.1f + (float)prng_unit(&random);
	}
}

static int set_up(void **state)
{
	static const struct meta_voter self = {SELF, "local"};
	struct world *w = calloc(1, sizeof(*w));
	struct waiter waiter;
	snprintf(w->root, sizeof(w->root), "/tmp/quiver-coord-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	assert_int_equal(store_io_real(w->root, &w->io, NULL), 0);
	assert_int_equal(store_io_sub(&w->io, "meta", &w->meta_io, NULL), 0);
	assert_int_equal(pool_new(&w->pool, 2, 1, NULL), 0);
	w->arena = arena_new(1 << 16);
	struct shard_options so = {.io = w->io,
				   .pool = w->pool,
				   .clock = clock_real(),
				   .self_node = SELF};
	assert_int_equal(shard_start(&w->shard, &so, NULL), 0);
	assert_int_equal(rpc_new(&w->rpc, SELF, NULL), 0);
	rpc_serve_local(w->rpc, shard_service(w->shard));
	struct meta_runtime_options mo = {.io = w->meta_io,
					  .self = SELF,
					  .cluster_id = 1,
					  .bootstrap = &self,
					  .n_bootstrap = 1,
					  .send = send_nothing,
					  .on_map = on_map,
					  .ctx = w};
	assert_int_equal(meta_runtime_start(&w->meta, &mo, NULL), 0);
	struct map_command put = {.type = MAP_NODE_PUT,
				  .node = {.id = SELF,
					   .name = "n",
					   .rpc_address = "",
					   .http_address = "",
					   .incarnation = 1,
					   .coordinator = true,
					   .shard = true}};
	wait_init(&waiter);
	meta_runtime_submit(w->meta, &put, meta_done, &waiter);
	wait_for(&waiter);
	struct coord_options co = {.rpc = w->rpc,
				   .meta = w->meta,
				   .clock = clock_real(),
				   .pool = w->pool,
				   .self_node = SELF};
	assert_int_equal(coord_start(&w->coord, &co, NULL), 0);
	random_points(w);
	w->one = create(w, "one", 1);
	w->five = create(w, "five", 5);
	fill(w, w->one);
	fill(w, w->five);
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
	return remove(path);
}

static int tear_down(void **state)
{
	struct world *w = *state;
	collection_unref(w->one);
	collection_unref(w->five);
	coord_stop(w->coord);
	meta_runtime_free(w->meta);
	shard_stop(w->shard);
	rpc_free(w->rpc);
	pool_free(w->pool);
	store_io_fini(&w->meta_io);
	store_io_fini(&w->io);
	arena_free(w->arena);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- helpers of the tests ---- */

static struct hits run(struct world *w, const struct collection *c, const struct query *q)
{
	struct waiter waiter;
	struct coord_query request = {.call = call_of(w, c, &waiter), .queries = q, .n_queries = 1};
	coord_query(w->coord, &request);
	wait_for(&waiter);
	if (request.results[0].rc != 0)
		print_error("%s\n", request.results[0].err.text);
	assert_int_equal(request.results[0].rc, 0);
	assert_true(request.results[0].complete);
	return request.results[0].hits;
}

static void assert_same_hits(const struct hits *a, const struct hits *b)
{
	assert_int_equal(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		assert_int_equal(a->items[i].id.lo, b->items[i].id.lo);
		assert_true(fabsf(a->items[i].score - b->items[i].score) < 1e-5f);
	}
}

/* Runs on both collections: the answers must agree. */
static struct hits run_both(struct world *w, const struct query *q)
{
	struct hits a = run(w, w->one, q), b = run(w, w->five, q);
	assert_same_hits(&a, &b);
	return b;
}

static struct query nearest(struct world *w, uint32_t to, uint32_t limit)
{
	return (struct query){.kind = QUERY_NEAREST,
			      .using_name = "",
			      .limit = limit,
			      .nearest = {.vector = {VECTOR_DENSE, 0, DIM, w->dense[to], NULL}}};
}

static struct query words(struct world *w, uint32_t of, uint32_t limit)
{
	return (struct query){.kind = QUERY_NEAREST,
			      .using_name = "words",
			      .limit = limit,
			      .nearest = {.vector = {VECTOR_SPARSE, 0, 2, w->sparse_value[of],
						     w->sparse_index[of]}}};
}

/* ---- the tests ---- */

static void nearest_is_exact(void **state)
{
	struct world *w = *state;
	for (uint32_t i = 0; i < 20; i++) {
		struct query q = nearest(w, i, 10);
		q.offset = i % 3;
		struct hits h = run_both(w, &q);
		assert_int_equal(h.n, 10);
		if (q.offset == 0)
			assert_int_equal(h.items[0].id.lo, i);
		for (uint32_t j = 0; j < h.n; j++) {
			float d = 0;
			for (uint32_t k = 0; k < DIM; k++)
				d += (w->dense[i][k] - w->dense[h.items[j].id.lo][k]) *
				     (w->dense[i][k] - w->dense[h.items[j].id.lo][k]);
			assert_true(fabsf(sqrtf(d) - h.items[j].score) < 1e-4f);
		}
	}
}

static void large_limits_are_clamped(void **state)
{
	struct world *w = *state;
	struct query q = nearest(w, 0, 10);
	q.limit = UINT64_MAX;
	q.payload.enabled = true;
	struct hits h = run_both(w, &q);
	assert_int_equal(h.n, N_POINTS);
	assert_non_null(h.items[N_POINTS - 1].payload.bytes);
	q.offset = N_POINTS - 5;
	assert_int_equal(run_both(w, &q).n, 5);
	q.offset = UINT64_MAX;
	assert_int_equal(run_both(w, &q).n, 0);
}

static void by_id_leaves_itself_out(void **state)
{
	struct world *w = *state;
	struct query q = nearest(w, 0, 5);
	q.kind = QUERY_ID;
	q.nearest.is_id = true;
	q.nearest.id = id_from_u64(17);
	struct hits h = run_both(w, &q);
	for (uint32_t i = 0; i < h.n; i++)
		assert_true(h.items[i].id.lo != 17);
}

/* N and n of idf are those of the whole collection. */
static void idf_is_collection_wide(void **state)
{
	struct world *w = *state;
	for (uint32_t i = 0; i < 10; i++) {
		struct query q = words(w, i, 20);
		struct hits h = run_both(w, &q);
		assert_int_equal(h.n, 20);
		double expected = 0;
		for (int k = 0; k < 2; k++) {
			double n = 0;
			uint64_t top = h.items[0].id.lo;
			for (uint32_t p = 0; p < N_POINTS; p++)
				n += w->sparse_index[p][k] == w->sparse_index[i][k];
			if (w->sparse_index[top][k] == w->sparse_index[i][k])
				expected +=
					(double)(w->sparse_value[i][k] * w->sparse_value[top][k]) *
					log((N_POINTS - n + 0.5) / (n + 0.5) + 1);
		}
		assert_true(fabs(expected - (double)h.items[0].score) < 1e-4);
	}
}

static void fusion_and_rescoring(void **state)
{
	struct world *w = *state;
	for (uint32_t i = 0; i < 10; i++) {
		struct query prefetch[2] = {nearest(w, i, 30), words(w, i, 30)};
		struct query q = {.kind = QUERY_RRF,
				  .using_name = "",
				  .limit = 10,
				  .prefetch = prefetch,
				  .n_prefetch = 2,
				  .payload.enabled = true};
		struct hits h = run_both(w, &q);
		assert_int_equal(h.n, 10);
		assert_true(h.items[0].payload.n > 0);
		q.kind = QUERY_DBSF;
		run_both(w, &q);
		struct query again = nearest(w, i + 1, 5);
		again.prefetch = prefetch;
		again.n_prefetch = 2;
		h = run_both(w, &again);
		assert_int_equal(h.n, 5);
		struct query outer = {.kind = QUERY_RRF,
				      .using_name = "",
				      .limit = 5,
				      .prefetch = &again,
				      .n_prefetch = 1};
		assert_int_equal(run_both(w, &outer).n, 5);
	}
}

static void filters_reach_prefetches(void **state)
{
	struct world *w = *state;
	struct match_value value = {.kind = MATCH_STRING, .s = "t3", .s_n = 2};
	struct cond cond = {.type = COND_MATCH_ANY, .values = &value, .n_values = 1};
	assert_int_equal(path_parse("tag", 3, w->arena, &cond.path, NULL), 0);
	struct filter filter = {.must = &cond, .n_must = 1};
	filter_prepare(&filter);
	struct query prefetch[2] = {nearest(w, 1, 30), words(w, 1, 30)};
	struct query q = {.kind = QUERY_RRF,
			  .using_name = "",
			  .limit = 100,
			  .filter = &filter,
			  .prefetch = prefetch,
			  .n_prefetch = 2};
	struct hits h = run_both(w, &q);
	assert_true(h.n > 0);
	for (uint32_t i = 0; i < h.n; i++)
		assert_int_equal(h.items[i].id.lo % N_TAGS, 3);
}

static void mmr_and_recommend(void **state)
{
	struct world *w = *state;
	struct query q = nearest(w, 4, 8);
	q.mmr = true;
	q.mmr_diversity = 0.7f;
	q.mmr_candidates = 50;
	assert_int_equal(run_both(w, &q).n, 8);
	struct query_input positive[2] = {{.is_id = true, .id = id_from_u64(3)},
					  {.is_id = true, .id = id_from_u64(9)}};
	struct query_input negative[1] = {{.is_id = true, .id = id_from_u64(30)}};
	struct query r = {.kind = QUERY_RECOMMEND,
			  .using_name = "",
			  .limit = 8,
			  .positive = positive,
			  .n_positive = 2,
			  .negative = negative,
			  .n_negative = 1};
	assert_int_equal(run_both(w, &r).n, 8);
	r.strategy = RECOMMEND_BEST;
	struct hits h = run_both(w, &r);
	assert_int_equal(h.n, 8);
	for (uint32_t i = 0; i < h.n; i++)
		assert_true(h.items[i].id.lo != 3 && h.items[i].id.lo != 9 &&
			    h.items[i].id.lo != 30);
	r.strategy = RECOMMEND_SUM;
	run_both(w, &r);
}

static void pages_of_a_scroll_meet(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	uint64_t expected = 0;
	struct coord_scroll s = {.call = call_of(w, w->five, &waiter), .limit = 33};
	for (;;) {
		coord_scroll(w->coord, &s);
		wait_for(&waiter);
		for (uint32_t i = 0; i < s.hits.n; i++)
			assert_int_equal(s.hits.items[i].id.lo, expected++);
		if (!s.has_next)
			break;
		assert_int_equal(s.hits.n, 33);
		assert_int_equal(s.next.lo, expected);
		s.scroll.has_offset = true;
		s.scroll.offset = s.next;
		s.call = call_of(w, w->five, &waiter);
	}
	assert_int_equal(expected, N_POINTS);
}

static void order_by_and_listing(void **state)
{
	struct world *w = *state;
	struct query q = {.kind = QUERY_ORDER_BY, .using_name = "", .limit = 50, .order_desc = true};
	assert_int_equal(path_parse("n", 1, w->arena, &q.order_path, NULL), 0);
	struct hits h = run_both(w, &q);
	for (uint32_t i = 0; i < h.n; i++)
		assert_true(h.items[i].order_value == (double)(N_POINTS - 1 - i));
	struct query list = {.kind = QUERY_NONE, .using_name = "", .limit = 20, .offset = 10};
	h = run_both(w, &list);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(h.items[i].id.lo, 10 + i);
	struct query sample = {.kind = QUERY_SAMPLE, .using_name = "", .limit = 50};
	h = run(w, w->five, &sample);
	assert_int_equal(h.n, 50);
}

static void groups_are_whole(void **state)
{
	struct world *w = *state;
	struct query q = nearest(w, 2, 10);
	q.payload.enabled = true;
	struct coord_groups g[2];
	const struct collection *of[2] = {w->one, w->five};
	for (int i = 0; i < 2; i++) {
		struct waiter waiter;
		g[i] = (struct coord_groups){.call = call_of(w, of[i], &waiter),
					     .query = &q,
					     .group_size = 4,
					     .n_groups_wanted = N_TAGS};
		assert_int_equal(path_parse("tag", 3, w->arena, &g[i].group_by, NULL), 0);
		coord_query_groups(w->coord, &g[i]);
		wait_for(&waiter);
		assert_int_equal(g[i].n_groups, N_TAGS);
	}
	for (uint32_t k = 0; k < N_TAGS; k++) {
		assert_int_equal(g[1].groups[k].hits.n, 4);
		assert_same_hits(&g[0].groups[k].hits, &g[1].groups[k].hits);
		for (uint32_t j = 1; j < 4; j++)
			assert_int_equal(g[1].groups[k].hits.items[j].id.lo % N_TAGS,
					 g[1].groups[k].hits.items[0].id.lo % N_TAGS);
	}
}

static void facets_and_counts_add_up(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct coord_facet f = {.call = call_of(w, w->five, &waiter), .limit = 3};
	assert_int_equal(path_parse("tag", 3, w->arena, &f.path, NULL), 0);
	coord_facet(w->coord, &f);
	wait_for(&waiter);
	assert_int_equal(f.n_values, 3);
	assert_int_equal(f.values[0].count, 58); /* 400 = 7 * 57 + 1: t0 has one more */
	struct coord_count n = {.call = call_of(w, w->five, &waiter), .exact = true};
	coord_count(w->coord, &n);
	wait_for(&waiter);
	assert_int_equal(n.count, N_POINTS);
	struct coord_info info = {.call = call_of(w, w->five, &waiter)};
	coord_info(w->coord, &info);
	wait_for(&waiter);
	assert_int_equal(info.total.points, N_POINTS);
	assert_int_equal(info.total.fields[0].points, N_POINTS);
}

static void retrieve_keeps_the_order(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct point_id ids[] = {id_from_u64(9), id_from_u64(100000), id_from_u64(3),
				 id_from_u64(9), id_from_u64(200)};
	struct coord_retrieve r = {.call = call_of(w, w->five, &waiter),
				   .ids = ids,
				   .n_ids = 5,
				   .vectors.enabled = true};
	coord_retrieve(w->coord, &r);
	wait_for(&waiter);
	assert_int_equal(r.hits.n, 3);
	assert_int_equal(r.hits.items[0].id.lo, 9);
	assert_int_equal(r.hits.items[1].id.lo, 3);
	assert_int_equal(r.hits.items[2].id.lo, 200);
	const struct vector *v = hit_vector(&r.hits.items[2], VECTOR_DENSE, 0);
	assert_memory_equal(v->values, w->dense[200], sizeof(w->dense[200]));
}

static void wrong_queries_are_refused(void **state)
{
	struct world *w = *state;
	struct query bad[4] = {nearest(w, 0, 3),
			       nearest(w, 0, 3),
			       words(w, 0, 3),
			       {.kind = QUERY_RRF, .using_name = "", .limit = 3}};
	bad[0].nearest.vector.n = DIM - 1;
	bad[1].using_name = "nowhere";
	bad[2].using_name = "";
	struct waiter waiter;
	struct coord_query request = {.call = call_of(w, w->five, &waiter),
				      .queries = bad,
				      .n_queries = 4};
	coord_query(w->coord, &request);
	wait_for(&waiter);
	for (int i = 0; i < 4; i++)
		assert_int_equal(request.results[i].rc, ERR_INPUT);
	assert_string_equal(request.results[0].err.text,
			    "Vector dimension error: expected dim: 8, got 7");
	assert_string_equal(request.results[1].err.text, "Not existing vector name error: nowhere");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nearest_is_exact),
		cmocka_unit_test(large_limits_are_clamped),
		cmocka_unit_test(by_id_leaves_itself_out),
		cmocka_unit_test(idf_is_collection_wide),
		cmocka_unit_test(fusion_and_rescoring),
		cmocka_unit_test(filters_reach_prefetches),
		cmocka_unit_test(mmr_and_recommend),
		cmocka_unit_test(pages_of_a_scroll_meet),
		cmocka_unit_test(order_by_and_listing),
		cmocka_unit_test(groups_are_whole),
		cmocka_unit_test(facets_and_counts_add_up),
		cmocka_unit_test(retrieve_keeps_the_order),
		cmocka_unit_test(wrong_queries_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
