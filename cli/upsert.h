/* A batch as the body of an upsert. */
#pragma once
#include "base/codec.h"
#include "cli/source.h"
#include <stdbool.h>

/* The binary form (api/binary.h); rows must be there. The buffer is cleared first. */
void upsert_binary(const struct batch *b, struct buf *out);
/* {"points":[{"id":..,"vector":[..],"payload":{..}}, ..]}; a vector name that is not "" makes
 * "vector":{name:[..]}. */
void upsert_json(const struct batch *b, const char *vector_name, struct buf *out);
/* "/collections/x/points?wait=true" and "&using=<name>" for the binary form. */
char *upsert_path(struct arena *arena, const char *collection, const char *vector_name,
		  bool binary);
