/* The n-th large allocation fails, for every n, while an index of each kind is built, saved and opened: it is refused with a
 * sentence, nothing leaks (the sanitizer looks), and the next try works. */
#include "tests/unit/index/index_util.h"
#include "tests/unit/large_alloc.h"
#include "tests/unit/unit.h"

enum { ROWS = 8000, DIM = 64, LEAST = 400 << 10, KINDS = 5 };

static const struct index_config configs[KINDS] = {
	{.kind = INDEX_FLAT},
	{.kind = INDEX_HNSW, .m = 16, .ef_construct = 24},
	{.kind = INDEX_IVF, .nlist = 16},
	{.kind = INDEX_IVF, .nlist = 16, .quantizer = QUANTIZER_SQ8},
	{.kind = INDEX_IVF, .nlist = 16, .quantizer = QUANTIZER_PQ},
};

static int build(const struct sample *s, const struct index_config *config, struct vindex **out,
		 struct error *err)
{
	const struct vindex_build b = {
		.rows = {.data = s->rows, .n = s->n, .dim = s->dim},
		.distance = DISTANCE_EUCLID,
		.config = *config,
		.threads = 1,
	};

	return vindex_build(&b, out, err);
}

static int open_bytes(const struct buf *b, const struct index_config *config, struct vindex **out,
		      struct error *err)
{
	const struct vindex_open o = {.bytes = b->data,
				      .n_bytes = b->len,
				      .distance = DISTANCE_EUCLID,
				      .config = *config};

	return vindex_open(&o, out, err);
}

static void check_refusal(int rc, const struct error *err, const char *what, unsigned at)
{
	if (rc != ERR_NOMEM || strlen(err->text) < 10)
		fail_msg("%s, large allocation %u: %s, `%s`", what, at, error_name(rc), err->text);
}

/* Builds an index, or opens one that was saved (`saved` not NULL), without the n-th allocation, for every n; how many there are. */
static unsigned fail_each(const struct sample *s, const struct buf *saved,
			  const struct index_config *config)
{
	for (unsigned at = 1;; at++) {
		struct vindex *v = NULL;
		struct error err = {0};
		int rc;

		large_alloc_fail(LEAST, at);
		rc = saved ? open_bytes(saved, config, &v, &err) : build(s, config, &v, &err);
		large_alloc.at = 0;
		if (large_alloc.fired)
			check_refusal(rc, &err, saved ? "open" : "build", at);
		else
			assert_int_equal(rc, 0);
		vindex_free(v);
		if (!large_alloc.fired)
			return at - 1;
	}
}

static void each_large_allocation_may_fail(void **state)
{
	struct sample s = sample_new(ROWS, DIM, 1);
	unsigned built = 0, opened = 0;

	for (int i = 0; i < KINDS; i++) {
		struct buf b = BUF_INIT;
		struct vindex *v = build_index(&s, DISTANCE_EUCLID, &configs[i]);

		assert_int_equal(vindex_save(v, save_to_buf, &b, NULL), 0);
		vindex_free(v);
		built += fail_each(&s, NULL, &configs[i]);
		opened += fail_each(&s, &b, &configs[i]);
		buf_fini(&b);
	}
	print_message("# %u large allocations of a build failed, %u of an opening\n", built,
		      opened);
	assert_true(built > KINDS);
	sample_free(&s);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_large_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
