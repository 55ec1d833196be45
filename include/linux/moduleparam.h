/* SPDX-License-Identifier: MIT */
/*
 * linux/moduleparam.h: parameters of a module, set on the command line as name=value. Types: byte, short, ushort, int, uint, long,
 * ulong, ullong, charp, bool, invbool. A value that does not parse, or is out of range, is refused before init.
 */
#ifndef LOAM_LINUX_MODULEPARAM_H
#define LOAM_LINUX_MODULEPARAM_H

#include <loam/base.h>

/** One parameter, in the section that the loader reads. */
struct loam_module_param {
	const char *name, *type;
	void *value;
	unsigned int *count; /* of an array: how many were given; NULL: it is none, or nobody asks */
	unsigned int size;   /* of an array: elements; else 0 */
	unsigned int width;  /* bytes of a value; of a string's buffer */
};

#define LOAM__PARAM(ident, nm, ty, ptr, cnt, n, w)                                                                     \
	static const struct loam_module_param loam_param_##ident                                                       \
		__attribute__((used, section("loam_params"), aligned(sizeof(void *)))) = { #nm,   #ty, (ptr),          \
											   (cnt), (n), (w) }

/* Permissions are the file's in sysfs, which there is not. */
#define module_param(name, type, perm) module_param_named(name, name, type, perm)
#define module_param_named(name, variable, type, perm)                                                                 \
	LOAM__PARAM(name, name, type, (void *)&(variable), 0, 0, sizeof(variable))
#define module_param_array(name, type, nump, perm) module_param_array_named(name, name, type, nump, perm)
#define module_param_array_named(name, array, type, nump, perm)                                                        \
	LOAM__PARAM(name, name, type, (void *)(array), (unsigned int *)(nump), sizeof(array) / sizeof((array)[0]),     \
		    sizeof((array)[0]))
#define module_param_string(name, string, len, perm) LOAM__PARAM(name, name, string, (void *)(string), 0, 0, len)

#endif
