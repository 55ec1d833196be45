/* SPDX-License-Identifier: MIT */
/* heap-flags.c: what a request's gfp does: zones and reserves. */
#include "heap-tests.h"

#include <stdlib.h>

#define SHORT (GFP_KERNEL | __GFP_NOWARN)

/* ---- zones ---- */

static unsigned zone_at(const char *at)
{
	return loam_ptr_page(&loam__machine.map, at)->flags & LOAM_PAGE_ZONE_MASK;
}

static void must_lie_in(const struct block *block, gfp_t gfp)
{
	unsigned highest = gfp & __GFP_DMA ? LOAM_ZONE_DMA : LOAM_ZONE_DMA32;

	for (const char *at = block->ptr; at < block->ptr + block->usable; at += LOAM_PAGE_SIZE) {
		const char *last = block->ptr + block->usable - 1;

		kept("HEAP-25", zone_at(at) <= highest && zone_at(last) <= highest,
		     "%zu bytes, alignment %zu, asked for with gfp %#x lie at %p in zone %u", block->bytes,
		     block->align, gfp, (void *)block->ptr, zone_at(at) > zone_at(last) ? zone_at(at) : zone_at(last));
	}
}

/* By whatever op gives blocks out. */
static void have_in_zone(struct block *block, unsigned way, gfp_t gfp)
{
	size_t bytes = rng_below(&test_rng, 3) ? rng_size(&test_rng, 256) : heap_size(&test_rng, 12000),
	       align = way == 1 ? 16u << rng_below(&test_rng, 8) : 1;
	void *ptr = NULL;

	bytes = bytes < heap_max() ? bytes : heap_max();
	align = align < heap_max_align() ? align : heap_max_align();
	if (way == 2)
		ptr = heap_zalloc(bytes, align, gfp | GFP_KERNEL);
	else if (way == 3)
		heap_alloc_bulk(bytes, gfp | GFP_KERNEL, 1, &ptr);
	else
		ptr = heap_alloc(bytes, align, gfp | GFP_KERNEL);
	kept("HEAP-01", heap_block_is(block, ptr, bytes, align),
	     "%zu bytes with gfp %#x were refused while memory was there", bytes, gfp | GFP_KERNEL);
	must_lie_in(block, gfp);
}

/* What lies in reserve in the heap now is of another zone: whole pages full of one size, with holes, and other blocks. */
static void use_other_zones(struct block *others, size_t n)
{
	static const size_t sizes[] = { 8, 24, 56, 64, 120, 248, 256 };
	size_t bytes = sizes[rng_below(&test_rng, LOAM_LEN(sizes))];

	bytes = bytes < heap_max() ? bytes : heap_max();
	for (size_t i = 0; i < n; i++)
		heap_block_have(&others[i], i % 8 ? bytes : heap_size(&test_rng, 12000), 1);
	for (size_t i = 0; i < n; i += 5)
		heap_block_give(&others[i]);
}

#define OTHERS 700

void heap_dma(void)
{
	size_t n = 120;
	struct block *blocks = heap_records(n, sizeof(*blocks)), *others = heap_records(OTHERS, sizeof(*others));

	for (unsigned round = 0; round < effort(6); round++) {
		use_other_zones(others, OTHERS);
		for (unsigned i = 0; i < n; i++)
			have_in_zone(&blocks[i], i % 4, i % 3 ? __GFP_DMA : __GFP_DMA32);
		heap_blocks_apart(blocks, n, "HEAP-08");
		heap_blocks_shuffle(blocks, n, &test_rng);
		heap_blocks_give(blocks, n / 2);
		heap_blocks_give(others, OTHERS);
		for (unsigned i = 0; i < n / 2; i++)
			have_in_zone(&blocks[i], i % 4, i % 3 ? __GFP_DMA : __GFP_DMA32);
		heap_blocks_give(blocks, n);
	}
	free(blocks);
	free(others);
}

/* As many as there are; no more than @most. */
static size_t take_all(struct block *blocks, size_t most, size_t bytes, gfp_t gfp)
{
	size_t n = 0;

	while (n < most && heap_block_take(&blocks[n], bytes, 1, gfp))
		n++;
	return n;
}

static size_t a_page(void)
{
	return heap_max() < LOAM_PAGE_SIZE ? heap_max() : LOAM_PAGE_SIZE;
}

void heap_dma_short(void)
{
	static const size_t sizes[] = { 100, 1000, 4096, 20000 };
	size_t max = heap_max();

	for (size_t i = 0; i < LOAM_LEN(sizes); i++) {
		size_t bytes = sizes[i] < max ? sizes[i] : max, most = heap_memory() / bytes, n;
		struct block *blocks = heap_records(most, sizeof(*blocks)), other;

		n = take_all(blocks, most, bytes, SHORT | __GFP_DMA);
		kept("HEAP-25", n < most, "%zu blocks of %zu bytes from zone DMA, which is smaller", n, bytes);
		for (size_t j = 0; j < n; j++)
			must_lie_in(&blocks[j], __GFP_DMA);
		heap_block_have(&other, bytes, 1);
		heap_block_give(&other);
		heap_blocks_give(blocks, n);
		free(blocks);
	}
}

/* ---- when memory is short ---- */

void heap_reserve(void)
{
	size_t bytes = a_page(), most = heap_memory() / bytes, n, more;
	struct block *blocks = heap_records(most, sizeof(*blocks));
	gfp_t usual[] = { SHORT, GFP_NOWAIT | __GFP_NOWARN, GFP_NOIO | __GFP_NOWARN };

	n = take_all(blocks, most, bytes, usual[rng_below(&test_rng, LOAM_LEN(usual))]);
	n += take_all(blocks + n, most - n, bytes, SHORT);
	more = take_all(blocks + n, most - n, bytes, GFP_ATOMIC | __GFP_NOWARN);
	kept("HEAP-26", more, "%zu blocks of %zu bytes use up all but the reserve, and GFP_ATOMIC gets nothing of that",
	     n, bytes);
	heap_blocks_intact(blocks, n + more, "HEAP-07", "requests that were refused");
	heap_blocks_give(blocks, n + more);
	free(blocks);
}

void heap_all_zones(void)
{
	size_t bytes = a_page(), most = heap_memory() / bytes, n, in_dma = 0;
	struct block *blocks = heap_records(most, sizeof(*blocks));

	n = take_all(blocks, most, bytes, SHORT);
	for (size_t i = 0; i < n; i++)
		in_dma += zone_at(blocks[i].ptr) == LOAM_ZONE_DMA;
	kept("HEAP-27", in_dma,
	     "%zu blocks of %zu bytes could be had, none of them from zone DMA, which has %lu free frames", n, bytes,
	     loam__machine.zones[LOAM_ZONE_DMA].free);
	heap_blocks_give(blocks, n);
	free(blocks);
}
