/* quiver ingest: opens the source, makes the collection when it is missing, loads, and then proves with
 * counts of the server that everything that was read can be found. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/load.h"
#include "cli/remote.h"
#include "cli/source.h"
#include "http/json.h"

struct options {
	COMMON_MEMBERS
	bool text, partial, quiet, wait, fresh;
	const char *embed, *embed_model, *embed_key_env;
	const char *id_field, *vector_field, *payload_field, *text_field, *dataset;
	const char *exclude, *extensions, *body;
	const char *distance, *index, *quantizer, *vector_name;
	uint64_t id_offset, limit, batch, connections, retry, embed_batch;
	uint64_t dim, m, ef_construct, nlist, nprobe, shards, replicas;
};

static const struct config_row rows[] = {
	COMMON_ROWS(struct options),
	CONFIG_BOOL(struct options, text, "false", "the arguments are folders and files of text"),
	CONFIG_U64(struct options, id_offset, "0", 0, 9.2e18, "N", "the id of the first row"),
	CONFIG_U64(struct options, limit, "0", 0, 9.2e18, "N", "load at most so many; 0 = all"),
	CONFIG_BOOL(struct options, partial, "false",
		    "of a file that ends in mid-record, load the whole records"),
	CONFIG_U64(struct options, batch, "1000", 1, 10000, "N", "points in one request"),
	CONFIG_U64(struct options, connections, "4", 1, 64, "N", "requests in flight"),
	CONFIG_STR(struct options, body, "binary", "FORM", "form of the requests: binary or json"),
	CONFIG_U64(struct options, retry, "60", 0, 86400, "SECONDS",
		   "go on trying so long while the server is busy, full or away"),
	CONFIG_BOOL(struct options, wait, "false", "wait until all indexes are built"),
	CONFIG_BOOL(struct options, fresh, "false", "do not go on with a load that was killed"),
	CONFIG_BOOL(struct options, quiet, "false", "no progress"),
	CONFIG_STR(struct options, dataset, "train", "NAME", "hdf5: the data set with the points"),
	CONFIG_STR(struct options, id_field, "id", "NAME", "jsonl: field of the id"),
	CONFIG_STR(struct options, vector_field, "vector", "NAME", "jsonl: field of the vector"),
	CONFIG_STR(struct options, payload_field, "payload", "NAME",
		   "jsonl: field of the payload; without it all other fields are the payload"),
	CONFIG_STR(struct options, text_field, NULL, "NAME",
		   "jsonl: make the vector from the text of this field"),
	CONFIG_STR(struct options, exclude, NULL, "PATTERNS",
		   "text: leave out paths that match, as in '*/copyright,*.de.html'"),
	CONFIG_STR(struct options, extensions, NULL, "LIST",
		   "text: only files that end so, as in 'md,txt'"),
	CONFIG_STR(struct options, embed, NULL, "URL",
		   "make vectors with this server (OpenAI's /v1/embeddings) instead of built-in"),
	CONFIG_STR(struct options, embed_model, NULL, "NAME", "model that the server shall use"),
	CONFIG_STR(struct options, embed_key_env, "QUIVER_EMBED_KEY", "VARIABLE",
		   "environment variable with the key for that server"),
	CONFIG_U64(struct options, embed_batch, "64", 1, 2048, "N", "texts in one request to it"),
	CONFIG_U64(struct options, dim, "0", 0, 65536, "N",
		   "built-in embedder: values of a vector (default 768)"),
	CONFIG_STR(
		struct options, distance, NULL, "NAME",
		"new collection: Cosine, Dot, Euclid, Manhattan (default: what the file says, else "
		"Cosine)"),
	CONFIG_STR(struct options, index, NULL, "KIND", "new collection: hnsw, ivf or flat"),
	CONFIG_STR(struct options, quantizer, NULL, "KIND", "new collection: none, sq8 or pq"),
	CONFIG_U64(struct options, m, "0", 0, 1024, "N", "new collection, hnsw: links of a point"),
	CONFIG_U64(struct options, ef_construct, "0", 0, 10000, "N",
		   "new collection, hnsw: effort of the build"),
	CONFIG_U64(struct options, nlist, "0", 0, 1000000, "N", "new collection, ivf: lists"),
	CONFIG_U64(struct options, nprobe, "0", 0, 1000000, "N",
		   "new collection, ivf: lists that a search visits"),
	CONFIG_U64(struct options, shards, "0", 0, 256, "N", "new collection: partitions"),
	CONFIG_U64(struct options, replicas, "0", 0, 8, "N", "new collection: copies of each"),
	CONFIG_STR(struct options, vector_name, NULL, "NAME",
		   "name of the vector (default: unnamed)"),
};

static const struct command_line line = {
	.name = "ingest",
	.usage = "COLLECTION FILE... | COLLECTION - | COLLECTION --text DIR...",
	.about =
		"Loads files of vectors or folders of text into a collection, which is created when it\n"
		"is missing. Kinds of files, by their names:\n"
		"  .fvecs .bvecs   vectors of float32 or bytes\n"
		"  .npy            float32, float64, uint8, ... of two dimensions, C order\n"
		"  .hdf5           ann-benchmarks: the data set `train`, the attribute `distance`\n"
		"  .jsonl          lines like {\"id\":1,\"vector\":[..],\"payload\":{..}}\n"
		"  -               such lines from standard input\n"
		"--text reads plain text, Markdown, HTML and manual pages, also compressed with gzip,\n"
		"splits them into passages of 120 to 200 words and makes a vector of each, with the\n"
		"built-in hashed n-gram embedder or with --embed. The payload has title, text, path,\n"
		"section and passage.\n\n"
		"Ids are row numbers from --id-offset on (counted through all files), or the ids in the\n"
		"file, or made from path and passage number: loading again overwrites. A load that was\n"
		"killed goes on where it was when the same command is given again. It ends with a tally:\n"
		"read = committed = searchable, or exit code 1.",
	.examples =
		"  quiver ingest sift sift-128-euclidean.hdf5 --m 32\n"
		"  quiver ingest photos embeddings.npy --distance Dot --id-offset 1000000\n"
		"  quiver ingest books books.jsonl --text-field description\n"
		"  quiver ingest books part-*.jsonl\n"
		"  zcat books.jsonl.gz | quiver ingest books -\n"
		"  quiver ingest manuals --text /usr/share/man/man1 /usr/share/doc\n"
		"  quiver ingest wiki --text wiki/ --embed http://127.0.0.1:8080 --embed-model e5\n",
	.rows = rows,
	.n_rows = N_ROWS(rows),
	.min_rest = 2,
	.max_rest = 100000,
};

static atomic_bool stop;

static void on_interrupt(int number)
{
	(void)number;
	atomic_store(&stop, true);
	signal(SIGINT, SIG_DFL); /* the second time it ends at once */
}

struct ingest {
	struct options o;
	struct arena *arena;
	struct client *client;
	struct source *source;
	struct load_state *state;
	const char *collection;
	const char *embedder; /* description, NULL when vectors are read */
	struct remote_collection before;
	bool created, noted; /* noted: the source's note was told */
	uint32_t dim;
	const char *distance;
	struct load_result result;
	uint64_t distinct, searchable;
};

static int check_options(const struct options *o)
{
	if (strcmp(o->body, "binary") != 0 && strcmp(o->body, "json") != 0)
		return command_misused(line.name, "--body is binary or json, not `%s`", o->body);
	if (o->distance && !remote_distance(o->distance))
		return command_misused(line.name,
				       "`%s` is no distance: Cosine, Dot, Euclid or Manhattan",
				       o->distance);
	if (o->embed && !o->text && !o->text_field)
		return command_misused(line.name, "--embed makes vectors of text: give --text, or "
						  "--text-field for JSON lines");
	return -1;
}

static int open_source(struct ingest *in, const char **paths, size_t n, struct error *err)
{
	const struct options *o = &in->o;
	const struct source_options options = {
		.id_offset = o->id_offset,
		.limit = o->limit,
		.partial = o->partial,
		.id_field = o->id_field,
		.vector_field = o->vector_field,
		.payload_field = o->payload_field,
		.text_field = o->text_field,
		.dataset = o->dataset,
		.exclude = o->exclude,
		.extensions = o->extensions,
	};
	return o->text ? source_open_text(&in->source, paths, n, &options, err)
		       : source_open_files(&in->source, paths, n, &options, err);
}

static struct embedder_options embedder_options(const struct ingest *in)
{
	return (struct embedder_options){
		.url = in->o.embed,
		.model = in->o.embed_model,
		.key = in->o.embed ? getenv(in->o.embed_key_env) : NULL,
		.dim = in->before.exists ? in->before.dim : (uint32_t)in->o.dim,
		.batch = (uint32_t)in->o.embed_batch,
		.timeout_s = in->o.timeout,
	};
}

/* The dimension of what will be sent. */
static int find_dim(struct ingest *in, struct error *err)
{
	const struct embedder_options options = embedder_options(in);
	struct embedder *e;
	int rc;

	if (!in->source->texts) {
		in->dim = in->source->dim;
		if (in->o.dim == 0 || in->o.dim == in->dim)
			return 0;
		return error_set(err, ERR_INPUT,
				 "%s has vectors of %u values, --dim says %" PRIu64
				 "; it is for the vectors that are made of texts",
				 in->source->name, in->dim, in->o.dim);
	}
	rc = embedder_new(&e, &options, err);
	if (rc != 0)
		return rc;
	rc = embedder_dim(e, &in->dim, err);
	in->embedder = options.url ? arena_printf(in->arena, "%s model %s", options.url,
						  options.model ? options.model : "default")
				   : "quiver hashed n-grams 1";
	embedder_free(e);
	return rc;
}

static int check_collection(struct ingest *in, struct error *err)
{
	if (in->before.dim == 0)
		return error_set(
			err, ERR_INPUT,
			"collection %s has no vector of that name; --vector-name says which",
			in->collection);
	if (in->before.dim != in->dim)
		return error_set(err, ERR_INPUT,
				 "collection %s has vectors of %u values, %s gives %u",
				 in->collection, in->before.dim,
				 in->embedder ? in->embedder : in->source->name, in->dim);
	if (in->embedder && in->before.embedder[0] &&
	    strcmp(in->embedder, in->before.embedder) != 0)
		return error_set(
			err, ERR_INPUT,
			"the vectors of collection %s were made by `%s`, not by `%s`: texts "
			"from both cannot be compared",
			in->collection, in->before.embedder, in->embedder);
	in->distance = arena_strdup(in->arena, in->before.distance);
	return 0;
}

static int make_collection(struct ingest *in, struct error *err)
{
	const struct options *o = &in->o;

	in->distance = o->distance            ? remote_distance(o->distance)
		       : in->source->distance ? in->source->distance
					      : "Cosine";
	const struct remote_spec spec = {
		.name = in->collection,
		.vector_name = o->vector_name,
		.distance = in->distance,
		.dim = in->dim,
		.index = o->index,
		.quantizer = o->quantizer,
		.m = o->m,
		.ef_construct = o->ef_construct,
		.nlist = o->nlist,
		.nprobe = o->nprobe,
		.shards = o->shards,
		.replicas = o->replicas,
		.embedder = in->embedder,
	};
	in->created = true;
	return remote_create(in->client, &spec, err);
}

/* The state of an earlier run counts only while the collection can still hold what it committed. What comes
 * through standard input has none: nobody knows whether it is the same. */
static int open_state(struct ingest *in, struct error *err)
{
	char *path, *key;
	int rc;

	if (in->source->once)
		return 0;
	path = realpath(in->source->name, NULL);
	key = arena_printf(in->arena, "%s|%s|%s|%s|%u|%s", client_url(in->client), in->collection,
			   in->o.vector_name ? in->o.vector_name : "",
			   path ? path : in->source->name, in->dim,
			   in->embedder ? in->embedder : "");
	free(path);
	rc = state_open(&in->state, key, err);
	if (rc != 0)
		return rc;
	if (state_batches(in->state) == 0 || in->o.fresh || in->created || in->before.points == 0)
		return state_reset(in->state, err);
	fprintf(stderr, "going on with a load that was not finished\n");
	return 0;
}

static void tell_note(struct ingest *in)
{
	if (in->source->note && !in->noted)
		fprintf(stderr, "note: %s\n", in->source->note);
	in->noted = in->source->note != NULL;
}

static int prepare(struct ingest *in, const char **paths, size_t n, struct error *err)
{
	int rc = open_source(in, paths, n, err);

	if (rc == 0)
		rc = client_new(&in->client, in->o.url, in->o.api_key, in->o.timeout, err);
	if (rc == 0)
		rc = remote_get(in->client, in->collection, in->o.vector_name, &in->before, err);
	if (rc == 0)
		rc = find_dim(in, err);
	if (rc == 0)
		rc = in->before.exists ? check_collection(in, err) : make_collection(in, err);
	if (rc == 0)
		rc = open_state(in, err);
	if (rc == 0 && !in->o.json)
		fprintf(stderr, "%s %s (%u-d, %s) from %s\n",
			in->created ? "loading the new collection" : "loading into", in->collection,
			in->dim, in->distance, in->source->name);
	if (rc == 0)
		tell_note(in);
	return rc;
}

static int load(struct ingest *in, struct error *err)
{
	const struct load_options options = {
		.url = in->o.url,
		.api_key = in->o.api_key,
		.collection = in->collection,
		.vector_name = in->o.vector_name,
		.timeout_s = in->o.timeout,
		.retry_s = in->o.retry,
		.batch = (uint32_t)in->o.batch,
		.connections = (uint32_t)in->o.connections,
		.dim = in->dim,
		.json_body = strcmp(in->o.body, "json") == 0,
		.quiet = in->o.quiet,
		.embedder = embedder_options(in),
		.run = in->state ? state_run(in->state) : state_run_new(),
	};
	int rc = load_run(in->source, in->state, &options, &stop, &in->result, err);

	tell_note(in); /* of standard input: only its end tells */
	return rc;
}

/* How many of the ids that were read the server can find. In a collection that was empty its size tells;
 * else it is asked about every id. */
static int count_searchable(struct ingest *in, struct error *err)
{
	struct buf filter = BUF_INIT;
	uint64_t at = 0, found;
	int rc = 0;

	in->distinct = ids_distinct(&in->result.ids);
	if ((in->created || in->before.points == 0) && in->result.resumed == 0)
		return remote_count(in->client, in->collection, NULL, &in->searchable, err);
	while (rc == 0 && ids_filter(&in->result.ids, &at, 10000, &filter) > 0) {
		rc = remote_count(in->client, in->collection, (const char *)filter.data, &found,
				  err);
		in->searchable += rc == 0 ? found : 0;
	}
	buf_fini(&filter);
	return rc;
}

static bool adds_up(const struct ingest *in)
{
	return in->result.read == in->result.committed && in->searchable == in->distinct;
}

static void print_tally(const struct ingest *in)
{
	const struct load_result *r = &in->result;
	uint64_t sent = r->committed - r->resumed, repeated = r->ids.added - in->distinct;
	double rate = r->seconds > 0 ? (double)sent / r->seconds : 0;
	char a[32], b[32], c[32];

	if (in->o.json) {
		printf("{\"collection\":");
		struct buf name = BUF_INIT;
		json_put_string(&name, in->collection, strlen(in->collection));
		printf("%.*s,\"read\":%" PRIu64 ",\"committed\":%" PRIu64
		       ",\"searchable\":%" PRIu64,
		       (int)name.len, (const char *)name.data, r->read, r->committed,
		       in->searchable);
		printf(",\"repeated_ids\":%" PRIu64 ",\"committed_before\":%" PRIu64
		       ",\"retries\":%" PRIu64 ",\"skipped_files\":%" PRIu64,
		       repeated, r->resumed, r->retries, in->source->skipped);
		printf(",\"seconds\":%.3f,\"points_per_second\":%.1f,\"ok\":%s}\n", r->seconds,
		       rate, adds_up(in) ? "true" : "false");
		buf_fini(&name);
		return;
	}
	printf("read %s = committed %s = searchable %s", command_number(r->read, a),
	       command_number(r->committed, b), command_number(in->searchable + repeated, c));
	printf("  (%.1f s, %s points/s)\n", r->seconds, command_number((uint64_t)rate, a));
	if (r->resumed > 0)
		printf("  of them %s were committed by the run before\n",
		       command_number(r->resumed, a));
	if (repeated > 0)
		printf("  %s ids came more than once; the last one counts, so there are %s points\n",
		       command_number(repeated, a), command_number(in->distinct, b));
	if (in->source->skipped > 0)
		printf("  %s files were left out: no text, too short, or of another kind\n",
		       command_number(in->source->skipped, a));
}

static int finish(struct ingest *in, struct error *err)
{
	int rc = 0;

	if (in->o.wait)
		rc = remote_wait_green(in->client, in->collection, 86400, &stop, err);
	if (rc == 0)
		rc = count_searchable(in, err);
	if (rc != 0)
		return rc;
	if (adds_up(in)) {
		if (in->state)
			state_remove(in->state);
		print_tally(in);
		return 0;
	}
	if (in->state)
		state_reset(in->state, NULL); /* what it says is not true */
	return error_set(
		err, ERR_CORRUPT,
		"THE TALLY DOES NOT ADD UP: read %" PRIu64 ", committed %" PRIu64
		", but of %" PRIu64 " ids %" PRIu64
		" are searchable. Has somebody else written to `%s` meanwhile? Give the command "
		"again; it loads everything anew",
		in->result.read, in->result.committed, in->distinct, in->searchable,
		in->collection);
}

static int run(struct ingest *in, const char **rest, size_t n_rest)
{
	struct error err = {0};
	int rc = prepare(in, rest + 1, n_rest - 1, &err);

	if (rc == 0)
		rc = load(in, &err);
	if (rc == 0 && !in->result.stopped)
		rc = finish(in, &err);
	if (rc == 0 && in->result.stopped) {
		fprintf(stderr, "stopped: %" PRIu64 " points are committed; the same command %s\n",
			in->result.committed, in->state ? "goes on from there" : "begins anew");
		return EXIT_STOPPED;
	}
	return rc == 0 ? EXIT_DONE : command_fail(line.name, in->o.json, rc, &err);
}

int command_ingest(int argc, char **argv)
{
	static struct ingest in;
	struct command_args args = {.argc = argc, .argv = argv};

	in.arena = arena_new(4096);
	int code = command_parse(&line, &args, &in.o, in.arena);
	if (code < 0)
		code = check_options(&in.o);
	if (code < 0) {
		signal(SIGINT, on_interrupt);
		signal(SIGTERM, on_interrupt);
		in.collection = args.rest[0];
		code = run(&in, args.rest, args.n_rest);
	}
	state_close(in.state);
	source_close(in.source);
	client_free(in.client);
	ids_fini(&in.result.ids);
	arena_free(in.arena);
	return code;
}
