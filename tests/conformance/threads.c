/* SPDX-License-Identifier: MIT */
/*
 * threads.c: threads of tests.
 *
 * With few processors, threads meet only where one of them is taken off its processor, and that is seldom. So a thread can have a
 * timer whose signal puts it to sleep for a moment: that happens anywhere inside an op, thousands of times, and the others go on.
 */
#include "conform.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PAUSE SIGUSR2
#define SLICE 40000 /* ns from one pause to the next */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct worker {
	pthread_t thread;
	unsigned *waiting; /* atomic: threads that have not begun */
	void (*fn)(void *arg, unsigned index);
	void *arg;
	unsigned index;
	bool pauses;
};

/* ---- in each other's way ---- */

static _Thread_local timer_t timer;

/* Once: while the thread sleeps nothing piles up. */
static void next_pause(void)
{
	const struct itimerspec slice = { .it_value = { 0, SLICE } };

	timer_settime(timer, 0, &slice, NULL);
}

static void pause_here(int sig)
{
	const struct timespec least = { 0, 1 };
	int error = errno;

	(void)sig;
	nanosleep(&least, NULL);
	next_pause();
	errno = error;
}

static void make_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = PAUSE };

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		trouble("no timer for a thread");
}

/* ---- running ---- */

static void *work(void *arg)
{
	struct worker *worker = arg;

	if (worker->pauses)
		make_timer();
	/* All at once: else the first one has done it all before the last one begins. */
	__atomic_sub_fetch(worker->waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(worker->waiting, __ATOMIC_ACQUIRE))
		sched_yield();
	if (worker->pauses)
		next_pause();
	worker->fn(worker->arg, worker->index);
	if (worker->pauses)
		timer_delete(timer);
	return NULL;
}

static void run(unsigned n, void (*fn)(void *arg, unsigned index), void *arg, bool pauses)
{
	struct worker *workers = calloc(n, sizeof(*workers));
	unsigned waiting = n;

	if (!workers)
		trouble("no memory for %u threads", n);
	for (unsigned i = 0; i < n; i++) {
		workers[i] = (struct worker){ .waiting = &waiting, .fn = fn, .arg = arg, .index = i, .pauses = pauses };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			trouble("thread %u of %u cannot be started", i + 1, n);
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
}

void threads_run(unsigned n, void (*fn)(void *arg, unsigned index), void *arg)
{
	run(n, fn, arg, false);
}

void threads_run_paused(unsigned n, void (*fn)(void *arg, unsigned index), void *arg)
{
	const struct sigaction action = { .sa_handler = pause_here, .sa_flags = SA_RESTART };

	sigaction(PAUSE, &action, NULL);
	run(n, fn, arg, true);
}

struct single {
	void (*fn)(void *arg);
	void *arg;
};

static void run_single(void *arg, unsigned index)
{
	struct single *single = arg;

	(void)index;
	single->fn(single->arg);
}

void thread_once(void (*fn)(void *arg), void *arg)
{
	struct single single = { fn, arg };

	threads_run(1, run_single, &single);
}
