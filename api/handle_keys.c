/* API keys that are kept in the shard map, and so hold on every node at once. The map has only their hashes: a key is shown when it is made
 * and never again. */
#include "api/operate.h"
#include "base/secret.h"

#include <string.h>

enum { KEY_RANDOM_BYTES = 24 };
static const char PREFIX[] = "qv_";

/* ---- checking ---- */

enum key_rights keys_rights(const struct map *map, const char *given)
{
	uint8_t hash[SECRET_HASH_BYTES];
	enum key_rights rights = KEY_UNKNOWN;

	if (map->n_keys == 0)
		return KEY_UNKNOWN;
	secret_hash(given, strlen(given), hash);
	for (uint32_t i = 0; i < map->n_keys; i++)
		if (secret_same(map->keys[i].hash, hash, sizeof(hash)))
			rights = map->keys[i].read_only ? KEY_READ_ONLY : KEY_FULL;
	return rights;
}

/* Is there a key that may write, in the map or in this node's settings? `except`: without that one. */
static bool full_key_left(struct api_request *r, const struct map *map, const char *except)
{
	const char *configured = r->api->options.api_key;

	for (uint32_t i = 0; i < map->n_keys; i++)
		if (!map->keys[i].read_only && strcmp(map->keys[i].name, except) != 0)
			return true;
	return configured != NULL && configured[0] != 0;
}

static const struct map_key *find_key(const struct map *map, const char *name)
{
	for (uint32_t i = 0; i < map->n_keys; i++)
		if (strcmp(map->keys[i].name, name) == 0)
			return &map->keys[i];
	return NULL;
}

/* ---- POST /v1/keys ---- */

struct key_creation {
	struct coord_change change; /* first */
	struct api_request *r;
	const char *name;
	bool read_only;
	char text[sizeof(PREFIX) + 2 * KEY_RANDOM_BYTES];
};

static void make_key(char *out, uint8_t hash[SECRET_HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t random[KEY_RANDOM_BYTES];
	size_t n = sizeof(PREFIX) - 1;

	secret_random(random, sizeof(random));
	memcpy(out, PREFIX, n);
	for (size_t i = 0; i < sizeof(random); i++) {
		out[n++] = digits[random[i] >> 4];
		out[n++] = digits[random[i] & 15];
	}
	out[n] = 0;
	secret_hash(out, n, hash);
}

static void key_created(struct coord_call *call)
{
	struct key_creation *k = (struct key_creation *)call;
	struct api_request *r = k->r;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	b = respond_begin(r);
	json_put_literal(b, "{\"name\":");
	json_put_string(b, k->name, strlen(k->name));
	buf_printf(b, ",\"key\":\"%s\",\"read_only\":%s}", k->text,
		   k->read_only ? "true" : "false");
	respond_ok(r);
}

static int check_new(struct api_request *r, const struct key_creation *k)
{
	const struct map *map = coord_map(r->api->options.coord);
	size_t n = strlen(k->name);
	int rc = 0;

	if (n == 0 || n > LIMIT_NAME_BYTES)
		rc = error_set(&r->err, ERR_INPUT, "the name of a key has 1 to %d bytes",
			       LIMIT_NAME_BYTES);
	else if (find_key(map, k->name) != NULL)
		rc = error_set(&r->err, ERR_EXISTS,
			       "a key named `%s` already exists; remove it first, or choose another "
			       "name",
			       k->name);
	else if (map->n_keys >= LIMIT_API_KEYS)
		rc = error_set(&r->err, ERR_INPUT, "there are %u keys, which is the limit",
			       map->n_keys);
	else if (k->read_only && !full_key_left(r, map, ""))
		rc = error_set(&r->err, ERR_INPUT,
			       "with a read-only key alone nobody could write any more; create one "
			       "that may write first");
	map_unref(map);
	return rc;
}

void handle_key_create(struct api_request *r)
{
	static const char *const known[] = {"name", "read_only", NULL};
	struct key_creation *k = arena_zalloc(r->arena, sizeof(*k));
	struct parse p = request_parse(r);
	int rc = parse_object(&p, "body", "a key", r->body, known);

	if (rc == 0)
		rc = parse_need_string(&p, r->body, "name", &k->name);
	if (rc == 0)
		rc = parse_bool_field(&p, r->body, "read_only", &k->read_only);
	if (rc == 0)
		rc = check_new(r, k);
	parse_fini(&p);
	if (rc != 0) {
		respond_error(r, rc);
		return;
	}
	k->r = r;
	request_call(r, &k->change.call, key_created, k);
	k->change.command =
		(struct map_command){.type = MAP_KEY_PUT,
				     .key = {.name = k->name, .read_only = k->read_only}};
	make_key(k->text, k->change.command.key.hash);
	coord_change(r->api->options.coord, &k->change);
}

/* ---- GET and DELETE ---- */

void handle_key_list(struct api_request *r)
{
	const struct map *map = coord_map(r->api->options.coord);
	struct buf *b = respond_begin(r);

	json_put_literal(b, "{\"keys\":[");
	for (uint32_t i = 0; i < map->n_keys; i++) {
		const struct map_key *key = &map->keys[i];

		buf_printf(b, "%s{\"name\":", i > 0 ? "," : "");
		json_put_string(b, key->name, strlen(key->name));
		buf_printf(b, ",\"read_only\":%s}", key->read_only ? "true" : "false");
	}
	json_put_literal(b, "]}");
	map_unref(map);
	respond_ok(r);
}

static int make_removal(struct api_request *r, const struct map *map, void *arg,
			struct map_command *out)
{
	const struct map_key *key = find_key(map, r->args[0]);

	(void)arg;
	if (key == NULL)
		return error_set(&r->err, ERR_NOT_FOUND, "there is no API key named `%s`",
				 r->args[0]);
	/* Without any key everything is open again, as it was before the first. */
	if (map->n_keys > 1 && !key->read_only && !full_key_left(r, map, key->name))
		return error_set(&r->err, ERR_INPUT,
				 "`%s` is the last key that may write; remove the read-only ones "
				 "first",
				 key->name);
	*out = (struct map_command){.type = MAP_KEY_REMOVE, .name = key->name};
	return 0;
}

void handle_key_remove(struct api_request *r)
{
	operation_submit(r, make_removal, NULL);
}
