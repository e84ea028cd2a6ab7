/* Geometry of the geo conditions, in degrees and metres. Private to model/ and the payload
 * indexes. */
#pragma once
#include "model/filter.h"

/* An object with numbers lon and lat that are on the globe. */
bool geo_point_of(struct pv v, struct geo_point *out);
/* Great-circle distance on a sphere of the Earth's mean radius (haversine formula). */
double geo_distance_m(const struct geo_point *a, const struct geo_point *b);
bool geo_in_box(const struct geo_point *top_left, const struct geo_point *bottom_right,
		const struct geo_point *p);
/* In the first ring and in none of the others; a ring is closed whether or not its last point
 * repeats the first. */
bool geo_in_polygon(const struct geo_ring *rings, uint32_t n_rings, const struct geo_point *p);
