/* hnswlib behind C functions, for bench_index. Built only where its headers are installed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rival_hnswlib;

struct rival_shape {
	uint32_t dim, n, m, ef_construct, threads;
	bool inner_product; /* else squared Euclidean distance */
};

/* NULL with a text on standard error when it fails. */
struct rival_hnswlib *rival_hnswlib_build(const struct rival_shape *shape, const float *rows);
struct rival_hnswlib *rival_hnswlib_load(const struct rival_shape *shape, const char *path);
void rival_hnswlib_save(const struct rival_hnswlib *r, const char *path);
void rival_hnswlib_free(struct rival_hnswlib *r);
void rival_hnswlib_search(struct rival_hnswlib *r, const float *query, uint32_t k, uint32_t ef,
			  uint32_t *rows_out);

#ifdef __cplusplus
}
#endif
