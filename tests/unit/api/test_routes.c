/* The table of routes: no pattern hides another, arguments are decoded, wrong paths and methods are told
 * apart. And the texts and statuses of errors. */
#include "tests/unit/api/fixture.h"

#include "api/request.h"

static int find(struct arena *arena, enum http_method method, const char *path,
		struct api_request *out)
{
	struct error err;

	*out = (struct api_request){.arena = arena, .method = method};
	return route_find(out, path, &err);
}

/* The pattern as a path, with "a1" for each argument. */
static const char *sample(struct arena *arena, const char *pattern)
{
	char *path = arena_zalloc(arena, 2 * strlen(pattern) + 1), *at = path;

	for (; *pattern != 0; pattern++) {
		*at++ = *pattern == '{' ? 'a' : *pattern == '}' ? '1' : *pattern;
	}
	return path;
}

static void test_every_route_is_found(void **state)
{
	struct arena *arena = arena_new(4096);
	struct api_request r;

	for (unsigned i = 0; i < api_n_routes; i++) {
		const struct route *route = &api_routes[i];
		const char *path = sample(arena, route->pattern);

		assert_true((route->handle != NULL) != (route->unsupported != NULL));
		assert_int_equal(find(arena, route->method, path, &r), 0);
		if (r.route != route)
			fail_msg("%s is hidden by %s", route->pattern, r.route->pattern);
		/* A slash at the end makes no difference. */
		assert_int_equal(find(arena, route->method, arena_printf(arena, "%s/", path), &r),
				 0);
		assert_ptr_equal(r.route, route);
	}
	arena_free(arena);
}

static void test_arguments(void **state)
{
	struct arena *arena = arena_new(4096);
	struct api_request r;

	assert_int_equal(find(arena, HTTP_GET, "/collections/a%20b%2F%C3%BC/points/17", &r), 0);
	assert_string_equal(r.args[0], "a b/\xc3\xbc");
	assert_string_equal(r.args[1], "17");
	assert_int_equal(find(arena, HTTP_DELETE, "/collections/c/index/metadata.file_id", &r), 0);
	assert_string_equal(r.args[1], "metadata.file_id");
	/* A collection may have the name of a word of the table. */
	assert_int_equal(find(arena, HTTP_GET, "/collections/aliases", &r), 0);
	assert_string_equal(r.args[0], "aliases");
	arena_free(arena);
}

static void test_wrong_paths(void **state)
{
	static const char *const missing[] = {
		"/nowhere",  "/collections/c/d", "/collections//points/query",
		"",          "collections",      "/collections/c/points/1/2/3",
		"/healthzz", "/health",
	};
	struct arena *arena = arena_new(4096);
	struct api_request r;

	for (size_t i = 0; i < COUNT(missing); i++) {
		assert_int_equal(find(arena, HTTP_GET, missing[i], &r), ERR_NOT_FOUND);
		assert_null(r.route);
	}
	assert_int_equal(find(arena, HTTP_DELETE, "/collections", &r), ERR_FORBIDDEN);
	assert_int_equal(find(arena, HTTP_PATCH, "/collections/c/points", &r), ERR_FORBIDDEN);
	assert_int_equal(find(arena, HTTP_GET, "/collections/%zz", &r), ERR_FORMAT);
	assert_int_equal(find(arena, HTTP_GET, "/collections/a%00b", &r), ERR_FORMAT);
	arena_free(arena);
}

/* Who may write is decided by the table: everything that is no plain reading must say so. */
static void test_writes_are_marked(void **state)
{
	static const char *const reading_posts[] = {"query", "search",    "scroll",   "count",
						    "facet", "recommend", "discover", "matrix"};

	for (unsigned i = 0; i < api_n_routes; i++) {
		const struct route *route = &api_routes[i];
		bool reads = route->method == HTTP_GET ||
			     (route->method == HTTP_POST &&
			      strcmp(route->pattern, "/collections/{}/points") == 0);

		for (size_t k = 0; k < COUNT(reading_posts) && route->method == HTTP_POST; k++)
			reads = reads || strstr(route->pattern, reading_posts[k]) != NULL;
		/* Who may only read does not learn the names of the keys. */
		if (strcmp(route->pattern, "/v1/keys") == 0)
			reads = false;
		if (reads == ((route->flags & ROUTE_WRITE) != 0))
			fail_msg("%s: reading %d, flags %x", route->pattern, reads, route->flags);
	}
}

static void test_error_texts(void **state)
{
	static const struct {
		int code, status;
		const char *text, *shown;
	} rows[] = {
		{ERR_FORMAT, 400, "x", "Format error in JSON body: x"},
		{ERR_INPUT, 400, "x", "Wrong input: x"},
		{ERR_VALIDATION, 422, "a: b", "Validation error in JSON body: [a: b]"},
		{ERR_NOT_FOUND, 404, "Collection `x` doesn't exist!",
		 "Not found: Collection `x` doesn't exist!"},
		{ERR_EXISTS, 409, "Collection `x` already exists!",
		 "Wrong input: Collection `x` already exists!"},
		{ERR_UNSUPPORTED, 400, "magic", "Bad request: magic is not supported"},
		{ERR_UNSUPPORTED, 400, "magic is not supported here",
		 "Bad request: magic is not supported here"},
		{ERR_TIMEOUT, 408, "x", "Timeout error: x"},
		{ERR_BUSY, 429, "x", "Too many requests: x"},
		{ERR_DISK_FULL, 507, "x", "Insufficient storage: x"},
		{ERR_UNAVAILABLE, 503, "x", "Service unavailable: x"},
		{ERR_TOO_LARGE, 413, "x", "Payload too large: x"},
		{ERR_IO, 500, "x", "Service internal error: x"},
		{ERR_INTERNAL, 500, "", "Service internal error: internal error"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {.code = rows[i].code};
		struct buf b = BUF_INIT;

		snprintf(err.text, sizeof(err.text), "%s", rows[i].text);
		assert_int_equal(error_status(rows[i].code), rows[i].status);
		put_error_text(&b, rows[i].code, &err);
		buf_put_u8(&b, 0);
		assert_string_equal((const char *)b.data, rows[i].shown);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route_is_found),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_wrong_paths),
		cmocka_unit_test(test_writes_are_marked),
		cmocka_unit_test(test_error_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
