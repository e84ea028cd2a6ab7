/* "did you mean ..?": the name of a list that is nearest to a mistyped one. */
#pragma once
#include <stddef.h>

enum { HINT_BYTES = 64 };

struct hint {
	const char *name; /* as it was typed: borrowed, n bytes */
	size_t n;
	size_t distance;       /* edits to the best so far; one that is farther off is no help */
	char best[HINT_BYTES]; /* "": none is near */
};

static inline struct hint hint_of(const char *name, size_t n)
{
	return (struct hint){name, n, n / 3 + 2, ""};
}
/* Names of HINT_BYTES and more are never meant. */
void hint_consider(struct hint *h, const char *candidate);
