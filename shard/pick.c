/* From a row to a result: the id, the version, and of payload and vectors what was asked for.
 * Everything is copied into the request's arena, because the view's segments may go away before the
 * answer is sent. */
#include "shard/search.h"
#include <string.h>

static void pick_payload(struct pv_slice stored, const struct select_payload *select,
			 struct arena *arena, struct hit *out)
{
	struct buf b = BUF_INIT;

	if (select->none) {
		out->payload = PV_EMPTY_OBJECT;
		return;
	}
	if (select->n_paths == 0) {
		out->payload =
			(struct pv_slice){arena_copy(arena, stored.bytes, stored.n), stored.n};
		return;
	}
	if (select->exclude)
		pv_delete_paths(&b, pv_of(stored.bytes), select->paths, select->n_paths);
	else
		pv_include(&b, pv_of(stored.bytes), select->paths, select->n_paths);
	out->payload = (struct pv_slice){arena_copy(arena, b.data, b.len), (uint32_t)b.len};
	buf_fini(&b);
}

static bool is_selected(const struct select_vectors *select, const char *name)
{
	for (uint32_t i = 0; i < select->n_names; i++)
		if (strlen(name) == select->names[i].n &&
		    memcmp(name, select->names[i].name, select->names[i].n) == 0)
			return true;
	return select->n_names == 0 && !select->none;
}

static void pick_vectors(const struct collection *schema, const struct seg *seg, uint32_t row,
			 const struct select_vectors *select, struct arena *arena, struct hit *out)
{
	out->has_vectors = true;
	out->vectors =
		arena_alloc(arena, (schema->n_spaces + schema->n_sparse) * sizeof *out->vectors);
	for (uint32_t i = 0; i < schema->n_spaces; i++) {
		uint32_t n = schema->spaces[i].dim;
		const float *values;
		float *copy;

		if (!is_selected(select, schema->spaces[i].name) || !seg_has_dense(seg, i, row))
			continue;
		copy = arena_alloc(arena, n * sizeof *copy);
		values = seg_dense(seg, i, row, copy);
		if (values != copy)
			memcpy(copy, values, n * sizeof *copy);
		out->vectors[out->n_vectors++] = (struct vector){VECTOR_DENSE, i, n, copy, NULL};
	}
	for (uint32_t i = 0; i < schema->n_sparse; i++) {
		struct vector v;

		if (!is_selected(select, schema->sparse[i].name) || !seg_sparse(seg, i, row, &v))
			continue;
		v.values = arena_copy(arena, v.values, v.n * sizeof *v.values);
		v.indices = arena_copy(arena, v.indices, v.n * sizeof *v.indices);
		v.space = i;
		out->vectors[out->n_vectors++] = v;
	}
}

void pick(const struct view *v, struct place at, const struct select_payload *payload,
	  const struct select_vectors *vectors, struct arena *arena, struct hit *out)
{
	const struct seg *seg = v->entries[at.entry].seg;

	out->id = seg_point_id(seg, at.row);
	out->version = seg_version(seg, at.row);
	if (payload->enabled)
		pick_payload(seg_payload(seg, at.row), payload, arena, out);
	if (vectors->enabled)
		pick_vectors(v->schema, seg, at.row, vectors, arena, out);
}
