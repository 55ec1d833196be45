#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What loam exec adds to the start of a program: peak memory always, time only where the machine is quiet (LOAM_LONG=1).
. "${srcdir:-.}/tests/system/lib.sh"
skip_under_sanitizer
command -v python3 >/dev/null || { echo "no python3 to measure with"; exit 77; }

cat >"$work/measure.py" <<'END'
# Paired runs: medians of the wall time and of the peak memory of /bin/true with and without loam exec.
import os, statistics, sys, time
loam = sys.argv[1]
def once(argv):
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, status
    return (time.perf_counter() - start) * 1000, usage.ru_maxrss
plain, ours = ["/bin/true"], [loam, "exec", "--", "/bin/true"]
pairs = [(once(plain), once(ours)) for _ in range(60)][5:]
ms = statistics.median(b[0] - a[0] for a, b in pairs)
kib = statistics.median(b[1] - a[1] for a, b in pairs)
print(f"added by loam exec: {ms:.2f} ms, {kib:.0f} KiB")
sys.exit(0 if kib <= 1024 and (ms <= 3 or os.environ.get("LOAM_LONG") != "1") else 1)
END
start_up() {
	# The wrapper of the build tree is a shell script, which costs time of its own: measure the program.
	program=$LOAM
	if [ -x "$builddir/core/cli/.libs/loam" ]; then
		program=$builddir/core/cli/.libs/loam
		export LD_LIBRARY_PATH=$builddir/core/.libs LOAM_MALLOC_LIB=$builddir/core/.libs/libloam-malloc.so.0
	fi
	python3 "$work/measure.py" "$program"
}
try start-up start_up
finish
