/* Collection definitions: names, life cycle, codec. */
#include "model/collection.h"
#include "model/text.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "tests/unit/unit.h"
#include <string.h>

static struct collection *sample(void)
{
	struct collection *c = collection_new();
	struct arena *a = c->arena;
	struct vector_space spaces[] = {
		{"",
		 4,
		 DISTANCE_COSINE,
		 DATATYPE_FLOAT32,
		 {INDEX_HNSW, 16, 100, 0, 0, QUANTIZER_SQ8, 0, true, false}},
		{"img",
		 65536,
		 DISTANCE_MANHATTAN,
		 DATATYPE_UINT8,
		 {INDEX_IVF, 0, 0, 100, 8, QUANTIZER_PQ, 96, false, true}},
	};
	struct sparse_space sparse[] = {{"bm25", true}, {"splade", false}};
	static struct stop_word stop_words[] = {{"acme", 4}, {"gmbh", 4}};
	struct payload_field fields[] = {
		{.type = FIELD_KEYWORD, .params = doc_slice(a, "'keyword'")},
		{.type = FIELD_TEXT,
		 .text = {.tokenizer = TOKENIZER_MULTILINGUAL,
			  .min_token_len = 2,
			  .max_token_len = 20,
			  .lowercase = true,
			  .ascii_folding = true,
			  .stemmer = LANGUAGE_GERMAN,
			  .stop_languages = 1u << LANGUAGE_GERMAN | 1u << LANGUAGE_ENGLISH,
			  .stop_words = stop_words,
			  .n_stop_words = 2},
		 .phrase = true,
		 .params = doc_slice(a, "{'type':'text'}")},
		{.type = FIELD_GEO},
	};
	static const char *const paths[] = {"metadata.file_id", "text", "place[].at"};
	for (int i = 0; i < 3; i++)
		assert_int_equal(path_parse(paths[i], strlen(paths[i]), a, &fields[i].path, NULL),
				 0);
	c->id = 77;
	c->name = arena_strdup(a, "caf\xC3\xA9");
	c->revision = 3;
	c->spaces = arena_copy(a, spaces, sizeof(spaces));
	c->n_spaces = 2;
	c->sparse = arena_copy(a, sparse, sizeof(sparse));
	c->n_sparse = 2;
	c->fields = arena_copy(a, fields, sizeof(fields));
	c->n_fields = 3;
	c->n_partitions = 256;
	c->replication_factor = 8;
	c->body = doc_slice(a, "{'vectors':{'size':4,'distance':'Cosine'}}");
	return c;
}

/* Field by field: a struct may have padding. */
static void assert_same_index(const struct index_config *x, const struct index_config *y)
{
	assert_int_equal(x->kind, y->kind);
	assert_int_equal(x->m, y->m);
	assert_int_equal(x->ef_construct, y->ef_construct);
	assert_int_equal(x->nlist, y->nlist);
	assert_int_equal(x->nprobe, y->nprobe);
	assert_int_equal(x->quantizer, y->quantizer);
	assert_int_equal(x->pq_m, y->pq_m);
	assert_int_equal(x->by_faiss, y->by_faiss);
	assert_int_equal(x->rows_on_disk, y->rows_on_disk);
}

static void assert_same_text(const struct text_options *x, const struct text_options *y)
{
	assert_int_equal(x->tokenizer, y->tokenizer);
	assert_int_equal(x->min_token_len, y->min_token_len);
	assert_int_equal(x->max_token_len, y->max_token_len);
	assert_int_equal(x->lowercase, y->lowercase);
	assert_int_equal(x->ascii_folding, y->ascii_folding);
	assert_int_equal(x->stemmer, y->stemmer);
	assert_int_equal(x->stop_languages, y->stop_languages);
	assert_int_equal(x->n_stop_words, y->n_stop_words);
	for (uint32_t i = 0; i < x->n_stop_words; i++) {
		assert_int_equal(x->stop_words[i].n, y->stop_words[i].n);
		assert_string_equal(x->stop_words[i].s, y->stop_words[i].s);
		assert_true(x->stop_words[i].s != y->stop_words[i].s);
	}
	assert_int_equal(text_extras_hash(x), text_extras_hash(y));
}

static void assert_same_slice(struct pv_slice a, struct pv_slice b)
{
	assert_int_equal(a.n, b.n);
	if (a.n != 0)
		assert_memory_equal(a.bytes, b.bytes, a.n);
}

static void assert_same(const struct collection *a, const struct collection *b)
{
	assert_int_equal(a->id, b->id);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->revision, b->revision);
	assert_int_equal(a->n_partitions, b->n_partitions);
	assert_int_equal(a->replication_factor, b->replication_factor);
	assert_int_equal(a->n_spaces, b->n_spaces);
	for (uint32_t i = 0; i < a->n_spaces; i++) {
		const struct vector_space *x = &a->spaces[i], *y = &b->spaces[i];
		assert_string_equal(x->name, y->name);
		assert_int_equal(x->dim, y->dim);
		assert_int_equal(x->distance, y->distance);
		assert_int_equal(x->datatype, y->datatype);
		assert_same_index(&x->index, &y->index);
	}
	assert_int_equal(a->n_sparse, b->n_sparse);
	for (uint32_t i = 0; i < a->n_sparse; i++) {
		assert_string_equal(a->sparse[i].name, b->sparse[i].name);
		assert_int_equal(a->sparse[i].idf, b->sparse[i].idf);
	}
	assert_int_equal(a->n_fields, b->n_fields);
	for (uint32_t i = 0; i < a->n_fields; i++) {
		const struct payload_field *x = &a->fields[i], *y = &b->fields[i];
		assert_string_equal(x->path.text, y->path.text);
		assert_int_equal(x->path.n_steps, y->path.n_steps);
		assert_int_equal(x->type, y->type);
		assert_same_text(&x->text, &y->text);
		assert_int_equal(x->phrase, y->phrase);
		assert_same_slice(x->params, y->params);
	}
	assert_same_slice(a->body, b->body);
}

static void the_codec_keeps_everything(void **state)
{
	struct collection *c = sample(), *copy;
	struct buf b = BUF_INIT;
	collection_encode(&b, c);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(collection_decode(&r, &copy, NULL), 0);
	assert_true(reader_done(&r));
	/* Nothing may be borrowed from the bytes. */
	memset(b.data, 0xEE, b.len);
	assert_same(c, copy);
	buf_fini(&b);
	collection_unref(c);
	collection_unref(copy);
}

static void a_clone_is_independent(void **state)
{
	struct collection *c = sample();
	struct collection *copy = collection_clone(c);
	assert_int_equal(copy->refs, 1);
	assert_same(c, copy);
	copy->spaces[0].dim = 5;
	copy->n_fields = 0;
	assert_int_equal(c->spaces[0].dim, 4);
	assert_int_equal(c->n_fields, 3);
	struct collection *twice = collection_ref(copy);
	assert_ptr_equal(twice, copy);
	collection_unref(c);
	collection_unref(copy);
	assert_string_equal(twice->name, "caf\xC3\xA9");
	assert_string_equal(twice->spaces[1].name, "img");
	collection_unref(twice);
	collection_unref(NULL);
}

static void spaces_and_fields_are_found_by_name(void **state)
{
	struct collection *c = sample();
	assert_int_equal(collection_space(c, "", 0), 0);
	assert_int_equal(collection_space(c, "imgs", 3), 1);
	assert_int_equal(collection_space(c, "im", 2), -1);
	assert_int_equal(collection_space(c, "bm25", 4), -1);
	assert_int_equal(collection_sparse(c, "splade", 6), 1);
	assert_int_equal(collection_sparse(c, "", 0), -1);
	assert_ptr_equal(collection_field(c, "text"), &c->fields[1]);
	assert_null(collection_field(c, "metadata"));
	collection_unref(c);
}

static int decode(struct reader *r, struct arena *arena)
{
	struct collection *c;
	struct error err = {0};
	int rc = collection_decode(r, &c, &err);
	if (rc != 0) {
		assert_null(c);
		assert_true(err.text[0] != '\0');
		return rc;
	}
	struct buf b = BUF_INIT;
	collection_encode(&b, c);
	struct collection *copy = collection_clone(c);
	assert_same(c, copy);
	collection_unref(copy);
	collection_unref(c);
	buf_fini(&b);
	return 0;
}

static void damaged_bytes_are_refused_or_usable(void **state)
{
	struct collection *c = sample();
	struct buf b = BUF_INIT;
	collection_encode(&b, c);
	assert_decoder_is_safe(decode, b.data, b.len);
	buf_fini(&b);
	collection_unref(c);
}

/* Encodes what a change makes of the sample; it must be refused. */
static void assert_refused(void (*change)(struct collection *c))
{
	struct collection *c = sample(), *copy;
	struct buf b = BUF_INIT;
	change(c);
	collection_encode(&b, c);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(collection_decode(&r, &copy, NULL), ERR_FORMAT);
	assert_null(copy);
	buf_fini(&b);
	collection_unref(c);
}

static void no_partitions(struct collection *c)
{
	c->n_partitions = 0;
}

static void too_many_partitions(struct collection *c)
{
	c->n_partitions = LIMIT_PARTITIONS + 1;
}

static void no_replicas(struct collection *c)
{
	c->replication_factor = 0;
}

static void same_space_twice(struct collection *c)
{
	c->spaces[1].name = "";
}

static void same_name_dense_and_sparse(struct collection *c)
{
	c->sparse[1].name = "img";
}

static void same_field_twice(struct collection *c)
{
	c->fields[2].path = c->fields[0].path;
}

static void no_dimension(struct collection *c)
{
	c->spaces[0].dim = 0;
}

static void dimension_too_large(struct collection *c)
{
	c->spaces[0].dim = LIMIT_DIMENSION + 1;
}

static void bad_name(struct collection *c)
{
	c->name = "a/b";
}

static void what_is_out_of_bounds_is_refused(void **state)
{
	assert_refused(no_partitions);
	assert_refused(too_many_partitions);
	assert_refused(no_replicas);
	assert_refused(same_space_twice);
	assert_refused(same_name_dense_and_sparse);
	assert_refused(same_field_twice);
	assert_refused(no_dimension);
	assert_refused(dimension_too_large);
	assert_refused(bad_name);
	const uint8_t newer[] = {99, 1, 2, 3};
	struct collection *c;
	struct error err = {0};
	struct reader r = reader_make(newer, sizeof(newer));
	assert_int_equal(collection_decode(&r, &c, &err), ERR_VERSION);
	assert_non_null(strstr(err.text, "another version"));
}

static void collection_names(void **state)
{
	char name[LIMIT_NAME_BYTES + 1];
	memset(name, 'n', sizeof(name));
	assert_true(collection_name_ok(name, LIMIT_NAME_BYTES));
	assert_false(collection_name_ok(name, LIMIT_NAME_BYTES + 1));
	assert_false(collection_name_ok(name, 0));
	assert_true(collection_name_ok("a b.c-\xC3\xBC", 8));
	assert_true(collection_name_ok("...", 3));
	assert_false(collection_name_ok(".", 1));
	assert_false(collection_name_ok("..", 2));
	assert_false(collection_name_ok("a\xFF", 2));
	for (const char *c = "<>:\"/\\|?*\x1F"; *c != '\0'; c++) {
		name[3] = *c;
		assert_false(collection_name_ok(name, 10));
	}
	name[3] = '\0';
	assert_false(collection_name_ok(name, 10));
}

static void names_of_enumerations(void **state)
{
	enum distance d;
	enum tokenizer t;
	enum field_type f;
	enum index_kind k;
	enum quantizer q;
	enum datatype y;
	assert_int_equal(distance_parse("Euclid", 6, &d), 0);
	assert_int_equal(d, DISTANCE_EUCLID);
	assert_int_equal(distance_parse("euclid", 6, &d), ERR_INPUT);
	assert_int_equal(distance_parse("Euclidean", 9, &d), ERR_INPUT);
	assert_int_equal(distance_parse("", 0, &d), ERR_INPUT);
	assert_string_equal(distance_name(DISTANCE_MANHATTAN), "Manhattan");
	assert_int_equal(tokenizer_parse("multilingual", 12, &t), 0);
	assert_string_equal(tokenizer_name(t), "multilingual");
	assert_int_equal(field_type_parse("datetime", 8, &f), 0);
	assert_string_equal(field_type_name(f), "datetime");
	assert_int_equal(index_kind_parse("ivf", 3, &k), 0);
	assert_string_equal(index_kind_name(k), "ivf");
	assert_int_equal(quantizer_parse("binary", 6, &q), 0);
	assert_string_equal(quantizer_name(q), "binary");
	assert_int_equal(datatype_parse("float16", 7, &y), 0);
	assert_string_equal(datatype_name(y), "float16");
	assert_true(distance_larger_is_better(DISTANCE_DOT));
	assert_false(distance_larger_is_better(DISTANCE_EUCLID));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_codec_keeps_everything),
		cmocka_unit_test(a_clone_is_independent),
		cmocka_unit_test(spaces_and_fields_are_found_by_name),
		cmocka_unit_test(damaged_bytes_are_refused_or_usable),
		cmocka_unit_test(what_is_out_of_bounds_is_refused),
		cmocka_unit_test(collection_names),
		cmocka_unit_test(names_of_enumerations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
