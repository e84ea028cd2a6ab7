/* Routing of calls, and the local transport: a call to the own node runs the handler on the
 * caller's thread, with the caller's structs. Other nodes are reached through back-ends that are
 * registered here; until one is, they are unavailable. */
#include "base/assert.h"
#include "base/memory.h"
#include "rpc/net.h"
#include "rpc/rpc.h"
#include <stdlib.h>

struct rpc {
	uint64_t self_node;
	struct rpc_service local; /* handle NULL: none yet */
	struct rpc_net *net;      /* NULL: this process only */
};

int rpc_new(struct rpc **out, uint64_t self_node, struct error *err)
{
	struct rpc *r = mem_zalloc(sizeof *r);

	(void)err;
	r->self_node = self_node;
	*out = r;
	return 0;
}

void rpc_free(struct rpc *r)
{
	if (r == NULL)
		return;
	rpc_hang_up(r);
	free(r);
}

void rpc_serve_local(struct rpc *r, struct rpc_service service)
{
	assert(service.handle);
	r->local = service;
}

void rpc_finish(struct rpc_call *call, int rc)
{
	assert(rc <= 0);
	call->rc = rc;
	if (rc < 0) {
		call->err.code = rc;
		if (call->err.text[0] == '\0')
			error_set(&call->err, rc, "%s", error_text(rc));
	}
	call->done(call);
}

void rpc_send(struct rpc *r, uint64_t node, struct rpc_call *call)
{
	assert(call->type < RPC_TYPE_COUNT);
	assert(call->request && call->response && call->done);
	call->rc = 0;
	call->err = (struct error){0};
	if (node == r->self_node && r->local.handle) {
		r->local.handle(r->local.ctx, call);
		return;
	}
	if (r->net != NULL && node != r->self_node) {
		net_send(r->net, node, call);
		return;
	}
	error_set(&call->err, ERR_UNAVAILABLE, "node %llu is not connected",
		  (unsigned long long)node);
	rpc_finish(call, ERR_UNAVAILABLE);
}

/* ---- the network ---- */

int rpc_listen(struct rpc *r, const struct rpc_net_options *o, struct error *err)
{
	assert(r->net == NULL);
	return net_start(r->self_node, r->local, o, &r->net, err);
}

void rpc_hang_up(struct rpc *r)
{
	net_stop(r->net);
	r->net = NULL;
}

void rpc_cancel(struct rpc *r, uint64_t node, struct rpc_call *call)
{
	if (r->net != NULL && node != r->self_node)
		net_cancel(r->net, node, call);
}

uint16_t rpc_port(const struct rpc *r)
{
	return r->net != NULL ? net_port(r->net) : 0;
}

void rpc_peer_set(struct rpc *r, uint64_t node, const char *address)
{
	if (r->net != NULL && node != r->self_node)
		net_peer_set(r->net, node, address);
}

void rpc_peer_remove(struct rpc *r, uint64_t node)
{
	if (r->net != NULL)
		net_peer_set(r->net, node, NULL);
}

bool rpc_peer_up(struct rpc *r, uint64_t node)
{
	return node == r->self_node || (r->net != NULL && net_peer_up(r->net, node));
}

int rpc_peer_refused(struct rpc *r, uint64_t node, struct error *why)
{
	return r->net != NULL ? net_peer_refused(r->net, node, why) : 0;
}

void rpc_metrics(struct rpc *r, struct buf *out)
{
	if (r->net != NULL)
		net_metrics(r->net, out);
}
