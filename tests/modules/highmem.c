/* SPDX-License-Identifier: MIT */
/* highmem.c: row H1: windows onto high memory: shared, run_out, nested, in order. */
#include "check.h"

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/slab.h>

static int slots = 512; /* of the machine */
module_param(slots, int, 0);

static int shared(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER);
	char *a, *b, *c;

	CHECK(page && PageHighMem(page));
	a = kmap(page);
	b = kmap(page);
	CHECK(a && a == b && page_address(page) == a && kmap_to_page(a) == page);
	a[5] = 'k';
	c = kmap_atomic(page);
	CHECK(c[5] == 'k' && in_atomic());
	kunmap_atomic(c);
	CHECK(!in_atomic());
	kunmap(page);
	CHECK(page_address(page) == a);
	kunmap(page);
	__free_page(page);
	return 0;
}

static int low(void)
{
	struct page *page = alloc_page(GFP_KERNEL);
	char *a = kmap(page), *b = kmap_atomic(page), *c = kmap_local_page(page);

	CHECK(a == page_address(page) && b == a && c == a);
	kunmap_local(c);
	kunmap_atomic(b);
	kunmap(page);
	__free_page(page);
	return 0;
}

static int nested(void)
{
	struct page *pages[6];
	char *addr[6];
	int i;

	for (i = 0; i < 6; i++) {
		CHECK((pages[i] = alloc_page(GFP_HIGHUSER)));
		addr[i] = kmap_local_page(pages[i]);
		memset(addr[i], 'a' + i, PAGE_SIZE);
	}
	/* A thread that sleeps finds its windows where they were. */
	msleep(5);
	for (i = 0; i < 6; i++)
		CHECK(addr[i][0] == 'a' + i && addr[i][PAGE_SIZE - 1] == 'a' + i);
	copy_highpage(pages[0], pages[5]);
	CHECK(addr[0][100] == 'f');
	clear_highpage(pages[1]);
	CHECK(!addr[1][0] && !addr[1][PAGE_SIZE - 1]);
	while (i--) {
		kunmap_local(addr[i]);
		__free_page(pages[i]);
	}
	return 0;
}

static struct page **all;
static DECLARE_COMPLETION(got);

static int one_more(void *data)
{
	struct page *page = data;
	char *addr = kmap(page);

	addr[0] = 'w';
	kunmap(page);
	complete(&got);
	return 0;
}

/* When the slots run out, who asks sleeps until one is free. */
static int run_out(void)
{
	struct task_struct *task;
	int i;

	all = kcalloc(slots + 1, sizeof(*all), GFP_KERNEL);
	CHECK(all);
	for (i = 0; i <= slots; i++)
		CHECK((all[i] = alloc_page(GFP_HIGHUSER)));
	for (i = 0; i < slots; i++)
		CHECK(kmap(all[i]));
	task = kthread_run(one_more, all[slots], "sleeper");
	CHECK(!IS_ERR(task));
	CHECK(!wait_for_completion_timeout(&got, 30));
	kunmap(all[3]);
	wait_for_completion(&got);
	kthread_stop(task);
	for (i = 0; i < slots; i++)
		if (i != 3)
			kunmap(all[i]);
	for (i = 0; i <= slots; i++)
		__free_page(all[i]);
	kfree(all);
	return 0;
}

static int __init highmem_init(void)
{
	PART(shared);
	PART(low);
	PART(nested);
	if (slots)
		PART(run_out);
	return 0;
}

TEST_MODULE(highmem_init);
