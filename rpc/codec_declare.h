/* Private to rpc/: the four functions of each message, and what they share. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "rpc/rpc.h"

void put_target(struct buf *b, const struct rpc_target *t);
struct rpc_target take_target(struct reader *r);

#define CODEC_DECLARE(name)                                                                        \
	void put_##name##_request(struct buf *b, const struct rpc_##name##_request *q);            \
	int take_##name##_request(struct reader *r, struct arena *arena,                           \
				  struct rpc_##name##_request *q, struct error *err);              \
	void put_##name##_response(struct buf *b, const struct rpc_##name##_request *q,            \
				   const struct rpc_##name##_response *a);                         \
	int take_##name##_response(struct reader *r, const struct rpc_##name##_request *q,         \
				   struct arena *arena, struct rpc_##name##_response *a,           \
				   struct error *err);
