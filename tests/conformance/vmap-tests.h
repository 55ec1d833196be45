/* SPDX-License-Identifier: MIT */
/*
 * vmap-tests.h: what the tests of the role vmap share: frames to map, areas, and a model of the range.
 *
 * vmap.c          the suite, what an area is          vmap-cost.c      refusals, system calls, threads
 * vmap-windows.c  guard pages, contents, unmapping    vmap-sequence.c  random sequences
 * vmap-model.c    frames, faults, areas
 *
 * Every area that vmap_area_map maps is in the model, and is judged against the others: by any thread. Where the model is
 * strict a refusal is judged too, which is for one thread only.
 */
#ifndef LOAM_CONFORM_VMAP_TESTS_H
#define LOAM_CONFORM_VMAP_TESTS_H

#include "conform.h"

#define PAGE LOAM_PAGE_SIZE
#define MOST_PAGES 64 /* of an area that vmap_area_take makes */

/** An area that a test holds. */
struct area {
	struct loam_vmap_area *pub; /* NULL: none */
	char *addr;
	unsigned long nr;
	struct page **pages; /* a copy: what each page shows */
	bool writable, pool; /* pool: the frames come from there, and this area alone shows them */
	uint64_t stamp;
};

/** Frames of all zones, by chance, and a view of all memory. After the machine is up, and before it halts. */
void vmap_begin(void);
void vmap_end(void);
/** Boot a machine with a range of @pages, and begin; refusals are judged. Skips where there is no parameter for that. */
void vmap_small_up(unsigned long pages);
void vmap_small_down(void);
/** From here on a refusal is, or is not, judged. */
void vmap_strict(bool strict);
/** Where two areas in one place break another clause than VMAP-03. */
void vmap_blames(const char *clause);
/** Whether a run of @nr pages and a guard page is free at a multiple of @align. */
bool vmap_has_room(unsigned long nr, size_t align);

struct page *vmap_frame_take(void); /* trouble() when the pool is empty */
void vmap_frame_put(struct page *page);
/** The words of a frame, whatever zone it is in. */
uint64_t *vmap_frame_words(const struct page *page);

/** Whether an access to the byte at @at faults. Any thread. */
bool vmap_faults(const void *at, bool write);

/** Ops, watched. */
const struct loam_vmap_ops *vmap_ops(void);
int vmap_map(struct page *const *pages, unsigned long nr, size_t align, bool writable, struct loam_vmap_area **area);
int vmap_map_phys(uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **area);
void vmap_unmap(struct loam_vmap_area *area);
struct loam_vmap_area *vmap_find(const void *addr);
void vmap_flush(void); /* nothing where there is no such op */
void vmap_range(char **start, char **end);

/** Map @pages; false: refused with -ENOMEM. The frames get no stamp. */
bool vmap_area_map(struct area *area, struct page *const *pages, unsigned long nr, size_t align, bool writable);
/** The same of frames from the pool, which are stamped. */
bool vmap_area_take(struct area *area, unsigned long nr, size_t align, bool writable);
/** Each page shows its frame, or @clause is broken. Writes through those that may be written. */
void vmap_area_look(struct area *area, const char *clause);
void vmap_area_give(struct area *area);
/** Give @n of them, those that are there. */
void vmap_areas_give(struct area *areas, unsigned n);

/** Every address of a small range: find, and, once all is really unmapped, faults, against the model. */
void vmap_look_range(const char *clause, bool flushed);
/** stat and walk against the model. */
void vmap_look_counters(void);

bool vmap_have_lazy(void);
bool vmap_have_size(void);
bool vmap_have_walk(void);

/* ---- vmap-windows.c ---- */
void vmap_frames_untouched(void);
void vmap_read_only(void);
void vmap_guard_pages(void);
void vmap_unmapped_faults(void);
void vmap_no_stale_view(void);
void vmap_frames_free_at_once(void);
void vmap_addresses_do_not_wear_out(void);
void vmap_filled_to_the_last_page(void);
void vmap_too_large(void);
void vmap_refusals_change_nothing(void);

/* ---- vmap-cost.c ---- */
void vmap_calls(void);
void vmap_lazy_calls(void);
void vmap_without_host(void);
void vmap_threads(void);
void vmap_handed_over(void);
void vmap_flush_beside(void);

/* ---- vmap-sequence.c ---- */
extern const struct sequence_ops vmap_sequence;

#endif
