/* SPDX-License-Identifier: MIT */
/*
 * track.c: who allocated what ([kernel] track = on): for the report when a module goes. A hash table by address, under one
 * lock; its memory is the host's own.
 */
#include "kernel.h"

#include <linux/printk.h>

#include <stdlib.h>

#define BUCKETS 4096

struct entry {
	struct entry *next;
	const void *ptr, *caller;
	size_t bytes;
	enum track_kind kind;
};

/** What one place in the code left behind. */
struct site {
	const void *caller;
	enum track_kind kind;
	unsigned long blocks;
	size_t bytes;
};

bool kernel_tracking;
static struct loam__mutex lock;
static struct entry *buckets[BUCKETS];

static const char *const kinds[] = {
	[TRACK_KMALLOC] = "kmalloc",       [TRACK_OBJECT] = "kmem_cache_alloc", [TRACK_CACHE] = "kmem_cache_create",
	[TRACK_PAGES] = "alloc_pages",     [TRACK_VMALLOC] = "vmalloc",         [TRACK_PERCPU] = "alloc_percpu",
	[TRACK_MEMPOOL] = "mempool_create"
};

static struct entry **bucket(const void *ptr)
{
	return &buckets[((uintptr_t)ptr >> 3) * 0x9e3779b97f4a7c15u >> 52];
}

void track_add(const void *ptr, size_t bytes, enum track_kind kind, const void *caller)
{
	struct entry *entry = loam__meta_alloc(NULL, sizeof(*entry), 0);

	if (!entry)
		return;
	*entry = (struct entry){ NULL, ptr, caller, bytes, kind };
	loam__lock(&lock);
	entry->next = *bucket(ptr);
	*bucket(ptr) = entry;
	loam__unlock(&lock);
}

void track_del(const void *ptr)
{
	struct entry *found = NULL;

	loam__lock(&lock);
	for (struct entry **at = bucket(ptr); *at; at = &(*at)->next)
		if ((*at)->ptr == ptr) {
			found = *at;
			*at = found->next;
			break;
		}
	loam__unlock(&lock);
	if (found)
		loam__meta_free(NULL, found, sizeof(*found));
}

/* Add the entry to the sites. false: no memory. */
static bool add_to(struct site **sites, unsigned *n, const struct entry *entry)
{
	struct site *more;

	for (unsigned i = 0; i < *n; i++)
		if ((*sites)[i].caller == entry->caller && (*sites)[i].kind == entry->kind) {
			(*sites)[i].blocks++;
			(*sites)[i].bytes += entry->bytes;
			return true;
		}
	more = realloc(*sites, (*n + 1) * sizeof(*more));
	if (!more)
		return false;
	more[(*n)++] = (struct site){ entry->caller, entry->kind, 1, entry->bytes };
	*sites = more;
	return true;
}

/** What is asked of the thread's own stack. */
struct leaks {
	const char *name;
	uintptr_t start, end;
	unsigned sites;
};

static void report(void *arg)
{
	struct leaks *leaks = arg;
	struct site *sites = NULL;
	unsigned n = 0;

	loam__lock(&lock);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct entry *entry = buckets[i]; entry; entry = entry->next)
			if ((uintptr_t)entry->caller - leaks->start < leaks->end - leaks->start)
				add_to(&sites, &n, entry);
	loam__unlock(&lock);
	for (unsigned i = 0; i < n; i++)
		printk(KERN_ERR "leak: %s: %lu blocks, %zu bytes of %s at %pS\n", leaks->name, sites[i].blocks,
		       sites[i].bytes, kinds[sites[i].kind], sites[i].caller);
	free(sites);
	leaks->sites = n;
}

unsigned track_report(const char *name, const void *start, const void *end)
{
	struct leaks leaks = { name, (uintptr_t)start, (uintptr_t)end, 0 };

	loam__on_host_stack(report, &leaks);
	return leaks.sites;
}

void track_halt(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		while (buckets[i]) {
			struct entry *entry = buckets[i];

			buckets[i] = entry->next;
			loam__meta_free(NULL, entry, sizeof(*entry));
		}
}
