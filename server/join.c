/* See join.h. Each question has a transport of its own, since this node has no id yet, or must not show itself. */
#include "server/join.h"
#include "base/clock.h"
#include "base/memory.h"
#include "rpc/rpc.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_US = 3000000, JOIN_US = 15000000, RUNS_US = 1000000, PAUSE_US = 10000 };

struct question {
	struct rpc_call call; /* first */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void answered(struct rpc_call *call)
{
	struct question *q = (struct question *)call;
	pthread_mutex_lock(&q->lock);
	q->done = true;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

static void serves_nothing(void *ctx, struct rpc_call *call)
{
	rpc_finish(call, error_set(&call->err, ERR_UNAVAILABLE, "the node is starting"));
}

static int connect_to(struct rpc *r, const char *address, uint64_t patience_us, struct error *err)
{
	uint64_t until = clock_monotonic_us() + patience_us;
	rpc_peer_set(r, RPC_ANY_NODE, address);
	while (!rpc_peer_up(r, RPC_ANY_NODE)) {
		int rc = rpc_peer_refused(r, RPC_ANY_NODE, err);
		if (rc == ERR_FORBIDDEN)
			error_set(err, rc,
				  "%s answers, but its cluster key and that of this node are not "
				  "the same; give both the same --cluster-key-file",
				  address);
		if (rc != 0)
			return rc;
		if (clock_monotonic_us() >= until)
			return error_set(err, ERR_UNAVAILABLE, "nobody answers at %s", address);
		usleep(PAUSE_US);
	}
	return 0;
}

/* Asks the process at `address`, whoever it is. q->call has type, request, response and arena. */
static int ask(struct question *q, const struct rpc_net_options *o, const char *address,
	       uint64_t patience_us, struct error *err)
{
	struct rpc *r = NULL;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	int rc = rpc_new(&r, 0, err);
	if (rc != 0)
		return rc;
	rpc_serve_local(r, (struct rpc_service){serves_nothing, NULL});
	rc = rpc_listen(r, o, err);
	if (rc == 0)
		rc = connect_to(r, address, patience_us < CONNECT_US ? patience_us : CONNECT_US,
				err);
	if (rc == 0) {
		q->call.done = answered;
		q->call.deadline_us = clock_monotonic_us() + patience_us;
		rpc_send(r, RPC_ANY_NODE, &q->call);
		pthread_mutex_lock(&q->lock);
		while (!q->done)
			pthread_cond_wait(&q->changed, &q->lock);
		pthread_mutex_unlock(&q->lock);
		rc = q->call.rc;
		if (rc != 0 && err)
			*err = q->call.err;
	}
	rpc_free(r);
	return rc;
}

int join_cluster(const char *seeds, const char *key, const struct rpc_join_request *request,
		 struct join_answer *out, struct error *err)
{
	struct rpc_net_options o = {.key = key}; /* no cluster yet */
	struct error last = {0};
	int rc = error_set(&last, ERR_INPUT, "--join needs HOST:PORT of a node of the cluster");
	char *list = mem_strdup(seeds), *rest = NULL;
	for (char *seed = strtok_r(list, ",", &rest); seed != NULL;
	     seed = strtok_r(NULL, ",", &rest)) {
		struct rpc_join_response a = {0};
		struct question q = {.call = {.type = RPC_TYPE_join,
					      .request = request,
					      .response = &a,
					      .arena = arena_new(256)}};
		rc = ask(&q, &o, seed, JOIN_US, &last);
		arena_free(q.call.arena);
		*out = (struct join_answer){a.cluster_id, a.node};
		/* Another seed may know better only when this one could not say. */
		if (rc == 0 || (rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT && rc != ERR_CLOSED))
			break;
	}
	if (rc != 0) {
		if (err)
			*err = last;
		error_wrap(err, rc, "--join %s", seeds);
	}
	free(list);
	return rc;
}

int join_runs_at(const struct identity *id, const char *key)
{
	struct rpc_net_options o = {.cluster_id = id->cluster_id, .key = key};
	struct rpc_probe_request request = {0};
	struct rpc_probe_response a = {0};
	struct question q = {.call = {.type = RPC_TYPE_probe,
				      .request = &request,
				      .response = &a,
				      .arena = arena_new(256)}};
	int rc = ask(&q, &o, id->address, RUNS_US, NULL);
	arena_free(q.call.arena);
	return rc == 0 && a.node == id->node_id;
}
