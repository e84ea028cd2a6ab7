/* What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput(); it is linked with libFuzzer by
 * `scripts/fuzz`, and with replay.c for the ordinary tests, which run its corpus and some mutations of it.
 *
 * Formats with checksums would stop every mutation at the door, so their targets repair the sums after damaging the rest.
 */
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Ends the process with a message: the target found something. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fuzz_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)
__attribute__((noreturn)) void fuzz_fail(const char *file, int line, const char *what);

/* A failure says why, and has one of the codes of base/error.h. */
void fuzz_check_error(int rc, const struct error *err);

/* The same bytes. */
void fuzz_check_same(const struct buf *a, const struct buf *b);

/* Damages b as the reader's bytes say: overwrites, flips, inserts, removes, cuts, one after the other. */
void fuzz_damage(struct buf *b, struct reader *r);

/* A file with these bytes; the path is the same for every call with the same ending. */
const char *fuzz_file(const char *ending, const void *bytes, size_t n);
