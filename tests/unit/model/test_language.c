/* Languages: names, stop words, stems. */
#include "tests/unit/unit.h"
#include "model/language.h"
#include "model/text.h"
#include "model/utf8.h"
#include <string.h>

static void names_and_codes(void **state)
{
	enum language l;
	for (int i = LANGUAGE_NONE + 1; i < LANGUAGE_COUNT; i++) {
		const char *name = language_name((enum language)i);
		assert_int_equal(language_parse(name, strlen(name), &l), 0);
		assert_int_equal(l, i);
	}
	assert_int_equal(language_parse("de", 2, &l), 0);
	assert_int_equal(l, LANGUAGE_GERMAN);
	assert_int_not_equal(language_parse("none", 4, &l), 0);
	assert_int_not_equal(language_parse("", 0, &l), 0);
	assert_int_not_equal(language_parse("klingon", 7, &l), 0);
	assert_int_not_equal(language_parse("English", 7, &l), 0);
}

static void every_language_has_a_stemmer(void **state)
{
	for (int i = LANGUAGE_NONE + 1; i < LANGUAGE_COUNT; i++) {
		struct stemmer *s = stemmer_new((enum language)i);
		size_t n;
		assert_non_null(stemmer_stem(s, "word", 4, &n));
		assert_true(n <= 4);
		stemmer_free(s);
	}
	stemmer_free(NULL);
}

static void stems(void **state)
{
	struct stemmer *s = stemmer_new(LANGUAGE_ENGLISH);
	size_t n;
	const char *stem = stemmer_stem(s, "generalizations", 15, &n);
	assert_int_equal(n, 7);
	assert_memory_equal(stem, "general", 7);
	stem = stemmer_stem(s, "ran", 3, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(stem, "ran", 3);
	stemmer_free(s);
}

static void note_word(void *ctx, const char *token, size_t n)
{
	struct stop_word *got = ctx;
	assert_null(got->s);
	*got = (struct stop_word){token, (uint32_t)n};
}

/* Each word of each list is what the tokenizer makes of it: one token, lower case, form C. */
static void lists_are_tokens(void **state)
{
	const struct text_options plain = {.tokenizer = TOKENIZER_WORD, .lowercase = true};
	for (int i = 0; i < LANGUAGE_COUNT; i++) {
		enum language l = (enum language)i;
		const char *list = language_stop_words(l);
		assert_int_equal(list != NULL, language_has_stop_words(l));
		for (const char *at = list; at != NULL && *at != '\0'; at += *at == ' ') {
			size_t n = strcspn(at, " ");
			struct stop_word got = {NULL, 0};
			assert_true(utf8_valid(at, n));
			text_tokens(&plain, at, n, false, note_word, &got);
			assert_int_equal(got.n, n);
			assert_true(language_stops(l, at, n));
			assert_false(language_stops(LANGUAGE_NONE, at, n));
			at += n;
		}
	}
	assert_true(language_stops(LANGUAGE_ENGLISH, "the", 3));
	assert_false(language_stops(LANGUAGE_ENGLISH, "th", 2));
	assert_false(language_stops(LANGUAGE_ENGLISH, "the a", 5));
	assert_false(language_stops(LANGUAGE_ENGLISH, "", 0));
	assert_false(language_stops(LANGUAGE_GERMAN, "the", 3));
	assert_false(language_has_stop_words(LANGUAGE_TAMIL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_codes),
		cmocka_unit_test(every_language_has_a_stemmer),
		cmocka_unit_test(stems),
		cmocka_unit_test(lists_are_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
