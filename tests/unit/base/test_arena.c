/* Arena: alignment, growth, reset. */
#include "tests/unit/unit.h"
#include "base/arena.h"
#include "base/prng.h"
#include <string.h>

static void allocations_are_aligned_and_apart(void **state)
{
	struct arena *a = arena_new(0);
	struct prng random;
	prng_seed(&random, 1);
	uint8_t *blocks[500];
	size_t sizes[500];
	for (size_t i = 0; i < 500; i++) {
		sizes[i] = prng_below(&random, i % 50 == 0 ? 20000 : 200);
		blocks[i] = arena_alloc(a, sizes[i]);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)(i & 0xFF), sizes[i]);
	}
	for (size_t i = 0; i < 500; i++) {
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(blocks[i][j], i & 0xFF);
	}
	arena_free(a);
}

static void larger_alignments_are_kept(void **state)
{
	struct arena *a = arena_new(100);
	for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
		for (size_t n = 0; n < 3000; n += 733) {
			void *p = arena_alloc_aligned(a, n, alignment);
			assert_int_equal((uintptr_t)p % alignment, 0);
			memset(p, 1, n);
		}
	}
	arena_free(a);
}

static void reset_forgets_and_reuses(void **state)
{
	struct arena *a = arena_new(4096);
	void *first = arena_alloc(a, 100);
	for (int i = 0; i < 100; i++)
		arena_alloc(a, 1000);
	assert_int_equal(arena_used_bytes(a), 100 + 100 * 1000);
	arena_reset(a);
	assert_int_equal(arena_used_bytes(a), 0);
	assert_ptr_equal(arena_alloc(a, 100), first);
	arena_free(a);
	arena_free(NULL);
}

static void copies_and_strings(void **state)
{
	struct arena *a = arena_new(0);
	assert_string_equal(arena_strdup(a, "hello"), "hello");
	assert_string_equal(arena_strndup(a, "hello", 2), "he");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_string_equal(arena_printf(a, "%s-%05d", "x", 42), "x-00042");
	assert_memory_equal(arena_copy(a, "\1\2\3", 3), "\1\2\3", 3);
	char *zeroes = arena_zalloc(a, 5000);
	for (size_t i = 0; i < 5000; i++)
		assert_int_equal(zeroes[i], 0);
	char *text = arena_printf(a, "%*s", 10000, "x");
	assert_int_equal(strlen(text), 10000);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_aligned_and_apart),
		cmocka_unit_test(larger_alignments_are_kept),
		cmocka_unit_test(reset_forgets_and_reuses),
		cmocka_unit_test(copies_and_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
