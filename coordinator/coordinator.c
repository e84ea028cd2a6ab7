/* The coordinator's life, look-ups in the shard map, and changes of it. Requests are in query.c, groups.c, reads.c, writes.c. */
#include "coordinator/internal.h"
#include "coordinator/meta_runtime.h"
#include "cluster/place.h"
#include "base/assert.h"
#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

int coord_start(struct coord **out, const struct coord_options *options, struct error *err)
{
	struct coord *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return error_set(err, ERR_NOMEM, "start the coordinator: out of memory");
	c->options = *options;
	c->default_timeout_us = options->default_timeout_us ? options->default_timeout_us
							    : 60000000;
	c->started_wall_us = options->clock->wall_us(options->clock->ctx);
	atomic_init(&c->sample_seed, c->started_wall_us);
	route_init(&c->route, c->started_wall_us ^ options->self_node);
	int rc = timers_start(&c->timers, options->clock, err);
	if (rc != 0) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void coord_close(struct coord *c)
{
	if (c != NULL)
		atomic_store(&c->closing, true);
}

void coord_stop(struct coord *c)
{
	if (c == NULL)
		return;
	timers_stop(c->timers);
	free(c);
}

const struct map *coord_map(struct coord *c)
{
	return meta_runtime_map(c->options.meta);
}

int coord_collection(struct coord *c, const char *name, const struct collection **out,
		     struct error *err)
{
	const struct map *m = coord_map(c);
	const struct map_collection *found = map_collection(m, name);
	int rc = 0;
	if (found != NULL)
		*out = collection_ref(found->collection);
	else
		rc = error_set(err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!", name);
	map_unref(m);
	return rc;
}

void coord_finish(struct coord *c, struct coord_call *call, int rc)
{
	call->rc = rc;
	if (rc != 0)
		atomic_fetch_add(&c->failures, 1);
	if (rc != 0 && call->err.text[0] == 0)
		error_set(&call->err, rc, "%s", error_text(rc));
	call->done(call);
}

/* ---- changes of the map ---- */

static void change_applied(void *ctx, const struct error *result, uint64_t index)
{
	struct coord_change *change = ctx;
	struct coord *c = change->coord;
	if (result->code != 0)
		change->call.err = *result;
	if (result->code == 0)
		spread_wait(c, change);
	else
		coord_finish(c, &change->call, result->code);
}

/* Which nodes hold the partitions of a new collection. */
static int choose_replicas(struct coord *c, struct coord_change *change, struct error *err)
{
	struct map_command *cmd = &change->command;
	const struct map *m = coord_map(c);
	uint32_t n = cmd->collection->n_partitions * cmd->collection->replication_factor;
	uint64_t *replicas = arena_alloc(change->call.arena, n * sizeof(*replicas));
	struct place_request request = {.name = cmd->collection->name,
					.n_partitions = cmd->collection->n_partitions,
					.replication_factor = cmd->collection->replication_factor,
					.degraded = change->degraded};
	uint64_t *silent = arena_alloc(change->call.arena, (m->n_nodes + 1) * sizeof(*silent));
	/* A node that has just died is up by the map for a second or two. */
	for (uint32_t i = 0; i < m->n_nodes; i++)
		if (!rpc_peer_up(c->options.rpc, m->nodes[i].id))
			silent[request.n_silent++] = m->nodes[i].id;
	request.silent = silent;
	int rc = place_collection(m, &request, replicas, &cmd->n_replicas, err);
	cmd->replicas = replicas;
	map_unref(m);
	return rc;
}

void coord_change(struct coord *c, struct coord_change *change)
{
	struct map_command *cmd = &change->command;
	uint64_t seed[3] = {c->options.self_node, atomic_fetch_add(&c->changes, 1),
			    c->options.clock->wall_us(c->options.clock->ctx)};
	cmd->command_hi = hash64(seed, sizeof(seed));
	cmd->command_lo = hash64_seed(seed, sizeof(seed), 1);
	change->coord = c;
	if (cmd->type == MAP_CREATE_COLLECTION) {
		int rc = choose_replicas(c, change, &change->call.err);
		if (rc != 0) {
			coord_finish(c, &change->call, rc);
			return;
		}
	}
	meta_runtime_submit(c->options.meta, cmd, change_applied, change);
}

/* ---- state ---- */

void coord_consensus(struct coord *c, struct coord_consensus *out)
{
	struct meta_runtime_status status;
	meta_runtime_status(c->options.meta, &status);
	*out = (struct coord_consensus){.leader = status.leader,
					.term = status.term,
					.commit = status.commit,
					.is_leader = status.is_leader};
	for (uint32_t i = 0; i < status.n_members; i++)
		if (status.members[i].id == c->options.self_node)
			out->is_voter = status.members[i].voter;
}

bool coord_ready(struct coord *c, struct error *why)
{
	const struct map *m = coord_map(c);
	bool ready = m->n_nodes > 0;
	if (!ready)
		error_set(why, ERR_UNAVAILABLE, "the shard map is not known yet");
	map_unref(m);
	return ready;
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", name, help, name, name,
		   (unsigned long long)value);
}

static void put_summary(struct buf *out, const char *name, const char *help,
			const struct histogram *h)
{
	static const double quantiles[] = {0.5, 0.95, 0.99};
	buf_printf(out, "# HELP %s %s\n# TYPE %s summary\n", name, help, name);
	for (int i = 0; i < 3; i++)
		buf_printf(out, "%s{quantile=\"%g\"} %.6f\n", name, quantiles[i],
			   (double)histogram_quantile(h, quantiles[i]) / 1e6);
	buf_printf(out, "%s_sum %.6f\n%s_count %llu\n", name, (double)h->sum / 1e6, name,
		   (unsigned long long)h->count);
}

void coord_metrics(struct coord *c, struct buf *out)
{
	const struct map *m = coord_map(c);
	buf_printf(out,
		   "# HELP collections_total Collections in the shard map\n"
		   "# TYPE collections_total gauge\ncollections_total %u\n"
		   "# HELP quiver_map_index Log index of the shard map that this node works by\n"
		   "# TYPE quiver_map_index gauge\nquiver_map_index %llu\n",
		   m->n_collections, (unsigned long long)m->index);
	map_unref(m);
	put_counter(out, "quiver_searches_total", "Searches since the start",
		    atomic_load(&c->searches));
	put_counter(out, "quiver_reads_total", "Other reads since the start",
		    atomic_load(&c->reads));
	put_counter(out, "quiver_writes_total", "Writes since the start", atomic_load(&c->writes));
	put_counter(out, "quiver_failures_total", "Requests that ended in an error",
		    atomic_load(&c->failures));
	put_counter(out, "quiver_hedges_total",
		    "Reads sent to a second replica because the first was slow",
		    __atomic_load_n(&c->route.hedges, __ATOMIC_RELAXED));
	put_counter(out, "quiver_retries_total", "Calls tried again after a replica failed",
		    __atomic_load_n(&c->route.retries, __ATOMIC_RELAXED));
	put_summary(out, "quiver_search_seconds", "Time of a query request in the coordinator",
		    &c->search_us);
	put_summary(out, "quiver_write_seconds", "Time of a write request in the coordinator",
		    &c->write_us);
}
