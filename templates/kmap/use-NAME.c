/* SPDX-License-Identifier: MIT */
/* use-NAME.c: kernel code that writes to high memory: by windows that all share, and by short ones of its own. */
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static int count = 100;
module_param(count, int, 0);

/* A page, written to by a window that anybody could share, which may sleep until a slot is free. */
static struct page *written(int number)
{
	struct page *page = alloc_page(GFP_HIGHUSER);
	char *window;

	if (!page)
		return NULL;
	window = kmap(page);
	snprintf(window, PAGE_SIZE, "page %d", number);
	kunmap(page);
	return page;
}

/* Read by a local window, which never sleeps. */
static bool is_written(struct page *page, int number)
{
	char text[20], *window = kmap_local_page(page);
	bool same;

	snprintf(text, sizeof(text), "page %d", number);
	same = !strcmp(window, text);
	kunmap_local(window);
	return same;
}

static int __init use_init(void)
{
	struct page **pages = kcalloc(count, sizeof(*pages), GFP_KERNEL);
	int had = 0, right = 0, high = 0;

	if (!pages)
		return -ENOMEM;
	while (had < count && (pages[had] = written(had)))
		had++;
	for (int i = 0; i < had; i++) {
		high += PageHighMem(pages[i]);
		right += is_written(pages[i], i);
		__free_page(pages[i]);
	}
	kfree(pages);
	pr_info("%d pages, %d of them of high memory, %d have what was written\n", had, high, right);
	return right == count ? 0 : -EIO;
}

static void __exit use_exit(void)
{
	pr_info("all given back\n");
}

module_init(use_init);
module_exit(use_exit);
MODULE_LICENSE("Dual MIT/GPL");
