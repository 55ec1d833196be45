/* SPDX-License-Identifier: MIT */
/*
 * owner.c: owner ids, which lead from a frame to whoever gave it out.
 *
 * An id is an index into a table and a generation, so that the id of something gone is not taken for its successor. Index 0
 * is nobody: freeing an address in a frame that nobody holds ends in a report, not in a crash. Every entry has the port
 * through which an address of its frames is freed the way kfree frees: an instance's heap, or a cache of objects.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

struct loam__owner loam__owners[LOAM__OWNERS];
struct loam__mutex loam__owner_lock;
static uint32_t next_generation = 1, search_from = 1;

/* ---- the heaps that stand in where there is none ---- */

static void *no_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	(void)inst, (void)bytes, (void)align, (void)gfp;
	return NULL;
}

static void nobody_free(void *inst, void *ptr, struct page *page)
{
	(void)inst, (void)page;
	loam__report(NULL, LOAM_REPORT_BAD_FREE, ptr, "nobody has given out this address");
}

static size_t no_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr, (void)page;
	return 0;
}

static void raw_free(void *inst, void *ptr, struct page *page)
{
	struct loam__owner *owner = inst;

	(void)page;
	loam__report(owner->self, LOAM_REPORT_BAD_FREE, ptr, "a frame of its own, not a block of a heap");
}

static void cache_free(void *inst, void *ptr, struct page *page)
{
	struct loam__owner *owner = inst;

	(void)page;
	loam_cache_free(owner->cache, ptr);
}

static size_t cache_size(void *inst, const void *ptr, struct page *page)
{
	const struct loam__owner *owner = inst;

	(void)ptr, (void)page;
	return owner->cache->object_size;
}

static const struct loam_heap_ops nobody_ops = {
	.size = sizeof(nobody_ops), .alloc = no_alloc, .free = nobody_free, .usable_size = no_size
};
static const struct loam_heap_ops raw_ops = {
	.size = sizeof(raw_ops), .alloc = no_alloc, .free = raw_free, .usable_size = no_size
};
static const struct loam_heap_ops cache_ops = {
	.size = sizeof(cache_ops), .alloc = no_alloc, .free = cache_free, .usable_size = cache_size
};

/* ---- ids ---- */

/** Entry 0, at every boot. */
void loam__owner_boot(void)
{
	struct loam__owner *nobody = &loam__owners[0];

	nobody->link = (struct loam_link){ &nobody_ops, nobody };
	nobody->own_port.link = &nobody->link;
	nobody->heap = &nobody->own_port;
}

/* How an address of this owner's frames is freed. */
static void fill(struct loam__owner *owner)
{
	if (!owner->cache && owner->self->links[LOAM_ROLE_HEAP].ops) {
		owner->heap = &owner->self->top;
		return;
	}
	owner->link = (struct loam_link){ owner->cache ? &cache_ops : &raw_ops, owner };
	owner->own_port.link = &owner->link;
	owner->heap = &owner->own_port;
}

uint32_t loam__owner_add(struct loam_self *self, struct loam_cache *cache)
{
	uint32_t id = 0;

	loam__lock(&loam__owner_lock);
	for (uint32_t n = 1; n < LOAM__OWNERS && !id; n++) {
		uint32_t i = search_from;
		struct loam__owner *owner = &loam__owners[i];

		search_from = i + 1 < LOAM__OWNERS ? i + 1 : 1;
		if (owner->id)
			continue;
		id = next_generation << 16 | i;
		next_generation = next_generation < 0xffff ? next_generation + 1 : 1;
		owner->self = self;
		owner->cache = cache;
		fill(owner);
		owner->id = id;
	}
	loam__unlock(&loam__owner_lock);
	return id;
}

void loam__owner_del(uint32_t id)
{
	struct loam__owner *owner = &loam__owners[id & (LOAM__OWNERS - 1)];

	loam__lock(&loam__owner_lock);
	if (owner->id == id)
		*owner = (struct loam__owner){ .heap = &loam__owners[0].own_port };
	loam__unlock(&loam__owner_lock);
}

/* ---- caches ---- */

struct loam_cache *loam__cache_create(const struct loam_port *port, const struct loam_cache_args *args)
{
	const struct loam_link *link = loam_port_link(port);
	struct loam_self *self = loam__port_instance(port);
	struct loam_cache_args full = *args;
	struct loam_cache *cache = NULL;
	int error = self ? 0 : -EINVAL;

	full.size = sizeof(full);
	if (!error) {
		full.owner = loam__owner_add(self, NULL);
		error = full.owner ? ((const struct loam_objects_ops *)link->ops)->create(link->inst, &full, &cache)
				   : -ENOMEM;
	}
	if (error) {
		loam__owner_del(full.owner);
		if (args->flags & SLAB_PANIC)
			loam__report(self, LOAM_REPORT_MISUSE, NULL,
				     "kmem_cache_create %s failed with error %d, and SLAB_PANIC is set", args->name,
				     error);
		errno = -error;
		return NULL;
	}
	loam__lock(&loam__owner_lock);
	loam__owners[full.owner & (LOAM__OWNERS - 1)].cache = cache;
	fill(&loam__owners[full.owner & (LOAM__OWNERS - 1)]);
	loam__unlock(&loam__owner_lock);
	return cache;
}

int loam__cache_destroy(struct loam_cache *cache)
{
	uint32_t owner = cache->owner;
	struct loam_self *self = loam__owners[owner & (LOAM__OWNERS - 1)].self;
	int error = loam_cache_ops(cache)->destroy(cache);

	if (error)
		loam__report(self, LOAM_REPORT_LEAK, NULL, "kmem_cache_destroy %s: Slab cache still has objects",
			     cache->name);
	else
		loam__owner_del(owner);
	return error;
}
