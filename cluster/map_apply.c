/* How the shard map changes. Each command type has one function that either changes the copy `to`
 * or refuses with a text; map_apply decides which one is kept. Nothing here looks at anything but
 * the map and the command, so equal logs give equal maps.
 */
#include "base/assert.h"
#include "base/mutant.h"
#include "cluster/map.h"
#include "cluster/map_build.h"

#include <string.h>

/* ---- sorted arrays: room was made by map_copy ---- */

static void *insert_at(void *array, uint32_t *n, size_t each, uint32_t at)
{
	char *base = array;

	memmove(base + (at + 1) * each, base + at * each, (*n - at) * each);
	(*n)++;
	return base + at * each;
}

static void remove_at(void *array, uint32_t *n, size_t each, uint32_t at)
{
	char *base = array;

	assert(at < *n);
	memmove(base + at * each, base + (at + 1) * each, (*n - at - 1) * each);
	(*n)--;
}

/* ---- collections ---- */

static uint32_t default_min_isr(uint32_t replication_factor, uint32_t n_replicas)
{
	uint32_t wanted = replication_factor >= 3 ? (replication_factor + 1) / 2 : 1;

	/* Created degraded on purpose: it must be writable with what there is. */
	return wanted < n_replicas ? wanted : n_replicas;
}

static int check_replicas(const struct map *m, const struct map_command *c, uint32_t partition,
			  struct error *err)
{
	const uint64_t *ids = &c->replicas[(size_t)partition * c->n_replicas];

	for (uint32_t i = 0; i < c->n_replicas; i++) {
		const struct map_node *node = map_node(m, ids[i]);

		if (node == NULL || !node->shard)
			return error_set(err, ERR_STALE,
					 "node %llu, chosen for partition %u, is not a shard "
					 "server of this cluster any more; try again",
					 (unsigned long long)ids[i], partition);
		for (uint32_t j = 0; j < i; j++) {
			if (ids[j] == ids[i])
				return error_set(err, ERR_INPUT,
						 "node `%s` was chosen twice for partition %u",
						 node->name, partition);
		}
	}
	return 0;
}

static int check_create(const struct map *m, const struct map_command *c, struct error *err)
{
	const struct collection *d = c->collection;
	bool found;

	if (!collection_name_ok(d->name, strlen(d->name)))
		return error_set(err, ERR_VALIDATION, "`%s` is no name for a collection", d->name);
	map_find_collection(m, d->name, &found);
	if (found)
		return error_set(err, ERR_EXISTS, "Collection `%s` already exists!", d->name);
	map_find_alias(m, d->name, &found);
	if (found)
		return error_set(err, ERR_EXISTS,
				 "Can't create collection `%s`: an alias of this name already "
				 "exists!",
				 d->name);
	if (m->n_collections >= LIMIT_COLLECTIONS)
		return error_set(err, ERR_VALIDATION,
				 "there are %u collections, which is the limit; use one "
				 "collection with a payload field per tenant instead",
				 m->n_collections);
	if (d->n_partitions < 1 || d->n_partitions > LIMIT_PARTITIONS)
		return error_set(err, ERR_VALIDATION, "shard_number %u is not within 1..%d",
				 d->n_partitions, LIMIT_PARTITIONS);
	if (d->replication_factor < 1 || d->replication_factor > LIMIT_REPLICAS)
		return error_set(err, ERR_VALIDATION, "replication_factor %u is not within 1..%d",
				 d->replication_factor, LIMIT_REPLICAS);
	if (c->n_replicas < 1 || c->n_replicas > d->replication_factor)
		return error_set(err, ERR_INPUT, "%u replicas were chosen for a factor of %u",
				 c->n_replicas, d->replication_factor);
	return 0;
}

static struct map_partition *new_partitions(const struct map_command *c)
{
	uint32_t n = c->collection->n_partitions;
	struct map_partition *partitions = map_partitions_new(n);

	for (uint32_t i = 0; i < n; i++) {
		struct map_partition *p = &partitions[i];

		p->epoch = 1;
		p->n_in_sync = c->n_replicas;
		memcpy(p->in_sync, &c->replicas[(size_t)i * c->n_replicas],
		       c->n_replicas * sizeof(p->in_sync[0]));
		p->primary = p->in_sync[0];
		p->min_isr = default_min_isr(c->collection->replication_factor, c->n_replicas);
		p->slot_first = i * SLOT_COUNT / n;
		p->slot_last = (i + 1) * SLOT_COUNT / n - 1;
	}
	return partitions;
}

static int create_collection(struct map *to, const struct map_command *c, struct error *err)
{
	struct collection *definition;
	struct map_collection *slot;
	bool found;
	uint32_t at;
	int rc = check_create(to, c, err);

	for (uint32_t i = 0; rc == 0 && i < c->collection->n_partitions; i++)
		rc = check_replicas(to, c, i, err);
	if (rc < 0)
		return rc;
	definition = collection_clone(c->collection);
	definition->id = to->next_id++;
	definition->revision = 1;
	at = map_find_collection(to, definition->name, &found);
	slot = insert_at(to->collections, &to->n_collections, sizeof(*slot), at);
	slot->collection = definition;
	slot->partitions = new_partitions(c);
	return 0;
}

/* What replicas hold cannot change under them: spaces stay, their index settings may change. */
static int check_same_spaces(const struct collection *a, const struct collection *b,
			     struct error *err)
{
	bool same = a->n_spaces == b->n_spaces && a->n_sparse == b->n_sparse &&
		    a->n_partitions == b->n_partitions;

	for (uint32_t i = 0; same && i < a->n_spaces; i++)
		same = strcmp(a->spaces[i].name, b->spaces[i].name) == 0 &&
		       a->spaces[i].dim == b->spaces[i].dim &&
		       a->spaces[i].distance == b->spaces[i].distance &&
		       a->spaces[i].datatype == b->spaces[i].datatype;
	for (uint32_t i = 0; same && i < a->n_sparse; i++)
		same = strcmp(a->sparse[i].name, b->sparse[i].name) == 0;
	if (!same)
		return error_set(err, ERR_VALIDATION,
				 "the vectors and the shard_number of collection `%s` cannot be "
				 "changed; create a new collection and copy the points",
				 a->name);
	return 0;
}

static int not_found(const char *name, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!", name);
}

static int update_collection(struct map *to, const struct map_command *c, struct error *err)
{
	struct collection *definition;
	const struct collection *now;
	bool found;
	uint32_t at = map_find_collection(to, c->collection->name, &found);
	int rc;

	if (!found)
		return not_found(c->collection->name, err);
	now = to->collections[at].collection;
	if ((c->collection->id != 0 && c->collection->id != now->id) ||
	    c->expect_revision != now->revision)
		return error_set(err, ERR_STALE,
				 "collection `%s` was changed by someone else (revision %llu, "
				 "expected %llu); read it again",
				 now->name, (unsigned long long)now->revision,
				 (unsigned long long)c->expect_revision);
	rc = check_same_spaces(now, c->collection, err);
	if (rc < 0)
		return rc;
	definition = collection_clone(c->collection);
	definition->id = now->id;
	definition->revision = now->revision + 1;
	collection_unref(now);
	to->collections[at].collection = definition;
	return 0;
}

static int delete_collection(struct map *to, const struct map_command *c, struct error *err)
{
	bool found;
	uint32_t at = map_find_collection(to, c->name, &found);

	if (!found)
		return not_found(c->name, err);
	collection_unref(to->collections[at].collection);
	map_partitions_unref(to->collections[at].partitions);
	remove_at(to->collections, &to->n_collections, sizeof(*to->collections), at);
	for (uint32_t i = to->n_aliases; i-- > 0;) {
		if (strcmp(to->aliases[i].collection, c->name) == 0)
			remove_at(to->aliases, &to->n_aliases, sizeof(*to->aliases), i);
	}
	return 0;
}

/* ---- aliases ---- */

static int create_alias(struct map *to, const char *alias, const char *collection,
			struct error *err)
{
	struct map_alias *slot;
	bool found;
	uint32_t at;

	map_find_collection(to, collection, &found);
	if (!found)
		return not_found(collection, err);
	map_find_collection(to, alias, &found);
	if (found)
		return error_set(err, ERR_EXISTS, "Collection `%s` already exists!", alias);
	if (!collection_name_ok(alias, strlen(alias)))
		return error_set(err, ERR_VALIDATION, "`%s` is no name for an alias", alias);
	at = map_find_alias(to, alias, &found);
	if (!found) {
		slot = insert_at(to->aliases, &to->n_aliases, sizeof(*slot), at);
		slot->name = arena_strdup(to->arena, alias);
	}
	/* An alias that exists is switched over: that is what they are for. */
	to->aliases[at].collection = arena_strdup(to->arena, collection);
	return 0;
}

static int rename_alias(struct map *to, const char *from, const char *name, struct error *err)
{
	const char *collection;
	bool found;
	uint32_t at = map_find_alias(to, from, &found);

	if (!found)
		return error_set(err, ERR_NOT_FOUND, "Alias %s does not exists!", from);
	collection = to->aliases[at].collection;
	remove_at(to->aliases, &to->n_aliases, sizeof(*to->aliases), at);
	return create_alias(to, name, collection, err);
}

static int change_aliases(struct map *to, const struct map_command *c, struct error *err)
{
	for (uint32_t i = 0; i < c->n_actions; i++) {
		const struct alias_action *a = &c->actions[i];
		bool found;
		uint32_t at;
		int rc = 0;

		switch (a->type) {
		case ALIAS_CREATE: rc = create_alias(to, a->alias, a->other, err); break;
		case ALIAS_RENAME: rc = rename_alias(to, a->alias, a->other, err); break;
		case ALIAS_DELETE:
			at = map_find_alias(to, a->alias, &found);
			if (found)
				remove_at(to->aliases, &to->n_aliases, sizeof(*to->aliases), at);
			break;
		}
		if (rc < 0)
			return rc; /* the copy is thrown away: all or none */
	}
	return 0;
}

/* ---- nodes ---- */

/* Another node that goes by this name or answers at this address. */
static int check_node_unique(const struct map *m, const struct map_node *n, struct error *err)
{
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		const struct map_node *other = &m->nodes[i];

		if (other->id == n->id)
			continue;
		if (strcmp(other->name, n->name) == 0)
			return error_set(err, ERR_EXISTS,
					 "a node named `%s` is in the cluster already (id %llu at "
					 "%s); give this one another --node name",
					 n->name, (unsigned long long)other->id,
					 other->rpc_address);
		if (n->rpc_address[0] != '\0' && other->state != NODE_DOWN &&
		    strcmp(other->rpc_address, n->rpc_address) == 0)
			return error_set(err, ERR_EXISTS,
					 "node `%s` of the cluster has the address %s already",
					 other->name, n->rpc_address);
	}
	return 0;
}

static int check_node_known(const struct map *m, const struct map_node *n, struct error *err)
{
	const struct map_node *now = map_node(m, n->id);

	if (now == NULL) {
		if (n->id < MAP_FIRST_ID)
			return 0;
		return error_set(err, ERR_NOT_FOUND,
				 "node `%s` (id %llu) is not in this cluster, or was removed from "
				 "it; start it with an empty data folder to join again",
				 n->name, (unsigned long long)n->id);
	}
	if (n->incarnation < now->incarnation)
		return error_set(err, ERR_STALE,
				 "node `%s` was started again since (incarnation %llu, this one "
				 "is %llu); was its data folder copied to a second server?",
				 now->name, (unsigned long long)now->incarnation,
				 (unsigned long long)n->incarnation);
	if (n->incarnation == now->incarnation &&
	    (strcmp(n->rpc_address, now->rpc_address) != 0 || strcmp(n->name, now->name) != 0))
		return error_set(err, ERR_EXISTS,
				 "two servers are node `%s` with incarnation %llu: %s and %s; was "
				 "its data folder copied?",
				 now->name, (unsigned long long)now->incarnation, now->rpc_address,
				 n->rpc_address);
	return 0;
}

/* The partitions of a collection, to be changed: other maps share those it had. */
static struct map_partition *own_partitions(struct map_collection *c)
{
	uint32_t n = c->collection->n_partitions;
	struct map_partition *copy = map_partitions_new(n);

	memcpy(copy, c->partitions, n * sizeof(*copy));
	map_partitions_unref(c->partitions);
	c->partitions = copy;
	return copy;
}

/* A process that begins anew may have lost what an earlier one said that it holds. A replica that is on its way into a set could be
 * taken into it on that word: with a new epoch it does not count. (A member that lost what it held is not opened: shard/begin.h.) */
static void new_epochs_for_learner(struct map *to, uint64_t node)
{
	for (uint32_t i = 0; i < to->n_collections; i++) {
		struct map_collection *c = &to->collections[i];
		struct map_partition *own = NULL;

		for (uint32_t p = 0; p < c->collection->n_partitions; p++) {
			const struct map_partition *now = &c->partitions[p];

			if (!map_among(now->learners, now->n_learners, node))
				continue;
			if (own == NULL)
				own = own_partitions(c);
			own[p].epoch++;
		}
	}
}

static int put_node(struct map *to, const struct map_command *c, struct error *err)
{
	struct map_node node = c->node;
	struct map_node *slot;
	bool found;
	uint32_t at;
	int rc;

	/* No address: a single node that nobody calls. */
	if (node.name[0] == '\0' || strlen(node.name) > LIMIT_NAME_BYTES)
		return error_set(err, ERR_VALIDATION, "a node needs a name of 1 to %d bytes",
				 LIMIT_NAME_BYTES);
	rc = check_node_unique(to, &node, err);
	if (rc == 0 && node.id != 0)
		rc = check_node_known(to, &node, err);
	if (rc < 0)
		return rc;
	if (node.id == 0)
		node.id = to->next_id++;
	node.name = arena_strdup(to->arena, node.name);
	node.rpc_address = arena_strdup(to->arena, node.rpc_address);
	node.http_address = arena_strdup(to->arena, node.http_address);
	at = map_find_node(to, node.id, &found);
	slot = found ? &to->nodes[at] : insert_at(to->nodes, &to->n_nodes, sizeof(*slot), at);
	if (found && node.incarnation > slot->incarnation && c->version >= COMMAND_VERSION_STARTS &&
	    !MUTANT(start_keeps_epochs))
		new_epochs_for_learner(to, node.id);
	*slot = node;
	return 0;
}

static int remove_node(struct map *to, const struct map_command *c, struct error *err)
{
	bool found;
	uint32_t at = map_find_node(to, c->node.id, &found);
	uint32_t n = 0;

	if (!found)
		return error_set(err, ERR_NOT_FOUND, "there is no node with id %llu",
				 (unsigned long long)c->node.id);
	for (uint32_t i = 0; i < to->n_collections; i++) {
		const struct map_collection *each = &to->collections[i];

		for (uint32_t j = 0; j < each->collection->n_partitions; j++)
			n += map_partition_names(&each->partitions[j], c->node.id);
	}
	if (n > 0)
		return error_set(err, ERR_BUSY,
				 "node `%s` still has %u replicas; drain it first, then remove it",
				 to->nodes[at].name, n);
	remove_at(to->nodes, &to->n_nodes, sizeof(*to->nodes), at);
	return 0;
}

/* ---- partitions ---- */

/* The rules of the write path (isr_sound, learner_hidden): the primary comes from the in-sync set
 * before, and only a learner can become in sync. */
static const char *transition_flaw(const struct map *m, const struct map_partition *now,
				   const struct map_partition *next, bool recover)
{
	const char *flaw = map_partition_flaw(next);

	if (flaw != NULL)
		return flaw;
	if (next->slot_first != now->slot_first || next->slot_last != now->slot_last)
		return "its slots would change";
	if (!recover && !map_among(now->in_sync, now->n_in_sync, next->primary))
		return "its new primary was not in sync";
	if (!recover && next->n_in_sync < now->n_in_sync && next->n_in_sync < next->min_isr)
		return "its in-sync set would fall below min_isr";
	for (uint32_t i = 0; i < next->n_in_sync; i++) {
		if (!map_among(now->in_sync, now->n_in_sync, next->in_sync[i]) &&
		    !map_among(now->learners, now->n_learners, next->in_sync[i]))
			return "a replica would be in sync without having been a learner";
	}
	for (uint32_t i = 0; i < next->n_learners; i++) {
		const struct map_node *node = map_node(m, next->learners[i]);

		if (node == NULL || !node->shard)
			return "a learner is not a shard server of this cluster";
	}
	return NULL;
}

/* A move ends when its old replica is gone, and when no new one is on the way any more. */
static bool move_goes_on(const struct collection *c, const struct map_partition *p)
{
	return map_among(p->in_sync, p->n_in_sync, p->leaving) &&
	       (p->n_learners > 0 || p->n_in_sync > c->replication_factor);
}

static int set_partition(struct map *to, const struct map_command *c, struct error *err)
{
	struct map_collection *collection =
		(struct map_collection *)map_collection_by_id(to, c->collection_id);
	struct map_partition *next;
	const struct map_partition *now;
	const char *flaw;
	uint64_t epoch;

	if (collection == NULL || c->partition >= collection->collection->n_partitions)
		return error_set(err, ERR_NOT_FOUND, "there is no partition %u of collection %llu",
				 c->partition, (unsigned long long)c->collection_id);
	now = &collection->partitions[c->partition];
	if (c->expect_epoch != now->epoch && !MUTANT(stale_epoch_taken))
		return error_set(err, ERR_STALE, "partition %u of `%s` is at epoch %llu, not %llu",
				 c->partition, collection->collection->name,
				 (unsigned long long)now->epoch,
				 (unsigned long long)c->expect_epoch);
	flaw = transition_flaw(to, now, &c->config, c->type == MAP_PARTITION_RECOVER);
	if (flaw != NULL)
		return error_set(err, ERR_VALIDATION, "partition %u of `%s`: %s", c->partition,
				 collection->collection->name, flaw);
	epoch = now->epoch + 1;
	next = &own_partitions(collection)[c->partition];
	*next = c->config;
	next->epoch = epoch;
	if (!move_goes_on(collection->collection, &c->config))
		next->leaving = 0;
	if (!map_among(c->config.in_sync, c->config.n_in_sync, c->config.pinned) &&
	    !map_among(c->config.learners, c->config.n_learners, c->config.pinned))
		next->pinned = 0;
	return 0;
}

/* ---- keys ---- */

static int put_key(struct map *to, const struct map_command *c, struct error *err)
{
	struct map_key *slot;
	bool found;
	uint32_t at = map_find_key(to, c->key.name, &found);

	if (c->key.name[0] == '\0' || strlen(c->key.name) > LIMIT_NAME_BYTES)
		return error_set(err, ERR_VALIDATION, "an API key needs a name");
	slot = found ? &to->keys[at] : insert_at(to->keys, &to->n_keys, sizeof(*slot), at);
	*slot = c->key;
	slot->name = arena_strdup(to->arena, c->key.name);
	return 0;
}

static int remove_key(struct map *to, const struct map_command *c, struct error *err)
{
	bool found;
	uint32_t at = map_find_key(to, c->name, &found);

	if (!found)
		return error_set(err, ERR_NOT_FOUND, "there is no API key named `%s`", c->name);
	remove_at(to->keys, &to->n_keys, sizeof(*to->keys), at);
	return 0;
}

/* ---- applying ---- */

static bool was_applied(const struct map *m, uint64_t hi, uint64_t lo)
{
	if (hi == 0 && lo == 0)
		return false;
	for (uint32_t i = m->n_done; i-- > 0;) {
		if (m->done[i].hi == hi && m->done[i].lo == lo)
			return true;
	}
	return false;
}

static void remember(struct map *to, uint64_t hi, uint64_t lo)
{
	if (hi == 0 && lo == 0)
		return;
	if (to->n_done == MAP_DONE_CAPACITY)
		remove_at(to->done, &to->n_done, sizeof(*to->done), 0);
	to->done[to->n_done++] = (struct map_done){hi, lo};
}

static int change(struct map *to, const struct map_command *c, struct error *err)
{
	switch (c->type) {
	case MAP_CREATE_COLLECTION: return create_collection(to, c, err);
	case MAP_UPDATE_COLLECTION: return update_collection(to, c, err);
	case MAP_DELETE_COLLECTION: return delete_collection(to, c, err);
	case MAP_ALIASES: return change_aliases(to, c, err);
	case MAP_NODE_PUT: return put_node(to, c, err);
	case MAP_NODE_REMOVE: return remove_node(to, c, err);
	case MAP_PARTITION_SET:
	case MAP_PARTITION_RECOVER: return set_partition(to, c, err);
	case MAP_KEY_PUT: return put_key(to, c, err);
	case MAP_KEY_REMOVE: return remove_key(to, c, err);
	case MAP_COMMAND_COUNT: break;
	}
	return error_set(err, ERR_INTERNAL, "unknown command of the shard map");
}

int map_apply(const struct map *m, uint64_t index, const void *command, size_t n, struct map **next,
	      struct error *result)
{
	struct arena *arena = arena_new(1024);
	struct map_command c;
	struct map *to;
	int rc;

	assert(index > m->index);
	result->code = 0;
	result->text[0] = '\0';
	rc = map_command_decode(command, n, arena, &c, result);
	if (rc == ERR_VERSION)
		goto out; /* a newer program may apply it: going on would give another map */
	if (rc < 0 || was_applied(m, c.command_hi, c.command_lo)) {
		*next = map_ref(m);
		rc = 0;
		goto release;
	}
	to = map_copy(m, c.n_actions + 1);
	if (change(to, &c, result) == 0) {
		to->index = index;
		remember(to, c.command_hi, c.command_lo);
		*next = to;
	} else {
		map_unref(to);
		*next = map_ref(m);
	}
release:
	map_command_release(&c);
out:
	arena_free(arena);
	return rc;
}
