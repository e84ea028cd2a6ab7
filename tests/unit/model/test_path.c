/* Key paths: the grammar, and what a path finds. */
#include "tests/unit/arena.h"
#include "tests/unit/model/doc.h"
#include "base/limits.h"
#include <stdio.h>
#include <string.h>

/* "a[0]." as k(a) 0 */
static const char *steps_text(const struct path *p)
{
	char *text = arena_strdup(arena, "");
	for (uint32_t i = 0; i < p->n_steps; i++) {
		const struct path_step *s = &p->steps[i];
		if (s->type == PATH_KEY)
			text = arena_printf(arena, "%s(%.*s)", text, (int)s->key_n, s->key);
		else if (s->type == PATH_EACH)
			text = arena_printf(arena, "%s*", text);
		else
			text = arena_printf(arena, "%s#%u", text, s->index);
	}
	return text;
}

static void the_grammar(void **state)
{
	static const char *const cases[][2] = {
		{"a", "(a)"},
		{"a.b.c", "(a)(b)(c)"},
		{"a[].b", "(a)*(b)"},
		{"a[0].b", "(a)#0(b)"},
		{"a[12][]", "(a)#12*"},
		{"\"quoted.key\".x", "(quoted.key)(x)"},
		{"a.\"b[0]\"[1]", "(a)(b[0])#1"},
		{"\"\"", "()"},
		{"file id-1_2/\xC3\xA4", "(file id-1_2/\xC3\xA4)"},
		{"a[4294967295]", "(a)#4294967295"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct path p;
		assert_int_equal(path_parse(cases[i][0], strlen(cases[i][0]), arena, &p, NULL), 0);
		assert_string_equal(steps_text(&p), cases[i][1]);
		assert_string_equal(p.text, cases[i][0]);
	}
}

static void wrong_paths_are_explained(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *says;
	} cases[] = {
#define CASE(text, says) {text, sizeof(text) - 1, says}
		CASE("", "a key is missing"),
		CASE(".", "a key is missing"),
		CASE("a.", "a key is missing"),
		CASE("a..b", "a key is missing"),
		CASE(".a", "a key is missing"),
		CASE("[0]", "a key is missing"),
		CASE("a[", "brackets"),
		CASE("a[1", "brackets"),
		CASE("a[x]", "brackets"),
		CASE("a[-1]", "brackets"),
		CASE("a[4294967296]", "index is too large"),
		CASE("a]b", "a dot is missing"),
		CASE("a[]b", "a dot is missing"),
		CASE("\"a\"b", "a dot is missing"),
		CASE("\"a", "quotation mark"),
		CASE("a\"b\"", "a dot is missing"),
		CASE("a\0b", "NUL"),
		CASE("a\nb", "a dot is missing"),
		CASE("\xFF", "not UTF-8"),
#undef CASE
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct path p;
		struct error err = {0};
		assert_int_equal(path_parse(cases[i].text, cases[i].n, arena, &p, &err), ERR_INPUT);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(p.n_steps, 0);
	}
}

static void paths_are_limited(void **state)
{
	char text[LIMIT_PATH_BYTES + 2];
	struct path p;
	memset(text, 'a', sizeof(text));
	assert_int_equal(path_parse(text, LIMIT_PATH_BYTES, arena, &p, NULL), 0);
	assert_int_equal(path_parse(text, LIMIT_PATH_BYTES + 1, arena, &p, NULL), ERR_INPUT);
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '.';
	assert_int_equal(path_parse(text, 2 * LIMIT_PATH_STEPS - 1, arena, &p, NULL), 0);
	assert_int_equal(p.n_steps, LIMIT_PATH_STEPS);
	assert_int_equal(path_parse(text, 2 * LIMIT_PATH_STEPS + 1, arena, &p, NULL), ERR_INPUT);
}

struct found {
	char *text;
	int calls;
	int stop_after;
};

static bool note(void *ctx, struct pv v)
{
	struct found *f = ctx;
	f->text = arena_printf(arena, "%s %s", f->text, doc_text(arena, v));
	return ++f->calls == f->stop_after;
}

static void what_a_path_finds(void **state)
{
	struct pv root = doc(arena, "{'a':{'b':[1,2],'c.d':3},"
				    "'list':[{'x':1},{'x':[2,3]},{'y':4},5,[{'x':6}]],"
				    "'n':null,'deep':[[1],[2,[3]]]}");
	static const char *const cases[][2] = {
		{"a.b", " [1,2]"},
		{"a.b[]", " 1 2"},
		{"a.b[1]", " 2"},
		{"a.b[2]", ""},
		{"a.\"c.d\"", " 3"},
		{"a.c.d", ""},
		{"a[]", ""},
		{"a[0]", ""},
		{"n", " null"},
		{"n.x", ""},
		{"missing", ""},
		{"list.x", " 1 [2,3] 6"},
		{"list[].x", " 1 [2,3] 6"},
		{"list[0].x", " 1"},
		{"list[4].x", " 6"},
		{"list[].x[]", " 2 3"},
		{"list[3]", " 5"},
		{"deep[]", " [1] [2,[3]]"},
		{"deep[][]", " 1 2 [3]"},
		{"deep[1][1][0]", " 3"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct path p;
		struct found f = {arena_strdup(arena, ""), 0, 0};
		assert_int_equal(path_parse(cases[i][0], strlen(cases[i][0]), arena, &p, NULL), 0);
		assert_false(path_visit(&p, root, note, &f));
		assert_string_equal(f.text, cases[i][1]);
	}
}

static void the_walk_stops_when_told(void **state)
{
	struct pv root = doc(arena, "{'l':[{'x':1},{'x':2},{'x':3}]}");
	struct path p;
	struct found f = {arena_strdup(arena, ""), 0, 2};
	assert_int_equal(path_parse("l.x", 3, arena, &p, NULL), 0);
	assert_true(path_visit(&p, root, note, &f));
	assert_string_equal(f.text, " 1 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_grammar, fresh, clean),
		cmocka_unit_test_setup_teardown(wrong_paths_are_explained, fresh, clean),
		cmocka_unit_test_setup_teardown(paths_are_limited, fresh, clean),
		cmocka_unit_test_setup_teardown(what_a_path_finds, fresh, clean),
		cmocka_unit_test_setup_teardown(the_walk_stops_when_told, fresh, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
