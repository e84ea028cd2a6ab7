/* Codes in blocks: every level gives the integers of the plain one, blocks give back what was put into them, and
 * a pick names exactly what is good enough. */
#include "tests/unit/unit.h"

#include "base/prng.h"
#include "index/blocks.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 9, DIM_MAX = 77, SUBS_MAX = 300 };

static uint8_t *random_bytes(size_t n, struct prng *p)
{
	uint8_t *bytes = aligned_alloc(CODE_ALIGN, (n + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = prng_below(p, 4) ? (uint8_t)prng_u64(p) : 255;
	return bytes;
}

static void check_dot(const struct block_kernels *k, int32_t most, uint32_t dim, struct prng *p)
{
	uint32_t groups = block_groups(dim);
	uint8_t *blocks = random_bytes(BLOCKS * block_bytes(dim), p);
	uint8_t *queries = random_bytes((size_t)BLOCK_QUERIES * groups * BLOCK_GROUP, p);
	int32_t want[BLOCK_QUERIES][BLOCKS * BLOCK_ROWS], got[BLOCK_QUERIES][BLOCKS * BLOCK_ROWS];
	struct block_scan s = {.blocks = blocks, .groups = groups};

	for (uint32_t i = 0; i < BLOCK_QUERIES * groups * BLOCK_GROUP; i++) {
		int32_t x = (int32_t)prng_below(p, (uint64_t)(2 * most + 1)) - most;

		queries[i] = (uint8_t)(int8_t)(prng_below(p, 3) ? x : i % 2 ? most : -most);
	}
	for (s.n_queries = 1; s.n_queries <= BLOCK_QUERIES; s.n_queries++) {
		for (s.n_blocks = 0; s.n_blocks <= BLOCKS; s.n_blocks++) {
			size_t bytes = s.n_blocks * BLOCK_ROWS * sizeof(int32_t);

			for (uint32_t q = 0; q < s.n_queries; q++) {
				s.queries[q] = queries + (size_t)q * groups * BLOCK_GROUP;
				s.out[q] = want[q];
			}
			block_kernels_at(KERNEL_PLAIN)->dot(&s);
			for (uint32_t q = 0; q < s.n_queries; q++)
				s.out[q] = got[q];
			k->dot(&s);
			for (uint32_t q = 0; q < s.n_queries; q++)
				assert_memory_equal(got[q], want[q], bytes);
		}
	}
	free(blocks);
	free(queries);
}

static void check_lookup(const struct block_kernels *k, uint32_t n_subs, struct prng *p)
{
	uint8_t *blocks = random_bytes((size_t)BLOCKS * n_subs * LOOKUP_ROWS, p);
	uint8_t *tables = random_bytes((size_t)n_subs * LOOKUP_ENTRIES, p);
	int32_t want[BLOCKS * LOOKUP_ROWS], got[BLOCKS * LOOKUP_ROWS];
	struct lookup_scan s = {.tables = tables, .blocks = blocks, .n_subs = n_subs};

	for (s.n_blocks = 0; s.n_blocks <= BLOCKS; s.n_blocks++) {
		s.out = want;
		block_kernels_at(KERNEL_PLAIN)->lookup(&s);
		s.out = got;
		k->lookup(&s);
		assert_memory_equal(got, want, s.n_blocks * LOOKUP_ROWS * sizeof *got);
	}
	free(blocks);
	free(tables);
}

static void test_kernels_agree(void **state)
{
	struct prng p;

	prng_seed(&p, 5);
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct block_kernels *k = block_kernels_at((enum kernel_level)level);

		if (!k)
			continue;
		int32_t most = code_kernels_at((enum kernel_level)level)->query_max;
		for (uint32_t dim = 1; dim <= DIM_MAX; dim += dim < 10 ? 1 : 7)
			check_dot(k, most, dim, &p);
		for (uint32_t subs = 1; subs <= SUBS_MAX; subs += subs < 4 ? 1 : 51)
			check_lookup(k, subs, &p);
		check_lookup(k, 256, &p);
	}
}

/* Sums of 16 bits would overflow here. */
static void test_many_large_entries(void **state)
{
	uint8_t *tables = aligned_alloc(CODE_ALIGN, SUBS_MAX * LOOKUP_ENTRIES);
	uint8_t *block = aligned_alloc(CODE_ALIGN, SUBS_MAX * LOOKUP_ROWS);
	int32_t out[LOOKUP_ROWS];

	assert_true(tables && block);
	memset(tables, 255, SUBS_MAX * LOOKUP_ENTRIES);
	memset(block, 200, SUBS_MAX * LOOKUP_ROWS);
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct block_kernels *k = block_kernels_at((enum kernel_level)level);
		const struct lookup_scan s = {tables, block, SUBS_MAX, 1, out};

		if (!k)
			continue;
		k->lookup(&s);
		for (uint32_t i = 0; i < LOOKUP_ROWS; i++)
			assert_int_equal(out[i], 255 * SUBS_MAX);
	}
	free(tables);
	free(block);
}

static void check_pick(const struct block_kernels *k, const struct block_pick *p)
{
	uint32_t *hits = malloc((p->n + 1) * sizeof *hits), at = 0;
	uint32_t n = k->pick(p, hits);

	for (uint32_t i = 0; i < p->n; i++) {
		float key = block_key(p, i);

		/* a level may multiply and add in one step: keys a hair from the bound may differ */
		if (fabsf(key - p->bound) < 1e-3f) {
			at += at < n && hits[at] == i;
			continue;
		}
		assert_int_equal(at < n && hits[at] == i, key <= p->bound);
		at += key <= p->bound;
	}
	assert_int_equal(at, n);
	free(hits);
}

static void test_picks(void **state)
{
	int32_t sums[100];
	float norms[100];
	struct prng p;

	prng_seed(&p, 6);
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct block_kernels *k = block_kernels_at((enum kernel_level)level);

		for (uint32_t n = 0; k && n <= 100; n++) {
			for (uint32_t i = 0; i < n; i++) {
				sums[i] = (int32_t)prng_below(&p, 2001) - 1000;
				norms[i] = (float)prng_unit(&p) * 100;
			}
			check_pick(k, &(struct block_pick){sums, norms, n, 3, 0.1f, 40});
			check_pick(k, &(struct block_pick){sums, NULL, n, -3, 0.1f, -20});
			check_pick(k, &(struct block_pick){sums, NULL, n, 0, 1, INFINITY});
			check_pick(k, &(struct block_pick){sums, norms, n, 0, 1, -INFINITY});
		}
	}
}

static void test_tables(void **state)
{
	float entries[5 * LOOKUP_ENTRIES], out[LOOKUP_ENTRIES], values[5] = {1, -2, 0.5f, 0, 3};
	struct prng p;

	prng_seed(&p, 7);
	for (uint32_t i = 0; i < 5 * LOOKUP_ENTRIES; i++)
		entries[i] = (float)prng_unit(&p) - 0.5f;
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct block_kernels *k = block_kernels_at((enum kernel_level)level);

		for (uint32_t n = 0; k && n <= 5; n++) {
			k->table(values, entries, n, out);
			for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++) {
				double want = 0;

				for (uint32_t d = 0; d < n; d++)
					want += (double)values[d] *
						(double)entries[d * LOOKUP_ENTRIES + i];
				assert_true(fabs((double)out[i] - want) < 1e-5);
			}
		}
	}
}

static void test_blocks_give_back(void **state)
{
	struct prng p;

	prng_seed(&p, 8);
	for (uint32_t dim = 1; dim <= DIM_MAX; dim += 3) {
		uint8_t *block = calloc(1, block_bytes(dim)), got[DIM_MAX];
		uint8_t *codes = random_bytes((size_t)BLOCK_ROWS * dim, &p);

		assert_non_null(block);
		for (uint32_t i = 0; i < BLOCK_ROWS; i++)
			block_put(block, i, codes + (size_t)i * dim, dim);
		for (uint32_t i = 0; i < BLOCK_ROWS; i++) {
			block_get(block, i, dim, got);
			assert_memory_equal(got, codes + (size_t)i * dim, dim);
		}
		free(block);
		free(codes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_agree),
		cmocka_unit_test(test_many_large_entries),
		cmocka_unit_test(test_picks),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_blocks_give_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
