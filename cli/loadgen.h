/* The load generator of `quiver bench`: keeps a number of connections busy with requests that were made
 * beforehand. It shares the processor with the server when both are on one machine, so it is lean: a few
 * threads on epoll, one write and one read for each request, nothing parsed but status and length.
 *
 * Closed loop: each connection sends its next request when the answer is there; tells throughput. Open
 * loop: requests are due at times that do not depend on the answers (Poisson), and latency counts from
 * when a request was due, so that a stall is not hidden by the requests it holds up. */
#pragma once
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loadgen_target {
	char host[256];
	char port[8];
	char prefix[256]; /* path before the API's own, "" or "/x" */
	const char *api_key;
};
/* "http://host:port/prefix"; ERR_UNSUPPORTED for https. */
int loadgen_target(struct loadgen_target *out, const char *url, const char *api_key,
		   struct error *err);

struct loadgen_request {
	uint8_t *bytes; /* head and body */
	size_t n;
};
/* A whole HTTP/1.1 request; free() its bytes. */
struct loadgen_request loadgen_request(const struct loadgen_target *target, const char *method_path,
				       const char *content_type, const void *body, size_t n);

/* What became of one request, in the order in which that was known. */
struct loadgen_sample {
	uint64_t due_ns, end_ns; /* monotonic */
	size_t request;
	const char *body; /* NULL: refused, broken off, or not answered in time */
	size_t n;
};

struct loadgen_options {
	const struct loadgen_target *target;
	const struct loadgen_request *requests;
	size_t n_requests;
	uint32_t clients, threads;
	bool once;                /* each request exactly once; else for warm-up and seconds */
	double warmup_s, seconds; /* what is answered during the warm-up does not count */
	double rate;              /* > 0: open loop, so many requests a second */
	uint64_t seed;
	const atomic_bool *stop; /* NULL: never */
	/* Called with each good answer's body; from several threads, but for a request only once at a
	 * time. May be NULL. */
	void (*answer)(void *ctx, size_t request, const char *body, size_t n);
	void *ctx;
	/* Open loop with one thread: goes on when connections break or answers stay away for timeout_s. A
	 * connection then turns to the next of the targets. Each request is reported, as an error too. */
	void (*sample)(void *ctx, const struct loadgen_sample *sample);
	const struct loadgen_target *more_targets;
	size_t n_more_targets;
	double timeout_s;
};

struct loadgen_result {
	uint64_t answers, errors, timeouts;
	uint64_t asked;      /* requests, those of the warm-up included */
	double seconds, qps; /* of the time that counts */
	double p50_us, p95_us, p99_us, mean_us, max_us;
	double own_cpu_us;     /* processor time of the generator for a request that was asked */
	char first_error[300]; /* status line and start of the body */
};

int loadgen_run(const struct loadgen_options *options, struct loadgen_result *result,
		struct error *err);
