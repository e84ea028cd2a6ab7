/* The collection that the tests and the fuzzing of the parsers use. */
#pragma once
#include "model/collection.h"

/* Dense "" (4, Cosine) and "image" (3, Dot); sparse "words". */
static inline struct collection *books_new(void)
{
	struct collection *c = collection_new();

	c->name = "books";
	c->n_partitions = c->replication_factor = 1;
	c->n_spaces = 2;
	c->spaces = arena_zalloc(c->arena, 2 * sizeof(*c->spaces));
	c->spaces[0] = (struct vector_space){.name = "", .dim = 4, .distance = DISTANCE_COSINE};
	c->spaces[1] = (struct vector_space){.name = "image", .dim = 3, .distance = DISTANCE_DOT};
	c->n_sparse = 1;
	c->sparse = arena_zalloc(c->arena, sizeof(*c->sparse));
	c->sparse[0].name = "words";
	return c;
}
