/* SPDX-License-Identifier: MIT */
/* linux/mm.h: pages in use, and memory that may be either kmalloc's or vmalloc's. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_MM_H
#define LOAM_LINUX_MM_H

#include <linux/bug.h>
#include <linux/gfp.h>
#include <linux/mm_types.h>
#include <linux/shrinker.h>

LOAM_BEGIN_DECLS

/** The address of a page now: its logical one, the one that kmap gave it, or NULL. Any context. */
void *page_address(const struct page *page);
#define lowmem_page_address(page) loam_page_ptr(&loam_kernel_map, page)

static inline int page_count(const struct page *page)
{
	return __atomic_load_n(&page->_refcount, __ATOMIC_RELAXED);
}

/** One more user of a page that has one already. */
void get_page(struct page *page);
/** One user less; the last one gives its block back. Any context. */
void put_page(struct page *page);
static inline unsigned int compound_order(struct page *page)
{
	return loam_page_order(page);
}
static inline struct page *compound_head(struct page *page)
{
	return loam_page_head(page);
}
/** Which zone: 0 DMA, 1 DMA32, 2 Normal, 3 HighMem, 4 Movable. */
static inline unsigned int page_zonenum(const struct page *page)
{
	return page->flags & LOAM_PAGE_ZONE_MASK;
}
static inline int PageHighMem(const struct page *page)
{
	return !loam_page_ptr(&loam_kernel_map, page);
}
/** Frames that the page allocator has, and those that are free now. Any context. */
unsigned long totalram_pages(void);
unsigned long nr_free_pages(void);

bool is_vmalloc_addr(const void *addr);
static inline bool is_vmalloc_or_module_addr(const void *addr)
{
	return is_vmalloc_addr(addr);
}
/** kmalloc, or vmalloc where that is more than a page and does not do it; flags that may sleep. */
void *kvmalloc(size_t size, gfp_t gfp);
void *kvmalloc_node(size_t size, gfp_t gfp, int node);
void *kvzalloc(size_t size, gfp_t gfp);
void *kvmalloc_array(size_t n, size_t size, gfp_t gfp);
void *kvcalloc(size_t n, size_t size, gfp_t gfp);
/** What kvmalloc, kmalloc or vmalloc gave; NULL is ignored. May sleep. */
void kvfree(const void *addr);

LOAM_END_DECLS
#endif
