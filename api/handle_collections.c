/* Collections, payload indexes and aliases. */
#include "api/change.h"
#include "api/render.h"
#include "model/text.h"

#include <string.h>

static void answer_true(struct api_request *r, int rc)
{
	if (rc != 0)
		respond_error(r, rc);
	else
		respond_true(r);
}

/* ---- views ---- */

void handle_collection_list(struct api_request *r)
{
	const struct map *map = coord_map(r->api->options.coord);
	struct buf *b = respond_begin(r);

	json_put_literal(b, "{\"collections\":[");
	for (uint32_t i = 0; i < map->n_collections; i++) {
		const char *name = map->collections[i].collection->name;

		if (i > 0)
			json_put_literal(b, ",");
		json_put_literal(b, "{\"name\":");
		json_put_string(b, name, strlen(name));
		json_put_literal(b, "}");
	}
	json_put_literal(b, "]}");
	map_unref(map);
	respond_ok(r);
}

void handle_collection_exists(struct api_request *r)
{
	const struct map *map = coord_map(r->api->options.coord);
	bool exists = map_collection(map, r->args[0]) != NULL;
	struct buf *b = respond_begin(r);

	map_unref(map);
	if (exists)
		json_put_literal(b, "{\"exists\":true}");
	else
		json_put_literal(b, "{\"exists\":false}");
	respond_ok(r);
}

static void info_done(struct coord_call *call)
{
	struct coord_info *info = (struct coord_info *)call;
	struct api_request *r = call->ctx;

	if (!request_succeeded(r, call))
		return;
	render_collection_info(respond_begin(r), r->collection, &info->total);
	respond_ok(r);
}

void handle_collection_info(struct api_request *r)
{
	struct coord_info *info = arena_zalloc(r->arena, sizeof(*info));

	request_call(r, &info->call, info_done, r);
	coord_info(r->api->options.coord, info);
}

/* ---- changes ---- */

struct creation {
	struct coord_change change;
	struct api_request *r;
	struct collection *collection;
};

static void creation_done(struct coord_call *call)
{
	struct creation *c = call->ctx;

	collection_unref(c->collection);
	if (request_succeeded(c->r, call))
		respond_true(c->r);
}

void handle_collection_create(struct api_request *r)
{
	struct creation *c = arena_zalloc(r->arena, sizeof(*c));
	struct parse p = request_parse(r);
	int rc = parameter_flag(r, "degraded", &c->change.degraded);

	if (rc == 0)
		rc = parse_collection(&p, r->args[0], r->body, &c->collection);
	parse_fini(&p);
	if (rc != 0) {
		respond_error(r, rc);
		return;
	}
	c->r = r;
	request_call(r, &c->change.call, creation_done, c);
	c->change.command.type = MAP_CREATE_COLLECTION;
	c->change.command.collection = c->collection;
	coord_change(r->api->options.coord, &c->change);
}

/* Clients delete what may not be there before they create it. */
static void answer_deleted(struct api_request *r, int rc)
{
	if (rc != 0 && rc != ERR_NOT_FOUND) {
		respond_error(r, rc);
		return;
	}
	if (rc == 0)
		json_put_literal(respond_begin(r), "true");
	else
		json_put_literal(respond_begin(r), "false");
	respond_ok(r);
}

void handle_collection_delete(struct api_request *r)
{
	struct map_command command = {.type = MAP_DELETE_COLLECTION, .name = r->args[0]};

	change_submit(r, &command, answer_deleted);
}

static int make_patched(struct api_request *r, struct collection **next)
{
	struct parse p = request_parse(r);
	int rc = parse_collection_patch(&p, r->body, next);

	parse_fini(&p);
	return rc;
}

static void answer_patched(struct api_request *r, uint64_t revision)
{
	respond_true(r);
}

void handle_collection_patch(struct api_request *r)
{
	change_definition(r, make_patched, answer_patched);
}

/* ---- payload indexes ---- */

static bool same_field(const struct payload_field *a, const struct payload_field *b)
{
	return a->type == b->type && a->params.n == b->params.n &&
	       memcmp(a->params.bytes, b->params.bytes, a->params.n) == 0;
}

static int put_field(struct collection *c, const struct payload_field *field, struct error *err)
{
	struct payload_field *fields, *at = NULL;
	int rc;

	fields = arena_zalloc(c->arena, (c->n_fields + 1) * sizeof(*fields));
	for (uint32_t i = 0; i < c->n_fields; i++) {
		fields[i] = c->fields[i];
		if (strcmp(fields[i].path.text, field->path.text) == 0)
			at = &fields[i];
	}
	c->fields = fields;
	if (at == NULL)
		at = &fields[c->n_fields++];
	if (c->n_fields > LIMIT_PAYLOAD_INDEXES)
		return error_set(err, ERR_INPUT, "a collection has at most %d payload indexes",
				 LIMIT_PAYLOAD_INDEXES);
	*at = *field;
	at->params.bytes = arena_copy(c->arena, field->params.bytes, field->params.n);
	text_options_copy(c->arena, &field->text, &at->text);
	rc = path_parse(field->path.text, strlen(field->path.text), c->arena, &at->path, err);
	return rc;
}

static int make_with_field(struct api_request *r, struct collection **next)
{
	const struct payload_field *present;
	struct payload_field field;
	struct parse p = request_parse(r);
	int rc = parse_payload_field(&p, r->body, &field);

	parse_fini(&p);
	if (rc != 0)
		return rc;
	present = collection_field(r->collection, field.path.text);
	if (present != NULL && same_field(present, &field))
		return 1;
	*next = collection_clone(r->collection);
	rc = put_field(*next, &field, &r->err);
	if (rc != 0) {
		collection_unref(*next);
		*next = NULL;
	}
	return rc;
}

void handle_index_create(struct api_request *r)
{
	change_definition(r, make_with_field, respond_update);
}

static int make_without_field(struct api_request *r, struct collection **next)
{
	uint32_t n = 0;

	if (collection_field(r->collection, r->args[1]) == NULL)
		return 1;
	*next = collection_clone(r->collection);
	for (uint32_t i = 0; i < (*next)->n_fields; i++)
		if (strcmp((*next)->fields[i].path.text, r->args[1]) != 0)
			(*next)->fields[n++] = (*next)->fields[i];
	(*next)->n_fields = n;
	return 0;
}

void handle_index_delete(struct api_request *r)
{
	change_definition(r, make_without_field, respond_update);
}

/* ---- aliases ---- */

static int parse_alias_action(struct parse *p, const struct json *v, struct alias_action *out)
{
	static const struct {
		const char *key;
		enum alias_action_type type;
		const char *alias, *other;
	} kinds[] = {
		{"create_alias", ALIAS_CREATE, "alias_name", "collection_name"},
		{"delete_alias", ALIAS_DELETE, "alias_name", NULL},
		{"rename_alias", ALIAS_RENAME, "old_alias_name", "new_alias_name"},
	};
	int rc = parse_is_object(p, "action", v);

	for (size_t i = 0; rc == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct json *action = json_get(v, kinds[i].key);
		const char *const known[] = {kinds[i].alias, kinds[i].other, NULL};
		const char *const only[] = {kinds[i].key, NULL};

		if (action == NULL)
			continue;
		out->type = kinds[i].type;
		rc = parse_known_keys(p, "an action", v, only);
		if (rc == 0)
			rc = parse_object(p, kinds[i].key, kinds[i].key, action, known);
		if (rc == 0)
			rc = parse_need_string(p, action, kinds[i].alias, &out->alias);
		if (rc == 0 && kinds[i].other != NULL)
			rc = parse_need_string(p, action, kinds[i].other, &out->other);
		return rc;
	}
	if (rc != 0)
		return rc;
	return error_set(p->err, ERR_FORMAT,
			 "actions: expected create_alias, delete_alias or rename_alias");
}

static int check_alias_name(struct parse *p, const struct alias_action *action)
{
	const char *name = action->type == ALIAS_RENAME ? action->other : action->alias;

	if (action->type == ALIAS_DELETE || collection_name_ok(name, strlen(name)))
		return 0;
	return error_set(p->err, ERR_INPUT,
			 "alias name `%.60s`: from 1 to 255 bytes are allowed, without any of < > : "
			 "\" / \\ | ? *",
			 name);
}

static int parse_alias_actions(struct parse *p, const struct json *v, struct map_command *out)
{
	static const char *const known[] = {"actions", NULL};
	const struct json *actions;
	struct json_iter it;
	int rc = parse_object(p, "body", "a change of aliases", v, known);

	if (rc != 0)
		return rc;
	actions = json_get(v, "actions");
	rc = parse_is_array(p, "actions", actions);
	if (rc != 0)
		return rc;
	out->actions = arena_zalloc(p->arena, json_count(actions) * sizeof(*out->actions));
	it = json_iterate(actions);
	while (rc == 0 && json_next(&it)) {
		struct alias_action *action = &out->actions[out->n_actions++];

		rc = parse_alias_action(p, it.value, action);
		if (rc == 0)
			rc = check_alias_name(p, action);
	}
	return rc;
}

void handle_alias_change(struct api_request *r)
{
	struct map_command command = {.type = MAP_ALIASES};
	struct parse p = request_parse(r);
	int rc = parse_alias_actions(&p, r->body, &command);

	parse_fini(&p);
	if (rc != 0 || command.n_actions == 0)
		answer_true(r, rc);
	else
		change_submit(r, &command, answer_true);
}

/* All aliases, or those of one collection. */
static void answer_aliases(struct api_request *r, const char *collection)
{
	const struct map *map = coord_map(r->api->options.coord);
	struct buf *b = respond_begin(r);
	bool first = true;

	json_put_literal(b, "{\"aliases\":[");
	for (uint32_t i = 0; i < map->n_aliases; i++) {
		const struct map_alias *alias = &map->aliases[i];

		if (collection != NULL && strcmp(alias->collection, collection) != 0)
			continue;
		if (!first)
			json_put_literal(b, ",");
		first = false;
		json_put_literal(b, "{\"alias_name\":");
		json_put_string(b, alias->name, strlen(alias->name));
		json_put_literal(b, ",\"collection_name\":");
		json_put_string(b, alias->collection, strlen(alias->collection));
		json_put_literal(b, "}");
	}
	json_put_literal(b, "]}");
	map_unref(map);
	respond_ok(r);
}

void handle_alias_list(struct api_request *r)
{
	answer_aliases(r, NULL);
}

void handle_collection_aliases(struct api_request *r)
{
	answer_aliases(r, r->collection->name);
}
