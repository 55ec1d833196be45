/* SPDX-License-Identifier: MIT */
/* conform.c: become the conformance runner. It is a program of its own: it needs Check, and nobody else does. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Static TLS for libraries that a plugin loads: the runner cannot know before it looks. */
#define STATIC_TLS "glibc.rtld.optional_static_tls=16384"

static const char *const help[] = { "--help", "all options", NULL };

static void set_static_tls(void)
{
	const char *now = getenv("GLIBC_TUNABLES");
	char *tunables;

	if (now && strstr(now, "glibc.rtld.optional_static_tls="))
		return;
	if (asprintf(&tunables, "%s%s" STATIC_TLS, now ? now : "", now && *now ? ":" : "") < 0)
		return;
	setenv("GLIBC_TUNABLES", tunables, 1);
	free(tunables);
}

static int run(int argc, char **argv)
{
	const char *runner = getenv("LOAM_CONFORM");

	(void)argc;
	runner = runner ? runner : LOAM_LIBEXEC_DIR "/loam-conform";
	set_static_tls();
	execv(runner, argv);
	fprintf(stderr, "loam conform: %s: %s%s\n", runner, strerror(errno),
		errno == ENOENT ? "; loam was built without the unit test library Check" : "");
	return 1;
}

const struct cli_command cli_conform = { "conform", "[OPTION]... PLUGIN.so [key=value]... | CONFIG#INSTANCE",
					 "judge a plugin by the contract", help, run };
