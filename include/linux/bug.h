/* SPDX-License-Identifier: MIT */
/* linux/bug.h: what must not be. WARN tells, with a backtrace, and goes on; BUG ends the program. */
#ifndef LOAM_LINUX_BUG_H
#define LOAM_LINUX_BUG_H

#include <loam/base.h>

LOAM_BEGIN_DECLS

/** Tell of a broken expectation at @file:@line; @fmt may be NULL. Any context. */
void loam_warn(const char *file, int line, const char *fmt, ...);
void loam_bug(const char *file, int line) __attribute__((noreturn));

#define BUG() loam_bug(__FILE__, __LINE__)
#define BUG_ON(condition)                                                                                              \
	do {                                                                                                           \
		if (loam_unlikely(condition))                                                                          \
			BUG();                                                                                         \
	} while (0)
#define WARN(condition, ...)                                                                                           \
	({                                                                                                             \
		bool warn__ = !!(condition);                                                                           \
		if (loam_unlikely(warn__))                                                                             \
			loam_warn(__FILE__, __LINE__, __VA_ARGS__);                                                    \
		warn__;                                                                                                \
	})
#define WARN_ON(condition) WARN(condition, NULL)
#define WARN_ONCE(condition, ...)                                                                                      \
	({                                                                                                             \
		static bool warned__;                                                                                  \
		bool once__ = !!(condition);                                                                           \
		if (loam_unlikely(once__ && !warned__)) {                                                              \
			warned__ = true;                                                                               \
			loam_warn(__FILE__, __LINE__, __VA_ARGS__);                                                    \
		}                                                                                                      \
		once__;                                                                                                \
	})
#define WARN_ON_ONCE(condition) WARN_ONCE(condition, NULL)
#define BUILD_BUG_ON(condition) LOAM_STATIC_ASSERT(!(condition), #condition)
#define VM_BUG_ON(condition) BUG_ON(condition)
#define VM_WARN_ON_ONCE(condition) WARN_ON_ONCE(condition)

LOAM_END_DECLS
#endif
