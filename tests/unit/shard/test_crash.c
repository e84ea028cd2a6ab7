/* kill -9 at random moments: what was acknowledged is there afterwards, and the rest is what the
 * log's order allows. The operations follow from a seed, so that parent and child know them without
 * talking; the child counts its acknowledged steps in shared memory. */
#include "tests/unit/shard/model.h"
#include "base/memory.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEED = 77, STEPS_MAX = 1000000 };

static void open_all(struct fixture *f, struct model *m)
{
	memset(m, 0, sizeof *m);
	prng_seed(&m->random, SEED);
	m->distance[1] = DISTANCE_EUCLID;
	fixture_init(f);
	f->options.seal_rows = 100;
	f->options.index_min_rows = 50;
	f->options.seal_idle_ms = 5;
	model_schema(f, m, INDEX_HNSW);
}

/* The model after `steps` steps. */
static void advance(struct model *m, struct fixture *f, uint64_t *at, uint64_t steps)
{
	m->dry = true;
	for (; *at < steps; (*at)++)
		model_step(m, f);
	m->dry = false;
}

static void child(struct fixture *f, struct model *m, uint64_t at, volatile uint64_t *acked)
{
	fixture_start(f);
	for (; at < STEPS_MAX; at++) {
		model_step(m, f);
		__atomic_store_n(acked, at + 1, __ATOMIC_SEQ_CST);
	}
	_exit(0);
}

static void kill_and_compare(struct fixture *f, struct model *m, struct prng *random, uint64_t *at)
{
	uint64_t *acked = mmap(NULL, sizeof *acked, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	assert_ptr_not_equal(acked, MAP_FAILED);
	*acked = *at;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(f, m, *at, acked);
	while (__atomic_load_n(acked, __ATOMIC_SEQ_CST) == *at &&
	       waitpid(pid, &status, WNOHANG) == 0)
		usleep(100);
	usleep((useconds_t)prng_below(random, 60000));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	advance(m, f, at, *acked);
	munmap(acked, sizeof *acked);
	fixture_start(f);
	/* the step that was on its way may have got through */
	for (int extra = 0; fixture_info(f).applied_seq != m->seq && extra < 1; extra++)
		advance(m, f, at, *at + 1);
	assert_int_equal(fixture_info(f).applied_seq, m->seq);
	model_check(m, f);
	fixture_stop(f);
}

static void acknowledged_writes_survive_sigkill(void **state)
{
	struct fixture f;
	struct model *m = mem_zalloc(sizeof *m);
	struct prng random;
	uint64_t at = 0;

	prng_seed(&random, SEED + 1);
	open_all(&f, m);
	for (int round = 0; round < 20; round++)
		kill_and_compare(&f, m, &random, &at);
	print_message("%llu steps\n", (unsigned long long)at);
	assert_true(at > 20);
	fixture_fini(&f);
	free(m);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_writes_survive_sigkill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
