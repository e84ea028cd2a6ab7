/* Points and vectors: arithmetic and codec. */
#include "base/limits.h"
#include "model/point.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "tests/unit/unit.h"
#include <float.h>
#include <math.h>
#include <string.h>

static const float dense_values[] = {1, -2.5f, 0};
static const float sparse_values[] = {0.5f, 4};
static const uint32_t sparse_indices[] = {3, 4000000000u};
static const struct vector sample_vectors[] = {
	{VECTOR_DENSE, 0, 3, dense_values, NULL},
	{VECTOR_DENSE, 63, 2, dense_values, NULL},
	{VECTOR_SPARSE, 0, 2, sparse_values, sparse_indices},
	{VECTOR_SPARSE, 1, 0, sparse_values, sparse_indices},
};

static void normalising(void **state)
{
	float x[] = {3, 4}, again[2];
	vector_normalize(x, 2);
	assert_true(fabsf(x[0] - 0.6f) < 1e-7f && fabsf(x[1] - 0.8f) < 1e-7f);
	memcpy(again, x, sizeof(x));
	vector_normalize(again, 2);
	assert_memory_equal(again, x, sizeof(x));
	float zero[] = {0, 0, 0};
	vector_normalize(zero, 3);
	assert_true(zero[0] == 0 && zero[1] == 0 && zero[2] == 0);
	float huge[] = {FLT_MAX, FLT_MAX};
	vector_normalize(huge, 2);
	assert_true(fabsf(huge[0] - (float)M_SQRT1_2) < 1e-6f);
	float tiny[] = {FLT_TRUE_MIN, 0};
	vector_normalize(tiny, 2);
	assert_true(tiny[0] == 1);
	vector_normalize(NULL, 0);
}

static void what_is_finite(void **state)
{
	float x[100] = {0};
	assert_true(vector_finite(x, 100));
	assert_true(vector_finite(NULL, 0));
	const float bad[] = {NAN, INFINITY, -INFINITY};
	for (int i = 0; i < 100; i++) {
		for (int j = 0; j < 3; j++) {
			x[i] = bad[j];
			assert_false(vector_finite(x, 100));
		}
		x[i] = FLT_MAX;
		assert_true(vector_finite(x, 100));
	}
}

static void assert_same_vector(const struct vector *a, const struct vector *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->space, b->space);
	assert_int_equal(a->n, b->n);
	if (a->n == 0)
		return;
	assert_memory_equal(a->values, b->values, a->n * sizeof(float));
	assert_int_equal(a->indices != NULL, b->indices != NULL);
	if (a->indices != NULL)
		assert_memory_equal(a->indices, b->indices, a->n * sizeof(uint32_t));
}

static struct point sample(struct arena *arena)
{
	return (struct point){.id = {1, 2, ID_UUID, 0},
			      .n_vectors = 4,
			      .vectors = (struct vector *)sample_vectors,
			      .payload = doc_slice(arena, "{'a':[1,'x'],'b':{'c':null}}")};
}

static void the_codec_keeps_points(void **state)
{
	struct arena *arena = arena_new(0);
	struct buf b = BUF_INIT;
	struct point p = sample(arena), empty = {.id = id_from_u64(5)}, got;
	buf_put_u8(&b, 0); /* so that nothing is aligned by chance */
	point_encode(&b, &p);
	point_encode(&b, &empty);
	struct reader r = reader_make(b.data + 1, b.len - 1);
	assert_int_equal(point_decode(&r, arena, &got, NULL), 0);
	assert_true(id_equal(&got.id, &p.id));
	assert_int_equal(got.n_vectors, 4);
	for (int i = 0; i < 4; i++) {
		assert_same_vector(&got.vectors[i], &p.vectors[i]);
		assert_int_equal((uintptr_t)got.vectors[i].values % 4, 0);
	}
	assert_int_equal(got.payload.n, p.payload.n);
	assert_memory_equal(got.payload.bytes, p.payload.bytes, p.payload.n);
	assert_int_equal(point_decode(&r, arena, &got, NULL), 0);
	assert_true(reader_done(&r));
	assert_int_equal(got.n_vectors, 0);
	assert_int_equal(got.payload.n, 0);
	buf_fini(&b);
	arena_free(arena);
}

static int decode(struct reader *r, struct arena *arena)
{
	struct point p;
	struct error err = {0};
	int rc = point_decode(r, arena, &p, &err);
	if (rc != 0)
		return rc;
	struct buf b = BUF_INIT;
	point_encode(&b, &p);
	buf_fini(&b);
	for (uint32_t i = 0; i < p.n_vectors; i++)
		assert_true(vector_finite(p.vectors[i].values, p.vectors[i].n));
	return 0;
}

static void damaged_bytes_are_refused_or_usable(void **state)
{
	struct arena *arena = arena_new(0);
	struct buf b = BUF_INIT;
	struct point p = sample(arena);
	point_encode(&b, &p);
	assert_decoder_is_safe(decode, b.data, b.len);
	buf_fini(&b);
	arena_free(arena);
}

static void assert_refused(const struct vector *vectors, uint32_t n, const char *payload)
{
	struct arena *arena = arena_new(0);
	struct buf b = BUF_INIT;
	struct point p = {.id = id_from_u64(5),
			  .n_vectors = n,
			  .vectors = (struct vector *)vectors};
	struct error err = {0};
	if (payload != NULL)
		p.payload = doc_slice(arena, payload);
	point_encode(&b, &p);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(point_decode(&r, arena, &p, &err), ERR_FORMAT);
	assert_string_equal(err.text, "a point is malformed");
	buf_fini(&b);
	arena_free(arena);
}

static void wrong_points_are_refused(void **state)
{
	static const uint32_t descending[] = {4, 3}, twice[] = {3, 3};
	static const float not_finite[] = {1, INFINITY};
	const struct vector wrong[] = {
		{VECTOR_SPARSE, 0, 2, sparse_values, descending},
		{VECTOR_SPARSE, 0, 2, sparse_values, twice},
		{VECTOR_SPARSE, 0, 2, not_finite, sparse_indices},
		{VECTOR_DENSE, 0, 2, not_finite, NULL},
		{VECTOR_DENSE, 0, 0, NULL, NULL},
		{VECTOR_DENSE, LIMIT_VECTOR_SPACES, 2, dense_values, NULL},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_refused(&wrong[i], 1, NULL);
	const struct vector same_space[] = {sample_vectors[0], sample_vectors[2],
					    sample_vectors[0]};
	assert_refused(same_space, 3, NULL);
	assert_refused(NULL, 0, "[1]");
	assert_refused(NULL, 0, "5");
}

static void a_count_that_cannot_be_is_refused_before_allocating(void **state)
{
	struct arena *arena = arena_new(0);
	struct buf b = BUF_INIT;
	struct point p;
	struct point_id id = id_from_u64(1);
	id_encode(&b, &id);
	buf_put_u32(&b, UINT32_MAX);
	buf_put_u64(&b, 0);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(point_decode(&r, arena, &p, NULL), ERR_FORMAT);
	assert_true(arena_used_bytes(arena) < 100);
	buf_fini(&b);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normalising),
		cmocka_unit_test(what_is_finite),
		cmocka_unit_test(the_codec_keeps_points),
		cmocka_unit_test(damaged_bytes_are_refused_or_usable),
		cmocka_unit_test(wrong_points_are_refused),
		cmocka_unit_test(a_count_that_cannot_be_is_refused_before_allocating),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
