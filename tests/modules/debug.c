/* SPDX-License-Identifier: MIT */
/* debug.c: row S2: patterns in free objects, red zones, leaks. What is done wrong here is reported, and the test looks for it. */
#include "check.h"

#include <linux/slab.h>
#include <linux/string.h>

static int __init debug_init(void)
{
	struct kmem_cache *cache = kmem_cache_create("debugged", 64, 0, SLAB_POISON | SLAB_RED_ZONE, NULL);
	char *object;

	CHECK(cache);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	CHECK(object);
	object[64] = 1; /* behind its end */
	kmem_cache_free(cache, object);
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	CHECK(object && object[0] == (char)0x6b && object[63] == (char)0xa5);
	kmem_cache_free(cache, object);
	object[8] = 1; /* after it went */
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_destroy(cache); /* an object lives: refused */
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	return 0;
}

TEST_MODULE(debug_init);
