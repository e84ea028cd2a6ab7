/* What the files of `quiver cluster` share. */
#pragma once
#include "cli/session.h"

bool cluster_is_true(const struct json *v);
/* The node of a view (result of GET /v1/cluster) by name or id; NULL: none. */
const struct json *cluster_node(const struct json *view, const char *name);

/* Names of nodes, kept while another answer is read. */
struct cluster_names {
	uint64_t *ids;
	const char **names;
	size_t n;
};
int cluster_names(struct session *s, struct cluster_names *out, struct error *err);
/* The id of a node given by name or id; 0: there is none. */
uint64_t cluster_node_id(const struct cluster_names *names, const char *name);

int cluster_status(int argc, char **argv);
int cluster_plan(int argc, char **argv);
