/* How texts are cut into tokens: the options that text indexes and the model qdrant/bm25 share. */
#include "api/parse.h"
#include "model/text.h"

#include <string.h>

enum { MAX_TOKEN_CHARS = 1 << 16, MAX_STOP_WORD_BYTES = 64 };

static int parse_language(struct parse *p, const char *where, const struct json *v,
			  enum language *out)
{
	const char *name;
	size_t n;

	if (v == NULL || json_type(v) != JSON_STRING)
		return parse_expected(p, where, "the name of a language", v);
	name = json_string(v, &n);
	if (language_parse(name, n, out) == 0)
		return 0;
	return error_set(p->err, ERR_UNSUPPORTED, "%s: the language `%.*s`", where,
			 (int)(n < 100 ? n : 100), name);
}

int parse_stop_language(struct parse *p, const char *where, const struct json *v,
			struct text_options *out)
{
	enum language l;
	int rc = parse_language(p, where, v, &l);

	if (rc != 0)
		return rc;
	if (!language_has_stop_words(l))
		return error_set(p->err, ERR_UNSUPPORTED, "%s: a list of stop words for `%s`",
				 where, language_name(l));
	out->stop_languages |= 1u << l;
	return 0;
}

static int parse_custom_words(struct parse *p, const struct json *v, struct text_options *out)
{
	struct stop_word *words;
	struct json_iter it;
	uint32_t n = 0;
	int rc = parse_is_array(p, "stopwords.custom", v);

	if (rc != 0)
		return rc;
	if (json_count(v) > LIMIT_STOP_WORDS)
		return error_set(p->err, ERR_VALIDATION,
				 "stopwords.custom: %zu words, at most %d are allowed",
				 json_count(v), LIMIT_STOP_WORDS);
	words = arena_alloc(p->arena, json_count(v) * sizeof(*words));
	it = json_iterate(v);
	while (json_next(&it)) {
		size_t bytes;

		if (json_type(it.value) != JSON_STRING)
			return parse_expected(p, "stopwords.custom", "strings", it.value);
		words[n].s = json_string(it.value, &bytes);
		words[n].n = (uint32_t)bytes;
		if (bytes > MAX_STOP_WORD_BYTES || memchr(words[n].s, 0, bytes) != NULL)
			return error_set(p->err, ERR_VALIDATION,
					 "stopwords.custom: a word has at most %d bytes, none of "
					 "them NUL",
					 MAX_STOP_WORD_BYTES);
		n++;
	}
	text_options_set_stop_words(out, p->arena, words, n);
	return 0;
}

/* A language, or {languages, custom}. */
static int parse_stop_words(struct parse *p, const struct json *v, struct text_options *out)
{
	static const char *const known[] = {"languages", "custom", NULL};
	const struct json *languages, *custom;
	int rc;

	if (v == NULL)
		return 0;
	if (json_type(v) == JSON_STRING)
		return parse_stop_language(p, "stopwords", v, out);
	if (json_type(v) != JSON_OBJECT)
		return parse_expected(p, "stopwords", "a language or {languages, custom}", v);
	rc = parse_known_keys(p, "stopwords", v, known);
	languages = json_get(v, "languages");
	custom = json_get(v, "custom");
	if (rc == 0 && languages != NULL) {
		struct json_iter it = json_iterate(languages);

		rc = parse_is_array(p, "stopwords.languages", languages);
		while (rc == 0 && json_next(&it))
			rc = parse_stop_language(p, "stopwords.languages", it.value, out);
	}
	if (rc == 0 && custom != NULL)
		rc = parse_custom_words(p, custom, out);
	return rc;
}

static int parse_stemmer(struct parse *p, const struct json *v, struct text_options *out)
{
	static const char *const known[] = {"type", "language", NULL};
	const char *type = "";
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "stemmer", "stemmer", v, known);
	if (rc == 0)
		rc = parse_need_string(p, v, "type", &type);
	if (rc != 0)
		return rc;
	if (strcmp(type, "none") == 0)
		return 0;
	if (strcmp(type, "snowball") != 0)
		return error_set(p->err, ERR_UNSUPPORTED, "the stemmer `%.100s`", type);
	return parse_language(p, "stemmer.language", json_get(v, "language"), &out->stemmer);
}

static int parse_tokenizer(struct parse *p, const struct json *v, struct text_options *out)
{
	const char *tokenizer = "word";
	int rc = parse_string_field(p, v, "tokenizer", &tokenizer);

	if (rc != 0 || tokenizer_parse(tokenizer, strlen(tokenizer), &out->tokenizer) == 0)
		return rc;
	return error_set(p->err, ERR_FORMAT,
			 "tokenizer: expected word, whitespace, prefix or multilingual, got "
			 "'%.100s'",
			 tokenizer);
}

int parse_text_options(struct parse *p, const struct json *v, struct text_options *out)
{
	static const struct u64_range min_range = {"min_token_len", NULL, 0, MAX_TOKEN_CHARS};
	static const struct u64_range max_range = {"max_token_len", NULL, 0, MAX_TOKEN_CHARS};
	uint64_t min_len = 0, max_len = 0;
	int rc = parse_tokenizer(p, v, out);

	if (rc == 0)
		rc = parse_u64_ranged(p, v, &min_range, &min_len);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &max_range, &max_len);
	if (rc == 0 && max_len > 0 && min_len > max_len)
		rc = error_set(p->err, ERR_VALIDATION,
			       "min_token_len: must not be over max_token_len");
	out->min_token_len = (uint32_t)min_len;
	out->max_token_len = (uint32_t)max_len;
	if (rc == 0)
		rc = parse_bool_field(p, v, "lowercase", &out->lowercase);
	if (rc == 0)
		rc = parse_bool_field(p, v, "ascii_folding", &out->ascii_folding);
	if (rc == 0)
		rc = parse_stemmer(p, json_get(v, "stemmer"), out);
	/* Last: a list of words is normalised as the options above say. */
	return rc != 0 ? rc : parse_stop_words(p, json_get(v, "stopwords"), out);
}
