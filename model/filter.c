/* Evaluation of filters over one payload, without any index: the meaning of every condition. */
#include "model/filter.h"
#include "base/assert.h"
#include "model/geo.h"
#include <stdlib.h>
#include <string.h>

/* Where a filter is evaluated: the point, or an element of an array inside it. */
struct scope {
	const struct filter_point *point;
	const struct collection *schema;
	struct pv root;
	const struct scope *outer; /* of a nested filter; NULL at the point */
	const struct path *path;   /* of the nested condition, in the outer scope */
};

static bool filter_holds(const struct filter *f, const struct scope *scope);
static bool cond_holds(const struct cond *c, const struct scope *scope);

/* A condition and the scope that it is looked at in, for path_visit(). */
struct check {
	const struct cond *cond;
	const struct scope *scope;
	const struct payload_field *text_field; /* text: the index of the field, or NULL */
	bool any;                               /* is_empty: something was found */
};

/* ---- values ---- */

static int compare_bytes(const char *a, uint32_t a_n, const char *b, uint32_t b_n)
{
	int c = memcmp(a, b, a_n < b_n ? a_n : b_n);
	return c != 0 ? c : (a_n > b_n) - (a_n < b_n);
}

static int compare_values(const void *a, const void *b)
{
	const struct match_value *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind == MATCH_STRING)
		return compare_bytes(x->s, x->s_n, y->s, y->s_n);
	return (x->i > y->i) - (x->i < y->i);
}

/* A scalar as something that may stand in a list; false for what never does. */
static bool as_match_value(struct pv v, struct match_value *out)
{
	*out = (struct match_value){0};
	switch (pv_type(v)) {
	case PV_STRING:
		out->kind = MATCH_STRING;
		out->s = pv_string(v, &out->s_n);
		return true;
	case PV_INT:
		out->kind = MATCH_INT;
		out->i = pv_int(v);
		return true;
	case PV_FALSE:
	case PV_TRUE:
		out->kind = MATCH_BOOL;
		out->i = pv_bool(v);
		return true;
	default: return false;
	}
}

static bool in_list(const struct cond *c, struct pv v)
{
	struct match_value value;
	if (!as_match_value(v, &value))
		return false;
	if (c->sorted)
		return c->n_values != 0 && bsearch(&value, c->values, c->n_values, sizeof(value),
						   compare_values) != NULL;
	for (uint32_t i = 0; i < c->n_values; i++) {
		if (compare_values(&c->values[i], &value) == 0)
			return true;
	}
	return false;
}

static bool in_range(const struct range *r, double x)
{
	return (!r->has_lt || x < r->lt) && (!r->has_lte || x <= r->lte) &&
	       (!r->has_gt || x > r->gt) && (!r->has_gte || x >= r->gte);
}

static bool in_time_range(const struct range *r, int64_t us)
{
	return (!r->has_lt || us < r->lt_us) && (!r->has_lte || us <= r->lte_us) &&
	       (!r->has_gt || us > r->gt_us) && (!r->has_gte || us >= r->gte_us);
}

static bool has_substring(const char *text, size_t n, const char *part, size_t part_n)
{
	return part_n == 0 || memmem(text, n, part, part_n) != NULL;
}

static bool has_any_word(const char *text, size_t n, const char *words, size_t words_n)
{
	static const char blanks[] = " \t\n\v\f\r";
	for (size_t at = 0; at < words_n;) {
		size_t end = at;
		while (end < words_n && memchr(blanks, words[end], sizeof(blanks) - 1) == NULL)
			end++;
		if (end > at && has_substring(text, n, words + at, end - at))
			return true;
		at = end + 1;
	}
	return false;
}

static bool text_holds(const struct check *k, struct pv v)
{
	const struct cond *c = k->cond;
	uint32_t n;
	if (pv_type(v) != PV_STRING)
		return false;
	const char *text = pv_string(v, &n);
	if (k->text_field != NULL) {
		enum text_match how = c->type == COND_MATCH_TEXT       ? TEXT_ALL
				      : c->type == COND_MATCH_TEXT_ANY ? TEXT_ANY
								       : TEXT_PHRASE;
		return text_matches(&k->text_field->text, how, c->text, c->text_n, text, n);
	}
	if (c->type == COND_MATCH_TEXT_ANY)
		return has_any_word(text, n, c->text, c->text_n);
	return has_substring(text, n, c->text, c->text_n);
}

static bool geo_holds(const struct cond *c, struct pv v)
{
	struct geo_point p;
	if (!geo_point_of(v, &p))
		return false;
	if (c->type == COND_GEO_RADIUS)
		return geo_distance_m(&c->center, &p) <= c->radius_m;
	if (c->type == COND_GEO_BOX)
		return geo_in_box(&c->center, &c->corner, &p);
	return geo_in_polygon(c->rings, c->n_rings, &p);
}

/* Does one value, no array, satisfy the condition? */
static bool scalar_holds(const struct check *k, struct pv v)
{
	const struct cond *c = k->cond;
	double number;
	int64_t us;
	uint32_t n;
	const char *s;
	switch (c->type) {
	case COND_MATCH_ANY: return in_list(c, v);
	case COND_MATCH_EXCEPT: return pv_type(v) != PV_NULL && !in_list(c, v);
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE: return text_holds(k, v);
	case COND_RANGE: return pv_number(v, &number) && in_range(&c->range, number);
	case COND_DATETIME_RANGE:
		if (pv_type(v) != PV_STRING)
			return false;
		s = pv_string(v, &n);
		return datetime_parse(s, n, &us) && in_time_range(&c->range, us);
	case COND_GEO_RADIUS:
	case COND_GEO_BOX:
	case COND_GEO_POLYGON: return geo_holds(c, v);
	default: assert(!"no condition on a value"); return false;
	}
}

/* ---- what path_visit() calls; true ends the walk ---- */

static bool visit_value(void *ctx, struct pv v)
{
	const struct check *k = ctx;
	if (pv_type(v) != PV_ARRAY)
		return scalar_holds(k, v);
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it)) {
		if (scalar_holds(k, it.value))
			return true;
	}
	return false;
}

static bool visit_not_empty(void *ctx, struct pv v)
{
	return pv_type(v) != PV_NULL && !(pv_type(v) == PV_ARRAY && pv_count(v) == 0);
}

static bool visit_null(void *ctx, struct pv v)
{
	if (pv_type(v) != PV_ARRAY)
		return pv_type(v) == PV_NULL;
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it)) {
		if (pv_type(it.value) == PV_NULL)
			return true;
	}
	return false;
}

static bool visit_count(void *ctx, struct pv v)
{
	struct check *k = ctx;
	k->any = true;
	uint32_t count = pv_type(v) == PV_ARRAY ? pv_count(v) : pv_type(v) != PV_NULL;
	return in_range(&k->cond->range, count);
}

static bool visit_nested(void *ctx, struct pv v)
{
	const struct check *k = ctx;
	struct scope inner = *k->scope;
	inner.outer = k->scope;
	inner.path = &k->cond->path;
	if (pv_type(v) != PV_ARRAY)
		return false;
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it)) {
		inner.root = it.value;
		if (pv_type(it.value) == PV_OBJECT && filter_holds(k->cond->filter, &inner))
			return true;
	}
	return false;
}

/* ---- the text index of a field ---- */

/* Compares the end of whole->steps[0..*end) with all of part, [] left out of account, and moves
 * *end before what was compared. */
static bool takes_off(const struct path *whole, uint32_t *end, const struct path *part)
{
	for (uint32_t i = part->n_steps; i-- > 0;) {
		const struct path_step *b = &part->steps[i];
		if (b->type == PATH_EACH)
			continue;
		while (*end > 0 && whole->steps[*end - 1].type == PATH_EACH)
			--*end;
		if (*end == 0)
			return false;
		const struct path_step *a = &whole->steps[--*end];
		if (a->type != b->type || a->index != b->index ||
		    compare_bytes(a->key, a->key_n, b->key, b->key_n) != 0)
			return false;
	}
	return true;
}

static bool field_has_path(const struct payload_field *f, const struct path *path,
			   const struct scope *scope)
{
	uint32_t end = f->path.n_steps;
	if (!takes_off(&f->path, &end, path))
		return false;
	for (; scope->outer != NULL; scope = scope->outer) {
		if (!takes_off(&f->path, &end, scope->path))
			return false;
	}
	return end == 0;
}

static const struct payload_field *text_field(const struct path *path, const struct scope *scope)
{
	const struct collection *schema = scope->schema;
	for (uint32_t i = 0; schema != NULL && i < schema->n_fields; i++) {
		const struct payload_field *f = &schema->fields[i];
		if (f->type == FIELD_TEXT && field_has_path(f, path, scope))
			return f;
	}
	return NULL;
}

/* ---- conditions and filters ---- */

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

static bool has_id(const struct cond *c, const struct point_id *id)
{
	if (c->sorted)
		return c->n_ids != 0 &&
		       bsearch(id, c->ids, c->n_ids, sizeof(*id), compare_ids) != NULL;
	for (uint32_t i = 0; i < c->n_ids; i++) {
		if (id_equal(&c->ids[i], id))
			return true;
	}
	return false;
}

static bool has_vector(const struct cond *c, const struct scope *scope)
{
	if (scope->schema == NULL)
		return false;
	int space = collection_space(scope->schema, c->text, c->text_n);
	if (space >= 0)
		return space < 64 && (scope->point->has_dense >> space & 1) != 0;
	space = collection_sparse(scope->schema, c->text, c->text_n);
	return space >= 0 && space < 64 && (scope->point->has_sparse >> space & 1) != 0;
}

static bool cond_holds(const struct cond *c, const struct scope *scope)
{
	struct check k = {.cond = c, .scope = scope};
	switch (c->type) {
	case COND_FILTER: return filter_holds(c->filter, scope);
	case COND_HAS_ID: return has_id(c, scope->point->id);
	case COND_HAS_VECTOR: return has_vector(c, scope);
	case COND_IS_EMPTY: return !path_visit(&c->path, scope->root, visit_not_empty, &k);
	case COND_IS_NULL: return path_visit(&c->path, scope->root, visit_null, &k);
	case COND_VALUES_COUNT:
		return path_visit(&c->path, scope->root, visit_count, &k) ||
		       (!k.any && in_range(&c->range, 0));
	case COND_NESTED: return path_visit(&c->path, scope->root, visit_nested, &k);
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE: k.text_field = text_field(&c->path, scope); break;
	default: break;
	}
	return path_visit(&c->path, scope->root, visit_value, &k);
}

/* Do at least `wanted` conditions hold? */
static bool enough_hold(const struct cond *conds, uint32_t n, uint32_t wanted,
			const struct scope *scope)
{
	uint32_t hold = 0;
	for (uint32_t i = 0; i < n && hold < wanted && n - i >= wanted - hold; i++)
		hold += cond_holds(&conds[i], scope);
	return hold >= wanted;
}

static bool filter_holds(const struct filter *f, const struct scope *scope)
{
	if (f == NULL)
		return true;
	if (!enough_hold(f->must, f->n_must, f->n_must, scope))
		return false;
	if (f->n_must_not != 0 && enough_hold(f->must_not, f->n_must_not, 1, scope))
		return false;
	if (f->n_should != 0 && !enough_hold(f->should, f->n_should, 1, scope))
		return false;
	return f->n_min_should == 0 ||
	       enough_hold(f->min_should, f->n_min_should, f->min_count, scope);
}

bool filter_is_trivial(const struct filter *f)
{
	return f == NULL ||
	       (f->n_must == 0 && f->n_should == 0 && f->n_must_not == 0 && f->n_min_should == 0);
}

bool filter_match(const struct filter *f, const struct filter_point *p,
		  const struct collection *schema)
{
	struct scope scope = {.point = p, .schema = schema, .root = p->payload};
	return filter_holds(f, &scope);
}

bool cond_match(const struct cond *c, const struct filter_point *p, const struct collection *schema)
{
	struct scope scope = {.point = p, .schema = schema, .root = p->payload};
	return cond_holds(c, &scope);
}

/* ---- preparing ---- */

static void prepare_conds(struct cond *conds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct cond *c = &conds[i];
		if (!c->sorted && c->n_ids > 1)
			qsort(c->ids, c->n_ids, sizeof(*c->ids), compare_ids);
		if (!c->sorted && c->n_values > 1)
			qsort(c->values, c->n_values, sizeof(*c->values), compare_values);
		c->sorted = true;
		filter_prepare(c->filter);
	}
}

void filter_prepare(struct filter *f)
{
	if (f == NULL)
		return;
	prepare_conds(f->must, f->n_must);
	prepare_conds(f->should, f->n_should);
	prepare_conds(f->must_not, f->n_must_not);
	prepare_conds(f->min_should, f->n_min_should);
}
