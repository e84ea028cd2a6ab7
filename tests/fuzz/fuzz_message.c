/* Messages between roles: a request and its response. What was decoded is encoded again, and must then decode to the same. */
#include "rpc/codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void try_response(enum rpc_type type, const void *request, struct reader r,
			 struct arena *arena)
{
	struct error err = {0};
	void *response = rpc_response_new(type, arena);
	int rc = rpc_response_decode(type, request, r, arena, response, &err);
	struct buf b = BUF_INIT, again = BUF_INIT;

	if (rc != 0) {
		fuzz_check_error(rc, &err);
		return;
	}
	rpc_response_encode(&b, type, request, response);
	response = rpc_response_new(type, arena);
	FUZZ_CHECK(rpc_response_decode(type, request, reader_make(b.data, b.len), arena, response,
				       NULL) == 0);
	rpc_response_encode(&again, type, request, response);
	fuzz_check_same(&b, &again);
	buf_fini(&b);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r = reader_make(data, n);
	enum rpc_type type = (enum rpc_type)(reader_u8(&r) % RPC_TYPE_COUNT);
	uint32_t request_n = reader_u16(&r);
	const uint8_t *bytes = reader_bytes(&r, request_n);
	struct buf b = BUF_INIT, again = BUF_INIT;
	struct error err = {0};
	const void *request;
	struct arena *arena;
	int rc;

	if (bytes == NULL)
		return 0;
	arena = arena_new(4096);
	rc = rpc_request_decode(type, bytes, request_n, arena, &request, &err);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
		goto out;
	}
	rpc_request_encode(&b, type, request);
	try_response(type, request, r, arena);
	FUZZ_CHECK(rpc_request_decode(type, b.data, b.len, arena, &request, NULL) == 0);
	rpc_request_encode(&again, type, request);
	fuzz_check_same(&b, &again);
out:
	buf_fini(&b);
	buf_fini(&again);
	arena_free(arena);
	return 0;
}
