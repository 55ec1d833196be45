/* SPDX-License-Identifier: MIT */
/*
 * linux/kernel.h: what most kernel sources begin with. The C library takes a header of this name from the system: so ours is for
 * kernel code alone, which is compiled with __KERNEL__ defined (pkg-config loam-kernel does).
 */
#include_next <linux/kernel.h>

#if defined(__KERNEL__) && !defined(LOAM_LINUX_KERNEL_H)
#define LOAM_LINUX_KERNEL_H

#include <linux/bug.h>
#include <linux/container_of.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/types.h>

#include <limits.h>

LOAM_BEGIN_DECLS

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define likely(x) loam_likely(x)
#define unlikely(x) loam_unlikely(x)
#define barrier() loam_barrier()
#define __maybe_unused __attribute__((unused))
#define __always_unused __attribute__((unused))
#define __must_check __attribute__((warn_unused_result))
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

#define ALIGN(x, a) (((x) + ((__typeof__(x))(a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)
#define PTR_ALIGN(p, a) ((__typeof__(p))ALIGN((unsigned long)(p), (a)))
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define round_up(x, y) ALIGN(x, y)
#define round_down(x, y) ALIGN_DOWN(x, y)
#define upper_32_bits(n) ((u32)(((n) >> 16) >> 16))
#define lower_32_bits(n) ((u32)((n)&0xffffffff))

#ifndef __cplusplus
#define min(a, b)                                                                                                      \
	({                                                                                                             \
		__typeof__(a) min_a__ = (a);                                                                           \
		__typeof__(b) min_b__ = (b);                                                                           \
		min_a__ < min_b__ ? min_a__ : min_b__;                                                                 \
	})
#define max(a, b)                                                                                                      \
	({                                                                                                             \
		__typeof__(a) max_a__ = (a);                                                                           \
		__typeof__(b) max_b__ = (b);                                                                           \
		max_a__ > max_b__ ? max_a__ : max_b__;                                                                 \
	})
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))
#define clamp(x, low, high) min(max(x, low), high)
#define swap(a, b)                                                                                                     \
	do {                                                                                                           \
		__typeof__(a) swap__ = (a);                                                                            \
		(a) = (b);                                                                                             \
		(b) = swap__;                                                                                          \
	} while (0)
#endif

void __might_sleep(const char *file, int line);
/** Report when the calling context may not sleep. */
#define might_sleep() __might_sleep(__FILE__, __LINE__)

/*
 * The kernel's formats, on a kernel stack's depth. They carry names of their own in the library, for the C library's are of
 * other formats.
 */
int snprintf(char *buf, size_t size, const char *fmt, ...) __asm__("loam_snprintf");
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args) __asm__("loam_vsnprintf");
/** As snprintf, but returns what was written, without the 0 byte. */
int scnprintf(char *buf, size_t size, const char *fmt, ...) __asm__("loam_scnprintf");
int sprintf(char *buf, const char *fmt, ...) __asm__("loam_sprintf");

LOAM_END_DECLS
#endif
