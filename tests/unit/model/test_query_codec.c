/* Codecs of results and of leaf searches. */
#include "tests/unit/arena.h"
#include "tests/unit/model/conds.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "base/limits.h"
#include "model/query.h"
#include <math.h>

static struct hit hit_of(uint64_t id, float score)
{
	return (struct hit){.id = id_from_u64(id), .score = score};
}

static const float values[] = {1, 2, 3};
static const uint32_t indices[] = {1, 5, 9};

static struct hits sample_hits(void)
{
	static struct vector vectors[] = {{VECTOR_DENSE, 0, 3, values, NULL},
					  {VECTOR_SPARSE, 1, 3, values, indices}};
	struct hit items[] = {hit_of(5, 0.25f), hit_of(6, -3), hit_of(7, 1)};
	items[0].version = 99;
	items[0].order_value = 1e18;
	items[0].payload = doc_slice(arena, "{'a':'b'}");
	items[0].vectors = vectors;
	items[0].n_vectors = 2;
	items[0].has_vectors = true;
	items[1].payload = (struct pv_slice){PV_EMPTY_OBJECT.bytes, 0};
	items[1].has_vectors = true;
	return (struct hits){arena_copy(arena, items, sizeof(items)), 3};
}

static void hits_come_back(void **state)
{
	struct hits h = sample_hits(), got;
	struct buf b = BUF_INIT;
	hits_encode(&b, &h);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(hits_decode(&r, arena, &got, NULL), 0);
	assert_true(reader_done(&r));
	assert_int_equal(got.n, 3);
	assert_int_equal(got.items[0].id.lo, 5);
	assert_int_equal(got.items[0].version, 99);
	assert_true(got.items[0].score == 0.25f && got.items[0].order_value == 1e18);
	assert_string_equal(doc_text(arena, pv_of(got.items[0].payload.bytes)), "{'a':'b'}");
	assert_int_equal(got.items[0].n_vectors, 2);
	assert_memory_equal(got.items[0].vectors[1].indices, indices, sizeof(indices));
	/* Asked for and empty is not the same as not asked for. */
	assert_string_equal(doc_text(arena, pv_of(got.items[1].payload.bytes)), "{}");
	assert_true(got.items[1].has_vectors);
	assert_int_equal(got.items[1].n_vectors, 0);
	assert_null(got.items[2].payload.bytes);
	assert_false(got.items[2].has_vectors);
	buf_fini(&b);
}

static int decode_hits(struct reader *r, struct arena *a)
{
	struct hits h;
	int rc = hits_decode(r, a, &h, NULL);
	if (rc != 0) {
		assert_int_equal(h.n, 0);
		return rc;
	}
	struct buf b = BUF_INIT;
	hits_encode(&b, &h);
	buf_fini(&b);
	for (uint32_t i = 0; i < h.n; i++)
		hit_keep(a, &h.items[i]);
	return 0;
}

static void damaged_hits_are_refused_or_usable(void **state)
{
	struct hits h = sample_hits();
	struct buf b = BUF_INIT;
	hits_encode(&b, &h);
	assert_decoder_is_safe(decode_hits, b.data, b.len);
	buf_fini(&b);
}

static void a_kept_hit_borrows_nothing(void **state)
{
	struct hits h = sample_hits(), got;
	struct buf b = BUF_INIT;
	struct arena *other = arena_new(0);
	hits_encode(&b, &h);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(hits_decode(&r, other, &got, NULL), 0);
	struct hit kept = got.items[0];
	hit_keep(arena, &kept);
	arena_free(other);
	buf_fini(&b);
	assert_string_equal(doc_text(arena, pv_of(kept.payload.bytes)), "{'a':'b'}");
	assert_memory_equal(kept.vectors[0].values, values, sizeof(values));
	assert_memory_equal(kept.vectors[1].indices, indices, sizeof(indices));
}

static struct leaf sample_leaf(void)
{
	static float idf[] = {0.5f, 1, 2};
	static struct vector_name names[] = {{"img", 3}, {"", 0}};
	struct path paths[] = {path_to("a.b"), path_to("c")};
	struct leaf l = {.partition = 3,
			 .vector = {VECTOR_SPARSE, 1, 3, values, indices},
			 .idf = idf,
			 .filter = MUST(MATCH_ANY("a", int_value(4))),
			 .params = {.ef = 128,
				    .nprobe = 8,
				    .exact = true,
				    .no_rescore = true,
				    .oversampling = 1.5f,
				    .min_recall = 0.9f,
				    .budget_us = 1000},
			 .top = LIMIT_TOP,
			 .has_threshold = true,
			 .threshold = 0.25f};
	l.payload = (struct select_payload){.enabled = true,
					    .exclude = true,
					    .paths = arena_copy(arena, paths, sizeof(paths)),
					    .n_paths = 2};
	l.vectors = (struct select_vectors){.enabled = true, .names = names, .n_names = 2};
	return l;
}

static void leaves_come_back(void **state)
{
	struct leaf l = sample_leaf(), got;
	struct buf b = BUF_INIT, again = BUF_INIT;
	leaf_encode(&b, &l);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(leaf_decode(&r, arena, &got, NULL), 0);
	assert_true(reader_done(&r));
	leaf_encode(&again, &got);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
	memset(b.data, 0xEE, b.len); /* nothing is borrowed */
	assert_int_equal(got.partition, 3);
	assert_memory_equal(got.vector.indices, indices, sizeof(indices));
	assert_memory_equal(got.idf, l.idf, sizeof(values));
	assert_int_equal(got.filter->n_must, 1);
	assert_int_equal(got.params.ef, 128);
	assert_true(got.params.exact && got.params.no_rescore && !got.params.indexed_only);
	assert_true(got.params.min_recall == 0.9f && got.params.budget_us == 1000);
	assert_int_equal(got.top, LIMIT_TOP);
	assert_true(got.has_threshold && got.threshold == 0.25f);
	assert_true(got.payload.enabled && got.payload.exclude);
	assert_false(got.payload.none || got.vectors.none);
	assert_string_equal(got.payload.paths[0].text, "a.b");
	assert_string_equal(got.vectors.names[0].name, "img");
	assert_int_equal(got.vectors.names[1].n, 0);
	buf_fini(&b);
	buf_fini(&again);
}

static int decode_leaf(struct reader *r, struct arena *a)
{
	struct leaf l;
	int rc = leaf_decode(r, a, &l, NULL);
	if (rc != 0)
		return rc;
	assert_true(l.params.ef <= LIMIT_EF);
	assert_true(vector_finite(l.vector.values, l.vector.n));
	struct buf b = BUF_INIT;
	leaf_encode(&b, &l);
	buf_fini(&b);
	return 0;
}

static void damaged_leaves_are_refused_or_usable(void **state)
{
	struct leaf l = sample_leaf();
	struct buf b = BUF_INIT;
	leaf_encode(&b, &l);
	assert_decoder_is_safe(decode_leaf, b.data, b.len);
	buf_fini(&b);
}

static int leaf_result(const struct leaf *l)
{
	struct buf b = BUF_INIT;
	struct leaf got;
	leaf_encode(&b, l);
	struct reader r = reader_make(b.data, b.len);
	int rc = leaf_decode(&r, arena, &got, NULL);
	buf_fini(&b);
	return rc;
}

static void leaves_beyond_the_limits_are_refused(void **state)
{
	struct leaf l = sample_leaf();
	l.params.ef = LIMIT_EF + 1;
	assert_int_equal(leaf_result(&l), ERR_FORMAT);
	l = sample_leaf();
	l.threshold = NAN;
	assert_int_equal(leaf_result(&l), ERR_FORMAT);
	l = sample_leaf();
	l.params.oversampling = INFINITY;
	assert_int_equal(leaf_result(&l), ERR_FORMAT);
	/* Factors belong to sparse vectors. */
	l = sample_leaf();
	l.vector = (struct vector){VECTOR_DENSE, 1, 3, values, NULL};
	assert_int_equal(leaf_result(&l), ERR_FORMAT);
	l.idf = NULL;
	assert_int_equal(leaf_result(&l), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
	const struct CMUnitTest tests[] = {
		TEST(hits_come_back),
		TEST(damaged_hits_are_refused_or_usable),
		TEST(a_kept_hit_borrows_nothing),
		TEST(leaves_come_back),
		TEST(damaged_leaves_are_refused_or_usable),
		TEST(leaves_beyond_the_limits_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
