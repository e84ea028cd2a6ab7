/* Access to a parsed document, and its payload values in binary form. */
#include "http/json_internal.h"
#include "base/assert.h"
#include <math.h>
#include <string.h>

enum json_type json_type(const struct json *v)
{
	return (enum json_type)json_cell_type(v);
}

bool json_bool(const struct json *v)
{
	assert(json_type(v) == JSON_BOOL);
	return v->b;
}

int64_t json_int(const struct json *v)
{
	assert(json_type(v) == JSON_INT);
	return v->i;
}

uint64_t json_uint(const struct json *v)
{
	assert(json_type(v) == JSON_UINT || (json_type(v) == JSON_INT && v->i >= 0));
	return v->u;
}

bool json_is_number(const struct json *v)
{
	enum json_type type = json_type(v);

	return type >= JSON_INT && type <= JSON_RAW;
}

double json_double(const struct json *v)
{
	const uint8_t *text;

	switch (json_type(v)) {
	case JSON_INT: return (double)v->i;
	case JSON_UINT: return (double)v->u;
	case JSON_DOUBLE: return v->d;
	case JSON_RAW:
		text = (const uint8_t *)v->s;
		return json_text_double(text, text + json_tag_count(v));
	default: assert(!"a number"); return 0;
	}
}

const char *json_string(const struct json *v, size_t *n)
{
	assert(json_type(v) == JSON_STRING || json_type(v) == JSON_RAW);
	if (n)
		*n = json_tag_count(v);
	return v->s;
}

size_t json_count(const struct json *v)
{
	enum json_type type = json_type(v);

	return type >= JSON_ARRAY && type <= JSON_FLOATS ? json_tag_count(v) : 0;
}

const struct json *json_get(const struct json *v, const char *key)
{
	size_t n = strlen(key);
	const struct json *at, *end;
	uint64_t tag = json_tag(JSON_CELL_KEY, n);

	if (json_type(v) != JSON_OBJECT)
		return NULL;
	end = v + v->cells;
	for (at = v + 1; at < end; at += 1 + json_cells(at + 1))
		if (at->tag == tag && memcmp(at->s, key, n) == 0)
			return json_type(at + 1) == JSON_NULL ? NULL : at + 1;
	return NULL;
}

/* ---- iteration ---- */

struct json_iter json_iterate(const struct json *v)
{
	struct json_iter it = {.owner = v};

	if (json_type(v) == JSON_FLOATS)
		it.state = v[1].text;
	else
		it.state = v + 1;
	return it;
}

/* Reads the next number of a float array again, now for its exact value. The text was checked when
 * it was parsed, so that its end needs no watching: every number is followed by ',' or ']'. */
static void next_number(struct json_iter *it)
{
	const uint8_t *at = it->state, *end = at;
	struct json_number number;
	const uint8_t *bad;
	struct json cell;

	while (*at != '-' && !(*at >= '0' && *at <= '9'))
		at++;
	for (end = at; *end != ',' && *end != ']';)
		end++;
	bad = json_scan_number(at, end, &number);
	assert(!bad);
	cell = json_number_cell(&number);
	assert(json_cell_type(&cell) != JSON_RAW);
	_Static_assert(sizeof(cell) <= sizeof(it->scratch), "the iterator holds one cell");
	memcpy(it->scratch, &cell, sizeof(cell));
	it->value = (const struct json *)it->scratch;
	it->state = end + 1;
}

bool json_next(struct json_iter *it)
{
	const struct json *at = it->state, *end;

	switch (json_type(it->owner)) {
	case JSON_FLOATS:
		if (it->index == json_tag_count(it->owner))
			return false;
		next_number(it);
		break;
	case JSON_ARRAY:
		if (it->index == json_tag_count(it->owner))
			return false;
		it->value = at;
		it->state = at + json_cells(at);
		break;
	case JSON_OBJECT:
		end = it->owner + it->owner->cells;
		while (at < end && json_cell_type(at) == JSON_CELL_DEAD_KEY)
			at += 1 + json_cells(at + 1);
		if (at >= end)
			return false;
		it->key = at->s;
		it->key_n = json_tag_count(at);
		it->value = at + 1;
		it->state = at + 1 + json_cells(at + 1);
		break;
	default: return false;
	}
	it->index++;
	return true;
}

/* ---- floats ---- */

static bool value_to_float(const struct json *v, float *out)
{
	const uint8_t *text = (const uint8_t *)v->s;

	if (!json_is_number(v))
		return false;
	if (json_type(v) == JSON_RAW)
		*out = json_text_float(text, text + json_tag_count(v));
	else if (json_type(v) == JSON_DOUBLE)
		*out = (float)v->d;
	else
		*out = json_type(v) == JSON_INT ? (float)v->i : (float)v->u;
	return !isinf(*out);
}

const float *json_floats(const struct json *v, struct arena *arena, size_t *n)
{
	struct json_iter it;
	size_t i = 0;
	float *out;

	*n = json_count(v);
	if (json_type(v) == JSON_FLOATS)
		return v->floats;
	if (json_type(v) != JSON_ARRAY)
		return NULL;
	/* Rare: empty, or with numbers of more than 64 bits. Look before taking memory. */
	for (it = json_iterate(v); json_next(&it);)
		if (!json_is_number(it.value))
			return NULL;
	out = arena_alloc_aligned(arena, (*n ? *n : 1) * sizeof(*out), 64);
	for (it = json_iterate(v); json_next(&it); i++)
		if (!value_to_float(it.value, &out[i]))
			return NULL;
	return out;
}

/* ---- payload values ---- */

/* Recursion is as deep as the text, which is limited. */
void json_to_pv(const struct json *v, struct buf *out)
{
	struct json_iter it;
	size_t mark;

	switch (json_type(v)) {
	case JSON_NULL: pv_put_null(out); return;
	case JSON_BOOL: pv_put_bool(out, v->b); return;
	case JSON_INT: pv_put_int(out, v->i); return;
	case JSON_UINT: pv_put_uint(out, v->u); return;
	case JSON_DOUBLE: pv_put_double(out, v->d); return;
	case JSON_RAW: pv_put_raw(out, v->s, (uint32_t)json_tag_count(v)); return;
	case JSON_STRING: pv_put_string(out, v->s, (uint32_t)json_tag_count(v)); return;
	case JSON_ARRAY:
	case JSON_FLOATS:
		mark = pv_open(out, PV_ARRAY);
		for (it = json_iterate(v); json_next(&it);)
			json_to_pv(it.value, out);
		pv_close(out, mark, (uint32_t)json_count(v));
		return;
	case JSON_OBJECT:
		mark = pv_open(out, PV_OBJECT);
		for (it = json_iterate(v); json_next(&it);) {
			pv_put_key(out, it.key, (uint32_t)it.key_n);
			json_to_pv(it.value, out);
		}
		pv_close(out, mark, (uint32_t)json_count(v));
		return;
	}
	assert(!"a value");
}
