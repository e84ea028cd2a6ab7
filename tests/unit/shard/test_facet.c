/* Facets against counts made by hand, over random payloads: values of all types, lists of them, sealed segments and rows in
 * memory, deleted and overwritten points, filters, with each payload index and without one: the answer is the same. */
#include "tests/unit/shard/fixture.h"
#include "base/prng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 700, ROUNDS = 12, DIM = 4, INTS = 6, STRINGS = 400, BOOLS = 2 };
enum { INT_AT = 0, STRING_AT = INTS, BOOL_AT = INTS + STRINGS, KINDS = INTS + STRINGS + BOOLS };

/* What each point has, by the number of the value. */
struct truth {
	bool there[POINTS];
	int64_t n[POINTS];
	uint8_t has[POINTS][KINDS];
};

static void put_value(struct buf *b, struct prng *p, uint8_t has[KINDS])
{
	uint32_t i;
	char text[16];

	switch (prng_below(p, 6)) {
	case 0:
		i = (uint32_t)prng_below(p, INTS);
		pv_put_int(b, (int64_t)i - 3);
		has[INT_AT + i] = 1;
		break;
	case 1:
	case 2:
		i = (uint32_t)prng_below(p, prng_below(p, 2) ? 5 : STRINGS);
		pv_put_string(b, text, (uint32_t)snprintf(text, sizeof text, "s%u", i));
		has[STRING_AT + i] = 1;
		break;
	case 3:
		i = (uint32_t)prng_below(p, 2);
		pv_put_bool(b, i);
		has[BOOL_AT + i] = 1;
		break;
	case 4: pv_put_double(b, 1.5); break; /* none of these two counts */
	default: pv_put_null(b);
	}
}

/* {"n": n, "v": nothing, a value, or a list of some} */
static struct pv_slice payload(struct fixture *f, struct prng *p, int64_t n, uint8_t has[KINDS])
{
	struct buf b = BUF_INIT;
	size_t mark = pv_open(&b, PV_OBJECT), list;
	uint32_t kind = (uint32_t)prng_below(p, 3), values = (uint32_t)prng_below(p, 6);

	memset(has, 0, KINDS);
	pv_put_key(&b, "n", 1);
	pv_put_int(&b, n);
	if (kind > 0)
		pv_put_key(&b, "v", 1);
	if (kind == 1)
		put_value(&b, p, has);
	if (kind == 2) {
		list = pv_open(&b, PV_ARRAY);
		for (uint32_t i = 0; i < values; i++)
			put_value(&b, p, has);
		pv_close(&b, list, values);
	}
	pv_close(&b, mark, kind > 0 ? 2 : 1);
	struct pv_slice out = {arena_copy(f->arena, b.data, b.len), (uint32_t)b.len};

	buf_fini(&b);
	return out;
}

static void write_some(struct fixture *f, struct prng *p, struct truth *t)
{
	uint32_t n = 1 + (uint32_t)prng_below(p, 90);
	struct point *points = arena_zalloc(f->arena, n * sizeof *points);
	struct write w = {.op = {.type = OP_UPSERT, .n_points = n, .points = points}};
	float v[DIM] = {1};
	uint32_t first = (uint32_t)prng_below(p, POINTS - n);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = first + i;

		t->there[at] = true;
		t->n[at] = (int64_t)prng_below(p, 10);
		test_point(f->arena, &points[i], at, v, DIM, payload(f, p, t->n[at], t->has[at]));
	}
	fixture_write(f, &w);
	w = (struct write){.op = {.type = OP_DELETE, .n_ids = 5}};
	w.op.ids = arena_zalloc(f->arena, 5 * sizeof *w.op.ids);
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t at = (uint32_t)prng_below(p, POINTS);

		w.op.ids[i] = test_id(at);
		t->there[at] = false;
	}
	fixture_write(f, &w);
}

/* The number of a value, or -1. */
static int number_of(struct pv_slice value)
{
	struct pv v = pv_of(value.bytes);
	const char *at;
	char text[16];
	uint32_t n;

	switch (pv_type(v)) {
	case PV_INT: return INT_AT + (int)pv_int(v) + 3;
	case PV_TRUE: return BOOL_AT + 1;
	case PV_FALSE: return BOOL_AT;
	case PV_STRING:
		at = pv_string(v, &n);
		snprintf(text, sizeof text, "%.*s", (int)n, at);
		return STRING_AT + (int)strtoul(text + 1, NULL, 10);
	default: return -1;
	}
}

static void check(struct fixture *f, const struct truth *t, bool filtered)
{
	struct rpc_facet_request q = {.target = fixture_target(f, 0)};
	struct rpc_facet_response out = {0};
	uint64_t want[KINDS] = {0}, distinct = 0;

	path_parse("v", 1, f->arena, &q.path, NULL);
	if (filtered)
		q.filter = test_range(f->arena, 2, 6);
	for (uint32_t i = 0; i < POINTS; i++)
		for (int k = 0; k < KINDS; k++)
			want[k] += t->there[i] && t->has[i][k] &&
				   (!filtered || (t->n[i] >= 2 && t->n[i] < 6));
	assert_int_equal(fixture_call(f, RPC_TYPE_facet, &q, &out), 0);
	for (uint32_t i = 0; i < out.n; i++) {
		int number = number_of(out.values[i].value);

		assert_in_range(number, 0, KINDS - 1);
		if (out.values[i].count != want[number])
			fail_msg("value %d: %llu, not %llu", number,
				 (unsigned long long)out.values[i].count,
				 (unsigned long long)want[number]);
	}
	for (int k = 0; k < KINDS; k++)
		distinct += want[k] > 0;
	assert_int_equal(out.n, distinct);
}

static void run(enum field_type type, bool indexed, uint64_t seed)
{
	struct truth *t = calloc(1, sizeof *t);
	struct fixture f;
	struct prng p;

	fixture_init(&f);
	fixture_add_space(&f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
	f.options.seal_rows = 100;
	f.options.seal_idle_ms = 20;
	fixture_start(&f);
	if (indexed)
		fixture_add_field(&f, "v", type);
	prng_seed(&p, seed);
	for (int round = 0; round < ROUNDS; round++) {
		write_some(&f, &p, t);
		check(&f, t, round % 2);
		if (round % 4 == 3)
			fixture_settle(&f);
		check(&f, t, round % 3 == 0);
		arena_reset(f.arena);
	}
	fixture_fini(&f);
	free(t);
}

static void facets_without_an_index(void **state)
{
	for (uint64_t seed = 1; seed < 4; seed++)
		run(FIELD_KEYWORD, false, seed);
	(void)state;
}

static void facets_with_an_index(void **state)
{
	static const enum field_type types[] = {FIELD_KEYWORD, FIELD_INTEGER, FIELD_BOOL};

	for (int i = 0; i < 3; i++)
		for (uint64_t seed = 10; seed < 12; seed++)
			run(types[i], true, seed);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facets_without_an_index),
		cmocka_unit_test(facets_with_an_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
