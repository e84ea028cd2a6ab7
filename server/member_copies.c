/* What the replicas here need of the control plane: their proposals go to the map, and they hear how new the map is that they work by. */
#include "base/clock.h"
#include "base/memory.h"
#include "server/member_internal.h"
#include "shard/shard.h"
#include <stdlib.h>

enum { CONTACTS_MAX = 4 };

/* ---- proposals ---- */

struct proposing {
	void (*proposed)(void *done_ctx, int rc);
	void *done_ctx;
};

static void was_decided(void *ctx, const struct error *result, uint64_t index)
{
	struct proposing *p = ctx;
	p->proposed(p->done_ctx, result->code);
	free(p);
}

void member_propose(void *ctx, const struct shard_proposal *proposal)
{
	struct member *m = ctx;
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL) {
		proposal->done(proposal->done_ctx, ERR_CLOSED);
		return;
	}
	struct proposing *p = mem_zalloc(sizeof(*p));
	struct map_command c = {.type = MAP_PARTITION_SET,
				.collection_id = proposal->collection_id,
				.partition = proposal->partition,
				.expect_epoch = proposal->expect_epoch,
				.config = proposal->next};
	*p = (struct proposing){proposal->done, proposal->done_ctx};
	meta_runtime_submit(meta, &c, was_decided, p);
	member_meta_put(m);
}

/* ---- contact ---- */

struct contact {
	struct member *member;
	uint64_t at_us;
};

static void was_confirmed(void *ctx, const struct error *result, uint64_t index)
{
	struct contact *c = ctx;
	if (result->code == 0)
		hosting_contact(c->member->hosting, c->at_us);
	atomic_fetch_sub(&c->member->contacts, 1);
	free(c);
}

/* A majority of the coordinators confirms who leads, after the question; and the map here is then as new as the leader's was. So whatever the
 * map says of another primary was not said before the question, or is known here. */
void member_contact(struct member *m)
{
	if (atomic_load(&m->contacts) >= CONTACTS_MAX)
		return;
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL)
		return;
	struct contact *c = mem_zalloc(sizeof(*c));
	*c = (struct contact){m, clock_monotonic_us()};
	atomic_fetch_add(&m->contacts, 1);
	meta_runtime_read(meta, was_confirmed, c);
	member_meta_put(m);
}
