/* SPDX-License-Identifier: MIT */
/* use-NAME.c: kernel code with windows: scattered frames become one array, and the same frames can be seen at two places. */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static int mib = 5;
module_param(mib, int, 0);

/* An array larger than any block of frames. */
static int large(void)
{
	size_t size = (size_t)mib << 20, apart = 0;
	char *array = vmalloc(size);

	if (!array)
		return -ENOMEM;
	memset(array, 'v', size);
	for (size_t at = PAGE_SIZE; at < size; at += PAGE_SIZE)
		apart += vmalloc_to_pfn(array + at) != vmalloc_to_pfn(array + at - PAGE_SIZE) + 1;
	pr_info("%d MiB at %px, of frames of which %zu are not neighbours\n", mib, array, apart);
	vfree(array);
	return 0;
}

/* Two frames, the second one in front in the other window. */
static int twice(void)
{
	struct page *pages[] = { alloc_page(GFP_HIGHUSER), alloc_page(GFP_HIGHUSER) },
		    *turned[] = { pages[1], pages[0] };
	char *a = NULL, *b = NULL;
	int error = -ENOMEM;

	if (pages[0] && pages[1]) {
		a = vmap(pages, 2, VM_MAP, PAGE_KERNEL);
		b = vmap(turned, 2, VM_MAP, PAGE_KERNEL);
	}
	if (a && b) {
		strcpy(a + PAGE_SIZE, "written there");
		error = strcmp(b, "written there") ? -EIO : 0;
		pr_info("at %px and at %px: %s\n", a + PAGE_SIZE, b, b);
	}
	vunmap(b);
	vunmap(a);
	for (int i = 0; i < 2; i++)
		if (pages[i])
			__free_page(pages[i]);
	return error;
}

static int __init use_init(void)
{
	int error = large();

	return error ? error : twice();
}

static void __exit use_exit(void)
{
	pr_info("all given back\n");
}

module_init(use_init);
module_exit(use_exit);
MODULE_LICENSE("Dual MIT/GPL");
