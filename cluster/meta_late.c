/* Messages that the raft library must not see: it trusts that they come in time, and from servers that keep what they
 * have acknowledged. */
#include "cluster/meta_internal.h"

/* Everything in it is here already, and perhaps more. Who leads is told so, or it would wait. */
bool meta_has_snapshot(struct meta *m, const struct meta_wire *w)
{
	const struct log_entry *e = meta_log_get(&m->log, w->snapshot.index);
	struct meta_wire reply = {.type = WIRE_APPEND_RESULT, .term = w->term};

	if (w->snapshot.index > core_commit(m->core) &&
	    (e == NULL || e->term != w->snapshot.index_term))
		return false;
	if (w->term == core_term(m->core) && w->snapshot.index <= core_stored(m->core)) {
		reply.append_result.last_index = w->snapshot.index;
		meta_send(m, w->from, w->address, &reply);
	}
	return true;
}

/* Does a rejection deny what this follower had acknowledged? Then it lost its log; taking its word
 * would break the library, and it must leave and join anew. */
bool meta_lost_its_log(const struct meta *m, const struct meta_wire *w)
{
	uint64_t match = 0;

	if (w->append_result.rejected == 0 || w->term != core_term(m->core))
		return false;
	if (!core_match(m->core, w->from, &match))
		return false;
	return w->append_result.last_index < match || w->append_result.rejected <= match;
}

const char *meta_own_address(const struct meta_options *o)
{
	for (size_t i = 0; i < o->n_bootstrap; i++) {
		if (o->bootstrap[i].id == o->self)
			return o->bootstrap[i].address;
	}
	return "";
}
