/* The JSON writer: appends to a buf.
 *
 * Floats are written as the shortest decimal that reads back as the same float, after R. Giulietti,
 * "The Schubfach way to render doubles" (2020), sections 8 and 9, in the width of a float: the
 * bounds between which every decimal reads back as this float are scaled by one power of ten
 * into 32-bit integers, and the multiple of 10 or of 1 that lies between them is the answer. Doubles are
 * few (scores, times, payload) and left to yyjson.
 */
#include "http/json_internal.h"
#include "base/assert.h"
#include <math.h>
#include <string.h>
#include <yyjson.h>

static const char two_digits[] = "00010203040506070809"
				 "10111213141516171819"
				 "20212223242526272829"
				 "30313233343536373839"
				 "40414243444546474849"
				 "50515253545556575859"
				 "60616263646566676869"
				 "70717273747576777879"
				 "80818283848586878889"
				 "90919293949596979899";

/* Writes the digits of v so that they end before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t v)
{
	while (v >= 100) {
		end -= 2;
		memcpy(end, &two_digits[v % 100 * 2], 2);
		v /= 100;
	}
	if (v >= 10) {
		end -= 2;
		memcpy(end, &two_digits[v * 2], 2);
	} else {
		*--end = (char)('0' + v);
	}
	return end;
}

void json_put_u64(struct buf *b, uint64_t v)
{
	char text[24], *end = text + sizeof(text), *begin = digits_before(end, v);

	buf_put(b, begin, (size_t)(end - begin));
}

void json_put_i64(struct buf *b, int64_t v)
{
	char text[24], *end = text + sizeof(text), *begin;

	begin = digits_before(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	if (v < 0)
		*--begin = '-';
	buf_put(b, begin, (size_t)(end - begin));
}

/* ---- strings ---- */

/* Writes bytes that may not stand in a string as they are: quotes, backslashes, control characters. */
static uint8_t *put_escape(uint8_t *to, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt",
			  hex[] = "0123456789abcdef";
	const char *known = c ? strchr(from, c) : NULL;

	*to++ = '\\';
	if (known) {
		*to++ = (uint8_t)into[known - from];
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = (uint8_t)hex[c >> 4];
	to[4] = (uint8_t)hex[c & 15];
	return to + 5;
}

/* The first byte that needs an escape, or `end`. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
	const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;

	while (end - at >= 8) {
		uint64_t word = load_u64(at), quote = word ^ ones * '"', slash = word ^ ones * '\\';
		uint64_t stop = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
				((word - ones * 0x20) & ~word);

		if (stop & high)
			break;
		at += 8;
	}
	while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
		at++;
	return at;
}

void json_put_string(struct buf *b, const char *s, size_t n)
{
	const uint8_t *at = (const uint8_t *)s, *end = at + n, *stop;
	const uint8_t *good = json_utf8_check(at, end);
	uint8_t escape[8];

	buf_reserve(b, n + 2);
	buf_put_u8(b, '"');
	for (;;) {
		stop = plain_end(at, good);
		buf_put(b, at, (size_t)(stop - at));
		at = stop;
		if (at < good) {
			buf_put(b, escape, (size_t)(put_escape(escape, *at++) - escape));
		} else if (at < end) {
			/* What is not UTF-8 becomes U+FFFD, so that the answer stays readable. */
			json_put_literal(b, "\xef\xbf\xbd");
			good = json_utf8_check(++at, end);
		} else {
			break;
		}
	}
	buf_put_u8(b, '"');
}

/* ---- floats ---- */

/* 10^k / 2^r rounded up to 64 bits, where r makes the highest bit one; k = -31 .. 45. */
static const uint64_t power_of_ten[] = {
	0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e,
	0x9e74d1b791e07e49, 0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53,
	0xc16d9a0095928a28, 0xf1c90080baf72cb2, 0x971da05074da7bef, 0xbce5086492111aeb,
	0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a, 0xe69594bec44de15c,
	0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
	0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd,
	0xd6bf94d5e57a42bd, 0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c,
	0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b, 0xcccccccccccccccd, 0x8000000000000000,
	0xa000000000000000, 0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000,
	0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
	0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000,
	0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000,
	0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000, 0xad78ebc5ac620000,
	0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100,
	0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
	0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e,
	0xc5371912364ce306, 0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4,
	0xf0bdc21abb48db21, 0x96769950b50d88f5, 0xbc143fa4e250eb32, 0xeb194f8e1ae525fe,
	0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a, 0x8f7e32ce7bea5c70,
	0xb35dbf821ae4f38c};

/* value * power / 2^64, the lost bits kept as one that is or-ed in. */
static uint32_t multiply_sticky(uint64_t power, uint32_t value)
{
	unsigned __int128 product = (unsigned __int128)power * value;

	return (uint32_t)(product >> 64) | ((uint32_t)(product >> 32) > 1);
}

static int floor_quotient(int64_t a, int64_t b)
{
	return (int)(a / b - (a % b < 0));
}

/* A finite positive float as digits * 10^exponent, as few digits as possible (zeros at the end may
 * be left). `bits`: without the sign. */
static uint32_t shortest(uint32_t bits, int *exponent)
{
	uint32_t fraction = bits & 0x7fffff, biased = bits >> 23;
	uint32_t c = biased ? fraction | 0x800000 : fraction;
	int q = (int)(biased ? biased : 1) - 150;
	/* A power of two: the next smaller float is only half as far away. */
	bool closer = fraction == 0 && biased > 1;
	/* Bounds belong to this float when it is even, since ties go to even. */
	uint32_t odd = c & 1, lower, middle, upper, tens, ones;
	/* floor(log10(2^q)), or of 3/4 of it; and the shift that suits 10^-k. */
	int k = floor_quotient((int64_t)q * 1262611 - (closer ? 524031 : 0), 1 << 22);
	int shift = q + floor_quotient((int64_t)-k * 1741647, 1 << 19) + 1;
	uint64_t power = power_of_ten[-k + 31];
	bool in, out;

	lower = multiply_sticky(power, (4 * c - 2 + closer) << shift) + odd;
	middle = multiply_sticky(power, (4 * c) << shift);
	upper = multiply_sticky(power, (4 * c + 2) << shift) - odd;
	ones = middle / 4;
	*exponent = k;
	if (ones >= 10) {
		tens = ones / 10;
		in = lower <= 40 * tens;
		out = 40 * tens + 40 <= upper;
		if (in != out) {
			*exponent = k + 1;
			return tens + out;
		}
	}
	in = lower <= 4 * ones;
	out = 4 * ones + 4 <= upper;
	if (in != out)
		return ones + out;
	/* Both or neither: the nearer, on a tie the even one. */
	return ones + (middle > 4 * ones + 2 || (middle == 4 * ones + 2 && (ones & 1)));
}

enum { FLOAT_TEXT_BYTES = 32 };

/* Writes at most FLOAT_TEXT_BYTES at `to` and returns the end. */
static char *put_float(char *to, float v)
{
	char text[16], *digits;
	uint32_t bits, value;
	int exponent, n, point;

	memcpy(&bits, &v, sizeof(bits));
	assert((bits & 0x7f800000) != 0x7f800000);
	if (bits >> 31)
		*to++ = '-';
	bits &= 0x7fffffff;
	if (bits == 0) {
		memcpy(to, "0.0", 3);
		return to + 3;
	}
	value = shortest(bits, &exponent);
	while (value % 10 == 0) {
		value /= 10;
		exponent++;
	}
	digits = digits_before(text + sizeof(text), value);
	n = (int)(text + sizeof(text) - digits);
	point = n + exponent; /* how many digits stand before the point */
	if (point > 16 || point < -4) {
		*to++ = *digits++;
		if (n > 1) {
			*to++ = '.';
			memcpy(to, digits, (size_t)n - 1);
			to += n - 1;
		}
		*to++ = 'e';
		if (--point < 0)
			*to++ = '-';
		digits = digits_before(text + sizeof(text), (uint64_t)(point < 0 ? -point : point));
		n = (int)(text + sizeof(text) - digits);
		memcpy(to, digits, (size_t)n);
		return to + n;
	}
	if (point <= 0) {
		memcpy(to, "0.0000", 6);
		to += 2 - point;
		memcpy(to, digits, (size_t)n);
		return to + n;
	}
	if (point >= n) {
		memcpy(to, digits, (size_t)n);
		memset(to + n, '0', (size_t)(point - n));
		memcpy(to + point, ".0", 2);
		return to + point + 2;
	}
	memcpy(to, digits, (size_t)point);
	to[point] = '.';
	memcpy(to + point + 1, digits + point, (size_t)(n - point));
	return to + n + 1;
}

void json_put_float(struct buf *b, float v)
{
	char *to;

	buf_reserve(b, FLOAT_TEXT_BYTES);
	to = (char *)b->data + b->len;
	b->len += (size_t)(put_float(to, v) - to);
}

void json_put_floats(struct buf *b, const float *v, size_t n)
{
	char *to;

	buf_reserve(b, n * 12 + FLOAT_TEXT_BYTES + 2);
	buf_put_u8(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_reserve(b, FLOAT_TEXT_BYTES + 2);
		to = (char *)b->data + b->len;
		if (i > 0)
			*to++ = ',';
		to = put_float(to, v[i]);
		b->len = (size_t)((uint8_t *)to - b->data);
	}
	buf_put_u8(b, ']');
}

void json_put_double(struct buf *b, double v)
{
	char room[1024], *text;
	yyjson_alc alc;
	yyjson_val value = {0};
	size_t n;

	assert(isfinite(v));
	assert(yyjson_alc_pool_init(&alc, room, sizeof(room)));
	yyjson_set_real(&value, v);
	text = yyjson_val_write_opts(&value, 0, &alc, &n, NULL);
	assert(text);
	buf_put(b, text, n);
}

/* ---- payload values ---- */

static void put_members(struct buf *out, struct pv v, bool object)
{
	struct pv_iter it = pv_iterate(v);
	const char *between = "";

	buf_put_u8(out, object ? '{' : '[');
	while (pv_next(&it)) {
		buf_put(out, between, strlen(between));
		between = ",";
		if (object) {
			json_put_string(out, it.key, it.key_n);
			buf_put_u8(out, ':');
		}
		json_from_pv(out, it.value);
	}
	buf_put_u8(out, object ? '}' : ']');
}

void json_from_pv(struct buf *out, struct pv v)
{
	const char *s;
	uint32_t n;

	switch (pv_type(v)) {
	case PV_NULL: json_put_literal(out, "null"); return;
	case PV_FALSE: json_put_literal(out, "false"); return;
	case PV_TRUE: json_put_literal(out, "true"); return;
	case PV_INT: json_put_i64(out, pv_int(v)); return;
	case PV_UINT: json_put_u64(out, pv_uint(v)); return;
	case PV_DOUBLE: json_put_double(out, pv_double(v)); return;
	case PV_RAW:
		s = pv_string(v, &n);
		buf_put(out, s, n);
		return;
	case PV_STRING:
		s = pv_string(v, &n);
		json_put_string(out, s, n);
		return;
	case PV_ARRAY: put_members(out, v, false); return;
	case PV_OBJECT: put_members(out, v, true); return;
	}
	assert(!"a payload value");
}

static void put_through(struct buf *out, const struct json *v, struct buf *value)
{
	buf_clear(value);
	json_to_pv(v, value);
	json_from_pv(out, pv_of(value->data));
}

void json_put_value(struct buf *out, const struct json *v)
{
	struct buf value = BUF_INIT;

	put_through(out, v, &value);
	buf_fini(&value);
}

static bool stands_in(const char *key, const char *const *list)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(key, *list) == 0)
			return true;
	return false;
}

bool json_put_entries(struct buf *out, const struct json *object, const char *const *without)
{
	struct json_iter it = json_iterate(object);
	struct buf value = BUF_INIT;
	bool any = false;

	while (json_next(&it)) {
		if (stands_in(it.key, without))
			continue;
		if (any)
			buf_put_u8(out, ',');
		any = true;
		json_put_string(out, it.key, it.key_n);
		buf_put_u8(out, ':');
		put_through(out, it.value, &value);
	}
	buf_fini(&value);
	return any;
}
