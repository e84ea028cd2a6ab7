#include "cli/embed.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "cli/client.h"
#include "http/json.h"

/* ---- built-in --------------------------------------------------------------------------------- */

enum { WORD_BYTES = 64, TABLE_FEATURES = 8192 };

/* What a feature is worth: tuned on two dozen questions to the manual pages of a Debian machine. */
static const float word_weight = 1.0f, pair_weight = 0.5f, part_weight = 0.3f, stop_weight = 0.04f;
static const float common_factor = 0.5f, title_factor = 2.0f;

/* Features counted by their hash; open addressing. */
struct counted {
	uint64_t hash;
	float weight;
	uint32_t count;
};

struct bag {
	struct counted *table;
	uint32_t room, used; /* room is a power of two */
};

static void bag_grow(struct bag *b);

static void bag_add(struct bag *b, uint64_t hash, float weight)
{
	uint32_t at = (uint32_t)hash & (b->room - 1);

	while (b->table[at].count > 0 && b->table[at].hash != hash)
		at = (at + 1) & (b->room - 1);
	b->table[at].hash = hash;
	if (weight > b->table[at].weight) /* the title counts more, wherever the word is */
		b->table[at].weight = weight;
	if (b->table[at].count++ > 0)
		return;
	if (++b->used * 2 > b->room)
		bag_grow(b);
}

static void bag_grow(struct bag *b)
{
	struct bag bigger = {mem_array((size_t)b->room * 2, sizeof(*b->table)), b->room * 2,
			     b->used};

	for (uint32_t i = 0; i < b->room; i++) {
		uint32_t at = (uint32_t)b->table[i].hash & (bigger.room - 1);

		if (b->table[i].count == 0)
			continue;
		while (bigger.table[at].count > 0)
			at = (at + 1) & (bigger.room - 1);
		bigger.table[at] = b->table[i];
	}
	free(b->table);
	*b = bigger;
}

/* Sorted, for bsearch(). */
static const char *const stop_words[] = {
	"a",     "about", "above",  "after", "again", "all",  "also",  "am",   "an",   "and",
	"any",   "are",   "as",     "at",    "be",    "been", "but",   "by",   "can",  "cannot",
	"could", "did",   "do",     "does",  "each",  "for",  "from",  "get",  "had",  "has",
	"have",  "he",    "here",   "how",   "i",     "if",   "in",    "into", "is",   "it",
	"its",   "just",  "may",    "me",    "might", "more", "most",  "must", "my",   "no",
	"not",   "of",    "on",     "one",   "only",  "or",   "other", "our",  "out",  "see",
	"shall", "she",   "should", "so",    "some",  "such", "than",  "that", "the",  "their",
	"them",  "then",  "there",  "these", "they",  "this", "those", "to",   "too",  "up",
	"us",    "use",   "used",   "using", "very",  "was",  "we",    "were", "what", "when",
	"where", "which", "who",    "why",   "will",  "with", "would", "you",  "your"};

/* Words, with their endings off, that half of all technical texts have; sorted. */
static const char *const common_words[] = {
	"access",   "add",       "address",       "allow",     "argument", "available",
	"base",     "call",      "change",        "character", "check",    "code",
	"command",  "config",    "configuration", "contain",   "content",  "control",
	"create",   "current",   "data",          "default",   "defin",    "descript",
	"detail",   "device",    "differ",        "directory", "display",  "enabl",
	"end",      "entry",     "environment",   "error",     "exampl",   "exist",
	"file",     "first",     "flag",          "follow",    "form",     "format",
	"function", "given",     "group",         "help",      "include",  "information",
	"input",    "last",      "line",          "list",      "local",    "manual",
	"mean",     "mode",      "name",          "need",      "new",      "note",
	"null",     "number",    "object",        "option",    "order",    "output",
	"page",     "parameter", "path",          "pattern",   "point",    "print",
	"process",  "program",   "provid",        "read",      "remov",    "request",
	"requir",   "result",    "return",        "run",       "same",     "section",
	"select",   "set",       "shell",         "show",      "size",     "specif",
	"standard", "start",     "state",         "stdin",     "stdout",   "string",
	"support",  "system",    "tag",           "text",      "time",     "type",
	"user",     "valu",      "variabl",       "version",   "want",     "way",
	"work",     "writ"};

static int compare_words(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

#define IS_IN(word, list)                                                                          \
	(bsearch(word, list, sizeof(list) / sizeof((list)[0]), sizeof((list)[0]),                  \
		 compare_words) != NULL)

/* Takes the commonest endings off, so that file and files, copy and copied meet. */
static size_t stem(char *word, size_t n)
{
	if (n > 4 && memcmp(word + n - 3, "ies", 3) == 0) {
		word[n - 3] = 'y';
		n -= 2;
	} else if (n > 5 && memcmp(word + n - 3, "ing", 3) == 0) {
		n -= 3;
	} else if (n > 4 && memcmp(word + n - 3, "ied", 3) == 0) {
		word[n - 3] = 'y';
		n -= 2;
	} else if (n > 4 && memcmp(word + n - 2, "ed", 2) == 0) {
		n -= 2;
	} else if (n > 3 && word[n - 1] == 's' && word[n - 2] != 's' && word[n - 2] != 'u') {
		n--;
	}
	if (n > 3 && word[n - 1] == 'e')
		n--;
	if (n > 3 && word[n - 1] == word[n - 2] && strchr("bdgklmnprt", word[n - 1]))
		n--;
	word[n] = 0;
	return n;
}

/* Rare words are long more often than short: a poor man's inverse document frequency. */
static float length_weight(size_t n)
{
	static const float weights[] = {0.3f, 0.3f, 0.5f, 0.75f, 0.9f};

	return n < sizeof(weights) / sizeof(weights[0]) ? weights[n] : 1.0f;
}

struct words {
	struct bag bag;
	float factor;    /* of the line: that of the title, or 1 */
	uint64_t before; /* hash of the word before, 0 = none */
	float before_weight;
};

static void add_parts(struct words *w, const char *word, size_t n)
{
	char framed[WORD_BYTES + 4];

	framed[0] = '<';
	memcpy(framed + 1, word, n);
	framed[n + 1] = '>';
	n += 2;
	for (size_t length = 3; length <= 5 && length < n; length++) {
		for (size_t i = 0; i + length <= n; i++)
			bag_add(&w->bag, hash64_seed(framed + i, length, 3),
				w->factor * part_weight / sqrtf((float)(n - length + 1)));
	}
}

static void add_word(struct words *w, char *word, size_t n)
{
	float weight;
	uint64_t hash;

	word[n] = 0;
	if (IS_IN(word, stop_words)) {
		bag_add(&w->bag, hash64_seed(word, n, 1), stop_weight * w->factor);
		return;
	}
	n = stem(word, n);
	weight = length_weight(n) * w->factor * (IS_IN(word, common_words) ? common_factor : 1);
	hash = hash64_seed(word, n, 1);
	bag_add(&w->bag, hash, word_weight * weight);
	if (w->before)
		bag_add(&w->bag, hash64_seed(&hash, sizeof(hash), w->before),
			pair_weight * (weight + w->before_weight) / 2);
	if (n > 2)
		add_parts(w, word, n);
	w->before = hash;
	w->before_weight = weight;
}

static void read_words(struct words *w, const char *text, size_t n)
{
	const char *line_end = memchr(text, '\n', n);
	size_t title = line_end ? (size_t)(line_end - text) : 0, length = 0;
	char word[WORD_BYTES + 1];

	for (size_t i = 0; i <= n; i++) {
		w->factor = i <= title && title > 0 ? title_factor : 1;
		unsigned char c = i < n ? (unsigned char)text[i] : ' ';

		if (isalnum(c) || c >= 0x80 || c == '_') {
			if (length < WORD_BYTES)
				word[length++] = (char)tolower(c);
			continue;
		}
		if (length > 0)
			add_word(w, word, length);
		length = 0;
		if (c == '.' || c == '\n')
			w->before = 0; /* no pairs across sentences */
	}
}

/* The place and the sign come from other bits than the table's slot. */
static void add_feature(const struct counted *c, uint32_t dim, float *out)
{
	uint64_t place = ((c->hash >> 32) * dim) >> 32;
	float weight = c->weight * (1.0f + logf((float)c->count));

	out[place] += (c->hash >> 31 & 1) ? weight : -weight;
}

static int compare_counted(const void *a, const void *b)
{
	uint64_t x = ((const struct counted *)a)->hash, y = ((const struct counted *)b)->hash;

	return (x > y) - (x < y);
}

void embed_builtin(const char *text, size_t n, uint32_t dim, float *out)
{
	struct words w = {
		.bag = {mem_array(TABLE_FEATURES, sizeof(struct counted)), TABLE_FEATURES, 0}};
	double sum = 0;
	size_t used = 0;

	assert(dim > 0);
	read_words(&w, text, n);
	memset(out, 0, (size_t)dim * sizeof(float));
	/* In the order of the hashes: sums of floats depend on it, and the table's size must not. */
	for (uint32_t i = 0; i < w.bag.room; i++) {
		if (w.bag.table[i].count > 0)
			w.bag.table[used++] = w.bag.table[i];
	}
	qsort(w.bag.table, used, sizeof(*w.bag.table), compare_counted);
	for (size_t i = 0; i < used; i++)
		add_feature(&w.bag.table[i], dim, out);
	for (uint32_t i = 0; i < dim; i++)
		sum += (double)out[i] * out[i];
	for (uint32_t i = 0; i < dim && sum > 0; i++)
		out[i] = (float)(out[i] / sqrt(sum));
	free(w.bag.table);
}

/* ---- over the network ------------------------------------------------------------------------- */

struct embedder {
	struct client *client; /* NULL: built-in */
	char *url, *model;
	uint32_t dim, batch;
};

int embedder_new(struct embedder **out, const struct embedder_options *options, struct error *err)
{
	struct embedder *e = mem_zalloc(sizeof(*e));
	struct buf url = BUF_INIT;
	int rc;

	*out = NULL;
	e->batch = options->batch ? options->batch : 64;
	if (options->url == NULL) {
		e->dim = options->dim ? options->dim : EMBED_DIM;
		*out = e;
		return 0;
	}
	rc = client_new(&e->client, options->url, "", options->timeout_s, err);
	if (rc != 0) {
		free(e);
		return rc;
	}
	if (options->key)
		client_bearer(e->client, options->key);
	size_t n = strlen(client_url(e->client));
	const char *suffix = "/embeddings";
	bool whole = n > strlen(suffix) &&
		     strcmp(client_url(e->client) + n - strlen(suffix), suffix) == 0;
	buf_printf(&url, "%s%s", client_url(e->client), whole ? "" : "/v1/embeddings");
	buf_put_u8(&url, 0);
	e->url = (char *)url.data;
	e->model = mem_strdup(options->model ? options->model : "default");
	*out = e;
	return 0;
}

void embedder_free(struct embedder *e)
{
	if (e == NULL)
		return;
	client_free(e->client);
	free(e->url);
	free(e->model);
	free(e);
}

/* data[i].embedding into its place. */
static int take_embeddings(struct embedder *e, uint32_t n, float *out, struct error *err)
{
	const struct json *data = client_get(client_root(e->client), "data");
	struct arena *arena = arena_new(1 << 16);
	struct json_iter it;
	uint32_t seen = 0;
	int rc = 0;

	if (data == NULL || json_count(data) != n)
		rc = error_set(err, ERR_FORMAT, "%s answered with %zu embeddings for %u texts",
			       e->url, data ? json_count(data) : (size_t)0, n);
	it = json_iterate(data ? data : client_root(e->client));
	while (rc == 0 && json_next(&it)) {
		const struct json *index = client_get(it.value, "index");
		const struct json *vector = client_get(it.value, "embedding");
		uint64_t at = index && json_type(index) == JSON_INT ? json_uint(index) : seen;
		size_t length = 0;
		const float *values = vector ? json_floats(vector, arena, &length) : NULL;

		if (values == NULL || length == 0 || at >= n)
			rc = error_set(err, ERR_FORMAT, "%s answered without a vector for text %u",
				       e->url, seen);
		else if (e->dim == 0)
			e->dim = (uint32_t)length;
		if (rc == 0 && length != e->dim)
			rc = error_set(err, ERR_FORMAT,
				       "%s answered with vectors of %zu values, %u "
				       "are expected",
				       e->url, length, e->dim);
		if (rc == 0 && out)
			memcpy(out + at * e->dim, values, length * sizeof(float));
		seen++;
	}
	arena_free(arena);
	return rc;
}

static int ask(struct embedder *e, const char *texts, uint32_t n, float *out, struct error *err)
{
	const struct client_patience patience = {.patience_s = 60};
	struct client_request request = {.method = "POST", .path = e->url};
	struct buf body = BUF_INIT;
	int rc;

	json_put_literal(&body, "{\"model\":");
	json_put_string(&body, e->model, strlen(e->model));
	json_put_literal(&body, ",\"input\":[");
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_u8(&body, ',');
		json_put_string(&body, texts, strlen(texts));
		texts += strlen(texts) + 1;
	}
	json_put_literal(&body, "]}");
	request.body = body.data;
	request.body_n = body.len;
	rc = client_call_patiently(e->client, &request, &patience, NULL, err);
	if (rc == 0)
		rc = take_embeddings(e, n, out, err);
	buf_fini(&body);
	return rc != 0 ? error_wrap(err, rc, "embedding") : 0;
}

int embedder_dim(struct embedder *e, uint32_t *dim, struct error *err)
{
	int rc = e->dim == 0 ? ask(e, "dimension", 1, NULL, err) : 0;

	*dim = e->dim;
	return rc;
}

int embedder_run(struct embedder *e, const char *texts, uint32_t n, uint32_t dim, float *out,
		 struct error *err)
{
	for (uint32_t i = 0; i < n;) {
		uint32_t some = 1;

		if (e->client == NULL) {
			embed_builtin(texts, strlen(texts), dim, out + (size_t)i * dim);
		} else {
			some = n - i < e->batch ? n - i : e->batch;
			if (e->dim == 0)
				e->dim = dim; /* another answer is refused */
			if (e->dim != dim)
				return error_set(
					err, ERR_INPUT,
					"%s gives vectors of %u values, the collection has %u",
					e->url, e->dim, dim);
			int rc = ask(e, texts, some, out + (size_t)i * dim, err);
			if (rc != 0)
				return rc;
		}
		for (uint32_t j = 0; j < some; j++)
			texts += strlen(texts) + 1;
		i += some;
	}
	return 0;
}
