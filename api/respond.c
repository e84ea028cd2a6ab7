/* Answers: the envelope, and how internal error codes become statuses and texts. */
#include "api/request.h"

#include "base/clock.h"

#include <string.h>

enum { ANSWER_BYTES = 1024 };

struct error_row {
	int code;
	int status;
	uint32_t retry_after_s;
	const char *before, *after;
};

/* The one place where codes meet HTTP. The prefixes are what clients of the interface look for. */
static const struct error_row error_rows[] = {
	{ERR_FORMAT, 400, 0, "Format error in JSON body: ", ""},
	{ERR_INPUT, 400, 0, "Wrong input: ", ""},
	{ERR_VALIDATION, 422, 0, "Validation error in JSON body: [", "]"},
	{ERR_NOT_FOUND, 404, 0, "Not found: ", ""},
	{ERR_EXISTS, 409, 0, "Wrong input: ", ""},
	{ERR_UNSUPPORTED, 400, 0, "Bad request: ", " is not supported"},
	{ERR_TIMEOUT, 408, 0, "Timeout error: ", ""},
	{ERR_BUSY, 429, 1, "Too many requests: ", ""},
	{ERR_DISK_FULL, 507, 0, "Insufficient storage: ", ""},
	{ERR_UNAVAILABLE, 503, 1, "Service unavailable: ", ""},
	{ERR_CLOSED, 503, 1, "Service unavailable: ", ""},
	{ERR_STALE, 503, 1, "Service unavailable: ", ""},
	{ERR_TOO_LARGE, 413, 0, "Payload too large: ", ""},
	{ERR_FORBIDDEN, 403, 0, "Forbidden: ", ""},
};
static const struct error_row other_error = {0, 500, 0, "Service internal error: ", ""};

static const struct error_row *error_row(int code)
{
	for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++)
		if (error_rows[i].code == code)
			return &error_rows[i];
	return &other_error;
}

int error_status(int code)
{
	return error_row(code)->status;
}

void put_error_text(struct buf *out, int code, const struct error *err)
{
	const struct error_row *row = error_row(code);
	const char *text = err->text[0] != 0 ? err->text : error_text(code);

	buf_put(out, row->before, strlen(row->before));
	buf_put(out, text, strlen(text));
	if (strstr(text, "not supported") == NULL)
		buf_put(out, row->after, strlen(row->after));
}

static double seconds_since(uint64_t started_us)
{
	uint64_t now_us = clock_monotonic_us();

	return now_us > started_us ? (double)(now_us - started_us) / 1e6 : 0.0;
}

static void send(struct api_request *r, struct http_response *response)
{
	struct http_request *http = r->http;

	stats_count(r, response->status);
	request_fini(r);
	http_respond(http, response);
}

/* Most answers fit what is taken at once. */
struct buf *respond_begin(struct api_request *r)
{
	buf_clear(&r->out);
	buf_reserve(&r->out, ANSWER_BYTES);
	json_put_literal(&r->out, "{\"result\":");
	return &r->out;
}

static void close_and_send(struct api_request *r, int status, uint32_t retry_after_s)
{
	struct http_response response = {
		.status = status,
		.content_type = HTTP_JSON,
		.retry_after_s = retry_after_s,
	};

	json_put_literal(&r->out, ",\"time\":");
	json_put_double(&r->out, seconds_since(r->started_us));
	json_put_literal(&r->out, "}");
	response.body = r->out;
	r->out = BUF_INIT;
	send(r, &response);
}

void respond_ok(struct api_request *r)
{
	json_put_literal(&r->out, ",\"status\":\"ok\"");
	close_and_send(r, 200, 0);
}

void respond_true(struct api_request *r)
{
	json_put_literal(respond_begin(r), "true");
	respond_ok(r);
}

void put_update_result(struct buf *b, uint64_t operation_id, bool waited)
{
	json_put_literal(b, "{\"operation_id\":");
	json_put_u64(b, operation_id);
	if (waited)
		json_put_literal(b, ",\"status\":\"completed\"}");
	else
		json_put_literal(b, ",\"status\":\"acknowledged\"}");
}

void respond_update(struct api_request *r, uint64_t operation_id)
{
	put_update_result(respond_begin(r), operation_id, r->wait);
	respond_ok(r);
}

static void send_error(struct api_request *r, const struct error_row *row, const struct buf *text)
{
	buf_clear(&r->out);
	json_put_literal(&r->out, "{\"status\":{\"error\":");
	json_put_string(&r->out, (const char *)text->data, text->len);
	json_put_literal(&r->out, "}");
	close_and_send(r, row->status, row->retry_after_s);
}

void respond_error(struct api_request *r, int code)
{
	struct buf text = BUF_INIT;

	put_error_text(&text, code, &r->err);
	send_error(r, error_row(code), &text);
	buf_fini(&text);
}

/* r->out holds the result already: {"result": ..  */
void respond_failed_with_result(struct api_request *r, int code)
{
	struct buf text = BUF_INIT;

	put_error_text(&text, code, &r->err);
	json_put_literal(&r->out, ",\"status\":{\"error\":");
	json_put_string(&r->out, (const char *)text.data, text.len);
	json_put_literal(&r->out, "}");
	buf_fini(&text);
	close_and_send(r, error_row(code)->status, error_row(code)->retry_after_s);
}

void respond_method_not_allowed(struct api_request *r)
{
	static const struct error_row row = {ERR_FORBIDDEN, 405, 0, "Method not allowed: ", ""};
	struct buf text = BUF_INIT;

	buf_printf(&text, "%s%s", row.before, r->err.text);
	send_error(r, &row, &text);
	buf_fini(&text);
}

void respond_body(struct api_request *r, int status, const char *content_type, struct buf *body)
{
	struct http_response response = {
		.status = status,
		.content_type = content_type,
		.body = *body,
	};

	*body = BUF_INIT;
	send(r, &response);
}

void respond_plain(struct api_request *r, int status, const char *text)
{
	struct buf body = BUF_INIT;

	buf_put(&body, text, strlen(text));
	respond_body(r, status, HTTP_TEXT, &body);
}
