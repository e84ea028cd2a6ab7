/* Which replicas this node has held: one empty file each, beside their folders. A folder that is gone (a disk that was replaced or is
 * not mounted, a slip of the hand) must not pass for that of a new replica, which holds everything that was acknowledged: nothing.
 *
 * One more file, "since-<id>", says from which collection on the marks are complete. It is made from a map that was confirmed, before the
 * node registers: should the marks be lost with the folders, the next one names a later collection, and what is older is not begun
 * from nothing. See docs/decisions/0014. */
#include "shard/host.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HOSTED[] = "hosted", SINCE[] = "since-";
enum { PATH = 300 };

static void path_of(char *out, uint64_t collection_id, uint32_t partition)
{
	snprintf(out, PATH, "%s/%llu-%u", HOSTED, (unsigned long long)collection_id, partition);
}

int known_has(struct shard *s, uint64_t collection_id, uint32_t partition, struct error *err)
{
	const struct store_io *io = &s->options.io;
	struct store_file *f;
	struct error own = {0};
	char path[PATH];
	int rc;

	path_of(path, collection_id, partition);
	rc = io->open(io->ctx, path, false, &f, &own);
	if (rc == 0)
		io->close(f);
	else if (rc != ERR_NOT_FOUND && err)
		*err = own;
	return rc == 0 ? 1 : rc == ERR_NOT_FOUND ? 0 : rc;
}

static int make(struct shard *s, const char *path, struct error *err)
{
	const struct store_io *io = &s->options.io;
	struct store_file *f;
	int rc = io->mkdirs(io->ctx, HOSTED, err);

	if (rc == 0)
		rc = io->open(io->ctx, path, true, &f, err);
	if (rc)
		return rc;
	io->close(f);
	io->sync_dir(io->ctx, HOSTED);
	return 0;
}

int known_add(struct shard *s, uint64_t collection_id, uint32_t partition, struct error *err)
{
	char path[PATH];

	path_of(path, collection_id, partition);
	return make(s, path, err);
}

void known_remove(struct shard *s, uint64_t collection_id, uint32_t partition)
{
	char path[PATH];

	path_of(path, collection_id, partition);
	s->options.io.remove(s->options.io.ctx, path, NULL);
}

static int collect(void *ctx, const char *name)
{
	buf_put(ctx, name, strlen(name) + 1);
	return 0;
}

static uint64_t read_since(struct shard *s)
{
	const struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;
	uint64_t since = KNOWN_NEVER;

	if (io->list(io->ctx, HOSTED, collect, &names, NULL) == 0)
		for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
			const char *name = (char *)names.data + at;
			char *end;
			uint64_t id;

			if (strncmp(name, SINCE, sizeof SINCE - 1) != 0)
				continue;
			id = strtoull(name + sizeof SINCE - 1, &end, 10);
			if (*end == '\0' && id < since)
				since = id;
		}
	buf_fini(&names);
	return since;
}

void known_since(struct shard *s, uint64_t next_id)
{
	struct error err = {0};
	char path[PATH];

	if (s->known_since == KNOWN_NEVER)
		s->known_since = read_since(s);
	if (s->known_since != KNOWN_NEVER)
		return;
	/* True of this process from now on, even if there is no room to say so to the next. */
	s->known_since = next_id;
	snprintf(path, sizeof path, "%s/%s%llu", HOSTED, SINCE, (unsigned long long)next_id);
	if (make(s, path, &err))
		log_warn("shard", "%s", err.text);
}

void known_sweep(struct shard *s)
{
	const struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;

	if (io->list(io->ctx, HOSTED, collect, &names, NULL) == 0)
		for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
			char *end;
			uint64_t id = strtoull((char *)names.data + at, &end, 10);
			struct hosted *h;

			if (*end != '-' || end == (char *)names.data + at)
				continue;
			h = table_find(s, id, (uint32_t)strtoul(end + 1, NULL, 10));
			if (!h)
				known_remove(s, id, (uint32_t)strtoul(end + 1, NULL, 10));
			hosted_unref(h);
		}
	buf_fini(&names);
}
