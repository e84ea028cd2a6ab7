/* Byte codec: a growable output buffer and a bounds-checked reader. All integers are little-endian
 * fixed width; strings and blobs are u32 length + bytes. Everything that quiver writes to disk or
 * wire goes through this file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growable byte buffer. Invariant: len <= cap; data may be NULL when cap is 0. Growth aborts the
 * process when memory is gone (sizes that come from input are checked before they get here). */
struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
};

#define BUF_INIT ((struct buf){NULL, 0, 0})

void buf_fini(struct buf *b);                 /* frees; accepts an empty or zeroed one */
void buf_clear(struct buf *b);                /* len = 0, keeps memory */
void buf_reserve(struct buf *b, size_t more); /* room for `more` further bytes */
/* The same for what may be large: false when there is no memory. */
bool buf_try_reserve(struct buf *b, size_t more);
uint8_t *buf_extend(struct buf *b, size_t n); /* len += n, returns the new uninitialised bytes */
void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_f32(struct buf *b, float v);
void buf_put_f64(struct buf *b, double v);
void buf_put_blob(struct buf *b, const void *bytes, uint32_t n); /* u32 length, bytes */
void buf_put_str(struct buf *b, const char *s);                  /* blob without the NUL */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_set_u32(struct buf *b, size_t at, uint32_t v); /* overwrite: at + 4 <= len */

/* Reader over borrowed bytes. After the first read past the end, `bad` stays true and every read
 * returns zero/NULL: check once at the end with reader_ok(). */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

struct reader reader_make(const void *bytes, size_t n);
/* For a decoder that finds a value wrong: from here on as after a read past the end. */
static inline void reader_fail(struct reader *r)
{
	r->bad = true;
	r->at = r->end;
}
bool reader_ok(const struct reader *r);   /* nothing was read past the end */
bool reader_done(const struct reader *r); /* ok and everything was consumed */
size_t reader_left(const struct reader *r);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
float reader_f32(struct reader *r);
double reader_f64(struct reader *r);
const uint8_t *reader_bytes(struct reader *r, size_t n);       /* borrowed; NULL when short */
const uint8_t *reader_blob(struct reader *r, uint32_t *n_out); /* borrowed */
/* A count of items of at least `min_item_bytes` each: refused (bad) when it cannot fit in what is
 * left, so that it may be used for an allocation. */
uint32_t reader_count(struct reader *r, size_t min_item_bytes);

/* Unaligned little-endian access. */
static inline uint32_t load_u32(const void *p)
{
	uint32_t v;
	__builtin_memcpy(&v, p, 4);
	return v;
}
static inline uint64_t load_u64(const void *p)
{
	uint64_t v;
	__builtin_memcpy(&v, p, 8);
	return v;
}
