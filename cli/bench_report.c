/* What `quiver bench` prints: a table, JSON, and one page of HTML with the curves. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/bench.h"
#include "http/json.h"

static void print_slice(const char *when, const struct bench_slice *s)
{
	printf("| %s | %.0f | %.0f | %.0f | %.4f | %.4f |\n", when, s->qps, s->p50_us, s->p99_us,
	       s->recall, s->complete);
}

static void print_fault(const struct bench *b)
{
	const struct bench_fault *f = &b->fault;

	printf("\n%s after %.1f s, mended after %.1f s, %" PRIu64 " searches a second due\n\n"
	       "| | QPS | p50 us | p99 us | recall | complete |\n|--|--:|--:|--:|--:|--:|\n",
	       b->o.fault, f->fault_s, f->heal_s, b->o.fault_rate);
	print_slice("before", &f->before);
	print_slice("until mended", &f->during);
	print_slice("after that", &f->after);
	printf("\n%" PRIu64 " searches failed; ", f->failed);
	if (f->recovered)
		printf("all was well again %.2f s after the fault\n", f->recovery_s);
	else
		printf("not all was well at the end\n");
}

void bench_print_table(const struct bench *b)
{
	char number[32], more[32];

	printf("%s points x %u, %s, k %" PRIu64 ", %u queries (%s)\n",
	       command_number(b->n_points, number), b->rows.dim, b->distance, b->o.k, b->queries.n,
	       b->data_name);
	if (b->loaded) {
		printf("load: %s points/s durable (%s form, %" PRIu64
		       " clients, batches of %" PRIu64 ", %.2f s)",
		       command_number((uint64_t)b->load_rate, number), b->o.load_form,
		       b->o.load_clients, b->o.batch, b->load_seconds);
		if (!b->o.load_only)
			printf(", indexes ready %.1f s later", b->index_seconds);
		printf("\n");
	}
	if (b->n_points_measured == 0)
		return;
	printf("recall against %s; medians of %" PRIu64
	       " runs of %.3g s after %.3g s of warm-up\n\n",
	       b->truth_name, b->o.runs, b->o.seconds, b->o.warmup);
	printf("| %s | filter | recall | clients | rate | QPS | p50 us | p95 us | p99 us | max us |%s%s\n"
	       "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|%s%s\n",
	       b->by_nprobe ? "nprobe" : "ef", b->n_pids ? " cpu us |" : "",
	       b->o.upserts ? " upserts/s |" : "", b->n_pids ? "--:|" : "",
	       b->o.upserts ? "--:|" : "");
	for (size_t i = 0; i < b->n_points_measured; i++) {
		const struct bench_point *p = &b->points[i];

		if (p->rate > 0)
			snprintf(more, sizeof(more), "%.0f", p->rate);
		else
			snprintf(more, sizeof(more), "-");
		printf("| %" PRIu64 " | %g | %.4f | %u | %s | %.0f | %.0f | %.0f | %.0f | %.0f |",
		       p->effort, p->share, p->recall, p->clients, more, p->r.qps, p->r.p50_us,
		       p->r.p95_us, p->r.p99_us, p->r.max_us);
		if (b->n_pids)
			printf(" %.0f |", p->cpu_us);
		if (b->o.upserts)
			printf(" %.0f |", p->upserts);
		printf("%s\n", p->r.timeouts ? " does not keep up" : "");
	}
	if (b->n_pids)
		printf("\nmemory: %.1f MB anonymous, %.1f MB of files\n",
		       (double)b->use.anonymous_bytes / 1e6, (double)b->use.mapped_bytes / 1e6);
	if (b->o.fault)
		print_fault(b);
}

static void put_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, "%s\"%s\":", b->data[b->len - 1] == '{' ? "" : ",", key);
	json_put_string(b, text, strlen(text));
}

static void put_number(struct buf *b, const char *key, double v)
{
	buf_printf(b, "%s\"%s\":%.10g", b->data[b->len - 1] == '{' ? "" : ",", key,
		   isfinite(v) ? v : 0);
}

/* "model name" of /proc/cpuinfo. */
static void read_processor(char *out, size_t room)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(out, room, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon) {
			snprintf(out, room, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
			break;
		}
	}
	if (f)
		fclose(f);
}

static void put_machine(struct buf *b)
{
	struct utsname names;
	char processor[128];

	read_processor(processor, sizeof(processor));
	buf_printf(b, ",\"machine\":{");
	put_text(b, "processor", processor);
	put_number(b, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
	put_number(b, "memory_gb",
		   (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9);
	if (uname(&names) == 0)
		put_text(b, "kernel", names.release);
	buf_put_u8(b, '}');
}

static void put_points(const struct bench *b, struct buf *out)
{
	json_put_literal(out, ",\"points\":[");
	for (size_t i = 0; i < b->n_points_measured; i++) {
		const struct bench_point *p = &b->points[i];

		if (i > 0)
			buf_put_u8(out, ',');
		buf_put_u8(out, '{');
		put_text(out, "loop", p->rate > 0 ? "open" : "closed");
		put_number(out, "effort", (double)p->effort);
		put_number(out, "filter", p->share);
		put_number(out, "recall", p->recall);
		put_number(out, "clients", p->clients);
		if (p->rate > 0)
			put_number(out, "rate", p->rate);
		put_number(out, "qps", p->r.qps);
		put_number(out, "p50_us", p->r.p50_us);
		put_number(out, "p95_us", p->r.p95_us);
		put_number(out, "p99_us", p->r.p99_us);
		put_number(out, "mean_us", p->r.mean_us);
		put_number(out, "max_us", p->r.max_us);
		put_number(out, "answers", (double)p->r.answers);
		put_number(out, "generator_cpu_us", p->r.own_cpu_us);
		put_number(out, "unanswered", (double)p->r.timeouts);
		if (b->o.upserts)
			put_number(out, "upserts_per_second", p->upserts);
		if (b->n_pids)
			put_number(out, "cpu_us", p->cpu_us);
		buf_put_u8(out, '}');
	}
	buf_put_u8(out, ']');
}

static void put_slice(struct buf *out, const struct bench_slice *s)
{
	buf_put_u8(out, '{');
	put_number(out, "from_s", s->from_s);
	put_number(out, "qps", s->qps);
	put_number(out, "p50_us", s->p50_us);
	put_number(out, "p99_us", s->p99_us);
	put_number(out, "failed", (double)s->failed);
	put_number(out, "recall", s->recall);
	put_number(out, "complete", s->complete);
	buf_put_u8(out, '}');
}

static void put_fault(const struct bench *b, struct buf *out)
{
	const struct bench_fault *f = &b->fault;

	json_put_literal(out, ",\"fault\":{");
	put_text(out, "kind", b->o.fault);
	put_number(out, "rate", (double)b->o.fault_rate);
	put_number(out, "fault_s", f->fault_s);
	put_number(out, "heal_s", f->heal_s);
	put_number(out, "slice_s", f->slice_s);
	put_number(out, "failed", (double)f->failed);
	put_number(out, "recovery_s", f->recovery_s);
	buf_printf(out, ",\"recovered\":%s,\"before\":", f->recovered ? "true" : "false");
	put_slice(out, &f->before);
	json_put_literal(out, ",\"during\":");
	put_slice(out, &f->during);
	json_put_literal(out, ",\"after\":");
	put_slice(out, &f->after);
	json_put_literal(out, ",\"slices\":[");
	for (size_t i = 0; i < f->n_slices; i++) {
		if (i > 0)
			buf_put_u8(out, ',');
		put_slice(out, &f->slices[i]);
	}
	json_put_literal(out, "]}");
}

static void put_load(const struct bench *b, struct buf *out)
{
	json_put_literal(out, ",\"load\":{");
	put_text(out, "form", b->o.load_form);
	put_number(out, "clients", (double)b->o.load_clients);
	put_number(out, "batch", (double)b->o.batch);
	put_number(out, "seconds", b->load_seconds);
	put_number(out, "points_per_second", b->load_rate);
	put_number(out, "batch_p50_us", b->load.p50_us);
	put_number(out, "batch_p99_us", b->load.p99_us);
	put_number(out, "index_seconds", b->index_seconds);
	buf_put_u8(out, '}');
}

void bench_json(const struct bench *b, struct buf *out)
{
	buf_put_u8(out, '{');
	put_text(out, "quiver", QUIVER_VERSION);
	put_text(out, "command", b->command);
	put_machine(out);
	json_put_literal(out, ",\"data\":{");
	put_text(out, "name", b->data_name);
	put_number(out, "points", (double)b->n_points);
	put_number(out, "dim", b->rows.dim);
	put_text(out, "distance", b->distance);
	put_number(out, "queries", b->queries.n);
	put_number(out, "k", (double)b->o.k);
	put_text(out, "truth", b->truth_name ? b->truth_name : "");
	buf_put_u8(out, '}');
	if (b->loaded)
		put_load(b, out);
	if (b->n_pids) {
		json_put_literal(out, ",\"memory\":{");
		put_number(out, "anonymous_bytes", (double)b->use.anonymous_bytes);
		put_number(out, "mapped_bytes", (double)b->use.mapped_bytes);
		buf_put_u8(out, '}');
	}
	if (b->o.fault)
		put_fault(b, out);
	put_text(out, "effort_name", b->by_nprobe ? "nprobe" : "ef");
	put_number(out, "runs", (double)b->o.runs);
	put_number(out, "seconds", b->o.seconds);
	put_number(out, "warmup_seconds", b->o.warmup);
	put_points(b, out);
	json_put_literal(out, "}\n");
}

/* The JSON goes where the template says; a "</" in it would end the script element. */
int bench_write_report(const struct bench *b, const char *path, struct error *err)
{
	static const char mark[] = "/*DATA*/null";
	const char *at = memmem(bench_page, bench_page_bytes, mark, sizeof(mark) - 1);
	size_t before = (size_t)(at - bench_page);
	struct buf json = BUF_INIT;
	FILE *f = fopen(path, "wb");
	bool good = true;

	if (f == NULL)
		return error_errno(err, errno, "cannot write %s", path);
	bench_json(b, &json);
	good = fwrite(bench_page, 1, before, f) == before;
	for (size_t i = 0; i < json.len && good; i++) {
		if (json.data[i] == '<')
			good = fputs("\\u003c", f) >= 0;
		else
			good = fputc(json.data[i], f) != EOF;
	}
	size_t rest = bench_page_bytes - before - (sizeof(mark) - 1);
	good = good && fwrite(at + sizeof(mark) - 1, 1, rest, f) == rest;
	good = fclose(f) == 0 && good;
	buf_fini(&json);
	return good ? 0 : error_errno(err, errno, "cannot write %s", path);
}
