/* What the files of the HTTP server share; nobody else includes this.
 *
 * Two ways. A connection begins on the direct way (direct.c); its first request that is not an
 * ordinary one takes it to libmicrohttpd (server.c), where it stays. Both fill the same requests.
 *
 * Who touches what. A connection belongs to one thread for life, of direct.c or of libmicrohttpd, and
 * so does its request until the handler has it; then it belongs to whoever will call http_respond().
 * The two meet in `flags` of the request only:
 *
 *   HTTP thread    suspends the connection, then sets SUSPENDED
 *   http_respond   stores the answer, then sets ANSWERED
 *
 * whichever comes second sees the other's bit and resumes the connection (on the direct way: writes the
 * answer), exactly once. CONTINUED
 * does the same for a stream that held the client back. The list of connections, the requests kept
 * for reuse and the sockets that linger are under the server's lock.
 */
#pragma once
#include "http/http.h"
#include <pthread.h>
#include <stdatomic.h>

enum request_flag {
	REQUEST_ANSWERED = 1,
	REQUEST_SUSPENDED = 2,
	REQUEST_CONTINUED = 4,
	REQUEST_ABANDONED = 8, /* the server stopped without it: http_respond only frees */
};

struct http_pair {
	struct http_pair *next;
	const char *name, *value;
};

/* A block of memory that is 64-byte aligned and grows; large ones are mapped, so that growing moves
 * no bytes and what was never written costs nothing. */
struct http_body {
	uint8_t *bytes;
	size_t len, cap;
	bool mapped;
};

struct http_request {
	struct http_server *server;
	struct http_connection *connection; /* gone once the request is abandoned */
	void *mhd;                          /* struct MHD_Connection; NULL on the direct way */
	_Atomic unsigned flags;
	enum http_method method;
	const char *path;
	struct http_pair *headers, *parameters;
	struct arena *arena;
	struct http_body body;
	uint64_t length;   /* Content-Length, UINT64_MAX when not given */
	uint64_t received; /* of a streamed body */
	uint64_t started_us;
	bool streaming, ended;
	bool fed_ahead; /* the next byte was already given to feed(), see receive_stream() */
	struct http_stream stream;
	struct http_response response;
	struct http_request *next; /* in the list of those kept for reuse */
};

enum connection_phase {
	PHASE_HEADERS, /* idle, or headers are coming in */
	PHASE_BODY,
	PHASE_HANDLER, /* no limit of time */
	PHASE_ANSWER,
};

struct http_connection {
	struct http_connection *next, *prev;
	struct http_server *server;
	void *mhd; /* struct MHD_Connection */
	int fd;
	bool direct; /* the first member of a struct direct_connection */
	bool linger; /* closing it must wait until the client has read the answer, see watch.c */
	_Atomic int phase;
	_Atomic uint64_t phase_since_us;
	_Atomic uint64_t phase_bytes; /* received or to be sent in this phase */
	struct http_request
		*request; /* NULL once answered; written under the lock. On the direct way only
					 while it waits for another thread. */
	/* What the watch saw last, and whether it has looked for the end since. */
	uint64_t seen_since_us, seen_bytes;
	bool seen_end;
};

enum {
	LINGER_MAX = 64,
	KEPT_REQUESTS = 256,
	TRUSTED_BODY_BYTES = 1 << 20, /* memory for so much is taken at once when it is announced */
};

struct lingering {
	int fd;
	uint64_t until_us;
};

struct http_server {
	struct http_options options; /* the pointers to strings are not kept */
	void *daemon;                /* struct MHD_Daemon */
	int listen_fd;
	uint32_t max_connections;
	uint16_t port;
	bool tls;
	char *tls_cert, *tls_key; /* contents of the files */
	uint64_t idle_us;

	atomic_bool accepting;     /* the watch takes new connections */
	atomic_bool stopping;      /* new requests get 503 */
	atomic_bool leaving;       /* and those that are not answered do not wait any more */
	_Atomic unsigned resuming; /* threads that are resuming a connection */
	_Atomic uint64_t requests, in_flight, n_connections, bytes_in, bytes_out;

	pthread_mutex_t lock;
	struct http_connection *connections;
	struct http_request *kept;
	size_t n_kept, kept_body_bytes;
	struct lingering lingering[LINGER_MAX]; /* for the watch to take */
	size_t n_lingering;

	struct http_direct *direct; /* NULL: all connections are libmicrohttpd's */
	pthread_t watch_thread;
	bool watching;
	bool accept_failed;          /* these two: the watch's own */
	uint64_t accept_complain_us; /* not before this */
	int wake_fd;
};

/* ---- server.c ---- */
/* Takes one waiting connection. 1: go on; 0: there is none; negative: it has to wait, and why. */
int http_accept(struct http_server *s, struct error *err);
/* libmicrohttpd gets the socket, of a connection that is counted already, with what is to be read from
 * it. */
void http_library_take(struct http_server *s, int fd);
void http_connection_link(struct http_connection *c); /* into the server's list */
void http_connection_unlink(struct http_connection *c);
const char *http_reason(int status);
/* The server is leaving: gives requests that wait to whoever will answer them; whether there are still
 * some whose answer is on its way. */
bool http_abandon_all(struct http_server *s);
/* A whole answer that refuses, with its head, after which the connection ends. */
struct buf http_refusal(int status, const char *text);

/* ---- direct.c ---- */
int http_direct_start(struct http_server *s, uint32_t threads, struct error *err);
void http_direct_add(struct http_server *s, int fd); /* a connection that is counted already */
void http_direct_answer(struct http_connection *c);
void http_direct_abandon(struct http_connection *c);
void http_direct_stats(const struct http_server *s, struct http_server_stats *sum); /* adds */
void http_direct_stop(struct http_server *s); /* once nothing waits any more; twice is fine */

/* ---- listen.c ---- */
/* A listening socket; *port is the one it got. */
int http_listen(const char *host, uint16_t port, int *fd, uint16_t *port_out, struct error *err);
/* Contents of a file, NUL-terminated, to be freed; for the PEM files. */
int http_read_file(const char *path, char **out, struct error *err);

/* ---- request.c ---- */
struct http_request *http_request_unused(
	struct http_server *s); /* one of those kept, or a new one */
void http_request_begin(struct http_request *r, struct http_connection *c);
/* The connection's request, for those who look at all connections. */
void http_request_publish(struct http_connection *c, struct http_request *r);
void http_request_clear(struct http_request *r);
void http_request_keep(struct http_server *s,
		       struct http_request *r); /* a cleared one, or frees it */
/* The first three in one; and back. */
struct http_request *http_request_get(struct http_connection *c);
void http_request_put(struct http_request *r); /* takes it off its connection, keeps it for reuse */
void http_request_free(struct http_request *r);
void http_request_set_line(struct http_request *r, const char *method, const char *url);
/* Name and value are kept as they are: they lie in the request's arena. */
void http_request_add_header(struct http_request *r, const char *name, const char *value);
void http_request_add_parameter(struct http_request *r, const char *name, const char *value);
/* Appends to the body; ERR_TOO_LARGE over the limit, ERR_NOMEM. */
int http_body_append(struct http_request *r, const void *bytes, size_t n);
/* Room for a body whose length was announced; as much of it as one may take on a client's word. */
int http_body_expect(struct http_request *r);

/* ---- watch.c ---- */
int http_watch_start(struct http_server *s, struct error *err);
void http_watch_wake(struct http_server *s); /* it looks at everything anew */
void http_watch_stop(struct http_server *s); /* once `leaving` is set; twice is fine */
void http_phase(struct http_connection *c, enum connection_phase phase, uint64_t bytes);
void http_phase_at(struct http_connection *c, enum connection_phase phase, uint64_t bytes,
		   uint64_t now_us);
/* Takes a duplicate of the socket: reads away what the client still sends, for a short time. */
void http_linger(struct http_server *s, int fd);
