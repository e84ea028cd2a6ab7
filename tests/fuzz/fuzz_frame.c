/* Frames between nodes: the head, the items, and the body of each request. */
#include "base/hash.h"
#include "rpc/codec.h"
#include "rpc/frame.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { HASH_AT = 36 };

/* The hash as the sender would have made it. */
static void repair(uint8_t *bytes, size_t n)
{
	uint64_t hash =
		hash64_seed(bytes + FRAME_HEAD_BYTES, n - FRAME_HEAD_BYTES, hash64(bytes, HASH_AT));

	memcpy(bytes + HASH_AT, &hash, sizeof(hash));
}

static void read_requests(struct reader *r, uint32_t n_items, struct arena *arena)
{
	for (uint32_t i = 0; i < n_items; i++) {
		struct frame_request q;
		struct error err = {0};
		const void *request;
		int rc = frame_next_request(r, &q);

		if (rc != 0)
			return;
		if (q.type ==
		    RPC_TYPE_COUNT) /* of a later version: the server says that it does not know it */
			continue;
		rc = rpc_request_decode(q.type, q.bytes, q.n, arena, &request, &err);
		if (rc != 0)
			fuzz_check_error(rc, &err);
	}
}

static void read_responses(struct reader *r, uint32_t n_items)
{
	for (uint32_t i = 0; i < n_items; i++) {
		struct frame_response a;
		struct error err = {0};

		if (frame_next_response(r, &a) != 0)
			return;
		if (a.code == 0)
			continue;
		frame_error(&a, &err);
		fuzz_check_error(err.code, &err);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct frame_head head = {0};
	struct error err = {0};
	struct reader items;
	uint8_t *bytes = malloc(n + (n == 0));
	struct arena *arena = arena_new(4096);

	if (n > 0)
		memcpy(bytes, data, n);
	if (n >= FRAME_HEAD_BYTES && (data[n - 1] & 7) != 0)
		repair(bytes, n);
	int rc = frame_parse(bytes, n, &head, &items, &err);
	if (rc != 0)
		fuzz_check_error(rc, &err);
	else if (head.kind == FRAME_REQUESTS)
		read_requests(&items, head.n_items, arena);
	else if (head.kind == FRAME_RESPONSES || head.kind == FRAME_REJECT)
		read_responses(&items, head.n_items);
	arena_free(arena);
	free(bytes);
	return 0;
}
