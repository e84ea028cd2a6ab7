/* See auth.h. Bytes only: connections are link.c's and serve.c's. */
#include "rpc/auth.h"

#include <string.h>

void auth_key(const char *text, uint8_t key[SECRET_HASH_BYTES])
{
	secret_hash(text, strlen(text), key);
}

void auth_proof(const struct auth *c, enum auth_side side, const uint8_t key[SECRET_HASH_BYTES],
		uint8_t out[SECRET_HASH_BYTES])
{
	static const char label[] = "quiver rpc 1";
	struct buf b = BUF_INIT;

	buf_put(&b, label, sizeof(label));
	buf_put_u8(&b, (uint8_t)side);
	buf_put_u8(&b, (uint8_t)c->class);
	buf_put_u64(&b, c->cluster_id);
	buf_put_u64(&b, c->from);
	buf_put_u64(&b, c->to);
	buf_put_u64(&b, c->callee);
	buf_put(&b, c->a, sizeof(c->a));
	buf_put(&b, c->b, sizeof(c->b));
	secret_hmac(key, b.data, b.len, out);
	buf_fini(&b);
}

bool auth_proves(const struct auth *c, enum auth_side side, const uint8_t key[SECRET_HASH_BYTES],
		 const uint8_t *proof)
{
	uint8_t expected[SECRET_HASH_BYTES];

	auth_proof(c, side, key, expected);
	return secret_same(expected, proof, sizeof(expected));
}

/* ---- writing ---- */

static void begin(struct buf *out, const struct frame_head *head, enum frame_kind kind)
{
	struct frame_head h = *head;

	h.kind = kind;
	frame_begin(out, &h);
}

void auth_put_hello(struct auth *c, const struct frame_head *head, struct buf *out)
{
	*c = (struct auth){.cluster_id = head->cluster_id,
			   .from = head->from,
			   .to = head->to,
			   .class = head->class};
	secret_random(c->a, sizeof(c->a));
	begin(out, head, FRAME_HELLO);
	buf_put(out, c->a, sizeof(c->a));
	frame_end(out, 1);
}

static void put_proof(const struct auth *c, enum auth_side side,
		      const uint8_t key[SECRET_HASH_BYTES], struct buf *out)
{
	auth_proof(c, side, key, buf_extend(out, SECRET_HASH_BYTES));
	frame_end(out, 1);
}

void auth_put_challenge(struct auth *c, const struct frame_head *head,
			const uint8_t key[SECRET_HASH_BYTES], struct buf *out)
{
	secret_random(c->b, sizeof(c->b));
	begin(out, head, FRAME_CHALLENGE);
	buf_put(out, c->b, sizeof(c->b));
	put_proof(c, AUTH_CALLEE, key, out);
}

void auth_put_proof(const struct auth *c, const struct frame_head *head,
		    const uint8_t key[SECRET_HASH_BYTES], struct buf *out)
{
	begin(out, head, FRAME_PROOF);
	put_proof(c, AUTH_CALLER, key, out);
}

/* ---- reading ---- */

static bool take(struct reader *items, uint8_t *out, size_t n)
{
	const uint8_t *bytes = reader_bytes(items, n);

	if (bytes != NULL)
		memcpy(out, bytes, n);
	return bytes != NULL;
}

static bool take_proof(const struct auth *c, enum auth_side side,
		       const uint8_t key[SECRET_HASH_BYTES], struct reader *items)
{
	const uint8_t *proof = reader_bytes(items, SECRET_HASH_BYTES);

	return proof != NULL && reader_done(items) && auth_proves(c, side, key, proof);
}

bool auth_take_hello(struct auth *c, const struct frame_head *head, uint64_t self,
		     struct reader *items)
{
	*c = (struct auth){.cluster_id = head->cluster_id,
			   .from = head->from,
			   .to = head->to,
			   .callee = self,
			   .class = head->class};
	return take(items, c->a, sizeof(c->a)) && reader_done(items);
}

bool auth_take_challenge(struct auth *c, const struct frame_head *head,
			 const uint8_t key[SECRET_HASH_BYTES], struct reader *items)
{
	c->callee = head->from;
	return take(items, c->b, sizeof(c->b)) && take_proof(c, AUTH_CALLEE, key, items);
}

bool auth_take_proof(const struct auth *c, const uint8_t key[SECRET_HASH_BYTES],
		     struct reader *items)
{
	return take_proof(c, AUTH_CALLER, key, items);
}
