/* SPDX-License-Identifier: MIT */
/* roles.c: what the host knows of each role: its name, the size of its table, what a plugin must fill in. */
#include "loader.h"

#include <string.h>

#define OP(role, op)                                                                                                   \
	{                                                                                                              \
#op, offsetof(struct loam_##role##_ops, op)                                                            \
	}
#define END                                                                                                            \
	{                                                                                                              \
		NULL, 0                                                                                                \
	}

static const struct loam__op_name pages_must[] = { OP(pages, add),    OP(pages, alloc),  OP(pages, free),
						   OP(pages, counts), OP(pages, limits), END };
static const struct loam__op_name pages_may[] = { OP(pages, alloc_bulk), OP(pages, free_bulk), END };
static const struct loam__op_name objects_must[] = { OP(objects, create), OP(objects, destroy), OP(objects, alloc),
						     OP(objects, free),   OP(objects, limits),  END };
static const struct loam__op_name objects_may[] = { OP(objects, alloc_bulk), OP(objects, free_bulk),
						    OP(objects, shrink), OP(objects, each), END };
static const struct loam__op_name heap_must[] = { OP(heap, alloc), OP(heap, free), OP(heap, usable_size),
						  OP(heap, limits), END };
static const struct loam__op_name heap_may[] = { OP(heap, zalloc),    OP(heap, resize), OP(heap, alloc_bulk),
						 OP(heap, free_bulk), OP(heap, owns),   END };
static const struct loam__op_name boot_must[] = { OP(boot, add),           OP(boot, remove),
						  OP(boot, reserve),       OP(boot, alloc),
						  OP(boot, free),          OP(boot, next_free),
						  OP(boot, next_reserved), END };
static const struct loam__op_name boot_may[] = { OP(boot, limits), END };
static const struct loam__op_name pool_must[] = {
	OP(pool, create), OP(pool, destroy), OP(pool, take), OP(pool, give), OP(pool, resize), OP(pool, count), END
};
static const struct loam__op_name pool_may[] = { OP(pool, get), OP(pool, get_bulk), OP(pool, give_bulk), END };
static const struct loam__op_name percpu_must[] = { OP(percpu, alloc),         OP(percpu, free),
						    OP(percpu, unit_base),     OP(percpu, unit_size),
						    OP(percpu, reserve_first), END };
static const struct loam__op_name vmap_must[] = { OP(vmap, map),  OP(vmap, map_phys), OP(vmap, unmap),
						  OP(vmap, find), OP(vmap, range),    END };
static const struct loam__op_name vmap_may[] = { OP(vmap, flush_lazy), END };
static const struct loam__op_name kmap_must[] = { OP(kmap, map),
						  OP(kmap, unmap),
						  OP(kmap, address),
						  OP(kmap, map_local),
						  OP(kmap, unmap_local),
						  OP(kmap, limits),
						  END };
static const struct loam__op_name none[] = { END };

/* In the order of enum loam_role_id. A role without a backend yet has its name and no table: no plugin can provide it. */
static const struct loam__role roles[LOAM_ROLE_COUNT] = {
	[LOAM_ROLE_BOOT] = { "boot", sizeof(struct loam_boot_ops), boot_must, boot_may },
	[LOAM_ROLE_PAGES] = { "pages", sizeof(struct loam_pages_ops), pages_must, pages_may },
	[LOAM_ROLE_OBJECTS] = { "objects", sizeof(struct loam_objects_ops), objects_must, objects_may },
	[LOAM_ROLE_HEAP] = { "heap", sizeof(struct loam_heap_ops), heap_must, heap_may },
	[LOAM_ROLE_POOL] = { "pool", sizeof(struct loam_pool_ops), pool_must, pool_may },
	[LOAM_ROLE_PERCPU] = { "percpu", sizeof(struct loam_percpu_ops), percpu_must, none },
	[LOAM_ROLE_VMAP] = { "vmap", sizeof(struct loam_vmap_ops), vmap_must, vmap_may },
	[LOAM_ROLE_KMAP] = { "kmap", sizeof(struct loam_kmap_ops), kmap_must, none },
	[LOAM_ROLE_DMA] = { "dma", 0, none, none },
	[LOAM_ROLE_DEVICE] = { "device", 0, none, none },
};

const struct loam__role *loam__role(enum loam_role_id role)
{
	return &roles[role];
}

const char *loam__role_name(enum loam_role_id role)
{
	return role < LOAM_ROLE_COUNT ? roles[role].name : "?";
}

int loam__role_find(const char *name)
{
	for (int i = 0; i < LOAM_ROLE_COUNT; i++)
		if (!strcmp(roles[i].name, name))
			return i;
	return -1;
}

size_t loam__role_ops_size(enum loam_role_id role)
{
	return roles[role].size;
}
