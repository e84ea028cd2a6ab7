/* What a segment keeps of its newest filters: which, how many, for how long; and that searches under them see every
 * write. */
#include "tests/unit/shard/fixture.h"
#include "base/prng.h"
#include "shard/filters.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 200 };

static struct buf key_of(uint32_t number)
{
	struct buf key = BUF_INIT;

	buf_put_u64(&key, 1);
	buf_put_u32(&key, number);
	return key;
}

/* Rows that only this number has. */
static void keep(struct filters *f, uint32_t number)
{
	struct buf key = key_of(number);
	struct filter_rows *rows = filter_rows_new(BITS);

	bitset_set(&rows->bits, number % BITS);
	rows->n = 1;
	filters_keep(f, &key, rows);
	filter_rows_unref(rows);
	buf_fini(&key);
}

static bool is_kept(struct filters *f, uint32_t number)
{
	struct buf key = key_of(number);
	struct filter_rows *rows = filters_find(f, &key);

	buf_fini(&key);
	if (!rows)
		return false;
	assert_int_equal(rows->n, 1);
	assert_true(bitset_get(&rows->bits, number % BITS));
	filter_rows_unref(rows);
	return true;
}

static void the_newest_are_kept(void **state)
{
	struct filters f;
	uint64_t bytes;

	filters_init(&f);
	assert_int_equal(filters_bytes(&f), 0);
	for (uint32_t i = 0; i < FILTERS_KEPT; i++) {
		assert_false(is_kept(&f, i));
		keep(&f, i);
		keep(&f, i); /* two threads may */
	}
	for (uint32_t i = 0; i < FILTERS_KEPT; i++)
		assert_true(is_kept(&f, i));
	bytes = filters_bytes(&f);
	assert_true(bytes >= FILTERS_KEPT * BITS / 8);
	for (uint32_t i = 0; i < FILTERS_KEPT; i++) {
		assert_true(is_kept(&f, 5)); /* what is asked for stays */
		keep(&f, 1000 + i);
	}
	assert_int_equal(filters_bytes(&f), bytes);
	assert_true(is_kept(&f, 5));
	assert_false(is_kept(&f, 6));
	assert_false(is_kept(&f, 1000));
	assert_true(is_kept(&f, 1001));
	filters_fini(&f);
	(void)state;
}

static void who_holds_one_may_go_on(void **state)
{
	struct filters f;
	struct buf key = key_of(3), longer = BUF_INIT;
	struct filter_rows *rows, *none = filter_rows_new(BITS);

	filters_init(&f);
	keep(&f, 3);
	rows = filters_find(&f, &key);
	for (uint32_t i = 0; i < FILTERS_KEPT; i++)
		keep(&f, 50 + i);
	assert_null(filters_find(&f, &key));
	assert_true(bitset_get(&rows->bits, 3));
	filter_rows_unref(rows);
	buf_put(&longer, (char[FILTER_KEY_MOST + 1]){0}, FILTER_KEY_MOST + 1);
	filters_keep(&f, &longer, none);
	assert_null(filters_find(&f, &longer));
	filter_rows_unref(none);
	buf_fini(&longer);
	buf_fini(&key);
	filters_fini(&f);
	(void)state;
}

static void *ask_and_keep(void *arg)
{
	for (uint32_t i = 0; i < 5000; i++)
		if (!is_kept(arg, i * 7 % (FILTERS_KEPT + 5)))
			keep(arg, i * 7 % (FILTERS_KEPT + 5));
	return NULL;
}

static void any_number_of_threads(void **state)
{
	struct filters f;
	pthread_t threads[4];

	filters_init(&f);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_and_keep, &f), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	filters_fini(&f);
	(void)state;
}

/* ---- searches ---- */

enum { POINTS = 400, DIM = 4, ROUNDS = 30 };

struct truth {
	bool there[POINTS], has_vector[POINTS];
	int64_t n[POINTS];
};

static void write_some(struct fixture *f, struct prng *p, struct truth *t)
{
	uint32_t first = (uint32_t)prng_below(p, POINTS - 60), n = 60;
	struct point *points = arena_zalloc(f->arena, n * sizeof *points);
	struct write upsert = {.op = {.type = OP_UPSERT, .n_points = n, .points = points}};
	struct write drop = {.op = {.type = OP_DELETE, .n_ids = 3}};

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = first + i;
		float v[DIM] = {(float)at};

		t->there[at] = true;
		t->n[at] = (int64_t)prng_below(p, 10);
		t->has_vector[at] = prng_below(p, 8) > 0;
		test_point(f->arena, &points[i], at, v, DIM,
			   test_payload(f->arena, t->n[at], "a b"));
		if (!t->has_vector[at])
			points[i].n_vectors = 0;
	}
	fixture_write(f, &upsert);
	drop.op.ids = arena_zalloc(f->arena, 3 * sizeof *drop.op.ids);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t at = (uint32_t)prng_below(p, POINTS);

		drop.op.ids[i] = test_id(at);
		t->there[at] = false;
	}
	fixture_write(f, &drop);
}

static uint32_t found(struct fixture *f, struct filter *filter, struct hits *hits)
{
	float query[DIM] = {1, 2, 3, 4};
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, DIM, query, NULL},
			    .top = POINTS,
			    .filter = filter};
	struct rpc_search_request request = {.target = fixture_target(f, 0),
					     .leaves = &leaf,
					     .n_leaves = 1};
	struct rpc_search_response out = {0};

	assert_int_equal(fixture_call(f, RPC_TYPE_search, &request, &out), 0);
	*hits = out.hits[0];
	return out.hits[0].n;
}

/* The same few filters are asked for after every write. */
static void check(struct fixture *f, const struct truth *t)
{
	for (int64_t from = 0; from < 8; from++) {
		struct hits hits;
		uint32_t want = 0;

		found(f, test_range(f->arena, (double)from, (double)from + 2), &hits);
		for (uint32_t i = 0; i < POINTS; i++) {
			struct point_id id = test_id(i);
			bool got = false, wanted = t->there[i] && t->has_vector[i] &&
						   t->n[i] >= from && t->n[i] < from + 2;

			for (uint32_t j = 0; j < hits.n; j++)
				got |= id_equal(&hits.items[j].id, &id);
			assert_int_equal(got, wanted);
			want += wanted;
		}
		assert_int_equal(hits.n, want);
	}
}

static void searches_see_every_write(void **state)
{
	struct truth *t = calloc(1, sizeof *t);
	struct fixture f;
	struct prng p;

	for (int indexed = 0; indexed < 2; indexed++) {
		*t = (struct truth){0};
		fixture_init(&f);
		fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
		f.options.seal_rows = 100;
		f.options.seal_idle_ms = 20;
		fixture_start(&f);
		if (indexed)
			fixture_add_field(&f, "n", FIELD_INTEGER);
		prng_seed(&p, 7);
		for (int round = 0; round < ROUNDS; round++) {
			write_some(&f, &p, t);
			check(&f, t);
			if (round % 4 == 3)
				fixture_settle(&f);
			check(&f, t);
			arena_reset(f.arena);
		}
		fixture_fini(&f);
	}
	free(t);
	(void)state;
}

static struct filter *text_filter(struct fixture *f, const char *text)
{
	struct filter *filter = arena_zalloc(f->arena, sizeof *filter);

	filter->must = arena_zalloc(f->arena, sizeof *filter->must);
	filter->n_must = 1;
	filter->must[0].type = COND_MATCH_TEXT;
	path_parse("tag", 3, f->arena, &filter->must[0].path, NULL);
	filter->must[0].text = text;
	filter->must[0].text_n = (uint32_t)strlen(text);
	return filter;
}

/* A text index changes what a filter means: words count, and no longer any piece of the text. */
static void a_new_index_changes_the_meaning(void **state)
{
	struct truth *t = calloc(1, sizeof *t);
	struct fixture f;
	struct hits hits;
	struct prng p;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
	f.options.seal_rows = 50;
	fixture_start(&f);
	prng_seed(&p, 3);
	write_some(&f, &p, t);
	fixture_settle(&f);
	assert_true(found(&f, text_filter(&f, "b a"), &hits) == 0);
	assert_true(found(&f, text_filter(&f, "a b"), &hits) > 0);
	fixture_add_field(&f, "tag", FIELD_TEXT);
	fixture_settle(&f);
	assert_true(found(&f, text_filter(&f, "b a"), &hits) > 0);
	fixture_fini(&f);
	free(t);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_are_kept),
		cmocka_unit_test(who_holds_one_may_go_on),
		cmocka_unit_test(any_number_of_threads),
		cmocka_unit_test(searches_see_every_write),
		cmocka_unit_test(a_new_index_changes_the_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
