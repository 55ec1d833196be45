/* SPDX-License-Identifier: MIT */
/* demo.c: row V3's memory: 100 bytes by kmalloc, a page of zeroes, 1,000,000 bytes by vmalloc, written and read back. */
#include "check.h"

#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static unsigned char *small, *page, *large;

static int __init demo_init(void)
{
	small = kmalloc(100, GFP_KERNEL);
	CHECK(small);
	memset(small, 's', 100);
	page = (unsigned char *)get_zeroed_page(GFP_KERNEL);
	CHECK(page && !page[0] && !page[PAGE_SIZE - 1]);
	memcpy(page, "written to a page", 18);
	large = vmalloc(1000000);
	CHECK(large);
	memset(large, 'v', 1000000);
	CHECK(small[99] == 's' && !strcmp((char *)page, "written to a page") && large[999999] == 'v');
	pr_info("kmalloc'ed at %px, page at %px, vmalloc'ed at %px\n", small, page, large);
	return 0;
}

static void __exit demo_exit(void)
{
	kfree(small);
	free_page((unsigned long)page);
	vfree(large);
	pr_info("all given back\n");
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_LICENSE("GPL");
