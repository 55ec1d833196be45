/* SPDX-License-Identifier: MIT */
/* slabdebug.c: red zones and poison. */
#include "slabdebug.h"

#include <stdio.h>
#include <string.h>

#define RED_FREE 0xbb
#define RED_LIVE 0xcc
#define POISON_FREE 0x6b
#define POISON_END 0xa5
#define PADDING 0x5a

static uint32_t round_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) & ~(to - 1);
}

void slabdebug_layout(struct slabdebug *debug, uint32_t object_size, uint32_t align, uint32_t flags, bool outside)
{
	uint32_t end = round_up(object_size, 8);

	debug->object_size = object_size;
	debug->red_zone = flags & SLAB_RED_ZONE;
	debug->poison = flags & SLAB_POISON;
	debug->left = 0;
	debug->link = 0;
	/* A right red zone of at least one byte; a word more when rounding leaves none. */
	if (debug->red_zone && end == object_size)
		end += 8;
	if (debug->red_zone)
		debug->left = round_up(8, align);
	end += debug->left;
	if (outside || debug->poison || debug->red_zone) {
		debug->link = end;
		end += 8;
	}
	debug->size = round_up(end, align);
}

/* The first byte in [at, at + n) that is not @byte, or NULL. */
static char *first_other(char *at, uint32_t n, unsigned char byte)
{
	for (uint32_t i = 0; i < n; i++)
		if ((unsigned char)at[i] != byte)
			return at + i;
	return NULL;
}

struct look {
	const struct slabdebug *debug;
	const char *base;
	loam_check_fn fn;
	void *arg;
	int defects;
};

/* One region that must hold @byte; tells and restores when it does not. */
static void expect(struct look *look, char *object, char *at, uint32_t n, unsigned char byte, const char *what)
{
	const struct slabdebug *debug = look->debug;
	char *fault = first_other(at, n, byte), *last = at + n - 1;
	char text[200];

	if (!fault)
		return;
	while ((unsigned char)*last == byte)
		last--;
	snprintf(text, sizeof(text), "BUG %s: %s overwritten: %p-%p @offset=%td. First byte 0x%x instead of 0x%x",
		 debug->name, what, (void *)fault, (void *)last, fault - look->base, (unsigned char)*fault, byte);
	look->defects++;
	if (look->fn)
		look->fn(look->arg, text);
	else
		debug->host->report(debug->self, LOAM_REPORT_CORRUPTION, object, "%s", text);
	memset(at, byte, n);
}

int slabdebug_check(const struct slabdebug *debug, const char *base, char *at, bool live, loam_check_fn fn, void *arg)
{
	struct look look = { debug, base, fn, arg, 0 };
	char *object = at + debug->left, *end = object + debug->object_size;
	uint32_t right =
		debug->left + debug->object_size < debug->link ? debug->link - debug->left - debug->object_size : 0;

	if (debug->red_zone) {
		expect(&look, object, at, debug->left, live ? RED_LIVE : RED_FREE, "Left Redzone");
		expect(&look, object, end, right, live ? RED_LIVE : RED_FREE, "Right Redzone");
	}
	if (debug->poison && !live) {
		expect(&look, object, object, debug->object_size - 1, POISON_FREE, "Poison");
		expect(&look, object, end - 1, 1, POISON_END, "End Poison");
	}
	if (debug->link && debug->size > debug->link + 8)
		expect(&look, object, at + debug->link + 8, debug->size - debug->link - 8, PADDING, "Object padding");
	return look.defects;
}

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

void slabdebug_slab(const struct slabdebug *debug, char *base, size_t bytes, uint32_t objects)
{
	memset(base, PADDING, bytes);
	for (uint32_t i = 0; i < objects; i++)
		mark(debug, base + (size_t)i * debug->size, false);
}

void slabdebug_alloc(const struct slabdebug *debug, const char *base, char *at)
{
	slabdebug_check(debug, base, at, false, NULL, NULL);
	mark(debug, at, true);
}

void slabdebug_free(const struct slabdebug *debug, const char *base, char *at)
{
	slabdebug_check(debug, base, at, true, NULL, NULL);
	mark(debug, at, false);
}
