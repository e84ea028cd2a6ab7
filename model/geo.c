/* Geometry of the geo conditions. */
#include "model/geo.h"
#include <math.h>

static const double EARTH_RADIUS_M = 6371008.8; /* mean radius, IUGG */

bool geo_point_of(struct pv v, struct geo_point *out)
{
	struct pv lon, lat;
	return pv_get(v, "lon", 3, &lon) && pv_get(v, "lat", 3, &lat) &&
	       pv_number(lon, &out->lon) && pv_number(lat, &out->lat) && fabs(out->lon) <= 180 &&
	       fabs(out->lat) <= 90;
}

double geo_distance_m(const struct geo_point *a, const struct geo_point *b)
{
	const double radians = M_PI / 180;
	double lat_sine = sin((b->lat - a->lat) * radians / 2);
	double lon_sine = sin((b->lon - a->lon) * radians / 2);
	double h = lat_sine * lat_sine +
		   cos(a->lat * radians) * cos(b->lat * radians) * lon_sine * lon_sine;
	/* Rounding may lift h above 1 for opposite points. */
	return 2 * EARTH_RADIUS_M * asin(sqrt(fmin(h, 1)));
}

bool geo_in_box(const struct geo_point *top_left, const struct geo_point *bottom_right,
		const struct geo_point *p)
{
	if (p->lat > top_left->lat || p->lat < bottom_right->lat)
		return false;
	bool east = p->lon >= top_left->lon;
	bool west = p->lon <= bottom_right->lon;
	bool over_date_line = top_left->lon > bottom_right->lon;
	return over_date_line ? east || west : east && west;
}

/* Counts the sides that a ray to the east crosses: an odd number is inside. */
static bool in_ring(const struct geo_ring *ring, const struct geo_point *p)
{
	bool inside = false;
	for (uint32_t i = 0; i < ring->n; i++) {
		const struct geo_point *a = &ring->points[i];
		const struct geo_point *b = &ring->points[i + 1 < ring->n ? i + 1 : 0];
		if ((a->lat > p->lat) == (b->lat > p->lat))
			continue;
		double share = (p->lat - a->lat) / (b->lat - a->lat);
		if (p->lon < a->lon + share * (b->lon - a->lon))
			inside = !inside;
	}
	return inside;
}

bool geo_in_polygon(const struct geo_ring *rings, uint32_t n_rings, const struct geo_point *p)
{
	if (n_rings == 0 || !in_ring(&rings[0], p))
		return false;
	for (uint32_t i = 1; i < n_rings; i++) {
		if (in_ring(&rings[i], p))
			return false;
	}
	return true;
}
