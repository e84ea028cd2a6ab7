/* What a node asks others before it starts as a member: to be let into a cluster, and whether it runs elsewhere already. */
#pragma once
#include "base/error.h"
#include "rpc/messages.h"
#include "server/identity.h"

struct rpc;
struct join_answer {
	uint64_t cluster_id, node;
};
/* Asks the seeds ("host:port,host:port") one after the other. The error says what each answered. key: of the cluster, NULL = none. */
int join_cluster(const char *seeds, const char *key, const struct rpc_join_request *request,
		 struct join_answer *out, struct error *err);

/* At the first start of one of several first nodes: may it vote? A node that lost its disk may not, for it might vote a second time. Asks the
 * others of the list until so many are at their first start too, or know of no start of this node, that they are a majority with it, and
 * nobody who answers is unsure. ERR_EXISTS: it has been a member. ERR_CLOSED: a signal to stop came meanwhile. */
int join_may_bootstrap(struct rpc *r, const struct first_nodes *list, uint64_t self,
		       struct error *err);

/* 1: the process at the address is this node of this cluster; 0: it is not, or nobody answers. */
int join_runs_at(const struct identity *id, const char *key);
