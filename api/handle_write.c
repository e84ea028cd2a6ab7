/* Writes of points. All are applied before the answer, with wait=false as well: then the answer says
 * "acknowledged", which is never wrong, and a reader that comes next sees the write. */
#include "api/request.h"

#include <string.h>

struct update {
	struct coord_write write;
	struct api_request *r;
	uint32_t *places; /* of the submitted writes among those asked for (a list) */
	uint32_t n_asked;
	bool list;
};

/* Nothing that it could concern: answered without asking anybody. */
static bool concerns_nothing(const struct write *w)
{
	return w->select == NULL && w->op.n_ids == 0 && w->op.n_points == 0;
}

static void put_receipt(struct update *u, struct buf *b)
{
	uint64_t changed = 0;

	for (uint32_t i = 0; i < u->write.n_writes; i++)
		changed += u->write.changed[i];
	json_put_literal(b, ",\"receipt\":{\"complete\":true,\"changed\":");
	json_put_u64(b, changed);
	buf_printf(b, ",\"degraded\":%s}", u->write.degraded ? "true" : "false");
}

static void update_done(struct coord_call *call)
{
	struct update *u = call->ctx;
	struct api_request *r = u->r;
	uint64_t *ids;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	ids = arena_zalloc(r->arena, u->n_asked * sizeof(*ids));
	for (uint32_t i = 0; i < u->write.n_writes; i++)
		ids[u->places[i]] = u->write.seqs[i];
	b = respond_begin(r);
	if (u->list)
		json_put_literal(b, "[");
	for (uint32_t i = 0; i < u->n_asked; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		put_update_result(b, ids[i], r->wait);
	}
	if (u->list)
		json_put_literal(b, "]");
	if (r->receipt)
		put_receipt(u, b);
	respond_ok(r);
}

static void submit(struct api_request *r, struct write *writes, uint32_t n, bool list)
{
	struct update *u = arena_zalloc(r->arena, sizeof(*u));

	request_call(r, &u->write.call, update_done, u);
	u->r = r;
	u->list = list;
	u->n_asked = n;
	u->places = arena_alloc(r->arena, n * sizeof(*u->places));
	u->write.writes = arena_alloc(r->arena, n * sizeof(*writes));
	for (uint32_t i = 0; i < n; i++) {
		if (concerns_nothing(&writes[i]))
			continue;
		u->places[u->write.n_writes] = i;
		u->write.writes[u->write.n_writes++] = writes[i];
	}
	u->write.batch_hi = r->batch_hi;
	u->write.batch_lo = r->batch_lo;
	if (u->write.n_writes == 0)
		update_done(&u->write.call);
	else
		coord_write(r->api->options.coord, &u->write);
}

static void finish(struct api_request *r, int rc, struct write *write)
{
	if (rc != 0)
		respond_error(r, rc);
	else
		submit(r, write, 1, false);
}

static void run(struct api_request *r,
		int (*parse_fn)(struct parse *p, const struct json *v, struct write *out))
{
	struct write write;
	struct parse p = request_parse(r);
	int rc = parse_fn(&p, r->body, &write);

	parse_fini(&p);
	finish(r, rc, &write);
}

static void upsert_binary(struct api_request *r)
{
	const char *name = http_parameter(r->http, "using");
	struct parse p = request_parse(r);
	struct write write;
	size_t n;
	const uint8_t *body = http_body(r->http, &n);
	int rc = parse_binary(&p, body, n, name == NULL ? "" : name, &write);

	parse_fini(&p);
	finish(r, rc, &write);
}

void handle_upsert(struct api_request *r)
{
	if (request_content_is(r, "application/octet-stream"))
		upsert_binary(r);
	else
		run(r, parse_upsert);
}

void handle_delete_points(struct api_request *r)
{
	run(r, parse_delete);
}

void handle_set_payload(struct api_request *r)
{
	run(r, parse_set_payload);
}

void handle_overwrite_payload(struct api_request *r)
{
	run(r, parse_overwrite_payload);
}

void handle_delete_payload(struct api_request *r)
{
	run(r, parse_delete_payload);
}

void handle_clear_payload(struct api_request *r)
{
	run(r, parse_clear_payload);
}

void handle_update_vectors(struct api_request *r)
{
	run(r, parse_update_vectors);
}

void handle_delete_vectors(struct api_request *r)
{
	run(r, parse_delete_vectors);
}

void handle_batch_update(struct api_request *r)
{
	struct write *writes = NULL;
	uint32_t n = 0;
	struct parse p = request_parse(r);
	int rc = parse_operations(&p, r->body, &writes, &n);

	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else
		submit(r, writes, n, true);
}
