/* SPDX-License-Identifier: MIT */
/* use-NAME.c: kernel code that takes memory while there is no page allocator yet, and gives it to that later. */
#include <linux/bootmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

static int pages = 16;
module_param(pages, int, 0);

static char *table, *name;

/* Runs while the machine boots, on the boot allocator alone. */
static int early(void)
{
	name = alloc_bootmem(20);
	table = alloc_bootmem_pages(pages * PAGE_SIZE);
	strcpy(name, "taken early");
	pr_info("%s: a name at %px, a table at %px\n", name, name, table);
	return 0;
}
early_initcall(early);

static int __init use_init(void)
{
	unsigned long before = nr_free_pages(), after;

	free_bootmem_late(__pa(table), pages * PAGE_SIZE);
	after = nr_free_pages();
	pr_info("%s: the page allocator had %lu pages, and has %lu with the table's\n", name, before, after);
	return after == before + pages ? 0 : -EIO;
}

static void __exit use_exit(void)
{
	pr_info("%s: what was not given back is the kernel's for ever\n", name);
}

module_init(use_init);
module_exit(use_exit);
MODULE_LICENSE("Dual MIT/GPL");
