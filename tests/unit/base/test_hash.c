/* The hash is written to disk and into routing, so its values must never change. */
#include "tests/unit/unit.h"
#include "base/hash.h"
#include <string.h>

/* Published test vector of XXH3: the empty input. The others pin what quiver has written so far. */
static void values_never_change(void **state)
{
	assert_int_equal(hash64("", 0), 0x2D06800538D394C2ull);
	assert_int_equal(hash64_seed("", 0, 0), 0x2D06800538D394C2ull);
	assert_int_equal(hash64("quiver", 6), 0x856361EBFC66CC0Bull);
	assert_int_equal(hash64_seed("quiver", 6, 42), 0x3D82D62D824E6E21ull);
	char long_text[1000];
	memset(long_text, 'q', sizeof(long_text));
	assert_int_equal(hash64(long_text, sizeof(long_text)), 0x81548B13128CDBB6ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_never_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
