/* SPDX-License-Identifier: MIT */
/* default.h: the configuration of `loam exec` when none is named, for the program and for the preloaded library. */
#ifndef LOAM_MALLOC_DEFAULT_H
#define LOAM_MALLOC_DEFAULT_H

extern const char loam__default_config[];

#endif
