/* Percent-decoding of paths and parameters, and the strict reader of heads. */
#include "http/head.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_inside(const char *at, const char *text, size_t n)
{
	FUZZ_CHECK(at >= text && at < text + n && memchr(at, 0, (size_t)(text + n - at)) != NULL);
}

static void read_head(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1); /* of exactly the length, for the sanitizer */
	struct http_head h;

	memcpy(text, data, n);
	text = realloc(text, n > 0 ? n : 1);
	if (http_head_read(text, n, &h)) {
		FUZZ_CHECK(h.n_bytes <= n && memcmp(data + h.n_bytes - 4, "\r\n\r\n", 4) == 0);
		FUZZ_CHECK(memmem(data, n, "\r\n\r\n", 4) == data + h.n_bytes - 4);
		FUZZ_CHECK(h.n_fields <= HEAD_FIELDS && h.n_parameters <= HEAD_FIELDS);
		check_inside(h.path, text, n);
		FUZZ_CHECK(h.path[0] == '/');
		for (unsigned i = 0; i < h.n_fields; i++) {
			check_inside(h.fields[i].name, text, n);
			check_inside(h.fields[i].value, text, n);
		}
		for (unsigned i = 0; i < h.n_parameters; i++) {
			check_inside(h.parameters[i].name, text, n);
			if (h.parameters[i].value != NULL)
				check_inside(h.parameters[i].value, text, n);
		}
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(256);
	char *text = http_decode(arena, (const char *)data, n);

	if (text != NULL)
		FUZZ_CHECK(strlen(text) <= n);
	arena_free(arena);
	read_head(data, n);
	return 0;
}
