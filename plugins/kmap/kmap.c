/* SPDX-License-Identifier: MIT */
/*
 * kmap.c: the role kmap with a number of slots: pages of addresses at which a frame can appear.
 *
 * A persistent slot counts its users. When the last one goes the frame stays where it is: mapping it again soon, which is
 * common, costs a search in a hash table and no system call. A frame that has no slot gets the next one in a circle that
 * nobody uses, and mapping it there replaces what was left. With strict = on a slot is unmapped when its last user goes, so
 * that a late access faults.
 *
 * Local slots are an array for each CPU, which its holder alone touches: no lock, and the same laziness.
 */
#include "../common/count.h"

#include <loam/plugin.h>

#include <errno.h>

#define BUCKETS 256

/** A persistent slot. The lists are indexes into the slots, and one more: 0 ends them. */
struct slot {
	struct page *page; /* what appears here, used or not; NULL: nothing */
	unsigned users;
	unsigned next; /* in its bucket */
};

/** A local slot; its CPU's holder alone. */
struct local {
	struct page *page; /* what appears here */
	bool used;
};

struct kmap {
	const struct loam_host *host;
	struct loam_self *self;
	unsigned nr_slots, nr_local, nr_cpus;
	bool strict;
	char *window; /* persistent slots, then those of CPU 0, of CPU 1 and so on */
	struct slot *slots;
	struct local *locals;
	struct loam_lock lock; /* of the persistent slots */
	unsigned next;         /* where the circle goes on */
	unsigned buckets[BUCKETS];
	uint64_t maps, unmaps, failures;                   /* under the lock, but read by anybody */
	uint64_t local_maps, local_unmaps, local_failures; /* atomic */
};

enum { SLOTS, LOCAL, STRICT };

static char *slot_address(const struct kmap *kmap, unsigned slot)
{
	return kmap->window + ((size_t)slot << LOAM_PAGE_SHIFT);
}

static unsigned *bucket_of(struct kmap *kmap, const struct page *page)
{
	return &kmap->buckets[((uintptr_t)page >> 6) * 0x9e3779b97f4a7c15u >> 56];
}

/* ---- under the lock ---- */

static struct slot *find(struct kmap *kmap, const struct page *page)
{
	unsigned at = *bucket_of(kmap, page);

	while (at && kmap->slots[at - 1].page != page)
		at = kmap->slots[at - 1].next;
	return at ? &kmap->slots[at - 1] : NULL;
}

static void forget(struct kmap *kmap, struct slot *slot)
{
	unsigned number = (unsigned)(slot - kmap->slots) + 1, *at = bucket_of(kmap, slot->page);

	while (*at != number)
		at = &kmap->slots[*at - 1].next;
	*at = slot->next;
	slot->page = NULL;
}

static void clear(struct kmap *kmap, struct slot *slot)
{
	kmap->host->window_unmap(kmap->self, slot_address(kmap, (unsigned)(slot - kmap->slots)), 1);
	forget(kmap, slot);
}

/* A slot that nobody uses shows @page from here on; NULL: there is none, or the system refuses. */
static struct slot *place(struct kmap *kmap, struct page *page)
{
	struct slot *slot = NULL;
	unsigned *bucket;

	for (unsigned i = 0; i < kmap->nr_slots && !slot; i++) {
		if (!kmap->slots[kmap->next].users)
			slot = &kmap->slots[kmap->next];
		kmap->next = kmap->next + 1 < kmap->nr_slots ? kmap->next + 1 : 0;
	}
	if (!slot)
		return NULL;
	if (slot->page)
		forget(kmap, slot);
	if (kmap->host->window_map(kmap->self, slot_address(kmap, (unsigned)(slot - kmap->slots)), &page, 1, 0))
		return NULL;
	bucket = bucket_of(kmap, page);
	slot->page = page;
	slot->next = *bucket;
	*bucket = (unsigned)(slot - kmap->slots) + 1;
	return slot;
}

/* ---- the role ---- */

static void *kmap_map(void *inst, struct page *page)
{
	struct kmap *kmap = inst;
	struct slot *slot;

	loam_lock(kmap->host, &kmap->lock);
	slot = find(kmap, page);
	if (!slot)
		slot = place(kmap, page);
	if (slot)
		slot->users++;
	count_own(slot ? &kmap->maps : &kmap->failures, 1);
	loam_unlock(kmap->host, &kmap->lock);
	return slot ? slot_address(kmap, (unsigned)(slot - kmap->slots)) : NULL;
}

static bool kmap_unmap(void *inst, struct page *page)
{
	struct kmap *kmap = inst;
	struct slot *slot;
	bool known, idle = false;

	loam_lock(kmap->host, &kmap->lock);
	slot = find(kmap, page);
	known = slot && slot->users;
	if (known) {
		idle = !--slot->users;
		count_own(&kmap->unmaps, 1);
		if (idle && kmap->strict)
			clear(kmap, slot);
	}
	loam_unlock(kmap->host, &kmap->lock);
	if (!known)
		kmap->host->report(kmap->self, LOAM_REPORT_BAD_FREE, NULL, "frame %lu has no slot in use",
				   loam_page_pfn(kmap->host->map, page));
	return idle;
}

static void *kmap_address(void *inst, struct page *page)
{
	struct kmap *kmap = inst;
	const struct slot *slot;
	void *address = NULL;

	loam_lock(kmap->host, &kmap->lock);
	slot = find(kmap, page);
	if (slot && slot->users)
		address = slot_address(kmap, (unsigned)(slot - kmap->slots));
	loam_unlock(kmap->host, &kmap->lock);
	return address;
}

static void *kmap_map_local(void *inst, unsigned cpu, unsigned index, struct page *page)
{
	struct kmap *kmap = inst;
	unsigned number = cpu * kmap->nr_local + index;
	struct local *local = &kmap->locals[number];
	char *address = slot_address(kmap, kmap->nr_slots + number);

	if (local->page != page && kmap->host->window_map(kmap->self, address, &page, 1, 0)) {
		/* Then nothing is mapped there, what it showed before neither. */
		local->page = NULL;
		count_add(&kmap->local_failures, 1);
		return NULL;
	}
	local->page = page;
	local->used = true;
	count_add(&kmap->local_maps, 1);
	return address;
}

static void kmap_unmap_local(void *inst, unsigned cpu, unsigned index)
{
	struct kmap *kmap = inst;
	unsigned number = cpu * kmap->nr_local + index;
	struct local *local = &kmap->locals[number];

	if (!local->used) {
		kmap->host->report(kmap->self, LOAM_REPORT_BAD_FREE, NULL, "local slot %u of CPU %u is not in use",
				   index, cpu);
		return;
	}
	local->used = false;
	/* Release: who sees it sees the map before it. */
	__atomic_fetch_add(&kmap->local_unmaps, 1, __ATOMIC_RELEASE);
	if (!kmap->strict)
		return;
	kmap->host->window_unmap(kmap->self, slot_address(kmap, kmap->nr_slots + number), 1);
	local->page = NULL;
}

static void kmap_limits(void *inst, struct loam_kmap_limits *limits)
{
	const struct kmap *kmap = inst;

	limits->caps = kmap->strict ? LOAM_KMAP_STRICT : LOAM_KMAP_LAZY;
	limits->slots = kmap->nr_slots;
	limits->local_slots = kmap->nr_local;
}

/* ---- the rest ---- */

/* What nobody uses is unmapped. It gives no frames back: they are their holders'. */
static unsigned long kmap_shrink(void *inst, unsigned long pages)
{
	struct kmap *kmap = inst;

	(void)pages;
	loam_lock(kmap->host, &kmap->lock);
	for (unsigned i = 0; i < kmap->nr_slots; i++)
		if (kmap->slots[i].page && !kmap->slots[i].users)
			clear(kmap, &kmap->slots[i]);
	loam_unlock(kmap->host, &kmap->lock);
	return 0;
}

static int kmap_stat(void *inst, struct loam_stat *stat)
{
	struct kmap *kmap = inst;

	/* What came back before what was given: a pair between two loads must not make more of the first. */
	stat->frees = __atomic_load_n(&kmap->local_unmaps, __ATOMIC_ACQUIRE);
	stat->allocs = count_read(&kmap->local_maps);
	stat->failures = count_read(&kmap->local_failures);
	loam_lock(kmap->host, &kmap->lock);
	stat->frees += kmap->unmaps;
	stat->allocs += kmap->maps;
	stat->failures += kmap->failures;
	loam_unlock(kmap->host, &kmap->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

static int kmap_check(void *inst, loam_check_fn fn, void *arg)
{
	struct kmap *kmap = inst;
	unsigned users = 0, listed = 0, pages = 0;
	int broken = 0;

	for (unsigned i = 0; i < kmap->nr_slots; i++) {
		users += kmap->slots[i].users;
		pages += kmap->slots[i].page != NULL;
		if (!kmap->slots[i].page && kmap->slots[i].users) {
			fn(arg, "a slot in use shows no frame");
			broken++;
		}
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		for (unsigned at = kmap->buckets[i]; at && listed <= kmap->nr_slots; at = kmap->slots[at - 1].next)
			listed++;
	if (listed != pages) {
		fn(arg, "the hash table has not the slots that show a frame");
		broken++;
	}
	if (users != kmap->maps - kmap->unmaps) {
		fn(arg, "the slots' users are not what the counters say");
		broken++;
	}
	return broken;
}

static size_t records(const struct kmap *kmap, size_t *locals)
{
	*locals = (size_t)kmap->nr_cpus * kmap->nr_local * sizeof(struct local);
	return kmap->nr_slots * sizeof(struct slot);
}

static void kmap_destroy(void *inst)
{
	struct kmap *kmap = inst;
	size_t locals, slots = records(kmap, &locals);

	if (kmap->window)
		kmap->host->window_close(kmap->self, kmap->window);
	if (kmap->slots)
		kmap->host->meta_free(kmap->self, kmap->slots, slots);
	if (kmap->locals)
		kmap->host->meta_free(kmap->self, kmap->locals, locals);
	kmap->host->lock_destroy(&kmap->lock);
	kmap->host->meta_free(kmap->self, kmap, sizeof(*kmap));
}

static int kmap_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct kmap *kmap = host->meta_alloc(args->self, sizeof(*kmap), 0);
	size_t locals, slots;

	if (!kmap)
		return -ENOMEM;
	kmap->host = host;
	kmap->self = args->self;
	kmap->nr_slots = (unsigned)args->params[SLOTS].i;
	kmap->nr_local = (unsigned)args->params[LOCAL].i;
	kmap->nr_cpus = host->nr_cpus;
	kmap->strict = args->params[STRICT].b;
	host->lock_init(args->self, &kmap->lock, 1, "kmap slots");
	slots = records(kmap, &locals);
	kmap->slots = host->meta_alloc(args->self, slots, 0);
	kmap->locals = host->meta_alloc(args->self, locals, 0);
	kmap->window = host->window_open(
		args->self, ((size_t)kmap->nr_slots + (size_t)kmap->nr_cpus * kmap->nr_local) << LOAM_PAGE_SHIFT, 0);
	if (!kmap->slots || !kmap->locals || !kmap->window) {
		kmap_destroy(kmap);
		return -ENOMEM;
	}
	*inst = kmap;
	return 0;
}

static const struct loam_param params[] = {
	[SLOTS] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "slots", .def = "512", .min = 1, .max = 65536,
			     .help = "persistent slots; Linux has 512 or 1024"),
	[LOCAL] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "local", .def = "16", .min = 1, .max = 64,
			     .help = "local slots of each CPU; Linux has 16"),
	[STRICT] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "strict", .def = "off",
			      .help = "unmap at once, so that a late access faults"),
};
static const struct loam_kmap_ops ops = { .size = sizeof(ops),
					  .map = kmap_map,
					  .unmap = kmap_unmap,
					  .address = kmap_address,
					  .map_local = kmap_map_local,
					  .unmap_local = kmap_unmap_local,
					  .limits = kmap_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_KMAP, &ops) };

LOAM_PLUGIN(.name = "kmap", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "kmap: a number of slots, unmapped lazily", LOAM_PARAMS(params), LOAM_ROLES(roles),
	    .create = kmap_create, .destroy = kmap_destroy, .stat = kmap_stat, .check = kmap_check,
	    .shrink = kmap_shrink);
