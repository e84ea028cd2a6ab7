/* Changes of the shard map: submit, and for definitions compare-and-set with another try. */
#include "api/change.h"

#include <string.h>

enum { MAX_ATTEMPTS = 10 };

/* ---- definitions ---- */

struct definition_change {
	struct coord_change change;
	struct api_request *r;
	struct collection *next;
	change_make_fn make;
	change_answer_fn answer;
	unsigned attempts;
};

static void attempt(struct definition_change *d);

static void definition_done(struct coord_call *call)
{
	struct definition_change *d = call->ctx;
	struct api_request *r = d->r;

	collection_unref(d->next);
	d->next = NULL;
	if (call->rc == ERR_STALE && ++d->attempts < MAX_ATTEMPTS) {
		collection_unref(r->collection);
		r->collection = NULL;
		call->rc = coord_collection(r->api->options.coord, r->args[0], &r->collection,
					    &call->err);
		if (call->rc == 0) {
			attempt(d);
			return;
		}
	}
	if (request_succeeded(r, call))
		d->answer(r, r->collection->revision + 1);
}

static void attempt(struct definition_change *d)
{
	struct api_request *r = d->r;
	int rc = d->make(r, &d->next);

	if (rc < 0) {
		respond_error(r, rc);
		return;
	}
	if (rc > 0) {
		d->answer(r, r->collection->revision);
		return;
	}
	request_call(r, &d->change.call, definition_done, d);
	memset(&d->change.command, 0, sizeof(d->change.command));
	d->change.command.type = MAP_UPDATE_COLLECTION;
	d->change.command.collection = d->next;
	d->change.command.expect_revision = r->collection->revision;
	coord_change(r->api->options.coord, &d->change);
}

void change_definition(struct api_request *r, change_make_fn make, change_answer_fn answer)
{
	struct definition_change *d = arena_zalloc(r->arena, sizeof(*d));

	d->r = r;
	d->make = make;
	d->answer = answer;
	attempt(d);
}

/* ---- others ---- */

struct plain_change {
	struct coord_change change;
	struct api_request *r;
	void (*answer)(struct api_request *r, int rc);
};

static void plain_done(struct coord_call *call)
{
	struct plain_change *c = call->ctx;

	if (call->rc != 0)
		c->r->err = call->err;
	c->answer(c->r, call->rc);
}

void change_submit(struct api_request *r, const struct map_command *command,
		   void (*answer)(struct api_request *r, int rc))
{
	struct plain_change *c = arena_zalloc(r->arena, sizeof(*c));

	request_call(r, &c->change.call, plain_done, c);
	c->change.command = *command;
	c->r = r;
	c->answer = answer;
	coord_change(r->api->options.coord, &c->change);
}
