/* SPDX-License-Identifier: MIT */
/* heap-hostile.c: holders that make mistakes: what is claimed to be found is found, and harms nobody. */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- what must not change ---- */

/* Reports of a kind, by whoever of the chain found it. */
static uint64_t reported(enum loam_report_kind kind)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < loam__machine.graph->nr; i++)
		n += __atomic_load_n(&loam__machine.graph->instances[i]->reports[kind], __ATOMIC_RELAXED);
	return n;
}

struct calm {
	struct loam_stat stat;
	uint64_t reports;
};

static struct calm calm_now(void)
{
	return (struct calm){ stat_now(), reports_total() };
}

/* Something was reported since, and the counters are what they were. */
static void still_calm(const struct calm *before, const char *clause, const char *what, const void *ptr)
{
	struct calm now = calm_now();

	kept(clause, now.reports > before->reports, "%s at %p was not reported", what, ptr);
	kept(clause, now.stat.allocs == before->stat.allocs && now.stat.frees == before->stat.frees,
	     "%s at %p was counted: allocs and frees were %llu and %llu, and are %llu and %llu", what, ptr,
	     (unsigned long long)before->stat.allocs, (unsigned long long)before->stat.frees,
	     (unsigned long long)now.stat.allocs, (unsigned long long)now.stat.frees);
	kept(clause, !heap_inside() || now.stat.live_bytes == before->stat.live_bytes,
	     "%s at %p was counted: live_bytes went from %llu to %llu", what, ptr,
	     (unsigned long long)before->stat.live_bytes, (unsigned long long)now.stat.live_bytes);
}

#define BLOCKS 150

/* Groups of sizes that share slabs and pages, and some that have frames of their own. */
static void mixed_have(struct block *blocks, size_t n)
{
	size_t sizes[5] = { heap_size(&test_rng, 60), heap_size(&test_rng, 300), heap_size(&test_rng, 2000),
			    heap_size(&test_rng, 9000), rng_size(&test_rng, heap_max() < 60000 ? heap_max() : 60000) };

	for (size_t i = 0; i < n; i++)
		heap_block_have(&blocks[i], sizes[i % 17 ? i % 4 : 4], 1);
}

/* ---- double frees ---- */

void heap_double_free(void)
{
	struct block blocks[BLOCKS], again[BLOCKS];

	reports_expected();
	for (unsigned round = 0; round < effort(6); round++) {
		mixed_have(blocks, BLOCKS);
		heap_blocks_shuffle(blocks, BLOCKS, &test_rng);
		for (size_t i = 0; i < BLOCKS / 2; i++)
			heap_free(blocks[i].ptr);
		/* Not in the order of the frees. */
		heap_blocks_shuffle(blocks, BLOCKS / 2, &test_rng);
		for (size_t i = 0; i < BLOCKS / 2; i++) {
			struct calm before = calm_now();
			uint64_t said = reported(LOAM_REPORT_DOUBLE_FREE);
			const struct page *page = loam_ptr_page(&loam__machine.map, blocks[i].ptr);
			bool mine = !page || loam__owner_of(page)->self == subject;

			heap_free(blocks[i].ptr);
			still_calm(&before, "HEAP-31", "a second free of a block", blocks[i].ptr);
			kept("HEAP-31", !mine || reported(LOAM_REPORT_DOUBLE_FREE) == said + 1,
			     "a second free of a block of %zu bytes at %p was reported as something else",
			     blocks[i].bytes, (void *)blocks[i].ptr);
			blocks[i].ptr = NULL;
		}
		heap_blocks_intact(blocks, BLOCKS, "HEAP-31", "second frees of other blocks");
		/* All that is handed out now is nobody's. */
		for (size_t i = 0; i < BLOCKS / 2; i++)
			heap_block_have(&blocks[i], blocks[i].bytes, 1);
		mixed_have(again, BLOCKS);
		heap_blocks_apart(blocks, BLOCKS, "HEAP-31");
		heap_blocks_intact(blocks, BLOCKS, "HEAP-31", "allocations after second frees");
		heap_blocks_give(again, BLOCKS);
		heap_blocks_give(blocks, BLOCKS);
	}
}

/* ---- addresses inside blocks ---- */

static size_t offset_in(const struct block *block, unsigned way)
{
	const size_t offsets[] = {
		1, 8, 16, block->usable / 2, block->usable - 1, LOAM_PAGE_SIZE, 1 + rng_below(&test_rng, block->usable)
	};
	size_t offset = offsets[way % LOAM_LEN(offsets)];

	return offset < block->usable ? offset : 0;
}

void heap_bad_free(void)
{
	struct block blocks[BLOCKS];

	reports_expected();
	for (unsigned round = 0; round < effort(4); round++) {
		mixed_have(blocks, BLOCKS);
		for (unsigned i = 0; i < BLOCKS * 4; i++) {
			struct block *block = &blocks[rng_below(&test_rng, BLOCKS)];
			size_t offset = offset_in(block, i);
			struct calm before = calm_now();
			uint64_t said = reported(LOAM_REPORT_BAD_FREE);

			if (!offset)
				continue;
			heap_free(block->ptr + offset);
			still_calm(&before, "HEAP-32", "a free of an address inside a block,", block->ptr + offset);
			kept("HEAP-32", reported(LOAM_REPORT_BAD_FREE) == said + 1,
			     "a free of byte %zu of a block of %zu bytes was reported as something else", offset,
			     block->bytes);
			heap_block_intact(block, "HEAP-32", "a free of an address inside it");
		}
		heap_blocks_intact(blocks, BLOCKS, "HEAP-32", "frees of addresses inside other blocks");
		heap_blocks_apart(blocks, BLOCKS, "HEAP-32");
		heap_blocks_give(blocks, BLOCKS);
	}
}

/* ---- addresses where the heap has nothing ---- */

static void free_elsewhere(void *ptr, const char *what)
{
	struct calm before = calm_now();

	heap_free(ptr);
	still_calm(&before, "HEAP-33", what, ptr);
}

/* Frames that the heap had, and gave back. */
static void free_in_given_back(struct block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *at = blocks[i].ptr + rng_below(&test_rng, blocks[i].usable);

		heap_free(blocks[i].ptr);
		shrink_now(~0ul);
		if (!loam_ptr_page(&loam__machine.map, at)->owner) {
			free_elsewhere(blocks[i].ptr, "a free in a frame that was given back,");
			free_elsewhere(at, "a free in a frame that was given back,");
		}
		blocks[i].ptr = NULL;
	}
}

#define FRAMES 96

/* Every other one stays another holder's; the heap comes to lie between them. */
static void hold_frames(struct page **frames)
{
	uint32_t owner;

	if (!loam__machine.graph->frames)
		trouble("a machine without a page allocator");
	owner = loam__machine.graph->frames->owner;
	for (size_t i = 0; i < FRAMES; i++) {
		frames[i] = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, owner);
		if (!frames[i])
			trouble("the page allocator has no frame");
	}
	for (size_t i = 0; i < FRAMES; i += 2)
		loam__pages_free(&loam__machine.frames, frames[i], 0);
}

static void free_in_held(struct page **frames)
{
	for (size_t i = 1; i < FRAMES; i += 2) {
		char *at = loam_page_ptr(&loam__machine.map, frames[i]);

		free_elsewhere(at, "a free of a frame of another holder");
		free_elsewhere(at + 16 * rng_below(&test_rng, LOAM_PAGE_SIZE / 16),
			       "a free in a frame of another holder");
	}
}

static void give_frames(struct page **frames)
{
	for (size_t i = 1; i < FRAMES; i += 2)
		loam__pages_free(&loam__machine.frames, frames[i], 0);
}

void heap_elsewhere(void)
{
	static char in_static_data[64];
	char on_stack[64], *in_another = heap_records(1, 64);
	struct block blocks[BLOCKS], large[6];
	struct page *frames[FRAMES];

	reports_expected();
	hold_frames(frames);
	mixed_have(blocks, BLOCKS);
	for (size_t i = 0; i < LOAM_LEN(large); i++)
		heap_block_have(&large[i], heap_max() < 70000 ? heap_max() : (size_t)8192 << i % 4, 1);
	for (unsigned i = 0; i < effort(20); i++) {
		free_elsewhere(on_stack + rng_below(&test_rng, sizeof(on_stack)), "a free on the stack,");
		free_elsewhere(in_static_data + rng_below(&test_rng, 64), "a free in static data,");
		free_elsewhere(in_another + 16, "a free in memory of another malloc,");
		free_elsewhere((void *)(uintptr_t)(1 + rng_below(&test_rng, 4095)), "a free below the first page,");
		free_elsewhere((void *)(uintptr_t)(rng_next(&test_rng) | 1ull << 63), "a free outside any mapping,");
		free_elsewhere(loam__machine.map.base + loam__machine.map.low_bytes,
			       "a free behind the machine's memory,");
		heap_blocks_intact(blocks, BLOCKS, "HEAP-33", "frees of addresses outside the heap");
	}
	free_in_held(frames);
	free_in_given_back(large, LOAM_LEN(large));
	heap_blocks_intact(blocks, BLOCKS, "HEAP-33", "frees of addresses outside the heap");
	heap_blocks_apart(blocks, BLOCKS, "HEAP-33");
	heap_blocks_give(blocks, BLOCKS);
	give_frames(frames);
	free(in_another);
}

/* ---- writes where none should be ---- */

/* Reports, and what check says now. */
static uint64_t found(void)
{
	return reported(LOAM_REPORT_CORRUPTION) + check_now(NULL);
}

static void overflow(struct block *blocks, size_t n)
{
	struct block *victim = &blocks[rng_below(&test_rng, n)];
	uint64_t before = found();
	unsigned char *behind = (unsigned char *)victim->ptr + victim->usable;
	bool look = rng_below(&test_rng, 2);

	*behind ^= (unsigned char)(1 + rng_below(&test_rng, 255));
	if (look) {
		kept("HEAP-12", found() > before, "a write behind %zu usable bytes at %p was not told by check",
		     victim->usable, (void *)victim->ptr);
		before = reported(LOAM_REPORT_CORRUPTION);
	}
	heap_free(victim->ptr);
	kept("HEAP-12", look || reported(LOAM_REPORT_CORRUPTION) > before,
	     "a write behind %zu usable bytes at %p was not reported by the free", victim->usable, (void *)victim->ptr);
	victim->ptr = NULL;
	heap_blocks_intact(blocks, n, "HEAP-12", "a write behind another block");
	heap_blocks_give(blocks, n);
}

void heap_overflow(void)
{
	struct block blocks[40];

	reports_expected();
	for (unsigned i = 0; i < effort(25); i++) {
		mixed_have(blocks, LOAM_LEN(blocks));
		overflow(blocks, LOAM_LEN(blocks));
	}
}

/* Until the memory is handed out again, or so many others that it is not to be had. */
static bool told_when_handed_out(const struct block *freed)
{
	uint64_t before = reported(LOAM_REPORT_CORRUPTION);
	size_t n = 4096;
	struct block *blocks = heap_records(n, sizeof(*blocks));
	bool told = false, out = false;

	for (size_t i = 0; i < n && !told && !out; i++) {
		void *ptr = heap_alloc(freed->bytes, 1, GFP_KERNEL | __GFP_NOWARN);

		told = reported(LOAM_REPORT_CORRUPTION) > before;
		if (!ptr)
			break;
		heap_block_is(&blocks[i], ptr, freed->bytes, 1);
		out = blocks[i].ptr < freed->ptr + freed->usable && freed->ptr < blocks[i].ptr + blocks[i].usable;
	}
	heap_blocks_give(blocks, n);
	free(blocks);
	return told || !out;
}

void heap_use_after_free(void)
{
	struct block blocks[40];

	reports_expected();
	for (unsigned i = 0; i < effort(25); i++) {
		struct block *victim = &blocks[rng_below(&test_rng, LOAM_LEN(blocks))];
		uint64_t before;

		mixed_have(blocks, LOAM_LEN(blocks));
		heap_free(victim->ptr);
		before = found();
		victim->ptr[rng_below(&test_rng, victim->usable)] ^= (char)(1 + rng_below(&test_rng, 255));
		if (i % 2)
			kept("HEAP-13", found() > before,
			     "a write into a freed block of %zu bytes at %p was not told by check", victim->bytes,
			     (void *)victim->ptr);
		else
			kept("HEAP-13", told_when_handed_out(victim),
			     "a write into a freed block of %zu bytes at %p was not reported when it was handed out "
			     "again",
			     victim->bytes, (void *)victim->ptr);
		victim->ptr = NULL;
		heap_blocks_intact(blocks, LOAM_LEN(blocks), "HEAP-13", "a write into a freed block");
		heap_blocks_give(blocks, LOAM_LEN(blocks));
	}
}
