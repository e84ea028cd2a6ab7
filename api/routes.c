/* The table of routes, and the look-up. More exact patterns stand before more general ones. */
#include "api/request.h"

#include <string.h>

#define C "/collections/{}"
#define P "/collections/{}/points"
enum {
	READ = ROUTE_COLLECTION,
	READ_BODY = ROUTE_COLLECTION | ROUTE_BODY,
	WRITE = ROUTE_COLLECTION | ROUTE_WRITE,
	WRITE_BODY = ROUTE_COLLECTION | ROUTE_WRITE | ROUTE_BODY,
};

const struct route api_routes[] = {
	/* What is asked most is looked for first. */
	{HTTP_POST, P "/query", READ_BODY, handle_query},
	{HTTP_POST, P "/search", READ_BODY, handle_search},

	{HTTP_GET, "/", ROUTE_OPEN, handle_root},
	{HTTP_GET, "/healthz", ROUTE_OPEN, handle_healthz},
	{HTTP_GET, "/livez", ROUTE_OPEN, handle_livez},
	{HTTP_GET, "/readyz", ROUTE_OPEN, handle_readyz},
	{HTTP_GET, "/metrics", 0, handle_metrics},
	{HTTP_GET, "/telemetry", 0, handle_telemetry},

	{HTTP_GET, "/collections", 0, handle_collection_list},
	{HTTP_POST, "/collections/aliases", ROUTE_WRITE | ROUTE_BODY, handle_alias_change},
	{HTTP_GET, C, READ, handle_collection_info},
	{HTTP_PUT, C, ROUTE_WRITE | ROUTE_BODY, handle_collection_create},
	{HTTP_DELETE, C, ROUTE_WRITE, handle_collection_delete},
	{HTTP_PATCH, C, WRITE_BODY, handle_collection_patch},
	{HTTP_GET, C "/exists", 0, handle_collection_exists},
	{HTTP_PUT, C "/index", WRITE_BODY, handle_index_create},
	{HTTP_DELETE, C "/index/{}", WRITE, handle_index_delete},
	{HTTP_GET, C "/aliases", READ, handle_collection_aliases},
	{HTTP_GET, "/aliases", 0, handle_alias_list},
	{HTTP_GET, "/cluster", 0, handle_cluster},
	{HTTP_GET, C "/cluster", READ, handle_collection_cluster},
	{HTTP_POST, C "/cluster", WRITE_BODY, handle_collection_operate},
	{HTTP_DELETE, "/cluster/peer/{}", ROUTE_WRITE, handle_node_remove},
	{HTTP_GET, "/v1/cluster", 0, handle_operator_view},
	{HTTP_GET, "/v1/cluster/plan", 0, handle_operator_plan},
	{HTTP_POST, "/v1/cluster/nodes/{}/drain", ROUTE_WRITE, handle_node_drain},
	{HTTP_POST, "/v1/cluster/nodes/{}/undrain", ROUTE_WRITE, handle_node_undrain},
	{HTTP_DELETE, "/v1/cluster/nodes/{}", ROUTE_WRITE, handle_node_remove},
	{HTTP_GET, "/v1/collections/{}/partitions/{}", READ, handle_partition_view},
	{HTTP_POST, "/v1/collections/{}/partitions/{}/recover", WRITE_BODY,
	 handle_partition_recover},
	/* Who may only read does not learn the names of the keys either. */
	{HTTP_GET, "/v1/keys", ROUTE_WRITE, handle_key_list},
	{HTTP_POST, "/v1/keys", ROUTE_WRITE | ROUTE_BODY, handle_key_create},
	{HTTP_DELETE, "/v1/keys/{}", ROUTE_WRITE, handle_key_remove},

	{HTTP_PUT, P, WRITE_BODY | ROUTE_RAW, handle_upsert},
	{HTTP_POST, P, READ_BODY, handle_retrieve},
	{HTTP_POST, P "/delete", WRITE_BODY, handle_delete_points},
	{HTTP_POST, P "/payload", WRITE_BODY, handle_set_payload},
	{HTTP_PUT, P "/payload", WRITE_BODY, handle_overwrite_payload},
	{HTTP_POST, P "/payload/delete", WRITE_BODY, handle_delete_payload},
	{HTTP_POST, P "/payload/clear", WRITE_BODY, handle_clear_payload},
	{HTTP_PUT, P "/vectors", WRITE_BODY, handle_update_vectors},
	{HTTP_POST, P "/vectors/delete", WRITE_BODY, handle_delete_vectors},
	{HTTP_POST, P "/batch", WRITE_BODY, handle_batch_update},
	{HTTP_POST, P "/scroll", READ_BODY, handle_scroll},
	{HTTP_POST, P "/count", READ_BODY, handle_count},
	{HTTP_POST, C "/facet", READ_BODY, handle_facet},
	{HTTP_POST, P "/query/batch", READ_BODY, handle_query_batch},
	{HTTP_POST, P "/query/groups", READ_BODY, handle_query_groups},
	{HTTP_POST, P "/search/batch", READ_BODY, handle_search_batch},
	{HTTP_POST, P "/search/groups", READ_BODY, handle_search_groups},
	{HTTP_POST, P "/recommend", READ_BODY, handle_recommend},
	{HTTP_POST, P "/recommend/batch", READ_BODY, handle_recommend_batch},
	{HTTP_POST, P "/recommend/groups", READ_BODY, handle_recommend_groups},

	/* Known to the clients, not here. */
	{HTTP_POST, P "/discover", 0, NULL, "discover"},
	{HTTP_POST, P "/discover/batch", 0, NULL, "discover"},
	{HTTP_POST, P "/search/matrix/pairs", 0, NULL, "the distance matrix"},
	{HTTP_POST, P "/search/matrix/offsets", 0, NULL, "the distance matrix"},
	{HTTP_GET, C "/shards", 0, NULL, "a custom shard key"},
	{HTTP_PUT, C "/shards", ROUTE_WRITE, NULL, "a custom shard key"},
	{HTTP_POST, C "/shards/delete", ROUTE_WRITE, NULL, "a custom shard key"},
	{HTTP_POST, "/cluster/recover", ROUTE_WRITE, NULL, "the recovery of a peer by this route"},
	{HTTP_PUT, C "/vectors/{}", ROUTE_WRITE, NULL, "a new vector in an existing collection"},
	{HTTP_DELETE, C "/vectors/{}", ROUTE_WRITE, NULL,
	 "the removal of a vector of a collection"},
	{HTTP_GET, C "/optimizations", 0, NULL, "the list of optimizations"},
	{HTTP_GET, "/snapshots", 0, NULL, "a snapshot by this route"},
	{HTTP_POST, "/snapshots", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_GET, "/snapshots/{}", 0, NULL, "a snapshot by this route"},
	{HTTP_DELETE, "/snapshots/{}", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_GET, C "/snapshots", 0, NULL, "a snapshot by this route"},
	{HTTP_POST, C "/snapshots", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_POST, C "/snapshots/upload", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_PUT, C "/snapshots/recover", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_GET, C "/snapshots/{}", 0, NULL, "a snapshot by this route"},
	{HTTP_DELETE, C "/snapshots/{}", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_GET, C "/shards/{}/snapshots", 0, NULL, "a snapshot by this route"},
	{HTTP_POST, C "/shards/{}/snapshots", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_PUT, C "/shards/{}/snapshots/recover", ROUTE_WRITE, NULL, "a snapshot by this route"},
	{HTTP_GET, "/issues", 0, NULL, "the list of issues"},
	{HTTP_DELETE, "/issues", ROUTE_WRITE, NULL, "the list of issues"},

	/* Last: "points/{}" would also match the names above. */
	{HTTP_GET, P "/{}", READ, handle_retrieve_one},
};
const unsigned api_n_routes = sizeof(api_routes) / sizeof(api_routes[0]);

/* A piece of the path that stands where the pattern has {}. */
struct span {
	const char *at;
	size_t n;
};

static bool match(const char *pattern, const char *path, size_t path_n,
		  struct span args[ROUTE_ARGS])
{
	const char *end = path + path_n;
	unsigned n_args = 0;

	while (*pattern != 0) {
		if (pattern[0] == '{') {
			const char *slash = memchr(path, '/', (size_t)(end - path));
			const char *stop = slash == NULL ? end : slash;

			if (stop == path || n_args == ROUTE_ARGS)
				return false;
			args[n_args++] = (struct span){path, (size_t)(stop - path)};
			path = stop;
			pattern += 2;
			continue;
		}
		if (path == end || *path != *pattern)
			return false;
		path++;
		pattern++;
	}
	return path == end;
}

static int decode_args(struct api_request *r, const struct span args[ROUTE_ARGS], struct error *err)
{
	for (unsigned i = 0; i < ROUTE_ARGS && args[i].at != NULL; i++) {
		r->args[i] = http_decode(r->arena, args[i].at, args[i].n);
		if (r->args[i] == NULL)
			return error_set(err, ERR_FORMAT, "malformed percent-encoding in the path");
	}
	return 0;
}

/* Is the path one of ours, with whatever method? */
static bool is_known(const char *path, size_t n)
{
	for (unsigned i = 0; i < api_n_routes; i++) {
		struct span args[ROUTE_ARGS] = {{NULL, 0}};

		if (match(api_routes[i].pattern, path, n, args))
			return true;
	}
	return false;
}

int route_find(struct api_request *r, const char *path, struct error *err)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (unsigned i = 0; i < api_n_routes; i++) {
		const struct route *route = &api_routes[i];
		struct span args[ROUTE_ARGS] = {{NULL, 0}};

		if (route->method != r->method || !match(route->pattern, path, n, args))
			continue;
		r->route = route;
		return decode_args(r, args, err);
	}
	if (is_known(path, n))
		return error_set(err, ERR_FORBIDDEN, "%.*s: not with this method",
				 (int)(n < 200 ? n : 200), path);
	return error_set(err, ERR_NOT_FOUND, "no such path: %.*s", (int)(n < 200 ? n : 200), path);
}
