#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What loam exec adds to the start of a program: peak memory always, time only where the machine is quiet (LOAM_LONG=1).
. "${srcdir:-.}/tests/system/lib.sh"
[ "${LOAM_SANITIZER:-no}" = no ] || { echo "a sanitizer adds to the start of its own"; exit 77; }

cat >"$work/measure.c" <<'END'
/*
 * Paired runs of /bin/true with and without loam exec: medians of the wall time and of the peak memory. A static program of its
 * own, because a child's peak memory counts what its parent had at the fork.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAIRS 61

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void once(char **argv, double *ms, double *kib)
{
	struct timespec a, b;
	struct rusage usage;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &a);
	pid = vfork();
	if (!pid) {
		execv(argv[0], argv);
		_exit(127);
	}
	wait4(pid, &status, 0, &usage);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (status)
		exit(2);
	*ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
	*kib = (double)usage.ru_maxrss;
}

int main(int argc, char **argv)
{
	char *plain[] = { "/bin/true", NULL }, *ours[] = { argv[1], "exec", "--", "/bin/true", NULL };
	double ms[PAIRS], kib[PAIRS], p, q, r, s, base = 0;

	for (int i = -5; i < PAIRS; i++) {
		once(plain, &p, &q);
		once(ours, &r, &s);
		if (i >= 0) {
			ms[i] = r - p;
			kib[i] = s - q;
			base = q;
		}
	}
	qsort(ms, PAIRS, sizeof(*ms), compare);
	qsort(kib, PAIRS, sizeof(*kib), compare);
	printf("added by loam exec: %.2f ms, %.0f KiB (over %.0f KiB)\n", ms[PAIRS / 2], kib[PAIRS / 2], base);
	return kib[PAIRS / 2] > 1024 || (argc > 2 && ms[PAIRS / 2] > 3);
}
END
start_up() {
	# The wrapper of the build tree is a shell script, which costs time of its own: measure the program.
	program=$LOAM
	if [ -x "$builddir/core/cli/.libs/loam" ]; then
		program=$builddir/core/cli/.libs/loam
		export LD_LIBRARY_PATH=$builddir/core/.libs LOAM_MALLOC_LIB=$builddir/core/.libs/libloam-malloc.so.0
	fi
	gcc -O1 -static "$work/measure.c" -o measure || { echo "   (no static libc to measure with)"; return 0; }
	./measure "$program" ${LOAM_LONG:+strict}
}
try start-up start_up
finish
