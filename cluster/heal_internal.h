/* Private to cluster/: the two halves of the healer. heal.c watches the nodes, heal_plan.c decides about partitions. */
#pragma once
#include "base/mutant.h"
#include "cluster/heal.h"

enum {
	HEAL_COMMANDS = 128,          /* of one step */
	HEAL_PENDING = 1024,          /* changes of partitions that wait for the map */
	HEAL_RESUBMIT_US = 1000000,   /* a command without effect is made again */
	HEAL_REPORTS_WAIT_US = 500000 /* for reports of the others, before a primary is chosen */
};

/* What the leader has seen of a node. */
struct watched {
	uint64_t id, incarnation;
	uint64_t heard_us;   /* last heartbeat */
	uint64_t vouched_us; /* last time that another node could reach it */
	uint64_t steady_us;  /* heartbeats have come without a gap since */
	uint64_t down_us;    /* dead since, as this leader saw it */
	uint64_t asked_us;   /* a process of it that could not register yet was heard last */
	uint64_t probed_us, submitted_us;
	uint32_t probe_turn;
	uint32_t failures; /* in the last minutes */
	bool dead, reported;
	struct heal_report *reports;
	size_t n_reports;
};

/* A change of a partition that was submitted and has not shown up in the map. */
struct pending {
	uint64_t collection_id;
	uint32_t partition;
	uint64_t epoch, submitted_us;
};

struct heal {
	struct heal_options options;
	bool leads;
	const struct map *map;
	struct watched *nodes;
	size_t n_nodes;
	uint64_t now_us, tick_us; /* of this step, of the last tick */
	uint64_t changed_us;      /* a node came, went or changed its state */
	uint64_t member_change_us;
	struct pending pending[HEAL_PENDING];
	size_t n_pending;
	uint32_t under_way;  /* copies that are being made, or whose old copy has to go */
	bool rebuilding;     /* this step began one: the next choice must see it in the map */
	uint64_t alarmed_us; /* last alarm about different replicas */
	struct map_command commands[HEAL_COMMANDS];
	size_t n_commands;
	struct heal_probe *probes;
	size_t n_probes;
	struct heal_notice notices[32];
	size_t n_notices;
};

struct watched *heal_watched(struct heal *h, uint64_t id); /* NULL: not in the map */
bool heal_dead(struct heal *h, uint64_t id);               /* or not in the map */
bool heal_silent(
	struct heal *h,
	uint64_t id); /* dead, or not heard of just now: what it reported before may be void, as when it
						* was started again without its folder */
const struct heal_report *heal_report_of(struct heal *h, uint64_t node, uint64_t collection_id,
					 uint32_t partition);
void heal_notice(struct heal *h, bool alarm, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* heal_plan.c: commands for partitions and moves. */
void heal_plan(struct heal *h);
