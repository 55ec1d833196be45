/* SPDX-License-Identifier: MIT */
/* boot.c: the suite of the role boot. The model that judges each call is in boot-model.c. */
#include "boot-model.h"

#include <errno.h>

/* ---- for the general tests ---- */

/* Nobody told the instance of RAM: it is not the machine's own. Low memory with a hole, without the first frame. */
static bool open_ram(void)
{
	loam_phys_t end = loam__machine.map.low_bytes, hole = (end / 3) & ~(loam_phys_t)(LOAM_PAGE_SIZE - 1);

	return !boot_add(LOAM_PAGE_SIZE, hole - LOAM_PAGE_SIZE) &&
	       !boot_add(hole + 3 * LOAM_PAGE_SIZE, end - hole - 3 * LOAM_PAGE_SIZE);
}

/* Whole frames where ranges are not exact: then what is reserved is what was asked for. */
static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	static const unsigned sizes[] = { 64, 4096, 100, 1000, 12288, 256, 24, 5000, 4096, 8192, 31, 2048 };
	struct request request = { .bytes = sizes[i % LOAM_LEN(sizes)],
				   .align = 16u << i % 7,
				   .high = loam__machine.map.low_bytes,
				   .flags = i / 5 % 2 ? LOAM_BOOT_TOP_DOWN : 0 };
	loam_phys_t at;

	(void)gfp;
	if (!boot_exact()) {
		request.bytes = (request.bytes + LOAM_PAGE_SIZE - 1) & ~(loam_phys_t)(LOAM_PAGE_SIZE - 1);
		request.align = LOAM_PAGE_SIZE;
	}
	if (boot_alloc(&request, &at))
		return false;
	*held = (struct held){
		.ptr = loam__machine.map.base + at, .bytes = request.bytes, .units = request.bytes, .seed = job.seed + i
	};
	pattern_write(held->ptr, held->bytes, held->seed);
	return true;
}

static void give(struct held *held)
{
	boot_free((loam_phys_t)((char *)held->ptr - loam__machine.map.base), held->bytes);
}

/* ---- results ---- */

static loam_phys_t frame(loam_phys_t n)
{
	return n << LOAM_PAGE_SHIFT;
}

static loam_phys_t take_any(loam_phys_t bytes, loam_phys_t align, unsigned flags)
{
	const struct request request = { bytes, align, 0, BOOT_BYTES, flags };

	return model_alloc(&request);
}

/* Until nothing of that kind is left. */
static unsigned drain(loam_phys_t bytes, loam_phys_t align, unsigned flags)
{
	unsigned n = 0;

	while (take_any(bytes, align, flags) != NOWHERE)
		n++;
	return n;
}

static void what_is_had_is_ram(void)
{
	boot_begin();
	boot_ragged();
	model_remove(frame(33), frame(5));
	for (unsigned flags = 0; flags < 2; flags++) {
		drain(frame(3), LOAM_PAGE_SIZE, flags);
		drain(frame(1), LOAM_PAGE_SIZE, flags);
		drain(700, 8, flags);
		boot_free_all();
	}
	model_add(frame(35) + 10, frame(2));
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_free_all();
	/* A part of a frame that small requests came from is RAM no longer. */
	for (unsigned i = 0; i < 40; i++) {
		loam_phys_t at = take_any(100, 4, 0);

		if (i % 8 == 7)
			model_remove(at, 200);
	}
	boot_free_all();
}

static void nothing_is_had_twice(void)
{
	boot_begin();
	boot_all();
	model_reserve(frame(2), frame(3));
	model_reserve(frame(4) + 100, frame(3));
	model_reserve(frame(20) + 5, 1);
	for (unsigned i = 0; i < effort(150); i++) {
		loam_phys_t at = take_any(1 + rng_below(&test_rng, 900), 1, i / 20 % 2);

		/* What lies behind a small block is the reserver's from now on. */
		if (at + frame(1) < BOOT_BYTES && i % 6 == 5)
			model_reserve(at + 1, 1500);
	}
	model_add(frame(95), frame(1));
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_look();
	boot_free_all();
	model_reserve(frame(40), frame(10));
	model_reserve(frame(38), frame(14));
	model_reserve(frame(45), frame(1));
	drain(frame(1), LOAM_PAGE_SIZE, 1);
	boot_free_all();
}

/* Reserved before it was RAM. */
static void reserved_before_it_is_ram(void)
{
	boot_begin();
	model_reserve(frame(10), frame(4));
	model_reserve(frame(30) + 1, 10);
	boot_look();
	boot_all();
	boot_look();
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_free_all();
}

static void is_invalid(const char *what, int result, const struct loam_stat *was)
{
	struct loam_stat now = stat_now();

	kept("BOOT-03", result == -EINVAL, "%s returns %d", what, result);
	kept("BOOT-03", now.failures == was->failures && now.allocs == was->allocs && now.frees == was->frees,
	     "%s is counted", what);
}

static void what_is_wrong_is_refused(void)
{
	const struct request none = { 0, 8, 0, BOOT_BYTES, 0 }, odd = { 64, 24, 0, BOOT_BYTES, 0 },
			     zero = { 64, 0, 0, BOOT_BYTES, LOAM_BOOT_TOP_DOWN };
	const loam_phys_t last = -(loam_phys_t)LOAM_PAGE_SIZE;
	struct loam_stat was;
	loam_phys_t at;

	boot_begin();
	boot_ragged();
	take_any(5000, 8, 0);
	was = stat_now();
	is_invalid("alloc of 0 bytes", boot_alloc(&none, &at), &was);
	is_invalid("alloc at a multiple of 24", boot_alloc(&odd, &at), &was);
	is_invalid("alloc at a multiple of 0", boot_alloc(&zero, &at), &was);
	is_invalid("add behind the last address", boot_add(last, 2 * LOAM_PAGE_SIZE), &was);
	is_invalid("reserve behind the last address", boot_reserve(last, 2 * LOAM_PAGE_SIZE), &was);
	is_invalid("remove behind the last address", boot_remove(frame(3), last), &was);
	is_invalid("free behind the last address", boot_free(frame(1), last), &was);
	boot_look();
}

static void added_in_any_way(void)
{
	boot_begin();
	model_add(frame(4), frame(4));
	model_add(frame(8), frame(4));
	model_add(frame(2), frame(2));
	boot_look();
	model_add(frame(3), frame(30));
	model_add(frame(5), frame(1));
	model_add(frame(3), 0);
	model_add(frame(3) + 7, 0);
	model_reserve(frame(3) + 7, 0);
	model_reserve(frame(6), 0);
	boot_look();
	model_add(frame(50), frame(2));
	model_add(frame(54), frame(2));
	boot_look();
	model_add(frame(40), frame(30));
	boot_look();
	model_add(frame(33), frame(7));
	boot_look();
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_free_all();
}

static void removed_is_not_had(void)
{
	boot_begin();
	boot_ragged();
	model_reserve(frame(15), frame(4));
	model_remove(frame(14), frame(3));
	boot_look();
	model_remove(frame(14), frame(3));
	model_remove(frame(25), frame(2));
	model_remove(frame(33), 0);
	model_remove(frame(33) + 9, 0);
	boot_look();
	model_remove(frame(22), frame(30));
	boot_look();
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_free_all();
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	model_add(frame(14), frame(3));
	boot_look();
	drain(frame(1), LOAM_PAGE_SIZE, 0);
	boot_free_all();
}

static void freed_in_any_way(void)
{
	loam_phys_t at;

	boot_begin();
	boot_all();
	model_free(frame(5), frame(3));
	at = take_any(frame(12), LOAM_PAGE_SIZE, 0);
	model_free(at + frame(2), frame(3));
	boot_look();
	model_free(at + frame(2), frame(3));
	model_free(at + frame(1), frame(6));
	boot_look();
	model_free(at + frame(9), 0);
	model_free(at + frame(9) + 5, 0);
	model_free(at + frame(9) + 5, frame(1));
	boot_look();
	model_free(at, frame(12));
	boot_look();
	for (unsigned i = 0; i < 8; i++)
		take_any(frame(2), LOAM_PAGE_SIZE, i % 2);
	model_free(frame(1), frame(4));
	boot_free_all();
	model_free(0, BOOT_BYTES);
}

static void kept_to_the_byte(void)
{
	boot_begin();
	model_add(100, 10000);
	model_add(20001, 7);
	boot_look();
	model_remove(5001, 13);
	model_reserve(300, 1);
	model_reserve(303, 3);
	boot_look();
	take_any(1, 1, 0);
	take_any(13, 1, 1);
	take_any(6, 2, 1);
	boot_look();
	model_free(304, 1);
	boot_look();
	drain(1000, 1, 0);
	drain(1, 1, 0);
	boot_look();
	boot_free_all();
}

/* ---- places ---- */

static void within_the_limits(void)
{
	boot_begin();
	boot_all();
	for (unsigned i = 0; i < effort(200); i++) {
		struct request request = { .bytes = rng_size(&test_rng, frame(3)),
					   .align = 1u << rng_below(&test_rng, 13),
					   .low = rng_below(&test_rng, BOOT_BYTES),
					   .flags = i % 2 };
		loam_phys_t at;

		/* As narrow as can be, too. */
		request.high = request.low + request.bytes + rng_size(&test_rng, 8000) - 1;
		if (i % 5 == 0)
			request = (struct request){ frame(2), LOAM_PAGE_SIZE, frame(i % 90), frame(i % 90 + 2), i & 1 };
		at = model_alloc(&request);
		if (at != NOWHERE && i % 3)
			model_free(at, request.bytes);
	}
	boot_free_all();
	/* In the frame that small blocks share, the limits hold too. */
	for (unsigned i = 0; i < 60; i++) {
		loam_phys_t at = take_any(100, 1, 0);
		struct request request = { 200, 1, at, at + 250, i & 1 };

		model_alloc(&request);
		request = (struct request){ 20, 1, at + 150, at + 190, i & 1 };
		model_alloc(&request);
	}
	boot_free_all();
}

static void at_every_alignment(void)
{
	boot_begin();
	boot_ragged();
	for (unsigned flags = 0; flags < 2; flags++) {
		for (unsigned shift = 0; shift < 64; shift++) {
			take_any(3, 1, flags);
			take_any(100 + shift, (loam_phys_t)1 << shift, flags);
			if (shift % 4 == 3)
				take_any(frame(1), (loam_phys_t)1 << shift, flags);
		}
		boot_free_all();
	}
}

static void lowest_or_highest(void)
{
	boot_begin();
	boot_ragged();
	for (unsigned i = 0; i < effort(60); i++) {
		loam_phys_t at = take_any(frame(1 + i % 3), LOAM_PAGE_SIZE << i % 2, i / 2 % 2);

		if (at != NOWHERE && i % 4 == 0)
			model_free(at, frame(1 + i % 3));
	}
	boot_free_all();
}

static void lowest_or_highest_to_the_byte(void)
{
	boot_begin();
	boot_ragged();
	for (unsigned i = 0; i < effort(150); i++) {
		loam_phys_t bytes = rng_size(&test_rng, 9000), at = take_any(bytes, 1u << i % 8, i / 3 % 2);

		if (at != NOWHERE && rng_below(&test_rng, 2))
			model_free(at, bytes);
	}
	boot_free_all();
}

/* ---- exhaustion ---- */

static void to_the_last_frame(void)
{
	unsigned first = 0;

	boot_begin();
	boot_ragged();
	for (unsigned round = 0; round < 6; round++) {
		unsigned n = drain(frame(1), LOAM_PAGE_SIZE, round % 2);

		first = round ? first : n;
		kept("BOOT-13", n == first && n == 86, "%u frames can be had, after %u the first time; there are 86", n,
		     first);
		boot_look();
		boot_free_all();
		drain(round * 300 + 1000, 64, round / 2 % 2);
		boot_free_all();
	}
}

static void only_what_does_not_fit_is_refused(void)
{
	boot_begin();
	boot_ragged();
	for (loam_phys_t n = 31; n; n--)
		drain(frame(n) - (n % 3 ? 0 : 17), LOAM_PAGE_SIZE, n % 2);
	kept("BOOT-12", take_any(frame(1), 1, 0) == NOWHERE, "a frame is had, and all are taken");
	boot_look();
	boot_free_all();
	drain(frame(1), frame(2), 0);
	drain(frame(1), frame(2), 1);
	boot_free_all();
}

static void a_refusal_changes_nothing(void)
{
	boot_begin();
	boot_ragged();
	for (unsigned i = 0; i < 30; i++) {
		const struct request far = { 64, 8, BOOT_BYTES + frame(i), BOOT_BYTES + frame(i + 9), i % 2 },
				     none = { 64, 8, frame(i + 1), frame(i + 1), i % 2 },
				     back = { 64, 8, frame(i + 9), frame(i), i % 2 },
				     top = { 64, frame(1), -(loam_phys_t)64, -(loam_phys_t)1, i % 2 };

		model_alloc(&far);
		model_alloc(&none);
		model_alloc(&back);
		model_alloc(&top);
		take_any(BOOT_BYTES + i, 8, i % 2);
		take_any(frame(32), LOAM_PAGE_SIZE, i % 2);
		take_any(-(loam_phys_t)i - 1, 8, i % 2);
		take_any(frame(1) + i, 1u << i % 12, i % 2);
		boot_look();
	}
	boot_free_all();
}

static void giving_back_needs_nothing(void)
{
	struct loam_boot_range held[400];
	unsigned n = 0;

	boot_begin();
	boot_all();
	for (; n < LOAM_LEN(held); n++) {
		held[n].bytes = boot_exact() ? 100 + n : LOAM_PAGE_SIZE;
		held[n].base = take_any(held[n].bytes, boot_exact() ? 1 : LOAM_PAGE_SIZE, n / 7 % 2);
		if (held[n].base == NOWHERE)
			break;
		/* Whatever is full just now. */
		shim_fail_all(true);
		model_free(held[n].base, held[n].bytes);
		held[n].base = take_any(held[n].bytes, boot_exact() ? 1 : LOAM_PAGE_SIZE, n / 7 % 2);
		shim_fail_all(false);
	}
	shim_fail_all(true);
	for (unsigned i = 0; i < n; i++) {
		unsigned k = i * 37 % n;
		int result;

		if (!held[k].bytes)
			continue;
		result = boot_free(held[k].base, held[k].bytes);
		kept("BOOT-15", !result, "with no metadata to be had, free of what alloc gave returns %d", result);
		held[k].bytes = 0;
	}
	shim_fail_all(false);
	for (unsigned i = 0; i < n; i++)
		if (held[i].bytes)
			boot_free(held[i].base, held[i].bytes);
	kept("BOOT-15", !boot_reserved(), "all was freed, and %llu bytes are reserved",
	     (unsigned long long)boot_reserved());
}

/* One byte of each run of frames: more and more ranges, until one more needs metadata. */
static void without_metadata_nothing_changes(void)
{
	bool refused = false;

	boot_begin();
	boot_all();
	model_reserve(0, BOOT_BYTES);
	shim_fail_all(true);
	for (loam_phys_t at = 0; at < BOOT_BYTES && !refused; at += 512) {
		uint64_t was = boot_reserved();
		int result = boot_free(at + 100, 1);

		refused = result == -ENOMEM;
		kept("BOOT-15", !result || refused, "free of a reserved byte returns %d", result);
		kept("BOOT-15", !refused || boot_reserved() == was, "free returns -ENOMEM, and has freed something");
		kept("BOOT-15", stat_now().live_bytes == boot_reserved(),
		     "live_bytes is %llu, and %llu bytes are reserved", (unsigned long long)stat_now().live_bytes,
		     (unsigned long long)boot_reserved());
	}
	shim_fail_all(false);
	boot_free(0, BOOT_BYTES);
	kept("BOOT-15", !boot_reserved(), "all was freed, and %llu bytes are reserved",
	     (unsigned long long)boot_reserved());
}

/* ---- introspection ---- */

static void free_ranges_agree(void)
{
	boot_begin();
	boot_look();
	boot_ragged();
	boot_look();
	model_reserve(frame(30), frame(1));
	model_reserve(frame(40), frame(9));
	model_reserve(frame(94), frame(2));
	boot_look();
	model_reserve(0, frame(11));
	boot_look();
	model_free(frame(42), frame(2));
	boot_look();
}

static void reserved_ranges_agree(void)
{
	boot_begin();
	boot_look();
	model_reserve(frame(8), frame(4));
	model_reserve(frame(12), frame(2));
	boot_look();
	boot_ragged();
	for (unsigned i = 0; i < 20; i++)
		take_any(frame(1), LOAM_PAGE_SIZE, 0);
	boot_look();
	model_free(frame(3), frame(1));
	boot_look();
	model_reserve(frame(3), frame(1));
	boot_look();
}

static void counters_count_reserved_bytes(void)
{
	boot_begin();
	boot_ragged();
	model_reserve(frame(2), frame(4));
	model_reserve(frame(4), frame(4));
	model_reserve(frame(2), frame(3));
	for (unsigned i = 0; i < 60; i++)
		take_any(100 * i + 1, 8, i % 2);
	model_free(frame(3), frame(20));
	model_free(frame(1), frame(10));
	model_reserve(frame(90), frame(6));
	boot_free_all();
}

static void looking_changes_nothing(void)
{
	bool exact = boot_exact();
	struct loam_boot_range range;
	struct loam_stat was, now;

	boot_begin();
	boot_ragged();
	for (unsigned i = 0; i < 40; i++) {
		take_any(100 + i * 91, 8, i % 2);
		was = stat_now();
		for (unsigned k = 0; k < 50; k++) {
			boot_range(k, false, &range);
			boot_range(k, true, &range);
		}
		boot_range(~0u, false, &range);
		boot_range(~0u, true, &range);
		kept("BOOT-19", boot_exact() == exact, "limits tells something else than before");
		now = stat_now();
		kept("BOOT-19", now.allocs == was.allocs && now.frees == was.frees && now.failures == was.failures,
		     "looking is counted");
		kept("BOOT-19", boot_reserved() == was.live_bytes, "looking changed what is reserved");
	}
	boot_look();
	boot_free_all();
}

static void random_sequences(void)
{
	sequence_test(&boot_sequence, 200);
}

/* ---- the suite ---- */

static const struct capability capabilities[] = { { "EXACT", boot_exact }, { NULL, NULL } };

static const struct test tests[] = {
	{ "what-is-had-is-ram", "BOOT-01", what_is_had_is_ram, EXAMPLE, 0, 8 },
	{ "nothing-is-had-twice", "BOOT-02", nothing_is_had_twice, EXAMPLE, 0, 8 },
	{ "reserved-before-it-is-ram", "BOOT-02 BOOT-17", reserved_before_it_is_ram, EXAMPLE, 0, 8 },
	{ "what-is-wrong-is-refused", "BOOT-03", what_is_wrong_is_refused, EXAMPLE, 0, 8 },
	{ "added-in-any-way", "BOOT-04 BOOT-16", added_in_any_way, EXAMPLE, 0, 8 },
	{ "removed-is-not-had", "BOOT-05 BOOT-16", removed_is_not_had, EXAMPLE, 0, 8 },
	{ "freed-in-any-way", "BOOT-06 BOOT-17", freed_in_any_way, EXAMPLE, 0, 8 },
	{ "kept-to-the-byte", "BOOT-07 BOOT-18", kept_to_the_byte, EXAMPLE, 0, 8 },
	{ "within-the-limits", "BOOT-08", within_the_limits, EXAMPLE, 0, 8 },
	{ "at-every-alignment", "BOOT-09", at_every_alignment, EXAMPLE, 0, 8 },
	{ "lowest-or-highest", "BOOT-10", lowest_or_highest, EXAMPLE, 0, 8 },
	{ "lowest-or-highest-to-the-byte", "BOOT-11", lowest_or_highest_to_the_byte, EXAMPLE, 0, 8 },
	{ "only-what-does-not-fit-is-refused", "BOOT-12", only_what_does_not_fit_is_refused, EXHAUSTION, 0, 8 },
	{ "to-the-last-frame", "BOOT-13", to_the_last_frame, EXHAUSTION, 0, 8 },
	{ "a-refusal-changes-nothing", "BOOT-14", a_refusal_changes_nothing, EXHAUSTION, 0, 8 },
	{ "giving-back-needs-nothing", "BOOT-15", giving_back_needs_nothing, FAULT, 0, 8 },
	{ "without-metadata-nothing-changes", "BOOT-15", without_metadata_nothing_changes, FAULT, 0, 8 },
	{ "free-ranges-agree", "BOOT-16", free_ranges_agree, INTROSPECTION, 0, 8 },
	{ "reserved-ranges-agree", "BOOT-17", reserved_ranges_agree, INTROSPECTION, 0, 8 },
	{ "counters-count-reserved-bytes", "BOOT-18", counters_count_reserved_bytes, INTROSPECTION, 0, 8 },
	{ "looking-changes-nothing", "BOOT-19", looking_changes_nothing, INTROSPECTION, 0, 8 },
	{ "random-sequences", "BOOT-01 BOOT-02 BOOT-12 BOOT-16 BOOT-17 BOOT-18", random_sequences, MODEL, NO_MACHINE,
	  8 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_BOOT,
	.name = "boot",
	TESTS(tests),
	.capabilities = capabilities,
	.open = open_ram,
	.take = take,
	.give = give,
	.sequence = &boot_sequence,
};
SUITE(suite);
