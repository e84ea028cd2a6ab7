/* Private to rpc/: how two nodes prove to each other that they know the key of their cluster, before anything else is said on a
 * connection. Challenge and response (as in ISO/IEC 9798-4, mutual, three passes):
 *
 *   caller  HELLO      {32 random bytes: a}
 *   callee  CHALLENGE  {32 random bytes: b, proof "callee" of everything below}
 *   caller  PROOF      {proof "caller" of the same}
 *
 * A proof is HMAC-SHA256 under the key over: which side, cluster id, caller, whom it calls, class (all as the HELLO says),
 * the callee's own id, a, b. The key is never sent, an old answer fits no new question, and the proof of one side is none of the
 * other. What is said later is neither encrypted nor signed: that is for the network (docs/operating.md).
 */
#pragma once
#include "base/secret.h"
#include "rpc/frame.h"

enum {
	AUTH_NONCE_BYTES = 32,
	AUTH_FRAME_BYTES = 1024 /* no longer frame is taken before the proof */
};
enum auth_side { AUTH_CALLER = 1, AUTH_CALLEE };

/* One connection, on either side. */
struct auth {
	uint8_t a[AUTH_NONCE_BYTES], b[AUTH_NONCE_BYTES];
	uint64_t cluster_id, from, to, callee;
	enum rpc_class class;
};

/* What stands in a key file or on the command line becomes a key of fixed size. */
void auth_key(const char *text, uint8_t key[SECRET_HASH_BYTES]);

void auth_proof(const struct auth *c, enum auth_side side, const uint8_t key[SECRET_HASH_BYTES],
		uint8_t out[SECRET_HASH_BYTES]);
/* Is it the proof of that side? */
bool auth_proves(const struct auth *c, enum auth_side side, const uint8_t key[SECRET_HASH_BYTES],
		 const uint8_t *proof);

/* Whole frames. HELLO chooses `a`, CHALLENGE `b`. */
void auth_put_hello(struct auth *c, const struct frame_head *head, struct buf *out);
void auth_put_challenge(struct auth *c, const struct frame_head *head,
			const uint8_t key[SECRET_HASH_BYTES], struct buf *out);
void auth_put_proof(const struct auth *c, const struct frame_head *head,
		    const uint8_t key[SECRET_HASH_BYTES], struct buf *out);
/* The contents of each; head is the frame's. false: malformed, or (CHALLENGE, PROOF) the other side does not know the key. */
bool auth_take_hello(struct auth *c, const struct frame_head *head, uint64_t self,
		     struct reader *items);
bool auth_take_challenge(struct auth *c, const struct frame_head *head,
			 const uint8_t key[SECRET_HASH_BYTES], struct reader *items);
bool auth_take_proof(const struct auth *c, const uint8_t key[SECRET_HASH_BYTES],
		     struct reader *items);
