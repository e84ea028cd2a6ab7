/* Helpers of the fuzz targets. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

void fuzz_check_error(int rc, const struct error *err)
{
	FUZZ_CHECK(rc < 0);
	FUZZ_CHECK(strcmp(error_name(rc), "ERR_UNKNOWN") != 0);
	FUZZ_CHECK(err->code == rc);
	FUZZ_CHECK(err->text[0] != 0);
	FUZZ_CHECK(memchr(err->text, 0, sizeof(err->text)) != NULL);
}

void fuzz_check_same(const struct buf *a, const struct buf *b)
{
	FUZZ_CHECK(a->len == b->len);
	FUZZ_CHECK(a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void insert(struct buf *b, size_t at, const uint8_t *bytes, size_t n)
{
	size_t behind = b->len - at;

	buf_extend(b, n);
	memmove(b->data + at + n, b->data + at, behind);
	memcpy(b->data + at, bytes, n);
}

void fuzz_damage(struct buf *b, struct reader *r)
{
	while (reader_left(r) > 0) {
		uint8_t what = reader_u8(r);
		size_t at = reader_u32(r), n = reader_u8(r);
		const uint8_t *bytes;

		if (!reader_ok(r) || b->len == 0)
			return;
		at %= b->len;
		if (n > b->len - at)
			n = b->len - at;
		switch (what % 5) {
		case 0: /* overwrite */
		case 1: /* flip */
		case 2: /* insert */
			if (n > reader_left(r))
				n = reader_left(r);
			bytes = reader_bytes(r, n);
			if (bytes == NULL)
				return;
			if (what % 5 == 2) {
				insert(b, at, bytes, n);
				break;
			}
			for (size_t i = 0; i < n; i++)
				b->data[at + i] =
					(uint8_t)(bytes[i] ^ (what % 5 == 1 ? b->data[at + i] : 0));
			break;
		case 3: /* remove */
			memmove(b->data + at, b->data + at + n, b->len - at - n);
			b->len -= n;
			break;
		case 4: /* cut */ b->len = at; break;
		}
	}
}

const char *fuzz_file(const char *ending, const void *bytes, size_t n)
{
	static char path[96];
	int f;

	snprintf(path, sizeof(path), "/dev/shm/quiver-fuzz-%d%s", (int)getpid(), ending);
	f = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	FUZZ_CHECK(f >= 0);
	FUZZ_CHECK(write(f, bytes, n) == (ssize_t)n);
	FUZZ_CHECK(close(f) == 0);
	return path;
}
