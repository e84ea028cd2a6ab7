/* Payloads as JSON text, for tests. Quotation marks are single ones, so that they stand unescaped
 * in C. */
#pragma once
#include "base/arena.h"
#include "model/payload.h"

/* Parses; fails the test when it is not JSON. The value lives in the arena. */
struct pv doc(struct arena *arena, const char *json);
struct pv_slice doc_slice(struct arena *arena, const char *json);
/* Prints without blanks, doubles always with a point or exponent. */
const char *doc_text(struct arena *arena, struct pv v);
