/* quiver collection create | list | info | delete, and quiver count. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/session.h"
#include "cli/remote.h"
#include "http/json.h"
#include "model/payload.h"

struct options {
	COMMON_MEMBERS
	uint64_t dim, m, ef_construct, nlist, nprobe, shards, replicas;
	const char *distance, *index, *quantizer, *vector_name, *filter, *filter_file;
	bool if_missing;
};

static const struct config_row create_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_U64(struct options, dim, "0", 0, 65536, "N", "values of a vector"),
	CONFIG_STR(struct options, distance, "Cosine", "NAME", "Cosine, Dot, Euclid or Manhattan"),
	CONFIG_STR(struct options, index, NULL, "KIND", "hnsw (default), ivf or flat"),
	CONFIG_STR(struct options, quantizer, NULL, "KIND", "none (default), sq8 or pq"),
	CONFIG_U64(struct options, m, "0", 0, 1024, "N", "hnsw: links of a point (default 16)"),
	CONFIG_U64(struct options, ef_construct, "0", 0, 10000, "N",
		   "hnsw: effort of the build (default 100)"),
	CONFIG_U64(struct options, nlist, "0", 0, 1000000, "N", "ivf: lists (default 4 x sqrt(n))"),
	CONFIG_U64(struct options, nprobe, "0", 0, 1000000, "N", "ivf: lists that a search visits"),
	CONFIG_U64(struct options, shards, "0", 0, 256, "N", "partitions (default 1)"),
	CONFIG_U64(struct options, replicas, "0", 0, 8, "N",
		   "copies of each partition (default 1)"),
	CONFIG_STR(struct options, vector_name, NULL, "NAME",
		   "name of the vector (default: unnamed)"),
	CONFIG_BOOL(struct options, if_missing, "false", "do nothing when it exists already"),
};
static const struct config_row plain_rows[] = {
	COMMON_ROWS(struct options),
};
static const struct config_row count_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, filter, NULL, "JSON", "count only the points that match"),
	CONFIG_STR(struct options, filter_file, NULL, "FILE",
		   "the filter from a file, - for stdin"),
};

static const struct command_line create_line = {
	.name = "collection create",
	.usage = "NAME --dim N [--distance NAME] [...]",
	.about = "Creates a collection: a named set of points, each with a vector and a payload.\n"
		 "Exit code 1 when it exists already, unless --if-missing is given.",
	.examples =
		"  quiver collection create books --dim 384\n"
		"  quiver collection create sift --dim 128 --distance Euclid --m 32 --shards 2\n"
		"  quiver collection create big --dim 768 --index ivf --quantizer sq8\n",
	.rows = create_rows,
	.n_rows = N_ROWS(create_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line list_line = {
	.name = "collection list",
	.usage = "[--json]",
	.about = "Lists the collections with their sizes.",
	.examples = "  quiver collection list\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
};
static const struct command_line info_line = {
	.name = "collection info",
	.usage = "NAME [--json]",
	.about = "Describes one collection; --json prints all that the server tells.",
	.examples = "  quiver collection info books\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line delete_line = {
	.name = "collection delete",
	.usage = "NAME",
	.about = "Deletes a collection and all that is in it. Exit code 4 when there is none.",
	.examples = "  quiver collection delete books\n",
	.rows = plain_rows,
	.n_rows = N_ROWS(plain_rows),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line count_line = {
	.name = "count",
	.usage = "COLLECTION [--filter JSON]",
	.about = "Counts the points of a collection, exactly.",
	.examples =
		"  quiver count books\n"
		"  quiver count books --filter '{\"must\":[{\"key\":\"year\",\"range\":{\"gte\":1990}}]}'\n",
	.rows = count_rows,
	.n_rows = N_ROWS(count_rows),
	.min_rest = 1,
	.max_rest = 1,
};

static int run_create(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session r;
	int code = session_begin(&r, &create_line, argc, argv, &o);
	const char *distance;

	if (code >= 0)
		return session_end(&r, code);
	distance = remote_distance(o.distance);
	if (o.dim == 0)
		return session_end(&r, command_misused(create_line.name,
						       "--dim is missing: how many values "
						       "has a vector?"));
	if (distance == NULL)
		return session_end(
			&r, command_misused(create_line.name,
					    "`%s` is no distance: Cosine, Dot, Euclid or Manhattan",
					    o.distance));
	const struct remote_spec spec = {
		.name = r.rest[0],
		.vector_name = o.vector_name,
		.distance = distance,
		.dim = o.dim,
		.index = o.index,
		.quantizer = o.quantizer,
		.m = o.m,
		.ef_construct = o.ef_construct,
		.nlist = o.nlist,
		.nprobe = o.nprobe,
		.shards = o.shards,
		.replicas = o.replicas,
	};
	int rc = remote_create(r.client, &spec, &err);
	bool existed = rc == ERR_EXISTS && o.if_missing;
	if (rc != 0 && !existed)
		return session_fail(&r, rc, &err);
	if (existed)
		return session_done(&r, "{\"created\":false}", "%s exists already", r.rest[0]);
	return session_done(&r, "{\"created\":true}", "created %s: %" PRIu64 " dimensions, %s",
			    r.rest[0], o.dim, distance);
}

/* The names first: an answer lives only until the next call. */
static int list_names(struct session *r, const char ***names, size_t *n, struct error *err)
{
	const struct client_request request = {.method = "GET", .path = "/collections"};
	const struct json *result, *list;
	struct json_iter it;
	int rc = client_call(r->client, &request, &result, err);

	*n = 0;
	if (rc != 0)
		return rc;
	list = client_get(result, "collections");
	if (list == NULL)
		return error_set(err, ERR_FORMAT, "%s lists no collections in a known form",
				 client_url(r->client));
	*names = arena_alloc(r->arena, (json_count(list) + 1) * sizeof(**names));
	it = json_iterate(list);
	while (json_next(&it)) {
		const struct json *name = client_get(it.value, "name");

		if (name && json_type(name) == JSON_STRING)
			(*names)[(*n)++] = arena_strdup(r->arena, json_string(name, NULL));
	}
	return 0;
}

static void put_entry(struct buf *out, bool json, const char *name,
		      const struct remote_collection *info)
{
	char number[32];

	if (!json) {
		buf_printf(out, "%-30s %12s points  %5u-d %-9s %s\n", name,
			   command_number(info->points, number), info->dim, info->distance,
			   info->status);
		return;
	}
	buf_printf(out, "%s{\"name\":", out->len > 0 ? "," : "");
	json_put_string(out, name, strlen(name));
	buf_printf(out, ",\"points\":%" PRIu64 ",\"dim\":%u,\"distance\":\"%s\",\"status\":\"%s\"}",
		   info->points, info->dim, info->distance, info->status);
}

static int run_list(int argc, char **argv)
{
	struct error err = {0};
	struct buf list = BUF_INIT;
	struct options o;
	struct session r;
	int code = session_begin(&r, &list_line, argc, argv, &o);
	const char **names;
	size_t n;

	if (code >= 0)
		return session_end(&r, code);
	int rc = list_names(&r, &names, &n, &err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct remote_collection info;

		rc = remote_get(r.client, names[i], NULL, &info, &err);
		if (rc == 0 && info.exists) /* not deleted meanwhile */
			put_entry(&list, r.json, names[i], &info);
	}
	if (rc == 0 && r.json)
		printf("[%.*s]\n", (int)list.len, (const char *)list.data);
	else if (rc == 0 && n == 0)
		printf("no collections; quiver collection create and quiver ingest make some\n");
	else if (rc == 0)
		fwrite(list.data, 1, list.len, stdout);
	buf_fini(&list);
	return rc != 0 ? session_fail(&r, rc, &err) : session_end(&r, EXIT_DONE);
}

static int run_info(int argc, char **argv)
{
	struct remote_collection info;
	struct error err = {0};
	struct options o;
	struct session r;
	int code = session_begin(&r, &info_line, argc, argv, &o);
	char number[32];

	if (code >= 0)
		return session_end(&r, code);
	int rc = remote_get(r.client, r.rest[0], NULL, &info, &err);
	if (rc == 0 && !info.exists)
		rc = error_set(&err, ERR_NOT_FOUND, "Collection `%s` doesn't exist", r.rest[0]);
	if (rc != 0)
		return session_fail(&r, rc, &err);
	if (r.json) {
		session_print_json(client_get(client_root(r.client), "result"));
		return session_end(&r, EXIT_DONE);
	}
	printf("name      %s\n", r.rest[0]);
	printf("status    %s\n", info.status);
	printf("points    %s\n", command_number(info.points, number));
	printf("indexed   %s\n", command_number(info.indexed, number));
	printf("segments  %" PRIu64 "\n", info.segments);
	if (info.dim > 0)
		printf("vectors   %u-d, %s\n", info.dim, info.distance);
	else
		printf("vectors   named ones; see --json\n");
	if (info.embedder[0])
		printf("embedder  %s\n", info.embedder);
	return session_end(&r, EXIT_DONE);
}

static int run_delete(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session r;
	int code = session_begin(&r, &delete_line, argc, argv, &o);
	bool existed;

	if (code >= 0)
		return session_end(&r, code);
	int rc = remote_delete(r.client, r.rest[0], &existed, &err);
	if (rc == 0 && !existed)
		rc = error_set(&err, ERR_NOT_FOUND, "Collection `%s` doesn't exist", r.rest[0]);
	if (rc != 0)
		return session_fail(&r, rc, &err);
	return session_done(&r, "{\"deleted\":true}", "deleted %s", r.rest[0]);
}

int command_collection(int argc, char **argv)
{
	static const struct session_verb verbs[] = {{"create", run_create},
						    {"list", run_list},
						    {"info", run_info},
						    {"delete", run_delete},
						    {NULL, NULL}};

	return session_verbs("collection", "create NAME --dim N | list | info NAME | delete NAME",
			     "  quiver collection create books --dim 384\n"
			     "  quiver collection list\n",
			     verbs, argc, argv);
}

int command_count(int argc, char **argv)
{
	struct error err = {0};
	struct buf filter = BUF_INIT;
	struct options o;
	struct session r;
	int code = session_begin(&r, &count_line, argc, argv, &o);
	uint64_t count = 0;
	int rc = 0;

	if (code >= 0)
		return session_end(&r, code);
	if (o.filter_file)
		rc = command_read_file(o.filter_file, 32 << 20, &filter, &err);
	if (rc == 0)
		rc = remote_count(r.client, r.rest[0],
				  o.filter_file ? (const char *)filter.data : o.filter, &count,
				  &err);
	buf_fini(&filter);
	if (rc != 0)
		return session_fail(&r, rc, &err);
	if (r.json)
		printf("{\"count\":%" PRIu64 "}\n", count);
	else
		printf("%" PRIu64 "\n", count);
	return session_end(&r, EXIT_DONE);
}
