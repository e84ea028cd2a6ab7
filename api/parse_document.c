/* Texts that become vectors on the server: {text, model, options}. The one model that runs here is
 * qdrant/bm25, which makes sparse vectors. */
#include "api/parse.h"
#include "model/bm25.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const char model_name[] = "qdrant/bm25";

bool parse_is_inference(const struct json *v)
{
	static const char *const kinds[] = {"text", "image", "object"};

	if (v == NULL || json_type(v) != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct json *value = json_get(v, kinds[i]);
		const struct json *model = json_get(v, "model");

		/* A named vector may be called "text": only a model's name makes it a document. */
		if (value != NULL && !json_is_array_type(json_type(value)) &&
		    (model == NULL || json_type(model) == JSON_STRING) &&
		    (model != NULL || json_type(value) == JSON_STRING))
			return true;
	}
	return false;
}

static int parse_number(struct parse *p, const struct json *v, const char *key, double max,
			double *out)
{
	int rc = parse_double_field(p, v, key, out);

	if (rc == 0 && !(*out >= 0 && *out <= max))
		rc = error_set(p->err, ERR_VALIDATION,
			       "options.%s: value %g invalid, must be from 0 to %g", key, *out,
			       max);
	return rc;
}

/* The language stands for its stop words and its stemmer, where these are not given. */
static int parse_language_defaults(struct parse *p, const struct json *v, struct text_options *out)
{
	const struct json *language = json_get(v, "language");
	enum language l = LANGUAGE_ENGLISH;
	size_t n;

	out->stemmer = LANGUAGE_NONE;
	out->stop_languages = 0;
	if (language != NULL && json_type(language) != JSON_STRING)
		return parse_expected(p, "options.language", "a string", language);
	if (language != NULL) {
		const char *name = json_string(language, &n);

		if (strcmp(name, "none") == 0)
			return 0;
		if (language_parse(name, n, &l) != 0 || !language_has_stop_words(l))
			return error_set(p->err, ERR_UNSUPPORTED, "the language `%.100s` of %s",
					 name, model_name);
	}
	if (json_get(v, "stopwords") == NULL)
		out->stop_languages = 1u << l;
	if (json_get(v, "stemmer") == NULL)
		out->stemmer = l;
	return 0;
}

static int parse_options(struct parse *p, const struct json *v, struct bm25_options *out)
{
	static const char *const known[] = {"k",
					    "b",
					    "avg_len",
					    "tokenizer",
					    "language",
					    "lowercase",
					    "stopwords",
					    "stemmer",
					    "ascii_folding",
					    "min_token_len",
					    "max_token_len",
					    NULL};
	int rc = parse_object(p, "options", "options", v, known);

	if (rc == 0)
		rc = parse_number(p, v, "k", 1e6, &out->k);
	if (rc == 0)
		rc = parse_number(p, v, "b", 1, &out->b);
	if (rc == 0)
		rc = parse_number(p, v, "avg_len", 1e9, &out->avg_len);
	if (rc == 0 && out->avg_len < 1e-6)
		rc = error_set(p->err, ERR_VALIDATION,
			       "options.avg_len: value %g invalid, must be over 0", out->avg_len);
	if (rc == 0)
		rc = parse_language_defaults(p, v, &out->text);
	return rc != 0 ? rc : parse_text_options(p, v, &out->text);
}

static int refuse_model(struct parse *p, const char *model, size_t n)
{
	return error_set(p->err, ERR_UNSUPPORTED,
			 "inference on the server with the model `%.*s` (only %s, for texts)",
			 (int)(n < 100 ? n : 100), model, model_name);
}

int parse_inference(struct parse *p, const struct json *v, struct space_ref space, bool query,
		    struct vector *out)
{
	static const char *const known[] = {"text", "model", "options", NULL};
	const struct json *model = json_get(v, "model");
	struct bm25_options options = bm25_defaults();
	size_t model_n = 0, text_n = 0;
	const char *text, *name = "";
	int rc;

	if (model != NULL && json_type(model) == JSON_STRING)
		name = json_string(model, &model_n);
	if (model_n != strlen(model_name) || strncasecmp(name, model_name, model_n) != 0 ||
	    json_get(v, "text") == NULL)
		return refuse_model(p, name, model_n);
	rc = parse_known_keys(p, "a document", v, known);
	if (rc == 0 && json_type(json_get(v, "text")) != JSON_STRING)
		rc = parse_expected(p, "text", "a string", json_get(v, "text"));
	if (rc == 0 && json_get(v, "options") != NULL)
		rc = parse_options(p, json_get(v, "options"), &options);
	if (rc != 0)
		return rc;
	if (space.kind != VECTOR_SPARSE)
		return error_set(p->err, ERR_INPUT,
				 "The model %s makes sparse vectors, and the vector `%s` is dense",
				 model_name, p->collection->spaces[space.index].name);
	text = json_string(json_get(v, "text"), &text_n);
	rc = (query ? bm25_query : bm25_document)(&options, text, text_n, p->arena, out);
	if (rc != 0)
		return error_set(p->err, ERR_VALIDATION,
				 "text: more than %d different tokens: split it into passages",
				 LIMIT_SPARSE_VALUES);
	out->space = space.index;
	return 0;
}
