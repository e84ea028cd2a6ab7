/* Geo conditions of a filter: radius, bounding box, polygon. */
#include "api/parse.h"

#include <string.h>

static int parse_point_of_earth(struct parse *p, const char *where, const struct json *v,
				struct geo_point *out)
{
	static const char *const known[] = {"lon", "lat", NULL};
	int rc = parse_object(p, where, where, v, known);

	if (rc == 0 && (json_get(v, "lon") == NULL || json_get(v, "lat") == NULL))
		rc = error_set(p->err, ERR_FORMAT, "%s: missing field `lon` or `lat`", where);
	if (rc == 0)
		rc = parse_double_field(p, v, "lon", &out->lon);
	if (rc == 0)
		rc = parse_double_field(p, v, "lat", &out->lat);
	if (rc != 0)
		return rc;
	if (!(out->lon >= -180 && out->lon <= 180) || !(out->lat >= -90 && out->lat <= 90))
		return error_set(p->err, ERR_VALIDATION,
				 "%s: lon %g, lat %g invalid, must be -180..180 and -90..90", where,
				 out->lon, out->lat);
	return 0;
}

static int parse_geo_radius(struct parse *p, const struct json *v, struct cond *out)
{
	static const char *const known[] = {"center", "radius", NULL};
	int rc = parse_object(p, "geo_radius", "geo_radius", v, known);

	out->type = COND_GEO_RADIUS;
	if (rc == 0)
		rc = parse_point_of_earth(p, "geo_radius.center", json_get(v, "center"),
					  &out->center);
	if (rc == 0 && json_get(v, "radius") == NULL)
		rc = parse_expected(p, "geo_radius.radius", "a number of metres", NULL);
	if (rc == 0)
		rc = parse_double_field(p, v, "radius", &out->radius_m);
	if (rc == 0 && !(out->radius_m >= 0))
		rc = error_set(p->err, ERR_VALIDATION,
			       "geo_radius.radius: value %g invalid, must be 0 or larger",
			       out->radius_m);
	return rc;
}

static int parse_geo_box(struct parse *p, const struct json *v, struct cond *out)
{
	static const char *const known[] = {"top_left", "bottom_right", NULL};
	int rc = parse_object(p, "geo_bounding_box", "geo_bounding_box", v, known);

	out->type = COND_GEO_BOX;
	if (rc == 0)
		rc = parse_point_of_earth(p, "geo_bounding_box.top_left", json_get(v, "top_left"),
					  &out->center);
	if (rc == 0)
		rc = parse_point_of_earth(p, "geo_bounding_box.bottom_right",
					  json_get(v, "bottom_right"), &out->corner);
	return rc;
}

static int parse_ring(struct parse *p, const char *where, const struct json *v,
		      struct geo_ring *out)
{
	static const char *const known[] = {"points", NULL};
	struct json_iter it;
	int rc = parse_object(p, where, where, v, known);

	if (rc == 0)
		rc = parse_is_array(p, where, json_get(v, "points"));
	if (rc != 0)
		return rc;
	out->n = 0;
	out->points =
		arena_alloc(p->arena, json_count(json_get(v, "points")) * sizeof(*out->points));
	it = json_iterate(json_get(v, "points"));
	while (rc == 0 && json_next(&it))
		rc = parse_point_of_earth(p, where, it.value, &out->points[out->n++]);
	if (rc != 0)
		return rc;
	if (out->n < 4)
		return error_set(p->err, ERR_VALIDATION,
				 "%s: invalid ring of %u points, must have at least 4", where,
				 out->n);
	if (out->points[0].lon != out->points[out->n - 1].lon ||
	    out->points[0].lat != out->points[out->n - 1].lat)
		return error_set(p->err, ERR_VALIDATION,
				 "%s: invalid ring, the first and the last point must be the same",
				 where);
	return 0;
}

static int parse_geo_polygon(struct parse *p, const struct json *v, struct cond *out)
{
	static const char *const known[] = {"exterior", "interiors", NULL};
	const struct json *interiors;
	struct json_iter it;
	int rc = parse_object(p, "geo_polygon", "geo_polygon", v, known);

	out->type = COND_GEO_POLYGON;
	interiors = rc == 0 ? json_get(v, "interiors") : NULL;
	if (interiors != NULL)
		rc = parse_is_array(p, "geo_polygon.interiors", interiors);
	if (rc != 0)
		return rc;
	out->rings = arena_alloc(p->arena, (1 + (interiors != NULL ? json_count(interiors) : 0)) *
						   sizeof(*out->rings));
	out->n_rings = 1;
	rc = parse_ring(p, "geo_polygon.exterior", json_get(v, "exterior"), &out->rings[0]);
	if (interiors == NULL)
		return rc;
	it = json_iterate(interiors);
	while (rc == 0 && json_next(&it))
		rc = parse_ring(p, "geo_polygon.interiors", it.value, &out->rings[out->n_rings++]);
	return rc;
}

int parse_geo(struct parse *p, const char *kind, const struct json *v, struct cond *out)
{
	if (strcmp(kind, "geo_radius") == 0)
		return parse_geo_radius(p, v, out);
	if (strcmp(kind, "geo_bounding_box") == 0)
		return parse_geo_box(p, v, out);
	return parse_geo_polygon(p, v, out);
}
