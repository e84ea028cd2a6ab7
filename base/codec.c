/* Byte codec: see codec.h. Little-endian integers are copied as they are in memory, so only
 * little-endian machines are supported; the assertion below says so at compile time. */
#include "base/codec.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the codec copies integers as they are");

/* ---- writing ---- */

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
}

/* What to allocate for `more` further bytes, twice of what is there if that is enough; 0: more than there can be. */
static size_t grown(const struct buf *b, size_t more)
{
	size_t need, cap = b->cap < 64 ? 64 : b->cap * 2;

	if (__builtin_add_overflow(b->len, more, &need) || need > SIZE_MAX / 2)
		return 0;
	return cap < need ? need : cap;
}

bool buf_try_reserve(struct buf *b, size_t more)
{
	size_t cap = grown(b, more);
	uint8_t *data;

	if (more <= b->cap - b->len)
		return true;
	data = cap != 0 ? realloc(b->data, cap) : NULL;
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t cap;

	if (more <= b->cap - b->len)
		return;
	cap = grown(b, more);
	assert(cap != 0);
	b->data = mem_resize(b->data, cap);
	b->cap = cap;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
	buf_reserve(b, n);
	size_t at = b->len;
	b->len += n;
	return b->data == NULL ? NULL : b->data + at;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	uint8_t *to = buf_extend(b, n);
	assert_hot(to != NULL);
	memcpy(to, bytes, n);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	*buf_extend(b, 1) = v;
}

void buf_put_u16(struct buf *b, uint16_t v)
{
	memcpy(buf_extend(b, 2), &v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	memcpy(buf_extend(b, 4), &v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	memcpy(buf_extend(b, 8), &v, 8);
}

void buf_put_f32(struct buf *b, float v)
{
	memcpy(buf_extend(b, 4), &v, 4);
}

void buf_put_f64(struct buf *b, double v)
{
	memcpy(buf_extend(b, 8), &v, 8);
}

void buf_put_blob(struct buf *b, const void *bytes, uint32_t n)
{
	buf_put_u32(b, n);
	buf_put(b, bytes, n);
}

void buf_put_str(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	assert(n <= UINT32_MAX);
	buf_put_blob(b, s, (uint32_t)n);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	/* vsnprintf wants room for a NUL, which is not counted as content. */
	buf_reserve(b, 64);
	int n = vsnprintf((char *)b->data + b->len, b->cap - b->len, format, args);
	assert(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		buf_reserve(b, (size_t)n + 1);
		vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, again);
	}
	b->len += (size_t)n;
	va_end(again);
	va_end(args);
}

void buf_set_u32(struct buf *b, size_t at, uint32_t v)
{
	assert(at <= b->len && b->len - at >= 4);
	memcpy(b->data + at, &v, 4);
}

/* ---- reading ---- */

struct reader reader_make(const void *bytes, size_t n)
{
	/* Never NULL, so that an empty read that succeeds can be told from one that failed. */
	static const uint8_t nothing[1];
	assert(bytes != NULL || n == 0);
	const uint8_t *at = bytes != NULL ? bytes : nothing;
	return (struct reader){at, at + n, false};
}

bool reader_ok(const struct reader *r)
{
	return !r->bad;
}

bool reader_done(const struct reader *r)
{
	return !r->bad && r->at == r->end;
}

size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

const uint8_t *reader_bytes(struct reader *r, size_t n)
{
	if (r->bad || n > reader_left(r)) {
		reader_fail(r);
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += n;
	return p;
}

#define READER_FIXED(name, type)                                                                   \
	type name(struct reader *r)                                                                \
	{                                                                                          \
		type v = 0;                                                                        \
		const uint8_t *p = reader_bytes(r, sizeof(v));                                     \
		if (p != NULL)                                                                     \
			memcpy(&v, p, sizeof(v));                                                  \
		return v;                                                                          \
	}
READER_FIXED(reader_u8, uint8_t)
READER_FIXED(reader_u16, uint16_t)
READER_FIXED(reader_u32, uint32_t)
READER_FIXED(reader_u64, uint64_t)
READER_FIXED(reader_f32, float)
READER_FIXED(reader_f64, double)
#undef READER_FIXED

const uint8_t *reader_blob(struct reader *r, uint32_t *n_out)
{
	uint32_t n = reader_u32(r);
	const uint8_t *p = reader_bytes(r, n);
	*n_out = p != NULL ? n : 0;
	return p;
}

uint32_t reader_count(struct reader *r, size_t min_item_bytes)
{
	assert(min_item_bytes > 0);
	uint32_t n = reader_u32(r);
	if (n > reader_left(r) / min_item_bytes) {
		reader_fail(r);
		return 0;
	}
	return n;
}
