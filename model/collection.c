/* Collection definitions: names of their enumerations, life cycle, look-ups, codec. */
#include "model/collection.h"
#include "base/assert.h"
#include "model/text.h"
#include "model/utf8.h"
#include "model/wire.h"
#include <stddef.h>
#include <string.h>

/* 1 had no stop words, stemmers and folding. */
enum { CODEC_VERSION = 3, CODEC_VERSION_OLDEST = 1 };

/* ---- enumerations ---- */

#define COUNT_OF(name, text) +1
#define TEXT_OF(name, text)  text,

/* <type>_name and <type>_parse over a table made from the X-macro. */
#define ENUM_TEXTS(prefix, type, LIST)                                                             \
	static const char *const prefix##_texts[] = {LIST(TEXT_OF)};                               \
	enum { prefix##_count = 0 LIST(COUNT_OF) };                                                \
	const char *prefix##_name(type v)                                                          \
	{                                                                                          \
		assert((unsigned)v < prefix##_count);                                              \
		return prefix##_texts[v];                                                          \
	}                                                                                          \
	int prefix##_parse(const char *s, size_t n, type *out)                                     \
	{                                                                                          \
		int i = find_text(prefix##_texts, prefix##_count, s, n);                           \
		if (i < 0)                                                                         \
			return ERR_INPUT;                                                          \
		*out = (type)i;                                                                    \
		return 0;                                                                          \
	}

static int find_text(const char *const *texts, int n_texts, const char *s, size_t n)
{
	for (int i = 0; i < n_texts; i++) {
		if (strlen(texts[i]) == n && memcmp(texts[i], s, n) == 0)
			return i;
	}
	return -1;
}

ENUM_TEXTS(distance, enum distance, DISTANCES)
ENUM_TEXTS(datatype, enum datatype, DATATYPES)
ENUM_TEXTS(index_kind, enum index_kind, INDEX_KINDS)
ENUM_TEXTS(quantizer, enum quantizer, QUANTIZERS)
ENUM_TEXTS(field_type, enum field_type, FIELD_TYPES)
ENUM_TEXTS(tokenizer, enum tokenizer, TOKENIZERS)

/* ---- life cycle ---- */

struct collection *collection_new(void)
{
	struct arena *arena = arena_new(4096);
	struct collection *c = arena_zalloc(arena, sizeof(*c));
	c->arena = arena;
	c->name = "";
	c->n_partitions = 1;
	c->replication_factor = 1;
	c->refs = 1;
	return c;
}

struct collection *collection_ref(const struct collection *c)
{
	/* Only the count changes: for its holders a collection is immutable. */
	struct collection *held = (struct collection *)c;
	uint32_t before = __atomic_fetch_add(&held->refs, 1, __ATOMIC_RELAXED);
	assert(before > 0);
	return held;
}

void collection_unref(const struct collection *c)
{
	if (c == NULL)
		return;
	struct collection *held = (struct collection *)c;
	uint32_t left = __atomic_sub_fetch(&held->refs, 1, __ATOMIC_ACQ_REL);
	assert(left != UINT32_MAX);
	if (left == 0)
		arena_free(held->arena);
}

static struct pv_slice copy_slice(struct arena *arena, struct pv_slice s)
{
	if (s.bytes == NULL)
		return s;
	return (struct pv_slice){arena_copy(arena, s.bytes, s.n), s.n};
}

static struct path copy_path(struct arena *arena, const struct path *p)
{
	struct path copy;
	int rc = path_parse(p->text, strlen(p->text), arena, &copy, NULL);
	assert(rc == 0);
	return copy;
}

struct collection *collection_clone(const struct collection *c)
{
	struct collection *copy = collection_new();
	struct arena *arena = copy->arena;
	/* All but the count: others may be changing it. */
	memcpy(copy, c, offsetof(struct collection, refs));
	copy->arena = arena;
	copy->name = arena_strdup(arena, c->name);
	copy->spaces = arena_copy(arena, c->spaces, c->n_spaces * sizeof(*c->spaces));
	for (uint32_t i = 0; i < c->n_spaces; i++)
		copy->spaces[i].name = arena_strdup(arena, c->spaces[i].name);
	copy->sparse = arena_copy(arena, c->sparse, c->n_sparse * sizeof(*c->sparse));
	for (uint32_t i = 0; i < c->n_sparse; i++)
		copy->sparse[i].name = arena_strdup(arena, c->sparse[i].name);
	copy->fields = arena_copy(arena, c->fields, c->n_fields * sizeof(*c->fields));
	for (uint32_t i = 0; i < c->n_fields; i++) {
		copy->fields[i].path = copy_path(arena, &c->fields[i].path);
		copy->fields[i].params = copy_slice(arena, c->fields[i].params);
		text_options_copy(arena, &c->fields[i].text, &copy->fields[i].text);
	}
	copy->body = copy_slice(arena, c->body);
	return copy;
}

/* ---- look-ups ---- */

static bool named(const char *name, const char *s, size_t n)
{
	return strlen(name) == n && memcmp(name, s, n) == 0;
}

int collection_space(const struct collection *c, const char *name, size_t n)
{
	for (uint32_t i = 0; i < c->n_spaces; i++) {
		if (named(c->spaces[i].name, name, n))
			return (int)i;
	}
	return -1;
}

int collection_sparse(const struct collection *c, const char *name, size_t n)
{
	for (uint32_t i = 0; i < c->n_sparse; i++) {
		if (named(c->sparse[i].name, name, n))
			return (int)i;
	}
	return -1;
}

const struct payload_field *collection_field(const struct collection *c, const char *path)
{
	for (uint32_t i = 0; i < c->n_fields; i++) {
		if (strcmp(c->fields[i].path.text, path) == 0)
			return &c->fields[i];
	}
	return NULL;
}

bool collection_name_ok(const char *name, size_t n)
{
	static const char banned[] = "<>:\"/\\|?*\x1F"; /* and the NUL at its end */
	if (n == 0 || n > LIMIT_NAME_BYTES || !utf8_valid(name, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (memchr(banned, name[i], sizeof(banned)) != NULL)
			return false;
	}
	return !named(".", name, n) && !named("..", name, n);
}

/* ---- codec ---- */

static void put_space(struct buf *b, const struct vector_space *s)
{
	buf_put_str(b, s->name);
	buf_put_u32(b, s->dim);
	buf_put_u8(b, (uint8_t)s->distance);
	buf_put_u8(b, (uint8_t)s->datatype);
	buf_put_u8(b, (uint8_t)s->index.kind);
	buf_put_u32(b, s->index.m);
	buf_put_u32(b, s->index.ef_construct);
	buf_put_u32(b, s->index.nlist);
	buf_put_u32(b, s->index.nprobe);
	buf_put_u8(b, (uint8_t)s->index.quantizer);
	buf_put_u32(b, s->index.pq_m);
	wire_put_bool(b, s->index.by_faiss);
	wire_put_bool(b, s->index.rows_on_disk);
}

static void take_space(struct reader *r, struct arena *arena, uint8_t version,
		       struct vector_space *s)
{
	s->name = wire_text(r, arena, LIMIT_NAME_BYTES, NULL);
	s->dim = reader_u32(r);
	s->distance = (enum distance)wire_enum(r, distance_count);
	s->datatype = (enum datatype)wire_enum(r, datatype_count);
	s->index.kind = (enum index_kind)wire_enum(r, index_kind_count);
	s->index.m = reader_u32(r);
	s->index.ef_construct = reader_u32(r);
	s->index.nlist = reader_u32(r);
	s->index.nprobe = reader_u32(r);
	s->index.quantizer = (enum quantizer)wire_enum(r, quantizer_count);
	s->index.pq_m = reader_u32(r);
	if (version > 2) {
		s->index.by_faiss = wire_bool(r);
		s->index.rows_on_disk = wire_bool(r);
	}
	if (s->dim == 0 || s->dim > LIMIT_DIMENSION)
		reader_fail(r);
}

static void put_field(struct buf *b, const struct payload_field *f)
{
	wire_put_path(b, &f->path);
	buf_put_u8(b, (uint8_t)f->type);
	buf_put_u8(b, (uint8_t)f->text.tokenizer);
	buf_put_u32(b, f->text.min_token_len);
	buf_put_u32(b, f->text.max_token_len);
	wire_put_bool(b, f->text.lowercase);
	wire_put_bool(b, f->phrase);
	wire_put_slice(b, f->params);
	text_extras_encode(b, &f->text);
}

static void take_field(struct reader *r, struct arena *arena, uint8_t version,
		       struct payload_field *f)
{
	wire_path(r, arena, false, &f->path);
	f->type = (enum field_type)wire_enum(r, field_type_count);
	f->text.tokenizer = (enum tokenizer)wire_enum(r, tokenizer_count);
	f->text.min_token_len = reader_u32(r);
	f->text.max_token_len = reader_u32(r);
	f->text.lowercase = wire_bool(r);
	f->phrase = wire_bool(r);
	f->params = copy_slice(arena, wire_slice(r, false));
	if (version > 1)
		text_extras_decode(r, arena, &f->text);
}

void collection_encode(struct buf *b, const struct collection *c)
{
	buf_put_u8(b, CODEC_VERSION);
	buf_put_u64(b, c->id);
	buf_put_str(b, c->name);
	buf_put_u64(b, c->revision);
	buf_put_u32(b, c->n_partitions);
	buf_put_u32(b, c->replication_factor);
	buf_put_u32(b, c->n_spaces);
	for (uint32_t i = 0; i < c->n_spaces; i++)
		put_space(b, &c->spaces[i]);
	buf_put_u32(b, c->n_sparse);
	for (uint32_t i = 0; i < c->n_sparse; i++) {
		buf_put_str(b, c->sparse[i].name);
		wire_put_bool(b, c->sparse[i].idf);
	}
	buf_put_u32(b, c->n_fields);
	for (uint32_t i = 0; i < c->n_fields; i++)
		put_field(b, &c->fields[i]);
	wire_put_slice(b, c->body);
}

/* A count of items of at least `bytes` bytes each, at most `max`. */
static uint32_t take_count(struct reader *r, size_t bytes, uint32_t max)
{
	uint32_t n = reader_count(r, bytes);
	if (n <= max)
		return n;
	reader_fail(r);
	return 0;
}

static void take_spaces(struct reader *r, uint8_t version, struct collection *c)
{
	c->n_spaces = take_count(r, 32, LIMIT_VECTOR_SPACES);
	c->spaces = arena_zalloc(c->arena, c->n_spaces * sizeof(*c->spaces));
	for (uint32_t i = 0; i < c->n_spaces; i++)
		take_space(r, c->arena, version, &c->spaces[i]);
	c->n_sparse = take_count(r, 5, LIMIT_VECTOR_SPACES);
	c->sparse = arena_zalloc(c->arena, c->n_sparse * sizeof(*c->sparse));
	for (uint32_t i = 0; i < c->n_sparse; i++) {
		c->sparse[i].name = wire_text(r, c->arena, LIMIT_NAME_BYTES, NULL);
		c->sparse[i].idf = wire_bool(r);
	}
}

/* A name finds one space only, and a path one field. */
static bool names_are_distinct(const struct collection *c)
{
	for (uint32_t i = 0; i < c->n_spaces; i++) {
		const char *name = c->spaces[i].name;
		if (collection_space(c, name, strlen(name)) != (int)i ||
		    collection_sparse(c, name, strlen(name)) >= 0)
			return false;
	}
	for (uint32_t i = 0; i < c->n_sparse; i++) {
		const char *name = c->sparse[i].name;
		if (collection_sparse(c, name, strlen(name)) != (int)i)
			return false;
	}
	for (uint32_t i = 0; i < c->n_fields; i++) {
		if (collection_field(c, c->fields[i].path.text) != &c->fields[i])
			return false;
	}
	return true;
}

int collection_decode(struct reader *r, struct collection **out, struct error *err)
{
	*out = NULL;
	uint8_t version = reader_u8(r);
	if (reader_ok(r) && (version < CODEC_VERSION_OLDEST || version > CODEC_VERSION))
		return error_set(err, ERR_VERSION,
				 "a collection definition has format %u, this program knows %u; "
				 "it was written by another version",
				 version, CODEC_VERSION);
	struct collection *c = collection_new();
	c->id = reader_u64(r);
	uint32_t name_n;
	c->name = wire_text(r, c->arena, LIMIT_NAME_BYTES, &name_n);
	c->revision = reader_u64(r);
	c->n_partitions = reader_u32(r);
	c->replication_factor = reader_u32(r);
	take_spaces(r, version, c);
	c->n_fields = take_count(r, 23, LIMIT_PAYLOAD_INDEXES);
	c->fields = arena_zalloc(c->arena, c->n_fields * sizeof(*c->fields));
	for (uint32_t i = 0; i < c->n_fields; i++)
		take_field(r, c->arena, version, &c->fields[i]);
	c->body = copy_slice(c->arena, wire_slice(r, true));
	if (!reader_ok(r) || !collection_name_ok(c->name, name_n) || c->n_partitions == 0 ||
	    c->n_partitions > LIMIT_PARTITIONS || c->replication_factor == 0 ||
	    c->replication_factor > LIMIT_REPLICAS || !names_are_distinct(c)) {
		collection_unref(c);
		reader_fail(r);
		return error_set(err, ERR_FORMAT, "a collection definition is malformed");
	}
	*out = c;
	return 0;
}
