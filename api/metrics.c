/* What the API counts about itself, as Prometheus text. */
#include "api/request.h"

#include "base/clock.h"
#include "base/histogram.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const method_names[] = {
	[HTTP_GET] = "GET",         [HTTP_POST] = "POST",     [HTTP_PUT] = "PUT",
	[HTTP_PATCH] = "PATCH",     [HTTP_DELETE] = "DELETE", [HTTP_HEAD] = "HEAD",
	[HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "OTHER",
};

int stats_init(struct api *a, struct error *err)
{
	a->stats = calloc(api_n_routes + 1, sizeof(*a->stats));
	if (a->stats == NULL)
		return error_set(err, ERR_NOMEM, "counters of the API");
	for (unsigned i = 0; i <= api_n_routes; i++) {
		a->stats[i].duration_us = calloc(1, sizeof(struct histogram));
		if (a->stats[i].duration_us == NULL)
			return error_set(err, ERR_NOMEM, "counters of the API");
	}
	return 0;
}

void stats_fini(struct api *a)
{
	for (unsigned i = 0; a->stats != NULL && i <= api_n_routes; i++)
		free(a->stats[i].duration_us);
	free(a->stats);
	a->stats = NULL;
}

void stats_count(struct api_request *r, int status)
{
	size_t i = r->route != NULL ? (size_t)(r->route - api_routes) : api_n_routes;
	struct route_stats *s = &r->api->stats[i];
	uint64_t now_us = clock_monotonic_us();

	atomic_fetch_add_explicit(&s->by_class[status / 100 % 6], 1, memory_order_relaxed);
	histogram_record(s->duration_us, now_us > r->started_us ? now_us - r->started_us : 0);
}

/* The pattern with {} as {name}, so that it reads like the documentation. */
static void put_labels(struct buf *out, unsigned i)
{
	if (i == api_n_routes)
		buf_printf(out, "method=\"\",endpoint=\"none\"");
	else
		buf_printf(out, "method=\"%s\",endpoint=\"%s\"", method_names[api_routes[i].method],
			   api_routes[i].pattern);
}

static void put_responses(struct api *a, struct buf *out)
{
	buf_printf(out, "# HELP rest_responses_total Answers by route and class of status\n"
			"# TYPE rest_responses_total counter\n");
	for (unsigned i = 0; i <= api_n_routes; i++) {
		for (unsigned class = 1; class < 6; class ++) {
			uint64_t n = atomic_load_explicit(&a->stats[i].by_class[class],
							  memory_order_relaxed);

			if (n == 0)
				continue;
			buf_printf(out, "rest_responses_total{");
			put_labels(out, i);
			buf_printf(out, ",status=\"%uxx\"} %" PRIu64 "\n", class, n);
		}
	}
}

static void put_durations(struct api *a, struct buf *out)
{
	static const double quantiles[] = {0.5, 0.9, 0.99};

	buf_printf(out, "# HELP rest_responses_duration_seconds From the headers to the answer\n"
			"# TYPE rest_responses_duration_seconds summary\n");
	for (unsigned i = 0; i <= api_n_routes; i++) {
		const struct histogram *h = a->stats[i].duration_us;

		if (h->count == 0)
			continue;
		for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
			buf_printf(out, "rest_responses_duration_seconds{");
			put_labels(out, i);
			buf_printf(out, ",quantile=\"%g\"} %g\n", quantiles[q],
				   (double)histogram_quantile(h, quantiles[q]) / 1e6);
		}
		buf_printf(out, "rest_responses_duration_seconds_sum{");
		put_labels(out, i);
		buf_printf(out, "} %g\nrest_responses_duration_seconds_count{",
			   (double)h->sum / 1e6);
		put_labels(out, i);
		buf_printf(out, "} %" PRIu64 "\n", h->count);
	}
}

void stats_metrics(struct api *a, struct buf *out)
{
	buf_printf(out,
		   "# HELP app_info What is running\n# TYPE app_info gauge\n"
		   "app_info{name=\"quiver\",version=\"%s\"} 1\n"
		   "# HELP quiver_uptime_seconds Since the API started\n"
		   "# TYPE quiver_uptime_seconds gauge\nquiver_uptime_seconds %.3f\n",
		   QUIVER_VERSION, (double)(clock_monotonic_us() - a->started_us) / 1e6);
	put_responses(a, out);
	put_durations(a, out);
}
