/* SPDX-License-Identifier: MIT */
/*
 * kmap.h: the role `kmap`: short-lived windows onto high memory (kmap, kmap_atomic, kmap_local_page).
 *
 * The host answers for low memory (its linear address) without calling the plugin, waits when slots run out, keeps each
 * context's stack of local mappings and reports misuse of its order. The plugin has the slots. Semantics: Linux 6.1's
 * highmem.c: a page's persistent slot is shared by nested kmaps and stays mapped after the last kunmap until slots run short.
 */
#ifndef LOAM_KMAP_H
#define LOAM_KMAP_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

/** A page that was unmapped stays in its window until others need that, so that mapping it again soon costs no system call. */
#define LOAM_KMAP_LAZY 1u
/** What is not mapped cannot be touched: each window faults from its last unmap on. */
#define LOAM_KMAP_STRICT 2u
/** Each page of high memory has one address for ever, mapped or not. */
#define LOAM_KMAP_FLAT 4u

/** `slots` of an instance whose windows never run out. */
#define LOAM_KMAP_NO_END UINT32_MAX

struct loam_kmap_limits {
	uint32_t size;        /* set by the caller: how much of this struct it has */
	uint32_t caps;        /* LOAM_KMAP_* */
	uint32_t slots;       /* different pages that can have a persistent window at once, or LOAM_KMAP_NO_END */
	uint32_t local_slots; /* of each CPU, at least 1; 16 in Linux */
};

/** Pages are of high memory, one frame each, and stay their holder's. The ops write to no frame. */
struct loam_kmap_ops {
	uint32_t size;
	uint32_t reserved;

	/**
	 * A persistent window on @page; counts up when it has one. NULL: all slots are in use (the host waits), or the system
	 * has no more mappings; the two are told apart by counting.
	 */
	void *(*map)(void *inst, struct page *page);
	/**
	 * Count down. true: a slot became free for others (the host wakes who waits). @page is mapped; an instance whose slots
	 * are counted reports it when that is not so (LOAM_REPORT_BAD_FREE), and changes nothing.
	 */
	bool (*unmap)(void *inst, struct page *page);
	/** The window of @page while it is mapped, else NULL; with LOAM_KMAP_FLAT always its address. Any context. */
	void *(*address)(void *inst, struct page *page);
	/**
	 * The window of slot @index (below limits.local_slots) of @cpu, which is not in use, now shows @page. Only that CPU calls
	 * it. Takes no lock, never sleeps, calls nothing but window_map. The slot's last window may have been onto another page.
	 * NULL: window_map failed; then the slot is as it was, not in use.
	 */
	void *(*map_local)(void *inst, unsigned cpu, unsigned index, struct page *page);
	/** The slot is in use no more. Reported like unmap where it was not. Calls nothing but window_unmap and report. */
	void (*unmap_local)(void *inst, unsigned cpu, unsigned index);
	/** Constant. @limits comes with its size set. */
	void (*limits)(void *inst, struct loam_kmap_limits *limits);
};

LOAM_END_DECLS
#endif
