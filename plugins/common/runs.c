/* SPDX-License-Identifier: MIT */
/* runs.c: blocks of whole frames. */
#include "runs.h"

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Relaxed: sums that order nothing. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static struct list_head *node_of(struct page *page)
{
	return (struct list_head *)&page->own[1];
}

static struct page *page_at(struct list_head *node)
{
	return (struct page *)((char *)node - offsetof(struct page, own[1]));
}

void runs_open(struct runs *runs, unsigned rank)
{
	const struct loam_link *link = loam_port_link(runs->pages);
	struct loam_pages_limits limits = { .size = sizeof(limits) };

	((const struct loam_pages_ops *)link->ops)->limits(link->inst, &limits);
	runs->orders = limits.orders;
	runs->live.next = runs->live.prev = &runs->live;
	runs->host->lock_init(runs->self, &runs->lock, rank, "page runs");
}

/* Frames [@page, @page + @n) in naturally aligned pieces. */
static void give_back(struct runs *runs, struct page *page, unsigned long n)
{
	const struct loam_map *map = runs->host->map;
	unsigned long pfn = loam_page_pfn(map, page);

	while (n) {
		unsigned order = pfn ? (unsigned)__builtin_ctzl(pfn) : 63, fits = 63 - (unsigned)__builtin_clzl(n);

		order = order < fits ? order : fits;
		runs->host->pages_free(runs->pages, map->pages + pfn, order);
		pfn += 1ul << order;
		n -= 1ul << order;
	}
}

void runs_close(struct runs *runs)
{
	while (runs->live.next != &runs->live) {
		struct page *page = page_at(runs->live.next);

		runs->live.next = runs->live.next->next;
		give_back(runs, page, page->index);
	}
	runs->host->lock_destroy(&runs->lock);
}

static unsigned order_of(size_t bytes)
{
	return bytes <= LOAM_PAGE_SIZE ? 0 : 64 - (unsigned)__builtin_clzl(bytes - 1) - LOAM_PAGE_SHIFT;
}

void *runs_alloc(struct runs *runs, size_t bytes, size_t align, gfp_t gfp)
{
	unsigned long n = (bytes + LOAM_PAGE_SIZE - 1) >> LOAM_PAGE_SHIFT;
	unsigned order = order_of(bytes > align ? bytes : align);
	struct list_head *node;
	struct page *page = NULL;

	if (order < runs->orders)
		page = runs->host->pages_alloc(runs->pages, gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), order, runs->owner);
	if (!page) {
		add(&runs->failures, 1);
		return NULL;
	}
	if (runs->exact && n < 1ul << order)
		give_back(runs, page + n, (1ul << order) - n);
	else
		n = 1ul << order;
	for (unsigned long i = 0; i < n; i++)
		page[i].own[0] = runs->mark;
	page->index = n;
	node = node_of(page);
	loam_lock(runs->host, &runs->lock);
	node->next = runs->live.next;
	node->prev = &runs->live;
	node->next->prev = node;
	runs->live.next = node;
	loam_unlock(runs->host, &runs->lock);
	add(&runs->allocs, 1);
	add(&runs->bytes, n << LOAM_PAGE_SHIFT);
	return loam_page_ptr(runs->host->map, page);
}

void runs_free(struct runs *runs, void *ptr, struct page *page)
{
	struct list_head *node = node_of(page);
	unsigned long n = page->index;

	if ((uintptr_t)ptr % LOAM_PAGE_SIZE || loam_page_head(page) != page) {
		runs->host->report(runs->self, LOAM_REPORT_BAD_FREE, ptr, "not the start of a block");
		return;
	}
	loam_lock(runs->host, &runs->lock);
	node->prev->next = node->next;
	node->next->prev = node->prev;
	loam_unlock(runs->host, &runs->lock);
	add(&runs->frees, 1);
	add(&runs->bytes, -((uint64_t)n << LOAM_PAGE_SHIFT));
	give_back(runs, page, n);
}

void runs_stat(const struct runs *runs, struct loam_stat *stat)
{
	/* Frees before allocations: what is live is never counted below zero. */
	stat->frees += get(&runs->frees);
	stat->allocs += get(&runs->allocs);
	stat->live_bytes += get(&runs->bytes);
	stat->footprint += get(&runs->bytes);
	stat->failures += get(&runs->failures);
}

void runs_find(const struct runs *runs, struct page *page, struct loam_span *span)
{
	page = loam_page_head(page);
	span->kind = LOAM_SPAN_LIVE;
	span->addr = loam_page_ptr(runs->host->map, page);
	span->bytes = page->index << LOAM_PAGE_SHIFT;
	span->label = "pages";
}

int runs_walk(const struct runs *runs, loam_walk_fn fn, void *arg)
{
	int result = 0;

	for (struct list_head *at = runs->live.next; at != &runs->live && !result; at = at->next) {
		struct loam_span span = { .size = sizeof(span) };

		runs_find(runs, page_at(at), &span);
		result = fn(arg, &span);
	}
	return result;
}
