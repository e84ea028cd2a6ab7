/* Ids to rows: growth, replacement, ids of one slot range only. */
#include "tests/unit/unit.h"
#include "shard/idhash.h"
#include <stdlib.h>

enum { N = 20000 };

static struct point_id id_of(const void *ctx, uint32_t row)
{
	return ((const struct point_id *)ctx)[row];
}

static void finds_what_was_put_last(void **state)
{
	struct point_id *ids = calloc(2 * N, sizeof *ids);
	struct idhash h;
	uint32_t n = 0;

	idhash_init(&h, 0, id_of, ids);
	for (uint64_t i = 0; n < N; i++) { /* ids as one partition of sixteen sees them */
		struct point_id id = i % 2 ? id_from_u64(i) : (struct point_id){i, 1, ID_UUID, 0};

		if (id_slot(&id) >= SLOT_COUNT / 16)
			continue;
		ids[n] = id;
		assert_int_equal(idhash_find(&h, &id, id_hash(&id)), ROW_NONE);
		assert_int_equal(idhash_put(&h, &id, id_hash(&id), n), ROW_NONE);
		n++;
	}
	assert_int_equal(h.n, N);
	for (uint32_t i = 0; i < N; i += 3) { /* a third moves to new rows */
		ids[N + i] = ids[i];
		assert_int_equal(idhash_put(&h, &ids[i], id_hash(&ids[i]), N + i), i);
	}
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(idhash_find(&h, &ids[i], id_hash(&ids[i])), i % 3 ? i : N + i);
	assert_int_equal(h.n, N);
	idhash_fini(&h);
	free(ids);
	(void)state;
}

static void sized_at_once_it_never_grows(void **state)
{
	static struct point_id ids[1000];
	struct idhash h;
	uint64_t bytes;

	idhash_init(&h, 1000, id_of, ids);
	bytes = idhash_bytes(&h);
	assert_in_range(bytes, 1000 * 4, 1000 * 7);
	for (uint32_t i = 0; i < 1000; i++) {
		ids[i] = id_from_u64(i * 77);
		idhash_put(&h, &ids[i], id_hash(&ids[i]), i);
	}
	assert_int_equal(idhash_bytes(&h), bytes);
	idhash_fini(&h);
	(void)state;
}

/* An id that is written again and again leads to ever higher rows, in a table that stays small; so do others
 * that were put before. */
static void rows_far_beyond_the_table(void **state)
{
	static struct point_id ids[1 << 20];
	struct idhash h;

	idhash_init(&h, 3, id_of, ids);
	for (uint32_t i = 0; i < 7; i++) {
		ids[i] = id_from_u64(i);
		assert_int_equal(idhash_put(&h, &ids[i], id_hash(&ids[i]), i), ROW_NONE);
	}
	for (uint32_t row = 7, before = 0; row < 1 << 20; before = row, row += 1 + row / 5) {
		ids[row] = ids[0];
		assert_int_equal(idhash_put(&h, &ids[0], id_hash(&ids[0]), row), before);
		for (uint32_t i = 0; i < 7; i++)
			assert_int_equal(idhash_find(&h, &ids[i], id_hash(&ids[i])), i ? i : row);
	}
	assert_in_range(idhash_bytes(&h), 4 * 16, 4 * 16 * 16);
	idhash_fini(&h);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_put_last),
		cmocka_unit_test(sized_at_once_it_never_grows),
		cmocka_unit_test(rows_far_beyond_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
