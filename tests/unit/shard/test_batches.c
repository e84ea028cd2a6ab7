/* Batch ids: bounded, forgotten in order, the same after writing and reading. */
#include "tests/unit/unit.h"
#include "shard/batches.h"

static struct batch numbered(uint64_t n)
{
	return (struct batch){
		.hi = n / 3, .lo = n, .seq = n + 1, .changed = 2 * n, .at_us = n * 1000};
}

static void check_range(const struct batches *b, uint64_t first, uint64_t end, uint64_t total)
{
	for (uint64_t i = 0; i < total; i++) {
		const struct batch *found = batches_find(b, i / 3, i);

		assert_int_equal(found != NULL, i >= first && i < end);
		if (found)
			assert_int_equal(found->seq, i + 1);
	}
}

static void the_oldest_give_way(void **state)
{
	enum { TOTAL = BATCHES_MAX * 2 + 100 };
	struct batches b = {0};

	assert_null(batches_find(&b, 0, 1));
	for (uint64_t i = 0; i < TOTAL; i++)
		batches_add(&b, &(struct batch){i / 3, i, i + 1, 2 * i, i * 1000});
	assert_int_equal(b.n, BATCHES_MAX);
	check_range(&b, TOTAL - BATCHES_MAX, TOTAL, TOTAL);
	batches_fini(&b);
	(void)state;
}

static void forgotten_after_ten_minutes(void **state)
{
	struct batches b = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		struct batch x = numbered(i);

		batches_add(&b, &x);
	}
	batches_expire(&b, BATCHES_KEEP_US + 400 * 1000);
	check_range(&b, 400, 1000, 1000);
	batches_expire(&b, UINT64_MAX);
	assert_int_equal(b.n, 0);
	batches_fini(&b);
	(void)state;
}

static void same_after_encoding(void **state)
{
	struct batches b = {0}, copy = {0};
	struct buf bytes = BUF_INIT;
	struct reader r;

	for (uint64_t i = 0; i < 500; i++) {
		struct batch x = numbered(i);

		batches_add(&b, &x);
	}
	batches_encode(&bytes, &b);
	r = reader_make(bytes.data, bytes.len);
	batches_decode(&r, &copy);
	assert_true(reader_done(&r));
	check_range(&copy, 0, 500, 600);
	r = reader_make(bytes.data, bytes.len - 1);
	batches_fini(&copy);
	batches_decode(&r, &copy); /* cut short: nothing is believed */
	assert_false(reader_ok(&r));
	assert_int_equal(copy.n, 0);
	batches_fini(&b);
	batches_fini(&copy);
	buf_fini(&bytes);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_give_way),
		cmocka_unit_test(forgotten_after_ten_minutes),
		cmocka_unit_test(same_after_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
