/* SPDX-License-Identifier: MIT */
/* test-zones.c: [machine] zones, watermarks and reserves, against values computed by hand from the kernel's formulas. */
#include "internal.h"
#include "machine-fixture.h"

#include <string.h>

#define MB(n) ((n)*256ul)

static const struct {
	const char *text;
	enum loam__backing backing;
	const char *says;
	unsigned long dma, normal, high;
} cases[] = {
	{ "", LOAM_BACKING_MEMFD, NULL, MB(16), MB(240), 0 },
	{ "", LOAM_BACKING_ANON, NULL, 0, MB(256), 0 },
	{ "DMA:16M NORMAL:112M HIGHMEM:*", LOAM_BACKING_MEMFD, NULL, MB(16), MB(112), MB(128) },
	{ "normal:*", LOAM_BACKING_MEMFD, NULL, 0, MB(256), 0 },
	{ "NORMAL:16M DMA:16M", LOAM_BACKING_MEMFD, "does not come behind", 0, 0, 0 },
	{ "NORMAL:300M", LOAM_BACKING_MEMFD, "does not fit", 0, 0, 0 },
	{ "NORMAL:256M HIGHMEM:*", LOAM_BACKING_MEMFD, "nothing is left", 0, 0, 0 },
	{ "DMA:* NORMAL:*", LOAM_BACKING_MEMFD, "two zones", 0, 0, 0 },
	{ "HUGE:16M", LOAM_BACKING_MEMFD, "expected ZONE:SIZE", 0, 0, 0 },
	{ "NORMAL:5000", LOAM_BACKING_MEMFD, "whole pages", 0, 0, 0 },
	{ "HIGHMEM:*", LOAM_BACKING_MEMFD, "no low memory", 0, 0, 0 },
	{ "NORMAL:16M HIGHMEM:*", LOAM_BACKING_ANON, "backing = memfd", 0, 0, 0 },
};

START_TEST(zones_are_read_and_checked)
{
	struct loam__zone_spec spec;
	char why[200] = "";
	int error = loam__zones_parse(cases[_i].text, MB(256), cases[_i].backing, &spec, why, sizeof(why));

	ck_assert_msg(!error == !cases[_i].says, "%s", why);
	if (error) {
		ck_assert_msg(strstr(why, cases[_i].says) != NULL, "%s", why);
		return;
	}
	ck_assert_uint_eq(spec.pages[LOAM_ZONE_DMA], cases[_i].dma);
	ck_assert_uint_eq(spec.pages[LOAM_ZONE_NORMAL], cases[_i].normal);
	ck_assert_uint_eq(spec.pages[LOAM_ZONE_HIGHMEM], cases[_i].high);
}
END_TEST

START_TEST(watermarks_follow_the_kernels_formulas)
{
	struct loam__zone zones[LOAM_ZONES];

	memset(zones, 0, sizeof(zones));
	zones[LOAM_ZONE_DMA].pub.managed = MB(16);
	zones[LOAM_ZONE_NORMAL].pub.managed = MB(112);
	zones[LOAM_ZONE_HIGHMEM].pub.managed = MB(128);
	loam__zones_watermarks(zones, 0);
	/* 128 MiB low: sqrt(131072 * 16) = 1448 KiB = 362 pages, 45 for DMA and 316 for NORMAL. */
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA].wmark_min, 45);
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA].wmark_low, 45 + 11);
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA].wmark_high, 45 + 22);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].wmark_min, 316);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].wmark_low, 316 + 79);
	/* 32768 / 1024 = 32. */
	ck_assert_uint_eq(zones[LOAM_ZONE_HIGHMEM].wmark_min, 32);
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA].lowmem_reserve[LOAM_ZONE_NORMAL], MB(112) / 256);
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA].lowmem_reserve[LOAM_ZONE_HIGHMEM], MB(240) / 256);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].lowmem_reserve[LOAM_ZONE_HIGHMEM], MB(128) / 32);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].lowmem_reserve[LOAM_ZONE_NORMAL], 0);
	ck_assert_uint_eq(zones[LOAM_ZONE_DMA32].lowmem_reserve[LOAM_ZONE_NORMAL], 0);
}
END_TEST

START_TEST(min_free_has_bounds)
{
	struct loam__zone zones[LOAM_ZONES];

	memset(zones, 0, sizeof(zones));
	zones[LOAM_ZONE_NORMAL].pub.managed = 128;
	loam__zones_watermarks(zones, 0);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].wmark_min, 32);
	zones[LOAM_ZONE_NORMAL].pub.managed = 64ul << 18;
	loam__zones_watermarks(zones, 0);
	ck_assert_uint_eq(zones[LOAM_ZONE_NORMAL].wmark_min, 8192);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("zones");
	TCase *t = tcase_create("zones");

	tcase_add_loop_test(t, zones_are_read_and_checked, 0, (int)LOAM_LEN(cases));
	tcase_add_test(t, watermarks_follow_the_kernels_formulas);
	tcase_add_test(t, min_free_has_bounds);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
