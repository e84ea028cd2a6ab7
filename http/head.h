/* The heads of ordinary requests, read strictly.
 *
 * What http/direct.c serves by itself is read here; everything else about HTTP is left to
 * libmicrohttpd. So this reader need not know what to do with a strange head: it must only see
 * that it is strange. What it takes it understands as libmicrohttpd does.
 */
#pragma once
#include "http/http.h"

enum { HEAD_FIELDS = 32, HEAD_BYTES = 2048 };

struct http_field {
	const char *name, *value; /* value: NULL for a parameter without `=` */
};

struct http_head {
	enum http_method method;
	const char *path; /* without the query */
	struct http_field parameters[HEAD_FIELDS], fields[HEAD_FIELDS];
	unsigned n_parameters, n_fields;
	size_t n_bytes;     /* of the head, the empty line included */
	size_t body_length; /* as it was announced, 0 when it was not */
};

/* Reads the head at the beginning of `text`, in which it puts a NUL behind each name and value; `out`
 * points into it. False: the head is not complete, or not an ordinary one; `text` is of no use then. */
bool http_head_read(char *text, size_t n, struct http_head *out);
