/* SPDX-License-Identifier: MIT */
/* printk.c: the kernel's log, on standard error: "[    0.001234] text". A line is one write, so that lines do not mix. */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/printk.h>

#include <execinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 1024

/** A line that waits for its end, for KERN_CONT. */
static struct loam__mutex lock;
static bool open_line;

static int level_of(const char **fmt, bool *cont)
{
	const char *f = *fmt;
	int level = 4;

	*cont = false;
	while (f[0] == '\001' && f[1]) {
		if (f[1] == 'c')
			*cont = true;
		else if (f[1] >= '0' && f[1] <= '7')
			level = f[1] - '0';
		f += 2;
	}
	*fmt = f;
	return level;
}

/* "[    1.234567] " */
static int stamp(char *buf)
{
	unsigned long us = kernel_uptime_us();

	return loam_snprintf(buf, LINE, "[%5lu.%06lu] ", us / 1000000, us % 1000000);
}

/** What is printed, on the way to the thread's own stack. */
struct print {
	const char *fmt;
	va_list *args;
	int n;
};

static void print(void *arg)
{
	struct print *p = arg;
	const char *fmt = p->fmt;
	char text[LINE + 2];
	ssize_t written;
	bool cont;
	int level = level_of(&fmt, &cont), n = 0;

	if (level == 7 && loam__log_level() < LOAM_LOG_DEBUG)
		return;
	loam__lock(&lock);
	if (!cont && open_line)
		text[n++] = '\n';
	if (!cont || !open_line)
		n += stamp(text + n);
	p->n = kernel_vsnprintf(text + n, (size_t)(LINE - n), fmt, *p->args);
	n += p->n < LINE - n ? p->n : LINE - n - 1;
	open_line = !n || text[n - 1] != '\n';
	written = write(STDERR_FILENO, text, (size_t)n);
	(void)written;
	loam__unlock(&lock);
}

int vprintk(const char *fmt, va_list list)
{
	struct print p = { .fmt = fmt };
	va_list args;

	va_copy(args, list);
	p.args = &args;
	loam__on_host_stack(print, &p);
	va_end(args);
	return p.n;
}

int printk(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vprintk(fmt, args);
	va_end(args);
	return n;
}

/* ---- backtraces ---- */

static void show_stack(void *arg)
{
	void *frames[40];
	int n = backtrace(frames, (int)LOAM_LEN(frames));

	(void)arg;
	printk(KERN_ERR "CPU: %u PID: %d Comm: %s (loam %s)\n", loam_hot.cpu, current ? current->pid : 0,
	       current ? current->comm : "?", PACKAGE_VERSION);
	printk(KERN_ERR "Call Trace:\n");
	for (int i = 0; i < n; i++)
		if (!symbol_is_host(frames[i]))
			printk(KERN_ERR " %pS\n", frames[i]);
}

void dump_stack(void)
{
	loam__on_host_stack(show_stack, NULL);
}

void loam_warn(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;

	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	printk(KERN_WARNING "------------[ cut here ]------------\n");
	if (fmt) {
		va_start(args, fmt);
		vprintk(fmt, args);
		va_end(args);
	}
	printk(KERN_WARNING "WARNING: CPU: %u PID: %d at %s:%d\n", loam_hot.cpu, current ? current->pid : 0,
	       base ? base + 1 : file, line);
	dump_stack();
}

void loam_bug(const char *file, int line)
{
	const char *base = strrchr(file, '/');

	printk(KERN_CRIT "kernel BUG at %s:%d!\n", base ? base + 1 : file, line);
	dump_stack();
	abort();
}

/* ---- hex dumps ---- */

void print_hex_dump(const char *level, const char *prefix, int prefix_type, int rowsize, int groupsize, const void *buf,
		    size_t len, bool ascii)
{
	const unsigned char *bytes = buf;
	char text[200];

	rowsize = rowsize == 32 ? 32 : 16;
	groupsize = groupsize < 1 || groupsize > 8 ? 1 : groupsize;
	for (size_t at = 0; at < len; at += (size_t)rowsize) {
		size_t n = len - at < (size_t)rowsize ? len - at : (size_t)rowsize;
		int used = 0;

		for (size_t i = 0; i < n; i++)
			used += loam_snprintf(text + used, sizeof(text) - (size_t)used, "%s%02x",
					      i && i % (size_t)groupsize == 0 ? " " : "", bytes[at + i]);
		if (ascii)
			used += loam_snprintf(text + used, sizeof(text) - (size_t)used, "  ");
		for (size_t i = 0; ascii && i < n; i++)
			used += loam_snprintf(text + used, sizeof(text) - (size_t)used, "%c",
					      bytes[at + i] >= ' ' && bytes[at + i] < 127 ? bytes[at + i] : '.');
		if (prefix_type == DUMP_PREFIX_ADDRESS)
			printk("%s%s%p: %s\n", level, prefix, bytes + at, text);
		else if (prefix_type == DUMP_PREFIX_OFFSET)
			printk("%s%s%.8lx: %s\n", level, prefix, (unsigned long)at, text);
		else
			printk("%s%s%s\n", level, prefix, text);
	}
}
