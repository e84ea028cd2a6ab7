/* Private to rpc/: bytes of the messages of rpc/messages.h. Decoders check bounds and limits, so
 * that what comes out can be handed to a handler as it is. */
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "rpc/rpc.h"

void rpc_request_encode(struct buf *b, enum rpc_type type, const void *request);
/* *out is struct rpc_<type>_request in the arena; payloads are borrowed from `bytes`. */
int rpc_request_decode(enum rpc_type type, const void *bytes, size_t n, struct arena *arena,
		       const void **out, struct error *err);
/* Zeroed struct rpc_<type>_response. */
void *rpc_response_new(enum rpc_type type, struct arena *arena);
void rpc_response_encode(struct buf *b, enum rpc_type type, const void *request,
			 const void *response);
/* A copy of the request struct alone (free it): the counts by which its response is read. What it
 * points to may be gone. */
void *rpc_request_shape(enum rpc_type type, const void *request);
/* Fills the caller's struct; everything it refers to is in the arena. */
int rpc_response_decode(enum rpc_type type, const void *shape, struct reader bytes,
			struct arena *arena, void *response, struct error *err);
enum rpc_class rpc_type_class(enum rpc_type type);
const char *rpc_type_name(enum rpc_type type);
