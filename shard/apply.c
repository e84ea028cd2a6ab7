/* Applying ops. An upsert replaces the whole point; payload and vector changes write the whole
 * changed row into the mutable segment, so that a sealed segment never changes except for its live
 * bits. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "shard/state.h"
#include <stdlib.h>

void state_init(struct state *s, const struct collection *schema)
{
	*s = (struct state){.schema = collection_ref(schema)};
	s->dense = mem_array(schema->n_spaces + 1, sizeof *s->dense);
	s->decoded = seg_scratch(schema);
	s->sparse = mem_array(schema->n_sparse + 1, sizeof *s->sparse);
}

void state_fini(struct state *s)
{
	snap_fini(&s->now);
	free(s->dense);
	free(s->decoded);
	free(s->sparse);
	buf_fini(&s->payload);
	collection_unref(s->schema);
	*s = (struct state){0};
}

void state_set_schema(struct state *s, const struct collection *schema)
{
	assert(schema->n_spaces == s->schema->n_spaces && schema->n_sparse == s->schema->n_sparse);
	collection_unref(s->schema);
	s->schema = collection_ref(schema);
}

void state_open_rows(struct state *s)
{
	snap_push(&s->now, seg_new_rows(s->schema), live_new(1024, false));
}

int state_check_op(const struct collection *schema, const struct op *op, struct error *err)
{
	for (uint32_t i = 0; i < op->n_points; i++)
		for (uint32_t j = 0; j < op->points[i].n_vectors; j++) {
			const struct vector *v = &op->points[i].vectors[j];
			uint32_t n = v->kind == VECTOR_DENSE ? schema->n_spaces : schema->n_sparse;

			if (v->space >= n)
				return error_set(err, ERR_INPUT, "point %u: vector space %u of %u",
						 i, v->space, n);
			if (v->kind == VECTOR_DENSE && v->n != schema->spaces[v->space].dim)
				return error_set(
					err, ERR_INPUT,
					"point %u: vector \"%s\" has %u dimensions, expected %u", i,
					schema->spaces[v->space].name, v->n,
					schema->spaces[v->space].dim);
		}
	for (uint32_t i = 0; i < op->n_spaces; i++) {
		uint32_t n = op->spaces[i].kind == VECTOR_DENSE ? schema->n_spaces
								: schema->n_sparse;

		if (op->spaces[i].space >= n)
			return error_set(err, ERR_INPUT, "vector space %u of %u",
					 op->spaces[i].space, n);
	}
	return 0;
}

static uint64_t hash_row(const struct collection *schema, const struct segment_row *row)
{
	uint64_t h = hash64_seed(&row->id, sizeof row->id, row->version);

	for (uint32_t i = 0; i < schema->n_spaces; i++)
		if (row->dense[i])
			h = hash64_seed(row->dense[i], schema->spaces[i].dim * sizeof(float),
					h + i);
	for (uint32_t i = 0; i < schema->n_sparse; i++)
		if (row->sparse[i].n) {
			h = hash64_seed(row->sparse[i].indices, row->sparse[i].n * sizeof(uint32_t),
					h + i);
			h = hash64_seed(row->sparse[i].values, row->sparse[i].n * sizeof(float), h);
		}
	return hash64_seed(row->payload.bytes, row->payload.n, h);
}

static void roll(struct state *s, uint64_t value)
{
	const uint64_t pair[2] = {s->digest, value};

	s->digest = hash64(pair, sizeof pair);
}

static void kill_row(struct state *s, struct place p)
{
	live_kill(&s->now.entries[p.entry].live, p.row);
	if (p.entry + 1 != s->now.n)
		s->killed_rows++;
}

/* The row is already where `old` was, or is new. */
static void put_row(struct state *s, const struct segment_row *row, const struct place *old)
{
	struct snap_entry *last = &s->now.entries[s->now.n - 1];
	uint32_t at;

	roll(s, hash_row(s->schema, row));
	at = rows_append(last->seg->rows,
			 row); /* copies: the old row may be among what is copied */
	if (old)
		kill_row(s, *old);
	live_add(&last->live, at);
}

static void clear_vectors(struct state *s)
{
	for (uint32_t i = 0; i < s->schema->n_spaces; i++)
		s->dense[i] = NULL;
	for (uint32_t i = 0; i < s->schema->n_sparse; i++)
		s->sparse[i] = (struct vector){VECTOR_SPARSE, i, 0, NULL, NULL};
}

static void overlay(struct state *s, const struct point *p)
{
	for (uint32_t i = 0; i < p->n_vectors; i++) {
		const struct vector *v = &p->vectors[i];

		if (v->kind == VECTOR_DENSE)
			s->dense[v->space] = v->values;
		else
			s->sparse[v->space] = *v;
	}
}

static void upsert(struct state *s, uint64_t seq, const struct point *p)
{
	struct segment_row row = {
		.id = p->id,
		.version = seq,
		.dense = s->dense,
		.sparse = s->sparse,
		.payload = p->payload.n ? p->payload : PV_EMPTY_OBJECT,
	};
	struct place old;
	bool found = snap_find(&s->now, &p->id, id_hash(&p->id), &old);

	clear_vectors(s);
	overlay(s, p);
	put_row(s, &row, found ? &old : NULL);
}

/* The present row of a point into the scratch; false: there is no such point. */
static bool load_row(struct state *s, const struct point_id *id, uint64_t seq,
		     struct segment_row *row, struct place *at)
{
	if (!snap_find(&s->now, id, id_hash(id), at))
		return false;
	seg_row(s->now.entries[at->entry].seg, at->row, s->dense, s->sparse, s->decoded, row);
	row->version = seq;
	return true;
}

static bool update_vectors(struct state *s, uint64_t seq, const struct point *p)
{
	struct segment_row row;
	struct place old;

	if (!load_row(s, &p->id, seq, &row, &old))
		return false;
	overlay(s, p);
	put_row(s, &row, &old);
	return true;
}

static bool delete_point(struct state *s, uint64_t seq, const struct point_id *id)
{
	struct place at;

	if (!snap_find(&s->now, id, id_hash(id), &at))
		return false;
	roll(s, hash64_seed(id, sizeof *id, ~seq));
	kill_row(s, at);
	return true;
}

static void new_payload(struct buf *out, const struct op *op, struct pv old)
{
	struct pv patch = pv_of(op->payload.n ? op->payload.bytes : PV_EMPTY_OBJECT.bytes);

	buf_clear(out);
	switch (op->type) {
	case OP_SET_PAYLOAD:
		if (op->key.n_steps)
			pv_merge_at(out, old, &op->key, patch);
		else
			pv_merge(out, old, patch);
		break;
	case OP_OVERWRITE_PAYLOAD: buf_put(out, patch.at, pv_size(patch)); break;
	case OP_DELETE_PAYLOAD: pv_delete_paths(out, old, op->paths, op->n_paths); break;
	default: buf_put(out, PV_EMPTY_OBJECT.bytes, PV_EMPTY_OBJECT.n); break;
	}
}

static bool change_row(struct state *s, uint64_t seq, const struct op *op,
		       const struct point_id *id)
{
	struct segment_row row;
	struct place old;

	if (!load_row(s, id, seq, &row, &old))
		return false;
	if (op->type == OP_DELETE_VECTORS) {
		for (uint32_t i = 0; i < op->n_spaces; i++) {
			if (op->spaces[i].kind == VECTOR_DENSE)
				s->dense[op->spaces[i].space] = NULL;
			else
				s->sparse[op->spaces[i].space].n = 0;
		}
	} else {
		new_payload(&s->payload, op, pv_of(row.payload.bytes));
		row.payload = (struct pv_slice){s->payload.data, (uint32_t)s->payload.len};
	}
	put_row(s, &row, &old);
	return true;
}

uint64_t state_apply(struct state *s, uint64_t seq, uint64_t epoch, const struct op *op)
{
	uint64_t changed = 0;

	assert(seq == s->now.seq + 1);
	for (uint32_t i = 0; i < op->n_points; i++) {
		if (op->type == OP_UPDATE_VECTORS) {
			changed += update_vectors(s, seq, &op->points[i]);
		} else {
			assert(op->type == OP_UPSERT);
			upsert(s, seq, &op->points[i]);
			changed++;
		}
	}
	for (uint32_t i = 0; i < op->n_ids; i++)
		changed += op->type == OP_DELETE ? delete_point(s, seq, &op->ids[i])
						 : change_row(s, seq, op, &op->ids[i]);
	s->now.seq = seq;
	s->now.epoch = epoch;
	return changed;
}
