/* Filter tree, its codec, and the reference evaluation over one point's payload. Payload indexes in
 * store/ are an optimisation: they must give exactly what filter_match() gives.
 *
 * Semantics (as the API's clients know them):
 *  - Empty lists do not constrain; `should` needs one when not empty. min_should with conditions
 *    needs min_count of them.
 *  - A condition on an array holds when it holds for any element (one level: an array inside an
 *    array is no scalar). A path may lead to several values; any of them will do.
 *  - A value match is type-strict: an integer does not match 9.0, a bool is no integer. `except`
 *    matches a present value that is not in the list, of whatever type, never a missing or a
 *    null one.
 *  - Text without a text index on the field: a case-sensitive substring test (TEXT_ANY: any of the
 *    words between white space is a substring). With one, tokens count: all, any, or in order and
 *    side by side; a query without tokens matches nothing. All tokens must be in one string of an
 *    array. A field is meant by any path that differs from its own in [] only.
 *  - is_empty: missing, or every value at the path is null or []. is_null: null, or an array that
 *    contains null; not missing.
 *  - range: numbers only, compared as doubles. datetime_range: strings that datetime_parse() takes.
 *  - values_count: elements of an array, 0 for null or a missing value, 1 for anything else.
 *  - geo: objects with numbers lon (-180..180) and lat (-90..90). The radius is a great-circle
 *    distance (haversine) on a sphere of 6371008.8 m. Borders of radius and box count as inside; a
 *    box whose left side is east of its right side crosses the date line. Polygons are flat in
 *    degrees and do not cross the date line; a point on a side may count as inside or outside.
 *  - nested: the value at the path is an array of objects, and one of them satisfies the whole
 *    inner filter, with paths that begin at the object.
 */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "model/collection.h"
#include "model/id.h"
#include "model/payload.h"
#include "model/text.h"

enum cond_type {
	COND_FILTER,    /* nested filter */
	COND_MATCH_ANY, /* value in list (a single value is a list of one); none in an empty one */
	COND_MATCH_EXCEPT,   /* present value not in list */
	COND_MATCH_TEXT,     /* text: all tokens, or substring */
	COND_MATCH_TEXT_ANY, /* text: any token */
	COND_MATCH_PHRASE,   /* text: tokens in order, or substring */
	COND_RANGE,          /* numbers */
	COND_DATETIME_RANGE,
	COND_IS_EMPTY,
	COND_IS_NULL,
	COND_HAS_ID,
	COND_HAS_VECTOR,
	COND_VALUES_COUNT,
	COND_GEO_RADIUS,
	COND_GEO_BOX,
	COND_GEO_POLYGON,
	COND_NESTED, /* array of objects at path: one element must satisfy the whole filter */
	COND_TYPE_COUNT
};

enum match_kind { MATCH_STRING, MATCH_INT, MATCH_BOOL };
struct match_value {
	enum match_kind kind;
	int64_t i;     /* MATCH_INT, MATCH_BOOL (0/1) */
	const char *s; /* MATCH_STRING */
	uint32_t s_n;
};

struct range { /* bounds that are absent are flagged off */
	bool has_lt, has_lte, has_gt, has_gte;
	double lt, lte, gt, gte;
	int64_t lt_us, lte_us, gt_us, gte_us; /* COND_DATETIME_RANGE */
};

struct geo_point {
	double lon, lat;
};
struct geo_ring {
	struct geo_point *points;
	uint32_t n;
};

struct filter;
struct cond {
	enum cond_type type;
	struct path path;
	struct match_value *values; /* MATCH_ANY, MATCH_EXCEPT */
	uint32_t n_values;
	const char *text; /* MATCH_TEXT*, MATCH_PHRASE; HAS_VECTOR: vector name */
	uint32_t text_n;
	struct range range;   /* RANGE, DATETIME_RANGE, VALUES_COUNT */
	struct point_id *ids; /* HAS_ID */
	uint32_t n_ids;
	bool sorted;             /* ids and values are ascending: filter_prepare() sets it */
	struct geo_point center; /* GEO_RADIUS; GEO_BOX: top_left */
	struct geo_point corner; /* GEO_BOX: bottom_right */
	double radius_m;
	struct geo_ring *rings; /* GEO_POLYGON: exterior, then interiors */
	uint32_t n_rings;
	struct filter *filter; /* FILTER, NESTED */
};

struct filter {
	struct cond *must, *should, *must_not, *min_should;
	uint32_t n_must, n_should, n_must_not, n_min_should;
	uint32_t min_count; /* of min_should */
};

/* A filter that matches everything? (NULL, or no condition) */
bool filter_is_trivial(const struct filter *f);

/* The point that a filter looks at. `vectors` tells which spaces it has: bit i of has_dense[] /
 * has_sparse[] (64 spaces at most each). */
struct filter_point {
	const struct point_id *id;
	struct pv payload;
	uint64_t has_dense;
	uint64_t has_sparse;
};
/* `schema` decides text semantics and names vector spaces; NULL: no text index, no vectors. */
bool filter_match(const struct filter *f, const struct filter_point *p,
		  const struct collection *schema);
bool cond_match(const struct cond *c, const struct filter_point *p,
		const struct collection *schema);

/* Sorts the lists of ids and values, so that long ones are searched by halves. Changes no meaning.
 * filter_decode() has done it. */
void filter_prepare(struct filter *f);

void filter_encode(struct buf *b, const struct filter *f); /* NULL allowed */
/* Copies everything into the arena; *out is NULL for an encoded NULL. Refuses (ERR_FORMAT) more
 * than LIMIT_FILTER_NODES conditions or LIMIT_FILTER_DEPTH nested filters. */
int filter_decode(struct reader *r, struct arena *arena, struct filter **out, struct error *err);
