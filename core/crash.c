/* SPDX-License-Identifier: MIT */
/*
 * crash.c: when a program faults, say what the address belongs to, and let it crash as it would have.
 *
 * The handler is installed only where nobody else has one. It uses nothing but write: it may run anywhere, with any lock
 * held, so what it prints of a block may be stale.
 */
#include "internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct text {
	char buf[400];
	size_t n;
};

static void put(struct text *text, const char *s)
{
	while (*s && text->n < sizeof(text->buf) - 1)
		text->buf[text->n++] = *s++;
}

static void put_number(struct text *text, uint64_t n, unsigned base)
{
	char digits[24];
	size_t i = sizeof(digits);

	digits[--i] = '\0';
	do
		digits[--i] = "0123456789abcdef"[n % base];
	while (n /= base);
	if (base == 16)
		put(text, "0x");
	put(text, digits + i);
}

/* A filter has no blocks of its own: whom it stands on knows them, though not which of them wait in the filter. */
static void put_block(struct text *text, const struct loam_self *self, const void *addr, struct page *page)
{
	struct loam_span span = { .size = sizeof(span) };

	while (self && !self->plugin->desc.find)
		self = self->lower;
	if (!self || self->plugin->desc.find(self->inst, addr, page, &span))
		return;
	put(text, span.kind == LOAM_SPAN_LIVE ? ", live block of " : ", free block of ");
	put_number(text, span.bytes, 10);
	put(text, " bytes at ");
	put_number(text, (uintptr_t)span.addr, 16);
	put(text, ", offset ");
	put_number(text, (uintptr_t)addr - (uintptr_t)span.addr, 10);
	if (span.label) {
		put(text, ", ");
		put(text, span.label);
	}
}

static void put_frame(struct text *text, const void *addr, struct page *page)
{
	const struct loam__owner *owner = loam__owner_of(page);

	put(text, "frame ");
	put_number(text, loam_page_pfn(&loam__machine.map, page), 10);
	if (!page->owner || !owner->self) {
		put(text, ", which nobody holds");
		return;
	}
	put(text, " of [");
	put(text, owner->self->name);
	put(text, "] ");
	put(text, owner->self->plugin->desc.name);
	put_block(text, owner->self, addr, page);
}

/* Inside a window an address that faults is a guard page, or belongs to what went. */
static void put_window(struct text *text, const void *addr)
{
	const struct loam_self *self = loam__window_owner(addr);
	struct page *page = loam__window_page(addr);

	put(text, "a window of [");
	put(text, self->name);
	put(text, "] ");
	put(text, self->plugin->desc.name);
	put_block(text, self, addr, page);
	if (page) {
		put(text, ", where frame ");
		put_number(text, loam_page_pfn(&loam__machine.map, page), 10);
		put(text, " is mapped");
	} else {
		put(text, ", where nothing is mapped");
	}
}

/** What @addr is, into @buf, without a lock or an allocation. */
void loam__describe(const void *addr, char *buf, size_t size)
{
	const struct loam_map *map = &loam__machine.map;
	size_t off = (size_t)((uintptr_t)addr - (uintptr_t)map->base);
	struct text text = { .n = 0 };

	if (loam__kernel.describe && loam__kernel.describe(addr, buf, size))
		return;
	if (off < map->low_bytes) {
		if (loam__machine.forked)
			put(&text, "memory of a machine with backing = memfd, which does not survive fork");
		else
			put_frame(&text, addr, map->pages + (off >> LOAM_PAGE_SHIFT));
	} else if (map->base && off < map->nr_pages << LOAM_PAGE_SHIFT) {
		put(&text, "high memory, frame ");
		put_number(&text, off >> LOAM_PAGE_SHIFT, 10);
		put(&text, ", which is not mapped: kmap or vmap it first");
	} else if (loam__window_owner(addr)) {
		put_window(&text, addr);
	} else if (loam__large_has(addr)) {
		put(&text,
		    loam__large_size(addr) ? "the large window, a live block" : "the large window, no live block here");
	} else if ((uintptr_t)addr < LOAM_PAGE_SIZE) {
		put(&text, "the null page");
	} else {
		put(&text, "outside the machine's memory");
	}
	text.buf[text.n] = '\0';
	snprintf(buf, size, "%s", text.buf);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	char what[400];
	struct text line = { .n = 0 };
	ssize_t written;

	(void)context;
	put(&line, sig == SIGBUS ? "loam: bus error at " : "loam: segmentation fault at ");
	put_number(&line, (uintptr_t)info->si_addr, 16);
	put(&line, ": ");
	loam__describe(info->si_addr, what, sizeof(what));
	put(&line, what);
	line.buf[line.n++] = '\n';
	written = write(STDERR_FILENO, line.buf, line.n);
	(void)written;
	/* Back to the default; the instruction faults again, or kill's signal is sent again. */
	signal(sig, SIG_DFL);
	if (info->si_code <= 0)
		raise(sig);
}

void loam__crash_boot(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS };
	struct sigaction now, ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	for (unsigned i = 0; i < LOAM_LEN(signals); i++)
		if (!sigaction(signals[i], NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
			sigaction(signals[i], &ours, NULL);
}
