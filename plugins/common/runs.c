/* SPDX-License-Identifier: MIT */
/* runs.c: blocks of whole frames. */
#include "runs.h"

#include "count.h"
#include "list.h"

void runs_open(struct runs *runs, unsigned rank)
{
	runs->orders = loam_pages_orders(runs->pages);
	list_init(&runs->live);
	runs->host->lock_init(runs->self, &runs->lock, rank, "page runs");
}

void runs_close(struct runs *runs)
{
	while (!list_empty(&runs->live)) {
		struct page *page = list_page(runs->live.next);

		list_del(runs->live.next);
		loam_pages_free_range(runs->host, runs->pages, page, page->index);
	}
	runs->host->lock_destroy(&runs->lock);
}

void *runs_alloc(struct runs *runs, size_t bytes, size_t align, gfp_t gfp)
{
	unsigned long n = (bytes + LOAM_PAGE_SIZE - 1) >> LOAM_PAGE_SHIFT;
	unsigned order = loam_pages_order(bytes > align ? bytes : align);
	struct page *page = NULL;

	if (order < runs->orders)
		page = runs->host->pages_alloc(runs->pages, gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), order, runs->owner);
	if (!page) {
		count_add(&runs->failures, 1);
		return NULL;
	}
	if (runs->exact && n < 1ul << order)
		loam_pages_free_range(runs->host, runs->pages, page + n, (1ul << order) - n);
	else
		n = 1ul << order;
	for (unsigned long i = 0; i < n; i++)
		page[i].own[0] = runs->mark;
	page->index = n;
	loam_lock(runs->host, &runs->lock);
	list_add(list_page_node(page), &runs->live);
	loam_unlock(runs->host, &runs->lock);
	count_add(&runs->allocs, 1);
	count_add(&runs->bytes, n << LOAM_PAGE_SHIFT);
	return loam_page_ptr(runs->host->map, page);
}

void runs_free(struct runs *runs, void *ptr, struct page *page)
{
	unsigned long n = page->index;

	if ((uintptr_t)ptr % LOAM_PAGE_SIZE || loam_page_head(page) != page) {
		runs->host->report(runs->self, LOAM_REPORT_BAD_FREE, ptr, "not the start of a block");
		return;
	}
	loam_lock(runs->host, &runs->lock);
	list_del(list_page_node(page));
	loam_unlock(runs->host, &runs->lock);
	count_add(&runs->frees, 1);
	count_add(&runs->bytes, -((uint64_t)n << LOAM_PAGE_SHIFT));
	loam_pages_free_range(runs->host, runs->pages, page, n);
}

void runs_stat(const struct runs *runs, struct loam_stat *stat)
{
	/* Frees before allocations: what is live is never counted below zero. */
	stat->frees += count_read(&runs->frees);
	stat->allocs += count_read(&runs->allocs);
	stat->live_bytes += count_read(&runs->bytes);
	stat->footprint += count_read(&runs->bytes);
	stat->failures += count_read(&runs->failures);
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

		runs_find(runs, list_page(at), &span);
		result = fn(arg, &span);
	}
	return result;
}
