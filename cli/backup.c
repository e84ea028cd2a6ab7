/* quiver backup and quiver restore: a collection as files, through the API.
 *
 * A folder:
 *   collection.json  what makes the collection again: the body of its creation, and its payload indexes
 *   points.jsonl     one point a line, as the API tells and takes them
 *   COMPLETE         written last: how many points and bytes there are, and a hash of points.jsonl
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "http/json.h"

enum {
	PAGE = 500,
	BATCH_BYTES = 4 << 20,
	BATCH_POINTS = 1000,
	FILE_MAX = 16 << 20,
	PATH_MAX_BYTES = 4096
};

struct options {
	COMMON_MEMBERS
	const char *to, *as;
	uint64_t shards, replicas;
};

static const struct config_row backup_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, to, NULL, "FOLDER", "a folder that is empty, or not there yet"),
};
static const struct config_row restore_rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, as, NULL, "NAME", "another name than it had"),
	CONFIG_U64(struct options, shards, "0", 0, 256, "N",
		   "another number of partitions than it had"),
	CONFIG_U64(struct options, replicas, "0", 0, 8, "N",
		   "another number of copies than it had"),
};
static const struct command_line backup_line = {
	.name = "backup",
	.usage = "COLLECTION --to FOLDER",
	.about =
		"Writes a collection into a folder: its definition, its payload indexes and all of its points.\n"
		"Points that are written meanwhile may be in it or not. `quiver restore` makes it again, on any\n"
		"server. The file COMPLETE in the folder is written last; a backup without it is none.",
	.examples = "  quiver backup books --to /backups/books-2026-11-21\n",
	.rows = backup_rows,
	.n_rows = sizeof(backup_rows) / sizeof(backup_rows[0]),
	.min_rest = 1,
	.max_rest = 1,
};
static const struct command_line restore_line = {
	.name = "restore",
	.usage = "FOLDER [--as NAME]",
	.about =
		"Makes a collection from what `quiver backup` wrote. Exit code 1 when there is one of that name\n"
		"already: it is not touched.",
	.examples = "  quiver restore /backups/books-2026-11-21\n"
		    "  quiver restore /backups/books-2026-11-21 --as books-old --replicas 2\n",
	.rows = restore_rows,
	.n_rows = sizeof(restore_rows) / sizeof(restore_rows[0]),
	.min_rest = 1,
	.max_rest = 1,
};

/* ---- what both need ---- */

static const char *path_in(struct session *s, const char *folder, const char *name)
{
	return arena_printf(s->arena, "%.*s/%s", PATH_MAX_BYTES, folder, name);
}

static int file_error(struct error *err, const char *path)
{
	if (errno == EEXIST)
		return error_set(err, ERR_EXISTS,
				 "%s is there already: --to wants an empty folder, or a new one",
				 path);
	return error_errno(err, errno, "%s", path);
}

/* ---- backup ---- */

/* What the creation of the collection is asked for; the rest of its configuration has the same names there. */
static void put_definition(struct buf *out, const struct json *info, const char *name)
{
	static const char *const outer[] = {"hnsw_config",        "optimizers_config",
					    "wal_config",         "quantization_config",
					    "strict_mode_config", "metadata"};
	const struct json *config = client_get(info, "config");
	const struct json *indexes = client_get(info, "payload_schema");

	json_put_literal(out, "{\"collection\":");
	json_put_string(out, name, strlen(name));
	json_put_literal(out, ",\"create\":{");
	json_put_entries(out, client_get(config, "params"), NULL);
	for (size_t i = 0; i < sizeof outer / sizeof *outer; i++) {
		const struct json *v = client_get(config, outer[i]);

		if (v == NULL || json_type(v) == JSON_NULL)
			continue;
		buf_printf(out, ",\"%s\":", outer[i]);
		json_put_value(out, v);
	}
	json_put_literal(out, "},\"payload_schema\":");
	if (indexes != NULL)
		json_put_value(out, indexes);
	else
		json_put_literal(out, "{}");
	json_put_literal(out, "}\n");
}

static int write_file(const char *path, const struct buf *bytes, struct error *err)
{
	FILE *f = fopen(path, "wbx");

	if (f == NULL)
		return file_error(err, path);
	bool written = fwrite(bytes->data, 1, bytes->len, f) == bytes->len;

	if (fclose(f) != 0 || !written)
		return file_error(err, path);
	return 0;
}

static int save_definition(struct session *s, const char *folder, struct error *err)
{
	const struct json *info;
	struct buf text = BUF_INIT;
	int rc = session_call(s, "GET", client_collection_path(s->arena, s->rest[0], ""), NULL,
			      &info, err);

	if (rc == 0) {
		put_definition(&text, info, s->rest[0]);
		rc = write_file(path_in(s, folder, "collection.json"), &text, err);
	}
	buf_fini(&text);
	return rc;
}

struct tally {
	uint64_t points, bytes, hash, expected;
};

/* The points of one page; `next`: the body of the request for the one after it, empty at the end. */
static int save_page(struct session *s, FILE *out, struct buf *next, struct tally *t,
		     struct error *err)
{
	const struct json *page, *offset;
	struct buf line = BUF_INIT;
	int rc = session_call(s, "POST",
			      client_collection_path(s->arena, s->rest[0], "/points/scroll"), next,
			      &page, err);
	struct json_iter it;

	if (rc != 0)
		return rc;
	it = json_iterate(client_get(page, "points"));
	while (json_next(&it) && rc == 0) {
		buf_clear(&line);
		json_put_value(&line, it.value);
		buf_put_u8(&line, '\n');
		if (fwrite(line.data, 1, line.len, out) != line.len)
			rc = file_error(err, "points.jsonl");
		t->hash = hash64_seed(line.data, line.len, t->hash);
		t->bytes += line.len;
		t->points++;
	}
	offset = client_get(page, "next_page_offset");
	buf_clear(next);
	if (offset != NULL && json_type(offset) != JSON_NULL) {
		buf_printf(next,
			   "{\"limit\":%d,\"with_payload\":true,\"with_vector\":true,\"offset\":",
			   PAGE);
		json_put_value(next, offset);
		buf_put_u8(next, '}');
	}
	buf_fini(&line);
	return rc;
}

static int save_points(struct session *s, const char *folder, struct tally *t, struct error *err)
{
	const char *path = path_in(s, folder, "points.jsonl");
	FILE *out = fopen(path, "wbx");
	struct buf next = BUF_INIT;
	struct progress progress;
	int rc = 0;

	if (out == NULL)
		return file_error(err, path);
	buf_printf(&next, "{\"limit\":%d,\"with_payload\":true,\"with_vector\":true}", PAGE);
	progress_begin(&progress, "points", s->json);
	while (rc == 0 && next.len > 0) {
		rc = save_page(s, out, &next, t, err);
		progress_show(&progress, t->points,
			      t->expected ? (double)t->points / (double)t->expected : 1);
	}
	progress_end(&progress);
	if (fclose(out) != 0 && rc == 0)
		rc = file_error(err, path);
	buf_fini(&next);
	return rc;
}

static int count_points(struct session *s, const char *collection, uint64_t *n, struct error *err)
{
	struct buf body = BUF_INIT;
	const struct json *result;

	json_put_literal(&body, "{\"exact\":true}");
	int rc = session_call(s, "POST",
			      client_collection_path(s->arena, collection, "/points/count"), &body,
			      &result, err);

	buf_fini(&body);
	if (rc == 0)
		*n = client_number(client_get(result, "count"));
	return rc;
}

static int save_complete(struct session *s, const char *folder, const struct tally *t,
			 struct error *err)
{
	struct buf text = BUF_INIT;

	buf_printf(&text,
		   "{\"points\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\"}\n",
		   t->points, t->bytes, t->hash);
	int rc = write_file(path_in(s, folder, "COMPLETE"), &text, err);

	buf_fini(&text);
	return rc;
}

int command_backup(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	struct tally t = {0};
	int code = session_begin(&s, &backup_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	if (o.to == NULL)
		return session_end(&s,
				   command_misused(s.name, "--to is missing: into which folder?"));
	int rc = count_points(&s, s.rest[0], &t.expected, &err);

	if (rc == 0 && mkdir(o.to, 0777) != 0 && errno != EEXIST)
		rc = file_error(&err, o.to);
	if (rc == 0)
		rc = save_definition(&s, o.to, &err);
	if (rc == 0)
		rc = save_points(&s, o.to, &t, &err);
	if (rc == 0)
		rc = save_complete(&s, o.to, &t, &err);
	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json)
		printf("{\"points\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", t.points, t.bytes);
	else
		printf("%" PRIu64 " points of %s are in %s (%" PRIu64 " bytes)\n", t.points,
		       s.rest[0], o.to, t.bytes);
	return session_end(&s, EXIT_DONE);
}

/* ---- restore ---- */

static int load_json(struct session *s, const char *folder, const char *name,
		     const struct json **out, struct error *err)
{
	struct buf text = BUF_INIT;
	const char *path = path_in(s, folder, name);
	int rc = command_read_file(path, FILE_MAX, &text, err);

	if (rc != 0)
		error_wrap(err, rc, "%s is no whole backup", folder);
	else if ((rc = json_parse(arena_copy(s->arena, text.data, text.len + 1), text.len, s->arena,
				  out, err)) != 0)
		error_wrap(err, rc, "%s", path);
	buf_fini(&text);
	return rc;
}

/* The body of the creation, with what the options say otherwise. */
static void put_create(struct buf *out, const struct json *create, const struct options *o)
{
	const char *others[3] = {NULL};
	size_t n = 0;

	if (o->shards)
		others[n++] = "shard_number";
	if (o->replicas)
		others[n++] = "replication_factor";
	buf_put_u8(out, '{');
	bool any = json_put_entries(out, create, others);
	if (o->shards)
		buf_printf(out, "%s\"shard_number\":%" PRIu64, any ? "," : "", o->shards);
	if (o->replicas)
		buf_printf(out, "%s\"replication_factor\":%" PRIu64, any || o->shards ? "," : "",
			   o->replicas);
	buf_put_u8(out, '}');
}

static int make_indexes(struct session *s, const char *name, const struct json *schema,
			struct error *err)
{
	struct json_iter it = json_iterate(schema);
	struct buf body = BUF_INIT;
	int rc = 0;

	while (json_next(&it) && rc == 0) {
		const struct json *params = client_get(it.value, "params");

		buf_clear(&body);
		json_put_literal(&body, "{\"field_name\":");
		json_put_string(&body, it.key, it.key_n);
		json_put_literal(&body, ",\"field_schema\":");
		if (params != NULL && json_type(params) != JSON_NULL)
			json_put_value(&body, params);
		else
			json_put_value(&body, client_get(it.value, "data_type"));
		buf_put_u8(&body, '}');
		rc = session_call(s, "PUT",
				  client_collection_path(s->arena, name, "/index?wait=true"), &body,
				  NULL, err);
	}
	buf_fini(&body);
	return rc;
}

static int send_batch(struct session *s, const char *path, struct buf *body, uint32_t *n,
		      struct error *err)
{
	const struct client_patience patience = {.patience_s = 60};
	const struct json *ignored;

	if (*n == 0)
		return 0;
	json_put_literal(body, "]}");
	const struct client_request request = {"PUT", path, body->data, body->len,
					       NULL,  NULL, false};
	int rc = client_call_patiently(s->client, &request, &patience, &ignored, err);

	buf_clear(body);
	*n = 0;
	return rc;
}

/* Reads, sums up, and sends all lines when `path` is given. */
static int read_points(struct session *s, FILE *in, const char *path, struct tally *t,
		       struct error *err)
{
	struct buf body = BUF_INIT;
	struct progress progress;
	char *line = NULL;
	size_t room = 0;
	uint32_t n = 0;
	ssize_t got;
	int rc = 0;

	progress_begin(&progress, "points", s->json || path == NULL);
	while (rc == 0 && (got = getline(&line, &room, in)) > 0) {
		t->hash = hash64_seed(line, (size_t)got, t->hash);
		t->bytes += (uint64_t)got;
		t->points++;
		if (path == NULL)
			continue;
		if (n == 0)
			json_put_literal(&body, "{\"points\":[");
		else
			buf_put_u8(&body, ',');
		buf_put(&body, line, (size_t)got - 1);
		if (++n == BATCH_POINTS || body.len > BATCH_BYTES)
			rc = send_batch(s, path, &body, &n, err);
		progress_show(&progress, t->points, (double)t->points / (double)t->expected);
	}
	if (rc == 0 && path != NULL)
		rc = send_batch(s, path, &body, &n, err);
	progress_end(&progress);
	buf_fini(&body);
	free(line);
	return rc;
}

/* Is the file what was written? Before anything is made of it. */
static int check_points(struct session *s, FILE *in, const struct json *complete, struct error *err)
{
	struct tally t = {0};
	char hash[20];
	int rc = read_points(s, in, NULL, &t, err);

	snprintf(hash, sizeof hash, "%016" PRIx64, t.hash);
	rewind(in);
	if (rc == 0 && (t.points != client_number(client_get(complete, "points")) ||
			strcmp(hash, client_text(client_get(complete, "hash"))) != 0))
		rc = error_set(err, ERR_CORRUPT,
			       "points.jsonl is not what was written: it has %" PRIu64
			       " points and hash %s, COMPLETE says %" PRIu64 " and %s",
			       t.points, hash, client_number(client_get(complete, "points")),
			       client_text(client_get(complete, "hash")));
	return rc;
}

static int restore_points(struct session *s, const char *name, FILE *in, uint64_t expected,
			  struct error *err)
{
	struct tally t = {.expected = expected ? expected : 1};
	uint64_t n = 0;
	int rc = read_points(s, in, client_collection_path(s->arena, name, "/points?wait=true"), &t,
			     err);

	if (rc == 0)
		rc = count_points(s, name, &n, err);
	if (rc == 0 && n != expected)
		rc = error_set(err, ERR_INTERNAL,
			       "collection `%s` has %" PRIu64 " points now, the backup %" PRIu64,
			       name, n, expected);
	return rc;
}

static int restore(struct session *s, const struct options *o, const char **name, uint64_t *n,
		   struct error *err)
{
	const struct json *complete, *definition;
	const char *points = path_in(s, s->rest[0], "points.jsonl");
	struct buf body = BUF_INIT;
	FILE *in = NULL;
	int rc = load_json(s, s->rest[0], "COMPLETE", &complete, err);

	if (rc == 0)
		rc = load_json(s, s->rest[0], "collection.json", &definition, err);
	if (rc == 0 && (in = fopen(points, "rb")) == NULL)
		rc = file_error(err, points);
	if (rc == 0)
		rc = check_points(s, in, complete, err);
	if (rc != 0)
		goto out;
	*n = client_number(client_get(complete, "points"));
	*name = o->as ? o->as : client_text(client_get(definition, "collection"));
	put_create(&body, client_get(definition, "create"), o);
	rc = session_call(s, "PUT", client_collection_path(s->arena, *name, ""), &body, NULL, err);
	if (rc == 0)
		rc = make_indexes(s, *name, client_get(definition, "payload_schema"), err);
	if (rc == 0)
		rc = restore_points(s, *name, in, *n, err);
out:
	if (in != NULL)
		fclose(in);
	buf_fini(&body);
	return rc;
}

int command_restore(int argc, char **argv)
{
	struct error err = {0};
	struct options o;
	struct session s;
	const char *name = "";
	uint64_t n = 0;
	int code = session_begin(&s, &restore_line, argc, argv, &o);

	if (code >= 0)
		return session_end(&s, code);
	int rc = restore(&s, &o, &name, &n, &err);

	if (rc != 0)
		return session_fail(&s, rc, &err);
	if (s.json)
		printf("{\"points\":%" PRIu64 "}\n", n);
	else
		printf("%s has its %" PRIu64 " points again\n", name, n);
	return session_end(&s, EXIT_DONE);
}
