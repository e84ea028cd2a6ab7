/* Bodies of the REST API: the first byte picks the parser, the rest is JSON (or the binary form). */
#include "api/parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/api/books.h"

#include <stdlib.h>
#include <string.h>

static int parse_body(struct parse *p, uint8_t what, const struct json *v)
{
	struct payload_field field;
	struct collection *c = NULL;
	struct group_spec groups;
	struct filter *filter;
	struct write w, *writes;
	struct query q;
	uint32_t n;
	int rc;

	switch (what % 19) {
	case 0:
	case 1:
		rc = what % 19 == 0 ? parse_collection(p, "new", v, &c)
				    : parse_collection_patch(p, v, &c);
		if (rc == 0)
			collection_unref(c);
		return rc;
	case 2: return parse_payload_field(p, v, &field);
	case 3: return parse_upsert(p, v, &w);
	case 4: return parse_filter(p, v, &filter);
	case 5: return parse_query(p, v, &q);
	case 6: return parse_query_groups(p, v, &q, &groups);
	case 7: return parse_search(p, v, &q, NULL);
	case 8: return parse_search(p, v, &q, &groups);
	case 9: return parse_recommend(p, v, &q, NULL);
	case 10: return parse_recommend(p, v, &q, &groups);
	case 11: return parse_delete(p, v, &w);
	case 12: return parse_set_payload(p, v, &w);
	case 13: return parse_overwrite_payload(p, v, &w);
	case 14: return parse_delete_payload(p, v, &w);
	case 15: return parse_clear_payload(p, v, &w);
	case 16: return parse_update_vectors(p, v, &w);
	case 17: return parse_delete_vectors(p, v, &w);
	default: return parse_operations(p, v, &writes, &n);
	}
}

static int parse_binary_body(struct parse *p, const uint8_t *data, size_t n)
{
	uint8_t *copy = aligned_alloc(64, (n + 64) & ~(size_t)63);
	struct write w;
	int rc;

	memcpy(copy, data, n);
	rc = parse_binary(p, copy, n, "", &w);
	free(copy);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *arena;
	struct collection *c;
	const struct json *v;
	struct error err = {0};
	int rc;

	if (n == 0)
		return 0;
	arena = arena_new(4096);
	c = books_new();
	c->body = PV_EMPTY_OBJECT;
	struct parse p = parse_make(arena, c, &err);
	if (data[0] == 255)
		rc = parse_binary_body(&p, data + 1, n - 1);
	else
		rc = json_parse(data + 1, n - 1, arena, &v, &err);
	if (rc == 0 && data[0] != 255)
		rc = parse_body(&p, data[0], v);
	if (rc != 0)
		fuzz_check_error(rc, &err);
	parse_fini(&p);
	collection_unref(c);
	arena_free(arena);
	return 0;
}
