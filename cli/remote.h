/* Collections on the server, as the commands see them. */
#pragma once
#include "base/error.h"
#include "cli/client.h"
#include <stdbool.h>
#include <stdint.h>

struct remote_collection {
	bool exists;
	uint32_t dim; /* of the vector asked for; 0: there is no dense vector of that name */
	char distance[16], status[16];
	uint64_t points, indexed, segments;
	char embedder[300]; /* metadata.embedder, "" when there is none */
};

/* vector_name "" or NULL is the unnamed one. A collection that does not exist is no error. */
int remote_get(struct client *c, const char *collection, const char *vector_name,
	       struct remote_collection *out, struct error *err);

struct remote_spec {
	const char *name, *vector_name, *distance;
	uint64_t dim;
	const char *index, *quantizer;                             /* NULL: the server's default */
	uint64_t m, ef_construct, nlist, nprobe, shards, replicas; /* 0: the server's default */
	const char *embedder; /* kept as metadata; NULL: none */
	bool on_disk;         /* vectors leave the memory where there are codes of them */
};
int remote_create(struct client *c, const struct remote_spec *spec, struct error *err);
int remote_delete(struct client *c, const char *collection, bool *existed, struct error *err);
/* Is it the JSON of an object? ERR_FORMAT, ERR_INPUT, with the place in `filter`. */
int remote_check_filter(const char *filter, size_t n, struct error *err);
/* filter: JSON text, or NULL for all. */
int remote_count(struct client *c, const char *collection, const char *filter, uint64_t *out,
		 struct error *err);
/* Waits until no index is being built ("green"), at most `seconds`; ERR_TIMEOUT after that. */
int remote_wait_green(struct client *c, const char *collection, double seconds,
		      const atomic_bool *stop, struct error *err);
/* Cosine, Dot, Euclid or Manhattan in any letter case, also l2, ip, angular; NULL when it is none. */
const char *remote_distance(const char *name);
