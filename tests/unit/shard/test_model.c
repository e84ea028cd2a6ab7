/* Random operations against a simple model, with seals, compactions, index builds and restarts in
 * between. */
#include "tests/unit/shard/model.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>

struct plan {
	uint64_t seed;
	enum distance distance[2];
	enum index_kind kind;
	uint32_t steps;
};

static void run(const struct plan *plan)
{
	struct fixture f;
	struct model *m = mem_zalloc(sizeof *m);
	uint64_t digest, compactions = 0;

	m->distance[0] = plan->distance[0];
	m->distance[1] = plan->distance[1];
	prng_seed(&m->random, plan->seed);
	print_message("seed %llu\n", (unsigned long long)plan->seed);
	fixture_init(&f);
	f.options.seal_rows = 120;
	f.options.index_min_rows = 60;
	f.options.seal_idle_ms = 10;
	f.options.segment_max_rows = 2000;
	model_schema(&f, m, plan->kind);
	fixture_start(&f);
	for (uint32_t i = 0; i < plan->steps; i++) {
		model_step(m, &f);
		if (prng_below(&m->random, 8) == 0)
			model_check(m, &f);
		if (prng_below(&m->random, 150) == 0) {
			digest = fixture_info(&f).digest;
			compactions += fixture_counter(&f, "compactions_total");
			fixture_stop(&f);
			fixture_start(&f);
			assert_int_equal(fixture_info(&f).applied_seq, m->seq);
			assert_int_equal(fixture_info(&f).digest, digest);
			model_check(m, &f);
		}
	}
	fixture_settle(&f);
	model_check(m, &f);
	if (compactions == 0)
		fixture_wait_for(&f, "compactions_total", 1);
	assert_true(model_recall(m, &f, 50) >= 0.95);
	fixture_stop(&f);
	fixture_start(&f);
	model_check(m, &f);
	assert_int_equal(fixture_info(&f).status, REPLICA_GREEN);
	fixture_fini(&f);
	free(m);
}

static void agrees_with_hnsw(void **state)
{
	run(&(struct plan){1, {DISTANCE_COSINE, DISTANCE_EUCLID}, INDEX_HNSW, 1500});
	run(&(struct plan){2, {DISTANCE_DOT, DISTANCE_MANHATTAN}, INDEX_HNSW, 800});
	(void)state;
}

static void agrees_with_flat(void **state)
{
	run(&(struct plan){3, {DISTANCE_MANHATTAN, DISTANCE_COSINE}, INDEX_FLAT, 1500});
	(void)state;
}

static void agrees_with_ivf(void **state)
{
	run(&(struct plan){4, {DISTANCE_EUCLID, DISTANCE_DOT}, INDEX_IVF, 500});
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_hnsw),
		cmocka_unit_test(agrees_with_flat),
		cmocka_unit_test(agrees_with_ivf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
