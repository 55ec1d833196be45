/* SPDX-License-Identifier: MIT */
/*
 * linux/printk.h: the kernel's log. A line goes to standard error with the time since boot, as dmesg shows it; KERN_DEBUG
 * only with LOAM_LOG=debug. Formats are the kernel's, %pS, %pe, %pGg, %*ph and so on among them; there are no floats. Any
 * context; never sleeps.
 */
#ifndef LOAM_LINUX_PRINTK_H
#define LOAM_LINUX_PRINTK_H

#include <linux/types.h>
#include <stdarg.h>

LOAM_BEGIN_DECLS

#define KERN_SOH "\001"
#define KERN_EMERG KERN_SOH "0"
#define KERN_ALERT KERN_SOH "1"
#define KERN_CRIT KERN_SOH "2"
#define KERN_ERR KERN_SOH "3"
#define KERN_WARNING KERN_SOH "4"
#define KERN_NOTICE KERN_SOH "5"
#define KERN_INFO KERN_SOH "6"
#define KERN_DEBUG KERN_SOH "7"
#define KERN_DEFAULT ""
#define KERN_CONT KERN_SOH "c"

/** %pV: a format and its arguments inside another. */
struct va_format {
	const char *fmt;
	va_list *va;
};

int printk(const char *fmt, ...);
int vprintk(const char *fmt, va_list args);
/** Where the caller is and who called it. */
void dump_stack(void);
void print_hex_dump(const char *level, const char *prefix, int prefix_type, int rowsize, int groupsize, const void *buf,
		    size_t len, bool ascii);
#define DUMP_PREFIX_NONE 0
#define DUMP_PREFIX_ADDRESS 1
#define DUMP_PREFIX_OFFSET 2

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define pr_emerg(fmt, ...) printk(KERN_EMERG pr_fmt(fmt), ##__VA_ARGS__)
#define pr_alert(fmt, ...) printk(KERN_ALERT pr_fmt(fmt), ##__VA_ARGS__)
#define pr_crit(fmt, ...) printk(KERN_CRIT pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err(fmt, ...) printk(KERN_ERR pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...) printk(KERN_WARNING pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warning pr_warn
#define pr_notice(fmt, ...) printk(KERN_NOTICE pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...) printk(KERN_INFO pr_fmt(fmt), ##__VA_ARGS__)
#define pr_cont(fmt, ...) printk(KERN_CONT fmt, ##__VA_ARGS__)
#define pr_debug(fmt, ...) printk(KERN_DEBUG pr_fmt(fmt), ##__VA_ARGS__)
#define printk_once(fmt, ...)                                                                                          \
	({                                                                                                             \
		static bool printed__;                                                                                 \
		if (!printed__) {                                                                                      \
			printed__ = true;                                                                              \
			printk(fmt, ##__VA_ARGS__);                                                                    \
		}                                                                                                      \
	})

LOAM_END_DECLS
#endif
