/* Seeded bugs of the replica machine, of what may begin from nothing, of the driver of raft, of the shard map and of the
 * healer. Only tests/sim is compiled with them, to see that it finds each (scripts/mutants); in all other programs
 * MUTANT is false. */
#pragma once

#ifdef QUIVER_MUTANTS
#define REPLICA_MUTANTS(X)                                                                         \
	X(commit_unsynced)         /* committed before the own disk has it */                      \
	X(commit_without_all)      /* committed when one other member has it */                    \
	X(required_not_counted)    /* a learner whose addition is proposed is not waited for */    \
	X(shrink_before_read_back) /* a member is not waited for as soon as its end is proposed */ \
	X(proposal_forgotten)      /* a silent learner is not waited for though it is proposed */  \
	X(restart_without_renewal) /* a primary goes on in the epoch in which it was killed */     \
	X(epoch_not_stored)        /* the epoch file is never written */                           \
	X(grow_too_early)          /* a learner joins before it has everything */                  \
	X(unsynced_acknowledged)   /* a follower acknowledges before its disk has it */            \
	X(unmatched_acknowledged)  /* a follower acknowledges a tail of its own */                 \
	X(commit_unmatched)        /* a follower takes a tail of its own for committed */          \
	X(match_kept)        /* what agreed with one primary is taken to agree with the next */    \
	X(prev_not_compared) /* no log matching */                                                 \
	X(late_append_cuts)  /* a late append cuts what came after it */                           \
	X(old_epoch_taken)   /* no fencing */                                                      \
	X(answer_before_applied)   /* answered before the others have applied it */                \
	X(retry_answered_at_once)  /* the same for the second copy of a batch */                   \
	X(batch_under_way_ignored) /* a batch is taken twice while its first copy is on its way */ \
	X(batch_known_ignored)     /* or later */                                                  \
	X(nothing_without_lease)   /* an old primary says that there is no such point */           \
	X(no_hold_after_promotion) /* a new primary answers while the old one may serve reads */   \
	X(no_hold_after_restart)   /* one that is alone forgets who may just have left */          \
	X(no_hold_for_who_left)    /* a primary answers while a former member may serve reads */   \
	X(no_hold_for_forgotten)   /* the same for whom it forgets, as it missed an epoch */       \
	X(serves_before_caught_up) /* reads are answered before the log of others is applied */    \
	X(lease_beyond_primary)    /* a follower's lease does not depend on its primary's */       \
	X(lease_from_receipt)      /* a lease begins when the append arrives */                    \
	X(late_answer_counts)      /* what was held in an epoch before counts in this one */       \
	X(begins_unconfirmed)      /* a replica begins from nothing by a map that may be old */    \
	X(begins_unregistered)     /* a learner begins in an epoch of its process before */        \
	X(new_by_epoch)            /* only at epoch 1 a member may begin from nothing */           \
	X(mark_ignored)            /* a member without its folder passes for new */                \
	X(since_ignored)           /* the same when what it has held is forgotten, too */          \
	X(learner_without_epoch)   /* a learner does not store the epoch in which it was named */  \
	X(old_map_deletes)         /* a map that is older than a replica takes it away */
#define CONTROL_MUTANTS(X)                                                                         \
	X(vote_not_saved)             /* who was voted for is forgotten by a restart */            \
	X(counts_unsynced)            /* a leader counts its own entry before it is durable */     \
	X(applies_uncommitted)        /* entries are applied as soon as they are in the log */     \
	X(commit_is_match)            /* what a follower holds is taken for committed */           \
	X(read_without_round)         /* a leader answers reads without asking the others */       \
	X(read_round_kept)            /* answers to earlier questions count */                     \
	X(read_any_term)              /* voters of another term confirm */                         \
	X(read_without_first)         /* a new leader does not wait for entries of its term */     \
	X(snapshot_old_configuration) /* a snapshot holds the coordinators of the one before */    \
	X(snapshot_not_skipped)       /* entries that a snapshot holds are asked for again */      \
	X(batch_not_cut)              /* configurations behind other entries in one batch */       \
	X(removes_itself)             /* a leader takes itself out */                              \
	X(change_before_own_term)     /* coordinators change before the leader's own entry */      \
	X(forward_not_exposed)        /* a request handed on is said not to have happened */       \
	X(entry_of_another)           /* another's entry at the same index passes for one's own */ \
	X(answered_early)             /* an answer before the own map holds the effect */          \
	X(start_keeps_epochs)         /* what a process held before it was started again counts */ \
	X(stale_epoch_taken)          /* a partition changes whatever its epoch was */             \
	X(reports_kept)               /* what a process said before it was started again counts */ \
	X(promotes_failed)            /* a member without its folder becomes primary */            \
	X(learner_never_votes)        /* a lone voter cannot make a second one safely */           \
	X(returner_ignored)           /* who lost its vote while it was away stays away */         \
	X(term_not_taken)             /* two voters refuse each other for ever */                  \
	X(asked_again_is_new)         /* a question that is asked again counts for new reads */    \
	X(leader_never_forgotten)     /* a learner gives no vote while it has had a leader */      \
	X(promotes_unheard)           /* a member that was not heard just now becomes primary */   \
	X(removed_stays)              /* a follower that was removed is not removed again */
#define MUTANTS(X) REPLICA_MUTANTS(X) CONTROL_MUTANTS(X)
enum mutant {
	MUTANT_none,
#define MUTANT_ENUM(name) MUTANT_##name,
	MUTANTS(MUTANT_ENUM)
#undef MUTANT_ENUM
};
extern int mutant_now;
#define MUTANT(name) (mutant_now == MUTANT_##name)
#else
#define MUTANT(name) false
#endif
