/* UTF-8 in the model: what is text is checked once, where it comes in. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Well-formed: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_valid(const void *bytes, size_t n);
