/* Who may begin from nothing: see begin.h. */
#include "shard/begin.h"
#include "base/mutant.h"

/* What an old map says is no reason to begin: where it names a learner, a newer one may count this node among those that
 * have everything. When the newest does, nothing is right if it never held anything, as at the start of a collection:
 * then nothing can have been committed without it. But one whose folder was lost must not pass for a new one. Not the
 * epoch tells them apart: it may have moved on before this node came. A learner may have held what is gone, and an answer that says so
 * may be on its way: it counts in the epochs up to the one that the map begins with this start (cluster/map_apply.c), so the learner
 * waits for that one. */
enum begin begin_from_nothing(const struct begin_facts *f, const struct map_partition *c)
{
	if (!f->confirmed && !MUTANT(begins_unconfirmed))
		return BEGIN_LATER;
	if (!map_among(c->in_sync, c->n_in_sync, f->self))
		return f->registered || MUTANT(begins_unregistered) ? BEGIN_NOW : BEGIN_LATER;
	if (MUTANT(new_by_epoch))
		return c->epoch > 1 ? BEGIN_LOST : BEGIN_NOW;
	if (f->known && !MUTANT(mark_ignored))
		return BEGIN_LOST;
	return f->collection_id < f->known_since && !MUTANT(since_ignored) ? BEGIN_LOST : BEGIN_NOW;
}

/* A learner holds nothing of the epochs before: a map from then, which a restart may find on its disk, must not make it
 * a member again. */
uint64_t begin_epoch(uint64_t self, const struct map_partition *c)
{
	return map_among(c->learners, c->n_learners, self) && !MUTANT(learner_without_epoch)
		       ? c->epoch
		       : 0;
}

/* Its primary may count on it by a newer map, which has it again: what it acknowledged must stay. */
bool begin_keeps(uint64_t highest, const struct map_partition *c)
{
	return highest > c->epoch && !MUTANT(old_map_deletes);
}
