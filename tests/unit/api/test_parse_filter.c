/* Filters from JSON: every condition, what is refused, and the bounds on size and depth. */
#include "tests/unit/api/fixture.h"

static struct filter *parse(struct fixture *f, const char *text)
{
	struct filter *filter = NULL;

	expect_ok(f, text, parse_filter(&f->p, fixture_json(f, text), &filter));
	assert_non_null(filter);
	return filter;
}

static const struct cond *only_must(const struct filter *filter)
{
	assert_int_equal(filter->n_must, 1);
	assert_int_equal(filter->n_should + filter->n_must_not + filter->n_min_should, 0);
	return &filter->must[0];
}

static void test_match(void **state)
{
	struct fixture f;
	const struct cond *c;

	fixture_init(&f);
	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a.b\",\"match\":{\"value\":\"x\"}}]}"));
	assert_int_equal(c->type, COND_MATCH_ANY);
	assert_int_equal(c->path.n_steps, 2);
	assert_int_equal(c->n_values, 1);
	assert_int_equal(c->values[0].kind, MATCH_STRING);
	assert_memory_equal(c->values[0].s, "x", 1);

	c = only_must(parse(&f, "{\"must\":{\"key\":\"a\",\"match\":{\"value\":-7}}}"));
	assert_int_equal(c->values[0].kind, MATCH_INT);
	assert_int_equal(c->values[0].i, -7);

	c = only_must(parse(&f, "{\"must\":{\"key\":\"a\",\"match\":{\"value\":true}}}"));
	assert_int_equal(c->values[0].kind, MATCH_BOOL);
	assert_int_equal(c->values[0].i, 1);

	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,2,3]}}]}"));
	assert_int_equal(c->type, COND_MATCH_ANY);
	assert_int_equal(c->n_values, 3);
	assert_int_equal(c->values[2].i, 3);

	c = only_must(
		parse(&f, "{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[\"p\",\"q\"]}}]}"));
	assert_int_equal(c->type, COND_MATCH_EXCEPT);
	assert_int_equal(c->n_values, 2);

	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[]}}]}"));
	assert_int_equal(c->n_values, 0);

	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"two words\"}}]}"));
	assert_int_equal(c->type, COND_MATCH_TEXT);
	assert_int_equal(c->text_n, 9);
	fixture_fini(&f);
}

static void test_ranges(void **state)
{
	struct fixture f;
	const struct cond *c;

	fixture_init(&f);
	c = only_must(parse(&f, "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":1,\"lt\":2.5,"
				"\"gt\":null}}]}"));
	assert_int_equal(c->type, COND_RANGE);
	assert_true(c->range.has_gte && c->range.has_lt);
	assert_false(c->range.has_gt || c->range.has_lte);
	assert_true(c->range.gte == 1 && c->range.lt == 2.5);

	c = only_must(parse(&f,
			    "{\"must\":[{\"key\":\"d\",\"range\":{\"gt\":\"1970-01-01T00:00:01Z\","
			    "\"lte\":\"1970-01-02\"}}]}"));
	assert_int_equal(c->type, COND_DATETIME_RANGE);
	assert_int_equal(c->range.gt_us, 1000000);
	assert_true(c->range.lte_us == 86400ll * 1000000);

	c = only_must(parse(&f, "{\"must\":[{\"key\":\"n\",\"values_count\":{\"gte\":2}}]}"));
	assert_int_equal(c->type, COND_VALUES_COUNT);
	assert_true(c->range.has_gte && c->range.gte == 2);
	fixture_fini(&f);
}

static void test_presence(void **state)
{
	struct fixture f;
	const struct cond *c;

	fixture_init(&f);
	c = only_must(parse(&f, "{\"must\":[{\"is_empty\":{\"key\":\"a.b\"}}]}"));
	assert_int_equal(c->type, COND_IS_EMPTY);
	c = only_must(parse(&f, "{\"must\":[{\"is_null\":{\"key\":\"a\"}}]}"));
	assert_int_equal(c->type, COND_IS_NULL);
	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a\",\"is_null\":true}]}"));
	assert_int_equal(c->type, COND_IS_NULL);
	c = only_must(parse(&f, "{\"must\":[{\"key\":\"a\",\"is_empty\":false}]}"));
	assert_int_equal(c->type, COND_FILTER);
	assert_int_equal(c->filter->n_must_not, 1);
	assert_int_equal(c->filter->must_not[0].type, COND_IS_EMPTY);
	c = only_must(
		parse(&f,
		      "{\"must\":[{\"has_id\":[5,\"00000000-0000-0000-0000-0000000000ff\"]}]}"));
	assert_int_equal(c->type, COND_HAS_ID);
	assert_int_equal(c->n_ids, 2);
	assert_int_equal(c->ids[0].lo, 5);
	assert_int_equal(c->ids[1].kind, ID_UUID);
	c = only_must(parse(&f, "{\"must\":[{\"has_vector\":\"image\"}]}"));
	assert_int_equal(c->type, COND_HAS_VECTOR);
	assert_memory_equal(c->text, "image", 5);
	fixture_fini(&f);
}

static void test_geo(void **state)
{
	struct fixture f;
	const struct cond *c;

	fixture_init(&f);
	c = only_must(parse(&f,
			    "{\"must\":[{\"key\":\"p\",\"geo_radius\":{\"center\":{\"lon\":13.4,"
			    "\"lat\":52.5},\"radius\":1000}}]}"));
	assert_int_equal(c->type, COND_GEO_RADIUS);
	assert_true(c->center.lat == 52.5 && c->radius_m == 1000);
	c = only_must(parse(&f, "{\"must\":[{\"key\":\"p\",\"geo_bounding_box\":{\"top_left\":{"
				"\"lon\":1,\"lat\":4},\"bottom_right\":{\"lon\":3,\"lat\":2}}}]}"));
	assert_int_equal(c->type, COND_GEO_BOX);
	assert_true(c->corner.lon == 3);
	c = only_must(parse(
		&f,
		"{\"must\":[{\"key\":\"p\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,"
		"\"lat\":0},{\"lon\":0,\"lat\":9},{\"lon\":9,\"lat\":9},{\"lon\":0,\"lat\":0}]},"
		"\"interiors\":[{\"points\":[{\"lon\":1,\"lat\":1},{\"lon\":1,\"lat\":2},{\"lon\":2,"
		"\"lat\":2},{\"lon\":1,\"lat\":1}]}]}}]}"));
	assert_int_equal(c->type, COND_GEO_POLYGON);
	assert_int_equal(c->n_rings, 2);
	assert_int_equal(c->rings[1].n, 4);
	fixture_fini(&f);
}

static void test_nesting(void **state)
{
	struct fixture f;
	struct filter *filter;
	const struct cond *c;

	fixture_init(&f);
	filter = parse(
		&f, "{\"must\":[],\"should\":[{\"key\":\"a\",\"match\":{\"value\":1}},"
		    "{\"must_not\":[{\"has_id\":[1]}]}],\"min_should\":{\"conditions\":[{\"has_id\""
		    ":[1]},{\"has_id\":[2]}],\"min_count\":1}}");
	assert_int_equal(filter->n_must, 0);
	assert_int_equal(filter->n_should, 2);
	assert_int_equal(filter->should[1].type, COND_FILTER);
	assert_int_equal(filter->n_min_should, 2);
	assert_int_equal(filter->min_count, 1);

	c = only_must(parse(&f, "{\"must\":[{\"nested\":{\"key\":\"diet[]\",\"filter\":{\"must\":[{"
				"\"key\":\"food\",\"match\":{\"value\":\"meat\"}}]}}}]}"));
	assert_int_equal(c->type, COND_NESTED);
	assert_int_equal(c->path.n_steps, 1);
	assert_string_equal(c->path.text, "diet"); /* what other nodes get */
	assert_int_equal(c->filter->n_must, 1);

	/* Two kinds in one condition are alternatives. */
	c = only_must(
		parse(&f,
		      "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}"));
	assert_int_equal(c->type, COND_FILTER);
	assert_int_equal(c->filter->n_should, 2);
	assert_int_equal(c->filter->should[0].path.n_steps, 1);

	assert_true(filter_is_trivial(parse(&f, "{}")));
	assert_true(filter_is_trivial(parse(&f, "{\"must\":null,\"should\":[]}")));
	fixture_fini(&f);
}

static void test_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"[]", ERR_FORMAT, "expected an object"},
		{"{\"must\":5}", ERR_FORMAT, "expected an array"},
		{"{\"must\":[5]}", ERR_FORMAT, "expected an object"},
		{"{\"must\":[null]}", ERR_FORMAT, "expected an object"},
		{"{\"mustt\":[]}", ERR_UNSUPPORTED, "`mustt`"},
		{"{\"must\":[{\"key\":\"a\"}]}", ERR_VALIDATION, "says nothing"},
		{"{\"must\":[{\"key\":5,\"match\":{\"value\":1}}]}", ERR_FORMAT, "key"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{}}]}", ERR_FORMAT, "expected one of"},
		{"{\"must\":[{\"key\":\"a\",\"match\":5}]}", ERR_FORMAT,
		 "match: expected an object"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1.5}}]}", ERR_FORMAT, "floating"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":[1]}}]}", ERR_FORMAT,
		 "match.value"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":18446744073709551615}}]}",
		 ERR_FORMAT, "2^63"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,\"x\"]}}]}", ERR_FORMAT,
		 "strings and integers"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[true]}}]}", ERR_FORMAT,
		 "strings or"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1.5]}}]}", ERR_FORMAT, "match.any"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"any\":1}}]}", ERR_FORMAT, "an array"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"text\":1}}]}", ERR_FORMAT, "a string"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"prefix\":\"x\"}}]}", ERR_UNSUPPORTED,
		 "`prefix`"},
		{"{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1,\"any\":[1]}}]}", ERR_FORMAT,
		 "expected one of"},
		{"{\"must\":[{\"key\":\"a\",\"fuzzy\":{}}]}", ERR_UNSUPPORTED, "`fuzzy`"},
		{"{\"must\":[{\"slice\":{\"total\":4}}]}", ERR_UNSUPPORTED, "`slice`"},
		{"{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"soon\"}}]}", ERR_FORMAT, "no date"},
		{"{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":true}}]}", ERR_FORMAT,
		 "numbers or dates"},
		{"{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":1,\"lt\":\"2020-01-01\"}}]}",
		 ERR_FORMAT, "numbers and dates"},
		{"{\"must\":[{\"key\":\"a\",\"range\":{\"above\":1}}]}", ERR_UNSUPPORTED,
		 "`above`"},
		{"{\"must\":[{\"key\":\"a\",\"values_count\":{\"gt\":-1}}]}", ERR_FORMAT,
		 "unsigned"},
		{"{\"must\":[{\"has_id\":5}]}", ERR_FORMAT, "an array"},
		{"{\"must\":[{\"has_id\":[-5]}]}", ERR_FORMAT, "valid point ID"},
		{"{\"must\":[{\"has_id\":[\"abc\"]}]}", ERR_FORMAT,
		 "value abc is not a valid point ID"},
		{"{\"must\":[{\"has_id\":[1],\"is_null\":{\"key\":\"a\"}}]}", ERR_UNSUPPORTED, "`"},
		{"{\"must\":[{\"is_empty\":\"a\"}]}", ERR_FORMAT, "is_empty"},
		{"{\"must\":[{\"is_empty\":{}}]}", ERR_FORMAT, "missing field `key`"},
		{"{\"must\":[{\"has_vector\":1}]}", ERR_FORMAT, "has_vector"},
		{"{\"must\":[{\"nested\":{\"key\":\"a\"}}]}", ERR_FORMAT, "nested.filter"},
		{"{\"min_should\":{\"conditions\":[]}}", ERR_FORMAT, "min_count"},
		{"{\"min_should\":{\"min_count\":1}}", ERR_FORMAT, "conditions"},
		{"{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"radius\":1}}]}", ERR_FORMAT,
		 "center"},
		{"{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":0,\"lat\":91},\"radius\":1}}]}",
		 ERR_VALIDATION, "-90..90"},
		{"{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":0,\"lat\":1},\"radius\":-1}}]}",
		 ERR_VALIDATION, "radius"},
		{"{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[]}}}]}",
		 ERR_VALIDATION, "at least 4"},
		{"{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},"
		 "{\"lon\":0,\"lat\":9},{\"lon\":9,\"lat\":9},{\"lon\":1,\"lat\":0}]}}}]}",
		 ERR_VALIDATION, "first and the last"},
	};
	struct fixture f;
	struct filter *filter;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refusal(&f, &rows[i],
			       parse_filter(&f.p, fixture_json(&f, rows[i].body), &filter));
	fixture_fini(&f);
}

static char *repeat(struct fixture *f, const char *open, const char *close, int n)
{
	struct buf b = BUF_INIT;
	char *text;

	for (int i = 0; i < n; i++)
		buf_put(&b, open, strlen(open));
	buf_put(&b, "{}", 2);
	for (int i = 0; i < n; i++)
		buf_put(&b, close, strlen(close));
	text = arena_strndup(f->arena, (const char *)b.data, b.len);
	buf_fini(&b);
	return text;
}

static char *wide(struct fixture *f, int n)
{
	struct buf b = BUF_INIT;
	char *text;

	buf_printf(&b, "{\"must\":[");
	for (int i = 0; i < n; i++)
		buf_printf(&b, "%s{\"has_id\":[1]}", i > 0 ? "," : "");
	buf_printf(&b, "]}");
	text = arena_strndup(f->arena, (const char *)b.data, b.len);
	buf_fini(&b);
	return text;
}

static void test_limits(void **state)
{
	struct fixture f;
	struct filter *filter;
	int rc;

	fixture_init(&f);
	assert_int_equal(parse(&f, wide(&f, LIMIT_FILTER_NODES))->n_must, LIMIT_FILTER_NODES);
	rc = parse_filter(&f.p, fixture_json(&f, wide(&f, LIMIT_FILTER_NODES + 1)), &filter);
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(f.err.text, "conditions"));
	/* Objects alone: one level of JSON for one of the filter. */
	parse(&f, repeat(&f, "{\"must\":", "}", LIMIT_FILTER_DEPTH - 1));
	rc = parse_filter(&f.p, fixture_json(&f, repeat(&f, "{\"must\":", "}", LIMIT_FILTER_DEPTH)),
			  &filter);
	assert_int_equal(rc, ERR_INPUT);
	assert_non_null(strstr(f.err.text, "deep"));
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),    cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_presence), cmocka_unit_test(test_geo),
		cmocka_unit_test(test_nesting),  cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
