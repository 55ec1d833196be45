/* SPDX-License-Identifier: MIT */
/*
 * arena.c: the machine's physical memory and its page array.
 *
 * Both are address space that the system fills in when it is touched, so a machine with much memory starts as fast as a
 * small one. The linear map begins at a multiple of the largest block that it can hold (up to 1 GiB), because a block's
 * alignment is promised for addresses and counted in frames.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static char *reserved;
static size_t reserved_bytes;

/** Show @name for anonymous memory in /proc/PID/maps, where the kernel can. */
void loam__name_mapping(void *at, size_t bytes, const char *name)
{
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, bytes, name);
}

uint64_t loam__machine_memory(const union loam_value *values)
{
	uint64_t memory = values[LOAM_M_MEMORY].u;
	struct sysinfo info;

	if (memory)
		return memory;
	if (values[LOAM_M_BACKING].i == LOAM_BACKING_MEMFD || sysinfo(&info))
		return 256u << 20;
	return (uint64_t)info.totalram * info.mem_unit & ~(uint64_t)(LOAM_PAGE_SIZE - 1);
}

static size_t alignment(uint64_t bytes)
{
	size_t align = 4u << 20;

	while (align < bytes && align < 1u << 30)
		align *= 2;
	return align;
}

static char *reserve(uint64_t bytes)
{
	size_t align = alignment(bytes);
	char *at;

	reserved_bytes = bytes + align;
	at = mmap(NULL, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	reserved = at == MAP_FAILED ? NULL : at;
	return reserved ? (char *)(((uintptr_t)at + align - 1) & ~(align - 1)) : NULL;
}

/* Low memory over the reserved addresses; what is high stays without access. */
static bool map_low(char *base, uint64_t bytes, size_t low_bytes, enum loam__backing backing)
{
	int flags =
		MAP_FIXED | (backing == LOAM_BACKING_ANON ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED);

	loam__machine.memfd = -1;
	if (backing == LOAM_BACKING_MEMFD) {
		loam__machine.memfd = memfd_create("loam", MFD_CLOEXEC);
		if (loam__machine.memfd < 0 || ftruncate(loam__machine.memfd, (off_t)bytes))
			return false;
	}
	if (mmap(base, low_bytes, PROT_READ | PROT_WRITE, flags, loam__machine.memfd, 0) == MAP_FAILED)
		return false;
	if (backing == LOAM_BACKING_ANON)
		loam__name_mapping(base, low_bytes, "loam memory");
	return true;
}

/** The arena and its page array into loam__machine.map. 0, or a negative errno and why, with everything undone. */
int loam__arena_boot(uint64_t bytes, unsigned long low_pages, enum loam__backing backing, char *why, size_t why_size)
{
	struct loam_map *map = &loam__machine.map;
	size_t array = (bytes >> LOAM_PAGE_SHIFT) * sizeof(struct page);
	char *base = reserve(bytes);
	struct page *pages;
	int error;

	loam__machine.memfd = -1;
	pages = mmap(NULL, array, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	map->pages = pages == MAP_FAILED ? NULL : pages;
	map->nr_pages = bytes >> LOAM_PAGE_SHIFT;
	map->low_bytes = low_pages << LOAM_PAGE_SHIFT;
	map->base = base;
	if (base && map->pages && map_low(base, bytes, map->low_bytes, backing)) {
		loam__name_mapping(pages, array, "loam page array");
		return 0;
	}
	error = errno ? -errno : -ENOMEM;
	snprintf(why, why_size, "cannot set up %llu MiB of memory: %s", (unsigned long long)(bytes >> 20),
		 strerror(-error));
	loam__arena_halt();
	return error;
}

void loam__arena_halt(void)
{
	struct loam_map *map = &loam__machine.map;

	if (reserved)
		munmap(reserved, reserved_bytes);
	if (map->pages)
		munmap(map->pages, map->nr_pages * sizeof(struct page));
	if (loam__machine.memfd >= 0)
		close(loam__machine.memfd);
	reserved = NULL;
	loam__machine.memfd = -1;
	memset(map, 0, sizeof(*map));
}
