/* What is asked about the server itself. */
#include "api/request.h"

#include "base/clock.h"

#include <string.h>

void handle_root(struct api_request *r)
{
	struct buf body = BUF_INIT;
	const char *version = r->api->options.compat_version;

	/* `version` is the level of the interface, which clients compare with their own. */
	json_put_literal(&body, "{\"title\":\"quiver - distributed vector search\",\"version\":");
	json_put_string(&body, version, strlen(version));
	json_put_literal(&body, ",\"quiver_version\":");
	json_put_string(&body, QUIVER_VERSION, strlen(QUIVER_VERSION));
	json_put_literal(&body, "}");
	respond_body(r, 200, HTTP_JSON, &body);
}

void handle_healthz(struct api_request *r)
{
	respond_plain(r, 200, "healthz check passed");
}

void handle_livez(struct api_request *r)
{
	respond_plain(r, 200, "healthz check passed");
}

void handle_readyz(struct api_request *r)
{
	const struct api_options *o = &r->api->options;
	bool ready = o->ready != NULL ? o->ready(o->ctx, &r->err) : coord_ready(o->coord, &r->err);

	if (ready)
		respond_plain(r, 200, "all shards are ready");
	else
		respond_plain(r, 503, r->err.text[0] != 0 ? r->err.text : "not ready");
}

void handle_metrics(struct api_request *r)
{
	const struct api_options *o = &r->api->options;
	struct buf body = BUF_INIT;

	stats_metrics(r->api, &body);
	coord_metrics(o->coord, &body);
	if (o->metrics != NULL)
		o->metrics(o->ctx, &body);
	respond_body(r, 200, HTTP_PROMETHEUS, &body);
}

void handle_telemetry(struct api_request *r)
{
	const char *version = r->api->options.compat_version;
	const struct map *map = coord_map(r->api->options.coord);
	struct buf *b = respond_begin(r);

	json_put_literal(b, "{\"app\":{\"name\":\"quiver\",\"version\":");
	json_put_string(b, version, strlen(version));
	json_put_literal(b, ",\"quiver_version\":");
	json_put_string(b, QUIVER_VERSION, strlen(QUIVER_VERSION));
	json_put_literal(b, ",\"uptime_seconds\":");
	json_put_double(b, (double)(clock_monotonic_us() - r->api->started_us) / 1e6);
	json_put_literal(b, "},\"collections\":{\"number_of_collections\":");
	json_put_u64(b, map->n_collections);
	json_put_literal(b, "},\"cluster\":{\"enabled\":");
	if (map->n_nodes > 1)
		json_put_literal(b, "true}}");
	else
		json_put_literal(b, "false}}");
	map_unref(map);
	respond_ok(r);
}
