/* Which replicas this node has held: one empty file each, beside their folders. A folder that is gone (a disk that was replaced or is
 * not mounted, a slip of the hand) must not pass for that of a new replica, which holds everything that was acknowledged: nothing. */
#include "shard/host.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HOSTED[] = "hosted";
enum { PATH = 300 };

static void path_of(char *out, uint64_t collection_id, uint32_t partition)
{
	snprintf(out, PATH, "%s/%llu-%u", HOSTED, (unsigned long long)collection_id, partition);
}

bool known_has(struct shard *s, uint64_t collection_id, uint32_t partition)
{
	const struct store_io *io = &s->options.io;
	struct store_file *f;
	char path[PATH];

	path_of(path, collection_id, partition);
	if (io->open(io->ctx, path, false, &f, NULL))
		return false;
	io->close(f);
	return true;
}

int known_add(struct shard *s, uint64_t collection_id, uint32_t partition, struct error *err)
{
	const struct store_io *io = &s->options.io;
	struct store_file *f;
	char path[PATH];
	int rc = io->mkdirs(io->ctx, HOSTED, err);

	path_of(path, collection_id, partition);
	if (rc == 0)
		rc = io->open(io->ctx, path, true, &f, err);
	if (rc)
		return rc;
	io->close(f);
	io->sync_dir(io->ctx, HOSTED);
	return 0;
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

void known_sweep(struct shard *s)
{
	const struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;

	if (io->list(io->ctx, HOSTED, collect, &names, NULL) == 0)
		for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
			char *end;
			uint64_t id = strtoull((char *)names.data + at, &end, 10);
			uint32_t partition = *end == '-' ? (uint32_t)strtoul(end + 1, NULL, 10) : 0;
			struct hosted *h = table_find(s, id, partition);

			if (!h)
				known_remove(s, id, partition);
			hosted_unref(h);
		}
	buf_fini(&names);
}
