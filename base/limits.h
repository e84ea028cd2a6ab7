/* Every limit of quiver in one place. Checked at the edge (api/, rpc/, cli/), asserted inside. */
#pragma once

enum {
	LIMIT_BODY_BYTES = 64 << 20, /* one HTTP body */
	LIMIT_JSON_DEPTH = 64,       /* nesting of any JSON text */
	LIMIT_FILTER_NODES = 1000,   /* conditions in one filter, nested ones included */
	LIMIT_FILTER_DEPTH = 32,     /* nesting of filters */
	LIMIT_QUERY_DEPTH = 8,       /* nesting of prefetches */
	LIMIT_QUERY_PREFETCHES = 64, /* prefetches in one query */
	LIMIT_DIMENSION = 65536,     /* of a dense vector */
	LIMIT_SPARSE_VALUES = 65536, /* non-zero values of one sparse vector */
	LIMIT_VECTOR_SPACES = 64,    /* named vectors of one collection */
	LIMIT_BATCH_POINTS = 10000,  /* points in one upsert */
	LIMIT_BATCH_SEARCHES = 1000, /* searches in one batch request */
	LIMIT_EF = 10000,            /* hnsw_ef */
	LIMIT_TOP = 10000,           /* groups, and points of one group */
	LIMIT_COLLECTIONS = 1000,
	LIMIT_API_KEYS = 1000,   /* kept in the shard map */
	LIMIT_PARTITIONS = 256,  /* of one collection */
	LIMIT_REPLICAS = 8,      /* replication_factor */
	LIMIT_NAME_BYTES = 255,  /* collection, alias, node, vector name */
	LIMIT_PATH_BYTES = 1024, /* payload key path */
	LIMIT_PATH_STEPS = 32,
	LIMIT_PATHS = 1000,       /* in one selection or removal of payload keys */
	LIMIT_PREFIX_CHARS = 100, /* prefix tokenizer: longest prefix that is made */
	LIMIT_STOP_WORDS = 10000, /* of one text index or model, beside those of languages */
	LIMIT_STOP_WORD_BYTES = 255,
	LIMIT_PAYLOAD_BYTES = 16 << 20, /* payload of one point, encoded */
	LIMIT_PAYLOAD_INDEXES = 256,    /* of one collection */
	LIMIT_RPC_BYTES = 80 << 20,     /* one RPC message */
	LIMIT_OP_BYTES = 76 << 20,      /* one record of a partition's log, encoded */
	SLOT_COUNT = 16384,             /* hash slots that partitions own */
};
