#include "cli/upsert.h"

#include <string.h>

#include "api/binary.h"
#include "base/assert.h"
#include "cli/client.h"
#include "http/json.h"
#include "model/id.h"

void upsert_binary(const struct batch *b, struct buf *out)
{
	static const uint8_t zeros[BINARY_HEADER_BYTES];

	buf_clear(out);
	buf_reserve(out, BINARY_HEADER_BYTES + b->ids.len + b->rows.len + b->payloads.len);
	buf_put(out, BINARY_MAGIC, 4);
	buf_put_u32(out, b->payloads.len ? BINARY_PAYLOADS : 0);
	buf_put_u32(out, b->n);
	buf_put_u32(out, b->dim);
	buf_put_u8(out, b->uuids ? BINARY_ID_UUID : BINARY_ID_U64);
	buf_put(out, zeros, BINARY_HEADER_BYTES - out->len);
	buf_put(out, b->ids.data, b->ids.len);
	buf_put(out, b->rows.data, b->rows.len);
	buf_put(out, b->payloads.data, b->payloads.len);
	assert(b->ids.len == (size_t)b->n * (b->uuids ? 16 : 8));
	assert(b->rows.len == (size_t)b->n * b->dim * sizeof(float));
}

static void put_id(const struct batch *b, uint32_t i, struct buf *out)
{
	const uint8_t *at = b->ids.data + (size_t)i * (b->uuids ? 16 : 8);
	char text[ID_TEXT_BYTES];

	if (!b->uuids) {
		json_put_u64(out, load_u64(at));
		return;
	}
	struct point_id id = {__builtin_bswap64(load_u64(at)), __builtin_bswap64(load_u64(at + 8)),
			      ID_UUID, 0};
	json_put_string(out, text, id_format(&id, text));
}

void upsert_json(const struct batch *b, const char *vector_name, struct buf *out)
{
	const float *rows = (const float *)(const void *)b->rows.data;
	const uint8_t *line = b->payloads.data, *end = b->payloads.data + b->payloads.len;
	bool named = vector_name && *vector_name;

	buf_clear(out);
	json_put_literal(out, "{\"points\":[");
	for (uint32_t i = 0; i < b->n; i++) {
		if (i > 0)
			buf_put_u8(out, ',');
		json_put_literal(out, "{\"id\":");
		put_id(b, i, out);
		json_put_literal(out, ",\"vector\":");
		if (named) {
			buf_put_u8(out, '{');
			json_put_string(out, vector_name, strlen(vector_name));
			buf_put_u8(out, ':');
		}
		json_put_floats(out, rows + (size_t)i * b->dim, b->dim);
		if (named)
			buf_put_u8(out, '}');
		if (line < end) {
			const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));

			json_put_literal(out, ",\"payload\":");
			buf_put(out, line, (size_t)(stop - line));
			line = stop + 1;
		}
		buf_put_u8(out, '}');
	}
	json_put_literal(out, "]}");
}

char *upsert_path(struct arena *arena, const char *collection, const char *vector_name, bool binary)
{
	const char *query = "/points?wait=true";

	if (binary && vector_name && *vector_name) {
		/* The name is encoded as the name of a collection is. */
		const char *encoded = client_collection_path(arena, vector_name, "");

		query = arena_printf(arena, "/points?wait=true&using=%s",
				     encoded + strlen("/collections/"));
	}
	return client_collection_path(arena, collection, query);
}
