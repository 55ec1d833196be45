/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.c: windows over scattered frames by their kernel names, over the port vmap of [kernel].
 *
 * The frames are ours: taken in runs as large as there are without pressing for them, so that an area needs few mappings, and
 * one by one where memory is in pieces. The plugin finds addresses and maps. What is known of an area hangs on the plugin's
 * record by its address, in a hash table.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ORDER 6 /* the largest run of frames that is asked for */
#define BUCKETS 1024

/** What vmallocinfo tells, and what goes with an area. */
struct area {
	struct area *next; /* of the hash table, by address; of those that wait to be freed */
	struct area *newer, *older;
	struct loam_vmap_area *window;
	struct page **pages; /* NULL: not ours */
	unsigned long nr_pages;
	unsigned long flags;
	uint64_t phys;
	const void *caller;
};

static const struct loam_vmap_ops *ops;
static void *inst;
static uint32_t owner;
static char *range_start, *range_end;
static struct loam__mutex lock;
static struct area *buckets[BUCKETS], *newest, *oldest;
static struct area *late; /* freed in an interrupt; atomic */
static void free_late(struct irq_work *work);
static DEFINE_IRQ_WORK(late_work, free_late);

void vmalloc_boot(void)
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_VMAP];

	ops = NULL;
	range_start = range_end = NULL;
	if (!self)
		return;
	ops = self->links[LOAM_ROLE_VMAP].ops;
	inst = self->links[LOAM_ROLE_VMAP].inst;
	owner = self->owner;
	ops->range(inst, &range_start, &range_end);
}

/* ---- the table ---- */

static struct area **bucket(const void *addr)
{
	return &buckets[((uintptr_t)addr >> PAGE_SHIFT) * 0x9e3779b97f4a7c15u >> 54];
}

static void enter(struct area *area)
{
	struct area **at = bucket(area->window->addr);

	loam__lock(&lock);
	area->next = *at;
	*at = area;
	area->older = newest;
	area->newer = NULL;
	if (newest)
		newest->newer = area;
	else
		oldest = area;
	newest = area;
	loam__unlock(&lock);
}

/* The area that begins at @addr, out of the table; NULL. */
static struct area *leave(const void *addr)
{
	struct area *area;

	loam__lock(&lock);
	for (struct area **at = bucket(addr); (area = *at); at = &area->next)
		if (area->window->addr == addr) {
			*at = area->next;
			*(area->newer ? &area->newer->older : &newest) = area->older;
			*(area->older ? &area->older->newer : &oldest) = area->newer;
			break;
		}
	loam__unlock(&lock);
	return area;
}

/* ---- frames ---- */

static void give_frames(struct page **pages, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		loam__pages_free(&loam__machine.frames, pages[i], 0);
}

/* A run as long as the rest allows; shorter ones when there is none without reclaim. Its frames are freed one by one. */
static unsigned long take_run(struct page **pages, unsigned long n, gfp_t gfp)
{
	for (unsigned order = RUN_ORDER + 1; order--;) {
		gfp_t light = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN | __GFP_NORETRY;
		struct page *page;

		if (1ul << order > n)
			continue;
		page = loam__pages_alloc(&loam__machine.frames, order ? light : gfp, order, owner);
		for (unsigned long i = 0; page && i < 1ul << order; i++) {
			pages[i] = page + i;
			/* A block of its own. */
			pages[i]->block = 0;
			pages[i]->_refcount = 1;
		}
		if (page)
			return 1ul << order;
	}
	return 0;
}

static bool take_frames(struct page **pages, unsigned long n, gfp_t gfp)
{
	unsigned long got = 0, more = 1;

	while (got < n && more) {
		more = take_run(pages + got, n - got, gfp);
		got += more;
	}
	if (got == n)
		return true;
	give_frames(pages, got);
	return false;
}

/* ---- areas ---- */

static LOAM_COLD void warn_failed(unsigned long size, gfp_t gfp, const char *why)
{
	if (!(gfp & __GFP_NOWARN))
		loam_warn("vmalloc", 0, "vmalloc error: size %lu, %s, mode:%#x(%pGg)\n", size, why, gfp, &gfp);
}

static bool refused(const char *what)
{
	kernel_enter();
	if (!ops) {
		loam_warn("vmalloc", 0, "%s: [kernel] names no vmap\n", what);
		return true;
	}
	if (in_interrupt()) {
		loam_warn("vmalloc", 0, "BUG: %s in interrupt context\n", what);
		return true;
	}
	check_gfp(GFP_KERNEL, what);
	return false;
}

static struct area *area_new(unsigned long nr_pages, unsigned long flags, const void *caller)
{
	struct area *area = kzalloc(sizeof(*area), GFP_KERNEL);

	if (area) {
		area->nr_pages = nr_pages;
		area->flags = flags;
		area->caller = caller;
	}
	return area;
}

static void drop(struct area *area)
{
	if (area->pages)
		loam__meta_free(NULL, area->pages, area->nr_pages * sizeof(area->pages[0]));
	kfree(area);
}

static void *make(unsigned long size, gfp_t gfp, const void *caller)
{
	unsigned long n = PAGE_ALIGN(size) >> PAGE_SHIFT;
	struct area *area;

	if (refused("vmalloc"))
		return NULL;
	if (WARN_ON_ONCE(!size))
		return NULL;
	if (size > ULONG_MAX - PAGE_SIZE || n > totalram_pages()) {
		warn_failed(size, gfp, "exceeds total pages");
		return NULL;
	}
	area = area_new(n, VM_ALLOC, caller);
	if (area)
		area->pages = loam__meta_alloc(NULL, n * sizeof(area->pages[0]), 0);
	if (!area || !area->pages) {
		kfree(area);
		warn_failed(size, gfp, "no memory for its records");
		return NULL;
	}
	/* Any zone will do, unless the caller wants a low one. */
	if (!take_frames(area->pages, n, gfp & (__GFP_DMA | __GFP_DMA32) ? gfp : gfp | __GFP_HIGHMEM)) {
		warn_failed(size, gfp, "failed to allocate pages");
		drop(area);
		return NULL;
	}
	if (ops->map(inst, area->pages, n, PAGE_SIZE, true, &area->window)) {
		warn_failed(size, gfp, "failed to map pages");
		give_frames(area->pages, n);
		drop(area);
		return NULL;
	}
	enter(area);
	if (gfp & __GFP_ZERO)
		memset(area->window->addr, 0, n << PAGE_SHIFT);
	if (kernel_tracking)
		track_add(area->window->addr, size, TRACK_VMALLOC, caller);
	return area->window->addr;
}

void *vmalloc(unsigned long size)
{
	return make(size, GFP_KERNEL, __builtin_return_address(0));
}

void *vzalloc(unsigned long size)
{
	return make(size, GFP_KERNEL | __GFP_ZERO, __builtin_return_address(0));
}

void *vmalloc_user(unsigned long size)
{
	return make(size, GFP_KERNEL | __GFP_ZERO, __builtin_return_address(0));
}

void *vmalloc_32(unsigned long size)
{
	return make(size, GFP_KERNEL | __GFP_DMA32, __builtin_return_address(0));
}

void *__vmalloc(unsigned long size, gfp_t gfp)
{
	return make(size, gfp, __builtin_return_address(0));
}

void *vcalloc(size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes)
		       ? NULL
		       : make(bytes, GFP_KERNEL | __GFP_ZERO, __builtin_return_address(0));
}

void *vmalloc_array(size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : make(bytes, GFP_KERNEL, __builtin_return_address(0));
}

/* The area goes: first the window, so that nobody sees frames of others there. */
static void unmake(struct area *area)
{
	struct page **pages = area->pages;

	ops->unmap(inst, area->window);
	if (pages)
		give_frames(pages, area->nr_pages);
	drop(area);
}

static void free_late(struct irq_work *work)
{
	struct area *area = __atomic_exchange_n(&late, NULL, __ATOMIC_ACQUIRE);

	(void)work;
	while (area) {
		struct area *next = area->next;

		unmake(area);
		area = next;
	}
}

static void put_off(struct area *area)
{
	struct area *first = __atomic_load_n(&late, __ATOMIC_RELAXED);

	do
		area->next = first;
	while (!__atomic_compare_exchange_n(&late, &first, area, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	irq_work_queue(&late_work);
}

static struct area *find_and_leave(const void *addr, const char *what)
{
	struct area *area;

	if (!PAGE_ALIGNED(addr)) {
		loam_warn("vmalloc", 0, "Trying to %s() bad address (%px)\n", what, addr);
		return NULL;
	}
	area = ops ? leave(addr) : NULL;
	if (!area)
		loam_warn("vmalloc", 0, "Trying to %s() nonexistent vm area (%px)\n", what, addr);
	return area;
}

void vfree(const void *addr)
{
	struct area *area;

	kernel_enter();
	area = addr ? find_and_leave(addr, "vfree") : NULL;
	if (!area)
		return;
	if (kernel_tracking)
		track_del(addr);
	if (in_interrupt()) {
		put_off(area);
		return;
	}
	check_gfp(GFP_KERNEL, "vfree");
	unmake(area);
}

void *vmap(struct page **pages, unsigned int count, unsigned long flags, pgprot_t prot)
{
	struct area *area;

	if (refused("vmap") || !count || count > totalram_pages())
		return NULL;
	area = area_new(count, flags | VM_MAP, __builtin_return_address(0));
	if (!area)
		return NULL;
	if (ops->map(inst, pages, count, PAGE_SIZE, prot.bits & 2, &area->window)) {
		drop(area);
		return NULL;
	}
	enter(area);
	if (kernel_tracking)
		track_add(area->window->addr, count * PAGE_SIZE, TRACK_VMALLOC, area->caller);
	return area->window->addr;
}

void vunmap(const void *addr)
{
	struct area *area;

	kernel_enter();
	if (in_interrupt()) {
		loam_warn("vmalloc", 0, "BUG: vunmap in interrupt context\n");
		return;
	}
	area = addr ? find_and_leave(addr, "vunmap") : NULL;
	if (!area)
		return;
	if (kernel_tracking)
		track_del(addr);
	unmake(area);
}

bool is_vmalloc_addr(const void *addr)
{
	return (size_t)((const char *)addr - range_start) < (size_t)(range_end - range_start);
}

struct page *vmalloc_to_page(const void *addr)
{
	return is_vmalloc_addr(addr) ? loam__window_page(addr) : NULL;
}

unsigned long vmalloc_to_pfn(const void *addr)
{
	struct page *page = vmalloc_to_page(addr);

	return page ? page_to_pfn(page) : 0;
}

/* ---- ioremap: memory that is held back ---- */

#define IOREMAP_MAX_ORDER 30

/* At a multiple of its size, as far as that goes: there a device's large pages would fit. */
static size_t ioremap_align(size_t bytes)
{
	size_t align = PAGE_SIZE;

	while (align < bytes && align < 1ul << IOREMAP_MAX_ORDER)
		align *= 2;
	return align;
}

void *ioremap(phys_addr_t phys, size_t size)
{
	phys_addr_t from = phys & PAGE_MASK, to = PAGE_ALIGN(phys + size), all = PFN_PHYS(loam_kernel_map.nr_pages);
	phys_addr_t held = loam__machine.mem ? loam__machine.mem : all;
	struct area *area;

	if (refused("ioremap") || !size || phys + size < phys)
		return NULL;
	if (from < held || to > all) {
		loam_warn("ioremap", 0, "ioremap on RAM at %#llx - %#llx, or where nothing is\n",
			  (unsigned long long)phys, (unsigned long long)(phys + size - 1));
		return NULL;
	}
	area = area_new((to - from) >> PAGE_SHIFT, VM_IOREMAP, __builtin_return_address(0));
	if (!area)
		return NULL;
	area->phys = from;
	if (ops->map_phys(inst, from, area->nr_pages, ioremap_align(to - from), &area->window)) {
		drop(area);
		return NULL;
	}
	enter(area);
	return area->window->addr + (phys - from);
}

void iounmap(volatile void *addr)
{
	vunmap((const void *)((uintptr_t)addr & PAGE_MASK));
}

/* ---- kvmalloc ---- */

void *kvmalloc(size_t size, gfp_t gfp)
{
	gfp_t light = gfp;
	void *ptr;

	/* A try that does not press, where the other way is open. */
	if (size > PAGE_SIZE)
		light |= __GFP_NOWARN | (gfp & __GFP_RETRY_MAYFAIL ? 0 : __GFP_NORETRY);
	if (size > PAGE_SIZE)
		light &= ~__GFP_NOFAIL;
	ptr = kmalloc(size, light);
	if (ptr || size <= PAGE_SIZE)
		return ptr;
	if (!gfpflags_allow_blocking(gfp) || size > INT_MAX) {
		WARN_ON_ONCE(size > INT_MAX && !(gfp & __GFP_NOWARN));
		return NULL;
	}
	return make(size, gfp, __builtin_return_address(0));
}

void *kvmalloc_node(size_t size, gfp_t gfp, int node)
{
	(void)node;
	return kvmalloc(size, gfp);
}

void *kvzalloc(size_t size, gfp_t gfp)
{
	return kvmalloc(size, gfp | __GFP_ZERO);
}

void *kvmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : kvmalloc(bytes, gfp);
}

void *kvcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kvmalloc_array(n, size, gfp | __GFP_ZERO);
}

void kvfree(const void *addr)
{
	if (is_vmalloc_addr(addr))
		vfree(addr);
	else
		kfree(addr);
}

/* ---- /proc/vmallocinfo ---- */

static void show(FILE *out, const struct area *area)
{
	char caller[160];

	symbol_text(area->caller, true, caller, sizeof(caller));
	fprintf(out, "0x%016lx-0x%016lx %7ld %s", (unsigned long)area->window->addr,
		(unsigned long)(area->window->addr + ((area->nr_pages + 1) << PAGE_SHIFT)),
		(long)(area->nr_pages + 1) << PAGE_SHIFT, caller);
	if (area->pages)
		fprintf(out, " pages=%lu", area->nr_pages);
	if (area->flags & VM_IOREMAP)
		fprintf(out, " phys=%#018llx ioremap", (unsigned long long)area->phys);
	fprintf(out, "%s%s\n", area->flags & VM_ALLOC ? " vmalloc" : "", area->flags & VM_MAP ? " vmap" : "");
}

static int by_address(const void *a, const void *b)
{
	const struct area *const *x = a, *const *y = b;

	return (*x)->window->addr < (*y)->window->addr ? -1 : 1;
}

void vmalloc_info(FILE *out)
{
	struct area **all;
	size_t n = 0;

	loam__lock(&lock);
	for (const struct area *area = newest; area; area = area->older)
		n++;
	all = calloc(n + 1, sizeof(*all));
	n = 0;
	for (struct area *area = newest; all && area; area = area->older)
		all[n++] = area;
	if (all)
		qsort(all, n, sizeof(*all), by_address);
	for (size_t i = 0; all && i < n; i++)
		show(out, all[i]);
	loam__unlock(&lock);
	free(all);
}
