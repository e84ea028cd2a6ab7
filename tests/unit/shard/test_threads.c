/* Writers and searchers at once, while segments are sealed, merged and indexed under them. Each
 * writer owns a range of ids and checks that it reads its own writes; searchers check that no
 * answer holds a point twice or out of order. Meant for ThreadSanitizer too. */
#include "tests/unit/shard/fixture.h"
#include "base/prng.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 8, WRITERS = 2, SEARCHERS = 2, STEPS = 250, RANGE = 400 };

struct actor {
	struct fixture *f;
	struct rpc_target target;
	uint32_t number;
	struct prng random;
	struct arena *arena;
	int64_t value[RANGE]; /* of the writer's ids; -1: deleted */
	bool stop;
};

static void done(struct rpc_call *call)
{
	sem_post(call->ctx);
}

static int call_once(struct actor *a, enum rpc_type type, const void *request, void *response)
{
	sem_t finished;
	struct rpc_call call = {
		.type = type,
		.request = request,
		.response = response,
		.arena = a->arena,
		.done = done,
		.ctx = &finished,
	};

	sem_init(&finished, 0, 0);
	rpc_send(a->f->rpc, 1, &call);
	while (sem_wait(&finished))
		;
	sem_destroy(&finished);
	return call.rc;
}

static int write_some(struct actor *a, uint32_t at, int64_t value)
{
	uint32_t n = 1 + (uint32_t)prng_below(&a->random, 20);
	struct point points[20];
	struct write w = {.op = {.type = OP_UPSERT, .points = points}};
	struct rpc_write_request request = {a->target, &w};
	struct rpc_write_response out = {0};
	int rc;

	if (at + n > RANGE)
		n = RANGE - at;
	w.op.n_points = n;
	for (uint32_t i = 0; i < n; i++) {
		float v[DIM];

		for (int d = 0; d < DIM; d++)
			v[d] = prng_gauss(&a->random);
		test_point(a->arena, &points[i], a->number * RANGE + at + i, v, DIM,
			   test_payload(a->arena, value, "a"));
	}
	while ((rc = call_once(a, RPC_TYPE_write, &request, &out)) == ERR_BUSY)
		;
	for (uint32_t i = 0; i < n; i++)
		a->value[at + i] = value;
	return rc;
}

static int delete_some(struct actor *a, uint32_t at)
{
	struct point_id id = test_id(a->number * RANGE + at);
	struct write w = {.op = {.type = OP_DELETE, .n_ids = 1, .ids = &id}};
	struct rpc_write_request request = {a->target, &w};
	struct rpc_write_response out = {0};
	int rc;

	while ((rc = call_once(a, RPC_TYPE_write, &request, &out)) == ERR_BUSY)
		;
	if (rc == 0 && out.changed != (a->value[at] >= 0))
		abort();
	a->value[at] = -1;
	return rc;
}

/* What the writer acknowledged is what it reads. */
static void check_own(struct actor *a)
{
	struct point_id ids[RANGE];
	struct rpc_retrieve_request request = {.target = a->target, .ids = ids, .n_ids = RANGE};
	struct rpc_retrieve_response out = {0};
	uint32_t at = 0;

	request.payload.enabled = true;
	for (uint32_t i = 0; i < RANGE; i++)
		ids[i] = test_id(a->number * RANGE + i);
	if (call_once(a, RPC_TYPE_retrieve, &request, &out))
		abort();
	for (uint32_t i = 0; i < RANGE; i++) {
		struct pv n;

		if (a->value[i] < 0)
			continue;
		if (at >= out.hits.n || !id_equal(&out.hits.items[at].id, &ids[i]))
			abort();
		if (!pv_get(pv_of(out.hits.items[at].payload.bytes), "n", 1, &n) ||
		    pv_int(n) != a->value[i])
			abort();
		at++;
	}
	if (at != out.hits.n)
		abort();
}

static void *writer(void *arg)
{
	struct actor *a = arg;

	for (uint32_t i = 0; i < RANGE; i++)
		a->value[i] = -1;
	for (int64_t step = 0; step < STEPS; step++) {
		uint32_t at = (uint32_t)prng_below(&a->random, RANGE);
		int rc = prng_below(&a->random, 3) ? write_some(a, at, step) : delete_some(a, at);

		if (rc)
			abort();
		if (step % 10 == 0)
			check_own(a);
		arena_reset(a->arena);
	}
	check_own(a);
	return NULL;
}

static void search_once(struct actor *a)
{
	float v[DIM];
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, DIM, v, NULL}, .top = 20};
	struct rpc_search_request request = {.target = a->target, .leaves = &leaf, .n_leaves = 1};
	struct rpc_search_response out = {0};

	for (int d = 0; d < DIM; d++)
		v[d] = prng_gauss(&a->random);
	leaf.params.exact = prng_below(&a->random, 2);
	if (prng_below(&a->random, 2))
		leaf.filter = test_range(a->arena, 0, STEPS / 2);
	if (call_once(a, RPC_TYPE_search, &request, &out))
		abort();
	for (uint32_t i = 0; i < out.hits[0].n; i++)
		for (uint32_t j = 0; j < i; j++)
			if (id_equal(&out.hits[0].items[i].id, &out.hits[0].items[j].id) ||
			    out.hits[0].items[j].score > out.hits[0].items[i].score)
				abort();
}

static void scroll_once(struct actor *a)
{
	struct rpc_scroll_request request = {.target = a->target, .limit = 100};
	struct rpc_scroll_response out = {0};

	request.order = prng_below(&a->random, 2) ? SCROLL_BY_ID : SCROLL_RANDOM;
	request.has_offset = true;
	request.offset = test_id(prng_below(&a->random, RANGE));
	if (call_once(a, RPC_TYPE_scroll, &request, &out))
		abort();
	for (uint32_t i = 1; i < out.hits.n && request.order == SCROLL_BY_ID; i++)
		if (id_compare(&out.hits.items[i - 1].id, &out.hits.items[i].id) >= 0)
			abort();
}

static void *searcher(void *arg)
{
	struct actor *a = arg;
	struct rpc_info_request info = {a->target};

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		struct rpc_info_response state = {0};

		search_once(a);
		scroll_once(a);
		if (call_once(a, RPC_TYPE_info, &info, &state))
			abort();
		arena_reset(a->arena);
	}
	return NULL;
}

static void everybody_at_once(void **state)
{
	static struct actor actors[WRITERS + SEARCHERS];
	struct fixture f;
	pthread_t threads[WRITERS + SEARCHERS];
	uint64_t expected = 0;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_HNSW);
	f.options.seal_rows = 150;
	f.options.index_min_rows = 60;
	f.options.seal_idle_ms = 5;
	fixture_start(&f);
	for (uint32_t i = 0; i < WRITERS + SEARCHERS; i++) {
		actors[i] = (struct actor){.f = &f,
					   .target = fixture_target(&f, 0),
					   .number = i,
					   .arena = arena_new(1 << 16)};
		prng_seed(&actors[i].random, i + 1);
		pthread_create(&threads[i], NULL, i < WRITERS ? writer : searcher, &actors[i]);
	}
	fixture_add_field(&f, "n", FIELD_INTEGER); /* a new schema in between */
	for (uint32_t i = 0; i < WRITERS + SEARCHERS; i++) {
		if (i == WRITERS)
			for (uint32_t j = WRITERS; j < WRITERS + SEARCHERS; j++)
				__atomic_store_n(&actors[j].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
	}
	for (uint32_t i = 0; i < WRITERS; i++)
		for (uint32_t j = 0; j < RANGE; j++)
			expected += actors[i].value[j] >= 0;
	assert_int_equal(fixture_count(&f, NULL), expected);
	fixture_wait_for(&f, "compactions_total", 1);
	assert_int_equal(fixture_count(&f, NULL), expected);
	for (uint32_t i = 0; i < WRITERS; i++)
		check_own(&actors[i]);
	fixture_stop(&f);
	fixture_start(&f);
	assert_int_equal(fixture_count(&f, NULL), expected);
	for (uint32_t i = 0; i < WRITERS + SEARCHERS; i++)
		arena_free(actors[i].arena);
	fixture_fini(&f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
