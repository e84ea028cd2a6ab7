/* Short ways to write conditions and filters in tests. Everything lives in the arena of the test. */
#pragma once
#include "tests/unit/arena.h"
#include "model/filter.h"
#include <stdlib.h>
#include <string.h>

static inline struct path path_to(const char *text)
{
	struct path p;
	assert_int_equal(path_parse(text, strlen(text), arena, &p, NULL), 0);
	return p;
}

static inline struct match_value string_value(const char *s)
{
	return (struct match_value){MATCH_STRING, 0, s, (uint32_t)strlen(s)};
}

static inline struct match_value int_value(int64_t i)
{
	return (struct match_value){MATCH_INT, i, NULL, 0};
}

static inline struct match_value bool_value(bool b)
{
	return (struct match_value){MATCH_BOOL, b, NULL, 0};
}

static inline struct cond values_cond(enum cond_type type, const char *path,
				      const struct match_value *values, uint32_t n)
{
	return (struct cond){.type = type,
			     .path = path_to(path),
			     .values = arena_copy(arena, values, n * sizeof(*values)),
			     .n_values = n};
}
#define MATCH_ANY(path, ...)                                                                       \
	values_cond(COND_MATCH_ANY, path, (struct match_value[]){__VA_ARGS__},                     \
		    sizeof((struct match_value[]){__VA_ARGS__}) / sizeof(struct match_value))
#define MATCH_EXCEPT(path, ...)                                                                    \
	values_cond(COND_MATCH_EXCEPT, path, (struct match_value[]){__VA_ARGS__},                  \
		    sizeof((struct match_value[]){__VA_ARGS__}) / sizeof(struct match_value))

static inline struct cond text_cond(enum cond_type type, const char *path, const char *text)
{
	return (struct cond){.type = type,
			     .path = path_to(path),
			     .text = text,
			     .text_n = (uint32_t)strlen(text)};
}

static inline struct cond path_cond(enum cond_type type, const char *path)
{
	return (struct cond){.type = type, .path = path_to(path)};
}

static inline struct cond range_cond(enum cond_type type, const char *path, struct range range)
{
	return (struct cond){.type = type, .path = path_to(path), .range = range};
}

static inline struct cond radius_cond(const char *path, double lon, double lat, double radius_m)
{
	return (struct cond){.type = COND_GEO_RADIUS,
			     .path = path_to(path),
			     .center = {lon, lat},
			     .radius_m = radius_m};
}

static inline struct cond box_cond(const char *path, double west, double north, double east,
				   double south)
{
	return (struct cond){.type = COND_GEO_BOX,
			     .path = path_to(path),
			     .center = {west, north},
			     .corner = {east, south}};
}

static inline struct geo_ring ring_of(const struct geo_point *points, uint32_t n)
{
	return (struct geo_ring){arena_copy(arena, points, n * sizeof(*points)), n};
}
#define RING(...)                                                                                  \
	ring_of((struct geo_point[]){__VA_ARGS__},                                                 \
		sizeof((struct geo_point[]){__VA_ARGS__}) / sizeof(struct geo_point))

static inline struct cond polygon_cond(const char *path, const struct geo_ring *rings, uint32_t n)
{
	return (struct cond){.type = COND_GEO_POLYGON,
			     .path = path_to(path),
			     .rings = arena_copy(arena, rings, n * sizeof(*rings)),
			     .n_rings = n};
}

static inline struct cond ids_cond(const struct point_id *ids, uint32_t n)
{
	return (struct cond){.type = COND_HAS_ID,
			     .ids = arena_copy(arena, ids, n * sizeof(*ids)),
			     .n_ids = n};
}

static inline struct cond filter_cond(struct filter *f)
{
	return (struct cond){.type = COND_FILTER, .filter = f};
}

static inline struct cond nested_cond(const char *path, struct filter *f)
{
	return (struct cond){.type = COND_NESTED, .path = path_to(path), .filter = f};
}

/* A filter with one list: MUST(a, b), SHOULD(...), MUST_NOT(...). */
enum clause { CLAUSE_MUST, CLAUSE_SHOULD, CLAUSE_MUST_NOT, CLAUSE_MIN_SHOULD };

static inline struct filter *clause_of(enum clause clause, const struct cond *conds, uint32_t n)
{
	struct filter *f = arena_zalloc(arena, sizeof(*f));
	struct cond *copy = arena_copy(arena, conds, n * sizeof(*conds));
	switch (clause) {
	case CLAUSE_MUST:
		f->must = copy;
		f->n_must = n;
		break;
	case CLAUSE_SHOULD:
		f->should = copy;
		f->n_should = n;
		break;
	case CLAUSE_MUST_NOT:
		f->must_not = copy;
		f->n_must_not = n;
		break;
	case CLAUSE_MIN_SHOULD:
		f->min_should = copy;
		f->n_min_should = n;
		break;
	}
	return f;
}
#define CLAUSE(clause, ...)                                                                        \
	clause_of(clause, (struct cond[]){__VA_ARGS__},                                            \
		  sizeof((struct cond[]){__VA_ARGS__}) / sizeof(struct cond))
#define MUST(...)       CLAUSE(CLAUSE_MUST, __VA_ARGS__)
#define SHOULD(...)     CLAUSE(CLAUSE_SHOULD, __VA_ARGS__)
#define MUST_NOT(...)   CLAUSE(CLAUSE_MUST_NOT, __VA_ARGS__)
#define MIN_SHOULD(...) CLAUSE(CLAUSE_MIN_SHOULD, __VA_ARGS__)
