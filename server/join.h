/* What a node asks others before it starts as a member: to be let into a cluster, and whether it runs elsewhere already. */
#pragma once
#include "base/error.h"
#include "rpc/messages.h"

struct join_answer {
	uint64_t cluster_id, node;
};
/* Asks the seeds ("host:port,host:port") one after the other. The error says what each answered. */
int join_cluster(const char *seeds, const struct rpc_join_request *request, struct join_answer *out,
		 struct error *err);

/* 1: the process at `address` is node `node` of this cluster; 0: it is not, or nobody answers. */
int join_runs_at(uint64_t cluster_id, uint64_t node, const char *address);
