/* See the header. A block: magic, version, number, epoch, commit seq, hash of these. */
#include "shard/epochs.h"
#include "base/hash.h"
#include <string.h>

enum { BLOCK_BYTES = 4096, EPOCHS_MAGIC = 0x50455251 /* "QREP" */, EPOCHS_VERSION = 1 };
static const char EPOCHS_NAME[] = "REPLICA";

struct block {
	uint32_t magic, version;
	uint64_t number, epoch, commit_seq;
	uint64_t hash; /* of the bytes above */
};

static uint64_t block_hash(const struct block *b)
{
	return hash64(b, offsetof(struct block, hash));
}

/* 1: a good block; 0: none was written here, or it is damaged. */
static int read_block(struct epochs *e, uint64_t which, struct block *out, struct error *err)
{
	size_t got = 0;
	int rc = e->io->read(e->file, which * BLOCK_BYTES, out, sizeof *out, &got, err);

	if (rc)
		return rc;
	if (got < sizeof *out || out->magic != EPOCHS_MAGIC || out->hash != block_hash(out))
		return 0;
	if (out->version != EPOCHS_VERSION)
		return error_set(err, ERR_VERSION, "%s was written by another version of quiver",
				 EPOCHS_NAME);
	return 1;
}

int epochs_open(struct epochs *e, const struct store_io *io, struct error *err)
{
	uint64_t size = 0;
	int rc, found = 0;

	*e = (struct epochs){.io = io};
	rc = io->open(io->ctx, EPOCHS_NAME, false, &e->file, err);
	if (rc == ERR_NOT_FOUND) {
		if (err)
			*err = (struct error){0};
		return 0;
	}
	for (uint64_t i = 0; i < 2 && rc == 0; i++) {
		struct block b;
		int good = read_block(e, i, &b, err);

		rc = good < 0 ? good : 0;
		if (good != 1)
			continue;
		found++;
		if (b.number < e->number)
			continue;
		e->number = b.number;
		e->epoch = b.epoch;
		e->commit_seq = b.commit_seq;
	}
	if (rc == 0)
		rc = io->size(e->file, &size, err);
	/* A crash while it was made leaves an empty one, or zeros: nothing was promised yet. Beyond
	 * that one block is always good. */
	if (rc == 0 && !found && size > 0) {
		uint8_t bytes[sizeof(struct block)] = {0}, zeros[sizeof(struct block)] = {0};
		size_t got = 0;

		rc = io->read(e->file, BLOCK_BYTES, bytes, sizeof bytes, &got, err);
		if (rc == 0 && memcmp(bytes, zeros, sizeof zeros) != 0)
			rc = error_set(err, ERR_CORRUPT, "both blocks of %s are damaged",
				       EPOCHS_NAME);
	}
	return rc;
}

void epochs_close(struct epochs *e)
{
	if (e->file)
		e->io->close(e->file);
	e->file = NULL;
}

static int make_file(struct epochs *e, struct error *err)
{
	int rc = e->io->open(e->io->ctx, EPOCHS_NAME, true, &e->file, err);

	if (rc == 0)
		rc = e->io->allocate(e->file, 2 * BLOCK_BYTES, err);
	if (rc)
		epochs_close(e);
	else
		e->io->sync_dir(e->io->ctx, "");
	return rc;
}

int epochs_put(struct epochs *e, uint64_t epoch, uint64_t commit_seq, struct error *err)
{
	struct block b = {.magic = EPOCHS_MAGIC, .version = EPOCHS_VERSION};
	int rc = e->file ? 0 : make_file(e, err);

	b.number = e->number + 1;
	b.epoch = epoch > e->epoch ? epoch : e->epoch;
	b.commit_seq = commit_seq > e->commit_seq ? commit_seq : e->commit_seq;
	b.hash = block_hash(&b);
	/* The first block written is block 1, so that block 1 is damaged only where both are. */
	if (rc == 0)
		rc = e->io->write(e->file, b.number % 2 * BLOCK_BYTES, &b, sizeof b, err);
	if (rc)
		return error_wrap(err, rc, "store an epoch");
	e->io->sync(e->file);
	e->number = b.number;
	e->epoch = b.epoch;
	e->commit_seq = b.commit_seq;
	return 0;
}
