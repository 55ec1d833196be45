/* SPDX-License-Identifier: MIT */
/*
 * plugin-fault.c: tests for every plugin: memory that is short. The sweeps let the Nth request of the subject fail in the Nth run,
 * each on a fresh machine, until a run asked for less than N.
 */
#include "plugin-tools.h"

#include <errno.h>

#define BLOCKS 120
#define SHORT (GFP_KERNEL | __GFP_NOWARN)

/* ---- create ---- */

struct source {
	const char *what;
	void (*fail_at_create)(uint64_t nth);
	void (*fail)(uint64_t nth);
	uint64_t (*attempts)(void);
};

static uint64_t meta_attempts(void)
{
	return shim_counts().meta_allocs;
}

static uint64_t port_attempts(void)
{
	return shim_counts().port_allocs;
}

static const struct source meta = { "metadata", shim_fail_meta_at_create, shim_fail_meta, meta_attempts };
static const struct source port = { "memory from its ports", shim_fail_port_at_create, shim_fail_port, port_attempts };

/* Boot with the @nth request of create failing. false: create asked for less than that. */
static bool create_with(const struct source *source, uint64_t nth)
{
	struct shim_counts counts;
	const char *why;
	bool failed;
	int error;

	source->fail_at_create(nth);
	error = machine_try(NULL, &why);
	counts = shim_counts();
	failed = counts.failed;
	if (!error) {
		source->fail(0);
		halt_clean("PLUG-10", "create did without what failed");
		return failed;
	}
	kept("PLUG-10", failed, "create fails with memory at hand: %s", why);
	kept("PLUG-10", error == -ENOMEM, "request %llu for %s failed, and create returned %d, not -ENOMEM: %s",
	     (unsigned long long)nth, source->what, error, why);
	kept("PLUG-10", !counts.meta_live && !counts.meta_bytes,
	     "request %llu for %s failed, and create keeps %llu blocks of metadata, %llu bytes",
	     (unsigned long long)nth, source->what, (unsigned long long)counts.meta_live,
	     (unsigned long long)counts.meta_bytes);
	kept("PLUG-10", !counts.frames_live && !counts.port_live,
	     "request %llu for %s failed, and create keeps %llu frames, %llu blocks", (unsigned long long)nth,
	     source->what, (unsigned long long)counts.frames_live, (unsigned long long)counts.port_live);
	return true;
}

static void create_fails_cleanly(void)
{
	for (uint64_t n = 1; create_with(&meta, n); n++)
		;
	for (uint64_t n = 1; create_with(&port, n); n++)
		;
}

static void serve_after_create(const char *when)
{
	struct load load = load_new(BLOCKS, 0);
	struct books books;
	const char *why;
	int error = machine_try(NULL, &why);

	kept("PLUG-11", !error, "%s: the next create fails: %s", when, why);
	books = books_open();
	role_open();
	kept("PLUG-11", load_fill(&load, BLOCKS, GFP_KERNEL) == BLOCKS, "%s: the next instance refuses a block", when);
	load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-11");
	books_agree(&books, &load, 1, "PLUG-11");
	load_give_all(&load);
	role_close();
	halt_clean("PLUG-11", when);
	load_end(&load);
}

/* Behind each create that failed one that does not; once with the file loaded all the time, and once afresh each time. */
static void create_works_after_one_that_failed(void)
{
	for (unsigned stay = 0; stay < 2; stay++) {
		machine_up(NULL);
		stay_loaded(!stay);
		halt_clean("PLUG-11", "the first machine");
		for (uint64_t n = 1; create_with(&meta, n); n++)
			serve_after_create("create found no metadata");
		for (uint64_t n = 1; create_with(&port, n); n++)
			serve_after_create("create found no memory");
	}
}

/* ---- ops ---- */

static void some_work(void *arg)
{
	struct load load = load_new(BLOCKS / 4, 7000);

	(void)arg;
	load_fill(&load, BLOCKS / 4, SHORT);
	load_intact(&load, "PLUG-12");
	load_give_all(&load);
	load_end(&load);
}

static int no_span(void *arg, const struct loam_span *span)
{
	(void)arg, (void)span;
	return 0;
}

/* All kinds of ops; the request that fails may be in any of them. */
static void all_ops(struct load *load)
{
	load_fill(load, BLOCKS / 2, SHORT);
	thread_once(some_work, NULL);
	walk_now(no_span, NULL);
	load_churn(load, BLOCKS / 2, SHORT, "PLUG-12");
	stat_now();
	check_now(NULL);
	shrink_now(~0ul);
	load_fill(load, BLOCKS / 4, SHORT);
}

/* false: the work asked for less than @nth. */
static bool work_with(const struct source *source, uint64_t nth)
{
	struct load load = load_new(BLOCKS, 0), again = load_new(BLOCKS, 3000);
	struct books books;
	bool opened, failed;
	const char *text;

	machine_up(NULL);
	books = books_open();
	/* The caches of a role are made by ops too. */
	source->fail(nth);
	opened = !job.suite->open || job.suite->open();
	if (opened)
		all_ops(&load);
	failed = shim_counts().failed;
	source->fail(0);
	kept("PLUG-12", opened || failed, "what the role needs before the first block is refused");
	if (!opened)
		role_open();
	kept("PLUG-12", failed || !load.refused, "a block is refused with memory at hand");
	load_intact(&load, "PLUG-12");
	kept("PLUG-12", stat_now().live_blocks - books.before.live_blocks == load_units(&load),
	     "request %llu for %s failed, live_blocks grew by %llu, and %llu are held", (unsigned long long)nth,
	     source->what, (unsigned long long)(stat_now().live_blocks - books.before.live_blocks),
	     (unsigned long long)load_units(&load));
	kept("PLUG-12", !check_now(&text), "request %llu for %s failed, and check finds: %s", (unsigned long long)nth,
	     source->what, text);
	kept("PLUG-12", load_fill(&again, BLOCKS, SHORT) == BLOCKS,
	     "request %llu for %s failed, and with memory at hand again a block is refused", (unsigned long long)nth,
	     source->what);
	load_intact(&again, "PLUG-12");
	load_give_all(&again);
	load_give_all(&load);
	role_close();
	halt_clean("PLUG-12", "one request failed");
	load_end(&load);
	load_end(&again);
	return failed;
}

/* Each of them; with --time quick ever fewer of the later ones. */
static void sweep(const struct source *source)
{
	for (uint64_t n = 1; work_with(source, n); n += job.effort < 4 ? 1 + n / 4 : 1)
		;
}

static void ops_fail_cleanly_without_metadata(void)
{
	sweep(&meta);
}

static void ops_fail_cleanly_without_ports(void)
{
	sweep(&port);
}

/* ---- nothing at all ---- */

static void give_some(void *arg)
{
	struct load *load = arg;

	for (unsigned left = load->n - load->n / 4; load->n > left;)
		load_give(load);
}

static void serves_from_what_it_has(void)
{
	struct load load = load_new(4 * BLOCKS, 0);
	struct books books;
	const char *text;

	role_open();
	books = books_open();
	for (unsigned i = 0; i < effort(4); i++) {
		unsigned before, got;

		load_fill(&load, 2 * BLOCKS, GFP_KERNEL);
		while (load.n > BLOCKS)
			load_give(&load);
		before = load.n;
		shim_fail_all(true);
		load_fill(&load, BLOCKS, SHORT);
		load_intact(&load, "PLUG-13");
		load_churn(&load, 2 * BLOCKS, SHORT, "PLUG-13");
		kept("PLUG-13", !check_now(&text), "with no memory to be had check finds: %s", text);
		/* Gives need nothing, also in a thread that never did anything else. */
		thread_once(give_some, &load);
		while (load.n > before / 2)
			load_give(&load);
		shim_fail_all(false);
		load_intact(&load, "PLUG-13");
		got = load_fill(&load, BLOCKS, GFP_KERNEL);
		kept("PLUG-13", got == BLOCKS, "there is memory again, and of %u takes %u were refused", BLOCKS,
		     BLOCKS - got);
		load_intact(&load, "PLUG-13");
		load_give_all(&load);
		books_agree(&books, &load, 1, "PLUG-13");
	}
	role_close();
	load_end(&load);
}

/* ---- counted ---- */

static void agree(uint64_t before, const struct load *load, const char *when)
{
	uint64_t grown = stat_now().failures - before;

	kept("PLUG-14", grown == load->refused, "%s: failures grew by %llu, and %u takes were refused", when,
	     (unsigned long long)grown, load->refused);
}

static void failures_are_counted(void)
{
	struct load load = load_new(1u << 16, 0);
	uint64_t before;

	role_open();
	before = stat_now().failures;
	load_fill(&load, BLOCKS, GFP_KERNEL);
	agree(before, &load, "with memory at hand");
	/* A filter may tell what the instance below counts; and that is not asked when we refuse in its place. */
	if (subject->lower)
		skip("a filter is refused in earnest; see failures-are-counted-when-memory-ends");
	for (unsigned i = 0; i < effort(3); i++) {
		shim_fail_all(true);
		load_fill(&load, 3 * BLOCKS, SHORT);
		shim_fail_all(false);
		agree(before, &load, "with nothing to be had");
		load_fill(&load, BLOCKS, GFP_KERNEL);
		agree(before, &load, "with memory again");
		for (unsigned nth = 1; nth < 6; nth++) {
			shim_fail_port(nth);
			load_fill(&load, BLOCKS / 2, SHORT);
			shim_fail_port(0);
			shim_fail_meta(nth);
			load_fill(&load, BLOCKS / 2, SHORT);
			shim_fail_meta(0);
			agree(before, &load, "with one request that failed");
		}
		load_give_all(&load);
	}
	role_close();
	load_end(&load);
}

/* The end of the machine's memory, which is where a page allocator that has no port fails. */
static void failures_are_counted_when_memory_ends(void)
{
	struct load load = load_new(1u << 16, 0);
	uint64_t before;

	if (!in_machine())
		skip("the machine's memory is not what the blocks are of");
	role_open();
	before = stat_now().failures;
	while (load.refused < 20 && load.n < load.max)
		load_take(&load, GFP_ATOMIC | __GFP_NOWARN);
	agree(before, &load, "at the end of memory");
	load_give_all(&load);
	agree(before, &load, "after all was given back");
	role_close();
	load_end(&load);
}

static const struct test tests[] = {
	{ "create-fails-cleanly", "PLUG-10", create_fails_cleanly, FAULT, NO_MACHINE, 8 },
	{ "create-works-after-one-that-failed", "PLUG-11", create_works_after_one_that_failed, FAULT, NO_MACHINE, 8 },
	{ "ops-fail-cleanly-without-metadata", "PLUG-12", ops_fail_cleanly_without_metadata, FAULT, NO_MACHINE, 8 },
	{ "ops-fail-cleanly-without-ports", "PLUG-12", ops_fail_cleanly_without_ports, FAULT, NO_MACHINE, 8 },
	{ "serves-from-what-it-has", "PLUG-13", serves_from_what_it_has, FAULT, 0, 0 },
	{ "failures-are-counted", "PLUG-14", failures_are_counted, FAULT, 0, 0 },
	{ "failures-are-counted-when-memory-ends", "PLUG-14", failures_are_counted_when_memory_ends, EXHAUSTION, 0, 8 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
