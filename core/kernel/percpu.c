/* SPDX-License-Identifier: MIT */
/*
 * percpu.c: per-CPU memory by its kernel names, over the port percpu of [kernel].
 *
 * The plugin gives offsets; a per-CPU pointer is an offset behind a base that no address reaches, so that who follows one
 * without asking for a CPU faults. The copy of CPU n is at pointer + loam_percpu_offset[n].
 *
 * Static variables of modules have addresses of their own, in the module, where their initial values are. The same distance must
 * lead to their copies: so the frames of the first chunk appear a second time, at the module's addresses plus that distance.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/percpu.h>
#include <linux/slab.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/*
 * From the units to their base, which is nowhere in user space. The thread sanitizer allows addresses in the last 1.5 TiB alone, of which
 * the lowest that the system gives is some 0.5 TiB above the start: there the base is an address as others.
 */
#ifdef __SANITIZE_THREAD__
#define FAR ((uintptr_t)1 << 38)
#else
#define FAR ((uintptr_t)1 << 41)
#endif
#define MODULES_RESERVE (64ul << 10) /* bytes for the static variables of modules: whole pages for each */

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

unsigned long loam_percpu_offset[LOAM_MAX_CPUS];

static const struct loam_percpu_ops *ops;
static void *inst;
static uintptr_t base; /* the per-CPU pointer of offset 0 */
static char *units[LOAM_MAX_CPUS];
static size_t first_used, first_bytes;

int percpu_boot(void)
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_PERCPU];

	ops = NULL;
	memset(loam_percpu_offset, 0, sizeof(loam_percpu_offset));
	if (!self)
		return 0;
	ops = self->links[LOAM_ROLE_PERCPU].ops;
	inst = self->links[LOAM_ROLE_PERCPU].inst;
	for (unsigned i = 0; i < cpu_count(); i++)
		units[i] = ops->unit_base(inst, i);
	/* Up or down, so that the copies of modules' variables, which lie FAR on the other side of them, have addresses. */
	base = (uintptr_t)units[0] > 2 * FAR ? (uintptr_t)units[0] + FAR : (uintptr_t)units[0] - FAR;
	for (unsigned i = 0; i < cpu_count(); i++) {
		loam_percpu_offset[i] = (uintptr_t)units[i] - base;
		cpu_set_percpu(i, loam_percpu_offset[i]);
	}
	first_used = 0;
	first_bytes = ops->reserve_first(inst, MODULES_RESERVE) ? 0 : MODULES_RESERVE;
	return 0;
}

/* ---- memory of one's own ---- */

void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp)
{
	size_t offset;

	kernel_enter();
	check_gfp(gfp, "alloc_percpu");
	if (!ops) {
		loam_warn("percpu", 0, "alloc_percpu: [kernel] names no percpu\n");
		return NULL;
	}
	if (!size || size > PCPU_MIN_UNIT_SIZE || align > PAGE_SIZE || !align || align & (align - 1)) {
		if (!(gfp & __GFP_NOWARN))
			loam_warn("percpu", 0, "illegal size (%zu) or align (%zu) for percpu allocation\n", size,
				  align);
		return NULL;
	}
	/* Linux's minimum: 4 bytes, at multiples of 4. */
	align = align < 4 ? 4 : align;
	size = (size + 3) & ~(size_t)3;
	if (ops->alloc(inst, size, align, gfp, &offset)) {
		if (!(gfp & __GFP_NOWARN))
			loam_warn("percpu", 0, "allocation failed, size=%zu align=%zu\n", size, align);
		return NULL;
	}
	if (kernel_tracking)
		track_add((void *)(base + offset), size, TRACK_PERCPU, __builtin_return_address(0));
	return (void *)(base + offset);
}

void *__alloc_percpu(size_t size, size_t align)
{
	return __alloc_percpu_gfp(size, align, GFP_KERNEL);
}

void free_percpu(void *ptr)
{
	kernel_enter();
	if (!ptr)
		return;
	if (kernel_tracking)
		track_del(ptr);
	if (!ops || (uintptr_t)ptr - base >= ops->unit_size(inst)) {
		loam_warn("percpu", 0, "free_percpu(%px): not a per-CPU pointer\n", ptr);
		return;
	}
	ops->free(inst, (uintptr_t)ptr - base);
}

phys_addr_t per_cpu_ptr_to_phys(void *addr)
{
	struct page *page = loam__window_page(addr);

	return page ? page_to_phys(page) + offset_in_page(addr) : loam_pa(addr);
}

/* ---- static variables of modules ---- */

static struct page *page_at(const char *at)
{
	struct page *page = loam__window_page(at);

	return page ? page : loam_ptr_page(&loam__machine.map, at);
}

/* The frames behind @from appear at @at too. */
static int show_again(char *at, const char *from, size_t bytes)
{
	for (size_t done = 0; done < bytes; done += PAGE_SIZE) {
		struct page *page = page_at(from + done);
		void *got = page ? mmap(at + done, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
					loam__machine.memfd, (off_t)PFN_PHYS(loam_page_pfn(&loam__machine.map, page)))
				 : MAP_FAILED;

		if (got == at + done)
			continue;
		if (got != MAP_FAILED)
			munmap(got, PAGE_SIZE);
		munmap(at, done);
		return -ENOMEM;
	}
	return 0;
}

void percpu_remove(const char *start, const char *end)
{
	uintptr_t from = (uintptr_t)start & PAGE_MASK, to = PAGE_ALIGN((uintptr_t)end);

	for (unsigned i = 0; i < cpu_count() && start != end; i++)
		munmap((void *)(from + loam_percpu_offset[i]), to - from);
}

int percpu_place(const char *start, const char *end)
{
	uintptr_t from = (uintptr_t)start & PAGE_MASK, to = PAGE_ALIGN((uintptr_t)end);
	int error = 0;

	if (start == end)
		return 0;
	if (!ops || loam__machine.memfd < 0)
		return -ENOTSUP;
	if (to - from > first_bytes - first_used)
		return -ENOMEM;
	for (unsigned i = 0; i < cpu_count() && !error; i++) {
		char *copy = units[i] + first_used;

		memcpy(copy + ((uintptr_t)start - from), start, (size_t)(end - start));
		error = show_again((char *)(from + loam_percpu_offset[i]), copy, to - from);
		while (error && i--)
			munmap((void *)(from + loam_percpu_offset[i]), to - from);
	}
	if (!error)
		first_used += to - from;
	return error;
}
