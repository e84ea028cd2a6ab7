/* What every decoder has to stand: damaged bytes. Each try gets a block of its own of exactly the
 * right size, so that AddressSanitizer sees a single byte too much. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"

/* Decodes; 0 or an error. Where it succeeds it should use the result, by encoding it again say. */
typedef int (*decode_fn)(struct reader *r, struct arena *arena);

/* Every shorter piece must be refused; every damaged byte must be refused or give a usable
 * object. */
void assert_decoder_is_safe(decode_fn decode, const void *bytes, size_t n);
