/* SPDX-License-Identifier: MIT */
/* percpu.c: the suite of the role percpu, and the tests of what an allocation is: its place, its alignment, its copies. */
#include "percpu-model.h"

#include <string.h>

/* ---- for the general tests ---- */

/* All copies count: a block is as large as they are together, and ptr is the first one's address. */
static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	static const unsigned short sizes[] = { 8, 4, 24, 16, 52, 4, 64, 8, 200, 12, 32, 4, 16, 700, 40, 6 };
	size_t bytes = sizes[i % LOAM_LEN(sizes)], offset;

	if (percpu_alloc(bytes, i % 7 ? 4 : 64, gfp, &offset))
		return false;
	*held = (struct held){ .ptr = percpu_base(0) + offset,
			       .bytes = bytes * loam__machine.cpus,
			       .seed = (job.seed + i) * 64 };
	for (unsigned cpu = 0; cpu < loam__machine.cpus; cpu++)
		pattern_write(percpu_base(cpu) + offset, bytes, held->seed + cpu);
	return true;
}

static size_t offset_of(const struct held *held)
{
	return (size_t)((char *)held->ptr - percpu_base(0));
}

static bool intact(const struct held *held)
{
	for (unsigned cpu = 0; cpu < loam__machine.cpus; cpu++)
		if (!pattern_check(percpu_base(cpu) + offset_of(held), held->bytes / loam__machine.cpus,
				   held->seed + cpu, NULL))
			return false;
	return true;
}

static void give(struct held *held)
{
	percpu_free(offset_of(held));
}

/* ---- results and alignment ---- */

static void churn_all(unsigned steps)
{
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(3); i++) {
		pcpu_churn(&held, steps, 150);
		shrink_now(i % 2 ? 3 : ~0ul);
		chunks_look(&held);
		if (i % 2)
			chunks_give(&held);
	}
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
}

static void offsets_lie_in_the_unit(void)
{
	struct chunks held = { 0 };

	churn_all(600);
	pcpu_begin();
	/* The end of the unit is where one may stick out. */
	chunks_drain_all(&held, NULL);
	chunks_give(&held);
	for (size_t bytes = PCPU_LARGEST - 4; bytes > 1000; bytes -= bytes / 3)
		chunks_drain(&held, bytes);
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
}

static void no_byte_twice(void)
{
	churn_all(2500);
}

static void units_are_constant(void)
{
	static const char *const cpus[] = { "machine.cpus=1", "machine.cpus=3", "machine.cpus=64" };

	for (unsigned i = 0; i < LOAM_LEN(cpus); i++) {
		const char *sets[] = { cpus[i], NULL };

		machine_up(&(struct setup){ .sets = sets });
		churn_all(300);
		machine_down();
	}
}

static void copies_are_aligned(void)
{
	struct chunks held = { 0 };
	struct chunk chunk;

	pcpu_begin();
	for (size_t align = 1; align <= LOAM_PAGE_SIZE; align *= 2)
		for (size_t bytes = 1; bytes < 600; bytes += bytes / 2 + 1) {
			if (chunk_take(&chunk, bytes, align, GFP_KERNEL))
				chunks_add(&held, &chunk);
			/* What is odd in front of the next one. */
			if (chunk_take(&chunk, PCPU_WORD, PCPU_WORD, GFP_KERNEL))
				chunks_add(&held, &chunk);
			if (held.n > 40)
				chunks_give(&held);
		}
	chunks_give(&held);
	chunks_end(&held);
	pcpu_end();
	churn_all(800);
}

/* ---- contents ---- */

/* Written to the last byte of each copy, given back, taken again: of other sizes and alignments, by those who cannot wait too. */
static void copies_are_zero(void)
{
	struct chunks held = { 0 };

	pcpu_begin();
	for (unsigned i = 0; i < effort(6); i++) {
		for (size_t bytes = 1; bytes <= 4000; bytes += 1 + bytes / 2) {
			struct chunk chunk;

			if (chunk_take(&chunk, bytes, (size_t)1 << i % 7, i % 2 ? GFP_KERNEL : GFP_ATOMIC))
				chunks_add(&held, &chunk);
		}
		chunks_give(&held);
		if (i % 3 == 2)
			shrink_now(~0ul);
	}
	chunks_end(&held);
	pcpu_end();
	churn_all(1000);
}

/* ---- limits ---- */

static void every_size_is_served(void)
{
	struct chunk chunk;

	pcpu_begin();
	for (size_t align = 1; align <= LOAM_PAGE_SIZE; align *= 2)
		for (size_t bytes = 1; bytes <= PCPU_LARGEST && bytes <= pcpu_size() / 2; bytes += 1 + bytes / 3) {
			/* From memory that is there, and from none. */
			if (rng_below(&test_rng, 2))
				shrink_now(~0ul);
			kept("PCPU-07", chunk_take(&chunk, bytes, align, GFP_KERNEL),
			     "nothing is live, and %zu bytes aligned to %zu are refused", bytes, align);
			chunk_give(&chunk);
		}
	for (size_t i = 0; i < 8 && PCPU_LARGEST <= pcpu_size() / 2; i++) {
		shrink_now(~0ul);
		kept("PCPU-07", chunk_take(&chunk, PCPU_LARGEST - i, LOAM_PAGE_SIZE, GFP_KERNEL),
		     "nothing is live, and %zu bytes are refused", PCPU_LARGEST - i);
		chunk_give(&chunk);
	}
	pcpu_end();
}

static void units_have_a_page(void)
{
	struct chunk chunk;

	pcpu_begin();
	kept("PCPU-08", chunk_take(&chunk, LOAM_PAGE_SIZE / 2, PCPU_WORD, GFP_KERNEL), "half a page is refused");
	kept("PCPU-08", pcpu_size() % PCPU_WORD == 0, "a unit has %zu bytes", pcpu_size());
	chunk_give(&chunk);
	pcpu_end();
}

/* ---- threads ---- */

static void churn_own(void *arg, unsigned index)
{
	struct rng rng = { job.seed ^ (index + 1) * 77777u };
	struct chunks held = { 0 };

	(void)arg;
	for (unsigned i = 0; i < effort(3000); i++) {
		struct chunk chunk;

		if (held.n > rng_below(&rng, 60)) {
			chunk = chunks_pick(&held, &rng);
			chunk_give(&chunk);
		} else if (chunk_take(&chunk, rng_size(&rng, i % 50 ? 100 : 3000), (size_t)1 << rng_below(&rng, 7),
				      i % 3 ? GFP_KERNEL : GFP_ATOMIC | __GFP_NOWARN)) {
			chunks_add(&held, &chunk);
		}
		if (index == 0 && i % 100 == 99)
			shrink_now(~0ul);
	}
	while (held.n) {
		struct chunk chunk = chunks_pick(&held, &rng);

		chunk_give(&chunk);
	}
	chunks_end(&held);
}

/* Nothing but calls, on neighbouring words, a few of them held: the shorter what is between, the likelier do they meet. */
static void burst(void *arg, unsigned index)
{
	size_t held[8];

	(void)arg;
	for (unsigned i = 0; i < effort(10000); i++) {
		unsigned at = i % LOAM_LEN(held);
		unsigned *copy;

		if (i >= LOAM_LEN(held)) {
			copy = (unsigned *)(void *)pcpu_at(index % pcpu_cpus(), held[at]);
			kept("PCPU-21", *copy == index + 1, "a copy of a thread's own has %u, and not %u", *copy,
			     index + 1);
			percpu_free(held[at]);
		}
		kept("PCPU-21", !percpu_alloc(PCPU_WORD, PCPU_WORD, GFP_KERNEL, &held[at]),
		     "a word is refused with memory at hand");
		copy = (unsigned *)(void *)pcpu_at(index % pcpu_cpus(), held[at]);
		kept("PCPU-21", !*copy, "a word that is handed out has %u", *copy);
		*copy = index + 1;
	}
	for (unsigned i = 0; i < LOAM_LEN(held); i++)
		percpu_free(held[i]);
}

static void threads_share_a_unit(void)
{
	const char *text;

	pcpu_begin();
	pcpu_blames("PCPU-21");
	for (unsigned round = 0; round < 4; round++) {
		struct loam_stat stat;

		threads_run_paused(job.threads < 4 ? 4 : job.threads, round % 4 ? burst : churn_own, NULL);
		stat = stat_now();
		kept("PCPU-21", !stat.live_blocks && !stat.live_bytes, "all was given back, and %llu are live",
		     (unsigned long long)stat.live_blocks);
		kept("PCPU-21", !check_now(&text), "check finds: %s", text);
	}
	pcpu_blames(NULL);
	pcpu_end();
}

/* ---- the suite ---- */

static void random_sequences(void)
{
	sequence_test(&percpu_sequence, 400);
}

static bool has_shrink(void)
{
	return subject->plugin->desc.shrink;
}

static const struct capability capabilities[] = { { "SHRINK", has_shrink }, { NULL, NULL } };

static const struct test tests[] = {
	{ "offsets-lie-in-the-unit", "PCPU-01", offsets_lie_in_the_unit, EXHAUSTION, 0, 48 },
	{ "no-byte-twice", "PCPU-02", no_byte_twice, EXAMPLE, 0, 0 },
	{ "units-are-constant", "PCPU-03", units_are_constant, EXAMPLE, NO_MACHINE, 64 },
	{ "copies-are-aligned", "PCPU-04", copies_are_aligned, EXAMPLE, 0, 0 },
	{ "copies-are-zero", "PCPU-05", copies_are_zero, EXAMPLE, 0, 0 },
	{ "copies-survive", "PCPU-06", no_byte_twice, EXAMPLE, 0, 0 },
	{ "every-size-is-served", "PCPU-07", every_size_is_served, EXAMPLE, 0, 0 },
	{ "units-have-a-page", "PCPU-08", units_have_a_page, EXAMPLE, 0, 0 },
	{ "to-the-last-word", "PCPU-09", pcpu_to_the_last_word, EXHAUSTION, 0, 64 },
	{ "does-not-wear-out", "PCPU-10", pcpu_does_not_wear_out, EXHAUSTION, 0, 64 },
	{ "a-refusal-changes-nothing", "PCPU-11", pcpu_refusals, FAULT, NO_MACHINE, 0 },
	{ "frames-go-back", "PCPU-12", pcpu_frames_go_back, EXAMPLE, 0, 0 },
	{ "without-reclaim-no-port-is-asked", "PCPU-13", pcpu_without_reclaim, EXAMPLE, 0, 0 },
	{ "free-needs-nothing", "PCPU-14", pcpu_free_needs_nothing, FAULT, 0, 0 },
	{ "what-was-freed-is-there", "PCPU-15", pcpu_freed_is_there, EXAMPLE, 0, 0 },
	{ "static-variables-are-zero", "PCPU-16", pcpu_reserve_is_zero, EXAMPLE, NO_MACHINE, 0 },
	{ "static-variables-stay", "PCPU-17", pcpu_reserve_stays, EXHAUSTION, NO_MACHINE, 64 },
	{ "static-variables-come-first", "PCPU-18", pcpu_reserve_is_first, EXAMPLE, NO_MACHINE, 0 },
	{ "static-variables-are-no-allocation", "PCPU-19", pcpu_reserve_is_no_allocation, EXAMPLE, NO_MACHINE, 0 },
	{ "static-variables-fail-cleanly", "PCPU-20", pcpu_reserve_fails_cleanly, FAULT, NO_MACHINE, 0 },
	{ "threads-share-a-unit", "PCPU-21", threads_share_a_unit, THREADS, 0, 0 },
	{ "a-bad-offset-is-reported", "PCPU-22", pcpu_bad_free, HOSTILE, NO_MACHINE, 0 },
	{ "counters-agree-with-the-model", "PCPU-23", pcpu_stat_agrees, INTROSPECTION, 0, 0 },
	{ "random-sequences", "PCPU-02 PCPU-06 PCPU-09 PCPU-23", random_sequences, MODEL, NO_MACHINE, 0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_PERCPU,
	.name = "percpu",
	.slow = true,
	TESTS(tests),
	.capabilities = capabilities,
	.take = take,
	.give = give,
	.intact = intact,
	.sequence = &percpu_sequence,
};
SUITE(suite);
