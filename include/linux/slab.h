/* SPDX-License-Identifier: MIT */
/*
 * linux/slab.h: kmalloc and caches of equal objects. Sizes, alignment and limits are Linux 6.1's for the allocator that the
 * configuration names; without __GFP_ZERO contents are undefined. With __GFP_DIRECT_RECLAIM a call may sleep: in an atomic
 * context it is reported. Freeing goes anywhere.
 */
#ifndef LOAM_LINUX_SLAB_H
#define LOAM_LINUX_SLAB_H

#include <linux/gfp.h>
#include <linux/overflow.h>
#include <linux/string.h>
#include <linux/types.h>
#include <loam/objects.h>

LOAM_BEGIN_DECLS

/** What kmalloc(0) returns: no address that could be used, but one that kfree takes. */
#define ZERO_SIZE_PTR ((void *)16)
#define ZERO_OR_NULL_PTR(x) ((unsigned long)(x) <= (unsigned long)ZERO_SIZE_PTR)
#define ARCH_KMALLOC_MINALIGN 8

/* Limits of kmalloc with the backend that is wired. */
size_t loam_kmalloc_min_size(void);
size_t loam_kmalloc_max_cache_size(void);
size_t loam_kmalloc_max_size(void);
#define KMALLOC_MIN_SIZE loam_kmalloc_min_size()
#define KMALLOC_MAX_CACHE_SIZE loam_kmalloc_max_cache_size()
#define KMALLOC_MAX_SIZE loam_kmalloc_max_size()

/** At least @size bytes, aligned to 8, and to its size where that is a power of two; NULL. Physically contiguous. */
void *kmalloc(size_t size, gfp_t gfp);
void *kzalloc(size_t size, gfp_t gfp);
/** @n times @size, NULL also where the product overflows. */
void *kmalloc_array(size_t n, size_t size, gfp_t gfp);
void *kcalloc(size_t n, size_t size, gfp_t gfp);
/** Room for @size bytes with the contents kept; @p may be NULL; 0 bytes frees. NULL: @p is as it was. */
void *krealloc(const void *p, size_t size, gfp_t gfp);
void *krealloc_array(void *p, size_t n, size_t size, gfp_t gfp);
/** NULL and ZERO_SIZE_PTR are ignored. An object of a cache goes back to it. Any context. */
void kfree(const void *p);
void kfree_sensitive(const void *p);
/** Bytes that may be used, at least what was asked for; 0 for NULL and ZERO_SIZE_PTR. */
size_t ksize(const void *p);
size_t __ksize(const void *p);
size_t kmalloc_size_roundup(size_t size);
#define __kmalloc(size, gfp) kmalloc(size, gfp)
#define kmalloc_node(size, gfp, node) kmalloc(size, gfp)
#define kzalloc_node(size, gfp, node) kzalloc(size, gfp)
#define kmalloc_array_node(n, size, gfp, node) kmalloc_array(n, size, gfp)
#define kcalloc_node(n, size, gfp, node) kcalloc(n, size, gfp)

/** A cache; what loam's plugins see is inside. */
struct kmem_cache;

/**
 * A cache of objects of @size bytes at multiples of @align (0: of 8), flags SLAB_*. @ctor makes an object once, when its memory
 * is taken, and it stays as its holder left it; SLOB calls it at each allocation. NULL, or with SLAB_PANIC the end. May sleep.
 */
struct kmem_cache *kmem_cache_create(const char *name, unsigned int size, unsigned int align, unsigned int flags,
				     void (*ctor)(void *object));
struct kmem_cache *kmem_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
					      unsigned int flags, unsigned int useroffset, unsigned int usersize,
					      void (*ctor)(void *object));
#define KMEM_CACHE(__struct, __flags)                                                                                  \
	kmem_cache_create(#__struct, sizeof(struct __struct), __alignof__(struct __struct), (__flags), NULL)
/** NULL is ignored. With live objects it stays, and is reported as a leak. May sleep. */
void kmem_cache_destroy(struct kmem_cache *cache);
void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp);
void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp);
#define kmem_cache_alloc_node(cache, gfp, node) kmem_cache_alloc(cache, gfp)
#define kmem_cache_alloc_lru(cache, lru, gfp) kmem_cache_alloc(cache, gfp)
/** An object of another cache is reported, not freed. Any context. */
void kmem_cache_free(struct kmem_cache *cache, void *object);
/** All @n objects or none: @n or 0. */
int kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **objects);
void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **objects);
/** Give empty slabs back. 0: none is left. May sleep. */
int kmem_cache_shrink(struct kmem_cache *cache);
unsigned int kmem_cache_size(struct kmem_cache *cache);
const char *kmem_cache_name(struct kmem_cache *cache);

LOAM_END_DECLS
#endif
