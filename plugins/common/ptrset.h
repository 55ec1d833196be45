/* SPDX-License-Identifier: MIT */
/* ptrset.h: a set of addresses in metadata memory: open addressing, at most half full. For walks; one thread. */
#ifndef LOAM_PTRSET_H
#define LOAM_PTRSET_H

#include <loam/plugin.h>

struct ptrset {
	const struct loam_host *host;
	struct loam_self *self;
	const void **table;
	size_t places; /* a power of two */
};

static inline bool ptrset_open(struct ptrset *set, const struct loam_host *host, struct loam_self *self, size_t n)
{
	*set = (struct ptrset){ .host = host, .self = self, .places = 64 };
	while (set->places < 2 * n)
		set->places *= 2;
	set->table = (const void **)host->meta_alloc(self, set->places * sizeof(*set->table), 0);
	return set->table != NULL;
}

static inline size_t ptrset_place(const struct ptrset *set, const void *ptr)
{
	size_t at = (size_t)(((uintptr_t)ptr >> 3) * 0x9e3779b97f4a7c15u >> 20) & (set->places - 1);

	while (set->table[at] && set->table[at] != ptr)
		at = (at + 1) & (set->places - 1);
	return at;
}

static inline void ptrset_add(struct ptrset *set, const void *ptr)
{
	set->table[ptrset_place(set, ptr)] = ptr;
}

static inline bool ptrset_has(const struct ptrset *set, const void *ptr)
{
	return set->table[ptrset_place(set, ptr)] != NULL;
}

static inline void ptrset_close(struct ptrset *set)
{
	set->host->meta_free(set->self, set->table, set->places * sizeof(*set->table));
}

#endif
