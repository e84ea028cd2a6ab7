/* What a search costs besides the search: the parts of the path from socket to socket, with a shard that knows the answer.
 *
 *   bench_path [DIM]       default: 128
 *
 * One process holds a coordinator, an API, an HTTP server, and the shard servers "near" (reached by calls of functions) and "far"
 * (by messages over loopback). Each part is measured for itself: instructions of user space where it runs on one thread
 * (counted one by one, bench/instructions.h), and processor time, the median of ROUNDS rounds. Processor time holds
 * what the kernel does for the sockets, and not what the clients do. Where others are waited for, the time of a question to its
 * answer stands beside it: the mean over a round, and of the rounds the median.
 *
 * It ends with an error when an answer is not the one that the shard gave.
 */
#include "api/api.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/memory.h"
#include "base/pool.h"
#include "bench/instructions.h"
#include "bench/target.h"
#include "http/json.h"
#include "coordinator/meta_runtime.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEAR = 1, FAR = 2, ROUNDS = 9, TOP = 10, CLIENTS = 32, CLUSTER = 7 };
enum { REPEATS = 20000, MESSAGE_REPEATS = 4000, HTTP_WAVES = 200 };

struct world {
	char root[64];
	uint32_t dim;
	struct store_io io, meta_io;
	struct pool *pool;
	struct rpc *near, *far;
	struct meta_runtime *meta;
	struct coord *coord;
	struct api *api;
	struct http_server *http;
	float *vector;
	struct buf body; /* of a search, JSON */
};

/* Of all threads. */
static double process_cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void put_row(const char *what, uint64_t instructions, double cpu_us, double wait_us)
{
	char count[32] = "-", wait[32] = "-";

	if (instructions > 0)
		snprintf(count, sizeof(count), "%llu", (unsigned long long)instructions);
	if (wait_us > 0)
		snprintf(wait, sizeof(wait), "%.0f", wait_us);
	printf("| %s | %s | %.2f | %s |\n", what, count, cpu_us, wait);
	fflush(stdout);
}

/* Work on one thread: both figures. */
static void put_work(const char *what, void (*fn)(void *ctx), void *ctx)
{
	uint64_t instructions = instructions_of(fn, ctx);
	double us[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t from_ns = clock_thread_cpu_ns();

		for (int j = 0; j < REPEATS; j++)
			fn(ctx);
		us[i] = (double)(clock_thread_cpu_ns() - from_ns) * 1e-3 / REPEATS;
	}
	put_row(what, instructions, median(us, ROUNDS), 0);
}

/* ---- the shard that knows the answer ---- */

static void answer_search(struct rpc_call *call)
{
	const struct rpc_search_request *q = call->request;
	struct rpc_search_response *r = call->response;

	r->hits = arena_zalloc(call->arena, q->n_leaves * sizeof(*r->hits));
	r->receipts = arena_zalloc(call->arena, q->n_leaves * sizeof(*r->receipts));
	for (uint32_t i = 0; i < q->n_leaves; i++) {
		struct hit *hits = arena_zalloc(call->arena, TOP * sizeof(*hits));

		for (uint32_t j = 0; j < TOP; j++) {
			hits[j].id = id_from_u64(100 * j + q->leaves[i].partition);
			hits[j].version = j;
			hits[j].score = 0.987654f - 0.0123f * (float)j -
					0.0001f * (float)q->leaves[i].partition;
		}
		r->hits[i] = (struct hits){hits, TOP};
		r->receipts[i].plan = PLAN_GRAPH;
		r->receipts[i].ef = q->leaves[i].params.ef;
	}
}

static void handle(void *ctx, struct rpc_call *call)
{
	(void)ctx;
	if (call->type == RPC_TYPE_search)
		answer_search(call);
	rpc_finish(call, 0);
}

/* ---- waiting ---- */

struct waiter {
	sem_t done;
	int rc;
	struct error err;
};

static void wake(struct waiter *w, int rc, const struct error *err)
{
	w->rc = rc;
	w->err = *err;
	sem_post(&w->done);
}

static void wait_for(struct waiter *w)
{
	while (sem_wait(&w->done) != 0)
		;
	if (w->rc == 0)
		return;
	fprintf(stderr, "bench_path: %s\n", w->err.text);
	exit(1);
}

static void meta_done(void *ctx, const struct error *result, uint64_t index)
{
	(void)index;
	wake(ctx, result->code, result);
}

static void call_done(struct coord_call *call)
{
	wake(call->ctx, call->rc, &call->err);
}

/* ---- the world ---- */

static void must(int rc, const struct error *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "bench_path: %s\n", err->text);
	exit(1);
}

static void on_map(void *ctx, const struct map *map)
{
	(void)ctx;
	(void)map;
}

static void send_nothing(void *ctx, const struct meta_message *m)
{
	(void)ctx;
	(void)m;
}

static void put_node(struct world *w, uint64_t id, const char *name, bool shard)
{
	struct waiter waiter = {0};
	struct map_command put = {.type = MAP_NODE_PUT,
				  .node = {.id = id,
					   .name = name,
					   .rpc_address = name,
					   .http_address = "",
					   .incarnation = 1,
					   .coordinator = true,
					   .shard = shard}};

	sem_init(&waiter.done, 0, 0);
	meta_runtime_submit(w->meta, &put, meta_done, &waiter);
	wait_for(&waiter);
}

/* Lies on the only shard server that the map knows just now. */
static void create(struct world *w, const char *name, uint32_t partitions)
{
	struct waiter waiter = {0};
	struct collection *c = collection_new();
	struct coord_change change = {.call = {.arena = arena_new(4096),
					       .done = call_done,
					       .ctx = &waiter},
				      .command = {.type = MAP_CREATE_COLLECTION, .collection = c}};

	sem_init(&waiter.done, 0, 0);
	c->name = arena_strdup(c->arena, name);
	c->spaces = arena_zalloc(c->arena, sizeof(*c->spaces));
	c->spaces[0] =
		(struct vector_space){.name = "",
				      .dim = w->dim,
				      .distance = DISTANCE_COSINE,
				      .index = {.kind = INDEX_HNSW, .m = 16, .ef_construct = 100}};
	c->n_spaces = 1;
	c->n_partitions = partitions;
	c->replication_factor = 1;
	c->body = PV_EMPTY_OBJECT;
	coord_change(w->coord, &change);
	wait_for(&waiter);
	arena_free(change.call.arena);
	collection_unref(c);
}

static void start_network(struct world *w)
{
	struct rpc_net_options o = {.cluster_id = CLUSTER,
				    .listen = "127.0.0.1:0",
				    .pool = w->pool};
	char address[32];
	struct error err;

	must(rpc_new(&w->near, NEAR, &err), &err);
	must(rpc_new(&w->far, FAR, &err), &err);
	rpc_serve_local(w->near, (struct rpc_service){handle, w});
	rpc_serve_local(w->far, (struct rpc_service){handle, w});
	must(rpc_listen(w->far, &o, &err), &err);
	o.listen = NULL;
	must(rpc_listen(w->near, &o, &err), &err);
	snprintf(address, sizeof(address), "127.0.0.1:%u", rpc_port(w->far));
	rpc_peer_set(w->near, FAR, address);
	while (!rpc_peer_up(w->near, FAR))
		usleep(1000);
}

static void start_roles(struct world *w)
{
	static const struct meta_voter self = {NEAR, "near"};
	struct meta_runtime_options mo = {.self = NEAR,
					  .cluster_id = CLUSTER,
					  .bootstrap = &self,
					  .n_bootstrap = 1,
					  .send = send_nothing,
					  .on_map = on_map,
					  .ctx = w};
	struct coord_options co = {.clock = clock_real(), .self_node = NEAR};
	struct api_options ao = {.self_node = NEAR};
	struct http_options ho = {.host = "127.0.0.1", .threads = 1, .handle = api_handle};
	struct error err;

	must(store_io_real(w->root, &w->io, &err), &err);
	must(store_io_sub(&w->io, "meta", &w->meta_io, &err), &err);
	must(pool_new(&w->pool, 2, 1, &err), &err);
	start_network(w);
	mo.io = w->meta_io;
	must(meta_runtime_start(&w->meta, &mo, &err), &err);
	co.rpc = w->near;
	co.meta = w->meta;
	co.pool = w->pool;
	must(coord_start(&w->coord, &co, &err), &err);
	ao.coord = w->coord;
	must(api_new(&w->api, &ao, &err), &err);
	ho.ctx = w->api;
	must(http_server_start(&w->http, &ho, &err), &err);
}

static void start(struct world *w, uint32_t dim)
{
	w->dim = dim;
	w->vector = mem_array(dim, sizeof(float));
	for (uint32_t i = 0; i < dim; i++)
		w->vector[i] = 0.3f - 0.6f * (float)((i * 2654435761u) >> 8 & 0xffff) / 65536;
	json_put_literal(&w->body, "{\"query\":");
	json_put_floats(&w->body, w->vector, dim);
	json_put_literal(&w->body, ",\"limit\":10,\"params\":{\"hnsw_ef\":24}}");
	snprintf(w->root, sizeof(w->root), "/tmp/quiver-path-XXXXXX");
	if (mkdtemp(w->root) == NULL) {
		perror("bench_path: a folder");
		exit(1);
	}
	start_roles(w);
	put_node(w, NEAR, "near", true);
	create(w, "near-1", 1);
	create(w, "near-8", 8);
	put_node(w, NEAR, "near", false);
	put_node(w, FAR, "far", true);
	create(w, "far-1", 1);
	create(w, "far-4", 4);
}

static void stop(struct world *w)
{
	http_server_stop(w->http);
	api_free(w->api);
	coord_stop(w->coord);
	meta_runtime_stop(w->meta);
	rpc_free(w->near);
	rpc_free(w->far);
	pool_free(w->pool);
	w->io.remove_tree(w->io.ctx, "meta", NULL);
	store_io_fini(&w->meta_io);
	store_io_fini(&w->io);
	rmdir(w->root);
	buf_fini(&w->body);
	free(w->vector);
}

/* ---- reading a request ---- */

struct reading {
	struct world *w;
	struct arena *arena;
};

static void read_request(void *ctx)
{
	struct reading *r = ctx;
	const struct json *v;
	struct error err;
	size_t n = 0;

	arena_reset(r->arena);
	must(json_parse(r->w->body.data, r->w->body.len, r->arena, &v, &err), &err);
	if (json_floats(json_get(v, "query"), r->arena, &n) == NULL || n != r->w->dim)
		abort();
}

/* ---- a query ---- */

struct asked {
	struct mail mail; /* first */
	struct coord_query request;
	struct query query;
	struct mailbox *box; /* where it goes when it is answered; NULL: nowhere */
};

static void query_done(struct coord_call *call)
{
	struct asked *a = call->ctx;
	const struct query_result *r = &a->request.results[0];

	if (call->rc != 0 || r->rc != 0 || !r->complete || r->hits.n != TOP ||
	    r->hits.items[0].id.lo != 0) {
		fprintf(stderr, "bench_path: a wrong answer %s %s\n", call->err.text, r->err.text);
		exit(1);
	}
	if (a->box != NULL)
		mailbox_post(a->box, &a->mail);
}

static void asked_init(struct asked *a, const struct world *w, const struct collection *c)
{
	memset(a, 0, sizeof(*a));
	a->query = (struct query){.kind = QUERY_NEAREST,
				  .using_name = "",
				  .limit = TOP,
				  .params = {.ef = 24}};
	a->query.nearest.vector = (struct vector){VECTOR_DENSE, 0, w->dim, w->vector, NULL};
	a->request.queries = &a->query;
	a->request.n_queries = 1;
	a->request.call = (struct coord_call){.collection = c,
					      .arena = arena_new(1 << 16),
					      .done = query_done,
					      .ctx = a};
}

struct asking {
	struct world *w;
	struct asked asked;
};

static void ask_again(struct world *w, struct asked *a)
{
	arena_reset(a->request.call.arena);
	a->request.call.deadline_us = 0;
	coord_query(w->coord, &a->request);
}

static void ask_near(void *ctx)
{
	struct asking *a = ctx;

	ask_again(a->w, &a->asked);
}

static void measure_near(struct world *w, const struct collection *c, const char *what)
{
	struct asking a = {.w = w};

	asked_init(&a.asked, w, c);
	put_work(what, ask_near, &a);
	arena_free(a.asked.request.call.arena);
}

/* ---- messages ---- */

/* Of the calling side. `line`: "\nname ". */
static double metric(struct world *w, const char *line)
{
	struct buf text = BUF_INIT;
	const char *at;
	double value = 0;

	rpc_metrics(w->near, &text);
	buf_put_u8(&text, 0);
	at = strstr((char *)text.data, line);
	if (at != NULL)
		value = strtod(at + strlen(line), NULL);
	buf_fini(&text);
	return value;
}

/* Keeps `width` queries on their way until `n` were answered. */
static void ask_far(struct world *w, struct asked *all, uint32_t width, uint32_t n)
{
	struct mailbox *box = mailbox_new();
	uint32_t begun = 0, ended = 0;

	for (; begun < width; begun++) {
		all[begun].box = box;
		ask_again(w, &all[begun]);
	}
	while (ended < n) {
		struct mail *m = mailbox_take(box, UINT64_MAX);

		while (m != NULL) {
			struct asked *a = (struct asked *)m;

			m = m->next;
			ended++;
			if (begun++ < n)
				ask_again(w, a);
		}
	}
	mailbox_close(box);
	mailbox_free(box);
}

static void measure_far(struct world *w, const struct collection *c, uint32_t width)
{
	struct asked *all = mem_array(width, sizeof(*all));
	double us[ROUNDS], waits[ROUNDS], calls, frames;
	char what[160];

	for (uint32_t i = 0; i < width; i++)
		asked_init(&all[i], w, c);
	ask_far(w, all, width, MESSAGE_REPEATS);
	calls = metric(w, "\nquiver_rpc_calls_sent_total ");
	frames = metric(w, "\nquiver_rpc_frames_sent_total ");
	for (int i = 0; i < ROUNDS; i++) {
		double from_us = process_cpu_us();
		uint64_t from = clock_monotonic_us();

		ask_far(w, all, width, MESSAGE_REPEATS);
		waits[i] = (double)(clock_monotonic_us() - from) * width / MESSAGE_REPEATS;
		us[i] = (process_cpu_us() - from_us) / MESSAGE_REPEATS;
	}
	calls = metric(w, "\nquiver_rpc_calls_sent_total ") - calls;
	frames = metric(w, "\nquiver_rpc_frames_sent_total ") - frames;
	snprintf(
		what, sizeof(what),
		"a query of %u partition%s on another node, both nodes, %u at once: %.1f calls a message",
		c->n_partitions, c->n_partitions > 1 ? "s" : "", width, calls / frames);
	put_row(what, 0, median(us, ROUNDS), median(waits, ROUNDS));
	for (uint32_t i = 0; i < width; i++)
		arena_free(all[i].request.call.arena);
	free(all);
}

/* ---- HTTP ---- */

struct clients {
	int fds[CLIENTS];
	struct buf request;
};

static void clients_connect(struct clients *c, const struct world *w, const char *collection,
			    uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;

	memset(c, 0, sizeof(*c));
	buf_printf(&c->request,
		   "POST /collections/%s/points/query HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		   collection, w->body.len);
	buf_put(&c->request, w->body.data, w->body.len);
	for (int i = 0; i < CLIENTS; i++) {
		c->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fds[i] < 0 || connect(c->fds[i], (struct sockaddr *)&to, sizeof(to)) != 0) {
			perror("bench_path: connect");
			exit(1);
		}
		setsockopt(c->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

static void clients_close(struct clients *c)
{
	for (int i = 0; i < CLIENTS; i++)
		close(c->fds[i]);
	buf_fini(&c->request);
}

/* Each client asks, then each reads its answer, which comes as one piece. */
static void wave(const struct clients *c, int n)
{
	char answer[8192];

	for (int i = 0; i < n; i++)
		if (send(c->fds[i], c->request.data, c->request.len, MSG_NOSIGNAL) !=
		    (ssize_t)c->request.len)
			abort();
	for (int i = 0; i < n; i++) {
		ssize_t got = recv(c->fds[i], answer, sizeof(answer) - 1, 0);

		answer[got > 0 ? got : 0] = 0;
		if (strstr(answer, "200 OK") == NULL || strstr(answer, "{\"id\":900,") == NULL ||
		    strstr(answer, "\"status\":\"ok\"") == NULL) {
			fprintf(stderr, "bench_path: a wrong answer: %s\n", answer);
			exit(1);
		}
	}
}

static void measure_http(struct world *w, const char *collection, uint16_t port, int width,
			 const char *name)
{
	struct clients c;
	double us[ROUNDS], waits[ROUNDS];
	char what[128];
	int waves = HTTP_WAVES * CLIENTS / width;

	clients_connect(&c, w, collection, port);
	for (int i = 0; i < 50; i++)
		wave(&c, width);
	for (int i = 0; i < ROUNDS; i++) {
		double from_us = process_cpu_us();
		uint64_t own_ns = clock_thread_cpu_ns(), from = clock_monotonic_us();

		for (int j = 0; j < waves; j++)
			wave(&c, width);
		us[i] = process_cpu_us() - from_us -
			(double)(clock_thread_cpu_ns() - own_ns) * 1e-3;
		us[i] /= waves * width;
		waits[i] = (double)(clock_monotonic_us() - from) / waves;
	}
	clients_close(&c);
	snprintf(what, sizeof(what), "%s, %d client%s", name, width, width > 1 ? "s" : "");
	put_row(what, 0, median(us, ROUNDS), median(waits, ROUNDS));
}

/* The same answer to everything: what HTTP costs alone. */
static void answer_fixed(void *ctx, struct http_request *http)
{
	const struct buf *text = ctx;
	struct http_response response = {.status = 200, .content_type = HTTP_JSON};

	buf_put(&response.body, text->data, text->len);
	http_respond(http, &response);
}

static void measure_fixed(struct world *w, struct buf *text, bool library_only, const char *name)
{
	struct http_options o = {.host = "127.0.0.1",
				 .threads = 1,
				 .handle = answer_fixed,
				 .ctx = text,
				 .library_only = library_only};
	struct http_server *server;
	struct error err;

	must(http_server_start(&server, &o, &err), &err);
	measure_http(w, "none", http_server_port(server), CLIENTS, name);
	http_server_stop(server);
}

/* What no server can do without: wait, read, write. */
struct bare {
	int listener, epoll;
	size_t request_bytes;
	const struct buf *answer;
};

static void *run_bare(void *arg)
{
	struct bare *b = arg;
	struct epoll_event events[CLIENTS + 1], event = {.events = EPOLLIN};
	char *request = mem_alloc(b->request_bytes + 1);

	for (;;) {
		int n = epoll_wait(b->epoll, events, CLIENTS + 1, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == b->listener) {
				fd = accept(fd, NULL, NULL);
				if (fd < 0) { /* the end */
					free(request);
					return NULL;
				}
				event.data.fd = fd;
				epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &event);
			} else if (recv(fd, request, b->request_bytes + 1, 0) <= 0) {
				close(fd);
			} else if (send(fd, b->answer->data, b->answer->len, MSG_NOSIGNAL) < 0) {
				abort();
			}
		}
	}
}

static void measure_bare(struct world *w, const struct buf *text)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	struct buf answer = BUF_INIT;
	struct bare b = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			 .epoll = epoll_create1(EPOLL_CLOEXEC),
			 .request_bytes = w->body.len + 256,
			 .answer = &answer};
	struct epoll_event event = {.events = EPOLLIN, .data.fd = b.listener};
	pthread_t thread;

	buf_printf(&answer,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Content-Length: %zu\r\n\r\n",
		   text->len);
	buf_put(&answer, text->data, text->len);
	if (bind(b.listener, (struct sockaddr *)&at, n) != 0 || listen(b.listener, CLIENTS) != 0 ||
	    getsockname(b.listener, (struct sockaddr *)&at, &n) != 0 ||
	    epoll_ctl(b.epoll, EPOLL_CTL_ADD, b.listener, &event) != 0 ||
	    pthread_create(&thread, NULL, run_bare, &b) != 0) {
		perror("bench_path: a bare server");
		exit(1);
	}
	measure_http(w, "none", ntohs(at.sin_port), CLIENTS,
		     "sockets alone, one read and one write");
	shutdown(b.listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(b.listener);
	close(b.epoll);
	buf_fini(&answer);
}

/* An answer as long as that of a search. */
static void measure_http_alone(struct world *w)
{
	struct buf text = BUF_INIT;

	json_put_literal(&text, "{\"result\":{\"points\":[");
	for (int i = 0; i < TOP; i++)
		buf_printf(&text, "%s{\"id\":%d,\"version\":%d,\"score\":0.98765432}", i ? "," : "",
			   100 * i, i);
	json_put_literal(&text, "]},\"status\":\"ok\",\"time\":0.00012}");
	measure_bare(w, &text);
	measure_fixed(w, &text, false, "HTTP alone, a fixed answer, the direct way");
	measure_fixed(w, &text, true, "HTTP alone, a fixed answer, libmicrohttpd");
	buf_fini(&text);
}

/* ---- all ---- */

static const struct collection *collection(struct world *w, const char *name)
{
	const struct collection *c;
	struct error err;

	must(coord_collection(w->coord, name, &c, &err), &err);
	return c;
}

static void measure(struct world *w)
{
	const struct collection *near_1 = collection(w, "near-1"),
				*near_8 = collection(w, "near-8");
	const struct collection *far_1 = collection(w, "far-1"), *far_4 = collection(w, "far-4");
	struct reading reading = {w, arena_new(1 << 16)};

	printf("A search of %u dimensions, %d hits, the search itself left out; medians of %d rounds\n\n"
	       "| part | instructions | processor us | from question to answer, us |\n|---|---|---|---|\n",
	       w->dim, TOP, ROUNDS);
	put_work("reading the JSON", read_request, &reading);
	measure_near(w, near_1, "coordinator, a query of 1 partition here");
	measure_near(w, near_8, "coordinator, a query of 8 partitions here");
	measure_http_alone(w);
	measure_http(w, "near-1", http_server_port(w->http), CLIENTS,
		     "a request over HTTP, all of the server");
	measure_http(w, "near-1", http_server_port(w->http), 1,
		     "a request over HTTP, all of the server");
	measure_far(w, far_1, 1);
	measure_far(w, far_1, CLIENTS);
	measure_far(w, far_4, 1);
	measure_far(w, far_4, CLIENTS);
	arena_free(reading.arena);
	collection_unref(near_1);
	collection_unref(near_8);
	collection_unref(far_1);
	collection_unref(far_4);
}

int main(int argc, char **argv)
{
	long dim = argc > 1 ? strtol(argv[1], NULL, 10) : 128;
	struct world w = {0};

	if (dim < 2 || dim > 4096) {
		fprintf(stderr, "bench_path: the dimension is 2 .. 4096\n");
		return 2;
	}
	start(&w, (uint32_t)dim);
	measure(&w);
	stop(&w);
	return 0;
}
