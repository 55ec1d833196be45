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
static const struct loam__op_name none[] = { END };

/* In the order of enum loam_role_id. A role without a backend yet has its name and no table: no plugin can provide it. */
static const struct loam__role roles[LOAM_ROLE_COUNT] = {
	[LOAM_ROLE_BOOT] = { "boot", 0, none, none },
	[LOAM_ROLE_PAGES] = { "pages", sizeof(struct loam_pages_ops), pages_must, pages_may },
	[LOAM_ROLE_OBJECTS] = { "objects", sizeof(struct loam_objects_ops), objects_must, objects_may },
	[LOAM_ROLE_HEAP] = { "heap", sizeof(struct loam_heap_ops), heap_must, heap_may },
	[LOAM_ROLE_POOL] = { "pool", 0, none, none },
	[LOAM_ROLE_PERCPU] = { "percpu", 0, none, none },
	[LOAM_ROLE_VMAP] = { "vmap", 0, none, none },
	[LOAM_ROLE_KMAP] = { "kmap", 0, none, none },
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
