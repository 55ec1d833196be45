/* SPDX-License-Identifier: MIT */
/*
 * kstack.c: kernel stacks of one or two pages (more under a sanitizer), from the page allocator.
 *
 * Where the machine can map frames twice, a stack's frames appear in a window with a page in front that faults: an overflow is
 * a crash that names the stack. Elsewhere the stack is used where its frames are, and an overflow is seen by the last word when
 * the stack is given back. A stack is painted, so that its deepest use can be told.
 */
#include "kernel.h"

#include <linux/printk.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#if defined(__has_include) && __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(addr, bytes) ((void)0)
#endif

#define PAINT 0x57acc57acc57acc5u
#define SLOTS 4096 /* stacks at once */
#define NEAR_END 256

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LARGER 4 /* orders: frames are many times as large */
#else
#define LARGER 0
#endif

static struct loam__mutex lock;
static char *window; /* slots of a guard page and a stack */
static size_t slot_bytes;
static unsigned order;
static const struct kstack *slots[SLOTS]; /* atomic pointers, for who describes a crash */
static unsigned nr_slots;

int kstack_boot(void)
{
	uint64_t bytes = loam__machine.graph->settings[LOAM_K_STACK].u;

	order = (bytes > LOAM_PAGE_SIZE) + LARGER;
	slot_bytes = (LOAM_PAGE_SIZE << order) + LOAM_PAGE_SIZE;
	nr_slots = 0;
	memset(slots, 0, sizeof(slots));
	window = loam__machine.memfd < 0 ? NULL : loam__window_open(NULL, SLOTS * slot_bytes, 0);
	return window || loam__machine.memfd < 0 ? 0 : -ENOMEM;
}

void kstack_halt(void)
{
	if (window)
		loam__window_close(NULL, window);
	window = NULL;
}

/* Its frames in a slot of the window. */
static int show(struct kstack *stack)
{
	struct page *pages[2 << LARGER];
	unsigned long n = 1ul << stack->order;
	unsigned slot = 0;
	int error;

	for (unsigned long i = 0; i < n; i++)
		pages[i] = stack->frames + i;
	loam__lock(&lock);
	while (slot < SLOTS && __atomic_load_n(&slots[slot], __ATOMIC_RELAXED))
		slot++;
	if (slot < SLOTS)
		__atomic_store_n(&slots[slot], stack, __ATOMIC_RELEASE);
	loam__unlock(&lock);
	if (slot == SLOTS)
		return -ENOMEM;
	stack->low = window + slot * slot_bytes + LOAM_PAGE_SIZE;
	error = loam__window_map(NULL, stack->low, pages, n, 0);
	if (error)
		__atomic_store_n(&slots[slot], NULL, __ATOMIC_RELEASE);
	return error;
}

static void hide(const struct kstack *stack)
{
	unsigned slot = (unsigned)((size_t)(stack->low - window) / slot_bytes);

	loam__window_unmap(NULL, stack->low, 1ul << stack->order);
	__atomic_store_n(&slots[slot], NULL, __ATOMIC_RELEASE);
}

int kstack_make(struct kstack *stack, const char *name)
{
	int error = 0;

	*stack = (struct kstack){ .order = order, .bytes = LOAM_PAGE_SIZE << order, .name = name };
	stack->frames = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, order, kernel_owner());
	if (!stack->frames)
		return -ENOMEM;
	if (window)
		error = show(stack);
	else
		stack->low = loam_page_ptr(&loam__machine.map, stack->frames);
	if (error) {
		loam__pages_free(&loam__machine.frames, stack->frames, order);
		stack->frames = NULL;
		return error;
	}
	for (size_t i = 0; i < stack->bytes / sizeof(uint64_t); i++)
		((uint64_t *)stack->low)[i] = PAINT;
	return 0;
}

size_t kstack_depth(const struct kstack *stack)
{
	const uint64_t *word = (const uint64_t *)stack->low, *end = word + stack->bytes / sizeof(*word);

	/* For valgrind what lies below a stack's pointer is nobody's. */
	VALGRIND_MAKE_MEM_DEFINED(stack->low, stack->bytes);
	while (word < end && *word == PAINT)
		word++;
	return (size_t)((const char *)end - (const char *)word);
}

void kstack_free(struct kstack *stack)
{
	size_t depth;

	if (!stack->frames)
		return;
	depth = kstack_depth(stack);
	if (depth + NEAR_END > stack->bytes)
		loam__log(LOAM_LOG_WARN, "stack of %s: %zu of %zu bytes were used", stack->name, depth, stack->bytes);
	else
		loam__log(LOAM_LOG_DEBUG, "stack of %s: %zu of %zu bytes were used", stack->name, depth, stack->bytes);
	if (window)
		hide(stack);
	loam__pages_free(&loam__machine.frames, stack->frames, stack->order);
	stack->frames = NULL;
}

void kstack_call(const struct kstack *stack, void (*fn)(void *arg), void *arg)
{
	loam__on_kernel_stack(stack->low + stack->bytes, fn, arg);
}

bool kstack_describe(const void *addr, char *buf, size_t size)
{
	size_t off = (size_t)((const char *)addr - window);
	const struct kstack *stack;

	if (!window || off >= SLOTS * slot_bytes)
		return false;
	stack = __atomic_load_n(&slots[off / slot_bytes], __ATOMIC_ACQUIRE);
	if (!stack)
		snprintf(buf, size, "the kernel stacks, where none is");
	else if (off % slot_bytes < LOAM_PAGE_SIZE)
		snprintf(buf, size, "the guard page below the stack of %s: its %zu bytes have overflowed", stack->name,
			 stack->bytes);
	else
		snprintf(buf, size, "the stack of %s", stack->name);
	return true;
}
