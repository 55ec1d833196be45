/* SPDX-License-Identifier: MIT */
/*
 * objects.h: the role `objects`: caches of equal objects. kmem_cache_* stands on it.
 *
 * An object keeps its constructed state between free and the next alloc where the instance has LOAM_OBJECTS_CONSTRUCTED
 * (SLAB, SLUB: the constructor runs once, when a slab is made); without it the constructor runs at every alloc (SLOB).
 */
#ifndef LOAM_OBJECTS_H
#define LOAM_OBJECTS_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

/** What a new cache is to be. Constant while the cache lives; strings are copied by the plugin. */
struct loam_cache_args {
	uint32_t size;
	uint32_t owner; /* owner id for the cache's frames; a filter hands it down as it came */
	const char *name;
	size_t object_size; /* 1 to limits.max_size */
	size_t align;       /* a power of two, or 0 for the instance's own minimum */
	uint32_t flags;     /* SLAB_*; one that the instance does not know: -EINVAL */
	uint32_t reserved;
	size_t useroffset, usersize; /* the part that may be copied to and from user space */
	void (*ctor)(void *object);
	void (*dtor)(void *object); /* run when a constructed object's memory goes back to the pages */
};

/** A cache; a plugin's own record begins with it. */
struct loam_cache {
	struct loam_link link; /* first: whoever holds a cache calls through it. The plugin fills it in create */
	const char *name;
	uint32_t object_size; /* as asked for */
	uint32_t owner;       /* as in the args */
};

/** A line of slabinfo. */
struct loam_cache_info {
	uint32_t size;
	uint32_t objs_per_slab;
	uint32_t pages_per_slab;
	uint32_t obj_size; /* with padding and debug data */
	const char *name;
	uint64_t active_objs, total_objs;
	uint64_t active_slabs, total_slabs;
	uint32_t limit, batchcount, shared; /* tunables of SLAB; 0 elsewhere */
};

typedef int (*loam_cache_fn)(void *arg, const struct loam_cache_info *info);

#define LOAM_OBJECTS_CONSTRUCTED 1u /* objects stay constructed while free */
#define LOAM_OBJECTS_RED_ZONE 2u    /* knows SLAB_RED_ZONE */
#define LOAM_OBJECTS_POISON 4u      /* knows SLAB_POISON */
#define LOAM_OBJECTS_SLABINFO 8u    /* `each` tells what slabinfo shows */
#define LOAM_OBJECTS_OWN_FRAMES                                                                                        \
	32u /* frames of a cache's objects are claimed for the owner in its args, and hold no others */
#define LOAM_OBJECTS_KFREE 16u /* an object may be freed as a block of its owner's heap, as kfree does */
/* What an instance always detects, tells host->report of, and leaves as it was, without debug flags too. */
#define LOAM_OBJECTS_DOUBLE_FREE 64u /* an object that is freed again before its memory was handed out again */
#define LOAM_OBJECTS_BAD_FREE 128u   /* an address in a frame of the cache that is not the start of an object */

struct loam_objects_limits {
	uint32_t size;
	uint32_t caps;   /* LOAM_OBJECTS_* */
	size_t max_size; /* of an object */
	size_t max_align;
};

struct loam_objects_ops {
	uint32_t size;
	uint32_t reserved;

	/** A new cache into *@cache: 0, -EINVAL (flags, sizes), -ENOMEM. May sleep. */
	int (*create)(void *inst, const struct loam_cache_args *args, struct loam_cache **cache);
	/** 0 and the cache is gone, or -EBUSY and nothing has changed: objects of it live. May sleep. */
	int (*destroy)(struct loam_cache *cache);
	/** An object, or NULL. @gfp comes without __GFP_ZERO: the client clears (and may not, with a constructor). */
	void *(*alloc)(struct loam_cache *cache, gfp_t gfp);
	/** Give an object back. An object of another cache is reported, not freed. */
	void (*free)(struct loam_cache *cache, void *object);
	/** All @n or none; returns @n or 0. NULL: the client loops and undoes. */
	unsigned (*alloc_bulk)(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out);
	void (*free_bulk)(struct loam_cache *cache, unsigned n, void **objects);
	/** Give empty slabs back to the pages; returns the number of frames. May sleep. */
	unsigned long (*shrink)(struct loam_cache *cache);
	/** Call @fn for each cache, the newest first, until it returns non-zero; returns that. */
	int (*each)(void *inst, loam_cache_fn fn, void *arg);
	/** What this instance can do, after create. @limits comes zeroed but for size. */
	void (*limits)(void *inst, struct loam_objects_limits *limits);
};

static inline const struct loam_objects_ops *loam_cache_ops(const struct loam_cache *cache)
{
	return (const struct loam_objects_ops *)cache->link.ops;
}

/** An object, contents undefined or as constructed; NULL when memory is short. */
static inline void *loam_cache_alloc(struct loam_cache *cache, gfp_t gfp)
{
	return loam_cache_ops(cache)->alloc(cache, gfp & ~__GFP_ZERO);
}

/** Give @object back to the cache it came from. NULL is ignored. */
static inline void loam_cache_free(struct loam_cache *cache, void *object)
{
	if (object)
		loam_cache_ops(cache)->free(cache, object);
}

/** For create: what each allocation of the cache adds to its gfp, the zone that the flags ask for. */
static inline gfp_t loam_cache_gfp(const struct loam_cache_args *args)
{
	return (args->flags & SLAB_CACHE_DMA ? __GFP_DMA : 0) | (args->flags & SLAB_CACHE_DMA32 ? __GFP_DMA32 : 0);
}

LOAM_END_DECLS
#endif
