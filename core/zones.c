/* SPDX-License-Identifier: MIT */
/*
 * zones.c: what [machine] says, and the zones' sizes and watermarks.
 *
 * The formulas are Linux 6.1's: min_free_kbytes is the square root of sixteen times the low memory in KiB, from 128 to 262144;
 * each low zone has its share of it as `min`, high memory a thousandth of itself (32 to 128 pages); `low` and `high` follow
 * in steps of max(min / 4, managed / 1000). A request that could have been served from a higher zone leaves a part of the
 * lower ones alone: the frames above divided by 256 (DMA, DMA32) or 32 (NORMAL).
 */
#include "internal.h"
#include "param.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *const backings[] = { "memfd", "anon", NULL };
static const char *const releases[] = { "never", "lazy", "now", NULL };
static const char *const reserves[] = { "6.1", "old", NULL };
static const char *const on_reports[] = { "continue", "stop", NULL };

const struct loam_param loam__machine_params[LOAM_M_COUNT] = {
	[LOAM_M_MEMORY] = LOAM_PARAM(
			.type = LOAM_PARAM_SIZE, .name = "memory", .def = "0", .min = 0, .max = (int64_t)1 << 46,
			.help = "physical memory, at least 1M; 0: as much as this computer has (anon), 256M (memfd)"),
	[LOAM_M_ZONES] = LOAM_PARAM(.type = LOAM_PARAM_STRING, .name = "zones", .def = "",
				    .help = "zones from frame 0 upwards, such as DMA:16M NORMAL:112M HIGHMEM:*"),
	[LOAM_M_MEM] =
		LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "mem", .def = "0", .min = 0, .max = (int64_t)1 << 46,
			   .help = "memory from this address on is held back from the page allocator; 0: none is"),
	[LOAM_M_CPUS] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "cpus", .def = "1", .min = 1, .max = 64,
				   .help = "logical CPUs for kernel code"),
	[LOAM_M_BACKING] =
		LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "backing", .def = "memfd", .choices = backings,
			   .help = "shared memory that can be mapped twice, or private memory that fork copies"),
	[LOAM_M_RELEASE] = LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "release", .def = "never", .choices = releases,
				      .help = "whether free blocks of 64K and more go back to the system"),
	[LOAM_M_SEED] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "seed", .def = "0", .min = 0, .max = INT64_MAX,
				   .help = "of everything random; 0: one from the system"),
	[LOAM_M_MIN_FREE] =
		LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "min_free", .def = "0", .min = 0, .max = (int64_t)1 << 40,
			   .help = "the reserve below all watermarks; 0: the kernel's formula"),
	[LOAM_M_RESERVE] =
		LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "reserve", .def = "6.1", .choices = reserves,
			   .help = "what GFP_ATOMIC may take of it: Linux 6.1's part, or all as older kernels allowed"),
	[LOAM_M_REPORT] =
		LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "report", .def = "continue", .choices = on_reports,
			   .help = "after misuse was reported: go on, or stop the program"),
	[LOAM_M_METADATA] =
		LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "metadata", .def = "0", .min = 0, .max = (int64_t)1 << 40,
			   .help = "limit of the memory for plugins' records; 0: none"),
};

static const char *const zone_keys[LOAM_ZONES + 1] = { "DMA", "DMA32", "NORMAL", "HIGHMEM", "MOVABLE", NULL };

static int zone_by_key(const char *word, size_t n)
{
	for (int i = 0; i < LOAM_ZONES; i++)
		if (strlen(zone_keys[i]) == n && !strncasecmp(zone_keys[i], word, n))
			return i;
	return -1;
}

struct zone_reader {
	struct loam__zone_spec *spec;
	unsigned long left; /* frames that no zone has yet */
	int last, rest;     /* the zone before; the one with '*', or -1 */
	char *why;
	size_t why_size;
};

/* One "NAME:SIZE". */
static int read_zone(struct zone_reader *reader, const char *word, size_t n)
{
	const char *colon = memchr(word, ':', n);
	int zone = colon ? zone_by_key(word, (size_t)(colon - word)) : -1;
	char size_text[24];
	uint64_t size;

	if (zone < 0 || n - (size_t)(colon - word) > sizeof(size_text)) {
		snprintf(reader->why, reader->why_size,
			 "'%.*s': expected ZONE:SIZE with one of DMA, DMA32, NORMAL, HIGHMEM, MOVABLE", (int)n, word);
		return -EINVAL;
	}
	if (zone <= reader->last) {
		snprintf(reader->why, reader->why_size,
			 "%s does not come behind %s; the order is DMA, DMA32, NORMAL, HIGHMEM, MOVABLE",
			 zone_keys[zone], zone_keys[reader->last]);
		return -EINVAL;
	}
	reader->last = zone;
	snprintf(size_text, sizeof(size_text), "%.*s", (int)(word + n - colon - 1), colon + 1);
	if (!strcmp(size_text, "*")) {
		if (reader->rest >= 0) {
			snprintf(reader->why, reader->why_size, "two zones of size '*'");
			return -EINVAL;
		}
		reader->rest = zone;
		return 0;
	}
	if (loam__size_parse(size_text, &size) || !size || size % LOAM_PAGE_SIZE) {
		snprintf(reader->why, reader->why_size, "%s:%s: expected '*' or a size in whole pages", zone_keys[zone],
			 size_text);
		return -EINVAL;
	}
	if (size >> LOAM_PAGE_SHIFT > reader->left) {
		snprintf(reader->why, reader->why_size, "%s:%s does not fit into the machine's memory", zone_keys[zone],
			 size_text);
		return -EINVAL;
	}
	reader->spec->pages[zone] = size >> LOAM_PAGE_SHIFT;
	reader->left -= size >> LOAM_PAGE_SHIFT;
	return 0;
}

/* What the kind of memory allows, and that there is some for the '*'. */
static int finish_zones(struct zone_reader *reader, enum loam__backing backing)
{
	const unsigned long *pages = reader->spec->pages;

	if (reader->rest >= 0 && !reader->left) {
		snprintf(reader->why, reader->why_size, "nothing is left for %s:*", zone_keys[reader->rest]);
		return -EINVAL;
	}
	if (reader->rest >= 0)
		reader->spec->pages[reader->rest] = reader->left;
	if (backing == LOAM_BACKING_ANON && (pages[LOAM_ZONE_HIGHMEM] || pages[LOAM_ZONE_MOVABLE])) {
		snprintf(reader->why, reader->why_size,
			 "backing = anon has low memory only; HIGHMEM and MOVABLE need backing = memfd");
		return -EINVAL;
	}
	if (!pages[LOAM_ZONE_DMA] && !pages[LOAM_ZONE_DMA32] && !pages[LOAM_ZONE_NORMAL]) {
		snprintf(reader->why, reader->why_size, "no low memory: one of DMA, DMA32, NORMAL is needed");
		return -EINVAL;
	}
	return 0;
}

int loam__zones_parse(const char *text, unsigned long pages, enum loam__backing backing, struct loam__zone_spec *spec,
		      char *why, size_t why_size)
{
	struct zone_reader reader = { spec, pages, -1, -1, why, why_size };
	unsigned long dma = (16ul << 20) >> LOAM_PAGE_SHIFT;

	memset(spec, 0, sizeof(*spec));
	if (!*text) {
		if (backing == LOAM_BACKING_MEMFD && pages > dma)
			spec->pages[LOAM_ZONE_DMA] = dma;
		spec->pages[LOAM_ZONE_NORMAL] = pages - spec->pages[LOAM_ZONE_DMA];
		return 0;
	}
	while (*text) {
		size_t n;

		text += strspn(text, " \t,");
		n = strcspn(text, " \t,");
		if (n && read_zone(&reader, text, n))
			return -EINVAL;
		text += n;
	}
	return finish_zones(&reader, backing);
}

/* The place of a key of [machine], or of the section. */
static void machine_error(const struct loam__config *config, struct loam_diag *diag, const char *key, const char *why)
{
	const struct loam__section *section = loam__config_section(config, "machine");
	const struct loam__entry *entry = loam__section_entry(section, key);

	loam__diag_add(diag,
		       entry     ? entry->file
		       : section ? section->file
				 : NULL,
		       entry     ? entry->line
		       : section ? section->line
				 : 0,
		       "[machine] %s%s%s: %s", key, entry ? " = " : "", entry ? entry->value : "", why);
}

void loam__machine_check(const struct loam__config *config, const union loam_value *values, struct loam_diag *diag)
{
	uint64_t memory = values[LOAM_M_MEMORY].u;
	struct loam__zone_spec spec;
	char why[200];

	if (memory && (memory < 1u << 20 || memory % LOAM_PAGE_SIZE)) {
		machine_error(config, diag, "memory", "expected 0, or at least 1M and a multiple of 4K");
		return;
	}
	memory = loam__machine_memory(values);
	if (loam__zones_parse(values[LOAM_M_ZONES].s, memory >> LOAM_PAGE_SHIFT,
			      (enum loam__backing)values[LOAM_M_BACKING].i, &spec, why, sizeof(why)))
		machine_error(config, diag, "zones", why);
	if (values[LOAM_M_MIN_FREE].u >= memory)
		machine_error(config, diag, "min_free", "expected less than the machine's memory");
}

/* ---- watermarks ---- */

static unsigned long int_sqrt(unsigned long n)
{
	unsigned long root = 0;

	for (unsigned long bit = 1ul << 31; bit; bit >>= 1)
		if ((root | bit) * (root | bit) <= n)
			root |= bit;
	return root;
}

static unsigned long clamp(unsigned long n, unsigned long low, unsigned long high)
{
	return n < low ? low : n > high ? high : n;
}

static bool is_low(unsigned zone)
{
	return zone == LOAM_ZONE_DMA || zone == LOAM_ZONE_DMA32 || zone == LOAM_ZONE_NORMAL;
}

static void reserves_for(struct loam__zone *zones)
{
	static const unsigned ratio[LOAM_ZONES] = { 256, 256, 32, 0, 0 };

	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		unsigned long above = 0;

		for (unsigned j = i + 1; j < LOAM_ZONES; j++) {
			above += zones[j].pub.managed;
			zones[i].lowmem_reserve[j] = ratio[i] && zones[i].pub.managed ? above / ratio[i] : 0;
		}
	}
}

/** Watermarks and reserves of all zones from their managed frames; @min_free_kbytes 0: by the formula. */
void loam__zones_watermarks(struct loam__zone *zones, unsigned long min_free_kbytes)
{
	unsigned long low_pages = 0, min_pages;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		low_pages += is_low(i) ? zones[i].pub.managed : 0;
	if (!min_free_kbytes)
		min_free_kbytes = clamp(int_sqrt(low_pages * 4 * 16), 128, 262144);
	min_pages = min_free_kbytes / 4;
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		unsigned long managed = zones[i].pub.managed, share = low_pages ? min_pages * managed / low_pages : 0,
			      step;

		zones[i].wmark_min = !managed ? 0 : is_low(i) ? share : clamp(managed / 1024, 32, 128);
		step = share / 4 > managed / 1000 ? share / 4 : managed / 1000;
		zones[i].wmark_low = managed ? zones[i].wmark_min + step : 0;
		zones[i].wmark_high = managed ? zones[i].wmark_low + step : 0;
	}
	reserves_for(zones);
}
