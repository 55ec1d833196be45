/* SPDX-License-Identifier: MIT */
/* base.h: compiler attributes and the few types that every loam header shares. */
#ifndef LOAM_BASE_H
#define LOAM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Around the declarations of a public header: what is declared there is visible where it is defined. */
#ifdef __cplusplus
#define LOAM_BEGIN_DECLS                                                                                               \
	_Pragma("GCC visibility push(default)") extern "C"                                                             \
	{
#define LOAM_END_DECLS                                                                                                 \
	}                                                                                                              \
	_Pragma("GCC visibility pop")
#define LOAM_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define LOAM_BEGIN_DECLS _Pragma("GCC visibility push(default)")
#define LOAM_END_DECLS _Pragma("GCC visibility pop")
#define LOAM_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#define LOAM_EXPORT __attribute__((visibility("default")))
#define LOAM_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define LOAM_NOINLINE __attribute__((noinline))
#define LOAM_COLD __attribute__((cold, noinline))
#define loam_likely(x) __builtin_expect(!!(x), 1)
#define loam_unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Lock annotations, read by clang's -Wthread-safety and empty elsewhere. In C clang knows no annotation of a struct's field by
 * its neighbour, so LOAM_GUARDED_BY only speaks to the reader.
 */
#if defined(__clang__) && !defined(__cplusplus)
#define LOAM_TSA(x) __attribute__((x))
#else
#define LOAM_TSA(x)
#endif
#define LOAM_LOCKABLE LOAM_TSA(capability("mutex"))
#define LOAM_GUARDED_BY(l)
#define LOAM_REQUIRES(...) LOAM_TSA(requires_capability(__VA_ARGS__))
#define LOAM_ACQUIRES(...) LOAM_TSA(acquire_capability(__VA_ARGS__))
#define LOAM_RELEASES(...) LOAM_TSA(release_capability(__VA_ARGS__))
#define LOAM_UNCHECKED LOAM_TSA(no_thread_safety_analysis)

/* The kernel's doubly linked list node; struct page carries one. */
struct list_head {
	struct list_head *next, *prev;
};

#define LOAM_PAGE_SHIFT 12
#define LOAM_PAGE_SIZE (1UL << LOAM_PAGE_SHIFT)

/** The largest number of orders any page allocator may offer: blocks of 2^0 to 2^(LOAM_ORDERS-1) pages. */
#define LOAM_ORDERS 20

/** Length of an array whose size the compiler knows. */
#define LOAM_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
