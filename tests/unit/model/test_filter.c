/* What every condition means: each line is a condition, a payload, and whether it holds. */
#include "tests/unit/model/conds.h"
#include "tests/unit/model/doc.h"

static const struct collection *schema; /* of the present test; NULL by default */

static int drop_schema(void **state)
{
	collection_unref(schema);
	schema = NULL;
	return clean(state);
}

static bool holds(struct cond c, const char *json)
{
	struct point_id id = id_from_u64(7);
	struct filter_point p = {.id = &id, .payload = doc(arena, json)};
	bool result = cond_match(&c, &p, schema);
	/* Sorted lists must not change anything. */
	struct filter *f = MUST(c);
	filter_prepare(f);
	assert_int_equal(filter_match(f, &p, schema), result);
	return result;
}
#define YES(cond, json) assert_true(holds(cond, json))
#define NO(cond, json)  assert_false(holds(cond, json))

static bool passes(const struct filter *f, const char *json)
{
	struct point_id id = id_from_u64(7);
	struct filter_point p = {.id = &id, .payload = doc(arena, json)};
	return filter_match(f, &p, schema);
}

static void match_is_type_strict(void **state)
{
	struct cond nine = MATCH_ANY("a", int_value(9));
	YES(nine, "{'a':9}");
	NO(nine, "{'a':9.0}");
	NO(nine, "{'a':'9'}");
	NO(nine, "{'a':true}");
	NO(nine, "{'a':null}");
	NO(nine, "{'b':9}");
	NO(nine, "{}");
	NO(nine, "{'a':{'a':9}}");
	struct cond one = MATCH_ANY("a", int_value(1));
	NO(one, "{'a':true}");
	struct cond truth = MATCH_ANY("a", bool_value(true));
	YES(truth, "{'a':true}");
	NO(truth, "{'a':false}");
	NO(truth, "{'a':1}");
	NO(truth, "{'a':'true'}");
	struct cond word = MATCH_ANY("a", string_value("red"));
	YES(word, "{'a':'red'}");
	NO(word, "{'a':'Red'}");
	NO(word, "{'a':'redder'}");
	NO(word, "{'a':''}");
	YES(MATCH_ANY("a", string_value("")), "{'a':''}");
	YES(MATCH_ANY("a", int_value(INT64_MIN)), "{'a':-9223372036854775808}");
	NO(MATCH_ANY("a", int_value(-1)), "{'a':18446744073709551615}");
}

static void match_any_takes_one_of_the_list(void **state)
{
	struct cond c = MATCH_ANY("a", string_value("x"), int_value(3), string_value("b"),
				  bool_value(false), int_value(-4));
	YES(c, "{'a':'b'}");
	YES(c, "{'a':'x'}");
	YES(c, "{'a':3}");
	YES(c, "{'a':-4}");
	YES(c, "{'a':false}");
	NO(c, "{'a':0}");
	NO(c, "{'a':'c'}");
	NO(values_cond(COND_MATCH_ANY, "a", NULL, 0), "{'a':1}");
}

static void arrays_match_by_any_element(void **state)
{
	struct cond c = MATCH_ANY("a", int_value(2));
	YES(c, "{'a':[1,2,3]}");
	NO(c, "{'a':[1,3]}");
	NO(c, "{'a':[]}");
	NO(c, "{'a':[[2]]}");
	YES(MATCH_ANY("a[]", int_value(2)), "{'a':[[2]]}");
	YES(MATCH_ANY("a.b", int_value(2)), "{'a':[{'b':1},{'b':[5,2]}]}");
	YES(MATCH_ANY("a[].b", int_value(2)), "{'a':[{'b':1},{'b':2}]}");
	NO(MATCH_ANY("a[0].b", int_value(2)), "{'a':[{'b':1},{'b':2}]}");
	YES(MATCH_ANY("a[1].b", int_value(2)), "{'a':[{'b':1},{'b':2}]}");
	YES(MATCH_ANY("a.b.c", string_value("x")), "{'a':{'b':{'c':'x'}}}");
	YES(MATCH_ANY("\"a.b\"", int_value(2)), "{'a.b':2}");
}

static void except_wants_a_present_value(void **state)
{
	struct cond c = MATCH_EXCEPT("a", string_value("x"), string_value("y"));
	YES(c, "{'a':'z'}");
	NO(c, "{'a':'x'}");
	NO(c, "{'a':'y'}");
	NO(c, "{'a':null}");
	NO(c, "{}");
	NO(c, "{'a':[]}");
	NO(c, "{'a':[null]}");
	NO(c, "{'a':['x','y']}");
	YES(c, "{'a':['x','z']}");
	YES(c, "{'a':5}");
	YES(c, "{'a':5.5}");
	YES(c, "{'a':true}");
	YES(c, "{'a':{'b':1}}");
	YES(MATCH_EXCEPT("a", int_value(9)), "{'a':9.0}");
	YES(values_cond(COND_MATCH_EXCEPT, "a", NULL, 0), "{'a':1}");
	NO(values_cond(COND_MATCH_EXCEPT, "a", NULL, 0), "{'a':null}");
}

static void text_without_an_index_is_a_substring(void **state)
{
	struct cond c = text_cond(COND_MATCH_TEXT, "a", "good day");
	YES(c, "{'a':'a good day sir'}");
	NO(c, "{'a':'a Good day sir'}");
	NO(c, "{'a':'day good'}");
	NO(c, "{'a':5}");
	NO(c, "{}");
	YES(c, "{'a':['x','good days']}");
	YES(text_cond(COND_MATCH_TEXT, "a", ""), "{'a':''}");
	NO(text_cond(COND_MATCH_TEXT, "a", ""), "{'a':1}");
	struct cond any = text_cond(COND_MATCH_TEXT_ANY, "a", " night\tday ");
	YES(any, "{'a':'a good day'}");
	YES(any, "{'a':'nightly'}");
	NO(any, "{'a':'Night and Day'}");
	NO(text_cond(COND_MATCH_TEXT_ANY, "a", " "), "{'a':'x'}");
	struct cond phrase = text_cond(COND_MATCH_PHRASE, "a", "od da");
	YES(phrase, "{'a':'good day'}");
}

static const struct collection *schema_with_text(const char *path, enum tokenizer tokenizer)
{
	struct collection *c = collection_new();
	struct payload_field field = {.type = FIELD_TEXT,
				      .text = {.tokenizer = tokenizer, .lowercase = true}};
	assert_int_equal(path_parse(path, strlen(path), c->arena, &field.path, NULL), 0);
	c->fields = arena_copy(c->arena, &field, sizeof(field));
	c->n_fields = 1;
	return c;
}

static void text_with_an_index_is_about_tokens(void **state)
{
	schema = schema_with_text("a", TOKENIZER_WORD);
	struct cond c = text_cond(COND_MATCH_TEXT, "a", "DAY, good!");
	YES(c, "{'a':'a Good (day)'}");
	NO(c, "{'a':'goodday'}");
	NO(c, "{'a':'good'}");
	NO(c, "{'a':['good','day']}"); /* all in one string */
	YES(c, "{'a':['x','day good']}");
	NO(c, "{'a':5}");
	NO(text_cond(COND_MATCH_TEXT, "a", "?!"), "{'a':'?!'}");
	struct cond any = text_cond(COND_MATCH_TEXT_ANY, "a", "night day");
	YES(any, "{'a':'DAY'}");
	NO(any, "{'a':'days'}");
	struct cond phrase = text_cond(COND_MATCH_PHRASE, "a", "very good day");
	YES(phrase, "{'a':'A very very GOOD day.'}");
	NO(phrase, "{'a':'very day good'}");
	NO(phrase, "{'a':'very good old day'}");
	/* Another field has no index. */
	YES(text_cond(COND_MATCH_TEXT, "b", "oo"), "{'b':'good'}");
}

static void the_text_index_of_nested_fields_is_found(void **state)
{
	schema = schema_with_text("a[].t", TOKENIZER_WORD);
	struct cond inner = text_cond(COND_MATCH_TEXT, "t", "DAY");
	YES(nested_cond("a", MUST(inner)), "{'a':[{'t':'good day'}]}");
	YES(nested_cond("a[]", MUST(inner)), "{'a':[[{'t':'good day'}]]}");
	YES(text_cond(COND_MATCH_TEXT, "a.t", "DAY"), "{'a':[{'t':'good day'}]}");
	YES(text_cond(COND_MATCH_TEXT, "a[].t", "DAY"), "{'a':[{'t':'good day'}]}");
	NO(text_cond(COND_MATCH_TEXT, "t", "DAY"), "{'t':'good day'}");
	NO(nested_cond("b", MUST(inner)), "{'b':[{'t':'good day'}]}");
}

static void ranges_compare_numbers(void **state)
{
	struct range from_1_below_3 = {.has_gte = true, .gte = 1, .has_lt = true, .lt = 3};
	struct cond c = range_cond(COND_RANGE, "a", from_1_below_3);
	YES(c, "{'a':1}");
	YES(c, "{'a':1.0}");
	YES(c, "{'a':2.999}");
	NO(c, "{'a':3}");
	NO(c, "{'a':0.999}");
	NO(c, "{'a':'2'}");
	NO(c, "{'a':null}");
	NO(c, "{}");
	YES(c, "{'a':[0,9,2]}");
	NO(c, "{'a':[0,9]}");
	struct range above_1_to_3 = {.has_gt = true, .gt = 1, .has_lte = true, .lte = 3};
	c = range_cond(COND_RANGE, "a", above_1_to_3);
	NO(c, "{'a':1}");
	YES(c, "{'a':3}");
	c = range_cond(COND_RANGE, "a", (struct range){.has_gt = true, .gt = 1e19});
	YES(c, "{'a':123456789012345678901234567890}");
	YES(c, "{'a':18446744073709551615}");
	NO(c, "{'a':9223372036854775807}");
	/* No bounds: any number. */
	YES(range_cond(COND_RANGE, "a", (struct range){0}), "{'a':-5}");
	NO(range_cond(COND_RANGE, "a", (struct range){0}), "{'a':true}");
}

static void datetime_ranges_compare_moments(void **state)
{
	struct range r = {.has_gte = true, .has_lt = true};
	assert_true(datetime_parse("2024-01-01", 10, &r.gte_us));
	assert_true(datetime_parse("2024-02-01", 10, &r.lt_us));
	struct cond c = range_cond(COND_DATETIME_RANGE, "a", r);
	YES(c, "{'a':'2024-01-01'}");
	YES(c, "{'a':'2024-01-31T23:59:59.999Z'}");
	NO(c, "{'a':'2024-02-01T00:00:00Z'}");
	YES(c, "{'a':'2024-02-01T00:30:00+01:00'}");
	NO(c, "{'a':'2023-12-31 23:59:59'}");
	NO(c, "{'a':'January'}");
	NO(c, "{'a':1704067200}");
	YES(c, "{'a':['x','2024-01-15']}");
	struct range above = {.has_gt = true, .has_lte = true};
	above.gt_us = r.gte_us;
	above.lte_us = r.lt_us;
	c = range_cond(COND_DATETIME_RANGE, "a", above);
	NO(c, "{'a':'2024-01-01'}");
	YES(c, "{'a':'2024-02-01'}");
}

static void empty_and_null(void **state)
{
	struct cond empty = path_cond(COND_IS_EMPTY, "a");
	YES(empty, "{}");
	YES(empty, "{'a':null}");
	YES(empty, "{'a':[]}");
	NO(empty, "{'a':[null]}");
	NO(empty, "{'a':''}");
	NO(empty, "{'a':0}");
	NO(empty, "{'a':{}}");
	struct cond empty_deep = path_cond(COND_IS_EMPTY, "a.b");
	YES(empty_deep, "{'a':[{'b':null},{'c':1},{'b':[]}]}");
	NO(empty_deep, "{'a':[{'b':null},{'b':0}]}");
	struct cond null = path_cond(COND_IS_NULL, "a");
	YES(null, "{'a':null}");
	YES(null, "{'a':[1,null]}");
	NO(null, "{'a':[[null]]}");
	NO(null, "{}");
	NO(null, "{'a':[]}");
	NO(null, "{'a':0}");
}

static void values_are_counted(void **state)
{
	struct cond two =
		range_cond(COND_VALUES_COUNT, "a",
			   (struct range){.has_gte = true, .gte = 2, .has_lte = true, .lte = 2});
	YES(two, "{'a':[1,2]}");
	YES(two, "{'a':[null,[]]}");
	NO(two, "{'a':[1,2,3]}");
	NO(two, "{'a':'xy'}");
	NO(two, "{}");
	YES(range_cond(COND_VALUES_COUNT, "a[].b", two.range), "{'a':[{'b':1},{'b':[1,2]}]}");
	struct cond below_one =
		range_cond(COND_VALUES_COUNT, "a", (struct range){.has_lt = true, .lt = 1});
	YES(below_one, "{}");
	YES(below_one, "{'a':null}");
	YES(below_one, "{'a':[]}");
	NO(below_one, "{'a':5}");
	NO(below_one, "{'a':{}}");
}

static void ids_and_vectors(void **state)
{
	struct point_id ids[] = {id_from_u64(9), {1, 2, ID_UUID, 0}, id_from_u64(7)};
	YES(ids_cond(ids, 3), "{}");
	NO(ids_cond(ids, 2), "{}");
	NO(ids_cond(NULL, 0), "{}");
	struct collection *c = collection_new();
	struct vector_space spaces[] = {{.name = "", .dim = 2}, {.name = "img", .dim = 2}};
	struct sparse_space sparse[] = {{.name = "bm25"}};
	c->spaces = spaces;
	c->n_spaces = 2;
	c->sparse = sparse;
	c->n_sparse = 1;
	schema = c;
	struct point_id id = id_from_u64(1);
	struct filter_point p = {.id = &id, .payload = doc(arena, "{}"), .has_dense = 2};
	struct cond img = text_cond(COND_HAS_VECTOR, "x", "img");
	struct cond unnamed = text_cond(COND_HAS_VECTOR, "x", "");
	struct cond bm25 = text_cond(COND_HAS_VECTOR, "x", "bm25");
	struct cond other = text_cond(COND_HAS_VECTOR, "x", "im");
	assert_true(cond_match(&img, &p, schema));
	assert_false(cond_match(&unnamed, &p, schema));
	assert_false(cond_match(&bm25, &p, schema));
	assert_false(cond_match(&other, &p, schema));
	assert_false(cond_match(&img, &p, NULL));
	p.has_sparse = 1;
	p.has_dense = 1;
	assert_true(cond_match(&bm25, &p, schema));
	assert_true(cond_match(&unnamed, &p, schema));
	assert_false(cond_match(&img, &p, schema));
}

static void geo_radius_is_in_metres(void **state)
{
	/* Berlin's main station to the Brandenburg gate: 1.12 km. Berlin to Paris: 878 km. */
	struct cond near = radius_cond("a", 13.369549, 52.525084, 1130);
	YES(near, "{'a':{'lon':13.377704,'lat':52.516275}}");
	NO(radius_cond("a", 13.369549, 52.525084, 1120), "{'a':{'lon':13.377704,'lat':52.516275}}");
	NO(near, "{'a':{'lon':2.35,'lat':48.85}}");
	YES(radius_cond("a", 13.40, 52.52, 880000), "{'a':{'lon':2.35,'lat':48.85}}");
	NO(radius_cond("a", 13.40, 52.52, 870000), "{'a':{'lon':2.35,'lat':48.85}}");
	YES(near, "{'a':[{'lon':2.35,'lat':48.85},{'lat':52.516275,'lon':13.377704,'x':1}]}");
	/* One degree of a great circle, across the date line, and half the way round. */
	YES(radius_cond("a", 179.5, 0, 111200), "{'a':{'lon':-179.5,'lat':0}}");
	NO(radius_cond("a", 179.5, 0, 111190), "{'a':{'lon':-179.5,'lat':0}}");
	YES(radius_cond("a", 0, 0, 20015115), "{'a':{'lon':180,'lat':0}}");
	NO(radius_cond("a", 0, 0, 20015114), "{'a':{'lon':180,'lat':0.0}}");
	YES(radius_cond("a", 5, 5, 0), "{'a':{'lon':5,'lat':5}}");
	NO(near, "{'a':{'lon':'13.3','lat':52.5}}");
	NO(radius_cond("a", 0, 0, 1e9), "{'a':{'lon':0}}");
	NO(radius_cond("a", 0, 0, 1e9), "{'a':{'lon':0,'lat':91}}");
	NO(radius_cond("a", 0, 0, 1e9), "{'a':{'lon':181,'lat':0}}");
	NO(radius_cond("a", 0, 0, 1e9), "{'a':[0,0]}");
}

static void geo_boxes_may_cross_the_date_line(void **state)
{
	struct cond c = box_cond("a", 10, 20, 30, -5);
	YES(c, "{'a':{'lon':15,'lat':0}}");
	YES(c, "{'a':{'lon':10,'lat':20}}");
	YES(c, "{'a':{'lon':30,'lat':-5}}");
	NO(c, "{'a':{'lon':31,'lat':0}}");
	NO(c, "{'a':{'lon':9,'lat':0}}");
	NO(c, "{'a':{'lon':15,'lat':21}}");
	NO(c, "{'a':{'lon':15,'lat':-6}}");
	struct cond pacific = box_cond("a", 170, 10, -160, -10);
	YES(pacific, "{'a':{'lon':175,'lat':0}}");
	YES(pacific, "{'a':{'lon':-170,'lat':0}}");
	YES(pacific, "{'a':{'lon':180,'lat':0}}");
	YES(pacific, "{'a':{'lon':-180,'lat':0}}");
	NO(pacific, "{'a':{'lon':0,'lat':0}}");
	NO(pacific, "{'a':{'lon':169,'lat':0}}");
	NO(pacific, "{'a':{'lon':175,'lat':11}}");
	YES(box_cond("a", -180, 90, 180, -90), "{'a':{'lon':180,'lat':90}}");
}

static void geo_polygons_may_have_holes(void **state)
{
	/* An L, closed; with a hole, open, in its corner. */
	struct geo_ring rings[] = {
		RING({0, 0}, {10, 0}, {10, 4}, {4, 4}, {4, 10}, {0, 10}, {0, 0}),
		RING({1, 1}, {3, 1}, {3, 3}, {1, 3}),
	};
	struct cond c = polygon_cond("a", rings, 2);
	YES(c, "{'a':{'lon':8,'lat':2}}");
	YES(c, "{'a':{'lon':2,'lat':8}}");
	NO(c, "{'a':{'lon':8,'lat':8}}");
	NO(c, "{'a':{'lon':2,'lat':2}}");
	YES(c, "{'a':{'lon':0.5,'lat':0.5}}");
	NO(c, "{'a':{'lon':-1,'lat':2}}");
	NO(c, "{'a':{'lon':11,'lat':2}}");
	YES(c, "{'a':[{'lon':11,'lat':2},{'lon':9,'lat':1}]}");
	YES(polygon_cond("a", rings, 1), "{'a':{'lon':2,'lat':2}}");
	NO(polygon_cond("a", NULL, 0), "{'a':{'lon':2,'lat':2}}");
	struct geo_ring none[] = {{NULL, 0}};
	NO(polygon_cond("a", none, 1), "{'a':{'lon':2,'lat':2}}");
}

static void nested_wants_one_element_for_all(void **state)
{
	struct filter *both =
		MUST(MATCH_ANY("food", string_value("meat")), MATCH_ANY("likes", bool_value(true)));
	struct cond c = nested_cond("diet", both);
	YES(c, "{'diet':[{'food':'leaves','likes':true},{'food':'meat','likes':true}]}");
	NO(c, "{'diet':[{'food':'leaves','likes':true},{'food':'meat','likes':false}]}");
	NO(c, "{'diet':[]}");
	NO(c, "{}");
	NO(c, "{'diet':{'food':'meat','likes':true}}");
	NO(c, "{'diet':['meat',5]}");
	YES(nested_cond("a.diet", both), "{'a':{'diet':[{'food':'meat','likes':true}]}}");
	YES(nested_cond("a[].diet", both), "{'a':[{},{'diet':[{'food':'meat','likes':true}]}]}");
	struct cond without = nested_cond("diet", MUST_NOT(MATCH_ANY("likes", bool_value(true))));
	YES(without, "{'diet':[{'likes':true},{'likes':false}]}");
	NO(without, "{'diet':[{'likes':true}]}");
	YES(without, "{'diet':[{}]}");
	struct cond twice =
		nested_cond("x", MUST(nested_cond("y", MUST(MATCH_ANY("z", int_value(1))))));
	YES(twice, "{'x':[{'y':[{'z':0},{'z':1}]}]}");
	NO(twice, "{'x':[{'y':[{'z':0}]}],'y':[{'z':1}]}");
	/* The id is still that of the point. */
	struct point_id id = id_from_u64(7);
	YES(nested_cond("x", MUST(ids_cond(&id, 1))), "{'x':[{}]}");
}

static void clauses_combine(void **state)
{
	struct cond a = MATCH_ANY("a", int_value(1)), b = MATCH_ANY("b", int_value(1));
	struct cond c = MATCH_ANY("c", int_value(1));
	assert_true(passes(MUST(a, b), "{'a':1,'b':1}"));
	assert_false(passes(MUST(a, b), "{'a':1}"));
	assert_true(passes(SHOULD(a, b), "{'b':1}"));
	assert_false(passes(SHOULD(a, b), "{'c':1}"));
	assert_true(passes(MUST_NOT(a, b), "{'c':1}"));
	assert_false(passes(MUST_NOT(a, b), "{'b':1}"));
	struct filter *all = MUST(a);
	all->should = SHOULD(b, c)->should;
	all->n_should = 2;
	all->must_not = MUST_NOT(MATCH_ANY("d", int_value(1)))->must_not;
	all->n_must_not = 1;
	assert_true(passes(all, "{'a':1,'c':1}"));
	assert_false(passes(all, "{'a':1}"));
	assert_false(passes(all, "{'b':1,'c':1}"));
	assert_false(passes(all, "{'a':1,'c':1,'d':1}"));
	assert_true(passes(MUST(filter_cond(SHOULD(a, b)), filter_cond(MUST_NOT(c))), "{'b':1}"));
	assert_false(
		passes(MUST(filter_cond(SHOULD(a, b)), filter_cond(MUST_NOT(c))), "{'b':1,'c':1}"));
}

static void min_should_counts(void **state)
{
	struct filter *f = MIN_SHOULD(MATCH_ANY("a", int_value(1)), MATCH_ANY("b", int_value(1)),
				      MATCH_ANY("c", int_value(1)));
	static const char *const documents[] = {"{}", "{'b':1}", "{'a':1,'c':1}",
						"{'a':1,'b':1,'c':1}"};
	for (uint32_t min = 0; min <= 4; min++) {
		f->min_count = min;
		for (uint32_t hold = 0; hold < 4; hold++)
			assert_int_equal(passes(f, documents[hold]), hold >= min);
	}
}

static void empty_lists_do_not_constrain(void **state)
{
	struct filter empty = {.min_count = 3};
	assert_true(filter_is_trivial(NULL));
	assert_true(filter_is_trivial(&empty));
	assert_false(filter_is_trivial(MUST(path_cond(COND_IS_NULL, "a"))));
	assert_true(passes(NULL, "{}"));
	assert_true(passes(&empty, "{'a':1}"));
	assert_true(passes(MUST(filter_cond(&empty)), "{}"));
	assert_false(passes(MUST_NOT(filter_cond(&empty)), "{}"));
	filter_prepare(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, drop_schema)
	const struct CMUnitTest tests[] = {
		TEST(match_is_type_strict),
		TEST(match_any_takes_one_of_the_list),
		TEST(arrays_match_by_any_element),
		TEST(except_wants_a_present_value),
		TEST(text_without_an_index_is_a_substring),
		TEST(text_with_an_index_is_about_tokens),
		TEST(the_text_index_of_nested_fields_is_found),
		TEST(ranges_compare_numbers),
		TEST(datetime_ranges_compare_moments),
		TEST(empty_and_null),
		TEST(values_are_counted),
		TEST(ids_and_vectors),
		TEST(geo_radius_is_in_metres),
		TEST(geo_boxes_may_cross_the_date_line),
		TEST(geo_polygons_may_have_holes),
		TEST(nested_wants_one_element_for_all),
		TEST(clauses_combine),
		TEST(min_should_counts),
		TEST(empty_lists_do_not_constrain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
