/* PUT /collections/{name}/index: the schema of a payload index. */
#include "api/parse.h"

#include <string.h>

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
	/* The names beyond flags are those of texts: a client could not even read them of another type. */
	static const char *const text[] = {
		"type",      "is_tenant",     "is_principal",    "on_disk",
		"lookup",    "range",         "tokenizer",       "min_token_len",
		"lowercase", "max_token_len", "phrase_matching", "stopwords",
		"stemmer",   "ascii_folding", "enable_hnsw",     NULL};
	static const char *const flags[] = {"type",   "is_tenant", "is_principal", "on_disk",
					    "lookup", "range",     "enable_hnsw",  NULL};
	const char *type = NULL;
	bool ignored;
	int rc = parse_need_string(p, v, "type", &type);

	if (rc == 0)
		rc = parse_type(p, type, out);
	if (rc == 0)
		rc = parse_known_keys(p, "field_schema", v, out->type == FIELD_TEXT ? text : flags);
	for (size_t i = 1; rc == 0 && flags[i] != NULL; i++)
		rc = parse_bool_field(p, v, flags[i], &ignored);
	if (rc == 0 && out->type == FIELD_TEXT)
		rc = parse_text_options(p, v, &out->text);
	if (rc == 0 && out->type == FIELD_TEXT)
		rc = parse_bool_field(p, v, "phrase_matching", &out->phrase);
	return rc;
}

int parse_payload_field(struct parse *p, const struct json *v, struct payload_field *out)
{
	static const char *const known[] = {"field_name", "field_schema", "field_type", NULL};
	const struct json *schema;
	size_t n;
	int rc = parse_object(p, "body", "a payload index", v, known);

	memset(out, 0, sizeof(*out));
	out->text.lowercase = true;
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
