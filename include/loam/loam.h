/* SPDX-License-Identifier: MIT */
/*
 * loam.h: a machine inside a program of your own (link with -lloam).
 *
 *     struct loam_config *config = loam_config_file("lab.conf");
 *     if (!config || loam_boot(config))
 *             return fprintf(stderr, "%s", loam_errors()), 1;
 *     void *ptr = loam_alloc(100);
 *     loam_free(ptr);
 *     return loam_halt(stderr) != 0;
 *
 * There is one machine at a time. boot, halt and the configuration calls come from one thread; alloc and free from any. No
 * call sleeps for memory.
 */
#ifndef LOAM_LOAM_H
#define LOAM_LOAM_H

#include <loam/base.h>
#include <stdio.h>

LOAM_BEGIN_DECLS

struct loam_config;

/** Read a configuration. NULL: loam_errors() has every error, with its line. */
LOAM_EXPORT struct loam_config *loam_config_file(const char *path);
/** The same from @text; @name stands for the file in messages. */
LOAM_EXPORT struct loam_config *loam_config_text(const char *name, const char *text);
/** Change or add a key: "section.key=value". 0 or -EINVAL. */
LOAM_EXPORT int loam_config_set(struct loam_config *config, const char *spec);
/** Free a configuration that was not booted. */
LOAM_EXPORT void loam_config_free(struct loam_config *config);

/** Load the plugins, wire and start. 0, or a negative errno with nothing started; takes @config over in both cases. */
LOAM_EXPORT int loam_boot(struct loam_config *config);
/** Stop the machine. Leaks and broken invariants are told to @out (may be NULL); returns how many lines there were. */
LOAM_EXPORT unsigned loam_halt(FILE *out);
/** The errors of the last call that failed, a line each; valid until the next call here. */
LOAM_EXPORT const char *loam_errors(void);

/** A block of at least @bytes, aligned to 16, of the heap that [malloc] or [kernel] names; NULL with errno ENOMEM, or ENODEV. */
LOAM_EXPORT void *loam_alloc(size_t bytes);
/** Give a block back. NULL is ignored. */
LOAM_EXPORT void loam_free(void *ptr);

LOAM_END_DECLS
#endif
