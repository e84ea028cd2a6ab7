/* See codec_control.h. */
#include "rpc/codec_control.h"
#include "base/limits.h"
#include "model/wire.h"

enum { REPORT_BYTES = 53, ADDRESS_BYTES = 255 };

/* ---- meta ---- */

void put_meta_request(struct buf *b, const struct rpc_meta_request *q)
{
	buf_put_u64(b, q->from);
	buf_put_blob(b, q->bytes, q->n);
}

int take_meta_request(struct reader *r, struct arena *arena, struct rpc_meta_request *q,
		      struct error *err)
{
	(void)arena;
	(void)err;
	q->from = reader_u64(r);
	q->bytes = reader_blob(r, &q->n);
	return 0;
}

void put_meta_response(struct buf *b, const struct rpc_meta_request *q,
		       const struct rpc_meta_response *a)
{
	(void)q;
	wire_put_bool(b, a->taken);
}

int take_meta_response(struct reader *r, const struct rpc_meta_request *q, struct arena *arena,
		       struct rpc_meta_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->taken = wire_bool(r);
	return 0;
}

/* ---- heartbeat ---- */

void put_heartbeat_request(struct buf *b, const struct rpc_heartbeat_request *q)
{
	buf_put_u64(b, q->node);
	buf_put_u64(b, q->incarnation);
	buf_put_str(b, q->rpc_address);
	buf_put_u32(b, q->n_reports);
	for (uint32_t i = 0; i < q->n_reports; i++) {
		const struct replica_report *p = &q->reports[i];
		buf_put_u64(b, p->collection_id);
		buf_put_u32(b, p->partition);
		buf_put_u64(b, p->epoch);
		buf_put_u64(b, p->last_epoch);
		buf_put_u64(b, p->last_seq);
		buf_put_u64(b, p->commit_seq);
		buf_put_u64(b, p->digest);
		wire_put_bool(b, p->failed);
	}
}

int take_heartbeat_request(struct reader *r, struct arena *arena, struct rpc_heartbeat_request *q,
			   struct error *err)
{
	(void)err;
	q->node = reader_u64(r);
	q->incarnation = reader_u64(r);
	q->rpc_address = wire_text(r, arena, ADDRESS_BYTES, NULL);
	q->n_reports = reader_count(r, REPORT_BYTES);
	struct replica_report *reports = arena_zalloc(arena, q->n_reports * sizeof(*reports));
	q->reports = reports;
	for (uint32_t i = 0; i < q->n_reports && reader_ok(r); i++) {
		struct replica_report *p = &reports[i];
		p->collection_id = reader_u64(r);
		p->partition = reader_u32(r);
		p->epoch = reader_u64(r);
		p->last_epoch = reader_u64(r);
		p->last_seq = reader_u64(r);
		p->commit_seq = reader_u64(r);
		p->digest = reader_u64(r);
		p->failed = wire_bool(r);
	}
	return 0;
}

void put_heartbeat_response(struct buf *b, const struct rpc_heartbeat_request *q,
			    const struct rpc_heartbeat_response *a)
{
	(void)q;
	wire_put_bool(b, a->superseded);
	wire_put_bool(b, a->removed);
	buf_put_u64(b, a->leader);
}

int take_heartbeat_response(struct reader *r, const struct rpc_heartbeat_request *q,
			    struct arena *arena, struct rpc_heartbeat_response *a,
			    struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->superseded = wire_bool(r);
	a->removed = wire_bool(r);
	a->leader = reader_u64(r);
	return 0;
}

/* ---- probe ---- */

void put_probe_request(struct buf *b, const struct rpc_probe_request *q)
{
	buf_put_u64(b, q->node);
	buf_put_u64(b, q->about);
}

int take_probe_request(struct reader *r, struct arena *arena, struct rpc_probe_request *q,
		       struct error *err)
{
	(void)arena;
	(void)err;
	q->node = reader_u64(r);
	q->about = reader_u64(r);
	return 0;
}

void put_probe_response(struct buf *b, const struct rpc_probe_request *q,
			const struct rpc_probe_response *a)
{
	(void)q;
	wire_put_bool(b, a->reachable);
	buf_put_u64(b, a->node);
	buf_put_u64(b, a->start_id);
	wire_put_bool(b, a->fresh);
	wire_put_bool(b, a->unsure);
	wire_put_bool(b, a->member);
	buf_put_u64(b, a->incarnation);
}

int take_probe_response(struct reader *r, const struct rpc_probe_request *q, struct arena *arena,
			struct rpc_probe_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->reachable = wire_bool(r);
	a->node = reader_u64(r);
	a->start_id = reader_u64(r);
	a->fresh = wire_bool(r);
	a->unsure = wire_bool(r);
	a->member = wire_bool(r);
	a->incarnation = reader_u64(r);
	return 0;
}

/* ---- join ---- */

void put_join_request(struct buf *b, const struct rpc_join_request *q)
{
	buf_put_str(b, q->name);
	buf_put_str(b, q->rpc_address);
	buf_put_str(b, q->http_address);
	wire_put_bool(b, q->coordinator);
	wire_put_bool(b, q->shard);
}

int take_join_request(struct reader *r, struct arena *arena, struct rpc_join_request *q,
		      struct error *err)
{
	(void)err;
	q->name = wire_text(r, arena, LIMIT_NAME_BYTES, NULL);
	q->rpc_address = wire_text(r, arena, ADDRESS_BYTES, NULL);
	q->http_address = wire_text(r, arena, ADDRESS_BYTES, NULL);
	q->coordinator = wire_bool(r);
	q->shard = wire_bool(r);
	return 0;
}

void put_join_response(struct buf *b, const struct rpc_join_request *q,
		       const struct rpc_join_response *a)
{
	(void)q;
	buf_put_u64(b, a->cluster_id);
	buf_put_u64(b, a->node);
}

int take_join_response(struct reader *r, const struct rpc_join_request *q, struct arena *arena,
		       struct rpc_join_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->cluster_id = reader_u64(r);
	a->node = reader_u64(r);
	return 0;
}
