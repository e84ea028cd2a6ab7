/* Private to rpc/: bytes of the messages between the control planes of nodes; codec.c has the others and the table. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "rpc/rpc.h"

#define CODEC_DECLARE(name)                                                                        \
	void put_##name##_request(struct buf *b, const struct rpc_##name##_request *q);            \
	int take_##name##_request(struct reader *r, struct arena *arena,                           \
				  struct rpc_##name##_request *q, struct error *err);              \
	void put_##name##_response(struct buf *b, const struct rpc_##name##_request *q,            \
				   const struct rpc_##name##_response *a);                         \
	int take_##name##_response(struct reader *r, const struct rpc_##name##_request *q,         \
				   struct arena *arena, struct rpc_##name##_response *a,           \
				   struct error *err);
CODEC_DECLARE(meta)
CODEC_DECLARE(heartbeat)
CODEC_DECLARE(probe)
CODEC_DECLARE(join)
