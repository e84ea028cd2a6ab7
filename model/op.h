/* Operations: what a partition's log holds. Everything in an op is resolved (ids, not filters;
 * space numbers, not names), so that applying it is deterministic on every replica.
 *
 * Encoding: u8 type, u64 batch_hi, u64 batch_lo (idempotency, 0 = none), then by type:
 *   OP_UPSERT          u32 n, points
 *   OP_DELETE          u32 n, ids
 *   OP_SET_PAYLOAD     u32 n, ids, blob key path ("" = root), payload object   (merge)
 *   OP_OVERWRITE_PAYLOAD  same fields (replace)
 *   OP_DELETE_PAYLOAD  u32 n, ids, u32 n_paths, blobs
 *   OP_CLEAR_PAYLOAD   u32 n, ids
 *   OP_UPDATE_VECTORS  u32 n, points (payload empty; only the named vectors change)
 *   OP_DELETE_VECTORS  u32 n, ids, u32 n_spaces, {u8 vector kind, u32 space}
 *   OP_NOOP            nothing (first record of an epoch)
 */
#pragma once
#include "model/point.h"

/* The numbers are on disk: new ones go to the end. */
/* clang-format off */
#define OP_TYPES(X) \
	X(OP_NOOP) \
	X(OP_UPSERT) \
	X(OP_DELETE) \
	X(OP_SET_PAYLOAD) \
	X(OP_OVERWRITE_PAYLOAD) \
	X(OP_DELETE_PAYLOAD) \
	X(OP_CLEAR_PAYLOAD) \
	X(OP_UPDATE_VECTORS) \
	X(OP_DELETE_VECTORS)
/* clang-format on */
#define OP_ENUM(name) name,
enum op_type { OP_TYPES(OP_ENUM) OP_TYPE_COUNT };
#undef OP_ENUM

struct op_space {
	enum vector_kind kind;
	uint32_t space;
};

struct op {
	enum op_type type;
	uint64_t batch_hi, batch_lo;
	uint32_t n_points; /* UPSERT, UPDATE_VECTORS */
	struct point *points;
	uint32_t n_ids; /* the others */
	struct point_id *ids;
	struct pv_slice payload; /* SET, OVERWRITE */
	struct path key;         /* SET, OVERWRITE: n_steps 0 = root */
	uint32_t n_paths;        /* DELETE_PAYLOAD */
	struct path *paths;
	uint32_t n_spaces; /* DELETE_VECTORS */
	struct op_space *spaces;
};

void op_encode(struct buf *b, const struct op *op);
/* Everything in the arena or borrowed from `bytes`. */
int op_decode(const void *bytes, size_t n, struct arena *arena, struct op *out, struct error *err);
