/* Changes to payload documents: each row is document, change, result. */
#include "tests/unit/arena.h"
#include "tests/unit/model/doc.h"
#include "base/limits.h"
#include "base/prng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks the new document behind a prefix that must stay, and gives its text. */
static const char *result_text(struct buf *b)
{
	assert_memory_equal(b->data, "keep", 4);
	struct error err = {0};
	int rc = pv_validate(b->data + 4, b->len - 4, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(rc, 0);
	const char *text = doc_text(arena, pv_of(b->data + 4));
	b->len = 4;
	return text;
}

static struct path path_of(const char *text)
{
	struct path p;
	assert_int_equal(path_parse(text, strlen(text), arena, &p, NULL), 0);
	return p;
}

static void merging_at_the_root(void **state)
{
	static const char *const cases[][3] = {
		{"{}", "{}", "{}"},
		{"{'a':1}", "{}", "{'a':1}"},
		{"{}", "{'a':1}", "{'a':1}"},
		{"{'a':1,'b':2,'c':3}", "{'d':4,'b':{'x':1}}", "{'a':1,'b':{'x':1},'c':3,'d':4}"},
		{"{'a':1,'b':2}", "{'a':null,'c':null}", "{'b':2}"},
		{"{'a':{'x':1}}", "{'a':{'y':2}}", "{'a':{'y':2}}"},
	};
	struct buf b = BUF_INIT;
	buf_put(&b, "keep", 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(pv_merge(&b, doc(arena, cases[i][0]), doc(arena, cases[i][1])), 0);
		assert_string_equal(result_text(&b), cases[i][2]);
	}
	buf_fini(&b);
}

static void merging_at_a_key(void **state)
{
	static const char *const cases[][4] = {
		{"{'a':{'x':1}}", "a", "{'y':2}", "{'a':{'x':1,'y':2}}"},
		{"{'a':{'x':1}}", "a", "{'x':null,'y':2}", "{'a':{'y':2}}"},
		{"{}", "a.b.c", "{'y':2}", "{'a':{'b':{'c':{'y':2}}}}"},
		{"{'a':1}", "a", "{'y':2}", "{'a':{'y':2}}"},
		{"{'a':1}", "a.b", "{'y':2}", "{'a':{'b':{'y':2}}}"},
		{"{'a':null,'z':0}", "a.b", "{'y':2}", "{'a':{'b':{'y':2}},'z':0}"},
		{"{'a':{'z':0}}", "a.b", "{'y':2}", "{'a':{'z':0,'b':{'y':2}}}"},
		{"{'a':[{'x':1},2,{}]}", "a[]", "{'y':2}", "{'a':[{'x':1,'y':2},{'y':2},{'y':2}]}"},
		{"{'a':[{'x':1},{}]}", "a[1]", "{'y':2}", "{'a':[{'x':1},{'y':2}]}"},
		{"{'a':[{'x':1}]}", "a[7]", "{'y':2}", "{'a':[{'x':1}]}"},
		{"{'a':[{'b':{'x':1}},3,{}]}", "a[].b", "{'y':2}",
		 "{'a':[{'b':{'x':1,'y':2}},{'b':{'y':2}},{'b':{'y':2}}]}"},
		{"{'a':[{'b':{'x':1}},3,{}]}", "a.b", "{'y':2}",
		 "{'a':[{'b':{'x':1,'y':2}},3,{'b':{'y':2}}]}"},
		{"{}", "a[].b", "{'y':2}", "{}"},
		{"{}", "a[0]", "{'y':2}", "{}"},
		{"{'a':5}", "a[0].b", "{'y':2}", "{'a':5}"},
		{"{'a':{}}", "a[0]", "{'y':2}", "{'a':{}}"},
		{"{'a':[1]}", "a", "{'y':2}", "{'a':{'y':2}}"},
	};
	struct buf b = BUF_INIT;
	buf_put(&b, "keep", 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct path key = path_of(cases[i][1]);
		struct pv root = doc(arena, cases[i][0]), patch = doc(arena, cases[i][2]);
		assert_int_equal(pv_merge_at(&b, root, &key, patch), 0);
		assert_string_equal(result_text(&b), cases[i][3]);
	}
	buf_fini(&b);
}

static void many_keys_are_merged_in_order(void **state)
{
	enum { N = 20000 };
	struct buf old = BUF_INIT, patch = BUF_INIT, b = BUF_INIT;
	size_t old_mark = pv_open(&old, PV_OBJECT), patch_mark = pv_open(&patch, PV_OBJECT);
	for (int i = 0; i < N; i++) {
		char key[16];
		uint32_t n = (uint32_t)snprintf(key, sizeof(key), "k%d", i);
		pv_put_key(&old, key, n);
		pv_put_int(&old, i);
		n = (uint32_t)snprintf(key, sizeof(key), "k%d", i + N / 2);
		pv_put_key(&patch, key, n);
		pv_put_int(&patch, -i);
	}
	pv_close(&old, old_mark, N);
	pv_close(&patch, patch_mark, N);
	assert_int_equal(pv_merge(&b, pv_of(old.data), pv_of(patch.data)), 0);
	assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
	struct pv_iter it = pv_iterate(pv_of(b.data));
	for (int i = 0; i < N + N / 2; i++) {
		char key[16];
		int n = snprintf(key, sizeof(key), "k%d", i);
		assert_true(pv_next(&it));
		assert_int_equal(it.key_n, n);
		assert_memory_equal(it.key, key, n);
		assert_int_equal(pv_int(it.value), i < N / 2 ? i : N / 2 - i);
	}
	assert_false(pv_next(&it));
	buf_fini(&old);
	buf_fini(&patch);
	buf_fini(&b);
}

/* A client can repeat a key; the result has it once. */
static void a_repeated_key_is_merged_once(void **state)
{
	struct buf patch = BUF_INIT, b = BUF_INIT;
	size_t mark = pv_open(&patch, PV_OBJECT);
	for (int i = 0; i < 3; i++) {
		pv_put_key(&patch, "k", 1);
		pv_put_int(&patch, i);
	}
	pv_close(&patch, mark, 3);
	buf_put(&b, "keep", 4);
	assert_int_equal(pv_merge(&b, doc(arena, "{}"), pv_of(patch.data)), 0);
	assert_string_equal(result_text(&b), "{'k':0}");
	assert_int_equal(pv_merge(&b, doc(arena, "{'k':9,'l':8}"), pv_of(patch.data)), 0);
	assert_string_equal(result_text(&b), "{'k':0,'l':8}");
	buf_fini(&patch);
	buf_fini(&b);
}

static void a_result_that_is_too_large_is_refused(void **state)
{
	/* 100,000 elements times a patch of 1 KB. */
	struct buf root = BUF_INIT, patch = BUF_INIT, b = BUF_INIT;
	char text[1000];
	memset(text, 'x', sizeof(text));
	size_t mark = pv_open(&root, PV_OBJECT);
	pv_put_key(&root, "a", 1);
	size_t array = pv_open(&root, PV_ARRAY);
	for (int i = 0; i < 100000; i++)
		pv_put_null(&root);
	pv_close(&root, array, 100000);
	pv_close(&root, mark, 1);
	mark = pv_open(&patch, PV_OBJECT);
	pv_put_key(&patch, "k", 1);
	pv_put_string(&patch, text, sizeof(text));
	pv_close(&patch, mark, 1);
	struct path key = path_of("a[]");
	buf_put(&b, "keep", 4);
	assert_int_equal(pv_merge_at(&b, pv_of(root.data), &key, pv_of(patch.data)), ERR_TOO_LARGE);
	assert_true(b.cap < 4 * (size_t)LIMIT_PAYLOAD_BYTES);
	assert_int_equal(b.len, 4 + root.len);
	assert_memory_equal(b.data + 4, root.data, root.len);
	buf_fini(&root);
	buf_fini(&patch);
	buf_fini(&b);
}

/* However a document was made, it can be read back: no merge makes one that pv_validate refuses. */
static void merging_never_nests_too_deeply(void **state)
{
	struct buf root = BUF_INIT, b = BUF_INIT;
	for (unsigned depth = 1; depth < LIMIT_JSON_DEPTH; depth++) {
		/* {"a": [[...[{}]...]]}, with `depth` arrays */
		size_t marks[LIMIT_JSON_DEPTH];
		buf_clear(&root);
		size_t mark = pv_open(&root, PV_OBJECT);
		pv_put_key(&root, "a", 1);
		for (unsigned i = 0; i + 1 < depth; i++)
			marks[i] = pv_open(&root, PV_ARRAY);
		pv_close(&root, pv_open(&root, PV_OBJECT), 0);
		for (unsigned i = depth - 1; i-- > 0;)
			pv_close(&root, marks[i], 1);
		pv_close(&root, mark, 1);
		assert_int_equal(pv_validate(root.data, root.len, NULL), 0);
		struct path key = path_of("a.b.c.d.e.f");
		struct pv patch = doc(arena, "{'x':{'y':{'z':[1]}}}");
		buf_clear(&b);
		assert_int_equal(pv_merge_at(&b, pv_of(root.data), &key, patch), 0);
		assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
		bool changed = b.len != root.len;
		/* depth + 1 are there; b, c, d and e are made, and the patch has 4. */
		assert_int_equal(changed, depth + 1 + 4 + 4 <= LIMIT_JSON_DEPTH);
	}
	buf_fini(&root);
	buf_fini(&b);
}

struct paths_case {
	const char *document;
	const char *paths[4];
	const char *deleted;
	const char *included;
};

static void removing_and_selecting_paths(void **state)
{
	static const struct paths_case cases[] = {
		{"{'a':1,'b':2}", {"a"}, "{'b':2}", "{'a':1}"},
		{"{'a':1,'b':2}", {"x", "b"}, "{'a':1}", "{'b':2}"},
		{"{'a':1}", {"x"}, "{'a':1}", "{}"},
		{"{'a':{'b':1,'c':2},'d':3}", {"a.b"}, "{'a':{'c':2},'d':3}", "{'a':{'b':1}}"},
		{"{'a':{'b':1,'c':2}}", {"a.b", "a"}, "{}", "{'a':{'b':1,'c':2}}"},
		{"{'a':{'b':1,'c':2}}", {"a.b", "a.c"}, "{'a':{}}", "{'a':{'b':1,'c':2}}"},
		{"{'a':[{'b':1,'c':2},{'c':3},4]}",
		 {"a.b"},
		 "{'a':[{'c':2},{'c':3},4]}",
		 "{'a':[{'b':1}]}"},
		{"{'a':[{'b':1,'c':2},{'c':3},4]}",
		 {"a[].c"},
		 "{'a':[{'b':1},{},4]}",
		 "{'a':[{'c':2},{'c':3}]}"},
		{"{'a':[1,2,3]}", {"a[1]"}, "{'a':[1,3]}", "{'a':[2]}"},
		{"{'a':[1,2,3]}", {"a[]"}, "{'a':[]}", "{'a':[1,2,3]}"},
		{"{'a':[1,2,3]}", {"a[0]", "a[2]"}, "{'a':[2]}", "{'a':[1,3]}"},
		{"{'a.b':1,'a':{'b':2}}", {"\"a.b\""}, "{'a':{'b':2}}", "{'a.b':1}"},
		{"{'a':5}", {"a.b"}, "{'a':5}", "{}"},
		{"{'a':{}}", {"a.b"}, "{'a':{}}", "{}"},
		{"{}", {"a"}, "{}", "{}"},
		{"{'m':{'s':'x','p':1},'c':'t','z':0}",
		 {"m", "c"},
		 "{'z':0}",
		 "{'m':{'s':'x','p':1},'c':'t'}"},
	};
	struct buf b = BUF_INIT;
	buf_put(&b, "keep", 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct path paths[4];
		size_t n = 0;
		for (; n < 4 && cases[i].paths[n] != NULL; n++)
			paths[n] = path_of(cases[i].paths[n]);
		struct pv root = doc(arena, cases[i].document);
		pv_delete_paths(&b, root, paths, n);
		assert_string_equal(result_text(&b), cases[i].deleted);
		pv_include(&b, root, paths, n);
		assert_string_equal(result_text(&b), cases[i].included);
	}
	struct pv root = doc(arena, "{'a':1}");
	pv_delete_paths(&b, root, NULL, 0);
	assert_string_equal(result_text(&b), "{'a':1}");
	pv_include(&b, root, NULL, 0);
	assert_string_equal(result_text(&b), "{}");
	buf_fini(&b);
}

/* ---- random documents: what must hold whatever they look like ---- */

static void put_random(struct buf *b, struct prng *random, unsigned depth)
{
	uint64_t kind = prng_below(random, depth < 4 ? 6 : 3);
	uint32_t n = (uint32_t)prng_below(random, 4);
	size_t mark;
	switch (kind) {
	case 0: pv_put_null(b); return;
	case 1: pv_put_int(b, (int64_t)prng_below(random, 5)); return;
	case 2: pv_put_string(b, "text", n); return;
	case 3:
		mark = pv_open(b, PV_ARRAY);
		for (uint32_t i = 0; i < n; i++)
			put_random(b, random, depth + 1);
		pv_close(b, mark, n);
		return;
	default:
		mark = pv_open(b, PV_OBJECT);
		for (uint32_t i = 0; i < n; i++) {
			pv_put_key(b, &"abc"[i], 1);
			put_random(b, random, depth + 1);
		}
		pv_close(b, mark, n);
	}
}

static struct pv random_object(struct buf *b, struct prng *random)
{
	do {
		buf_clear(b);
		put_random(b, random, 0);
	} while (b->data[0] != PV_OBJECT);
	return pv_of(b->data);
}

static struct path random_path(struct prng *random, bool *has_index)
{
	static const char *const steps[] = {".a", ".b", ".c", "[]", "[0]", "[1]"};
	char text[64] = "a";
	*has_index = false;
	for (uint64_t n = prng_below(random, 4); n > 0; n--) {
		uint64_t step = prng_below(random, 6);
		*has_index |= step >= 4;
		size_t len = strlen(text);
		snprintf(text + len, sizeof(text) - len, "%s", steps[step]);
	}
	return path_of(text);
}

/* Collects what a path finds, as text. */
static bool collect(void *ctx, struct pv v)
{
	const char **all = ctx;
	*all = arena_printf(arena, "%s;%s", *all, doc_text(arena, v));
	return false;
}

static const char *found(const struct path *p, struct pv root)
{
	const char *all = "";
	path_visit(p, root, collect, &all);
	return all;
}

struct merged {
	struct pv patch;
	bool right;
};

/* Every place that was merged into has the patch's values, and no key that the patch removes. */
static bool has_patch(void *ctx, struct pv v)
{
	struct merged *m = ctx;
	struct pv_iter it = pv_iterate(m->patch);
	struct pv got;
	if (pv_type(v) != PV_OBJECT)
		m->right = false;
	while (m->right && pv_next(&it)) {
		bool there = pv_get(v, it.key, it.key_n, &got);
		m->right = pv_type(it.value) == PV_NULL ? !there : there && pv_equal(it.value, got);
	}
	return false;
}

static void changes_keep_their_promises_on_random_documents(void **state)
{
	struct buf root_bytes = BUF_INIT, patch_bytes = BUF_INIT, b = BUF_INIT;
	struct prng random;
	prng_seed(&random, 12);
	unsigned merges = 0, removals = 0;
	for (int round = 0; round < 20000; round++) {
		bool has_index;
		struct pv root = random_object(&root_bytes, &random);
		struct pv patch = random_object(&patch_bytes, &random);
		struct path p = random_path(&random, &has_index);
		const char *before = found(&p, root);
		buf_clear(&b);
		pv_delete_paths(&b, root, &p, 1);
		assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
		/* After [0] is gone another element may be [0]. */
		if (!has_index)
			assert_string_equal(found(&p, pv_of(b.data)), "");
		assert_int_equal(pv_equal(pv_of(b.data), root), before[0] == '\0');
		removals += before[0] != '\0';
		buf_clear(&b);
		pv_include(&b, root, &p, 1);
		assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
		if (!has_index)
			assert_string_equal(found(&p, pv_of(b.data)), before);
		buf_clear(&b);
		assert_int_equal(pv_merge_at(&b, root, &p, patch), 0);
		assert_int_equal(pv_validate(b.data, b.len, NULL), 0);
		struct merged merged = {patch, true};
		path_visit(&p, pv_of(b.data), has_patch, &merged);
		assert_true(merged.right);
		merges += found(&p, pv_of(b.data))[0] != '\0';
		arena_reset(arena);
	}
	/* The documents are such that much of this is about something. */
	assert_true(merges > 5000 && removals > 2000);
	buf_fini(&root_bytes);
	buf_fini(&patch_bytes);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(merging_at_the_root, fresh, clean),
		cmocka_unit_test_setup_teardown(merging_at_a_key, fresh, clean),
		cmocka_unit_test_setup_teardown(many_keys_are_merged_in_order, fresh, clean),
		cmocka_unit_test_setup_teardown(a_repeated_key_is_merged_once, fresh, clean),
		cmocka_unit_test_setup_teardown(a_result_that_is_too_large_is_refused, fresh,
						clean),
		cmocka_unit_test_setup_teardown(merging_never_nests_too_deeply, fresh, clean),
		cmocka_unit_test_setup_teardown(removing_and_selecting_paths, fresh, clean),
		cmocka_unit_test_setup_teardown(changes_keep_their_promises_on_random_documents,
						fresh, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
