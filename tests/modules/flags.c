/* SPDX-License-Identifier: MIT */
/* flags.c: rows G1 and G2: what the flags of an allocation do when memory is short. */
#include "check.h"

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/slab.h>

static bool old; /* the machine has reserve = old */
module_param(old, bool, 0);

static struct page *held;
static unsigned long nr;

static unsigned long take_all(gfp_t gfp)
{
	unsigned long before = nr;
	struct page *page;

	while ((page = alloc_page(gfp | __GFP_NOWARN))) {
		page->private = (unsigned long)held;
		held = page;
		nr++;
	}
	return nr - before;
}

static void give(unsigned long n)
{
	while (n-- && held) {
		struct page *page = held;

		held = (struct page *)page->private;
		nr--;
		__free_page(page);
	}
}

/* Who may take the reserve gets more, in the order that the flags say. */
static int reserve(void)
{
	unsigned long nowait, normal, high, atomic, memalloc;

	nowait = take_all(GFP_NOWAIT);
	normal = take_all(GFP_KERNEL | __GFP_NORETRY);
	high = take_all(GFP_KERNEL | __GFP_NORETRY | __GFP_HIGH);
	atomic = take_all(GFP_ATOMIC);
	CHECK(!take_all(GFP_ATOMIC | __GFP_NOMEMALLOC));
	memalloc = take_all(GFP_ATOMIC | __GFP_MEMALLOC);
	pr_info("nowait %lu kernel %lu high %lu atomic %lu memalloc %lu\n", nowait, normal, high, atomic, memalloc);
	CHECK(nowait > 0 && high > 0 && atomic > 0);
	CHECK(old ? !memalloc : memalloc > 0);
	give(~0ul);
	return 0;
}

static int give_later(void *data)
{
	(void)data;
	msleep(20);
	give(500);
	return 0;
}

/* Who may sleep waits for another thread; NOFAIL does not come back without. */
static int waits(void)
{
	struct task_struct *task;
	struct page *page;

	/* Made while there is memory for its stack. */
	task = kthread_create(give_later, NULL, "giver");
	CHECK(!IS_ERR(task));
	take_all(GFP_ATOMIC);
	CHECK(!alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN) && !alloc_page(GFP_NOWAIT | __GFP_NOWARN));
	wake_up_process(task);
	page = alloc_page(GFP_KERNEL);
	CHECK(page);
	__free_page(page);
	kthread_stop(task);
	task = kthread_create(give_later, NULL, "giver");
	CHECK(!IS_ERR(task));
	take_all(GFP_ATOMIC | __GFP_MEMALLOC);
	wake_up_process(task);
	page = alloc_page(GFP_NOFS | __GFP_NOFAIL);
	CHECK(page);
	__free_page(page);
	kthread_stop(task);
	give(~0ul);
	return 0;
}

/* What is not silenced is reported, once for each; the test counts. */
static int warnings(void)
{
	take_all(GFP_ATOMIC);
	CHECK(!alloc_page(GFP_ATOMIC));
	CHECK(!alloc_page(GFP_ATOMIC | __GFP_NOWARN));
	give(~0ul);
	return 0;
}

static int names(void)
{
	CHECK(GFP_ATOMIC == (__GFP_HIGH | __GFP_ATOMIC | __GFP_KSWAPD_RECLAIM));
	CHECK(GFP_KERNEL == (__GFP_RECLAIM | __GFP_IO | __GFP_FS) && GFP_NOIO == __GFP_RECLAIM && GFP_TEMPORARY);
	CHECK(__GFP_WAIT == __GFP_RECLAIM && __GFP_REPEAT == __GFP_RETRY_MAYFAIL && __GFP_COLD);
	return 0;
}

static int __init flags_init(void)
{
	PART(names);
	PART(reserve);
	PART(waits);
	PART(warnings);
	return 0;
}

TEST_MODULE(flags_init);
