/* SPDX-License-Identifier: MIT */
/*
 * test-queue.c: the queue of the plugin ring: its borders, and many producers and consumers at once. To look for races:
 * a build with --enable-sanitizer=thread runs this program as it is.
 */
#include "../../plugins/ring/queue.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CELLS 64

static struct queue queue;
static struct cell cells[CELLS];

static void *number(uintptr_t n)
{
	return (void *)(n + 1);
}

static bool put(uintptr_t n)
{
	void *element = number(n);

	return queue_put(&queue, 1, &element);
}

static bool put_many(uintptr_t first, unsigned n)
{
	void *elements[2 * CELLS];

	for (unsigned i = 0; i < n; i++)
		elements[i] = number(first + i);
	return queue_put(&queue, n, elements);
}

static uintptr_t get(void)
{
	void *element = NULL;

	return queue_get(&queue, 1, &element) ? (uintptr_t)element - 1 : UINTPTR_MAX;
}

START_TEST(first_in_first_out)
{
	queue_init(&queue, cells, CELLS);
	ck_assert_uint_eq(get(), UINTPTR_MAX);
	for (uintptr_t i = 0; i < CELLS; i++)
		ck_assert(put(i));
	ck_assert(!put(CELLS));
	for (uintptr_t i = 0; i < CELLS; i++)
		ck_assert_uint_eq(get(), i);
	ck_assert_uint_eq(get(), UINTPTR_MAX);
}
END_TEST

START_TEST(bulk_is_all_or_none)
{
	void *out[2 * CELLS];

	queue_init(&queue, cells, CELLS);
	ck_assert(!put_many(0, CELLS + 1));
	ck_assert(put_many(0, CELLS - 3));
	ck_assert(!put_many(100, 4));
	ck_assert(put_many(CELLS - 3, 3));
	ck_assert(!queue_get(&queue, CELLS + 1, out));
	ck_assert(queue_get(&queue, 10, out));
	ck_assert_ptr_eq(out[9], number(9));
	ck_assert(!queue_get(&queue, CELLS - 9, out));
	ck_assert(queue_get(&queue, CELLS - 10, out));
	ck_assert_ptr_eq(out[CELLS - 11], number(CELLS - 1));
	ck_assert(queue_get(&queue, 0, out));
	ck_assert(queue_put(&queue, 0, out));
	ck_assert_uint_eq(get(), UINTPTR_MAX);
}
END_TEST

/* Numbers of places near the end of a round, and of many rounds; two cells are the smallest queue. */
START_TEST(wraps_around)
{
	uintptr_t in = 0, out = 0;

	for (unsigned size = 2; size <= CELLS; size *= 2) {
		queue_init(&queue, cells, size);
		in = out = 0;
		for (unsigned i = 0; i < 1000; i++) {
			unsigned n = 1 + i % size;

			if (put_many(in, n))
				in += n;
			for (unsigned j = 0; j < 1 + i * 7 % size && out < in; j++)
				ck_assert_uint_eq(get(), out++);
		}
		while (out < in)
			ck_assert_uint_eq(get(), out++);
		ck_assert_uint_eq(get(), UINTPTR_MAX);
	}
}
END_TEST

/* ---- many at once ---- */

#define THREADS 3 /* of each kind */
#define EACH 30000
#define BULK 8

static uint8_t seen[THREADS * EACH]; /* atomic */
static unsigned long nr_seen;        /* atomic */
static unsigned batch;

static void *produce(void *arg)
{
	uintptr_t first = (uintptr_t)arg * EACH, next = first;

	while (next < first + EACH) {
		unsigned n = batch < first + EACH - next ? batch : (unsigned)(first + EACH - next);

		if (put_many(next, n))
			next += n;
		else
			sched_yield();
	}
	return NULL;
}

/* Of each producer's elements a consumer sees the later ones later. */
static void see(uintptr_t element, uintptr_t *last)
{
	uintptr_t n = element - 1, producer = n / EACH;

	ck_assert_uint_lt(n, sizeof(seen));
	ck_assert_uint_eq(__atomic_fetch_add(&seen[n], 1, __ATOMIC_RELAXED), 0);
	ck_assert_uint_ge(n, last[producer]);
	last[producer] = n;
}

static void *consume(void *arg)
{
	uintptr_t last[THREADS] = { 0 };
	unsigned n = arg ? batch : 1;
	void *out[BULK];

	while (__atomic_load_n(&nr_seen, __ATOMIC_RELAXED) < sizeof(seen)) {
		/* The last few may be less than a bulk. */
		unsigned got = queue_get(&queue, n, out) ? n : queue_get(&queue, 1, out);

		for (unsigned i = 0; i < got; i++)
			see((uintptr_t)out[i], last);
		__atomic_fetch_add(&nr_seen, got, __ATOMIC_RELAXED);
		if (!got)
			sched_yield();
	}
	return NULL;
}

/* _i: the size of the batches, and of the queue. */
START_TEST(no_element_lost_or_doubled)
{
	static const unsigned batches[] = { 1, BULK, 3, 5 }, sizes[] = { 2, 8, 16, CELLS };
	pthread_t producers[THREADS], consumers[THREADS];

	batch = batches[_i];
	memset(seen, 0, sizeof(seen));
	nr_seen = 0;
	queue_init(&queue, cells, sizes[_i]);
	for (uintptr_t i = 0; i < THREADS; i++) {
		ck_assert(!pthread_create(&producers[i], NULL, produce, (void *)i));
		ck_assert(!pthread_create(&consumers[i], NULL, consume, (void *)i));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(producers[i], NULL);
		pthread_join(consumers[i], NULL);
	}
	for (size_t i = 0; i < sizeof(seen); i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_uint_eq(get(), UINTPTR_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue");
	TCase *borders = tcase_create("borders"), *threads = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_add_test(borders, first_in_first_out);
	tcase_add_test(borders, bulk_is_all_or_none);
	tcase_add_test(borders, wraps_around);
	tcase_add_loop_test(threads, no_element_lost_or_doubled, 0, 4);
	tcase_set_timeout(threads, 120);
	suite_add_tcase(suite, borders);
	suite_add_tcase(suite, threads);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
