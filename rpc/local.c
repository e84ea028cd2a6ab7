/* Routing of calls, and the local transport: a call to the own node runs the handler on the
 * caller's thread, with the caller's structs. Other nodes are reached through back-ends that are
 * registered here; until one is, they are unavailable. */
#include "base/assert.h"
#include "base/memory.h"
#include "rpc/rpc.h"
#include <stdlib.h>

struct rpc {
	uint64_t self_node;
	struct rpc_service local; /* handle NULL: none yet */
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
	error_set(&call->err, ERR_UNAVAILABLE, "node %llu is not connected",
		  (unsigned long long)node);
	rpc_finish(call, ERR_UNAVAILABLE);
}
