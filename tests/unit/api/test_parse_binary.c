/* The binary form of an upsert: what is read, each kind of damage, and random bytes. */
#include "tests/unit/api/fixture.h"

#include "api/binary.h"
#include "base/prng.h"

#include <math.h>
#include <stdlib.h>

/* Three points with ids 10, 11, 12 (or as UUIDs). */
static void make_body(struct buf *b, uint32_t flags, uint8_t id_kind, uint32_t dim)
{
	buf_clear(b);
	buf_put(b, BINARY_MAGIC, 4);
	buf_put_u32(b, flags);
	buf_put_u32(b, 3);
	buf_put_u32(b, dim);
	buf_put_u8(b, id_kind);
	memset(buf_extend(b, BINARY_HEADER_BYTES - 17), 0, BINARY_HEADER_BYTES - 17);
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, (uint8_t)(10 + i)};

		if (id_kind == BINARY_ID_U64)
			buf_put_u64(b, 10u + i);
		else
			buf_put(b, uuid, sizeof(uuid));
	}
	for (uint32_t i = 0; i < 3 * dim; i++)
		buf_put_f32(b, (float)i);
	if ((flags & BINARY_PAYLOADS) != 0)
		buf_printf(b, "{\"n\":1}\n\r\n{\"n\":3}");
}

static int parse(struct fixture *f, const struct buf *b, const char *using_name, struct write *w)
{
	/* As in the server: aligned, and nothing after the end that a reader might lean on. */
	uint8_t *body = aligned_alloc(64, (b->len + 64) / 64 * 64);
	int rc;

	memcpy(body, b->data, b->len);
	rc = parse_binary(&f->p, body, b->len, using_name, w);
	if (rc == 0 && w->op.points[0].n_vectors > 0)
		assert_true((const uint8_t *)w->op.points[0].vectors[0].values >= body &&
			    (const uint8_t *)w->op.points[0].vectors[0].values < body + b->len);
	if (rc == 0)
		for (uint32_t i = 0; i < w->op.n_points; i++)
			for (uint32_t v = 0; v < w->op.points[i].n_vectors; v++)
				assert_true(vector_finite(w->op.points[i].vectors[v].values,
							  w->op.points[i].vectors[v].n));
	free(body);
	return rc;
}

static void test_read(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct write w;

	fixture_init(&f);
	make_body(&b, BINARY_PAYLOADS, BINARY_ID_U64, 4);
	expect_ok(&f, "integer ids", parse(&f, &b, "", &w));
	assert_int_equal(w.op.n_points, 3);
	assert_int_equal(w.op.points[2].id.lo, 12);
	assert_int_equal(w.op.points[1].vectors[0].n, 4);
	assert_int_equal(w.op.points[1].payload.n, 0);
	assert_true(w.op.points[2].payload.n > 0);

	make_body(&b, 0, BINARY_ID_UUID, 3);
	expect_ok(&f, "uuids", parse(&f, &b, "image", &w));
	assert_int_equal(w.op.points[0].id.kind, ID_UUID);
	assert_true(w.op.points[0].id.hi == 0x0102030405060708ull);
	assert_int_equal(w.op.points[0].id.lo, 0x090000000000000aull);
	assert_int_equal(w.op.points[0].vectors[0].space, 1);

	make_body(&b, BINARY_PAYLOADS, BINARY_ID_U64, 0);
	expect_ok(&f, "no vectors", parse(&f, &b, "", &w));
	assert_int_equal(w.op.points[0].n_vectors, 0);
	buf_fini(&b);
	fixture_fini(&f);
}

static void expect_damage(struct fixture *f, const struct buf *b, int code, const char *words)
{
	const struct refusal r = {"binary body", code, words};
	struct write w;

	expect_refusal(f, &r, parse(f, b, "", &w));
}

static void test_damage(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct write w;
	float bad[] = {NAN, INFINITY, -INFINITY};

	fixture_init(&f);
	make_body(&b, 0, BINARY_ID_U64, 4);
	b.data[0] = 'X';
	expect_damage(&f, &b, ERR_INPUT, "QVB1");
	make_body(&b, 0, BINARY_ID_U64, 4);
	buf_set_u32(&b, 4, 2);
	expect_damage(&f, &b, ERR_UNSUPPORTED, "flag");
	make_body(&b, 0, BINARY_ID_U64, 4);
	buf_set_u32(&b, 8, 0);
	expect_damage(&f, &b, ERR_INPUT, "Empty update request");
	buf_set_u32(&b, 8, UINT32_MAX);
	expect_damage(&f, &b, ERR_INPUT, "send batches");
	buf_set_u32(&b, 8, 4);
	expect_damage(&f, &b, ERR_INPUT, "ends within the rows");
	buf_set_u32(&b, 8, 2);
	expect_damage(&f, &b, ERR_INPUT, "too many");
	make_body(&b, 0, BINARY_ID_U64, 5);
	expect_damage(&f, &b, ERR_INPUT, "Vector dimension error: expected dim: 4, got 5");
	make_body(&b, 0, BINARY_ID_U64, 4);
	b.data[16] = 7;
	expect_damage(&f, &b, ERR_INPUT, "id kind");
	b.data[16] = 0;
	b.data[40] = 1;
	expect_damage(&f, &b, ERR_INPUT, "reserved byte 40");
	for (size_t i = 0; i < COUNT(bad); i++) {
		make_body(&b, 0, BINARY_ID_U64, 4);
		memcpy(b.data + b.len - 4, &bad[i], 4);
		expect_damage(&f, &b, ERR_INPUT, "row 2 holds NaN or infinity");
	}
	make_body(&b, BINARY_PAYLOADS, BINARY_ID_U64, 4);
	buf_printf(&b, "\n{\"n\":4}");
	expect_damage(&f, &b, ERR_INPUT, "too many");
	make_body(&b, BINARY_PAYLOADS, BINARY_ID_U64, 4);
	b.len -= 7; /* the last payload; its line is then empty but there */
	expect_ok(&f, "empty last line", parse(&f, &b, "", &w));
	make_body(&b, BINARY_PAYLOADS, BINARY_ID_U64, 4);
	b.data[b.len - 1] = ']';
	expect_damage(&f, &b, ERR_FORMAT, "payload line 3");
	make_body(&b, 0, BINARY_ID_U64, 4);
	assert_int_equal(parse(&f, &b, "words", &w), ERR_INPUT);
	assert_int_equal(parse(&f, &b, "nope", &w), ERR_INPUT);
	buf_fini(&b);
	fixture_fini(&f);
}

/* Every shorter body is refused, and none is read past its end (the sanitizer watches). */
static void test_truncated(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct write w;
	size_t full;

	fixture_init(&f);
	make_body(&b, 0, BINARY_ID_UUID, 4);
	full = b.len;
	for (size_t n = 0; n < full; n++) {
		b.len = n;
		assert_int_equal(parse(&f, &b, "", &w), ERR_INPUT);
	}
	buf_fini(&b);
	fixture_fini(&f);
}

static void test_random_damage(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct write w;
	struct prng prng;
	unsigned accepted = 0;

	prng_seed(&prng, 42);
	fixture_init(&f);
	for (int i = 0; i < 20000; i++) {
		make_body(&b, i % 2, (uint8_t)(i / 2 % 2), 4);
		for (uint64_t n = prng_below(&prng, 4) + 1; n > 0; n--)
			b.data[prng_below(&prng, b.len)] = (uint8_t)prng_u64(&prng);
		if (prng_below(&prng, 4) == 0)
			b.len = prng_below(&prng, b.len + 1);
		accepted += parse(&f, &b, "", &w) == 0;
		arena_reset(f.arena);
	}
	/* Damage to ids and to finite floats is not to be seen; damage to the rest is. */
	assert_in_range(accepted, 1, 19999);
	buf_fini(&b);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_random_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
