/* Messages that a member sends. Each lives on the heap until its answer, or the news of its loss, comes. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/member_internal.h"
#include <stdlib.h>
#include <string.h>

struct outgoing {
	struct rpc_call call; /* first */
	struct member *member;
	uint64_t node; /* PROBE: whom it is about */
	union {
		struct rpc_meta_request meta;
		struct rpc_heartbeat_request beat;
		struct rpc_probe_request probe;
	} request;
	union {
		struct rpc_meta_response meta;
		struct rpc_heartbeat_response beat;
		struct rpc_probe_response probe;
	} response;
};

static struct outgoing *outgoing_new(struct member *m, enum rpc_type type, uint64_t patience_us)
{
	struct outgoing *o = mem_zalloc(sizeof(*o));
	o->member = m;
	o->call.type = type;
	o->call.request = &o->request;
	o->call.response = &o->response;
	o->call.arena = arena_new(256);
	o->call.deadline_us = clock_monotonic_us() + patience_us;
	return o;
}

static void outgoing_free(struct outgoing *o)
{
	arena_free(o->call.arena);
	free(o);
}

/* ---- raft ---- */

/* A peer of another cluster, or of another version, says so; everything else is silence that raft lives with. */
static void tell_refused(const struct rpc_call *call)
{
	static _Atomic uint64_t told_us;
	uint64_t now = clock_monotonic_us();
	if ((call->rc == ERR_FORBIDDEN || call->rc == ERR_VERSION || call->rc == ERR_STALE) &&
	    now - told_us > 10000000) {
		told_us = now;
		log_error("node", "a message of the control plane was refused: %s", call->err.text);
	}
}

static void meta_sent(struct rpc_call *call)
{
	tell_refused(call);
	outgoing_free((struct outgoing *)call);
}

void member_send_meta(void *ctx, const struct meta_message *message)
{
	struct member *m = ctx;
	struct outgoing *o = outgoing_new(m, RPC_TYPE_meta, META_CALL_US);
	member_peer(m, message->to, message->address, false);
	o->request.meta = (struct rpc_meta_request){m->self, message->bytes, (uint32_t)message->n};
	o->call.done = meta_sent;
	rpc_send(m->options.rpc, message->to, &o->call);
}

/* ---- heartbeats and probes ---- */

static void beat_sent(struct rpc_call *call)
{
	struct outgoing *o = (struct outgoing *)call;
	tell_refused(call);
	if (call->rc == 0 && o->response.beat.superseded) {
		struct error why;
		error_set(&why, ERR_STALE,
			  "node `%s` was started again elsewhere; was its data folder copied? This "
			  "process ends",
			  o->member->options.identity.name);
		member_fail(o->member, &why);
	} else if (call->rc == 0 && o->response.beat.removed) {
		struct error why;
		error_set(&why, ERR_NOT_FOUND,
			  "node `%s` was removed from the cluster; to join again, start it with an "
			  "empty data folder",
			  o->member->options.identity.name);
		member_fail(o->member, &why);
	}
	outgoing_free(o);
}

void member_send_beat(struct member *m, uint64_t node, const struct replica_report *reports,
		      uint32_t n)
{
	struct outgoing *o = outgoing_new(m, RPC_TYPE_heartbeat, BEAT_CALL_US);
	o->request.beat = (struct rpc_heartbeat_request){
		.node = m->self,
		.incarnation = atomic_load(&m->incarnation),
		.rpc_address = m->options.identity.address,
		.reports = reports,
		.n_reports = n,
	};
	o->call.done = beat_sent;
	rpc_send(m->options.rpc, node, &o->call);
}

static void relayed(struct rpc_call *call)
{
	outgoing_free((struct outgoing *)call);
}

void member_relay_beat(struct member *m, uint64_t leader, const struct member_post *p)
{
	struct outgoing *o = outgoing_new(m, RPC_TYPE_heartbeat, BEAT_CALL_US);
	struct replica_report *reports =
		arena_alloc(o->call.arena, (p->n_reports + 1) * sizeof(*reports));
	for (size_t i = 0; i < p->n_reports; i++) {
		const struct heal_report *r = &p->reports[i];
		reports[i] = (struct replica_report){r->collection_id, r->partition, r->epoch,
						     r->last_epoch,    r->last_seq,  r->commit_seq,
						     r->digest,        r->failed};
	}
	o->request.beat = (struct rpc_heartbeat_request){
		.node = p->node,
		.incarnation = p->incarnation,
		.rpc_address = arena_strdup(o->call.arena, p->address),
		.reports = reports,
		.n_reports = (uint32_t)p->n_reports,
	};
	o->call.done = relayed;
	rpc_send(m->options.rpc, leader, &o->call);
}

static void probe_sent(struct rpc_call *call)
{
	struct outgoing *o = (struct outgoing *)call;
	struct member_post *p = member_post_new(POST_PROBED);
	p->node = o->node;
	p->reachable = call->rc == 0 && o->response.probe.reachable;
	member_post(o->member, p);
	outgoing_free(o);
}

void member_send_probe(struct member *m, uint64_t through, uint64_t node)
{
	struct outgoing *o = outgoing_new(m, RPC_TYPE_probe, 2 * PROBE_CALL_US);
	o->node = node;
	o->request.probe.node = node;
	o->call.done = probe_sent;
	rpc_send(m->options.rpc, through, &o->call);
}

/* ---- registration ---- */

static void post_registered(struct member *m, const struct error *result)
{
	struct member_post *p = member_post_new(POST_REGISTERED);
	p->result = *result;
	member_post(m, p);
}

struct registration {
	struct member *member;
	uint64_t incarnation;
};

static void was_put(void *ctx, const struct error *result, uint64_t index)
{
	struct registration *r = ctx;
	if (result->code == 0)
		atomic_store(&r->member->incarnation, r->incarnation);
	post_registered(r->member, result);
	free(r);
}

/* The map is as new as any when this start began, so the incarnation to follow is known. */
static void was_read(void *ctx, const struct error *result, uint64_t index)
{
	struct registration *r = ctx;
	struct member *m = r->member;
	const struct identity *id = &m->options.identity;
	struct meta_runtime *meta = member_meta_get(m);
	if (result->code != 0 || meta == NULL) {
		if (meta != NULL)
			member_meta_put(m);
		post_registered(m, result);
		free(r);
		return;
	}
	const struct map *map = meta_runtime_map(meta);
	const struct map_node *known = map_node(map, m->self);
	r->incarnation = known != NULL ? known->incarnation + 1 : 1;
	struct map_command c = {
		.type = MAP_NODE_PUT,
		.node = {.id = m->self,
			 .name = id->name,
			 .rpc_address = id->address,
			 .http_address = m->options.http_address,
			 .incarnation = r->incarnation,
			 .coordinator = id->coordinator,
			 .shard = id->shard,
			 .state = known != NULL && known->state == NODE_DRAINING ? NODE_DRAINING
										 : NODE_UP},
	};
	meta_runtime_submit(meta, &c, was_put, r);
	map_unref(map);
	member_meta_put(m);
}

void member_register(struct member *m)
{
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL)
		return;
	struct registration *r = mem_zalloc(sizeof(*r));
	r->member = m;
	meta_runtime_read(meta, was_read, r);
	member_meta_put(m);
}
