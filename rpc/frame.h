/* Private to rpc/: frames between nodes. A frame is one message of the transport and carries
 * several calls, or answers, at once.
 *
 *   u32 magic "QRPC"   u16 wire version   u8 kind   u8 class
 *   u64 cluster id     u64 from node      u64 to node
 *   u32 items          u64 hash of everything else
 *   REQUESTS   {u64 call, u16 type, u64 budget us (0 = none), blob}
 *   RESPONSES  {u64 call, u8 code (0 = ok), code != 0: str text, else blob}
 *   CANCEL     {u64 call}
 *   REJECT     {u64 0, u8 code, str text}: why the frame before could not be taken
 *   HELLO, CHALLENGE, PROOF   when the cluster has a key: auth.h
 *
 * Magic, version, and for REJECT also the rest, keep their places in later versions.
 */
#pragma once

#include "base/codec.h"
#include "base/error.h"
#include "rpc/rpc.h"

enum { FRAME_VERSION = 1, FRAME_HEAD_BYTES = 44 };
enum frame_kind {
	FRAME_REQUESTS = 1,
	FRAME_RESPONSES,
	FRAME_CANCEL,
	FRAME_REJECT,
	FRAME_HELLO,
	FRAME_CHALLENGE,
	FRAME_PROOF
};

struct frame_head {
	enum frame_kind kind;
	enum rpc_class class;
	uint64_t cluster_id, from, to;
	uint32_t n_items;
};
struct frame_request {
	uint64_t call;
	enum rpc_type type;
	uint64_t budget_us;
	const uint8_t *bytes;
	uint32_t n;
};
struct frame_response {
	uint64_t call;
	int code;         /* 0 or a negative error code */
	const char *text; /* of code; not NUL-terminated */
	uint32_t text_n;
	const uint8_t *bytes;
	uint32_t n;
};

/* Writing: begin, add items, end (fills in the count and the hash). */
void frame_begin(struct buf *b, const struct frame_head *h);
void frame_put_request(struct buf *b, uint64_t call, enum rpc_type type, uint64_t budget_us,
		       const struct buf *body);
void frame_put_response(struct buf *b, uint64_t call, const struct error *error,
			const struct buf *body);
void frame_put_cancel(struct buf *b, uint64_t call);
void frame_end(struct buf *b, uint32_t n_items);
/* A whole REJECT. */
void frame_reject(struct buf *b, const struct frame_head *h, const struct error *why);

/* Reading: the head, checked; `items` stands at the first item. ERR_VERSION, ERR_FORMAT. */
int frame_parse(const void *bytes, size_t n, struct frame_head *h, struct reader *items,
		struct error *err);
/* Each: 0 or ERR_FORMAT. Bytes are borrowed. */
int frame_next_request(struct reader *r, struct frame_request *out);
int frame_next_response(struct reader *r, struct frame_response *out);

/* The text of a response's error. */
void frame_error(const struct frame_response *r, struct error *out);
