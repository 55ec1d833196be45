/* SPDX-License-Identifier: MIT */
/*
 * simple.c: a heap to begin with, built outside loam's tree: a block is a page, free ones wait in a list, one lock.
 *
 * The host takes the lock (LOAM_THREADS_SERIALISED). own[0] links all pages, so that destroy can give them back, own[1] the free
 * ones; both are ours while we hold a page. Requests over a page are not made of this heap.
 */
#include <errno.h>
#include <loam/plugin.h>

struct simple {
	const struct loam_host *host;
	const struct loam_args *args; /* lives as long as the instance */
	struct page *all, *free;
	uint64_t allocs, frees, failures, pages;
};

/* 1 <= bytes <= limits.max_size, align is a power of two up to limits.max_align. NULL: no memory. */
static void *my_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct simple *heap = inst;
	unsigned long zone = gfp & __GFP_DMA ? LOAM_ZONE_DMA : gfp & __GFP_DMA32 ? LOAM_ZONE_DMA32 : LOAM_ZONE_NORMAL;
	struct page **at = &heap->free, *page;

	/* The first free one that lies low enough. */
	while (*at && ((*at)->flags & LOAM_PAGE_ZONE_MASK) > zone)
		at = (struct page **)&(*at)->own[1];
	if ((page = *at))
		*at = page->own[1];
	else if ((page = heap->host->pages_alloc(heap->args->ports[0], gfp, 0, heap->args->owner)))
		page->own[0] = heap->all, heap->all = page, heap->pages++;
	*(page ? &heap->allocs : &heap->failures) += 1;
	return (void)bytes, (void)align, page ? loam_page_ptr(heap->host->map, page) : NULL;
}

/* @ptr is what alloc gave, @page its frame. */
static void my_free(void *inst, void *ptr, struct page *page)
{
	struct simple *heap = inst;

	(void)ptr, page->own[1] = heap->free, heap->free = page, heap->frees++;
}

/* The holder may use all of the block. */
static size_t my_usable_size(void *inst, const void *ptr, struct page *page)
{
	return (void)inst, (void)ptr, (void)page, LOAM_PAGE_SIZE;
}

static void my_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst, limits->max_size = limits->max_align = limits->min_align = LOAM_PAGE_SIZE;
}

/* At any time; under the lock like the ops. */
static int my_stat(void *inst, struct loam_stat *stat)
{
	const struct simple *heap = inst;

	stat->live_blocks = (stat->allocs = heap->allocs) - (stat->frees = heap->frees);
	stat->live_bytes = stat->live_blocks * LOAM_PAGE_SIZE, stat->footprint = heap->pages * LOAM_PAGE_SIZE;
	stat->failures = heap->failures;
	return 0;
}

/* Records come from the host, never from malloc: malloc may be us. */
static int my_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct simple *heap = *inst = host->meta_alloc(args->self, sizeof(*heap), 0);

	return heap ? (heap->host = host, heap->args = args, 0) : -ENOMEM;
}

/* No call is in progress; all that came through the ports goes back, live or not. */
static void my_destroy(void *inst)
{
	struct simple *heap = inst;

	for (struct page *page; (page = heap->all); heap->host->pages_free(heap->args->ports[0], page, 0))
		heap->all = page->own[0];
	heap->host->meta_free(heap->args->self, heap, sizeof(*heap));
}

static const struct loam_port_decl ports[] = { LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages") };
static const struct loam_heap_ops ops = { sizeof(ops), 0, my_alloc, my_free, my_usable_size, .limits = my_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "simple", .version = "1", .summary = "pages", .threads = LOAM_THREADS_SERIALISED, LOAM_PORTS(ports),
	    LOAM_ROLES(roles), .create = my_create, .destroy = my_destroy, .stat = my_stat);
