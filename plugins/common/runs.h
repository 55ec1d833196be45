/* SPDX-License-Identifier: MIT */
/*
 * runs.h: what a heap does for requests beyond its classes: runs of whole frames. Shared by slub and slab.
 *
 * A run is a block of 2^order frames, naturally aligned; with `exact` set, what its power of two has too much goes back at
 * once. The first frame's index is the number of frames, own[1] and own[2] are links; own[0] of every frame is the mark by
 * which its owner knows runs from slabs.
 */
#ifndef LOAM_RUNS_H
#define LOAM_RUNS_H

#include <loam/plugin.h>

struct runs {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *pages;
	void *mark;
	uint32_t owner;
	unsigned orders;
	bool exact;
	struct loam_lock lock;
	struct list_head live LOAM_GUARDED_BY(lock);
	uint64_t allocs, frees, bytes, failures; /* atomic */
};

/** Bytes of the largest run. */
static inline size_t runs_max(const struct runs *runs)
{
	return LOAM_PAGE_SIZE << (runs->orders - 1);
}

/** The fields above the lock are filled in, but for `orders`, which comes from the page allocator. */
void runs_open(struct runs *runs, unsigned rank);
/** Give back all runs. */
void runs_close(struct runs *runs);

void *runs_alloc(struct runs *runs, size_t bytes, size_t align, gfp_t gfp);
void runs_free(struct runs *runs, void *ptr, struct page *page);
/** Usable bytes of the run that @page is part of. */
static inline size_t runs_size(struct page *page)
{
	return loam_page_head(page)->index << LOAM_PAGE_SHIFT;
}
/** Add the runs to an instance's counters. */
void runs_stat(const struct runs *runs, struct loam_stat *stat);
int runs_walk(const struct runs *runs, loam_walk_fn fn, void *arg);
void runs_find(const struct runs *runs, struct page *page, struct loam_span *span);

#endif
