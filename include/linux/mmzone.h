/* SPDX-License-Identifier: MIT */
/* linux/mmzone.h: limits of the page allocator. */
#ifndef LOAM_LINUX_MMZONE_H
#define LOAM_LINUX_MMZONE_H

#define MAX_ORDER 11
#define MAX_ORDER_NR_PAGES (1 << (MAX_ORDER - 1))
#define PAGE_ALLOC_COSTLY_ORDER 3

#endif
