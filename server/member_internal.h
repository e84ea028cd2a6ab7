/* Private to server/: the parts of a member. member.c: threads and time; member_serve.c: messages that come in; member_call.c: messages that
 * go out. */
#pragma once
#include "base/mailbox.h"
#include "cluster/heal.h"
#include "coordinator/meta_runtime.h"
#include "rpc/rpc.h"
#include "server/hosting.h"
#include "server/member.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
	BEAT_US = 250000,
	META_CALL_US =
		1000000, /* a message of the control plane that is not delivered by then is lost */
	BEAT_CALL_US = 500000,
	PROBE_CALL_US = 300000,
	STALLED_US = 3000000, /* the control plane of a node has not got on for so long */
};

enum member_post_type { POST_HEARTBEAT, POST_PROBED, POST_MAP, POST_REGISTERED, POST_STOP };

/* To the control thread. */
struct member_post {
	struct mail mail;
	enum member_post_type type;
	const struct map *map;       /* MAP: a reference */
	uint64_t node, incarnation;  /* HEARTBEAT, PROBED */
	char address[ADDRESS_BYTES]; /* HEARTBEAT */
	struct heal_report *reports; /* HEARTBEAT */
	size_t n_reports;
	bool reachable;      /* PROBED */
	struct error result; /* REGISTERED */
};

struct member {
	struct member_options options;
	uint64_t self, start_id;
	struct hosting *hosting;
	struct mailbox *box;
	pthread_t thread;
	bool has_thread;
	atomic_bool registered, failed, handed_over;
	atomic_ullong incarnation; /* of this start, once registered */
	atomic_ullong leader;
	atomic_ullong leader_heard_us; /* last message of the control plane that came from it */
	atomic_uint contacts;          /* questions under way, see member_contact() */

	pthread_rwlock_t meta_lock; /* the control plane is there while it is held */
	struct meta_runtime *meta;
	bool closed;

	pthread_mutex_t peers_lock;
	uint64_t peers[64]; /* that the transport knows an address of */
	size_t n_peers;

	/* The control thread's own. */
	struct heal *heal;
	const struct map *map;
	uint64_t led_by; /* the last leader that was another node */
	bool leads, registering, stopping;
	bool was_listed; /* the map has had this node */
	uint64_t tick_us, beat_us, register_us;
	unsigned stale_registrations;
};

struct member_post *member_post_new(enum member_post_type type);
void member_post(struct member *m, struct member_post *p); /* takes it over */
/* The control plane, locked against its end; NULL when it is gone. */
struct meta_runtime *member_meta_get(struct member *m);
void member_meta_put(struct member *m);
void member_fail(struct member *m, const struct error *why);
/* Tells the transport where a node is; `newer`: this is news, else only when nothing is known. */
void member_peer(struct member *m, uint64_t node, const char *address, bool newer);

/* ---- member_call.c ---- */
void member_send_meta(void *ctx, const struct meta_message *message);
void member_send_beat(struct member *m, uint64_t node, const struct replica_report *reports,
		      uint32_t n);
/* Hands the heartbeat of another node on to who leads: it may not know. */
void member_relay_beat(struct member *m, uint64_t leader, const struct member_post *p);
void member_send_probe(struct member *m, uint64_t through, uint64_t node);
/* ---- member_copies.c ---- */
/* Asks how new the map here is; the replicas are told. */
void member_contact(struct member *m);
/* Puts this start into the map; the result comes as POST_REGISTERED. */
void member_register(struct member *m);
