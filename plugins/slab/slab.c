/* SPDX-License-Identifier: MIT */
/*
 * slab.c: the descriptor of slab, objects and heap after the first slab allocator, Bonwick's, as Linux had it.
 *
 * A cache's memory is in slabs: blocks of frames cut into objects of one size. A slab is on one of three lists: full, partial,
 * empty. Objects come from partial slabs first, then from empty ones, then from a new slab. Which objects of a slab are
 * free is said by a stack of their numbers; nothing is written into a free object, so a constructed one stays so. The stack
 * and the slab's record lie at the slab's start; for objects of 512 bytes and more they would waste too much there, and lie
 * in metadata memory (off-slab).
 *
 * Each thread (each logical CPU, for kernel code) has in front of that an array of pointers to free objects. Alloc takes the
 * last entry and free adds one, without a lock; what was freed last is warm in the processor's cache and is handed out first. An
 * array that runs dry is filled with a batch, a full one gives a batch back: to an array that all threads share, or to the slabs,
 * under the cache's lock. It does not matter whose object it was, so a free on another thread is like any other.
 *
 * Objects of one number in different slabs would fall into the same lines of the processor's cache; so what is left over in a
 * slab is used to begin successive slabs at different offsets, the slab's colour.
 *
 * Empty slabs are kept up to a limit, and given back when memory is short (shrink), but for caches with SLAB_NO_REAP. Caches
 * that are debugged (SLAB_RED_ZONE, SLAB_POISON, SLAB_STORE_USER, SLAB_CONSISTENCY_CHECKS) do everything under their lock, in
 * the kernel's layout (../common/slabdebug.h), and have their records off the slab, where nobody writes by mistake.
 *
 * What it costs: pointers in arrays, for each thread and cache; and memory goes back only when whole slabs are empty, which
 * objects in arrays prevent.
 *
 * Lock order: instance (1), cache or page runs (2). No lock is held across a call of the page allocator.
 */
#include "slab.h"

#include <errno.h>

enum { P_CLASSES };

static const char *const classes_names[] = { "kernel", "fine", NULL };

static const struct loam_param params[] = {
	[P_CLASSES] = LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "classes", .def = "kernel", .choices = classes_names,
				 .help = "size classes of the heap: kmalloc's, or at most 12.5 % waste"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where slabs come from"),
};

static const struct loam_role_decl roles[] = {
	LOAM_ROLE(LOAM_ROLE_OBJECTS, &slab_objects_ops),
	LOAM_ROLE(LOAM_ROLE_HEAP, &slab_heap_ops),
};

static void heap_destroy(void *inst)
{
	struct slab_heap *heap = inst;
	const struct loam_host *host = heap->host;

	runs_close(&heap->runs);
	list_for_each_safe (pos, &heap->caches)
		slab_cache_free(list_of(pos, struct cache, node.link));
	host->lock_destroy(&heap->lock);
	host->meta_free(heap->self, heap, sizeof(*heap));
}

static int heap_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct slab_heap *heap = host->meta_alloc(args->self, sizeof(*heap), 64);

	if (!heap)
		return -ENOMEM;
	heap->host = host;
	heap->map = host->map;
	heap->self = args->self;
	heap->owner = args->owner;
	heap->local = args->local;
	heap->pages = args->ports[0];
	heap->fine = args->params[P_CLASSES].i;
	heap->runs = (struct runs){ .host = host,
				    .self = args->self,
				    .pages = heap->pages,
				    .mark = &heap->run_mark,
				    .owner = args->owner,
				    .exact = heap->fine };
	list_init(&heap->caches);
	host->lock_init(heap->self, &heap->lock, 1, "slab");
	runs_open(&heap->runs, 2);
	if (slab_heap_create(heap)) {
		heap_destroy(heap);
		return -ENOMEM;
	}
	*inst = heap;
	return 0;
}

LOAM_PLUGIN(.name = "slab", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "objects and heap: three lists of slabs, arrays for each thread, after Linux's SLAB",
	    LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles), .area_size = sizeof(struct area),
	    .create = heap_create, .destroy = heap_destroy, .flush = slab_flush, .fork = slab_fork, .stat = slab_stat,
	    .walk = slab_walk, .check = slab_check, .shrink = slab_shrink, .find = slab_find);
