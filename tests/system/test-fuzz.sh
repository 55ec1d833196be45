#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The readers of configurations and ELF notes on whatever comes, a little; `make check-fuzz` does it a million times each.
. "${srcdir:-.}/tests/system/lib.sh"
case ${LOAM_SANITIZER:-no} in no) ;; *) echo "has its own sanitizers"; exit 77 ;; esac
command -v clang >/dev/null || { echo "no clang"; exit 77; }
little() { bash "$srcdir/tests/fuzz/run" "$srcdir" 20000 1 >out || { cat out; fail "a finding"; }; cat out; }
try twenty-thousand-executions little
finish
