/* SPDX-License-Identifier: MIT */
/*
 * format.c: the kernel's printf: no floats, and what only it has behind %p (the names of addresses, errors, flags). It needs
 * little stack, and leaves the C library's printf alone; names of addresses are looked up on the thread's own stack.
 */
#include "kernel.h"

#include <linux/err.h>
#include <linux/printk.h>

#include <string.h>

/** Where text goes. Counts on beyond the end. */
struct out {
	char *buf;
	size_t size, n;
};

/** One conversion. */
struct spec {
	bool left, zero, plus, space, alt, upper;
	int width, precision; /* precision -1: none */
	int qualifier;        /* 'H' for hh, 'h', 'l', 'q' for ll, 'z', 't', or 0 */
};

static void put(struct out *out, char c)
{
	if (out->n + 1 < out->size)
		out->buf[out->n] = c;
	out->n++;
}

static void put_many(struct out *out, char c, int n)
{
	while (n-- > 0)
		put(out, c);
}

static void put_text(struct out *out, const struct spec *spec, const char *text)
{
	size_t n;

	if (!text)
		text = "(null)";
	n = spec->precision >= 0 ? strnlen(text, (size_t)spec->precision) : strlen(text);
	if (!spec->left)
		put_many(out, ' ', spec->width - (int)n);
	for (size_t i = 0; i < n; i++)
		put(out, text[i]);
	if (spec->left)
		put_many(out, ' ', spec->width - (int)n);
}

static void put_number(struct out *out, const struct spec *spec, uint64_t value, unsigned base, bool negative)
{
	const char *digits = spec->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char sign = negative ? '-' : spec->plus ? '+' : spec->space ? ' ' : '\0', text[24];
	const char *prefix = !spec->alt ? "" : base == 16 ? (spec->upper ? "0X" : "0x") : base == 8 ? "0" : "";
	int n = 0, zeros, pad;

	do
		text[n++] = digits[value % base];
	while (value /= base);
	zeros = spec->precision - n;
	pad = spec->width - (zeros > 0 ? zeros : 0) - n - (sign != '\0') - (int)strlen(prefix);
	if (spec->zero && !spec->left && spec->precision < 0 && pad > 0) {
		zeros = pad;
		pad = 0;
	}
	if (!spec->left)
		put_many(out, ' ', pad);
	if (sign)
		put(out, sign);
	while (*prefix)
		put(out, *prefix++);
	put_many(out, '0', zeros);
	while (n)
		put(out, text[--n]);
	if (spec->left)
		put_many(out, ' ', pad);
}

/* ---- behind %p ---- */

static void put_symbol(struct out *out, const struct spec *spec, const void *at, bool offset)
{
	char text[160];

	symbol_text(at, offset, text, sizeof(text));
	put_text(out, spec, text);
}

static void put_hex_bytes(struct out *out, const unsigned char *bytes, int n, char between)
{
	static const struct spec two = { .width = 2, .zero = true, .precision = -1 };

	for (int i = 0; i < n; i++) {
		if (i && between)
			put(out, between);
		put_number(out, &two, bytes[i], 16, false);
	}
}

static void put_error(struct out *out, const struct spec *spec, const void *ptr)
{
	const char *name = IS_ERR(ptr) ? strerrorname_np((int)-PTR_ERR(ptr)) : NULL;
	struct spec hex = { .width = 16, .zero = true, .precision = -1 };

	if (!name) {
		put_number(out, &hex, (uintptr_t)ptr, 16, false);
		return;
	}
	put(out, '-');
	put_text(out, spec, name);
}

/* Returns how many letters behind the p were used. */
static int put_pointer(struct out *out, struct spec *spec, const char *more, void *ptr)
{
	struct spec hex = { .width = 16, .zero = true, .precision = -1 }, tight = { .alt = true, .precision = -1 };
	char text[200];

	switch (*more) {
	case 'S':
	case 'B':
		put_symbol(out, spec, ptr, true);
		return 1;
	case 's':
		put_symbol(out, spec, ptr, false);
		return 1;
	case 'a':
		tight.width = 18;
		tight.zero = true;
		put_number(out, &tight, *(const uint64_t *)ptr, 16, false);
		return 1 + (more[1] == 'p' || more[1] == 'd');
	case 'e':
		put_error(out, spec, ptr);
		return 1;
	case 'h':
		put_hex_bytes(out, ptr, spec->width > 0 ? spec->width : 1, more[1] == 'N' ? 0 : ' ');
		return 1 + (more[1] == 'N');
	case 'M':
		put_hex_bytes(out, ptr, 6, ':');
		return 1;
	case 'V': {
		const struct va_format *inner = ptr;
		va_list args;

		va_copy(args, *inner->va);
		/* Beyond the end it is only counted. */
		out->n += (size_t)(out->n < out->size
					   ? kernel_vsnprintf(out->buf + out->n, out->size - out->n, inner->fmt, args)
					   : kernel_vsnprintf(NULL, 0, inner->fmt, args));
		va_end(args);
		return 1;
	}
	case 'G':
		if (more[1] != 'g')
			break;
		loam__gfp_text(*(const gfp_t *)ptr, text, sizeof(text));
		put_text(out, spec, text);
		return 2;
	case 'K':
	case 'x':
		put_number(out, &hex, (uintptr_t)ptr, 16, false);
		return 1;
	default:
		break;
	}
	if (spec->width > hex.width)
		hex.width = spec->width;
	put_number(out, &hex, (uintptr_t)ptr, 16, false);
	return 0;
}

/* ---- the format ---- */

static const char *read_flags(const char *fmt, struct spec *spec)
{
	for (;; fmt++)
		switch (*fmt) {
		case '-':
			spec->left = true;
			break;
		case '0':
			spec->zero = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->alt = true;
			break;
		default:
			return fmt;
		}
}

static const char *read_number(const char *fmt, int *number, va_list *args)
{
	if (*fmt == '*') {
		*number = va_arg(*args, int);
		return fmt + 1;
	}
	for (*number = 0; *fmt >= '0' && *fmt <= '9'; fmt++)
		*number = *number * 10 + *fmt - '0';
	return fmt;
}

static const char *read_qualifier(const char *fmt, struct spec *spec)
{
	if (!strchr("hlLzt", *fmt) || !*fmt)
		return fmt;
	spec->qualifier = *fmt == 'L' ? 'q' : *fmt;
	if (fmt[0] == fmt[1] && (*fmt == 'h' || *fmt == 'l')) {
		spec->qualifier = *fmt == 'h' ? 'H' : 'q';
		fmt++;
	}
	return fmt + 1;
}

static uint64_t read_value(const struct spec *spec, bool is_signed, va_list *args)
{
	switch (spec->qualifier) {
	case 'H':
		return is_signed ? (uint64_t)(signed char)va_arg(*args, int) : (unsigned char)va_arg(*args, int);
	case 'h':
		return is_signed ? (uint64_t)(short)va_arg(*args, int) : (unsigned short)va_arg(*args, int);
	case 'l':
	case 'q':
	case 'z':
	case 't':
		return va_arg(*args, unsigned long);
	default:
		return is_signed ? (uint64_t)va_arg(*args, int) : va_arg(*args, unsigned int);
	}
}

/* A byte of 0 is one too. */
static void put_char(struct out *out, const struct spec *spec, char c)
{
	if (!spec->left)
		put_many(out, ' ', spec->width - 1);
	put(out, c);
	if (spec->left)
		put_many(out, ' ', spec->width - 1);
}

static void put_signed(struct out *out, const struct spec *spec, va_list *args)
{
	int64_t value = (int64_t)read_value(spec, true, args);

	put_number(out, spec, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
}

/* The conversion at @fmt, behind its flags. Returns what comes after it. */
static const char *convert(struct out *out, struct spec *spec, const char *fmt, va_list *args)
{
	switch (*fmt) {
	case 'd':
	case 'i':
		put_signed(out, spec, args);
		return fmt + 1;
	case 'u':
		put_number(out, spec, read_value(spec, false, args), 10, false);
		return fmt + 1;
	case 'X':
		spec->upper = true;
		put_number(out, spec, read_value(spec, false, args), 16, false);
		return fmt + 1;
	case 'x':
		put_number(out, spec, read_value(spec, false, args), 16, false);
		return fmt + 1;
	case 'o':
		put_number(out, spec, read_value(spec, false, args), 8, false);
		return fmt + 1;
	case 'c':
		put_char(out, spec, (char)va_arg(*args, int));
		return fmt + 1;
	case 's':
		put_text(out, spec, va_arg(*args, const char *));
		return fmt + 1;
	case 'p':
		return fmt + 1 + put_pointer(out, spec, fmt + 1, va_arg(*args, void *));
	case '%':
		put(out, '%');
		return fmt + 1;
	default:
		/* Not known: shown as it is. */
		put(out, '%');
		return fmt;
	}
}

int kernel_vsnprintf(char *buf, size_t size, const char *fmt, va_list list)
{
	struct out out = { buf, size, 0 };
	va_list args;

	va_copy(args, list);
	while (*fmt) {
		struct spec spec = { .precision = -1 };

		if (*fmt != '%') {
			put(&out, *fmt++);
			continue;
		}
		fmt = read_flags(fmt + 1, &spec);
		fmt = read_number(fmt, &spec.width, &args);
		if (spec.width < 0) {
			spec.left = true;
			spec.width = -spec.width;
		}
		if (*fmt == '.')
			fmt = read_number(fmt + 1, &spec.precision, &args);
		fmt = read_qualifier(fmt, &spec);
		fmt = convert(&out, &spec, fmt, &args);
	}
	va_end(args);
	if (size)
		buf[out.n < size ? out.n : size - 1] = '\0';
	return (int)out.n;
}

LOAM_EXPORT int loam_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
LOAM_EXPORT int loam_snprintf(char *buf, size_t size, const char *fmt, ...);
LOAM_EXPORT int loam_scnprintf(char *buf, size_t size, const char *fmt, ...);
LOAM_EXPORT int loam_sprintf(char *buf, const char *fmt, ...);

int loam_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
	return kernel_vsnprintf(buf, size, fmt, args);
}

int loam_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = kernel_vsnprintf(buf, size, fmt, args);
	va_end(args);
	return n;
}

int loam_scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = kernel_vsnprintf(buf, size, fmt, args);
	va_end(args);
	return (size_t)n < size ? n : size ? (int)size - 1 : 0;
}

int loam_sprintf(char *buf, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = kernel_vsnprintf(buf, INT32_MAX, fmt, args);
	va_end(args);
	return n;
}
