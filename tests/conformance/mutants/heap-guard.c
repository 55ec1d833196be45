/* SPDX-License-Identifier: MIT */
/*
 * heap-guard.c: a heap with everything that the contract lets a plugin leave out: zalloc, resize, bulk, owns, and all kinds of
 * mistakes of holders that can be claimed to be found. No plugin of the tree has all of that, and a test that nothing passes
 * proves as little as one that nothing fails.
 *
 * A block is a run of 2^order frames. Its record is in metadata memory, own[0] of each frame leads to it. Behind the usable
 * bytes lies a red zone; a free block is full of poison, and waits in the list of its order until it is wanted again, or the
 * machine's memory is short. One lock around everything.
 *
 * `mistake` names one thing that it then does wrong.
 */
#include <loam/plugin.h>

#include <errno.h>
#include <sched.h>
#include <string.h>

#define RED 32u
#define RED_BYTE 0xbb
#define POISON 0x6b

enum mistake {
	NONE,
	BULK_TWICE,
	BULK_FREE_SKIPS,
	BULK_KEEPS_PARTS,
	BULK_UNLOCKED,
	OWNS_FRAMES,
	OWNS_NOT_RESIZED,
	ZALLOC_SHORT,
	RESIZE_LIES,
	RESIZE_CLEARS,
	RESIZE_REFUSES_LATE,
	RED_ZONE_LATE,
	OVERFLOW_UNSEEN,
	POISON_HALF,
	POISON_TRUSTED,
	DOUBLE_FREE_COUNTS,
	BAD_FREE_SAME_FRAME,
};
static const char *const mistakes[] = { "none",
					"bulk-twice",
					"bulk-free-skips",
					"bulk-keeps-parts",
					"bulk-unlocked",
					"owns-frames",
					"owns-not-resized",
					"zalloc-short",
					"resize-lies",
					"resize-clears",
					"resize-refuses-late",
					"red-zone-late",
					"overflow-unseen",
					"poison-half",
					"poison-trusted",
					"double-free-counts",
					"bad-free-same-frame",
					NULL };

struct block {
	struct block *next; /* all blocks, live or free */
	struct page *page;
	size_t usable;
	unsigned order;
	bool live, resized;
};

struct guard {
	const struct loam_host *host;
	const struct loam_args *args; /* lives as long as the instance */
	unsigned orders;
	enum mistake mistake;
	struct loam_lock lock;
	struct block *blocks LOAM_GUARDED_BY(lock);
	uint64_t allocs, frees, failures, live_bytes, frames; /* under the lock */
};

/* ---- blocks ---- */

static char *base_of(const struct guard *guard, const struct block *block)
{
	return loam_page_ptr(guard->host->map, block->page);
}

static size_t bytes_of(const struct block *block)
{
	return LOAM_PAGE_SIZE << block->order;
}

/* The block that a frame of ours is part of. */
static struct block *block_at(const struct page *page)
{
	return page->own[0];
}

static size_t red_from(const struct guard *guard, const struct block *block)
{
	return block->usable + (guard->mistake == RED_ZONE_LATE);
}

static bool is_full_of(const char *at, size_t bytes, unsigned char byte)
{
	return !bytes || ((unsigned char)at[0] == byte && !memcmp(at, at + 1, bytes - 1));
}

static bool red_is_whole(const struct guard *guard, const struct block *block)
{
	const char *base = base_of(guard, block);
	size_t from = red_from(guard, block);

	return is_full_of(base + from, block->usable + RED - from, RED_BYTE);
}

static bool poison_is_whole(const struct guard *guard, const struct block *block)
{
	size_t bytes = bytes_of(block);

	return is_full_of(base_of(guard, block), guard->mistake == POISON_HALF ? bytes / 2 : bytes, POISON);
}

static void corrupted(struct guard *guard, const struct block *block, const char *what)
{
	guard->host->report(guard->args->self, LOAM_REPORT_CORRUPTION, base_of(guard, block), "%s", what);
}

/* Under the lock. */
static void make_live(struct guard *guard, struct block *block)
{
	char *base = base_of(guard, block);

	block->live = true;
	block->resized = false;
	block->usable = bytes_of(block) - RED;
	memset(base + block->usable, RED_BYTE, RED);
	guard->allocs++;
	guard->live_bytes += block->usable;
}

/* ---- taking ---- */

static unsigned long lowest_zone(gfp_t gfp)
{
	return gfp & __GFP_DMA ? LOAM_ZONE_DMA : gfp & __GFP_DMA32 ? LOAM_ZONE_DMA32 : LOAM_ZONE_NORMAL;
}

/* A free block that is large enough and low enough; poisoned still. Under the lock. */
static struct block *reuse(struct guard *guard, unsigned order, gfp_t gfp)
{
	for (struct block *block = guard->blocks; block; block = block->next) {
		if (block->live || block->order != order ||
		    (block->page->flags & LOAM_PAGE_ZONE_MASK) > lowest_zone(gfp))
			continue;
		if (guard->mistake == BULK_UNLOCKED)
			sched_yield();
		if (guard->mistake != POISON_TRUSTED && !poison_is_whole(guard, block))
			corrupted(guard, block, "a free block was written to");
		make_live(guard, block);
		return block;
	}
	return NULL;
}

/* Free blocks go back. Returns how many frames. */
static unsigned long give_back(struct guard *guard)
{
	unsigned long frames = 0;
	struct block *gone = NULL, *next;

	loam_lock(guard->host, &guard->lock);
	for (struct block **at = &guard->blocks, *block; (block = *at);) {
		if (block->live) {
			at = &block->next;
			continue;
		}
		*at = block->next;
		block->next = gone;
		gone = block;
		frames += 1ul << block->order;
	}
	guard->frames -= frames;
	loam_unlock(guard->host, &guard->lock);
	for (; gone; gone = next) {
		next = gone->next;
		guard->host->pages_free(guard->args->ports[0], gone->page, gone->order);
		guard->host->meta_free(guard->args->self, gone, sizeof(*gone));
	}
	return frames;
}

static struct block *fresh(struct guard *guard, unsigned order, gfp_t gfp)
{
	struct block *block = guard->host->meta_alloc(guard->args->self, sizeof(*block), 0);

	if (!block)
		return NULL;
	block->order = order;
	block->page = guard->host->pages_alloc(guard->args->ports[0], gfp, order, guard->args->owner);
	if (!block->page && give_back(guard))
		block->page = guard->host->pages_alloc(guard->args->ports[0], gfp, order, guard->args->owner);
	if (!block->page) {
		guard->host->meta_free(guard->args->self, block, sizeof(*block));
		return NULL;
	}
	for (unsigned long i = 0; i < 1ul << order; i++)
		block->page[i].own[0] = block;
	return block;
}

static void *take(struct guard *guard, size_t bytes, size_t align, gfp_t gfp)
{
	unsigned order = loam_pages_order(bytes + RED > align ? bytes + RED : align);
	struct block *block;

	loam_lock(guard->host, &guard->lock);
	block = reuse(guard, order, gfp);
	loam_unlock(guard->host, &guard->lock);
	if (block)
		return base_of(guard, block);
	block = fresh(guard, order, gfp);
	loam_lock(guard->host, &guard->lock);
	if (block) {
		make_live(guard, block);
		guard->frames += 1ul << order;
		block->next = guard->blocks;
		guard->blocks = block;
	} else {
		guard->failures++;
	}
	loam_unlock(guard->host, &guard->lock);
	return block ? base_of(guard, block) : NULL;
}

/* ---- giving ---- */

/* Under the lock. */
static void end_live(struct guard *guard, struct block *block)
{
	char *base = base_of(guard, block);

	if (guard->mistake != OVERFLOW_UNSEEN && !red_is_whole(guard, block))
		corrupted(guard, block, "a block was written to behind its end");
	block->live = false;
	guard->frees++;
	guard->live_bytes -= block->usable;
	memset(base, POISON, bytes_of(block));
}

static void give(struct guard *guard, void *ptr, struct page *page)
{
	struct block *block = block_at(page);
	bool starts = ptr == base_of(guard, block);

	if (guard->mistake == BAD_FREE_SAME_FRAME)
		starts = page == block->page;
	loam_lock(guard->host, &guard->lock);
	if (!starts) {
		guard->host->report(guard->args->self, LOAM_REPORT_BAD_FREE, ptr, "not the start of a block");
	} else if (!block->live) {
		guard->host->report(guard->args->self, LOAM_REPORT_DOUBLE_FREE, ptr, "already free");
		guard->frees += guard->mistake == DOUBLE_FREE_COUNTS;
	} else {
		end_live(guard, block);
	}
	loam_unlock(guard->host, &guard->lock);
}

/* ---- the role ---- */

static void *guard_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	return take(inst, bytes, align, gfp);
}

static void guard_free(void *inst, void *ptr, struct page *page)
{
	give(inst, ptr, page);
}

static size_t guard_usable_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr;
	return block_at(page)->usable;
}

static void *guard_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct guard *guard = inst;
	void *ptr = take(guard, bytes, align, gfp);

	return ptr ? memset(ptr, 0, guard->mistake == ZALLOC_SHORT ? bytes & ~(size_t)7 : bytes) : NULL;
}

/* Within the run. The red zone moves. */
static bool guard_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	struct guard *guard = inst;
	struct block *block = block_at(page);
	size_t usable = (bytes + 15) & ~(size_t)15;
	bool fits = usable + RED <= bytes_of(block);
	char *base = ptr;

	if (guard->mistake == RESIZE_LIES && bytes < 2 * bytes_of(block))
		return true;
	if (!fits && guard->mistake != RESIZE_REFUSES_LATE)
		return false;
	loam_lock(guard->host, &guard->lock);
	if (!red_is_whole(guard, block))
		corrupted(guard, block, "a block was written to behind its end");
	if (!fits)
		usable = bytes_of(block) - 2 * RED;
	guard->live_bytes += usable - block->usable;
	block->usable = usable;
	block->resized = true;
	memset(base + usable, RED_BYTE, RED);
	if (guard->mistake == RESIZE_CLEARS)
		memset(base + bytes - (bytes > 8 ? 8 : bytes), 0, bytes > 8 ? 8 : bytes);
	loam_unlock(guard->host, &guard->lock);
	return fits;
}

static void guard_free_bulk(void *inst, unsigned n, void **ptrs)
{
	struct guard *guard = inst;

	if (guard->mistake == BULK_FREE_SKIPS && n > 4)
		n--;
	for (unsigned i = 0; i < n; i++)
		give(guard, ptrs[i], loam_ptr_page(guard->host->map, ptrs[i]));
}

static unsigned guard_alloc_bulk(void *inst, size_t bytes, gfp_t gfp, unsigned n, void **out)
{
	struct guard *guard = inst;

	for (unsigned i = 0; i < n; i++) {
		struct block *block = NULL;

		if (guard->mistake == BULK_UNLOCKED)
			block = reuse(guard, loam_pages_order(bytes + RED), gfp);
		out[i] = block ? base_of(guard, block) : take(guard, bytes, 1, gfp);
		if (out[i])
			continue;
		if (guard->mistake != BULK_KEEPS_PARTS)
			guard_free_bulk(guard, i, out);
		return 0;
	}
	if (guard->mistake == BULK_TWICE && n > 2) {
		give(guard, out[n - 1], loam_ptr_page(guard->host->map, out[n - 1]));
		out[n - 1] = out[0];
	}
	return n;
}

static bool guard_owns(void *inst, const void *ptr)
{
	const struct guard *guard = inst;
	const struct page *page = loam_ptr_page(guard->host->map, ptr);

	if (guard->mistake == OWNS_FRAMES)
		return page && page->owner;
	return page && page->owner == guard->args->owner && ptr == base_of(guard, block_at(page)) &&
	       block_at(page)->live && !(guard->mistake == OWNS_NOT_RESIZED && block_at(page)->order);
}

static void guard_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct guard *guard = inst;

	limits->caps = LOAM_HEAP_NATURAL | LOAM_HEAP_DOUBLE_FREE | LOAM_HEAP_BAD_FREE | LOAM_HEAP_OVERFLOW |
		       LOAM_HEAP_USE_AFTER_FREE;
	limits->max_align = LOAM_PAGE_SIZE << (guard->orders - 1);
	limits->max_size = limits->max_align - RED;
	limits->min_align = LOAM_PAGE_SIZE;
}

/* ---- introspection ---- */

static int guard_stat(void *inst, struct loam_stat *stat)
{
	struct guard *guard = inst;

	loam_lock(guard->host, &guard->lock);
	stat->live_blocks = (stat->allocs = guard->allocs) - (stat->frees = guard->frees);
	stat->live_bytes = guard->live_bytes;
	stat->footprint = guard->frames << LOAM_PAGE_SHIFT;
	stat->failures = guard->failures;
	loam_unlock(guard->host, &guard->lock);
	return 0;
}

static void span_of(const struct guard *guard, const struct block *block, struct loam_span *span)
{
	span->kind = block->live ? LOAM_SPAN_LIVE : LOAM_SPAN_FREE;
	span->addr = base_of(guard, block);
	span->bytes = block->live ? block->usable : bytes_of(block);
	span->label = "guarded";
}

static int guard_walk(void *inst, loam_walk_fn fn, void *arg) LOAM_UNCHECKED
{
	struct guard *guard = inst;
	int result = 0;

	for (const struct block *block = guard->blocks; block && !result; block = block->next) {
		struct loam_span span = { .size = sizeof(span) };

		span_of(guard, block, &span);
		result = fn(arg, &span);
	}
	return result;
}

static int guard_check(void *inst, loam_check_fn fn, void *arg) LOAM_UNCHECKED
{
	struct guard *guard = inst;
	int defects = 0;

	for (const struct block *block = guard->blocks; block; block = block->next) {
		if (block->live ? guard->mistake == OVERFLOW_UNSEEN || red_is_whole(guard, block)
				: poison_is_whole(guard, block))
			continue;
		fn(arg, block->live ? "a block was written to behind its end" : "a free block was written to");
		defects++;
	}
	return defects;
}

static int guard_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct block *block = block_at(page);

	(void)addr;
	if (!block)
		return -ENOENT;
	span_of(inst, block, span);
	return 0;
}

static unsigned long guard_shrink(void *inst, unsigned long pages)
{
	(void)pages;
	return give_back(inst);
}

/* ---- create and destroy ---- */

static int guard_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct guard *guard = host->meta_alloc(args->self, sizeof(*guard), 0);

	if (!guard)
		return -ENOMEM;
	guard->host = host;
	guard->args = args;
	guard->orders = loam_pages_orders(args->ports[0]);
	guard->mistake = (enum mistake)args->params[0].i;
	host->lock_init(args->self, &guard->lock, 1, "guard");
	*inst = guard;
	return 0;
}

static void guard_destroy(void *inst) LOAM_UNCHECKED
{
	struct guard *guard = inst;

	for (struct block *block = guard->blocks; block; block = block->next)
		block->live = false;
	give_back(guard);
	guard->host->lock_destroy(&guard->lock);
	guard->host->meta_free(guard->args->self, guard, sizeof(*guard));
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "mistake", .def = "none", .choices = mistakes,
		   .help = "what it does wrong"),
};
static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where blocks come from"),
};
static const struct loam_heap_ops ops = {
	.size = sizeof(ops),
	.alloc = guard_alloc,
	.free = guard_free,
	.usable_size = guard_usable_size,
	.zalloc = guard_zalloc,
	.resize = guard_resize,
	.alloc_bulk = guard_alloc_bulk,
	.free_bulk = guard_free_bulk,
	.owns = guard_owns,
	.limits = guard_limits,
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "heap-guard", .version = "1", .summary = "a heap with all that may be left out",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles),
	    .create = guard_create, .destroy = guard_destroy, .stat = guard_stat, .walk = guard_walk,
	    .check = guard_check, .shrink = guard_shrink, .find = guard_find);
