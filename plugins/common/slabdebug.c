/* SPDX-License-Identifier: MIT */
/* slabdebug.c: red zones, poison and tracks, and the reports of what became of them. */
#include "slabdebug.h"

#include "misuse.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RED_FREE 0xbb
#define RED_LIVE 0xcc
#define POISON_FREE 0x6b
#define POISON_END 0xa5
#define PADDING 0x5a

/* ---- layout ---- */

/** Who did something to an object last, and when. */
struct track {
	uint64_t ms;    /* of the monotonic clock */
	int32_t thread; /* 0: nobody yet */
	uint32_t cpu;
};

struct tracks {
	struct track alloc, free;
};

static uint32_t round_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) & ~(to - 1);
}

void slabdebug_layout(struct slabdebug *debug, uint32_t object_size, uint32_t align, uint32_t flags, bool outside)
{
	uint32_t end = round_up(object_size, 8);
	bool track = flags & SLAB_STORE_USER;

	debug->object_size = object_size;
	debug->red_zone = flags & SLAB_RED_ZONE;
	debug->poison = flags & SLAB_POISON;
	debug->on = debug->red_zone || debug->poison || track || flags & SLAB_CONSISTENCY_CHECKS;
	debug->left = debug->link = debug->tracks = 0;
	/* A right red zone of at least one byte; a word more when rounding leaves none. */
	if (debug->red_zone && end == object_size)
		end += 8;
	if (debug->red_zone)
		debug->left = round_up(8, align);
	end += debug->left;
	if (outside || debug->poison || debug->red_zone || track) {
		debug->link = end;
		end += 8;
	}
	if (track) {
		debug->tracks = end;
		end += sizeof(struct tracks);
	}
	debug->padding = end;
	debug->size = round_up(end, align);
}

static struct tracks *tracks_of(const struct slabdebug *debug, const char *at)
{
	return (struct tracks *)(at + debug->tracks);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what a report shows ---- */

/** The lines of a report behind the first one; the longest have less than 2 KiB. */
struct picture {
	const struct slabdebug *debug;
	size_t n;
	char text[2560];
};

/* One more line, as far as there is room. */
static LOAM_PRINTF(2, 3) void say(struct picture *picture, const char *fmt, ...)
{
	size_t room = sizeof(picture->text) - picture->n;
	va_list args;
	int n;

	if (room < 200)
		return;
	picture->text[picture->n++] = '\n';
	va_start(args, fmt);
	n = vsnprintf(picture->text + picture->n, room - 1, fmt, args);
	va_end(args);
	picture->n += n < 0 ? 0 : (size_t)n < room - 1 ? (size_t)n : room - 2;
}

/* Up to 16 bytes, as numbers and as letters. */
static void dump_line(struct picture *picture, const char *label, const char *at, size_t n)
{
	char numbers[3 * 16 + 1], letters[16 + 1];

	n = n < 16 ? n : 16;
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)at[i];

		snprintf(numbers + 3 * i, 4, "%02x ", byte);
		letters[i] = byte >= ' ' && byte <= '~' ? (char)byte : '.';
	}
	letters[n] = '\0';
	say(picture, "%-8s %p: %-48s %s", label, (const void *)at, numbers, letters);
}

/* @lines lines of the bytes from @at to @end, and as many from @fault on when that lies behind them. */
static void dump(struct picture *picture, const char *label, const char *at, const char *end, int lines,
		 const char *fault)
{
	const char *stop = at + 16 * (size_t)lines;

	for (; at < end && at < stop; at += 16)
		dump_line(picture, label, at, (size_t)(end - at));
	if (fault < at || fault >= end)
		return;
	at += (fault - at) & ~15l;
	stop = at + 16 * (size_t)lines;
	for (; at < end && at < stop; at += 16)
		dump_line(picture, label, at, (size_t)(end - at));
}

static void show_track(struct picture *picture, const struct track *track, const char *what)
{
	if (track->thread)
		say(picture, "%s by thread %d age=%llu cpu=%u", what, track->thread,
		    (unsigned long long)(now_ms() - track->ms), track->cpu);
}

static void show_slab(struct picture *picture, const struct slabdebug_slab *slab)
{
	say(picture, "Slab %p objects=%u used=%u fp=0x%lx", (void *)slab->base, slab->num, slab->used,
	    slab->free ? (unsigned long)slab->free + picture->debug->left : 0);
}

/* The place at @at with all that is in it, as far as it fits. */
static void show_place(struct picture *picture, const struct slabdebug_slab *slab, const char *at, const char *fault)
{
	const struct slabdebug *debug = picture->debug;
	const char *object = at + debug->left, *end = object + debug->object_size, *red = at;

	if (debug->tracks) {
		show_track(picture, &tracks_of(debug, at)->alloc, "Allocated");
		show_track(picture, &tracks_of(debug, at)->free, "Freed");
	}
	show_slab(picture, slab);
	say(picture, "Object %p @offset=%td", (const void *)object, object - slab->base);
	/* Of a wide red zone the bytes next to the object, or those that were overwritten. */
	if (debug->left > 32 && (fault < at || fault >= object - 32))
		red = object - 32;
	else if (debug->left > 32)
		red = fault;
	if (debug->left)
		dump(picture, "Redzone", red, object, 2, NULL);
	else if (object - slab->base >= 16)
		dump(picture, "Bytes b4", object - 16, object, 1, NULL);
	dump(picture, "Object", object, end, 4, fault);
	if (debug->red_zone)
		dump(picture, "Redzone", end, at + debug->link, 1, fault);
	if (debug->link)
		dump(picture, "Padding", at + debug->padding, at + debug->size, 1, fault);
}

struct look {
	const struct slabdebug *debug;
	const struct slabdebug_slab *slab;
	const char *at; /* the place; NULL: the end of the slab */
	loam_check_fn fn;
	void *arg;
	int defects;
	bool brief; /* what is around was shown, or is not to be */
};

static void show(struct picture *picture, const struct look *look, const char *fault)
{
	const struct slabdebug_slab *slab = look->slab;

	say(picture, "-----------------------------------------------------------------------------");
	if (look->at) {
		show_place(picture, slab, look->at, fault);
		return;
	}
	show_slab(picture, slab);
	if (fault)
		dump(picture, "Padding", fault - (fault - slab->base) % 16, slab->base + slab->bytes, 4, NULL);
}

/* The finding itself, the first time what is around it, and what is done (NULL: nothing). */
static void tell(struct look *look, enum loam_report_kind kind, const char *ptr, const char *what, const char *fault,
		 const char *fix)
{
	const struct slabdebug *debug = look->debug;
	struct picture picture;

	picture.debug = debug;
	picture.n = 0;
	picture.text[0] = '\0';
	if (!look->brief) {
		debug->host->log(debug->self, LOAM_LOG_WARN,
				 "=============================================================================");
		show(&picture, look, fault);
	}
	if (fix)
		say(&picture, "FIX %s: %s", debug->name, fix);
	look->brief = true;
	debug->host->report(debug->self, kind, ptr, MISUSE_BUG "%s%s", debug->name, what, picture.text);
}

/* ---- looking ---- */

/* A region that must hold @byte; tells and restores when it does not. */
static void expect(struct look *look, char *at, size_t n, unsigned char byte, const char *what)
{
	const struct slabdebug *debug = look->debug;
	char *fault = at, *last = at + n - 1, text[200], extra[300];

	while (fault <= last && (unsigned char)*fault == byte)
		fault++;
	if (fault > last)
		return;
	while ((unsigned char)*last == byte)
		last--;
	snprintf(text, sizeof(text), "%s overwritten. %p-%p @offset=%td. First byte 0x%x instead of 0x%x", what,
		 (void *)fault, (void *)last, fault - look->slab->base, (unsigned char)*fault, byte);
	look->defects++;
	if (look->fn) {
		snprintf(extra, sizeof(extra), MISUSE_BUG "%s", debug->name, text);
		look->fn(look->arg, extra);
	} else {
		snprintf(extra, sizeof(extra), "Restoring %s %p-%p=0x%x", what, (void *)fault, (void *)last, byte);
		tell(look, LOAM_REPORT_CORRUPTION, look->at ? look->at + debug->left : fault, text, fault, extra);
	}
	memset(fault, byte, (size_t)(last + 1 - fault));
}

int slabdebug_check(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at, bool live,
		    loam_check_fn fn, void *arg)
{
	struct look look = { .debug = debug, .slab = slab, .at = at, .fn = fn, .arg = arg };
	char *object = at + debug->left, *end = object + debug->object_size;
	unsigned char red = live ? RED_LIVE : RED_FREE;

	if (debug->red_zone) {
		expect(&look, at, debug->left, red, "Left Redzone");
		expect(&look, end, (size_t)(at + debug->link - end), red, "Right Redzone");
	} else if (debug->link) {
		expect(&look, end, (size_t)(at + debug->link - end), PADDING, "Alignment padding");
	}
	if (debug->poison && !live) {
		expect(&look, object, debug->object_size - 1, POISON_FREE, "Poison");
		expect(&look, end - 1, 1, POISON_END, "End Poison");
	}
	if (debug->link)
		expect(&look, at + debug->padding, debug->size - debug->padding, PADDING, "Object padding");
	return look.defects;
}

int slabdebug_check_end(const struct slabdebug *debug, const struct slabdebug_slab *slab, loam_check_fn fn, void *arg)
{
	struct look look = { .debug = debug, .slab = slab, .fn = fn, .arg = arg };
	char *end = slab->places + (size_t)slab->num * debug->size;

	expect(&look, end, (size_t)(slab->base + slab->bytes - end), PADDING, "slab padding");
	return look.defects;
}

/* ---- from free to live and back ---- */

static void mark(const struct slabdebug *debug, char *at, bool live)
{
	char *object = at + debug->left;
	unsigned char red = live ? RED_LIVE : RED_FREE;

	if (debug->red_zone) {
		memset(at, red, debug->left);
		memset(object + debug->object_size, red, debug->link - debug->left - debug->object_size);
	}
	/* Also when it goes live: who reads it without having written it sees 6b. */
	if (debug->poison) {
		memset(object, POISON_FREE, debug->object_size - 1);
		object[debug->object_size - 1] = (char)POISON_END;
	}
}

static void track(const struct slabdebug *debug, char *at, bool live)
{
	struct track now = { .ms = now_ms(), .thread = gettid(), .cpu = (uint32_t)sched_getcpu() };

	if (live)
		tracks_of(debug, at)->alloc = now;
	else
		tracks_of(debug, at)->free = now;
}

void slabdebug_fill(const struct slabdebug *debug, const struct slabdebug_slab *slab)
{
	memset(slab->places, PADDING, (size_t)(slab->base + slab->bytes - slab->places));
	for (uint32_t i = 0; i < slab->num; i++) {
		char *at = slab->places + (size_t)i * debug->size;

		mark(debug, at, false);
		if (debug->tracks)
			*tracks_of(debug, at) = (struct tracks){ { 0 }, { 0 } };
	}
}

static void turn(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at, bool live)
{
	slabdebug_check(debug, slab, at, !live, NULL, NULL);
	slabdebug_check_end(debug, slab, NULL, NULL);
	mark(debug, at, live);
	if (debug->tracks)
		track(debug, at, live);
}

void slabdebug_alloc(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at)
{
	turn(debug, slab, at, true);
}

void slabdebug_free(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at)
{
	turn(debug, slab, at, false);
}

/* ---- other findings ---- */

void slabdebug_tell(const struct slabdebug *debug, const struct slabdebug_slab *slab, const char *at, const char *what,
		    const char *fix)
{
	struct look look = { .debug = debug, .slab = slab, .at = at };

	tell(&look, LOAM_REPORT_CORRUPTION, at ? at + debug->left : slab->base, what, NULL, fix);
}

/* The place that holds @ptr, or NULL. */
static const char *place_of(const struct slabdebug *debug, const struct slabdebug_slab *slab, const char *ptr)
{
	size_t i = (size_t)(ptr - slab->places) / debug->size;

	return ptr >= slab->places && i < slab->num ? slab->places + i * debug->size : NULL;
}

void slabdebug_bad_free(const struct slabdebug *debug, const struct slabdebug_slab *slab, const char *object,
			bool already_free)
{
	enum loam_report_kind kind = already_free ? LOAM_REPORT_DOUBLE_FREE : LOAM_REPORT_BAD_FREE;
	struct look look = { .debug = debug, .slab = slab, .brief = !slab };
	char text[64] = MISUSE_ALREADY_FREE, fix[64];

	if (slab)
		look.at = place_of(debug, slab, object);
	if (!already_free)
		snprintf(text, sizeof(text), MISUSE_BAD_POINTER, (const void *)object);
	snprintf(fix, sizeof(fix), "Object at %p not freed", (const void *)object);
	tell(&look, kind, object, text, NULL, slab ? fix : NULL);
}
