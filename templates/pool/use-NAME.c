/* SPDX-License-Identifier: MIT */
/* use-NAME.c: kernel code that has a pool: when there is no memory at all, its reserve is still there, to the last element. */
#include <linux/mempool.h>
#include <linux/module.h>

static int count = 4;
module_param(count, int, 0);

/* A source that is empty whenever `dry` says so: in its place a kernel would be short of memory. */
static bool dry;

static void *source_alloc(gfp_t gfp, void *data)
{
	return dry ? NULL : kmalloc((size_t)data, gfp);
}

static void source_free(void *element, void *data)
{
	(void)data;
	kfree(element);
}

static int __init use_init(void)
{
	mempool_t *pool = mempool_create(count, source_alloc, source_free, (void *)200);
	void *element, *first = NULL;
	int got = 0;

	if (!pool)
		return -ENOMEM;
	dry = true;
	/* Elements are chained by their first word. GFP_NOWAIT: with GFP_KERNEL the last call would wait for a mempool_free. */
	for (; (element = mempool_alloc(pool, GFP_NOWAIT)); first = element, got++)
		*(void **)element = first;
	pr_info("without memory %d elements can be had, of %d in the reserve\n", got, count);
	for (; (element = first); mempool_free(element, pool))
		first = *(void **)element;
	mempool_destroy(pool);
	return got == count ? 0 : -EIO;
}

static void __exit use_exit(void)
{
	pr_info("all given back\n");
}

module_init(use_init);
module_exit(use_exit);
MODULE_LICENSE("Dual MIT/GPL");
