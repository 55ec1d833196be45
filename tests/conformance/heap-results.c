/* SPDX-License-Identifier: MIT */
/* heap-results.c: what a heap gives when memory is there: sizes, alignments, limits. */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>

#define RING 24 /* blocks that live beside the one that a test looks at */

/* Take a block in the place of the oldest of a ring, so that it is not always the same memory. */
static struct block *ring_have(struct block *ring, size_t *next, size_t bytes, size_t align)
{
	struct block *block = &ring[(*next)++ % RING];

	if (block->ptr)
		heap_block_give(block);
	heap_block_have(block, bytes, align);
	return block;
}

/* ---- sizes ---- */

void heap_every_size(void)
{
	size_t max = heap_max(), small = max < 2200 ? max : 2200, next = 0;
	struct block ring[RING] = { { 0 } };

	for (size_t bytes = 1; bytes <= small; bytes++)
		ring_have(ring, &next, bytes, 1);
	/* Beyond that the ends of pages and of powers of two, and what lies between by chance. */
	for (size_t bytes = LOAM_PAGE_SIZE; bytes <= max && bytes < 5 * LOAM_PAGE_SIZE; bytes += LOAM_PAGE_SIZE)
		for (size_t near = bytes - 17; near <= bytes + 1 && near <= max; near++)
			ring_have(ring, &next, near, 1);
	heap_blocks_give(ring, RING);
	for (unsigned i = 0; i < effort(60); i++) {
		struct block block;

		heap_block_have(&block, rng_size(&test_rng, i % 8 ? max / 64 + 1 : max), 1);
		heap_block_give(&block);
	}
}

/* ---- usable_size ---- */

struct asked {
	struct block *blocks;
	size_t n;
};

static void ask_again(void *arg)
{
	struct asked *asked = arg;

	heap_blocks_intact(asked->blocks, asked->n, "HEAP-03", "nothing but a change of the thread");
}

void heap_usable_constant(void)
{
	size_t n = 150;
	struct block *blocks = heap_records(n, sizeof(*blocks));
	struct asked asked = { blocks, n };

	heap_blocks_have(blocks, n, 30000);
	heap_blocks_intact(blocks, n, "HEAP-03", "allocations");
	for (unsigned i = 0; i < effort(1000); i++) {
		struct block *block = &blocks[rng_below(&test_rng, n)];

		heap_block_give(block);
		heap_block_have(block, heap_size(&test_rng, 30000), 1);
		heap_block_intact(&blocks[rng_below(&test_rng, n)], "HEAP-03", "calls for other blocks");
	}
	thread_once(ask_again, &asked);
	for (size_t i = 0; i < n; i += 2)
		heap_block_give(&blocks[i]);
	heap_blocks_intact(blocks, n, "HEAP-03", "a free of every other block");
	heap_blocks_give(blocks, n);
	free(blocks);
}

/* ---- from an address to the heap ---- */

static bool leads_here(const struct page *page)
{
	const struct loam__owner *owner = loam__owner_of(page);

	return owner->self == subject && !owner->cache && owner->heap->link == &subject->links[LOAM_ROLE_HEAP];
}

static void must_lead_here(const struct block *block)
{
	for (char *at = block->ptr; at < block->ptr + block->usable; at += LOAM_PAGE_SIZE) {
		char *last = block->ptr + block->usable - 1;
		const struct page *page = loam_ptr_page(&loam__machine.map, at),
				  *end = loam_ptr_page(&loam__machine.map, last);

		kept("HEAP-04", page && end, "a block of %zu bytes at %p lies outside low memory", block->usable,
		     (void *)block->ptr);
		kept("HEAP-04", leads_here(page) && leads_here(end),
		     "the frame of %p, in a block of %zu bytes at %p, does not lead to the heap", (void *)at,
		     block->usable, (void *)block->ptr);
	}
}

static void only_held_frames_lead_here(const char *when)
{
	unsigned long n = 0, held = stat_now().footprint >> LOAM_PAGE_SHIFT;

	for (unsigned long pfn = 0; pfn < loam__machine.map.nr_pages; pfn++)
		n += leads_here(&loam__machine.map.pages[pfn]);
	kept("HEAP-04", n <= held, "%s %lu frames lead to the heap, which holds %lu", when, n, held);
}

void heap_frames_lead_back(void)
{
	size_t n = 200;
	struct block *blocks = heap_records(n, sizeof(*blocks));

	for (size_t i = 0; i < n; i++) {
		heap_block_have(&blocks[i],
				i % 10 ? heap_size(&test_rng, 9000) : rng_size(&test_rng, heap_max() / 16 + 1), 1);
		must_lead_here(&blocks[i]);
	}
	for (size_t i = 0; i < n; i++)
		must_lead_here(&blocks[i]);
	only_held_frames_lead_here("with live blocks");
	heap_blocks_shuffle(blocks, n, &test_rng);
	heap_blocks_give(blocks, n / 2);
	only_held_frames_lead_here("after frees");
	heap_blocks_give(blocks, n);
	only_held_frames_lead_here("with no live block");
	shrink_now(~0ul);
	only_held_frames_lead_here("after shrink");
	free(blocks);
}

/* ---- bulk ---- */

#define BULK 64

/* @got pointers as blocks; none twice, none that shares a byte. */
static void bulk_are(struct block *blocks, void **out, unsigned n, size_t bytes)
{
	bool natural = heap_limits().caps & LOAM_HEAP_NATURAL && !(bytes & (bytes - 1));

	for (unsigned i = 0; i < n; i++) {
		kept("HEAP-05", out[i], "alloc_bulk of %u blocks of %zu bytes returned %u, and number %u is NULL", n,
		     bytes, n, i);
		heap_block_is(&blocks[i], out[i], bytes, 1);
		kept("HEAP-16", !natural || !((uintptr_t)out[i] % bytes), "alloc_bulk put a block of %zu bytes at %p",
		     bytes, out[i]);
	}
	heap_blocks_apart(blocks, n, "HEAP-05");
}

static void bulk_have(struct block *blocks, unsigned n, size_t bytes)
{
	void *out[BULK];
	uint64_t before = stat_now().live_blocks, now;
	unsigned got = heap_alloc_bulk(bytes, GFP_KERNEL, n, out);

	kept("HEAP-05", got == n, "alloc_bulk of %u blocks of %zu bytes returned %u while memory was there", n, bytes,
	     got);
	bulk_are(blocks, out, n, bytes);
	now = stat_now().live_blocks;
	kept("HEAP-05", now == before + n, "alloc_bulk of %u blocks: live_blocks was %llu and is %llu", n,
	     (unsigned long long)before, (unsigned long long)now);
}

void heap_bulk(void)
{
	struct block blocks[BULK], beside[8];
	size_t max = heap_max() < 20000 ? heap_max() : 20000;

	heap_blocks_have(beside, LOAM_LEN(beside), 500);
	for (unsigned i = 0; i < effort(60); i++) {
		unsigned n = 1 + (unsigned)rng_below(&test_rng, BULK);
		size_t bytes = i % 3 ? rng_size(&test_rng, max) : 1ul << rng_below(&test_rng, 12);

		bulk_have(blocks, n, bytes < max ? bytes : max);
		heap_blocks_intact(beside, LOAM_LEN(beside), "HEAP-07", "alloc_bulk");
		heap_blocks_shuffle(blocks, n, &test_rng);
		heap_blocks_give(blocks, n);
	}
	heap_blocks_give(beside, LOAM_LEN(beside));
}

/* Blocks of several bulk and single calls, given back at once. */
static void free_mixed(struct block *blocks, size_t n)
{
	void *ptrs[2 * BULK];
	uint64_t before, now;

	heap_blocks_shuffle(blocks, n, &test_rng);
	/* Half of them stay, to see that they are not touched. */
	heap_blocks_intact(blocks, n, "HEAP-07", "bulk calls");
	for (size_t i = 0; i < n / 2; i++) {
		ptrs[i] = blocks[i].ptr;
		blocks[i].ptr = NULL;
	}
	before = stat_now().live_blocks;
	heap_free_bulk((unsigned)(n / 2), ptrs);
	now = stat_now().live_blocks;
	kept("HEAP-05", now == before - n / 2, "free_bulk of %zu blocks: live_blocks was %llu and is %llu", n / 2,
	     (unsigned long long)before, (unsigned long long)now);
	heap_blocks_intact(blocks, n, "HEAP-07", "free_bulk of other blocks");
	kept("HEAP-05", !reports_total(), "free_bulk of %zu blocks was reported as misuse", n / 2);
}

void heap_bulk_free(void)
{
	struct block blocks[2 * BULK] = { { 0 } };

	for (unsigned i = 0; i < effort(20); i++) {
		unsigned n = 2 + (unsigned)rng_below(&test_rng, BULK - 1);

		bulk_have(blocks, n, heap_size(&test_rng, 6000));
		heap_blocks_have(blocks + n, n, 20000);
		free_mixed(blocks, 2 * n);
		heap_blocks_give(blocks, 2 * n);
	}
}

/* ---- owns ---- */

static bool owns(const void *ptr)
{
	const struct loam_link *link = &subject->links[LOAM_ROLE_HEAP];
	bool own;

	op_enter("owns(%p)", ptr);
	own = loam_heap_ops(link)->owns(link->inst, ptr);
	op_leave();
	return own;
}

void heap_owns_own(void)
{
	static char in_static_data[64];
	char on_stack[64], *in_another = malloc(64);
	struct block blocks[200];
	struct page *frame = NULL;

	heap_blocks_have(blocks, LOAM_LEN(blocks), 30000);
	for (size_t i = 0; i < LOAM_LEN(blocks); i++)
		kept("HEAP-06", owns(blocks[i].ptr), "owns(%p) is false, and a block of %zu bytes lives there",
		     (void *)blocks[i].ptr, blocks[i].bytes);
	kept("HEAP-06", !owns(on_stack), "owns an address on the stack");
	kept("HEAP-06", !owns(in_static_data), "owns an address in static data");
	kept("HEAP-06", !heap_inside() || !owns(in_another), "owns a block of another malloc");
	if (loam__machine.frames.link)
		frame = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, loam__machine.graph->frames->owner);
	if (frame) {
		kept("HEAP-06", !owns(loam_page_ptr(&loam__machine.map, frame)), "owns a frame of another holder");
		loam__pages_free(&loam__machine.frames, frame, 0);
	}
	heap_blocks_give(blocks, LOAM_LEN(blocks));
	free(in_another);
}

/* ---- alignment ---- */

void heap_alignment(void)
{
	size_t max = heap_max(), widest = heap_max_align(), next = 0;
	struct block ring[RING] = { { 0 } };

	for (size_t align = 1; align <= widest; align *= 2) {
		const size_t sizes[] = { 1, align / 2 + 1, align, align + 1, 3 * align, rng_size(&test_rng, 5000) };

		for (size_t i = 0; i < LOAM_LEN(sizes) && (align < 256 << 10 || i < 4); i++)
			for (unsigned n = align <= LOAM_PAGE_SIZE ? 3 : 1; n; n--)
				if (sizes[i] && sizes[i] <= max)
					ring_have(ring, &next, sizes[i], align);
		/* Large ones would use up the machine. */
		if (align >= 64 << 10)
			heap_blocks_give(ring, RING);
	}
	heap_blocks_give(ring, RING);
}

/* Every small size, several at once: the first object of a slab is aligned by luck. */
void heap_min_align(void)
{
	size_t max = heap_max() < 700 ? heap_max() : 700, least = heap_limits().min_align;
	struct block blocks[6];

	for (size_t bytes = 1; bytes <= max; bytes++) {
		for (size_t i = 0; i < LOAM_LEN(blocks); i++)
			heap_block_have(&blocks[i], bytes, 1);
		heap_blocks_give(blocks, LOAM_LEN(blocks));
	}
	for (unsigned i = 0; i < effort(100); i++) {
		heap_block_have(&blocks[0], rng_size(&test_rng, heap_max() / 8 + 1), 1);
		kept("HEAP-15", (uintptr_t)blocks[0].ptr % least == 0, "a block of %zu bytes lies at %p",
		     blocks[0].bytes, (void *)blocks[0].ptr);
		heap_block_give(&blocks[0]);
	}
}

void heap_natural(void)
{
	size_t max = heap_max();

	for (size_t bytes = 1; bytes <= max; bytes *= 2) {
		struct block blocks[RING];
		size_t n = bytes <= 64 << 10 ? RING : 1;

		for (size_t i = 0; i < n; i++) {
			heap_block_have(&blocks[i], bytes, 1);
			kept("HEAP-16", !((uintptr_t)blocks[i].ptr % bytes), "a block of %zu bytes lies at %p", bytes,
			     (void *)blocks[i].ptr);
			/* Something small in between: the next one does not follow it at once. */
			if (i % 3 == 2) {
				struct block other;

				heap_block_have(&other, 1 + rng_below(&test_rng, 300 < max ? 300 : max), 1);
				heap_block_give(&other);
			}
		}
		heap_blocks_give(blocks, n);
	}
}

/* ---- limits ---- */

void heap_limits_sane(void)
{
	struct loam_heap_limits first = heap_limits(), last;
	struct block block;

	kept("HEAP-17", first.min_align && !(first.min_align & (first.min_align - 1)),
	     "min_align is %zu, not a power of two", first.min_align);
	kept("HEAP-17", !(first.max_align & (first.max_align - 1)), "max_align is %zu, neither 0 nor a power of two",
	     first.max_align);
	kept("HEAP-17", !first.max_align || (first.max_align >= first.min_align && first.max_align >= 16),
	     "max_align is %zu, and min_align %zu", first.max_align, first.min_align);
	for (unsigned i = 0; i < 20; i++) {
		heap_block_have(&block, i ? heap_size(&test_rng, 40000) : heap_max(), 1);
		heap_block_give(&block);
	}
	shrink_now(1);
	last = heap_limits();
	kept("HEAP-17", !memcmp(&first, &last, sizeof(first)),
	     "limits changed: max_size %zu and %zu, max_align %zu and %zu, min_align %zu and %zu, caps %#x and %#x",
	     first.max_size, last.max_size, first.max_align, last.max_align, first.min_align, last.min_align,
	     first.caps, last.caps);
}

void heap_limits_served(void)
{
	const size_t asks[][2] = { { heap_max(), 1 },
				   { 1, heap_max_align() },
				   { heap_max(), heap_max_align() },
				   { heap_max() - 1, heap_limits().min_align } };

	/* The first once more: then it is memory that was used. */
	for (size_t i = 0; i <= LOAM_LEN(asks); i++) {
		size_t bytes = asks[i % LOAM_LEN(asks)][0], align = asks[i % LOAM_LEN(asks)][1];
		struct block block;

		kept("HEAP-18", heap_block_take(&block, bytes, align, GFP_KERNEL),
		     "a request for %zu bytes, alignment %zu, is within the limits and was refused", bytes, align);
		heap_block_intact(&block, "HEAP-18", "nothing");
		heap_free(block.ptr);
	}
}

/* Three neighbours in size that live together, each filled to its last byte. */
static void border(size_t n, size_t max)
{
	struct block blocks[3] = { { 0 } };

	for (size_t i = 0; i < 3; i++) {
		size_t bytes = n - 1 + i, usable;
		void *ptr;

		if (!bytes || bytes > max)
			continue;
		ptr = heap_alloc(bytes, 1, GFP_KERNEL);
		kept("HEAP-01", ptr, "alloc of %zu bytes returned NULL while memory was there", bytes);
		usable = heap_usable(ptr);
		kept("HEAP-19", usable >= bytes, "a request for %zu bytes, near a border, got %zu", bytes, usable);
		heap_block_is(&blocks[i], ptr, bytes, 1);
	}
	heap_blocks_apart(blocks, 3, "HEAP-19");
	heap_blocks_intact(blocks, 3, "HEAP-19", "writes to blocks that are a byte longer or shorter");
	heap_blocks_give(blocks, 3);
}

void heap_borders(void)
{
	size_t max = heap_max();

	/* Classes of existing heaps: powers of two, halves and eighths between, multiples of 16, pages, the limit. */
	for (size_t power = 8; power <= max && power <= 512 << 10; power *= 2)
		for (size_t part = 0; part < 8 && (power <= 64 << 10 || part == 0); part++)
			border(power + power / 8 * part, max);
	for (size_t n = 16; n <= 1024; n += 16)
		border(n, max);
	for (size_t n = LOAM_PAGE_SIZE - 32; n <= LOAM_PAGE_SIZE + 32; n += 8)
		border(n, max);
	border(max, max);
}
