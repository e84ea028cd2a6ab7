/* What a collection is: its vector spaces, sparse spaces, index settings, partitions and payload
 * schema. Immutable once published: a change makes a new one (reference-counted). */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/limits.h"
#include "model/language.h"
#include "model/payload.h"
#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
#define DISTANCES(X) \
	X(DISTANCE_COSINE, "Cosine") \
	X(DISTANCE_DOT, "Dot") \
	X(DISTANCE_EUCLID, "Euclid") \
	X(DISTANCE_MANHATTAN, "Manhattan")
#define DATATYPES(X) \
	X(DATATYPE_FLOAT32, "float32") \
	X(DATATYPE_UINT8, "uint8") \
	X(DATATYPE_FLOAT16, "float16")
#define INDEX_KINDS(X) \
	X(INDEX_HNSW, "hnsw") \
	X(INDEX_IVF, "ivf") \
	X(INDEX_FLAT, "flat")
#define QUANTIZERS(X) \
	X(QUANTIZER_NONE, "none") \
	X(QUANTIZER_SQ8, "sq8") \
	X(QUANTIZER_PQ, "pq") \
	X(QUANTIZER_BINARY, "binary")
#define FIELD_TYPES(X) \
	X(FIELD_KEYWORD, "keyword") \
	X(FIELD_INTEGER, "integer") \
	X(FIELD_FLOAT, "float") \
	X(FIELD_BOOL, "bool") \
	X(FIELD_GEO, "geo") \
	X(FIELD_TEXT, "text") \
	X(FIELD_DATETIME, "datetime") \
	X(FIELD_UUID, "uuid")
#define TOKENIZERS(X) \
	X(TOKENIZER_WORD, "word") \
	X(TOKENIZER_WHITESPACE, "whitespace") \
	X(TOKENIZER_PREFIX, "prefix") \
	X(TOKENIZER_MULTILINGUAL, "multilingual")
/* clang-format on */

#define ENUM_FIRST(name, text) name,
enum distance { DISTANCES(ENUM_FIRST) };
enum datatype { DATATYPES(ENUM_FIRST) };
enum index_kind { INDEX_KINDS(ENUM_FIRST) };
enum quantizer { QUANTIZERS(ENUM_FIRST) };
enum field_type { FIELD_TYPES(ENUM_FIRST) };
enum tokenizer { TOKENIZERS(ENUM_FIRST) };
#undef ENUM_FIRST

const char *distance_name(enum distance d);
int distance_parse(const char *s, size_t n, enum distance *out); /* 0 or ERR_INPUT, no text */
const char *index_kind_name(enum index_kind k);
int index_kind_parse(const char *s, size_t n, enum index_kind *out);
const char *quantizer_name(enum quantizer q);
int quantizer_parse(const char *s, size_t n, enum quantizer *out);
const char *field_type_name(enum field_type t);
int field_type_parse(const char *s, size_t n, enum field_type *out);
const char *tokenizer_name(enum tokenizer t);
int tokenizer_parse(const char *s, size_t n, enum tokenizer *out);
const char *datatype_name(enum datatype t);
int datatype_parse(const char *s, size_t n, enum datatype *out);
static inline bool distance_larger_is_better(enum distance d)
{
	return d == DISTANCE_COSINE || d == DISTANCE_DOT;
}

struct index_config {
	enum index_kind kind;
	uint32_t m;               /* HNSW: links per node and level (level 0: 2m); default 16 */
	uint32_t ef_construct;    /* HNSW: default 100 */
	uint32_t nlist;           /* IVF: lists; 0 = 4 * sqrt(n), clamped */
	uint32_t nprobe;          /* IVF: default lists per search; 0 = chosen */
	enum quantizer quantizer; /* IVF: codes; HNSW: scan codes */
	uint32_t pq_m;            /* PQ: sub-quantisers; 0 = chosen from the dimension */
	bool by_faiss;            /* HNSW: FAISS builds the graph, not we */
	bool rows_on_disk;        /* sealed vectors stay out of memory, as far as codes serve */
};

struct vector_space {
	const char *name; /* "" is the unnamed one */
	uint32_t dim;
	enum distance distance;
	enum datatype datatype;
	struct index_config index;
};

struct sparse_space {
	const char *name;
	bool idf; /* modifier "idf" */
};

/* How a text becomes tokens; see model/text.h. */
struct stop_word {
	const char *s;
	uint32_t n;
};
struct text_options {
	enum tokenizer tokenizer;
	uint32_t min_token_len, max_token_len; /* characters; 0 = no bound */
	bool lowercase;
	bool ascii_folding;
	enum language stemmer;        /* LANGUAGE_NONE: none */
	uint32_t stop_languages;      /* bit per enum language: its stop words are left out */
	struct stop_word *stop_words; /* more of them, ascending; as text_options_set_stop_words() */
	uint32_t n_stop_words;
};

struct payload_field {
	struct path path; /* path.text is its name */
	enum field_type type;
	struct text_options text; /* FIELD_TEXT only */
	bool phrase;              /* text: phrase matching asked for */
	struct pv_slice params; /* the caller's schema: a string, or an object with type and more */
};

struct collection {
	uint64_t id; /* never reused */
	const char *name;
	uint64_t revision;           /* of this definition; grows with every change */
	struct vector_space *spaces; /* fixed order: rows and the wire name a space by its index */
	uint32_t n_spaces;
	struct sparse_space *sparse;
	uint32_t n_sparse;
	struct payload_field *fields;
	uint32_t n_fields;
	uint32_t n_partitions; /* shard_number */
	uint32_t replication_factor;
	struct pv_slice body; /* the create body as given, later PATCHes merged in */
	struct arena *arena;  /* owns everything above */
	uint32_t refs;        /* atomic */
};

/* A new one with refs = 1 and an arena; fill it, then treat it as immutable. */
struct collection *collection_new(void);
struct collection *collection_ref(const struct collection *c);
void collection_unref(const struct collection *c); /* NULL ok */
/* Deep copy with refs = 1, to be changed before it is published. */
struct collection *collection_clone(const struct collection *c);
/* Index of a space by name, or -1. */
int collection_space(const struct collection *c, const char *name, size_t n);
int collection_sparse(const struct collection *c, const char *name, size_t n);
/* The indexed field with this name, or NULL. */
const struct payload_field *collection_field(const struct collection *c, const char *path);
/* 1..255 bytes of UTF-8, none of < > : " / \ | ? * NUL 0x1F, and neither "." nor "..". */
bool collection_name_ok(const char *name, size_t n);

void collection_encode(struct buf *b, const struct collection *c);
/* Copies everything. On an error (ERR_FORMAT, ERR_VERSION) *out is NULL. */
int collection_decode(struct reader *r, struct collection **out, struct error *err);
