/* SPDX-License-Identifier: MIT */
/* linux/mm_types.h: struct page. */
#ifndef LOAM_LINUX_MM_TYPES_H
#define LOAM_LINUX_MM_TYPES_H

#include <linux/list.h>
#include <loam/page.h>

#endif
