/* SPDX-License-Identifier: MIT */
/* percpu-limits.c: tests of the role percpu: the end of the unit, the end of memory, and who may ask for more. */
#include "percpu-model.h"

#include <string.h>

/* ---- exhaustion ---- */

static void look_full(void)
{
	size_t left = pcpu_free_bytes();

	kept("PCPU-09", !left, "one word is refused, and %zu bytes of the unit are free", left);
}

/* Fresh; and with holes of one word here and there. */
void pcpu_to_the_last_word(void)
{
	struct chunks held = { 0 };

	pcpu_begin();
	chunks_drain_all(&held, NULL);
	look_full();
	for (unsigned i = 0; i < effort(4); i++) {
		for (size_t n = held.n / 2; n; n--) {
			struct chunk chunk = chunks_pick(&held, &test_rng);

			chunk_give(&chunk);
		}
		pcpu_churn(&held, 200, 100);
		chunks_drain_all(&held, NULL);
		look_full();
	}
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
}

void pcpu_does_not_wear_out(void)
{
	size_t first[16] = { 0 }, again[16] = { 0 };
	struct chunks held = { 0 };

	pcpu_begin();
	chunks_drain_all(&held, first);
	chunks_give(&held);
	for (unsigned i = 0; i < effort(3); i++) {
		pcpu_churn(&held, 1500, 200);
		chunks_give(&held);
		if (i % 2)
			shrink_now(~0ul);
		chunks_drain_all(&held, again);
		for (unsigned j = 0; j < LOAM_LEN(first); j++)
			kept("PCPU-10", first[j] == again[j], "of %u bytes there were %zu at the start, and %zu now",
			     PCPU_LARGEST >> j, first[j], again[j]);
		chunks_give(&held);
	}
	chunks_end(&held);
	pcpu_end();
}

/* A refusal in the middle of an allocation of several pages. */
static bool refused_at(void (*fail)(uint64_t), uint64_t nth)
{
	struct chunks held = { 0 };
	struct loam_stat before, after;
	struct chunk chunk;
	uint64_t failed;
	bool got;

	machine_up(NULL);
	pcpu_begin();
	pcpu_churn(&held, 20, 10);
	/* Nothing that is there already serves it. */
	shrink_now(~0ul);
	before = stat_now();
	failed = shim_counts().failed;
	fail(nth);
	/* At a page's start: words that stay taken must not seem to be part of what lies in front of them. */
	got = chunk_take(&chunk, pcpu_size() / 8 < PCPU_LARGEST ? pcpu_size() / 8 : PCPU_LARGEST, LOAM_PAGE_SIZE,
			 GFP_KERNEL | __GFP_NOWARN);
	fail(0);
	failed = shim_counts().failed - failed;
	after = stat_now();
	kept("PCPU-11", after.live_blocks == before.live_blocks + got && after.failures == before.failures + !got,
	     "request %llu failed: live_blocks went from %llu to %llu, failures from %llu to %llu",
	     (unsigned long long)nth, (unsigned long long)before.live_blocks, (unsigned long long)after.live_blocks,
	     (unsigned long long)before.failures, (unsigned long long)after.failures);
	kept("PCPU-11", got || after.live_bytes == before.live_bytes, "a refusal changed live_bytes");
	chunks_look(&held);
	if (got)
		chunk_give(&chunk);
	kept("PCPU-11",
	     chunk_take(&chunk, pcpu_size() / 8 < PCPU_LARGEST ? pcpu_size() / 8 : PCPU_LARGEST, LOAM_PAGE_SIZE,
			GFP_KERNEL),
	     "request %llu failed, and with memory at hand alloc is refused", (unsigned long long)nth);
	chunk_give(&chunk);
	chunks_give(&held);
	chunks_drain_all(&held, NULL);
	kept("PCPU-11", !pcpu_free_bytes(), "request %llu failed, and %zu bytes are lost", (unsigned long long)nth,
	     pcpu_free_bytes());
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
	machine_down();
	return failed;
}

/* What is refused for want of room is not remembered either. */
static void refused_when_full(void)
{
	struct chunks held = { 0 };
	struct loam_stat before, after;
	struct chunk chunk;

	machine_up(NULL);
	pcpu_begin();
	chunks_drain_all(&held, NULL);
	before = stat_now();
	for (unsigned i = 0; i < 100; i++)
		kept("PCPU-11", !chunk_take(&chunk, draw_bytes(&test_rng), 4, GFP_KERNEL | __GFP_NOWARN),
		     "more is had than the unit has");
	after = stat_now();
	kept("PCPU-11", after.failures - before.failures == 100, "100 were refused, and %llu are counted",
	     (unsigned long long)(after.failures - before.failures));
	kept("PCPU-11", after.allocs == before.allocs && after.live_bytes == before.live_bytes,
	     "a refusal is an alloc");
	chunks_look(&held);
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
	machine_down();
}

void pcpu_refusals(void)
{
	for (uint64_t n = 1; refused_at(shim_fail_port, n); n += job.effort < 4 ? 1 + n / 3 : 1)
		;
	for (uint64_t n = 1; refused_at(shim_fail_meta, n); n++)
		;
	refused_when_full();
}

void pcpu_frames_go_back(void)
{
	uint64_t before = shim_counts().frames_live;
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(4); i++) {
		if (i % 2)
			chunks_drain(&held, PCPU_LARGEST);
		pcpu_churn(&held, 800, 200);
		chunks_give(&held);
		while (shrink_now(i % 3 ? 5 : ~0ul))
			;
		kept("PCPU-12", shim_counts().frames_live <= before,
		     "nothing is live, and %llu frames are held that were not before the first alloc",
		     (unsigned long long)(shim_counts().frames_live - before));
	}
	chunks_end(&held);
	pcpu_end();
}

/* ---- context ---- */

static bool same_calls(const struct shim_counts *before)
{
	struct shim_counts now = shim_counts();

	return now.port_allocs == before->port_allocs && now.window_calls == before->window_calls &&
	       now.frames_live == before->frames_live;
}

void pcpu_without_reclaim(void)
{
	static const gfp_t ways[] = { GFP_ATOMIC, GFP_NOWAIT, GFP_KERNEL & ~__GFP_DIRECT_RECLAIM, __GFP_ZERO, 0 };
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(1500); i++) {
		struct shim_counts before = shim_counts();
		struct chunk chunk;

		if (chunk_take(&chunk, draw_bytes(&test_rng), draw_align(&test_rng),
			       ways[i % LOAM_LEN(ways)] | __GFP_NOWARN))
			chunks_add(&held, &chunk);
		kept("PCPU-13", same_calls(&before), "alloc with gfp %#x called a port or mapped something",
		     ways[i % LOAM_LEN(ways)]);
		if (i % 10 == 0 && chunk_take(&chunk, draw_bytes(&test_rng), 4, GFP_KERNEL | __GFP_NOWARN))
			chunks_add(&held, &chunk);
		if (i % 100 == 99)
			chunks_give(&held);
		if (i % 300 == 299)
			shrink_now(~0ul);
	}
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
}

void pcpu_free_needs_nothing(void)
{
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(3); i++) {
		struct shim_counts before;

		pcpu_churn(&held, 400, 150);
		chunks_drain(&held, PCPU_LARGEST);
		before = shim_counts();
		shim_fail_all(true);
		chunks_give(&held);
		shim_fail_all(false);
		kept("PCPU-14", same_calls(&before) && shim_counts().meta_allocs == before.meta_allocs,
		     "free called a port, mapped or unmapped something, or asked for metadata");
		kept("PCPU-14", !stat_now().live_blocks, "with nothing to be had free did not free");
	}
	chunks_end(&held);
	pcpu_end();
}

void pcpu_freed_is_there(void)
{
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(400); i++) {
		size_t bytes = draw_bytes(&test_rng), align = draw_align(&test_rng);
		struct chunk chunk;

		pcpu_churn(&held, 3, 80);
		/* Now and then so much, behind as much, that what an instance has ahead does not serve it. */
		if (i % 16 == 0) {
			chunks_give(&held);
			shrink_now(~0ul);
			bytes = pcpu_size() / 2 < PCPU_LARGEST ? pcpu_size() / 2 : PCPU_LARGEST;
			if (chunk_take(&chunk, bytes, LOAM_PAGE_SIZE, GFP_KERNEL))
				chunks_add(&held, &chunk);
		}
		if (!chunk_take(&chunk, bytes, align, GFP_KERNEL))
			continue;
		chunk_give(&chunk);
		kept("PCPU-15", chunk_take(&chunk, bytes, align, i % 2 ? GFP_ATOMIC : GFP_NOWAIT),
		     "%zu bytes aligned to %zu were freed, and cannot be had without waiting", bytes, align);
		chunks_add(&held, &chunk);
	}
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
}
