/* Damages encoded bytes in every place. */
#include "tests/unit/unit.h"
#include "tests/unit/model/hostile.h"
#include "base/prng.h"
#include <stdlib.h>
#include <string.h>

static int try_decode(decode_fn decode, const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n != 0 ? n : 1);
	struct arena *arena = arena_new(0);
	assert_non_null(exact);
	if (n != 0)
		memcpy(exact, bytes, n);
	struct reader r = reader_make(exact, n);
	int rc = decode(&r, arena);
	assert_true(rc <= 0);
	if (rc != 0)
		assert_true(rc < 0);
	arena_free(arena);
	free(exact);
	return rc;
}

void assert_decoder_is_safe(decode_fn decode, const void *bytes, size_t n)
{
	uint8_t *damaged = malloc(n);
	struct prng random;
	assert_non_null(damaged);
	prng_seed(&random, n);
	assert_int_equal(try_decode(decode, bytes, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(try_decode(decode, bytes, i) < 0);
	memcpy(damaged, bytes, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t good = damaged[i];
		const uint8_t bad[] = {0,
				       1,
				       0x7F,
				       0x80,
				       0xFF,
				       (uint8_t)(good + 1),
				       (uint8_t)(good - 1),
				       (uint8_t)(good ^ 0x10),
				       (uint8_t)prng_u64(&random)};
		for (size_t j = 0; j < sizeof(bad); j++) {
			damaged[i] = bad[j];
			try_decode(decode, damaged, n);
		}
		damaged[i] = good;
	}
	/* Several places at once. */
	for (int round = 0; round < 2000; round++) {
		memcpy(damaged, bytes, n);
		for (uint64_t hits = 2 + prng_below(&random, 6); hits > 0; hits--)
			damaged[prng_below(&random, n)] = (uint8_t)prng_u64(&random);
		try_decode(decode, damaged, n);
	}
	free(damaged);
}
