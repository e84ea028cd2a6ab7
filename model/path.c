/* Key paths: parsing, and the walk through a payload. */
#include "base/assert.h"
#include "base/limits.h"
#include "model/payload.h"
#include "model/utf8.h"
#include <string.h>

struct parser {
	const char *text; /* the NUL-terminated copy */
	size_t at;
	size_t n;
	struct path_step *steps;
	uint32_t n_steps;
};

static bool plain_key_char(char c)
{
	return (unsigned char)c >= 0x20 && c != '.' && c != '[' && c != ']' && c != '"' &&
	       c != 0x7F;
}

/* Each parse_ returns what is wrong, or NULL. */
static const char *add_step(struct parser *p, struct path_step step)
{
	if (p->n_steps == LIMIT_PATH_STEPS)
		return "it has too many steps";
	p->steps[p->n_steps++] = step;
	return NULL;
}

static const char *parse_key(struct parser *p)
{
	bool quoted = p->at < p->n && p->text[p->at] == '"';
	size_t first = p->at + quoted;
	size_t end = first;
	while (end < p->n && (quoted ? p->text[end] != '"' : plain_key_char(p->text[end])))
		end++;
	if (quoted && end == p->n)
		return "a quotation mark is not closed";
	if (!quoted && end == first)
		return "a key is missing";
	p->at = end + quoted;
	return add_step(p, (struct path_step){.type = PATH_KEY,
					      .key = p->text + first,
					      .key_n = (uint32_t)(end - first)});
}

static const char *parse_brackets(struct parser *p)
{
	p->at++; /* [ */
	struct path_step step = {.type = PATH_EACH};
	for (; p->at < p->n && p->text[p->at] >= '0' && p->text[p->at] <= '9'; p->at++) {
		uint32_t digit = (uint32_t)(p->text[p->at] - '0');
		step.type = PATH_INDEX;
		if (__builtin_mul_overflow(step.index, 10u, &step.index) ||
		    __builtin_add_overflow(step.index, digit, &step.index))
			return "an array index is too large";
	}
	if (p->at == p->n || p->text[p->at] != ']')
		return "brackets may hold an array index or nothing";
	p->at++;
	return add_step(p, step);
}

static const char *parse_steps(struct parser *p)
{
	const char *wrong = parse_key(p);
	while (wrong == NULL && p->at < p->n) {
		switch (p->text[p->at]) {
		case '.':
			p->at++;
			wrong = parse_key(p);
			break;
		case '[': wrong = parse_brackets(p); break;
		default: wrong = "a dot is missing between two keys"; break;
		}
	}
	return wrong;
}

int path_parse(const char *text, size_t n, struct arena *arena, struct path *out, struct error *err)
{
	struct path_step steps[LIMIT_PATH_STEPS];
	const char *wrong = NULL;
	int shown = (int)(n < 100 ? n : 100);
	*out = (struct path){0};
	if (n > LIMIT_PATH_BYTES)
		wrong = "it is too long";
	else if (n != 0 && memchr(text, '\0', n) != NULL)
		wrong = "it has a NUL character";
	else if (!utf8_valid(text, n))
		return error_set(err, ERR_INPUT, "a key path is not UTF-8");
	struct parser p = {.n = n, .steps = steps};
	if (wrong == NULL) {
		p.text = arena_strndup(arena, text, n);
		wrong = parse_steps(&p);
	}
	if (wrong != NULL)
		return error_set(err, ERR_INPUT, "the key path '%.*s' is wrong: %s", shown, text,
				 wrong);
	out->text = p.text;
	out->n_steps = p.n_steps;
	out->steps = arena_copy(arena, steps, p.n_steps * sizeof(*steps));
	return 0;
}

struct walk {
	const struct path *path;
	bool (*fn)(void *ctx, struct pv v);
	void *ctx;
};

static bool visit(const struct walk *w, uint32_t at, struct pv v)
{
	/* Steps down a chain of objects need no recursion. */
	for (; at < w->path->n_steps; at++) {
		const struct path_step *step = &w->path->steps[at];
		if (pv_type(v) == PV_ARRAY)
			break;
		if (step->type != PATH_KEY || !pv_get(v, step->key, step->key_n, &v))
			return false;
	}
	if (at == w->path->n_steps)
		return w->fn(w->ctx, v);
	const struct path_step *step = &w->path->steps[at];
	struct pv_iter it = pv_iterate(v);
	for (uint32_t i = 0; pv_next(&it); i++) {
		if (step->type == PATH_INDEX && i != step->index)
			continue;
		if (visit(w, step->type == PATH_KEY ? at : at + 1, it.value))
			return true;
	}
	return false;
}

bool path_visit(const struct path *p, struct pv root, bool (*fn)(void *ctx, struct pv v), void *ctx)
{
	struct walk w = {p, fn, ctx};
	return visit(&w, 0, root);
}
