/* Documents to paragraphs. */
#include "tests/unit/unit.h"

#include "cli/markup.h"
#include "cli/passage.h"
#include <string.h>

static struct buf text, title;

static void convert(enum markup kind, const char *bytes)
{
	buf_clear(&text);
	buf_clear(&title);
	markup_to_text(kind, bytes, strlen(bytes), &text, &title);
}

static void has(const char *part)
{
	if (strstr((char *)text.data, part) == NULL)
		fail_msg("`%s` does not contain `%s`", (char *)text.data, part);
}

static void lacks(const char *part)
{
	if (strstr((char *)text.data, part) != NULL)
		fail_msg("`%s` contains `%s`", (char *)text.data, part);
}

static void test_man_page(void **state)
{
	convert(MARKUP_MAN,
		".\\\" a comment\n"
		".TH TAIL \"1\" \"September 2022\"\n"
		".SH NAME\ntail \\- output the last part of files\n"
		".SH \"SYNOPSIS AND MORE\"\n.B tail\n[\\fI\\,OPTION\\/\\fR]...\n"
		".TP\n\\fB\\-f\\fR, \\fB\\-\\-follow\\fR[={name|descriptor}]\noutput appended data as the file grows\\(em always\n"
		".de XX\nnot this\n..\n"
		".BR kill (2),\n.ie n \\{\\\n.RS\n\\s-1HUGE\\s0 \\[u00E9] \\*(lqa\\*(rq x\\h'2m'y\n");
	assert_string_equal((char *)title.data, "tail(1) - output the last part of files");
	has("\x01SYNOPSIS AND MORE");
	has("tail\n[OPTION]...");
	has("-f, --follow[={name|descriptor}]");
	has("as the file grows- always");
	has("kill(2),");
	has("HUGE \xC3\xA9");
	has("xy");
	lacks("not this");
	lacks("comment");
	lacks("\\f");
}

static void test_title_over_two_lines(void **state)
{
	convert(MARKUP_MAN,
		".TH select 2\n.SH NAME\nselect, pselect, fd_set \\-\nsynchronous I/O multiplexing\n"
		".SH X\ny\n");
	assert_string_equal((char *)title.data, "select(2) - synchronous I/O multiplexing");
}

static void test_mdoc_page(void **state)
{
	convert(MARKUP_MAN,
		".Dd May 1, 2020\n.Dt NC 1\n.Os\n.Sh NAME\n.Nm nc\n.Nd arbitrary TCP connections\n"
		".Sh SYNOPSIS\n.Nm\n.Op Fl l\n.Op Fl p Ar port\n"
		".Sh DESCRIPTION\nThe\n.Nm\nutility, see\n.Xr cat 1 .\n");
	assert_string_equal((char *)title.data, "nc(1) - arbitrary TCP connections");
	has("-p port");
	has("nc\nutility");
	has("cat(1)");
}

static void test_table_in_a_page(void **state)
{
	convert(MARKUP_MAN, ".SH X\n.TS\ntab(;);\nl l\nc c.\nname;meaning\n.TE\nafter\n");
	has("name;meaning");
	has("after");
	lacks("tab(;)");
	lacks("c c.");
}

static void test_macros_that_are_none(void **state)
{
	/* Each of these once stopped the reader or made it read past the end. */
	convert(MARKUP_MAN,
		".\n'\n.  \n.SH\n\\\n\\f\n\\f(\n\\[\n\\s+\n\\h'\n\\(\n.TS\n.IP\n.It\n.B \"\n.B \\");
	convert(MARKUP_MAN, "\\");
	convert(MARKUP_MAN, ".SH NAME");
	convert(MARKUP_MAN, "");
	assert_int_equal(text.len, 0);
}

static void test_html(void **state)
{
	convert(MARKUP_HTML,
		"<!DOCTYPE html><head><title>A &amp; B\n</title><style>p { x }</style>"
		"<script>if (a < b) document.write('<p>no</p>')</script></head>"
		"<body><h2>First\nheading</h2><p>One&nbsp;two <b>three</b>&#33;<br>next &lt;tag&gt; 3 < 4"
		"<!-- <p>hidden</p> --><pre>keep\n  this</pre><ul><li>item</ul> &bogus; &#x41;");
	assert_string_equal((char *)title.data, "A & B");
	has("\x01"
	    "First heading");
	has("One two three!\nnext <tag> 3 < 4");
	has("keep\n  this");
	has("item");
	has("&bogus; A");
	lacks("document");
	lacks("hidden");
	lacks("p { x }");
	convert(MARKUP_HTML, "<p>cut <!-- never closed");
	has("cut");
	convert(MARKUP_HTML, "<script>never closed");
	convert(MARKUP_HTML, "<");
}

static void test_markdown_and_plain(void **state)
{
	convert(MARKUP_MARKDOWN,
		"# The title\n\nText *here*.\n\n## Part\n\n```c\n# not a heading\n```\nmore\n");
	assert_string_equal((char *)title.data, "The title");
	has("\x01Part");
	has("\n# not a heading");
	convert(MARKUP_TEXT, "=====\n  Heading line\n=====\nbody\n");
	assert_string_equal((char *)title.data, "Heading line");
	has("body");
	lacks("====");
}

static void test_bytes_that_are_no_utf8(void **state)
{
	convert(MARKUP_TEXT, "Gr\xFC\xDF"
			     "e"); /* Latin-1 */
	has("Gr\xC3\xBC\xC3\x9F"
	    "e");
	convert(MARKUP_TEXT, "\xC3\xBC \xC3\xB6 \xC3\xA4 \xFF"); /* mostly UTF-8 */
	has("\xC3\xBC \xC3\xB6 \xC3\xA4 \xEF\xBF\xBD");
	convert(MARKUP_TEXT, "b\bbo\bol\bld\bd");
	has("bold");
	assert_true(markup_is_binary((const unsigned char *)"ab\0c", 4));
	assert_false(markup_is_binary((const unsigned char *)"plain\n\ttext", 11));
}

static void kind_is(const char *path, const char *extensions, int expected)
{
	enum markup kind;
	int got = markup_of_name(path, extensions, &kind) ? (int)kind : -1;

	if (got != expected)
		fail_msg("%s is read as %d, not as %d", path, got, expected);
}

static void test_kind_by_name(void **state)
{
	kind_is("/usr/share/man/man1/ls.1.gz", NULL, MARKUP_MAN);
	kind_is("/usr/share/man/man3/x.3ssl.gz", NULL, MARKUP_MAN);
	kind_is("/doc/a.HTML", NULL, MARKUP_HTML);
	kind_is("/doc/a.md.gz", NULL, MARKUP_MARKDOWN);
	kind_is("/doc/copyright", NULL, MARKUP_TEXT);
	kind_is("/doc/README.Debian.gz", NULL, MARKUP_TEXT);
	kind_is("/doc/program.py", NULL, -1);
	kind_is("/doc/picture.png", NULL, -1);
	kind_is("/doc/libfoo.so.3", NULL,
		MARKUP_MAN); /* looks like one; is binary, so left out later */
	kind_is("/doc/a.md", "txt,rst", -1);
	kind_is("/doc/a.rst", "txt,rst", MARKUP_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_man_page),
		cmocka_unit_test(test_title_over_two_lines),
		cmocka_unit_test(test_mdoc_page),
		cmocka_unit_test(test_table_in_a_page),
		cmocka_unit_test(test_macros_that_are_none),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_markdown_and_plain),
		cmocka_unit_test(test_bytes_that_are_no_utf8),
		cmocka_unit_test(test_kind_by_name),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buf_fini(&text);
	buf_fini(&title);
	return failed;
}
