/* The points a shard should hold, kept the simple way, and random operations done to both. */
#pragma once
#include "base/prng.h"
#include "tests/unit/shard/fixture.h"

enum { MODEL_IDS = 600, MODEL_DIM = 8, MODEL_SPARSE = 4 };

struct model_point {
	bool exists;
	uint64_t version;
	bool has_dense[2];
	float dense[2][MODEL_DIM];
	uint32_t n_sparse;
	uint32_t indices[MODEL_SPARSE];
	float weights[MODEL_SPARSE];
	bool has_n;
	int64_t n;
	const char *tag; /* NULL: none */
};
struct model {
	struct model_point points[MODEL_IDS];
	struct prng random;
	uint64_t seq;
	enum distance distance[2];
	bool dry; /* steps change the model only */
};

/* A schema with two dense spaces ("" and "b") and a sparse one; keyword field "tag" is indexed. */
void model_schema(struct fixture *f, struct model *m, enum index_kind kind);
/* One random write to both. */
void model_step(struct model *m, struct fixture *f);
/* Counts, searches, pages, single points: everything must agree. */
void model_check(struct model *m, struct fixture *f);
uint64_t model_count(const struct model *m);
/* Share of the exact top 10 that plain searches (through the indexes) find. */
double model_recall(struct model *m, struct fixture *f, uint32_t n_queries);
