/* Error texts. A text is composed in a buffer of its own before it replaces the old one, because
 * the arguments may point into the old one. */
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Length of `text` cut to at most `max` bytes, never in the middle of a UTF-8 character. */
static size_t cut_length(const char *text, size_t max)
{
	size_t n = strlen(text);
	if (n <= max)
		return n;
	n = max;
	while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	return n;
}

static void store(struct error *err, int code, const char *text)
{
	size_t n = cut_length(text, sizeof(err->text) - 1);
	err->code = code;
	memcpy(err->text, text, n);
	err->text[n] = '\0';
}

int error_set(struct error *err, int code, const char *format, ...)
{
	if (err == NULL)
		return code;
	char text[sizeof(err->text) + 4];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store(err, code, text);
	return code;
}

int error_wrap(struct error *err, int code, const char *format, ...)
{
	if (err == NULL)
		return code;
	char prefix[sizeof(err->text)];
	char text[2 * sizeof(err->text) + 2];
	va_list args;
	va_start(args, format);
	vsnprintf(prefix, sizeof(prefix), format, args);
	va_end(args);
	const char *inner = err->text;
	if (inner[0] == '\0')
		inner = error_text(err->code != 0 ? err->code : code);
	snprintf(text, sizeof(text), "%s: %s", prefix, inner);
	store(err, code, text);
	return code;
}

static int code_of_errno(int errno_value)
{
	switch (errno_value) {
	case ENOSPC:
	case EDQUOT: return ERR_DISK_FULL;
	case ENOENT: return ERR_NOT_FOUND;
	case ENOMEM: return ERR_NOMEM;
	default: return ERR_IO;
	}
}

int error_errno(struct error *err, int errno_value, const char *format, ...)
{
	int code = code_of_errno(errno_value);
	if (err == NULL)
		return code;
	char what[sizeof(err->text)];
	char reason[128];
	char text[2 * sizeof(err->text) + 2];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "%s: %s", what,
		 strerror_r(errno_value, reason, sizeof(reason)));
	store(err, code, text);
	return code;
}

const char *error_name(int code)
{
	switch (code) {
#define ERROR_NAME(name, number, text)                                                             \
	case name: return #name;
		ERROR_CODES(ERROR_NAME)
#undef ERROR_NAME
	default: return "ERR_UNKNOWN";
	}
}

const char *error_text(int code)
{
	switch (code) {
#define ERROR_TEXT(name, number, text)                                                             \
	case name: return text;
		ERROR_CODES(ERROR_TEXT)
#undef ERROR_TEXT
	default: return "unknown error";
	}
}

/* Numbers on the wire of this process's codes: positions here. New ones go to the end. */
static const int16_t WIRE_CODES[] = {
	0,
	ERR_NOMEM,
	ERR_IO,
	ERR_DISK_FULL,
	ERR_CORRUPT,
	ERR_FORMAT,
	ERR_INPUT,
	ERR_VALIDATION,
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_UNSUPPORTED,
	ERR_VERSION,
	ERR_LOCKED,
	ERR_BUSY,
	ERR_TIMEOUT,
	ERR_CLOSED,
	ERR_UNAVAILABLE,
	ERR_TOO_LARGE,
	ERR_FORBIDDEN,
	ERR_STALE,
	ERR_INTERNAL,
};
enum { N_WIRE_CODES = sizeof(WIRE_CODES) / sizeof(WIRE_CODES[0]) };

uint8_t error_to_wire(int code)
{
	for (uint8_t i = 0; i < N_WIRE_CODES; i++)
		if (WIRE_CODES[i] == code)
			return i;
	return error_to_wire(ERR_INTERNAL);
}

int error_from_wire(uint8_t number)
{
	return number < N_WIRE_CODES ? WIRE_CODES[number] : ERR_INTERNAL;
}
