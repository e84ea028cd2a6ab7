/* Sealing, manifests, and why a restart finds the same points again.
 *
 * A manifest says: these sealed segments, with these rows dead, are the state at exactly
 * applied_seq = S; replaying the log from S + 1 gives the present. `base` is that state in memory.
 *
 * Freeze at F: the mutable segment gets no more rows, and a snapshot of all segments with their
 * live bits as of F is taken (references only; live bits are copy-on-write). The keeper thread
 * writes the rows that were live at F into a sealed segment. The loop thread then puts it in the
 * place of the frozen rows wherever they stand: in the present, in later snapshots, in this one;
 * and this snapshot becomes base. Frozen segments are sealed in order, so base moves from F to F.
 *
 * Compaction between freezes must not change what the manifest says about S. It therefore copies
 * the rows that are live in *base*, not those that are live now: were a row left out because it
 * died after S, say by a payload update that rewrote it at T > S, a replay of T after a crash would
 * find no row to update and the point would be lost. Rows that died after S are carried along as
 * dead rows: install_seg() sets the live bits of the new segment from those of its sources, for each
 * snapshot on its own. Since live bits are only ever unset, base may move on while the compaction
 * runs: what is live in a later base was live when it began.
 *
 * Files of segments that base no longer names are removed after the manifest that does not name
 * them is durable. A crash in between leaves folders that no manifest names: they are swept when
 * the replica is opened. */
#include "shard/host.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
enum { RETRY_US = 1000000 };

void note_failure(struct hosted *h, const char *what, const struct error *err)
{
	snprintf(h->last_failure, sizeof h->last_failure,
		 "%s of shard %u failed and is tried again: %.160s", what, h->partition, err->text);
	h->last_failure_code = err->code;
	h->retry_us = now_us(h->shard) + RETRY_US;
	hosted_publish(h);
	hosted_unpark(h);
}

/* ---- rewriting and installing ---- */

static int add_rows(struct hosted *h, const struct snap *sources, struct segment_writer *w,
		    const struct collection *schema, struct error *err)
{
	const float **dense = mem_array(schema->n_spaces + 1, sizeof *dense);
	struct vector *sparse = mem_array(schema->n_sparse + 1, sizeof *sparse);
	float *scratch = seg_scratch(schema);
	int rc = 0;

	for (uint32_t i = 0; i < sources->n && !rc; i++) {
		const struct seg *seg = sources->entries[i].seg;
		const struct bitset *live = &sources->entries[i].live->bits;

		for (uint32_t row = bitset_next(live, 0); row < live->n_bits && !rc;) {
			struct segment_row out;

			seg_row(seg, row, dense, sparse, scratch, &out);
			rc = segment_writer_add(w, &out, err);
			if ((row & 1023) == 0 && __atomic_load_n(&h->cancel, __ATOMIC_RELAXED))
				rc = error_set(err, ERR_CLOSED, "cancelled");
			row = row + 1 < live->n_bits ? bitset_next(live, row + 1) : live->n_bits;
		}
	}
	free(dense);
	free(sparse);
	free(scratch);
	return rc;
}

int rewrite(struct hosted *h, const struct snap *sources, uint64_t id,
	    const struct collection *schema, struct seg **out, struct error *err)
{
	struct segment_writer *w = NULL;
	int rc;

	*out = NULL;
	if (snap_points(sources) == 0)
		return 0;
	rc = segment_writer_new(&h->io, id, schema, &w, err);
	if (rc == 0)
		rc = add_rows(h, sources, w, schema, err);
	if (rc == 0)
		rc = segment_writer_finish(w, err);
	segment_writer_free(w);
	if (rc == 0)
		rc = seg_open(&h->io, id, schema, out, err);
	if (rc)
		return error_wrap(err, rc, "segment %llu", (unsigned long long)id);
	assert((*out)->n_rows == snap_points(sources));
	return 0;
}

void install_seg(struct hosted *h, const struct snap *sources, struct seg *out)
{
	uint64_t before = snap_points(&h->state.now);
	bool done = snap_replace(&h->state.now, sources, out);

	assert(done && snap_points(&h->state.now) == before);
	for (struct frozen *f = h->frozen; f; f = f->next) {
		done = snap_replace(&f->snap, sources, out);
		assert(done);
	}
	/* base has all of the sources, or none of them when they were frozen rows */
	if (snap_replace(&h->base, sources, out))
		h->base_changed = true;
}

static void each_snap(struct hosted *h,
		      void (*fn)(struct snap *s, struct seg *old, struct seg *fresh),
		      struct seg *old, struct seg *fresh)
{
	fn(&h->state.now, old, fresh);
	fn(&h->base, old, fresh);
	for (struct frozen *f = h->frozen; f; f = f->next)
		fn(&f->snap, old, fresh);
}

static void swap_in(struct snap *s, struct seg *old, struct seg *fresh)
{
	int at = snap_index(s, old);

	if (at < 0)
		return;
	s->entries[at].seg = seg_ref(fresh);
	seg_unref(old);
}

void swap_seg(struct hosted *h, struct seg *old, struct seg *fresh)
{
	assert(old->id == fresh->id && old->n_rows == fresh->n_rows);
	each_snap(h, swap_in, old, fresh);
}

static void take_out(struct snap *s, struct seg *old, struct seg *fresh)
{
	int at = snap_index(s, old);

	(void)fresh;
	if (at >= 0)
		snap_remove(s, (uint32_t)at);
}

void add_lost(struct hosted *h, uint64_t id, uint32_t n_rows)
{
	h->lost = mem_resize(h->lost, (h->n_lost + 1) * sizeof *h->lost);
	h->lost[h->n_lost++] =
		(struct manifest_segment){.id = id, .n_rows = n_rows, .quarantined = true};
}

void quarantine(struct hosted *h, struct seg *seg)
{
	add_lost(h, seg->id, seg->n_rows);
	each_snap(h, take_out, seg, NULL);
	h->base_changed = true;
	hosted_publish(h);
	manifest_start(h);
}

/* ---- sealing ---- */

struct seal_task {
	struct task task;
	struct frozen *frozen;
	struct snap sources;
	const struct collection *schema;
	uint64_t id;
	struct seg *out;
	uint64_t reserved_bytes;
};

static void becomes_base(struct hosted *h, struct frozen *f)
{
	assert(h->frozen == f);
	h->frozen = f->next;
	h->n_frozen--;
	snap_fini(&h->base);
	h->base = f->snap;
	h->base_changed = true;
	seg_unref(f->seg);
	free(f);
}

static void seal_run(struct task *t)
{
	struct seal_task *s = CONTAINER(t, struct seal_task, task);

	t->rc = rewrite(t->h, &s->sources, s->id, s->schema, &s->out, &t->err);
}

static void seal_done(struct task *t)
{
	struct seal_task *s = CONTAINER(t, struct seal_task, task);
	struct hosted *h = t->h;

	h->sealing = false;
	if (t->rc == 0) {
		install_seg(h, &s->sources, s->out);
		h->last_failure[0] = '\0';
		becomes_base(h, s->frozen);
		count(t->shard, COUNT_SEALS, 1);
		manifest_start(h);
		seal_start(h);
		work_start(h);
		hosted_look(h);
		hosted_unpark(h);
	} else if (!h->closing) {
		note_failure(h, "sealing a segment", &t->err);
	}
	seg_unref(s->out);
	snap_fini(&s->sources);
	collection_unref(s->schema);
	free(s);
	hosted_task_back(h);
}

void seal_start(struct hosted *h)
{
	struct frozen *f;
	struct seal_task *s;
	int at;

	if (h->opening)
		return;
	while ((f = h->frozen) && !h->sealing && !h->closing && !f->seg)
		becomes_base(h, f);
	if (!f || h->sealing || h->closing) {
		manifest_start(h);
		return;
	}
	s = mem_zalloc(sizeof *s);
	s->task = (struct task){.run = seal_run, .done = seal_done, .shard = h->shard, .h = h};
	s->frozen = f;
	s->schema = collection_ref(h->state.schema);
	s->id = h->next_segment_id++;
	at = snap_index(&f->snap, f->seg);
	assert(at >= 0);
	snap_push(&s->sources, seg_ref(f->seg), live_ref(f->snap.entries[at].live));
	h->sealing = true;
	task_to_worker(&h->shard->keeper, &s->task);
}

/* ---- the manifest ---- */

struct manifest_task {
	struct task task;
	struct manifest m;
	uint64_t *retired; /* folders to be removed when it is durable */
	size_t n_retired;
};

static void manifest_add(struct manifest *m, uint64_t id, uint32_t n_rows,
			 const struct bitset *live)
{
	struct manifest_segment *s;

	m->segments = mem_resize(m->segments, (m->n_segments + 1) * sizeof *m->segments);
	s = &m->segments[m->n_segments++];
	*s = (struct manifest_segment){.id = id, .n_rows = n_rows};
	if (!live)
		return;
	bitset_init(&s->deleted, n_rows, false);
	bitset_copy(&s->deleted, live);
	bitset_not(&s->deleted);
}

void manifest_of_base(const struct hosted *h, struct manifest *m)
{
	manifest_init(m);
	m->number = h->kept.number;
	m->collection_id = h->collection_id;
	m->partition = h->partition;
	m->applied_seq = h->base.seq;
	m->applied_epoch = h->base.epoch;
	m->next_segment_id = h->next_segment_id;
	for (uint32_t i = 0; i < h->base.n; i++) {
		const struct snap_entry *e = &h->base.entries[i];

		manifest_add(m, e->seg->id, e->seg->n_rows,
			     e->live->n_live == e->seg->n_rows ? NULL : &e->live->bits);
	}
	for (uint32_t i = 0; i < h->n_lost; i++) {
		manifest_add(m, h->lost[i].id, h->lost[i].n_rows, NULL);
		m->segments[m->n_segments - 1].quarantined = true;
	}
	buf_put_blob(&m->extra, h->base.extra.data, (uint32_t)h->base.extra.len);
	buf_put_u32(&m->extra, h->n_fields_built);
	for (uint32_t i = 0; i < h->n_fields_built; i++)
		buf_put_u64(&m->extra, h->fields_built[i]);
}

static bool named(const struct manifest *m, uint64_t id)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		if (m->segments[i].id == id)
			return true;
	return false;
}

static void manifest_run(struct task *t)
{
	struct manifest_task *m = CONTAINER(t, struct manifest_task, task);

	t->rc = manifest_store(&t->h->io, &m->m, &t->err);
	for (size_t i = 0; t->rc == 0 && i < m->n_retired; i++) {
		char folder[32];

		/* What cannot be removed now is swept when the replica is opened next. */
		snprintf(folder, sizeof folder, "seg-%llu", (unsigned long long)m->retired[i]);
		t->h->io.remove_tree(t->h->io.ctx, folder, NULL);
	}
}

static void manifest_done(struct task *t)
{
	struct manifest_task *m = CONTAINER(t, struct manifest_task, task);
	struct hosted *h = t->h;

	h->storing = false;
	if (t->rc < 0) {
		h->base_changed = true;
		note_failure(h, "writing the manifest", &t->err);
		manifest_fini(&m->m);
	} else {
		bool moved = m->m.applied_seq > h->kept.applied_seq;

		manifest_fini(&h->kept);
		h->kept = m->m;
		h->last_failure[0] = '\0';
		hosted_publish(h);
		if (moved)
			log_drop_start(h);
		manifest_start(h);
	}
	free(m->retired);
	free(m);
	hosted_task_back(h);
}

void manifest_start(struct hosted *h)
{
	struct manifest_task *m;

	if (!h->base_changed || h->storing || h->closing || h->dropping)
		return;
	m = mem_zalloc(sizeof *m);
	m->task = (struct task){.run = manifest_run,
				.done = manifest_done,
				.shard = h->shard,
				.h = h};
	manifest_of_base(h, &m->m);
	m->retired = mem_array(h->kept.n_segments + 1, sizeof *m->retired);
	for (uint32_t i = 0; i < h->kept.n_segments; i++)
		if (!named(&m->m, h->kept.segments[i].id))
			m->retired[m->n_retired++] = h->kept.segments[i].id;
	h->base_changed = false;
	h->storing = true;
	task_to_worker(&h->shard->keeper, &m->task);
}
