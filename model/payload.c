/* Payload values: checking, reading, writing. Paths are in path.c, changes in payload_edit.c. */
#include "model/payload.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "model/utf8.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONTAINER_HEAD = 9 }; /* tag, body bytes, count */

static const uint8_t empty_object[CONTAINER_HEAD] = {PV_OBJECT};
const struct pv_slice PV_EMPTY_OBJECT = {empty_object, CONTAINER_HEAD};

/* ---- checking ---- */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The grammar of a JSON number. */
static bool is_json_number(const char *s, size_t n)
{
	size_t i = 0;
	if (i < n && s[i] == '-')
		i++;
	if (i == n || !digit(s[i]))
		return false;
	if (s[i] == '0')
		i++;
	else
		while (i < n && digit(s[i]))
			i++;
	if (i < n && s[i] == '.') {
		size_t first = ++i;
		while (i < n && digit(s[i]))
			i++;
		if (i == first)
			return false;
	}
	if (i < n && (s[i] == 'e' || s[i] == 'E')) {
		i++;
		if (i < n && (s[i] == '+' || s[i] == '-'))
			i++;
		size_t first = i;
		while (i < n && digit(s[i]))
			i++;
		if (i == first)
			return false;
	}
	return i == n;
}

/* Each check_ returns what is wrong, or NULL. */
static const char *check_value(struct reader *r, unsigned depth);

static const char *check_text(struct reader *r, enum pv_type type)
{
	uint32_t n;
	const uint8_t *s = reader_blob(r, &n);
	if (s == NULL)
		return "a string is cut short";
	if (type == PV_RAW)
		return is_json_number((const char *)s, n) ? NULL : "a raw number is no number";
	return utf8_valid(s, n) ? NULL : "a string is not UTF-8";
}

static const char *check_container(struct reader *r, bool object, unsigned depth)
{
	if (depth >= LIMIT_JSON_DEPTH)
		return "it is nested too deeply";
	uint32_t body_n = reader_u32(r);
	uint32_t count = reader_u32(r);
	const uint8_t *body = reader_bytes(r, body_n);
	if (body == NULL)
		return "an array or object is cut short";
	struct reader inner = reader_make(body, body_n);
	for (uint32_t i = 0; i < count; i++) {
		const char *wrong = object ? check_text(&inner, PV_STRING) : NULL;
		if (wrong == NULL)
			wrong = check_value(&inner, depth + 1);
		if (wrong != NULL)
			return wrong;
	}
	return reader_done(&inner) ? NULL : "the length of an array or object is wrong";
}

static const char *check_value(struct reader *r, unsigned depth)
{
	uint8_t tag = reader_u8(r);
	if (!reader_ok(r))
		return "it is cut short";
	switch (tag) {
	case PV_NULL:
	case PV_FALSE:
	case PV_TRUE: return NULL;
	case PV_INT: reader_u64(r); break;
	case PV_UINT:
		if (reader_u64(r) <= INT64_MAX && reader_ok(r))
			return "a number is not in its shortest form";
		break;
	case PV_DOUBLE:
		if (!isfinite(reader_f64(r)))
			return "a number is not finite";
		break;
	case PV_RAW:
	case PV_STRING: return check_text(r, (enum pv_type)tag);
	case PV_ARRAY:
	case PV_OBJECT: return check_container(r, tag == PV_OBJECT, depth);
	default: return "a value has an unknown type";
	}
	return reader_ok(r) ? NULL : "a number is cut short";
}

int pv_validate(const void *bytes, size_t n, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	const char *wrong = check_value(&r, 0);
	if (wrong == NULL && !reader_done(&r))
		wrong = "there are bytes after its end";
	if (wrong != NULL)
		return error_set(err, ERR_FORMAT, "the payload is damaged: %s", wrong);
	return 0;
}

/* ---- reading ---- */

size_t pv_size(struct pv v)
{
	switch (pv_type(v)) {
	case PV_NULL:
	case PV_FALSE:
	case PV_TRUE: return 1;
	case PV_INT:
	case PV_UINT:
	case PV_DOUBLE: return 9;
	case PV_RAW:
	case PV_STRING: return 5 + (size_t)load_u32(v.at + 1);
	case PV_ARRAY:
	case PV_OBJECT: return CONTAINER_HEAD + (size_t)load_u32(v.at + 1);
	}
	assert(!"the value was not validated");
	return 0;
}

bool pv_bool(struct pv v)
{
	assert(pv_type(v) == PV_FALSE || pv_type(v) == PV_TRUE);
	return pv_type(v) == PV_TRUE;
}

int64_t pv_int(struct pv v)
{
	assert(pv_type(v) == PV_INT);
	return (int64_t)load_u64(v.at + 1);
}

uint64_t pv_uint(struct pv v)
{
	assert(pv_type(v) == PV_UINT || (pv_type(v) == PV_INT && pv_int(v) >= 0));
	return load_u64(v.at + 1);
}

double pv_double(struct pv v)
{
	double d;
	assert(pv_type(v) == PV_DOUBLE);
	memcpy(&d, v.at + 1, sizeof(d));
	return d;
}

const char *pv_string(struct pv v, uint32_t *n)
{
	assert(pv_type(v) == PV_STRING || pv_type(v) == PV_RAW);
	*n = load_u32(v.at + 1);
	return (const char *)v.at + 5;
}

static double raw_number(struct pv v)
{
	uint32_t n;
	const char *s = pv_string(v, &n);
	char small[64];
	char *text = n < sizeof(small) ? small : mem_alloc((size_t)n + 1);
	memcpy(text, s, n);
	text[n] = '\0';
	double d = strtod(text, NULL);
	if (text != small)
		free(text);
	return d;
}

bool pv_number(struct pv v, double *out)
{
	switch (pv_type(v)) {
	case PV_INT: *out = (double)pv_int(v); return true;
	case PV_UINT: *out = (double)pv_uint(v); return true;
	case PV_DOUBLE: *out = pv_double(v); return true;
	case PV_RAW: *out = raw_number(v); return true;
	default: return false;
	}
}

uint32_t pv_count(struct pv v)
{
	return pv_type(v) >= PV_ARRAY ? load_u32(v.at + 5) : 0;
}

struct pv_iter pv_iterate(struct pv v)
{
	struct pv_iter it = {0};
	it.left = pv_count(v);
	it.object = pv_type(v) == PV_OBJECT;
	it.at = v.at + CONTAINER_HEAD;
	return it;
}

bool pv_next(struct pv_iter *it)
{
	if (it->left == 0)
		return false;
	it->left--;
	if (it->object) {
		it->key_n = load_u32(it->at);
		it->key = (const char *)it->at + 4;
		it->at += 4 + (size_t)it->key_n;
	}
	it->value.at = it->at;
	it->at += pv_size(it->value);
	return true;
}

bool pv_get(struct pv v, const char *key, uint32_t key_n, struct pv *out)
{
	if (pv_type(v) != PV_OBJECT)
		return false;
	struct pv_iter it = pv_iterate(v);
	assert(it.object);
	while (pv_next(&it)) {
		if (it.key_n == key_n && memcmp(it.key, key, key_n) == 0) {
			*out = it.value;
			return true;
		}
	}
	return false;
}

/* ---- writing ---- */

void pv_put_null(struct buf *b)
{
	buf_put_u8(b, PV_NULL);
}

void pv_put_bool(struct buf *b, bool v)
{
	buf_put_u8(b, v ? PV_TRUE : PV_FALSE);
}

void pv_put_int(struct buf *b, int64_t v)
{
	buf_put_u8(b, PV_INT);
	buf_put_u64(b, (uint64_t)v);
}

void pv_put_uint(struct buf *b, uint64_t v)
{
	buf_put_u8(b, v <= INT64_MAX ? PV_INT : PV_UINT);
	buf_put_u64(b, v);
}

void pv_put_double(struct buf *b, double v)
{
	assert(isfinite(v));
	buf_put_u8(b, PV_DOUBLE);
	buf_put_f64(b, v);
}

void pv_put_raw(struct buf *b, const char *s, uint32_t n)
{
	assert(is_json_number(s, n));
	buf_put_u8(b, PV_RAW);
	buf_put_blob(b, s, n);
}

void pv_put_string(struct buf *b, const char *s, uint32_t n)
{
	buf_put_u8(b, PV_STRING);
	buf_put_blob(b, s, n);
}

void pv_put_key(struct buf *b, const char *s, uint32_t n)
{
	buf_put_blob(b, s, n);
}

void pv_put_value(struct buf *b, struct pv v)
{
	buf_put(b, v.at, pv_size(v));
}

size_t pv_open(struct buf *b, enum pv_type type)
{
	assert(type == PV_ARRAY || type == PV_OBJECT);
	size_t mark = b->len;
	buf_put_u8(b, (uint8_t)type);
	buf_put_u32(b, 0);
	buf_put_u32(b, 0);
	return mark;
}

void pv_close(struct buf *b, size_t mark, uint32_t count)
{
	size_t body = b->len - mark - CONTAINER_HEAD;
	assert(body <= UINT32_MAX);
	buf_set_u32(b, mark + 1, (uint32_t)body);
	buf_set_u32(b, mark + 5, count);
}

/* ---- equality ---- */

static bool equal_arrays(struct pv a, struct pv b)
{
	struct pv_iter x = pv_iterate(a), y = pv_iterate(b);
	while (pv_next(&x) && pv_next(&y)) {
		if (!pv_equal(x.value, y.value))
			return false;
	}
	return true;
}

static bool equal_objects(struct pv a, struct pv b)
{
	struct pv_iter x = pv_iterate(a), y = pv_iterate(b);
	assert(x.object && y.object);
	while (pv_next(&x) && pv_next(&y)) {
		/* Mostly the keys come in the same order. */
		struct pv other = y.value;
		bool same_key = x.key_n == y.key_n && memcmp(x.key, y.key, x.key_n) == 0;
		if (!same_key && !pv_get(b, x.key, x.key_n, &other))
			return false;
		if (!pv_equal(x.value, other))
			return false;
	}
	return true;
}

bool pv_equal(struct pv a, struct pv b)
{
	if (pv_type(a) != pv_type(b) || pv_count(a) != pv_count(b))
		return false;
	if (pv_type(a) == PV_ARRAY)
		return equal_arrays(a, b);
	if (pv_type(a) == PV_OBJECT)
		return equal_objects(a, b);
	size_t n = pv_size(a);
	return n == pv_size(b) && memcmp(a.at, b.at, n) == 0;
}
