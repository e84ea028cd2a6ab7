/* Reads other than searches: points by id, counts, and the state of a replica. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/search.h"
#include <stdlib.h>
#include <string.h>

void serve_retrieve(struct shard *s, struct rpc_call *call)
{
	const struct rpc_retrieve_request *q = call->request;
	struct rpc_retrieve_response *out = call->response;
	struct view *v;
	int rc = table_view(s, q->target.collection_id, q->target.partition, &v, &call->err);

	if (rc == 0) {
		out->hits.items = arena_zalloc(call->arena, q->n_ids * sizeof *out->hits.items);
		for (uint32_t i = 0; i < q->n_ids; i++) {
			struct place at;

			if (view_find(v, &q->ids[i], &at))
				pick(v, at, &q->payload, &q->vectors, call->arena,
				     &out->hits.items[out->hits.n++]);
		}
	}
	view_unref(v);
	rpc_finish(call, rc);
}

void serve_count(struct shard *s, struct rpc_call *call)
{
	const struct rpc_count_request *q = call->request;
	struct rpc_count_response *out = call->response;
	struct view *v;
	int rc = table_view(s, q->target.collection_id, q->target.partition, &v, &call->err);

	if (rc == 0 && filter_is_trivial(q->filter)) {
		out->count = v->points;
	} else if (rc == 0) {
		uint64_t scanned = 0;

		for (uint32_t i = 0; i < v->n; i++) {
			struct bitset matches;

			out->count += match_rows(&v->entries[i], v->schema, q->filter, &matches,
						 &scanned);
			bitset_fini(&matches);
		}
	}
	view_unref(v);
	rpc_finish(call, rc);
}

/* ---- info ---- */

/* Live points that have a value at the field. */
static uint64_t field_points(const struct view *v, const struct payload_field *field)
{
	struct cond is_empty = {.type = COND_IS_EMPTY, .path = field->path};
	struct filter has_value = {.must_not = &is_empty, .n_must_not = 1};
	uint64_t n = 0, scanned = 0;

	for (uint32_t i = 0; i < v->n; i++) {
		const struct view_entry *e = &v->entries[i];
		const struct pindex *p =
			e->seg->sealed ? segment_pindex(e->seg->sealed, field->path.text) : NULL;
		struct bitset matches;

		if (p && e->live->n_live == e->n_rows) {
			n += pindex_points(p);
			continue;
		}
		n += match_rows(e, v->schema, &has_value, &matches, &scanned);
		bitset_fini(&matches);
	}
	return n;
}

static void count_vectors(const struct view *v, struct rpc_info_response *out)
{
	for (uint32_t i = 0; i < v->n; i++) {
		const struct view_entry *e = &v->entries[i];

		out->memory_bytes += e->seg->rows ? e->memory_bytes : seg_memory_bytes(e->seg);
		for (uint32_t space = 0; space < v->schema->n_spaces; space++) {
			uint32_t n = e->live->n_live;

			if (e->seg->sealed && segment_vectors(e->seg->sealed, space).row_of)
				seg_live_ordinals(e->seg, e->live, space, &n);
			else if (e->seg->sealed && segment_vectors(e->seg->sealed, space).n == 0)
				n = 0;
			out->vectors += n;
			if (seg_index(e->seg, space))
				out->indexed_vectors += n;
		}
	}
}

static const char *fallbacks(const struct view *v, const char *warning, struct arena *arena)
{
	for (uint32_t i = 0; i < v->n; i++)
		for (uint32_t space = 0; space < v->schema->n_spaces; space++) {
			const struct vindex *index = seg_index(v->entries[i].seg, space);
			struct vindex_info info = {0};

			if (index)
				vindex_describe(index, &info);
			if (info.fallback && !(warning && strstr(warning, info.fallback)))
				warning = arena_printf(arena, "%s%s%s", warning ? warning : "",
						       warning ? " " : "", info.fallback);
		}
	return warning;
}

_Static_assert((int)REPLICA_PRIMARY == (int)COPY_PRIMARY &&
		       (int)REPLICA_MEMBER == (int)COPY_MEMBER &&
		       (int)REPLICA_LEARNER == (int)COPY_LEARNER,
	       "the machine's roles are those of the message");

static void fill_info(struct hosted *h, struct arena *arena, struct rpc_info_response *out)
{
	struct host_status st;
	struct view *v;

	pthread_mutex_lock(&h->view_lock);
	v = view_ref(h->view);
	st = h->status;
	pthread_mutex_unlock(&h->view_lock);
	out->status = st.quarantined ? REPLICA_RED : st.indexing ? REPLICA_YELLOW : REPLICA_GREEN;
	out->points = v->points;
	out->segments = v->n;
	out->applied_seq = st.applied_seq;
	out->last_seq = st.last_seq;
	out->epoch = st.epoch;
	out->disk_bytes = st.disk_bytes;
	out->digest = st.digest;
	out->role = (enum copy_role)st.role;
	out->serves = check_serves(h->shard, h, NULL) == 0;
	out->last_epoch = st.last_epoch;
	out->commit_seq = st.commit_seq;
	count_vectors(v, out);
	out->warning = fallbacks(v, st.warning[0] ? arena_strdup(arena, st.warning) : NULL, arena);
	out->n_fields = v->schema->n_fields;
	out->fields = arena_zalloc(arena, v->schema->n_fields * sizeof *out->fields);
	for (uint32_t i = 0; i < v->schema->n_fields; i++) {
		out->fields[i].path = arena_strdup(arena, v->schema->fields[i].path.text);
		out->fields[i].points = field_points(v, &v->schema->fields[i]);
	}
	view_unref(v);
}

void serve_info(struct shard *s, struct rpc_call *call)
{
	const struct rpc_info_request *q = call->request;
	struct rpc_info_response *out = call->response;
	struct hosted *h = table_find(s, q->target.collection_id, q->target.partition);
	int rc = 0;

	if (!h) {
		rc = error_set(&call->err, ERR_STALE, "shard %u is not on this node",
			       q->target.partition);
	} else if (h->failed.code && q->newest) {
		rc = error_set(&call->err, ERR_UNAVAILABLE, "shard %u could not be opened: %s",
			       q->target.partition, h->failed.text);
	} else if (h->failed.code) {
		out->status = REPLICA_RED;
		out->warning = arena_strdup(call->arena, h->failed.text);
	} else {
		rc = q->newest ? check_serves(s, h, &call->err) : 0;
		if (rc == 0)
			fill_info(h, call->arena, out);
	}
	hosted_unref(h);
	rpc_finish(call, rc);
}
