/* SPDX-License-Identifier: MIT */
/* linux/overflow.h: arithmetic that tells when it does not fit. */
#ifndef LOAM_LINUX_OVERFLOW_H
#define LOAM_LINUX_OVERFLOW_H

#include <loam/base.h>

#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d) __builtin_sub_overflow(a, b, d)
#define check_mul_overflow(a, b, d) __builtin_mul_overflow(a, b, d)

/** SIZE_MAX where it does not fit. */
static inline size_t size_mul(size_t a, size_t b)
{
	size_t bytes;

	return __builtin_mul_overflow(a, b, &bytes) ? SIZE_MAX : bytes;
}
static inline size_t array_size(size_t a, size_t b)
{
	return size_mul(a, b);
}
static inline size_t size_add(size_t a, size_t b)
{
	size_t bytes;

	return __builtin_add_overflow(a, b, &bytes) ? SIZE_MAX : bytes;
}
#define struct_size(p, member, count) size_add(sizeof(*(p)), size_mul(count, sizeof(*(p)->member)))

#endif
