/* SPDX-License-Identifier: MIT */
/* plugin-lifetime.c: tests for every plugin: destroy, two instances, many machines, areas that are closed. */
#include "plugin-tools.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 200

/* ---- what goes back ---- */

static void some_churn(void *arg)
{
	struct load load = load_new(BLOCKS, 90000);

	load_churn(&load, 2 * BLOCKS, GFP_KERNEL, arg);
	load_give_all(&load);
	load_end(&load);
}

/* Of a filter: all that it has from below but what its clients hold is its own matter; see filter.c. */
static void everything_goes_back(void)
{
	for (unsigned i = 0; i < effort(6); i++) {
		struct load load = load_new(BLOCKS, 0);
		struct loam_stat stat;

		machine_up(NULL);
		role_open();
		load_churn(&load, 2 * BLOCKS * (1 + i % 3), GFP_KERNEL, "PLUG-02");
		thread_once(some_churn, (void *)"PLUG-02");
		load_give_all(&load);
		role_close();
		stat = stat_now();
		/* What a heap outside the machine says of bytes is its own matter. */
		kept("PLUG-02", !stat.live_blocks && (!stat.live_bytes || !in_machine()),
		     "all was given back, and %llu blocks, %llu bytes are live", (unsigned long long)stat.live_blocks,
		     (unsigned long long)stat.live_bytes);
		machine_down();
		kept("PLUG-02", !shim_counts().meta_bytes, "%llu bytes of metadata were given back with another size",
		     (unsigned long long)shim_counts().meta_bytes);
		kept("PLUG-02", !shim_counts().port_live && !shim_counts().frames_live,
		     "%llu blocks and %llu frames of ports were not given back",
		     (unsigned long long)shim_counts().port_live, (unsigned long long)shim_counts().frames_live);
		load_end(&load);
	}
}

static void what_goes_back_was_held(void)
{
	struct load load = load_new(4 * BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(5); i++) {
		uint64_t held;

		load_fill(&load, 4 * BLOCKS, GFP_KERNEL);
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-03");
		load_give_all(&load);
		shrink_now(~0ul);
		held = shim_counts().frames_live;
		kept("PLUG-03", held <= loam__machine.map.nr_pages, "more went back than came: %lld frames are held",
		     (long long)held);
	}
	role_close();
	load_end(&load);
}

/* ---- destroy with live blocks ---- */

/* Halt with @load live. What a filter handed out stays with the instance below, which goes after it. */
static void halt_with(const struct load *load)
{
	uint64_t live = subject->lower ? load_units(load) : 0;
	struct shim_counts counts;

	machine_halt();
	counts = shim_counts();
	kept("PLUG-23", counts.frames_live <= live, "destroyed with live blocks: %llu frames did not go back",
	     (unsigned long long)(counts.frames_live - live));
	kept("PLUG-23", !counts.meta_live && !counts.meta_bytes,
	     "destroyed with live blocks: %llu blocks of metadata, %llu bytes, did not go back",
	     (unsigned long long)counts.meta_live, (unsigned long long)counts.meta_bytes);
}

static void destroy_takes_live_blocks_along(void)
{
	for (unsigned i = 0; i < effort(5); i++) {
		struct load load;

		machine_up(NULL);
		role_open();
		load = load_new(i ? 2 * BLOCKS : work(20 * BLOCKS), i);
		load_churn(&load, 2 * load.max, GFP_KERNEL, "PLUG-23");
		if (i % 2)
			thread_once(some_churn, (void *)"PLUG-23");
		/* Few or many; the caches of the role stay too. */
		while (i % 3 && load.n > BLOCKS / 8)
			load_give(&load);
		halt_with(&load);
		load_end(&load);
	}
}

/* One block of each kind alone: a list that is forgotten at destroy is not always hidden by others. */
static void destroy_takes_one_block_along(void)
{
	for (unsigned i = 0; i < effort(24); i++) {
		struct load load = load_new(2, i * 3);

		machine_up(NULL);
		role_open();
		load_fill(&load, 1 + i % 2, GFP_KERNEL);
		halt_with(&load);
		load_end(&load);
	}
}

/* What has no room left is in other lists, or in none. */
static void destroy_takes_full_memory_along(void)
{
	struct load load = load_new(30000, 7);

	machine_up(NULL);
	role_open();
	while (load.n < load.max && load.refused < 300)
		load_take(&load, GFP_KERNEL | __GFP_NOWARN);
	halt_with(&load);
	load_end(&load);
}

static void destroy_takes_caches_along(void)
{
	struct load none = load_new(1, 0);

	machine_up(NULL);
	role_open();
	halt_with(&none);
	load_end(&none);
}

/* ---- two instances ---- */

/* The calls of calls.c go to `subject`. */
static void change_sides(void)
{
	struct loam_self *other = subject;

	subject = twin;
	twin = other;
}

static int only_own(void *arg, const struct loam_span *span)
{
	const struct load *others = arg;

	for (unsigned i = 0; i < others->n && span->kind == LOAM_SPAN_LIVE; i++)
		kept("PLUG-24", span->addr != others->held[i].ptr, "walk shows the block %p of another instance",
		     span->addr);
	return 0;
}

static void two_instances_are_apart(void)
{
	static const struct setup with_twin = { .twin = true };
	struct load mine = load_new(BLOCKS, 0), theirs = load_new(BLOCKS, 5000);
	struct books books, their_books;
	uint64_t failures;

	machine_up(&with_twin);
	books = books_open();
	role_open();
	load_fill(&mine, BLOCKS / 2, GFP_KERNEL);
	books_agree(&books, &mine, 1, "PLUG-24");
	/* What open made is of the one instance, and the other needs its own: one at a time. */
	load_give_all(&mine);
	role_close();
	change_sides();
	their_books = books_open();
	kept("PLUG-24", !their_books.before.allocs && !their_books.before.live_blocks,
	     "nobody used the second instance, and it counts %llu takes",
	     (unsigned long long)their_books.before.allocs);
	role_open();
	load_fill(&theirs, BLOCKS, GFP_KERNEL);
	books_agree(&their_books, &theirs, 1, "PLUG-24");
	change_sides();
	books_agree(&books, &mine, 1, "PLUG-24");
	walk_now(only_own, &theirs);
	shrink_now(~0ul);
	failures = stat_now().failures;
	change_sides();
	shim_fail_all(true);
	load_churn(&theirs, 3 * BLOCKS, GFP_KERNEL | __GFP_NOWARN, "PLUG-24");
	shim_fail_all(false);
	change_sides();
	kept("PLUG-24", stat_now().failures == failures, "what failed in one instance is counted in the other");
	change_sides();
	load_intact(&theirs, "PLUG-24");
	books_agree(&their_books, &theirs, 1, "PLUG-24");
	load_give_all(&theirs);
	role_close();
	change_sides();
	machine_down();
	load_end(&mine);
	load_end(&theirs);
}

/* Blocks of both at once, where a role needs nothing first. */
static void two_instances_serve_at_once(void)
{
	static const struct setup with_twin = { .twin = true };
	struct load mine = load_new(BLOCKS, 0), theirs = load_new(BLOCKS, 5000);

	machine_up(&with_twin);
	if (!(subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_HEAP)) || job.suite->role != LOAM_ROLE_HEAP)
		skip("what the role needs first is of one instance at a time; see two-instances-are-apart");
	role_open();
	for (unsigned i = 0; i < effort(10); i++) {
		load_churn(&mine, BLOCKS, GFP_KERNEL, "PLUG-24");
		change_sides();
		load_churn(&theirs, BLOCKS, GFP_KERNEL, "PLUG-24");
		kept("PLUG-24", stat_now().live_blocks == theirs.n, "one instance has %u blocks live and counts %llu",
		     theirs.n, (unsigned long long)stat_now().live_blocks);
		change_sides();
		kept("PLUG-24", stat_now().live_blocks == mine.n, "one instance has %u blocks live and counts %llu",
		     mine.n, (unsigned long long)stat_now().live_blocks);
		load_intact(&mine, "PLUG-24");
		load_intact(&theirs, "PLUG-24");
	}
	load_give_all(&mine);
	change_sides();
	load_intact(&theirs, "PLUG-24");
	load_give_all(&theirs);
	change_sides();
	role_close();
	machine_down();
	load_end(&mine);
	load_end(&theirs);
}

/* ---- many machines ---- */

/** A thread that outlives machines, and uses each of them when it is its turn. */
struct survivor {
	pthread_barrier_t turn;
	unsigned round;
	bool end;
};

static void *survive(void *arg)
{
	struct survivor *survivor = arg;

	for (;;) {
		struct load load;

		pthread_barrier_wait(&survivor->turn);
		if (survivor->end)
			return NULL;
		load = load_new(BLOCKS / 2, 1000000 + survivor->round * 100);
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-25");
		load_give_all(&load);
		load_end(&load);
		pthread_barrier_wait(&survivor->turn);
	}
}

static void many_machines_and_one_thread(void)
{
	static struct survivor survivor;
	pthread_t thread;

	pthread_barrier_init(&survivor.turn, NULL, 2);
	if (pthread_create(&thread, NULL, survive, &survivor))
		trouble("no thread");
	for (survivor.round = 0; survivor.round < effort(25); survivor.round++) {
		struct load load = load_new(BLOCKS / 2, survivor.round * 100);
		const char *why;
		int error;

		error = machine_try(NULL, &why);
		kept("PLUG-25", !error, "machine number %u does not start: %s", survivor.round + 1, why);
		/* For a while the file stays, then it is loaded afresh for each. */
		stay_loaded(survivor.round % 50 < 30);
		role_open();
		load_churn(&load, BLOCKS / 2, GFP_KERNEL, "PLUG-25");
		pthread_barrier_wait(&survivor.turn);
		pthread_barrier_wait(&survivor.turn);
		load_churn(&load, BLOCKS / 2, GFP_KERNEL, "PLUG-25");
		load_intact(&load, "PLUG-25");
		load_give_all(&load);
		role_close();
		halt_clean("PLUG-25", "one of many machines");
		load_end(&load);
	}
	survivor.end = true;
	pthread_barrier_wait(&survivor.turn);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&survivor.turn);
}

/* Machines of several sizes, small behind large; the last instance died with live blocks and refusals. */
static void an_instance_begins_from_the_beginning(void)
{
	static const size_t sizes[] = { 48, 16, 32, 20, 64, 16 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct setup setup = { .memory = sizes[i] << 20 };
		struct load load = load_new(BLOCKS, i * 1000);
		struct loam_stat stat;

		machine_up(&setup);
		stay_loaded(i < 4);
		stat = stat_now();
		kept("PLUG-26", !stat.allocs && !stat.frees && !stat.failures && !stat.live_blocks,
		     "machine number %u: nobody used the instance, and it counts %llu takes, %llu gives, %llu failures",
		     i + 1, (unsigned long long)stat.allocs, (unsigned long long)stat.frees,
		     (unsigned long long)stat.failures);
		role_open();
		load_fill(&load, BLOCKS, GFP_KERNEL);
		load_intact(&load, "PLUG-26");
		kept("PLUG-26", stat_now().live_blocks == load_units(&load) && load.n == BLOCKS,
		     "machine number %u: %llu blocks are held, and %llu are live", i + 1,
		     (unsigned long long)load_units(&load), (unsigned long long)stat_now().live_blocks);
		shim_fail_all(true);
		load_fill(&load, 4, GFP_ATOMIC | __GFP_NOWARN);
		shim_fail_all(false);
		machine_halt();
		load_end(&load);
	}
}

/* ---- areas that are closed ---- */

static void closing_an_area_keeps_the_counts(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct books books;

	role_open();
	books = books_open();
	for (unsigned i = 0; i < effort(10); i++) {
		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-27");
		loam__area_close();
		books_agree(&books, &load, 1, "PLUG-27");
		load_intact(&load, "PLUG-27");
		kept("PLUG-27", load_fill(&load, 1, GFP_KERNEL) || load.n == load.max,
		     "after flush a block is refused");
		books_agree(&books, &load, 1, "PLUG-27");
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

static pthread_barrier_t together;

static void fill_and_give(void *arg, unsigned index)
{
	struct load load = load_new(work(2 * BLOCKS), index * 1000 + 1);

	(void)arg;
	load_fill(&load, load.max, GFP_KERNEL);
	/* Each has an area of its own, for all live at once. */
	pthread_barrier_wait(&together);
	load_give_all(&load);
	pthread_barrier_wait(&together);
	load_end(&load);
}

/* What is held when @n threads took and gave the same, ended, and the last one asked for what is not used. */
static uint64_t left_by(unsigned n)
{
	uint64_t left;

	machine_up(NULL);
	role_open();
	pthread_barrier_init(&together, NULL, n);
	threads_run(n, fill_and_give, NULL);
	pthread_barrier_destroy(&together);
	shrink_all();
	/* What a filter gave back may be in reserve below, which is not its fault. */
	for (struct loam_self *self = subject->lower; self; self = self->lower)
		while (loam__shrink(self, ~0ul))
			;
	left = footprint();
	role_close();
	machine_down();
	return left;
}

static void flush_empties_areas(void)
{
	uint64_t one, many;

	machine_up(NULL);
	if (!subject->plugin->desc.shrink || !in_machine())
		skip("without shrink, or outside the machine, what is in reserve is not seen; see "
		     "thread-ends-lose-nothing");
	machine_down();
	one = left_by(1);
	many = left_by(8);
	kept("PLUG-27", many <= one + one / 2 + 32,
	     "a thread that ended leaves %llu frames held after a shrink, eight that ended leave %llu",
	     (unsigned long long)one, (unsigned long long)many);
}

static const struct test tests[] = {
	{ "everything-goes-back", "PLUG-02 PLUG-03", everything_goes_back, LIFETIME, NO_MACHINE, 0 },
	{ "what-goes-back-was-held", "PLUG-03", what_goes_back_was_held, LIFETIME, 0, 0 },
	{ "destroy-takes-live-blocks-along", "PLUG-23", destroy_takes_live_blocks_along, LIFETIME, NO_MACHINE, 0 },
	{ "destroy-takes-one-block-along", "PLUG-23", destroy_takes_one_block_along, LIFETIME, NO_MACHINE, 8 },
	{ "destroy-takes-full-memory-along", "PLUG-23", destroy_takes_full_memory_along, LIFETIME, NO_MACHINE, 8 },
	{ "destroy-takes-caches-along", "PLUG-23", destroy_takes_caches_along, LIFETIME, NO_MACHINE, 0 },
	{ "two-instances-are-apart", "PLUG-24", two_instances_are_apart, LIFETIME, NO_MACHINE, 0 },
	{ "two-instances-serve-at-once", "PLUG-24", two_instances_serve_at_once, LIFETIME, NO_MACHINE, 0 },
	{ "many-machines-and-one-thread", "PLUG-25", many_machines_and_one_thread, LIFETIME, NO_MACHINE, 0 },
	{ "an-instance-begins-from-the-beginning", "PLUG-26", an_instance_begins_from_the_beginning, LIFETIME,
	  NO_MACHINE, 0 },
	{ "closing-an-area-keeps-the-counts", "PLUG-27", closing_an_area_keeps_the_counts, LIFETIME, 0, 0 },
	{ "flush-empties-areas", "PLUG-27", flush_empties_areas, LIFETIME, NO_MACHINE, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
