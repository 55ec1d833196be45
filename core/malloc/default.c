/* SPDX-License-Identifier: MIT */
/* default.c: the configuration of `loam exec` when none is named. */
#include "default.h"

const char loam__default_config[] = "[machine]\n"
				    "backing = anon\n"
				    "release = lazy\n"
				    "[frames]\n"
				    "plugin = buddy\n"
				    "[objects]\n"
				    "plugin = slub\n"
				    "pages = frames\n"
				    "classes = fine\n"
				    "[malloc]\n"
				    "heap = objects\n";
