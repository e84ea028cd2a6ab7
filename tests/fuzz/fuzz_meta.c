/* Messages of the control plane, and configurations of the raft library. */
#include "cluster/meta_wire.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct meta_wire w;
	struct error err = {0};
	struct arena *arena = arena_new(4096);
	int rc = meta_wire_decode(data, n, arena, &w, &err);

	meta_configuration_ok(data, n);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
		goto out;
	}
	meta_wire_encode(&once, &w);
	FUZZ_CHECK(meta_wire_decode(once.data, once.len, arena, &w, &err) == 0);
	meta_wire_encode(&twice, &w);
	fuzz_check_same(&once, &twice);
out:
	buf_fini(&once);
	buf_fini(&twice);
	arena_free(arena);
	return 0;
}
