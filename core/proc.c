/* SPDX-License-Identifier: MIT */
/* proc.c: slabinfo, buddyinfo and zoneinfo in the kernel's text formats. */
#include "internal.h"

static int slab_line(void *arg, const struct loam_cache_info *info)
{
	fprintf(arg, "%-17s %6lu %6lu %6u %4u %4d : tunables %4u %4u %4u : slabdata %6lu %6lu %6lu\n", info->name,
		(unsigned long)info->active_objs, (unsigned long)info->total_objs, info->obj_size, info->objs_per_slab,
		(int)info->pages_per_slab, info->limit, info->batchcount, info->shared,
		(unsigned long)info->active_slabs, (unsigned long)info->total_slabs, 0ul);
	return 0;
}

void loam__slabinfo(FILE *out)
{
	struct loam__graph *graph = loam__machine.graph;

	fprintf(out, "slabinfo - version: 2.1\n"
		     "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
		     " : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> "
		     "<sharedavail>\n");
	for (unsigned i = graph->nr; i--;)
		loam__caches(graph->instances[i], slab_line, out);
}

int loam__caches(struct loam_self *self, loam_cache_fn fn, void *arg)
{
	const struct loam_link *link = &self->links[LOAM_ROLE_OBJECTS];
	const struct loam_objects_ops *ops = link->ops;

	return ops && ops->each && !self->filter ? ops->each(link->inst, fn, arg) : 0;
}

void loam__buddyinfo(FILE *out)
{
	const struct loam_link *link = loam__machine.frames.link;

	for (unsigned i = 0; link && i < LOAM_ZONES; i++) {
		const struct loam__zone *zone = &loam__machine.zones[i];
		unsigned long counts[LOAM_ORDERS] = { 0 };

		if (!zone->present)
			continue;
		loam_pages_ops(link)->counts(link->inst, &zone->pub, counts);
		fprintf(out, "Node %d, zone %8s ", 0, zone->pub.name);
		for (unsigned order = 0; order < loam__machine.orders; order++)
			fprintf(out, "%6lu ", counts[order]);
		fputc('\n', out);
	}
}

/* Without kernel code no CPU keeps frames. */
static void zone_pagesets(const struct loam__zone *zone, FILE *out)
{
	fprintf(out, "\n  pagesets");
	for (unsigned cpu = 0; cpu < loam__machine.cpus; cpu++) {
		struct loam__pageset set = { 0, 0, 0 };

		if (loam__kernel.pageset)
			loam__kernel.pageset(cpu, zone->pub.id, &set);
		fprintf(out, "\n    cpu: %u\n              count: %u\n              high:  %u\n              batch: %u",
			cpu, set.count, set.high, set.batch);
	}
	fprintf(out, "\n  node_unreclaimable:  %u\n  start_pfn:           %lu", 0, zone->pub.start_pfn);
}

void loam__zoneinfo(FILE *out)
{
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		const struct loam__zone *zone = &loam__machine.zones[i];

		if (!zone->present)
			continue;
		fprintf(out, "Node %d, zone %8s", 0, zone->pub.name);
		fprintf(out,
			"\n  pages free     %lu\n        boost    %lu\n        min      %lu\n        low      %lu"
			"\n        high     %lu\n        spanned  %lu\n        present  %lu\n        managed  %lu\n    "
			"    cma      %lu",
			__atomic_load_n(&zone->free, __ATOMIC_RELAXED), 0ul, zone->wmark_min, zone->wmark_low,
			zone->wmark_high, zone->spanned, zone->present, zone->pub.managed, 0ul);
		fprintf(out, "\n        protection: (%lu", zone->lowmem_reserve[0]);
		for (unsigned j = 1; j < LOAM_ZONES; j++)
			fprintf(out, ", %lu", zone->lowmem_reserve[j]);
		fprintf(out, ")");
		zone_pagesets(zone, out);
		fputc('\n', out);
	}
}
