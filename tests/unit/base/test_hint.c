/* Hints: what is near is named, what is far is not. */
#include "base/hint.h"
#include "tests/unit/unit.h"
#include <string.h>

static const char *best_of(const char *typed)
{
	static const char *const names[] = {"collection", "ingest", "search", "count", "key"};
	static struct hint h;

	h = hint_of(typed, strlen(typed));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		hint_consider(&h, names[i]);
	return h.best;
}

static void test_near_names(void **state)
{
	assert_string_equal(best_of("colection"), "collection");
	assert_string_equal(best_of("collections"), "collection");
	assert_string_equal(best_of("serach"), "search");
	assert_string_equal(best_of("cuont"), "count");
	assert_string_equal(best_of("keys"), "key");
}

static void test_nothing_is_near(void **state)
{
	assert_string_equal(best_of("bogus"), "");
	assert_string_equal(best_of(""), "");
}

static void test_long_names(void **state)
{
	char name[3 * HINT_BYTES];
	struct hint h;

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_string_equal(best_of(name), "");
	for (size_t n = HINT_BYTES - 1; n <= HINT_BYTES; n++) {
		h = hint_of(name, n);
		hint_consider(&h, name + sizeof(name) - 1 - n);
		assert_int_equal(strlen(h.best), n < HINT_BYTES ? n : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near_names),
		cmocka_unit_test(test_nothing_is_near),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
