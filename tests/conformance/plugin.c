/* SPDX-License-Identifier: MIT */
/* plugin.c: tests for every plugin: results and counters. The other groups: plugin-tools.h. */
#include "plugin-tools.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 300

/* ---- results ---- */

static int count_span(void *arg, const struct loam_span *span)
{
	(void)span;
	++*(unsigned *)arg;
	return 0;
}

static void ignore_line(void *arg, const char *text)
{
	(void)arg, (void)text;
}

/* What is no take and no give, all of it. */
static void look_everywhere(const struct load *load)
{
	struct loam_span span;
	unsigned spans = 0;

	stat_now();
	walk_now(count_span, &spans);
	check_now(NULL);
	op_enter("tell()");
	loam__tell(subject, ignore_line, NULL);
	op_leave();
	if (load->n && load->held[0].ptr && loam_ptr_page(&loam__machine.map, load->held[0].ptr))
		find_now(load->held[0].ptr, &span);
	shrink_now(1);
}

static void every_op_returns(void)
{
	static const gfp_t ways[] = { GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT | __GFP_NOWARN };
	struct load load = load_new(BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(10); i++) {
		load_churn(&load, 2 * BLOCKS, ways[i % LOAM_LEN(ways)], "PLUG-01");
		look_everywhere(&load);
		if (i % 4 == 3)
			load_give_all(&load);
	}
	load_give_all(&load);
	look_everywhere(&load);
	role_close();
	load_end(&load);
}

static void alloc_until_it_fails_returns(void)
{
	struct load load = load_new(1u << 17, 0);
	unsigned refused = 0;

	role_open();
	/* Twenty in a row: each op has come by the end of memory. A heap outside the machine has none that we would reach. */
	while (load.n < (in_machine() ? load.max : 5000) && refused < 20)
		refused = load_take(&load, GFP_ATOMIC | __GFP_NOWARN) ? 0 : refused + 1;
	look_everywhere(&load);
	load_give_all(&load);
	kept("PLUG-01", load_take(&load, GFP_KERNEL), "all memory was given back, and one block cannot be had");
	load_give_all(&load);
	role_close();
	load_end(&load);
}

static void a_faultless_client_is_not_reported(void)
{
	struct load load = load_new(BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(5); i++) {
		load_fill(&load, BLOCKS, GFP_KERNEL);
		kept("PLUG-08", !reports_total(), "a misuse was reported while blocks were taken");
		/* Newest first, oldest first, by chance: no order is wrong, and an address that comes again is another block. */
		while (load.n && i % 3 == 0)
			load_give_newest(&load);
		for (unsigned j = 0; i % 3 == 1 && load.n; j++) {
			struct held oldest = load.held[0];

			load.held[0] = load.held[load.n - 1];
			load.held[load.n - 1] = oldest;
			load_give_newest(&load);
		}
		load_churn(&load, 10 * BLOCKS, GFP_KERNEL, "PLUG-08");
		load_give_all(&load);
		kept("PLUG-08", !reports_total(), "a misuse was reported while blocks were given back");
		check_now(NULL);
		kept("PLUG-08", !reports_total(), "a misuse was reported by check");
	}
	role_close();
	load_end(&load);
}

/* ---- counters ---- */

static void counters_say_what_was_done(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct books books;

	role_open();
	books = books_open();
	for (unsigned i = 0; i < effort(10); i++) {
		load_churn(&load, 1 + i * 7 % 100, GFP_KERNEL, "PLUG-31");
		books_agree(&books, &load, 1, "PLUG-31");
		kept("PLUG-31", stat_now().live_blocks - books.before.live_blocks == load_units(&load),
		     "live_blocks grew by %llu, and %llu are held",
		     (unsigned long long)(stat_now().live_blocks - books.before.live_blocks),
		     (unsigned long long)load_units(&load));
	}
	load_give_all(&load);
	books_agree(&books, &load, 1, "PLUG-31");
	role_close();
	/* What the role needed besides is gone, and the counts are not. */
	books_agree(&books, &load, 1, "PLUG-31");
	role_open();
	load_fill(&load, BLOCKS / 4, GFP_KERNEL);
	books_agree(&books, &load, 1, "PLUG-31");
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* An object has no usable size but what its cache counts for each: at least its size, and the same when it comes again. */
static bool bytes_agree(uint64_t grown, const struct load *load)
{
	bool rounded = job.suite->role == LOAM_ROLE_OBJECTS || job.suite->role == LOAM_ROLE_PERCPU;

	return rounded ? grown >= load_bytes(load) : grown == load_bytes(load);
}

static void live_bytes_are_usable_bytes(void)
{
	struct load load = load_new(BLOCKS, 0), again = load_new(BLOCKS, 0);
	uint64_t before, grown;

	role_open();
	before = stat_now().live_bytes;
	for (unsigned i = 0; i < effort(10); i++) {
		load_churn(&load, 1 + i * 11 % 150, GFP_KERNEL, "PLUG-32");
		grown = stat_now().live_bytes - before;
		kept("PLUG-32", bytes_agree(grown, &load), "live_bytes grew by %llu, and %llu may be used",
		     (unsigned long long)grown, (unsigned long long)load_bytes(&load));
	}
	load_give_all(&load);
	kept("PLUG-32", stat_now().live_bytes == before, "nothing is held, and live_bytes is %llu more than before",
	     (unsigned long long)(stat_now().live_bytes - before));
	/* The same blocks count the same again. */
	load.next = again.next = 0;
	load_fill(&load, BLOCKS / 2, GFP_KERNEL);
	grown = stat_now().live_bytes - before;
	load_fill(&again, BLOCKS / 2, GFP_KERNEL);
	kept("PLUG-32", stat_now().live_bytes - before == 2 * grown || load_bytes(&load) != load_bytes(&again),
	     "as many blocks of the same sizes count %llu live bytes, and then %llu", (unsigned long long)grown,
	     (unsigned long long)(stat_now().live_bytes - before - grown));
	load_give_all(&again);
	load_give_all(&load);
	role_close();
	load_end(&again);
	load_end(&load);
}

/* What footprint must be; false: only a lower bound is known (ports that are neither pages nor below). */
static bool expected_footprint(uint64_t *bytes)
{
	const struct loam_plugin *desc = &subject->plugin->desc;

	if (subject->lower) {
		*bytes = stat_of(subject->lower).footprint;
		return true;
	}
	*bytes = stat_now().live_bytes;
	if (!desc->nr_ports)
		return subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES);
	for (uint32_t i = 0; i < desc->nr_ports; i++)
		if (subject->targets[i] && subject->target_roles[i] != LOAM_ROLE_PAGES)
			return false;
	*bytes = shim_counts().frames_live << LOAM_PAGE_SHIFT;
	return true;
}

static void check_footprint(const char *when)
{
	struct loam_stat stat = stat_now();
	uint64_t want;

	kept("PLUG-33", stat.footprint >= stat.live_bytes, "%s: footprint %llu is less than live_bytes %llu", when,
	     (unsigned long long)stat.footprint, (unsigned long long)stat.live_bytes);
	if (expected_footprint(&want))
		kept("PLUG-33", stat.footprint == want, "%s: footprint is %llu, and %llu bytes are held", when,
		     (unsigned long long)stat.footprint, (unsigned long long)want);
}

static void footprint_is_what_is_held(void)
{
	struct load load = load_new(BLOCKS, 0);

	check_footprint("at the beginning");
	role_open();
	for (unsigned i = 0; i < effort(8); i++) {
		load_fill(&load, BLOCKS / 2, GFP_KERNEL);
		check_footprint("after takes");
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-33");
		check_footprint("after takes and gives");
		load_give_all(&load);
		check_footprint("after all was given back");
		if (i % 2)
			shrink_now(~0ul);
		check_footprint("after a shrink");
	}
	role_close();
	check_footprint("at the end");
	load_end(&load);
}

static const struct test tests[] = {
	{ "every-op-returns", "PLUG-01 PLUG-06", every_op_returns, EXAMPLE, 0, 0 },
	{ "ops-return-when-memory-ends", "PLUG-01", alloc_until_it_fails_returns, EXHAUSTION, 0, 16 },
	{ "no-report-of-a-faultless-client", "PLUG-08", a_faultless_client_is_not_reported, EXAMPLE, 0, 0 },
	{ "counters-say-what-was-done", "PLUG-31", counters_say_what_was_done, INTROSPECTION, 0, 0 },
	{ "live-bytes-are-usable-bytes", "PLUG-32", live_bytes_are_usable_bytes, INTROSPECTION, 0, 0 },
	{ "footprint-is-what-is-held", "PLUG-33", footprint_is_what_is_held, INTROSPECTION, 0, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
