/* SPDX-License-Identifier: MIT */
/*
 * linux/gfp.h: page frames. Flags, zones and their order, watermarks and the reserve are Linux 6.1's. With
 * __GFP_DIRECT_RECLAIM a call may sleep: in an atomic context it is reported.
 */
#ifndef LOAM_LINUX_GFP_H
#define LOAM_LINUX_GFP_H

#include <asm/page.h>
#include <linux/mmzone.h>
#include <linux/numa.h>
#include <loam/gfp.h>

LOAM_BEGIN_DECLS

/** A block of 2^@order frames of the highest zone that @gfp allows, or a lower one; NULL. Reference count 1. */
struct page *alloc_pages(gfp_t gfp, unsigned int order);
/** The same; there is one node. */
struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order);
#define alloc_page(gfp) alloc_pages(gfp, 0)
#define __alloc_pages(gfp, order, nid, nodemask) alloc_pages(gfp, order)
/** The logical address of such a block, 0 when there is none: never of high memory, whatever @gfp says. */
unsigned long __get_free_pages(gfp_t gfp, unsigned int order);
#define __get_free_page(gfp) __get_free_pages(gfp, 0)
#define __get_dma_pages(gfp, order) __get_free_pages((gfp) | GFP_DMA, order)
/** One page of zeroes. */
unsigned long get_zeroed_page(gfp_t gfp);
/** Drop a reference; the last one gives the block back, whole, as it was taken. Any context. */
void __free_pages(struct page *page, unsigned int order);
#define __free_page(page) __free_pages(page, 0)
/** The same by its logical address; 0 is ignored. */
void free_pages(unsigned long addr, unsigned int order);
#define free_page(addr) free_pages(addr, 0)
/** @bytes in whole pages, neighbours of each other, without the rest of the power of two; NULL. */
void *alloc_pages_exact(size_t bytes, gfp_t gfp);
void free_pages_exact(void *addr, size_t bytes);
/** Fill the empty places of @pages[0..@n) with single frames; how many are filled then. */
unsigned long alloc_pages_bulk_array(gfp_t gfp, unsigned long n, struct page **pages);
/** Give the frames that the CPUs keep back to the zones. Any context; other CPUs do it soon. */
void drain_all_pages(void *zone);

LOAM_END_DECLS
#endif
