/* The query parameters of a request. The general ones are taken on every route; one that has no meaning where it
 * stands (waiting for a read) says nothing. What nobody knows is refused by name, for it may be a misspelt one. */
#include "api/request.h"

#include <string.h>

enum { MAX_TIMEOUT_S = 24 * 3600 };

static const char *const general[] = {"wait",        "ordering", "timeout",
				      "consistency", "receipt",  NULL};
/* Read by the handlers of single routes. */
static const struct {
	void (*handle)(struct api_request *r);
	const char *name;
} of_routes[] = {
	{handle_collection_create, "degraded"}, {handle_upsert, "using"},
	{handle_node_drain, "force"},           {handle_operator_view, "partitions"},
	{handle_operator_plan, "drain"},        {handle_telemetry, "details_level"},
	{handle_telemetry, "anonymize"},        {handle_metrics, "anonymize"},
};

int parameter_flag(struct api_request *r, const char *name, bool *out)
{
	const char *v = http_parameter(r->http, name);

	if (v == NULL)
		return 0;
	if (strcmp(v, "true") == 0)
		*out = true;
	else if (strcmp(v, "false") == 0)
		*out = false;
	else
		return error_set(&r->err, ERR_INPUT,
				 "query parameter %s: expected true or false, got '%.60s'", name,
				 v);
	return 0;
}

/* Decimal digits only; false when there is anything else. Saturates at max. */
static bool read_digits(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (*s == 0)
		return false;
	for (; *s != 0; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v > max / 10 ? max : v * 10 + (uint64_t)(*s - '0');
	}
	*out = v > max ? max : v;
	return true;
}

static int read_timeout(struct api_request *r)
{
	const char *v = http_parameter(r->http, "timeout");

	if (v == NULL)
		return 0;
	if (!read_digits(v, MAX_TIMEOUT_S, &r->timeout_s))
		return error_set(&r->err, ERR_INPUT,
				 "query parameter timeout: expected seconds, got '%.60s'", v);
	if (r->timeout_s == 0)
		return error_set(&r->err, ERR_VALIDATION,
				 "timeout: value 0 invalid, must be 1 or larger");
	r->deadline_us = r->started_us + r->timeout_s * 1000000;
	return 0;
}

static bool one_of(const char *v, const char *const *names)
{
	while (*names != NULL && strcmp(*names, v) != 0)
		names++;
	return *names != NULL;
}

static bool is_known(const struct api_request *r, const char *name)
{
	if (one_of(name, general))
		return true;
	for (size_t i = 0; i < sizeof(of_routes) / sizeof(of_routes[0]); i++)
		if (r->route->handle == of_routes[i].handle && strcmp(name, of_routes[i].name) == 0)
			return true;
	return false;
}

static int check_parameter(void *ctx, const char *name, const char *value)
{
	struct api_request *r = ctx;

	if (!is_known(r, name))
		return error_set(&r->err, ERR_UNSUPPORTED,
				 "the query parameter `%.60s` of this route", name);
	if (http_parameter(r->http, name) != value)
		return error_set(&r->err, ERR_INPUT, "query parameter %s: it stands there twice",
				 name);
	return 0;
}

/* Ordering and consistency are checked only: every write is ordered by its partition's log and every
 * read sees what was acknowledged, which is the strongest that can be asked for. */
int request_read_parameters(struct api_request *r)
{
	static const char *const orderings[] = {"weak", "medium", "strong", NULL};
	static const char *const levels[] = {"majority", "quorum", "all", NULL};
	const char *ordering = http_parameter(r->http, "ordering");
	const char *consistency = http_parameter(r->http, "consistency");
	const char *header = http_header(r->http, "Quiver-Receipt");
	uint64_t factor = 0;
	int rc = 0;

	/* Probes and browsers add what they like. */
	if ((r->route->flags & ROUTE_OPEN) == 0)
		rc = http_each_parameter(r->http, check_parameter, r);
	r->receipt = header != NULL && strcmp(header, "1") == 0;
	if (rc == 0)
		rc = parameter_flag(r, "wait", &r->wait);
	if (rc == 0)
		rc = parameter_flag(r, "receipt", &r->receipt);
	if (rc == 0)
		rc = read_timeout(r);
	if (rc == 0 && http_parameter(r->http, "using") != NULL &&
	    !request_content_is(r, "application/octet-stream"))
		rc = error_set(
			&r->err, ERR_INPUT,
			"query parameter using: it says whose the rows of the binary form are, "
			"and there are none here");
	if (rc == 0 && ordering != NULL && !one_of(ordering, orderings))
		rc = error_set(&r->err, ERR_INPUT,
			       "query parameter ordering: expected weak, medium or strong, got "
			       "'%.60s'",
			       ordering);
	if (rc == 0 && consistency != NULL && !one_of(consistency, levels) &&
	    (!read_digits(consistency, UINT32_MAX, &factor) || factor == 0))
		rc = error_set(&r->err, ERR_INPUT,
			       "query parameter consistency: expected a number, majority, quorum or "
			       "all, got '%.60s'",
			       consistency);
	return rc;
}
