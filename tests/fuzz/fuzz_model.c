/* Codecs of model/: operations, writes, leaves of a query, hits, collections. What was decoded is encoded again, and must then
 * decode to the same. */
#include "model/query.h"
#include "model/write.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Decodes `bytes` as item number `what` and encodes it into `out`. */
static int turn(int what, const void *bytes, size_t n, struct arena *arena, struct buf *out)
{
	struct reader r = reader_make(bytes, n);
	struct error err = {0};
	int rc = 0;

	switch (what) {
	case 0: {
		struct op op;

		if ((rc = op_decode(bytes, n, arena, &op, &err)) == 0)
			op_encode(out, &op);
		break;
	}
	case 1: {
		struct write w;

		if ((rc = write_decode(&r, arena, &w, &err)) == 0)
			write_encode(out, &w);
		break;
	}
	case 2: {
		struct leaf l;

		if ((rc = leaf_decode(&r, arena, &l, &err)) == 0)
			leaf_encode(out, &l);
		break;
	}
	case 3: {
		struct hits h;

		if ((rc = hits_decode(&r, arena, &h, &err)) == 0)
			hits_encode(out, &h);
		break;
	}
	default: {
		struct collection *c;

		if ((rc = collection_decode(&r, &c, &err)) == 0) {
			collection_encode(out, c);
			collection_unref(c);
		}
	}
	}
	if (rc != 0)
		fuzz_check_error(rc, &err);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct arena *arena;

	if (n == 0)
		return 0;
	arena = arena_new(4096);
	if (turn(data[0] % 5, data + 1, n - 1, arena, &once) == 0) {
		FUZZ_CHECK(turn(data[0] % 5, once.data, once.len, arena, &twice) == 0);
		fuzz_check_same(&once, &twice);
	}
	buf_fini(&once);
	buf_fini(&twice);
	arena_free(arena);
	return 0;
}
