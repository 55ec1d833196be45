/* SPDX-License-Identifier: MIT */
/* linux/string.h: the C library's, and what the kernel has beyond it. */
#ifndef LOAM_LINUX_STRING_H
#define LOAM_LINUX_STRING_H

#include <linux/types.h>
#include <string.h>

LOAM_BEGIN_DECLS

/** Copies of their own by kmalloc; NULL. May sleep where @gfp does. */
char *kstrdup(const char *text, gfp_t gfp);
char *kstrndup(const char *text, size_t max, gfp_t gfp);
void *kmemdup(const void *from, size_t bytes, gfp_t gfp);
/** "fmt" filled in, by kmalloc; NULL. The kernel's formats. */
char *kasprintf(gfp_t gfp, const char *fmt, ...);
/** Copies at most @size - 1 bytes and ends them with 0: how many, or -E2BIG when not all fitted. */
ssize_t strscpy(char *to, const char *from, size_t size);
/** The first byte that is not @c, or NULL. */
void *memchr_inv(const void *start, int c, size_t bytes);

LOAM_END_DECLS
#endif
