/* Inside of searching: what search.c (plans, merging, answers), dense.c and sparse.c (one segment
 * each) share. */
#pragma once
#include "shard/host.h"
#include "shard/match.h"

/* A thread's own memory for searching, kept from one search to the next. */
struct scratch {
	struct topk_item *items; /* results of one segment */
	size_t items_cap;
	struct topk_item *top; /* of one leaf */
	size_t top_cap;
	float *sums;      /* sparse: per row */
	uint32_t *stamps; /* sums[row] is of this search when stamps[row] == stamp */
	uint32_t *touched;
	uint32_t rows_cap;
	uint32_t stamp;
};
struct scratch *scratch_get(void);
struct topk_item *scratch_items(struct scratch *s, size_t n);
void scratch_rows(struct scratch *s, uint32_t n);

/* A piece of work: one leaf over (a range of) one segment. Several threads may work on one leaf, on
 * different units. */
struct unit {
	const struct shard *shard;
	const struct leaf *leaf;
	const struct view *view;
	uint32_t entry;
	uint32_t from,
		to; /* ordinals of an exact scan of a sealed segment; to = UINT32_MAX: all of it */
	uint64_t deadline_us;         /* of the call; 0 = none */
	uint64_t cut_us;              /* deadline or budget, whichever is first; 0 = none */
	struct topk *top;             /* out: tag = entry << 32 | row */
	struct leaf_receipt *receipt; /* candidates, cut, ef are added to; plan strengthened */
	int rc;
	struct error err;
};
static inline const struct view_entry *unit_entry(const struct unit *u)
{
	return &u->view->entries[u->entry];
}
void search_dense(struct unit *u);
void search_sparse(struct unit *u);
/* Of rows of a view with equal scores: as the API orders them, by id. For topk_order. */
struct tie_order {
	const struct view *view;
	bool larger; /* larger scores are better: then so are larger ids */
	/* of a part of one segment: its entry, and what turns its tags into rows */
	uint32_t entry, first;
	const uint32_t *row_of;
};
bool tie_before(const void *ctx, uint64_t a, uint64_t b);      /* tags: entry << 32 | row */
bool tie_before_part(const void *ctx, uint64_t a, uint64_t b); /* tags: row_of[tag + first] */
struct tie_order unit_ties(const struct unit *u, uint32_t first, const uint32_t *row_of);
/* Is the time over? Sets rc (deadline) or receipt->cut (budget). */
bool unit_late(struct unit *u);
void receipt_plan(struct leaf_receipt *r, enum search_plan plan);
/* Will this segment be scanned row by row? (Then it may be split.) */
bool dense_is_exact(const struct unit *u);

/* Fills id, version and what was selected, into the arena. */
void pick(const struct view *v, struct place at, const struct select_payload *payload,
	  const struct select_vectors *vectors, struct arena *arena, struct hit *out);
