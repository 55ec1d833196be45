/* SPDX-License-Identifier: MIT */
/* heap-contents.c: what is in a block: whose it is, how long it stays, zalloc and resize; and that free ends it. */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- live blocks, whatever else is called ---- */

/* A call that has nothing to do with the blocks that a test watches. */
static void something_else(struct block *others, size_t n)
{
	struct block *block = &others[rng_below(&test_rng, n)];
	void *bulk[16];
	unsigned got;

	switch (rng_below(&test_rng, 12)) {
	case 0:
		got = heap_alloc_bulk(heap_size(&test_rng, 2000), GFP_KERNEL, LOAM_LEN(bulk), bulk);
		for (unsigned i = 0; i < got; i++)
			memset(bulk[i], 0xee, heap_usable(bulk[i]));
		heap_free_bulk(got, bulk);
		break;
	case 1:
		shrink_now(rng_below(&test_rng, 64));
		break;
	case 2:
		if (block->ptr && heap_resize(block->ptr, heap_size(&test_rng, 20000))) {
			block->usable = heap_usable(block->ptr);
			pattern_write(block->ptr, block->usable, block->seed);
		}
		break;
	default:
		if (block->ptr)
			heap_block_give(block);
		else
			heap_block_have(block, heap_size(&test_rng, 20000), 1);
	}
}

void heap_contents_survive(void)
{
	struct block watched[150], others[100] = { { 0 } };

	for (size_t i = 0; i < LOAM_LEN(watched); i++) {
		heap_block_have(&watched[i], heap_size(&test_rng, 20000), 1);
		something_else(others, LOAM_LEN(others));
	}
	for (unsigned i = 0; i < effort(2500); i++) {
		something_else(others, LOAM_LEN(others));
		heap_block_intact(&watched[i % LOAM_LEN(watched)], "HEAP-07", "calls for other blocks");
	}
	heap_blocks_give(others, LOAM_LEN(others));
	heap_blocks_intact(watched, LOAM_LEN(watched), "HEAP-07", "frees of other blocks");
	shrink_now(~0ul);
	heap_blocks_intact(watched, LOAM_LEN(watched), "HEAP-07", "shrink");
	heap_blocks_give(watched, LOAM_LEN(watched));
}

/* ---- whose bytes they are ---- */

/* Not written yet: a block that reaches into a record of the heap spoils what is taken after it. */
static void take_unwritten(struct block *block, size_t bytes)
{
	void *ptr = heap_alloc(bytes, 1, GFP_KERNEL);

	kept("HEAP-01", ptr, "alloc of %zu bytes returned NULL while memory was there", bytes);
	*block = (struct block){ ptr, bytes, 1, heap_usable(ptr), job.seed + (uintptr_t)ptr };
}

static void write_all(struct block *blocks, size_t n)
{
	heap_blocks_apart(blocks, n, "HEAP-08");
	for (size_t i = 0; i < n; i++)
		pattern_write(blocks[i].ptr, blocks[i].usable, blocks[i].seed);
	for (size_t i = 0; i < n; i++) {
		size_t usable = heap_usable(blocks[i].ptr);

		kept("HEAP-08", usable == blocks[i].usable,
		     "%zu blocks of %zu bytes were filled to their ends, and usable_size of one went from %zu to %zu",
		     n, blocks[i].bytes, blocks[i].usable, usable);
	}
	heap_blocks_intact(blocks, n, "HEAP-08", "writes to other blocks of the same size");
}

/* Many of one size, which share slabs, pages and runs, taken in two goes with holes between. */
static void apart(struct block *blocks, size_t n, size_t bytes)
{
	for (size_t i = 0; i < n; i++)
		take_unwritten(&blocks[i], bytes);
	write_all(blocks, n);
	for (size_t i = 0; i < n; i += 3)
		heap_block_give(&blocks[i]);
	for (size_t i = 0; i < n; i += 3)
		take_unwritten(&blocks[i], bytes);
	write_all(blocks, n);
	heap_blocks_shuffle(blocks, n, &test_rng);
	heap_blocks_give(blocks, n);
}

void heap_apart(void)
{
	size_t n = 120, max = heap_max();
	struct block *blocks = heap_records(n, sizeof(*blocks));

	for (size_t bytes = 8; bytes <= max && bytes <= 16384; bytes *= 2) {
		apart(blocks, n, bytes);
		apart(blocks, n, bytes - bytes / 4);
	}
	for (unsigned round = 0; round < effort(8); round++) {
		heap_blocks_have(blocks, n, 60000);
		heap_blocks_apart(blocks, n, "HEAP-08");
		heap_blocks_intact(blocks, n, "HEAP-08", "writes to other blocks");
		heap_blocks_shuffle(blocks, n, &test_rng);
		heap_blocks_give(blocks, n);
	}
	free(blocks);
}

/* ---- contents that could be taken for a heap's own records ---- */

enum { ZEROES, ONES, OWN_ADDRESS, NEXT_ADDRESS, SMALL_NUMBERS, HEADERS, CONTENTS };

static uint64_t word_like(const struct block *block, unsigned kind)
{
	switch (kind) {
	case ONES:
		return ~0ull;
	case OWN_ADDRESS:
		return (uintptr_t)block->ptr;
	case NEXT_ADDRESS:
		return (uintptr_t)block->ptr + block->usable;
	case SMALL_NUMBERS:
		return 8;
	case HEADERS:
		return block->usable | 1;
	default:
		return 0;
	}
}

/* Fill, or see that it is still there. */
static void contents(const struct block *block, unsigned kind, bool fill)
{
	uint64_t word = word_like(block, kind);

	for (size_t i = 0; i < block->usable; i += 8) {
		size_t n = block->usable - i < 8 ? block->usable - i : 8;

		if (fill)
			memcpy(block->ptr + i, &word, n);
		else if (memcmp(block->ptr + i, &word, n))
			broken("HEAP-08",
			       "a block of %zu bytes at %p was filled with %#llx, and byte %zu or the next is not",
			       block->bytes, (void *)block->ptr, (unsigned long long)word, i);
	}
}

static void sound(const char *when)
{
	const char *defect;

	kept("HEAP-08", !reports_total(), "misuse was reported %s, and each block was only written to inside", when);
	kept("HEAP-08", !check_now(&defect), "each block was only written to inside, and check says %s: %s", when,
	     defect);
}

static void any_contents(struct block *blocks, size_t n, unsigned kind)
{
	uint64_t live = stat_now().live_blocks;

	for (size_t i = 0; i < n; i++) {
		contents(&blocks[i], kind, true);
		kept("HEAP-08", heap_usable(blocks[i].ptr) == blocks[i].usable,
		     "a block of %zu bytes was filled to its end, and usable_size went from %zu to %zu",
		     blocks[i].bytes, blocks[i].usable, heap_usable(blocks[i].ptr));
	}
	for (size_t i = 0; i < n; i++) {
		kept("HEAP-08", heap_usable(blocks[i].ptr) == blocks[i].usable,
		     "its neighbours were filled to their ends, and usable_size of a block of %zu bytes went from %zu "
		     "to %zu",
		     blocks[i].bytes, blocks[i].usable, heap_usable(blocks[i].ptr));
		contents(&blocks[i], kind, false);
	}
	sound("after the writes");
	heap_blocks_shuffle(blocks, n, &test_rng);
	for (size_t i = 0; i < n; i++)
		heap_free(blocks[i].ptr);
	sound("after the frees");
	kept("HEAP-08", stat_now().live_blocks == live - n,
	     "%zu blocks were freed, and live_blocks went from %llu to %llu", n, (unsigned long long)live,
	     (unsigned long long)stat_now().live_blocks);
}

void heap_any_contents(void)
{
	size_t n = 100;
	struct block *blocks = heap_records(n, sizeof(*blocks));

	for (unsigned i = 0; i < effort(2) * CONTENTS; i++) {
		/* Few sizes at a time, so that neighbours of a kind are there. */
		size_t sizes[3] = { heap_size(&test_rng, 6000), heap_size(&test_rng, 300), heap_size(&test_rng, 100) };

		for (size_t j = 0; j < n; j++)
			heap_block_have(&blocks[j], sizes[j % 3], 1);
		heap_blocks_apart(blocks, n, "HEAP-08");
		any_contents(blocks, n, i % CONTENTS);
	}
	free(blocks);
}

/* ---- zalloc ---- */

static void must_be_zero(const char *ptr, size_t bytes, size_t align)
{
	for (size_t i = 0; i < bytes; i++)
		if (ptr[i])
			broken("HEAP-09", "zalloc of %zu bytes, alignment %zu: byte %zu is %#x", bytes, align, i,
			       (unsigned char)ptr[i]);
}

static size_t zeroed_size(unsigned i)
{
	size_t max = heap_max(), size = i % 4 ? heap_size(&test_rng, 5000) : rng_size(&test_rng, max / 32 + 1);

	return size;
}

void heap_zeroed(void)
{
	size_t n = 60, widest = heap_max_align() < 8192 ? heap_max_align() : 8192;
	struct block *blocks = heap_records(n, sizeof(*blocks));
	size_t *sizes = heap_records(n, sizeof(*sizes)), *aligns = heap_records(n, sizeof(*aligns));

	for (unsigned round = 0; round < effort(10); round++) {
		for (unsigned i = 0; i < n; i++) {
			sizes[i] = zeroed_size(i);
			aligns[i] = i % 3 ? 1 : 1ul << rng_below(&test_rng, 14);
			aligns[i] = aligns[i] < widest ? aligns[i] : widest;
		}
		/* What the same requests gave before is full of a pattern without zeroes; no block has more of it than fits. */
		for (unsigned i = 0; i < n; i++)
			heap_block_have(&blocks[i], sizes[i], aligns[i]);
		heap_blocks_give(blocks, n);
		for (unsigned i = 0; i < n; i++) {
			char *ptr = heap_zalloc(sizes[i], aligns[i], GFP_KERNEL);

			kept("HEAP-01", ptr, "zalloc of %zu bytes returned NULL while memory was there", sizes[i]);
			must_be_zero(ptr, sizes[i], aligns[i]);
			heap_block_is(&blocks[i], ptr, sizes[i], aligns[i]);
		}
		heap_blocks_apart(blocks, n, "HEAP-08");
		heap_blocks_give(blocks, n);
	}
	free(blocks);
	free(sizes);
	free(aligns);
}

/* ---- resize ---- */

/* Ask for it, and see that what was said is so. */
static bool resized(struct block *block, size_t bytes)
{
	size_t old = block->usable, same = bytes < old ? bytes : old, at, usable;

	if (!heap_resize(block->ptr, bytes)) {
		heap_block_intact(block, "HEAP-11", "resize that returned false");
		return false;
	}
	usable = heap_usable(block->ptr);
	kept("HEAP-10", usable >= bytes, "resize of %zu usable bytes to %zu returned true, and usable_size is %zu", old,
	     bytes, usable);
	kept("HEAP-10", pattern_check(block->ptr, same, block->seed, &at),
	     "resize of %zu usable bytes to %zu returned true, and byte %zu of the contents is changed", old, bytes,
	     at);
	block->bytes = bytes;
	block->usable = usable;
	pattern_write(block->ptr, usable, block->seed);
	return true;
}

/* A size near the one that is there, or any. */
static size_t another_size(const struct block *block)
{
	size_t max = heap_max(), size = block->usable;

	switch (rng_below(&test_rng, 6)) {
	case 0:
		size += 1 + rng_below(&test_rng, 32);
		break;
	case 1:
		size = 2 * size;
		break;
	case 2:
		size = size / 2 + 1;
		break;
	case 3:
		size = 1 + rng_below(&test_rng, size);
		break;
	case 4:
		size = (size / LOAM_PAGE_SIZE + 1 + rng_below(&test_rng, 4)) * LOAM_PAGE_SIZE;
		break;
	default:
		size = rng_size(&test_rng, max < 65536 ? max : 65536);
	}
	return size < max ? size : max;
}

void heap_resize_true(void)
{
	size_t n = 60;
	struct block *blocks = heap_records(n, sizeof(*blocks));
	unsigned done = 0;

	heap_blocks_have(blocks, n, 40000);
	for (unsigned i = 0; i < effort(1500); i++) {
		struct block *block = &blocks[rng_below(&test_rng, n)];

		done += resized(block, another_size(block));
		heap_block_intact(&blocks[rng_below(&test_rng, n)], "HEAP-08", "resize of another block");
		/* Room behind the one or the other. */
		if (i % 8 == 0) {
			block = &blocks[rng_below(&test_rng, n)];
			heap_block_give(block);
			heap_block_have(block, heap_size(&test_rng, 40000), 1);
		}
	}
	heap_blocks_apart(blocks, n, "HEAP-08");
	heap_blocks_intact(blocks, n, "HEAP-08", "resize of other blocks");
	heap_blocks_give(blocks, n);
	if (!done)
		note("resize never returned true");
	free(blocks);
}

void heap_resize_false(void)
{
	size_t n = 90, max = heap_max();
	struct block *blocks = heap_records(n, sizeof(*blocks));

	/* Close together and of one size, so that there is no room: all that is asked is more than they have. */
	for (unsigned round = 0; round < effort(20); round++) {
		size_t bytes = heap_size(&test_rng, 9000);

		for (size_t i = 0; i < n; i++)
			heap_block_have(&blocks[i], bytes, 1);
		for (size_t i = 0; i < n; i++) {
			size_t more = blocks[i].usable * (2 + rng_below(&test_rng, 3)) + rng_below(&test_rng, 50);

			resized(&blocks[i], more < max ? more : max);
		}
		heap_blocks_apart(blocks, n, "HEAP-08");
		heap_blocks_intact(blocks, n, "HEAP-11", "resize of its neighbours");
		heap_blocks_give(blocks, n);
	}
	free(blocks);
}

/* ---- free ---- */

static void give_one(void *arg)
{
	heap_block_give(arg);
}

void heap_free_ends(void)
{
	size_t n = 150;
	struct block *blocks = heap_records(n, sizeof(*blocks));

	for (unsigned round = 0; round < effort(5); round++) {
		struct loam_stat before, now;

		for (size_t i = 0; i < n; i++)
			heap_block_have(&blocks[i],
					i % 8 ? heap_size(&test_rng, 9000)
					      : rng_size(&test_rng, 100000 < heap_max() ? 100000 : heap_max()),
					1);
		heap_blocks_shuffle(blocks, n, &test_rng);
		for (size_t i = 0; i < n; i++) {
			size_t usable = blocks[i].usable, bytes = blocks[i].bytes;

			before = stat_now();
			if (i % 16)
				heap_block_give(&blocks[i]);
			else
				thread_once(give_one, &blocks[i]);
			now = stat_now();
			kept("HEAP-30", now.live_blocks == before.live_blocks - 1,
			     "a free of a block of %zu bytes: live_blocks was %llu and is %llu", bytes,
			     (unsigned long long)before.live_blocks, (unsigned long long)now.live_blocks);
			kept("HEAP-30", !heap_inside() || now.live_bytes == before.live_bytes - usable,
			     "a free of a block of %zu usable bytes: live_bytes was %llu and is %llu", usable,
			     (unsigned long long)before.live_bytes, (unsigned long long)now.live_bytes);
		}
	}
	free(blocks);
}
