/* What the files of a seed share. Not for others. */
#pragma once
#include "shard/seed.h"

struct seed_pin;
struct seed_job { /* one replica that is rebuilt */
	struct seed_job *next;
	struct hosted *h; /* a reference */
	uint64_t from;    /* under the lock */
	bool cancelled;   /* under the lock */
	bool running;     /* under the lock */
};

struct seeds {
	struct shard *shard;
	pthread_mutex_t lock;
	/* source */
	struct seed_pin *pins;
	uint32_t n_pins;
	uint64_t last_pin;
	/* target */
	pthread_t thread;
	bool started, stopping;
	pthread_cond_t changed;
	struct seed_job *jobs; /* in the order of their turn; the running one is the first */
	uint64_t complained_us; /* the thread's: when it said in the log what keeps it from copying */
	uint64_t done, failed, bytes, refetched; /* atomic counters */
};

void pins_tick(struct shard *s);
void pins_end(struct shard *s, const struct hosted *h); /* NULL: all */
void pins_release(struct shard *s, struct seed_pin *pin);

/* seed_pull.c: copies, verifies, swaps, opens. ERR_CLOSED: it was cancelled. */
int seed_pull(struct seed_job *job, struct error *err);
bool seed_job_ends(struct seed_job *job); /* cancelled, or stopping */
