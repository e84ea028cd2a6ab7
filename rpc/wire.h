/* Private to rpc/: the transport under the frames. Messages between two processes, kept whole and in
 * order over one connection.
 *
 * Callbacks run on threads of the transport. They must not block, and must not close what they are
 * called for.
 */
#pragma once

#include "base/codec.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* A received message. Owned by who receives it; freed from any thread. */
struct wire_message {
	const uint8_t *bytes;
	size_t n;
	void *handle;
};
void wire_message_free(struct wire_message *m);

/* ---- calling side ---- */

struct wire_dialer;
struct wire_dialer_events {
	void *ctx;
	void (*up)(void *ctx);
	void (*down)(void *ctx);
	void (*received)(void *ctx, struct wire_message *m); /* takes it over */
};
/* Tries to connect to "host:port", once; wire_dialer_poke tries again. */
int wire_dial(const char *address, const struct wire_dialer_events *events,
	      struct wire_dialer **out, struct error *err);
/* No callback runs after it returns. NULL ok. */
void wire_dialer_close(struct wire_dialer *d);
/* Copies the bytes. false: the transport could not take it. */
bool wire_dialer_send(struct wire_dialer *d, const struct buf *bytes);
bool wire_dialer_is_up(struct wire_dialer *d);
/* Tries again to connect, unless it is connected or at it. Not from a callback. */
void wire_dialer_poke(struct wire_dialer *d);
/* Drops the connection. */
void wire_dialer_kick(struct wire_dialer *d);

/* ---- answering side ---- */

struct wire_listener;
struct wire_listener_events {
	void *ctx;
	void (*closed)(void *ctx, uint32_t connection);
	void (*received)(void *ctx, uint32_t connection, struct wire_message *m);
	uint32_t first_bytes; /* longest message until wire_listener_trust; 0 = LIMIT_RPC_BYTES */
};
/* "host:port"; port 0 picks one. */
int wire_listen(const char *address, const struct wire_listener_events *events,
		struct wire_listener **out, struct error *err);
void wire_listener_close(struct wire_listener *l);
uint16_t wire_listener_port(const struct wire_listener *l);
bool wire_listener_send(struct wire_listener *l, uint32_t connection, const struct buf *bytes);
void wire_listener_kick(struct wire_listener *l, uint32_t connection);
/* From received() of this connection: from now on it may send messages of LIMIT_RPC_BYTES. */
void wire_listener_trust(struct wire_listener *l, uint32_t connection);
/* Address of the other side, for people; "?" when the connection is gone. */
void wire_listener_peer(struct wire_listener *l, uint32_t connection, char *out, size_t size);
