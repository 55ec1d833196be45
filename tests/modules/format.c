/* SPDX-License-Identifier: MIT */
/* format.c: the kernel's printf: numbers, texts, and what only it has behind %p. */
#include "check.h"

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

static char text[200];

/* Through a pointer, so that the compiler does not take it for the C library's, whose formats it knows. */
static int print(size_t size, const char *fmt, ...)
{
	int (*volatile fn)(char *buf, size_t size, const char *fmt, va_list args) = vsnprintf;
	va_list args;
	int n;

	va_start(args, fmt);
	n = fn(size ? text : NULL, size, fmt, args);
	va_end(args);
	return n;
}

/* What a format makes, and how long it says that is. */
#define SAYS(want, ...)                                                                                                \
	do {                                                                                                           \
		int n_ = print(sizeof(text), __VA_ARGS__);                                                             \
		if (strcmp(text, want) || n_ != (int)strlen(want)) {                                                   \
			pr_err("not ok: line %d: '%s' (%d), and not '%s'\n", __LINE__, text, n_, want);                \
			return -EINVAL;                                                                                \
		}                                                                                                      \
	} while (0)

static int numbers(void)
{
	SAYS("0 -1 4294967295 7", "%d %i %u %o", 0, -1, -1, 7);
	SAYS("   42|42   |00042|+42| 42", "%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
	SAYS("  007|-0007|0x1f|0X1F|017", "%5.3d|%05d|%#x|%#X|%#o", 7, -7, 31, 31, 15);
	SAYS("-9223372036854775808 18446744073709551615", "%ld %llu", LONG_MIN, ~0ull);
	SAYS("-1 255 -1 65535", "%hhd %hhu %hd %hu", 255, 511, 65535, 65535);
	SAYS("ff 12 -3", "%zx %zu %td", (size_t)255, (size_t)12, (ptrdiff_t)-3);
	SAYS("  9|9  ", "%*d|%*d", 3, 9, -3, 9);
	return 0;
}

static int texts(void)
{
	SAYS("abc|  abc|abc  |ab|(null)|%|x", "%s|%5s|%-5s|%.2s|%s|%%|%c", "abc", "abc", "abc", "abc", (char *)NULL,
	     'x');
	CHECK(print(sizeof(text), "a%cb", 0) == 3 && !text[1] && text[2] == 'b');
	/* What does not fit is left out, ended, and counted. */
	memset(text, '#', sizeof(text));
	CHECK(print(4, "%s", "abcdef") == 6 && !strcmp(text, "abc") && text[4] == '#');
	CHECK(scnprintf(text, 4, "%s", "abcdef") == 3 && print(0, "%d", 12345) == 5);
	return 0;
}

static char *say(const char *fmt, ...)
{
	struct va_format inner = { .fmt = fmt };
	va_list args;
	char *said;

	va_start(args, fmt);
	inner.va = &args;
	said = kasprintf(GFP_KERNEL, "<%pV>", &inner);
	va_end(args);
	return said;
}

static int pointers(void)
{
	unsigned char mac[6] = { 0, 0x1b, 2, 3, 4, 0xff };
	gfp_t gfp = GFP_KERNEL | __GFP_ZERO;
	phys_addr_t phys = 0x1000;
	char *said;

	SAYS("0000000000000010|0000000000001234", "%p|%px", (void *)16, (void *)0x1234);
	SAYS("pointers [format]", "%ps", (void *)pointers);
	SAYS("-ENOMEM", "%pe", ERR_PTR(-ENOMEM));
	SAYS("00:1b:02:03:04:ff|00 1b 02|001b", "%pM|%3ph|%2phN", mac, mac, mac);
	SAYS("GFP_KERNEL|__GFP_ZERO", "%pGg", &gfp);
	SAYS("0x0000000000001000", "%pa", &phys);
	said = say("%d and %s", 5, "six");
	CHECK(said && !strcmp(said, "<5 and six>"));
	kfree(said);
	return 0;
}

static int __init format_init(void)
{
	PART(numbers);
	PART(texts);
	PART(pointers);
	return 0;
}

TEST_MODULE(format_init);
