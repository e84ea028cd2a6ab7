/* The control plane's files. Order within an update: term and vote, snapshot, restart of the log,
 * cut, entries; each but the last is durable before the next begins, so that a crash in between
 * leaves what meta_new knows how to read.
 */
#include "coordinator/meta_disk.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	STATE_MAGIC = 0x54534d51, /* "QMST" */
	STATE_VERSION = 1,
	META_WAL_FILE_BYTES = 4 << 20,
};

/* ---- term and vote ---- */

static int put_state(struct meta_disk *d, uint64_t term, uint64_t vote, struct error *err)
{
	struct buf *b = &d->scratch;

	buf_clear(b);
	buf_put_u32(b, STATE_MAGIC);
	buf_put_u16(b, STATE_VERSION);
	buf_put_u64(b, d->self);
	buf_put_u64(b, d->cluster_id);
	buf_put_u64(b, term);
	buf_put_u64(b, vote);
	return store_put_file(&d->io, "state", b->data, b->len, err);
}

static int check_owner(const struct meta_disk *d, uint64_t self, uint64_t cluster_id,
		       struct error *err)
{
	if (cluster_id != d->cluster_id && d->cluster_id != 0)
		return error_set(err, ERR_INPUT,
				 "this data folder belongs to cluster %016llx, not to %016llx; give "
				 "this node a folder of its own",
				 (unsigned long long)cluster_id, (unsigned long long)d->cluster_id);
	if (self != d->self)
		return error_set(err, ERR_INPUT,
				 "this data folder belongs to node %llu, not to %llu; give this "
				 "node a folder of its own",
				 (unsigned long long)self, (unsigned long long)d->self);
	return 0;
}

static int load_state(struct meta_disk *d, struct meta_saved *saved, struct error *err)
{
	struct reader r;
	uint64_t self, cluster_id;
	int rc;

	buf_clear(&d->scratch);
	rc = store_get_file(&d->io, "state", &d->scratch, err);
	if (rc == ERR_NOT_FOUND) {
		if (err != NULL)
			*err = (struct error){0};
		return 0;
	}
	if (rc < 0)
		return rc;
	r = reader_make(d->scratch.data, d->scratch.len);
	if (reader_u32(&r) != STATE_MAGIC || reader_u16(&r) != STATE_VERSION)
		return error_set(err, ERR_VERSION,
				 "the control plane's state was written by another version");
	self = reader_u64(&r);
	cluster_id = reader_u64(&r);
	saved->term = reader_u64(&r);
	saved->vote = reader_u64(&r);
	if (!reader_done(&r))
		return error_set(err, ERR_CORRUPT, "the control plane's state is cut off");
	return check_owner(d, self, cluster_id, err);
}

/* ---- snapshot ---- */

static int put_snapshot(struct meta_disk *d, const struct meta_update *u, struct error *err)
{
	struct buf *b = &d->scratch;

	buf_clear(b);
	buf_put_u64(b, u->snapshot_index);
	buf_put_u64(b, u->snapshot_term);
	buf_put(b, u->snapshot, u->snapshot_n);
	return store_put_file(&d->io, "snapshot", b->data, b->len, err);
}

static int load_snapshot(struct meta_disk *d, struct arena *arena, struct meta_saved *saved,
			 struct error *err)
{
	int rc;

	buf_clear(&d->scratch);
	rc = store_get_file(&d->io, "snapshot", &d->scratch, err);
	if (rc == ERR_NOT_FOUND) {
		if (err != NULL)
			*err = (struct error){0};
		return 0;
	}
	if (rc < 0)
		return rc;
	if (d->scratch.len < 16)
		return error_set(err, ERR_CORRUPT, "the control plane's snapshot is cut off");
	saved->snapshot_index = load_u64(d->scratch.data);
	saved->snapshot_term = load_u64(d->scratch.data + 8);
	saved->snapshot_n = d->scratch.len - 16;
	saved->snapshot = arena_copy(arena, d->scratch.data + 16, saved->snapshot_n);
	return 0;
}

/* ---- log ---- */

struct load {
	struct arena *arena;
	struct meta_entry *entries;
	size_t n, cap;
};

static int load_record(void *ctx, const struct wal_record *r)
{
	struct load *l = ctx;
	const uint8_t *bytes = r->bytes;

	if (r->n < 2)
		return ERR_CORRUPT;
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 256 : l->cap * 2;
		l->entries = mem_resize(l->entries, l->cap * sizeof(*l->entries));
	}
	l->entries[l->n++] =
		(struct meta_entry){.index = r->seq,
				    .term = r->epoch,
				    .type = (uint16_t)(bytes[0] | bytes[1] << 8),
				    .bytes = arena_copy(l->arena, bytes + 2, r->n - 2u),
				    .n = r->n - 2u};
	return 0;
}

static int load_log(struct meta_disk *d, struct arena *arena, struct meta_saved *saved,
		    struct error *err)
{
	struct wal_options options = {.segment_bytes = META_WAL_FILE_BYTES};
	struct load l = {.arena = arena};
	int rc = wal_open(&d->io, "wal", &options, 0, &d->wal, err);

	if (rc < 0)
		return rc;
	if (wal_first_seq(d->wal) != 0)
		rc = wal_read(d->wal, wal_first_seq(d->wal), load_record, &l, err);
	else if (wal_last_seq(d->wal) != saved->snapshot_index)
		/* Stopped between saving an installed snapshot and restarting the log. */
		rc = wal_reset(d->wal, saved->snapshot_index + 1, saved->snapshot_term, err);
	if (rc == ERR_CORRUPT && err != NULL && err->text[0] == '\0')
		error_set(err, rc, "an entry of the control plane's log has no type");
	if (rc == 0 && l.n > 0) {
		saved->entries = arena_copy(arena, l.entries, l.n * sizeof(*l.entries));
		saved->n_entries = l.n;
	}
	free(l.entries);
	return rc;
}

int meta_disk_open(struct meta_disk *d, struct arena *arena, struct meta_saved *saved,
		   struct error *err)
{
	int rc;

	memset(saved, 0, sizeof(*saved));
	/* A process that was killed may have renamed a file and not synced the folder: what is relied upon from now
	 * on must not be lost with the next power failure. */
	d->io.sync_dir(d->io.ctx, "");
	rc = load_state(d, saved, err);
	if (rc == 0)
		rc = load_snapshot(d, arena, saved, err);
	if (rc == 0)
		rc = load_log(d, arena, saved, err);
	if (rc < 0) {
		meta_disk_close(d);
		return error_wrap(err, rc, "control plane");
	}
	return 0;
}

void meta_disk_close(struct meta_disk *d)
{
	wal_close(d->wal);
	d->wal = NULL;
	buf_fini(&d->scratch);
}

/* Entries that an earlier, failed call has written already are left out. */
static int append(struct meta_disk *d, const struct meta_update *u, struct error *err)
{
	size_t first = 0;
	struct wal_record *records;
	uint64_t prev = wal_last_epoch(d->wal);
	size_t at = 0;
	int rc;

	while (first < u->n_entries && u->entries[first].index <= wal_last_seq(d->wal))
		first++;
	if (first == u->n_entries)
		return 0;
	buf_clear(&d->scratch);
	for (size_t i = first; i < u->n_entries; i++) {
		buf_put_u16(&d->scratch, u->entries[i].type);
		buf_put(&d->scratch, u->entries[i].bytes, u->entries[i].n);
	}
	records = mem_array(u->n_entries - first, sizeof(*records));
	for (size_t i = first; i < u->n_entries; i++) {
		const struct meta_entry *e = &u->entries[i];

		records[i - first] = (struct wal_record){.seq = e->index,
							 .epoch = e->term,
							 .prev_epoch = prev,
							 .bytes = d->scratch.data + at,
							 .n = (uint32_t)e->n + 2};
		at += e->n + 2;
		prev = e->term;
	}
	rc = wal_append(d->wal, records, u->n_entries - first, err);
	free(records);
	return rc;
}

int meta_disk_write(struct meta_disk *d, const struct meta_update *u, struct error *err)
{
	int rc = 0;

	if (u->save_vote)
		rc = put_state(d, u->term, u->vote, err);
	if (rc == 0 && u->save_snapshot)
		rc = put_snapshot(d, u, err);
	if (rc == 0 && u->restart_log_at != 0)
		rc = wal_reset(d->wal, u->restart_log_at, u->restart_term, err);
	if (rc == 0 && u->truncate_from != 0)
		rc = wal_truncate_after(d->wal, u->truncate_from - 1, err);
	if (rc == 0 && u->n_entries > 0)
		rc = append(d, u, err);
	if (rc == 0 && u->drop_before != 0)
		rc = wal_drop_before(d->wal, u->drop_before, err);
	return rc;
}

void meta_disk_sync(struct meta_disk *d)
{
	wal_sync(d->wal);
}
