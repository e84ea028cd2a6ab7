/* The listening socket: made here and not by libmicrohttpd, for host names, for IPv6, and for an error
 * that says what to do. */
#include "http/server_internal.h"
#include "base/memory.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, PEM_MAX_BYTES = 1 << 20 };

static int bind_address(const struct addrinfo *a, int *out)
{
	const int yes = 1, no = 0;
	int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	int saved;

	if (fd < 0)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
		*out = fd;
		return 0;
	}
	saved = errno;
	close(fd);
	return saved;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t n = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int http_listen(const char *host, uint16_t port, int *fd, uint16_t *port_out, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found;
	char bare[256], service[8];
	size_t n = strlen(host);
	int rc, failed = 0;

	/* [::1] is how an IPv6 address stands beside a port. */
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (n >= sizeof(bare))
		return error_set(err, ERR_INPUT, "the host name to listen on is too long");
	memcpy(bare, host, n);
	bare[n] = 0;
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(n > 0 ? bare : NULL, service, &hints, &found);
	if (rc)
		return error_set(err, ERR_INPUT, "listen on '%s': %s", bare, gai_strerror(rc));
	*fd = -1;
	for (const struct addrinfo *a = found; a && *fd < 0; a = a->ai_next)
		failed = bind_address(a, fd);
	freeaddrinfo(found);
	if (*fd < 0)
		return error_errno(err, failed, "listen on %s port %u%s", bare, port,
				   failed == EADDRINUSE ? " (is another server running there? "
							  "choose another port)"
							: "");
	*port_out = bound_port(*fd);
	return 0;
}

int http_read_file(const char *path, char **out, struct error *err)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return error_errno(err, errno, "open %s", path);
	text = mem_alloc(PEM_MAX_BYTES);
	n = fread(text, 1, PEM_MAX_BYTES - 1, f);
	if (ferror(f) || n == 0) {
		fclose(f);
		free(text);
		return error_set(err, ERR_IO, "read %s: it is empty or cannot be read", path);
	}
	fclose(f);
	text[n] = 0;
	*out = text;
	return 0;
}
