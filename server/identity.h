/* Who a data folder is: the node of a cluster that it belongs to, kept in the file `node` of the folder. A folder without it is that of a
 * single-node system. Also reads the lists of addresses that the first start of a cluster is given. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "cluster/meta.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_BYTES = 256 };

struct identity {
	uint64_t cluster_id, node_id;
	char name[256];
	char address[ADDRESS_BYTES]; /* where other nodes reach it */
	bool coordinator, shard;
};

/* 0; 1: there is none; negative: it cannot be read. */
int identity_load(const struct store_io *io, struct identity *out, struct error *err);
int identity_save(const struct store_io *io, const struct identity *id, struct error *err);

/* "name@host:port,name@host:port,...": the first coordinators. Ids are given in the order of names, so that every node finds the
 * same whatever the order of its list. */
struct first_node {
	const char *name;
	struct meta_voter voter; /* id, address */
};
struct first_nodes {
	struct first_node *nodes; /* by name */
	size_t n;
	uint64_t cluster_id; /* made from names and addresses, so that each of several nodes finds the same */
};
/* The id of the cluster that the list begins. A single node makes up half of it: should it lose its disk and begin anew, that is another
 * cluster, and the nodes that joined the first one do not take it for a member. */
uint64_t first_nodes_cluster(const struct first_nodes *list);
/* Was the cluster begun with this list? */
bool first_nodes_began(const struct first_nodes *list, uint64_t cluster_id);
int first_nodes_parse(const char *list, struct arena *arena, struct first_nodes *out,
		      struct error *err);
const struct first_node *first_nodes_find(const struct first_nodes *list, const char *name);

/* "coordinator,shard" */
int roles_parse(const char *text, bool *coordinator, bool *shard, struct error *err);

/* "host:port", "[v6]:port"; the host is copied. `flag` is named in the error. */
int address_parse(const char *flag, const char *text, char *host, size_t host_size, uint16_t *port,
		  struct error *err);
bool address_is_loopback(const char *host);
