/* Mailbox: order, time-out, closing, several posters. */
#include "tests/unit/unit.h"
#include "base/mailbox.h"
#include <pthread.h>
#include <string.h>

struct letter {
	struct mail mail;
	int from;
	int number;
};

static void takes_all_in_order(void **state)
{
	struct mailbox *m = mailbox_new();
	struct letter letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	for (int i = 0; i < 3; i++)
		assert_true(mailbox_post(m, &letters[i].mail));
	struct mail *got = mailbox_take(m, UINT64_MAX);
	for (int i = 0; i < 3; i++, got = got->next)
		assert_ptr_equal(got, &letters[i].mail);
	assert_null(got);
	assert_null(mailbox_take(m, 0));
	assert_null(mailbox_take(m, 1000));
	mailbox_free(m);
	mailbox_free(NULL);
}

static void closed_refuses_and_gives_what_is_left(void **state)
{
	struct mailbox *m = mailbox_new();
	struct letter a = {0}, b = {0};
	assert_true(mailbox_post(m, &a.mail));
	mailbox_close(m);
	assert_false(mailbox_post(m, &b.mail));
	assert_ptr_equal(mailbox_take(m, UINT64_MAX), &a.mail);
	assert_null(mailbox_take(m, UINT64_MAX));
	mailbox_free(m);
}

static void *close_it(void *arg)
{
	mailbox_close(arg);
	return NULL;
}

static void closing_wakes_the_taker(void **state)
{
	struct mailbox *m = mailbox_new();
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, close_it, m), 0);
	assert_null(mailbox_take(m, UINT64_MAX));
	pthread_join(thread, NULL);
	mailbox_free(m);
}

enum { POSTERS = 4, LETTERS = 2000 };
static struct letter post_bag[POSTERS][LETTERS];

struct poster {
	struct mailbox *box;
	int from;
};

static void *post_many(void *arg)
{
	const struct poster *poster = arg;
	for (int i = 0; i < LETTERS; i++) {
		struct letter *letter = &post_bag[poster->from][i];
		letter->from = poster->from;
		letter->number = i;
		mailbox_post(poster->box, &letter->mail);
	}
	return NULL;
}

static void nothing_is_lost_and_each_sender_stays_in_order(void **state)
{
	struct mailbox *m = mailbox_new();
	pthread_t threads[POSTERS];
	struct poster posters[POSTERS];
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){m, i};
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
	}
	int expected[POSTERS] = {0};
	for (int total = 0; total < POSTERS * LETTERS;) {
		struct mail *mail = mailbox_take(m, UINT64_MAX);
		assert_non_null(mail);
		for (; mail != NULL; mail = mail->next, total++) {
			const struct letter *letter = (const struct letter *)mail;
			assert_int_equal(letter->number, expected[letter->from]++);
		}
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_in_order),
		cmocka_unit_test(closed_refuses_and_gives_what_is_left),
		cmocka_unit_test(closing_wakes_the_taker),
		cmocka_unit_test(nothing_is_lost_and_each_sender_stays_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
