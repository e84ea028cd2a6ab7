/* Paragraphs to passages. */
#include "tests/unit/unit.h"

#include "cli/passage.h"
#include <ctype.h>
#include <string.h>

static struct passages p;

static uint32_t words(const char *s, size_t n)
{
	uint32_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += !isspace((unsigned char)s[i]) &&
			 (i == 0 || isspace((unsigned char)s[i - 1]));
	return count;
}

static void put_words(struct buf *b, const char *word, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		buf_printf(b, "%s%s%u", i ? " " : "", word, i);
}

static void split(struct buf *b)
{
	passages_split(&p, (const char *)b->data, b->len);
}

static uint32_t total_words(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < p.n; i++)
		sum += words((char *)p.text.data + p.items[i].text_at, p.items[i].text_n);
	return sum;
}

static void test_paragraphs_are_gathered(void **state)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 10; i++) {
		put_words(&b, "w", 50);
		buf_put(&b, "\n\n", 2);
	}
	split(&b);
	assert_int_equal(total_words(), 500);
	assert_int_equal(p.n, 4); /* 150, 150, 150, 50 */
	for (uint32_t i = 0; i < p.n - 1; i++) {
		uint32_t n = words((char *)p.text.data + p.items[i].text_at, p.items[i].text_n);

		assert_true(n >= PASSAGE_MIN_WORDS && n <= PASSAGE_MAX_WORDS);
	}
	buf_fini(&b);
}

static void test_a_long_paragraph_is_cut_at_a_sentence(void **state)
{
	struct buf b = BUF_INIT;

	put_words(&b, "a", 130);
	buf_put(&b, " end. ", 6);
	put_words(&b, "b", 300);
	split(&b);
	assert_int_equal(total_words(), 431);
	const char *first = (char *)p.text.data + p.items[0].text_at;
	assert_memory_equal(first + p.items[0].text_n - 4, "end.", 4);
	for (uint32_t i = 0; i < p.n; i++)
		assert_true(words((char *)p.text.data + p.items[i].text_at, p.items[i].text_n) <=
			    PASSAGE_MAX_WORDS + PASSAGE_MIN_WORDS / 4);
	buf_fini(&b);
}

static void test_headings_name_what_follows(void **state)
{
	struct buf b = BUF_INIT;

	put_words(&b, "x", 100);
	buf_put(&b, "\n\n\x01Options\n\n", 12);
	put_words(&b, "y", 100);
	split(&b);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.items[0].section_n, 0);
	assert_int_equal(p.items[1].section_n, 7);
	assert_memory_equal(p.text.data + p.items[1].section_at, "Options", 7);
	assert_memory_equal(p.text.data + p.items[1].text_at, "Options\ny0", 10);
	buf_fini(&b);
}

static void test_nothing_but_signs(void **state)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "1 2 3 -- ++ ***\n\n   \n\t\n");
	split(&b);
	assert_int_equal(p.n, 0);
	buf_clear(&b);
	split(&b);
	assert_int_equal(p.n, 0);
	buf_fini(&b);
}

static void test_a_word_without_end(void **state)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 100000; i++)
		buf_put(&b, "\xC3\xBC", 2);
	split(&b);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.items[0].text_n, 200);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paragraphs_are_gathered),
		cmocka_unit_test(test_a_long_paragraph_is_cut_at_a_sentence),
		cmocka_unit_test(test_headings_name_what_follows),
		cmocka_unit_test(test_nothing_but_signs),
		cmocka_unit_test(test_a_word_without_end),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	passages_fini(&p);
	return failed;
}
