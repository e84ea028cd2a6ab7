/* Changes of the shard map asked for by a request. */
#pragma once
#include "api/request.h"

/* A new definition of r->collection, made from the present one. make() returns 0 and *next (refs = 1),
 * 1 when there is nothing to change, or a negative code. When another change came in between, it is
 * called again for the definition that then holds. */
typedef int (*change_make_fn)(struct api_request *r, struct collection **next);
/* Answers the request; `revision` is the one that holds now. */
typedef void (*change_answer_fn)(struct api_request *r, uint64_t revision);
void change_definition(struct api_request *r, change_make_fn make, change_answer_fn answer);

/* Any other command. answer(r, rc) with r->err set when rc < 0. Whatever the command points to must
 * live in the arena. */
void change_submit(struct api_request *r, const struct map_command *command,
		   void (*answer)(struct api_request *r, int rc));
