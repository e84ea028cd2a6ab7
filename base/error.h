/* Errors: how every fallible function of quiver reports.
 *
 * Convention: a function returns int: 0 is success, a negative `enum error_code` is a failure
 * to pass on, a positive value is a documented outcome that the direct caller switches on.
 * The text for a person goes into an optional `struct error *` (may be NULL) and is wrapped on the
 * way up, so that it reads outermost first: "open segment 7: read header: bad checksum".
 * A text says what was wrong, where, and what to do.
 *
 * Codes never cross the wire as numbers of this enum: between nodes they travel as error_to_wire()
 * says, over HTTP as api/ says.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, number, default text. Numbers are in-process only. */
#define ERROR_CODES(X)                                                                             \
	X(ERR_NOMEM, -1, "out of memory")                                                          \
	X(ERR_IO, -2, "input/output error")                                                        \
	X(ERR_DISK_FULL, -3, "no space left on the device")                                        \
	X(ERR_CORRUPT, -4, "data is corrupt")                                                      \
	X(ERR_FORMAT, -5, "malformed input")                                                       \
	X(ERR_INPUT, -6, "wrong input")                                                            \
	X(ERR_VALIDATION, -7, "a value is out of range")                                           \
	X(ERR_NOT_FOUND, -8, "not found")                                                          \
	X(ERR_EXISTS, -9, "already exists")                                                        \
	X(ERR_UNSUPPORTED, -10, "not supported")                                                   \
	X(ERR_VERSION, -11, "written by another version")                                          \
	X(ERR_LOCKED, -12, "in use by another process")                                            \
	X(ERR_BUSY, -13, "too many requests in flight")                                            \
	X(ERR_TIMEOUT, -14, "timed out")                                                           \
	X(ERR_CLOSED, -15, "closed")                                                               \
	X(ERR_UNAVAILABLE, -16, "not available now")                                               \
	X(ERR_TOO_LARGE, -17, "too large")                                                         \
	X(ERR_FORBIDDEN, -18, "not allowed")                                                       \
	X(ERR_STALE, -19, "the request used an outdated cluster map")                              \
	X(ERR_INTERNAL, -20, "internal error")

enum error_code {
#define ERROR_ENUM(name, number, text) name = (number),
	ERROR_CODES(ERROR_ENUM)
#undef ERROR_ENUM
};

struct error {
	int code;       /* 0 or a negative error_code */
	char text[480]; /* NUL-terminated, "" when unset; longer texts are cut */
};

/* Sets the text (err may be NULL) and returns `code`, so that `return error_set(...)` works. */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "<format...>: " before the present text (or before the default text of err->code / `code`
 * when there is none) and returns `code`. */
int error_wrap(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set, with ": <strerror(errno_value)>" appended; the code is ERR_DISK_FULL for ENOSPC and
 * EDQUOT, ERR_NOT_FOUND for ENOENT, ERR_NOMEM for ENOMEM, else ERR_IO. */
int error_errno(struct error *err, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "ERR_IO"; "ERR_UNKNOWN" for a number that is not in the list. */
const char *error_name(int code);
/* Default text of a code, never NULL. */
const char *error_text(int code);

/* Stable numbers for messages between nodes. An unknown code or number becomes ERR_INTERNAL. */
uint8_t error_to_wire(int code);
int error_from_wire(uint8_t number);
