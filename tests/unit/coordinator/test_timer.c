/* Timers: they run in the order of their due times, and one that was taken back does not run. */
#include "tests/unit/unit.h"
#include "base/clock.h"
#include "coordinator/timer.h"
#include <pthread.h>
#include <stdlib.h>

enum { MANY = 500 };
#define HOUR_US UINT64_C(3600000000)

struct ran {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t order[MANY];
	uint32_t n;
};

struct entry {
	struct timer timer;
	struct ran *ran;
	struct timers *timers;
	uint32_t number, again;
};

static uint64_t now_us(void)
{
	return clock_real()->monotonic_us(clock_real()->ctx);
}

static void note(void *ctx)
{
	struct entry *e = ctx;
	struct ran *r = e->ran;

	pthread_mutex_lock(&r->lock);
	assert_in_range(r->n, 0, MANY - 1);
	r->order[r->n++] = e->number;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	if (e->again > 0) {
		e->again--;
		timers_add(e->timers, &e->timer, now_us() + 100, note, e);
	}
}

static void wait_for(struct ran *r, uint32_t n)
{
	pthread_mutex_lock(&r->lock);
	while (r->n < n)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static struct ran ran_init(void)
{
	return (struct ran){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static struct timers *start(void)
{
	struct timers *t;

	assert_int_equal(timers_start(&t, clock_real(), NULL), 0);
	return t;
}

/* Set in any order, every third taken back, half of those set again: what remains runs by its due time. None is due while the
 * test runs; the stop runs them. */
static void test_order(void **state)
{
	struct timers *t = start();
	struct ran ran = ran_init();
	static struct entry entries[MANY];
	uint32_t left = 0;
	uint64_t from = now_us() + HOUR_US;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct entry *e = &entries[i];
		uint32_t place = i * 7919 % MANY; /* a permutation: 7919 is prime */

		*e = (struct entry){.ran = &ran, .timers = t, .number = place};
		timers_add(t, &e->timer, from + place, note, e);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		struct entry *e = &entries[i];
		bool taken = i % 3 != 0 || timers_take_back(t, &e->timer);

		assert_true(taken);
		if (i % 3 == 0)
			assert_false(timers_take_back(t, &e->timer));
		if (i % 6 == 0)
			timers_add(t, &e->timer, from + e->number, note, e);
		left += i % 3 != 0 || i % 6 == 0;
	}
	timers_stop(t);
	assert_int_equal(ran.n, left);
	for (uint32_t i = 1; i < left; i++)
		assert_true(ran.order[i - 1] < ran.order[i]);
}

/* The thread sleeps until a later one, or for ever: an earlier one wakes it. */
static void test_earlier_wakes(void **state)
{
	struct timers *t = start();
	struct ran ran = ran_init();
	struct entry far = {.ran = &ran, .number = 1}, gone = {.ran = &ran, .number = 2};
	struct entry near = {.ran = &ran, .timers = t, .number = 3, .again = 3};

	(void)state;
	timers_add(t, &gone.timer, now_us() + HOUR_US, note, &gone);
	assert_true(timers_take_back(t, &gone.timer));
	timers_add(t, &far.timer, now_us() + HOUR_US, note, &far);
	timers_add(t, &near.timer, now_us() + 1000, note, &near);
	wait_for(&ran, 4); /* it sets itself again three times */
	assert_int_equal(ran.n, 4);
	timers_stop(t); /* runs what is left */
	assert_int_equal(ran.n, 5);
	assert_int_equal(ran.order[4], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_earlier_wakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
