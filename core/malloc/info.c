/* SPDX-License-Identifier: MIT */
/*
 * info.c: malloc_trim, mallopt, mallinfo and malloc_info. They are here because a program that calls one and does not find it
 * with us would talk to the C library's heap, which is idle.
 */
#include "face.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

/** 1 when memory went back to the page allocator. */
FACE_EXPORT int FACE(malloc_trim)(size_t pad)
{
	unsigned long frames = 0;

	(void)pad;
	for (unsigned i = loam__face.graph ? loam__face.graph->nr : 0; i--;)
		frames += loam__shrink(loam__face.graph->instances[i], ~0ul >> 1);
	return frames > 0;
}

/** glibc's parameters are about glibc's heap; they are accepted and change nothing. */
FACE_EXPORT int FACE(mallopt)(int param, int value)
{
	(void)param, (void)value;
	return 1;
}

static void get_stat(struct loam_stat *stat, struct loam__large_stat *large)
{
	*stat = (struct loam_stat){ .size = sizeof(*stat) };
	*large = (struct loam__large_stat){ 0 };
	if (!loam__face.heap)
		return;
	loam__stat(loam__face.graph->heap, stat);
	loam__large_stat(large);
}

FACE_EXPORT struct mallinfo2 FACE(mallinfo2)(void)
{
	struct loam_stat stat;
	struct loam__large_stat large;

	get_stat(&stat, &large);
	return (struct mallinfo2){ .arena = stat.footprint,
				   .uordblks = stat.live_bytes,
				   .fordblks = stat.footprint - stat.live_bytes,
				   .hblks = large.blocks,
				   .hblkhd = large.bytes };
}

FACE_EXPORT struct mallinfo FACE(mallinfo)(void)
{
	struct mallinfo2 info = FACE(mallinfo2)();

	return (struct mallinfo){ .arena = (int)info.arena,
				  .uordblks = (int)info.uordblks,
				  .fordblks = (int)info.fordblks,
				  .hblks = (int)info.hblks,
				  .hblkhd = (int)info.hblkhd };
}

static int cache_xml(void *arg, const struct loam_cache_info *info)
{
	if (info->total_slabs)
		fprintf(arg, "<cache name=\"%s\" size=\"%u\" active=\"%llu\" total=\"%llu\" slabs=\"%llu\"/>\n",
			info->name, info->obj_size, (unsigned long long)info->active_objs,
			(unsigned long long)info->total_objs, (unsigned long long)info->total_slabs);
	return 0;
}

FACE_EXPORT int FACE(malloc_info)(int options, FILE *out)
{
	struct loam_stat stat;
	struct loam__large_stat large;

	if (options)
		return EINVAL;
	get_stat(&stat, &large);
	fprintf(out, "<malloc version=\"1\" allocator=\"loam %s\">\n", PACKAGE_VERSION);
	if (loam__face.heap)
		loam__caches(loam__face.graph->heap, cache_xml, out);
	fprintf(out, "<total type=\"live\" count=\"%llu\" size=\"%llu\"/>\n", (unsigned long long)stat.live_blocks,
		(unsigned long long)stat.live_bytes);
	fprintf(out, "<total type=\"mmap\" count=\"%llu\" size=\"%llu\"/>\n", (unsigned long long)large.blocks,
		(unsigned long long)large.bytes);
	fprintf(out, "<system type=\"current\" size=\"%llu\"/>\n</malloc>\n",
		(unsigned long long)(stat.footprint + large.bytes));
	return 0;
}
