/* The real clock: units and direction. */
#include "tests/unit/unit.h"
#include "base/clock.h"

static void monotonic_never_goes_back(void **state)
{
	uint64_t before_ns = clock_monotonic_ns();
	for (int i = 0; i < 10000; i++) {
		uint64_t now_ns = clock_monotonic_ns();
		assert_true(now_ns >= before_ns);
		before_ns = now_ns;
	}
}

static void units_agree(void **state)
{
	const struct clock *clock = clock_real();
	uint64_t a = clock_monotonic_ns() / 1000;
	uint64_t b = clock->monotonic_us(clock->ctx);
	uint64_t c = clock_monotonic_us();
	uint64_t d = clock_monotonic_ns() / 1000;
	assert_true(a <= b && b <= c && c <= d);
	/* Between 2020 and 2100. */
	assert_true(clock->wall_us(clock->ctx) > 1577836800000000ull);
	assert_true(clock_wall_us() < 4102444800000000ull);
}

static void thread_time_grows_with_work(void **state)
{
	uint64_t before_ns = clock_thread_cpu_ns();
	while (clock_thread_cpu_ns() == before_ns)
		;
	assert_true(clock_thread_cpu_ns() > before_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_never_goes_back),
		cmocka_unit_test(units_agree),
		cmocka_unit_test(thread_time_grows_with_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
