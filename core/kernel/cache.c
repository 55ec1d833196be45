/* SPDX-License-Identifier: MIT */
/* cache.c: kmem_cache over the port objects of [kernel]. A struct kmem_cache is the plugin's struct loam_cache. */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include <errno.h>
#include <string.h>

/* What the short way does not do. */
#define SPECIAL (__GFP_ZERO | __GFP_HIGHMEM | __GFP_MOVABLE)

static struct loam_cache *plain(struct kmem_cache *cache)
{
	return (struct loam_cache *)cache;
}

struct kmem_cache *kmem_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
					      unsigned int flags, unsigned int useroffset, unsigned int usersize,
					      void (*ctor)(void *object))
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_OBJECTS];
	struct loam_port port = { self ? &self->links[LOAM_ROLE_OBJECTS] : NULL };
	struct loam_cache_args args = { .size = sizeof(args),
					.name = name,
					.object_size = size,
					.align = align,
					.flags = flags,
					.useroffset = useroffset,
					.usersize = usersize,
					.ctor = ctor };
	struct loam_cache *cache;

	kernel_enter();
	check_gfp(GFP_KERNEL, "kmem_cache_create");
	errno = ENODEV;
	cache = port.link ? loam__cache_create(&port, &args) : NULL;
	if (!cache) {
		loam_warn("kmem_cache_create", 0, "kmem_cache_create(%s) failed with error %d\n", name, -errno);
		if (flags & SLAB_PANIC)
			loam_bug("kmem_cache_create", 0);
		return NULL;
	}
	if (kernel_tracking)
		track_add(cache, size, TRACK_CACHE, __builtin_return_address(0));
	return (struct kmem_cache *)cache;
}

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size, unsigned int align, unsigned int flags,
				     void (*ctor)(void *object))
{
	return kmem_cache_create_usercopy(name, size, align, flags, 0, 0, ctor);
}

void kmem_cache_destroy(struct kmem_cache *cache)
{
	kernel_enter();
	check_gfp(GFP_KERNEL, "kmem_cache_destroy");
	if (!cache)
		return;
	if (loam__cache_destroy(plain(cache)))
		dump_stack();
	else if (kernel_tracking)
		track_del(cache);
}

static LOAM_COLD void *alloc_slow(struct kmem_cache *cache, gfp_t gfp, const void *caller)
{
	void *object;

	kernel_enter();
	check_gfp(gfp, "kmem_cache_alloc");
	gfp &= ~(__GFP_HIGHMEM | __GFP_MOVABLE);
	object = loam_cache_alloc(plain(cache), gfp);
	if (object && gfp & __GFP_ZERO)
		memset(object, 0, plain(cache)->object_size);
	if (object && kernel_tracking)
		track_add(object, plain(cache)->object_size, TRACK_OBJECT, caller);
	return object;
}

void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	if (loam_unlikely(!loam_limit() || gfp & SPECIAL))
		return alloc_slow(cache, gfp, __builtin_return_address(0));
	return loam_cache_ops(plain(cache))->alloc(plain(cache), gfp);
}

void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return alloc_slow(cache, gfp | __GFP_ZERO, __builtin_return_address(0));
}

static LOAM_COLD void free_slow(struct kmem_cache *cache, void *object)
{
	kernel_enter();
	if (object && kernel_tracking)
		track_del(object);
	loam_cache_free(plain(cache), object);
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	/* With tracking the limit is always 0. */
	if (loam_unlikely(!loam_limit() || !object))
		free_slow(cache, object);
	else
		loam_cache_ops(plain(cache))->free(plain(cache), object);
}

int kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **objects)
{
	const struct loam_objects_ops *ops = loam_cache_ops(plain(cache));
	size_t got = 0;

	kernel_enter();
	check_gfp(gfp, "kmem_cache_alloc_bulk");
	if (ops->alloc_bulk && !kernel_tracking && !(gfp & SPECIAL) && n <= UINT32_MAX)
		return (int)ops->alloc_bulk(plain(cache), gfp, (unsigned)n, objects);
	while (got < n && (objects[got] = alloc_slow(cache, gfp, __builtin_return_address(0))))
		got++;
	if (got == n)
		return (int)n;
	kmem_cache_free_bulk(cache, got, objects);
	return 0;
}

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **objects)
{
	const struct loam_objects_ops *ops = loam_cache_ops(plain(cache));

	kernel_enter();
	if (ops->free_bulk && !kernel_tracking && n <= UINT32_MAX) {
		ops->free_bulk(plain(cache), (unsigned)n, objects);
		return;
	}
	while (n)
		kmem_cache_free(cache, objects[--n]);
}

int kmem_cache_shrink(struct kmem_cache *cache)
{
	const struct loam_objects_ops *ops = loam_cache_ops(plain(cache));

	kernel_enter();
	check_gfp(GFP_KERNEL, "kmem_cache_shrink");
	if (ops->shrink)
		ops->shrink(plain(cache));
	return 0;
}

unsigned int kmem_cache_size(struct kmem_cache *cache)
{
	return plain(cache)->object_size;
}

const char *kmem_cache_name(struct kmem_cache *cache)
{
	return plain(cache)->name;
}
