/* SPDX-License-Identifier: MIT */
/* plugin-context.c: tests for every plugin: locks, rights, and what is not the instance's to write to. */
#include "plugin-tools.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 200
#define FRAMES 200 /* blocks of frames that another holder has */

/* ---- locks and rights: judged by the framework at each call; here all calls are made, on all the paths that we know ---- */

static void some_work(void *arg)
{
	struct load load = load_new(BLOCKS, (unsigned)(uintptr_t)arg);

	load_churn(&load, 3 * BLOCKS, GFP_KERNEL, "PLUG-04");
	stat_now();
	load_give_all(&load);
	load_end(&load);
}

/* Ops that succeed and ops that fail, with and without an area, and all else that takes locks. */
static void every_path(void)
{
	struct load load = load_new(BLOCKS, 0);

	for (unsigned i = 0; i < effort(6); i++) {
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-04");
		shim_fail_all(true);
		load_churn(&load, BLOCKS, GFP_KERNEL | __GFP_NOWARN, "PLUG-04");
		shim_fail_all(false);
		stat_now();
		thread_once(some_work, (void *)(uintptr_t)(10000 * (i + 1)));
		loam__area_close();
		shrink_now(i % 2 ? 8 : ~0ul);
		if (i % 3 == 2)
			load_give_all(&load);
		check_now(NULL);
	}
	load_give_all(&load);
	load_end(&load);
}

static void no_lock_is_held_at_return(void)
{
	role_open();
	every_path();
	role_close();
}

/* The end of the machine's memory is one of a page allocator's ways out; of others too, behind the one that we made. */
static void no_lock_is_held_when_memory_ends(void)
{
	struct load load = load_new(1u << 16, 0);

	role_open();
	while (load.refused < 20 && load.n < (in_machine() ? load.max : 1000))
		load_take(&load, GFP_ATOMIC | __GFP_NOWARN);
	stat_now();
	load_give_all(&load);
	load_fill(&load, BLOCKS, GFP_KERNEL);
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* Each request fails once, so that every op comes by each of its ways out. */
static void no_lock_is_held_at_an_error(void)
{
	struct load load = load_new(BLOCKS / 2, 0);
	uint64_t failed;

	role_open();
	for (unsigned n = 1;; n++) {
		failed = shim_counts().failed;
		if (n % 2)
			shim_fail_port(n / 2 + 1);
		else
			shim_fail_meta(n / 2);
		load_fill(&load, BLOCKS / 2, GFP_ATOMIC | __GFP_NOWARN);
		load_give_all(&load);
		shim_fail_port(0);
		shim_fail_meta(0);
		shrink_now(~0ul);
		if (failed == shim_counts().failed && (n > effort(20) || n > 40))
			break;
	}
	role_close();
	load_end(&load);
}

static void ports_are_called_without_locks(void)
{
	role_open();
	every_path();
	role_close();
	/* What a first block needs, and what goes with the last one. */
	role_open();
	every_path();
	role_close();
}

static void locks_are_taken_by_rising_rank(void)
{
	role_open();
	every_path();
	loam__quiesce();
	loam__resume();
	every_path();
	role_close();
}

static void no_more_rights_are_asked_for(void)
{
	static const gfp_t ways[] = {
		GFP_KERNEL,
		GFP_NOWAIT,
		GFP_ATOMIC,
		__GFP_NOWARN,
		GFP_NOIO,
		GFP_NOFS,
		GFP_KERNEL | __GFP_NOMEMALLOC,
		GFP_USER,
		GFP_ATOMIC | __GFP_NOMEMALLOC,
		GFP_NOWAIT | __GFP_NORETRY,
	};

	role_open();
	for (unsigned i = 0; i < effort(1) * LOAM_LEN(ways); i++) {
		struct load load = load_new(BLOCKS, i * BLOCKS);

		load_fill(&load, BLOCKS, ways[i % LOAM_LEN(ways)] | __GFP_NOWARN);
		load_give_all(&load);
		/* So that the next one has to ask again. */
		shrink_now(~0ul);
		load_end(&load);
	}
	role_close();
}

/* ---- memory of others ---- */

/** Frames of another holder, with contents and with words of its own in their struct pages. */
struct other {
	struct page *page[FRAMES];
	unsigned order[FRAMES];
	struct page *words; /* copies of the struct pages, by number of frame */
	unsigned n;
};

static struct page *other_frames(unsigned order)
{
	return loam__machine.host.pages_alloc(&loam__machine.frames, GFP_ATOMIC | __GFP_NOWARN, order, 0);
}

static void write_words(struct page *page, uint64_t seed)
{
	for (unsigned i = 0; i < LOAM_LEN(page->own); i++)
		page->own[i] = (void *)(uintptr_t)((seed + i) * 0x9e3779b97f4a7c15u);
	page->index = seed * 3 + 1;
	page->priv = seed * 5 + 1;
}

/* Between the blocks of @load, so that what lies behind the subject's memory is the other's as a rule. */
static void other_take(struct other *other, unsigned n, struct load *load)
{
	for (other->n = 0; other->n < n; other->n++) {
		unsigned i = other->n, order = i % 3;
		struct page *page = other_frames(order);

		if (!page)
			break;
		load_fill(load, 2, GFP_KERNEL);
		other->page[i] = page;
		other->order[i] = order;
		frame_write(page, order, job.seed + i);
		for (unsigned long f = 0; f < 1ul << order; f++) {
			unsigned long pfn = loam_page_pfn(&loam__machine.map, page + f);

			write_words(page + f, pfn);
			other->words[pfn] = page[f];
		}
	}
}

static void other_intact(const struct other *other, const char *when)
{
	for (unsigned i = 0; i < other->n; i++) {
		unsigned long pfn = loam_page_pfn(&loam__machine.map, other->page[i]);

		kept("PLUG-15", frame_check(other->page[i], other->order[i], job.seed + i),
		     "%s: the contents of frame %lu, order %u, which another holds, were written to", when, pfn,
		     other->order[i]);
		kept("PLUG-16", !memcmp(other->page[i], &other->words[pfn], sizeof(struct page) << other->order[i]),
		     "%s: the struct page of frame %lu, order %u, which another holds, was written to", when, pfn,
		     other->order[i]);
	}
}

static void other_give(struct other *other)
{
	while (other->n--)
		loam__machine.host.pages_free(&loam__machine.frames, other->page[other->n], other->order[other->n]);
}

static struct page *copies(void)
{
	struct page *words = calloc(loam__machine.map.nr_pages, sizeof(*words));

	if (!words)
		trouble("no memory for copies of the struct pages");
	return words;
}

/* Where the subject is the page allocator the other holder is one of its clients, and its blocks lie between the rest. */
static void memory_of_others_stays(void)
{
	struct load load = load_new(2 * FRAMES + BLOCKS, 0);
	struct other other = { .words = copies() };

	if (!loam__machine.frames.link)
		skip("the machine has no frames: there is no other holder");
	role_open();
	for (unsigned i = 0; i < effort(4); i++) {
		load_fill(&load, BLOCKS / 4, GFP_KERNEL);
		other_take(&other, work(FRAMES), &load);
		load_churn(&load, 4 * BLOCKS, GFP_KERNEL, "PLUG-15");
		other_intact(&other, "takes and gives");
		load_give_all(&load);
		shrink_now(~0ul);
		check_now(NULL);
		other_intact(&other, "all was given back");
		other_give(&other);
	}
	role_close();
	free(other.words);
	load_end(&load);
}

/* All memory that the subject gave back is another's now: what it still does with it shows. */
static void memory_given_back_is_left_alone(void)
{
	struct load load = load_new(4 * BLOCKS, 0), few = load_new(BLOCKS, 100000);
	struct page **page;
	unsigned long n = 0;

	if (!loam__machine.frames.link)
		skip("the machine has no frames: there is no other holder");
	page = calloc(loam__machine.map.nr_pages, sizeof(struct page *));
	if (!page)
		trouble("no memory for records");
	role_open();
	load_fill(&few, BLOCKS / 4, GFP_KERNEL);
	load_fill(&load, 4 * BLOCKS, GFP_KERNEL);
	load_give_all(&load);
	load_churn(&few, BLOCKS / 4, GFP_KERNEL, "PLUG-15");
	shrink_now(~0ul);
	while ((page[n] = other_frames(0))) {
		frame_write(page[n], 0, job.seed + n);
		write_words(page[n], n);
		n++;
	}
	/* With nothing to be had: what is held is used, and given back. */
	load_churn(&few, 2 * BLOCKS, GFP_ATOMIC | __GFP_NOWARN, "PLUG-15");
	loam__area_close();
	load_give_all(&few);
	shrink_now(~0ul);
	stat_now();
	check_now(NULL);
	for (unsigned long i = 0; i < n; i++)
		kept("PLUG-15", frame_check(page[i], 0, job.seed + i),
		     "frame %lu was given back, and written to when it was another's",
		     loam_page_pfn(&loam__machine.map, page[i]));
	while (n--)
		loam__machine.host.pages_free(&loam__machine.frames, page[n], 0);
	role_close();
	free(page);
	load_end(&load);
	load_end(&few);
}

/* ---- records of the host ---- */

static uint64_t sum(const void *at, size_t bytes)
{
	const unsigned char *byte = at;
	uint64_t hash = 0xcbf29ce484222325u;

	while (bytes--)
		hash = (hash ^ *byte++) * 0x100000001b3u;
	return hash;
}

/* What the instance reads and may not change. */
static uint64_t records(void)
{
	const struct loam_plugin *desc = &subject->plugin->desc;
	uint64_t sums = sum(subject->host, sizeof(*subject->host)) ^ sum(subject->host->map, sizeof(struct loam_map));

	sums ^= 3 * sum(subject->params, desc->nr_params * sizeof(*subject->params));
	sums ^= 5 * sum(&subject->args, sizeof(subject->args));
	sums ^= 7 * sum(subject->port_ptrs, desc->nr_ports * sizeof(*subject->port_ptrs));
	for (uint32_t i = 0; i < desc->nr_params; i++)
		if (desc->params[i].type == LOAM_PARAM_STRING && subject->params[i].s)
			sums ^= (11 + i) * sum(subject->params[i].s, strlen(subject->params[i].s));
	for (unsigned i = 0; i < LOAM_ZONES; i++)
		sums ^= (100 + i) * sum(&loam__machine.zones[i].pub, sizeof(struct loam_zone));
	return sums;
}

static void records_of_the_host_stay(void)
{
	uint64_t before = records();

	role_open();
	every_path();
	role_close();
	kept("PLUG-16", records() == before,
	     "the host's table, the map, the zones, the parameters, or the arguments of create were written to");
}

/* Where the subject hands out frames, the words of a held one are its holder's, whatever happens to its neighbours. */
static void words_of_held_frames_stay(void)
{
	struct load load = load_new(2 * BLOCKS, 0), others = load_new(2 * BLOCKS, 50000);
	struct page *words = copies();

	if (!(subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES)))
		skip("the instance hands out no frames");
	role_open();
	for (unsigned i = 0; i < effort(4); i++) {
		load_fill(&load, BLOCKS, GFP_KERNEL);
		load_fill(&others, BLOCKS, GFP_KERNEL);
		for (unsigned j = 0; j < load.n; j++)
			for (unsigned long f = 0; f < 1ul << load.held[j].order; f++) {
				struct page *page = load.held[j].page + f;

				write_words(page, loam_page_pfn(&loam__machine.map, page));
				words[loam_page_pfn(&loam__machine.map, page)] = *page;
			}
		load_churn(&others, 2 * BLOCKS, GFP_KERNEL, "PLUG-15");
		load_give_all(&others);
		for (unsigned j = 0; j < load.n; j++) {
			unsigned long pfn = loam_page_pfn(&loam__machine.map, load.held[j].page);

			kept("PLUG-16",
			     !memcmp(load.held[j].page, &words[pfn], sizeof(struct page) << load.held[j].order),
			     "the struct page of the held frame %lu, order %u, was written to", pfn,
			     load.held[j].order);
		}
		load_give_all(&load);
	}
	role_close();
	free(words);
	load_end(&load);
	load_end(&others);
}

static const struct test tests[] = {
	{ "no-lock-is-held-at-return", "PLUG-04", no_lock_is_held_at_return, EXAMPLE, 0, 0 },
	{ "no-lock-is-held-when-memory-ends", "PLUG-04", no_lock_is_held_when_memory_ends, EXHAUSTION, 0, 8 },
	{ "no-lock-is-held-at-an-error", "PLUG-04 PLUG-12", no_lock_is_held_at_an_error, FAULT, 0, 0 },
	{ "ports-are-called-without-locks", "PLUG-05", ports_are_called_without_locks, EXAMPLE, 0, 0 },
	{ "locks-are-taken-by-rising-rank", "PLUG-06", locks_are_taken_by_rising_rank, EXAMPLE, 0, 0 },
	{ "no-more-rights-are-asked-for", "PLUG-07", no_more_rights_are_asked_for, EXAMPLE, 0, 0 },
	{ "memory-of-others-stays", "PLUG-15 PLUG-16", memory_of_others_stays, EXAMPLE, 0, 0 },
	{ "memory-given-back-is-left-alone", "PLUG-15", memory_given_back_is_left_alone, EXAMPLE, 0, 0 },
	{ "records-of-the-host-stay", "PLUG-16", records_of_the_host_stay, EXAMPLE, 0, 0 },
	{ "words-of-held-frames-stay", "PLUG-16", words_of_held_frames_stay, EXAMPLE, ONCE, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
