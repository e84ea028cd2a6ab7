/* What happens when an assertion does not hold: one line to stderr, then abort(). */
#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>

void assert_fail(const char *file, int line, const char *expr)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}
