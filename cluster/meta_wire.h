/* Private to cluster/: what the machines of the control plane say to each other. The first six are
 * Raft's own; READ confirms that the sender still leads; FORWARD hands a request to the leader.
 */
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum meta_wire_type {
	WIRE_APPEND = 1,
	WIRE_APPEND_RESULT,
	WIRE_VOTE,
	WIRE_VOTE_RESULT,
	WIRE_SNAPSHOT,
	WIRE_TIMEOUT_NOW,
	WIRE_READ,
	WIRE_READ_RESULT,
	WIRE_FORWARD,
	WIRE_FORWARD_RESULT,
	WIRE_TYPE_COUNT,
};

enum request_kind { REQUEST_COMMAND, REQUEST_READ, REQUEST_CHANGE, REQUEST_KIND_COUNT };

struct wire_bytes {
	const void *bytes; /* borrowed */
	uint32_t n;
};
struct wire_entry {
	uint64_t term;
	uint16_t type; /* of the raft library: 1 command, 2 barrier, 3 configuration */
	struct wire_bytes data;
};

struct wire_append {
	uint64_t prev_index, prev_term, commit;
	struct wire_entry *entries;
	uint32_t n;
};
struct wire_append_result {
	uint64_t rejected, last_index;
};
struct wire_vote {
	uint64_t candidate, last_index, last_term;
	bool disrupt, pre;
};
struct wire_vote_result {
	bool granted, pre;
};
struct wire_snapshot {
	uint64_t index, index_term;
	struct wire_bytes bytes; /* as saved: configuration and map */
};
struct wire_timeout_now {
	uint64_t last_index, last_term;
};
struct wire_forward {
	uint64_t request;
	enum request_kind kind;
	int change;
	uint64_t voter;
	const char *voter_address;
	struct wire_bytes command;
};
struct wire_forward_result {
	uint64_t request;
	struct error error;
	uint64_t index;
};

struct meta_wire {
	enum meta_wire_type type;
	uint64_t cluster_id;
	uint64_t from;
	const char *address; /* of the sender; "" = it does not know */
	uint64_t term;
	union {
		struct wire_append append;
		struct wire_append_result append_result;
		struct wire_vote vote;
		struct wire_vote_result vote_result;
		struct wire_snapshot snapshot;
		struct wire_timeout_now timeout_now;
		uint64_t read_round; /* READ, READ_RESULT */
		struct wire_forward forward;
		struct wire_forward_result forward_result;
	};
};

void meta_wire_encode(struct buf *b, const struct meta_wire *w);
/* Bytes of `out` point into the input, arrays and strings into the arena. */
int meta_wire_decode(const void *bytes, size_t n, struct arena *arena, struct meta_wire *out,
		     struct error *err);

/* A configuration as the raft library writes it: is it whole and does it make sense? The library
 * itself reads without looking where the bytes end. */
bool meta_configuration_ok(const void *bytes, size_t n);
