/* What the routes for operators share: a change of the map that is made from the map, and made again when that has moved on. */
#pragma once
#include "api/request.h"
#include "coordinator/operate.h"

/* Makes the command: 0; 1 when there is nothing to change; or a negative code with r->err. Strings of the command may lie in the map. */
typedef int (*operation_make_fn)(struct api_request *r, const struct map *map, void *arg,
				 struct map_command *out);
/* Submits what make() gives, then answers with true, or with the error. */
void operation_submit(struct api_request *r, operation_make_fn make, void *arg);

/* What a key may, by the keys of the map. */
enum key_rights { KEY_UNKNOWN, KEY_READ_ONLY, KEY_FULL };
enum key_rights keys_rights(const struct map *map, const char *given);

/* The number of the partition that argument `i` of the path is; collection: r->collection. */
int operation_partition(struct api_request *r, unsigned i, uint32_t *out);
