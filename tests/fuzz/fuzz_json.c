/* JSON: what is parsed can be walked, taken as floats and as a payload; a payload printed and parsed again is the same. */
#include "http/json.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

static void walk(const struct json *v, struct arena *arena)
{
	struct json_iter it = json_iterate(v);
	size_t n, count = 0;
	const float *floats;

	while (json_next(&it)) {
		walk(it.value, arena);
		count++;
	}
	FUZZ_CHECK(count == json_count(v));
	switch (json_type(v)) {
	case JSON_STRING:
	case JSON_RAW: {
		const char *s = json_string(v, &n);

		FUZZ_CHECK(s[n] == 0);
		break;
	}
	case JSON_INT:
	case JSON_UINT:
	case JSON_DOUBLE: FUZZ_CHECK(!isnan(json_double(v))); break;
	default: break;
	}
	floats = json_floats(v, arena, &n);
	for (size_t i = 0; floats != NULL && i < n; i++)
		FUZZ_CHECK(isfinite(floats[i]));
}

static void round_trip(const struct json *v, struct arena *arena)
{
	struct buf pv = BUF_INIT, text = BUF_INIT, again = BUF_INIT;
	const struct json *same;
	struct error err = {0};

	json_to_pv(v, &pv);
	FUZZ_CHECK(pv_validate(pv.data, pv.len, NULL) == 0);
	json_from_pv(&text, pv_of(pv.data));
	FUZZ_CHECK(json_parse(text.data, text.len, arena, &same, &err) == 0);
	json_to_pv(same, &again);
	fuzz_check_same(&pv, &again);
	buf_fini(&pv);
	buf_fini(&text);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena = arena_new(4096);
	const struct json *v = NULL;
	struct error err = {0};
	int rc = json_parse(data, n, arena, &v, &err);

	if (rc != 0) {
		fuzz_check_error(rc, &err);
		FUZZ_CHECK(strstr(err.text, "at line") != NULL);
	} else {
		walk(v, arena);
		round_trip(v, arena);
	}
	arena_free(arena);
	return 0;
}
