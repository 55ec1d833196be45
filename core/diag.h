/* SPDX-License-Identifier: MIT */
/*
 * diag.h: a list of error messages, each with its place.
 *
 * Reading a configuration goes on after an error, so that a user sees all of them at once; whoever asked for it looks at the
 * count in the end and starts nothing when it is not zero.
 */
#ifndef LOAM_CORE_DIAG_H
#define LOAM_CORE_DIAG_H

#include <loam/base.h>
#include <stdarg.h>
#include <stdio.h>

struct loam_diag_msg {
	struct loam_diag_msg *next;
	char *file; /* NULL: no place */
	int line;   /* 0: no line */
	char *text;
};

struct loam_diag {
	struct loam_diag_msg *first, **last;
	unsigned count;
};

/** Make @diag empty. */
LOAM_EXPORT void loam__diag_init(struct loam_diag *diag);
/** Free all messages; @diag is empty and usable afterwards. */
LOAM_EXPORT void loam__diag_clear(struct loam_diag *diag);
/** Add a message, without a newline. @file may be NULL; it is copied. @diag may be NULL: nothing happens. */
LOAM_EXPORT void loam__diag_add(struct loam_diag *diag, const char *file, int line, const char *fmt, ...)
	LOAM_PRINTF(4, 5);
/** Print "file:line: text" (or "loam: text" without a place) for each, sorted by place within a file, to @out. */
LOAM_EXPORT void loam__diag_print(const struct loam_diag *diag, FILE *out);

/**
 * The name in @names (NULL-ended) nearest to @word, by edit distance with transpositions, or NULL when none is near enough to
 * be meant (distance at most a third of the length, at least 1, case ignored).
 */
LOAM_EXPORT const char *loam__nearest(const char *word, const char *const *names);

#endif
