/* Counts of values: facets of a payload field, and how many points contain an index of a sparse
 * space. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "shard/search.h"
#include <stdlib.h>
#include <string.h>

/* ---- facets ---- */

struct tally {
	struct arena *arena;
	struct facet_value *values;
	uint32_t n, cap;
	uint32_t *slots; /* open addressing: value + 1 */
	uint32_t n_slots;
	/* of the row that is being visited: a value counts once a point */
	uint32_t *row_seen, n_row_seen, row_cap;
	const struct payload_field *field;
};

static void tally_grow(struct tally *t)
{
	free(t->slots);
	t->n_slots = t->n_slots ? t->n_slots * 2 : 256;
	t->slots = mem_array(t->n_slots, sizeof *t->slots);
	for (uint32_t i = 0; i < t->n; i++) {
		uint64_t at = hash64(t->values[i].value.bytes, t->values[i].value.n);

		while (t->slots[at & (t->n_slots - 1)])
			at++;
		t->slots[at & (t->n_slots - 1)] = i + 1;
	}
}

static uint32_t tally_find(struct tally *t, struct pv_slice value)
{
	uint64_t at = hash64(value.bytes, value.n);

	if ((t->n + 1) * 2 > t->n_slots)
		tally_grow(t);
	for (;; at++) {
		uint32_t *slot = &t->slots[at & (t->n_slots - 1)];

		if (*slot == 0) {
			if (t->n == t->cap) {
				t->cap = t->cap ? t->cap * 2 : 64;
				t->values = mem_resize(t->values, t->cap * sizeof *t->values);
			}
			t->values[t->n] = (struct facet_value){
				{arena_copy(t->arena, value.bytes, value.n), value.n}, 0};
			*slot = ++t->n;
			return t->n - 1;
		}
		const struct pv_slice *other = &t->values[*slot - 1].value;
		if (other->n == value.n && memcmp(other->bytes, value.bytes, value.n) == 0)
			return *slot - 1;
	}
}

static void add_counted(void *ctx, struct pv_slice value, uint32_t n)
{
	struct tally *t = ctx;
	uint32_t at;

	if (n == 0)
		return;
	at = tally_find(t, value);
	t->values[at].count += n;
}

/* As in the keys of an index: integers of 64 bits with a sign. */
static bool has_facets(struct pv v)
{
	enum pv_type type = pv_type(v);

	return type == PV_STRING || type == PV_INT || type == PV_TRUE || type == PV_FALSE;
}

static bool visit(void *ctx, struct pv v)
{
	struct tally *t = ctx;
	uint32_t at;

	if (pv_type(v) == PV_ARRAY) {
		struct pv_iter it = pv_iterate(v);

		while (pv_next(&it))
			if (pv_type(it.value) != PV_ARRAY)
				visit(ctx, it.value);
		return false;
	}
	if (!has_facets(v))
		return false;
	at = tally_find(t, (struct pv_slice){v.at, (uint32_t)pv_size(v)});
	for (uint32_t i = 0; i < t->n_row_seen; i++)
		if (t->row_seen[i] == at)
			return false;
	if (t->n_row_seen == t->row_cap) {
		t->row_cap = t->row_cap ? t->row_cap * 2 : 16;
		t->row_seen = mem_resize(t->row_seen, t->row_cap * sizeof *t->row_seen);
	}
	t->row_seen[t->n_row_seen++] = at;
	t->values[at].count++;
	return false;
}

static bool index_has_facets(const struct payload_field *field)
{
	return field && (field->type == FIELD_KEYWORD || field->type == FIELD_INTEGER ||
			 field->type == FIELD_BOOL || field->type == FIELD_UUID);
}

static void tally_entry(const struct view *v, const struct view_entry *e,
			const struct rpc_facet_request *q, struct tally *t)
{
	const struct pindex *p = e->seg->sealed && index_has_facets(t->field)
					 ? segment_pindex(e->seg->sealed, t->field->path.text)
					 : NULL;
	struct bitset matches = {0};
	uint64_t scanned = 0;
	bool trivial = filter_is_trivial(q->filter);

	if (!trivial)
		match_rows(e, v->schema, q->filter, &matches, &scanned);
	if (p && pindex_values(p, trivial ? &e->live->bits : &matches, add_counted, t) == 0)
		goto out;
	for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1)) {
		if (!trivial && !bitset_get(&matches, row))
			continue;
		t->n_row_seen = 0;
		path_visit(&q->path, pv_of(seg_payload(e->seg, row).bytes), visit, t);
	}
out:
	if (matches.words)
		bitset_fini(&matches);
}

void serve_facet(struct shard *s, struct rpc_call *call)
{
	const struct rpc_facet_request *q = call->request;
	struct rpc_facet_response *out = call->response;
	struct tally t = {.arena = call->arena};
	struct view *v;
	int rc = table_view(s, q->target.collection_id, q->target.partition, &v, &call->err);

	if (rc == 0) {
		t.field = collection_field(v->schema, q->path.text);
		for (uint32_t i = 0; i < v->n; i++)
			tally_entry(v, &v->entries[i], q, &t);
		out->values = arena_copy(call->arena, t.values, t.n * sizeof *t.values);
		out->n = t.n;
	}
	free(t.values);
	free(t.slots);
	free(t.row_seen);
	view_unref(v);
	rpc_finish(call, rc);
}

/* ---- document frequencies ---- */

static bool contains(const struct vector *v, uint32_t index)
{
	uint32_t low = 0, high = v->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (v->indices[mid] == index)
			return true;
		if (v->indices[mid] < index)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void idf_of_rows(const struct view_entry *e, const struct rpc_idf_request *q,
			struct rpc_idf_response *out)
{
	for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1)) {
		struct vector v;

		if (!rows_sparse(e->seg->rows, q->space, row, &v))
			continue;
		out->n_points++;
		for (uint32_t i = 0; i < q->n_indices; i++)
			out->n_with[i] += contains(&v, q->indices[i]);
	}
}

/* Dead rows are taken off by their share where counting them would mean to visit every row. */
static void idf_of_sealed(const struct view_entry *e, const struct rpc_idf_request *q,
			  struct rpc_idf_response *out)
{
	uint64_t n = segment_sparse_count(e->seg->sealed, q->space);
	bool all_live = e->live->n_live == e->n_rows;

	out->n_points += all_live ? n : n * e->live->n_live / e->n_rows;
	for (uint32_t i = 0; i < q->n_indices; i++) {
		struct posting_list list;

		if (!segment_postings(e->seg->sealed, q->space, q->indices[i], &list))
			continue;
		if (all_live) {
			out->n_with[i] += list.n;
			continue;
		}
		for (uint32_t j = 0; j < list.n; j++)
			out->n_with[i] += entry_live(e, list.rows[j]);
	}
}

void serve_idf(struct shard *s, struct rpc_call *call)
{
	const struct rpc_idf_request *q = call->request;
	struct rpc_idf_response *out = call->response;
	struct view *v;
	int rc = table_view(s, q->target.collection_id, q->target.partition, &v, &call->err);

	if (rc == 0 && q->space >= v->schema->n_sparse)
		rc = error_set(&call->err, ERR_INPUT, "sparse space %u of %u", q->space,
			       v->schema->n_sparse);
	if (rc == 0) {
		out->n_with = arena_zalloc(call->arena, q->n_indices * sizeof *out->n_with);
		for (uint32_t i = 0; i < v->n; i++) {
			if (v->entries[i].seg->rows)
				idf_of_rows(&v->entries[i], q, out);
			else if (v->entries[i].n_rows > 0)
				idf_of_sealed(&v->entries[i], q, out);
		}
	}
	view_unref(v);
	rpc_finish(call, rc);
}
