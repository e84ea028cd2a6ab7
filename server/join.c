/* See join.h. Each question has a transport of its own, since this node has no id yet, or must not show itself. */
#include "server/join.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "rpc/rpc.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONNECT_US = 3000000,
	JOIN_US = 15000000,
	RUNS_US = 1000000,
	ABOUT_US = 1000000,
	PAUSE_US = 10000,
	ASK_AGAIN_US = 50000,
	AWAY_US = 2000000, /* for nodes that do not answer: they may know more than those that do */
	TELL_US = 3000000, /* waiting so long is said in the log */
};

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

static void question_init(struct question *q)
{
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
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

static int send_and_wait(struct rpc *r, uint64_t node, struct question *q, uint64_t patience_us,
			 struct error *err)
{
	q->call.done = answered;
	q->call.deadline_us = clock_monotonic_us() + patience_us;
	rpc_send(r, node, &q->call);
	pthread_mutex_lock(&q->lock);
	while (!q->done)
		pthread_cond_wait(&q->changed, &q->lock);
	pthread_mutex_unlock(&q->lock);
	if (q->call.rc != 0 && err)
		*err = q->call.err;
	return q->call.rc;
}

/* Asks the process at `address`, whoever it is. q->call has type, request, response and arena. */
static int ask(struct question *q, const struct rpc_net_options *o, const char *address,
	       uint64_t patience_us, struct error *err)
{
	struct rpc *r = NULL;
	question_init(q);
	int rc = rpc_new(&r, 0, err);
	if (rc != 0)
		return rc;
	rpc_serve_local(r, (struct rpc_service){serves_nothing, NULL});
	rc = rpc_listen(r, o, err);
	if (rc == 0)
		rc = connect_to(r, address, patience_us < CONNECT_US ? patience_us : CONNECT_US,
				err);
	if (rc == 0)
		rc = send_and_wait(r, RPC_ANY_NODE, q, patience_us, err);
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

/* ---- the first start of several nodes ---- */

enum opinion { IS_AWAY, IS_UNSURE, AGREES };

/* What node `of` says of `self`; ERR_EXISTS: that it must not vote. */
static int ask_about(struct rpc *r, const struct first_node *of, const struct first_node *self,
		     enum opinion *out, struct error *err)
{
	struct rpc_probe_request request = {.about = self->voter.id};
	struct rpc_probe_response a = {0};
	struct question q = {.call = {.type = RPC_TYPE_probe,
				      .request = &request,
				      .response = &a,
				      .arena = arena_new(256)}};
	question_init(&q);
	int rc = send_and_wait(r, of->voter.id, &q, ABOUT_US, NULL);
	arena_free(q.call.arena);
	*out = rc == ERR_UNAVAILABLE || rc == ERR_CLOSED ? IS_AWAY : IS_UNSURE;
	if (rc != 0 || a.unsure)
		return 0;
	*out = AGREES;
	if (a.fresh || (a.member && a.incarnation == 0))
		return 0;
	if (!a.member)
		return error_set(err, ERR_EXISTS,
				 "the cluster of --bootstrap runs, without node `%s`: enter it with "
				 "--join (says node `%s`)",
				 self->name, of->name);
	return error_set(
		err, ERR_EXISTS,
		"node `%s` was a member of this cluster before (start %llu, says node `%s`), "
		"but its data folder is empty: it might vote a second time. Give it its old "
		"folder back, or remove it (quiver cluster remove %s, asked of another node) and "
		"start it with --join",
		self->name, (unsigned long long)a.incarnation, of->name, self->name);
}

struct round {
	size_t agree, unsure, away;
};

static int ask_all(struct rpc *r, const struct first_nodes *list, const struct first_node *own,
		   struct round *out, struct error *err)
{
	*out = (struct round){0};
	for (size_t i = 0; i < list->n; i++) {
		enum opinion opinion = AGREES;
		int rc = &list->nodes[i] == own ? 0
						: ask_about(r, &list->nodes[i], own, &opinion, err);
		if (rc != 0)
			return rc;
		out->agree += opinion == AGREES;
		out->unsure += opinion == IS_UNSURE;
		out->away += opinion == IS_AWAY;
	}
	return 0;
}

/* The signals are blocked until the node has started (server/main.c). */
static bool must_stop(void)
{
	sigset_t pending;
	sigpending(&pending);
	return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

int join_may_bootstrap(struct rpc *r, const struct first_nodes *list, uint64_t self,
		       struct error *err)
{
	const struct first_node *own = NULL;
	uint64_t began_us = clock_monotonic_us();
	bool told = false;
	for (size_t i = 0; i < list->n; i++) {
		if (list->nodes[i].voter.id == self)
			own = &list->nodes[i];
		else
			rpc_peer_set(r, list->nodes[i].voter.id, list->nodes[i].voter.address);
	}
	assert(own != NULL);
	for (;;) {
		struct round round;
		int rc = ask_all(r, list, own, &round, err);
		uint64_t waited_us = clock_monotonic_us() - began_us;
		if (rc != 0)
			return rc;
		if (round.unsure == 0 && round.agree > list->n / 2 &&
		    (round.away == 0 || waited_us >= AWAY_US))
			return 0;
		if (must_stop())
			return error_set(err, ERR_CLOSED,
					 "stopped while it waited for the other first nodes");
		if (!told && waited_us >= TELL_US)
			log_info("node",
				 "waits for the other nodes of --bootstrap: the cluster begins when "
				 "a majority of the %zu is there",
				 list->n);
		told = waited_us >= TELL_US;
		usleep(ASK_AGAIN_US);
	}
}
