/* SPDX-License-Identifier: MIT */
/*
 * slub.c: the descriptor of slub, objects and heap after Linux's SLUB.
 *
 * A cache's memory is in slabs: blocks of frames cut into objects of one size, the free ones linked through themselves. There
 * is no header in a slab and no queue of free objects: a slab's record lies in metadata memory, each of its frames points
 * there, and the list of a slab's free objects is all the bookkeeping that alloc and free touch.
 *
 * Each thread (each logical CPU, for kernel code) has in its local area a slot for each cache, with a current slab whose free
 * list it alone uses: alloc takes the first object off it, free puts one back, both without a lock or an atomic
 * instruction. When it runs dry the slot takes another slab: a partial one of its own, one that an ended thread left to the
 * cache, or a new one. SLUB calls such slabs frozen; here a frozen slab names the area that owns it, and so an owner's free
 * into any of its slabs is as cheap as into the current one.
 *
 * An object freed by another thread goes into the owner's inbox, one compare-and-swap; the owner sorts the inbox into its slabs
 * when it next needs a slab. Who ends closes its inboxes and leaves its slabs to their caches, where they are used under the
 * cache's lock until a thread adopts them.
 *
 * Objects are carved out of a slab a page at a time, so memory that is never asked for is never touched. Caches with a
 * constructor are built whole: objects stay constructed between uses, and their link lies behind them. Caches that are debugged
 * (SLAB_RED_ZONE, SLAB_POISON, SLAB_STORE_USER, SLAB_CONSISTENCY_CHECKS) do everything under their lock, in the kernel's layout
 * (../common/slabdebug.h).
 *
 * What it costs: a slab belongs to one thread, so memory that is free in one thread's slabs does not serve another until the
 * thread ends; an idle owner's inbox keeps what others freed. SLUB shares that trade.
 *
 * Lock order: instance (1), cache or page runs (2). No lock is held across a call of the page allocator.
 */
#include "slub.h"

#include <errno.h>

enum { P_CLASSES, P_RANDOM, P_HARDENED };

static const char *const classes_names[] = { "kernel", "fine", NULL };

static const struct loam_param params[] = {
	[P_CLASSES] = LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "classes", .def = "kernel", .choices = classes_names,
				 .help = "size classes of the heap: kmalloc's, or at most 12.5 % waste"),
	[P_RANDOM] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "freelist_random", .def = "off",
				.help = "hand out the objects of a new slab in random order"),
	[P_HARDENED] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "freelist_hardened", .def = "off",
				  .help = "encode the links between free objects, detect a double free"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where slabs come from"),
};

static const struct loam_role_decl roles[] = {
	LOAM_ROLE(LOAM_ROLE_OBJECTS, &slub_objects_ops),
	LOAM_ROLE(LOAM_ROLE_HEAP, &slub_heap_ops),
};

/* All caches and page runs; create's undo and destroy. */
static void teardown(struct slub *slub)
{
	const struct loam_host *host = slub->host;

	runs_close(&slub->runs);
	list_for_each_safe (pos, &slub->caches)
		slub_cache_free(list_of(pos, struct cache, node.link));
	host->lock_destroy(&slub->lock);
	host->meta_free(slub->self, slub, sizeof(*slub));
}

static int slub_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct slub *slub = host->meta_alloc(args->self, sizeof(*slub), 64);

	if (!slub)
		return -ENOMEM;
	slub->host = host;
	slub->map = host->map;
	slub->self = args->self;
	slub->owner = args->owner;
	slub->local = args->local;
	slub->pages = args->ports[0];
	slub->fine = args->params[P_CLASSES].i;
	slub->random = args->params[P_RANDOM].b;
	slub->hardened = args->params[P_HARDENED].b;
	slub->run_mark.fast = SLUB_NOBODY;
	slub->runs = (struct runs){ .host = host,
				    .self = args->self,
				    .pages = slub->pages,
				    .mark = &slub->run_mark,
				    .owner = args->owner,
				    .exact = slub->fine };
	list_init(&slub->caches);
	host->lock_init(slub->self, &slub->lock, 1, "slub");
	runs_open(&slub->runs, 2);
	slub->orders = slub->runs.orders;
	if (slub_heap_create(slub)) {
		teardown(slub);
		return -ENOMEM;
	}
	*inst = slub;
	return 0;
}

static void slub_destroy(void *inst)
{
	teardown(inst);
}

LOAM_PLUGIN(.name = "slub", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "objects and heap: slabs with a free list for each thread, after Linux's SLUB",
	    LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles), .area_size = sizeof(struct area),
	    .create = slub_create, .destroy = slub_destroy, .flush = slub_flush, .fork = slub_fork, .stat = slub_stat,
	    .walk = slub_walk, .check = slub_check, .shrink = slub_shrink, .find = slub_find);
