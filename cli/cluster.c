/* quiver cluster: the verbs that change something, and wait until it is done. Those that only show are in cluster_view.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cluster.h"
#include "cli/progress.h"

struct options {
	COMMON_MEMBERS
	const char *from, *to, *node;
	uint64_t wait_s;
	bool no_wait, force, yes_lose_data;
};

enum { POLL_US = 300000, PATIENCE_S = 60, GIVEN_UP_POLLS = 20 };

#define WAIT_ROWS                                                                                  \
	CONFIG_BOOL(struct options, no_wait, "false", "return at once; the cluster goes on"),      \
		CONFIG_U64(struct options, wait_s, "86400", 1, 8640000, "SECONDS",                 \
			   "stop waiting after this time (exit code 1); the cluster goes on")

static const struct config_row move_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, from, NULL, "NODE", "the node that has the replica"),
	CONFIG_STR(struct options, to, NULL, "NODE", "the node that shall have it"),
	WAIT_ROWS,
};
static const struct config_row drain_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_BOOL(struct options, force, "false",
		    "even when some partitions have nowhere to go: they stay"),
	WAIT_ROWS,
};
static const struct config_row plain_rows[] = {
	COMMON_ROWS(struct options),
};
static const struct config_row recover_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, node, NULL, "NODE", "the node whose replica shall be the truth"),
	CONFIG_BOOL(struct options, yes_lose_data, "false",
		    "do it, although what that replica lacks is lost"),
};

static const struct command_line move_line = {
	.name = "cluster move",
	.usage = "COLLECTION PARTITION --from NODE --to NODE",
	.about =
		"Moves one replica. A copy is made first; the old one goes when the new one is in sync, so\n"
		"the number of copies never falls. Waits until it is done. A move that leaves nodes with\n"
		"numbers of replicas that differ by more than one is evened out again by the cluster.",
	.examples = "  quiver cluster move books 3 --from n1 --to n4\n",
	.rows = move_rows,
	.n_rows = N_ROWS(move_rows),
	.min_rest = 2,
	.max_rest = 2,
};
static const struct command_line drain_line = {
	.name = "cluster drain",
	.usage = "NODE",
	.about =
		"Moves everything off a node, and puts nothing new on it. Waits until it is empty; then it\n"
		"can be stopped, and removed. It goes on serving meanwhile.",
	.examples = "  quiver cluster plan --drain n3\n  quiver cluster drain n3\n"
		    "  quiver cluster remove n3\n",
	.rows = drain_rows,
	.n_rows = N_ROWS(drain_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line undrain_line = {
	.name = "cluster undrain",
	.usage = "NODE",
	.about = "Takes back a drain: the node takes part again, and is given replicas.",
	.examples = "  quiver cluster undrain n3\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line remove_line = {
	.name = "cluster remove",
	.usage = "NODE",
	.about =
		"Removes a node that has no replicas, dead or alive, from the cluster and from those that\n"
		"vote. Its process ends. Its data folder is of no use to the cluster any more.",
	.examples = "  quiver cluster remove n3\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line recover_line = {
	.name = "cluster unsafe-recover",
	.usage = "COLLECTION PARTITION --node NODE --yes-lose-data",
	.about =
		"For a partition that is offline because all nodes with an in-sync copy are lost for good:\n"
		"makes a copy that was behind the only one. What it lacks is lost. Without --yes-lose-data\n"
		"it shows what each copy has, and changes nothing. When one of the lost nodes can be brought\n"
		"back, do that instead: then nothing is lost.",
	.examples = "  quiver cluster unsafe-recover books 3 --node n2\n"
		    "  quiver cluster unsafe-recover books 3 --node n2 --yes-lose-data\n",
	.rows = recover_rows,
	.n_rows = N_ROWS(recover_rows),
	.min_rest = 2,
	.max_rest = 2,
};

/* ---- waiting ---- */

struct waiting {
	struct session *s;
	struct progress bar;
	uint64_t until_us;
	struct client_patience patience;
};

static void wait_begin(struct waiting *w, struct session *s, const struct options *o,
		       const char *what)
{
	*w = (struct waiting){.s = s,
			      .until_us = clock_monotonic_us() + o->wait_s * 1000000,
			      .patience = {.patience_s = PATIENCE_S}};
	progress_begin(&w->bar, what, s->json);
}

/* Asks again; a node that restarts meanwhile is waited for. */
static int wait_ask(struct waiting *w, const char *path, const struct json **result,
		    struct error *err)
{
	const struct client_request request = {.method = "GET", .path = path};

	return client_call_patiently(w->s->client, &request, &w->patience, result, err);
}

static int wait_pause(struct waiting *w, struct error *err)
{
	if (clock_monotonic_us() >= w->until_us)
		return error_set(
			err, ERR_TIMEOUT,
			"not done yet; the cluster goes on (quiver cluster status shows it)");
	usleep(POLL_US);
	return 0;
}

/* ---- drain, undrain, remove ---- */

static int node_call(struct session *s, const char *method, const char *after, struct error *err)
{
	return session_call(s, method,
			    client_path(s->arena, "/v1/cluster/nodes/", s->rest[0], after), NULL,
			    NULL, err);
}

/* How many replicas are left on a node; ERR_NOT_FOUND, ERR_STALE when somebody took the drain back. */
static int replicas_left(struct waiting *w, uint64_t *out, struct error *err)
{
	const struct json *view, *node;
	int rc = wait_ask(w, "/v1/cluster", &view, err);

	if (rc != 0)
		return rc;
	node = cluster_node(view, w->s->rest[0]);
	if (node == NULL)
		return error_set(err, ERR_NOT_FOUND, "there is no node `%s` any more",
				 w->s->rest[0]);
	if (strcmp(client_text(client_get(node, "state")), "draining") != 0)
		return error_set(err, ERR_STALE, "the drain of node `%s` was taken back",
				 w->s->rest[0]);
	*out = client_number(client_get(node, "replicas"));
	return 0;
}

static int wait_drained(struct session *s, const struct options *o, uint64_t *moved,
			struct error *err)
{
	struct waiting w;
	uint64_t first = 0, left = 0;

	wait_begin(&w, s, o, "replicas moved");
	int rc = replicas_left(&w, &left, err);

	for (first = left; rc == 0 && left > 0;) {
		first = left > first ? left : first;
		progress_show(&w.bar, first - left, (double)(first - left) / (double)first);
		rc = wait_pause(&w, err);
		if (rc == 0)
			rc = replicas_left(&w, &left, err);
	}
	progress_end(&w.bar);
	*moved = first - left;
	return rc;
}

static int run_drain(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	uint64_t moved = 0;
	int code = session_begin(&s, &drain_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = node_call(&s, "POST", o.force ? "/drain?force=true" : "/drain", &err);

	if (rc == 0 && !o.no_wait)
		rc = wait_drained(&s, &o, &moved, &err);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json)
		printf("{\"drained\":%s,\"moved\":%" PRIu64 "}\n", o.no_wait ? "false" : "true",
		       moved);
	else if (o.no_wait)
		printf("node %s is being drained\n", s.rest[0]);
	else
		printf("node %s is empty (%" PRIu64 " replicas moved)\n", s.rest[0], moved);
	return session_end(&s, EXIT_DONE);
}

static int run_undrain(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	int code = session_begin(&s, &undrain_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = node_call(&s, "POST", "/undrain", &err);

	if (rc != 0)
		return session_fail(&s, rc, &err);
	return session_done(&s, "{\"draining\":false}", "node %s takes part again", s.rest[0]);
}

static int run_remove(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	int code = session_begin(&s, &remove_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = node_call(&s, "DELETE", "", &err);

	if (rc != 0)
		return session_fail(&s, rc, &err);
	return session_done(&s, "{\"removed\":true}", "removed node %s", s.rest[0]);
}

/* ---- move ---- */

struct move {
	const char *path; /* of the partition */
	uint64_t from, to;
};

/* Where the move stands, by the replicas of the partition. */
struct move_state {
	bool from_there, to_there, to_in_sync;
	uint64_t points, copied;
};

static int move_look(struct waiting *w, const struct move *m, struct move_state *out,
		     struct error *err)
{
	const struct json *view, *replicas;
	struct json_iter it;
	int rc = wait_ask(w, m->path, &view, err);

	*out = (struct move_state){0};
	replicas = rc == 0 ? client_get(view, "replicas") : NULL;
	if (replicas == NULL)
		return rc;
	it = json_iterate(replicas);
	while (json_next(&it)) {
		uint64_t node = client_number(client_get(it.value, "node"));
		uint64_t points = client_number(client_get(it.value, "points"));

		out->points = points > out->points ? points : out->points;
		out->from_there = out->from_there || node == m->from;
		if (node != m->to)
			continue;
		out->to_there = true;
		out->to_in_sync = cluster_is_true(client_get(it.value, "in_sync"));
		out->copied = points;
	}
	return 0;
}

static int wait_moved(struct session *s, const struct options *o, const struct move *m,
		      struct error *err)
{
	struct waiting w;
	struct move_state at;
	unsigned gone = 0;

	wait_begin(&w, s, o, "points copied");
	int rc = move_look(&w, m, &at, err);

	while (rc == 0 && !(at.to_in_sync && !at.from_there)) {
		/* An older map of the node that is asked may not have it yet. */
		if (!at.to_there && ++gone > GIVEN_UP_POLLS)
			rc = error_set(err, ERR_CLOSED,
				       "the move was given up: there is no copy on node %s", o->to);
		progress_show(&w.bar, at.copied,
			      at.points > 0 ? 0.99 * (double)at.copied / (double)at.points : 0);
		if (rc == 0)
			rc = wait_pause(&w, err);
		if (rc == 0)
			rc = move_look(&w, m, &at, err);
	}
	progress_end(&w.bar);
	return rc;
}

static int start_move(struct session *s, struct move *m, const struct options *o,
		      uint64_t partition, struct error *err)
{
	struct cluster_names names;
	struct buf body = BUF_INIT;
	int rc = cluster_names(s, &names, err);

	if (rc != 0)
		return rc;
	m->from = cluster_node_id(&names, o->from);
	m->to = cluster_node_id(&names, o->to);
	if (m->from == 0 || m->to == 0)
		return error_set(err, ERR_NOT_FOUND, "there is no node `%s` in this cluster",
				 m->from == 0 ? o->from : o->to);
	buf_printf(&body,
		   "{\"move_shard\":{\"shard_id\":%" PRIu64 ",\"from_peer_id\":%" PRIu64
		   ",\"to_peer_id\":%" PRIu64 "}}",
		   partition, m->from, m->to);
	rc = session_call(s, "POST", client_collection_path(s->arena, s->rest[0], "/cluster"),
			  &body, NULL, err);
	buf_fini(&body);
	return rc;
}

/* The number of a partition on the command line, and the path of it. */
static int take_partition(struct session *s, const char **path, uint64_t *partition,
			  struct error *err)
{
	size_t n = 0;
	int rc = command_numbers(s->rest[1], partition, 1, &n, err);
	char after[64];

	if (rc != 0)
		return error_set(err, ERR_INPUT, "`%s` is no number of a partition", s->rest[1]);
	snprintf(after, sizeof(after), "/partitions/%" PRIu64, *partition);
	*path = client_path(s->arena, "/v1/collections/", s->rest[0], after);
	return 0;
}

static int run_move(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	struct move m = {0};
	uint64_t partition = 0;
	int code = session_begin(&s, &move_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	if (o.from == NULL || o.to == NULL)
		return session_end(&s, command_misused(s.name, "--from and --to are needed"));
	if (take_partition(&s, &m.path, &partition, &err) != 0)
		return session_end(&s, command_misused(s.name, "%s", err.text));
	int rc = start_move(&s, &m, &o, partition, &err);

	if (rc == 0 && !o.no_wait)
		rc = wait_moved(&s, &o, &m, &err);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (o.no_wait)
		return session_done(&s, "{\"moved\":false}",
				    "partition %" PRIu64 " of %s is on its way from %s to %s",
				    partition, s.rest[0], o.from, o.to);
	return session_done(&s, "{\"moved\":true}",
			    "moved partition %" PRIu64 " of %s from %s to %s", partition, s.rest[0],
			    o.from, o.to);
}

/* ---- unsafe-recover ---- */

static void print_replica(const struct json *r)
{
	const struct json *last = client_get(r, "last_operation");
	const struct json *problem = client_get(r, "problem");

	printf("  %-16s %-8s %-5s", client_text(client_get(r, "name")),
	       cluster_is_true(client_get(r, "in_sync")) ? "in sync" : "behind",
	       cluster_is_true(client_get(r, "alive")) ? "up" : "down");
	if (last != NULL)
		printf(" has operations 1 to %" PRIu64 " (epoch %" PRIu64 "), %" PRIu64 " points",
		       client_number(last), client_number(client_get(r, "epoch")),
		       client_number(client_get(r, "points")));
	if (problem != NULL)
		printf(" %s", client_text(problem));
	printf("\n");
}

/* What each copy has; *last: the last operation that the chosen one has, UINT64_MAX when it cannot say. */
static int show_replicas(struct session *s, const char *path, const char *node, uint64_t *last,
			 struct error *err)
{
	const struct json *view = NULL, *replicas;
	struct json_iter it;
	int rc = session_call(s, "GET", path, NULL, &view, err);

	*last = UINT64_MAX;
	replicas = rc == 0 ? client_get(view, "replicas") : NULL;
	if (replicas == NULL)
		return rc;
	if (!s->json)
		printf("partition %s of %s is %s (epoch %" PRIu64 ")\n", s->rest[1], s->rest[0],
		       client_text(client_get(view, "state")),
		       client_number(client_get(view, "epoch")));
	it = json_iterate(replicas);
	while (json_next(&it)) {
		const struct json *end = client_get(it.value, "last_operation");

		if (node != NULL && end != NULL &&
		    strcmp(client_text(client_get(it.value, "name")), node) == 0)
			*last = client_number(end);
		if (!s->json)
			print_replica(it.value);
	}
	return 0;
}

static int recover(struct session *s, const char *path, const char *node, struct error *err)
{
	struct buf body = BUF_INIT;

	json_put_literal(&body, "{\"yes_lose_data\":true,\"node\":");
	json_put_string(&body, node, strlen(node));
	json_put_literal(&body, "}");
	int rc = session_call(s, "POST", arena_printf(s->arena, "%s/recover", path), &body, NULL,
			      err);

	buf_fini(&body);
	return rc;
}

static void print_lost(const char *node, uint64_t last)
{
	if (last != UINT64_MAX)
		printf("lost: every operation after %" PRIu64
		       " that the lost copies had and %s has not\n",
		       last, node);
	else
		printf("lost: every operation that the lost copies had and %s has not\n", node);
}

static int run_recover(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	const char *path = NULL;
	uint64_t partition, last;
	int code = session_begin(&s, &recover_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	if (take_partition(&s, &path, &partition, &err) != 0)
		return session_end(&s, command_misused(s.name, "%s", err.text));
	if (o.node == NULL && o.yes_lose_data)
		return session_end(&s, command_misused(s.name, "--node is missing: whose copy?"));
	int rc = show_replicas(&s, path, o.node, &last, &err);

	if (rc == 0 && !o.yes_lose_data)
		rc = error_set(
			&err, ERR_FORBIDDEN,
			"nothing was changed; --node NODE --yes-lose-data makes that copy the "
			"only one, and what it lacks is lost");
	if (rc == 0)
		rc = recover(&s, path, o.node, &err);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json && last != UINT64_MAX)
		printf("{\"recovered\":true,\"last_operation\":%" PRIu64 "}\n", last);
	else if (s.json)
		printf("{\"recovered\":true}\n");
	else
		print_lost(o.node, last);
	return session_end(&s, EXIT_DONE);
}

int command_cluster(int argc, char **argv)
{
	static const struct session_verb verbs[] = {{"status", cluster_status},
						    {"plan", cluster_plan},
						    {"move", run_move},
						    {"drain", run_drain},
						    {"undrain", run_undrain},
						    {"remove", run_remove},
						    {"unsafe-recover", run_recover},
						    {NULL, NULL}};

	return session_verbs(
		"cluster",
		"status | plan | move COLLECTION PARTITION --from NODE --to NODE | drain NODE | "
		"undrain NODE | remove NODE | unsafe-recover COLLECTION PARTITION --node NODE",
		"  quiver cluster status\n  quiver cluster plan --drain n3\n"
		"  quiver cluster drain n3\n",
		verbs, argc, argv);
}
