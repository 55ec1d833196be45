/* SPDX-License-Identifier: MIT */
/*
 * asm/page.h: pages and the kinds of addresses. A logical address is a physical one and a constant, for low memory alone; what
 * has no logical address (vmalloc, kmap, user memory) is refused with a report, not translated.
 */
#ifndef LOAM_ASM_PAGE_H
#define LOAM_ASM_PAGE_H

#include <linux/types.h>
#include <loam/page.h>

LOAM_BEGIN_DECLS

#define PAGE_SHIFT LOAM_PAGE_SHIFT
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_ALIGN(addr) (((addr) + PAGE_SIZE - 1) & PAGE_MASK)
#define PAGE_ALIGNED(addr) (((unsigned long)(addr) & ~PAGE_MASK) == 0)
#define offset_in_page(p) ((unsigned long)(p) & ~PAGE_MASK)
#define PFN_UP(x) (((x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_DOWN(x) ((x) >> PAGE_SHIFT)
#define PFN_PHYS(x) ((phys_addr_t)(x) << PAGE_SHIFT)

/** Where the machine's memory is; constant while it is up. */
extern struct loam_map loam_kernel_map;

/** The physical address of a logical one; of anything else 0, with a report. Any context. */
phys_addr_t loam_pa(const volatile void *addr);
/** The logical address of a physical one; NULL, with a report, where that is not low memory. Any context. */
void *loam_va(phys_addr_t phys);
#define __pa(x) loam_pa((const volatile void *)(x))
#define __va(x) loam_va((phys_addr_t)(x))

static inline phys_addr_t virt_to_phys(const volatile void *addr)
{
	return loam_pa(addr);
}

static inline void *phys_to_virt(phys_addr_t phys)
{
	return loam_va(phys);
}

/** The frame of a logical address; of anything else NULL, with a report. Any context. */
struct page *virt_to_page(const void *addr);
#define virt_to_head_page(addr) loam_page_head(virt_to_page(addr))
/** Whether @addr is a logical address of a frame that exists. */
static inline bool virt_addr_valid(const volatile void *addr)
{
	return (size_t)((uintptr_t)addr - (uintptr_t)loam_kernel_map.base) < loam_kernel_map.low_bytes;
}

static inline unsigned long page_to_pfn(const struct page *page)
{
	return loam_page_pfn(&loam_kernel_map, page);
}

static inline bool pfn_valid(unsigned long pfn)
{
	return pfn < loam_kernel_map.nr_pages;
}

static inline struct page *pfn_to_page(unsigned long pfn)
{
	return loam_kernel_map.pages + pfn;
}

#define page_to_phys(page) PFN_PHYS(page_to_pfn(page))
#define phys_to_page(phys) pfn_to_page(PFN_DOWN(phys))
#define virt_to_pfn(addr) PFN_DOWN(__pa(addr))
#define pfn_to_virt(pfn) __va(PFN_PHYS(pfn))

LOAM_END_DECLS
#endif
