/* JSON to payload values and back, for tests. */
#include "tests/unit/unit.h"
#include "tests/unit/model/doc.h"
#include <string.h>
#include <yyjson.h>

static void put(struct buf *b, yyjson_val *v)
{
	size_t i, n;
	yyjson_val *key, *value;
	size_t mark;
	switch (yyjson_get_type(v)) {
	case YYJSON_TYPE_NULL: pv_put_null(b); return;
	case YYJSON_TYPE_BOOL: pv_put_bool(b, yyjson_get_bool(v)); return;
	case YYJSON_TYPE_STR:
		pv_put_string(b, yyjson_get_str(v), (uint32_t)yyjson_get_len(v));
		return;
	case YYJSON_TYPE_RAW: pv_put_raw(b, yyjson_get_raw(v), (uint32_t)yyjson_get_len(v)); return;
	case YYJSON_TYPE_NUM:
		if (yyjson_is_real(v))
			pv_put_double(b, yyjson_get_real(v));
		else if (yyjson_is_sint(v))
			pv_put_int(b, yyjson_get_sint(v));
		else
			pv_put_uint(b, yyjson_get_uint(v));
		return;
	case YYJSON_TYPE_ARR:
		mark = pv_open(b, PV_ARRAY);
		yyjson_arr_foreach(v, i, n, value) put(b, value);
		pv_close(b, mark, (uint32_t)yyjson_arr_size(v));
		return;
	default:
		mark = pv_open(b, PV_OBJECT);
		yyjson_obj_foreach(v, i, n, key, value)
		{
			pv_put_key(b, yyjson_get_str(key), (uint32_t)yyjson_get_len(key));
			put(b, value);
		}
		pv_close(b, mark, (uint32_t)yyjson_obj_size(v));
	}
}

struct pv_slice doc_slice(struct arena *arena, const char *json)
{
	char *text = arena_strdup(arena, json);
	for (char *s = text; *s != '\0'; s++) {
		if (*s == '\'')
			*s = '"';
	}
	yyjson_doc *parsed = yyjson_read(text, strlen(text), YYJSON_READ_BIGNUM_AS_RAW);
	assert_non_null(parsed);
	struct buf b = BUF_INIT;
	put(&b, yyjson_doc_get_root(parsed));
	yyjson_doc_free(parsed);
	struct pv_slice slice = {arena_copy(arena, b.data, b.len), (uint32_t)b.len};
	buf_fini(&b);
	assert_int_equal(pv_validate(slice.bytes, slice.n, NULL), 0);
	return slice;
}

struct pv doc(struct arena *arena, const char *json)
{
	return pv_of(doc_slice(arena, json).bytes);
}

static void print(struct buf *b, struct pv v)
{
	uint32_t n;
	const char *s;
	size_t start;
	struct pv_iter it;
	switch (pv_type(v)) {
	case PV_NULL: buf_printf(b, "null"); return;
	case PV_FALSE: buf_printf(b, "false"); return;
	case PV_TRUE: buf_printf(b, "true"); return;
	case PV_INT: buf_printf(b, "%lld", (long long)pv_int(v)); return;
	case PV_UINT: buf_printf(b, "%llu", (unsigned long long)pv_uint(v)); return;
	case PV_DOUBLE:
		start = b->len;
		buf_printf(b, "%.17g", pv_double(v));
		if (memchr(b->data + start, '.', b->len - start) == NULL &&
		    memchr(b->data + start, 'e', b->len - start) == NULL)
			buf_printf(b, ".0");
		return;
	case PV_RAW:
		s = pv_string(v, &n);
		buf_printf(b, "%.*s", (int)n, s);
		return;
	case PV_STRING:
		s = pv_string(v, &n);
		buf_printf(b, "'%.*s'", (int)n, s);
		return;
	case PV_ARRAY:
	case PV_OBJECT: break;
	}
	it = pv_iterate(v);
	buf_put_u8(b, it.object ? '{' : '[');
	for (bool first = true; pv_next(&it); first = false) {
		if (!first)
			buf_put_u8(b, ',');
		if (it.object)
			buf_printf(b, "'%.*s':", (int)it.key_n, it.key);
		print(b, it.value);
	}
	buf_put_u8(b, it.object ? '}' : ']');
}

const char *doc_text(struct arena *arena, struct pv v)
{
	struct buf b = BUF_INIT;
	print(&b, v);
	const char *text = arena_strndup(arena, (const char *)b.data, b.len);
	buf_fini(&b);
	return text;
}
