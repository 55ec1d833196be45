/* SPDX-License-Identifier: MIT */
/* linux/types.h: the kernel's names of types; those that user space knows too are the system's. */
#include_next <linux/types.h>

#if defined(__KERNEL__) && !defined(LOAM_LINUX_TYPES_H)
#define LOAM_LINUX_TYPES_H

#include <loam/base.h>
#include <loam/gfp.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef uint64_t phys_addr_t;
typedef uint64_t resource_size_t;
typedef uint64_t dma_addr_t;
typedef unsigned long pgoff_t;
typedef unsigned int fmode_t;
typedef unsigned short umode_t;

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;

struct hlist_node {
	struct hlist_node *next, **pprev;
};
struct hlist_head {
	struct hlist_node *first;
};

#endif
