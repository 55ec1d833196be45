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

struct loam_kmap_ops {
	uint32_t size;
	uint32_t reserved;

	/** A persistent window on @page; counts up when it has one. NULL: all slots are in use (the host waits). */
	void *(*map)(void *inst, struct page *page);
	/** Count down. true: a slot became free for others (the host wakes who waits). @page has a window. */
	bool (*unmap)(void *inst, struct page *page);
	/** The persistent window that @page has now, or NULL. Any context. */
	void *(*address)(void *inst, struct page *page);
	/**
	 * The window of slot @index (below limits.local_slots) of @cpu now shows @page. Never sleeps, never fails; only that CPU
	 * calls it. The slot's last window may have been onto another page.
	 */
	void *(*map_local)(void *inst, unsigned cpu, unsigned index, struct page *page);
	void (*unmap_local)(void *inst, unsigned cpu, unsigned index);
	/** Slots: persistent ones, and local ones of each CPU (16 in Linux). Constant. */
	void (*limits)(void *inst, unsigned *slots, unsigned *local_slots);
};

LOAM_END_DECLS
#endif
