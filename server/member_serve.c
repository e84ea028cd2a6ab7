/* Messages of the control plane that come in. Handlers only hand over: to the control plane, to the control thread, or to another node. */
#include "base/clock.h"
#include "base/memory.h"
#include "server/member_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse_closed(struct rpc_call *call)
{
	rpc_finish(call, error_set(&call->err, ERR_UNAVAILABLE, "the node is stopping"));
}

static void serve_meta(struct member *m, struct rpc_call *call)
{
	const struct rpc_meta_request *q = call->request;
	struct rpc_meta_response *a = call->response;
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL) {
		refuse_closed(call);
		return;
	}
	if (q->from == atomic_load(&m->leader))
		atomic_store(&m->leader_heard_us, clock_monotonic_us());
	meta_runtime_message(meta, q->from, q->bytes, q->n);
	member_meta_put(m);
	a->taken = true;
	rpc_finish(call, 0);
}

/* ---- heartbeats ---- */

struct unknown {
	struct member *member;
	struct rpc_call *call;
};

/* The map here is as new as any was when the heartbeat came. */
static void unknown_read(void *ctx, const struct error *result, uint64_t index)
{
	struct unknown *u = ctx;
	const struct rpc_heartbeat_request *q = u->call->request;
	struct rpc_heartbeat_response *a = u->call->response;
	struct meta_runtime *meta = member_meta_get(u->member);
	if (meta != NULL) {
		const struct map *map = meta_runtime_map(meta);
		a->removed = result->code == 0 && map_node(map, q->node) == NULL;
		map_unref(map);
		member_meta_put(u->member);
	}
	rpc_finish(u->call, 0);
	free(u);
}

/* Of a node that the map here does not have: it was removed, and does not follow the map any more, or this map is old. Those of the first start
 * are not in the map before they have registered. */
static bool may_be_removed(const struct rpc_heartbeat_request *q, const struct map_node *known)
{
	return known == NULL && (q->incarnation != 0 || q->node >= MAP_FIRST_ID);
}

static void serve_unknown(struct member *m, struct meta_runtime *meta, struct rpc_call *call)
{
	struct unknown *u = mem_zalloc(sizeof(*u));
	*u = (struct unknown){m, call};
	meta_runtime_read(meta, unknown_read, u);
}

static void serve_heartbeat(struct member *m, struct rpc_call *call)
{
	const struct rpc_heartbeat_request *q = call->request;
	struct rpc_heartbeat_response *a = call->response;
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL) {
		refuse_closed(call);
		return;
	}
	const struct map *map = meta_runtime_map(meta);
	const struct map_node *known = map_node(map, q->node);
	/* 0: it has not registered yet. */
	a->superseded = known != NULL && q->incarnation != 0 && q->incarnation < known->incarnation;
	a->leader = atomic_load(&m->leader);
	bool unknown = may_be_removed(q, known);
	map_unref(map);
	if (unknown)
		serve_unknown(m, meta, call);
	member_meta_put(m);
	if (unknown)
		return;
	struct member_post *p = member_post_new(POST_HEARTBEAT);
	p->node = q->node;
	p->incarnation = q->incarnation;
	snprintf(p->address, sizeof(p->address), "%s", q->rpc_address);
	p->reports = mem_array(q->n_reports + 1, sizeof(*p->reports));
	p->n_reports = q->n_reports;
	for (uint32_t i = 0; i < q->n_reports; i++) {
		const struct replica_report *r = &q->reports[i];
		p->reports[i] = (struct heal_report){r->collection_id, r->partition, r->epoch,
						     r->last_epoch,    r->last_seq,  r->commit_seq,
						     r->digest,        r->failed};
	}
	member_post(m, p);
	rpc_finish(call, 0);
}

/* ---- probes ---- */

struct asking {
	struct rpc_call call; /* first */
	struct rpc_call *asked_by;
	struct rpc_probe_request request;
	struct rpc_probe_response response;
};

static void asked(struct rpc_call *call)
{
	struct asking *a = (struct asking *)call;
	struct rpc_probe_response *answer = a->asked_by->response;
	struct rpc_call *by = a->asked_by;
	answer->reachable = call->rc == 0 && a->response.reachable;
	answer->node = a->response.node;
	answer->start_id = a->response.start_id;
	arena_free(call->arena);
	free(a);
	rpc_finish(by, 0);
}

struct about {
	struct member *member;
	struct rpc_call *call;
};

/* The map here is as new as any was when the question came. */
static void about_read(void *ctx, const struct error *result, uint64_t index)
{
	struct about *about = ctx;
	struct rpc_call *call = about->call;
	const struct rpc_probe_request *q = call->request;
	struct rpc_probe_response *answer = call->response;
	struct meta_runtime *meta = member_meta_get(about->member);
	struct meta_runtime_status status;
	answer->unsure = meta == NULL || result->code != 0;
	if (!answer->unsure) {
		const struct map *map = meta_runtime_map(meta);
		const struct map_node *node = map_node(map, q->about);
		meta_runtime_status(meta, &status);
		answer->incarnation = node != NULL ? node->incarnation : 0;
		for (uint32_t i = 0; i < status.n_members; i++)
			answer->member = answer->member || status.members[i].id == q->about;
		map_unref(map);
	}
	if (meta != NULL)
		member_meta_put(about->member);
	free(about);
	rpc_finish(call, 0);
}

static void serve_about(struct member *m, struct rpc_call *call)
{
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL) {
		refuse_closed(call);
		return;
	}
	/* At the first start of all, nobody can say more before a majority has begun. */
	const struct map *map = meta_runtime_map(meta);
	struct rpc_probe_response *answer = call->response;
	bool fresh = m->options.first != NULL && map->n_nodes == 0;
	answer->fresh = fresh;
	map_unref(map);
	if (!fresh) {
		struct about *about = mem_zalloc(sizeof(*about));
		*about = (struct about){m, call};
		meta_runtime_read(meta, about_read, about);
	}
	member_meta_put(m);
	if (fresh)
		rpc_finish(call, 0);
}

/* Whoever asks wants to know whether this node does its part. With a disk that hangs it may believe that it leads, and tell
 * nobody how it is. */
static bool gets_on(struct member *m)
{
	struct meta_runtime *meta = member_meta_get(m);
	uint64_t busy_us = meta != NULL ? meta_runtime_busy_us(meta) : 0;
	if (meta != NULL)
		member_meta_put(m);
	return busy_us < STALLED_US;
}

static void serve_probe(struct member *m, struct rpc_call *call)
{
	const struct rpc_probe_request *q = call->request;
	struct rpc_probe_response *answer = call->response;
	if (q->about != 0) {
		*answer = (struct rpc_probe_response){.reachable = true,
						      .node = m->self,
						      .start_id = m->start_id};
		serve_about(m, call);
		return;
	}
	if (q->node == 0 || q->node == m->self) {
		*answer = (struct rpc_probe_response){.reachable = gets_on(m),
						      .node = m->self,
						      .start_id = m->start_id};
		rpc_finish(call, 0);
		return;
	}
	struct asking *a = mem_zalloc(sizeof(*a));
	a->asked_by = call;
	a->call.type = RPC_TYPE_probe;
	a->call.request = &a->request;
	a->call.response = &a->response;
	a->call.arena = arena_new(256);
	a->call.deadline_us = clock_monotonic_us() + PROBE_CALL_US;
	a->call.done = asked;
	rpc_send(m->options.rpc, q->node, &a->call);
}

/* ---- join ---- */

struct joining {
	struct member *member;
	struct rpc_call *call;
};

static void finish_join(struct joining *j, const struct error *result)
{
	struct rpc_call *call = j->call;
	struct rpc_join_response *a = call->response;
	const struct rpc_join_request *q = call->request;
	struct meta_runtime *meta = member_meta_get(j->member);
	int rc = result->code;
	if (rc != 0)
		call->err = *result;
	if (rc == 0 && meta == NULL)
		rc = error_set(&call->err, ERR_UNAVAILABLE, "the node is stopping");
	if (rc == 0) {
		const struct map *map = meta_runtime_map(meta);
		const struct map_node *node = map_node_by_name(map, q->name);
		if (node != NULL) {
			a->node = node->id;
			a->cluster_id = map->cluster_id;
		} else {
			rc = error_set(&call->err, ERR_UNAVAILABLE,
				       "node `%s` was removed at once; try again", q->name);
		}
		map_unref(map);
	}
	if (meta != NULL)
		member_meta_put(j->member);
	free(j);
	rpc_finish(call, rc);
}

static void joined(void *ctx, const struct error *result, uint64_t index)
{
	finish_join(ctx, result);
}

/* One that asked before and did not hear the answer is the same node: it never started. */
static bool asked_before(const struct map *map, const struct rpc_join_request *q)
{
	const struct map_node *node = map_node_by_name(map, q->name);
	return node != NULL && node->incarnation == 0 &&
	       strcmp(node->rpc_address, q->rpc_address) == 0;
}

static void join_read(void *ctx, const struct error *result, uint64_t index)
{
	struct joining *j = ctx;
	struct meta_runtime *meta = member_meta_get(j->member);
	if (result->code != 0 || meta == NULL) {
		if (meta != NULL)
			member_meta_put(j->member);
		finish_join(j, result);
		return;
	}
	const struct rpc_join_request *q = j->call->request;
	const struct map *map = meta_runtime_map(meta);
	bool again = asked_before(map, q);
	map_unref(map);
	struct map_command c = {
		.type = MAP_NODE_PUT,
		.node = {.name = q->name,
			 .rpc_address = q->rpc_address,
			 .http_address = q->http_address,
			 .coordinator = q->coordinator,
			 .shard = q->shard,
			 .state = NODE_DOWN}, /* until it has started */
	};
	if (!again)
		meta_runtime_submit(meta, &c, joined, j);
	member_meta_put(j->member);
	if (again)
		finish_join(j, result);
}

static void serve_join(struct member *m, struct rpc_call *call)
{
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL) {
		refuse_closed(call);
		return;
	}
	struct joining *j = mem_zalloc(sizeof(*j));
	j->member = m;
	j->call = call;
	meta_runtime_read(meta, join_read, j);
	member_meta_put(m);
}

bool member_handle(struct member *m, struct rpc_call *call)
{
	switch (call->type) {
	case RPC_TYPE_meta: serve_meta(m, call); return true;
	case RPC_TYPE_heartbeat: serve_heartbeat(m, call); return true;
	case RPC_TYPE_probe: serve_probe(m, call); return true;
	case RPC_TYPE_join: serve_join(m, call); return true;
	default: return false;
	}
}
