/* Background work of a replica, one job at a time on the pool's background lane, in this order of
 * need:
 *
 *   verify   checksums that a fast start put off; a corrupt segment is quarantined
 *   fields   payload indexes that a new schema asks for
 *   compact  one segment from several of similar size, or from those in which many rows are dead;
 *   with its vector indexes, so that
 *            searches go on with the old ones until the new one is complete (seal.c explains why it
 *            loses nothing)
 *   index    vector indexes of sealed segments that have none
 *
 * Which segments are merged: of all sealed ones, by size, the longest run of the smallest in which
 * the largest is no larger than the others together, four at least. So a point is rewritten about
 * log2(n / seal_rows) times, and few large segments remain. When nothing has been written for a
 * while smaller gains count too. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "model/text.h"
#include "shard/host.h"
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
enum {
	RUN_MIN = 4,
	DEAD_SHARE = 5,
	IDLE_FACTOR = 3,
	IDLE_GAIN = 50,
	IDLE_CHEAP_ROWS = 50000,
	BUILD_THREADS_MAX = 16
};

enum work_kind { WORK_NONE, WORK_VERIFY, WORK_FIELDS, WORK_COMPACT, WORK_INDEX };
struct work {
	struct task task;
	enum work_kind kind;
	struct snap sources; /* VERIFY, FIELDS, INDEX: one segment */
	const struct collection *schema;
	uint64_t id;  /* of the segment to be written */
	bool *fields; /* FIELDS: which fields of the schema */
	struct seg *out;
	uint64_t reserved_bytes;
};

/* ---- payload indexes ---- */

static uint64_t field_hash(const struct payload_field *f)
{
	const struct text_options *t = &f->text;
	const uint32_t how[7] = {f->type,      t->tokenizer, t->min_token_len,   t->max_token_len,
				 t->lowercase, f->phrase,    text_extras_hash(t)};

	return hash64_seed(f->path.text, strlen(f->path.text), hash64(how, sizeof how));
}

static bool schema_has(const struct collection *schema, uint64_t hash)
{
	for (uint32_t i = 0; i < schema->n_fields; i++)
		if (field_hash(&schema->fields[i]) == hash)
			return true;
	return false;
}

static bool is_built(const struct hosted *h, uint64_t hash)
{
	for (uint32_t i = 0; i < h->n_fields_built; i++)
		if (h->fields_built[i] == hash)
			return true;
	return false;
}

static bool needs_field(const struct hosted *h, const struct seg *s, const struct payload_field *f)
{
	uint64_t hash = field_hash(f);

	if (!segment_pindex(s->sealed, f->path.text))
		return true;
	return s->recovered ? !is_built(h, hash) : !schema_has(s->schema, hash);
}

/* Codes are made of the rows when an index is opened: other ones, or rows that may leave the memory now, take
 * effect when it is opened again. */
static bool needs_reopening(const struct hosted *h, const struct seg *s)
{
	for (uint32_t i = 0; i < s->schema->n_spaces; i++) {
		const struct index_config *was = &s->schema->spaces[i].index,
					  *is = &h->state.schema->spaces[i].index;

		if (seg_index(s, i) && is->kind == INDEX_HNSW &&
		    (was->quantizer != is->quantizer || was->rows_on_disk != is->rows_on_disk))
			return true;
	}
	return false;
}

static bool needs_fields(const struct hosted *h, const struct seg *s)
{
	if (needs_reopening(h, s))
		return true;
	for (uint32_t i = 0; i < h->state.schema->n_fields; i++)
		if (needs_field(h, s, &h->state.schema->fields[i]))
			return true;
	return false;
}

/* Every segment has an index for every field now: the next manifest says so. */
static void fields_complete(struct hosted *h)
{
	const struct collection *schema = h->state.schema;
	bool same = h->n_fields_built == schema->n_fields;

	for (uint32_t i = 0; i < schema->n_fields && same; i++)
		same = h->fields_built[i] == field_hash(&schema->fields[i]);
	if (same)
		return;
	for (uint32_t i = 0; i < h->base.n; i++)
		h->base.entries[i].seg->recovered = false;
	h->fields_built =
		mem_resize(h->fields_built, (schema->n_fields + 1) * sizeof *h->fields_built);
	h->n_fields_built = schema->n_fields;
	for (uint32_t i = 0; i < schema->n_fields; i++)
		h->fields_built[i] = field_hash(&schema->fields[i]);
	h->base_changed = true;
	manifest_start(h);
}

static int build_fields(struct work *w)
{
	struct hosted *h = w->task.h;
	const struct seg *s = w->sources.entries[0].seg;
	int rc = 0;

	for (uint32_t i = 0; i < w->schema->n_fields && rc == 0; i++)
		if (w->fields[i])
			rc = segment_pindex_build(&h->io, s->sealed, w->schema,
						  &w->schema->fields[i], &w->task.err);
	if (rc == 0)
		rc = seg_open(&h->io, s->id, w->schema, &w->out, &w->task.err);
	if (rc == 0)
		rc = seg_open_indexes(w->out, h->shard->options.faiss_only, &w->task.err);
	return rc;
}

/* ---- vector indexes ---- */

static bool space_needs_index(const struct hosted *h, const struct seg *s, uint32_t space)
{
	return s->schema->spaces[space].index.kind != INDEX_FLAT && !seg_index(s, space) &&
	       segment_vectors(s->sealed, space).n >= h->shard->options.index_min_rows;
}

static bool needs_index(const struct hosted *h, const struct seg *s)
{
	for (uint32_t i = 0; i < s->schema->n_spaces && !s->no_index; i++)
		if (space_needs_index(h, s, i))
			return true;
	return false;
}

static uint64_t index_bytes(const struct collection *schema, uint64_t rows)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < schema->n_spaces; i++) {
		const struct vector_space *v = &schema->spaces[i];

		if (v->index.kind == INDEX_HNSW)
			bytes += rows * (v->index.m * 9 + 64);
		else if (v->index.kind == INDEX_IVF)
			bytes += rows * (v->dim * sizeof(float) + 16);
	}
	return bytes;
}

static uint32_t build_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > BUILD_THREADS_MAX ? BUILD_THREADS_MAX : (uint32_t)n;
}

static int save_index(struct hosted *h, const struct seg *s, uint32_t space, const struct vindex *v,
		      struct error *err)
{
	struct segment_blob *blob;
	char name[32];
	int rc;

	seg_index_name(space, name);
	rc = segment_blob_begin(&h->io, s->id, name, &blob, err);
	if (rc)
		return rc;
	rc = vindex_save(v, segment_blob_write, blob, err);
	if (rc == 0)
		return segment_blob_commit(blob, err);
	segment_blob_abort(blob);
	return rc;
}

static int build_index(struct hosted *h, const struct seg *s, uint32_t space, struct error *err)
{
	struct vindex_build b = {
		.rows = seg_vindex_rows(s, space),
		.distance = s->schema->spaces[space].distance,
		.config = s->schema->spaces[space].index,
		.threads = build_threads(),
		.cancel = &h->cancel,
		.rows_stay = true,
	};
	struct vindex *v;
	int rc = vindex_build(&b, &v, err);

	if (rc)
		return rc;
	rc = save_index(h, s, space, v, err);
	vindex_free(v);
	count(h->shard, COUNT_INDEX_BUILDS, 1);
	return rc;
}

/* Builds what is missing, then opens it from the file, as it will be opened after a restart. */
static int build_indexes(struct hosted *h, struct seg *s, struct error *err)
{
	for (uint32_t space = 0; space < s->schema->n_spaces; space++) {
		int rc = space_needs_index(h, s, space) ? build_index(h, s, space, err) : 0;

		if (rc)
			return error_wrap(err, rc, "index of segment %llu",
					  (unsigned long long)s->id);
	}
	return seg_open_indexes(s, h->shard->options.faiss_only, err);
}

/* ---- choosing ---- */

static int by_rows(const void *a, const void *b)
{
	const struct snap_entry *x = *(const struct snap_entry *const *)a,
				*y = *(const struct snap_entry *const *)b;

	return (x->live->n_live > y->live->n_live) - (x->live->n_live < y->live->n_live);
}

static void take_source(struct work *w, const struct snap_entry *e)
{
	snap_push(&w->sources, seg_ref(e->seg), live_ref(e->live));
}

/* How many of the smallest are worth merging; 0: none. */
static uint32_t run_to_merge(const struct hosted *h, struct snap_entry *const *sorted, uint32_t n,
			     bool idle)
{
	uint64_t max = h->shard->options.segment_max_rows;
	uint64_t sum = 0, sums[1 + 4096];

	if (n > 4096)
		n = 4096;
	sums[0] = 0;
	for (uint32_t i = 0; i < n; i++)
		sums[i + 1] = sum += sorted[i]->live->n_live;
	for (uint32_t i = n; i >= 2; i--) {
		uint64_t largest = sorted[i - 1]->live->n_live, others = sums[i - 1];

		if (sums[i] > max)
			continue;
		if (i >= RUN_MIN && largest <= others)
			return i;
		if (idle && (sums[i] <= IDLE_CHEAP_ROWS || others >= largest / IDLE_GAIN))
			return i;
	}
	return 0;
}

static void choose_compaction(const struct hosted *h, struct work *w, bool idle)
{
	uint32_t n = 0, run;
	uint64_t taken = 0, max = h->shard->options.segment_max_rows;
	struct snap_entry **sorted = mem_array(h->base.n + 1, sizeof(struct snap_entry *));

	for (uint32_t i = 0; i < h->base.n; i++)
		sorted[n++] = &h->base.entries[i];
	qsort(sorted, n, sizeof(struct snap_entry *), by_rows);
	run = run_to_merge(h, sorted, n, idle);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t rows = sorted[i]->seg->n_rows, live = sorted[i]->live->n_live;

		if (i >= run && (rows - live) * (uint64_t)DEAD_SHARE <= rows)
			continue;
		if (w->sources.n > 0 && taken + live > max)
			break;
		take_source(w, sorted[i]);
		taken += live;
	}
	free(sorted);
}

/* Checksums that a fast start put off, or a damaged block that a reader has met since. */
static bool needs_verify(const struct seg *seg)
{
	return seg->unverified || (!seg->reverified && segment_damaged(seg->sealed));
}

static bool choose_one(const struct hosted *h, struct work *w)
{
	const struct snap_entry *largest = NULL;

	for (uint32_t i = 0; i < h->base.n; i++)
		if (needs_verify(h->base.entries[i].seg)) {
			w->kind = WORK_VERIFY;
			take_source(w, &h->base.entries[i]);
			return true;
		}
	for (uint32_t i = 0; i < h->base.n; i++)
		if (needs_fields(h, h->base.entries[i].seg)) {
			w->kind = WORK_FIELDS;
			take_source(w, &h->base.entries[i]);
			return true;
		}
	choose_compaction(h, w,
			  now_us(h->shard) > h->machine.changed_us +
						     IDLE_FACTOR * h->machine.limits.seal_idle_us);
	if (w->sources.n > 0) {
		w->kind = WORK_COMPACT;
		return true;
	}
	for (uint32_t i = 0; i < h->base.n; i++)
		if (needs_index(h, h->base.entries[i].seg) &&
		    (!largest || largest->live->n_live < h->base.entries[i].live->n_live))
			largest = &h->base.entries[i];
	if (!largest)
		return false;
	w->kind = WORK_INDEX;
	take_source(w, largest);
	return true;
}

bool work_pending(const struct hosted *h)
{
	if (h->working || h->n_frozen > 0)
		return true;
	for (uint32_t i = 0; i < h->base.n; i++)
		if (needs_index(h, h->base.entries[i].seg) ||
		    needs_fields(h, h->base.entries[i].seg))
			return true;
	return false;
}

/* ---- running ---- */

static int verify(const struct seg *s, struct error *err)
{
	int rc = segment_verify(s->sealed, err);

	for (uint32_t i = 0; i < s->schema->n_spaces; i++)
		if (seg_index(s, i))
			vindex_release_rows(seg_index(s, i));
	return rc;
}

static void work_run(struct task *t)
{
	struct work *w = CONTAINER(t, struct work, task);
	struct hosted *h = t->h;

	if (__atomic_load_n(&h->cancel, __ATOMIC_RELAXED)) {
		t->rc = error_set(&t->err, ERR_CLOSED, "cancelled");
		return;
	}
	switch (w->kind) {
	case WORK_VERIFY: t->rc = verify(w->sources.entries[0].seg, &t->err); break;
	case WORK_FIELDS: t->rc = build_fields(w); break;
	case WORK_INDEX: t->rc = build_indexes(h, w->sources.entries[0].seg, &t->err); break;
	default:
		t->rc = rewrite(h, &w->sources, w->id, w->schema, &w->out, &t->err);
		if (t->rc == 0 && w->out)
			t->rc = build_indexes(h, w->out, &t->err);
	}
}

static const char *work_name(enum work_kind kind)
{
	static const char *const names[] = {
		[WORK_NONE] = "nothing",
		[WORK_VERIFY] = "verifying a segment",
		[WORK_FIELDS] = "building a payload index",
		[WORK_COMPACT] = "compaction",
		[WORK_INDEX] = "building a vector index",
	};
	return names[kind];
}

static void work_succeeded(struct hosted *h, struct work *w)
{
	switch (w->kind) {
	case WORK_VERIFY:
		w->sources.entries[0].seg->unverified = false;
		w->sources.entries[0].seg->reverified =
			segment_damaged(w->sources.entries[0].seg->sealed);
		break;
	case WORK_FIELDS: swap_seg(h, w->sources.entries[0].seg, w->out); break;
	case WORK_COMPACT:
		install_seg(h, &w->sources, w->out);
		count(h->shard, COUNT_COMPACTIONS, 1);
		manifest_start(h);
		break;
	default: break;
	}
	h->last_failure[0] = '\0';
}

static void work_failed(struct hosted *h, struct work *w)
{
	char folder[32];

	if (w->kind == WORK_COMPACT && w->out) {
		/* written, but without its index; nobody knows of it */
		snprintf(folder, sizeof folder, "seg-%llu", (unsigned long long)w->id);
		h->io.remove_tree(h->io.ctx, folder, NULL);
	}
	if (h->closing)
		return;
	if (w->kind == WORK_VERIFY && w->task.rc == ERR_CORRUPT) {
		quarantine(h, w->sources.entries[0].seg);
		return;
	}
	if (w->kind == WORK_INDEX && (w->task.rc == ERR_INPUT || w->task.rc == ERR_UNSUPPORTED))
		w->sources.entries[0].seg->no_index = true;
	note_failure(h, work_name(w->kind), &w->task.err);
}

static void work_free(struct work *w)
{
	memory_release(w->task.shard, w->reserved_bytes);
	seg_unref(w->out);
	snap_fini(&w->sources);
	collection_unref(w->schema);
	free(w->fields);
	free(w);
}

static void work_done(struct task *t)
{
	struct work *w = CONTAINER(t, struct work, task);
	struct hosted *h = t->h;
	bool good = t->rc == 0;

	h->working = false;
	if (good)
		work_succeeded(h, w);
	else
		work_failed(h, w);
	work_free(w);
	if (good && !h->closing) {
		work_start(h);
		hosted_look(h);
	}
	hosted_task_back(h);
}

static bool reserve(struct hosted *h, struct work *w)
{
	struct error err = {0};
	uint64_t rows = snap_points(&w->sources), bytes = 0;

	if (w->kind == WORK_INDEX || w->kind == WORK_COMPACT)
		bytes = index_bytes(h->state.schema, rows);
	if (!memory_reserve(h->shard, bytes, &err)) {
		note_failure(h, work_name(w->kind), &err);
		return false;
	}
	w->reserved_bytes = bytes;
	return true;
}

void work_start(struct hosted *h)
{
	struct work *w;

	if (h->working || h->closing || h->opening || now_us(h->shard) < h->retry_us)
		return;
	w = mem_zalloc(sizeof *w);
	w->task = (struct task){.run = work_run, .done = work_done, .shard = h->shard, .h = h};
	if (!choose_one(h, w) || !reserve(h, w)) {
		if (w->kind == WORK_NONE || w->kind > WORK_FIELDS)
			fields_complete(h);
		work_free(w);
		return;
	}
	w->schema = collection_ref(h->state.schema);
	if (w->kind == WORK_FIELDS) {
		w->fields = mem_array(w->schema->n_fields + 1, sizeof *w->fields);
		for (uint32_t i = 0; i < w->schema->n_fields; i++)
			w->fields[i] =
				needs_field(h, w->sources.entries[0].seg, &w->schema->fields[i]);
	} else if (w->kind > WORK_FIELDS) {
		fields_complete(h);
	}
	if (w->kind == WORK_COMPACT)
		w->id = h->next_segment_id++;
	h->working = true;
	task_to_background(&w->task);
}
