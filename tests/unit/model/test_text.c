/* Text tokens of each tokenizer. Tokens are written with | between them. */
#include "tests/unit/unit.h"
#include "base/arena.h"
#include "base/limits.h"
#include "base/prng.h"
#include "model/text.h"
#include "model/utf8.h"
#include <stdlib.h>
#include <string.h>

static struct buf tokens;

static void note(void *ctx, const char *token, size_t n)
{
	assert_true(n > 0);
	assert_true(utf8_valid(token, n));
	if (tokens.len > 0)
		buf_put_u8(&tokens, '|');
	buf_put(&tokens, token, n);
}

static const char *split_n(const struct text_options *field, const char *text, size_t n, bool query)
{
	buf_clear(&tokens);
	text_tokens(field, text, n, query, note, NULL);
	buf_put_u8(&tokens, 0);
	return (const char *)tokens.data;
}

static const char *split(const struct text_options *field, const char *text)
{
	return split_n(field, text, strlen(text), false);
}

static const char *split_query(const struct text_options *field, const char *text)
{
	return split_n(field, text, strlen(text), true);
}

static void words(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD, .lowercase = true};
	assert_string_equal(split(&f, "Hello, World! x86_64  C++"), "hello|world|x86|64|c");
	assert_string_equal(split(&f, ""), "");
	assert_string_equal(split(&f, " .,!"), "");
	assert_string_equal(split(&f, "one"), "one");
	/* Umlauts, sharp s, Greek with final sigma, Cyrillic; a dash that is not ASCII. */
	assert_string_equal(split(&f,
				  "\xC3\x84pfel\xE2\x80\x94Stra\xC3\x9F"
				  "e \xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3 \xD0\x9C\xD0\x98\xD0\xA0"),
			    "\xC3\xA4pfel|stra\xC3\x9F"
			    "e|\xCE\xBF\xCE\xB4\xCE\xBF\xCF\x83|\xD0\xBC\xD0\xB8\xD1\x80");
	/* Chinese in one run is one token here. */
	assert_string_equal(split(&f, "\xE5\x90\x91\xE9\x87\x8F db"),
			    "\xE5\x90\x91\xE9\x87\x8F|db");
	/* Devanagari: vowel signs belong to the word. */
	assert_string_equal(split(&f,
				  "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\x82\xE0\xA4\xA6\xE0\xA5\x80"),
			    "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\x82\xE0\xA4\xA6\xE0\xA5\x80");
	f.lowercase = false;
	assert_string_equal(split(&f, "Hello World"), "Hello|World");
}

static void composed_and_decomposed_are_the_same(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD, .lowercase = true};
	assert_string_equal(split(&f, "Cafe\xCC\x81s"), "caf\xC3\xA9s");
	assert_string_equal(split(&f, "Caf\xC3\x89s"), "caf\xC3\xA9s");
	/* A mark with nothing before it is no token. */
	assert_string_equal(split(&f, "\xCC\x81 a"), "a");
	/* Hangul from its parts. */
	assert_string_equal(split(&f, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"), "\xED\x95\x9C");
}

static void white_space(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WHITESPACE, .lowercase = true};
	assert_string_equal(split(&f, " Hello,  C++\tx_y\r\n#1\xC2\xA0z\xE3\x80\x80w\xC2\x85v"),
			    "hello,|c++|x_y|#1|z|w|v");
}

static void lengths_are_in_characters(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD,
				 .lowercase = true,
				 .min_token_len = 2,
				 .max_token_len = 4};
	assert_string_equal(split(&f, "a bb cccc ddddd \xC3\xA4 \xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F"),
			    "bb|cccc|\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F");
	assert_string_equal(split_query(&f, "a bb ddddd"), "bb");
}

static void prefixes(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_PREFIX,
				 .lowercase = true,
				 .min_token_len = 2,
				 .max_token_len = 4};
	assert_string_equal(split(&f, "Hello a to"), "he|hel|hell|to");
	assert_string_equal(split_query(&f, "Hello a to hel"), "hell|to|hel");
	assert_string_equal(split(&f, "\xC3\xA4\xC3\xB6\xC3\xBC"),
			    "\xC3\xA4\xC3\xB6|\xC3\xA4\xC3\xB6\xC3\xBC");
	f.min_token_len = 0;
	f.max_token_len = 0;
	assert_string_equal(split(&f, "abc"), "a|ab|abc");
	assert_string_equal(split_query(&f, "abc"), "abc");
}

static void a_long_word_has_a_bounded_number_of_prefixes(void **state)
{
	enum { LENGTH = 100000 };
	struct text_options f = {.tokenizer = TOKENIZER_PREFIX, .max_token_len = UINT32_MAX};
	char *word = malloc(LENGTH);
	assert_non_null(word);
	memset(word, 'x', LENGTH);
	split_n(&f, word, LENGTH, false);
	assert_int_equal(tokens.len,
			 LIMIT_PREFIX_CHARS * (LIMIT_PREFIX_CHARS + 1) / 2 + LIMIT_PREFIX_CHARS);
	split_n(&f, word, LENGTH, true);
	assert_int_equal(tokens.len, LIMIT_PREFIX_CHARS + 1);
	free(word);
}

static void multilingual(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_MULTILINGUAL,
				 .lowercase = true,
				 .min_token_len = 2,
				 .max_token_len = 20};
	/* The minimum does not hold for the single characters. */
	assert_string_equal(split(&f, "\xE5\x90\x91\xE9\x87\x8F"
				      "DB\xE3\x81\xAE Hello a"),
			    "\xE5\x90\x91|\xE9\x87\x8F|db|\xE3\x81\xAE|hello");
	/* Thai: a mark stays with its letter. */
	assert_string_equal(split(&f, "\xE0\xB8\x97\xE0\xB8\xB5\xE0\xB9\x88\xE0\xB8\x99"),
			    "\xE0\xB8\x97\xE0\xB8\xB5\xE0\xB9\x88|\xE0\xB8\x99");
	assert_string_equal(split_query(&f, "\xE5\x90\x91\xE3\x80\x82"), "\xE5\x90\x91");
}

static void bytes_that_are_not_utf8_separate(void **state)
{
	static const char text[] = "ab\xFF"
				   "cd\xC3"
				   "ef\xE5\x90";
	for (int t = TOKENIZER_WORD; t <= TOKENIZER_MULTILINGUAL; t++) {
		struct text_options f = {.tokenizer = (enum tokenizer)t, .min_token_len = 2};
		assert_string_equal(split(&f, text), "ab|cd|ef");
	}
	/* Any bytes at all; note() checks what comes out. */
	struct prng random;
	prng_seed(&random, 6);
	for (int round = 0; round < 3000; round++) {
		char *bytes = malloc(64);
		assert_non_null(bytes);
		for (int i = 0; i < 64; i++)
			bytes[i] = (char)(prng_below(&random, 3) ? prng_below(&random, 256) : 0xE5);
		for (int t = TOKENIZER_WORD; t <= TOKENIZER_MULTILINGUAL; t++) {
			struct text_options f = {.tokenizer = (enum tokenizer)t,
						 .lowercase = round % 2 == 0};
			split_n(&f, bytes, 64, false);
		}
		free(bytes);
	}
}

static bool matches(enum text_match how, const char *query, const char *text)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD, .lowercase = true};
	return text_matches(&f, how, query, strlen(query), text, strlen(text));
}

static void matching(void **state)
{
	assert_true(matches(TEXT_ALL, "b a b", "A, B, c"));
	assert_false(matches(TEXT_ALL, "a d", "A, B, c"));
	assert_true(matches(TEXT_ANY, "d c", "A, B, c"));
	assert_false(matches(TEXT_ANY, "d e", "A, B, c"));
	for (int how = TEXT_ALL; how <= TEXT_PHRASE; how++) {
		assert_false(matches((enum text_match)how, "", "a"));
		assert_false(matches((enum text_match)how, "a", ""));
	}
	assert_true(matches(TEXT_PHRASE, "a b", "x a b"));
	assert_false(matches(TEXT_PHRASE, "a b", "a x b"));
	/* Needs to fall back within the phrase. */
	assert_true(matches(TEXT_PHRASE, "a b a b c", "a b a b a b c"));
	assert_true(matches(TEXT_PHRASE, "a a b", "a a a a b"));
	assert_false(matches(TEXT_PHRASE, "a a b", "a b a b a"));
}

static void a_prefix_query_finds_words_that_begin_so(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_PREFIX, .lowercase = true};
	assert_true(text_matches(&f, TEXT_ALL, "wor hel", 7, "Hello World", 11));
	assert_false(text_matches(&f, TEXT_ALL, "orld", 4, "Hello World", 11));
	assert_true(text_matches(&f, TEXT_PHRASE, "hello world", 11, "Hello World", 11));
	assert_false(text_matches(&f, TEXT_PHRASE, "hello wor", 9, "Hello World", 11));
}

static void ascii_folding(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD,
				 .lowercase = true,
				 .ascii_folding = true};
	assert_string_equal(split(&f, "a\xC3\xA7\xC3\xA3o \xC3\x89t\xC3\xA9 Stra\xC3\x9F"
				      "e \xC3\x98l \xC5\x81\xC3\xB3"
				      "d\xC5\xBA"),
			    "acao|ete|strasse|ol|lodz");
	/* Decomposed; with two marks; a ligature. */
	assert_string_equal(split(&f, "Cafe\xCC\x81 e\xCC\xB1\xCC\x81 \xEF\xAC\x81n"),
			    "cafe|e|fin");
	/* Cyrillic short i and Greek with accent are no Latin letters. */
	assert_string_equal(split(&f, "\xD0\xB9 \xCE\xAC"), "\xD0\xB9|\xCE\xAC");
	f.lowercase = false;
	assert_string_equal(split(&f, "\xC3\x89t\xC3\xA9"), "Ete");
	f.max_token_len = 3; /* of the folded token */
	assert_string_equal(split(&f, "\xC3\x9F\xC3\x9F a\xC3\x9F"), "ass");
}

static void stop_words_and_stems(void **state)
{
	struct arena *arena = arena_new(256);
	const struct stop_word custom[] = {{"ACME", 4}, {"foo bar", 7}, {"acme", 4}};
	struct text_options f = {.tokenizer = TOKENIZER_WORD,
				 .lowercase = true,
				 .stop_languages = 1u << LANGUAGE_ENGLISH | 1u << LANGUAGE_GERMAN};
	assert_string_equal(split(&f, "The cat und der Hund ACME"), "cat|hund|acme");
	text_options_set_stop_words(&f, arena, custom, 3);
	assert_int_equal(f.n_stop_words, 3);
	assert_string_equal(split(&f, "The cat und der Hund Acme foo"), "cat|hund");
	f.stemmer = LANGUAGE_ENGLISH;
	assert_string_equal(split(&f, "Running dogs and flies"), "run|dog|fli");
	f.min_token_len = 4; /* of the stem */
	assert_string_equal(split(&f, "Running houses"), "hous");
	/* A stop word with marks is one although folding would take them away first. */
	f = (struct text_options){.tokenizer = TOKENIZER_WORD,
				  .lowercase = true,
				  .ascii_folding = true,
				  .stop_languages = 1u << LANGUAGE_GERMAN};
	assert_string_equal(split(&f, "f\xC3\xBCr B\xC3\xBC"
				      "cher"),
			    "bucher");
	arena_free(arena);
}

static void words_of_a_query_are_treated_like_those_of_a_text(void **state)
{
	struct text_options f = {.tokenizer = TOKENIZER_WORD,
				 .lowercase = true,
				 .stemmer = LANGUAGE_ENGLISH,
				 .stop_languages = 1u << LANGUAGE_ENGLISH};
	assert_true(text_matches(&f, TEXT_ALL, "the dog runs", 12, "Dogs were running", 17));
	assert_true(text_matches(&f, TEXT_PHRASE, "dog run", 7, "Dogs were running", 17));
	assert_false(text_matches(&f, TEXT_ALL, "the", 3, "the the", 7));
	f.tokenizer = TOKENIZER_PREFIX;
	assert_string_equal(split(&f, "the dogs"), "d|do|dog");
}

static int clean(void **state)
{
	buf_fini(&tokens);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(composed_and_decomposed_are_the_same),
		cmocka_unit_test(white_space),
		cmocka_unit_test(lengths_are_in_characters),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(a_long_word_has_a_bounded_number_of_prefixes),
		cmocka_unit_test(multilingual),
		cmocka_unit_test(bytes_that_are_not_utf8_separate),
		cmocka_unit_test(matching),
		cmocka_unit_test(a_prefix_query_finds_words_that_begin_so),
		cmocka_unit_test(ascii_folding),
		cmocka_unit_test(stop_words_and_stems),
		cmocka_unit_test(words_of_a_query_are_treated_like_those_of_a_text),
	};
	return cmocka_run_group_tests(tests, NULL, clean);
}
