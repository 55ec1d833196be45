/* SPDX-License-Identifier: MIT */
/* plugin-fork.c: tests for every plugin: children of fork. Memory is anonymous here: a child goes on with its own copy. */
#include "plugin-tools.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS 200

/* What the child finds; its own copy. */
static struct load load;
static struct books books;

/* ---- the child ---- */

static void walk_agrees(void)
{
	struct spans spans;

	if (!has_walk())
		return;
	spans = spans_walk();
	if (!(subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES)))
		kept("PLUG-28", spans.live == load.n, "in the child walk shows %u live blocks, and %u are", spans.live,
		     load.n);
	spans_end(&spans);
}

static void child_goes_on(void)
{
	const char *text;

	load_intact(&load, "PLUG-28");
	books_agree(&books, &load, 1, "PLUG-28");
	kept("PLUG-28", !check_now(&text), "in the child check finds: %s", text);
	walk_agrees();
	load_churn(&load, 4 * BLOCKS, GFP_KERNEL, "PLUG-28");
	load_intact(&load, "PLUG-28");
	books_agree(&books, &load, 1, "PLUG-28");
	load_give_all(&load);
	books_agree(&books, &load, 1, "PLUG-28");
	kept("PLUG-28", !check_now(&text), "in the child, with all given back, check finds: %s", text);
	walk_agrees();
	kept("PLUG-28", !reports_total(), "in the child a misuse was reported");
	kept("PLUG-28", load_fill(&load, BLOCKS, GFP_KERNEL) == BLOCKS, "in the child a block is refused");
}

static void work_and_leave(void *arg)
{
	struct load other = load_new(BLOCKS, 40000);

	(void)arg;
	load_churn(&other, 2 * BLOCKS, GFP_KERNEL, "PLUG-28");
	load_give_all(&other);
	load_end(&other);
}

static void a_child_goes_on(void)
{
	load = load_new(2 * BLOCKS, 0);
	role_open();
	books = books_open();
	for (unsigned i = 0; i < effort(3); i++) {
		struct load other = load_new(BLOCKS, 60000 + 1000 * i);

		load_churn(&load, 3 * BLOCKS, GFP_KERNEL, "PLUG-28");
		/* In its reserve too lies what the child will use. */
		if (i % 2)
			thread_once(work_and_leave, NULL);
		books = books_open();
		load.takes = load.gives = 0;
		kept("PLUG-28", fork_run(child_goes_on), "a child of fork did not come to its end");
		load_end(&other);
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* Threads that wait while the process forks: in the child they are gone, and what they held is live there. */
static struct load of_threads[3];
static pthread_barrier_t forked;

static void hold_and_wait(void *arg, unsigned index)
{
	(void)arg;
	if (!index) {
		pthread_barrier_wait(&forked);
		kept("PLUG-28", fork_run(arg), "a child of fork did not come to its end");
		pthread_barrier_wait(&forked);
		return;
	}
	load_churn(&of_threads[index - 1], 2 * BLOCKS, GFP_KERNEL, "PLUG-28");
	pthread_barrier_wait(&forked);
	pthread_barrier_wait(&forked);
	load_intact(&of_threads[index - 1], "PLUG-29");
	load_give_all(&of_threads[index - 1]);
}

static void child_of_threads(void)
{
	const char *text;

	kept("PLUG-28", !check_now(&text), "in a child of several threads check finds: %s", text);
	for (unsigned i = 0; i < LOAM_LEN(of_threads); i++) {
		load_intact(&of_threads[i], "PLUG-28");
		load_churn(&of_threads[i], 2 * BLOCKS, GFP_KERNEL, "PLUG-28");
	}
	for (unsigned i = 0; i < LOAM_LEN(of_threads); i++) {
		load_intact(&of_threads[i], "PLUG-28");
		load_give_all(&of_threads[i]);
	}
	kept("PLUG-28", stat_now().live_blocks == books.before.live_blocks,
	     "in the child all was given back, and %llu blocks are live",
	     (unsigned long long)(stat_now().live_blocks - books.before.live_blocks));
	kept("PLUG-28", !check_now(&text), "in the child, with all given back, check finds: %s", text);
}

static void a_child_has_what_vanished_threads_held(void)
{
	role_open();
	books = books_open();
	for (unsigned i = 0; i < LOAM_LEN(of_threads); i++)
		of_threads[i] = load_new(BLOCKS, 100000 * (i + 1));
	pthread_barrier_init(&forked, NULL, LOAM_LEN(of_threads) + 1);
	for (unsigned i = 0; i < effort(2); i++)
		threads_run(LOAM_LEN(of_threads) + 1, hold_and_wait, (void *)child_of_threads);
	pthread_barrier_destroy(&forked);
	for (unsigned i = 0; i < LOAM_LEN(of_threads); i++)
		load_end(&of_threads[i]);
	role_close();
}

/* ---- the parent ---- */

static void child_makes_havoc(void)
{
	for (unsigned i = 0; i < load.n; i++)
		if (load.held[i].ptr && loam_ptr_page(&loam__machine.map, load.held[i].ptr))
			memset(load.held[i].ptr, 0, load.held[i].page ? LOAM_PAGE_SIZE : load.held[i].bytes);
	load_give_all(&load);
	load_fill(&load, load.max, GFP_KERNEL);
	shrink_now(~0ul);
	loam__area_close();
}

static uint64_t walked(void)
{
	struct spans spans;
	uint64_t bytes;

	if (!has_walk())
		return 0;
	spans = spans_walk();
	bytes = spans.live_bytes;
	spans_end(&spans);
	return bytes;
}

static void a_parent_sees_nothing_of_its_child(void)
{
	load = load_new(2 * BLOCKS, 0);
	role_open();
	books = books_open();
	for (unsigned i = 0; i < effort(4); i++) {
		struct shim_counts shim;
		const char *text;
		uint64_t bytes;

		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-29");
		bytes = walked();
		shim = shim_counts();
		kept("PLUG-28", fork_run(child_makes_havoc), "a child of fork did not come to its end");
		load_intact(&load, "PLUG-29");
		books_agree(&books, &load, 1, "PLUG-29");
		kept("PLUG-29", !check_now(&text), "after a fork check finds in the parent: %s", text);
		kept("PLUG-29",
		     shim_counts().frames_live == shim.frames_live && shim_counts().port_live == shim.port_live,
		     "a fork changed what the parent holds");
		kept("PLUG-29", walked() == bytes, "walk showed %llu live bytes before a fork, and %llu in the parent",
		     (unsigned long long)bytes, (unsigned long long)walked());
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-29");
		load_intact(&load, "PLUG-29");
		books_agree(&books, &load, 1, "PLUG-29");
	}
	load_give_all(&load);
	books_agree(&books, &load, 1, "PLUG-29");
	role_close();
	load_end(&load);
}

/* ---- beside ops ---- */

#define WORKERS 16

static bool stop; /* atomic */
static unsigned forks_left;
static pthread_t workers[WORKERS];
static unsigned nr_workers;            /* atomic */
static unsigned halts, halted, let_go; /* atomic: asked for, made, and over because the fork is, of all rounds */
/* Held while a child runs: the workers wait, and do not use up the time of the test. */
static pthread_mutex_t child_runs = PTHREAD_MUTEX_INITIALIZER;

#define HALT 10000000 /* ns */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/*
 * A worker is interrupted wherever it is, inside an op as a rule, and stays there until all are and the fork is done. Not for ever:
 * a fork that waits for a lock which this one holds must get it; and under the thread sanitizer a signal comes late, and one who
 * waits for what this one holds would never get his.
 */
static void halt_worker(int sig)
{
	unsigned all = __atomic_load_n(&halts, __ATOMIC_ACQUIRE);
	uint64_t since = now();

	(void)sig;
	__atomic_fetch_add(&halted, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&halted, __ATOMIC_ACQUIRE) < all && now() - since < 4 * HALT)
		sched_yield();
	for (since = now(); __atomic_load_n(&let_go, __ATOMIC_ACQUIRE) < all && now() - since < HALT;)
		sched_yield();
}

static void fork_is_done(void)
{
	__atomic_store_n(&let_go, __atomic_load_n(&halts, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
}

static void halt_workers(void)
{
	unsigned n = __atomic_load_n(&nr_workers, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&halts, n, __ATOMIC_ACQ_REL);
	for (unsigned i = 0; i < n; i++)
		pthread_kill(workers[i], SIGUSR1);
	while (__atomic_load_n(&halted, __ATOMIC_ACQUIRE) < __atomic_load_n(&halts, __ATOMIC_RELAXED))
		sched_yield();
}

static void stuck(int sig)
{
	(void)sig;
	broken("PLUG-30", "a child of fork waits for ever");
}

static void child_is_served(void)
{
	const struct itimerval some = { .it_value = { .tv_sec = 1 + job.seconds / 4 } };
	struct load mine = load_new(work(BLOCKS), 800000);

	/* A child has no timers of its own yet: one for who turns round and round, one for who sleeps. */
	signal(SIGALRM, stuck);
	signal(SIGPROF, stuck);
	setitimer(ITIMER_PROF, &some, NULL);
	alarm(job.seconds * PATIENCE / 2);
	kept("PLUG-30", load_fill(&mine, BLOCKS, GFP_KERNEL) > 0, "a child of fork is served no block");
	load_churn(&mine, 4 * BLOCKS, GFP_KERNEL, "PLUG-30");
	load_intact(&mine, "PLUG-30");
	stat_now();
	load_give_all(&mine);
	load_fill(&mine, BLOCKS, GFP_KERNEL);
	load_intact(&mine, "PLUG-30");
	load_give_all(&mine);
	shrink_now(~0ul);
	loam__area_close();
	load_fill(&mine, BLOCKS / 4, GFP_KERNEL);
	load_intact(&mine, "PLUG-30");
	load_end(&mine);
}

static void work_on(struct load *mine, unsigned index)
{
	load_churn(mine, BLOCKS, GFP_KERNEL, "PLUG-30");
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&child_runs);
		pthread_mutex_unlock(&child_runs);
		light_burst(index, work(5 * BLOCKS), "PLUG-30");
		load_churn(mine, BLOCKS / 10, GFP_KERNEL, "PLUG-30");
	}
}

static void fork_on(struct load *mine, unsigned n)
{
	/* All are there. */
	while (__atomic_load_n(&nr_workers, __ATOMIC_ACQUIRE) < n)
		sched_yield();
	while (forks_left--) {
		load_churn(mine, BLOCKS / 4, GFP_KERNEL, "PLUG-30");
		/* So that most of them are in a burst. */
		for (uint64_t y = rng_below(&mine->rng, 8); y; y--)
			sched_yield();
		halt_workers();
		pthread_mutex_lock(&child_runs);
		kept("PLUG-30", fork_run(child_is_served), "a child of fork did not come to its end");
		pthread_mutex_unlock(&child_runs);
		load_intact(mine, "PLUG-30");
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
}

static void fork_or_work(void *arg, unsigned index)
{
	struct load mine = load_new(work(BLOCKS), 1000000 * (index + 1));

	if (index) {
		workers[index - 1] = pthread_self();
		__atomic_fetch_add(&nr_workers, 1, __ATOMIC_ACQ_REL);
		work_on(&mine, index);
	} else {
		fork_on(&mine, *(unsigned *)arg);
	}
	load_intact(&mine, "PLUG-30");
	load_give_all(&mine);
	load_end(&mine);
}

static void fork_beside_ops(void)
{
	unsigned n = job.threads < 2 ? 2 : job.threads < WORKERS ? job.threads : WORKERS;

	signal(SIGUSR1, halt_worker);
	pthread_atfork(NULL, fork_is_done, NULL);
	role_open();
	light_open(n + 1);
	forks_left = effort(10);
	threads_run(n + 1, fork_or_work, &n);
	light_close();
	role_close();
}

static const struct test tests[] = {
	{ "a-child-goes-on", "PLUG-28", a_child_goes_on, LIFETIME, 0, 0 },
	{ "a-child-has-what-vanished-threads-held", "PLUG-28 PLUG-29", a_child_has_what_vanished_threads_held, LIFETIME,
	  0, 0 },
	{ "a-parent-sees-nothing-of-its-child", "PLUG-29", a_parent_sees_nothing_of_its_child, LIFETIME, 0, 0 },
	{ "fork-beside-ops", "PLUG-30", fork_beside_ops, LIFETIME, 0, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
