/* Messages between the copies of a partition. Records, manifests and pieces of files are borrowed
 * from the message. */
#include "rpc/codec_copy.h"
#include "base/limits.h"
#include "model/wire.h"

enum { RECORD_BYTES = 20, FILE_BYTES = 28 };

/* ---- append ---- */

void put_append_request(struct buf *b, const struct rpc_append_request *q)
{
	size_t bytes = 128;

	for (uint32_t i = 0; i < q->n_records; i++)
		bytes += RECORD_BYTES + q->records[i].n;
	buf_reserve(b, bytes);
	put_target(b, &q->target);
	buf_put_u64(b, q->from);
	buf_put_u64(b, q->prev_seq);
	buf_put_u64(b, q->prev_epoch);
	buf_put_u64(b, q->commit_seq);
	buf_put_u64(b, q->digest_seq);
	buf_put_u64(b, q->digest);
	buf_put_u64(b, q->heard_us);
	buf_put_u64(b, q->lease_us);
	wire_put_bool(b, q->in_sync);
	wire_put_bool(b, q->seed);
	buf_put_u32(b, q->n_records);
	for (uint32_t i = 0; i < q->n_records; i++) {
		buf_put_u64(b, q->records[i].seq);
		buf_put_u64(b, q->records[i].epoch);
		buf_put_blob(b, q->records[i].bytes, q->records[i].n);
	}
}

/* Contiguous, and of epochs that do not fall nor pass the primary's. */
static void check_record(struct reader *r, const struct rpc_append_request *q, uint32_t i)
{
	uint64_t before = i ? q->records[i - 1].epoch : q->prev_epoch;

	if (q->records[i].seq != q->prev_seq + 1 + i || q->records[i].epoch < before ||
	    q->records[i].epoch > q->target.epoch)
		reader_fail(r);
}

int take_append_request(struct reader *r, struct arena *arena, struct rpc_append_request *q,
			struct error *err)
{
	struct append_record *records;

	(void)err;
	q->target = take_target(r);
	q->from = reader_u64(r);
	q->prev_seq = reader_u64(r);
	q->prev_epoch = reader_u64(r);
	q->commit_seq = reader_u64(r);
	q->digest_seq = reader_u64(r);
	q->digest = reader_u64(r);
	q->heard_us = reader_u64(r);
	q->lease_us = reader_u64(r);
	q->in_sync = wire_bool(r);
	q->seed = wire_bool(r);
	q->n_records = reader_count(r, RECORD_BYTES);
	records = arena_zalloc(arena, q->n_records * sizeof *records);
	q->records = records;
	for (uint32_t i = 0; i < q->n_records && reader_ok(r); i++) {
		records[i].seq = reader_u64(r);
		records[i].epoch = reader_u64(r);
		records[i].bytes = reader_blob(r, &records[i].n);
		if (reader_ok(r))
			check_record(r, q, i);
	}
	return 0;
}

void put_append_response(struct buf *b, const struct rpc_append_request *q,
			 const struct rpc_append_response *a)
{
	(void)q;
	buf_put_u8(b, (uint8_t)a->status);
	buf_put_u64(b, a->epoch);
	buf_put_u64(b, a->durable_seq);
	buf_put_u64(b, a->applied_seq);
	buf_put_u64(b, a->hint_seq);
	buf_put_u64(b, a->sent_us);
}

int take_append_response(struct reader *r, const struct rpc_append_request *q, struct arena *arena,
			 struct rpc_append_response *a, struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->status = (enum append_status)wire_enum(r, APPEND_FULL + 1);
	a->epoch = reader_u64(r);
	a->durable_seq = reader_u64(r);
	a->applied_seq = reader_u64(r);
	a->hint_seq = reader_u64(r);
	a->sent_us = reader_u64(r);
	return 0;
}

/* ---- seed_open ---- */

void put_seed_open_request(struct buf *b, const struct rpc_seed_open_request *q)
{
	put_target(b, &q->target);
	buf_put_u64(b, q->from);
}

int take_seed_open_request(struct reader *r, struct arena *arena, struct rpc_seed_open_request *q,
			   struct error *err)
{
	(void)arena;
	(void)err;
	q->target = take_target(r);
	q->from = reader_u64(r);
	return 0;
}

void put_seed_open_response(struct buf *b, const struct rpc_seed_open_request *q,
			    const struct rpc_seed_open_response *a)
{
	(void)q;
	buf_put_u64(b, a->pin);
	buf_put_blob(b, a->manifest, a->n_manifest);
	buf_put_u32(b, a->n_files);
	for (uint32_t i = 0; i < a->n_files; i++) {
		buf_put_u64(b, a->files[i].segment);
		buf_put_str(b, a->files[i].name);
		buf_put_u64(b, a->files[i].size);
		buf_put_u64(b, a->files[i].hash);
	}
}

/* A plain name: what is written under it stays in the segment's folder. */
static const char *take_file_name(struct reader *r, struct arena *arena)
{
	uint32_t n = 0;
	const char *name = wire_text(r, arena, LIMIT_NAME_BYTES, &n);

	if (!reader_ok(r))
		return "";
	if (n == 0 || name[0] == '.')
		reader_fail(r);
	for (uint32_t i = 0; i < n; i++)
		if (name[i] == '/' || name[i] == '\0')
			reader_fail(r);
	return name;
}

int take_seed_open_response(struct reader *r, const struct rpc_seed_open_request *q,
			    struct arena *arena, struct rpc_seed_open_response *a,
			    struct error *err)
{
	struct seed_file *files;

	(void)q;
	a->pin = reader_u64(r);
	a->manifest = reader_blob(r, &a->n_manifest);
	a->n_files = reader_count(r, FILE_BYTES);
	if (a->n_files > SEED_FILES_MAX)
		return error_set(err, ERR_FORMAT, "%u files are above the limit", a->n_files);
	files = arena_zalloc(arena, a->n_files * sizeof *files);
	a->files = files;
	for (uint32_t i = 0; i < a->n_files && reader_ok(r); i++) {
		files[i].segment = reader_u64(r);
		files[i].name = take_file_name(r, arena);
		files[i].size = reader_u64(r);
		files[i].hash = reader_u64(r);
	}
	return 0;
}

/* ---- seed_read ---- */

void put_seed_read_request(struct buf *b, const struct rpc_seed_read_request *q)
{
	put_target(b, &q->target);
	buf_put_u64(b, q->pin);
	buf_put_u64(b, q->segment);
	buf_put_str(b, q->name);
	buf_put_u64(b, q->offset);
	buf_put_u32(b, q->n);
}

int take_seed_read_request(struct reader *r, struct arena *arena, struct rpc_seed_read_request *q,
			   struct error *err)
{
	q->target = take_target(r);
	q->pin = reader_u64(r);
	q->segment = reader_u64(r);
	q->name = take_file_name(r, arena);
	q->offset = reader_u64(r);
	q->n = reader_u32(r);
	if (q->n > SEED_READ_MAX)
		return error_set(err, ERR_FORMAT, "%u bytes are above the limit", q->n);
	return 0;
}

void put_seed_read_response(struct buf *b, const struct rpc_seed_read_request *q,
			    const struct rpc_seed_read_response *a)
{
	(void)q;
	buf_put_blob(b, a->bytes, a->n);
	buf_put_u64(b, a->hash);
}

int take_seed_read_response(struct reader *r, const struct rpc_seed_read_request *q,
			    struct arena *arena, struct rpc_seed_read_response *a,
			    struct error *err)
{
	(void)arena;
	(void)err;
	a->bytes = reader_blob(r, &a->n);
	a->hash = reader_u64(r);
	if (a->n > q->n)
		reader_fail(r);
	return 0;
}

/* ---- seed_close ---- */

void put_seed_close_request(struct buf *b, const struct rpc_seed_close_request *q)
{
	put_target(b, &q->target);
	buf_put_u64(b, q->pin);
}

int take_seed_close_request(struct reader *r, struct arena *arena, struct rpc_seed_close_request *q,
			    struct error *err)
{
	(void)arena;
	(void)err;
	q->target = take_target(r);
	q->pin = reader_u64(r);
	return 0;
}

void put_seed_close_response(struct buf *b, const struct rpc_seed_close_request *q,
			     const struct rpc_seed_close_response *a)
{
	(void)q;
	wire_put_bool(b, a->was_open);
}

int take_seed_close_response(struct reader *r, const struct rpc_seed_close_request *q,
			     struct arena *arena, struct rpc_seed_close_response *a,
			     struct error *err)
{
	(void)q;
	(void)arena;
	(void)err;
	a->was_open = wire_bool(r);
	return 0;
}
