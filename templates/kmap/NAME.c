/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: windows onto high memory to begin with: a number of slots.
 *
 * A page of high memory has no address. Who wants to touch it has it shown at one for a while: here in a slot, a page of
 * addresses. A persistent slot (kmap) is anybody's who asks, and shared by all who map the same page: it counts them. A local
 * slot (kmap_atomic, kmap_local_page) belongs to a CPU, and has an address for ever. Either is mapped when it comes into use,
 * and unmapped when the last user goes, so that a late access faults (LOAM_KMAP_STRICT below). To leave a page in its slot
 * until another one needs that, which saves most of the system calls, is the first thing to improve (LOAM_KMAP_LAZY); a table
 * by page instead of a search through all slots is the second.
 *
 * Policy is the host's: it does not ask for low memory, waits when slots run out, and keeps the order of local slots.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below), and one lock guards the persistent slots. Local ones
 * are touched by their CPU alone, without any lock. Such a machine does not survive a fork. No op may call malloc.
 */
#include <errno.h>
#include <loam/plugin.h>

/* A slot that shows @page to so many users; with none it shows nothing. A local one has one user at most. */
struct slot {
	struct page *page;
	unsigned users;
};

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct windows {
	const struct loam_host *host;    /* the host's services */
	const struct loam_args *args;    /* what create was given; lives as long as the instance */
	unsigned nr, local;              /* persistent slots; local slots of each CPU */
	size_t bytes;                    /* of this record */
	char *window;                    /* a page for each slot */
	uint64_t maps, unmaps, failures; /* atomic */
	struct loam_lock lock;           /* of the persistent slots */
	struct slot slots[];             /* the persistent ones, then those of CPU 0, of CPU 1 and so on */
};

static char *address_of(const struct windows *windows, const struct slot *slot)
{
	return windows->window + ((size_t)(slot - windows->slots) << LOAM_PAGE_SHIFT);
}

/* @slot shows @page from here on. false: the system has no more mappings, and the slot shows nothing. */
static bool show(struct windows *windows, struct slot *slot, struct page *page)
{
	if (windows->host->window_map(windows->args->self, address_of(windows, slot), &page, 1, 0))
		return false;
	*slot = (struct slot){ page, 1 };
	return true;
}

static void hide(struct windows *windows, struct slot *slot)
{
	windows->host->window_unmap(windows->args->self, address_of(windows, slot), 1);
	*slot = (struct slot){ NULL, 0 };
}

/* The persistent slot that shows @page, or NULL; with NULL for a page, one that shows nothing. Under the lock. */
static struct slot *find(struct windows *windows, const struct page *page)
{
	for (unsigned i = 0; i < windows->nr; i++)
		if (windows->slots[i].page == page)
			return &windows->slots[i];
	return NULL;
}

/* Relaxed: nothing else hangs on the numbers. */
static void *counted(struct windows *windows, void *address)
{
	__atomic_fetch_add(address ? &windows->maps : &windows->failures, 1, __ATOMIC_RELAXED);
	return address;
}

/* Release: who sees the unmap sees the map before it. */
static void count_unmap(struct windows *windows)
{
	__atomic_fetch_add(&windows->unmaps, 1, __ATOMIC_RELEASE);
}

/* ---- the role kmap ---- */

/*
 * The address at which @page can be read and written, until it was unmapped as often as mapped: the same for all who map it.
 * NULL: all slots are in use, then the host waits for an unmap that returns true; or there are no more mappings. May assume
 * that the page is of high memory and held, as all ops.
 */
static void *kmap_map(void *inst, struct page *page)
{
	struct windows *windows = inst;
	struct slot *slot;
	void *address = NULL;

	loam_lock(windows->host, &windows->lock);
	slot = find(windows, page);
	if (slot) {
		slot->users++;
	} else {
		slot = find(windows, NULL);
		if (slot && !show(windows, slot, page))
			slot = NULL;
	}
	if (slot)
		address = address_of(windows, slot);
	loam_unlock(windows->host, &windows->lock);
	return counted(windows, address);
}

/*
 * One user less. true: it was the last one, and other pages can have the slot. A page that is not mapped is reported and
 * nothing is done: whether to go on is the host's affair.
 */
static bool kmap_unmap(void *inst, struct page *page)
{
	struct windows *windows = inst;
	struct slot *slot;
	bool last;

	loam_lock(windows->host, &windows->lock);
	slot = find(windows, page);
	last = slot && !--slot->users;
	if (last)
		hide(windows, slot);
	loam_unlock(windows->host, &windows->lock);
	if (slot)
		count_unmap(windows);
	else
		windows->host->report(windows->args->self, LOAM_REPORT_BAD_FREE, NULL, "frame %lu is not mapped",
				      loam_page_pfn(windows->host->map, page));
	return last;
}

/* Where map shows @page, or NULL while it is not mapped. Any context; maps nothing. */
static void *kmap_address(void *inst, struct page *page)
{
	struct windows *windows = inst;
	const struct slot *slot;

	loam_lock(windows->host, &windows->lock);
	slot = find(windows, page);
	loam_unlock(windows->host, &windows->lock);
	return slot ? address_of(windows, slot) : NULL;
}

static struct slot *local_slot(struct windows *windows, unsigned cpu, unsigned index)
{
	return &windows->slots[windows->nr + cpu * windows->local + index];
}

/*
 * Local slot @index of @cpu, which is not in use, shows @page: its address; or NULL when there are no more mappings, and it is
 * not in use still. Called by that CPU alone, also in interrupts: takes no lock, never sleeps, and needs one call of window_map
 * at most.
 */
static void *kmap_map_local(void *inst, unsigned cpu, unsigned index, struct page *page)
{
	struct windows *windows = inst;
	struct slot *slot = local_slot(windows, cpu, index);

	return counted(windows, show(windows, slot, page) ? address_of(windows, slot) : NULL);
}

/* It is in use no more. One that was not is reported, and nothing is done. As map_local. */
static void kmap_unmap_local(void *inst, unsigned cpu, unsigned index)
{
	struct windows *windows = inst;
	struct slot *slot = local_slot(windows, cpu, index);

	if (!slot->users) {
		windows->host->report(windows->args->self, LOAM_REPORT_BAD_FREE, NULL,
				      "local slot %u of CPU %u is not in use", index, cpu);
		return;
	}
	hide(windows, slot);
	count_unmap(windows);
}

/* What this instance can do, the same as long as it lives. @limits comes zeroed but for its size. */
static void kmap_limits(void *inst, struct loam_kmap_limits *limits)
{
	const struct windows *windows = inst;

	limits->caps = LOAM_KMAP_STRICT;
	limits->slots = windows->nr;
	limits->local_slots = windows->local;
}

static const struct loam_kmap_ops ops = {
	.size = sizeof(ops),
	.map = kmap_map,
	.unmap = kmap_unmap,
	.address = kmap_address,
	.map_local = kmap_map_local,
	.unmap_local = kmap_unmap_local,
	.limits = kmap_limits,
};

/* ---- introspection ---- */

/*
 * Counters, at any time. @stat comes zeroed but for its size. Each map is a block, of a page that may be mapped several times.
 */
static int kmap_stat(void *inst, struct loam_stat *stat)
{
	const struct windows *windows = inst;

	/* Unmaps first: a pair between the two loads must not make them more than the maps. */
	stat->frees = __atomic_load_n(&windows->unmaps, __ATOMIC_ACQUIRE);
	stat->allocs = __atomic_load_n(&windows->maps, __ATOMIC_RELAXED);
	stat->failures = __atomic_load_n(&windows->failures, __ATOMIC_RELAXED);
	stat->live_blocks = stat->allocs - stat->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

/*
 * Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. Threads stand still where they take a
 * lock, but one may be inside an op for its local slots, so it is the persistent ones that are looked at.
 */
static int kmap_check(void *inst, loam_check_fn fn, void *arg)
{
	struct windows *windows = inst;
	int defects = 0;

	for (unsigned i = 0; i < windows->nr; i++) {
		const struct slot *slot = &windows->slots[i];

		if (!slot->page != !slot->users)
			fn(arg, "a slot with users and no page, or a page and no users"), defects++;
		if (slot->page && find(windows, slot->page) != slot)
			fn(arg, "a page with two slots"), defects++;
	}
	return defects;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	unsigned nr = (unsigned)args->params[0].i, local = (unsigned)args->params[1].i;
	size_t slots = nr + (size_t)local * host->nr_cpus;
	size_t bytes = sizeof(struct windows) + slots * sizeof(struct slot);
	struct windows *windows = host->meta_alloc(args->self, bytes, 0);

	if (!windows)
		return -ENOMEM;
	windows->host = host;
	windows->args = args;
	windows->nr = nr;
	windows->local = local;
	windows->bytes = bytes;
	windows->window = host->window_open(args->self, slots << LOAM_PAGE_SHIFT, 0);
	if (!windows->window) {
		host->meta_free(args->self, windows, bytes);
		return -ENOMEM;
	}
	host->lock_init(args->self, &windows->lock, 1, "NAME");
	*inst = windows;
	return 0;
}

/* No call is in progress. What is still shown goes with the window that it is in; the record goes back. */
static void destroy(void *inst)
{
	struct windows *windows = inst;

	windows->host->lock_destroy(&windows->lock);
	windows->host->window_close(windows->args->self, windows->window);
	windows->host->meta_free(windows->args->self, windows, windows->bytes);
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "slots", .def = "256", .min = 1, .max = 4096,
		   .help = "pages that can be mapped by kmap at once"),
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "local", .def = "16", .min = 1, .max = 64,
		   .help = "local slots of each CPU"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_KMAP, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "kmap: slots, unmapped at once",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PARAMS(params), LOAM_ROLES(roles), .create = create,
	    .destroy = destroy, .stat = kmap_stat, .check = kmap_check);
