/* SPDX-License-Identifier: MIT */
/* heap.c: the suite of the role heap: what it claims, the mixed workload of the general tests, blocks of a test. */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the subject claims ---- */

/* Below a filter it is the lowest instance whose blocks these are. */
bool heap_inside(void)
{
	const struct loam_self *self = subject;

	while (self->lower)
		self = self->lower;
	return !(self->plugin->desc.flags & LOAM_PLUGIN_FOREIGN);
}

static bool has_zalloc(void)
{
	return heap_ops()->zalloc != NULL;
}

static bool has_resize(void)
{
	return heap_ops()->resize != NULL;
}

static bool has_bulk(void)
{
	return heap_ops()->alloc_bulk || heap_ops()->free_bulk;
}

static bool has_owns(void)
{
	return heap_ops()->owns != NULL;
}

static bool has_shrink(void)
{
	return subject->plugin->desc.shrink != NULL;
}

static bool has_natural(void)
{
	return heap_limits().caps & LOAM_HEAP_NATURAL;
}

static bool has_double_free(void)
{
	return heap_limits().caps & LOAM_HEAP_DOUBLE_FREE;
}

static bool has_bad_free(void)
{
	return heap_limits().caps & LOAM_HEAP_BAD_FREE;
}

static bool has_overflow(void)
{
	return heap_limits().caps & LOAM_HEAP_OVERFLOW;
}

static bool has_use_after_free(void)
{
	return heap_limits().caps & LOAM_HEAP_USE_AFTER_FREE;
}

static const struct capability capabilities[] = {
	{ "MACHINE", heap_inside },
	{ "ZALLOC", has_zalloc },
	{ "RESIZE", has_resize },
	{ "BULK", has_bulk },
	{ "OWNS", has_owns },
	{ "SHRINK", has_shrink },
	{ "NATURAL", has_natural },
	{ "DOUBLE_FREE", has_double_free },
	{ "BAD_FREE", has_bad_free },
	{ "OVERFLOW", has_overflow },
	{ "USE_AFTER_FREE", has_use_after_free },
	{ NULL, NULL },
};

/* ---- sizes ---- */

size_t heap_max(void)
{
	size_t max = heap_limits().max_size;

	return max ? max : 8u << 20;
}

size_t heap_max_align(void)
{
	size_t max = heap_limits().max_align;

	return max ? max : 1u << 20;
}

size_t heap_memory(void)
{
	return heap_inside() ? loam__machine.map.nr_pages << LOAM_PAGE_SHIFT : 32u << 20;
}

/* Three in four like a program's: up to 512. The others of any doubling. */
size_t heap_size(struct rng *rng, size_t max)
{
	size_t limit = heap_max(), size;

	max = max < limit ? max : limit;
	size = rng_below(rng, 4) ? rng_size(rng, 512) : rng_size(rng, max);
	return size < max ? size : max;
}

void *heap_records(size_t n, size_t bytes)
{
	void *ptr = calloc(n, bytes);

	if (!ptr)
		trouble("no memory for %zu records of a test", n);
	return ptr;
}

/* ---- blocks ---- */

/* Any thread. */
static uint64_t new_seed(void)
{
	static uint64_t last;

	return job.seed + __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15u;
}

static const char *told_as;

void heap_blocks_told_as(const char *clause)
{
	told_as = clause;
}

const char *heap_told(const char *clause)
{
	return told_as ? told_as : clause;
}

bool heap_block_is(struct block *block, void *ptr, size_t bytes, size_t align)
{
	size_t least = heap_limits().min_align;

	*block = (struct block){ ptr, bytes, align, 0, new_seed() };
	if (!ptr)
		return false;
	block->usable = heap_usable(ptr);
	kept(heap_told("HEAP-02"), block->usable >= bytes, "a block at %p for %zu bytes has %zu usable ones", ptr,
	     bytes, block->usable);
	kept(heap_told("HEAP-14"), !((uintptr_t)ptr & (align - 1)), "a block for %zu bytes, alignment %zu, lies at %p",
	     bytes, align, ptr);
	kept(heap_told("HEAP-15"), !((uintptr_t)ptr & (least - 1)),
	     "a block for %zu bytes lies at %p, and min_align is %zu", bytes, ptr, least);
	pattern_write(ptr, block->usable, block->seed);
	return true;
}

bool heap_block_take(struct block *block, size_t bytes, size_t align, gfp_t gfp)
{
	return heap_block_is(block, heap_alloc(bytes, align, gfp), bytes, align);
}

void heap_block_have(struct block *block, size_t bytes, size_t align)
{
	kept("HEAP-01", heap_block_take(block, bytes, align, GFP_KERNEL),
	     "alloc of %zu bytes, alignment %zu, returned NULL while memory was there", bytes, align);
}

void heap_block_intact(const struct block *block, const char *clause, const char *after)
{
	size_t at = 0, usable = heap_usable(block->ptr);

	if (!pattern_check(block->ptr, block->usable, block->seed, &at))
		broken(clause, "byte %zu of a live block of %zu bytes (%zu usable) at %p is changed after %s", at,
		       block->bytes, block->usable, (void *)block->ptr, after);
	kept(heap_told("HEAP-03"), usable == block->usable,
	     "usable_size of a live block of %zu bytes at %p was %zu, after %s %zu", block->bytes, (void *)block->ptr,
	     block->usable, after, usable);
}

void heap_blocks_intact(const struct block *blocks, size_t n, const char *clause, const char *after)
{
	for (size_t i = 0; i < n; i++)
		if (blocks[i].ptr)
			heap_block_intact(&blocks[i], clause, after);
}

void heap_block_give(struct block *block)
{
	heap_block_intact(block, "HEAP-07", "other calls");
	heap_free(block->ptr);
	block->ptr = NULL;
}

void heap_blocks_give(struct block *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (blocks[i].ptr)
			heap_block_give(&blocks[i]);
}

static int by_address(const void *a, const void *b)
{
	const struct block *const *left = a, *const *right = b;

	return (*left)->ptr < (*right)->ptr ? -1 : (*left)->ptr > (*right)->ptr;
}

void heap_blocks_apart(const struct block *blocks, size_t n, const char *clause)
{
	const struct block **sorted = heap_records(n + 1, sizeof(*sorted));
	size_t live = 0;

	for (size_t i = 0; i < n; i++)
		if (blocks[i].ptr)
			sorted[live++] = &blocks[i];
	qsort(sorted, live, sizeof(*sorted), by_address);
	for (size_t i = 1; i < live; i++) {
		const struct block *low = sorted[i - 1], *high = sorted[i];

		kept(clause, low->ptr + low->usable <= high->ptr,
		     "two live blocks overlap: %zu bytes (%zu usable) at %p and %zu bytes at %p", low->bytes,
		     low->usable, (void *)low->ptr, high->bytes, (void *)high->ptr);
	}
	free(sorted);
}

void heap_blocks_shuffle(struct block *blocks, size_t n, struct rng *rng)
{
	for (size_t i = n; i > 1; i--) {
		size_t other = rng_below(rng, i);
		struct block block = blocks[i - 1];

		blocks[i - 1] = blocks[other];
		blocks[other] = block;
	}
}

void heap_blocks_have(struct block *blocks, size_t n, size_t max)
{
	for (size_t i = 0; i < n; i++)
		heap_block_have(&blocks[i], heap_size(&test_rng, max), 1);
}

/* ---- the workload of the general tests: small and large blocks, some zeroed, some aligned, one in 32 beyond a page ---- */

static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	struct rng rng = { i * 0x2545f4914f6cdd1du + 1 };
	size_t limit = heap_max(), bytes = i % 32 == 31 ? 4097 + rng_below(&rng, 30000) : rng_size(&rng, 3000);
	size_t align = i % 11 == 10 && heap_max_align() >= 64 ? 64 : 1;

	bytes = bytes < limit ? bytes : limit;
	*held = (struct held){ .seed = rng_next(&rng) };
	held->ptr = i % 5 == 4 ? heap_zalloc(bytes, align, gfp) : heap_alloc(bytes, align, gfp);
	if (!held->ptr)
		return false;
	held->bytes = heap_usable(held->ptr);
	pattern_write(held->ptr, held->bytes, held->seed);
	return true;
}

static void give(struct held *held)
{
	heap_free(held->ptr);
	held->ptr = NULL;
}

static bool nothing_to_open(void)
{
	return true;
}

static void nothing_to_close(void)
{
}

/* ---- the suite ---- */

static const struct test tests[] = {
	{ "every-size-is-served", "HEAP-01 HEAP-02", heap_every_size, EXAMPLE, 0, 0 },
	{ "usable-size-stays", "HEAP-03 HEAP-02", heap_usable_constant, EXAMPLE, 0, 0 },
	{ "frames-lead-to-the-heap", "HEAP-04", heap_frames_lead_back, EXAMPLE, 0, 0 },
	{ "bulk-gives-blocks", "HEAP-05 HEAP-02 HEAP-08 HEAP-16", heap_bulk, EXAMPLE, 0, 0 },
	{ "bulk-free-is-many-frees", "HEAP-05 HEAP-07", heap_bulk_free, EXAMPLE, 0, 0 },
	{ "owns-tells-own-blocks", "HEAP-06", heap_owns_own, EXAMPLE, 0, 0 },
	{ "contents-survive", "HEAP-07 HEAP-03", heap_contents_survive, EXAMPLE, 0, 0 },
	{ "blocks-are-apart", "HEAP-08", heap_apart, EXAMPLE, 0, 0 },
	{ "any-contents-will-do", "HEAP-08 HEAP-03", heap_any_contents, EXAMPLE, 0, 0 },
	{ "zalloc-clears", "HEAP-09 HEAP-14", heap_zeroed, EXAMPLE, 0, 0 },
	{ "resize-in-place", "HEAP-10 HEAP-08", heap_resize_true, EXAMPLE, 0, 0 },
	{ "resize-refused", "HEAP-11", heap_resize_false, EXAMPLE, 0, 0 },
	{ "overflow-is-found", "HEAP-12", heap_overflow, HOSTILE, LEAVES, 0 },
	{ "use-after-free-is-found", "HEAP-13", heap_use_after_free, HOSTILE, LEAVES, 0 },
	{ "aligned-as-asked", "HEAP-14 HEAP-01", heap_alignment, EXAMPLE, 0, 0 },
	{ "least-alignment", "HEAP-15", heap_min_align, EXAMPLE, 0, 0 },
	{ "natural-alignment", "HEAP-16", heap_natural, EXAMPLE, 0, 0 },
	{ "limits-make-sense", "HEAP-17", heap_limits_sane, EXAMPLE, 0, 0 },
	{ "limits-are-served", "HEAP-18 HEAP-01 HEAP-02", heap_limits_served, EXAMPLE, 0, 0 },
	{ "borders-between-sizes", "HEAP-19 HEAP-02", heap_borders, EXAMPLE, 0, 0 },
	{ "a-refusal-changes-nothing", "HEAP-20 HEAP-07", heap_refused, EXHAUSTION, 0, 8 },
	{ "as-much-again", "HEAP-21", heap_as_much_again, EXHAUSTION, NO_MACHINE, 0 },
	{ "memory-serves-other-sizes", "HEAP-22", heap_other_sizes, EXHAUSTION, NO_MACHINE, 0 },
	{ "memory-is-used-again", "HEAP-23", heap_used_again, EXHAUSTION, 0, 8 },
	{ "bulk-all-or-nothing", "HEAP-24", heap_bulk_refused, EXHAUSTION, 0, 8 },
	{ "zone-as-asked", "HEAP-25 HEAP-14 HEAP-15", heap_dma, EXAMPLE, 0, 0 },
	{ "zone-used-up", "HEAP-25", heap_dma_short, EXHAUSTION, 0, 8 },
	{ "atomic-gets-the-reserve", "HEAP-26", heap_reserve, EXHAUSTION, 0, 8 },
	{ "memory-of-all-zones", "HEAP-27", heap_all_zones, EXHAUSTION, 0, 8 },
	{ "threads-do-what-they-do-alone", "HEAP-28 HEAP-07 HEAP-10", heap_many_threads, THREADS, 0, 0 },
	{ "producer-and-consumer", "HEAP-29 HEAP-07", heap_producer, THREADS, 0, 0 },
	{ "free-ends-a-block", "HEAP-30", heap_free_ends, LIFETIME, 0, 0 },
	{ "double-free-is-found", "HEAP-31", heap_double_free, HOSTILE, 0, 0 },
	{ "bad-free-is-found", "HEAP-32", heap_bad_free, HOSTILE, 0, 0 },
	{ "free-of-foreign-addresses", "HEAP-33", heap_elsewhere, HOSTILE, 0, 0 },
	{ "sequences",
	  "HEAP-07 HEAP-01 HEAP-02 HEAP-03 HEAP-08 HEAP-09 HEAP-10 HEAP-11 HEAP-14 HEAP-15 HEAP-16 HEAP-30", heap_model,
	  MODEL, NO_MACHINE, 0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_HEAP,
	.name = "heap",
	TESTS(tests),
	.capabilities = capabilities,
	.open = nothing_to_open,
	.close = nothing_to_close,
	.take = take,
	.give = give,
	.sequence = &heap_sequence,
};
SUITE(suite);
