/* The heads of ordinary requests: RFC 9112 without its options. One line for the request, lines
 * `name: value`, an empty line; nothing that needs a decision. */
#include "http/head.h"
#include <string.h>
#include <strings.h>

enum { LENGTH_DIGITS = 9 };

/* What may stand in the name of a field (RFC 9110, token). */
static bool is_token(char c)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr(marks, c) != NULL);
}

static bool read_method(char **at, struct http_head *out)
{
	static const struct {
		const char *name;
		enum http_method method;
	} known[] = {{"POST ", HTTP_POST},
		     {"GET ", HTTP_GET},
		     {"PUT ", HTTP_PUT},
		     {"PATCH ", HTTP_PATCH},
		     {"DELETE ", HTTP_DELETE}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].name);

		if (strncmp(*at, known[i].name, n) != 0)
			continue;
		*at += n;
		out->method = known[i].method;
		return true;
	}
	return false;
}

/* "a=b&c". A plus is left to others: it may mean a space. */
static bool read_parameters(char *at, struct http_head *out)
{
	while (at) {
		char *next = strchr(at, '&'), *equals;

		if (out->n_parameters == HEAD_FIELDS)
			return false;
		if (next)
			*next++ = 0;
		equals = strchr(at, '=');
		if (equals)
			*equals++ = 0;
		if (*at == 0)
			return false;
		out->parameters[out->n_parameters++] = (struct http_field){at, equals};
		at = next;
	}
	return true;
}

/* "/path?query HTTP/1.1", the end of the line excluded. */
static bool read_target(char *at, struct http_head *out)
{
	char *end = strchr(at, ' '), *query;

	if (*at != '/' || !end || strcmp(end, " HTTP/1.1") != 0)
		return false;
	*end = 0;
	for (const char *c = at; c < end; c++)
		if (*c < 0x21 || *c > 0x7e || *c == '#')
			return false;
	out->path = at;
	query = strchr(at, '?');
	if (!query)
		return true;
	*query++ = 0;
	return !strchr(query, '+') && read_parameters(query, out);
}

static bool read_length(const char *digits, struct http_head *out)
{
	size_t n = strlen(digits);

	if (n == 0 || n > LENGTH_DIGITS)
		return false;
	out->body_length = 0;
	for (size_t i = 0; i < n; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		out->body_length = out->body_length * 10 + (size_t)(digits[i] - '0');
	}
	return true;
}

/* The fields that say how to read on, or what to do with the connection. */
static bool is_ordinary(const struct http_field *f, unsigned *hosts, unsigned *lengths,
			struct http_head *out)
{
	static const char *const never[] = {"Transfer-Encoding", "Expect", "Upgrade", "TE",
					    "Trailer"};

	switch (*f->name | 0x20) {
	case 'h': *hosts += strcasecmp(f->name, "Host") == 0; return true;
	case 'c':
		if (strcasecmp(f->name, "Connection") == 0)
			return strcasecmp(f->value, "keep-alive") == 0;
		if (strcasecmp(f->name, "Content-Length") != 0)
			return true;
		++*lengths;
		return read_length(f->value, out);
	case 't':
	case 'e':
	case 'u':
		for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			if (strcasecmp(f->name, never[i]) == 0)
				return false;
		return true;
	default: return true;
	}
}

/* "Name: value" of which the end is a NUL now. */
static bool read_field(char *at, struct http_field *out)
{
	char *colon = at, *value, *end;

	while (is_token(*colon))
		colon++;
	if (colon == at || *colon != ':')
		return false;
	*colon = 0;
	for (value = colon + 1; *value == ' ' || *value == '\t'; value++)
		;
	for (end = value; *end; end++)
		if ((*end < 0x20 && *end != '\t') || *end > 0x7e)
			return false;
	if (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		return false;
	*out = (struct http_field){at, value};
	return true;
}

/* Ends the line at its CR with a NUL; returns the next one, NULL when there is no end. */
static char *end_line(char *line, char *end)
{
	char *cr = memchr(line, '\r', (size_t)(end - line));

	if (!cr || cr + 1 >= end || cr[1] != '\n' || memchr(line, 0, (size_t)(cr - line)))
		return NULL;
	*cr = 0;
	return cr + 2;
}

bool http_head_read(char *text, size_t n, struct http_head *out)
{
	char *end = text + n, *line = text, *next = end_line(line, end);
	unsigned hosts = 0, lengths = 0;

	out->n_parameters = out->n_fields = 0;
	out->body_length = 0;
	if (!next || !read_method(&line, out) || !read_target(line, out))
		return false;
	for (;;) {
		struct http_field *f = &out->fields[out->n_fields];

		line = next;
		next = end_line(line, end);
		if (!next)
			return false;
		if (*line == 0)
			break;
		if (out->n_fields == HEAD_FIELDS || !read_field(line, f) ||
		    !is_ordinary(f, &hosts, &lengths, out))
			return false;
		out->n_fields++;
	}
	out->n_bytes = (size_t)(next - text);
	return hosts == 1 && lengths <= 1;
}
