/* Percent-decoding of paths and parameters. */
#include "http/http.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(256);
	char *text = http_decode(arena, (const char *)data, n);

	if (text != NULL)
		FUZZ_CHECK(strlen(text) <= n);
	arena_free(arena);
	return 0;
}
