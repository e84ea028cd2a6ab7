/* Parsers of the REST API's bodies: JSON (or binary) in, model structs out. Pure: no request, no
 * coordinator, so that each is tested against text alone.
 *
 * Common rules: null means absent for every optional field; everything that comes out lives in the arena
 * (vectors and strings may point into the parsed text); a wrong type or a missing field is ERR_FORMAT, an
 * unsuitable value ERR_INPUT (or ERR_VALIDATION where the API has a range), a feature that we do not have
 * ERR_UNSUPPORTED with its name as the text. Where a field changes the meaning of a request, a key that
 * we do not know is refused by name, never skipped.
 */
#pragma once
#include "http/json.h"
#include "model/collection.h"
#include "model/query.h"
#include "model/write.h"

struct parse {
	struct arena *arena;
	const struct collection *collection; /* NULL where the body does not depend on one */
	struct error *err;
	struct buf scratch; /* for payloads; parse_fini frees it */
};

static inline struct parse parse_make(struct arena *arena, const struct collection *c,
				      struct error *err)
{
	return (struct parse){arena, c, err, BUF_INIT};
}
void parse_fini(struct parse *p);

/* ---- fields (parse.c) ---- */

/* "a string", "an array", ...: for texts. */
const char *parse_type_name(const struct json *v);
/* ERR_FORMAT "<where>: expected <expected>, got <type of v>"; v may be NULL: "missing field `where`". */
int parse_expected(struct parse *p, const char *where, const char *expected, const struct json *v);
int parse_is_object(struct parse *p, const char *where, const struct json *v);
int parse_is_array(struct parse *p, const char *where, const struct json *v);
/* Refuses keys (with a value that is not null) outside of known[], which ends with NULL. */
int parse_known_keys(struct parse *p, const char *where, const struct json *v,
		     const char *const *known);
/* Both: an object without other keys. A wrong type is told as `where`, another key as one of `what` ("a scroll"). */
int parse_object(struct parse *p, const char *where, const char *what, const struct json *v,
		 const char *const *known);

bool parse_uint(const struct json *v, uint64_t *out); /* false: v is no unsigned integer */
bool parse_sint(const struct json *v, int64_t *out);
bool parse_is_number(const struct json *v);

/* Optional fields of an object: *out stays as it is when the key is absent. */
int parse_u64_field(struct parse *p, const struct json *o, const char *key, uint64_t *out);
int parse_bool_field(struct parse *p, const struct json *o, const char *key, bool *out);
int parse_double_field(struct parse *p, const struct json *o, const char *key, double *out);
int parse_string_field(struct parse *p, const struct json *o, const char *key, const char **out);
/* Required. */
int parse_need_string(struct parse *p, const struct json *o, const char *key, const char **out);

/* An optional unsigned integer with bounds; out of them: ERR_VALIDATION with `path` in the text. */
struct u64_range {
	const char *key, *path; /* path NULL: the key */
	uint64_t min, max;      /* max UINT64_MAX: none is told */
};
int parse_u64_ranged(struct parse *p, const struct json *o, const struct u64_range *range,
		     uint64_t *out);

int parse_path(struct parse *p, const char *where, const struct json *v, struct path *out);
/* An array of paths (may be empty). */
int parse_paths(struct parse *p, const char *where, const struct json *v, struct path **out,
		uint32_t *n);
int parse_id(struct parse *p, const struct json *v, struct point_id *out);
int parse_ids(struct parse *p, const char *where, const struct json *v, struct point_id **out,
	      uint32_t *n);
/* An object as payload bytes in the arena; NULL or {} gives n = 0. Over LIMIT_PAYLOAD_BYTES: refused. */
int parse_payload(struct parse *p, const char *where, const struct json *v, struct pv_slice *out);

/* ---- collections (parse_collection.c, parse_patch.c, parse_schema.c) ---- */

/* Body of PUT /collections/{name}. refs = 1; body kept for the echo. */
int parse_collection(struct parse *p, const char *name, const struct json *v,
		     struct collection **out);
/* Body of PATCH: the next definition of p->collection. */
int parse_collection_patch(struct parse *p, const struct json *v, struct collection **out);
/* {field_name, field_schema?} of PUT .../index; strings in the arena. */
int parse_payload_field(struct parse *p, const struct json *v, struct payload_field *out);
/* tokenizer, min_token_len, .., stopwords, stemmer of an object that may have more keys (parse_text.c).
 * *out holds the defaults. */
int parse_text_options(struct parse *p, const struct json *v, struct text_options *out);
/* Adds the stop words of a language, given by name. */
int parse_stop_language(struct parse *p, const char *where, const struct json *v,
			struct text_options *out);

/* ---- vectors and points ---- */

/* The space that a vector name means; ERR_INPUT "Not existing vector name error: x". */
struct space_ref {
	enum vector_kind kind;
	uint32_t index;
};
int parse_space(struct parse *p, const char *name, size_t n, struct space_ref *out);
/* One vector for a space: checks form, dimension, finiteness; sorts sparse indices. */
int parse_vector(struct parse *p, const struct json *v, struct space_ref space, struct vector *out);
/* VectorStruct of a point: list, or map of names (may be empty). */
int parse_vectors(struct parse *p, const struct json *v, struct point *out);
/* Is v an inference object ({text, model}, ...)? Then it is made a vector here (parse_document.c); the
 * weights of a query and of a document differ. Models that do not run here are refused by name. */
bool parse_is_inference(const struct json *v);
int parse_inference(struct parse *p, const struct json *v, struct space_ref space, bool query,
		    struct vector *out);

/* One {id, vector, payload}. */
int parse_point(struct parse *p, const struct json *v, struct point *out);
/* PUT .../points: list or batch form, with update_filter and update_mode. */
int parse_upsert(struct parse *p, const struct json *v, struct write *out);
/* The binary form; `body` is written to later (normalised in place) and must be 4-byte aligned. */
int parse_binary(struct parse *p, const uint8_t *body, size_t n, const char *using_name,
		 struct write *out);

/* ---- filters, selections, queries ---- */

/* Never NULL in *out on success; v NULL or {} gives an empty filter. */
int parse_filter(struct parse *p, const struct json *v, struct filter **out);
/* Only for parse_filter.c: geo conditions of a field. */
int parse_geo(struct parse *p, const char *kind, const struct json *v, struct cond *out);

int parse_with_payload(struct parse *p, const struct json *v, struct select_payload *out);
int parse_with_vectors(struct parse *p, const struct json *v, struct select_vectors *out);
/* with_payload, with_vector and with_vectors of a body; *payload and *vectors hold the defaults. */
int parse_select(struct parse *p, const struct json *body, struct select_payload *payload,
		 struct select_vectors *vectors);
int parse_params(struct parse *p, const struct json *v, struct search_params *out);
/* order_by: path or {key, direction, start_from}, into order_path, order_desc, start_from of a query. */
/* score_threshold of a query or a search; beyond the range of float: its end. */
int parse_threshold(struct parse *p, const struct json *v, struct query *out);
int parse_order_by(struct parse *p, const struct json *v, struct query *out);

/* What a search body asks beside the query itself. */
struct group_spec {
	struct path by;
	uint32_t size, limit;
};
int parse_query(struct parse *p, const struct json *v, struct query *out);
int parse_query_groups(struct parse *p, const struct json *v, struct query *out,
		       struct group_spec *groups);
/* The older routes points/search and points/recommend, and their groups (groups not NULL). */
int parse_search(struct parse *p, const struct json *v, struct query *out,
		 struct group_spec *groups);
int parse_recommend(struct parse *p, const struct json *v, struct query *out,
		    struct group_spec *groups);
int parse_recommend_input(struct parse *p, const struct json *v, struct query *out);
/* One example: vector or id, checked against the space. Only for parse_query*.c. */
int parse_query_input(struct parse *p, const struct json *v, const char *using_name,
		      struct query_input *out);

/* ---- other writes (parse_write.c) ---- */

int parse_delete(struct parse *p, const struct json *v, struct write *out);
int parse_set_payload(struct parse *p, const struct json *v, struct write *out);
int parse_overwrite_payload(struct parse *p, const struct json *v, struct write *out);
int parse_delete_payload(struct parse *p, const struct json *v, struct write *out);
int parse_clear_payload(struct parse *p, const struct json *v, struct write *out);
int parse_update_vectors(struct parse *p, const struct json *v, struct write *out);
int parse_delete_vectors(struct parse *p, const struct json *v, struct write *out);
/* points/batch: {operations: [...]}. */
int parse_operations(struct parse *p, const struct json *v, struct write **out, uint32_t *n);
