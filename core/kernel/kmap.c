/* SPDX-License-Identifier: MIT */
/*
 * kmap.c: windows onto high memory by their kernel names, over the port kmap of [kernel].
 *
 * The plugin has the slots. Here: low memory, which needs none; waiting for a slot; and the order of local mappings. Those of a
 * thread are a stack of its own; the slots are the CPU's. A thread that gives its CPU up has them taken out and put in again
 * when it comes back, which is on the same CPU, for its addresses must stay what they were. An interrupt begins above the
 * mappings of the thread in whose place it runs.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/highmem.h>
#include <linux/wait.h>

#include <string.h>

static const struct loam_kmap_ops *ops;
static void *inst;
static unsigned nr_local;
static DECLARE_WAIT_QUEUE_HEAD(slot_free);

void kmap_boot(void)
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_KMAP];
	struct loam_kmap_limits limits = { .size = sizeof(limits) };

	ops = NULL;
	nr_local = 0;
	init_waitqueue_head(&slot_free);
	if (!self)
		return;
	ops = self->links[LOAM_ROLE_KMAP].ops;
	inst = self->links[LOAM_ROLE_KMAP].inst;
	ops->limits(inst, &limits);
	nr_local = limits.local_slots < KMAP_MAX ? limits.local_slots : KMAP_MAX;
}

static void *low_address(const struct page *page)
{
	return loam_page_ptr(&loam_kernel_map, page);
}

static LOAM_COLD void *no_kmap(void)
{
	loam_warn("highmem", 0, "kmap: [kernel] names no kmap, and the page is high memory\n");
	return NULL;
}

/* ---- kmap ---- */

void *kmap(struct page *page)
{
	void *addr = low_address(page);

	might_sleep();
	if (loam_likely(addr != NULL))
		return addr;
	if (!ops)
		return no_kmap();
	addr = ops->map(inst, page);
	if (loam_unlikely(!addr))
		wait_event(slot_free, (addr = ops->map(inst, page)) != NULL);
	return addr;
}

void kunmap(struct page *page)
{
	kernel_enter();
	if (loam_unlikely(in_interrupt()))
		loam_bug("highmem.c", 0);
	if (low_address(page) || !ops)
		return;
	if (loam_unlikely(!ops->address(inst, page))) {
		loam_warn("highmem", 0, "kunmap: page %05lx is not mapped\n", page_to_pfn(page));
		return;
	}
	if (ops->unmap(inst, page))
		wake_up(&slot_free);
}

void *page_address(const struct page *page)
{
	void *addr = low_address(page);

	return addr || !ops ? addr : ops->address(inst, (struct page *)page);
}

struct page *kmap_to_page(void *addr)
{
	struct page *page = loam__window_page(addr);

	return page ? page : virt_to_page(addr);
}

void kmap_flush_unused(void)
{
	struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_KMAP];

	if (self)
		loam__shrink(self, ~0ul);
}

/* ---- local mappings ---- */

void *kmap_local_page(struct page *page)
{
	struct task *task = this_task();
	void *addr = low_address(page);
	unsigned index;

	kernel_enter();
	if (loam_likely(addr != NULL))
		return addr;
	if (!ops || !task)
		return no_kmap();
	index = task->nr_kmaps;
	if (task->kmap_base + index >= nr_local) {
		loam_warn("highmem", 0, "kmap_local_page: more than %u at once\n", nr_local);
		loam_bug("highmem.c", 0);
	}
	if (!index) {
		task->pinned_before = task->pinned;
		task->pinned = (int)loam_hot.cpu;
	}
	addr = ops->map_local(inst, loam_hot.cpu, task->kmap_base + index, page);
	if (loam_unlikely(!addr)) {
		/* Linux never fails here, so no caller asks: the system has no more mappings. */
		loam_warn("highmem", 0, "kmap_local_page: the system refuses a mapping\n");
		loam_bug("highmem.c", 0);
	}
	task->kmaps[index] = (struct local_kmap){ page, addr };
	task->nr_kmaps = index + 1;
	return addr;
}

void kunmap_local(const volatile void *ptr)
{
	void *addr = (void *)((uintptr_t)ptr & PAGE_MASK);
	struct task *task = this_task();
	unsigned index;

	kernel_enter();
	if (virt_addr_valid(addr) || !ops || !task)
		return;
	index = task->nr_kmaps - 1;
	if (!task->nr_kmaps || task->kmaps[index].addr != addr) {
		loam_warn("highmem", 0, "kunmap_local(%px): not the last one that was mapped\n", addr);
		return;
	}
	task->nr_kmaps = index;
	ops->unmap_local(inst, loam_hot.cpu, task->kmap_base + index);
	if (!index)
		task->pinned = task->pinned_before;
}

void kmap_save(struct task *task)
{
	for (unsigned i = task->nr_kmaps; i--;)
		ops->unmap_local(inst, task->cpu, task->kmap_base + i);
}

void kmap_restore(struct task *task)
{
	for (unsigned i = 0; i < task->nr_kmaps; i++)
		ops->map_local(inst, task->cpu, task->kmap_base + i, task->kmaps[i].page);
}

void *kmap_atomic(struct page *page)
{
	preempt_disable();
	return kmap_local_page(page);
}

void kunmap_atomic(const volatile void *addr)
{
	kunmap_local(addr);
	preempt_enable();
}
