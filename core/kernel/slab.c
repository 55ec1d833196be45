/* SPDX-License-Identifier: MIT */
/*
 * slab.c: kmalloc and kmem_cache over the ports of [kernel].
 *
 * kmalloc's short way is one comparison away from the plugin's own op: the size is at least 1 and at most the limit of what may
 * be asked for without a look, which is 0 while the context is atomic or somebody wants the CPU; and nothing in the flags asks
 * for more than an allocation. All else, tracking too, goes the long way.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include <loam/heap.h>

#include <errno.h>
#include <string.h>

/* What the short way does not do. */
#define SPECIAL (__GFP_ZERO | __GFP_HIGHMEM | __GFP_MOVABLE)

/**
 * How kmalloc reaches the heap. Two words that belong together, read without more ado: who replaces them does it while no CPU is
 * held.
 */
static struct way {
	void *inst;
	void *(*alloc)(void *inst, size_t bytes, size_t align, gfp_t gfp); /* NULL: no heap */
} way;
static const struct loam_heap_ops *ops;
static void *inst;
static struct loam_heap_limits limits;

/* ---- the heap ---- */

/* For a heap that does not promise it: what is a power of two is aligned to its size, as far as the heap can. */
static void *alloc_aligned(void *heap, size_t bytes, size_t align, gfp_t gfp)
{
	if (!(bytes & (bytes - 1)) && bytes > align)
		align = limits.max_align && bytes > limits.max_align ? limits.max_align : bytes;
	return ops->alloc(heap, bytes, align, gfp);
}

void slab_boot(void)
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_HEAP];

	way = (struct way){ NULL, NULL };
	kernel_limit = 0;
	if (!self)
		return;
	ops = self->links[LOAM_ROLE_HEAP].ops;
	inst = self->links[LOAM_ROLE_HEAP].inst;
	limits = (struct loam_heap_limits){ .size = sizeof(limits) };
	ops->limits(inst, &limits);
	way = (struct way){ inst, limits.caps & LOAM_HEAP_NATURAL ? ops->alloc : alloc_aligned };
	if (!kernel_tracking)
		kernel_limit = loam_kmalloc_max_size();
}

size_t loam_kmalloc_max_size(void)
{
	return limits.max_size ? limits.max_size : SIZE_MAX / 2;
}

size_t loam_kmalloc_max_cache_size(void)
{
	return limits.max_shared ? limits.max_shared : loam_kmalloc_max_size();
}

/* Only the plugin knows: what does the smallest request get? */
size_t loam_kmalloc_min_size(void)
{
	return kmalloc_size_roundup(1);
}

static LOAM_COLD gfp_t fix_flags(gfp_t gfp)
{
	gfp_t invalid = gfp & (__GFP_HIGHMEM | __GFP_MOVABLE);

	gfp &= ~invalid;
	printk(KERN_WARNING "Unexpected gfp: %#x (%pGg). Fixing up to gfp: %#x (%pGg). Fix your code!\n", invalid,
	       &invalid, gfp, &gfp);
	dump_stack();
	return gfp;
}

static void *keep_track(void *ptr, size_t size, const void *caller)
{
	if (ptr && kernel_tracking)
		track_add(ptr, size, TRACK_KMALLOC, caller);
	return ptr;
}

static LOAM_COLD void *kmalloc_slow(size_t size, gfp_t gfp, const void *caller)
{
	bool zero = gfp & __GFP_ZERO;
	void *ptr;

	kernel_enter();
	check_gfp(gfp, "kmalloc");
	if (!size)
		return ZERO_SIZE_PTR;
	if (gfp & (__GFP_HIGHMEM | __GFP_MOVABLE))
		gfp = fix_flags(gfp);
	gfp &= ~__GFP_ZERO;
	if (!way.alloc) {
		loam_warn("kmalloc", 0, "kmalloc: [kernel] names no heap\n");
		return NULL;
	}
	if (size > loam_kmalloc_max_size()) {
		WARN_ONCE(!(gfp & __GFP_NOWARN), "kmalloc: %zu bytes are over the limit of %zu\n", size,
			  loam_kmalloc_max_size());
		return NULL;
	}
	if (zero && ops->zalloc && way.alloc != alloc_aligned)
		return keep_track(ops->zalloc(inst, size, ARCH_KMALLOC_MINALIGN, gfp), size, caller);
	ptr = way.alloc(way.inst, size, ARCH_KMALLOC_MINALIGN, gfp);
	if (ptr && zero)
		memset(ptr, 0, size);
	return keep_track(ptr, size, caller);
}

void *kmalloc(size_t size, gfp_t gfp)
{
	if (loam_unlikely(size - 1 >= loam_limit() || gfp & SPECIAL))
		return kmalloc_slow(size, gfp, __builtin_return_address(0));
	return way.alloc(way.inst, size, ARCH_KMALLOC_MINALIGN, gfp);
}

void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc_slow(size, gfp | __GFP_ZERO, __builtin_return_address(0));
}

void *kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return kmalloc_slow(bytes, gfp, __builtin_return_address(0));
}

void *kcalloc(size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return kmalloc_slow(bytes, gfp | __GFP_ZERO, __builtin_return_address(0));
}

/* How an address is freed: by the owner of its frame. What lies outside the machine is the foreign heap's, or nobody's. */
static const struct loam_link *owner_link(const void *ptr, struct page **page)
{
	*page = loam_ptr_page(&loam_kernel_map, ptr);
	if (loam_likely(*page != NULL))
		return loam_port_link(loam__owner_of(*page)->heap);
	return loam_port_link(loam__machine.foreign ? loam__machine.foreign : loam__owners[0].heap);
}

static LOAM_COLD void kfree_slow(const void *p)
{
	const struct loam_link *link;
	struct page *page;

	kernel_enter();
	if (ZERO_OR_NULL_PTR(p))
		return;
	if (kernel_tracking)
		track_del(p);
	link = owner_link(p, &page);
	loam_heap_ops(link)->free(link->inst, (void *)p, page);
}

void kfree(const void *p)
{
	struct page *page = loam_ptr_page(&loam_kernel_map, p);
	const struct loam_link *link;

	/* With tracking the limit is always 0. */
	if (loam_unlikely(!page || !loam_limit())) {
		kfree_slow(p);
		return;
	}
	link = loam_port_link(loam__owner_of(page)->heap);
	loam_heap_ops(link)->free(link->inst, (void *)p, page);
}

size_t ksize(const void *p)
{
	const struct loam_link *link;
	struct page *page;

	if (ZERO_OR_NULL_PTR(p))
		return 0;
	link = owner_link(p, &page);
	return loam_heap_ops(link)->usable_size(link->inst, p, page);
}

size_t __ksize(const void *p)
{
	return ksize(p);
}

void kfree_sensitive(const void *p)
{
	if (!ZERO_OR_NULL_PTR(p))
		explicit_bzero((void *)p, ksize(p));
	kfree(p);
}

static void *resize(const void *p, size_t size, gfp_t gfp, const void *caller)
{
	size_t had = ksize(p);
	void *ptr;

	if (!size) {
		kfree(p);
		return ZERO_SIZE_PTR;
	}
	if (!ZERO_OR_NULL_PTR(p) && size <= had)
		return (void *)p;
	ptr = kmalloc_slow(size, gfp, caller);
	if (ptr && !ZERO_OR_NULL_PTR(p)) {
		memcpy(ptr, p, had);
		kfree(p);
	}
	return ptr;
}

void *krealloc(const void *p, size_t size, gfp_t gfp)
{
	return resize(p, size, gfp, __builtin_return_address(0));
}

void *krealloc_array(void *p, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return resize(p, bytes, gfp, __builtin_return_address(0));
}

size_t kmalloc_size_roundup(size_t size)
{
	size_t usable;
	void *ptr;

	if (!size || !way.alloc || size > loam_kmalloc_max_size())
		return size;
	/* Only the plugin knows its classes. */
	ptr = way.alloc(way.inst, size, ARCH_KMALLOC_MINALIGN, GFP_NOWAIT | __GFP_NOWARN);
	if (!ptr)
		return size;
	usable = ksize(ptr);
	ops->free(inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	return usable;
}
