/* query/groups: the best hits of each group. Searches with a growing limit until the groups are full, the points are exhausted or
 * the limit has grown MAX_PASSES times; then fetches what was asked for of the chosen points only. Because each pass is an ordinary query over
 * all partitions, the groups do not depend on how the points are spread. */
#include "coordinator/internal.h"
#include "base/assert.h"
#include <string.h>

enum { MAX_PASSES = 6, GROWTH = 4 };

struct group_run {
	struct coord *coord;
	struct coord_groups *request;
	struct coord_query search;
	struct query query;
	struct coord_retrieve retrieve;
	uint32_t pass;
	struct coord_group *groups;
	uint32_t n_groups;
};

struct key_visit {
	struct group_run *run;
	const struct hit *hit;
	bool refused; /* a value that cannot be a key was seen */
};

static bool same_key(struct pv_slice a, struct pv_slice b)
{
	return a.n == b.n && memcmp(a.bytes, b.bytes, a.n) == 0;
}

static void add_to_group(struct group_run *run, struct pv key, const struct hit *hit)
{
	struct coord_groups *g = run->request;
	struct pv_slice id = {key.at, (uint32_t)pv_size(key)};
	struct coord_group *group = NULL;
	for (uint32_t i = 0; i < run->n_groups && group == NULL; i++)
		if (same_key(run->groups[i].id, id))
			group = &run->groups[i];
	if (group == NULL) {
		if (run->n_groups == g->n_groups_wanted)
			return;
		group = &run->groups[run->n_groups++];
		group->id.bytes = arena_copy(g->call.arena, id.bytes, id.n);
		group->id.n = id.n;
		group->hits.items = arena_alloc(g->call.arena, g->group_size * sizeof(struct hit));
		group->hits.n = 0;
	}
	if (group->hits.n == g->group_size)
		return;
	/* The same value twice in one array counts once. */
	if (group->hits.n > 0 && id_equal(&group->hits.items[group->hits.n - 1].id, &hit->id))
		return;
	group->hits.items[group->hits.n++] = *hit;
}

static bool visit_key(void *ctx, struct pv v)
{
	struct key_visit *visit = ctx;
	if (pv_type(v) == PV_ARRAY) {
		struct pv_iter it = pv_iterate(v);
		while (pv_next(&it))
			visit_key(ctx, it.value);
	} else {
		add_to_group(visit->run, v, visit->hit);
	}
	return false;
}

static bool check_key(void *ctx, struct pv v)
{
	struct key_visit *visit = ctx;
	if (pv_type(v) == PV_ARRAY) {
		struct pv_iter it = pv_iterate(v);
		while (pv_next(&it))
			check_key(ctx, it.value);
	} else if (pv_type(v) != PV_STRING && pv_type(v) != PV_INT && pv_type(v) != PV_UINT) {
		visit->refused = true;
	}
	return visit->refused;
}

/* Adds the hit to the group of each of its values; a point of which any value is neither a string nor
 * an integer is in no group at all. */
static void add_hit(struct group_run *run, const struct hit *hit)
{
	struct key_visit visit = {.run = run, .hit = hit};
	if (hit->payload.n == 0)
		return;
	struct pv payload = pv_of(hit->payload.bytes);
	path_visit(&run->request->group_by, payload, check_key, &visit);
	if (!visit.refused)
		path_visit(&run->request->group_by, payload, visit_key, &visit);
}

static bool groups_full(const struct group_run *run)
{
	if (run->n_groups < run->request->n_groups_wanted)
		return false;
	for (uint32_t i = 0; i < run->n_groups; i++)
		if (run->groups[i].hits.n < run->request->group_size)
			return false;
	return true;
}

static void finish(struct group_run *run, int rc, const struct error *err)
{
	if (rc != 0)
		run->request->call.err = *err;
	coord_finish(run->coord, &run->request->call, rc);
}

/* The payloads and vectors of the chosen points are there: put them into the groups. */
static void retrieved(struct coord_call *call)
{
	struct group_run *run = call->ctx;
	struct coord_groups *g = run->request;
	if (call->rc != 0) {
		finish(run, call->rc, &call->err);
		return;
	}
	struct id_table table;
	id_table_init(&table, run->retrieve.hits.n, g->call.arena);
	for (uint32_t i = 0; i < run->retrieve.hits.n; i++)
		id_table_put(&table, &run->retrieve.hits.items[i]);
	for (uint32_t i = 0; i < run->n_groups; i++) {
		struct hits *hits = &run->groups[i].hits;
		uint32_t kept = 0;
		for (uint32_t j = 0; j < hits->n; j++) {
			const struct hit *h = id_table_get(&table, &hits->items[j].id);
			float score = hits->items[j].score;
			if (h == NULL)
				continue;
			hits->items[kept] = *h;
			hits->items[kept++].score = score;
		}
		hits->n = kept;
	}
	g->groups = run->groups;
	g->n_groups = run->n_groups;
	finish(run, 0, NULL);
}

static void retrieve_chosen(struct group_run *run)
{
	struct coord_groups *g = run->request;
	uint32_t n = 0;
	for (uint32_t i = 0; i < run->n_groups; i++)
		n += run->groups[i].hits.n;
	struct point_id *ids = arena_alloc(g->call.arena, (n + 1) * sizeof(*ids));
	n = 0;
	for (uint32_t i = 0; i < run->n_groups; i++)
		for (uint32_t j = 0; j < run->groups[i].hits.n; j++)
			ids[n++] = run->groups[i].hits.items[j].id;
	run->retrieve = (struct coord_retrieve){.call = g->call,
						.ids = ids,
						.n_ids = n,
						.payload = g->query->payload,
						.vectors = g->query->vectors};
	run->retrieve.call.done = retrieved;
	run->retrieve.call.ctx = run;
	coord_retrieve(run->coord, &run->retrieve);
}

static void searched(struct coord_call *call);

static void search_pass(struct group_run *run)
{
	struct coord_groups *g = run->request;
	run->n_groups = 0;
	run->search = (struct coord_query){.call = g->call, .queries = &run->query, .n_queries = 1};
	run->search.call.done = searched;
	run->search.call.ctx = run;
	coord_query(run->coord, &run->search);
}

static void searched(struct coord_call *call)
{
	struct group_run *run = call->ctx;
	const struct query_result *result = run->search.results;
	if (call->rc != 0 || result->rc != 0) {
		finish(run, call->rc ? call->rc : result->rc, call->rc ? &call->err : &result->err);
		return;
	}
	for (uint32_t i = 0; i < result->hits.n; i++)
		add_hit(run, &result->hits.items[i]);
	bool exhausted = result->hits.n < run->query.limit;
	if (exhausted || groups_full(run) || ++run->pass == MAX_PASSES) {
		retrieve_chosen(run);
		return;
	}
	run->query.limit *= GROWTH;
	search_pass(run);
}

void coord_query_groups(struct coord *c, struct coord_groups *g)
{
	struct group_run *run = arena_zalloc(g->call.arena, sizeof(*run));
	run->coord = c;
	run->request = g;
	run->query = *g->query;
	run->query.offset = 0;
	run->query.limit = (uint64_t)g->n_groups_wanted * g->group_size;
	run->query.payload =
		(struct select_payload){.enabled = true, .paths = &g->group_by, .n_paths = 1};
	run->query.vectors = (struct select_vectors){0};
	run->groups = arena_alloc(g->call.arena, (g->n_groups_wanted + 1) * sizeof(*run->groups));
	search_pass(run);
}
