/* Shared pieces of the codecs: see wire.h. */
#include "model/wire.h"
#include "base/assert.h"
#include "base/limits.h"
#include "model/utf8.h"
#include <math.h>
#include <string.h>

void wire_put_bool(struct buf *b, bool v)
{
	buf_put_u8(b, v);
}

bool wire_bool(struct reader *r)
{
	return wire_enum(r, 2) == 1;
}

uint32_t wire_enum(struct reader *r, uint32_t count)
{
	uint32_t v = reader_u8(r);
	if (v < count)
		return v;
	reader_fail(r);
	return 0;
}

float wire_f32(struct reader *r)
{
	float v = reader_f32(r);
	if (!isnan(v))
		return v;
	reader_fail(r);
	return 0;
}

double wire_f64(struct reader *r)
{
	double v = reader_f64(r);
	if (!isnan(v))
		return v;
	reader_fail(r);
	return 0;
}

const char *wire_text(struct reader *r, struct arena *arena, uint32_t max, uint32_t *n)
{
	uint32_t len;
	const uint8_t *s = reader_blob(r, &len);
	if (n != NULL)
		*n = 0;
	if (s == NULL || len > max || memchr(s, '\0', len) != NULL || !utf8_valid(s, len)) {
		reader_fail(r);
		return "";
	}
	if (n != NULL)
		*n = len;
	return arena_strndup(arena, (const char *)s, len);
}

void wire_put_path(struct buf *b, const struct path *p)
{
	buf_put_str(b, p->n_steps != 0 ? p->text : "");
}

void wire_path(struct reader *r, struct arena *arena, bool may_be_empty, struct path *out)
{
	uint32_t n;
	const char *s = (const char *)reader_blob(r, &n);
	*out = (struct path){NULL, 0, ""};
	if (s == NULL || (n == 0 && may_be_empty))
		return;
	if (path_parse(s, n, arena, out, NULL) != 0)
		reader_fail(r);
}

void wire_put_slice(struct buf *b, struct pv_slice s)
{
	buf_put_blob(b, s.bytes, s.n);
}

struct pv_slice wire_slice(struct reader *r, bool must_be_object)
{
	struct pv_slice s = {0};
	s.bytes = reader_blob(r, &s.n);
	if (s.n == 0)
		return (struct pv_slice){NULL, 0};
	if (s.n > LIMIT_PAYLOAD_BYTES || pv_validate(s.bytes, s.n, NULL) != 0 ||
	    (must_be_object && s.bytes[0] != PV_OBJECT)) {
		reader_fail(r);
		return (struct pv_slice){NULL, 0};
	}
	return s;
}

void wire_put_vector(struct buf *b, const struct vector *v)
{
	buf_put_u8(b, (uint8_t)v->kind);
	buf_put_u32(b, v->space);
	buf_put_u32(b, v->n);
	buf_put(b, v->values, v->n * sizeof(float));
	if (v->kind == VECTOR_SPARSE)
		buf_put(b, v->indices, v->n * sizeof(uint32_t));
}

static bool ascending(const uint32_t *x, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		if (x[i] <= x[i - 1])
			return false;
	}
	return true;
}

void wire_vector(struct reader *r, struct arena *arena, struct vector *out)
{
	*out = (struct vector){0};
	out->kind = (enum vector_kind)wire_enum(r, VECTOR_SPARSE + 1);
	out->space = reader_u32(r);
	bool sparse = out->kind == VECTOR_SPARSE;
	uint32_t n = reader_count(r, sparse ? 8 : 4);
	bool wrong_size = sparse ? n > LIMIT_SPARSE_VALUES : n == 0 || n > LIMIT_DIMENSION;
	if (wrong_size || out->space >= LIMIT_VECTOR_SPACES)
		reader_fail(r);
	const uint8_t *values = reader_bytes(r, n * sizeof(float));
	const uint8_t *indices = sparse ? reader_bytes(r, n * sizeof(uint32_t)) : NULL;
	if (!reader_ok(r))
		return;
	out->n = n;
	out->values = arena_copy(arena, values, n * sizeof(float));
	if (sparse)
		out->indices = arena_copy(arena, indices, n * sizeof(uint32_t));
	if (!vector_finite(out->values, n) || (sparse && !ascending(out->indices, n)))
		reader_fail(r);
}
