/* SPDX-License-Identifier: MIT */
/*
 * pages.c: page frames by their kernel names.
 *
 * Single frames of the normal zone and of high memory come from a stack of each CPU, which is filled from and emptied to the
 * zones in batches: only who holds the CPU touches it, so there is no lock. The frames there stay claimed, and the zones count
 * them as used; when memory is short every CPU is asked to empty its own.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/vmalloc.h>

#include <string.h>

#define PCP_HIGH 255 /* so that a list is 2 KiB, and found by a shift */
#define PCP_BATCH 63
#define PCP_LISTS 2 /* normal, high */

/* What the short way does not look at. */
#define SPECIAL (__GFP_DMA | __GFP_DMA32 | __GFP_MOVABLE | __GFP_ZERO | __GFP_COLD)

struct pcp {
	unsigned long count;
	struct page *pages[PCP_HIGH];
} __attribute__((aligned(64)));
LOAM_STATIC_ASSERT(sizeof(struct pcp) == 2048, "a list of a CPU is 2 KiB");

static struct pcp pcps[LOAM_MAX_CPUS][PCP_LISTS];
struct loam_map loam_kernel_map;
static uint32_t pages_owner; /* in whose name the frames are claimed */

static const struct loam_port *frames(void)
{
	return &loam__machine.frames;
}

/* ---- addresses ---- */

static LOAM_COLD void not_logical(const volatile void *addr, const char *what)
{
	const struct page *page = loam__window_page((const void *)addr);

	loam_warn(what, 0, "%s(%px): not a logical address%s\n", what, (const void *)addr,
		  page ? ", but one of a window: its page is found by vmalloc_to_page or kmap_to_page" : "");
}

phys_addr_t loam_pa(const volatile void *addr)
{
	if (loam_likely(virt_addr_valid(addr)))
		return (phys_addr_t)((const volatile char *)addr - loam_kernel_map.base);
	not_logical(addr, "__pa");
	return 0;
}

void *loam_va(phys_addr_t phys)
{
	if (loam_likely(phys < loam_kernel_map.low_bytes))
		return loam_kernel_map.base + phys;
	loam_warn("__va", 0, "__va(%#llx): not low memory, which ends at %#zx\n", (unsigned long long)phys,
		  loam_kernel_map.low_bytes);
	return NULL;
}

struct page *virt_to_page(const void *addr)
{
	struct page *page = loam_ptr_page(&loam_kernel_map, addr);

	if (loam_unlikely(!page))
		not_logical(addr, "virt_to_page");
	return page;
}

/* ---- the CPU's own ---- */

static struct pcp *pcp_of(unsigned list)
{
	return (struct pcp *)loam_hot.pages + list;
}

void *pages_of_cpu(unsigned cpu)
{
	return pcps[cpu];
}

static void pcp_flush(struct pcp *pcp, unsigned keep)
{
	unsigned n = (unsigned)pcp->count - keep;

	if (pcp->count <= keep)
		return;
	/* The coldest are at the bottom. */
	loam__pages_free_bulk(frames(), n, pcp->pages);
	memmove(pcp->pages, pcp->pages + n, keep * sizeof(pcp->pages[0]));
	pcp->count = keep;
}

static void pcp_drain(unsigned cpu)
{
	for (unsigned i = 0; i < PCP_LISTS; i++)
		pcp_flush(&pcps[cpu][i], 0);
}

void pages_boot(void)
{
	loam_kernel_map = loam__machine.map;
	pages_owner = kernel_owner();
}

void pages_set(unsigned cpu, unsigned zone, struct loam__pageset *set)
{
	if (zone != LOAM_ZONE_NORMAL && zone != LOAM_ZONE_HIGHMEM)
		return;
	*set = (struct loam__pageset){ .high = PCP_HIGH, .batch = PCP_BATCH };
	set->count = (unsigned)__atomic_load_n(&pcps[cpu][zone == LOAM_ZONE_HIGHMEM].count, __ATOMIC_RELAXED);
}

void pages_halt(void)
{
	for (unsigned cpu = 0; cpu < LOAM_MAX_CPUS; cpu++)
		pcp_drain(cpu);
}

void drain_all_pages(void *zone)
{
	(void)zone;
	cpu_each(pcp_drain);
}

/* What comes back of another zone than the list's is handed on, and the rest kept. */
static LOAM_COLD struct page *pcp_refill(struct pcp *pcp, gfp_t gfp, unsigned zone)
{
	struct page *batch[PCP_BATCH], *page;
	unsigned n = loam__pages_alloc_bulk(frames(), gfp, PCP_BATCH, batch, pages_owner);

	if (!n)
		return NULL;
	page = batch[--n];
	while (n) {
		struct page *extra = batch[--n];

		/* The call may have slept, and the CPU be another one that has some. */
		if ((extra->flags & LOAM_PAGE_ZONE_MASK) == zone && pcp == pcp_of(zone == LOAM_ZONE_HIGHMEM) &&
		    pcp->count < PCP_HIGH) {
			extra->_refcount = 0;
			pcp->pages[pcp->count++] = extra;
		} else {
			loam__pages_free(frames(), extra, 0);
		}
	}
	return page;
}

static struct page *pcp_alloc(gfp_t gfp)
{
	bool high = gfp & __GFP_HIGHMEM;
	struct pcp *pcp = pcp_of(high);
	struct page *page;

	if (loam_unlikely(!pcp->count))
		return pcp_refill(pcp, gfp, high ? LOAM_ZONE_HIGHMEM : LOAM_ZONE_NORMAL);
	page = pcp->pages[--pcp->count];
	page->_refcount = 1;
	return page;
}

static void pcp_free(struct page *page)
{
	unsigned zone = page->flags & LOAM_PAGE_ZONE_MASK;
	struct pcp *pcp = pcp_of(zone == LOAM_ZONE_HIGHMEM);

	if (loam_unlikely(zone != LOAM_ZONE_NORMAL && zone != LOAM_ZONE_HIGHMEM)) {
		loam__pages_free(frames(), page, 0);
		return;
	}
	if (loam_unlikely(pcp->count == PCP_HIGH))
		pcp_flush(pcp, PCP_HIGH - PCP_BATCH);
	pcp->pages[pcp->count++] = page;
}

/* ---- blocks ---- */

static LOAM_COLD struct page *alloc_slow(gfp_t gfp, unsigned int order, const void *caller)
{
	struct page *page;

	kernel_enter();
	check_gfp(gfp, "alloc_pages");
	if (!order && !(gfp & SPECIAL) && loam_hot.task)
		page = pcp_alloc(gfp);
	else
		page = loam__pages_alloc(frames(), gfp, order, pages_owner);
	if (page && kernel_tracking)
		track_add(page, LOAM_PAGE_SIZE << order, TRACK_PAGES, caller);
	return page;
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	if (loam_likely(!order && !(gfp & SPECIAL) && loam_limit()))
		return pcp_alloc(gfp);
	return alloc_slow(gfp, order, __builtin_return_address(0));
}

struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order)
{
	(void)nid;
	return alloc_slow(gfp, order, __builtin_return_address(0));
}

unsigned long __get_free_pages(gfp_t gfp, unsigned int order)
{
	/* A logical address is what is asked for; high memory has none. */
	struct page *page = alloc_slow(gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), order, __builtin_return_address(0));

	return page ? (unsigned long)loam_page_ptr(&loam_kernel_map, page) : 0;
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	struct page *page =
		alloc_slow((gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE)) | __GFP_ZERO, 0, __builtin_return_address(0));

	return page ? (unsigned long)loam_page_ptr(&loam_kernel_map, page) : 0;
}

static LOAM_COLD void bad_page(struct page *page, const char *why)
{
	loam_warn("mm", 0, "BUG: Bad page state in process %s  pfn:%05lx\npage dumped because: %s\n",
		  current ? current->comm : "?", page_to_pfn(page), why);
}

/* The last reference went. */
static void free_block(struct page *page, unsigned int order)
{
	if (loam_unlikely(page->_mapcount > 0)) {
		bad_page(page, "nonzero mapcount");
		return;
	}
	if (kernel_tracking)
		track_del(page);
	if (!order && loam_hot.task)
		pcp_free(page);
	else
		loam__pages_free(frames(), page, order);
}

/* Whether the caller's was the last one. A page with a single user needs no locked instruction. */
static bool put_testzero(struct page *page)
{
	if (loam_likely(__atomic_load_n(&page->_refcount, __ATOMIC_ACQUIRE) == 1)) {
		page->_refcount = 0;
		return true;
	}
	return !__atomic_sub_fetch(&page->_refcount, 1, __ATOMIC_ACQ_REL);
}

static LOAM_COLD void free_slow(struct page *page, unsigned int order)
{
	kernel_enter();
	if (page->_refcount <= 0 || page->owner != pages_owner)
		bad_page(page, page->_refcount <= 0 ? "nonzero _refcount" : "not a page of alloc_pages");
	else if (loam_page_order(page) != order || loam_page_head(page) != page)
		bad_page(page, "freed with another order, or not by its first page");
	else if (put_testzero(page))
		free_block(page, order);
}

void __free_pages(struct page *page, unsigned int order)
{
	/* A single frame of ours with one user, which nobody maps; the CPU's list has room. block 0: a head of order 0. */
	if (loam_likely(!(order | page->block) && page->owner == pages_owner && loam_limit()) &&
	    loam_likely(__atomic_load_n(&page->_refcount, __ATOMIC_ACQUIRE) == 1 && page->_mapcount <= 0)) {
		page->_refcount = 0;
		pcp_free(page);
		return;
	}
	free_slow(page, order);
}

void free_pages(unsigned long addr, unsigned int order)
{
	struct page *page = addr ? virt_to_page((void *)addr) : NULL;

	if (page)
		__free_pages(page, order);
}

void get_page(struct page *page)
{
	__atomic_fetch_add(&loam_page_head(page)->_refcount, 1, __ATOMIC_RELAXED);
}

void put_page(struct page *page)
{
	page = loam_page_head(page);
	__free_pages(page, loam_page_order(page));
}

/* ---- runs ---- */

static unsigned order_of(size_t bytes)
{
	unsigned order = 0;

	while (LOAM_PAGE_SIZE << order < bytes)
		order++;
	return order;
}

void *alloc_pages_exact(size_t bytes, gfp_t gfp)
{
	unsigned order = order_of(bytes);
	unsigned long n = PAGE_ALIGN(bytes) >> PAGE_SHIFT;
	struct page *page;

	if (WARN_ON_ONCE(gfp & (__GFP_COMP | __GFP_HIGHMEM)))
		gfp &= ~(__GFP_COMP | __GFP_HIGHMEM);
	page = bytes ? alloc_slow(gfp, order, __builtin_return_address(0)) : NULL;
	if (!page)
		return NULL;
	/* The tail, in the parts that the page allocator takes back: each aligned to its size. */
	for (unsigned long at = n; at < 1ul << order;) {
		unsigned part = (unsigned)__builtin_ctzl(at);

		loam__pages_free(frames(), page + at, part);
		at += 1ul << part;
	}
	return loam_page_ptr(&loam_kernel_map, page);
}

void free_pages_exact(void *addr, size_t bytes)
{
	unsigned long n = PAGE_ALIGN(bytes) >> PAGE_SHIFT;
	struct page *page = virt_to_page(addr);

	if (!page)
		return;
	if (kernel_tracking)
		track_del(page);
	for (unsigned long at = n; at;) {
		unsigned part = (unsigned)__builtin_ctzl(at);

		at -= 1ul << part;
		loam__pages_free(frames(), page + at, part);
	}
}

unsigned long alloc_pages_bulk_array(gfp_t gfp, unsigned long n, struct page **pages)
{
	unsigned long filled = 0;

	for (unsigned long i = 0; i < n; i++) {
		if (!pages[i])
			pages[i] = alloc_slow(gfp, 0, __builtin_return_address(0));
		if (!pages[i])
			break;
		filled = i + 1;
	}
	return filled;
}

unsigned long totalram_pages(void)
{
	unsigned long n = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		n += loam__machine.zones[i].pub.managed;
	return n;
}

unsigned long nr_free_pages(void)
{
	unsigned long n = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		n += loam__zone_free(&loam__machine.zones[i]);
	return n;
}
