/* Opening a replica: manifest, segments (opened and verified in parallel), live bits, then the log
 * from the manifest's seq on. No index is built here (one that is damaged is removed, to be built in the background). A segment whose bytes are bad is quarantined:
 * named in the manifest, left out of every search, its files kept. Above verify_now_bytes the
 * checksums are verified in the background, so that a restart is not slow. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/begin.h"
#include "shard/host.h"
#include "shard/seed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXTRA_VERSION = 1, LOG_FILE_MAX = 64 << 20 };

/* ---- extra ---- */

void extra_encode(struct buf *out, const struct hosted *h)
{
	buf_put_u8(out, EXTRA_VERSION);
	buf_put_u64(out, h->state.digest);
	batches_encode(out, &h->machine.batches);
}

static int extra_decode(struct hosted *h, struct error *err)
{
	struct reader r = reader_make(h->kept.extra.data, h->kept.extra.len);
	uint32_t n;
	const uint8_t *bytes = reader_blob(&r, &n);
	struct reader state = reader_make(bytes, bytes ? n : 0);

	h->n_fields_built = reader_count(&r, 8);
	h->fields_built = mem_array(h->n_fields_built + 1, sizeof *h->fields_built);
	for (uint32_t i = 0; i < h->n_fields_built; i++)
		h->fields_built[i] = reader_u64(&r);
	if (reader_u8(&state) != EXTRA_VERSION)
		return error_set(err, ERR_VERSION,
				 "the manifest was written by another version of quiver");
	h->state.digest = reader_u64(&state);
	batches_decode(&state, &h->machine.batches);
	if (!reader_done(&r) || !reader_done(&state))
		return error_set(err, ERR_CORRUPT, "the manifest's extra bytes are damaged");
	buf_put(&h->base.extra, bytes, n);
	return 0;
}

/* ---- segments ---- */

struct opening {
	struct hosted *h;
	struct seg **segs;
	struct error *errors;
};

static int open_verified(struct hosted *h, const struct manifest_segment *m, struct seg **out,
			 struct error *err)
{
	struct seg *seg = NULL;
	int rc = seg_open(&h->io, m->id, h->state.schema, &seg, err);

	if (rc)
		return rc;
	if (seg->n_rows != m->n_rows)
		rc = error_set(err, ERR_CORRUPT, "segment %llu has %u rows, the manifest says %u",
			       (unsigned long long)m->id, seg->n_rows, m->n_rows);
	if (rc == 0 && !h->verify_later)
		rc = segment_verify(seg->sealed, err);
	if (rc == 0)
		rc = seg_open_indexes(seg, h->shard->options.faiss_only, err);
	if (rc) {
		seg_unref(seg);
		return rc;
	}
	*out = seg;
	return 0;
}

/* True: there was an index to be removed. */
static bool remove_indexes(struct hosted *h, uint64_t segment)
{
	bool removed = false;

	for (uint32_t space = 0; space < h->state.schema->n_spaces; space++) {
		char name[32], path[80];

		seg_index_name(space, name);
		snprintf(path, sizeof path, "seg-%llu/%s", (unsigned long long)segment, name);
		removed |= h->io.remove(h->io.ctx, path, NULL) == 0;
	}
	return removed;
}

static void open_one(void *ctx, size_t i)
{
	struct opening *o = ctx;
	struct hosted *h = o->h;
	const struct manifest_segment *m = &h->kept.segments[i];
	struct error *err = &o->errors[i], damage;

	if (m->quarantined)
		return;
	err->code = open_verified(h, m, &o->segs[i], err);
	if (err->code != ERR_CORRUPT)
		return;
	/* What can be computed again is no loss: is it good without its vector indexes? */
	damage = *err;
	if (!remove_indexes(h, m->id))
		return;
	err->code = open_verified(h, m, &o->segs[i], err);
	if (err->code == 0) {
		log_error("shard", "%s: an index is built again: %s", h->folder, damage.text);
		o->segs[i]->healed = true;
	}
}

/* How much there is to verify: the folders' sizes are only known once open, so the rows are taken
 * for it. */
static uint64_t estimated_bytes(const struct hosted *h)
{
	uint64_t row = 64, rows = 0;

	for (uint32_t i = 0; i < h->state.schema->n_spaces; i++)
		row += (uint64_t)h->state.schema->spaces[i].dim * 8 + 256;
	for (uint32_t i = 0; i < h->kept.n_segments; i++)
		rows += h->kept.segments[i].n_rows;
	return rows * row;
}

static int take_segment(struct hosted *h, uint32_t i, struct seg *seg, const struct error *cause,
			struct error *err)
{
	const struct manifest_segment *m = &h->kept.segments[i];
	struct live *live;

	if (!seg) {
		int rc = cause->code;

		if (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND && rc != ERR_VERSION) {
			*err = *cause;
			return error_wrap(err, rc, "open segment %llu", (unsigned long long)m->id);
		}
		log_error("shard", "%s: segment %llu is quarantined: %s", h->folder,
			  (unsigned long long)m->id, cause->text);
		add_lost(h, m->id, m->n_rows);
		h->base_changed = true;
		return 0;
	}
	live = live_new(seg->n_rows, true);
	if (m->deleted.words) {
		bitset_andnot(&live->bits, &m->deleted);
		live->n_live = bitset_count(&live->bits);
	}
	if (seg->healed)
		snprintf(h->last_failure, sizeof h->last_failure,
			 "A damaged vector index of segment %llu of shard %u is built again.",
			 (unsigned long long)m->id, h->partition);
	seg->unverified = h->verify_later;
	seg->recovered = true;
	snap_push(&h->base, seg, live);
	return 0;
}

static int open_segments(struct hosted *h, struct error *err)
{
	uint32_t n = h->kept.n_segments;
	struct opening o = {
		.h = h,
		.segs = mem_array(n + 1, sizeof *o.segs),
		.errors = mem_array(n + 1, sizeof *o.errors),
	};
	int rc = 0;

	h->verify_later = estimated_bytes(h) > h->shard->options.verify_now_bytes;
	pool_parallel(h->shard->options.pool, n, open_one, &o);
	for (uint32_t i = 0; i < n; i++) {
		if (h->kept.segments[i].quarantined)
			add_lost(h, h->kept.segments[i].id, h->kept.segments[i].n_rows);
		else if (rc == 0)
			rc = take_segment(h, i, o.segs[i], &o.errors[i], err);
		else
			seg_unref(o.segs[i]);
	}
	free(o.segs);
	free(o.errors);
	return rc;
}

/* ---- manifest and log ---- */

static int load_manifest(struct hosted *h, struct error *err)
{
	int rc = manifest_load(&h->io, &h->kept, err);

	if (rc == ERR_NOT_FOUND) {
		/* Fresh: an empty manifest is written at once, so that a lost one is noticed
		 * later. */
		manifest_init(&h->kept);
		h->next_segment_id = 1;
		extra_encode(&h->base.extra, h);
		h->fields_built = mem_array(1, sizeof *h->fields_built);
		return 1;
	}
	if (rc)
		return rc;
	if (h->kept.collection_id != h->collection_id || h->kept.partition != h->partition)
		return error_set(err, ERR_CORRUPT, "the folder holds shard %u of collection %llu",
				 h->kept.partition, (unsigned long long)h->kept.collection_id);
	h->next_segment_id = h->kept.next_segment_id;
	h->base.seq = h->kept.applied_seq;
	h->base.epoch = h->kept.applied_epoch;
	return extra_decode(h, err);
}

struct replay {
	struct hosted *h;
	uint64_t committed_seq; /* what comes after it is handed to the machine */
	struct write_list tail;
	struct arena *arena;
	struct error *err;
};

static int keep_one(struct replay *p, const struct wal_record *r)
{
	struct write_item *item;
	int rc = item_of_record(p->h->state.schema, r, &item, p->err);

	if (rc)
		return error_wrap(p->err, ERR_CORRUPT, "the log");
	if (p->h->copies)
		held_add(p->h, item);
	write_list_push(&p->tail, &item->w);
	return 0;
}

static int replay_one(void *ctx, const struct wal_record *r)
{
	struct replay *p = ctx;
	struct hosted *h = p->h;
	const struct clock *clock = h->shard->options.clock;
	const struct rows *rows;
	struct op op;
	uint64_t changed;
	int rc;

	if (r->seq > p->committed_seq)
		return keep_one(p, r);
	arena_reset(p->arena);
	rc = op_decode(r->bytes, r->n, p->arena, &op, p->err);
	if (rc == 0)
		rc = state_check_op(h->state.schema, &op, p->err);
	if (rc)
		return error_wrap(p->err, ERR_CORRUPT, "log record %llu",
				  (unsigned long long)r->seq);
	changed = state_apply(&h->state, r->seq, r->epoch, &op);
	h->log_bytes += r->n;
	if (op.batch_hi || op.batch_lo)
		batches_add(&h->machine.batches,
			    &(struct batch){op.batch_hi, op.batch_lo, r->seq, changed,
					    clock->wall_us(clock->ctx)});
	rows = state_mutable(&h->state)->rows;
	if (rows->n >= h->machine.limits.seal_rows || rows->bytes >= h->machine.limits.seal_bytes)
		hosted_freeze(h);
	return 0;
}

/* With nobody else who could know better everything that is durable here is committed; not so when
 * another configuration was seen, or a copy may be joining. */
static bool stands_alone(const struct hosted *h, const struct map_partition *c)
{
	return c->n_in_sync == 1 && c->n_learners == 0 && c->primary == c->in_sync[0] &&
	       c->primary == h->shard->options.self_node && h->epochs.epoch <= c->epoch;
}

static int open_log(struct hosted *h, uint64_t committed_seq, struct error *err)
{
	/* Only whole files can be dropped: none is larger than what is kept anyway, within reason. */
	uint64_t keep = h->shard->options.log_keep_bytes;
	struct wal_options options = {.segment_bytes = keep < LOG_FILE_MAX ? keep : LOG_FILE_MAX};
	int rc = wal_open(&h->io, "wal", &options, committed_seq, &h->wal, err);

	if (rc == 0 && wal_first_seq(h->wal) > h->base.seq + 1)
		rc = error_set(
			err, ERR_CORRUPT,
			"the log begins at %llu, the manifest ends at %llu: records are missing",
			(unsigned long long)wal_first_seq(h->wal), (unsigned long long)h->base.seq);
	if (rc == 0 && wal_last_seq(h->wal) == 0 && committed_seq > h->base.seq)
		rc = error_set(err, ERR_CORRUPT, "the log is empty, it must reach record %llu",
			       (unsigned long long)committed_seq);
	if (rc == 0 && wal_last_seq(h->wal) == 0 && h->base.seq > 0)
		rc = wal_reset(h->wal, h->base.seq + 1, h->base.epoch, err);
	return rc;
}

static int replay_log(struct hosted *h, const struct map_partition *config, struct error *err)
{
	struct replay p = {.h = h, .arena = arena_new(1 << 20), .err = err};
	struct replica_recovery recovery;
	struct replica_write *w;
	int rc;

	p.committed_seq = h->epochs.commit_seq > h->base.seq ? h->epochs.commit_seq : h->base.seq;
	rc = open_log(h, p.committed_seq, err);
	if (rc == 0 && stands_alone(h, config))
		p.committed_seq = UINT64_MAX;
	if (rc == 0 && wal_last_seq(h->wal) > h->base.seq)
		rc = wal_read(h->wal, h->base.seq + 1, replay_one, &p, err);
	arena_free(p.arena);
	if (rc) {
		while ((w = write_list_pop(&p.tail)))
			item_free(h, item_of(w));
		return rc;
	}
	recovery = (struct replica_recovery){
		.applied_seq = h->state.now.seq,
		.applied_epoch = h->state.now.epoch,
		.stored_epoch = h->epochs.epoch,
		.log_bytes = h->log_bytes,
		.tail = p.tail,
	};
	replica_recovered(&h->machine, &recovery);
	h->hint_seq = h->epochs.commit_seq;
	h->log_bytes = wal_bytes(h->wal);
	return 0;
}

static int store_first_manifest(struct hosted *h, struct error *err)
{
	struct manifest m;
	int rc;

	manifest_of_base(h, &m);
	rc = manifest_store(&h->io, &m, err);
	if (rc) {
		manifest_fini(&m);
		return rc;
	}
	manifest_fini(&h->kept);
	h->kept = m;
	h->base_changed = false;
	return 0;
}

/* There is no folder. */
static int check_fresh(const struct hosted *h, const struct map_partition *c, struct error *err)
{
	struct shard *s = h->shard;
	struct begin_facts facts = {.self = s->options.self_node,
				    .collection_id = h->collection_id,
				    .known_since = s->known_since,
				    .confirmed = !s->options.old_assignments,
				    .registered = s->registered};
	int known = known_has(s, h->collection_id, h->partition, err);

	if (known < 0)
		return known;
	facts.known = known > 0;
	switch (begin_from_nothing(&facts, c)) {
	case BEGIN_NOW: return 0;
	case BEGIN_LATER: break;
	case BEGIN_LOST:
		return error_set(err, ERR_CORRUPT,
				 "the folder is empty, though this node has a full copy by the map "
				 "(epoch %llu): what it held was lost",
				 (unsigned long long)c->epoch);
	}
	return error_set(
		err, ERR_UNAVAILABLE,
		"it is new by the shard map, which nobody has confirmed since the start, or does "
		"not have this start yet");
}

/* The folder is that of a replica now, and must not be found missing. */
static int remember(const struct hosted *h, bool fresh, struct error *err)
{
	struct error own = {0};

	if (known_has(h->shard, h->collection_id, h->partition, NULL) > 0 ||
	    known_add(h->shard, h->collection_id, h->partition, &own) == 0)
		return 0;
	if (!fresh) { /* as well the next time */
		log_warn("shard", "%s: %s", h->folder, own.text);
		return 0;
	}
	if (err)
		*err = own;
	return own.code;
}

static int store_first_epoch(struct hosted *h, const struct map_partition *c, struct error *err)
{
	uint64_t epoch = begin_epoch(h->shard->options.self_node, c);

	return epoch == 0 ? 0 : epochs_put(&h->epochs, epoch, 0, err);
}

static int open_files(struct hosted *h, const struct map_partition *config, struct error *err)
{
	int rc = load_manifest(h, err);
	bool fresh = rc == 1;

	if (fresh && (rc = check_fresh(h, config, err)))
		return rc;
	if (rc < 0 || (rc = open_segments(h, err)) || (rc = epochs_open(&h->epochs, &h->io, err)) ||
	    (fresh && (rc = store_first_epoch(h, config, err))))
		return rc;
	if (fresh || h->base_changed)
		rc = store_first_manifest(h, err);
	if (rc == 0)
		rc = remember(h, fresh, err);
	if (rc || (rc = manifest_sweep(&h->io, &h->kept, err)))
		return rc;
	snap_copy(&h->state.now, &h->base);
	state_open_rows(&h->state);
	return replay_log(h, config, err);
}

/* ---- life ---- */

static struct replica_limits limits_of(const struct shard_options *o)
{
	return (struct replica_limits){
		.seal_rows = o->seal_rows,
		.seal_bytes = o->seal_bytes,
		.seal_idle_us = o->seal_idle_ms * 1000,
		.seal_min_rows = o->index_min_rows,
		.seal_log_bytes = 4 * o->seal_bytes,
		.append_bytes = 16 << 20,
	};
}

int hosted_open(struct shard *s, const struct shard_assignment *a, struct hosted **out,
		struct error *err)
{
	struct hosted *h = mem_zalloc(sizeof *h);
	struct replica_limits limits = limits_of(&s->options);
	int rc;

	h->refs = 1;
	h->shard = s;
	h->collection_id = a->collection->id;
	h->partition = a->partition;
	h->epoch = a->config.epoch;
	h->config = a->config;
	h->copies = a->config.n_in_sync + a->config.n_learners > 1;
	h->disk = &s->disks[(a->collection->id + a->partition) % DISK_THREADS];
	pthread_mutex_init(&h->view_lock, NULL);
	snprintf(h->folder, sizeof h->folder, "replicas/%llu/%u",
		 (unsigned long long)h->collection_id, h->partition);
	replica_init(&h->machine, s->options.self_node, &limits);
	state_init(&h->state, a->collection);
	manifest_init(&h->kept);
	*out = h;
	h->opening = true;
	rc = staging_settle(s, h->folder, err);
	if (rc == 0)
		rc = s->options.io.mkdirs(s->options.io.ctx, h->folder, err);
	if (rc == 0)
		rc = store_io_sub(&s->options.io, h->folder, &h->io, err);
	if (rc == 0) {
		h->io_open = true;
		rc = open_files(h, &a->config, err);
	}
	h->opening = false;
	if (rc) {
		wal_close(h->wal);
		h->wal = NULL;
		epochs_close(&h->epochs);
		error_wrap(err, rc, "%s", h->folder);
		h->failed = err ? *err : (struct error){.text = "it could not be opened"};
		h->failed.code = rc;
		return rc;
	}
	hosted_look(h);
	return 0;
}

static void free_items(struct hosted *h, struct write_list *list)
{
	struct replica_write *w;

	while ((w = write_list_pop(list)))
		item_free(h, item_of(w));
}

void hosted_free(struct hosted *h)
{
	/* Empty, unless the log could not be cut and it was closed nevertheless. */
	free_items(h, &h->machine.flight);
	free_items(h, &h->machine.answering);
	free(h->stuck);
	__atomic_fetch_sub(&h->shard->rows_bytes, h->rows_bytes, __ATOMIC_RELAXED);
	wal_close(h->wal);
	epochs_close(&h->epochs);
	view_unref(h->view);
	snap_fini(&h->base);
	while (h->frozen) {
		struct frozen *next = h->frozen->next;

		snap_fini(&h->frozen->snap);
		seg_unref(h->frozen->seg);
		free(h->frozen);
		h->frozen = next;
	}
	state_fini(&h->state);
	replica_fini(&h->machine);
	manifest_fini(&h->kept);
	if (h->io_open)
		store_io_fini(&h->io);
	pthread_mutex_destroy(&h->view_lock);
	free(h->records);
	free(h->held.slots);
	free(h->fields_built);
	free(h->lost);
	free(h);
}
