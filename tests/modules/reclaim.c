/* SPDX-License-Identifier: MIT */
/* reclaim.c: row G4: shrinkers give back what they hold, to the background reclaimer and in direct reclaim. */
#include "check.h"

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/spinlock.h>

static LIST_HEAD(cached);
static DEFINE_SPINLOCK(lock);
static unsigned long nr, scans, without_fs;

static unsigned long cached_now(void)
{
	unsigned long n;

	spin_lock(&lock);
	n = nr;
	spin_unlock(&lock);
	return n;
}

static unsigned long count(struct shrinker *shrinker, struct shrink_control *sc)
{
	(void)shrinker;
	if (!(sc->gfp_mask & __GFP_FS)) {
		without_fs++;
		return 0;
	}
	return cached_now();
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long freed = 0;

	(void)shrinker;
	scans++;
	while (freed < sc->nr_to_scan) {
		struct page *page = NULL;

		spin_lock(&lock);
		if (!list_empty(&cached)) {
			page = list_first_entry(&cached, struct page, lru);
			list_del(&page->lru);
			nr--;
		}
		spin_unlock(&lock);
		if (!page)
			break;
		__free_page(page);
		freed++;
	}
	return freed;
}

static struct shrinker shrinker = { .count_objects = count, .scan_objects = scan, .seeks = DEFAULT_SEEKS };

static void cache_all(gfp_t gfp)
{
	struct page *page;

	while ((page = alloc_page(gfp | __GFP_NOWARN | __GFP_NORETRY))) {
		spin_lock(&lock);
		list_add(&page->lru, &cached);
		nr++;
		spin_unlock(&lock);
	}
}

static int __init reclaim_init(void)
{
	struct page *page;
	unsigned long before;
	int tries = 200;

	CHECK(!register_shrinker(&shrinker, "test-%s", "cache"));
	cache_all(GFP_NOWAIT & ~__GFP_KSWAPD_RECLAIM);
	CHECK(cached_now() > 1000);
	/* Direct reclaim, without the right to enter file systems: the shrinker declines. */
	before = cached_now();
	page = alloc_page(__GFP_DIRECT_RECLAIM | __GFP_IO | __GFP_NORETRY | __GFP_NOWARN);
	CHECK(!page && without_fs && cached_now() == before);
	page = alloc_page((GFP_KERNEL & ~__GFP_KSWAPD_RECLAIM) | __GFP_NORETRY);
	CHECK(page && scans && cached_now() < before);
	__free_page(page);
	/* The background reclaimer, woken by somebody who cannot wait. */
	cache_all(GFP_NOWAIT & ~__GFP_KSWAPD_RECLAIM);
	before = cached_now();
	page = alloc_page(GFP_NOWAIT | __GFP_NOWARN);
	while (cached_now() == before && tries--)
		msleep(5);
	CHECK(cached_now() < before);
	if (page)
		__free_page(page);
	unregister_shrinker(&shrinker);
	while (nr) {
		struct shrink_control sc = { .nr_to_scan = 1000 };

		scan(&shrinker, &sc);
	}
	return 0;
}

TEST_MODULE(reclaim_init);
