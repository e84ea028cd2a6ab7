/* What the tests of the parsers share: a collection, JSON from text, and a table of refusals. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/parse.h"
#include "tests/unit/api/books.h"

#include <stdio.h>
#include <string.h>

struct fixture {
	struct arena *arena;
	struct collection *collection;
	struct error err;
	struct parse p;
};

/* With the collection of books.h. */
static inline void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->arena = arena_new(4096);
	f->collection = books_new();
	f->p = parse_make(f->arena, f->collection, &f->err);
}

static inline void fixture_fini(struct fixture *f)
{
	parse_fini(&f->p);
	collection_unref(f->collection);
	arena_free(f->arena);
}

/* The text stays in the arena: values point into it. */
static inline const struct json *fixture_json(struct fixture *f, const char *text)
{
	const struct json *v = NULL;
	size_t n = strlen(text);
	char *copy = arena_strndup(f->arena, text, n);
	int rc = json_parse((const uint8_t *)copy, n, f->arena, &v, &f->err);

	if (rc != 0)
		fail_msg("test text is no JSON: %s: %s", text, f->err.text);
	return v;
}

/* A body that must be refused with this code, and these words in the text. */
struct refusal {
	const char *body;
	int code;
	const char *words;
};

static inline void expect_refusal(const struct fixture *f, const struct refusal *r, int rc)
{
	if (rc != r->code)
		fail_msg("%s: gave %s (%s), expected %s", r->body, error_name(rc), f->err.text,
			 error_name(r->code));
	if (strstr(f->err.text, r->words) == NULL)
		fail_msg("%s: the text '%s' lacks '%s'", r->body, f->err.text, r->words);
}

static inline void expect_ok(const struct fixture *f, const char *body, int rc)
{
	if (rc != 0)
		fail_msg("%s: refused with %s: %s", body, error_name(rc), f->err.text);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
