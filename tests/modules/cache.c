/* SPDX-License-Identifier: MIT */
/* cache.c: rows S1 to S3: caches of objects, constructors, flags, bulk, refusals. */
#include "check.h"

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

struct thing {
	int magic, used;
	char payload[92];
};

static int constructed; /* how often */

static void construct(void *object)
{
	struct thing *thing = object;

	thing->magic = 4711;
	thing->used = 0;
	constructed++;
}

static int plain(void)
{
	struct kmem_cache *cache = kmem_cache_create("plain", 100, 0, SLAB_HWCACHE_ALIGN, NULL);
	void *objects[100], *zero;
	int i;

	CHECK(cache && kmem_cache_size(cache) == 100);
	for (i = 0; i < 100; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		CHECK(objects[i] && (unsigned long)objects[i] % 64 == 0);
		memset(objects[i], i, 100);
	}
	for (i = 0; i < 100; i++)
		CHECK(((char *)objects[i])[99] == i);
	/* An object may be freed by either name. */
	for (i = 0; i < 99; i++)
		kmem_cache_free(cache, objects[i]);
	kfree(objects[99]);
	zero = kmem_cache_zalloc(cache, GFP_KERNEL);
	CHECK(zero && !memchr_inv(zero, 0, 100));
	kmem_cache_free(cache, zero);
	kmem_cache_shrink(cache);
	kmem_cache_destroy(cache);
	return 0;
}

/* A constructed object comes constructed, and as its holder left it; SLOB constructs each time. */
static int constructors(void)
{
	struct kmem_cache *cache = kmem_cache_create("constructed", sizeof(struct thing), 0, 0, construct);
	struct thing *things[50];
	int i, round;

	CHECK(cache);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 50; i++) {
			things[i] = kmem_cache_alloc(cache, GFP_KERNEL);
			CHECK(things[i] && things[i]->magic == 4711 && !things[i]->used);
		}
		for (i = 0; i < 50; i++)
			kmem_cache_free(cache, things[i]);
	}
	CHECK(constructed >= 50);
	kmem_cache_destroy(cache);
	return 0;
}

static int bulk(void)
{
	struct kmem_cache *cache = KMEM_CACHE(thing, 0);
	void *objects[64];

	CHECK(cache);
	CHECK(kmem_cache_alloc_bulk(cache, GFP_KERNEL, 64, objects) == 64);
	kmem_cache_free_bulk(cache, 64, objects);
	kmem_cache_destroy(cache);
	return 0;
}

static int dma(void)
{
	struct kmem_cache *cache = kmem_cache_create("for_dma", 200, 0, SLAB_CACHE_DMA, NULL);
	void *object;

	CHECK(cache);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	CHECK(object && __pa(object) < 16 << 20);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	return 0;
}

static int __init cache_init(void)
{
	PART(plain);
	PART(constructors);
	PART(bulk);
	PART(dma);
	return 0;
}

TEST_MODULE(cache_init);
