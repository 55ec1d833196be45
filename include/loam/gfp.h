/* SPDX-License-Identifier: MIT */
/*
 * gfp.h: the flags of an allocation, with the names and the values that Linux 6.1 gives them.
 *
 * A flag says what the caller can bear (may it sleep? may it use the reserve?), and which zone it wants. The host reads all
 * of them; a plugin sees the ones that its role's header names. Flags of older kernels that 6.1 lost (__GFP_COLD) have a
 * bit above the kernel's last one.
 */
#ifndef LOAM_GFP_H
#define LOAM_GFP_H

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned int gfp_t;

/* Zone modifiers: the highest zone that will do. None of them means NORMAL. */
#define __GFP_DMA ((gfp_t)0x01u)
#define __GFP_HIGHMEM ((gfp_t)0x02u)
#define __GFP_DMA32 ((gfp_t)0x04u)
#define __GFP_MOVABLE ((gfp_t)0x08u)
#define __GFP_RECLAIMABLE ((gfp_t)0x10u)

#define __GFP_HIGH ((gfp_t)0x20u)            /* may use half of the reserve */
#define __GFP_IO ((gfp_t)0x40u)              /* reclaim may start I/O */
#define __GFP_FS ((gfp_t)0x80u)              /* reclaim may call into file systems */
#define __GFP_ZERO ((gfp_t)0x100u)           /* contents all zero */
#define __GFP_ATOMIC ((gfp_t)0x200u)         /* never sleeps, high priority */
#define __GFP_DIRECT_RECLAIM ((gfp_t)0x400u) /* the caller may sleep and reclaim */
#define __GFP_KSWAPD_RECLAIM ((gfp_t)0x800u) /* wake the background reclaimer when low */
#define __GFP_WRITE ((gfp_t)0x1000u)
#define __GFP_NOWARN ((gfp_t)0x2000u)        /* no report when it fails */
#define __GFP_RETRY_MAYFAIL ((gfp_t)0x4000u) /* try hard, but may fail */
#define __GFP_NOFAIL ((gfp_t)0x8000u)        /* never fails */
#define __GFP_NORETRY ((gfp_t)0x10000u)      /* one light try */
#define __GFP_MEMALLOC ((gfp_t)0x20000u)     /* ignore watermarks */
#define __GFP_COMP ((gfp_t)0x40000u)         /* a compound page */
#define __GFP_NOMEMALLOC ((gfp_t)0x80000u)   /* never the reserve */
#define __GFP_HARDWALL ((gfp_t)0x100000u)
#define __GFP_THISNODE ((gfp_t)0x200000u)
#define __GFP_ACCOUNT ((gfp_t)0x400000u)
#define __GFP_COLD ((gfp_t)0x8000000u) /* a page not in a CPU's cache is preferred (older kernels) */

#define __GFP_RECLAIM ((gfp_t)(__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM))
#define __GFP_WAIT __GFP_RECLAIM         /* the older name */
#define __GFP_REPEAT __GFP_RETRY_MAYFAIL /* the older name */

#define GFP_ATOMIC ((gfp_t)(__GFP_HIGH | __GFP_ATOMIC | __GFP_KSWAPD_RECLAIM))
#define GFP_KERNEL ((gfp_t)(__GFP_RECLAIM | __GFP_IO | __GFP_FS))
#define GFP_NOWAIT ((gfp_t)(__GFP_KSWAPD_RECLAIM))
#define GFP_NOIO ((gfp_t)(__GFP_RECLAIM))
#define GFP_NOFS ((gfp_t)(__GFP_RECLAIM | __GFP_IO))
#define GFP_USER ((gfp_t)(__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_HARDWALL))
#define GFP_TEMPORARY ((gfp_t)(__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_RECLAIMABLE))
#define GFP_DMA __GFP_DMA
#define GFP_DMA32 __GFP_DMA32
#define GFP_HIGHUSER ((gfp_t)(GFP_USER | __GFP_HIGHMEM))
#define GFP_HIGHUSER_MOVABLE ((gfp_t)(GFP_HIGHUSER | __GFP_MOVABLE))

/* Flags of a cache of objects (kmem_cache_create). Values are Linux 6.1's; SLAB_NO_REAP is older. */
#define SLAB_CONSISTENCY_CHECKS 0x00000100u
#define SLAB_RED_ZONE 0x00000400u      /* detect writes before and behind an object */
#define SLAB_POISON 0x00000800u        /* fill free objects with a pattern and check it */
#define SLAB_HWCACHE_ALIGN 0x00002000u /* align objects to cache lines */
#define SLAB_CACHE_DMA 0x00004000u     /* slabs from zone DMA */
#define SLAB_CACHE_DMA32 0x00008000u   /* slabs from zone DMA32 */
#define SLAB_STORE_USER 0x00010000u
#define SLAB_RECLAIM_ACCOUNT 0x00020000u
#define SLAB_PANIC 0x00040000u /* creation that fails ends the machine */
#define SLAB_TYPESAFE_BY_RCU 0x00080000u
#define SLAB_NO_REAP 0x80000000u /* a shrink under memory pressure leaves this cache alone */

/** Whether the caller may sleep. */
static inline int gfpflags_allow_blocking(gfp_t gfp)
{
	return (gfp & __GFP_DIRECT_RECLAIM) != 0;
}

#ifdef __cplusplus
}
#endif
#endif
