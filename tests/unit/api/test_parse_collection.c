/* Collections from JSON: create, patch, payload index schemas; and what CollectionInfo gives back. */
#include "tests/unit/api/fixture.h"

#include "api/render.h"

static struct collection *parse(struct fixture *f, const char *text)
{
	struct collection *c = NULL;

	expect_ok(f, text, parse_collection(&f->p, "books", fixture_json(f, text), &c));
	assert_non_null(c);
	return c;
}

static void test_create(void **state)
{
	struct fixture f;
	struct collection *c;

	fixture_init(&f);
	c = parse(&f, "{\"vectors\":{\"size\":128,\"distance\":\"Euclid\",\"on_disk\":true},"
		      "\"shard_number\":3,\"replication_factor\":2}");
	assert_int_equal(c->n_spaces, 1);
	assert_string_equal(c->spaces[0].name, "");
	assert_int_equal(c->spaces[0].dim, 128);
	assert_int_equal(c->spaces[0].distance, DISTANCE_EUCLID);
	assert_int_equal(c->spaces[0].index.kind, INDEX_HNSW);
	assert_int_equal(c->spaces[0].index.m, 16);
	assert_int_equal(c->n_partitions, 3);
	assert_int_equal(c->replication_factor, 2);
	collection_unref(c);

	c = parse(
		&f,
		"{\"vectors\":{\"\":{\"size\":4,\"distance\":\"Cosine\",\"hnsw_config\":{\"m\":32}},"
		"\"size\":{\"size\":2,\"distance\":\"Dot\",\"datatype\":\"float16\"}},"
		"\"sparse_vectors\":{\"w\":{\"modifier\":\"idf\",\"index\":{\"on_disk\":false}},"
		"\"x\":{}},\"hnsw_config\":{\"ef_construct\":200},\"quantization_config\":{"
		"\"scalar\":{\"type\":\"int8\"}}}");
	assert_int_equal(c->n_spaces, 2);
	assert_string_equal(c->spaces[1].name, "size");
	assert_int_equal(c->spaces[0].index.m, 32);
	assert_int_equal(c->spaces[1].index.m, 16);
	assert_int_equal(c->spaces[1].index.ef_construct, 200);
	assert_int_equal(c->spaces[0].index.quantizer, QUANTIZER_SQ8);
	assert_int_equal(c->spaces[1].datatype, DATATYPE_FLOAT16);
	assert_int_equal(c->n_sparse, 2);
	assert_true(c->sparse[0].idf && !c->sparse[1].idf);
	collection_unref(c);

	/* The tenant form of one framework: no common graph, one per tenant. */
	c = parse(&f, "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"},\"hnsw_config\":{\"m\":0,"
		      "\"payload_m\":16,\"ef_construct\":100,\"full_scan_threshold\":10000,"
		      "\"max_indexing_threads\":0,\"on_disk\":false}}");
	assert_int_equal(c->spaces[0].index.kind, INDEX_HNSW);
	assert_int_equal(c->spaces[0].index.m, 16);
	collection_unref(c);
	c = parse(&f,
		  "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"},\"hnsw_config\":{\"m\":0}}");
	assert_int_equal(c->spaces[0].index.kind, INDEX_FLAT);
	collection_unref(c);

	c = parse(&f, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"index\":{\"type\":\"ivf\","
		      "\"nlist\":64,\"nprobe\":8,\"quantizer\":\"pq\"}}");
	assert_int_equal(c->spaces[0].index.kind, INDEX_IVF);
	assert_int_equal(c->spaces[0].index.nlist, 64);
	assert_int_equal(c->spaces[0].index.nprobe, 8);
	assert_int_equal(c->spaces[0].index.quantizer, QUANTIZER_PQ);
	assert_false(c->spaces[0].index.by_faiss);
	assert_false(c->spaces[0].index.rows_on_disk);
	collection_unref(c);

	c = parse(&f, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"on_disk\":true},"
		      "\"index\":{\"type\":\"hnsw\",\"builder\":\"faiss\"}}");
	assert_int_equal(c->spaces[0].index.kind, INDEX_HNSW);
	assert_true(c->spaces[0].index.by_faiss);
	assert_true(c->spaces[0].index.rows_on_disk);
	collection_unref(c);

	c = parse(&f, "{\"sparse_vectors\":{\"w\":{}},\"wal_config\":null,\"metadata\":{\"a\":1}}");
	assert_int_equal(c->n_spaces, 0);
	collection_unref(c);
	collection_unref(parse(&f, "{}"));
	fixture_fini(&f);
}

#define VECTORS "\"vectors\":{\"size\":4,\"distance\":\"Dot\"}"

static void test_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"[]", ERR_FORMAT, "body"},
		{"{\"vectors\":5}", ERR_FORMAT, "vectors"},
		{"{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}", ERR_VALIDATION,
		 "vectors.size: value 0 invalid, must be from 1 to 65536"},
		{"{\"vectors\":{\"size\":65537,\"distance\":\"Dot\"}}", ERR_VALIDATION,
		 "vectors.size: value 65537 invalid, must be from 1 to 65536"},
		{"{\"vectors\":{\"size\":-4,\"distance\":\"Dot\"}}", ERR_FORMAT, "size"},
		{"{\"vectors\":{\"size\":4}}", ERR_FORMAT, "distance"},
		{"{\"vectors\":{\"distance\":\"Dot\"}}", ERR_FORMAT, "size"},
		{"{\"vectors\":{\"size\":4,\"distance\":\"Angle\"}}", ERR_FORMAT, "`Angle`"},
		{"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"int4\"}}",
		 ERR_FORMAT, "`int4`"},
		{"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"memory\":1}}", ERR_UNSUPPORTED,
		 "`memory`"},
		{"{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"multivector_config\":{}}}",
		 ERR_UNSUPPORTED, "multivector_config"},
		{"{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"}},\"sparse_vectors\":{\"a\":{}}}",
		 ERR_INPUT, "used twice"},
		{"{\"vectors\":{\"a\":null}}", ERR_FORMAT, "vectors"},
		{"{" VECTORS ",\"hnsw_config\":{\"ef_construct\":3}}", ERR_VALIDATION,
		 "hnsw_config.ef_construct: value 3 invalid"},
		{"{" VECTORS ",\"hnsw_config\":{\"m\":100000}}", ERR_VALIDATION, "hnsw_config.m"},
		{"{" VECTORS ",\"hnsw_config\":{\"depth\":1}}", ERR_UNSUPPORTED, "`depth`"},
		{"{" VECTORS ",\"shard_number\":0}", ERR_VALIDATION, "shard_number"},
		{"{" VECTORS ",\"shard_number\":100000}", ERR_VALIDATION, "shard_number"},
		{"{" VECTORS ",\"replication_factor\":0}", ERR_VALIDATION, "replication_factor"},
		{"{" VECTORS ",\"sharding_method\":\"custom\"}", ERR_UNSUPPORTED, "`custom`"},
		{"{" VECTORS ",\"init_from\":{\"collection\":\"x\"}}", ERR_UNSUPPORTED,
		 "`init_from`"},
		{"{" VECTORS ",\"strict_mode_config\":{\"enabled\":true}}", ERR_UNSUPPORTED,
		 "strict_mode_config"},
		{"{" VECTORS ",\"optimizers_config\":{\"deleted_threshold\":2}}", ERR_VALIDATION,
		 "deleted_threshold"},
		{"{" VECTORS ",\"wal_config\":{\"wal_capacity_mb\":0}}", ERR_VALIDATION,
		 "wal_capacity_mb"},
		{"{" VECTORS ",\"index\":{\"type\":\"tree\"}}", ERR_FORMAT, "tree"},
		{"{" VECTORS ",\"index\":{\"nlist\":5}}", ERR_FORMAT, "type"},
		{"{" VECTORS ",\"index\":{\"type\":\"hnsw\",\"builder\":\"me\"}}", ERR_FORMAT,
		 "index.builder: expected quiver or faiss"},
		{"{" VECTORS ",\"index\":{\"type\":\"ivf\",\"nlist\":0}}", ERR_VALIDATION,
		 "index.nlist"},
		{"{" VECTORS ",\"on_disk_payload\":1}", ERR_FORMAT, "on_disk_payload"},
		{"{" VECTORS ",\"metadata\":[]}", ERR_FORMAT, "metadata"},
		{"{\"sparse_vectors\":{\"w\":{\"modifier\":\"tf\"}}}", ERR_FORMAT, "modifier"},
		{"{\"sparse_vectors\":{\"w\":{\"size\":4}}}", ERR_UNSUPPORTED, "`size`"},
	};
	static const char *const names[] = {"", "a/b", "a:b", "x*", "q?", "<", "|", "a\"b"};
	struct fixture f;
	struct collection *c;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++) {
		expect_refusal(&f, &rows[i],
			       parse_collection(&f.p, "books", fixture_json(&f, rows[i].body), &c));
		assert_null(c);
	}
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(parse_collection(&f.p, names[i], fixture_json(&f, "{" VECTORS "}"),
						  &c),
				 ERR_INPUT);
	fixture_fini(&f);
}

static void expect_echo(const struct collection *c, const char *words)
{
	struct rpc_info_response total = {.points = 7};
	struct buf b = BUF_INIT;

	render_collection_info(&b, c, &total);
	buf_put_u8(&b, 0);
	if (strstr((const char *)b.data, words) == NULL)
		fail_msg("%s lacks %s", (const char *)b.data, words);
	buf_fini(&b);
}

static void test_refused_codes(void **state)
{
	static const struct refusal rows[] = {
		{"{" VECTORS ",\"quantization_config\":{}}", ERR_FORMAT, "quantization_config"},
		{"{" VECTORS ",\"quantization_config\":{\"scalar\":{\"type\":\"int4\"}}}",
		 ERR_FORMAT, "int8"},
		{"{" VECTORS ",\"quantization_config\":{\"product\":{\"compression\":\"x3\"}}}",
		 ERR_FORMAT, "x4"},
		{"{" VECTORS ",\"quantization_config\":{\"product\":{\"compression\":\"x8\"}}}",
		 ERR_UNSUPPORTED, "quantization_config.product"},
		{"{" VECTORS ",\"quantization_config\":{\"binary\":{\"encoding\":\"two_bits\"}}}",
		 ERR_UNSUPPORTED, "`two_bits`"},
		{"{" VECTORS
		 ",\"quantization_config\":{\"binary\":{}},\"index\":{\"type\":\"ivf\"}}",
		 ERR_UNSUPPORTED, "quantization_config.binary"},
		{"{" VECTORS ",\"quantization_config\":{\"binary\":{}},\"hnsw_config\":{\"m\":0}}",
		 ERR_UNSUPPORTED, "without an index"},
	};
	struct fixture f;
	struct collection *c;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++) {
		expect_refusal(&f, &rows[i],
			       parse_collection(&f.p, "c", fixture_json(&f, rows[i].body), &c));
		assert_null(c);
	}
	fixture_fini(&f);
}

static void test_echo(void **state)
{
	struct fixture f;
	struct collection *c;

	fixture_init(&f);
	c = parse(&f,
		  "{\"vectors\":{\"\":{\"distance\":\"Dot\",\"size\":4}},\"hnsw_config\":{\"m\":32,"
		  "\"payload_m\":4,\"on_disk\":null},\"metadata\":{\"z\":1,\"a\":2.0}}");
	expect_echo(c, "\"vectors\":{\"\":{\"distance\":\"Dot\",\"size\":4}}");
	expect_echo(c,
		    "\"hnsw_config\":{\"m\":32,\"ef_construct\":100,\"full_scan_threshold\":10000,"
		    "\"max_indexing_threads\":0,\"on_disk\":false,\"payload_m\":4}");
	expect_echo(c, "\"max_segment_size\":null");
	expect_echo(c, "\"metadata\":{\"z\":1,\"a\":2.0}");
	expect_echo(c, "\"quantization_config\":null");
	expect_echo(c, "\"points_count\":7");
	collection_unref(c);
	c = parse(&f, "{\"sparse_vectors\":{\"w\":{}}}");
	expect_echo(c, "\"vectors\":{},\"sparse_vectors\":{\"w\":{}}");
	collection_unref(c);
	fixture_fini(&f);
}

static struct collection *patch(struct fixture *f, const struct collection *c, const char *text)
{
	struct collection *next = NULL;

	f->p.collection = c;
	expect_ok(f, text, parse_collection_patch(&f->p, fixture_json(f, text), &next));
	f->p.collection = f->collection;
	return next;
}

static void test_patch(void **state)
{
	struct fixture f;
	struct collection *c, *next;

	fixture_init(&f);
	c = parse(
		&f,
		"{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"metadata\":{\"a\":1,\"b\":{\"x\":1}},"
		"\"hnsw_config\":{\"m\":8}}");
	next = patch(&f, c,
		     "{\"vectors\":{\"\":{\"hnsw_config\":{\"m\":40},\"on_disk\":true}},"
		     "\"metadata\":{\"a\":null,\"b\":{\"y\":2},\"c\":3},\"params\":{"
		     "\"replication_factor\":3,\"on_disk_payload\":false},"
		     "\"optimizers_config\":{\"indexing_threshold\":5}}");
	assert_int_equal(next->spaces[0].index.m, 40);
	assert_int_equal(next->spaces[0].dim, 4);
	assert_int_equal(next->replication_factor, 3);
	expect_echo(next, "\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":40},"
			  "\"on_disk\":true}");
	expect_echo(next, "\"metadata\":{\"b\":{\"y\":2},\"c\":3}");
	expect_echo(next, "\"on_disk_payload\":false");
	expect_echo(next, "\"indexing_threshold\":5");
	expect_echo(next, "\"hnsw_config\":{\"m\":8,");
	collection_unref(c);
	c = next;
	next = patch(&f, c, "{\"quantization_config\":{\"binary\":{}}}");
	assert_int_equal(next->spaces[0].index.quantizer, QUANTIZER_BINARY);
	collection_unref(c);
	c = next;
	next = patch(&f, c, "{\"quantization_config\":\"Disabled\"}");
	assert_int_equal(next->spaces[0].index.quantizer, QUANTIZER_NONE);
	expect_echo(next, "\"quantization_config\":null");
	collection_unref(c);
	collection_unref(next);
	fixture_fini(&f);
}

static void test_patch_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"[]", ERR_FORMAT, "body"},
		{"{\"shard_number\":2}", ERR_UNSUPPORTED, "`shard_number`"},
		{"{\"vectors\":{\"nope\":{}}}", ERR_INPUT, "Not existing vector name error: nope"},
		{"{\"vectors\":{\"\":{\"size\":5}}}", ERR_UNSUPPORTED, "`size`"},
		{"{\"vectors\":{\"\":{\"hnsw_config\":{\"ef_construct\":1}}}}", ERR_VALIDATION,
		 "ef_construct"},
		{"{\"sparse_vectors\":{\"w\":{}}}", ERR_INPUT, "Not existing vector name error: w"},
		{"{\"params\":{\"shard_number\":2}}", ERR_UNSUPPORTED, "`shard_number`"},
		{"{\"hnsw_config\":5}", ERR_FORMAT, "hnsw_config"},
	};
	struct fixture f;
	struct collection *c, *next;

	fixture_init(&f);
	c = parse(&f, "{" VECTORS "}");
	f.p.collection = c;
	for (size_t i = 0; i < COUNT(rows); i++) {
		expect_refusal(&f, &rows[i],
			       parse_collection_patch(&f.p, fixture_json(&f, rows[i].body), &next));
		assert_null(next);
	}
	collection_unref(c);
	fixture_fini(&f);
}

static void test_schema_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"{}", ERR_FORMAT, "field_name"},
		{"{\"field_name\":\"a\"}", ERR_INPUT, "field_schema"},
		{"{\"field_name\":5,\"field_schema\":\"keyword\"}", ERR_FORMAT, "field_name"},
		{"{\"field_name\":\"a\",\"field_schema\":\"json\"}", ERR_FORMAT, "`json`"},
		{"{\"field_name\":\"a\",\"field_schema\":{}}", ERR_FORMAT, "type"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"tokenizer\":\"ngram\"}}",
		 ERR_FORMAT, "ngram"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{}}}",
		 ERR_FORMAT, "type"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{\"type\":"
		 "\"snowball\",\"language\":\"klingon\"}}}",
		 ERR_UNSUPPORTED, "`klingon`"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{\"type\":"
		 "\"magic\"}}}",
		 ERR_UNSUPPORTED, "`magic`"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stopwords\":\"tamil\"}}",
		 ERR_UNSUPPORTED, "`tamil`"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stopwords\":{\"custom\":"
		 "[1]}}}",
		 ERR_FORMAT, "stopwords.custom"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stopwords\":[\"the\"]}}",
		 ERR_FORMAT, "stopwords"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"min_token_len\":5,"
		 "\"max_token_len\":2}}",
		 ERR_VALIDATION, "min_token_len"},
		{"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"magic\":1}}",
		 ERR_UNSUPPORTED, "`magic`"},
	};
	struct fixture f;
	struct payload_field field;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refusal(&f, &rows[i],
			       parse_payload_field(&f.p, fixture_json(&f, rows[i].body), &field));
	fixture_fini(&f);
}

static void test_schema(void **state)
{
	struct fixture f;
	struct payload_field field;

	fixture_init(&f);
	expect_ok(&f, "keyword",
		  parse_payload_field(
			  &f.p,
			  fixture_json(&f, "{\"field_name\":\"metadata.id\",\"field_schema\":"
					   "\"keyword\"}"),
			  &field));
	assert_int_equal(field.type, FIELD_KEYWORD);
	assert_string_equal(field.path.text, "metadata.id");
	expect_ok(&f, "text",
		  parse_payload_field(
			  &f.p,
			  fixture_json(&f,
				       "{\"field_name\":\"t\",\"field_schema\":{\"type\":\"text\","
				       "\"tokenizer\":\"multilingual\",\"min_token_len\":2,"
				       "\"max_token_len\":20,\"lowercase\":false}}"),
			  &field));
	assert_int_equal(field.text.tokenizer, TOKENIZER_MULTILINGUAL);
	assert_int_equal(field.text.max_token_len, 20);
	assert_false(field.text.lowercase);
	assert_int_equal(pv_type(pv_of(field.params.bytes)), PV_OBJECT);
	expect_ok(&f, "stop words",
		  parse_payload_field(
			  &f.p,
			  fixture_json(
				  &f, "{\"field_name\":\"t\",\"field_schema\":{\"type\":\"text\","
				      "\"ascii_folding\":true,\"phrase_matching\":true,\"stemmer\":"
				      "{\"type\":\"snowball\",\"language\":\"german\"},"
				      "\"stopwords\":{\"languages\":[\"german\",\"en\"],\"custom\":"
				      "[\"GmbH\",\"ag\"]}}}"),
			  &field));
	assert_true(field.text.ascii_folding && field.phrase && field.text.lowercase);
	assert_int_equal(field.text.stemmer, LANGUAGE_GERMAN);
	assert_int_equal(field.text.stop_languages, 1u << LANGUAGE_GERMAN | 1u << LANGUAGE_ENGLISH);
	assert_int_equal(field.text.n_stop_words, 2);
	assert_string_equal(field.text.stop_words[1].s, "gmbh");
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_patch_refusals),
		cmocka_unit_test(test_schema),
		cmocka_unit_test(test_schema_refusals),
		cmocka_unit_test(test_refused_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
