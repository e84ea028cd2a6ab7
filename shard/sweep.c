/* Folders of replicas that this node does not host any more: what the map took away while the node was down. */
#include "base/log.h"
#include "base/memory.h"
#include "shard/host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char REPLICAS[] = "replicas";

/* Into a buf, each with its NUL. */
static int collect(void *ctx, const char *name)
{
	buf_put(ctx, name, strlen(name) + 1);
	return 0;
}

static bool is_hosted(struct shard *s, uint64_t collection_id, uint32_t partition)
{
	struct hosted *h = table_find(s, collection_id, partition);

	hosted_unref(h);
	return h != NULL;
}

/* "<partition>", also with ".seed" or ".old". */
static bool is_left(struct shard *s, uint64_t collection_id, const char *name)
{
	char *end;
	unsigned long partition = strtoul(name, &end, 10);

	if (end == name ||
	    (strcmp(end, "") != 0 && strcmp(end, ".seed") != 0 && strcmp(end, ".old") != 0))
		return false;
	return !is_hosted(s, collection_id, (uint32_t)partition);
}

static void sweep_collection(struct shard *s, const char *collection)
{
	const struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;
	char folder[300], path[600], *end;
	unsigned long long id = strtoull(collection, &end, 10);

	snprintf(folder, sizeof folder, "%s/%.200s", REPLICAS, collection);
	if (*end == '\0' && io->list(io->ctx, folder, collect, &names, NULL) == 0)
		for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
			const char *name = (char *)names.data + at;
			struct error err = {0};

			if (!is_left(s, id, name))
				continue;
			snprintf(path, sizeof path, "%s/%.200s", folder, name);
			if (io->remove_tree(io->ctx, path, &err))
				log_warn("shard", "%s is not needed any more, but stays: %s", path,
					 err.text);
			else
				log_info("shard",
					 "%s was removed: this node does not hold it any more",
					 path);
		}
	buf_fini(&names);
}

void shard_registered(struct shard *s)
{
	pthread_mutex_lock(&s->assign_lock);
	s->registered = true;
	pthread_mutex_unlock(&s->assign_lock);
}

void shard_sweep(struct shard *s, uint64_t next_id)
{
	const struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;

	pthread_mutex_lock(&s->assign_lock);
	s->options.old_assignments = false;
	known_since(s, next_id);
	if (io->list(io->ctx, REPLICAS, collect, &names, NULL) == 0)
		for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1)
			sweep_collection(s, (char *)names.data + at);
	known_sweep(s);
	pthread_mutex_unlock(&s->assign_lock);
	buf_fini(&names);
}
