/* A shard with the real store and index in a temporary folder, and calls to it that wait for their
 * answer. */
#pragma once
#include "tests/unit/unit.h"
#include "rpc/rpc.h"
#include "shard/shard.h"
#include "store/io_fault.h"

struct fixture {
	char root[64];
	struct store_io disk, io; /* io: disk, with faults on demand */
	struct fault_plan faults;
	struct pool *pool;
	struct rpc *rpc;
	struct shard *shard;
	struct shard_options options; /* io, pool, clock are filled in */
	const struct clock *clock;    /* NULL: the real one */
	uint64_t epoch;               /* of what is assigned; 0: 1 */
	struct collection *schema;
	struct arena *arena; /* of the requests; reset as you like */
	struct error err;    /* of the last call */
};

/* A folder and a schema without spaces: add them, then start. */
void fixture_init(struct fixture *f);
void fixture_fini(struct fixture *f); /* stops, removes the folder */
void fixture_add_space(struct fixture *f, const char *name, uint32_t dim, enum distance distance,
		       enum index_kind kind);
void fixture_add_sparse(struct fixture *f, const char *name);
void fixture_add_field(struct fixture *f, const char *path,
		       enum field_type type); /* publishes a new revision */
void fixture_start(struct fixture *f);        /* every partition of the schema; must succeed */
int fixture_try_start(struct fixture *f);
void fixture_stop(struct fixture *f);
int fixture_assign(struct fixture *f);
struct shard_assignment fixture_assignment(const struct fixture *f, uint32_t partition);

int fixture_call(struct fixture *f, enum rpc_type type, const void *request, void *response);
/* The same with further fields of the call (its deadline) set. */
int fixture_send(struct fixture *f, enum rpc_type type, const void *request, void *response,
		 struct rpc_call *call);
struct rpc_target fixture_target(const struct fixture *f, uint32_t partition);
/* To partition 0, must succeed; returns the points concerned. */
uint64_t fixture_write(struct fixture *f, const struct write *w);
/* Points first..first+n-1 with the vector {id, 1, 2, 3} and payload {"n": value, "tag": "a"}. */
void fixture_upsert(struct fixture *f, uint64_t first, uint32_t n, int64_t value);
int fixture_try_write(struct fixture *f, const struct write *w, struct rpc_write_response *out);
uint64_t fixture_count(struct fixture *f, const struct filter *filter);
struct rpc_info_response fixture_info(struct fixture *f);
/* A counter of shard_metrics(), by its name after "quiver_shard_". */
uint64_t test_counter(struct shard *shard, const char *name);
uint64_t fixture_counter(struct fixture *f, const char *name);
void fixture_wait_for(struct fixture *f, const char *name,
		      uint64_t value); /* fails after a minute */
/* Waits until nothing is left to be sealed, merged or indexed. */
void fixture_settle(struct fixture *f);

/* Flips the middle byte of a file of the n-th segment folder of partition 0 (-1: of none; a running node has them
 * mapped); returns how many segments there are. */
int fixture_damage(struct fixture *f, int n, const char *file);

/* Building requests in f->arena. */
struct point_id test_id(uint64_t n); /* every third one a UUID */
struct pv_slice test_payload(struct arena *a, int64_t n,
			     const char *tag); /* {"n": n, "tag": tag}; tag NULL: none */
struct filter *test_range(struct arena *a, double gte, double lt); /* n in [gte, lt) */
struct filter *test_tag(struct arena *a, const char *tag);
/* The next revision of a schema, with one more payload index. The caller's reference. */
struct collection *test_with_field(const struct collection *from, const char *path,
				   enum field_type type);
void test_point(struct arena *a, struct point *out, uint64_t id, const float *dense, uint32_t dim,
		struct pv_slice payload);
