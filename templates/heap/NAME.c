/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: a heap to begin with.
 *
 * Memory comes through the port `pages` as slabs: 2^order frames, cut into blocks of one size, a power of two. A block of
 * up to 2 KiB shares a page with others of its size, at most 64; a larger one is a slab of its own. One word of a slab's
 * first frame has a bit for each block, so nothing is written into memory that a client holds or held. A slab that is
 * wholly free goes back at once: there is nothing to shrink.
 *
 * All slabs are on one list, those with free blocks in front. An allocation searches it: simple, and slow when many sizes are
 * in use at once. A list for each size is the first thing to improve.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below), and one lock guards everything. It is not held
 * while the port is called, which may sleep and may ask others for memory; nothing else here sleeps. Before a fork the host
 * takes all locks, so the child finds everything whole. No op may call malloc, which may be this very heap.
 */
#include <errno.h>
#include <loam/plugin.h>

#define SMALLEST (LOAM_PAGE_SIZE / 64) /* bytes: a word has a bit for each block of a page */

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct heap {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	struct loam_lock lock;        /* of what follows, and of the slabs' words */
	struct list_head slabs;
	struct loam_stat stat;
};

/*
 * A slab is known by its first frame, whose words are ours while we hold it: `lru` is its place on the list, `index` the bytes
 * of a block, `priv` has a bit for each block, 1 for a free one.
 */
static struct page *slab_at(struct list_head *node)
{
	return (struct page *)((char *)node - offsetof(struct page, lru));
}

static size_t slab_bytes(const struct page *slab)
{
	return LOAM_PAGE_SIZE << loam_page_order(slab);
}

/* What `priv` is when every block is free. */
static unsigned long all_free(const struct page *slab)
{
	return ~0ul >> (64 - slab_bytes(slab) / slab->index);
}

static void list_add(struct list_head *node, struct list_head *behind)
{
	*node = (struct list_head){ .prev = behind, .next = behind->next };
	node->prev->next = node->next->prev = node;
}

static void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

/* Block @i of @slab, and back: which one @ptr lies in. */
static void *block_at(const struct heap *heap, const struct page *slab, unsigned long i)
{
	return (char *)loam_page_ptr(heap->host->map, slab) + i * slab->index;
}

static unsigned long index_of(const struct heap *heap, const struct page *slab, const void *ptr)
{
	return (unsigned long)((const char *)ptr - (char *)block_at(heap, slab, 0)) / slab->index;
}

static struct loam_span span_of(const struct heap *heap, const struct page *slab, unsigned long i)
{
	return (struct loam_span){ .size = sizeof(struct loam_span),
				   .kind = slab->priv >> i % 64 & 1 ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE,
				   .addr = block_at(heap, slab, i),
				   .bytes = slab->index };
}

/* ---- the role heap ---- */

/* A slab with a free block of @size in a zone that @gfp allows, or NULL. Under the lock. */
static struct page *find_slab(struct heap *heap, size_t size, gfp_t gfp)
{
	unsigned long zone = gfp & __GFP_DMA ? LOAM_ZONE_DMA : gfp & __GFP_DMA32 ? LOAM_ZONE_DMA32 : LOAM_ZONE_NORMAL;
	struct list_head *node = heap->slabs.next;

	for (; node != &heap->slabs && slab_at(node)->priv; node = node->next)
		if (slab_at(node)->index == size && (slab_at(node)->flags & LOAM_PAGE_ZONE_MASK) <= zone)
			return slab_at(node);
	return NULL;
}

/* A new slab, not yet on the list, or NULL. Without the lock. */
static struct page *new_slab(struct heap *heap, size_t size, gfp_t gfp)
{
	unsigned order = loam_pages_order(size);
	struct page *slab = heap->host->pages_alloc(heap->args->ports[0], gfp, order, heap->args->owner);

	if (slab) {
		slab->index = size;
		slab->priv = all_free(slab);
	}
	return slab;
}

/*
 * A block of at least @bytes, aligned to @align, contents undefined; NULL when memory is short. May assume that @bytes is 1 to
 * max_size and @align a power of two up to max_align, as `limits` says. @gfp says what memory will do and whether the caller
 * may sleep: it is for the port. Any thread, as all ops.
 */
static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct heap *heap = inst;
	size_t size = SMALLEST;
	void *block = NULL;
	struct page *slab;

	while (size < bytes || size < align)
		size *= 2;
	gfp &= ~(__GFP_HIGHMEM | __GFP_MOVABLE); /* high memory has no address */
	loam_lock(heap->host, &heap->lock);
	slab = find_slab(heap, size, gfp);
	if (slab) {
		list_del(&slab->lru);
	} else {
		loam_unlock(heap->host, &heap->lock);
		slab = new_slab(heap, size, gfp);
		loam_lock(heap->host, &heap->lock);
		heap->stat.footprint += slab ? slab_bytes(slab) : 0;
	}
	if (slab) {
		block = block_at(heap, slab, (unsigned long)__builtin_ctzl(slab->priv));
		slab->priv &= slab->priv - 1; /* the lowest free one is taken */
		list_add(&slab->lru, slab->priv ? &heap->slabs : heap->slabs.prev);
		heap->stat.allocs++;
		heap->stat.live_bytes += size;
	} else {
		heap->stat.failures++;
	}
	loam_unlock(heap->host, &heap->lock);
	return block;
}

/* What is no live block is reported and left as it is; whether to go on is the host's affair. */
static void misuse(struct heap *heap, enum loam_report_kind kind, const void *ptr)
{
	heap->host->report(heap->args->self, kind, ptr, "not the start of a live block");
}

/* Give a block back. @page is the frame of @ptr, NULL where that is no memory of the machine. */
static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct heap *heap = inst;
	struct page *slab = page && page->owner == heap->args->owner ? loam_page_head(page) : NULL;
	unsigned long i = slab ? index_of(heap, slab, ptr) : 0;
	bool empty;

	if (!slab || ptr != block_at(heap, slab, i)) {
		misuse(heap, LOAM_REPORT_BAD_FREE, ptr);
		return;
	}
	loam_lock(heap->host, &heap->lock);
	if (slab->priv >> i & 1) {
		loam_unlock(heap->host, &heap->lock);
		misuse(heap, LOAM_REPORT_DOUBLE_FREE, ptr);
		return;
	}
	slab->priv |= 1ul << i;
	heap->stat.frees++;
	heap->stat.live_bytes -= slab->index;
	list_del(&slab->lru);
	empty = slab->priv == all_free(slab);
	if (empty)
		heap->stat.footprint -= slab_bytes(slab);
	else
		list_add(&slab->lru, &heap->slabs);
	loam_unlock(heap->host, &heap->lock);
	if (empty) /* off the list, so nobody else's */
		heap->host->pages_free(heap->args->ports[0], slab, loam_page_order(slab));
}

/* Bytes that the holder of @ptr may use: at least what it asked for, and the same until the block is freed. */
static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr;
	return loam_page_head(page)->index;
}

/* What may be asked of this instance, the same as long as it lives. @limits comes zeroed but for its size. */
static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct heap *heap = inst;

	limits->max_size = limits->max_align = LOAM_PAGE_SIZE << (loam_pages_orders(heap->args->ports[0]) - 1);
	limits->min_align = SMALLEST;
	limits->caps = LOAM_HEAP_NATURAL | LOAM_HEAP_DOUBLE_FREE | LOAM_HEAP_BAD_FREE;
}

static const struct loam_heap_ops ops = {
	.size = sizeof(ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
	/* These may be left out; then the client makes do. */
	.zalloc = NULL,     /* alloc, contents all zero: for who knows that fresh memory is */
	.resize = NULL,     /* another size for a block, where it is */
	.alloc_bulk = NULL, /* many blocks at once, all or none; comes with free_bulk */
	.free_bulk = NULL,
	.owns = NULL, /* for blocks outside the machine's memory */
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. */
static int heap_stat(void *inst, struct loam_stat *stat)
{
	struct heap *heap = inst;

	loam_lock(heap->host, &heap->lock);
	heap->stat.size = stat->size;
	heap->stat.live_blocks = heap->stat.allocs - heap->stat.frees;
	*stat = heap->stat;
	loam_unlock(heap->host, &heap->lock);
	return 0;
}

/* Show @fn every block, live or free, until it returns non-zero. All threads stand still, all locks are held: take none. */
static int heap_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct heap *heap = inst;
	int result = 0;

	for (struct list_head *node = heap->slabs.next; node != &heap->slabs; node = node->next)
		for (unsigned long i = 0; i < slab_bytes(slab_at(node)) / slab_at(node)->index && !result; i++) {
			struct loam_span span = span_of(heap, slab_at(node), i);

			result = fn(arg, &span);
		}
	return result;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int heap_check(void *inst, loam_check_fn fn, void *arg)
{
	struct heap *heap = inst;
	struct loam_stat seen = { .size = 0 };
	int defects = 0;

	for (struct list_head *node = heap->slabs.next; node != &heap->slabs; node = node->next) {
		struct page *slab = slab_at(node);
		unsigned live = (unsigned)__builtin_popcountl(all_free(slab) & ~slab->priv);

		if (!live || slab->priv & ~all_free(slab))
			fn(arg, "a slab without live blocks, or with more than it has"), defects++;
		if (slab->priv && node->prev != &heap->slabs && !slab_at(node->prev)->priv)
			fn(arg, "a slab with free blocks behind a full one"), defects++;
		seen.live_blocks += live;
		seen.live_bytes += live * slab->index;
		seen.footprint += slab_bytes(slab);
	}
	if (seen.live_blocks != heap->stat.allocs - heap->stat.frees || seen.live_bytes != heap->stat.live_bytes ||
	    seen.footprint != heap->stat.footprint)
		fn(arg, "the counters are not what the slabs say"), defects++;
	return defects;
}

/*
 * The block that @addr, in a frame of ours, lies in: 0, or -ENOENT. Takes no lock and calls nothing, for it may run in a fault
 * handler; what it says may be stale.
 */
static int heap_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct heap *heap = inst;
	const struct page *slab = loam_page_head(page);

	if (!slab->index)
		return -ENOENT;
	*span = span_of(heap, slab, index_of(heap, slab, addr));
	return 0;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int heap_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct heap *heap = host->meta_alloc(args->self, sizeof(*heap), 0);

	if (!heap)
		return -ENOMEM;
	heap->host = host;
	heap->args = args;
	heap->slabs = (struct list_head){ &heap->slabs, &heap->slabs };
	host->lock_init(args->self, &heap->lock, 1, "NAME");
	*inst = heap;
	return 0;
}

/* No call is in progress. All that came through the port goes back, blocks that are still live too, and the records. */
static void heap_destroy(void *inst)
{
	struct heap *heap = inst;

	while (heap->slabs.next != &heap->slabs) {
		struct page *slab = slab_at(heap->slabs.next);

		list_del(&slab->lru);
		heap->host->pages_free(heap->args->ports[0], slab, loam_page_order(slab));
	}
	heap->host->lock_destroy(&heap->lock);
	heap->host->meta_free(heap->args->self, heap, sizeof(*heap));
}

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where memory comes from"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "heap: blocks of powers of two, from slabs",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PORTS(ports), LOAM_ROLES(roles), .create = heap_create,
	    .destroy = heap_destroy, .stat = heap_stat, .walk = heap_walk, .check = heap_check, .find = heap_find);
