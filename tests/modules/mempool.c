/* SPDX-License-Identifier: MIT */
/* mempool.c: row M1: the reserve outlives the memory, waits where one may, grows and shrinks in use. */
#include "check.h"

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/mm.h>

#define RESERVE 6

/* A source that can be dry. */
static bool dry;
static int served, returned;

static void *custom_alloc(gfp_t gfp, void *data)
{
	if (dry)
		return NULL;
	served++;
	return kmalloc((size_t)data, gfp);
}

static void custom_free(void *element, void *data)
{
	(void)data;
	returned++;
	kfree(element);
}

static int reserve(void)
{
	mempool_t *pool = mempool_create(RESERVE, custom_alloc, custom_free, (void *)80);
	void *elements[20];
	int i;

	CHECK(pool && served == RESERVE);
	/* While the source delivers, the reserve stays. */
	for (i = 0; i < 10; i++)
		CHECK((elements[i] = mempool_alloc(pool, GFP_KERNEL)));
	dry = true;
	for (i = 10; i < 10 + RESERVE; i++)
		CHECK((elements[i] = mempool_alloc(pool, GFP_ATOMIC)));
	CHECK(!mempool_alloc(pool, GFP_ATOMIC) && !mempool_alloc(pool, GFP_NOWAIT));
	/* What comes back is there again before the source has any. */
	mempool_free(elements[0], pool);
	CHECK((elements[0] = mempool_alloc(pool, GFP_ATOMIC)));
	for (i = 0; i < 10 + RESERVE; i++)
		mempool_free(elements[i], pool);
	dry = false;
	mempool_destroy(pool);
	CHECK(returned == served);
	return 0;
}

static mempool_t *shared;
static void *held;

static int give_later(void *data)
{
	(void)data;
	msleep(30);
	mempool_free(held, shared);
	return 0;
}

/* Who may sleep waits for another thread. */
static int waiting(void)
{
	struct task_struct *task;
	void *element;

	shared = mempool_create(1, custom_alloc, custom_free, (void *)80);
	CHECK(shared);
	dry = true;
	CHECK((held = mempool_alloc(shared, GFP_KERNEL)));
	task = kthread_run(give_later, NULL, "giver");
	CHECK(!IS_ERR(task));
	element = mempool_alloc(shared, GFP_KERNEL);
	CHECK(element);
	kthread_stop(task);
	dry = false;
	mempool_free(element, shared);
	mempool_destroy(shared);
	return 0;
}

static int resize(void)
{
	mempool_t *pool = mempool_create(3, custom_alloc, custom_free, (void *)80);
	void *elements[12];
	int i;

	CHECK(pool);
	CHECK((elements[0] = mempool_alloc(pool, GFP_KERNEL)));
	CHECK(!mempool_resize(pool, 10));
	dry = true;
	for (i = 1; i <= 10; i++)
		CHECK((elements[i] = mempool_alloc(pool, GFP_ATOMIC)));
	CHECK(!mempool_resize(pool, 2));
	for (i = 0; i <= 10; i++)
		mempool_free(elements[i], pool);
	for (i = 0; i < 2; i++)
		CHECK((elements[i] = mempool_alloc(pool, GFP_ATOMIC)));
	dry = false;
	while (i)
		mempool_free(elements[--i], pool);
	mempool_destroy(pool);
	return 0;
}

static int sources(void)
{
	struct kmem_cache *cache = kmem_cache_create("elements", 48, 0, 0, NULL);
	mempool_t *slab = mempool_create_slab_pool(4, cache), *bytes = mempool_create_kmalloc_pool(4, 300),
		  *pages = mempool_create_page_pool(2, 1);
	void *a, *b, *bulk[32];
	struct page *page;

	CHECK(cache && slab && bytes && pages);
	a = mempool_alloc(slab, GFP_KERNEL);
	b = mempool_alloc(bytes, GFP_KERNEL);
	page = mempool_alloc(pages, GFP_KERNEL);
	CHECK(a && b && page && ksize(b) >= 300 && compound_order(page) == 1);
	mempool_free(a, slab);
	mempool_free(b, bytes);
	mempool_free(page, pages);
	CHECK(!mempool_alloc_bulk(slab, GFP_KERNEL, 32, bulk));
	mempool_free_bulk(slab, 32, bulk);
	mempool_destroy(slab);
	mempool_destroy(bytes);
	mempool_destroy(pages);
	kmem_cache_destroy(cache);
	return 0;
}

/* By name and by address, in a context that may not sleep, and with a flag that is refused: it is one pool. */
static int ways(void)
{
	mempool_t *pool = mempool_create(RESERVE, custom_alloc, custom_free, (void *)80);
	void *(*alloc)(mempool_t * pool, gfp_t gfp) = mempool_alloc;
	void (*give)(void *element, mempool_t *pool) = mempool_free;
	void *elements[4];
	int turn;

	CHECK(pool);
	for (turn = 0; turn < 20; turn++) {
		CHECK((elements[0] = mempool_alloc(pool, GFP_KERNEL)));
		CHECK((elements[1] = alloc(pool, GFP_KERNEL)));
		preempt_disable();
		CHECK((elements[2] = mempool_alloc(pool, GFP_ATOMIC)));
		CHECK((elements[3] = alloc(pool, GFP_ATOMIC)));
		CHECK(elements[0] != elements[1] && elements[1] != elements[2] && elements[2] != elements[3]);
		(turn % 2 ? give : (mempool_free))(elements[turn % 4], pool);
		mempool_free(elements[(turn + 1) % 4], pool);
		preempt_enable();
		mempool_free(NULL, pool);
		mempool_free(elements[(turn + 2) % 4], pool);
		give(elements[(turn + 3) % 4], pool);
	}
	mempool_destroy(pool);
	CHECK(returned == served);
	return 0;
}

static int bulk(void)
{
	mempool_t *pool = mempool_create(RESERVE, custom_alloc, custom_free, (void *)80);
	void *elements[300], *others[300];
	unsigned int n, i;

	CHECK(pool);
	for (n = 1; n <= 300; n += 23) {
		CHECK(!mempool_alloc_bulk(pool, GFP_KERNEL, n, elements));
		for (i = 0; i < n; i++)
			*(void **)elements[i] = elements + i;
		preempt_disable();
		CHECK(!(mempool_alloc_bulk)(pool, GFP_ATOMIC, n, others));
		mempool_free_bulk(pool, n, others);
		preempt_enable();
		CHECK(!mempool_alloc_bulk(pool, GFP_KERNEL, n, others));
		(mempool_free_bulk)(pool, n, others);
		/* Each is there once. */
		for (i = 0; i < n; i++)
			CHECK(*(void **)elements[i] == elements + i);
		mempool_free_bulk(pool, n, elements);
	}
	mempool_destroy(pool);
	CHECK(returned == served);
	return 0;
}

/* What is kept does not come before a reserve that is short. */
static int kept_or_lacking(void)
{
	mempool_t *pool = mempool_create(2, custom_alloc, custom_free, (void *)80);
	void *kept[8], *reserve[2];
	int i, n = 0;

	CHECK(pool);
	for (i = 0; i < 8; i++)
		CHECK((kept[i] = mempool_alloc(pool, GFP_KERNEL)));
	for (i = 0; i < 8; i++)
		mempool_free(kept[i], pool);
	dry = true;
	while (n < 8 && (kept[n] = mempool_alloc(pool, GFP_NOWAIT)))
		n++;
	CHECK(n == 2 || n == 8);
	if (n == 8)
		for (i = 0; i < 2; i++)
			CHECK((reserve[i] = mempool_alloc(pool, GFP_NOWAIT)));
	CHECK(!mempool_alloc(pool, GFP_NOWAIT));
	/* The first two that come back are the reserve, to the last element. */
	for (i = 0; i < n; i++)
		mempool_free(kept[i], pool);
	for (i = 0; i < n; i++)
		CHECK((kept[i] = mempool_alloc(pool, GFP_NOWAIT)));
	CHECK(!mempool_alloc(pool, GFP_NOWAIT));
	dry = false;
	for (i = 0; i < n; i++)
		mempool_free(kept[i], pool);
	if (n == 8)
		for (i = 0; i < 2; i++)
			mempool_free(reserve[i], pool);
	mempool_destroy(pool);
	CHECK(returned == served);
	return 0;
}

static int __init mempool_test_init(void)
{
	PART(reserve);
	PART(waiting);
	PART(resize);
	PART(sources);
	PART(ways);
	PART(bulk);
	PART(kept_or_lacking);
	return 0;
}

TEST_MODULE(mempool_test_init);
