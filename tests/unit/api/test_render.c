/* Points as JSON text: forms of ids, vectors, payloads and scores. */
#include "tests/unit/api/fixture.h"

#include "api/render.h"

static void expect(struct fixture *f, const struct hit *hit, unsigned flags, const char *text)
{
	struct buf b = BUF_INIT;

	render_hit(&b, f->collection, hit, flags);
	buf_put_u8(&b, 0);
	assert_string_equal((const char *)b.data, text);
	buf_fini(&b);
}

static void test_hits(void **state)
{
	static const float dense[] = {1, 0.5f, -2, 0};
	static const float weights[] = {1, 0.25f};
	static const uint32_t indices[] = {7, 70000};
	struct vector vectors[] = {
		{VECTOR_DENSE, 0, 4, dense, NULL},
		{VECTOR_SPARSE, 0, 2, weights, indices},
	};
	struct hit hit = {.id = id_from_u64(UINT64_MAX), .score = 1, .version = 3};
	struct fixture f;

	fixture_init(&f);
	expect(&f, &hit, 0, "{\"id\":18446744073709551615}");
	expect(&f, &hit, RENDER_SCORE, "{\"id\":18446744073709551615,\"version\":3,\"score\":1.0}");
	hit.id = (struct point_id){0x0001020304050607ull, 0x08090a0b0c0d0e0full, ID_UUID, 0};
	hit.payload = PV_EMPTY_OBJECT;
	expect(&f, &hit, 0, "{\"id\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"payload\":{}}");
	hit.payload.bytes = NULL;
	hit.id = id_from_u64(5);
	hit.has_vectors = true;
	expect(&f, &hit, 0, "{\"id\":5,\"vector\":{}}");
	hit.vectors = vectors;
	hit.n_vectors = 1;
	expect(&f, &hit, 0, "{\"id\":5,\"vector\":[1.0,0.5,-2.0,0.0]}");
	hit.n_vectors = 2;
	expect(&f, &hit, 0,
	       "{\"id\":5,\"vector\":{\"\":[1.0,0.5,-2.0,0.0],\"words\":{\"indices\":[7,70000],"
	       "\"values\":[1.0,0.25]}}}");
	hit.has_vectors = false;
	hit.order_value = 1700000000000000.0;
	expect(&f, &hit, RENDER_ORDER_VALUE, "{\"id\":5,\"order_value\":1700000000000000}");
	hit.order_value = 2.5;
	expect(&f, &hit, RENDER_ORDER_VALUE, "{\"id\":5,\"order_value\":2.5}");
	fixture_fini(&f);
}

static void test_receipt(void **state)
{
	struct partition_receipt part = {.partition = 1,
					 .node = 9,
					 .answered = true,
					 .leaf = {.plan = PLAN_GRAPH, .candidates = 44, .ef = 64}};
	struct query_result results[2] = {{.complete = true, .receipts = &part, .n_receipts = 1},
					  {.complete = false}};
	struct buf b = BUF_INIT;

	render_receipt(&b, results, 2, true);
	buf_put_u8(&b, 0);
	assert_string_equal(
		(const char *)b.data,
		",\"receipt\":[{\"complete\":true,\"partitions\":[{\"partition\":1,\"node\":9,"
		"\"answered\":true,\"degraded\":false,\"applied_seq\":0,\"plan\":\"graph\",\"ef\":64,\"candidates\":44,"
		"\"cut\":false,\"incomplete\":false}]},{\"complete\":false,\"partitions\":[]}]");
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_receipt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
