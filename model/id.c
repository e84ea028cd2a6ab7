/* Point ids: text, order, hash, codec. */
#include "model/id.h"
#include "base/assert.h"
#include "base/hash.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

_Static_assert(sizeof(struct point_id) == 24, "ids are hashed as bytes: there is no padding");

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int id_parse_uuid(const char *s, size_t n, struct point_id *out)
{
	static const char urn[] = "urn:uuid:";
	const size_t urn_n = sizeof(urn) - 1;
	if (n == urn_n + 36 && strncasecmp(s, urn, urn_n) == 0) {
		s += urn_n;
		n = 36;
	} else if (n == 38 && s[0] == '{' && s[37] == '}') {
		s++;
		n = 36;
	}
	if (n != 32 && n != 36)
		return ERR_INPUT;
	uint64_t halves[2] = {0, 0};
	size_t digits = 0;
	for (size_t i = 0; i < n; i++) {
		if (n == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
			if (s[i] != '-')
				return ERR_INPUT;
			continue;
		}
		int v = hex_value(s[i]);
		if (v < 0)
			return ERR_INPUT;
		halves[digits / 16] = halves[digits / 16] << 4 | (uint64_t)v;
		digits++;
	}
	*out = (struct point_id){halves[0], halves[1], ID_UUID, 0};
	return 0;
}

static bool parse_decimal(const char *s, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

int id_parse_text(const char *s, size_t n, struct point_id *out, struct error *err)
{
	uint64_t v;
	if (parse_decimal(s, n, &v)) {
		*out = id_from_u64(v);
		return 0;
	}
	if (id_parse_uuid(s, n, out) == 0)
		return 0;
	return error_set(
		err, ERR_INPUT,
		"value %.*s is not a valid point ID, valid values are either an unsigned integer "
		"or a UUID",
		(int)(n < 100 ? n : 100), s);
}

size_t id_format(const struct point_id *id, char out[ID_TEXT_BYTES])
{
	int n;
	if (id->kind == ID_INT)
		n = snprintf(out, ID_TEXT_BYTES, "%llu", (unsigned long long)id->lo);
	else
		n = snprintf(out, ID_TEXT_BYTES, "%08x-%04x-%04x-%04x-%012llx",
			     (unsigned)(id->hi >> 32), (unsigned)(id->hi >> 16 & 0xFFFF),
			     (unsigned)(id->hi & 0xFFFF), (unsigned)(id->lo >> 48),
			     (unsigned long long)(id->lo & 0xFFFFFFFFFFFFull));
	assert(n > 0 && n < ID_TEXT_BYTES);
	return (size_t)n;
}

int id_compare(const struct point_id *a, const struct point_id *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return (a->lo > b->lo) - (a->lo < b->lo);
}

uint64_t id_hash(const struct point_id *id)
{
	assert_hot(id->zero == 0);
	return hash64(id, sizeof(*id));
}

void id_encode(struct buf *b, const struct point_id *id)
{
	buf_put_u8(b, (uint8_t)id->kind);
	buf_put_u64(b, id->hi);
	buf_put_u64(b, id->lo);
}

struct point_id id_decode(struct reader *r)
{
	struct point_id id = {0};
	id.kind = reader_u8(r);
	id.hi = reader_u64(r);
	id.lo = reader_u64(r);
	if (id.kind > ID_UUID || (id.kind == ID_INT && id.hi != 0))
		reader_fail(r);
	return reader_ok(r) ? id : (struct point_id){0};
}
