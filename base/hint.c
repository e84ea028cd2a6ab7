#include "base/hint.h"
#include <stdint.h>
#include <string.h>

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Levenshtein distance; names longer than HINT_BYTES count as far away. */
static size_t edit_distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t row[HINT_BYTES + 1];
	if (a_n > HINT_BYTES || b_n > HINT_BYTES)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_n; j++) {
			size_t above = row[j];
			row[j] = smallest(above + 1, row[j - 1] + 1,
					  diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_n];
}

void hint_consider(struct hint *h, const char *candidate)
{
	size_t n = strlen(candidate);
	size_t distance = n < HINT_BYTES ? edit_distance(h->name, h->n, candidate, n) : SIZE_MAX;

	if (distance >= h->distance)
		return;
	h->distance = distance;
	memcpy(h->best, candidate, n + 1);
}
