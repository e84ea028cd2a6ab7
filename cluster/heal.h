/* Failure detector and healer of the leader of the shard map. Pure: heartbeats, answers of probes, maps and time in;
 * commands for the map, probes to send and changes of the coordinators out. Only the leader's commands count, and each
 * change of a partition is a compare-and-set on its epoch, so two nodes that both believe to lead do no harm.
 *
 * Rules:
 *   detect    a node that was silent for suspect_us is probed through other nodes; silent for dead_us, and nobody
 *             vouched for it (it was not reached, or says itself that it does not get on): NODE_DOWN. A new leader starts with fresh timers. Time in which this process itself stood still
 *             is not counted. A node that comes and goes must stay for a while before it counts again.
 *   promote   the primary is dead: the in-sync member with the highest reported (epoch, seq) takes over. Never another one; when
 *             all in-sync members are dead the partition stays as it is.
 *   shrink    dead members leave the in-sync set (not below min_isr) and become learners, so that they keep their data and catch up
 *             when they return.
 *   rebuild   a learner that is dead for longer than grace_us is replaced by a learner on another node.
 *   move      off draining nodes, and from full to empty ones: a learner is added; the primary takes it into the in-sync set;
 *             then, with more in-sync members than the replication factor, the one on the fullest node leaves.
 *   voters    1, 3 or 5 of the coordinators vote; a voter that is dead for longer than grace_us is replaced.
 */
#pragma once
#include "cluster/map.h"
#include "cluster/meta.h"

struct heal;

struct heal_options {
	uint64_t self;       /* node id */
	uint64_t suspect_us; /* 0 = 750 ms */
	uint64_t dead_us;    /* 0 = 1.5 s */
	uint64_t grace_us;   /* 0 = 60 s */
	uint32_t max_moves;  /* replicas that are copied at a time; 0 = 2 */
};

/* What a node says of one of its replicas. */
struct heal_report {
	uint64_t collection_id;
	uint32_t partition;
	uint64_t epoch;
	uint64_t last_epoch, last_seq; /* end of its log */
	uint64_t commit_seq;
	uint64_t digest; /* of the state at commit_seq */
	bool failed;     /* it could not be opened */
};

enum heal_event_type {
	HEAL_LEAD, /* leads: this node leads now, or does no more; node, silent_us: who led before, and how long that one is silent */
	HEAL_MAP,  /* map */
	HEAL_HEARTBEAT, /* node, incarnation, reports */
	HEAL_PROBED,    /* node, reachable: the answer to a probe */
	HEAL_TICK       /* members */
};
struct heal_event {
	enum heal_event_type type;
	uint64_t now_us; /* monotonic */
	bool leads;
	uint64_t silent_us;
	const struct map *map; /* referenced by the healer while it is the newest */
	uint64_t node, incarnation;
	const struct heal_report *reports; /* sorted by collection and partition; copied */
	size_t n_reports;
	bool reachable;
	const struct meta_member *members; /* of the control plane */
	size_t n_members;
};

struct heal_probe {
	uint64_t through, node; /* ask `through` whether it can reach `node` */
};
struct heal_change {
	int change; /* 0 = none, else as struct meta_event */
	uint64_t node;
	const char *address;
};
struct heal_notice {
	bool alarm; /* else merely worth knowing */
	char text[240];
};
/* Valid until the next step. */
struct heal_update {
	const struct map_command *commands; /* to submit; a lost one is made again */
	size_t n_commands;
	const struct heal_probe *probes;
	size_t n_probes;
	struct heal_change change;
	const struct heal_notice *notices; /* for the log */
	size_t n_notices;
};

enum { HEAL_TICK_US = 100000 }; /* ticks are due so often */

struct heal *heal_new(const struct heal_options *o);
void heal_free(struct heal *h); /* NULL ok */
void heal_step(struct heal *h, const struct heal_event *event, struct heal_update *out);
