/* SPDX-License-Identifier: MIT */
/* string.c: strings by kmalloc, and the few functions that the C library lacks. */
#include "kernel.h"

#include <linux/slab.h>
#include <linux/string.h>

#include <errno.h>

char *kstrndup(const char *text, size_t max, gfp_t gfp)
{
	size_t n = text ? strnlen(text, max) : 0;
	char *copy = text ? kmalloc(n + 1, gfp) : NULL;

	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

char *kstrdup(const char *text, gfp_t gfp)
{
	return kstrndup(text, SIZE_MAX - 1, gfp);
}

void *kmemdup(const void *from, size_t bytes, gfp_t gfp)
{
	void *copy = kmalloc(bytes, gfp);

	return copy ? memcpy(copy, from, bytes) : NULL;
}

char *kasprintf(gfp_t gfp, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = kernel_vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = kmalloc((size_t)n + 1, gfp);
	if (!text)
		return NULL;
	va_start(args, fmt);
	kernel_vsnprintf(text, (size_t)n + 1, fmt, args);
	va_end(args);
	return text;
}

ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t n = size ? strnlen(from, size) : 0;

	if (!size)
		return -E2BIG;
	if (n < size) {
		memcpy(to, from, n + 1);
		return (ssize_t)n;
	}
	memcpy(to, from, size - 1);
	to[size - 1] = '\0';
	return -E2BIG;
}

void *memchr_inv(const void *start, int c, size_t bytes)
{
	const unsigned char *at = start;

	for (; bytes; bytes--, at++)
		if (*at != (unsigned char)c)
			return (void *)at;
	return NULL;
}
