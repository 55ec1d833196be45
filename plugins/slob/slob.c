/* SPDX-License-Identifier: MIT */
/*
 * slob.c: objects and heap for small machines, after Linux's SLOB.
 *
 * Pages are cut into blocks of just the size that is asked for, in units of 8 bytes. Pages with free units are on one of three
 * lists, by the size of the requests that they serve: under 256 bytes, under 1024, and the rest. A request takes the first
 * block that is large enough of the first page that has enough; the list is then turned so that the next search begins there.
 * Free blocks of a page are linked in the order of their addresses, through themselves, and merge with their neighbours; a
 * page that is wholly free goes back at once. So hardly a byte is lost, and the search is linear in the number of pages: a
 * few hundred KiB are its home.
 *
 * In front of each block are 8 bytes with its size and its cache. (The kernel has them for kmalloc only, and so cannot kfree
 * an object of a cache; here it can.) Requests of PAGE_SIZE - 8 and more, and those whose alignment leaves no room in a page,
 * are runs of 2^order frames. Constructors run at every alloc, destructors at every free: nothing remembers a free object.
 *
 * One lock. It is not held while frames are taken or given back.
 *
 * A page's words: own[0] its first free block; own[1], own[2] its place in a list; index the number of free units, of a run the
 * order; priv what it is.
 */
#include "slob.h"

#include <errno.h>

enum { P_CLASSES };

static const char *const classes_names[] = { "kernel", "fine", NULL };

static const struct loam_param params[] = {
	[P_CLASSES] =
		LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "classes", .def = "kernel", .choices = classes_names,
			   .help = "no effect: SLOB has no size classes. So that slab, slub and slob swap by one word"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where pages come from"),
};

static const struct loam_role_decl roles[] = {
	LOAM_ROLE(LOAM_ROLE_OBJECTS, &slob_objects_ops),
	LOAM_ROLE(LOAM_ROLE_HEAP, &slob_heap_ops),
};

/* ---- create and destroy ---- */

static int slob_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct slob *slob = host->meta_alloc(args->self, sizeof(*slob), 64);

	if (!slob)
		return -ENOMEM;
	slob->host = host;
	slob->map = host->map;
	slob->self = args->self;
	slob->pages = args->ports[0];
	slob->owner = args->owner;
	slob->orders = loam_pages_orders(slob->pages);
	for (unsigned i = 0; i < ZONES * LISTS; i++)
		list_init(&slob->partial[i / LISTS][i % LISTS]);
	list_init(&slob->full);
	list_init(&slob->runs);
	host->lock_init(args->self, &slob->lock, 1, "slob");
	*inst = slob;
	return 0;
}

static int give_back(struct slob *slob, struct page *page, void *arg)
{
	(void)arg;
	list_del(list_page_node(page));
	slob->host->pages_free(slob->pages, page, 0);
	return 1;
}

static void slob_destroy(void *inst)
{
	struct slob *slob = inst;
	const struct loam_host *host = slob->host;

	while (slob_each_page(slob, give_back, NULL))
		;
	while (!list_empty(&slob->runs)) {
		struct page *page = list_page(slob->runs.next);

		list_del(list_page_node(page));
		host->pages_free(slob->pages, page, (unsigned)page->index);
	}
	for (uint32_t i = 1; i < CACHES; i++)
		if (slob->caches[i])
			host->meta_free(slob->self, slob->caches[i], sizeof(struct cache));
	host->lock_destroy(&slob->lock);
	host->meta_free(slob->self, slob, sizeof(*slob));
}

LOAM_PLUGIN(.name = "slob", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "objects and heap: first fit in pages, after Linux's SLOB", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .create = slob_create, .destroy = slob_destroy, .stat = slob_stat,
	    .walk = slob_walk, .check = slob_check, .find = slob_find);
