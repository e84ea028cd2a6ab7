/* A whole filter over a segment, as sets of rows. Gives exactly what filter_match() gives for each row.
 *
 * Conditions with an index come first and narrow the set; those without are then looked up in the payloads
 * of the rows that are still open, all at once. A condition is only ever evaluated within `domain`, the
 * rows for which its result matters.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "store/segment_internal.h"
#include <stdlib.h>
#include <string.h>

struct eval {
	const struct segment *s;
	const struct collection *schema;
	uint64_t scanned; /* payloads looked at */
};

static void eval_filter(struct eval *e, const struct filter *f, const struct bitset *domain,
			struct bitset *out);

static struct bitset new_set(const struct eval *e)
{
	struct bitset b;
	bitset_init(&b, e->s->meta.n_rows, false);
	return b;
}

/* ---- conditions that an index answers ---- */

/* Are two paths the same but for []? */
static bool same_path(const struct path *a, const struct path *b)
{
	uint32_t i = 0, j = 0;
	for (;; i++, j++) {
		while (i < a->n_steps && a->steps[i].type == PATH_EACH)
			i++;
		while (j < b->n_steps && b->steps[j].type == PATH_EACH)
			j++;
		if (i == a->n_steps || j == b->n_steps)
			return i == a->n_steps && j == b->n_steps;
		const struct path_step *x = &a->steps[i], *y = &b->steps[j];
		if (x->type != y->type || x->index != y->index || x->key_n != y->key_n ||
		    (x->key_n != 0 && memcmp(x->key, y->key, x->key_n) != 0))
			return false;
	}
}

/* What a text condition means depends on the schema: only an index of the very field that gives the
 * meaning may answer it. */
static bool text_index_counts(const struct eval *e, const struct pindex *p, const struct cond *c)
{
	if (e->schema == NULL)
		return false;
	for (uint32_t i = 0; i < e->schema->n_fields; i++) {
		const struct payload_field *f = &e->schema->fields[i];
		if (f->type == FIELD_TEXT && same_path(&f->path, &c->path))
			return pindex_is_for(p, f);
	}
	return false;
}

static void eval_has_id(const struct eval *e, const struct cond *c, struct bitset *out)
{
	for (uint32_t i = 0; i < c->n_ids; i++) {
		uint32_t row = segment_find(e->s, &c->ids[i]);
		if (row != UINT32_MAX)
			bitset_set(out, row);
	}
}

static bool has_dense(const struct segment *s, uint32_t space, uint32_t row)
{
	const struct segment_vectors *v = &s->vectors[space];
	return v->ord_of == NULL || v->ord_of[row] != UINT32_MAX;
}

static bool has_sparse(const struct segment *s, uint32_t space, uint32_t row)
{
	if (space >= s->meta.n_sparse)
		return false;
	const uint64_t *offsets = s->sparse_views[space].offsets;
	return offsets[row + 1] > offsets[row];
}

static void eval_has_vector(const struct eval *e, const struct cond *c, struct bitset *out)
{
	if (e->schema == NULL)
		return;
	int dense = collection_space(e->schema, c->text, c->text_n);
	int sparse = dense >= 0 ? -1 : collection_sparse(e->schema, c->text, c->text_n);
	for (uint32_t row = 0; row < out->n_bits; row++)
		if ((dense >= 0 && (uint32_t)dense < e->s->n_vectors &&
		     has_dense(e->s, (uint32_t)dense, row)) ||
		    (sparse >= 0 && has_sparse(e->s, (uint32_t)sparse, row)))
			bitset_set(out, row);
}

/* Fills `out` (empty) with all rows that match; false when no index can tell. */
static bool eval_by_index(const struct eval *e, const struct cond *c, struct bitset *out)
{
	const struct pindex *p;
	switch (c->type) {
	case COND_HAS_ID: eval_has_id(e, c, out); return true;
	case COND_HAS_VECTOR: eval_has_vector(e, c, out); return true;
	case COND_FILTER:
	case COND_NESTED: return false;
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE:
		p = segment_pindex(e->s, c->path.text);
		return p != NULL && text_index_counts(e, p, c) && pindex_eval(p, c, out) == 1;
	default:
		p = segment_pindex(e->s, c->path.text);
		return p != NULL && pindex_eval(p, c, out) == 1;
	}
}

/* ---- conditions that the payload answers ---- */

static bool row_matches(struct eval *e, const struct cond *c, uint32_t row,
			const struct pv_slice *payload)
{
	struct point_id id = segment_point_id(e->s, row);
	struct filter_point point = {.id = &id, .payload = pv_of(payload->bytes)};
	if (c->type == COND_NESTED) { /* the only one that may ask for vectors inside */
		for (uint32_t i = 0; i < e->s->n_vectors; i++)
			point.has_dense |= (uint64_t)has_dense(e->s, i, row) << i;
		for (uint32_t i = 0; i < e->s->meta.n_sparse; i++)
			point.has_sparse |= (uint64_t)has_sparse(e->s, i, row) << i;
	}
	return cond_match(c, &point, e->schema);
}

/* A list of conditions, and which of them have been dealt with. */
struct list {
	const struct cond *conds;
	uint32_t n;
	bool *done;
};

/* Does one of the open conditions give `wanted` for the row? */
static bool any_gives(struct eval *e, const struct list *l, bool wanted, uint32_t row)
{
	struct pv_slice payload = segment_payload(e->s, row);
	e->scanned++;
	for (uint32_t i = 0; i < l->n; i++)
		if (!l->done[i] && row_matches(e, &l->conds[i], row, &payload) == wanted)
			return true;
	return false;
}

static bool all_done(const struct list *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (!l->done[i])
			return false;
	return true;
}

/* ---- must, must_not ---- */

/* Keeps in `set` the rows that match (keep) or that do not. */
static void narrow(struct bitset *set, const struct bitset *matches, bool keep)
{
	if (keep)
		bitset_and(set, matches);
	else
		bitset_andnot(set, matches);
}

static void narrow_by_index(struct eval *e, struct list *l, bool keep, struct bitset *set)
{
	struct bitset matches = new_set(e);
	for (uint32_t i = 0; i < l->n; i++) {
		bitset_fill(&matches, false);
		l->done[i] = eval_by_index(e, &l->conds[i], &matches);
		if (l->done[i])
			narrow(set, &matches, keep);
	}
	bitset_fini(&matches);
}

static void narrow_by_filters(struct eval *e, struct list *l, bool keep, struct bitset *set)
{
	struct bitset matches = new_set(e);
	for (uint32_t i = 0; i < l->n; i++) {
		if (l->done[i] || l->conds[i].type != COND_FILTER)
			continue;
		l->done[i] = true;
		eval_filter(e, l->conds[i].filter, set, &matches);
		narrow(set, &matches, keep);
	}
	bitset_fini(&matches);
}

static void narrow_by_payload(struct eval *e, const struct list *l, bool keep, struct bitset *set)
{
	if (all_done(l))
		return;
	for (uint32_t row = bitset_next(set, 0); row < set->n_bits; row = bitset_next(set, row + 1))
		if (any_gives(e, l, !keep, row))
			bitset_unset(set, row);
}

/* ---- should, min_should ---- */

/* Adds to `hits` the rows of `domain` that a condition of the list matches, by whatever can tell. */
static void eval_cond(struct eval *e, const struct cond *c, const struct bitset *domain,
		      struct bitset *out)
{
	bitset_fill(out, false);
	if (c->type == COND_FILTER) {
		eval_filter(e, c->filter, domain, out);
		return;
	}
	if (eval_by_index(e, c, out)) {
		bitset_and(out, domain);
		return;
	}
	bitset_fill(out, false);
	bool done = false;
	struct list one = {c, 1, &done};
	for (uint32_t row = bitset_next(domain, 0); row < domain->n_bits;
	     row = bitset_next(domain, row + 1))
		if (any_gives(e, &one, true, row))
			bitset_set(out, row);
}

static void should_by_index(struct eval *e, struct list *l, struct bitset *hits)
{
	struct bitset matches = new_set(e);
	for (uint32_t i = 0; i < l->n; i++) {
		bitset_fill(&matches, false);
		l->done[i] = eval_by_index(e, &l->conds[i], &matches);
		if (l->done[i])
			bitset_or(hits, &matches);
	}
	bitset_fini(&matches);
}

static void should_by_rest(struct eval *e, struct list *l, const struct bitset *set,
			   struct bitset *hits)
{
	struct bitset open = new_set(e), matches = new_set(e);
	for (uint32_t i = 0; i < l->n; i++) {
		if (l->done[i] || l->conds[i].type != COND_FILTER)
			continue;
		l->done[i] = true;
		bitset_copy(&open, set);
		bitset_andnot(&open, hits);
		eval_filter(e, l->conds[i].filter, &open, &matches);
		bitset_or(hits, &matches);
	}
	if (!all_done(l)) {
		bitset_copy(&open, set);
		bitset_andnot(&open, hits);
		for (uint32_t row = bitset_next(&open, 0); row < open.n_bits;
		     row = bitset_next(&open, row + 1))
			if (any_gives(e, l, true, row))
				bitset_set(hits, row);
	}
	bitset_fini(&open);
	bitset_fini(&matches);
}

static void narrow_by_min_should(struct eval *e, const struct filter *f, struct bitset *set)
{
	if (f->n_min_should == 0 || f->min_count == 0)
		return;
	uint32_t *hits = mem_array(set->n_bits, sizeof(*hits));
	struct bitset matches = new_set(e);
	for (uint32_t i = 0; i < f->n_min_should; i++) {
		eval_cond(e, &f->min_should[i], set, &matches);
		for (uint32_t row = bitset_next(&matches, 0); row < matches.n_bits;
		     row = bitset_next(&matches, row + 1))
			hits[row]++;
	}
	for (uint32_t row = bitset_next(set, 0); row < set->n_bits; row = bitset_next(set, row + 1))
		if (hits[row] < f->min_count)
			bitset_unset(set, row);
	bitset_fini(&matches);
	free(hits);
}

/* ---- filters ---- */

static void eval_filter(struct eval *e, const struct filter *f, const struct bitset *domain,
			struct bitset *out)
{
	bitset_copy(out, domain);
	if (filter_is_trivial(f))
		return;
	bool *done = mem_array((size_t)f->n_must + f->n_must_not + f->n_should, sizeof(*done));
	struct list must = {f->must, f->n_must, done};
	struct list must_not = {f->must_not, f->n_must_not, must.done + must.n};
	struct list should = {f->should, f->n_should, must_not.done + must_not.n};
	struct bitset hits = {NULL, 0};

	narrow_by_index(e, &must, true, out);
	if (must_not.n != 0)
		narrow_by_index(e, &must_not, false, out);
	if (should.n != 0) {
		hits = new_set(e);
		should_by_index(e, &should, &hits);
		if (all_done(&should))
			bitset_and(out, &hits);
	}
	narrow_by_filters(e, &must, true, out);
	narrow_by_filters(e, &must_not, false, out);
	narrow_by_payload(e, &must, true, out);
	narrow_by_payload(e, &must_not, false, out);
	if (should.n != 0 && !all_done(&should)) {
		should_by_rest(e, &should, out, &hits);
		bitset_and(out, &hits);
	}
	narrow_by_min_should(e, f, out);
	bitset_fini(&hits);
	free(done);
}

bool segment_filter_indexed(const struct segment *s, const struct filter *f)
{
	if (f == NULL)
		return true;
	const struct {
		const struct cond *conds;
		uint32_t n;
	} lists[] = {{f->must, f->n_must},
		     {f->should, f->n_should},
		     {f->must_not, f->n_must_not},
		     {f->min_should, f->n_min_should}};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (uint32_t j = 0; j < lists[i].n; j++) {
			const struct cond *c = &lists[i].conds[j];
			if (c->type == COND_FILTER
				    ? !segment_filter_indexed(s, c->filter)
				    : c->type != COND_HAS_ID && c->type != COND_HAS_VECTOR &&
					      (c->type == COND_NESTED ||
					       segment_pindex(s, c->path.text) == NULL))
				return false;
		}
	return true;
}

/* One condition, as most filters are, that an index answers: nothing has to be put together. */
static bool answered_at_once(const struct eval *e, const struct filter *f, struct bitset *out)
{
	if (f == NULL || f->n_must != 1 || f->n_must_not + f->n_should + f->n_min_should != 0)
		return false;
	bitset_fill(out, false);
	return eval_by_index(e, &f->must[0], out);
}

uint64_t segment_filter(const struct segment *s, const struct collection *schema,
			const struct filter *f, const struct bitset *live, struct bitset *out)
{
	assert(out->n_bits == s->meta.n_rows);
	struct eval e = {s, schema, 0};
	if (answered_at_once(&e, f, out)) {
		if (live != NULL)
			bitset_and(out, live);
		return 0;
	}
	if (live != NULL) {
		eval_filter(&e, f, live, out);
		return e.scanned;
	}
	struct bitset all;
	bitset_init(&all, s->meta.n_rows, true);
	eval_filter(&e, f, &all, out);
	bitset_fini(&all);
	return e.scanned;
}
