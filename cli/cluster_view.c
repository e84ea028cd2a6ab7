/* quiver cluster status | plan: what there is, and what the cluster would do. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cluster.h"

struct options {
	COMMON_MEMBERS
	const char *drain;
	bool all;
};

static const struct config_row status_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_BOOL(struct options, all, "false",
		    "every partition, not only those that need attention"),
};
static const struct config_row plan_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, drain, NULL, "NODE", "as if this node were drained"),
};
static const struct command_line status_line = {
	.name = "cluster status",
	.usage = "[--all]",
	.about =
		"Shows the nodes, and the partitions that are not as they should be. The first line says\n"
		"green (all copies are there), yellow (something is down or short of copies, all of it\n"
		"works) or red (a partition is offline).",
	.examples = "  quiver cluster status\n  quiver cluster status --all --json\n",
	.rows = status_rows,
	.n_rows = N_ROWS(status_rows),
};
static const struct command_line plan_line = {
	.name = "cluster plan",
	.usage = "[--drain NODE]",
	.about =
		"Shows which copies the cluster would make and move by itself, and how many bytes that is.\n"
		"Nothing is changed.",
	.examples = "  quiver cluster plan\n  quiver cluster plan --drain n3\n",
	.rows = plan_rows,
	.n_rows = N_ROWS(plan_rows),
};

/* ---- the view ---- */

bool cluster_is_true(const struct json *v)
{
	return v != NULL && json_type(v) == JSON_BOOL && json_bool(v);
}

const struct json *cluster_node(const struct json *view, const char *name)
{
	const struct json *nodes = client_get(view, "nodes"), *by_id = NULL;
	struct json_iter it;

	if (nodes == NULL)
		return NULL;
	it = json_iterate(nodes);
	while (json_next(&it)) {
		char id[24];

		snprintf(id, sizeof(id), "%" PRIu64, client_number(client_get(it.value, "id")));
		if (strcmp(client_text(client_get(it.value, "name")), name) == 0)
			return it.value;
		if (strcmp(id, name) == 0)
			by_id = it.value;
	}
	return by_id;
}

static const char *name_of(const struct json *view, uint64_t id)
{
	char text[24];
	const struct json *node;

	snprintf(text, sizeof(text), "%" PRIu64, id);
	node = cluster_node(view, text);
	return node != NULL ? client_text(client_get(node, "name")) : "?";
}

static void print_ids(const struct json *view, const char *label, const struct json *ids)
{
	struct json_iter it;

	if (ids == NULL || json_count(ids) == 0)
		return;
	printf(", %s", label);
	it = json_iterate(ids);
	while (json_next(&it))
		printf(" %s", name_of(view, client_number(it.value)));
}

static void print_nodes(const struct json *view)
{
	struct json_iter it = json_iterate(client_get(view, "nodes"));

	printf("%-16s %-4s %-9s %-6s %-10s %9s %9s  %-21s %s\n", "NODE", "ID", "STATE", "VOTES",
	       "ROLES", "REPLICAS", "PRIMARIES", "RPC", "HTTP");
	while (json_next(&it)) {
		const struct json *n = it.value;
		bool coordinator = cluster_is_true(client_get(n, "coordinator"));
		bool shard = cluster_is_true(client_get(n, "shard"));

		printf("%-16s %-4" PRIu64 " %-9s %-6s %-10s %9" PRIu64 " %9" PRIu64 "  %-21s %s\n",
		       client_text(client_get(n, "name")), client_number(client_get(n, "id")),
		       client_text(client_get(n, "state")),
		       cluster_is_true(client_get(n, "leads"))   ? "leads"
		       : cluster_is_true(client_get(n, "votes")) ? "yes"
								 : "no",
		       coordinator && shard ? "both"
		       : coordinator        ? "coord"
					    : "shard",
		       client_number(client_get(n, "replicas")),
		       client_number(client_get(n, "primaries")), client_text(client_get(n, "rpc")),
		       client_text(client_get(n, "http")));
	}
}

static void print_partitions(const struct json *view)
{
	struct json_iter it = json_iterate(client_get(view, "partitions"));

	while (json_next(&it)) {
		const struct json *p = it.value;
		const struct json *leaving = client_get(p, "leaving");
		const struct json *pinned = client_get(p, "pinned");

		printf("%s/%" PRIu64 "  %s, primary %s", client_text(client_get(p, "collection")),
		       client_number(client_get(p, "partition")),
		       client_text(client_get(p, "state")),
		       name_of(view, client_number(client_get(p, "primary"))));
		print_ids(view, "in sync", client_get(p, "in_sync"));
		print_ids(view, "copying to", client_get(p, "learners"));
		if (leaving != NULL)
			printf(", leaves %s", name_of(view, client_number(leaving)));
		if (pinned != NULL)
			printf(", stays on %s", name_of(view, client_number(pinned)));
		printf("\n");
	}
}

int cluster_status(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	const struct json *view, *counts;
	uint64_t collections, partitions;
	int code = session_begin(&s, &status_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = session_call(&s, "GET", o.all ? "/v1/cluster?partitions=all" : "/v1/cluster", NULL,
			      &view, &err);

	if (rc == 0 && client_get(view, "nodes") == NULL)
		rc = error_set(&err, ERR_FORMAT, "%s describes no cluster in a known form",
			       client_url(s.client));
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json) {
		session_print_json(view);
		return session_end(&s, EXIT_DONE);
	}
	counts = client_get(view, "counts");
	printf("%s  cluster %s, leader %s, term %" PRIu64 ", map %" PRIu64 "\n",
	       client_text(client_get(view, "status")), client_text(client_get(view, "cluster_id")),
	       name_of(view, client_number(client_get(view, "leader"))),
	       client_number(client_get(view, "term")),
	       client_number(client_get(view, "map_index")));
	print_nodes(view);
	collections = client_number(client_get(counts, "collections"));
	partitions = client_number(client_get(counts, "partitions"));
	printf("%" PRIu64 " collection%s, %" PRIu64 " partition%s: %" PRIu64 " active, %" PRIu64
	       " moving, %" PRIu64 " degraded, %" PRIu64 " offline\n",
	       collections, collections == 1 ? "" : "s", partitions, partitions == 1 ? "" : "s",
	       client_number(client_get(counts, "active")),
	       client_number(client_get(counts, "moving")),
	       client_number(client_get(counts, "degraded")),
	       client_number(client_get(counts, "offline")));
	if (client_get(view, "partitions") != NULL)
		print_partitions(view);
	return session_end(&s, EXIT_DONE);
}

/* ---- plan ---- */

int cluster_names(struct session *s, struct cluster_names *out, struct error *err)
{
	const struct json *view;
	int rc = session_call(s, "GET", "/v1/cluster", NULL, &view, err);
	const struct json *nodes = rc == 0 ? client_get(view, "nodes") : NULL;
	struct json_iter it;

	*out = (struct cluster_names){0};
	if (rc != 0)
		return rc;
	if (nodes == NULL)
		return error_set(err, ERR_FORMAT, "%s describes no cluster in a known form",
				 client_url(s->client));
	out->ids = arena_alloc(s->arena, (json_count(nodes) + 1) * sizeof(*out->ids));
	out->names = arena_alloc(s->arena, (json_count(nodes) + 1) * sizeof(*out->names));
	it = json_iterate(nodes);
	while (json_next(&it)) {
		out->ids[out->n] = client_number(client_get(it.value, "id"));
		out->names[out->n++] =
			arena_strdup(s->arena, client_text(client_get(it.value, "name")));
	}
	return 0;
}

static const char *name_in(const struct cluster_names *names, uint64_t id)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->ids[i] == id)
			return names->names[i];
	return "?";
}

uint64_t cluster_node_id(const struct cluster_names *names, const char *name)
{
	char *end;
	uint64_t id = strtoull(name, &end, 10);

	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->names[i], name) == 0)
			return names->ids[i];
	for (size_t i = 0; i < names->n; i++)
		if (*end == 0 && names->ids[i] == id)
			return id;
	return 0;
}

static void print_bytes(uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)bytes;
	int unit = 0;

	for (; v >= 1000 && unit < 4; unit++)
		v /= 1000;
	printf(unit == 0 ? "%.0f %s" : "%.1f %s", v, units[unit]);
}

static void print_move(const struct cluster_names *names, const struct json *m)
{
	const struct json *from = client_get(m, "from"), *to = client_get(m, "to");
	const struct json *bytes = client_get(m, "bytes");

	printf("%-10s %s/%" PRIu64 "  ", client_text(client_get(m, "reason")),
	       client_text(client_get(m, "collection")), client_number(client_get(m, "partition")));
	printf("%s -> %s", from != NULL ? name_in(names, client_number(from)) : "(new copy)",
	       to != NULL ? name_in(names, client_number(to)) : "nowhere to go");
	if (bytes != NULL) {
		printf("  ");
		print_bytes(client_number(bytes));
		printf(", %" PRIu64 " points", client_number(client_get(m, "points")));
	}
	printf("\n");
}

static void print_plan(const struct cluster_names *names, const struct json *plan)
{
	const struct json *moves = client_get(plan, "moves"), *stuck = client_get(plan, "stuck");
	size_t n = moves != NULL ? json_count(moves) : 0, left = stuck ? json_count(stuck) : 0;
	struct json_iter it;

	if (n + left == 0) {
		printf("nothing to do\n");
		return;
	}
	if (moves != NULL) {
		it = json_iterate(moves);
		while (json_next(&it))
			print_move(names, it.value);
	}
	if (stuck != NULL) {
		it = json_iterate(stuck);
		while (json_next(&it))
			print_move(names, it.value);
	}
	printf("%zu cop%s to make, ", n, n == 1 ? "y" : "ies");
	print_bytes(client_number(client_get(plan, "bytes")));
	if (left > 0)
		printf("; %zu with nowhere to go", left);
	printf("\n");
}

int cluster_plan(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	struct cluster_names names;
	const struct json *plan;
	const char *path = "/v1/cluster/plan";
	int code = session_begin(&s, &plan_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	if (o.drain != NULL)
		path = client_path(s.arena, "/v1/cluster/plan?drain=", o.drain, "");
	int rc = cluster_names(&s, &names, &err);

	if (rc == 0)
		rc = session_call(&s, "GET", path, NULL, &plan, &err);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json)
		session_print_json(plan);
	else
		print_plan(&names, plan);
	return session_end(&s, EXIT_DONE);
}
