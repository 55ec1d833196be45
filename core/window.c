/* SPDX-License-Identifier: MIT */
/*
 * window.c: ranges of addresses in which a plugin lets frames appear: vmalloc areas, kmap slots, per-CPU chunks.
 *
 * A window is reserved address space without access. To map is to lay the machine's memfd over it, one system call for each run
 * of neighbouring frames; to unmap is to lay nothing over it. A table of 32-bit words, filled in by the system where it is
 * touched, says which frame each page of a window shows: for vmalloc_to_page and for what is told of a crash.
 *
 * The list of windows is short and fixed, and read without a lock: opening publishes an entry last, closing takes it out first.
 */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>

#define WINDOWS 64

struct window {
	char *base; /* atomic; NULL: the entry is free. Release: what stands behind is there */
	size_t bytes;
	uint32_t *frames; /* of each page: the frame's number and one; 0: nothing. Atomic words, relaxed */
	struct loam_self *self;
	char *reserved;
	size_t reserved_bytes;
};

static struct window windows[WINDOWS];
struct loam__mutex loam__window_lock;
uint64_t loam__window_calls;

static struct window *window_of(const void *at)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		char *base = __atomic_load_n(&windows[i].base, __ATOMIC_ACQUIRE);

		if (base && (size_t)((const char *)at - base) < windows[i].bytes)
			return &windows[i];
	}
	return NULL;
}

static void *reserve(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static bool fill_in(struct window *window, struct loam_self *self, size_t bytes, size_t align)
{
	size_t table = (bytes >> LOAM_PAGE_SHIFT) * sizeof(*window->frames);
	void *frames = mmap(NULL, table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (frames == MAP_FAILED)
		return false;
	window->reserved_bytes = bytes + align - LOAM_PAGE_SIZE;
	window->reserved = reserve(window->reserved_bytes);
	if (!window->reserved) {
		munmap(frames, table);
		return false;
	}
	window->frames = frames;
	window->bytes = bytes;
	window->self = self;
	__atomic_store_n(&window->base, (char *)(((uintptr_t)window->reserved + align - 1) & ~(align - 1)),
			 __ATOMIC_RELEASE);
	return true;
}

void *loam__window_open(struct loam_self *self, size_t bytes, size_t align)
{
	struct window *window = NULL;
	void *base = NULL;

	align = align < LOAM_PAGE_SIZE ? LOAM_PAGE_SIZE : align;
	if (!bytes || bytes > SIZE_MAX / 2 || align & (align - 1) || align > SIZE_MAX / 4)
		return NULL;
	bytes = (bytes + LOAM_PAGE_SIZE - 1) & ~(LOAM_PAGE_SIZE - 1);
	loam__lock(&loam__window_lock);
	for (unsigned i = 0; i < WINDOWS && !window; i++)
		if (!windows[i].base)
			window = &windows[i];
	if (window && fill_in(window, self, bytes, align))
		base = window->base;
	loam__unlock(&loam__window_lock);
	return base;
}

static void close_window(struct window *window)
{
	__atomic_store_n(&window->base, NULL, __ATOMIC_RELEASE);
	munmap(window->reserved, window->reserved_bytes);
	munmap(window->frames, (window->bytes >> LOAM_PAGE_SHIFT) * sizeof(*window->frames));
}

void loam__window_close(struct loam_self *self, void *at)
{
	struct window *window;

	loam__lock(&loam__window_lock);
	window = window_of(at);
	if (window && window->self == self && window->base == at)
		close_window(window);
	else
		window = NULL;
	loam__unlock(&loam__window_lock);
	if (!window)
		loam__report(self, LOAM_REPORT_MISUSE, at, "window_close: not a window of this instance");
}

/* Whether [@at, @n pages) lies in a window of @self. */
static struct window *own(struct loam_self *self, const char *at, unsigned long n, const char *what)
{
	struct window *window = window_of(at);

	if (window && window->self == self && !((uintptr_t)at & (LOAM_PAGE_SIZE - 1)) &&
	    n <= (window->bytes - (size_t)(at - window->base)) >> LOAM_PAGE_SHIFT)
		return window;
	loam__report(self, LOAM_REPORT_MISUSE, at, "%s: %lu pages are not in a window of this instance", what, n);
	return NULL;
}

static uint32_t *frames_at(const struct window *window, const char *at)
{
	return window->frames + ((size_t)(at - window->base) >> LOAM_PAGE_SHIFT);
}

static int count_call(const void *result)
{
	__atomic_fetch_add(&loam__window_calls, 1, __ATOMIC_RELAXED);
	return result == MAP_FAILED ? -ENOMEM : 0;
}

/* One run of neighbouring frames. */
static int show(const struct window *window, char *at, unsigned long pfn, unsigned long n, unsigned flags)
{
	int prot = flags & LOAM_WINDOW_READONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	int error = count_call(mmap(at, n << LOAM_PAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED, loam__machine.memfd,
				    (off_t)(pfn << LOAM_PAGE_SHIFT)));

	for (unsigned long i = 0; i < n && !error; i++)
		__atomic_store_n(frames_at(window, at) + i, (uint32_t)(pfn + i + 1), __ATOMIC_RELAXED);
	return error;
}

static void hide(const struct window *window, char *at, unsigned long n)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

	for (unsigned long i = 0; i < n; i++)
		__atomic_store_n(frames_at(window, at) + i, 0, __ATOMIC_RELAXED);
	/* At the system's limit of mappings even this may be refused; less access needs no new one where all of it goes. */
	if (count_call(mmap(at, n << LOAM_PAGE_SHIFT, PROT_NONE, flags, -1, 0)))
		mprotect(at, n << LOAM_PAGE_SHIFT, PROT_NONE);
}

int loam__window_map(struct loam_self *self, void *at, struct page *const *pages, unsigned long n, unsigned flags)
{
	const struct window *window = own(self, at, n, "window_map");
	int error = 0;

	if (!window)
		return -EINVAL;
	if (loam__machine.memfd < 0)
		return -ENOTSUP;
	for (unsigned long i = 0, run; i < n && !error; i += run) {
		for (run = 1; i + run < n && pages[i + run] == pages[i] + run; run++)
			;
		error = show(window, (char *)at + (i << LOAM_PAGE_SHIFT), loam_page_pfn(&loam__machine.map, pages[i]),
			     run, flags);
	}
	if (error)
		hide(window, at, n);
	return error;
}

int loam__window_map_phys(struct loam_self *self, void *at, uint64_t phys, unsigned long n, unsigned flags)
{
	const struct window *window = own(self, at, n, "window_map_phys");
	unsigned long pfn = phys >> LOAM_PAGE_SHIFT, all = loam__machine.map.nr_pages;
	int error;

	if (!window || phys & (LOAM_PAGE_SIZE - 1) || pfn > all || n > all - pfn)
		return -EINVAL;
	if (loam__machine.memfd < 0)
		return -ENOTSUP;
	error = n ? show(window, at, pfn, n, flags) : 0;
	if (error)
		hide(window, at, n);
	return error;
}

void loam__window_unmap(struct loam_self *self, void *at, unsigned long n)
{
	const struct window *window = n ? own(self, at, n, "window_unmap") : NULL;

	if (window)
		hide(window, at, n);
}

struct page *loam__window_page(const void *at)
{
	const struct window *window = window_of(at);
	uint32_t frame = window ? __atomic_load_n(frames_at(window, at), __ATOMIC_RELAXED) : 0;

	return frame ? loam__machine.map.pages + frame - 1 : NULL;
}

struct loam_self *loam__window_owner(const void *at)
{
	const struct window *window = window_of(at);

	return window ? window->self : NULL;
}

unsigned loam__window_leaks(const struct loam_self *self)
{
	unsigned n = 0;

	loam__lock(&loam__window_lock);
	for (unsigned i = 0; i < WINDOWS; i++)
		if (windows[i].base && windows[i].self == self) {
			close_window(&windows[i]);
			n++;
		}
	loam__unlock(&loam__window_lock);
	return n;
}

void loam__window_forked(void)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		if (windows[i].base)
			mprotect(windows[i].base, windows[i].bytes, PROT_NONE);
}
