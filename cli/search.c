/* quiver search: one query, by text, vector or point, and its hits. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/embed.h"
#include "cli/remote.h"
#include "cli/source.h"
#include "http/json.h"
#include "model/id.h"
#include "model/payload.h"

struct options {
	COMMON_MEMBERS
	const char *text, *vector, *vector_file, *id, *filter, *filter_file, *vector_name;
	const char *embed, *embed_model, *embed_key_env, *dataset;
	uint64_t row, limit, offset, ef, nprobe, width;
	bool exact, payload;
};

static const struct config_row rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_STR(struct options, text, NULL, "TEXT", "search for what this text is about"),
	CONFIG_STR(struct options, vector, NULL, "JSON", "search for this vector: [0.1, 0.2, ..]"),
	CONFIG_STR(struct options, vector_file, NULL, "FILE",
		   "search for a vector in a file: .fvecs .bvecs .npy .hdf5, or JSON; - for stdin"),
	CONFIG_U64(struct options, row, "0", 0, 4e9, "N", "which row of that file, from 0"),
	CONFIG_STR(struct options, dataset, "test", "NAME", "hdf5: data set of that file"),
	CONFIG_STR(struct options, id, NULL, "ID", "search for what is like this point"),
	CONFIG_U64(struct options, limit, "5", 1, 10000, "N", "how many hits"),
	CONFIG_U64(struct options, offset, "0", 0, 10000, "N", "leave out the first hits"),
	CONFIG_STR(struct options, filter, NULL, "JSON", "only points that match"),
	CONFIG_STR(struct options, filter_file, NULL, "FILE",
		   "the filter from a file, - for stdin"),
	CONFIG_U64(struct options, ef, "0", 0, 10000, "N",
		   "hnsw: candidates held during the search"),
	CONFIG_U64(struct options, nprobe, "0", 0, 1000000, "N", "ivf: lists to visit"),
	CONFIG_BOOL(struct options, exact, "false", "compare with every vector"),
	CONFIG_BOOL(struct options, payload, "false", "print whole payloads"),
	CONFIG_U64(struct options, width, "0", 0, 10000, "N",
		   "columns of the output (default: those of the terminal, else 100)"),
	CONFIG_STR(struct options, embed, NULL, "URL", "server that makes the vector of --text"),
	CONFIG_STR(struct options, embed_model, NULL, "NAME", "model that it shall use"),
	CONFIG_STR(struct options, embed_key_env, "QUIVER_EMBED_KEY", "VARIABLE",
		   "environment variable with the key for it"),
	CONFIG_STR(struct options, vector_name, NULL, "NAME",
		   "name of the vector (default: unnamed)"),
};

static const struct command_line line = {
	.name = "search",
	.usage = "COLLECTION --text TEXT | --vector JSON | --vector-file FILE | --id ID",
	.about =
		"Finds the points nearest to a text, a vector or another point, and prints score, id,\n"
		"title and the place in the text that fits best. The score is the cosine or the dot\n"
		"product (larger is nearer) or the distance (smaller is nearer).",
	.examples = "  quiver search manuals --text \"how do I follow a growing log file\"\n"
		    "  quiver search manuals --text sockets --filter "
		    "'{\"must\":[{\"key\":\"path\",\"match\":{\"text\":\"man7\"}}]}'\n"
		    "  quiver search sift --vector-file sift.hdf5 --row 7 --limit 10 --ef 200\n"
		    "  quiver search books --id 42 --json\n",
	.rows = rows,
	.n_rows = N_ROWS(rows),
	.min_rest = 1,
	.max_rest = 1,
};

struct search {
	struct options o;
	const char *collection;
	struct arena *arena;
	struct client *client;
	struct buf query; /* JSON: a vector or an id */
	struct buf filter;
};

/* ---- the question ----------------------------------------------------------------------------- */

static int query_from_text(struct search *s, struct error *err)
{
	struct remote_collection info;
	struct embedder *e = NULL;
	float *vector = NULL;
	int rc = remote_get(s->client, s->collection, s->o.vector_name, &info, err);

	if (rc == 0 && !info.exists)
		rc = error_set(err, ERR_NOT_FOUND, "Collection `%s` doesn't exist", s->collection);
	if (rc == 0 && info.dim == 0)
		rc = error_set(err, ERR_INPUT,
			       "collection %s has no vector of that name; --vector-name says which",
			       s->collection);
	if (rc == 0 && !s->o.embed && strstr(info.embedder, "://"))
		rc = error_set(err, ERR_INPUT,
			       "the vectors of %s were made by %s: --embed must name that server",
			       s->collection, info.embedder);
	if (rc != 0)
		return rc;
	if (!s->o.embed && !info.embedder[0])
		fprintf(stderr,
			"note: it is not known what made the vectors of %s; the text is compared as if "
			"the built-in embedder had\n",
			s->collection);
	const struct embedder_options options = {
		.url = s->o.embed,
		.model = s->o.embed_model,
		.key = s->o.embed ? getenv(s->o.embed_key_env) : NULL,
		.dim = info.dim,
		.timeout_s = s->o.timeout,
	};
	rc = embedder_new(&e, &options, err);
	if (rc == 0) {
		vector = mem_array(info.dim, sizeof(float));
		rc = embedder_run(e, s->o.text, 1, info.dim, vector, err);
	}
	if (rc == 0)
		json_put_floats(&s->query, vector, info.dim);
	embedder_free(e);
	free(vector);
	return rc;
}

static int query_from_matrix(struct search *s, struct error *err)
{
	struct matrix m;
	int rc = matrix_read(&m, s->o.vector_file, s->o.dataset, s->o.row + 1, err);

	if (rc != 0)
		return rc;
	if (s->o.row >= m.n)
		rc = error_set(err, ERR_INPUT,
			       "%s has only %u rows, --row %" PRIu64 " is not there",
			       s->o.vector_file, m.n, s->o.row);
	else if (m.floats == NULL)
		rc = error_set(err, ERR_INPUT, "%s holds whole numbers, no vectors",
			       s->o.vector_file);
	else
		json_put_floats(&s->query, m.floats + s->o.row * m.dim, m.dim);
	matrix_free(&m);
	return rc;
}

static int query_from_json(struct search *s, const char *text, size_t n, struct error *err)
{
	struct error why = {.text = "this is another value"};
	const struct json *v;
	int rc = json_parse((const uint8_t *)text, n, s->arena, &v, &why);

	if (rc != 0 || json_type(v) != JSON_FLOATS)
		return error_set(err, ERR_INPUT, "a vector is a list of numbers, as [0.1, 0.2]: %s",
				 why.text);
	buf_put(&s->query, text, n);
	return 0;
}

static int make_query(struct search *s, struct error *err)
{
	const char *path = s->o.vector_file;
	struct point_id id;
	int rc;

	if (s->o.text)
		return query_from_text(s, err);
	if (s->o.vector)
		return query_from_json(s, s->o.vector, strlen(s->o.vector), err);
	if (s->o.id) {
		char text[ID_TEXT_BYTES];

		rc = id_parse_text(s->o.id, strlen(s->o.id), &id, err);
		if (rc != 0)
			return rc;
		id_format(&id, text);
		buf_printf(&s->query, id.kind == ID_INT ? "%s" : "\"%s\"", text);
		return 0;
	}
	if (source_is_hdf5(path) || source_name_ends(path, ".npy") ||
	    source_name_ends(path, ".fvecs") || source_name_ends(path, ".bvecs"))
		return query_from_matrix(s, err);
	struct buf text = BUF_INIT;
	rc = command_read_file(path, 4 << 20, &text, err);
	if (rc == 0)
		rc = query_from_json(s, (const char *)text.data, text.len, err);
	buf_fini(&text);
	return rc;
}

static void put_body(struct search *s, struct buf *b)
{
	const struct options *o = &s->o;
	bool first = true;

	json_put_literal(b, "{\"query\":");
	buf_put(b, s->query.data, s->query.len);
	buf_printf(b, ",\"limit\":%" PRIu64 ",\"with_payload\":true", o->limit);
	if (o->offset)
		buf_printf(b, ",\"offset\":%" PRIu64, o->offset);
	if (o->vector_name) {
		json_put_literal(b, ",\"using\":");
		json_put_string(b, o->vector_name, strlen(o->vector_name));
	}
	if (s->filter.len) {
		json_put_literal(b, ",\"filter\":");
		buf_put(b, s->filter.data, s->filter.len);
	}
	if (o->ef || o->nprobe || o->exact) {
		json_put_literal(b, ",\"params\":{");
		if (o->ef)
			buf_printf(b, "\"hnsw_ef\":%" PRIu64, o->ef);
		first = !o->ef;
		if (o->nprobe)
			buf_printf(b, "%s\"nprobe\":%" PRIu64, first ? "" : ",", o->nprobe);
		first = first && !o->nprobe;
		if (o->exact)
			buf_printf(b, "%s\"exact\":true", first ? "" : ",");
		buf_put_u8(b, '}');
	}
	buf_put_u8(b, '}');
}

/* ---- the answer ------------------------------------------------------------------------------- */

static size_t columns(const struct options *o)
{
	struct winsize size;

	if (o->width)
		return o->width;
	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 30)
		return size.ws_col;
	return 100;
}

static const char *payload_text(const struct json *payload, const char *key)
{
	const struct json *v = client_get(payload, key);

	return v && json_type(v) == JSON_STRING ? json_string(v, NULL) : NULL;
}

/* Does a word of the question begin here? */
static bool matches(const char *at, const char *question)
{
	while (*question) {
		size_t n = strcspn(question, " \t\n.,;:?!\"'()");

		/* Four letters are enough to tell a word, and cut its ending off. */
		if (n >= 4 && strncasecmp(at, question, n > 5 ? n - 1 : n) == 0)
			return true;
		question += n;
		question += *question != 0;
	}
	return false;
}

/* Where the window of `width` bytes begins that holds the most words of the question. */
static size_t best_window(const char *text, size_t n, size_t width, const char *question)
{
	size_t best = 0, best_hits = 0;

	if (question == NULL || n <= width)
		return 0;
	for (size_t from = 0; from < n; from++) {
		size_t hits = 0;

		if (from > 0 && text[from - 1] != ' ' && text[from - 1] != '\n')
			continue;
		for (size_t i = from; i < n && i < from + width; i++) {
			if (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\n')
				hits += matches(text + i, question);
		}
		if (hits > best_hits) {
			best_hits = hits;
			best = from;
		}
	}
	return best;
}

/* Two lines of the text, indented, white space folded. */
static void print_snippet(const char *text, const char *question, size_t width)
{
	size_t n = strlen(text), room = 2 * (width - 4), from, i;
	bool blank = true;

	from = best_window(text, n, room, question);
	for (int row = 0; row < 2 && from < n; row++) {
		size_t end = from, stop;

		while (end < n && (text[end] == ' ' || text[end] == '\n'))
			end++;
		from = end;
		end = from + (width - 4) < n ? from + (width - 4) : n;
		for (stop = end; stop < n && stop > from && text[stop] != ' ' && text[stop] != '\n';
		     stop--)
			;
		if (stop == from)
			stop = end;
		while (stop < n && ((unsigned char)text[stop] & 0xC0) == 0x80)
			stop++;
		printf("    ");
		for (i = from; i < stop; i++) {
			unsigned char c = (unsigned char)text[i];
			bool is_blank = c <= 32 ||
					c == 127; /* no control characters to the terminal */

			if (!is_blank)
				putchar(c);
			else if (!blank)
				putchar(' ');
			blank = is_blank;
		}
		putchar('\n');
		from = stop;
	}
}

static void print_id(const struct json *id)
{
	if (id && json_type(id) == JSON_STRING)
		printf("%s", json_string(id, NULL));
	else if (id)
		printf("%" PRIu64, json_uint(id));
}

static void print_hit(const struct search *s, size_t number, const struct json *hit)
{
	const struct json *payload = client_get(hit, "payload"), *score = client_get(hit, "score");
	const char *title = payload_text(payload, "title"), *text = payload_text(payload, "text");
	const char *path = payload_text(payload, "path"),
		   *section = payload_text(payload, "section");
	size_t width = columns(&s->o);

	printf("%2zu. %.4f  %s\n", number, score ? json_double(score) : 0.0, title ? title : "");
	printf("    id ");
	print_id(client_get(hit, "id"));
	if (path)
		printf("  %s", path);
	if (section)
		printf("  [%s]", section);
	printf("\n");
	if (text && !s->o.payload)
		print_snippet(text, s->o.text, width);
	if (payload && json_count(payload) > 0 && (s->o.payload || !text)) {
		struct buf b = BUF_INIT;

		json_put_value(&b, payload);
		size_t n = s->o.payload || b.len < 2 * width ? b.len : 2 * width;
		printf("    %.*s%s\n", (int)n, (const char *)b.data, n < b.len ? "..." : "");
		buf_fini(&b);
	}
}

static void print_hits(const struct search *s, const struct json *points, double seconds)
{
	const struct json *time = client_get(client_root(s->client), "time");
	struct json_iter it = json_iterate(points);
	size_t n = 0;

	if (s->o.json) {
		struct buf b = BUF_INIT;

		json_put_literal(&b, "{\"hits\":");
		json_put_value(&b, points);
		buf_printf(&b, ",\"seconds\":%.6f,\"server_seconds\":%.6f}\n", seconds,
			   time ? json_double(time) : 0.0);
		fwrite(b.data, 1, b.len, stdout);
		buf_fini(&b);
		return;
	}
	while (json_next(&it))
		print_hit(s, ++n + s->o.offset, it.value);
	if (n == 0)
		printf("nothing was found\n");
	printf("%zu hit%s in %.1f ms (server: %.1f ms)\n", n, n == 1 ? "" : "s", seconds * 1e3,
	       (time ? json_double(time) : 0.0) * 1e3);
}

static int run(struct search *s, struct error *err)
{
	struct client_request request = {.method = "POST",
					 .path = client_collection_path(s->arena, s->collection,
									"/points/query")};
	const struct json *result, *points;
	struct buf body = BUF_INIT;
	int rc = client_new(&s->client, s->o.url, s->o.api_key, s->o.timeout, err);

	if (rc == 0 && s->o.filter_file)
		rc = command_read_file(s->o.filter_file, 32 << 20, &s->filter, err);
	else if (rc == 0 && s->o.filter)
		buf_put(&s->filter, s->o.filter, strlen(s->o.filter));
	if (rc == 0 && s->filter.len > 0)
		rc = remote_check_filter((const char *)s->filter.data, s->filter.len, err);
	if (rc == 0)
		rc = make_query(s, err);
	if (rc != 0)
		return rc;
	put_body(s, &body);
	request.body = body.data;
	request.body_n = body.len;
	uint64_t start = clock_monotonic_us();
	rc = client_call(s->client, &request, &result, err);
	double seconds = (double)(clock_monotonic_us() - start) * 1e-6;
	points = rc == 0 ? client_get(result, "points") : NULL;
	if (rc == 0 && points == NULL)
		rc = error_set(err, ERR_FORMAT, "%s answered without points",
			       client_url(s->client));
	if (rc == 0)
		print_hits(s, points, seconds);
	buf_fini(&body);
	return rc;
}

int command_search(int argc, char **argv)
{
	struct search s = {.arena = arena_new(4096)};
	struct error err = {0};
	struct command_args args = {.argc = argc, .argv = argv};
	int code = command_parse(&line, &args, &s.o, s.arena);

	if (code < 0) {
		int given = !!s.o.text + !!s.o.vector + !!s.o.vector_file + !!s.o.id;

		if (given != 1)
			code = command_misused(line.name,
					       "one of --text, --vector, --vector-file and --id is "
					       "needed%s",
					       given > 1 ? ", only one" : "");
		else if (s.o.text && s.o.text[strspn(s.o.text, " \t\n")] == 0)
			code = command_misused(line.name, "--text is empty");
	}
	if (code < 0) {
		s.collection = args.rest[0];
		int rc = run(&s, &err);
		code = rc == 0 ? EXIT_DONE : command_fail(line.name, s.o.json, rc, &err);
	}
	client_free(s.client);
	buf_fini(&s.query);
	buf_fini(&s.filter);
	arena_free(s.arena);
	return code;
}
