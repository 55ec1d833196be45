/* SPDX-License-Identifier: MIT */
/* param.h: declared parameters: text to value, with range checks and messages. */
#ifndef LOAM_CORE_PARAM_H
#define LOAM_CORE_PARAM_H

#include "config.h"
#include <loam/plugin.h>

/** Parse @text as @param says. 0, or -EINVAL and why[] tells what was expected ("expected a size such as 64K, from 4K to 4M"). */
LOAM_EXPORT int loam__param_parse(const struct loam_param *param, const char *text, union loam_value *value, char *why,
				  size_t why_size);
/** A size with K, M, G, T (powers of 1024), no sign, no space inside. 0 or -EINVAL (also on overflow). */
LOAM_EXPORT int loam__size_parse(const char *text, uint64_t *size);
/** A size in the shortest exact form: 4096 as "4K". @buf of at least 24 bytes; returns it. */
LOAM_EXPORT char *loam__size_print(uint64_t size, char *buf);
/** The type's name for help: "bool", "int", "size", "real", "string", or the choices "kernel|fine". @buf; returns it. */
LOAM_EXPORT char *loam__param_type_name(const struct loam_param *param, char *buf, size_t size);

/**
 * Values of @n parameters from @section (may be NULL: defaults only) into @values. Keys that are in @section but not in
 * @params nor in @others (NULL-ended names that somebody else reads) are errors with the nearest known name. Strings point
 * into the section or the declaration. Returns the number of errors added.
 */
LOAM_EXPORT unsigned loam__params_read(const struct loam__section *section, const struct loam_param *params, unsigned n,
				       const char *const *others, union loam_value *values, struct loam_diag *diag);
#endif
