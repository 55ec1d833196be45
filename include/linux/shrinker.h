/* SPDX-License-Identifier: MIT */
/*
 * linux/shrinker.h: caches of kernel code that give back under memory pressure. count says how much there is; scan frees up to
 * sc->nr_to_scan of it. Both may be called from any thread's allocation: without __GFP_FS in sc->gfp_mask a shrinker must not go
 * into a file system, and returns SHRINK_STOP. Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_SHRINKER_H
#define LOAM_LINUX_SHRINKER_H

#include <linux/list.h>

LOAM_BEGIN_DECLS

struct shrink_control {
	gfp_t gfp_mask;
	int nid;
	unsigned long nr_to_scan; /* how many to look at */
	unsigned long nr_scanned; /* how many were; comes as nr_to_scan */
};

#define SHRINK_STOP (~0UL)
#define SHRINK_EMPTY (~0UL - 1)
#define DEFAULT_SEEKS 2

struct shrinker {
	unsigned long (*count_objects)(struct shrinker *shrinker, struct shrink_control *sc);
	unsigned long (*scan_objects)(struct shrinker *shrinker, struct shrink_control *sc);
	long batch; /* most at a time; 0: 128 */
	int seeks;  /* what it costs to make one again, in DEFAULT_SEEKS */
	unsigned flags;
	struct list_head list;
	long nr_deferred; /* atomic: what was due and not done */
	const char *name;
};

/** 0 or -ENOMEM. May sleep. */
int register_shrinker(struct shrinker *shrinker, const char *fmt, ...) LOAM_PRINTF(2, 3);
/** Waits until no call of it runs. May sleep. */
void unregister_shrinker(struct shrinker *shrinker);

LOAM_END_DECLS
#endif
