/* Numbers: their grammar, their values, and arrays of them at the speed of memory.
 *
 * A vector of a RAG model is 1,536 numbers, some 30 KB of text, so nearly all the time that a JSON
 * upsert costs is spent here. The scanner reads sixteen bytes at a time: a mask says how many of
 * them are digits, a shift drops the rest, and a few multiplications make the number (the pairs,
 * then the pairs of pairs, then those). So the length of a number, which is hard to foresee, decides
 * over no branch. Where a number begins would still wait for the digits of the one before; so the commas of
 * a block are found first, and several numbers are worked on at once.
 *
 * From decimal to float. digits * 10^exponent is computed in double: the conversion of the digits,
 * the constant 10^exponent and the product are each rounded once, so that the result is less than
 * 4 units of the 53rd bit away from the true value (there are at most 19 digits). A float
 * keeps 24 bits of the 53. Rounding to it is therefore right unless the lower 29 bits lie
 * within that distance of one half (checked with 16 units to be generous); those, and what is near
 * the ends of the range of a float, go to strtof. The constants need not be exact for that, and
 * there is no table of wide powers.
 */
#include "http/json_internal.h"
#include "base/assert.h"
#include "base/memory.h"
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>
#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

/* ---- the general reader of one number ---- */

static inline bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

/* Appends the digits at `at`; `exact` falls when they no longer fit 64 bits. */
static const uint8_t *scan_digits(const uint8_t *at, const uint8_t *end, struct json_number *out)
{
	for (; at < end && is_digit(*at); at++) {
		uint64_t next;

		if (__builtin_mul_overflow(out->digits, 10u, &next) ||
		    __builtin_add_overflow(next, (uint64_t)(*at - '0'), &next))
			out->exact = false;
		else
			out->digits = next;
	}
	return at;
}

const uint8_t *json_scan_number(const uint8_t *at, const uint8_t *end, struct json_number *out)
{
	const uint8_t *from;
	int64_t exponent = 0;
	bool down = false;

	*out = (struct json_number){.begin = at, .integer = true, .exact = true};
	if (at < end && *at == '-') {
		out->negative = true;
		at++;
	}
	from = at;
	at = scan_digits(at, end, out);
	if (at == from || (*from == '0' && at - from > 1))
		return at == from ? at : from + 1;
	if (at < end && *at == '.') {
		out->integer = false;
		from = ++at;
		at = scan_digits(at, end, out);
		if (at == from)
			return at;
		out->exponent = -(at - from);
	}
	if (at < end && (*at | 0x20) == 'e') {
		out->integer = false;
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			down = *at++ == '-';
		for (from = at; at < end && is_digit(*at); at++)
			if (exponent < 1000000)
				exponent = exponent * 10 + (*at - '0');
		if (at == from)
			return at;
		out->exponent += down ? -exponent : exponent;
	}
	out->end = at;
	return NULL;
}

/* ---- decimal to binary ---- */

/* Rounds of strtof and strtod depend on the locale of the program: ask for the plain one. */
static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	assert(c_locale);
}

/* strtof and strtod need a NUL behind the number. */
static double text_to_number(const uint8_t *begin, const uint8_t *end, bool single)
{
	size_t n = (size_t)(end - begin);
	char on_stack[128], *copy = n < sizeof(on_stack) ? on_stack : mem_alloc(n + 1);
	double value;

	assert(begin);
	pthread_once(&c_locale_once, make_c_locale);
	memcpy(copy, begin, n);
	copy[n] = 0;
	value = single ? (double)strtof_l(copy, NULL, c_locale) : strtod_l(copy, NULL, c_locale);
	if (copy != on_stack)
		free(copy);
	return value;
}

double json_text_double(const uint8_t *begin, const uint8_t *end)
{
	char copy[64];
	size_t n = (size_t)(end - begin);
	yyjson_val value;

	/* yyjson is several times faster than strtod; it refuses what is infinite. */
	if (n < sizeof(copy)) {
		memcpy(copy, begin, n);
		copy[n] = 0;
		if (yyjson_read_number(copy, &value, 0, NULL, NULL))
			return yyjson_get_num(&value);
	}
	return text_to_number(begin, end, false);
}

float json_text_float(const uint8_t *begin, const uint8_t *end)
{
	return (float)text_to_number(begin, end, true);
}

/* The powers that a double holds exactly. */
static const double exact_power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

struct json json_number_cell(const struct json_number *number)
{
	const uint64_t lowest = 1ull << 63;
	double value;

	if (number->integer && number->exact && !(number->negative && number->digits == 0)) {
		if (number->negative && number->digits <= lowest)
			return (struct json){.tag = json_tag(JSON_INT, 0),
					     .i = (int64_t)(0 - number->digits)};
		if (!number->negative && number->digits < lowest)
			return (struct json){.tag = json_tag(JSON_INT, 0),
					     .i = (int64_t)number->digits};
		if (!number->negative)
			return (struct json){.tag = json_tag(JSON_UINT, 0), .u = number->digits};
	}
	if (number->integer && number->digits != 0)
		return (struct json){.tag = json_tag(JSON_RAW, 0)};
	if (number->exact && number->digits < 1ull << 53 && number->exponent >= -22 &&
	    number->exponent <= 22) {
		value = (double)number->digits;
		if (number->exponent < 0)
			value /= exact_power[-number->exponent];
		else
			value *= exact_power[number->exponent];
		value = number->negative ? -value : value;
	} else {
		value = json_text_double(number->begin, number->end);
	}
	if (isinf(value))
		return (struct json){.tag = json_tag(JSON_RAW, 0)};
	return (struct json){.tag = json_tag(JSON_DOUBLE, 0), .d = value};
}

/* ---- arrays of floats ---- */

enum { LOWEST_POWER = -60, HIGHEST_POWER = 38 };

static const double power[] = {1e-60, 1e-59, 1e-58, 1e-57, 1e-56, 1e-55, 1e-54, 1e-53, 1e-52, 1e-51,
			       1e-50, 1e-49, 1e-48, 1e-47, 1e-46, 1e-45, 1e-44, 1e-43, 1e-42, 1e-41,
			       1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32, 1e-31,
			       1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25, 1e-24, 1e-23, 1e-22, 1e-21,
			       1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11,
			       1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,  1e-1,
			       1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,
			       1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19,
			       1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,  1e27,  1e28,  1e29,
			       1e30,  1e31,  1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38};
_Static_assert(sizeof(power) / sizeof(power[0]) == HIGHEST_POWER - LOWEST_POWER + 1, "one each");

/* The product is too near to where two floats meet: only the text decides (see the head of this file). */
static inline bool is_doubtful(double value)
{
	uint64_t bits, low;

	memcpy(&bits, &value, sizeof(bits));
	low = bits & ((1u << 29) - 1);
	return low - ((1u << 28) - 16) <= 32;
}

/* By its bit: whether a number is negative is a coin toss to the branch predictor. */
static inline float with_sign(double value, bool negative)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	bits |= (uint64_t)negative << 63;
	memcpy(&value, &bits, sizeof(bits));
	return (float)value;
}

/* Value of digits * 10^exponent; false when only the text decides (see the head of this file). */
static inline bool make_float(uint64_t digits, int64_t exponent, bool negative, float *out)
{
	/* A little inside of the range in which a float has all of its 24 bits. */
	const double smallest = 1.18e-38, largest = 3.4028234e38;
	double value;

	if (exponent < LOWEST_POWER || exponent > HIGHEST_POWER)
		return false;
	value = (double)digits * power[exponent - LOWEST_POWER];
	if (is_doubtful(value))
		return false;
	if ((value < smallest && digits != 0) || value > largest)
		return false;
	*out = with_sign(value, negative);
	return true;
}

/* How many of the eight characters are digits, from the first on; and their value. */
static inline unsigned eight_digits(const uint8_t *at, uint64_t *value)
{
	const uint64_t high = 0x8080808080808080, zeros = 0x3030303030303030;
	uint64_t word = load_u64(at) ^ zeros, other = ((word + 0x7676767676767676) | word) & high;
	unsigned n = other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;

	/* In two steps: a shift by 64 is not defined. */
	word = word << ((8 - n) * 4) << ((8 - n) * 4);
	word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
	word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
	*value = (word * 10000 + (word >> 32)) & 0xffffffff;
	return n;
}

static const uint64_t ten_to[] = {1ull,
				  10ull,
				  100ull,
				  1000ull,
				  10000ull,
				  100000ull,
				  1000000ull,
				  10000000ull,
				  100000000ull,
				  1000000000ull,
				  10000000000ull,
				  100000000000ull,
				  1000000000000ull,
				  10000000000000ull,
				  100000000000000ull,
				  1000000000000000ull,
				  10000000000000000ull};

#ifdef __SSE4_1__

/* The same for sixteen. */
static inline unsigned sixteen_digits(const uint8_t *at, uint64_t *value)
{
	/* From byte n on: a shuffle that moves the first n bytes to the end, zeros before them. */
	static const uint8_t to_the_end[32] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					       0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					       0,    1,    2,    3,    4,    5,    6,    7,
					       8,    9,    10,   11,   12,   13,   14,   15};
	const __m128i tens = _mm_set1_epi16(0x010a), hundreds = _mm_set1_epi32(0x00010064);
	const __m128i ten_thousands = _mm_set1_epi32(0x00012710);
	__m128i d = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)at), _mm_set1_epi8('0'));
	__m128i are_digits = _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(9)), d);
	unsigned n = (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(are_digits));
	uint64_t halves;

	d = _mm_shuffle_epi8(d, _mm_loadu_si128((const __m128i *)(to_the_end + n)));
	d = _mm_madd_epi16(_mm_maddubs_epi16(d, tens), hundreds);
	d = _mm_madd_epi16(_mm_packus_epi32(d, d), ten_thousands);
	halves = (uint64_t)_mm_cvtsi128_si64(d);
	*value = (halves & 0xffffffff) * 100000000 + (halves >> 32);
	return n;
}

#else

static inline unsigned sixteen_digits(const uint8_t *at, uint64_t *value)
{
	uint64_t more;
	unsigned n = eight_digits(at, value), m;

	if (n < 8)
		return n;
	m = eight_digits(at + 8, &more);
	*value = *value * ten_to[m] + more;
	return 8 + m;
}

#endif

/* What the quick reader may look at without asking for the end: sign, sixteen bytes of digits, point,
 * twenty-four bytes of digits, an exponent of five characters; and what the last load reads too much. */
enum { QUICK_BYTES = 72 };

/* The digits before the point; returns how many, 0 when they are unusual. */
static inline unsigned quick_whole(const uint8_t *at, uint64_t *digits)
{
	unsigned n;

	if (is_digit(at[0]) && !is_digit(at[1])) {
		*digits = (uint64_t)(at[0] - '0');
		return 1;
	}
	n = sixteen_digits(at, digits);
	return n == 16 || *at == '0' ? 0 : n;
}

/* The digits behind the point, appended to *digits; returns how many, 0 when they are unusual. */
static inline unsigned quick_fraction(const uint8_t *at, uint64_t *digits)
{
	uint64_t part;
	unsigned n = sixteen_digits(at, &part), more;

	*digits = *digits * ten_to[n] + part;
	if (n < 16)
		return n;
	more = eight_digits(at + 16, &part);
	*digits = *digits * ten_to[more] + part;
	return more < 8 ? 16 + more : 0;
}

/* How many zeros stand at the beginning of n characters. */
static unsigned count_zeros(const uint8_t *at, unsigned n)
{
	unsigned zeros = 0;

	while (zeros < n && at[zeros] == '0')
		zeros++;
	return zeros;
}

/* A bit for each comma of a block. */
enum { BLOCK_BYTES = 64 };

static inline uint64_t find_commas(const uint8_t *at)
{
	uint64_t found = 0;

#ifdef __SSE4_1__
	for (int i = 3; i >= 0; i--) {
		__m128i part = _mm_loadu_si128((const __m128i *)(at + i * 16));
		__m128i same = _mm_cmpeq_epi8(part, _mm_set1_epi8(','));

		found = found << 16 | (unsigned)_mm_movemask_epi8(same);
	}
#else
	for (int i = BLOCK_BYTES - 1; i >= 0; i--)
		found = found << 1 | (at[i] == ',');
#endif
	return found;
}

/* What nearly all components of vectors look like: one digit, a point, and at most fifteen digits. Nothing that
 * could go wrong with the range is possible then. NULL when it looks otherwise. */
static inline const uint8_t *plain_float(const uint8_t *at, float *out)
{
	bool negative = *at == '-';
	uint64_t digits, whole;
	double value;
	unsigned n;

	at += negative;
	whole = (uint64_t)at[0] - '0';
	if (whole > 9 || at[1] != '.')
		return NULL;
	n = sixteen_digits(at + 2, &digits);
	if (n - 1 >= 15)
		return NULL;
	digits += whole * ten_to[n];
	value = (double)(int64_t)digits * power[-(int)n - LOWEST_POWER];
	if (is_doubtful(value))
		return NULL;
	*out = with_sign(value, negative);
	return at + 2 + n;
}

/* One number, eight bytes at a time, with at least QUICK_BYTES of text. Returns its end; NULL when
 * it is unusual: json_scan_number has to look at it. */
static inline const uint8_t *quick_float(const uint8_t *at, float *out)
{
	bool negative = *at == '-';
	uint64_t digits;
	int64_t exponent = 0;
	unsigned n, whole;

	at += negative;
	whole = quick_whole(at, &digits);
	if (whole == 0)
		return NULL;
	at += whole;
	if (*at == '.') {
		whole -= digits == 0;
		n = quick_fraction(++at, &digits);
		if (n == 0)
			return NULL;
		/* More than 19 digits overflow, unless they begin with zeros. */
		if (whole + n > 19 && (whole > 0 || n - count_zeros(at, n) > 19))
			return NULL;
		at += n;
		exponent = -(int64_t)n;
	}
	if ((*at | 0x20) == 'e') {
		bool down = *++at == '-';
		int64_t by;

		at += *at == '+' || *at == '-';
		n = is_digit(at[0]) ? (is_digit(at[1]) ? 2 : 1) : 0;
		if (n == 0 || is_digit(at[n]))
			return NULL;
		by = n == 2 ? (at[0] - '0') * 10 + (at[1] - '0') : at[0] - '0';
		exponent += down ? -by : by;
		at += n;
	}
	return make_float(digits, exponent, negative, out) ? at : NULL;
}

/* The same by the general reader. NULL also for integers beyond 64 bits, whose text must be kept,
 * and for what does not fit a float. */
static const uint8_t *careful_float(const uint8_t *at, const uint8_t *end, float *out)
{
	struct json_number number;

	if (json_scan_number(at, end, &number))
		return NULL;
	if (number.integer && !number.exact)
		return NULL;
	if (number.integer && number.negative && number.digits > 1ull << 63)
		return NULL;
	if (!number.exact || !make_float(number.digits, number.exponent, number.negative, out))
		*out = json_text_float(number.begin, number.end);
	return isinf(*out) ? NULL : number.end;
}

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

/* Moves the n floats of the array that is being read to a larger place. `text_bytes`: what is left
 * to read; two bytes of it make a float at best. */
static void more_room(struct json_float_room *room, size_t n, size_t text_bytes)
{
	size_t most = n + text_bytes / 2 + 16, want = n < 8192 ? 16384 : n * 2;
	float *floats;

	if (want > most)
		want = most;
	floats = arena_alloc_aligned(room->arena, want * sizeof(float), 64);
	if (n > 0)
		memcpy(floats, room->next, n * sizeof(float));
	room->next = floats;
	room->end = floats + want;
}

/* As many plain numbers as there are, each with its comma. */
static const uint8_t *plain_floats(const uint8_t *at, const uint8_t *end,
				   const struct json_float_room *room, size_t *count)
{
	float *out = room->next + *count;

	while (end - at >= BLOCK_BYTES + QUICK_BYTES && room->end - out >= BLOCK_BYTES / 4) {
		const uint8_t *block = at;
		uint64_t commas = find_commas(block);

		if (commas == 0)
			break;
		for (; commas; commas &= commas - 1) {
			const uint8_t *comma = block + __builtin_ctzll(commas);

			if (plain_float(at + (*at == ' '), out) != comma)
				goto out;
			out++;
			at = comma + 1;
		}
	}
out:
	*count = (size_t)(out - room->next);
	return at;
}

const uint8_t *json_scan_floats(const uint8_t *at, const uint8_t *end, struct json_float_room *room,
				const float **floats, size_t *n)
{
	size_t count = 0, before;
	bool plain = true; /* looked for as long as some are found */

	if (room->end - room->next < BLOCK_BYTES / 4)
		more_room(room, 0, (size_t)(end - at));
	for (;;) {
		const uint8_t *after = NULL;

		if (plain) {
			before = count;
			at = plain_floats(at, end, room, &count);
			plain = count > before;
		}
		if (count >= (size_t)(room->end - room->next))
			more_room(room, count, (size_t)(end - at));
		if (end - at >= QUICK_BYTES) {
			at += *at == ' ';
			after = quick_float(at, &room->next[count]);
		}
		if (!after) {
			at = skip_space(at, end);
			after = careful_float(at, end, &room->next[count]);
			if (!after)
				return NULL;
		}
		count++;
		at = skip_space(after, end);
		if (at >= end || (*at != ',' && *at != ']'))
			return NULL;
		if (*at++ == ']')
			break;
	}
	*floats = room->next;
	*n = count;
	/* The next array begins at a multiple of 64 bytes. */
	room->next += (count + 15) & ~(size_t)15;
	if (room->next > room->end)
		room->next = room->end;
	return at;
}
