/* Codec of filters: every kind of condition comes back, limits hold, damage is refused or
 * harmless. */
#include "tests/unit/arena.h"
#include "tests/unit/model/conds.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "base/limits.h"
#include <math.h>

/* One of each. */
static struct filter *sample(void)
{
	struct point_id ids[] = {id_from_u64(9), {1, 2, ID_UUID, 0}, id_from_u64(7)};
	struct geo_ring rings[] = {RING({0, 0}, {10, 0}, {10, 10}), RING({1, 1}, {2, 1}, {2, 2})};
	struct range range = {.has_lt = true, .lt = 5.5, .has_gte = true, .gte = -1};
	struct range times = {.has_lte = true, .lte_us = INT64_MAX, .has_gt = true, .gt_us = -5};
	struct filter *f =
		MUST(MATCH_ANY("a.b", string_value("z"), int_value(-3), bool_value(true)),
		     MATCH_EXCEPT("a[]", string_value("")), text_cond(COND_MATCH_TEXT, "t", "x y"),
		     text_cond(COND_MATCH_TEXT_ANY, "t", ""),
		     text_cond(COND_MATCH_PHRASE, "t", "p"), range_cond(COND_RANGE, "n", range),
		     range_cond(COND_DATETIME_RANGE, "d", times));
	struct filter *should = SHOULD(path_cond(COND_IS_EMPTY, "e"), path_cond(COND_IS_NULL, "e"),
				       ids_cond(ids, 3), text_cond(COND_HAS_VECTOR, "x", "img"),
				       range_cond(COND_VALUES_COUNT, "v", range));
	struct filter *must_not =
		MUST_NOT(radius_cond("g", 1, 2, 3.5), box_cond("g", 1, 4, 3, 2),
			 polygon_cond("g", rings, 2),
			 filter_cond(MUST(path_cond(COND_IS_NULL, "q"))),
			 nested_cond("x[].y", SHOULD(path_cond(COND_IS_EMPTY, "z"))));
	struct filter *min_should = MIN_SHOULD(path_cond(COND_IS_NULL, "m"), filter_cond(NULL));
	f->should = should->should;
	f->n_should = should->n_should;
	f->must_not = must_not->must_not;
	f->n_must_not = must_not->n_must_not;
	f->min_should = min_should->min_should;
	f->n_min_should = min_should->n_min_should;
	f->min_count = 1;
	return f;
}

static struct filter *decoded(const struct buf *b)
{
	struct filter *f;
	struct error err = {0};
	struct reader r = reader_make(b->data, b->len);
	assert_int_equal(filter_decode(&r, arena, &f, &err), 0);
	assert_true(reader_done(&r));
	return f;
}

static void every_condition_comes_back(void **state)
{
	struct filter *f = sample();
	filter_prepare(f); /* decoding sorts, so the sample must be sorted to be the same */
	struct buf b = BUF_INIT, again = BUF_INIT;
	filter_encode(&b, f);
	struct filter *copy = decoded(&b);
	filter_encode(&again, copy);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	/* Nothing may be borrowed from the bytes. */
	memset(b.data, 0xEE, b.len);
	assert_string_equal(copy->must[0].path.text, "a.b");
	assert_int_equal(copy->must[0].path.n_steps, 2);
	assert_int_equal(copy->must[0].n_values, 3);
	assert_true(copy->must[0].sorted);
	assert_memory_equal(copy->must[2].text, "x y", 3);
	assert_true(copy->must[5].range.has_lt && copy->must[5].range.lt == 5.5);
	assert_true(!copy->must[5].range.has_lte && copy->must[5].range.has_gte);
	assert_true(copy->must[6].range.lte_us == INT64_MAX && copy->must[6].range.gt_us == -5);
	assert_int_equal(copy->should[2].ids[0].lo, 7);
	assert_true(copy->must_not[0].radius_m == 3.5);
	assert_int_equal(copy->must_not[2].n_rings, 2);
	assert_true(copy->must_not[2].rings[1].points[2].lat == 2);
	assert_string_equal(copy->must_not[4].filter->should[0].path.text, "z");
	assert_null(copy->min_should[1].filter);
	assert_int_equal(copy->min_count, 1);
	buf_fini(&b);
	buf_fini(&again);
}

static void no_filter_comes_back_as_none(void **state)
{
	struct buf b = BUF_INIT;
	filter_encode(&b, NULL);
	assert_int_equal(b.len, 1);
	assert_null(decoded(&b));
	buf_fini(&b);
}

static const char document[] =
	"{'a':[{'b':'z'},{'b':-3}],'t':'x y p','n':3,'d':'2024-01-01','e':[null],'v':[1,2],"
	"'g':{'lon':1.5,'lat':1.2},'q':null,'x':[{'y':[{'z':1},{}]}],'m':null}";

static int decode(struct reader *r, struct arena *a)
{
	struct filter *f;
	struct error err = {0};
	int rc = filter_decode(r, a, &f, &err);
	if (rc != 0) {
		assert_null(f);
		assert_string_equal(err.text, "a filter is malformed");
		return rc;
	}
	struct buf b = BUF_INIT;
	filter_encode(&b, f);
	buf_fini(&b);
	struct point_id id = id_from_u64(7);
	struct filter_point p = {.id = &id, .payload = doc(a, document)};
	filter_match(f, &p, NULL);
	/* A filter stops at the first condition that decides; look at all of them. */
	for (uint32_t i = 0; f != NULL && i < f->n_must; i++)
		cond_match(&f->must[i], &p, NULL);
	for (uint32_t i = 0; f != NULL && i < f->n_should; i++)
		cond_match(&f->should[i], &p, NULL);
	for (uint32_t i = 0; f != NULL && i < f->n_must_not; i++)
		cond_match(&f->must_not[i], &p, NULL);
	return 0;
}

static void damaged_bytes_are_refused_or_usable(void **state)
{
	struct buf b = BUF_INIT;
	filter_encode(&b, sample());
	assert_decoder_is_safe(decode, b.data, b.len);
	buf_fini(&b);
}

static int decode_result(const struct filter *f)
{
	struct buf b = BUF_INIT;
	struct filter *out;
	filter_encode(&b, f);
	struct reader r = reader_make(b.data, b.len);
	int rc = filter_decode(&r, arena, &out, NULL);
	buf_fini(&b);
	return rc;
}

static void depth_is_limited(void **state)
{
	struct filter *f = MUST(path_cond(COND_IS_NULL, "a"));
	for (int depth = 1; depth <= LIMIT_FILTER_DEPTH; depth++) {
		assert_int_equal(decode_result(f), 0);
		f = depth % 2 ? MUST(filter_cond(f)) : MUST_NOT(nested_cond("a", f));
	}
	assert_int_equal(decode_result(f), ERR_FORMAT);
}

static void the_number_of_conditions_is_limited(void **state)
{
	static struct cond conds[LIMIT_FILTER_NODES];
	for (int i = 0; i < LIMIT_FILTER_NODES; i++)
		conds[i] = path_cond(COND_IS_NULL, "a");
	struct filter *f = clause_of(CLAUSE_SHOULD, conds, LIMIT_FILTER_NODES);
	assert_int_equal(decode_result(f), 0);
	assert_int_equal(decode_result(MUST(filter_cond(f))), ERR_FORMAT);
	struct cond one = conds[0];
	f->must = &one;
	f->n_must = 1;
	assert_int_equal(decode_result(f), ERR_FORMAT);
}

static void what_means_nothing_is_refused(void **state)
{
	struct range nan = {.has_lt = true, .lt = NAN};
	struct match_value three = {MATCH_BOOL, 3, NULL, 0};
	struct cond pathless = {.type = COND_IS_NULL};
	assert_int_equal(decode_result(MUST(range_cond(COND_RANGE, "a", nan))), ERR_FORMAT);
	assert_int_equal(decode_result(MUST(radius_cond("a", NAN, 0, 1))), ERR_FORMAT);
	assert_int_equal(decode_result(MUST(values_cond(COND_MATCH_ANY, "a", &three, 1))),
			 ERR_FORMAT);
	assert_int_equal(decode_result(MUST(pathless)), ERR_FORMAT);
}

static void long_lists_are_searched_in_order(void **state)
{
	enum { N = 1000 };
	static struct match_value values[N];
	static struct point_id ids[N];
	for (int i = 0; i < N; i++) {
		values[i] = int_value((i * 7919) % N * 2);
		ids[i] = id_from_u64((uint64_t)((i * 7919) % N * 2));
	}
	struct buf b = BUF_INIT;
	filter_encode(&b, MUST(values_cond(COND_MATCH_ANY, "a", values, N), ids_cond(ids, N)));
	struct filter *f = decoded(&b);
	for (int i = -1; i < 2 * N + 1; i++) {
		bool even = i >= 0 && i < 2 * N && i % 2 == 0;
		struct point_id id = id_from_u64((uint64_t)(int64_t)i);
		struct filter_point p = {.id = &id,
					 .payload = doc(arena, arena_printf(arena, "{'a':%d}", i))};
		assert_int_equal(cond_match(&f->must[0], &p, NULL), even);
		assert_int_equal(cond_match(&f->must[1], &p, NULL), even);
	}
	buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
	const struct CMUnitTest tests[] = {
		TEST(every_condition_comes_back),          TEST(no_filter_comes_back_as_none),
		TEST(damaged_bytes_are_refused_or_usable), TEST(depth_is_limited),
		TEST(the_number_of_conditions_is_limited), TEST(what_means_nothing_is_refused),
		TEST(long_lists_are_searched_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
