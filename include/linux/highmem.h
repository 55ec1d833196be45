/* SPDX-License-Identifier: MIT */
/*
 * linux/highmem.h: addresses for pages of high memory, for a while. Low memory is answered with its logical address. Semantics:
 * Linux 6.1.
 *
 * kmap: from a finite number of slots; sleeps until one is free; nested kmaps of a page share one. kmap_atomic: a slot of the
 * CPU, preemption off until kunmap_atomic. kmap_local_page: a slot of the thread. Both of these are undone in the opposite order,
 * which is checked.
 */
#ifndef LOAM_LINUX_HIGHMEM_H
#define LOAM_LINUX_HIGHMEM_H

#include <linux/mm.h>
#include <string.h>

LOAM_BEGIN_DECLS

/** Process context; may sleep. */
void *kmap(struct page *page);
/** One kmap less. Not in an interrupt. */
void kunmap(struct page *page);
/** The page behind an address that kmap gave, or a logical one. */
struct page *kmap_to_page(void *addr);
/** Give the addresses that are not in use back at once. */
void kmap_flush_unused(void);

/** Any context; never sleeps. */
void *kmap_atomic(struct page *page);
void kunmap_atomic(const volatile void *addr);
/** Any context; never sleeps. */
void *kmap_local_page(struct page *page);
void kunmap_local(const volatile void *addr);
#define kmap_local_pfn(pfn) kmap_local_page(pfn_to_page(pfn))

static inline void clear_highpage(struct page *page)
{
	void *addr = kmap_local_page(page);

	memset(addr, 0, PAGE_SIZE);
	kunmap_local(addr);
}
static inline void copy_highpage(struct page *to, struct page *from)
{
	void *source = kmap_local_page(from), *target = kmap_local_page(to);

	memcpy(target, source, PAGE_SIZE);
	kunmap_local(target);
	kunmap_local(source);
}
static inline void memcpy_from_page(char *to, struct page *page, size_t offset, size_t len)
{
	char *from = (char *)kmap_local_page(page);

	memcpy(to, from + offset, len);
	kunmap_local(from);
}
static inline void memcpy_to_page(struct page *page, size_t offset, const char *from, size_t len)
{
	char *to = (char *)kmap_local_page(page);

	memcpy(to + offset, from, len);
	kunmap_local(to);
}
#define flush_dcache_page(page) ((void)(page))

LOAM_END_DECLS
#endif
