/* Results as JSON text. */
#pragma once
#include "coordinator/coordinator.h"
#include "http/json.h"

enum render_flag {
	RENDER_SCORE = 1,       /* a ScoredPoint: version and score */
	RENDER_ORDER_VALUE = 2, /* ordered by a payload value */
};
void render_hits(struct buf *b, const struct collection *c, const struct hits *hits,
		 unsigned flags);
void render_hit(struct buf *b, const struct collection *c, const struct hit *hit, unsigned flags);
/* The extension `receipt`: one object for one query, a list for several. */
void render_receipt(struct buf *b, const struct query_result *results, uint32_t n, bool list);
/* CollectionInfo. */
void render_collection_info(struct buf *b, const struct collection *c,
			    const struct rpc_info_response *total);
