/* PUT /collections/{name}/index: the schema of a payload index. */
#include "api/parse.h"

#include <string.h>

enum { MAX_TOKEN_BYTES = 1 << 16 };

static int parse_text_options(struct parse *p, const struct json *v, struct payload_field *out)
{
	static const struct u64_range min_range = {"min_token_len", NULL, 0, MAX_TOKEN_BYTES};
	static const struct u64_range max_range = {"max_token_len", NULL, 0, MAX_TOKEN_BYTES};
	const char *tokenizer = "word";
	uint64_t min_len = 0, max_len = 0;
	bool folding = false;
	int rc = 0;

	if (json_get(v, "stopwords") != NULL)
		return error_set(p->err, ERR_UNSUPPORTED, "the option `stopwords` of a text index");
	if (json_get(v, "stemmer") != NULL)
		return error_set(p->err, ERR_UNSUPPORTED, "the option `stemmer` of a text index");
	rc = parse_string_field(p, v, "tokenizer", &tokenizer);
	if (rc == 0 && tokenizer_parse(tokenizer, strlen(tokenizer), &out->tokenizer) != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "tokenizer: expected word, whitespace, prefix or multilingual, got "
			       "'%.100s'",
			       tokenizer);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &min_range, &min_len);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &max_range, &max_len);
	if (rc == 0)
		rc = parse_bool_field(p, v, "lowercase", &out->lowercase);
	if (rc == 0)
		rc = parse_bool_field(p, v, "phrase_matching", &out->phrase);
	if (rc == 0)
		rc = parse_bool_field(p, v, "ascii_folding", &folding);
	if (rc == 0 && folding)
		rc = error_set(p->err, ERR_UNSUPPORTED,
			       "the option `ascii_folding` of a text index");
	if (rc == 0 && max_len > 0 && min_len > max_len)
		rc = error_set(p->err, ERR_VALIDATION,
			       "min_token_len: must not be over max_token_len");
	out->min_token_len = (uint32_t)min_len;
	out->max_token_len = (uint32_t)max_len;
	return rc;
}

static int parse_type(struct parse *p, const char *name, struct payload_field *out)
{
	if (field_type_parse(name, strlen(name), &out->type) == 0)
		return 0;
	return error_set(p->err, ERR_FORMAT,
			 "field_schema: unknown variant `%.100s`, expected one of keyword, integer, "
			 "float, bool, geo, text, datetime, uuid",
			 name);
}

static int parse_schema_object(struct parse *p, const struct json *v, struct payload_field *out)
{
	static const char *const known[] = {
		"type",      "is_tenant",     "is_principal",    "on_disk",
		"lookup",    "range",         "tokenizer",       "min_token_len",
		"lowercase", "max_token_len", "phrase_matching", "stopwords",
		"stemmer",   "ascii_folding", "enable_hnsw",     NULL};
	static const char *const flags[] = {"is_tenant", "is_principal", "on_disk", "lookup",
					    "range",     "enable_hnsw",  NULL};
	const char *type = NULL;
	bool ignored;
	int rc = parse_known_keys(p, "field_schema", v, known);

	if (rc == 0)
		rc = parse_need_string(p, v, "type", &type);
	if (rc == 0)
		rc = parse_type(p, type, out);
	for (size_t i = 0; rc == 0 && flags[i] != NULL; i++)
		rc = parse_bool_field(p, v, flags[i], &ignored);
	if (rc == 0 && out->type == FIELD_TEXT)
		rc = parse_text_options(p, v, out);
	return rc;
}

int parse_payload_field(struct parse *p, const struct json *v, struct payload_field *out)
{
	static const char *const known[] = {"field_name", "field_schema", "field_type", NULL};
	const struct json *schema;
	size_t n;
	int rc = parse_is_object(p, "body", v);

	memset(out, 0, sizeof(*out));
	out->lowercase = true;
	if (rc == 0)
		rc = parse_known_keys(p, "a payload index", v, known);
	if (rc == 0)
		rc = parse_path(p, "field_name", json_get(v, "field_name"), &out->path);
	if (rc != 0)
		return rc;
	schema = json_get(v, "field_schema");
	if (schema == NULL)
		schema = json_get(v, "field_type");
	if (schema == NULL)
		return error_set(p->err, ERR_INPUT,
				 "field_schema: a type is needed, as \"keyword\" or {\"type\": "
				 "\"text\", ..}");
	if (json_type(schema) == JSON_STRING)
		rc = parse_type(p, json_string(schema, &n), out);
	else if (json_type(schema) == JSON_OBJECT)
		rc = parse_schema_object(p, schema, out);
	else
		rc = parse_expected(p, "field_schema", "a string or an object", schema);
	if (rc != 0)
		return rc;
	buf_clear(&p->scratch);
	json_to_pv(schema, &p->scratch);
	out->params.bytes = arena_copy(p->arena, p->scratch.data, p->scratch.len);
	out->params.n = (uint32_t)p->scratch.len;
	return 0;
}
