/* PUT /collections/{name}: the definition of a collection. What only tunes another engine's internals
 * is checked, kept and given back as it came; what would change answers and that we lack is refused. */
#include "api/parse.h"

#include <inttypes.h>
#include <string.h>

/* Settings of an index, as given for the collection and again for one vector. */
struct tuning {
	struct index_config config;
	uint32_t pq_values; /* of a vector, to a byte of product code; 0: not given */
	bool kind_given;
};

static const struct u64_range ef_range = {"ef_construct", "hnsw_config.ef_construct", 4, LIMIT_EF};
enum { MAX_LINKS = 512, DEFAULT_LINKS = 16, DEFAULT_EF_CONSTRUCT = 100 };

static int parse_hnsw(struct parse *p, const struct json *v, struct tuning *t)
{
	static const char *const known[] = {
		"m",         "ef_construct",         "full_scan_threshold", "on_disk",
		"payload_m", "max_indexing_threads", "inline_storage",      NULL};
	static const struct u64_range m_range = {"m", "hnsw_config.m", 0, MAX_LINKS};
	static const struct u64_range payload_m_range = {"payload_m", "hnsw_config.payload_m", 0,
							 MAX_LINKS};
	uint64_t m = t->config.m, payload_m = 0, ef = t->config.ef_construct, ignored;
	bool ignored_flag;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "hnsw_config", "hnsw_config", v, known);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &m_range, &m);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &payload_m_range, &payload_m);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &ef_range, &ef);
	if (rc == 0)
		rc = parse_u64_field(p, v, "full_scan_threshold", &ignored);
	if (rc == 0)
		rc = parse_u64_field(p, v, "max_indexing_threads", &ignored);
	if (rc == 0)
		rc = parse_bool_field(p, v, "on_disk", &ignored_flag);
	if (rc == 0)
		rc = parse_bool_field(p, v, "inline_storage", &ignored_flag);
	/* m = 0 asks for no common graph. With payload_m the wish is graphs per tenant, which one
	 * graph with selectors serves; without it, exact search. */
	if (m == 0 && payload_m > 0)
		m = payload_m;
	if (m == 0 && !t->kind_given)
		t->config.kind = INDEX_FLAT;
	t->config.m = m == 0 ? DEFAULT_LINKS : (uint32_t)(m < 2 ? 2 : m);
	t->config.ef_construct = (uint32_t)ef;
	return rc;
}

static int parse_scalar(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"type", "quantile", "always_ram", NULL};
	const char *type;
	double quantile = 1;
	bool always_ram;
	int rc = parse_object(p, "quantization_config.scalar", "quantization_config.scalar", v,
			      known);

	if (rc == 0)
		rc = parse_need_string(p, v, "type", &type);
	if (rc == 0 && strcmp(type, "int8") != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "quantization_config.scalar.type: expected int8, got '%.100s'",
			       type);
	if (rc == 0)
		rc = parse_double_field(p, v, "quantile", &quantile);
	if (rc == 0 && !(quantile >= 0.5 && quantile <= 1))
		rc = error_set(p->err, ERR_VALIDATION,
			       "quantization_config.scalar.quantile: value %g invalid, must be from "
			       "0.5 to 1",
			       quantile);
	if (rc == 0)
		rc = parse_bool_field(p, v, "always_ram", &always_ram);
	return rc;
}

/* Of x16, say, the values that share a byte of code: four 32-bit floats, sixteen bytes. */
static int parse_product(struct parse *p, const struct json *v, struct tuning *t)
{
	static const char *const known[] = {"compression", "always_ram", NULL};
	static const char *const names[] = {"x4", "x8", "x16", "x32", "x64"};
	const char *compression = "";
	bool always_ram;
	int rc = parse_object(p, "quantization_config.product", "quantization_config.product", v,
			      known);

	if (rc == 0)
		rc = parse_need_string(p, v, "compression", &compression);
	if (rc == 0)
		rc = parse_bool_field(p, v, "always_ram", &always_ram);
	for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], compression) == 0) {
			t->pq_values = 1u << i;
			return 0;
		}
	if (rc != 0)
		return rc;
	return error_set(
		p->err, ERR_FORMAT,
		"quantization_config.product.compression: expected x4, x8, x16, x32 or x64, "
		"got '%.100s'",
		compression);
}

/* An optional string that is checked and has no effect. */
static int parse_one_of(struct parse *p, const struct json *v, const char *key,
			const char *const *names)
{
	const char *name = NULL;
	int rc = parse_string_field(p, v, key, &name);

	if (rc != 0 || name == NULL)
		return rc;
	for (const char *const *n = names; *n != NULL; n++)
		if (strcmp(*n, name) == 0)
			return 0;
	return error_set(p->err, ERR_FORMAT, "%s: unknown variant `%.100s`", key, name);
}

static int parse_binary_codes(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"always_ram", "encoding", "query_encoding", NULL};
	static const char *const encodings[] = {"one_bit", "two_bits", "one_and_half_bits", NULL};
	static const char *const query_encodings[] = {"default", "binary", "scalar4bits",
						      "scalar8bits", NULL};
	const char *encoding = encodings[0];
	bool always_ram;
	int rc = parse_object(p, "quantization_config.binary", "quantization_config.binary", v,
			      known);

	if (rc == 0)
		rc = parse_bool_field(p, v, "always_ram", &always_ram);
	if (rc == 0)
		rc = parse_one_of(p, v, "encoding", encodings);
	if (rc == 0)
		rc = parse_one_of(p, v, "query_encoding", query_encodings);
	if (rc == 0)
		rc = parse_string_field(p, v, "encoding", &encoding);
	if (rc == 0 && strcmp(encoding, encodings[0]) != 0)
		rc = error_set(p->err, ERR_UNSUPPORTED,
			       "the encoding `%s` of quantization_config.binary", encoding);
	return rc;
}

static int parse_quantization(struct parse *p, const struct json *v, struct tuning *t)
{
	static const char *const known[] = {"scalar", "product", "binary", NULL};
	uint32_t n_kinds = 0;
	size_t n;
	int rc;

	if (v == NULL)
		return 0;
	if (json_type(v) == JSON_STRING && strcmp(json_string(v, &n), "Disabled") == 0) {
		t->config.quantizer = QUANTIZER_NONE;
		return 0;
	}
	rc = parse_object(p, "quantization_config", "quantization_config", v, known);
	if (rc != 0)
		return rc;
	for (size_t i = 0; known[i] != NULL; i++)
		n_kinds += json_get(v, known[i]) != NULL;
	if (n_kinds != 1)
		return error_set(p->err, ERR_FORMAT,
				 "quantization_config: expected one of scalar, product or binary");
	if (json_get(v, "scalar") != NULL) {
		t->config.quantizer = QUANTIZER_SQ8;
		return parse_scalar(p, json_get(v, "scalar"));
	}
	if (json_get(v, "product") != NULL) {
		t->config.quantizer = QUANTIZER_PQ;
		return parse_product(p, json_get(v, "product"), t);
	}
	t->config.quantizer = QUANTIZER_BINARY;
	return parse_binary_codes(p, json_get(v, "binary"));
}

static int parse_builder(struct parse *p, const struct json *v, struct tuning *t)
{
	const char *builder = "quiver";
	int rc = parse_string_field(p, v, "builder", &builder);

	t->config.by_faiss = strcmp(builder, "faiss") == 0;
	if (rc == 0 && !t->config.by_faiss && strcmp(builder, "quiver") != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "index.builder: expected quiver or faiss, got '%.100s'", builder);
	return rc;
}

/* Our own: index {type, builder, nlist, nprobe, quantizer, pq_m}. */
static int parse_index(struct parse *p, const struct json *v, struct tuning *t)
{
	static const char *const known[] = {"type",      "builder", "nlist", "nprobe",
					    "quantizer", "pq_m",    NULL};
	static const struct u64_range nlist = {"nlist", "index.nlist", 1, 1 << 20};
	static const struct u64_range nprobe = {"nprobe", "index.nprobe", 1, 1 << 20};
	static const struct u64_range pq_m = {"pq_m", "index.pq_m", 1, LIMIT_DIMENSION};
	const char *type = NULL, *quantizer = NULL;
	uint64_t n_lists = 0, n_probe = 0, m = 0;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "index", "index", v, known);
	if (rc == 0)
		rc = parse_need_string(p, v, "type", &type);
	if (rc == 0 && index_kind_parse(type, strlen(type), &t->config.kind) != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "index.type: expected hnsw, ivf or flat, got '%.100s'", type);
	if (rc == 0)
		rc = parse_string_field(p, v, "quantizer", &quantizer);
	if (rc == 0 && quantizer != NULL &&
	    quantizer_parse(quantizer, strlen(quantizer), &t->config.quantizer) != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "index.quantizer: expected none, sq8, pq or binary, got '%.100s'",
			       quantizer);
	if (rc == 0)
		rc = parse_builder(p, v, t);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &nlist, &n_lists);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &nprobe, &n_probe);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &pq_m, &m);
	t->kind_given = true;
	t->config.nlist = (uint32_t)n_lists;
	t->config.nprobe = (uint32_t)n_probe;
	t->config.pq_m = (uint32_t)m;
	return rc;
}

/* ---- vectors ---- */

static int parse_space_names(struct parse *p, const struct json *v, struct vector_space *out)
{
	const char *distance = NULL, *datatype = NULL;
	int rc;

	if (json_get(v, "distance") == NULL)
		return parse_expected(p, "distance", "Cosine, Dot, Euclid or Manhattan", NULL);
	rc = parse_need_string(p, v, "distance", &distance);
	if (rc == 0 && distance_parse(distance, strlen(distance), &out->distance) != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "distance: unknown variant `%.100s`, expected one of Cosine, Dot, "
			       "Euclid, Manhattan",
			       distance);
	if (rc == 0)
		rc = parse_string_field(p, v, "datatype", &datatype);
	if (rc == 0 && datatype != NULL &&
	    datatype_parse(datatype, strlen(datatype), &out->datatype) != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "datatype: unknown variant `%.100s`, expected one of float32, uint8, "
			       "float16",
			       datatype);
	return rc;
}

/* Not every kind of index searches by every kind of codes. */
static int check_codes(struct parse *p, const struct index_config *c)
{
	bool serves = c->kind == INDEX_HNSW  ? c->quantizer != QUANTIZER_PQ
		      : c->kind == INDEX_IVF ? c->quantizer != QUANTIZER_BINARY
					     : c->quantizer == QUANTIZER_NONE;

	if (serves)
		return 0;
	if (c->kind == INDEX_FLAT)
		return error_set(p->err, ERR_UNSUPPORTED,
				 "quantization_config without an index (exact search)");
	return error_set(p->err, ERR_UNSUPPORTED,
			 c->kind == INDEX_HNSW
				 ? "quantization_config.product with an hnsw index (with "
				   "index.type ivf it is)"
				 : "quantization_config.binary with an ivf index (with hnsw it is)");
}

static int parse_vector_params(struct parse *p, const struct json *v, const struct tuning *base,
			       struct vector_space *out)
{
	static const char *const known[] = {"size",
					    "distance",
					    "on_disk",
					    "datatype",
					    "hnsw_config",
					    "quantization_config",
					    "multivector_config",
					    NULL};
	static const struct u64_range size_range = {"size", "vectors.size", 1, LIMIT_DIMENSION};
	struct tuning t = *base;
	uint64_t size = 0;
	int rc = parse_object(p, "vectors", "vectors", v, known);

	if (rc == 0 && json_get(v, "multivector_config") != NULL)
		rc = error_set(p->err, ERR_UNSUPPORTED, "multivector_config");
	if (rc == 0 && json_get(v, "size") == NULL)
		rc = parse_expected(p, "size", "an unsigned integer", NULL);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &size_range, &size);
	if (rc == 0)
		rc = parse_space_names(p, v, out);
	if (rc == 0)
		rc = parse_bool_field(p, v, "on_disk", &t.config.rows_on_disk);
	if (rc == 0)
		rc = parse_hnsw(p, json_get(v, "hnsw_config"), &t);
	if (rc == 0)
		rc = parse_quantization(p, json_get(v, "quantization_config"), &t);
	out->dim = (uint32_t)size;
	out->index = t.config;
	if (out->index.pq_m == 0 && t.pq_values > 0 && out->dim % t.pq_values == 0)
		out->index.pq_m = out->dim / t.pq_values;
	return rc != 0 ? rc : check_codes(p, &t.config);
}

static int check_vector_name(struct parse *p, const struct collection *c, const char *name,
			     size_t n)
{
	if (n > LIMIT_NAME_BYTES || memchr(name, 0, n) != NULL)
		return error_set(p->err, ERR_INPUT,
				 "vector name of %zu bytes: at most %d, without NUL", n,
				 LIMIT_NAME_BYTES);
	if (collection_space(c, name, n) >= 0 || collection_sparse(c, name, n) >= 0)
		return error_set(p->err, ERR_INPUT, "the vector name `%.*s` is used twice", (int)n,
				 name);
	return 0;
}

static int check_vector_count(struct parse *p, size_t n)
{
	if (n > LIMIT_VECTOR_SPACES)
		return error_set(p->err, ERR_INPUT, "%zu vectors, at most %d are allowed", n,
				 LIMIT_VECTOR_SPACES);
	return 0;
}

/* One {size, distance} for the unnamed vector, or a map of names to such. */
static int parse_spaces(struct parse *p, const struct json *v, const struct tuning *base,
			struct collection *c)
{
	const struct json *size;
	struct json_iter it;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_is_object(p, "vectors", v);
	if (rc == 0)
		rc = check_vector_count(p, json_count(v));
	if (rc != 0)
		return rc;
	size = json_get(v, "size");
	c->spaces = arena_zalloc(c->arena, (json_count(v) + 1) * sizeof(*c->spaces));
	if (json_get(v, "distance") != NULL && json_type(json_get(v, "distance")) != JSON_OBJECT)
		size = json_get(v, "distance");
	if (size != NULL && json_type(size) != JSON_OBJECT) {
		c->spaces[0].name = "";
		c->n_spaces = 1;
		return parse_vector_params(p, v, base, &c->spaces[0]);
	}
	it = json_iterate(v);
	while (json_next(&it)) {
		rc = check_vector_name(p, c, it.key, it.key_n);
		if (rc == 0)
			rc = parse_vector_params(p, it.value, base, &c->spaces[c->n_spaces]);
		if (rc != 0)
			return rc;
		c->spaces[c->n_spaces++].name = arena_strndup(c->arena, it.key, it.key_n);
	}
	return 0;
}

static int parse_sparse_params(struct parse *p, const struct json *v, struct sparse_space *out)
{
	static const char *const known[] = {"index", "modifier", NULL};
	static const char *const index_known[] = {"full_scan_threshold", "on_disk", "datatype",
						  NULL};
	static const char *const datatypes[] = {"float32", "float16", "uint8", NULL};
	const char *modifier = "none";
	const struct json *index;
	uint64_t threshold;
	bool on_disk;
	int rc = parse_object(p, "sparse_vectors", "sparse_vectors", v, known);

	if (rc == 0)
		rc = parse_string_field(p, v, "modifier", &modifier);
	if (rc == 0 && strcmp(modifier, "none") != 0 && strcmp(modifier, "idf") != 0)
		rc = error_set(p->err, ERR_FORMAT, "modifier: expected none or idf, got '%.100s'",
			       modifier);
	out->idf = rc == 0 && strcmp(modifier, "idf") == 0;
	index = rc == 0 ? json_get(v, "index") : NULL;
	if (index == NULL)
		return rc;
	rc = parse_object(p, "sparse_vectors.index", "sparse_vectors.index", index, index_known);
	if (rc == 0)
		rc = parse_u64_field(p, index, "full_scan_threshold", &threshold);
	if (rc == 0)
		rc = parse_bool_field(p, index, "on_disk", &on_disk);
	if (rc == 0)
		rc = parse_one_of(p, index, "datatype", datatypes);
	return rc;
}

static int parse_sparse_spaces(struct parse *p, const struct json *v, struct collection *c)
{
	struct json_iter it;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_is_object(p, "sparse_vectors", v);
	if (rc == 0)
		rc = check_vector_count(p, json_count(v));
	if (rc != 0)
		return rc;
	c->sparse = arena_zalloc(c->arena, (json_count(v) + 1) * sizeof(*c->sparse));
	it = json_iterate(v);
	while (json_next(&it)) {
		rc = check_vector_name(p, c, it.key, it.key_n);
		if (rc == 0 && json_type(it.value) != JSON_NULL)
			rc = parse_sparse_params(p, it.value, &c->sparse[c->n_sparse]);
		if (rc != 0)
			return rc;
		c->sparse[c->n_sparse++].name = arena_strndup(c->arena, it.key, it.key_n);
	}
	return 0;
}

/* ---- the rest of the body ---- */

static int parse_copies(struct parse *p, const struct json *v, struct collection *c)
{
	static const struct u64_range shards = {"shard_number", NULL, 1, LIMIT_PARTITIONS};
	static const struct u64_range replicas = {"replication_factor", NULL, 1, LIMIT_REPLICAS};
	static const struct u64_range write = {"write_consistency_factor", NULL, 1, LIMIT_REPLICAS};
	uint64_t n_partitions = 1, replication_factor = 1, ignored;
	const char *method = "auto";
	int rc = parse_u64_ranged(p, v, &shards, &n_partitions);

	if (rc == 0)
		rc = parse_u64_ranged(p, v, &replicas, &replication_factor);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &write, &ignored);
	if (rc == 0)
		rc = parse_string_field(p, v, "sharding_method", &method);
	if (rc == 0 && strcmp(method, "auto") != 0)
		rc = error_set(p->err, ERR_UNSUPPORTED, "the sharding_method `%.100s`", method);
	c->n_partitions = (uint32_t)n_partitions;
	c->replication_factor = (uint32_t)replication_factor;
	return rc;
}

/* A number, or "auto". */
static int parse_optimization_threads(struct parse *p, const struct json *v)
{
	uint64_t ignored;
	size_t n;

	if (v == NULL || parse_uint(v, &ignored) ||
	    (json_type(v) == JSON_STRING && strcmp(json_string(v, &n), "auto") == 0))
		return 0;
	return parse_expected(p, "max_optimization_threads", "an unsigned integer or `auto`", v);
}

static int parse_optimizers(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"deleted_threshold",      "vacuum_min_vector_number",
					    "default_segment_number", "max_segment_size",
					    "memmap_threshold",       "indexing_threshold",
					    "flush_interval_sec",     "max_optimization_threads",
					    "prevent_unoptimized",    NULL};
	static const char *const numbers[] = {"vacuum_min_vector_number",
					      "default_segment_number",
					      "max_segment_size",
					      "memmap_threshold",
					      "indexing_threshold",
					      "flush_interval_sec",
					      NULL};
	double deleted = 0;
	uint64_t ignored;
	bool ignored_flag;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "optimizers_config", "optimizers_config", v, known);
	if (rc == 0)
		rc = parse_double_field(p, v, "deleted_threshold", &deleted);
	if (rc == 0 && !(deleted >= 0 && deleted <= 1))
		rc = error_set(
			p->err, ERR_VALIDATION,
			"optimizers_config.deleted_threshold: value %g invalid, must be from 0 "
			"to 1",
			deleted);
	for (size_t i = 0; rc == 0 && numbers[i] != NULL; i++)
		rc = parse_u64_field(p, v, numbers[i], &ignored);
	if (rc == 0)
		rc = parse_optimization_threads(p, json_get(v, "max_optimization_threads"));
	if (rc == 0)
		rc = parse_bool_field(p, v, "prevent_unoptimized", &ignored_flag);
	return rc;
}

static int parse_wal(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"wal_capacity_mb", "wal_segments_ahead",
					    "wal_retain_closed", NULL};
	static const struct u64_range capacity = {"wal_capacity_mb", "wal_config.wal_capacity_mb",
						  1, UINT64_MAX};
	static const struct u64_range closed = {"wal_retain_closed", "wal_config.wal_retain_closed",
						1, UINT64_MAX};
	uint64_t ignored;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "wal_config", "wal_config", v, known);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &capacity, &ignored);
	if (rc == 0)
		rc = parse_u64_field(p, v, "wal_segments_ahead", &ignored);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &closed, &ignored);
	return rc;
}

/* Accepted while it is off: limits that nobody enforces would be worse than a refusal. */
static int parse_strict_mode(struct parse *p, const struct json *v)
{
	bool enabled = false;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_is_object(p, "strict_mode_config", v);
	if (rc == 0)
		rc = parse_bool_field(p, v, "enabled", &enabled);
	if (rc == 0 && enabled)
		rc = error_set(p->err, ERR_UNSUPPORTED, "strict_mode_config");
	return rc;
}

static int parse_settings(struct parse *p, const struct json *v)
{
	bool on_disk_payload;
	int rc = parse_bool_field(p, v, "on_disk_payload", &on_disk_payload);

	if (rc == 0)
		rc = parse_optimizers(p, json_get(v, "optimizers_config"));
	if (rc == 0)
		rc = parse_wal(p, json_get(v, "wal_config"));
	if (rc == 0)
		rc = parse_strict_mode(p, json_get(v, "strict_mode_config"));
	if (rc == 0 && json_get(v, "metadata") != NULL)
		rc = parse_is_object(p, "metadata", json_get(v, "metadata"));
	return rc;
}

static int fill(struct parse *p, const struct json *v, struct collection *c)
{
	static const char *const known[] = {"vectors",
					    "sparse_vectors",
					    "shard_number",
					    "sharding_method",
					    "write_consistency_factor",
					    "replication_factor",
					    "on_disk_payload",
					    "hnsw_config",
					    "optimizers_config",
					    "wal_config",
					    "quantization_config",
					    "strict_mode_config",
					    "metadata",
					    "index",
					    NULL};
	struct tuning tuning = {{.kind = INDEX_HNSW,
				 .m = DEFAULT_LINKS,
				 .ef_construct = DEFAULT_EF_CONSTRUCT},
				false};
	int rc = parse_object(p, "body", "a collection", v, known);

	if (rc == 0)
		rc = parse_index(p, json_get(v, "index"), &tuning);
	if (rc == 0)
		rc = parse_hnsw(p, json_get(v, "hnsw_config"), &tuning);
	if (rc == 0)
		rc = parse_quantization(p, json_get(v, "quantization_config"), &tuning);
	if (rc == 0)
		rc = parse_spaces(p, json_get(v, "vectors"), &tuning, c);
	if (rc == 0)
		rc = parse_sparse_spaces(p, json_get(v, "sparse_vectors"), c);
	if (rc == 0)
		rc = parse_copies(p, v, c);
	return rc != 0 ? rc : parse_settings(p, v);
}

int parse_collection(struct parse *p, const char *name, const struct json *v,
		     struct collection **out)
{
	struct collection *c;
	int rc;

	*out = NULL;
	if (!collection_name_ok(name, strlen(name)))
		return error_set(p->err, ERR_INPUT,
				 "collection name `%.60s`: from 1 to 255 bytes are allowed, without "
				 "any of < > : \" / \\ | ? *",
				 name);
	c = collection_new();
	rc = fill(p, v, c);
	if (rc != 0) {
		collection_unref(c);
		return rc;
	}
	c->name = arena_strdup(c->arena, name);
	buf_clear(&p->scratch);
	json_to_pv(v, &p->scratch);
	c->body.bytes = arena_copy(c->arena, p->scratch.data, p->scratch.len);
	c->body.n = (uint32_t)p->scratch.len;
	*out = c;
	return 0;
}
