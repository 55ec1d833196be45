/* SPDX-License-Identifier: MIT */
/*
 * naive.c: what a heap is before anything is done for its speed: a free list for each power of two, one lock around all.
 *
 * The host takes the lock (LOAM_THREADS_SERIALISED). A page is cut into blocks of one size, which its `index` tells; own[0]
 * links all pages, so that destroy can give them back. Nothing goes back before. Requests over a page are not made of it.
 */
#include <errno.h>
#include <loam/plugin.h>

struct naive {
	const struct loam_host *host;
	const struct loam_args *args; /* lives as long as the instance */
	void *free[9];                /* blocks of 16 << i bytes; the first word of each leads to the next */
	struct page *all;
	struct loam_stat stat;
};

static unsigned class_of(size_t bytes)
{
	return bytes <= 16 ? 0 : 60 - (unsigned)__builtin_clzl(bytes - 1);
}

/* A new page, cut up. */
static void refill(struct naive *heap, unsigned class, gfp_t gfp)
{
	struct page *page = heap->host->pages_alloc(heap->args->ports[0], gfp, 0, heap->args->owner);

	for (size_t at = 0; page && at < LOAM_PAGE_SIZE; at += 16ul << class) {
		void **block = (void **)((char *)loam_page_ptr(heap->host->map, page) + at);

		*block = heap->free[class];
		heap->free[class] = block;
	}
	if (!page)
		return;
	page->index = 16ul << class;
	page->own[0] = heap->all;
	heap->all = page;
	heap->stat.footprint += LOAM_PAGE_SIZE;
}

/* 1 <= bytes <= limits.max_size; align is a power of two: blocks are aligned to their size, so a larger block will do. */
static void *naive_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct naive *heap = inst;
	unsigned class = class_of(bytes > align ? bytes : align);
	void **block;

	if (!heap->free[class])
		refill(heap, class, gfp);
	block = heap->free[class];
	*(block ? &heap->stat.allocs : &heap->stat.failures) += 1;
	if (block) {
		heap->free[class] = *block;
		heap->stat.live_bytes += 16ul << class;
	}
	return block;
}

/* @page is the frame of @ptr; its words are as refill left them. */
static void naive_free(void *inst, void *ptr, struct page *page)
{
	struct naive *heap = inst;
	unsigned class = class_of(page->index);

	*(void **)ptr = heap->free[class];
	heap->free[class] = ptr;
	heap->stat.frees++;
	heap->stat.live_bytes -= page->index;
}

/* All of the block is the holder's. */
static size_t naive_usable_size(void *inst, const void *ptr, struct page *page)
{
	return (void)inst, (void)ptr, page->index;
}

static void naive_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst, limits->min_align = 16, limits->max_size = limits->max_align = LOAM_PAGE_SIZE;
}

/* At any time; under the lock like the ops. */
static int naive_stat(void *inst, struct loam_stat *stat)
{
	*stat = ((struct naive *)inst)->stat;
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

/* Records come from the host, never from malloc: malloc may be us. */
static int naive_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct naive *heap = *inst = host->meta_alloc(args->self, sizeof(*heap), 0);

	return heap ? (*heap = (struct naive){ .host = host, .args = args }, 0) : -ENOMEM;
}

/* No call is in progress; all that came through the ports goes back, live or not. */
static void naive_destroy(void *inst)
{
	struct naive *heap = inst;

	while (heap->all) {
		struct page *page = heap->all;

		heap->all = page->own[0];
		heap->host->pages_free(heap->args->ports[0], page, 0);
	}
	heap->host->meta_free(heap->args->self, heap, sizeof(*heap));
}

static const struct loam_port_decl ports[] = { LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages") };
static const struct loam_heap_ops ops = { sizeof(ops), .alloc = naive_alloc, .free = naive_free,
					  .usable_size = naive_usable_size, .limits = naive_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "naive", .version = "1", .summary = "heap: a free list for each power of two", LOAM_PORTS(ports),
	    LOAM_ROLES(roles), .threads = LOAM_THREADS_SERIALISED, .create = naive_create, .destroy = naive_destroy,
	    .stat = naive_stat);
