/*
 * Our replication protocol (not Raft: the shard map is taken as an atomic compare-and-set register), for spin.
 *
 * One process a replica, one for the map's leader. Every step is one event of the machine in shard/replica.h, and is named
 * after it. A replica that is down is one that takes no step; a crash is the step `restart`, which loses what was not durable.
 * The failure detector may be wrong at any moment, messages are lost, late and doubled, maps are read late or not at all, proposals win
 * late: nothing here knows a clock.
 *
 * Constants, set by scripts/model: N replicas, S sequence numbers, E epochs, CRASHES, WIPES (a disk lost), REFUSALS (a full
 * disk), MIN_ISR, IN_SYNC (bits of the first in-sync set), STRAYS (late requests overlap later ones), LOSSES (messages are lost),
 * PRIMARIES (how many of the replicas may be promoted), MUTANT (a seeded bug; with MUTANTS it is read from the environment).
 */
#ifdef MUTANT /* fixed, for reading a trail */
#define MUT(number) (MUTANT == number)
#elif defined(MUTANTS) /* picked when the verifier starts: one program for all */
c_decl {
	\#include <stdlib.h>
	static int is_mutant[32];
	__attribute__((constructor)) static void pick_mutant(void)
	{
		is_mutant[atoi(getenv("MUTANT")) % 32] = 1;
	}
};
#define MUT(number) c_expr { is_mutant[number] }
#else
#define MUT(number) false
#endif
#ifndef WITNESS
#define WITNESS 0
#endif
#define BIT(x) (1 << (x))
#define HAS(set, x) (((set) >> (x)) & 1)
#define ALL (BIT(N) - 1)
#define NOBODY 15

/* ---- the map ---- */

/* Configurations by epoch; the newest is map_epoch. Replicas may read any one that they have not passed. */
byte map_epoch = 1;
byte primary_of[E + 1];
byte in_sync_of[E + 1] = IN_SYNC; /* the first one, until overwritten */
byte learners_of[E + 1] = LEARNERS;
#define IN_SYNC_NOW in_sync_of[map_epoch]
#define LEARNERS_NOW learners_of[map_epoch]
#define PRIMARY_NOW primary_of[map_epoch]

/* In-sync sets that were proposed with map_epoch as the expected one (bit s: the set s); each may win at any time. */
short proposed_sets = 0;

/* ---- replicas ---- */

typedef replica {
	/* on disk */
	byte stored;      /* REPLICA file: highest epoch */
	byte last;        /* end of the log as written; what is behind `durable` a crash may take */
	byte durable;
	byte epoch_at[S + 1];
	byte value_at[S + 1];
	bool wiped;       /* the disk was lost, and that was noticed; it answers nothing until seeded */
	/* in memory */
	byte epoch;       /* highest seen */
	byte config;      /* epoch of the newest map read; primary only while it equals `epoch` */
	byte commit;
	bool fresh;       /* no map read since the start */
	bool renewing;    /* must not go on at this epoch */
	bool open;
	byte opening;     /* what must commit before it opens */
	byte required;    /* learners that commit waits for */
	byte asked;       /* those whose addition was proposed */
	byte acked[N];    /* what members said is durable, at this epoch */
}
replica r[N];

#define CONFIG(i) r[i].config
#define IS_PRIMARY(i) (!r[i].wiped && r[i].config != 0 && r[i].config == r[i].epoch && primary_of[r[i].config] == i)
#define MEMBERS(i) (in_sync_of[r[i].config])
#define LEARNERS_OF(i) (learners_of[r[i].config])
/* It acts as the primary once the epoch is durable. */
#define ACTS(i) (IS_PRIMARY(i) && !r[i].renewing && (r[i].stored == r[i].epoch || MUT(15)))

/* ---- calls ---- */

#define NONE 0
#define REQUEST 1
#define ANSWER_OK 2
#define ANSWER_STALE 3
typedef call {
	byte what;
	byte epoch;
	byte prev, prev_epoch; /* of an answer: prev is durable_seq, up to where the logs are known to agree */
	byte n;
	byte record_epoch, record_value;
	byte commit;
}
call calls[N * N];  /* from * N + to: at most one is waited for */
#if STRAYS
call strays[N * N]; /* given up by the caller, on its way nevertheless; its answer nobody hears */
#endif

/* ---- what the checks know ---- */

byte writes = 0;
byte crashes = 0;
byte wipes = 0;
byte refusals = 0;
byte committed = 0;           /* acknowledged up to here */
byte committed_value[S + 1];
byte committer[E + 1];        /* 1 + the replica that committed in this epoch */
short refused = 0;            /* bits of values that were answered as refused */
byte late_growth = 0;         /* for the witnesses */

byte i, s, c, t; /* of one step, zero between steps */

inline clear_call(x)
{
	x.what = NONE;
	x.epoch = 0;
	x.prev = 0;
	x.prev_epoch = 0;
	x.n = 0;
	x.record_epoch = 0;
	x.record_value = 0;
	x.commit = 0;
}

/* ack_durable, isr_sound: after every step that could break them. */
inline check_acknowledged()
{
	assert(IN_SYNC_NOW != 0 && HAS(IN_SYNC_NOW, PRIMARY_NOW)); /* isr_sound */
	for (i : 0 .. N - 1) {
		if
		:: HAS(IN_SYNC_NOW, i) && !r[i].wiped ->
			assert(r[i].durable >= committed); /* ack_durable */
			for (s : 1 .. S) {
				assert(s > committed || r[i].value_at[s] == committed_value[s]); /* ack_durable */
			}
		:: else
		fi
	}
	i = 0;
	s = 0;
}

inline forget_members(x)
{
	for (i : 0 .. N - 1) {
		r[x].acked[i] = 0;
	}
	i = 0;
}

/* What was not committed when a primary steps down is answered as unknown. (Mutant: as refused.) */
inline step_down(x)
{
	if
	:: MUT(16) && r[x].open ->
		for (s : 1 .. S) {
			if
			:: s > r[x].commit && s <= r[x].last && r[x].epoch_at[s] == r[x].config ->
				refused = refused | BIT(r[x].value_at[s])
			:: else
			fi
		}
		s = 0
	:: else
	fi
	r[x].open = false;
	r[x].renewing = false;
	r[x].opening = 0;
	r[x].required = 0;
	r[x].asked = 0;
}

/* EVENT_CONFIG */
inline read_config(x, e)
{
	if
	:: IS_PRIMARY(x) && primary_of[e] != x -> step_down(x)
	:: else
	fi
	if
	:: primary_of[e] == x ->
		r[x].renewing = r[x].fresh && r[x].stored == e && !MUT(7) &&
				(in_sync_of[e] != BIT(x) || (learners_of[e] != 0 && !MUT(8)));
		r[x].open = false;
		r[x].opening = r[x].last;
		if
		:: MUT(10) && IS_PRIMARY(x)                /* keeps what it knew across epochs it did not see */
#if KEEP_NEXT
		:: !MUT(10) && IS_PRIMARY(x) && e == r[x].config + 1
#endif
		:: else -> forget_members(x)
		fi
	:: else -> forget_members(x)
	fi
	r[x].required = 0;
	r[x].asked = 0;
	r[x].fresh = false;
	r[x].config = e;
	r[x].epoch = e;
}

inline truncate(x, after)
{
	for (s : 1 .. S) {
		if
		:: s > after && s <= r[x].last ->
			assert(s > r[x].commit); /* no_commit_truncate */
			assert(s > committed || r[x].value_at[s] != committed_value[s]); /* no_commit_truncate */
			r[x].epoch_at[s] = 0;
			r[x].value_at[s] = 0
		:: else
		fi
	}
	s = 0;
	r[x].last = after;
}

/* EVENT_APPEND at x; the answer is left in q. */
inline take_append(x, q)
{
	if
	:: q.epoch < r[x].epoch && !MUT(3) ->
		t = r[x].epoch;
		clear_call(q);
		q.what = ANSWER_STALE;
		q.epoch = t
	:: else ->
		if
		:: q.epoch > r[x].epoch ->
			if
			:: IS_PRIMARY(x) -> step_down(x)
			:: else
			fi
			r[x].epoch = q.epoch;
			forget_members(x)
		:: else
		fi
		/* Not only when it is higher than what is in memory: the map may have brought it before. */
		if
		:: q.epoch > r[x].stored && !MUT(9) -> r[x].stored = q.epoch
		:: else
		fi
		if
		:: q.prev > r[x].last || (r[x].epoch_at[q.prev] != q.prev_epoch && !MUT(19)) ->
			clear_call(q) /* MISMATCH: the caller tries an earlier one */
		:: else ->
			if
			:: MUT(5) && r[x].last > q.prev -> truncate(x, q.prev)
			:: else
			fi
			if
			:: q.n == 1 ->
				c = q.prev + 1;
				if
				:: c <= r[x].last && r[x].epoch_at[c] != q.record_epoch -> truncate(x, q.prev)
				:: else
				fi
				if
				:: c > r[x].last ->
					r[x].epoch_at[c] = q.record_epoch;
					r[x].value_at[c] = q.record_value;
					r[x].last = c
				:: else
				fi
			:: else -> c = q.prev
			fi
			r[x].durable = r[x].last;
			t = (q.commit < c || MUT(23) -> q.commit : c);
			if
			:: t > r[x].last -> t = r[x].last
			:: else
			fi
			if
			:: t > r[x].commit ->
				r[x].commit = t;
				assert(t <= committed); /* prefix_agree */
				for (s : 1 .. S) {
					assert(s > t || r[x].value_at[s] == committed_value[s]); /* prefix_agree */
				}
				s = 0
			:: else
			fi
			if
			:: MUT(11) -> c = r[x].durable
			:: else
			fi
			t = q.epoch;
			clear_call(q);
			q.what = ANSWER_OK;
			q.epoch = t;
			q.prev = c
		fi
	fi;
	c = 0;
	t = 0;
	check_acknowledged()
}

/* The calls of a process that ended: what is on its way stays so, answers go nowhere. */
inline leave_calls(x)
{
	for (i : 0 .. N - 1) {
#if STRAYS
		if
		:: calls[x * N + i].what == REQUEST && strays[x * N + i].what == NONE ->
			strays[x * N + i].what = REQUEST;
			strays[x * N + i].epoch = calls[x * N + i].epoch;
			strays[x * N + i].prev = calls[x * N + i].prev;
			strays[x * N + i].prev_epoch = calls[x * N + i].prev_epoch;
			strays[x * N + i].n = calls[x * N + i].n;
			strays[x * N + i].record_epoch = calls[x * N + i].record_epoch;
			strays[x * N + i].record_value = calls[x * N + i].record_value;
			strays[x * N + i].commit = calls[x * N + i].commit
		:: else
		fi
#endif
		clear_call(calls[x * N + i]);
	}
	i = 0;
}

/* A crash keeps `kept` of the log, at least what is durable. */
inline crash(x, kept)
{
	for (s : 1 .. S) {
		if
		:: s > kept ->
			r[x].epoch_at[s] = 0;
			r[x].value_at[s] = 0
		:: else
		fi
	}
	s = 0;
	r[x].last = kept;
	r[x].durable = kept;
	r[x].epoch = r[x].stored;
	r[x].config = 0;
	r[x].commit = 0;
	r[x].fresh = true;
	r[x].renewing = false;
	r[x].open = false;
	r[x].opening = 0;
	r[x].required = 0;
	r[x].asked = 0;
	forget_members(x);
	leave_calls(x);
}

inline propose(x, set)
{
	if
	:: r[x].config == map_epoch -> proposed_sets = proposed_sets | BIT(set)
	:: MUT(20) -> proposed_sets = proposed_sets | BIT(set)
	:: else
	fi
}

/* ---- steps of the primary x towards the replica m ---- */

#define SEND_LIMIT(x, m) ((HAS(MEMBERS(x), m)) -> r[x].last : r[x].durable)
#define CAN_SEND(x, m, p) (m != x && ACTS(x) && calls[x * N + m].what == NONE && \
	(HAS(MEMBERS(x), m) || HAS(LEARNERS_OF(x), m)) && p >= r[x].acked[m] && p <= SEND_LIMIT(x, m))

#define SEND(x, m, p) \
	:: d_step { CAN_SEND(x, m, p) -> \
		calls[x * N + m].what = REQUEST; \
		calls[x * N + m].epoch = r[x].epoch; \
		calls[x * N + m].prev = p; \
		calls[x * N + m].prev_epoch = r[x].epoch_at[p]; \
		calls[x * N + m].commit = r[x].commit; \
		if \
		:: p < SEND_LIMIT(x, m) -> \
			calls[x * N + m].n = 1; \
			calls[x * N + m].record_epoch = r[x].epoch_at[p + 1]; \
			calls[x * N + m].record_value = r[x].value_at[p + 1] \
		:: else \
		fi }

#if S == 1
#define SENDS(x, m) SEND(x, m, 0) SEND(x, m, 1)
#elif S == 2
#define SENDS(x, m) SEND(x, m, 0) SEND(x, m, 1) SEND(x, m, 2)
#else
#define SENDS(x, m) SEND(x, m, 0) SEND(x, m, 1) SEND(x, m, 2) SEND(x, m, 3)
#endif

/* EVENT_APPEND_ANSWER */
#define HEAR(x, m) \
	:: d_step { calls[x * N + m].what == ANSWER_OK -> \
		if \
		:: IS_PRIMARY(x) && calls[x * N + m].epoch == r[x].epoch -> \
			r[x].acked[m] = calls[x * N + m].prev \
		:: else \
		fi; \
		clear_call(calls[x * N + m]) } \
	:: d_step { calls[x * N + m].what == ANSWER_STALE -> \
		if \
		:: calls[x * N + m].epoch > r[x].epoch -> \
			step_down(x); \
			r[x].epoch = calls[x * N + m].epoch; \
			forget_members(x) \
		:: else \
		fi; \
		clear_call(calls[x * N + m]) }

/* The call is lost, or given up (and the request arrives later). */
#define GIVE_UP(x, m) \
	:: d_step { calls[x * N + m].what != NONE -> clear_call(calls[x * N + m]) }
#if STRAYS
#define GIVE_UP_LATE(x, m) \
	:: d_step { calls[x * N + m].what == REQUEST && strays[x * N + m].what == NONE -> \
		strays[x * N + m].what = REQUEST; \
		strays[x * N + m].epoch = calls[x * N + m].epoch; \
		strays[x * N + m].prev = calls[x * N + m].prev; \
		strays[x * N + m].prev_epoch = calls[x * N + m].prev_epoch; \
		strays[x * N + m].n = calls[x * N + m].n; \
		strays[x * N + m].record_epoch = calls[x * N + m].record_epoch; \
		strays[x * N + m].record_value = calls[x * N + m].record_value; \
		strays[x * N + m].commit = calls[x * N + m].commit; \
		clear_call(calls[x * N + m]) }
#define TAKE_STRAY(x, m) \
	:: d_step { !r[x].wiped && strays[m * N + x].what == REQUEST -> \
		take_append(x, strays[m * N + x]); \
		clear_call(strays[m * N + x]) }
#else
#define GIVE_UP_LATE(x, m)
#define TAKE_STRAY(x, m)
#endif

/* EVENT_APPEND */
#define TAKE(x, m) \
	:: d_step { !r[x].wiped && calls[m * N + x].what == REQUEST -> \
		take_append(x, calls[m * N + x]) }

#define GROW(x, m) \
	:: d_step { /* require */ IS_PRIMARY(x) && r[x].open && HAS(LEARNERS_OF(x), m) && !HAS(r[x].required, m) -> \
		r[x].required = r[x].required | BIT(m) } \
	:: d_step { /* it fell silent again */ HAS(r[x].required, m) && (!HAS(r[x].asked, m) || MUT(14)) -> \
		r[x].required = r[x].required & ~BIT(m) } \
	:: d_step { /* propose_grow */ ACTS(x) && r[x].open && HAS(LEARNERS_OF(x), m) && \
		(HAS(r[x].required, m) || MUT(13)) && r[x].acked[m] >= r[x].commit && \
		!HAS(r[x].asked, m) -> \
		r[x].asked = r[x].asked | BIT(m); \
		propose(x, MEMBERS(x) | BIT(m)) }

#define SHRINK(x, m) \
	:: d_step { /* propose_shrink: silent, lagging, diverged: the model needs no reason */ \
		m != x && ACTS(x) && HAS(MEMBERS(x), m) && COUNT(MEMBERS(x)) - 1 >= MIN_ISR && \
		r[x].config == map_epoch && (!HAS(proposed_sets, MEMBERS(x) & ~BIT(m)) || MUT(6)) -> \
		if \
		:: MUT(6) -> r[x].acked[m] = S /* no longer waited for */ \
		:: else \
		fi; \
		propose(x, MEMBERS(x) & ~BIT(m)) }

/* The learner m, whose disk was lost, gets a copy of what x has applied. */
#define SEED(x, m) \
	:: d_step { /* asked for in the one call, so no older answer is on its way */ m != x && ACTS(x) && \
		calls[x * N + m].what == NONE && r[m].wiped && HAS(LEARNERS_OF(x), m) && \
		r[m].epoch <= r[x].epoch -> \
		r[m].wiped = false; \
		r[m].stored = r[x].epoch; \
		r[m].epoch = r[x].epoch; \
		r[m].last = r[x].commit; \
		r[m].durable = r[x].commit; \
		r[m].commit = r[x].commit; \
		for (s : 1 .. S) { \
			r[m].epoch_at[s] = (s <= r[x].commit -> r[x].epoch_at[s] : 0); \
			r[m].value_at[s] = (s <= r[x].commit -> r[x].value_at[s] : 0) \
		} \
		s = 0; \
		if \
		:: MUT(21) \
		:: else -> r[x].acked[m] = 0 \
		fi; \
		check_acknowledged() }

#if N == 2
#define COUNT(set) (HAS(set, 0) + HAS(set, 1))
#define EACH(what, x) what(x, 0) what(x, 1)
#else
#define COUNT(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2))
#define EACH(what, x) what(x, 0) what(x, 1) what(x, 2)
#endif

/* What is durable on all that count. */
inline find_committable(x)
{
	c = (MUT(1) -> r[x].last : r[x].durable);
	for (i : 0 .. N - 1) {
		if
		:: !MUT(2) && i != x && (HAS(MEMBERS(x), i) || HAS(r[x].required, i)) &&
		   r[x].acked[i] < c ->
			c = r[x].acked[i]
		:: else
		fi
	}
	i = 0;
}

inline commit_to_committable(x)
{
	find_committable(x);
	if
	:: c > r[x].commit ->
		assert(committer[r[x].config] == 0 || committer[r[x].config] == x + 1); /* one_committer */
		committer[r[x].config] = x + 1;
		for (s : 1 .. S) {
			if
			:: s <= c ->
				assert(!HAS(refused, r[x].value_at[s])); /* refused_absent */
				assert(s > committed || committed_value[s] == r[x].value_at[s]); /* prefix_agree */
				committed_value[s] = r[x].value_at[s]
			:: else
			fi
		}
		s = 0;
		r[x].commit = c;
		if
		:: c > committed -> committed = c
		:: else
		fi
	:: else
	fi
	c = 0;
	check_acknowledged();
	witness(x)
}

/* States that must be reachable, or the model proves nothing. */
inline witness(x)
{
#if WITNESS == 1 /* everything was committed, by more than one primary */
	assert(!(committed == S && committer[1] != 0 && committer[map_epoch] != 0 &&
		 committer[1] != committer[map_epoch]));
#elif WITNESS == 2 /* a member that had left, or was never in, has come in and counted */
	assert(!(late_growth > 0 && r[x].config == map_epoch && r[x].config == late_growth && committed == S));
#elif WITNESS == 3 /* a tail of an older epoch was committed after a promotion */
	assert(!(r[x].commit > 0 && r[x].epoch_at[r[x].commit] < r[x].config && committer[r[x].epoch_at[r[x].commit]] != x + 1 &&
		 primary_of[r[x].epoch_at[r[x].commit]] != x));
#elif WITNESS == 4 /* a restarted primary went on after its renewal */
	assert(!(crashes > 0 && x == 0 && r[x].config > 1 && primary_of[r[x].config - 1] == x && r[x].stored == r[x].config &&
		 !r[x].fresh && r[x].last > 1 && r[x].epoch_at[r[x].last - 1] < r[x].epoch_at[r[x].last] && r[x].commit == r[x].last));
#endif
	skip
}

#define RESTART(x, kept) \
	:: d_step { crashes < CRASHES && kept >= r[x].durable && kept <= r[x].last -> \
		crashes++; \
		crash(x, kept); \
		check_acknowledged() }
#define READ(x, e) \
	:: d_step { e <= map_epoch && e > r[x].config && e >= r[x].epoch -> \
		read_config(x, e) }

#if S == 1
#define RESTARTS(x) RESTART(x, 0) RESTART(x, 1)
#elif S == 2
#define RESTARTS(x) RESTART(x, 0) RESTART(x, 1) RESTART(x, 2)
#else
#define RESTARTS(x) RESTART(x, 0) RESTART(x, 1) RESTART(x, 2) RESTART(x, 3)
#endif
#if E == 2
#define READS(x) READ(x, 1) READ(x, 2)
#elif E == 3
#define READS(x) READ(x, 1) READ(x, 2) READ(x, 3)
#elif E == 4
#define READS(x) READ(x, 1) READ(x, 2) READ(x, 3) READ(x, 4)
#elif E == 5
#define READS(x) READ(x, 1) READ(x, 2) READ(x, 3) READ(x, 4) READ(x, 5)
#else
#define READS(x) READ(x, 1) READ(x, 2) READ(x, 3) READ(x, 4) READ(x, 5) READ(x, 6)
#endif

active [N] proctype replica_step()
{
	byte x = _pid;

end:	do
	/* EVENT_CONFIG */
	READS(x)

	/* own disk: the epoch, before anything is sent, committed, numbered or proposed at it */
	:: d_step { IS_PRIMARY(x) && !r[x].renewing && r[x].stored < r[x].epoch -> r[x].stored = r[x].epoch }

	/* all of the log is committed under this epoch: it opens */
	:: d_step { ACTS(x) && !r[x].open && r[x].commit >= r[x].opening ->
		r[x].open = true }

	/* EVENT_WRITE, EVENT_WRITTEN */
	:: d_step { IS_PRIMARY(x) && r[x].open && r[x].stored == r[x].epoch && r[x].last < S && writes < S + 1 ->
		writes++;
		r[x].last++;
		r[x].epoch_at[r[x].last] = r[x].epoch;
		r[x].value_at[r[x].last] = writes }

	/* EVENT_APPEND_FAILED: refused, and nowhere. (Mutant: it was sent before it was written.) */
	:: d_step { refusals < REFUSALS && IS_PRIMARY(x) && r[x].open && r[x].stored == r[x].epoch && r[x].last < S &&
		    calls[x * N + (1 - x % 2)].what == NONE && writes < S + 1 ->
		refusals++;
		writes++;
		refused = refused | BIT(writes);
		if
		:: MUT(17) && HAS(MEMBERS(x), 1 - x % 2) ->
			calls[x * N + (1 - x % 2)].what = REQUEST;
			calls[x * N + (1 - x % 2)].epoch = r[x].epoch;
			calls[x * N + (1 - x % 2)].prev = r[x].last;
			calls[x * N + (1 - x % 2)].prev_epoch = r[x].epoch_at[r[x].last];
			calls[x * N + (1 - x % 2)].n = 1;
			calls[x * N + (1 - x % 2)].record_epoch = r[x].epoch;
			calls[x * N + (1 - x % 2)].record_value = writes
		:: else
		fi }

	/* EVENT_DURABLE */
	:: d_step { r[x].durable < r[x].last -> r[x].durable = r[x].last }

	/* commit: a step of its own, so that answers may be in hand without it */
	:: d_step { ACTS(x) -> commit_to_committable(x) }

	/* propose_renewal */
	:: d_step { IS_PRIMARY(x) && r[x].renewing && r[x].config == map_epoch && !HAS(proposed_sets, MEMBERS(x)) ->
		propose(x, MEMBERS(x)) }
	/* the same set against a growth whose result is unknown */
	:: d_step { ACTS(x) && r[x].asked != 0 && r[x].config == map_epoch && !HAS(proposed_sets, MEMBERS(x)) ->
		propose(x, MEMBERS(x)) }

	EACH(SENDS, x)
	EACH(HEAR, x)
#if LOSSES
	EACH(GIVE_UP, x)
#endif
	EACH(GIVE_UP_LATE, x)
	EACH(TAKE, x)
	EACH(TAKE_STRAY, x)
	EACH(GROW, x)
	EACH(SHRINK, x)
	EACH(SEED, x)

	RESTARTS(x)
	/* the disk is lost. (Mutant: nobody notices.) */
	:: d_step { wipes < WIPES ->
		wipes++;
		r[x].durable = 0;
		r[x].stored = 0;
		r[x].wiped = true;
		crash(x, 0);
		if
		:: MUT(22) -> r[x].wiped = false
		:: else
		fi }
	od
}

/* ---- the map's leader ---- */

/* c: primary, s: in-sync set, t: learners of the next epoch */
inline map_set()
{
	if
	:: MUT(20) /* a late proposal is not compared with the epoch that it expected */
	:: else -> proposed_sets = 0
	fi;
	if
	:: WITNESS == 2 && (s & ~IN_SYNC_NOW) != 0 -> late_growth = map_epoch + 1
	:: else
	fi;
	map_epoch++;
	primary_of[map_epoch] = c;
	in_sync_of[map_epoch] = s;
	learners_of[map_epoch] = t;
	c = 0;
	s = 0;
	t = 0;
	check_acknowledged()
}

#define WIN(set) \
	:: d_step { map_epoch < E && HAS(proposed_sets, set) -> \
		c = PRIMARY_NOW; \
		s = (set) | (MUT(20) -> BIT(c) : 0); \
		t = (IN_SYNC_NOW | LEARNERS_NOW) & ~s; \
		map_set() }

/* Both with and without the old primary in the set. */
#define PROMOTE(m) \
	:: d_step { map_epoch < E && m != PRIMARY_NOW && HAS(IN_SYNC_NOW, m) -> \
		if \
		:: MUT(18) -> primary_of[map_epoch] = m \
		:: else -> c = m; s = IN_SYNC_NOW; t = LEARNERS_NOW; map_set() \
		fi } \
	:: d_step { map_epoch < E && m != PRIMARY_NOW && HAS(IN_SYNC_NOW, m) && COUNT(IN_SYNC_NOW) - 1 >= MIN_ISR -> \
		c = m; s = IN_SYNC_NOW & ~BIT(PRIMARY_NOW); t = LEARNERS_NOW | BIT(PRIMARY_NOW); map_set() } \
	:: d_step { MUT(4) && map_epoch < E && HAS(LEARNERS_NOW, m) -> \
		c = m; s = IN_SYNC_NOW | BIT(m); t = LEARNERS_NOW & ~BIT(m); map_set() }

#define HEAL(m) \
	:: d_step { /* a dead member leaves */ map_epoch < E && m != PRIMARY_NOW && HAS(IN_SYNC_NOW, m) && \
		COUNT(IN_SYNC_NOW) - 1 >= MIN_ISR -> \
		c = PRIMARY_NOW; s = IN_SYNC_NOW & ~BIT(m); t = LEARNERS_NOW | BIT(m); map_set() } \
	:: d_step { /* a copy is begun */ map_epoch < E && !HAS(IN_SYNC_NOW | LEARNERS_NOW, m) -> \
		c = PRIMARY_NOW; s = IN_SYNC_NOW; t = LEARNERS_NOW | BIT(m); map_set() }

active proctype map_leader()
{
end:	do
	PROMOTE(0) PROMOTE(1)
	HEAL(0) HEAL(1)
	WIN(1) WIN(2) WIN(3)
#if PRIMARIES == 3
	PROMOTE(2)
#endif
#if N == 3
	HEAL(2)
	WIN(4) WIN(5) WIN(6) WIN(7)
#endif
	od
}
